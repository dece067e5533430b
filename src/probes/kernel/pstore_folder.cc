#include "probes/kernel/pstore_folder.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/text.h"
#include "probes/common/evidence_folder.h"
#include "probes/kernel/pstore_file.h"

namespace telem {
namespace {

constexpr int kMaxDepth = 3;  // systemd-pstore: ID, and for some backends another one in it
constexpr char kUnknownBoot[] = "unknown-boot";
constexpr size_t kBootIdLength = 36;

Status Collect(const std::string& folder, int depth, std::vector<std::string>& paths) {
  TELEM_TRY(const auto names, ReadFolderNames(folder, PstoreFolder::kMaxFiles));
  for (const std::string& name : names) {
    if (paths.size() >= PstoreFolder::kMaxFiles) return {};
    std::string path = folder;
    path += '/';
    path += name;
    struct stat st;
    if (::lstat(path.c_str(), &st) != 0) continue;  // gone meanwhile
    if (S_ISREG(st.st_mode) && ParsePstoreName(name)) paths.push_back(path);
    if (S_ISDIR(st.st_mode) && depth < kMaxDepth) TELEM_CHECK(Collect(path, depth + 1, paths));
  }
  return {};
}

}  // namespace

Result<std::vector<std::string>> PstoreFolder::Find() const {
  std::vector<std::string> paths;
  TELEM_CHECK(Collect(path_, 1, paths));
  return paths;
}

Result<PstoreFile> PstoreFolder::ReadOne(const std::string& path) {
  TELEM_TRY(Evidence evidence, ReadEvidence(path, kMaxFile));
  return PstoreFile{.path = path,
                    .name = path.substr(path.rfind('/') + 1),
                    .bytes = std::move(evidence.bytes),
                    .modified = evidence.modified};
}

std::string PstoreFolder::FolderOfBoot(const std::string& boot_id) const {
  return path_ + '/' + (boot_id.empty() ? kUnknownBoot : boot_id);
}

std::string PstoreFolder::BootOf(const std::string& path) const {
  const std::string_view rest = std::string_view(path).substr(path_.size() + 1);
  const std::string_view first = rest.substr(0, rest.find('/'));
  const bool is_boot = first.size() == kBootIdLength && first.size() < rest.size() &&
                       first.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
  return is_boot ? std::string(first) : std::string();
}

}  // namespace telem
