// What the mains of all probes have in common. Each mistake and failure is one line on stderr, and
// exit code 1.
#pragma once

#include <string>

#include "base/command_line.h"
#include "base/result.h"
#include "telemetry.h"

namespace telem {

inline constexpr int kProbeMistake = 1;

// The absolute path that the library wants for what stands behind -f.
Result<std::string> FindConfigFile(const char* path);

// A sentence for people on a failure of tm_send_record(). `error` is the negative errno.
std::string ExplainSendError(int error);

// What a probe shows instead of sending it.
enum class RecordForm {
  kText,  // as a spool file: fifteen header lines, payload, newline
  kJson,  // one object of strings on one line: the headers by name, and `payload`
};

// Prints the record on stdout, in full.
Status ShowRecord(const telem_ref& record, RecordForm form);

}  // namespace telem
