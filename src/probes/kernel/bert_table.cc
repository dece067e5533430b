#include "probes/kernel/bert_table.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxSections = 64;
constexpr size_t kMaxDescription = 16 * 1024;

// Little-endian numbers at a place that may not be there.
template <typename T>
std::optional<T> NumberAt(std::string_view bytes, size_t at) {
  if (at > bytes.size() || bytes.size() - at < sizeof(T)) return std::nullopt;
  uint64_t value = 0;
  for (size_t i = sizeof(T); i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return static_cast<T>(value);
}

std::string Hex(uint64_t value) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  do {
    text.insert(text.begin(), kDigits[value % 16]);
    value /= 16;
  } while (value > 0);
  return "0x" + text;
}

constexpr std::array<std::string_view, 4> kSeverities = {"recoverable", "fatal", "corrected",
                                                         "informational"};

std::string_view SeverityName(uint32_t severity) {
  return severity < kSeverities.size() ? kSeverities[severity] : "of unknown severity";
}

// A GUID as its bytes lie in the table: the first three fields are little-endian.
std::string GuidText(std::string_view bytes) {
  constexpr std::array<int, 16> kOrder = {3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15};
  std::string text;
  for (size_t i = 0; i < kOrder.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    const auto byte = static_cast<unsigned char>(bytes[static_cast<size_t>(kOrder[i])]);
    AppendHex(text, &byte, 1);
  }
  return text;
}

void AppendFact(std::string& out, std::string_view name, const std::string& value) {
  out += ", ";
  out += name;
  out += ' ';
  out += value;
}

void DescribeMemory(std::string& out, std::string_view data) {
  constexpr std::array<std::string_view, 16> kTypes = {
      "unknown",        "no error",        "single-bit ECC",    "multi-bit ECC",
      "single-symbol",  "multi-symbol",    "master abort",      "target abort",
      "parity",         "watchdog",        "invalid address",   "mirror broken",
      "memory sparing", "scrub corrected", "scrub uncorrected", "physical map-out"};
  const uint64_t valid = NumberAt<uint64_t>(data, 0).value_or(0);
  if (const auto type = NumberAt<uint8_t>(data, 72); type && (valid >> 14 & 1) != 0) {
    AppendFact(out, "type", std::string(*type < kTypes.size() ? kTypes[*type] : "unknown"));
  }
  if (const auto address = NumberAt<uint64_t>(data, 16); address && (valid >> 1 & 1) != 0) {
    AppendFact(out, "address", Hex(*address));
  }
  constexpr std::array<std::string_view, 7> kPlaces = {"node",   "card", "module", "bank",
                                                       "device", "row",  "column"};
  for (size_t i = 0; i < kPlaces.size(); ++i) {
    const auto place = NumberAt<uint16_t>(data, 32 + 2 * i);
    if (place && (valid >> (3 + i) & 1) != 0) {
      AppendFact(out, kPlaces[i], std::to_string(*place));
    }
  }
}

void DescribePcie(std::string& out, std::string_view data) {
  const uint64_t valid = NumberAt<uint64_t>(data, 0).value_or(0);
  const auto bus = NumberAt<uint8_t>(data, 35);
  if ((valid >> 3 & 1) == 0 || !bus) return;
  AppendFact(out, "vendor", Hex(*NumberAt<uint16_t>(data, 24)));
  AppendFact(out, "device", Hex(*NumberAt<uint16_t>(data, 26)));
  AppendFact(out, "function", std::to_string(*NumberAt<uint8_t>(data, 31)));
  AppendFact(out, "slot", std::to_string(*NumberAt<uint8_t>(data, 32)));
  AppendFact(out, "bus", std::to_string(*bus));
}

void DescribeProcessor(std::string& out, std::string_view data) {
  const uint64_t valid = NumberAt<uint64_t>(data, 0).value_or(0);
  const auto number = [&](int bit, std::string_view name, size_t at) {
    const auto value = NumberAt<uint64_t>(data, at);
    if (value && (valid >> bit & 1) != 0) AppendFact(out, name, Hex(*value));
  };
  if (const auto type = NumberAt<uint8_t>(data, 10); type && (valid >> 2 & 1) != 0) {
    AppendFact(out, "type", Hex(*type));
  }
  number(8, "processor", 152);
  number(9, "address", 160);
  number(12, "instruction", 184);
}

void DescribeX86(std::string& out, std::string_view data) {
  const uint64_t valid = NumberAt<uint64_t>(data, 0).value_or(0);
  if (const auto apic = NumberAt<uint64_t>(data, 8); apic && (valid & 1) != 0) {
    AppendFact(out, "processor", Hex(*apic));
  }
}

void DescribeNothing(std::string& /*out*/, std::string_view /*data*/) {}

struct Kind {
  std::string_view guid;
  std::string_view name;
  void (*describe)(std::string& out, std::string_view data);
};

constexpr Kind kKinds[] = {
    {"a5bc1114-6f64-4ede-b863-3e83ed7c83b1", "memory", DescribeMemory},
    {"d995e954-bbc1-430f-ad91-b44dcb3c6f35", "PCIe", DescribePcie},
    {"9876ccad-47b4-4bdb-b65e-16f193c4f3db", "processor", DescribeProcessor},
    {"dc3ea0b0-a144-4797-b95b-53fa242b6e1d", "x86 processor", DescribeX86},
    {"e19e3d16-bc11-11e4-9caa-c2051d5d46b0", "ARM processor", DescribeNothing},
    {"81212a96-09ed-4996-9471-8d729c8e69ed", "firmware", DescribeNothing},
    {"c5753963-3b84-4095-bf78-eddad3f9c9dd", "PCI bus", DescribeNothing},
    {"eb5e4685-ca66-4769-b6a2-26068b001326", "PCI device", DescribeNothing},
    {"5b51fef7-c79d-4434-8f1b-aa62de3e2c64", "DMA remapping", DescribeNothing},
};

std::string DescribeSection(std::string_view head, std::string_view data) {
  const std::string guid = GuidText(head.substr(0, 16));
  const auto* kind = std::find_if(std::begin(kKinds), std::end(kKinds),
                                  [&](const Kind& candidate) { return candidate.guid == guid; });
  const bool is_known = kind != std::end(kKinds);
  std::string text = is_known ? std::string(kind->name) : "section " + guid;
  text += ", ";
  text += SeverityName(NumberAt<uint32_t>(head, 16).value_or(UINT32_MAX));
  if (is_known) kind->describe(text, data);
  return text;
}

std::string Base64(std::string_view bytes) {
  constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  constexpr size_t kColumns = 76;
  std::string text;
  text.reserve(bytes.size() * 4 / 3 + bytes.size() / 50 + 8);
  size_t column = 0;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    const size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < count ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (size_t k = 0; k < 4; ++k) {
      text += k <= count ? kDigits[group >> (18 - 6 * k) & 63] : '=';
    }
    column += 4;
    if (column == kColumns) {
      text += '\n';
      column = 0;
    }
  }
  if (column > 0) text += '\n';
  return text;
}

}  // namespace

bool HasError(std::string_view table) {
  return table.find_first_not_of('\0') != std::string_view::npos;
}

std::string DescribeErrors(std::string_view table) {
  constexpr size_t kHead = 20;
  constexpr size_t kOldSection = 64;
  constexpr size_t kSection = 72;  // since revision 0x300, with a time
  std::string text;
  size_t number = 0;
  while (number < kMaxSections) {
    const uint64_t raw_at = NumberAt<uint32_t>(table, 4).value_or(0);
    const uint64_t raw_size = NumberAt<uint32_t>(table, 8).value_or(0);
    const auto length = NumberAt<uint32_t>(table, 12);
    const auto severity = NumberAt<uint32_t>(table, 16);
    // By the length: the kernel sets the status to zero when it has read the block.
    if (!length || !severity || *length < kOldSection || *severity >= kSeverities.size()) break;
    text += "Severity : ";
    text += SeverityName(*severity);
    text += '\n';
    std::string_view rest = table.substr(kHead).substr(0, *length);
    while (number < kMaxSections && rest.size() >= kOldSection) {
      const uint16_t revision = NumberAt<uint16_t>(rest, 20).value_or(0);
      const uint32_t size = NumberAt<uint32_t>(rest, 24).value_or(0);
      const size_t head = revision >= 0x300 ? kSection : kOldSection;
      if (rest.size() < head) break;
      const std::string_view data = rest.substr(head).substr(0, size);
      ++number;
      text += "Error " + std::to_string(number) + " : " + DescribeSection(rest, data) + '\n';
      rest.remove_prefix(head + data.size());
      if (data.size() < size) break;
    }
    // The next block stands behind what this one has of raw data, too.
    uint64_t end = uint64_t{kHead} + *length;
    if (raw_size > 0) end = std::max(end, raw_at + raw_size);
    if (end >= table.size()) break;
    table.remove_prefix(end);
  }
  return text.substr(0, kMaxDescription);
}

std::string WriteBertPayload(std::string_view table, size_t limit) {
  constexpr size_t kNote = 64;  // of what is left out
  const std::string description = DescribeErrors(table);
  const size_t room = limit - std::min(limit, description.size() + kNote);
  // A line of 77 bytes holds 57 of the table.
  const size_t most = room / 77 * 57;
  const std::string_view sent = table.substr(0, most);
  std::string payload = Base64(sent) + description;
  if (sent.size() < table.size()) {
    payload += "Left out : " + std::to_string(table.size() - sent.size()) + " bytes\n";
  }
  return payload;
}

}  // namespace telem
