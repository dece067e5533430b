// MachineId: the name under which this machine's records go out. It is random and changes every
// three days, unless the administrator wrote a static one.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace telem {

class MachineId {
 public:
  static constexpr std::chrono::hours kLifetime{3 * 24};
  static constexpr size_t kMaxStatic = 32;

  // The file `state_dir`/machine_id, and `config_dir`/opt-in-static-machine-id that overrides it.
  MachineId(const std::string& state_dir, const std::string& config_dir)
      : file_(state_dir + "/machine_id"), static_file_(config_dir + "/opt-in-static-machine-id") {}

  // Reads the static id, else the file's; makes a new one when the file is missing, broken, older
  // than three days or from the future. Returns what an operator should know: a static id that was
  // ignored, an id that could not be written and holds for this run only.
  std::vector<std::string> Load(WallTime now);

  // The same without looking at the static id again; for the hourly timer. Cheap.
  std::vector<std::string> RenewIfOld(WallTime now);

  // 32 hex digits, or a static id of 1 to 32 characters.
  const std::string& value() const { return value_; }
  bool is_static() const { return is_static_; }
  WallTime created() const { return created_; }

 private:
  bool ReadStatic(std::vector<std::string>& problems);
  bool ReadFile(WallTime now);
  void MakeNew(WallTime now, std::vector<std::string>& problems);
  bool IsOld(WallTime now) const;

  std::string file_;
  std::string static_file_;
  std::string value_;
  bool is_static_ = false;
  WallTime created_{};
};

}  // namespace telem
