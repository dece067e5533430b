#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace telem {

ErrorCode CodeFromErrno(int err) {
  switch (err) {
    case ENOENT:
    case ENOTDIR:
    case ESRCH:
      return ErrorCode::kNotFound;
    case EINVAL:
    case EILSEQ:
    case ELOOP:
    case EISDIR:
    case ENAMETOOLONG:
      return ErrorCode::kInvalid;
    case E2BIG:
    case EFBIG:
    case EMSGSIZE:
      return ErrorCode::kTooLarge;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::kDenied;
    case EEXIST:
    case EBUSY:
    case EADDRINUSE:
    case EWOULDBLOCK:
      return ErrorCode::kBusy;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ETIMEDOUT:
      return ErrorCode::kUnavailable;
    case ENOSPC:
    case EDQUOT:
      return ErrorCode::kNoSpace;
    default:  // ENOMEM, EMFILE and ENFILE among them: no record that goes makes room for these
      return ErrorCode::kIo;
  }
}

std::unexpected<Error> SystemError(std::string_view what, int err) {
  std::string message(what);
  message += ": ";
  message += strerrordesc_np(err) != nullptr ? strerrordesc_np(err) : "unknown error";
  return std::unexpected(Error{CodeFromErrno(err), err, std::move(message)});
}

std::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return std::unexpected(Error{code, 0, std::move(message)});
}

std::unexpected<Error> WithContext(std::string_view context, Error error) {
  error.message.insert(0, ": ");
  error.message.insert(0, context);
  return std::unexpected(std::move(error));
}

}  // namespace telem
