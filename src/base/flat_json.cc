#include "base/flat_json.h"

#include <cstdio>
#include <optional>

#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxText = 64 * 1024;

void AppendUtf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | (point >> 6));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | (point >> 12));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | (point >> 18));
    out += static_cast<char>(0x80 | ((point >> 12) & 0x3f));
    out += static_cast<char>(0x80 | ((point >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

// Reads one object from the front of its text; every member takes what it reads.
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  void SkipBlanks() {
    while (!rest_.empty() && std::string_view(" \t\r\n").contains(rest_.front())) {
      rest_.remove_prefix(1);
    }
  }

  bool Take(char c) {
    SkipBlanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }

  bool AtEnd() {
    SkipBlanks();
    return rest_.empty();
  }

  std::optional<std::string> TakeString() {
    if (!Take('"')) return std::nullopt;
    std::string value;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return value;
      if (static_cast<unsigned char>(c) < 0x20) return std::nullopt;
      if (c != '\\') {
        value += c;
      } else if (!TakeEscape(value)) {
        return std::nullopt;
      }
    }
    return std::nullopt;
  }

  // A number, true, false or null, as it stands.
  std::optional<std::string> TakeWord() {
    SkipBlanks();
    std::string word;
    while (!rest_.empty() && !std::string_view(" \t\r\n,}").contains(rest_.front())) {
      word += rest_.front();
      rest_.remove_prefix(1);
    }
    if (word == "true" || word == "false" || word == "null" || ParseSigned(word)) return word;
    return std::nullopt;
  }

  bool NextIsString() {
    SkipBlanks();
    return !rest_.empty() && rest_.front() == '"';
  }

 private:
  std::optional<uint32_t> TakeHex4() {
    if (rest_.size() < 4) return std::nullopt;
    uint32_t value = 0;
    for (const char c : rest_.substr(0, 4)) {
      const size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
      if (digit == std::string_view::npos || c < '0') return std::nullopt;
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    rest_.remove_prefix(4);
    return value;
  }

  bool TakeEscape(std::string& value) {
    if (rest_.empty()) return false;
    const char c = rest_.front();
    rest_.remove_prefix(1);
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kMeant = "\"\\/\b\f\n\r\t";
    if (const size_t at = kNames.find(c); at != std::string_view::npos) {
      value += kMeant[at];
      return true;
    }
    if (c != 'u') return false;
    auto point = TakeHex4();
    if (!point || (*point >= 0xdc00 && *point < 0xe000)) return false;
    if (*point >= 0xd800 && *point < 0xdc00) {
      if (!rest_.starts_with("\\u")) return false;
      rest_.remove_prefix(2);
      const auto low = TakeHex4();
      if (!low || *low < 0xdc00 || *low >= 0xe000) return false;
      point = 0x10000 + ((*point - 0xd800) << 10) + (*low - 0xdc00);
    }
    AppendUtf8(value, *point);
    return true;
  }

  std::string_view rest_;
};

}  // namespace

void AppendJsonString(std::string& out, std::string_view value) {
  const bool utf8 = IsUtf8(value);
  out += '"';
  for (const char c : value) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (IsControl(c)) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else if (byte >= 0x80 && !utf8) {
      AppendUtf8(out, byte);
    } else {
      out += c;
    }
  }
  out += '"';
}

void FlatJsonWriter::Begin(std::string_view name) {
  if (out_.size() > 1) out_ += ", ";
  AppendJsonString(out_, name);
  out_ += ": ";
}

FlatJsonWriter& FlatJsonWriter::Add(std::string_view name, std::string_view value) {
  Begin(name);
  AppendJsonString(out_, value);
  return *this;
}

FlatJsonWriter& FlatJsonWriter::Add(std::string_view name, const char* value) {
  return Add(name, std::string_view(value));
}

FlatJsonWriter& FlatJsonWriter::Add(std::string_view name, int64_t value) {
  Begin(name);
  AppendSigned(out_, value);
  return *this;
}

FlatJsonWriter& FlatJsonWriter::Add(std::string_view name, bool value) {
  Begin(name);
  out_ += value ? "true" : "false";
  return *this;
}

FlatJsonWriter& FlatJsonWriter::AddNull(std::string_view name) {
  Begin(name);
  out_ += "null";
  return *this;
}

std::string FlatJsonWriter::Finish() {
  out_ += '}';
  return std::move(out_);
}

Result<std::map<std::string, std::string>> ParseFlatJson(std::string_view text) {
  const auto invalid = [] {
    return Fail(ErrorCode::kInvalid, "not a JSON object of plain values");
  };
  if (text.size() > kMaxText) return Fail(ErrorCode::kTooLarge, "JSON larger than 64 KiB");
  Reader in(text);
  std::map<std::string, std::string> values;
  if (!in.Take('{')) return invalid();
  if (!in.Take('}')) {
    do {
      auto name = in.TakeString();
      if (!name || !in.Take(':')) return invalid();
      auto value = in.NextIsString() ? in.TakeString() : in.TakeWord();
      if (!value) return invalid();
      values[std::move(*name)] = std::move(*value);
    } while (in.Take(','));
    if (!in.Take('}')) return invalid();
  }
  if (!in.AtEnd()) return invalid();
  return values;
}

}  // namespace telem
