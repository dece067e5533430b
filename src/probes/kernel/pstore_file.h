// One file of /sys/fs/pstore: what a crashing kernel kept of its log, or a part of it
// (Documentation/admin-guide/ramoops.rst, Documentation/ABI/testing/pstore).
//
// Its name says which backend kept it:
//   dmesg-efi_pstore-170000000012001   (dmesg-efi-… before 5.18) the number is
//                                      (seconds since the epoch * 100 + part) * 1000 + count
//   dmesg-erst-7021312345678905346     also dmesg-ramoops-0, dmesg-nvram-1, dmesg-pstore_blk-0, …
//   console-ramoops-0                  the console up to the end, of a kernel that kept no dump
//   ….enc.z                            compressed, where the kernel that shows it cannot undo that
// Its first line says which part of which dump it is: "Oops#1 Part3", "Panic#2 Part1".
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

struct PstoreName {
  bool is_console = false;  // of which there is one, without parts
  bool is_compressed = false;
  std::string_view backend;                      // "efi_pstore"
  std::optional<std::chrono::sys_seconds> time;  // where the name tells
};

// Nullopt: the name of something else, or of what holds no log of the kernel (pmsg, ftrace).
std::optional<PstoreName> ParsePstoreName(std::string_view name);

// The first line of a part.
struct PstoreHeader {
  std::string_view reason;  // "Oops", "Panic", "Emergency", "Shutdown", …
  uint64_t count = 0;       // which dump of that kernel
  uint64_t part = 0;        // from 1, which is the end of the log
};

// Takes the header off `text`; nullopt, and `text` is as it was, when there is none.
std::optional<PstoreHeader> TakePstoreHeader(std::string_view& text);

// What is behind ".enc.z", by zlib with or without its header; at most `limit` bytes of it.
// kInvalid when it is compressed in another way, or damaged from its beginning.
Result<std::string> Decompress(std::string_view bytes, size_t limit);

}  // namespace telem
