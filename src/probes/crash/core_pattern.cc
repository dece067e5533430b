#include "probes/crash/core_pattern.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/files.h"
#include "base/text.h"
#include "config/crash_source.h"

namespace telem {
namespace {

constexpr size_t kMaxSetting = 4096;
// The kernel's own limit for a pattern (CORENAME_MAX_SIZE).
constexpr size_t kMaxPattern = 127;

// So many handlers may be there at once; what crashes beyond that is dropped by the kernel, which
// logs it. Two work, the others wait their turn.
constexpr char kPipeLimit[] = "16";

constexpr char kArguments[] = " -p %e -E %E -s %s %P %i %I %t %u %g %c %d";

std::string SavedPath(const Settings& settings) { return settings.state_dir + "/core_pattern"; }

struct Saved {
  std::string pattern;
  std::string limit;
  std::string ours;
};

// The folder may belong to telemd's user, and what stands in this file becomes a program that the
// kernel starts as root: it counts only when whoever may change the kernel's settings wrote it.
Result<Saved> ReadSaved(const Settings& settings) {
  const std::string path = SavedPath(settings);
  TELEM_TRY(const UniqueFd file,
            OpenAt(AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY));
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return SystemError("stat '" + path + "'", errno);
  constexpr mode_t kOthersWrite = 022;
  if (!S_ISREG(st.st_mode) || st.st_uid != ::geteuid() || st.st_nlink != 1 ||
      (st.st_mode & kOthersWrite) != 0) {
    return Fail(ErrorCode::kDenied, "'" + path + "' is not ours, so nothing is put back");
  }
  TELEM_TRY(const std::string text, ReadAll(file.get(), kMaxSetting));
  std::string_view rest = text;
  Saved saved;
  saved.pattern = TakeUntil(rest, '\n');
  saved.limit = TakeUntil(rest, '\n');
  saved.ours = TakeUntil(rest, '\n');
  return saved;
}

Status RemoveSaved(const Settings& settings) {
  const std::string path = SavedPath(settings);
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return SystemError("unlink '" + path + "'", errno);
}

Status WriteSaved(const Settings& settings, const Saved& saved) {
  // What ReplaceFile() would write to may be somebody's already.
  const std::string fresh = SavedPath(settings) + ".new";
  if (::unlink(fresh.c_str()) != 0 && errno != ENOENT) {
    return SystemError("unlink '" + fresh + "'", errno);
  }
  return ReplaceFile(SavedPath(settings),
                     saved.pattern + "\n" + saved.limit + "\n" + saved.ours + "\n", 0644);
}

// proc(5), /proc/PID/mountinfo: the fifth field is the mount point as this process sees it.
bool IsRootAMount() {
  constexpr size_t kMaxMounts = size_t{16} * 1024 * 1024;
  const auto mounts = ReadFile("/proc/self/mountinfo", kMaxMounts);
  std::string_view rest = mounts ? std::string_view(*mounts) : "";
  while (!rest.empty()) {
    std::string_view line = TakeUntil(rest, '\n');
    for (int field = 1; field < 5; ++field) TakeUntil(line, ' ');
    if (TakeUntil(line, ' ') == "/") return true;
  }
  return false;
}

// What the kernel has where nobody has set anything.
constexpr char kDefaultPattern[] = "core";
constexpr char kDefaultLimit[] = "0";

// A crashprobe of any version and place, or a socket of it.
bool IsOurs(std::string_view pattern, std::string_view socket) {
  if (pattern.starts_with('@')) {
    return pattern.substr(pattern.starts_with("@@") ? 2 : 1) == socket;
  }
  return pattern.starts_with('|') && TakeUntil(pattern, ' ').ends_with("/crashprobe");
}

}  // namespace

Result<std::string> CorePattern::Read(const char* name) const {
  TELEM_TRY(std::string value, ReadFile(kernel_ + "/" + name, kMaxSetting));
  return value.substr(0, value.find('\n'));
}

Status CorePattern::Write(const char* name, std::string_view value) const {
  const std::string path = kernel_ + "/" + name;
  TELEM_TRY(const UniqueFd file, OpenAt(AT_FDCWD, path, O_WRONLY));
  if (auto written = WriteAll(file.get(), std::string(value) + "\n"); !written) {
    return WithContext(path, std::move(written.error()));
  }
  return {};
}

std::vector<std::string> CorePattern::Wanted() const {
  std::vector<std::string> patterns;
  const auto modes = ReadFile(kernel_ + "/core_modes", kMaxSetting);
  // The socket is the better way: what handles the core is a service with limits of its own. But
  // nobody says there what the process wants of a core file.
  if (settings_.crash_forward != CrashForward::kFile && modes &&
      ("\n" + *modes).contains("\nsocket\n") && ::access(socket_.c_str(), F_OK) == 0) {
    patterns.push_back("@@" + socket_);
    patterns.push_back("@" + socket_);
  }
  const std::string pipe = "|" + program_ + kArguments;
  // Kernels that have core_modes know %F; others would leave an empty word there.
  if (modes) patterns.push_back(pipe + " %F");
  patterns.push_back(pipe);
  std::erase_if(patterns, [](const std::string& pattern) { return pattern.size() > kMaxPattern; });
  return patterns;
}

Status CorePattern::SetUp() {
  TELEM_TRY(const std::string pattern, Read("core_pattern"));
  TELEM_TRY(const std::string limit, Read("core_pipe_limit"));
  if (IsSystemdCoredump(pattern) && IsSystemdCoredumpWanted(settings_, pattern)) {
    return Fail(ErrorCode::kBusy, "systemd-coredump keeps core_pattern, as crash_forward says");
  }
  Saved saved{pattern, limit, ""};
  const auto before = ReadSaved(settings_);
  if (before && (before->ours == pattern || IsOurs(pattern, socket_))) saved = *before;
  // One of ours is not to be put back: the file was lost, or 1.x set it up.
  if (IsOurs(saved.pattern, socket_)) saved = {kDefaultPattern, kDefaultLimit, ""};
  refused_.clear();
  Status done = Fail(ErrorCode::kInvalid, "the path of crashprobe is too long for the kernel");
  for (const std::string& wanted : Wanted()) {
    // Written down first: what we set can then be undone whatever happens.
    saved.ours = wanted;
    done = WriteSaved(settings_, saved);
    if (done) done = Write("core_pipe_limit", kPipeLimit);
    if (done) done = Write("core_pattern", wanted);
    if (done) return {};
    refused_.push_back("'" + wanted + "' is refused: " + done.error().message);
  }
  // What holds from here on is what was there; the first failure is the one to tell.
  if (const Status undone = Restore(); !undone) {
    done.error().message += "; " + undone.error().message;
  }
  return done;
}

Status CorePattern::Restore() {
  auto saved = ReadSaved(settings_);
  if (!saved && saved.error().code != ErrorCode::kNotFound) {
    return std::unexpected(saved.error());
  }
  TELEM_TRY(const std::string pattern, Read("core_pattern"));
  if (!saved) {
    if (!IsOurs(pattern, socket_)) return {};
    saved = Saved{kDefaultPattern, kDefaultLimit, pattern};
  }
  // Also when SetUp() or this was ended in between.
  const bool is_former = pattern == saved->pattern;
  if (pattern == saved->ours || is_former || IsOurs(pattern, socket_)) {
    if (!is_former) TELEM_CHECK(Write("core_pattern", saved->pattern));
    TELEM_CHECK(Write("core_pipe_limit", saved->limit));
  }
  return RemoveSaved(settings_);
}

std::string CorePattern::Former(const Settings& settings) {
  const auto saved = ReadSaved(settings);
  return saved ? saved->pattern : "";
}

bool IsInContainerOrChroot() {
  // PROC_PID_INIT_INO of the kernel: the pid namespace of the machine itself.
  constexpr std::string_view kFirstNamespace = "pid:[4026531836]";
  std::array<char, 64> link{};
  const ssize_t size = ::readlink("/proc/self/ns/pid", link.data(), link.size());
  if (size <= 0 || std::string_view(link.data(), static_cast<size_t>(size)) != kFirstNamespace) {
    return true;
  }
  // Containers that share it with the host say what they are.
  for (const char* mark : {"/run/host/container-manager", "/run/systemd/container", "/.dockerenv",
                           "/run/.containerenv"}) {
    if (::access(mark, F_OK) == 0) return true;
  }
  struct stat first;
  struct stat ours;
  if (::stat("/", &ours) != 0) return true;
  if (::stat("/proc/1/root/.", &first) == 0) {
    return first.st_dev != ours.st_dev || first.st_ino != ours.st_ino;
  }
  // Init has rights that we have not, as where a unit keeps some back. A chroot is mostly a folder,
  // and then no mount is at its root.
  return errno != EACCES || !IsRootAMount();
}

std::string ExpandCorePattern(std::string_view pattern, const CoreFileValues& values) {
  std::string out;
  bool has_pid = false;
  // As the kernel does it: no slash, and no name that leads elsewhere.
  const auto name = [&](std::string text) {
    std::replace(text.begin(), text.end(), '/', '!');
    if (text == "." || text == "..") std::replace(text.begin(), text.end(), '.', '!');
    out += text;
  };
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    if (++i == pattern.size()) break;
    switch (pattern[i]) {
      case '%':
        out += '%';
        break;
      case 'P':
        AppendSigned(out, values.pid);
        break;
      case 'p':
        AppendSigned(out, values.inner_pid);
        has_pid = true;
        break;
      case 'I':
        AppendSigned(out, values.tid);
        break;
      case 'i':
        AppendSigned(out, values.inner_tid);
        break;
      case 'u':
        AppendUnsigned(out, values.uid);
        break;
      case 'g':
        AppendUnsigned(out, values.gid);
        break;
      case 'd':
        AppendSigned(out, values.dump_mode);
        break;
      case 's':
        AppendSigned(out, values.signal);
        break;
      case 't':
        AppendUnsigned(out, values.time);
        break;
      case 'c':
        AppendUnsigned(out, values.limit);
        break;
      case 'h':
        name(values.host);
        break;
      case 'e':
      case 'f':
        name(pattern[i] == 'e' || values.exe.empty()
                 ? values.name
                 : values.exe.substr(values.exe.rfind('/') + 1));
        break;
      case 'E':
        name(values.exe);
        break;
      default:
        break;
    }
  }
  if (values.uses_pid && !has_pid) {
    out += '.';
    AppendSigned(out, values.inner_pid);
  }
  return out;
}

}  // namespace telem
