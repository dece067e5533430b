// SPDX-License-Identifier: LGPL-2.1-or-later
//
// telemetry::Record: libtelemetry for C++ (17 and later). Header only, over the C API.
//
//   telemetry::Record record(telemetry::Severity::kLow, "org.example/backup/failed");
//   record.SetPayload("disk full\n");
//   if (const std::error_code error = record.Send()) std::cerr << error.message() << '\n';
//
// Build with `c++ probe.cc $(pkg-config --cflags --libs libtelemetry)`.
#ifndef TELEMETRY_HPP
#define TELEMETRY_HPP

#include <telemetry.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

namespace telemetry {

enum class Severity : std::uint32_t { kLow = 1, kMedium = 2, kHigh = 3, kCritical = 4 };

// Owns one record. Can be moved, not copied; only assigned to or destroyed after it was moved from.
//
// What is wrong with an argument is thrown as std::system_error (generic category, EINVAL): it is a
// mistake in the program. What happens on the way to telemd is returned: it is to be expected.
class Record {
 public:
  // `classification` is DOMAIN/PROBE/REST, three parts of 1 to 40 printable ASCII characters.
  // `payload_version` is the version of the format of your payload.
  Record(Severity severity, const std::string& classification, std::uint32_t payload_version = 1) {
    Check(tm_create_record(&ref_, static_cast<std::uint32_t>(severity), CString(classification),
                           payload_version),
          "telemetry: classification");
  }
  Record(Record&& other) noexcept : ref_(std::exchange(other.ref_, nullptr)) {}
  Record& operator=(Record&& other) noexcept {
    std::swap(ref_, other.ref_);
    return *this;
  }
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() { tm_free_record(ref_); }

  // Any bytes but NUL, at most 256 KiB.
  void SetPayload(const std::string& payload) {
    Check(tm_set_payload(ref_, CString(payload)), "telemetry: payload");
  }

  // Exactly 32 characters of 0123456789abcdef, instead of the random id that the record has.
  void SetEventId(const std::string& event_id) {
    Check(tm_set_event_id(ref_, CString(event_id)), "telemetry: event id");
  }

  // Sends the record and waits for telemd's answer, for a second at most. No error means that
  // telemd has taken the record over. May be called again. telemetry.h lists the errors.
  [[nodiscard]] std::error_code Send() noexcept {
    return std::error_code(-tm_send_record(ref_), std::generic_category());
  }

 private:
  // The C API would end at a NUL without a word.
  static const char* CString(const std::string& text) {
    if (text.find('\0') != std::string::npos) Check(-EINVAL, "telemetry: NUL in an argument");
    return text.c_str();
  }

  static void Check(int error, const char* what) {
    if (error != 0) throw std::system_error(-error, std::generic_category(), what);
  }

  telem_ref* ref_ = nullptr;
};

// Whether the user allows that records are collected.
inline bool IsOptedIn() noexcept { return tm_is_opted_in() != 0; }

// Takes the configuration from `path` instead of the usual files: an absolute path of an existing
// regular file.
inline std::error_code SetConfigFile(const std::string& path) noexcept {
  return std::error_code(-tm_set_config_file(path.c_str()), std::generic_category());
}

}  // namespace telemetry

#endif
