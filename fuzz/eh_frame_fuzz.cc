// The tables by which stacks are unwound, and the symbols, of an ELF file that somebody has made.
//
// The first byte says how: bit 0 with the image as a file (else only from memory, as of a file that
// is deleted), bit 1 names too, bit 2 as aarch64. Two bytes are the place of the program counter in
// the image. The rest is the image, and what is on the stack. The readers are libdw's; what is
// checked is that ours asks for nothing that is not there and comes to an end.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "fuzz_target.h"
#include "unwind/symbolizer.h"
#include "unwind/unwinder.h"

namespace telem {
namespace {

constexpr uint64_t kImage = 0x10000;
constexpr uint64_t kStack = 0x7fff0000;
constexpr uint64_t kPage = 4096;

// The image at one place, and again as a stack at another.
class FlatMemory final : public ProcessMemory {
 public:
  explicit FlatMemory(std::span<const char> bytes) : bytes_(bytes) {}
  size_t Read(uint64_t address, std::span<char> out) override {
    const uint64_t place = address >= kStack ? address - kStack : address - kImage;
    if (address < kImage || place >= bytes_.size()) return 0;
    const size_t count = std::min<size_t>(out.size(), bytes_.size() - place);
    std::memcpy(out.data(), bytes_.data() + place, count);
    return count;
  }

 private:
  std::span<const char> bytes_;
};

class OneFile final : public ModuleFiles {
 public:
  OneFile(std::span<const char> bytes, bool is_there) : bytes_(bytes), is_there_(is_there) {}
  UniqueFd OpenModule(size_t /*index*/) override { return is_there_ ? Make() : UniqueFd(); }
  UniqueFd OpenDebugFile(size_t /*index*/, std::string_view /*build_id*/,
                         std::string_view debuglink) override {
    return debuglink.empty() ? UniqueFd() : Make();
  }

 private:
  UniqueFd Make() const {
    UniqueFd file(::memfd_create("image", MFD_CLOEXEC));
    Require(
        ::write(file.get(), bytes_.data(), bytes_.size()) == static_cast<ssize_t>(bytes_.size()),
        "the target can make a file");
    return file;
  }

  std::span<const char> bytes_;
  bool is_there_;
};

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  if (size < 4) return 0;
  const bool as_file = (data[0] & 1) != 0;
  const bool with_names = (data[0] & 2) != 0;
  const std::vector<char> image(data + 3, data + size);
  const uint64_t pages = (image.size() + kPage - 1) & ~(kPage - 1);

  Mapping code{.start = kImage, .end = kImage + pages, .executable = true, .path = "/image"};
  Mapping stack{.start = kStack, .end = kStack + pages, .writable = true, .path = ""};
  const ModuleMap map({code, stack});
  CoreNotes notes;
  notes.machine = (data[0] & 4) != 0 ? Machine::kAarch64 : Machine::kX86_64;
  notes.pid = 1;
  ThreadState thread;
  thread.tid = 1;
  const uint64_t pc = kImage + (data[1] | data[2] << 8);
  thread.registers.fill(kStack);
  thread.registers[notes.machine == Machine::kX86_64 ? 16 : 32] = pc;
  FlatMemory flat(image);
  CachedMemory memory(flat);
  OneFile files(image, as_file);

  auto unwinder = Unwinder::Create(notes, map, memory, files);
  if (!unwinder) return 0;
  constexpr size_t kLimit = 64;
  const SystemClock system_clock;
  const MonotonicTime end = system_clock.Monotonic() + std::chrono::seconds(1);
  const ThreadStack found = (*unwinder)->Unwind(thread, kLimit, system_clock, end);
  Require(!found.frames.empty() && found.frames.size() <= kLimit, "frames are within their limit");
  Require(found.frames.front().pc == pc, "the first frame is where the thread was");
  Require(found.left_out <= Unwinder::kMaxCounted, "what is left out is not counted for ever");
  if (!with_names) return 0;
  const FakeClock clock;
  Symbolizer symbolizer(**unwinder, clock, std::chrono::seconds(1));
  std::vector<uint64_t> addresses;
  addresses.reserve(found.frames.size());
  for (const StackFrame& frame : found.frames) addresses.push_back(frame.lookup());
  symbolizer.LookUpSymbols(addresses);
  symbolizer.LookUpDwarf();
  for (const uint64_t address : addresses) {
    Require(!symbolizer.Find(address).functions.empty(), "each address has a frame");
  }
  return 0;
}
