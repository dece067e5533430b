#include "probes/common/masking.h"

#include <algorithm>
#include <cctype>

#include "base/text.h"

namespace telem {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsHex(char c) { return std::isxdigit(static_cast<unsigned char>(c)) != 0; }
bool IsWord(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }
bool IsNameChar(char c) { return IsWord(c) || c == '-' || c == '.' || c == '+'; }

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
    if (digits == 0 || digits > 3) return 0;
    end += digits;
  }
  if (end < text.size() && (IsWord(text[end]) || text[end] == '-')) return 0;
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
  return word.size();
}

// 52:54:00:12:34:56, also with dashes.
size_t FindMac(std::string_view text, size_t at) {
  constexpr size_t kLength = 17;
  if (at + kLength > text.size()) return 0;
  const char separator = text[at + 2];
  if (separator != ':' && separator != '-') return 0;
  for (size_t i = 0; i < kLength; ++i) {
    const char c = text[at + i];
    if (i % 3 == 2 ? c != separator : !IsHex(c)) return 0;
  }
  const size_t end = at + kLength;
  return end < text.size() && (IsWord(text[end]) || text[end] == separator) ? 0 : kLength;
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

// somebody@example.org
size_t FindMail(std::string_view text, size_t at) {
  const size_t name = Count(text, at, IsNameChar);
  if (name == 0 || at + name >= text.size() || text[at + name] != '@') return 0;
  const size_t domain =
      Count(text, at + name + 1, [](char c) { return IsNameChar(c) || c == '@'; });
  return domain == 0 ? 0 : name + 1 + domain;
}

// A rule about what stands behind some words: the name up to where it ends.
struct Behind {
  std::string_view label;  // compared without regard to case
  std::string_view ends;   // characters that end the name
  std::string_view mask;
};

constexpr std::string_view kWordEnds = " \t\n,;)]}'\"";
constexpr std::string_view kPathEnds = "/ \t\n,;:)]}'\"";

constexpr Behind kBehind[] = {
    // whose files
    {"/home/", kPathEnds, "<user>"},
    {"/users/", kPathEnds, "<user>"},
    {"/var/home/", kPathEnds, "<user>"},
    {"/run/user/", kPathEnds, "<uid>"},
    {"/media/", kPathEnds, "<user>"},
    {"/run/media/", kPathEnds, "<user>"},
    {"/var/spool/cron/", kPathEnds, "<user>"},
    {"/var/mail/", kPathEnds, "<user>"},
    // who
    {"user-", "./ \t\n,;)", "<uid>"},
    {"user@", "./ \t\n,;)", "<uid>"},
    {"uid=", kWordEnds, "<uid>"},
    {"uid: ", kWordEnds, "<uid>"},
    {"uid:", kWordEnds, "<uid>"},
    {"ouid=", kWordEnds, "<uid>"},
    {"user=", kWordEnds, "<user>"},
    {"user ", kWordEnds, "<user>"},
    {"username ", kWordEnds, "<user>"},
    {"username=", kWordEnds, "<user>"},
    {"login=", kWordEnds, "<user>"},
    {"logname=", kWordEnds, "<user>"},
    {"ruser=", kWordEnds, "<user>"},
    {"acct=", kWordEnds, "<user>"},
    {"owner=", kWordEnds, "<user>"},
    // which machine
    {"host=", kWordEnds, "<host>"},
    {"hostname=", kWordEnds, "<host>"},
    {"hostname ", kWordEnds, "<host>"},
    {"rhost=", kWordEnds, "<host>"},
    {"host ", kWordEnds, "<host>"},
    {"server ", kWordEnds, "<host>"},
    {"nodename=", kWordEnds, "<host>"},
    // which network
    {"ssid=", ",;\n", "<ssid>"},
    {"ssid ", ",;\n", "<ssid>"},
    {"essid=", ",;\n", "<ssid>"},
    {"bssid=", kWordEnds, "<mac>"},
    // which piece
    {"serialnumber: ", "\n", "<serial>"},
    {"serialnumber=", kWordEnds, "<serial>"},
    {"serial number: ", "\n,;", "<serial>"},
    {"serial number ", kWordEnds, "<serial>"},
    {"serial no: ", kWordEnds, "<serial>"},
    {"serial: ", kWordEnds, "<serial>"},
    {"serial=", kWordEnds, "<serial>"},
    {"serial ", kWordEnds, "<serial>"},
    {"s/n ", kWordEnds, "<serial>"},
    {"s/n: ", kWordEnds, "<serial>"},
    {"s/n:", kWordEnds, "<serial>"},
    {"sn:", kWordEnds, "<serial>"},
    {"sn=", kWordEnds, "<serial>"},
    {"imei: ", kWordEnds, "<serial>"},
    {"imei=", kWordEnds, "<serial>"},
    {"wwn=", kWordEnds, "<serial>"},
    {"wwn ", kWordEnds, "<serial>"},
    {"naa.", kWordEnds, "<serial>"},
    {"eui.", kWordEnds, "<serial>"},
    {"asset tag: ", "\n", "<serial>"},
    // what it is called, by whoever owns it
    {"product: ", "\n", "<name>"},
    {"label=", kWordEnds, "<name>"},
    // a file's name in "BUG: Dentry …{i=…,n=NAME}"
    {",n=", "}\n", "<file>"},
    // secrets
    {"password=", kWordEnds, "<secret>"},
    {"password: ", kWordEnds, "<secret>"},
    {"passwd=", kWordEnds, "<secret>"},
    {"passphrase=", kWordEnds, "<secret>"},
    {"secret=", kWordEnds, "<secret>"},
    {"token=", kWordEnds, "<secret>"},
    {"api_key=", kWordEnds, "<secret>"},
    {"apikey=", kWordEnds, "<secret>"},
    {"key=", kWordEnds, "<secret>"},
    {"authorization: ", "\n", "<secret>"},
    {"bearer ", kWordEnds, "<secret>"},
    {"psk=", kWordEnds, "<secret>"},
    {"pin=", kWordEnds, "<secret>"},
};

struct Finder {
  size_t (*find)(std::string_view text, size_t at);
  std::string_view mask;
};

constexpr Finder kFinders[] = {
    {FindUuid, "<uuid>"}, {FindMac, "<mac>"},   {FindIpv6, "<ip>"},
    {FindIpv4, "<ip>"},   {FindMail, "<mail>"},
};

bool StartsWithIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  for (size_t i = 0; i < lower.size(); ++i) {
    if (std::tolower(static_cast<unsigned char>(text[i])) != lower[i]) return false;
  }
  return true;
}

}  // namespace

std::string MaskPersonalData(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  size_t at = 0;
  while (at < text.size()) {
    const char c = text[at];
    const bool word_begins = at == 0 || !IsWord(text[at - 1]);
    if (word_begins || c == ',') {
      size_t length = 0;
      std::string_view mask;
      for (const Finder& finder : kFinders) {
        length = word_begins ? finder.find(text, at) : 0;
        mask = finder.mask;
        if (length > 0) break;
      }
      if (length > 0) {
        out += mask;
        at += length;
        continue;
      }
      const auto behind = std::find_if(
          std::begin(kBehind), std::end(kBehind),
          [&](const Behind& rule) { return StartsWithIgnoringCase(text.substr(at), rule.label); });
      if (behind != std::end(kBehind)) {
        const size_t start = at + behind->label.size();
        const size_t end = std::min(text.find_first_of(behind->ends, start), text.size());
        if (end > start) {
          out += text.substr(at, behind->label.size());
          out += behind->mask;
          at = end;
          continue;
        }
      }
    }
    out += IsPrintableAscii(c) || c == '\n' || c == '\t' ? c : '?';
    ++at;
  }
  return out;
}

}  // namespace telem
