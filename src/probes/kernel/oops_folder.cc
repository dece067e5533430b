#include "probes/kernel/oops_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "probes/common/evidence_folder.h"
#include "probes/kernel/kernel_record.h"
#include "probes/kernel/log_reader.h"

namespace telem {
namespace {

constexpr size_t kBootIdLength = 36;

// "BOOT-POSITION"; empty where the name is of somebody else.
std::string BootOf(const std::string& name) {
  if (name.size() <= kBootIdLength + 1 || name[kBootIdLength] != '-' ||
      !ParseUnsigned(std::string_view(name).substr(kBootIdLength + 1))) {
    return {};
  }
  return name.substr(0, kBootIdLength);
}

void AppendTime(std::string& out, uint64_t time_us) {
  constexpr uint64_t kSecond = 1'000'000;
  std::string micros;
  AppendUnsigned(micros, time_us % kSecond);
  out += '[';
  AppendUnsigned(out, time_us / kSecond);
  out += '.' + std::string(6 - micros.size(), '0') + micros + "] ";
}

}  // namespace

// Without what is being written, or was when somebody was killed (ReplaceFile).
Result<std::vector<std::string>> OopsFolder::Names() const {
  TELEM_TRY(auto names, ReadFolderNames(path_, 16 * kMaxFiles));
  std::erase_if(names, [](const std::string& name) { return name.ends_with(".new"); });
  return names;
}

Status OopsFolder::Put(const RawReport& raw, const std::string& boot_id) const {
  TELEM_CHECK(EnsureFolder(path_, 0700));
  TELEM_TRY(const auto names, Names());
  if (names.size() >= kMaxFiles) {
    return Fail(ErrorCode::kNoSpace, "'" + path_ + "' has as many reports as it may");
  }
  std::string text;
  for (const std::string& line : raw.lines) {
    if (raw.time_us) AppendTime(text, *raw.time_us);
    text += line + '\n';
  }
  std::string name = path_ + '/' + (boot_id.empty() ? std::string(kBootIdLength, '0') : boot_id);
  name += '-';
  // Of one width, so that the order of names is that of time.
  std::string position;
  AppendUnsigned(position, raw.position);
  constexpr size_t kWidth = 20;
  name += std::string(kWidth - position.size(), '0') + position;
  return ReplaceFile(name, text, 0600);
}

Result<bool> OopsFolder::HasFiles() const {
  TELEM_TRY(const auto names, Names());
  return !names.empty();
}

Status OopsFolder::SendAll(const RecordOutlet& outlet,
                           const std::function<void(const std::string&)>& complain) const {
  TELEM_TRY(const auto names, Names());
  for (const std::string& name : names) {
    const std::string path = path_ + '/' + name;
    const auto file = ReadEvidence(path, kMaxFile);
    if (!file && file.error().code == ErrorCode::kNotFound) continue;  // another probe was faster
    if (!file && file.error().code != ErrorCode::kInvalid) return std::unexpected(file.error());
    size_t found = 0;
    if (file) {
      for (const RawReport& raw : FindReports(file->bytes)) {
        ++found;
        if (outlet.IsBeforeConsent(file->modified)) continue;
        const Status sent = outlet.HandOnce(MakeKernelRecord(raw, BootOf(name)));
        if (!sent && !IsHopeless(sent.error())) return sent;
        if (!sent) complain("'" + path + "': " + sent.error().message + "; it is given up");
      }
    }
    if (found == 0) {
      complain(file ? "'" + path + "' holds no report of a kernel" : file.error().message);
      if (!file) continue;  // no file of ours to remove
    }
    if (outlet.posts()) TELEM_CHECK(RemoveEvidence(path));
  }
  return {};
}

Status OopsFolder::Discard() const {
  TELEM_TRY(const auto names, ReadFolderNames(path_, 16 * kMaxFiles));
  for (const std::string& name : names) TELEM_CHECK(RemoveEvidence(path_ + '/' + name));
  return {};
}

}  // namespace telem
