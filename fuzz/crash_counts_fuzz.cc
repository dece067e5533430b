// The file in which crashes are counted: of telemd's user, and damaged at times.
#include <cstdint>
#include <string>

#include "base/clock.h"
#include "base/text.h"
#include "fuzz_target.h"
#include "probes/crash/crash_counts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace telem;
  CrashCounts counts = CrashCounts::Load(AsText(data, size));
  const std::string saved = counts.Save();
  Require(CrashCounts::Load(saved).Save() == saved, "what is saved is loaded");
  const FakeClock clock;
  CrashKey key;
  key.exact = "e1:0123456789abcdef";
  uint64_t held = 0;
  Admission admission = Admission::kInFull;
  std::string id(32, 'a');
  for (size_t i = 0; i <= CrashCounts::kFullAnHour; ++i) {
    id.back() = static_cast<char>('0' + i);
    admission = counts.Admit(key, clock.Now(), id, held);
  }
  Require(admission == Admission::kCounted, "a loop ends at its limit");
  // Again where the file says that somebody has begun to tell it.
  const Admission again = counts.Admit(key, clock.Now(), id, held);
  Require(again == Admission::kKnown || again == Admission::kAgain, "no crash counts twice");
  Require(counts.CountRepeated(key.exact, clock.Now()), "and then is counted");
  for (const HeldCrashes& due : counts.TakeDue(clock.Now(), [] { return std::string(32, 'b'); })) {
    Require(due.count > 0, "what is due is more than nothing");
  }
  return 0;
}
