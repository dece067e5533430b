#include "config/consent.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

// No more than the largest number and a newline.
constexpr size_t kMaxSinceFile = 32;

// Nothing where that cannot be found out.
std::optional<bool> IsThere(const std::string& marker) {
  // As the effective user: access() would make itself other credentials first.
  if (::faccessat(AT_FDCWD, marker.c_str(), F_OK, AT_EACCESS) == 0) return true;
  if (errno == ENOENT || errno == ENOTDIR) return false;
  return std::nullopt;
}

std::string SinceFile(const Settings& settings) { return settings.state_dir + "/consent_since"; }

}  // namespace

ConsentAnswer AskConsent(const Settings& settings) {
  const auto opt_out = IsThere(settings.config_dir + "/opt-out");
  if (!opt_out) return ConsentAnswer::kUnknown;
  if (*opt_out) return ConsentAnswer::kWithheld;
  if (settings.consent == ConsentMode::kOptOut) return ConsentAnswer::kGiven;
  const auto opt_in = IsThere(settings.config_dir + "/opt-in");
  if (!opt_in) return ConsentAnswer::kUnknown;
  return *opt_in ? ConsentAnswer::kGiven : ConsentAnswer::kWithheld;
}

bool HasPrivacyFilters(const Settings& settings) {
  // Where it cannot be found out, they hold.
  return !IsThere(settings.config_dir + "/opt-in-no-privacy-filters").value_or(false);
}

std::optional<std::chrono::sys_seconds> ReadConsentSince(const Settings& settings) {
  const auto text = ReadFile(SinceFile(settings), kMaxSinceFile);
  if (!text) return std::nullopt;
  const auto seconds = ParseUnsigned(Trim(*text));
  // Later than any clock goes is no time.
  if (!seconds || *seconds > std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(*seconds));
}

std::chrono::sys_seconds ReadConsentStart(const Settings& settings, std::chrono::sys_seconds now) {
  if (const auto since = ReadConsentSince(settings)) return *since;
  if (settings.consent != ConsentMode::kOptIn) return now;
  return std::min(now, FindOptInTime(settings).value_or(now));
}

Status WriteConsentSince(const Settings& settings, std::chrono::sys_seconds since) {
  std::string text;
  AppendSigned(text, since.time_since_epoch().count());
  text += '\n';
  return ReplaceFile(SinceFile(settings), text, 0644);
}

Status RemoveConsentSince(const Settings& settings) { return RemoveFile(SinceFile(settings)); }

std::optional<std::chrono::sys_seconds> FindOptInTime(const Settings& settings) {
  struct stat st;
  if (::stat((settings.config_dir + "/opt-in").c_str(), &st) != 0) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::seconds(st.st_mtim.tv_sec));
}

}  // namespace telem
