#include "probes/common/masking.h"

#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <optional>

#include "base/text.h"

namespace telem {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
char Lower(char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); }
bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsNameChar(char c) { return IsWord(c) || c == '-' || c == '.' || c == '+' || c == '%'; }

bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\n'; }

bool StartsWithIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    if (Lower(text[i]) != lower[i]) return false;
  }
  return true;
}

template <typename Is>
size_t Count(std::string_view text, size_t at, const Is& is) {
  size_t count = 0;
  while (at + count < text.size() && is(text[at + count])) ++count;
  return count;
}

// Each finder looks at one place of the text and says how many bytes there are of its kind; 0:
// none. The place is the beginning of a word, or of a line.

// 192.168.10.23, with a port or a prefix length; not a version, which has fewer or more parts.
size_t FindIpv4(std::string_view text, size_t at) {
  size_t end = at;
  for (int part = 0; part < 4; ++part) {
    if (part > 0) {
      if (end >= text.size() || text[end] != '.') return 0;
      ++end;
    }
    const size_t digits = Count(text, end, IsDigit);
    if (digits == 0 || digits > 3 || *ParseUnsigned(text.substr(end, digits)) > 255) return 0;
    end += digits;
  }
  if (end < text.size() && IsWord(text[end])) return 0;
  if (end + 1 < text.size() && text[end] == '-' && IsWord(text[end + 1])) return 0;
  if (end + 1 < text.size() && text[end] == '.' && IsWord(text[end + 1])) return 0;
  return end - at;
}

// fe80::1a2b:3c4d:5e6f:7081, 2001:db8::1. Needs "::" or all eight groups, so that registers, times
// and PCI addresses are none.
size_t FindIpv6(std::string_view text, size_t at) {
  const size_t length = Count(text, at, [](char c) { return IsHex(c) || c == ':'; });
  std::string_view word = text.substr(at, length);
  while (word.ends_with(':') && !word.ends_with("::")) word.remove_suffix(1);
  if (at + word.size() < text.size() && IsWord(text[at + word.size()])) return 0;
  const auto colons = std::count(word.begin(), word.end(), ':');
  const size_t gap = word.find("::");
  if (colons < 2 || colons > 7 || word.size() < 4) return 0;
  if (gap == std::string_view::npos) {
    if (colons != 7) return 0;
  } else if (word.find("::", gap + 1) != std::string_view::npos) {
    return 0;
  }
  std::string_view rest = word;
  while (!rest.empty()) {
    if (TakeUntil(rest, ':').size() > 4) return 0;
  }
  // ::ffff:192.0.2.1
  const size_t last = word.rfind(':') + 1;
  const size_t ipv4 = FindIpv4(text, at + last);
  return ipv4 > 0 ? last + ipv4 : word.size();
}

// 52:54:00:12:34:56, also with dashes, and longer ones: of InfiniBand, or two with what follows
// them on the wire.
size_t FindMac(std::string_view text, size_t at) {
  constexpr size_t kFewestBytes = 6;
  if (at + 2 >= text.size()) return 0;
  const char separator = text[at + 2];
  if (separator != ':' && separator != '-') return 0;
  const size_t length = Count(text, at, [&](char c) { return IsHex(c) || c == separator; });
  std::string_view word = text.substr(at, length);
  if (word.ends_with(separator)) word.remove_suffix(1);
  if (word.size() < kFewestBytes * 3 - 1 || word.size() % 3 != 2) return 0;
  for (size_t i = 0; i < word.size(); ++i) {
    if (i % 3 == 2 ? word[i] != separator : !IsHex(word[i])) return 0;
  }
  const size_t end = at + word.size();
  return end < text.size() && IsWord(text[end]) ? 0 : word.size();
}

// 123e4567-e89b-12d3-a456-426614174000: of file systems, partitions, machines.
size_t FindUuid(std::string_view text, size_t at) {
  constexpr size_t kLength = 36;
  if (at + kLength > text.size()) return 0;
  for (size_t i = 0; i < kLength; ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[at + i] != '-' : !IsHex(text[at + i])) return 0;
  }
  return kLength;
}

// The kinds of systemd's units, by which their names end.
constexpr std::string_view kUnitEnds[] = {
    ".service", ".socket", ".timer",  ".path", ".target",    ".slice",
    ".scope",   ".mount",  ".device", ".swap", ".automount",
};

// Where the end of a unit's name begins; nothing where `word` is none.
std::optional<size_t> FindUnitEnd(std::string_view word) {
  for (const std::string_view end : kUnitEnds) {
    if (word.size() > end.size() && word.ends_with(end)) return word.size() - end.size();
  }
  return std::nullopt;
}

// The word at `at`, without a full stop or colon of the sentence behind it.
std::string_view UnitWord(std::string_view text, size_t at) {
  std::string_view word = text.substr(
      at, Count(text, at, [](char c) { return IsNameChar(c) || c == ':' || c == '\\'; }));
  while (word.ends_with('.') || word.ends_with(':')) word.remove_suffix(1);
  return word;
}

// somebody@example.org; not a unit's name with an instance.
size_t FindMail(std::string_view text, size_t at) {
  const size_t name = Count(text, at, IsNameChar);
  if (name == 0 || at + name >= text.size() || text[at + name] != '@') return 0;
  if (FindUnitEnd(UnitWord(text, at + name + 1))) return 0;
  const size_t domain =
      Count(text, at + name + 1, [](char c) { return IsNameChar(c) || c == '@'; });
  return domain == 0 ? 0 : name + 1 + domain;
}

// Units whose instances are names of the system's own.
constexpr std::string_view kSystemInstances[] = {"getty@", "serial-getty@", "modprobe@",
                                                 "systemd-backlight@", "systemd-rfkill@"};

// Behind the `@` of a unit: whose it is (syncthing@alice.service), where it is (a disk, a network).
size_t FindInstance(std::string_view text, size_t at) {
  if (at < 2 || text[at - 1] != '@' || !IsNameChar(text[at - 2])) return 0;
  for (const std::string_view unit : kSystemInstances) {
    if (text.substr(0, at).ends_with(unit)) return 0;
  }
  return FindUnitEnd(UnitWord(text, at)).value_or(0);
}

// The names of top-level domains by which a name of a machine is told from the name of a file, a
// unit, a version or a bus name: those that are no usual ending of such.
constexpr std::string_view kTopLevels[] = {
    "com",      "org",      "net",     "edu",         "gov",     "mil", "int",   "info", "biz",
    "arpa",     "eu",       "de",      "uk",          "fr",      "nl",  "it",    "es",   "ch",
    "at",       "be",       "dk",      "se",          "no",      "fi",  "pt",    "gr",   "cz",
    "jp",       "kr",       "cn",      "tw",          "hk",      "au",  "nz",    "ca",   "us",
    "br",       "mx",       "ru",      "ua",          "tr",      "il",  "za",    "io",   "dev",
    "app",      "cloud",    "xyz",     "online",      "site",    "lan", "local", "home", "corp",
    "internal", "intranet", "private", "localdomain", "example",
};

// files.example.org
size_t FindDomain(std::string_view text, size_t at) {
  std::string_view word =
      text.substr(at, Count(text, at, [](char c) { return IsWord(c) || c == '-' || c == '.'; }));
  while (word.ends_with('.') || word.ends_with('-')) word.remove_suffix(1);
  const size_t dot = word.rfind('.');
  if (dot == std::string_view::npos || dot == 0) return 0;
  const std::string_view top = word.substr(dot + 1);
  for (const std::string_view known : kTopLevels) {
    if (top.size() == known.size() && StartsWithIgnoringCase(top, known)) return word.size();
  }
  return 0;
}

// Of a share, behind two slashes that are not part of an address: //fileserver/accounts,
// \\fileserver\accounts.
size_t FindShareHost(std::string_view text, size_t at) {
  if (at < 2 || text[at - 1] != text[at - 2]) return 0;
  if (text[at - 1] != '/' && text[at - 1] != '\\') return 0;
  if (at > 2 && !IsBlank(text[at - 3]) && text[at - 3] != '"' && text[at - 3] != '\'') return 0;
  const size_t length = Count(text, at, IsNameChar);
  const size_t end = at + length;
  return end < text.size() && text[end] == text[at - 1] ? length : 0;
}

// Between "://" and the `@` of an address: somebody:password.
size_t FindCredentials(std::string_view text, size_t at) {
  if (!text.substr(0, at).ends_with("://")) return 0;
  const size_t length =
      Count(text, at, [](char c) { return !IsBlank(c) && c != '/' && c != '@' && c != '<'; });
  return at + length < text.size() && text[at + length] == '@' ? length : 0;
}

// ~somebody/file
size_t FindTilde(std::string_view text, size_t at) {
  if (at == 0 || text[at - 1] != '~') return 0;
  const size_t length = Count(text, at, IsNameChar);
  return at + length < text.size() && text[at + length] == '/' ? length : 0;
}

// +49 30 901820
size_t FindPhone(std::string_view text, size_t at) {
  constexpr size_t kFewestDigits = 8;
  if (text[at] != '+' || at + 1 >= text.size() || text[at + 1] < '1' || text[at + 1] > '9')
    return 0;
  const size_t length =
      1 + Count(text, at + 1, [](char c) { return IsDigit(c) || c == ' ' || c == '-'; });
  std::string_view number = text.substr(at, length);
  while (!IsDigit(number.back())) number.remove_suffix(1);
  const auto digits = std::count_if(number.begin(), number.end(), IsDigit);
  return digits < static_cast<ptrdiff_t>(kFewestDigits) ? 0 : number.size();
}

// Machine ids and the like: 32 hex digits. An address of the kernel has 16, a build id 40.
size_t FindLongId(std::string_view text, size_t at) {
  constexpr size_t kDigits = 32;
  const size_t length = Count(text, at, IsWord);
  return length == kDigits && Count(text, at, IsHex) == kDigits ? length : 0;
}

// 3aaa0122:29827cfa:5331ad66:ca767371, of arrays of disks.
size_t FindArrayId(std::string_view text, size_t at) {
  constexpr size_t kLength = 35;
  if (at + kLength > text.size()) return 0;
  for (size_t i = 0; i < kLength; ++i) {
    if (i % 9 == 8 ? text[at + i] != ':' : !IsHex(text[at + i])) return 0;
  }
  return at + kLength < text.size() && IsWord(text[at + kLength]) ? 0 : kLength;
}

// A token of JSON Web Signature: three parts in base64, the first of which begins so ("{\"").
size_t FindJwt(std::string_view text, size_t at) {
  if (!text.substr(at).starts_with("eyJ")) return 0;
  const std::string_view word = text.substr(at, Count(text, at, IsNameChar));
  return std::count(word.begin(), word.end(), '.') >= 2 ? word.size() : 0;
}

// Behind the beginnings by which services make their keys known.
constexpr std::string_view kKeyStarts[] = {
    "AKIA",  "ASIA",  "AIza",        "ghp_",      "gho_",      "ghu_",
    "ghs_",  "ghr_",  "github_pat_", "glpat-",    "xoxb-",     "xoxp-",
    "xoxa-", "ya29.", "SHA256:",     "AAAAC3Nza", "AAAAB3Nza", "AAAAE2Vj",
};

size_t FindKey(std::string_view text, size_t at) {
  constexpr size_t kShortest = 12;  // shorter ones are words
  for (const std::string_view start : kKeyStarts) {
    if (!text.substr(at).starts_with(start)) continue;
    const size_t length =
        Count(text, at, [](char c) { return IsNameChar(c) || c == '/' || c == '=' || c == ':'; });
    return length >= start.size() + kShortest ? length : 0;
  }
  return 0;
}

// When what stands behind a label is masked.
enum class If {
  kAny,
  kNumber,    // only its digits at the beginning
  kHasDigit,  // a serial number, not the next word of a sentence
  kNotPlain,  // it is no word of a sentence (kPlainWords)
  kQuoted,
};

// A rule about what stands behind some words: the name up to where it ends, or where it is quoted,
// up to the other quote.
struct Behind {
  std::string_view label;  // compared without regard to case
  std::string_view ends;   // characters that end the name
  std::string_view mask;
  If when = If::kAny;
};

// What is no name where a sentence goes on behind "host", "server" or "user".
constexpr std::string_view kPlainWords[] = {
    "a",       "access",  "address", "and",    "application", "are",     "at",         "bridge",
    "but",     "by",      "can",     "cannot", "changed",     "copy",    "controller", "data",
    "does",    "error",   "failed",  "for",    "from",        "gave",    "has",        "id",
    "in",      "is",      "key",     "memory", "mode",        "name",    "not",        "of",
    "on",      "or",      "page",    "port",   "process",     "program", "protected",  "request",
    "session", "service", "space",   "stack",  "task",        "that",    "the",        "thread",
    "to",      "unit",    "was",     "which",  "will",        "with",
};

constexpr std::string_view kWordEnds = " \t\n,;)]}'\"&<";
constexpr std::string_view kNameEnds = " \t\n,;:!()[]}'\"&</";
constexpr std::string_view kPathEnds = "/\\ \t\n,;:)]}'\"<";
constexpr std::string_view kLineEnds = "\n";

constexpr Behind kBehind[] = {
    // whose files
    {"/var/spool/cron/crontabs/", kPathEnds, "<user>"},
    {"/var/mail/", kPathEnds, "<user>"},
    {"/var/home/", kPathEnds, "<user>"},
    {"/home/", kPathEnds, "<user>"},
    {"/users/", kPathEnds, "<user>"},
    {"\\users\\", kPathEnds, "<user>"},
    {"/run/user/", kPathEnds, "<uid>"},
    {"/run/media/", kPathEnds, "<user>"},
    {"/media/", kPathEnds, "<user>"},
    {"/dev/disk/by-id/", kWordEnds, "<disk>"},
    {"/dev/disk/by-uuid/", kWordEnds, "<disk>"},
    {"/dev/disk/by-label/", kWordEnds, "<disk>"},
    {"/dev/disk/by-partuuid/", kWordEnds, "<disk>"},
    {"/dev/disk/by-partlabel/", kWordEnds, "<disk>"},
    // who
    {"user-", kNameEnds, "<uid>", If::kNumber},
    {"user@", kNameEnds, "<uid>", If::kNumber},
    {"uid=", kNameEnds, "<uid>"},
    {"uid: ", kNameEnds, "<uid>"},
    {"uid:", kNameEnds, "<uid>"},
    {"uid ", kNameEnds, "<uid>", If::kNumber},
    {"auid=", kNameEnds, "<uid>"},
    {"ouid=", kNameEnds, "<uid>"},
    {"fsuid=", kNameEnds, "<uid>"},
    {"user=", kNameEnds, "<user>"},
    {"user ", kNameEnds, "<user>", If::kNotPlain},
    {"username ", kNameEnds, "<user>", If::kNotPlain},
    {"username=", kNameEnds, "<user>"},
    {"login=", kNameEnds, "<user>"},
    {"logname=", kNameEnds, "<user>"},
    {"ruser=", kNameEnds, "<user>"},
    {"acct=", kNameEnds, "<user>"},
    {"owner=", kNameEnds, "<user>"},
    // which machine
    {"host=", kNameEnds, "<host>"},
    {"host: ", kNameEnds, "<host>"},
    {"host ", kNameEnds, "<host>", If::kNotPlain},
    {"hostname=", kNameEnds, "<host>"},
    {"hostname ", kNameEnds, "<host>", If::kNotPlain},
    {"rhost=", kNameEnds, "<host>"},
    {"server ", kNameEnds, "<host>", If::kNotPlain},
    {"nodename=", kNameEnds, "<host>"},
    {"getaddrinfo(", kNameEnds, "<host>"},
    // which network
    {"ssid=", ",;\n", "<ssid>"},
    {"ssid ", ",;\n", "<ssid>"},
    {"essid=", ",;\n", "<ssid>"},
    {"bssid=", kWordEnds, "<mac>"},
    {"connection ", kWordEnds, "<ssid>", If::kQuoted},
    {"device name ", kWordEnds, "<name>", If::kQuoted},
    // which piece
    {"serialnumber: ", kLineEnds, "<serial>"},
    {"serialnumber=", kWordEnds, "<serial>"},
    {"serial number: ", "\n,;", "<serial>"},
    {"serial number ", kWordEnds, "<serial>", If::kHasDigit},
    {"serial no: ", kWordEnds, "<serial>"},
    {"serial: ", kWordEnds, "<serial>", If::kHasDigit},
    {"serial=", kWordEnds, "<serial>"},
    {"serial ", kWordEnds, "<serial>", If::kHasDigit},
    {"s/n ", kWordEnds, "<serial>"},
    {"s/n: ", kWordEnds, "<serial>"},
    {"s/n:", kWordEnds, "<serial>"},
    {"sn:", kWordEnds, "<serial>"},
    {"sn=", kWordEnds, "<serial>"},
    {"imei: ", kWordEnds, "<serial>"},
    {"imei=", kWordEnds, "<serial>"},
    {"imsi=", kWordEnds, "<serial>"},
    {"iccid=", kWordEnds, "<serial>"},
    {"wwn=", kWordEnds, "<serial>"},
    {"wwn ", kWordEnds, "<serial>", If::kHasDigit},
    {"naa.", kWordEnds, "<serial>"},
    {"eui.", kWordEnds, "<serial>"},
    {"asset tag: ", kLineEnds, "<serial>"},
    // what it is called, by whoever owns it
    {"product: ", kLineEnds, "<name>"},
    {"label=", kWordEnds, "<name>"},
    {"uuid=", kWordEnds, "<uuid>"},
    {"partuuid=", kWordEnds, "<uuid>"},
    // a file's name in "BUG: Dentry …{i=…,n=NAME}"
    {",n=", "}\n", "<file>"},
    // secrets
    {"password=", kWordEnds, "<secret>"},
    {"password: ", kWordEnds, "<secret>"},
    {"passwd=", kWordEnds, "<secret>"},
    {"pass=", kWordEnds, "<secret>"},
    {"passphrase=", kWordEnds, "<secret>"},
    {"secret=", kWordEnds, "<secret>"},
    {"token=", kWordEnds, "<secret>"},
    {"token: ", kWordEnds, "<secret>"},
    {"api_key=", kWordEnds, "<secret>"},
    {"apikey=", kWordEnds, "<secret>"},
    {"api-key: ", kWordEnds, "<secret>"},
    {"key=", kWordEnds, "<secret>"},
    {"sig=", kWordEnds, "<secret>"},
    {"signature=", kWordEnds, "<secret>"},
    {"cookie: ", kLineEnds, "<secret>"},
    {"authorization: ", kLineEnds, "<secret>"},
    {"bearer ", kWordEnds, "<secret>", If::kHasDigit},
    {"psk=", kWordEnds, "<secret>"},
    {"pin=", kWordEnds, "<secret>"},
};

// A piece of the text, and what stands for it.
struct Find {
  size_t begin = 0;
  size_t size = 0;
  std::string_view mask;
};

bool IsPlain(std::string_view word) {
  return std::find(std::begin(kPlainWords), std::end(kPlainWords), word) != std::end(kPlainWords);
}

// What `rule` masks, whose label stands at `at`.
std::optional<Find> Apply(const Behind& rule, std::string_view text, size_t at) {
  size_t begin = at + rule.label.size();
  if (begin >= text.size() || text[begin] == '<') return std::nullopt;  // masked already
  const char quote = text[begin];
  if (quote == '"' || quote == '\'') {
    // A name may hold an apostrophe: it ends at the last quote that a word cannot go on behind.
    ++begin;
    size_t end = text.find(quote, begin);
    while (end != std::string_view::npos && end + 1 < text.size() && IsWord(text[end + 1])) {
      end = text.find(quote, end + 1);
    }
    if (end == std::string_view::npos) end = std::min(text.find('\n', begin), text.size());
    if (end == begin || text[begin] == '<') return std::nullopt;
    return Find{begin, end - begin, rule.mask};
  }
  if (FindIpv6(text, begin) > 0) return std::nullopt;  // its own finder knows where it ends
  size_t end = std::min(text.find_first_of(rule.ends, begin), text.size());
  // The end of the sentence, or what it tells of the name.
  while (rule.ends != kLineEnds && end > begin && (text[end - 1] == '.' || text[end - 1] == ':')) {
    --end;
  }
  const std::string_view name = text.substr(begin, end - begin);
  const auto digits = Count(name, 0, IsDigit);
  switch (rule.when) {
    case If::kAny:
      break;
    case If::kNumber:
      if (digits == 0 || (digits < name.size() && IsWord(name[digits]))) return std::nullopt;
      end = begin + digits;
      break;
    case If::kHasDigit:
      if (std::find_if(name.begin(), name.end(), IsDigit) == name.end()) return std::nullopt;
      break;
    case If::kNotPlain:
      if (IsPlain(name)) return std::nullopt;
      break;
    case If::kQuoted:
      return std::nullopt;
  }
  if (end == begin) return std::nullopt;
  return Find{begin, end - begin, rule.mask};
}

struct Finder {
  size_t (*find)(std::string_view text, size_t at);
  std::string_view mask;
};

// In the order in which they are asked.
constexpr Finder kFinders[] = {
    {FindCredentials, "<credentials>"},
    {FindKey, "<secret>"},
    {FindJwt, "<secret>"},
    {FindUuid, "<uuid>"},
    {FindArrayId, "<uuid>"},
    {FindLongId, "<id>"},
    {FindMac, "<mac>"},
    {FindIpv6, "<ip>"},
    {FindIpv4, "<ip>"},
    {FindMail, "<mail>"},
    {FindInstance, "<instance>"},
    {FindDomain, "<host>"},
    {FindShareHost, "<host>"},
    {FindTilde, "<user>"},
    {FindPhone, "<phone>"},
};

// Names that installers give and that many machines have: they say nothing of their owner, and as
// words they are all over a kernel's log.
constexpr std::string_view kCommonHostNames[] = {
    "localhost", "localdomain", "linux",     "kernel",  "host",   "server",  "debian",
    "ubuntu",    "fedora",      "archlinux", "alpine",  "clear",  "centos",  "suse",
    "system",    "vm",          "pc",        "guest",   "laptop", "desktop", "machine",
    "node",      "test",        "builder",   "unknown",
};

// The names of a machine: what is masked wherever it stands as a word.
class HostName {
 public:
  explicit HostName(std::string_view full) : full_(full), label_(full.substr(0, full.find('.'))) {
    // A single letter is a word of its own everywhere.
    if (label_.size() < 2) label_ = full_ = {};
    for (const std::string_view common : kCommonHostNames) {
      if (label_.size() == common.size() && StartsWithIgnoringCase(label_, common)) label_ = {};
      if (full_.size() == common.size() && StartsWithIgnoringCase(full_, common)) full_ = {};
    }
  }

  size_t Find(std::string_view text, size_t at) const {
    // A part of another word, as "total-vm" is.
    if (at > 0 && (text[at - 1] == '-' || text[at - 1] == '.')) return 0;
    for (const std::string_view name : {full_, label_}) {
      if (name.empty() || !IsName(text.substr(at), name)) continue;
      // With the rest of its domain, which may stand there and not in the name we know.
      std::string_view word = text.substr(at, Count(text, at, IsNameChar));
      while (word.size() > name.size() && word.ends_with('.')) word.remove_suffix(1);
      return FindUnitEnd(word) ? name.size() : word.size();
    }
    return 0;
  }

 private:
  static bool IsName(std::string_view text, std::string_view name) {
    if (text.size() < name.size()) return false;
    for (size_t i = 0; i < name.size(); ++i) {
      if (Lower(text[i]) != Lower(name[i])) return false;
    }
    return text.size() == name.size() || !(IsWord(text[name.size()]) || text[name.size()] == '-');
  }

  std::string_view full_;
  std::string_view label_;
};

// The first parts of a path that stands as a unit's name, behind which it says whose or where it
// is: home-alice.mount, media-alice-STICK.mount, dev-disk-by\\x2duuid-1234.swap.
constexpr std::string_view kPathUnits[] = {"home-", "media-",    "run-media-",      "run-user-",
                                           "mnt-",  "var-home-", "dev-disk-by\\x2d"};

std::optional<Find> FindUnitPath(std::string_view text, size_t at) {
  for (const std::string_view start : kPathUnits) {
    if (!text.substr(at).starts_with(start)) continue;
    const std::string_view word = UnitWord(text, at);
    for (const std::string_view end : {".mount", ".automount", ".swap", ".device"}) {
      if (word.size() <= start.size() + end.size() || !word.ends_with(end)) continue;
      return Find{at + start.size(), word.size() - start.size() - end.size(), "<path>"};
    }
  }
  return std::nullopt;
}

// What is to be masked of the word at `at`, or of what stands behind it.
std::optional<Find> FindAt(std::string_view text, size_t at, const HostName& host) {
  const char before = at == 0 ? ' ' : text[at - 1];
  if (!IsWord(before)) {
    for (const Finder& finder : kFinders) {
      if (const size_t size = finder.find(text, at); size > 0) return Find{at, size, finder.mask};
    }
    if (const size_t size = host.Find(text, at); size > 0) return Find{at, size, "<host>"};
    if (const auto find = FindUnitPath(text, at)) return find;
  } else if (before != '_' && text[at] != ',' && text[at] != '/' && text[at] != '\\') {
    return std::nullopt;
  }
  for (const Behind& rule : kBehind) {
    if (!StartsWithIgnoringCase(text.substr(at), rule.label)) continue;
    if (const auto find = Apply(rule, text, at)) return find;
  }
  return std::nullopt;
}

}  // namespace

std::string MaskPersonalData(std::string_view text, std::string_view host_name) {
  const HostName host(host_name);
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const auto find = FindAt(text, at, host);
    // What is in front of it, and it.
    const size_t end = find ? find->begin : at + 1;
    for (; at < end; ++at) {
      const char c = text[at];
      out += IsPrintableAscii(c) || c == '\n' || c == '\t' ? c : '?';
    }
    if (!find) continue;
    out += find->mask;
    at += find->size;
  }
  return out;
}

const std::string& OwnHostName() {
  static const std::string kName = [] {
    utsname names{};
    return ::uname(&names) == 0 ? std::string(names.nodename) : std::string();
  }();
  return kName;
}

}  // namespace telem
