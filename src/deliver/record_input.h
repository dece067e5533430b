// RecordInput: records as they come in on standard input, from telemd or in a pipe by hand.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "record/delivery_codec.h"

namespace telem {

class RecordInput {
 public:
  // `fd` is kept open by the caller.
  explicit RecordInput(int fd) : fd_(fd) {}

  // Reads what is there, waiting for the first byte only. Nothing is lost between calls.
  Status Read();
  bool at_end() const { return at_end_; }

  // The next line without its newline, once it is whole.
  Result<std::optional<std::string>> TakeLine();

  // The next record of the stream, valid until the next call. At the end of the input a record that
  // is cut is kInvalid.
  Result<std::optional<DeliveryRecord>> TakeRecord();

  // Whether the input begins like one record in text form rather than like a stream. Nothing while
  // too few bytes are there to tell.
  std::optional<bool> IsText() const;

  // The whole input, once at_end(); kTooLarge by Read() when it is more than one record can be.
  std::string_view all() const { return rest(); }

 private:
  std::string_view rest() const { return std::string_view(bytes_).substr(taken_); }

  int fd_;
  std::string bytes_;
  size_t taken_ = 0;  // of bytes_
  bool at_end_ = false;
};

}  // namespace telem
