// LiveProcess: a process that is dying, held by the kernel until its core has been taken. Opened
// once, with the rights of root; what is opened stays readable when these are given up.
//
// Files are reached through /proc/PID/map_files and /proc/PID/root, so they are the ones that the
// process has, also when they were deleted or replaced, or lie in a container.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "unwind/module_map.h"

namespace telem {

struct LiveProcess {
  UniqueFd memory;            // /proc/PID/mem, to read only
  UniqueFd root;              // its root folder (O_PATH)
  std::string exe;            // path of the program, as its own root has it
  std::string cgroup;         // the line of the unified hierarchy, or the first one
  bool in_container = false;  // has a pid namespace other than ours
  std::vector<Mapping> mappings;
  std::vector<UniqueFd>
      modules;  // by the index in ModuleMap(mappings); invalid where not to be had
};

// `proc` is the folder /proc/PID, held open, so that it is the same process all the time.
Result<UniqueFd> OpenProcess(pid_t pid);

// Whether the kernel is dumping it: what only a process that crashed is in.
bool IsDumping(int proc);

// The signal that it ends by; 0 where the kernel does not say: those before 6.8, and of a process
// of somebody else.
int EndSignalOf(int proc);

// The first line of /proc/PID/comm; empty when it cannot be read.
std::string CommandOf(int proc);

// The path of its program; empty when it cannot be read.
std::string ProgramOf(int proc);

// The pid as the process itself sees it; nothing where the kernel does not say.
std::optional<pid_t> InnerPidOf(int proc);

// What container the root folder (a descriptor) of a process belongs to, in the words of its
// manager: "systemd-nspawn", with the container's id where it has one; "container" when nothing
// tells.
std::string NameContainer(int root);

// kDenied where the rights are missing, kNotFound where it is gone.
Result<LiveProcess> ReadLiveProcess(int proc);

// "docker 1f2e…" for a container, "foo.service" for a unit, or empty, by what systemd, docker,
// podman, containerd, CRI-O, LXC and Kubernetes call their control groups. The unit is masked: it
// may be named after whom it is for.
struct Origin {
  std::string container;
  std::string unit;
};
Origin OriginOfCgroup(std::string_view cgroup);

}  // namespace telem
