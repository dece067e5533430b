#include "probes/crash/package_database.h"

#include <dirent.h>
#include <fcntl.h>

#include <memory>
#include <string_view>

#include "base/files.h"
#include "base/text.h"

namespace telem {
namespace {

constexpr size_t kMaxList = size_t{16} * 1024 * 1024;
constexpr size_t kMaxStatus = size_t{64} * 1024 * 1024;
constexpr std::string_view kListEnd = ".list";

bool HasLine(std::string_view text, std::string_view line) {
  for (size_t at = 0; (at = text.find(line, at)) != std::string_view::npos; ++at) {
    const bool starts = at == 0 || text[at - 1] == '\n';
    const size_t end = at + line.size();
    if (starts && (end == text.size() || text[end] == '\n')) return true;
  }
  return false;
}

// The package whose list of files has `path`, as the list's name says it: "name" or "name:arch".
std::string FindOwner(const std::string& folder, const std::string& path) {
  // Before /bin and /lib became links, files below them were listed without /usr.
  const std::string old_path = path.starts_with("/usr/") ? path.substr(4) : path;
  const std::string lists = folder + "/info";
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(lists.c_str()), ::closedir);
  if (dir == nullptr) return "";
  while (const dirent* entry = ::readdir(dir.get())) {
    const std::string_view name = entry->d_name;
    if (!name.ends_with(kListEnd)) continue;
    const auto text = ReadFile(lists + "/" + entry->d_name, kMaxList);
    if (text && (HasLine(*text, path) || HasLine(*text, old_path))) {
      return std::string(name.substr(0, name.size() - kListEnd.size()));
    }
  }
  return "";
}

}  // namespace

std::string FindDebianPackage(const std::string& folder, const std::string& path) {
  std::string owner = FindOwner(folder, path);
  if (owner.empty()) return "";
  owner.resize(std::min(owner.find(':'), owner.size()));
  const auto status = ReadFile(folder + "/status", kMaxStatus);
  if (!status) return owner;
  const size_t stanza = status->find("Package: " + owner + "\n");
  if (stanza == std::string::npos) return owner;
  std::string_view rest = std::string_view(*status).substr(stanza);
  rest = rest.substr(0, rest.find("\n\n"));
  const size_t version = rest.find("\nVersion: ");
  if (version == std::string_view::npos) return owner;
  rest.remove_prefix(version + 10);
  return owner + " " + std::string(rest.substr(0, rest.find('\n')));
}

}  // namespace telem
