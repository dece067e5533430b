// The front of a core: the kernel's, or a file that somebody gives to crashprobe.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fuzz_target.h"
#include "unwind/core_notes.h"
#include "unwind/module_map.h"

namespace telem {
namespace {

// Gives its bytes in pieces of one size, as a pipe does.
class PiecedSource final : public ByteSource {
 public:
  PiecedSource(std::span<const char> bytes, size_t piece) : bytes_(bytes), piece_(piece) {}
  Result<size_t> Read(std::span<char> out) override {
    size_t filled = 0;
    while (filled < out.size()) {
      TELEM_TRY(const size_t got,
                bytes_.Read(out.subspan(filled).first(std::min(piece_, out.size() - filled))));
      if (got == 0) break;
      filled += got;
    }
    return filled;
  }

 private:
  SpanSource bytes_;
  size_t piece_;
};

void CheckModules(const CoreNotes& notes) {
  const ModuleMap map(MappingsOf(notes));
  Require(map.modules().size() <= kMaxModules, "modules are within their limit");
  for (size_t i = 0; i < map.modules().size(); ++i) {
    const Module& module = map.modules()[i];
    Require(module.start < module.end && module.first_end <= module.end, "a module has a place");
    Require(map.FindModule(module.start) == i && map.FindModule(module.end - 1) == i,
            "a module is found where it is");
  }
}

}  // namespace
}  // namespace telem

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  // A copy of the exact size, so that AddressSanitizer sees a read past its end.
  const std::vector<char> exact(data, data + size);
  SpanSource whole(exact);
  const auto notes = ReadCoreNotes(whole);
  PiecedSource pieces(exact, 1 + size % 7);
  const auto again = ReadCoreNotes(pieces);
  Require(notes.has_value() == again.has_value(), "pieces say the same");
  if (!notes) return 0;
  Require(notes->threads.size() <= kMaxThreads, "threads are within their limit");
  Require(notes->segments.size() <= kMaxSegments, "segments are within their limit");
  Require(notes->end <= size, "no more is read than is there");
  Require(notes->threads.size() == again->threads.size() && notes->end == again->end &&
              notes->files.size() == again->files.size() && notes->truncated == again->truncated,
          "pieces hold the same");
  Require(notes->command.size() <= 16, "a name is as long as the kernel's");
  for (const ThreadState& thread : notes->threads) {
    static_cast<void>(ProgramCounter(notes->machine, thread));
    static_cast<void>(StackPointer(notes->machine, thread));
  }
  CheckModules(*notes);
  return 0;
}
