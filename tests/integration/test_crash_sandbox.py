"""The child of crashprobe that looks into a crashed program: what comes of it when it is taken over
by what it reads, or does not end.

tests/faults/analysis_fault.cc makes it do so, in crashprobe as the kernel calls it.
"""

import contextlib
import ctypes
import os
import pathlib
import re
import subprocess
import time

import pytest
from support import paths
from support.core_pattern import Handler, core_pattern, needs_core_pattern
from support.crashes import CRASHPROBE, Report, find_tool, needs_crashprobe, write_config
from support.frame_server import FrameServer
from support.frames import payload_of_frame
from support.proc import children, processes_with
from support.waiting import DEADLINE, wait_until

FAULT = paths.BUILD / "tests" / "analysis_fault.so"

pytestmark = [needs_crashprobe, needs_core_pattern, pytest.mark.skipif(
    not FAULT.exists(), reason=f"no {FAULT.name} in this build")]

# What was promised: a crash is told within that, whatever the child does.
PROMISE = 5.2  # seconds


@pytest.fixture
def program(tmp_path):
    source = tmp_path / "example.c"
    source.write_text("__attribute__((noinline)) void fault(volatile int *p) { *p = 1; }\n"
                      "int main(void) { fault(0); return 0; }\n")
    subprocess.run([find_tool("gcc"), "-g", "-O1", "-o", tmp_path / "example", source], check=True)
    return tmp_path / "example"


class Trap:
    """The kernel calls crashprobe, whose child does as `fault` says."""

    def __init__(self, tmp_path, folder, fault):
        self.config = write_config(folder)
        self.handler = Handler(tmp_path, "env", f"LD_PRELOAD={FAULT}", f"TELEM_ANALYSIS_FAULT={fault}",
                               CRASHPROBE, "-f", self.config)
        self.server = FrameServer(folder / "socket")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()

    def crash(self, program):
        """The payload about this crash, and after how many seconds it was there."""
        with core_pattern(self.handler.pattern()):
            start = time.monotonic()
            process = subprocess.Popen([program])
            assert process.wait(DEADLINE) == -11
            payload = self.wait_for(process)
        return payload, self.server.times[self.server.of_process(process.pid)[0]] - start

    def wait_for(self, process):
        """The payload about the crash of this process."""
        numbers = wait_until(lambda: self.server.of_process(process.pid), what=self.handler.errors)
        return payload_of_frame(self.server.frames[numbers[0]])


MISHAPS = {
    "hang": "ended after 4.5 s, the longest a crash may take",
    "crash": "ended by signal 11",
    "memory": "ended at 96 MiB, the most memory it may take",
}


@pytest.mark.parametrize("what", MISHAPS)
@pytest.mark.parametrize("when", ["early", "late"])
def test_a_crash_is_told_in_time_whatever_becomes_of_the_child(tmp_path, folder, program, when, what):
    took = []
    with Trap(tmp_path, folder, f"{when}:{what}") as trap:
        # Others on a busy machine can only make it late: one in time shows that it does its part.
        while not took or (min(took) > PROMISE and len(took) < 3):
            payload, seconds = trap.crash(program)
            took.append(seconds)
    print(f"told after {took} s")
    assert min(took) <= PROMISE, took
    assert f"\nAnalysis: {MISHAPS[what]}\n" in payload
    assert "\nSignal: 11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0\n" in payload
    if when == "late":
        # What was known by then: where it was, with the names that symbol tables have.
        frame = Report(payload).frames[0]
        assert frame.module == "example" and frame.offset
        assert (frame.name, frame.line) == ("fault", None)
    else:
        assert "Backtrace" not in payload
    # The crash of the child is nobody's case.
    assert len(trap.handler.calls(program)) == len(took)
    assert trap.handler.calls(CRASHPROBE) == []


# One text came when all stacks were known: what another thread led into hid the crash.
@pytest.mark.parametrize("what", MISHAPS)
def test_the_thread_that_crashed_is_told_whatever_comes_of_the_others(tmp_path, folder, what):
    source = tmp_path / "example.c"
    source.write_text("#include <pthread.h>\n#include <unistd.h>\n"
                      "static void *wait_for(void *p) { pause(); return p; }\n"
                      "__attribute__((noinline)) void fault(volatile int *p) { *p = 1; }\n"
                      "int main(void) { pthread_t t; pthread_create(&t, 0, wait_for, 0);"
                      " fault(0); return 0; }\n")
    program = tmp_path / "example"
    subprocess.run([find_tool("gcc"), "-O1", "-pthread", "-o", program, source], check=True)
    with Trap(tmp_path, folder, f"second:{what}") as trap:
        payload, _ = trap.crash(program)
    assert f"\nAnalysis: {MISHAPS[what]}\n" in payload
    frames = Report(payload).frames
    assert frames[0].module == "example" and len(frames) >= 3
    assert "\n(1 threads left out)\n" in payload


def test_the_child_can_do_nothing_but_look_and_tell(tmp_path, folder, program):
    with Trap(tmp_path, folder, "early:escape") as trap:
        payload, _ = trap.crash(program)
    attempts = dict(re.findall(r"^#\d+ Escape: (.*): (done|refused) - \[unmapped\]$", payload, re.M))
    assert len(attempts) >= 50, payload
    assert [name for name, came in attempts.items() if came != "refused"] == []
    # The memory of the process and its files were among what it tried to write to.
    tried = next(name for name in attempts if name.startswith("write to one of "))
    assert int(tried.split()[4]) >= 3, tried


# It may read the process's memory. Any lines of text were taken from it.
@pytest.mark.parametrize("when", ["early", "late"])
def test_the_child_can_only_tell_what_looks_like_a_report(tmp_path, folder, program, when):
    with Trap(tmp_path, folder, f"{when}:chatter") as trap:
        payload, _ = trap.crash(program)
    assert "CANARY" not in payload
    assert "\nAnalysis: gave no text\n" in payload


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86_64 has system calls of two kinds")
def test_the_child_ends_at_a_system_call_of_another_kind(tmp_path, folder, program):
    with Trap(tmp_path, folder, "early:escape32") as trap:
        payload, _ = trap.crash(program)
    assert "\nAnalysis: ended by signal 31\n" in payload


def crashprobes_of(config):
    """Pids of crashprobe as the kernel has called it, and of its children."""
    found = []
    for pid in processes_with(config):
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "crashprobe":
                found.append(pid)
    return found


def sandboxed(config):
    """The children that look into files, and whose each is."""
    found = {}
    for pid in crashprobes_of(config):
        for child in children(pid):
            try:
                if "\nSeccomp:\t2\n" in pathlib.Path(f"/proc/{child}/status").read_text():
                    found[child] = pid
            except OSError:
                pass  # it has ended meanwhile
    return found


def test_the_child_has_no_rights_and_only_reads(tmp_path, folder, program):
    with Trap(tmp_path, folder, "early:hang") as trap:
        with core_pattern(trap.handler.pattern()):
            process = subprocess.Popen([program])

            child, = wait_until(lambda: sandboxed(trap.config), what=trap.handler.errors)
            status = pathlib.Path(f"/proc/{child}/status").read_text()
            root = os.readlink(f"/proc/{child}/root")
            opened = {}
            for fd in os.listdir(f"/proc/{child}/fd"):
                flags = re.search(r"^flags:\t0*(\d+)$",
                                  pathlib.Path(f"/proc/{child}/fdinfo/{fd}").read_text(), re.M)
                opened[os.readlink(f"/proc/{child}/fd/{fd}")] = int(flags[1], 8) & os.O_ACCMODE
            assert process.poll() is None  # its memory is what the child may read
            os.kill(child, 9)
            process.wait(DEADLINE)
            trap.wait_for(process)
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    assert "0" not in fields["Uid"].split() + fields["Gid"].split()
    assert fields["Groups"].strip() == ""
    assert fields["NoNewPrivs"] == "1"
    assert {fields[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {"0" * 16}
    assert root.endswith(" (deleted)")
    links = [name for name in opened if name.startswith("socket:")]
    assert len(links) == 1
    assert f"/proc/{process.pid}/mem" in opened and str(program) in opened
    assert {mode for name, mode in opened.items() if name not in links} == {os.O_RDONLY}


def test_a_third_crash_waits_its_turn_and_is_told_as_a_fact(tmp_path, folder, program):
    with Trap(tmp_path, folder, "early:hang") as trap:
        with core_pattern(trap.handler.pattern(), pipe_limit=8):
            two = [subprocess.Popen([program]) for _ in range(2)]
            wait_until(lambda: len(sandboxed(trap.config)) == 2, what=trap.handler.errors)
            third = subprocess.Popen([program])
            third.wait(DEADLINE)
            # Two were at it all the time.
            assert [process.poll() for process in two] == [None, None]
            fact = trap.wait_for(third)
            payloads = []
            for process in two:
                process.wait(DEADLINE)
                payloads.append(trap.wait_for(process))
    assert "\nAnalysis: left out, since two others were under way\n" in fact
    assert all(f"\nAnalysis: {MISHAPS['hang']}\n" in payload for payload in payloads)


def test_a_crash_of_crashprobe_is_never_handled_by_crashprobe(tmp_path, folder, program):
    """By hand: nothing keeps the kernel from calling, so crashprobe has to know itself."""
    with Trap(tmp_path, folder, "none") as trap:
        with core_pattern(trap.handler.pattern()):
            with subprocess.Popen([CRASHPROBE, "-f", trap.config, "-n"], stdin=subprocess.PIPE) as ours:
                wait_until(lambda: os.readlink(f"/proc/{ours.pid}/exe") == str(CRASHPROBE))
                ours.send_signal(11)
                assert ours.wait(DEADLINE) == -11
            wait_until(lambda: len(trap.handler.calls(CRASHPROBE)) == 1
                       and not crashprobes_of(trap.config))
            # And a crash of another program is handled.
            process = subprocess.Popen([program])
            process.wait(DEADLINE)
            trap.wait_for(process)
    assert trap.server.of_process(ours.pid) == []


@pytest.mark.parametrize("which", ["at its work", "waiting for that"])
def test_a_crash_of_crashprobe_as_the_kernels_handler_calls_nobody(tmp_path, folder, program, which):
    with Trap(tmp_path, folder, "early:hang") as trap:
        with core_pattern(trap.handler.pattern()):
            process = subprocess.Popen([program])
            worker, = wait_until(lambda: sandboxed(trap.config), what=trap.handler.errors).values()
            waiting, = (pid for pid in crashprobes_of(trap.config) if worker in children(pid))
            os.kill(worker if which == "at its work" else waiting, 11)
            process.wait(DEADLINE)
            wait_until(lambda: not crashprobes_of(trap.config))
    # One call, for the program: another one would be the start of a loop without end.
    assert len(trap.handler.calls(program)) == 1
    assert trap.handler.calls(CRASHPROBE) == []
    if which == "at its work":
        payload = trap.wait_for(process)
        assert "\nAnalysis: ended by signal 11\n" in payload
        assert payload.startswith("Process: example\nPID: ")


class Gate:
    """Whoever opens `path` waits until this is closed, as for a file system of a user's own that
    does not answer (fanotify(7), FAN_OPEN_PERM)."""

    def __init__(self, path):
        class_content, mark_add, open_perm, at_fdcwd = 0x4, 0x1, 0x10000, -100
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.fanotify_init(class_content, os.O_RDONLY)
        if self._fd < 0:
            pytest.skip(f"no fanotify here: {os.strerror(ctypes.get_errno())}")
        if libc.fanotify_mark(self._fd, mark_add, ctypes.c_uint64(open_perm), at_fdcwd,
                              str(path).encode()) != 0:
            os.close(self._fd)
            pytest.skip(f"fanotify asks nobody here: {os.strerror(ctypes.get_errno())}")

    def close(self):
        os.close(self._fd)


# A user's own file system that does not answer held crashprobe for ever, as root; with two such
# crashes nobody else's was looked into any more.
def test_a_file_that_never_opens_holds_nobody_up(tmp_path, folder):
    source = tmp_path / "example.c"
    source.write_text("#include <unistd.h>\nint main(void) { char c; write(1, \"x\", 1); read(0, &c, 1);"
                      " *(volatile int *)0 = 1; return 0; }\n")
    program = tmp_path / "example"
    subprocess.run([find_tool("gcc"), "-O1", "-w", "-o", program, source], check=True)
    with Trap(tmp_path, folder, "none") as trap:
        with core_pattern(trap.handler.pattern()):
            process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            process.stdout.read(1)
            gate = Gate(program)
            try:
                process.stdin.close()
                assert process.wait(DEADLINE) == -11
                payload = trap.wait_for(process)
                wait_until(lambda: not crashprobes_of(trap.config))
            finally:
                gate.close()
    assert payload.startswith("Process: example\nPID: ")
    assert "\nAnalysis: given up after 4.7 s\n" in payload


def test_a_process_is_let_go_once_its_stacks_are_known(tmp_path, folder, program):
    with Trap(tmp_path, folder, "late:hang") as trap:
        with core_pattern(trap.handler.pattern()):
            process = subprocess.Popen([program])
            process.wait(DEADLINE)
            # Names are still looked for.
            assert trap.server.frames == [] and any(children(pid) for pid in crashprobes_of(trap.config))
            payload = trap.wait_for(process)
    assert Report(payload).frames[0].module == "example"
