#include "store/machine_id.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <array>

#include "base/files.h"
#include "base/random.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxFile = 4096;

// A clock that was wrong for a moment must not cost the machine its name.
constexpr std::chrono::hours kClockSlack{24};

}  // namespace

std::vector<std::string> MachineId::Load(WallTime now) {
  std::vector<std::string> problems;
  is_static_ = ReadStatic(problems);
  if (!is_static_ && !ReadFile(now)) MakeNew(now, problems);
  return problems;
}

std::vector<std::string> MachineId::RenewIfOld(WallTime now) {
  std::vector<std::string> problems;
  if (!is_static_ && IsOld(now)) MakeNew(now, problems);
  return problems;
}

bool MachineId::ReadStatic(std::vector<std::string>& problems) {
  const auto text = telem::ReadFile(static_file_, kMaxFile);
  if (!text) {
    if (text.error().code != ErrorCode::kNotFound) {
      problems.push_back(text.error().message + ", using the rotating machine id");
    }
    return false;
  }
  std::string_view rest = *text;
  const std::string_view line = Trim(TakeUntil(rest, '\n'));
  if (line.empty() || !IsPrintableAscii(line)) {
    problems.push_back("'" + static_file_ +
                       "': empty or not printable, using the rotating machine id");
    return false;
  }
  value_ = line.substr(0, kMaxStatic);
  return true;
}

bool MachineId::ReadFile(WallTime now) {
  struct stat st;
  if (::stat(file_.c_str(), &st) != 0) return false;
  const auto text = telem::ReadFile(file_, kMaxFile);
  if (!text || !IsLowerHex(Trim(*text), 32)) return false;
  value_ = Trim(*text);
  created_ = WallTime(std::chrono::seconds(st.st_mtim.tv_sec));
  return !IsOld(now);
}

void MachineId::MakeNew(WallTime now, std::vector<std::string>& problems) {
  std::array<unsigned char, 16> random;
  FillRandom(random.data(), random.size());
  value_.clear();
  AppendHex(value_, random.data(), random.size());
  created_ = now;
  if (const Status written = ReplaceFile(file_, value_ + "\n", 0640); !written) {
    problems.push_back(written.error().message + ", this machine id holds until telemd ends");
  }
}

bool MachineId::IsOld(WallTime now) const {
  return now - created_ > kLifetime || created_ - now > kClockSlack;
}

}  // namespace telem
