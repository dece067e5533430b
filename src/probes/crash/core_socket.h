// CoreSocket: cores that come through a socket instead of a pipe (core(5), Linux 6.16 and later:
// kernel.core_pattern = @PATH, and since 6.17 @@PATH, where the kernel asks first what we want).
// systemd starts crashprobe for each connection.
//
// Anybody may connect to a socket, so the kernel is asked whether the peer is a process that it is
// dumping; an impostor cannot bring that about.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace telem {

struct DumpedProcess {
  UniqueFd pidfd;
  pid_t pid = 0;
};

// Who is dumped at the other end. kDenied where it is no process that is being dumped.
Result<DumpedProcess> FindDumpedProcess(int socket);

// Where the kernel asks (@@): "write the core, and wait until we close the connection". Where it
// does not (@), the core comes by itself. Either way the core is what is read next.
Status RequestCore(int socket);

// The bytes of that conversation, for tests: what the kernel sends first, and our answer to it.
// Nothing where `request` is none that we understand.
Result<std::string> AnswerCoreRequest(std::string_view request);

}  // namespace telem
