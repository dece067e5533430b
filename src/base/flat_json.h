// JSON in its simplest form, for programs that must stay light: one object whose values are
// strings, numbers, true or false. Programs that have nlohmann-json use that instead.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

// Appends `value` in quotes and escaped; bytes that are no UTF-8 are taken as Latin-1, so the
// outcome is always valid JSON.
void AppendJsonString(std::string& out, std::string_view value);

// Writes {"name": value, …} on one line. Names are the program's own; strings are written by
// AppendJsonString.
class FlatJsonWriter {
 public:
  FlatJsonWriter& Add(std::string_view name, std::string_view value);
  FlatJsonWriter& Add(std::string_view name, const char* value);
  FlatJsonWriter& Add(std::string_view name, int64_t value);
  FlatJsonWriter& Add(std::string_view name, bool value);
  FlatJsonWriter& AddNull(std::string_view name);

  // The object, without a newline. The last call.
  std::string Finish();

 private:
  void Begin(std::string_view name);

  std::string out_ = "{";
};

// Reads such an object: names to values, strings unescaped, numbers and words as they stand. Nested
// values, trailing bytes and anything larger than 64 KiB are kInvalid.
Result<std::map<std::string, std::string>> ParseFlatJson(std::string_view text);

}  // namespace telem
