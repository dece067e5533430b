#include "probes/kernel/kmsg_log.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace telem {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// "\x0a" stands for a newline; a backslash itself is \x5c.
void AppendUnescaped(std::string& out, std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] == 'x' &&
        HexValue(text[i + 2]) >= 0 && HexValue(text[i + 3]) >= 0) {
      out += static_cast<char>(HexValue(text[i + 2]) * 16 + HexValue(text[i + 3]));
      i += 3;
    } else {
      out += text[i];
    }
  }
}

}  // namespace

void KmsgLog::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t newline = bytes.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::string_view piece = bytes.substr(0, newline);
    bytes.remove_prefix(piece.size() + (whole ? 1 : 0));
    if (whole && partial_.empty() && !is_too_long_ && piece.size() <= kLongestRecord) {
      TakeLine(piece);
      continue;
    }
    is_too_long_ = is_too_long_ || partial_.size() + piece.size() > kLongestRecord;
    if (!is_too_long_) partial_ += piece;
    if (!whole) return;
    if (!std::exchange(is_too_long_, false)) TakeLine(partial_);
    partial_.clear();
  }
}

void KmsgLog::TakeLine(std::string_view line) {
  if (line.starts_with(' ')) return;  // a property
  if (const auto record = ParseKmsgRecord(line)) TakeRecord(*record);
}

void KmsgLog::TakeRecord(const KmsgRecord& record) {
  if (record.sequence < next_) return;  // dealt with before
  const uint64_t gap = record.sequence - next_;
  next_ = record.sequence + 1;
  const bool continues = record.flag == '+' && pending_.has_value() && gap == 0 &&
                         record.priority < kFirstForeignPriority;
  if (!continues) FeedPending();
  if (gap > 0) {
    lost_ += gap;
    finder_.NoteGap(gap);
  }
  if (record.priority >= kFirstForeignPriority) return;
  if (continues) {
    if (pending_text_.size() < kLongestRecord) AppendUnescaped(pending_text_, record.text);
    return;
  }
  pending_ = record;
  pending_caller_ = record.caller;
  pending_text_.clear();
  AppendUnescaped(pending_text_, record.text);
  if (record.flag != 'c' && record.flag != '+') FeedPending();
}

void KmsgLog::FeedPending() {
  if (!pending_) return;
  for (std::string_view rest = pending_text_;;) {
    LogLine line;
    line.time_us = pending_->time_us;
    line.caller = pending_caller_;
    line.text = TakeUntil(rest, '\n');
    while (line.text.ends_with('\r')) line.text.remove_suffix(1);
    finder_.Feed(line, pending_->sequence);
    if (rest.empty()) break;
  }
  pending_.reset();
}

void KmsgLog::Settle() {
  FeedPending();
  finder_.Finish();
}

bool KmsgLog::HasOpen() const { return pending_.has_value() || finder_.FirstOpen().has_value(); }

uint64_t KmsgLog::SafePosition() const {
  uint64_t safe = next_;
  if (pending_) safe = std::min(safe, pending_->sequence);
  if (const auto open = finder_.FirstOpen()) safe = std::min(safe, *open);
  return std::max(safe, first_);
}

uint64_t KmsgLog::TakeLost() { return std::exchange(lost_, 0); }

}  // namespace telem
