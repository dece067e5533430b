#include "probes/kernel/pstore_file.h"

#include <zlib.h>

#include <algorithm>

#include "base/text.h"

namespace telem {
namespace {

constexpr std::string_view kCompressed = ".enc.z";

// What `bytes` hold by zlib; `window`: MAX_WBITS with zlib's header, -MAX_WBITS without.
std::string Inflate(std::string_view bytes, size_t limit, int window) {
  std::string out;
  z_stream stream = {};
  if (::inflateInit2(&stream, window) != Z_OK) return out;
  // zlib does not write to its input.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  int state = Z_OK;
  while (state == Z_OK && out.size() < limit) {
    constexpr size_t kPiece = size_t{16} * 1024;
    const size_t before = out.size();
    out.resize(std::min(limit, before + kPiece));
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    stream.avail_out = static_cast<uInt>(out.size() - before);
    state = ::inflate(&stream, Z_SYNC_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (out.size() == before) break;
  }
  ::inflateEnd(&stream);
  return out;
}

}  // namespace

std::optional<PstoreName> ParsePstoreName(std::string_view name) {
  PstoreName parsed;
  if (name.ends_with(kCompressed)) {
    parsed.is_compressed = true;
    name.remove_suffix(kCompressed.size());
  }
  const std::string_view kind = TakeUntil(name, '-');
  if (kind != "dmesg" && kind != "console") return std::nullopt;
  parsed.is_console = kind == "console";
  const size_t dash = name.rfind('-');
  if (dash == std::string_view::npos || dash == 0) return std::nullopt;
  const auto id = ParseUnsigned(name.substr(dash + 1));
  if (!id) return std::nullopt;
  parsed.backend = name.substr(0, dash);
  if (parsed.backend == "efi" || parsed.backend == "efi_pstore") {
    constexpr uint64_t kPartsAndCounts = 100 * 1000;
    parsed.time =
        std::chrono::sys_seconds(std::chrono::seconds(static_cast<int64_t>(*id / kPartsAndCounts)));
  }
  return parsed;
}

std::optional<PstoreHeader> TakePstoreHeader(std::string_view& text) {
  constexpr size_t kLongest = 64;
  constexpr std::string_view kPart = " Part";
  const size_t newline = text.substr(0, kLongest).find('\n');
  if (newline == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(0, newline);
  PstoreHeader header;
  header.reason = TakeUntil(line, '#');
  const size_t part = line.find(kPart);
  if (part == std::string_view::npos || header.reason.empty()) return std::nullopt;
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (!std::all_of(header.reason.begin(), header.reason.end(), is_letter)) return std::nullopt;
  const auto count = ParseUnsigned(line.substr(0, part));
  const auto number = ParseUnsigned(Trim(line.substr(part + kPart.size())));
  if (!count || !number || *number == 0) return std::nullopt;
  header.count = *count;
  header.part = *number;
  text.remove_prefix(newline + 1);
  return header;
}

Result<std::string> Decompress(std::string_view bytes, size_t limit) {
  for (const int window : {MAX_WBITS, -MAX_WBITS}) {
    std::string text = Inflate(bytes, limit, window);
    if (!text.empty()) return text;
  }
  return Fail(ErrorCode::kInvalid, "compressed in a way that is not zlib's, or damaged");
}

}  // namespace telem
