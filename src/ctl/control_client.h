// ControlClient: telemctl's end of the control socket (docs/formats.md). Requests go out one after
// another, and each answer is read line by line. Whatever telemd, or whoever sits in its place,
// answers is bounded: 64 KiB a line, 5 s for each.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/flat_json.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

class Output;

// The members of one line: strings unescaped, numbers and words as they stand.
using ControlFields = std::map<std::string, std::string>;

class ControlClient {
 public:
  // Errors are sentences for people. kUnavailable: telemd does not answer. Else it answered with an
  // error, and the code tells which: kDenied, kNotFound, kNoSpace, or kInvalid.
  static Result<ControlClient> Connect(const std::string& path);

  // Sends `request`. More may follow once its answer was read, unless it is the last.
  enum class Last { kNo, kYes };
  Status Ask(FlatJsonWriter request, Last last = Last::kNo);

  // The next line of the answer, as it came and taken apart.
  struct Line {
    std::string text;
    ControlFields fields;
  };
  Result<Line> NextLine();

  // The next line of an answer of several; nothing at its end.
  Result<std::optional<Line>> NextOfMany();

 private:
  ControlClient(std::string path, UniqueFd socket)
      : path_(std::move(path)), socket_(std::move(socket)) {}
  Result<std::string> ReceiveLine();
  std::unexpected<Error> Silence(const Error& error) const;

  std::string path_;
  UniqueFd socket_;
  std::string received_;
};

// One request, and its answer of one line.
Result<ControlClient::Line> AskOnce(const std::string& path, FlatJsonWriter request);

// A line of an answer for --json: one line of JSON and its newline, whatever blanks telemd put
// between its parts, and fit for a terminal.
std::string JsonLine(std::string text);

// Whether that is because no telemd is there.
bool IsNotRunning(const Error& error);

// Tells what went wrong, and what may help; returns exit code 1.
int ComplainOfTelemd(const Error& error, Output& output);

}  // namespace telem
