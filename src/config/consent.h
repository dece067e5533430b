// Consent of this machine's user: what the marker files in config_dir say, and since when.
//
// `opt-out` there means that nothing is collected. With `consent = opt-in` nothing is collected
// either unless there is a file `opt-in`.
#pragma once

#include <chrono>
#include <optional>

#include "base/result.h"
#include "config/settings.h"

namespace telem {

enum class ConsentAnswer {
  kGiven,
  kWithheld,
  kUnknown,  // the markers cannot be looked at; counts as no, and is no reason to remove anything
};

// Looks at the marker files.
ConsentAnswer AskConsent(const Settings& settings);

// Whether collection is allowed now.
inline bool IsCollectionAllowed(const Settings& settings) {
  return AskConsent(settings) == ConsentAnswer::kGiven;
}

// Whether probes tell only what the user cannot mind, which a file `opt-in-no-privacy-filters` in
// config_dir lifts.
bool HasPrivacyFilters(const Settings& settings);

// When the user opted in for the last time, of state_dir/consent_since (decimal seconds since the
// epoch). What is older must not be reported: nobody had consented to it. Nothing where that is not
// written down, which is so before telemd has run for the first time, and while opted out.
std::optional<std::chrono::sys_seconds> ReadConsentSince(const Settings& settings);

// The time from which on evidence may be reported: that of ReadConsentSince(). Where that is not
// written down yet nothing from before `now` was consented to, but where the marker `opt-in` tells.
std::chrono::sys_seconds ReadConsentStart(const Settings& settings, std::chrono::sys_seconds now);

// Writes that file, whole or not at all; everybody may read it.
Status WriteConsentSince(const Settings& settings, std::chrono::sys_seconds since);

// Removes it. A file that is not there is fine.
Status RemoveConsentSince(const Settings& settings);

// When the marker `opt-in` was made, where there is one.
std::optional<std::chrono::sys_seconds> FindOptInTime(const Settings& settings);

}  // namespace telem
