#include "daemon/saved_state.h"

#include <algorithm>
#include <iterator>

#include "base/text.h"

namespace telem {
namespace {

constexpr std::string_view kCounterPrefix = "counter.";

// No time and no sum comes near it, and adding to it overflows nothing.
constexpr uint64_t kMaxNumber = uint64_t{1} << 62;

void AddLine(std::string& out, std::string_view key, uint64_t value) {
  out.append(key).append(" ");
  AppendUnsigned(out, value);
  out += '\n';
}

template <typename Time>
uint64_t MillisecondsOf(Time time) {
  return static_cast<uint64_t>(
      std::chrono::floor<std::chrono::milliseconds>(time.time_since_epoch()).count());
}

std::chrono::milliseconds Milliseconds(uint64_t number) {
  return std::chrono::milliseconds(static_cast<int64_t>(std::min(number, kMaxNumber / 1'000'000)));
}

void SetCounter(Counters& counters, std::string_view name, uint64_t value) {
  const auto at = std::find_if(std::begin(kCounterNames), std::end(kCounterNames),
                               [&](const CounterName& counter) { return counter.name == name; });
  if (at != std::end(kCounterNames)) counters.*at->member = value;
}

}  // namespace

std::string SavedStateFile(const Settings& settings) { return settings.state_dir + "/state"; }

std::string FormatSavedState(const SavedState& state) {
  std::string out;
  AddLine(out, "saved", MillisecondsOf(state.wall));
  out.append("boot_id ").append(state.boot_id).append("\n");
  AddLine(out, "monotonic", MillisecondsOf(state.monotonic));
  AddLine(out, "counting_since", MillisecondsOf(state.counting_since));
  if (state.last_success) AddLine(out, "last_success", MillisecondsOf(*state.last_success));
  for (const auto& [name, member] : kCounterNames) {
    out += kCounterPrefix;
    AddLine(out, name, state.counters.*member);
  }
  return out + state.limiter_lines;
}

std::optional<SavedState> ParseSavedState(std::string_view text) {
  SavedState state;
  if (!text.starts_with("saved ")) return std::nullopt;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    std::string_view value = TakeUntil(text, '\n');
    std::string_view key = TakeUntil(value, ' ');
    if (key == "boot_id") {
      state.boot_id = value;
      continue;
    }
    const auto number = ParseUnsigned(value);
    if (!number || *number > kMaxNumber) {
      state.limiter_lines.append(line).append("\n");
    } else if (key == "saved") {
      state.wall = WallTime(Milliseconds(*number));
    } else if (key == "monotonic") {
      state.monotonic = MonotonicTime(Milliseconds(*number));
    } else if (key == "counting_since") {
      state.counting_since = WallTime(Milliseconds(*number));
    } else if (key == "last_success") {
      state.last_success = WallTime(Milliseconds(*number));
    } else if (key.starts_with(kCounterPrefix)) {
      key.remove_prefix(kCounterPrefix.size());
      SetCounter(state.counters, key, *number);
    }
  }
  return state;
}

std::chrono::seconds AgeOf(const SavedState& state, std::string_view boot_id, const Clock& clock) {
  const std::chrono::nanoseconds age = state.boot_id == boot_id
                                           ? clock.Monotonic() - state.monotonic
                                           : std::chrono::nanoseconds(clock.Now() - state.wall);
  return std::chrono::floor<std::chrono::seconds>(std::max(age, std::chrono::nanoseconds(0)));
}

Counters CarryOver(const Counters& saved) {
  Counters counters = saved;
  counters.found = 0;
  counters.accepted =
      saved.delivered + saved.rejected + saved.evicted + saved.expired + saved.local;
  return counters;
}

}  // namespace telem
