#include "probes/kernel/sample_evidence.h"

#include <cstdint>

#include "probes/kernel/kernel_record.h"
#include "probes/kernel/log_reader.h"

namespace telem {
namespace {

constexpr std::string_view kWarning =
    "[  812.004311] ------------[ cut here ]------------\n"
    "[  812.004318] WARNING: CPU: 1 PID: 4242 at drivers/sample/ring.c:120 "
    "sample_drain+0x2b/0x90 [sample]\n"
    "[  812.004331] Modules linked in: sample bridge stp llc\n"
    "[  812.004339] CPU: 1 PID: 4242 Comm: sampled Not tainted 6.1.0-28-amd64 #1  Debian "
    "6.1.119-1\n"
    "[  812.004345] Hardware name: Example Inc. Laptop 13/BRD-1, BIOS 1.23 03/04/2024\n"
    "[  812.004349] RIP: 0010:sample_drain+0x2b/0x90 [sample]\n"
    "[  812.004353] RSP: 0018:ffffa8c0013ffd80 EFLAGS: 00010246\n"
    "[  812.004357] RAX: 0000000000000000 RBX: ffff9d0f4427a000 RCX: 0000000000000001\n"
    "[  812.004361] Call Trace:\n"
    "[  812.004364]  <TASK>\n"
    "[  812.004368]  sample_read+0x64/0x110 [sample]\n"
    "[  812.004372]  vfs_read+0xa8/0x300\n"
    "[  812.004376]  ksys_read+0x6b/0xf0\n"
    "[  812.004380]  do_syscall_64+0x5d/0x90\n"
    "[  812.004384]  entry_SYSCALL_64_after_hwframe+0x6e/0xd8\n"
    "[  812.004388]  </TASK>\n"
    "[  812.004392] ---[ end trace 0000000000000000 ]---\n";

constexpr std::string_view kOops =
    "[  214.719001] BUG: kernel NULL pointer dereference, address: 0000000000000058\n"
    "[  214.719014] #PF: supervisor read access in kernel mode\n"
    "[  214.719019] #PF: error_code(0x0000) - not-present page\n"
    "[  214.719031] Oops: 0000 [#1] PREEMPT SMP NOPTI\n"
    "[  214.719038] CPU: 2 PID: 4242 Comm: sampled Tainted: G           OE      6.1.0-28-amd64 #1  "
    "Debian 6.1.119-1\n"
    "[  214.719046] Hardware name: Example Inc. Laptop 13/BRD-1, BIOS 1.23 03/04/2024\n"
    "[  214.719050] RIP: 0010:sample_fill+0x17/0x60 [sample]\n"
    "[  214.719073] RSP: 0018:ffffa8c0013ffd80 EFLAGS: 00010246\n"
    "[  214.719080] RAX: 0000000000000000 RBX: ffff9d0f4427a000 RCX: 0000000000000001\n"
    "[  214.719090] CR2: 0000000000000058 CR3: 0000000104b0a000 CR4: 0000000000750ee0\n"
    "[  214.719101] Call Trace:\n"
    "[  214.719105]  <TASK>\n"
    "[  214.719110]  sample_write+0x9c/0x140 [sample]\n"
    "[  214.719115]  vfs_write+0xc4/0x3f0\n"
    "[  214.719120]  ksys_write+0x6b/0xf0\n"
    "[  214.719125]  do_syscall_64+0x5d/0x90\n"
    "[  214.719130]  entry_SYSCALL_64_after_hwframe+0x6e/0xd8\n"
    "[  214.719135]  </TASK>\n"
    "[  214.719140] Modules linked in: sample(OE) bridge stp llc\n"
    "[  214.719145] ---[ end trace 0000000000000000 ]---\n";

constexpr std::string_view kPanic =
    "[  214.902001] Kernel panic - not syncing: Fatal exception in interrupt\n";

// The crash of the pstore sample: in the name of a part, seconds since the epoch come first.
constexpr int64_t kCrash = 1'700'000'000;

// `number` in little-endian order, as ACPI has it.
void Append(std::string& out, uint64_t number, int bytes) {
  for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> (8 * i));
}

}  // namespace

std::string_view SampleWarning() { return kWarning; }

std::string_view SampleOops() { return kOops; }

std::vector<PstoreFile> SamplePstoreFiles() {
  const std::string log = std::string(kOops) + std::string(kPanic);
  // Where a part ends is of no matter to the kernel: in the midst of a line.
  const size_t cut = log.size() / 2;
  const std::chrono::sys_seconds when{std::chrono::seconds(kCrash)};
  std::vector<PstoreFile> files;
  for (const int part : {1, 2}) {
    const std::string number = std::to_string(part);
    const std::string name = "dmesg-efi_pstore-" + std::to_string(kCrash) + "0" + number + "001";
    files.push_back({.path = name,
                     .name = name,
                     .bytes = "Panic#1 Part" + number + "\n" +
                              (part == 1 ? log.substr(cut) : log.substr(0, cut)),
                     .modified = when});
  }
  return files;
}

std::string SampleBertTable() {
  // A section of memory errors (UEFI 2.10, N.2.5): what is valid, status, the address and its mask,
  // node, card, …, the kind of error.
  constexpr uint64_t kAddressNodeKind = 1U << 1 | 1U << 3 | 1U << 14;
  std::string memory;
  Append(memory, kAddressNodeKind, 8);
  Append(memory, 0, 8);
  Append(memory, 0x12345f000, 8);
  Append(memory, 0, 8);
  Append(memory, 2, 2);  // node
  memory.resize(72, '\0');
  Append(memory, 3, 8);  // multi-bit ECC

  std::string section = "\x14\x11\xbc\xa5\x64\x6f\xde\x4e\xb8\x63\x3e\x83\xed\x7c\x83\xb1";
  Append(section, 1, 4);      // fatal
  Append(section, 0x300, 2);  // revision
  Append(section, 0, 2);
  Append(section, memory.size(), 4);
  section.resize(section.size() + 16 + 20 + 8, '\0');  // FRU id, FRU text, time
  section += memory;

  std::string table;
  Append(table, 0, 4);  // block status
  Append(table, 0, 4);  // raw data: none
  Append(table, 0, 4);
  Append(table, section.size(), 4);
  Append(table, 1, 4);  // fatal
  return table + section;
}

Status HandReports(std::string_view log, const RecordOutlet& outlet) {
  for (const RawReport& raw : FindReports(log)) TELEM_CHECK(outlet.Hand(MakeKernelRecord(raw, "")));
  return {};
}

}  // namespace telem
