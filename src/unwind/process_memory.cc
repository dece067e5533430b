#include "unwind/process_memory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <utility>

namespace telem {
namespace {

// A stack deeper than that is the overflow that we are called for; its newest part tells.
constexpr uint64_t kKeptStack = uint64_t{1} * 1024 * 1024;
// Enough for the headers and notes of a mapped file, and for small stacks and tables elsewhere.
constexpr uint64_t kKeptStart = uint64_t{64} * 1024;

size_t PreadAll(int fd, std::span<char> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size() && offset <= INT64_MAX - done) {
    const ssize_t got =
        ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status PwriteAll(int fd, std::span<const char> bytes, uint64_t offset) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put =
        ::pwrite(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return SystemError("keep a part of the core", errno);
    done += static_cast<size_t>(put);
  }
  return {};
}

struct Part {
  uint64_t offset;
  uint64_t size;
};

// By address, without those that overlap an earlier one.
std::vector<CoreSegment> WithoutOverlaps(std::vector<CoreSegment> segments) {
  std::sort(segments.begin(), segments.end(),
            [](const auto& a, const auto& b) { return a.start < b.start; });
  std::vector<CoreSegment> kept;
  uint64_t end = 0;
  for (const CoreSegment& segment : segments) {
    if (segment.file_size == 0 || segment.start < end) continue;
    if (segment.start > UINT64_MAX - segment.file_size) continue;
    end = segment.start + segment.file_size;
    kept.push_back(segment);
  }
  return kept;
}

// The one that may hold `address`; null where all begin behind it.
const CoreSegment* FindSegment(const std::vector<CoreSegment>& segments, uint64_t address) {
  const auto next = std::upper_bound(segments.begin(), segments.end(), address,
                                     [](uint64_t a, const CoreSegment& s) { return a < s.start; });
  return next == segments.begin() ? nullptr : &*std::prev(next);
}

// The parts of the core to keep, in the order in which they come: one of each segment and one of
// each thread at most, for both may be as many as somebody likes.
std::vector<Part> PartsToKeep(const CoreNotes& notes) {
  std::vector<CoreSegment> segments = notes.segments;
  std::erase_if(segments, [](const CoreSegment& segment) {
    return segment.file_offset > INT64_MAX || segment.file_size > INT64_MAX;
  });
  segments = WithoutOverlaps(std::move(segments));
  std::vector<Part> parts;
  parts.reserve(segments.size() + notes.threads.size());
  for (const CoreSegment& segment : segments) {
    parts.push_back({segment.file_offset, std::min(segment.file_size, kKeptStart)});
  }
  for (const ThreadState& thread : notes.threads) {
    // Below the stack pointer lies the red zone of the ABI.
    const uint64_t pointer = StackPointer(notes.machine, thread) - 128;
    const CoreSegment* segment = FindSegment(segments, pointer);
    if (segment == nullptr || pointer - segment->start >= segment->file_size) continue;
    const uint64_t into = pointer - segment->start;
    parts.push_back({segment->file_offset + into, std::min(segment->file_size - into, kKeptStack)});
  }
  std::sort(parts.begin(), parts.end(),
            [](const Part& a, const Part& b) { return a.offset < b.offset; });
  return parts;
}

}  // namespace

size_t LiveMemory::Read(uint64_t address, std::span<char> out) {
  return PreadAll(fd_, out, address);
}

CoreMemory::CoreMemory(int fd, std::vector<CoreSegment> segments)
    : fd_(fd), segments_(WithoutOverlaps(std::move(segments))) {}

size_t CoreMemory::Read(uint64_t address, std::span<char> out) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = address + done;
    const CoreSegment* segment = FindSegment(segments_, at);
    if (segment == nullptr) break;
    const uint64_t into = at - segment->start;
    if (into >= segment->file_size || segment->file_offset > INT64_MAX - into) break;
    const size_t part = std::min<uint64_t>(out.size() - done, segment->file_size - into);
    const size_t got = PreadAll(fd_, out.subspan(done, part), segment->file_offset + into);
    done += got;
    if (got < part) break;
  }
  return done;
}

const CachedMemory::Page& CachedMemory::Get(uint64_t page_address) {
  Page& page = pages_[page_address / kPageSize % kPages];
  if (page.address != page_address) {
    page.bytes.resize(kPageSize);
    page.size = memory_.Read(page_address, page.bytes);
    page.address = page_address;
  }
  return page;
}

size_t CachedMemory::Read(uint64_t address, std::span<char> out) {
  size_t done = 0;
  while (done < out.size()) {
    const uint64_t at = address + done;
    const uint64_t into = at % kPageSize;
    const Page& page = Get(at - into);
    if (into >= page.size) break;
    const size_t part = std::min<uint64_t>(out.size() - done, page.size - into);
    std::copy_n(page.bytes.data() + into, part, out.data() + done);
    done += part;
    if (into + part < kPageSize && done < out.size()) break;
  }
  return done;
}

Result<uint64_t> KeepStacks(ByteSource& core, uint64_t position, const CoreNotes& notes, int out,
                            uint64_t limit) {
  uint64_t kept = 0;
  std::vector<char> buffer(size_t{64} * 1024);
  for (const Part& part : PartsToKeep(notes)) {
    uint64_t from = std::max(part.offset, position);
    const uint64_t end = part.offset + part.size;
    if (from >= end) continue;
    while (position < end) {
      const bool wanted = position >= from;
      const uint64_t ahead = wanted ? end - position : from - position;
      const std::span<char> piece(buffer.data(), std::min<uint64_t>(ahead, buffer.size()));
      TELEM_TRY(const size_t got, core.Read(piece));
      if (got == 0) return kept;
      if (wanted) {
        if (kept + got > limit) return kept;
        TELEM_CHECK(PwriteAll(out, piece.first(got), position));
        kept += got;
      }
      position += got;
    }
  }
  return kept;
}

}  // namespace telem
