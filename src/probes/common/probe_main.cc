#include "probes/common/probe_main.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/files.h"
#include "base/flat_json.h"
#include "client/record_text.h"
#include "record/headers.h"

namespace telem {
namespace {

// `text` is a record as TextOf() gives it.
Result<std::string> JsonOf(std::string_view text) {
  TELEM_TRY(const HeaderViews headers, TakeHeaders(text));
  FlatJsonWriter json;
  for (size_t i = 0; i < kHeaderCount; ++i) json.Add(kHeaderNames[i], headers.values[i]);
  json.Add("payload", text.substr(0, text.size() - 1));
  return json.Finish() + '\n';
}

}  // namespace

Result<std::string> FindConfigFile(const char* path) {
  const std::unique_ptr<char, decltype(&std::free)> absolute(::realpath(path, nullptr), &std::free);
  const std::string what = "configuration file '" + std::string(path) + "'";
  struct stat st;
  if (!absolute || ::stat(absolute.get(), &st) != 0) return SystemError(what, errno);
  if (!S_ISREG(st.st_mode)) return Fail(ErrorCode::kInvalid, what + ": is not a regular file");
  return std::string(absolute.get());
}

std::string ExplainSendError(int error) {
  const std::string what = "cannot send the record: ";
  switch (-error) {
    case ENOENT:
      return what + "telemd does not run (its socket is not there)";
    case ECONNREFUSED:
      return what + "telemd does not run, or the user has opted out";
    case ETIMEDOUT:
      return what + "telemd did not answer within a second";
    case EIO:
      return what + "telemd ended before it answered, or could not store the record";
    case ENOSPC:
      return what + "telemd's spool is full";
    case EDQUOT:
      return what + "telemd's limit on records is reached";
    case E2BIG:
      return what + "telemd takes no record of this size";
    case EINVAL:
      return what + "telemd takes no record like this";
    default:
      return what + std::strerror(-error);
  }
}

Status ShowRecord(const telem_ref& record, RecordForm form) {
  std::string text = TextOf(record);
  if (form == RecordForm::kJson) {
    TELEM_TRY(text, JsonOf(text));
  }
  if (auto written = WriteAll(STDOUT_FILENO, text); !written) {
    return WithContext("standard output", std::move(written.error()));
  }
  return {};
}

}  // namespace telem
