// How far klogscanner has come in the kernel's log, and of which boots it was: kept in
// cache_dir/kmsg-position. pstoreprobe finds there which boot a dump is of.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace telem {

struct KmsgPosition {
  std::string boot_id;      // of `next`; empty: never run
  std::string former_boot;  // the boot before that one, as far as klogscanner ran in it
  uint64_t next = 0;        // sequence number of the first record that was not dealt with

  std::string Save() const;
  // What is not understood counts for nothing.
  static KmsgPosition Load(std::string_view text);
};

// Of the file; all empty where there is none. Turned over to the boot `boot_id` when it is of
// another one.
Result<KmsgPosition> ReadKmsgPosition(const std::string& path, const std::string& boot_id);

// The id of this boot; empty where the kernel does not tell.
std::string ReadBootId();

// The id of the boot before this one, by what klogscanner has kept in `cache_dir`; empty when it is
// not known.
std::string FindFormerBoot(const std::string& cache_dir);

std::string KmsgPositionPath(const std::string& cache_dir);

}  // namespace telem
