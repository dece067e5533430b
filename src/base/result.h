// Result<T>: a value, or what went wrong outside (files, peers, configuration, disk).
//
// Our own mistakes are assertions; bytes from a peer are never our own mistake. Below the programs
// nobody logs: an Error is given context on its way up, and the top logs it once.
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace telem {

// Stands for the reaction that fits, not for the place where it happened.
enum class ErrorCode {
  kNotFound,     // it is not there; asking again does not help
  kInvalid,      // the bytes or arguments are wrong
  kTooLarge,     // more than the documented limit
  kDenied,       // rights are missing, or consent
  kBusy,         // someone else has it
  kUnavailable,  // the peer does not answer; later may help
  kNoSpace,      // disk, quota, memory
  kIo,           // everything else the system reports
};

struct Error {
  ErrorCode code = ErrorCode::kIo;
  int err = 0;  // the errno behind it, 0 where there is none
  std::string message;
};

template <typename T>
using Result = std::expected<T, Error>;
using Status = Result<void>;

// Maps an errno to the code that stands for its reaction.
ErrorCode CodeFromErrno(int err);

// "WHAT: Permission denied", with the code that `err` stands for.
[[nodiscard]] std::unexpected<Error> SystemError(std::string_view what, int err);

// An error that no system call reported.
[[nodiscard]] std::unexpected<Error> Fail(ErrorCode code, std::string message);

// "CONTEXT: MESSAGE": what was being done when `error` happened.
[[nodiscard]] std::unexpected<Error> WithContext(std::string_view context, Error error);

}  // namespace telem

#define TELEM_CONCAT_INNER(a, b) a##b
#define TELEM_CONCAT(a, b) TELEM_CONCAT_INNER(a, b)

// TELEM_TRY(auto value, Compute()): declares the value, or returns the error to the caller.
#define TELEM_TRY(declaration, expression) \
  TELEM_TRY_IMPL(TELEM_CONCAT(telem_try_, __LINE__), declaration, expression)
// A declaration cannot stand in parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define TELEM_TRY_IMPL(result, declaration, expression)                       \
  auto result = (expression);                                                 \
  if (!result.has_value()) return std::unexpected(std::move(result.error())); \
  declaration = std::move(*result)
// NOLINTEND(bugprone-macro-parentheses)

// The same for a Status.
#define TELEM_CHECK(expression)                                      \
  do {                                                               \
    if (auto telem_status = (expression); !telem_status.has_value()) \
      return std::unexpected(std::move(telem_status.error()));       \
  } while (false)
