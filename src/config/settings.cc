#include "config/settings.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <variant>

#include "base/files.h"
#include "base/text.h"
#include "config/config_file.h"
#include "record/classification.h"
#include "record/delivery_codec.h"
#include "record/http_codec.h"

namespace telem {
namespace {

// What may stand behind a key. Each Parse sets the value or says what is allowed instead.

struct Flag {
  bool Settings::* member;
};

struct Number {
  int64_t Settings::* member;
  int64_t low;
  int64_t high;
};

template <typename Enum>
struct Choice {
  Enum Settings::* member;
  std::vector<std::pair<std::string_view, Enum>> words;
};

struct Text {
  std::string Settings::* member;
  bool (*is_valid)(std::string_view);
  const char* allowed;
  bool is_secret = false;  // a token or password may be in it, which no message repeats
};

struct Key {
  const char* name;
  std::variant<Flag, Number, Choice<RateLimitStrategy>, Choice<SpoolFullPolicy>, Choice<SpoolSync>,
               Choice<ConsentMode>, Choice<CrashForward>, Text>
      kind;
};

bool IsPath(std::string_view value) { return value.starts_with('/'); }
bool IsPathOrEmpty(std::string_view value) { return value.empty() || IsPath(value); }

// AF_UNIX addresses hold 108 bytes with the NUL (unix(7)).
bool IsSocketPath(std::string_view value) { return IsPath(value) && value.size() < 108; }

bool IsServer(std::string_view value) { return value.empty() || IsServerUrl(value); }

bool IsProxy(std::string_view value) { return value.empty() || IsProxyUrl(value); }

bool IsProtocol(std::string_view value) { return FindProtocol(value).has_value(); }

bool AreOtlpHeaders(std::string_view value) { return ParseOtlpHeaders(value).has_value(); }

bool IsDomain(std::string_view value) {
  return !value.empty() && value.size() <= kMaxClassificationPart && IsPrintableAscii(value) &&
         !value.contains('/') && !value.contains(' ');
}

bool IsGlobList(std::string_view value) {
  while (!value.empty()) {
    std::string_view glob = Trim(TakeUntil(value, ','));
    if (glob.starts_with('!')) glob.remove_prefix(1);
    if (!glob.starts_with('/') && !glob.starts_with('*')) return false;
  }
  return true;
}

constexpr int64_t kMaxKept = 100'000;  // bounds what trimming has to hold in memory
constexpr int64_t kNoBound = INT64_MAX / 1024;

const std::vector<Key>& Keys() {
  static const std::vector<Key> keys = {
      {"server", Text{&Settings::server, IsServer, "an http:// or https:// URL, or nothing"}},
      {"server_protocol", Text{&Settings::server_protocol, IsProtocol, "v2 or v3 or otlp"}},
      {"cainfo", Text{&Settings::cainfo, IsPathOrEmpty, "an absolute path, or nothing"}},
      {"clientcert", Text{&Settings::clientcert, IsPathOrEmpty, "an absolute path, or nothing"}},
      {"clientkey", Text{&Settings::clientkey, IsPathOrEmpty, "an absolute path, or nothing"}},
      {"proxy", Text{&Settings::proxy, IsProxy,
                     "an http://, https://, socks5:// or socks5h:// URL, or nothing", true}},
      {"otlp_headers", Text{&Settings::otlp_headers, AreOtlpHeaders,
                            "name=value,name=value of HTTP headers, or nothing", true}},
      {"tidheader",
       Text{&Settings::tidheader, IsHttpHeaderLine, "one header line 'Name: value'", true}},
      {"record_server_delivery_enabled", Flag{&Settings::record_server_delivery_enabled}},
      {"record_retention_enabled", Flag{&Settings::record_retention_enabled}},
      {"rate_limit_enabled", Flag{&Settings::rate_limit_enabled}},
      {"record_burst_limit", Number{&Settings::record_burst_limit, -1, kNoBound}},
      {"record_window_length", Number{&Settings::record_window_length, 0, 59}},
      {"byte_burst_limit", Number{&Settings::byte_burst_limit, -1, kNoBound}},
      {"byte_window_length", Number{&Settings::byte_window_length, 0, 59}},
      {"rate_limit_strategy", Choice<RateLimitStrategy>{&Settings::rate_limit_strategy,
                                                        {{"spool", RateLimitStrategy::kSpool},
                                                         {"drop", RateLimitStrategy::kDrop}}}},
      {"record_expiry", Number{&Settings::record_expiry, 1, kNoBound / 60}},
      {"spool_dir", Text{&Settings::spool_dir, IsPath, "an absolute path"}},
      {"spool_max_size", Number{&Settings::spool_max_size, -1, kNoBound}},
      {"spool_full_policy",
       Choice<SpoolFullPolicy>{&Settings::spool_full_policy,
                               {{"drop_new", SpoolFullPolicy::kDropNew},
                                {"drop_oldest", SpoolFullPolicy::kDropOldest}}}},
      {"spool_process_time", Number{&Settings::spool_process_time, 120, 3600}},
      {"spool_sync",
       Choice<SpoolSync>{&Settings::spool_sync,
                         {{"batch", SpoolSync::kBatch}, {"always", SpoolSync::kAlways}}}},
      {"daemon_recycling_enabled", Flag{&Settings::daemon_recycling_enabled}},
      {"journal_max_records", Number{&Settings::journal_max_records, 0, kMaxKept}},
      {"retention_max_records", Number{&Settings::retention_max_records, 0, kMaxKept}},
      {"consent",
       Choice<ConsentMode>{&Settings::consent,
                           {{"opt-out", ConsentMode::kOptOut}, {"opt-in", ConsentMode::kOptIn}}}},
      {"classification_domain", Text{&Settings::classification_domain, IsDomain,
                                     "1 to 40 printable characters without '/' and blanks"}},
      {"crash_report_paths", Text{&Settings::crash_report_paths, IsGlobList,
                                  "absolute paths with * and ?, between commas, '!' before those "
                                  "that are left out"}},
      {"crash_forward",
       Choice<CrashForward>{&Settings::crash_forward,
                            {{"auto", CrashForward::kAuto},
                             {"off", CrashForward::kOff},
                             {"file", CrashForward::kFile},
                             {"systemd-coredump", CrashForward::kSystemdCoredump}}}},
      {"socket_path",
       Text{&Settings::socket_path, IsSocketPath, "an absolute path of at most 107 characters"}},
      {"control_path",
       Text{&Settings::control_path, IsSocketPath, "an absolute path of at most 107 characters"}},
      {"config_dir", Text{&Settings::config_dir, IsPath, "an absolute path"}},
      {"state_dir", Text{&Settings::state_dir, IsPath, "an absolute path"}},
      {"log_dir", Text{&Settings::log_dir, IsPath, "an absolute path"}},
      {"cache_dir", Text{&Settings::cache_dir, IsPath, "an absolute path"}},
  };
  return keys;
}

std::string Quoted(std::string_view value) { return "'" + PrintableAscii(value, 80) + "'"; }

// What became of one value: nothing to say, a warning, or an error.
struct Verdict {
  std::string warning;
  std::string error;
};

Verdict Apply(const Flag& kind, std::string_view value, Settings& settings) {
  if (value != "true" && value != "false") {
    return {.warning = "", .error = Quoted(value) + " is not true or false"};
  }
  settings.*kind.member = value == "true";
  return {};
}

Verdict Apply(const Number& kind, std::string_view value, Settings& settings) {
  const auto number = ParseSigned(value);
  if (!number) return {.warning = "", .error = Quoted(value) + " is not a whole number"};
  const int64_t clamped = std::clamp(*number, kind.low, kind.high);
  settings.*kind.member = clamped;
  if (clamped == *number) return {};
  std::string warning = Quoted(value) + " is out of range, taken as ";
  AppendSigned(warning, clamped);
  return {.warning = std::move(warning), .error = ""};
}

template <typename Enum>
Verdict Apply(const Choice<Enum>& kind, std::string_view value, Settings& settings) {
  std::string allowed;
  for (const auto& [word, meaning] : kind.words) {
    if (value == word) {
      settings.*kind.member = meaning;
      return {};
    }
    if (!allowed.empty()) allowed += " or ";
    allowed += word;
  }
  return {.warning = "", .error = Quoted(value) + " is not " + allowed};
}

Verdict Apply(const Text& kind, std::string_view value, Settings& settings) {
  if (!kind.is_valid(value)) {
    const std::string what = kind.is_secret ? "its value" : Quoted(value);
    return {.warning = "", .error = what + " is not " + kind.allowed};
  }
  settings.*kind.member = value;
  return {};
}

std::string Show(const Flag& kind, const Settings& settings) {
  return settings.*kind.member ? "true" : "false";
}

std::string Show(const Number& kind, const Settings& settings) {
  std::string text;
  AppendSigned(text, settings.*kind.member);
  return text;
}

template <typename Enum>
std::string Show(const Choice<Enum>& kind, const Settings& settings) {
  for (const auto& [word, meaning] : kind.words) {
    if (settings.*kind.member == meaning) return std::string(word);
  }
  return "";
}

std::string Show(const Text& kind, const Settings& settings) {
  std::string shown;
  for (const char c : settings.*kind.member) {
    if (c == ' ') {
      shown += "\\s";
    } else {
      shown += c;
    }
  }
  return shown;
}

class Loader {
 public:
  Loader() {
    for (const Key& key : Keys()) loaded_.in_force.push_back({key.name, "", "default"});
  }

  Status AddFile(const std::string& path) {
    TELEM_TRY(const std::string text, ReadFile(path, kMaxConfigFile));
    loaded_.files.push_back(path);
    const ConfigText config = ParseConfigText(text);
    for (const ConfigMistake& mistake : config.mistakes) {
      loaded_.errors.push_back(At(path, mistake.line) + ": " + mistake.what);
    }
    for (const ConfigLine& line : config.lines) AddLine(path, line);
    return {};
  }

  LoadedSettings Finish() && {
    for (size_t i = 0; i < Keys().size(); ++i) {
      loaded_.in_force[i].value = std::visit(
          [&](const auto& kind) { return Show(kind, loaded_.settings); }, Keys()[i].kind);
    }
    return std::move(loaded_);
  }

 private:
  static std::string At(const std::string& path, int line) {
    std::string at = path + ":";
    AppendSigned(at, line);
    return at;
  }

  void AddLine(const std::string& path, const ConfigLine& line) {
    const std::string at = At(path, line.line);
    const auto key = std::find_if(Keys().begin(), Keys().end(),
                                  [&](const Key& k) { return k.name == line.key; });
    if (key == Keys().end()) {
      loaded_.warnings.push_back(at + ": unknown key " + Quoted(line.key) + ", ignoring it");
      return;
    }
    Verdict verdict = std::visit(
        [&](const auto& kind) { return Apply(kind, line.value, loaded_.settings); }, key->kind);
    if (!verdict.error.empty()) {
      loaded_.errors.push_back(at + ": " + line.key + ": " + verdict.error);
      return;
    }
    if (!verdict.warning.empty()) {
      loaded_.warnings.push_back(at + ": " + line.key + ": " + verdict.warning);
    }
    loaded_.in_force[static_cast<size_t>(key - Keys().begin())].source = at;
  }

  LoadedSettings loaded_;
};

// telemetrics.conf.d/*.conf beside the main file, in name order. (By readdir: std::filesystem would
// be a tenth of telemd.) A folder that is there and cannot be read is an error: without its files
// the settings would be others than those that were written.
Result<std::vector<std::string>> FindDropIns(const std::string& file) {
  const std::string folder = file + ".d";
  std::vector<std::string> found;
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(folder.c_str()), ::closedir);
  if (dir == nullptr) {
    if (errno == ENOENT || errno == ENOTDIR) return found;
    return SystemError("open '" + folder + "'", errno);
  }
  errno = 0;
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (name.ends_with(".conf") && !name.starts_with('.')) {
      found.push_back(folder + "/" + entry->d_name);
    }
  }
  if (errno != 0) return SystemError("read '" + folder + "'", errno);
  std::sort(found.begin(), found.end());
  return found;
}

// A file that may be there and cannot be seen is one that cannot be read, and said to be so.
bool MayExist(const char* path) {
  return ::access(path, F_OK) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

}  // namespace

Result<LoadedSettings> LoadSettings(const std::string& file) {
  std::string main_file = file;
  if (main_file.empty()) {
    main_file = MayExist(kAdminConfigFile) ? kAdminConfigFile : kDefaultConfigFile;
  }
  Loader loader;
  if (!file.empty() || MayExist(main_file.c_str())) TELEM_CHECK(loader.AddFile(main_file));
  TELEM_TRY(const std::vector<std::string> drop_ins, FindDropIns(main_file));
  for (const std::string& drop_in : drop_ins) TELEM_CHECK(loader.AddFile(drop_in));
  return std::move(loader).Finish();
}

Result<LoadedSettings> LoadSettingsStrictly(const std::string& file) {
  TELEM_TRY(LoadedSettings loaded, LoadSettings(file));
  if (loaded.errors.empty()) return loaded;
  std::string all;
  for (const std::string& error : loaded.errors) {
    if (!all.empty()) all += '\n';
    all += error;
  }
  return Fail(ErrorCode::kInvalid, std::move(all));
}

}  // namespace telem
