#include "probes/crash/crash_teller.h"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "base/clock.h"
#include "base/command_line.h"
#include "base/files.h"
#include "base/random.h"
#include "base/text.h"
#include "probes/crash/crash_probe.h"

namespace telem {
namespace {

int Failed(std::string_view what) { return Failure(kCrashProgram, what); }

// Of crashes that are only counted.
CrashStory StoryOfCount(const CrashKey& key, const std::string& event_id) {
  CrashStory story{kCrash, "", "", key, event_id};
  for (const CrashKind& kind : {kThirdParty, kPackageBuild, kFailedAnalysis}) {
    if (key.rest == kind.rest) story.kind = kind;
  }
  if (story.kind == kThirdParty) {
    story.head = kThirdPartyText;
  } else if (story.kind == kPackageBuild) {
    story.head = kPackageBuildText;
  } else {
    story.head = "Process: " + key.process + "\nSignal: " + key.signal + "\n";
    if (!key.stable.empty()) {
      story.rest = "Signature: " + key.stable + "   exact: " + key.exact + "\n";
    }
  }
  return story;
}

}  // namespace

std::string CrashTeller::NewEventId() {
  std::array<unsigned char, 16> bytes{};
  FillRandom(bytes.data(), bytes.size());
  std::string id;
  AppendHex(id, bytes.data(), bytes.size());
  return id;
}

template <typename Change>
void CrashTeller::ChangeCounts(Change change) {
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
  Admission admission = Admission::kInFull;
  std::vector<HeldCrashes> due;
  {
    auto file = LockedCrashCounts::Open(CountsPath());
    // Better one record too many than none.
    if (!file) return Send(story, 0);
    const WallTime now = SystemClock().Now();
    admission = file->counts.Admit(story.key, now, story.event_id, held);
    if (admission == Admission::kKnown) return EXIT_SUCCESS;
    due = file->counts.TakeDue(now, NewEventId);
    if (const Status saved = file->Save(); !saved) {
      Failed("crashes are told, but not counted: " + saved.error().message);
      return TellUncounted(story, admission);
    }
  }
  int result = EXIT_SUCCESS;
  if (admission != Admission::kCounted) {
    result = TellInFull(story, held, admission == Admission::kAgain);
  }
  const int counts_result = TellCounts(due);
  return admission == Admission::kCounted ? counts_result : result;
}

int CrashTeller::TellInFull(const CrashStory& story, uint64_t held, bool was_begun) {
  const bool has_it = was_begun && Outlet().HasHanded(story.event_id);
  const int result = has_it ? EXIT_SUCCESS : Send(story, held);
  ChangeCounts([&](CrashCounts& counts) {
    if (result == EXIT_SUCCESS) {
      counts.Confirm(story.key, story.event_id);
    } else {
      counts.TakeBack(story.key, story.event_id, story.comes_again);
    }
  });
  return result;
}

// On a full disk. By what was known before, so that a loop stays one: but nothing is lost.
int CrashTeller::TellUncounted(const CrashStory& story, Admission admission) {
  if (admission != Admission::kCounted) return Send(story, 0);
  return Send(StoryOfCount(story.key, story.event_id), 1);
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
    due = file->counts.TakeDue(SystemClock().Now(), NewEventId);
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
    const bool has_it = held.was_begun && Outlet().HasHanded(held.event_id);
    const int sent =
        has_it ? EXIT_SUCCESS : Send(StoryOfCount(held.key, held.event_id), held.count);
    if (sent != EXIT_SUCCESS) result = sent;
    ChangeCounts([&](CrashCounts& counts) {
      if (sent == EXIT_SUCCESS) {
        counts.Confirm(held.key, held.event_id);
      } else {
        counts.Hold(held.key, held.event_id);
      }
    });
  }
  return result;
}

RecordOutlet CrashTeller::Outlet() const {
  return RecordOutlet({.post = arguments_.post, .json = arguments_.json}, settings_);
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
  const Status handed = Outlet().Hand({.classification = std::string(story.kind.rest.substr(1)),
                                       .severity = story.kind.severity,
                                       .payload = std::move(payload),
                                       .event_id = story.event_id});
  return handed ? EXIT_SUCCESS : Failed(handed.error().message);
}

}  // namespace telem
