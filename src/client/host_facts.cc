#include "client/host_facts.h"

#include <fcntl.h>
#include <sys/utsname.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// Enough for any os-release, and for the first processors of cpuinfo, which has a model name in
// each of them or in none; with hundreds of processors the whole file takes the kernel
// milliseconds.
constexpr size_t kMaxStart = 16'384;

// The first bytes of a file, all of a short one; nothing when it cannot be read.
std::optional<std::string> ReadStart(const std::string& path) {
  const auto fd = OpenAt(AT_FDCWD, path, O_RDONLY | O_NONBLOCK);
  if (!fd) return std::nullopt;
  std::string text(kMaxStart, '\0');
  size_t size = 0;
  while (size < text.size()) {
    const ssize_t n = ::read(fd->get(), text.data() + size, text.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    size += static_cast<size_t>(n);
  }
  text.resize(size);
  return text;
}

std::string OrElse(std::string_view value, std::string_view otherwise) {
  return std::string(Trim(value).empty() ? otherwise : value);
}

// The first line of a file below /sys/class/dmi/id. `key` is its name in records of 1.x.
std::string ReadDmi(const std::string& root, const char* file, const char* key) {
  const auto text = ReadStart(root + "/sys/class/dmi/id/" + file);
  if (!text) return "no_" + std::string(key) + "_file";
  std::string_view rest = *text;
  return OrElse(TakeUntil(rest, '\n'), "blank");
}

// What stands behind `name` and `separator` at the start of a line; the first one counts.
std::string_view FindValue(std::string_view text, std::string_view name, char separator) {
  while (!text.empty()) {
    std::string_view line = TakeUntil(text, '\n');
    if (Trim(TakeUntil(line, separator)) == name) return Trim(line);
  }
  return "";
}

std::string_view WithoutQuotes(std::string_view value) {
  const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
                      value.front() == value.back();
  return quoted ? value.substr(1, value.size() - 2) : value;
}

}  // namespace

HostFacts ReadHostFacts(const std::string& root) {
  HostFacts facts;
  utsname kernel{};
  const bool known = ::uname(&kernel) == 0;
  facts.arch = known ? kernel.machine : "unknown";
  facts.kernel_version = known ? kernel.release : "unknown";

  auto os_release = ReadStart(root + "/etc/os-release");
  if (!os_release) os_release = ReadStart(root + "/usr/lib/os-release");
  if (!os_release) os_release = "";
  // Servers know builds with the quotes that os-release has around them, as 1.x sends them.
  facts.build = OrElse(FindValue(*os_release, "VERSION_ID", '='), "0");
  facts.system_name = OrElse(WithoutQuotes(FindValue(*os_release, "ID", '=')), "unknown");

  facts.host_type = ReadDmi(root, "sys_vendor", "sv") + '|' + ReadDmi(root, "product_name", "pn") +
                    '|' + ReadDmi(root, "product_version", "pvr");
  facts.board_name = ReadDmi(root, "board_name", "bn") + '|' + ReadDmi(root, "board_vendor", "bv");
  facts.bios_version = ReadDmi(root, "bios_version", "bv");
  const std::string cpuinfo = ReadStart(root + "/proc/cpuinfo").value_or("");
  facts.cpu_model = OrElse(FindValue(cpuinfo, "model name", ':'), "blank");
  return facts;
}

const HostFacts& ThisHost() {
  // No function-local static: a child forked while another thread initialises one would wait for
  // that thread for ever. Who comes second here has read in vain.
  static std::atomic<const HostFacts*> this_host{nullptr};
  const HostFacts* known = this_host.load(std::memory_order_acquire);
  if (known != nullptr) return *known;
  auto fresh = std::make_unique<const HostFacts>(ReadHostFacts(""));
  if (this_host.compare_exchange_strong(known, fresh.get(), std::memory_order_acq_rel)) {
    known = fresh.release();
  }
  return *known;
}

}  // namespace telem
