#include "probes/crash/crash_evidence.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "probes/crash/file_opener.h"

namespace telem {
namespace {

// Stacks of a few hundred threads; a process has no right to our disk by crashing.
constexpr uint64_t kMaxKept = uint64_t{256} * 1024 * 1024;

// The program that was started, by where its program headers lie.
std::string StartedProgram(const CoreNotes& notes, const ModuleMap& map) {
  for (const uint64_t key : {uint64_t{AT_PHDR}, uint64_t{AT_ENTRY}}) {
    const auto value = notes.auxv.find(key);
    if (value == notes.auxv.end()) continue;
    if (const auto index = map.FindModule(value->second)) return map.modules()[*index].path;
  }
  return "";
}

// Where there is no process any more, files are found by their names.
Status OpenByName(CrashEvidence& evidence, const std::string& root) {
  evidence.map = ModuleMap(MappingsOf(evidence.notes));
  evidence.exe = StartedProgram(evidence.notes, evidence.map);
  if (!root.empty()) {
    TELEM_TRY(evidence.root, OpenAt(AT_FDCWD, root, O_PATH | O_DIRECTORY));
  }
  const int below = evidence.root.valid() ? evidence.root.get() : AT_FDCWD;
  for (const Module& module : evidence.map.modules()) {
    evidence.modules.push_back(module.deleted ? UniqueFd() : OpenBelow(below, module.path));
  }
  return {};
}

Result<CrashEvidence> KeepStream(FdSource& source, CoreNotes notes, const std::string& root,
                                 const std::string& folder) {
  CrashEvidence evidence;
  evidence.source = "a core that streamed by, of which the stacks were kept";
  evidence.notes = std::move(notes);
  auto kept = OpenAt(AT_FDCWD, folder, O_TMPFILE | O_RDWR, 0600);
  if (!kept) {
    // No such folder, or not ours to write to.
    kept = UniqueFd(::memfd_create("core", MFD_CLOEXEC));
    if (!kept->valid()) return SystemError("keep the core", errno);
  }
  evidence.memory_file = std::move(*kept);
  TELEM_TRY(
      [[maybe_unused]] const uint64_t size,
      KeepStacks(source, evidence.notes.end, evidence.notes, evidence.memory_file.get(), kMaxKept));
  evidence.memory =
      std::make_unique<CoreMemory>(evidence.memory_file.get(), evidence.notes.segments);
  TELEM_CHECK(OpenByName(evidence, root));
  return evidence;
}

}  // namespace

std::vector<int> CrashEvidence::Descriptors() const {
  std::vector<int> all = {memory_file.get()};
  for (const UniqueFd& module : modules) all.push_back(module.get());
  return all;
}

Result<CrashEvidence> ReadCoreFile(UniqueFd core, const std::string& root) {
  CrashEvidence evidence;
  evidence.source = "a core file";
  FdSource source(core.get());
  TELEM_TRY(evidence.notes, ReadCoreNotes(source));
  evidence.memory_file = std::move(core);
  evidence.memory =
      std::make_unique<CoreMemory>(evidence.memory_file.get(), evidence.notes.segments);
  TELEM_CHECK(OpenByName(evidence, root));
  return evidence;
}

Result<CrashEvidence> ReadCoreStream(int core, const std::string& root, const std::string& folder) {
  FdSource source(core);
  TELEM_TRY(CoreNotes notes, ReadCoreNotes(source));
  return KeepStream(source, std::move(notes), root, folder);
}

Result<CrashEvidence> ReadDyingProcess(int core, UniqueFd proc, const std::string& name,
                                       const std::string& folder, bool keep_start) {
  FdSource source(core);
  if (keep_start) source.KeepCopy();
  TELEM_TRY(CoreNotes notes, ReadCoreNotes(source));
  if (!proc.valid()) {
    auto found = OpenProcess(notes.pid);
    if (found && CommandOf(found->get()) == name) proc = std::move(*found);
  }
  const bool is_there = proc.valid() && IsDumping(proc.get());
  auto process = is_there ? ReadLiveProcess(proc.get()) : Fail(ErrorCode::kNotFound, "");
  // Of a core that streams by, nothing is left for others.
  std::string start = source.TakeCopy();
  if (!process) return KeepStream(source, std::move(notes), "", folder);

  CrashEvidence evidence;
  evidence.source = "the dying process";
  evidence.start = std::move(start);
  evidence.notes = std::move(notes);
  evidence.map = ModuleMap(std::move(process->mappings));
  evidence.exe = std::move(process->exe);
  evidence.cgroup = std::move(process->cgroup);
  evidence.in_container = process->in_container;
  evidence.memory_file = std::move(process->memory);
  evidence.memory = std::make_unique<LiveMemory>(evidence.memory_file.get());
  evidence.modules = std::move(process->modules);
  evidence.root = std::move(process->root);
  return evidence;
}

}  // namespace telem
