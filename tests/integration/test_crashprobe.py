"""crashprobe on cores: what a person or a script gives it."""

import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from support.crashes import (CRASHPROBE, Report, find_tool, make_core, needs_crashprobe, payload_of,
                             report_core, run_crashprobe, write_config)
from support.frame_server import FrameServer
from support.frames import payload_of_frame
from support.waiting import wait_until

pytestmark = needs_crashprobe

PROGRAM = """
#include <pthread.h>
#include <string.h>
#include <unistd.h>
static int ready[2];
static void *idle(void *a) { char c = 1; write(ready[1], &c, 1); for (;;) pause(); return a; }
__attribute__((noinline)) static int parse_header(char *p) { *p = 1; return *p + 1; }
static inline int load(char *p) { return parse_header(p) * 3; }
__attribute__((noinline)) int run(char *p) { return load(p) + 2; }
int main(int c, char **v) {
  pthread_t t;
  char b;
  pipe(ready);
  for (int i = 0; i < 3; i++) pthread_create(&t, 0, idle, 0);
  for (int i = 0; i < 3; i++) read(ready[0], &b, 1);
  return run(c > 1 ? v[1] : 0) + 1;
}
"""


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """A program with debug information, and its core."""
    folder = tmp_path_factory.mktemp("crash")
    (folder / "example.c").write_text(PROGRAM)
    subprocess.run([find_tool("gcc"), "-g", "-O2", "-pthread", "-w", "-o", "example", "example.c"],
                   cwd=folder, check=True)
    return folder, make_core(["./example"], folder)


@pytest.fixture
def config(folder):
    return write_config(folder)


def test_tells_the_whole_story_of_a_core(config, crash):
    report = report_core(config, crash[1])
    assert report.field("Process") == "example"
    assert report.field("Signal") == "11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0"
    assert report.names[:3] == ["parse_header", "load", "run"]
    assert [frame.inlined for frame in report.frames[:3]] == [False, True, False]
    assert [(frame.file, frame.line) for frame in report.frames[:3]] == [
        ("example.c", 7), ("example.c", 8), ("example.c", 9)]
    assert all(frame.offset for frame in report.frames)
    # Those whose stacks are the same are told together; one may be on its way to where it waits.
    others = report.threads[1:]
    assert sum(len(tids) for tids, _ in others) == 3
    assert all("idle" in [frame.name for frame in frames] for _, frames in others)
    build_id = report.field("Build-ID")
    assert len(build_id) == 40 and report.modules["example"] == build_id
    assert "\nRegisters (TID " in report.payload
    assert report.stable and report.exact


def test_reads_the_same_from_a_pipe_and_from_a_file_on_standard_input(config, crash):
    whole = report_core(config, crash[1]).payload
    with open(crash[1], "rb") as core:
        assert payload_of(run_crashprobe(config, "-n", stdin=core)) == whole
    with subprocess.Popen(["cat", crash[1]], stdout=subprocess.PIPE) as cat:
        assert payload_of(run_crashprobe(config, "-n", stdin=cat.stdout)) == whole


def test_leaves_nothing_of_a_stream_behind(config, crash, folder):
    with subprocess.Popen(["cat", crash[1]], stdout=subprocess.PIPE) as cat:
        run_crashprobe(config, "-n", stdin=cat.stdout)
    assert [path.name for path in folder.iterdir()] == ["telemetrics.conf"]


def test_takes_a_core_that_ends_anywhere(config, crash, folder):
    core = crash[1].read_bytes()
    cut = folder / "cut"
    for size in (64, 1000, 3000, 5000, 20_000, len(core) // 2, len(core) - 1):
        cut.write_bytes(core[:size])
        done = run_crashprobe(config, "-n", "-c", cut)
        assert done.returncode == 0, (size, done.stderr)
        cut.unlink()


def test_says_when_something_is_no_core(config, folder):
    for content in (b"", b"x" * 5000, CRASHPROBE.read_bytes()[:100_000]):
        path = folder / "file"
        path.write_bytes(content)
        done = run_crashprobe(config, "-n", "-c", path)
        assert done.returncode == 1
        assert done.stderr.decode() == f"crashprobe: '{path}': this is no core file\n"
    done = run_crashprobe(config, "-n", "-c", folder / "none")
    assert done.returncode == 1 and b"No such file" in done.stderr


def test_prints_json(config, crash):
    record = json.loads(run_crashprobe(config, "-n", "--json", "-c", crash[1]).stdout)
    assert record["classification"] == "org.clearlinux/crash/clr"
    assert record["severity"] == "3"
    assert Report(record["payload"]).names[0] == "parse_header"


def test_says_only_that_a_third_party_crashed(folder, crash):
    config = write_config(folder, crash_report_paths="")
    record = json.loads(run_crashprobe(config, "-n", "--json", "-c", crash[1]).stdout)
    assert record["classification"] == "org.clearlinux/crash/unknown"
    assert record["severity"] == "2"
    assert record["payload"] == "Crash from third party\n"
    (folder / "opt-in-no-privacy-filters").touch()
    record = json.loads(run_crashprobe(config, "-n", "--json", "-c", crash[1]).stdout)
    assert record["classification"] == "org.clearlinux/crash/clr"


def test_uses_no_file_that_was_replaced_since(config, folder):
    (folder / "one.c").write_text("__attribute__((noinline)) void first(volatile int *p) { *p = 1; }\n"
                                  "int main(void) { first(0); return 0; }\n")
    (folder / "two.c").write_text("__attribute__((noinline)) void wrong(volatile int *p) { *p = 2; }\n"
                                  "int main(void) { wrong(0); return 1; }\n")
    compiler = find_tool("gcc")
    subprocess.run([compiler, "-g", "-O1", "-o", "prog", "one.c"], cwd=folder, check=True)
    core = make_core(["./prog"], folder)
    assert report_core(config, core).names[0] == "first"
    subprocess.run([compiler, "-g", "-O1", "-o", "prog", "two.c"], cwd=folder, check=True)
    report = report_core(config, core)
    assert "wrong" not in report.payload
    assert report.frames[0].module == "prog" and report.frames[0].offset


def as_kernel(config, core, name="example", wrapper=()):
    """As the kernel calls in the form of 1.x."""
    with open(core, "rb") as stdin:
        return run_crashprobe(config, "-p", name, "-E", f"!usr!bin!{name}", "-s", "11", stdin=stdin,
                              wrapper=wrapper)


def test_tells_a_crash_loop_five_times_and_counts_the_rest(config, crash, folder):
    server = FrameServer(folder / "socket")
    try:
        for _ in range(12):
            assert as_kernel(config, crash[1]).returncode == 0
    finally:
        server.close()
    assert len(server.frames) == 5
    last, line = (folder / "crash-counts").read_text().splitlines()
    assert last.startswith("last ") and line.split(" ")[4] == "7"


def test_counts_a_crash_that_could_not_be_told(config, crash, folder):
    done = as_kernel(config, crash[1])
    assert done.returncode == 1 and b"telemd does not run" in done.stderr
    server = FrameServer(folder / "socket")
    try:
        assert as_kernel(config, crash[1]).returncode == 0
    finally:
        server.close()
    assert b"\nRepeated: 1\n" in server.frames[0]


# Between its file and telemd's answer nobody but crashprobe knew of the crash, and of those that were
# counted before it.
def test_tells_what_was_on_its_way_when_it_was_killed(config, crash, folder):
    hanging = FrameServer(folder / "socket", ["hang"])
    with open(crash[1], "rb") as core:
        process = subprocess.Popen([CRASHPROBE, "-f", config, "-p", "example", "-E", "!usr!bin!example",
                                    "-s", "11"], stdin=core, start_new_session=True)
    wait_until(lambda: hanging.frames)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    hanging.close()
    (folder / "socket").unlink()
    counts = folder / "crash-counts"
    event_id, crashes, since = re.search(r" ([0-9a-f]{32}):(\d+):(\d+), ", counts.read_text()).groups()
    assert crashes == "1" and f"event_id: {event_id}\n".encode() in hanging.frames[0]
    server = FrameServer(folder / "socket")
    try:
        # It may be under way still.
        assert run_crashprobe(config, "--send-counts").returncode == 0
        assert server.frames == []
        counts.write_text(counts.read_text().replace(since, str(int(since) - 60)))
        for _ in range(2):
            assert run_crashprobe(config, "--send-counts").returncode == 0
    finally:
        server.close()
    frame, = server.frames
    assert f"event_id: {event_id}\n".encode() in frame
    report = Report(payload_of_frame(frame))
    assert report.field("Process") == "example" and report.field("Repeated") == "1"


@pytest.fixture
def full_disk(folder):
    """A folder on a disk that is full by now, with the counts of `fill`."""
    if os.getuid() != 0:
        pytest.skip("only root can mount")
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip(f"no tmpfs here: {mounted.stderr.decode()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_tells_a_loop_on_a_full_disk_in_short(crash, folder, full_disk):
    config = write_config(folder, state_dir=full_disk)
    server = FrameServer(folder / "socket")
    try:
        for _ in range(5):
            assert as_kernel(config, crash[1]).returncode == 0
        with open(full_disk / "ballast", "wb", buffering=0) as ballast, pytest.raises(OSError):
            while True:
                ballast.write(bytes(4096))
        done = [as_kernel(config, crash[1]) for _ in range(3)]
    finally:
        server.close()
    assert [end.returncode for end in done] == [0, 0, 0]
    assert all(b"crashes are told, but not counted: " in end.stderr for end in done)
    reports = [Report(payload_of_frame(frame)) for frame in server.frames]
    assert ["Backtrace" in report.payload for report in reports] == [True] * 5 + [False] * 3
    assert [report.field("Repeated") for report in reports] == [None] * 5 + ["1"] * 3
    assert len({report.exact for report in reports}) == 1


def test_explains_where_facts_came_from(config, crash, folder):
    done = run_crashprobe(config, "--explain", crash[1])
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert "#0 parse_header() - [example]" in text
    assert "  threads, registers, signal: a core file\n" in text
    assert (f"  {crash[0]}/example: the file that was mapped; names and lines from debug information\n"
            in text)
    shutil.copy(crash[0] / "example", folder)
    subprocess.run([find_tool("strip"), "--strip-debug", "example"], cwd=folder, check=True)
    core = make_core(["./example"], folder)
    text = run_crashprobe(config, "--explain", core).stdout.decode()
    assert f"  {folder}/example: the file that was mapped; names from a symbol table\n" in text


# It said "the mapped file" of whatever lay at that path by then.
def test_explains_that_a_file_is_another_one_by_now(config, folder):
    source = "__attribute__((noinline)) void fault(volatile int *p) { *p = %d; }\nint main(void) { fault(0); }\n"
    for number in (1, 2):
        (folder / "prog.c").write_text(source % number)
        subprocess.run([find_tool("gcc"), "-O1", "-o", "prog", "prog.c"], cwd=folder, check=True)
        if number == 1:
            core = make_core(["./prog"], folder)
    text = run_crashprobe(config, "--explain", core).stdout.decode()
    assert f"  {folder}/prog: the file that was mapped;" not in text
    assert re.search(f"^  {folder}/prog: (nowhere|as much as is in memory); the file ", text, re.M), text


def test_explains_a_running_process_and_lets_it_go_on(config):
    with subprocess.Popen(["sleep", "60"]) as sleep:
        try:
            done = run_crashprobe(config, "--explain", sleep.pid)
            if done.returncode != 0 and b"not permitted" in done.stderr:
                pytest.skip("this machine lets nobody look into processes")
            assert f"PID: {sleep.pid}\n" in done.stdout.decode()
            assert "Signal: " not in done.stdout.decode()
            assert "Backtrace (TID " in done.stdout.decode()
            assert sleep.poll() is None
            status = open(f"/proc/{sleep.pid}/status").read()
            assert "TracerPid:\t0\n" in status
        finally:
            sleep.kill()
