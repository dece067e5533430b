#include "probes/crash/crash_teller.h"

#include <unistd.h>

#include <cstdlib>
#include <utility>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/text.h"
#include "probes/common/record_outlet.h"
#include "probes/crash/crash_probe.h"

namespace telem {
namespace {

int Failed(std::string_view what) { return Failure(kCrashProgram, what); }

}  // namespace

// What could not be sent waits for the next time.
template <typename Change>
void CrashTeller::CountAgain(Change change) {
  auto file = LockedCrashCounts::Open(CountsPath());
  Status saved;
  if (file) {
    change(file->counts);
    saved = file->Save();
  }
  if (!file || !saved) Failed((file ? saved.error() : file.error()).message);
}

int CrashTeller::Tell(const CrashStory& story) {
  if (!IsByItself()) return Send(story, 0);
  uint64_t held = 0;
  std::vector<HeldCrashes> due;
  {
    auto file = LockedCrashCounts::Open(CountsPath());
    // Better one record too many than none.
    if (!file) return Send(story, 0);
    const WallTime now = SystemClock().Now();
    const bool in_full = file->counts.Admit(story.key, now, held);
    due = file->counts.TakeDue(now);
    // What cannot be counted (a full disk) must not be lost.
    if (!file->Save()) return Send(story, 0);
    if (!in_full) return TellCounts(due);
  }
  const int result = Send(story, held);
  if (result != EXIT_SUCCESS) {
    CountAgain([&](CrashCounts& counts) { counts.TakeBack(story.key, held); });
  }
  TellCounts(due);
  return result;
}

bool CrashTeller::CountRepeated(const std::string& text) {
  const std::string_view exact = ExactSignatureOf(text);
  if (!IsByItself() || exact.empty()) return false;
  auto file = LockedCrashCounts::Open(CountsPath());
  return file && file->counts.CountRepeated(exact, SystemClock().Now()) && file->Save();
}

int CrashTeller::TellDueCounts() {
  std::vector<HeldCrashes> due;
  {
    auto file = LockedCrashCounts::Open(CountsPath());
    if (!file) return Failed(file.error().message);
    due = file->counts.TakeDue(SystemClock().Now());
    if (due.empty()) return EXIT_SUCCESS;
    if (const Status saved = file->Save(); !saved) return Failed(saved.error().message);
  }
  return TellCounts(due);
}

// Nobody has asked for this record.
bool CrashTeller::IsByItself() const {
  return arguments_.post &&
         (arguments_.from_kernel || arguments_.action == CrashArguments::Action::kWatch);
}

int CrashTeller::TellCounts(const std::vector<HeldCrashes>& due) {
  int result = EXIT_SUCCESS;
  for (const HeldCrashes& held : due) {
    CrashStory story;
    story.kind = kCrash;
    for (const CrashKind& kind : {kThirdParty, kPackageBuild, kFailedAnalysis}) {
      if (held.key.rest == kind.rest) story.kind = kind;
    }
    if (story.kind == kThirdParty) {
      story.head = kThirdPartyText;
    } else if (story.kind == kPackageBuild) {
      story.head = kPackageBuildText;
    } else {
      story.head = "Process: " + held.key.process + "\nSignal: " + held.key.signal + "\n";
      if (!held.key.stable.empty()) {
        story.rest = "Signature: " + held.key.stable + "   exact: " + held.key.exact + "\n";
      }
    }
    story.key = held.key;
    const int sent = Send(story, held.count);
    if (sent == EXIT_SUCCESS) continue;
    result = sent;
    CountAgain([&](CrashCounts& counts) { counts.Hold(held.key, held.count); });
  }
  return result;
}

int CrashTeller::Send(const CrashStory& story, uint64_t held) {
  std::string payload = story.head;
  if (held > 0) {
    payload += "Repeated: ";
    AppendUnsigned(payload, held);
    payload += "\n";
  }
  payload += story.rest;
  if (arguments_.post && arguments_.show_payload) {
    if (const Status shown = WriteAll(STDOUT_FILENO, payload); !shown) {
      return Failed("standard output: " + shown.error().message);
    }
  }
  const RecordOutlet outlet({.post = arguments_.post, .json = arguments_.json}, settings_);
  const Status handed = outlet.Hand({.classification = std::string(story.kind.rest.substr(1)),
                                     .severity = story.kind.severity,
                                     .payload = std::move(payload),
                                     .event_id = {}});
  return handed ? EXIT_SUCCESS : Failed(handed.error().message);
}

}  // namespace telem
