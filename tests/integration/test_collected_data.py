"""docs/collected-data.md lists every header and every line of a payload that a probe of ours writes,
and is what `telemctl preview --explain` prints."""

import json
import re
import subprocess

import pytest
from support import paths
from support.crashes import find_tool, make_core, needs_crashprobe, report_core, write_config
from support.frames import HEADER_NAMES
from support.system_journal import (
    JOURNALPROBE, JournalWriter, failure, needs_journal_writer, needs_journalprobe)

PAGE = paths.REPO / "docs" / "collected-data.md"
LABEL = re.compile(r"([A-Z][\w-]*(?: [\w-]+)*?)(?: \(.*\))? ?:(?: |$)", re.ASCII)


def listed(heading):
    """The first cells of the tables below the heading that starts so."""
    section = re.search(rf"^#+ {re.escape(heading)}.*?$(.*?)(?=^#|\Z)", PAGE.read_text(), re.M | re.S)
    return set(re.findall(r"^\| `([^`]+)` \|", section[1], re.M))


def labels(payload):
    """What stands before the colon of each line that has one; frames and modules have none."""
    return {match[1] for match in map(LABEL.match, payload.split("\n")) if match}


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


@needs_crashprobe
def test_the_lines_of_a_crash_are_listed(config, folder):
    (folder / "example.c").write_text("int main(void) { *(volatile int *)0 = 1; }")
    subprocess.run([find_tool("gcc"), "-o", "example", "example.c"], cwd=folder, check=True)
    found = labels(report_core(config, make_core(["./example"], folder)).payload)
    assert {"Process", "PID", "Signal", "Build-ID", "Backtrace", "Modules", "Registers",
            "Signature"} <= found <= listed("a program's crash")


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
    lines = [line for record in records for line in record["payload"].splitlines()]
    assert all(line.startswith("MESSAGE=") or LABEL.match(line) for line in lines)
    found = labels("\n".join(line for line in lines if not line.startswith("MESSAGE=")))
    assert {"Unit", "Command", "Exit code", "Exit status", "Result", "Priority"} <= found
    assert found | {"MESSAGE", "Repeated"} == listed("a service that failed")


def test_telemctl_preview_explain_prints_the_page():
    shown = subprocess.run([paths.TELEMCTL, "preview", "--explain"], stdout=subprocess.PIPE, check=True)
    assert shown.stdout == PAGE.read_bytes()
