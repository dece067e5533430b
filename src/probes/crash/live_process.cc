#include "probes/crash/live_process.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/masking.h"
#include "probes/crash/file_opener.h"

namespace telem {
namespace {

constexpr size_t kMaxMaps = size_t{64} * 1024 * 1024;
constexpr size_t kMaxSmallFile = size_t{64} * 1024;
constexpr std::string_view kDeleted = " (deleted)";

Result<std::string> ReadProcFile(int proc, const std::string& name, size_t limit) {
  TELEM_TRY(const UniqueFd file, OpenAt(proc, name, O_RDONLY));
  return ReadAll(file.get(), limit);
}

std::string ReadLink(int folder, const char* name) {
  std::array<char, PATH_MAX> text{};
  const ssize_t size = ::readlinkat(folder, name, text.data(), text.size());
  return size > 0 ? std::string(text.data(), static_cast<size_t>(size)) : "";
}

// Opens only what is a file: opening a device can do something.
UniqueFd OpenRegular(int folder, const std::string& path) {
  struct stat st;
  if (::fstatat(folder, path.c_str(), &st, 0) != 0 || !S_ISREG(st.st_mode)) return UniqueFd();
  auto file = OpenAt(folder, path, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  return file ? std::move(*file) : UniqueFd();
}

UniqueFd OpenMapped(int proc, const Module& module) {
  std::array<char, 64> name{};
  std::snprintf(name.data(), name.size(), "map_files/%llx-%llx",
                static_cast<unsigned long long>(module.start),
                static_cast<unsigned long long>(module.first_end));
  UniqueFd file = OpenRegular(proc, name.data());
  // Not for an ordinary user; then by name, which is right as long as nobody replaced it. The
  // unwinder compares build ids.
  if (!file.valid() && !module.deleted) file = OpenRegular(proc, "root" + module.path);
  return file;
}

// The part of a control group's name that is an id of 64 hex digits.
std::string_view FindContainerId(std::string_view part) {
  constexpr size_t kId = 64;
  for (size_t at = 0; at + kId <= part.size(); ++at) {
    if (IsLowerHex(part.substr(at, kId), kId)) return part.substr(at, kId);
  }
  return "";
}

}  // namespace

Result<UniqueFd> OpenProcess(pid_t pid) {
  std::string path = "/proc/";
  AppendSigned(path, pid);
  return OpenFolder(path);
}

bool IsDumping(int proc) {
  const auto status = ReadProcFile(proc, "status", kMaxSmallFile);
  return status && status->contains("\nCoreDumping:\t1\n");
}

int EndSignalOf(int proc) {
  // proc(5): the last field of stat is the status as waitpid(2) has it.
  const auto stat = ReadProcFile(proc, "stat", kMaxSmallFile);
  const std::string_view text = stat ? Trim(*stat) : std::string_view();
  const auto status = ParseUnsigned(text.substr(text.rfind(' ') + 1));
  return status ? static_cast<int>(*status & 0x7f) : 0;
}

std::string CommandOf(int proc) {
  const auto text = ReadProcFile(proc, "comm", 64);
  return text ? text->substr(0, text->find('\n')) : "";
}

std::optional<pid_t> InnerPidOf(int proc) {
  const auto status = ReadProcFile(proc, "status", kMaxSmallFile);
  constexpr std::string_view kMark = "\nNSpid:\t";
  const size_t at = status ? status->find(kMark) : std::string::npos;
  if (at == std::string::npos) return std::nullopt;
  // One of each namespace, the innermost last.
  std::string_view line = std::string_view(*status).substr(at + kMark.size());
  line = line.substr(0, line.find('\n'));
  const auto pid = ParseUnsigned(line.substr(line.rfind('\t') + 1));
  return pid && *pid <= INT_MAX ? std::optional(static_cast<pid_t>(*pid)) : std::nullopt;
}

std::string ProgramOf(int proc) {
  std::string exe = ReadLink(proc, "exe");
  if (exe.ends_with(kDeleted)) exe.resize(exe.size() - kDeleted.size());
  return exe;
}

std::string NameContainer(int root) {
  // systemd.io/CONTAINER_INTERFACE: what a manager leaves for its guest to read.
  const auto word = [&](const char* path) {
    const UniqueFd file = OpenBelow(root, path);
    const auto text = file.valid() ? ReadAll(file.get(), 256) : Fail(ErrorCode::kNotFound, "");
    return text ? PrintableAscii(Trim(*text), 64) : std::string();
  };
  const std::string manager = word("/run/host/container-manager");
  const std::string id = word("/run/host/container-uuid");
  std::string name = manager.empty() ? "container" : manager;
  if (!id.empty()) name += " " + id;
  return name;
}

Result<LiveProcess> ReadLiveProcess(int proc) {
  LiveProcess process;
  TELEM_TRY(process.memory, OpenAt(proc, "mem", O_RDONLY));
  TELEM_TRY(const std::string maps, ReadProcFile(proc, "maps", kMaxMaps));
  process.mappings = ParseMaps(maps);
  if (process.mappings.empty()) return Fail(ErrorCode::kNotFound, "the process is gone");
  process.exe = ProgramOf(proc);
  if (auto root = OpenAt(proc, "root", O_PATH | O_DIRECTORY)) process.root = std::move(*root);
  process.in_container = ReadLink(proc, "ns/pid") != ReadLink(AT_FDCWD, "/proc/self/ns/pid");
  if (const auto cgroup = ReadProcFile(proc, "cgroup", kMaxSmallFile)) {
    std::string_view rest = *cgroup;
    while (!rest.empty()) {
      const std::string_view line = TakeUntil(rest, '\n');
      if (process.cgroup.empty() || line.starts_with("0::")) {
        process.cgroup = line.substr(line.rfind(':') + 1);
      }
    }
  }
  const ModuleMap map(process.mappings);
  for (const Module& module : map.modules()) {
    process.modules.push_back(module.path == kVdso ? UniqueFd() : OpenMapped(proc, module));
  }
  return process;
}

Origin OriginOfCgroup(std::string_view cgroup) {
  struct Kind {
    std::string_view mark;
    std::string_view name;
  };
  static constexpr Kind kKinds[] = {
      {"docker", "docker"}, {"libpod", "podman"},       {"cri-containerd", "containerd"},
      {"crio", "cri-o"},    {"kubepods", "kubernetes"}, {"containerd", "containerd"},
  };
  Origin origin;
  const std::string_view whole = cgroup;
  while (!cgroup.empty()) {
    const std::string_view part = TakeUntil(cgroup, '/');
    if (const std::string_view id = FindContainerId(part); !id.empty()) {
      std::string_view name = "container";
      for (const Kind& kind : kKinds) {
        if (!whole.contains(kind.mark)) continue;
        name = kind.name;
        break;
      }
      origin.container = std::string(name) + " " + std::string(id);
    } else if (part.starts_with("lxc.payload.")) {
      origin.container = "lxc " + PrintableAscii(part.substr(12), 64);
    } else if (part.starts_with("machine-") && part.ends_with(".scope")) {
      origin.container = "machine " + PrintableAscii(part.substr(8, part.size() - 14), 64);
    } else if (part.starts_with("systemd-nspawn@") && part.ends_with(".service")) {
      origin.container = "machine " + PrintableAscii(part.substr(15, part.size() - 23), 64);
    } else if (part.ends_with(".service") || part.ends_with(".scope") ||
               part.ends_with(".socket")) {
      origin.unit = MaskPersonalData(PrintableAscii(part, 128), OwnHostName());
    }
  }
  return origin;
}

}  // namespace telem
