#include "probes/crash/running_process.h"

#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxAuxv = 4096;

std::vector<pid_t> ThreadsOf(pid_t pid) {
  std::string path = "/proc/";
  AppendSigned(path, pid);
  path += "/task";
  std::vector<pid_t> tids = {pid};
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
    const auto tid = ParseUnsigned(entry->d_name);
    if (tid && *tid != static_cast<uint64_t>(pid)) tids.push_back(static_cast<pid_t>(*tid));
  }
  return tids;
}

bool StopThread(pid_t tid) {
  if (::ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) return false;
  int status = 0;
  if (::ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) == 0 &&
      ::waitpid(tid, &status, __WALL) == tid && WIFSTOPPED(status)) {
    return true;
  }
  ::ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
  return false;
}

bool ReadRegisters(pid_t tid, ThreadState& thread) {
  iovec part{thread.registers.data(), sizeof(thread.registers)};
  thread.tid = tid;
  return ::ptrace(PTRACE_GETREGSET, tid, NT_PRSTATUS, &part) == 0;
}

}  // namespace

RunningProcess::~RunningProcess() {
  for (const pid_t tid : stopped_) ::ptrace(PTRACE_DETACH, tid, nullptr, nullptr);
}

Result<RunningProcess> RunningProcess::Stop(pid_t pid) {
  TELEM_TRY(const UniqueFd proc, OpenProcess(pid));
  RunningProcess running;
  CrashEvidence& evidence = running.evidence;
  evidence.source = "the running process, stopped for a moment";
#if defined(__aarch64__)
  evidence.notes.machine = Machine::kAarch64;
#endif
  evidence.notes.pid = pid;
  evidence.notes.command = CommandOf(proc.get());
  for (const pid_t tid : ThreadsOf(pid)) {
    if (!StopThread(tid)) {
      if (tid == pid) return SystemError("stop the process", errno);
      continue;  // it has ended meanwhile
    }
    running.stopped_.push_back(tid);
    ThreadState thread;
    if (ReadRegisters(tid, thread)) evidence.notes.threads.push_back(thread);
  }
  TELEM_TRY(LiveProcess process, ReadLiveProcess(proc.get()));
  if (const auto file = OpenAt(proc.get(), "auxv", O_RDONLY)) {
    if (const auto text = ReadAll(file->get(), kMaxAuxv)) {
      evidence.notes.auxv = ParseAuxv({text->data(), text->size()});
    }
  }
  evidence.map = ModuleMap(std::move(process.mappings));
  evidence.exe = std::move(process.exe);
  evidence.cgroup = std::move(process.cgroup);
  evidence.in_container = process.in_container;
  evidence.memory_file = std::move(process.memory);
  evidence.memory = std::make_unique<LiveMemory>(evidence.memory_file.get());
  evidence.modules = std::move(process.modules);
  evidence.root = std::move(process.root);
  return running;
}

}  // namespace telem
