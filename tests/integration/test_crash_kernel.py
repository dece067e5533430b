"""crashprobe as the kernel calls it: a process that crashes, and is read while it is still there.

kernel.core_pattern belongs to the whole machine: a lock keeps these tests from each other, and what
was there is put back on every path.
"""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import subprocess

import pytest
from support.crashes import (CRASHPROBE, Report, find_tool, needs_crashprobe, run_crashprobe,
                             write_config)
from support.marks import needs_root
from support.waiting import DEADLINE, wait_until

KERNEL = pathlib.Path("/proc/sys/kernel")
LOCK = pathlib.Path("/tmp/telemetrics-kernel-settings.lock")
SHORT = "-p %e -E %E -s %s"
FULL = SHORT + " %P %i %I %t %u %g %c %d %F"

pytestmark = [needs_crashprobe, needs_root, pytest.mark.skipif(
    not os.access(KERNEL / "core_pattern", os.W_OK),
    reason="kernel.core_pattern cannot be changed here")]


@contextlib.contextmanager
def core_pattern(pattern):
    with open(LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        former = {name: (KERNEL / name).read_text() for name in ("core_pattern", "core_pipe_limit")}
        try:
            (KERNEL / "core_pipe_limit").write_text("4")
            (KERNEL / "core_pattern").write_text(pattern)
            yield
        finally:
            for name, value in former.items():
                (KERNEL / name).write_text(value)


@pytest.fixture
def folder(tmp_path):
    """Not in memory: the kernel runs a script from there."""
    return tmp_path


@pytest.fixture
def program(folder):
    source = folder / "example.c"
    source.write_text("""
        #include <string.h>
        __attribute__((noinline)) int fault(volatile int *p) { *p = 1; return *p; }
        __attribute__((noinline)) int run(volatile int *p) { return fault(p) + 1; }
        int main(int c, char **v) {
          char stack[64];
          strcpy(stack, "CANARY-ON-THE-STACK");
          return run((void *)(long)(c > 2)) + stack[c];
        }""")
    subprocess.run([find_tool("gcc"), "-g", "-O1", "-o", folder / "example", source], check=True)
    return folder / "example"


def crash_with_handler(folder, program, words):
    """Lets the kernel call crashprobe for a crash of `program`; the record."""
    config = write_config(folder)
    out = folder / "record"
    handler = folder / "handler"
    handler.write_text(f"#!/bin/sh\nexec {CRASHPROBE} -f {config} -n --json \"$@\" "
                       f"> {out}.part 2> {folder}/errors\n")
    handler.chmod(0o755)
    with core_pattern(f"|{handler} {words}"):
        process = subprocess.Popen([program, "CANARY-ARGUMENT"], cwd=folder,
                                   env={"SECRET": "CANARY-ENVIRONMENT"})
        process.wait(DEADLINE)
        wait_until(lambda: pathlib.Path(f"{out}.part").read_text().endswith("}\n"),
                   what=lambda: (folder / "errors").read_text())
    return process, json.loads(pathlib.Path(f"{out}.part").read_text())


@pytest.mark.parametrize("words", [SHORT, FULL], ids=["short", "full"])
def test_reads_the_dying_process(folder, program, words):
    process, record = crash_with_handler(folder, program, words)
    report = Report(record["payload"])
    assert report.field("PID") == str(process.pid)
    assert report.names[:3] == ["fault", "run", "main"]
    assert "CANARY" not in json.dumps(record)


def test_names_functions_of_a_program_that_is_not_there_any_more(folder, program):
    run = folder / "run"
    run.write_text(f"#!/bin/sh\nexec 3< {program}\nrm {program}\nexec /proc/self/fd/3\n")
    run.chmod(0o755)
    _, record = crash_with_handler(folder, run, FULL)
    report = Report(record["payload"])
    assert report.names[:3] == ["fault", "run", "main"]
    assert any("(deleted)" in line for line in record["payload"].splitlines())


def has_socket_mode():
    modes = KERNEL / "core_modes"
    return modes.exists() and "socket" in modes.read_text().split()


@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
@pytest.mark.parametrize("prefix", ["@@", "@"])
def test_reads_the_dying_process_through_the_kernels_socket(folder, program, prefix):
    config = write_config(folder)
    path = f"/run/telemetrics-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(4)
            try:
                with core_pattern(prefix + path):
                    process = subprocess.Popen([program], cwd=folder)
                    connection, _ = listener.accept()
                    with connection:
                        done = run_crashprobe(config, "-n", "--json", "--socket", stdin=connection)
                    process.wait(DEADLINE)
            except OSError as error:
                if prefix == "@@" and not isinstance(error, TimeoutError):
                    pytest.skip(f"this kernel does not ask what we want: {error}")
                raise
        finally:
            pathlib.Path(path).unlink(missing_ok=True)
    report = Report(json.loads(done.stdout)["payload"])
    assert report.field("PID") == str(process.pid)
    assert report.names[:3] == ["fault", "run", "main"]


@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
def test_believes_no_impostor_at_the_socket(folder):
    config = write_config(folder)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"\x7fELF" + bytes(1000))
        done = run_crashprobe(config, "-n", "--socket", stdin=theirs)
    assert done.returncode == 1
    assert done.stderr == b"crashprobe: the peer is no process that the kernel dumps\n"
    assert done.stdout == b""
