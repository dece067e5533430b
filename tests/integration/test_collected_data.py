"""docs/collected-data.md lists every header and every line of a payload that a probe of ours writes,
and is what `telemctl preview --explain` prints."""

import json
import re
import subprocess

import pytest
from support import paths
from support.crashes import (
    CRASHPROBE, find_tool, make_core, needs_crashprobe, report_core, run_crashprobe, write_config)
from support.frame_server import FrameServer
from support.frames import HEADER_NAMES, parse_frame
from support.system_journal import (
    JOURNALPROBE, JournalProbe, JournalWriter, an_hour_passes, failure, kept, needs_journal_writer,
    needs_journalprobe)
from support.waiting import wait_until

PAGE = paths.REPO / "docs" / "collected-data.md"
LABEL = re.compile(r"([A-Z][\w-]*(?: [\w-]+)*?)(?: \(.*\))? ?:(?: |$)", re.ASCII)
# "(12 frames left out)": what crashprobe says of what is missing.
REMARK = re.compile(r"\((?:\d+ (?:or more )?)?([a-z][a-z :]*)\)")
# Lines that have no name of their own, by the one that they stand below.
NAMELESS = {
    "Backtrace": re.compile(r"#\d+ .* - \[.*\].*"),
    "Modules": re.compile(r"\S.* (?:-|[0-9a-f]+) 0x[0-9a-f]+(?: \(deleted\))?"),
    "Registers": re.compile(r"[a-z]\w* .+"),
}
BASE64 = re.compile(r"[A-Za-z0-9+/]{1,76}={0,2}")


def listed(heading):
    """The first cells of the tables below the heading that starts so."""
    section = re.search(rf"^#+ {re.escape(heading)}.*?$(.*?)(?=^#|\Z)", PAGE.read_text(), re.M | re.S)
    return set(re.findall(r"^\| `([^`]+)` \|", section[1], re.M))


def labels(payload):
    """What each line is listed by; the line itself where the page can only list it as a whole."""
    found = set()
    block = ""
    for line in filter(None, payload.split("\n")):
        if match := REMARK.fullmatch(line):
            found.add(match[1])
        elif match := LABEL.match(line):
            block = match[1]
            found.add(block)
        elif line.startswith("MESSAGE="):
            found.add("MESSAGE")
        elif not block and len(line) % 4 == 0 and BASE64.fullmatch(line):
            found.add("base64")
        elif not (block in NAMELESS and NAMELESS[block].fullmatch(line)):
            found.add(line)
    return found


def payload_of_record(frame):
    return parse_frame(frame)[1].decode()


def test_no_line_is_passed_over():
    """Lines without a colon were, and are sent."""
    assert labels("Process: a\n\nBacktrace (TID 1):\n#0 a() - [b] +0x1\n(12 or more frames left out)\n"
                  "\n(3 threads left out)\n\nModules:\nb - 0x1\nb 5d1f 0x1 (deleted)\nsecret\n"
                  "\nRegisters (TID 1):\nrip [b] +0x1\nsecret: x\n\nNotes.\n") == {
        "Process", "Backtrace", "frames left out", "threads left out", "Modules", "secret", "Registers",
        "secret: x", "Notes."}
    assert labels("AAAA\nAAA=\nSeverity : fatal\nAAAA\n") == {"base64", "Severity", "AAAA"}


def printed_records(*command, stdin=None):
    done = subprocess.run([str(part) for part in command], input=stdin, stdout=subprocess.PIPE,
                          timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def config(folder):
    return write_config(folder)


def test_the_headers_of_a_record_are_listed(config):
    [record] = printed_records(paths.BUILD / "bin" / "hprobe", "-f", config, "-n", "--json")
    assert set(record) - {"payload"} == listed("Headers") == set(HEADER_NAMES)
    assert record["payload"].split() == ["hello"] and "hello" in listed("hello and heartbeat")


def as_kernel(config, core, *arguments):
    """Calls crashprobe in the kernel's place, in the form of 1.x."""
    with open(core, "rb") as stdin:
        return run_crashprobe(config, *arguments, "-p", "example", "-E", "!usr!bin!example", "-s", "11",
                              stdin=stdin)


# A program that says of which package it is, and whose stacks are too deep and too many to be told.
PROGRAM = r"""
#include <pthread.h>
#include <unistd.h>

__asm__(".pushsection .note.package,\"a\",%note\n"
        ".balign 4\n.long 4, 2f - 1f, 0xcafe1a7e\n.asciz \"FDO\"\n"
        "1: .asciz \"{\\\"name\\\":\\\"example\\\",\\\"version\\\":\\\"1\\\"}\"\n2: .balign 4\n"
        ".popsection");

static pthread_barrier_t barrier;

__attribute__((noinline)) int descend(long depth, int crash) {
  if (depth > 0) return descend(depth - 1, crash) + 1;
  if (crash) *(volatile int *)0 = 1;
  pthread_barrier_wait(&barrier);
  pause();
  return 0;
}

static void *run(void *number) { return (void *)(long)descend(100 + (long)number, 0); }

int main(void) {
  enum { kThreads = 120 };
  pthread_barrier_init(&barrier, 0, kThreads + 1);
  for (long i = 0; i < kThreads; ++i) {
    pthread_t thread;
    pthread_create(&thread, 0, run, (void *)i);
  }
  pthread_barrier_wait(&barrier);
  return descend(300, 1);
}
"""


def core_of(source, folder):
    (folder / "example.c").write_text(source)
    subprocess.run([find_tool("gcc"), "-fno-optimize-sibling-calls", "-pthread", "-o", "example", "example.c"],
                   cwd=folder, check=True)
    return make_core(["./example"], folder)


# As systemd-coredump keeps it, without a stack.
COREDUMP = """\
__REALTIME_TIMESTAMP=4000000000000000
_SYSTEMD_UNIT=systemd-coredump@0-1234-0.service
COREDUMP_EXE=/usr/bin/example
COREDUMP_COMM=example
COREDUMP_PID=4242
COREDUMP_SIGNAL=11
COREDUMP_CGROUP=/machine.slice/machine-web.scope/system.slice/example.service
MESSAGE=Process 4242 (example) of user 0 dumped core.

"""


def remarks_in_the_source():
    """What crashprobe can say of what is missing; to let it leave out modules takes hundreds of them."""
    folder = paths.REPO / "src" / "probes" / "crash"
    source = "".join(path.read_text() for path in folder.iterdir() if not path.name.endswith("_test.cc"))
    return set(re.findall(r"([a-z]+ left out)\)\\n", source)) | set(re.findall(r"\"\((the core[^)]*)\)", source))


@needs_crashprobe
def test_the_lines_of_a_crash_are_listed(config, folder):
    core = core_of(PROGRAM, folder)
    in_full = labels(report_core(config, core).payload)
    assert {"Process", "PID", "Signal", "Build-ID", "Package", "Backtrace", "frames left out",
            "threads left out", "Modules", "Registers", "Signature"} <= in_full
    # Not told while telemd is away, and counted.
    assert as_kernel(config, core).returncode == 1
    server = FrameServer(folder / "socket")
    try:
        assert as_kernel(config, core).returncode == 0
    finally:
        server.close()
    counted = labels(payload_of_record(server.frames[0]))
    assert "Repeated" in counted
    (folder / "journal").write_text(COREDUMP)
    [record] = printed_records(CRASHPROBE, "-f", config, "-n", "--json", "--watch", "-c", folder / "journal")
    assert record["classification"].endswith("/crash/error")
    unread = labels(record["payload"])
    assert unread == {"Process", "PID", "Signal", "Container", "Unit", "Analysis"}
    write_config(folder, crash_report_paths="!*")
    [record] = printed_records(CRASHPROBE, "-f", config, "-n", "--json", "-c", core)
    assert record["classification"].endswith("/crash/unknown")
    unknown = labels(record["payload"])
    remarks = remarks_in_the_source()
    assert {"frames left out", "threads left out", "modules left out"} < remarks
    assert in_full | counted | unread | unknown | remarks | {"Crash from Clear package build"} == \
        listed("a program's crash")


@needs_crashprobe
def test_the_lines_of_crashes_that_were_only_counted_are_listed(config, folder):
    core = core_of("int main(void) { *(volatile int *)0 = 1; }", folder)
    # While telemd is away none is told, and so their count is due at once.
    assert as_kernel(config, core).returncode == 1
    server = FrameServer(folder / "socket")
    try:
        assert run_crashprobe(config, "--send-counts").returncode == 0
    finally:
        server.close()
    [frame] = server.frames
    assert labels(payload_of_record(frame)) == {"Process", "Signal", "Repeated", "Signature"}


KERNEL_LOG = """\
<4>[   12.100000] ------------[ cut here ]------------
<4>[   12.100001] WARNING: CPU: 3 PID: 41 at net/sched/sch_generic.c:303 dev_watchdog+0x254/0x260
<4>[   12.100002] Modules linked in: rfcomm tun bridge
<4>[   12.100003] CPU: 3 PID: 41 Comm: kworker/3:1 Tainted: G        W         6.1.0-28-amd64 #1
<4>[   12.100004] Hardware name: Example Inc. Laptop 13/BRD-1, BIOS 1.23 01/01/2024
<4>[   12.100005] RIP: 0010:dev_watchdog+0x254/0x260
<4>[   12.100006] RSP: 0018:ffffa1b2c0003e68 EFLAGS: 00010282
<4>[   12.100007] RAX: 0000000000000000 RBX: ffff8b1c4a5d0000 RCX: 0000000000000000
<4>[   12.100008] Call Trace:
<4>[   12.100009]  <IRQ>
<4>[   12.100010]  call_timer_fn+0x27/0x130
<4>[   12.100011]  </IRQ>
<4>[   12.100012] ---[ end trace 0000000000000000 ]---
"""


def test_the_lines_of_a_kernel_report_are_listed(config):
    klogscanner = paths.BUILD / "bin" / "klogscanner"
    [record] = printed_records(klogscanner, "-f", config, "-n", "--json", "--log", "-",
                               stdin=KERNEL_LOG.encode())
    found = labels(record["payload"])
    assert {"Reason", "Modules", "Tainted", "Hardware", "Guilty", "Registers", "Backtrace"} <= found
    assert found <= listed("a report of the kernel")


@pytest.mark.parametrize("program, heading", [
    ("klogscanner", "a report of the kernel"),
    ("oopsprobe", "a report of the kernel"),
    ("pstoreprobe", "a report of the kernel"),
    ("bertprobe", "an error that firmware has kept"),
])
def test_the_lines_of_a_sample_are_listed(config, program, heading):
    [record] = printed_records(paths.BUILD / "bin" / program, "-f", config, "--sample", "--json")
    found = labels(record["payload"])
    assert found and found <= listed(heading)


@needs_journalprobe
@needs_journal_writer
def test_the_lines_of_a_failed_service_are_listed(config, folder):
    journal = JournalWriter(folder / "journal")
    journal.add_export((paths.REPO / "tests" / "data" / "journal" / "failures.export").read_bytes())
    journal.add(*[failure("loop.service", number) for number in range(12)])
    journal.close()
    (folder / "opt-in-no-privacy-filters").touch()
    records = printed_records(JOURNALPROBE, "-f", config, "-n", "--json", "--directory",
                              journal.folder)
    assert set().union(*(labels(record["payload"]) for record in records)) | {"Repeated"} == \
        listed("a service that failed")


@needs_journalprobe
@needs_journal_writer
def test_the_lines_of_failures_that_were_only_counted_are_listed(config, folder):
    journal = JournalWriter(folder / "journal")
    # Ten of a unit are told an hour.
    journal.add(*[failure("loop.service", invocation) for invocation in range(1, 12)],
                failure("other.service"))
    journal.close()
    (folder / "cache").mkdir()
    write_config(folder, cache_dir=folder / "cache")
    (folder / "consent_since").write_text("1000000000\n")
    server = FrameServer(folder / "socket")
    for count in (11, 12):
        probe = JournalProbe(config, journal.folder)
        try:
            wait_until(lambda: len(server.frames) == count and "other.service" in kept(config, journal),
                       what=probe.said)
        finally:
            probe.kill()
        an_hour_passes(config, journal)
    server.close()
    assert labels(payload_of_record(server.frames[11])) == {"MESSAGE", "Unit", "Repeated"}


def test_telemctl_preview_explain_prints_the_page():
    shown = subprocess.run([paths.TELEMCTL, "preview", "--explain"], stdout=subprocess.PIPE, check=True)
    assert shown.stdout == PAGE.read_bytes()
