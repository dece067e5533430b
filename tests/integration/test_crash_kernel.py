"""crashprobe as the kernel calls it: a process that crashes, and is read while it is still there."""

import contextlib
import errno
import fcntl
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys

import pytest
from support.core_pattern import (SHORT, WITH_PIDFD, core_pattern, has_socket_mode,
                                  needs_core_pattern)
from support.crashes import (CRASHPROBE, Report, find_tool, needs_crashprobe, run_crashprobe,
                             write_config)
from support.frame_server import FrameServer
from support.frames import payload_of_frame
from support.waiting import DEADLINE, wait_until

pytestmark = [needs_crashprobe, needs_core_pattern]


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


@pytest.mark.parametrize("words", [SHORT, WITH_PIDFD], ids=["short", "full"])
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
    _, record = crash_with_handler(folder, run, WITH_PIDFD)
    report = Report(record["payload"])
    assert report.names[:3] == ["fault", "run", "main"]
    assert any("(deleted)" in line for line in record["payload"].splitlines())


@contextlib.contextmanager
def kernels_connection(folder, program, prefix):
    """Of a crash of `program`; the process, and what the kernel has connected to."""
    path = f"/run/telemetrics-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(4)
            with contextlib.ExitStack() as settings:
                try:
                    settings.enter_context(core_pattern(prefix + path))
                except OSError as error:
                    # The first kernels with sockets take no "@@".
                    if prefix == "@@" and error.errno == errno.EINVAL:
                        pytest.skip(f"this kernel does not ask what we want: {error}")
                    raise
                process = subprocess.Popen([program], cwd=folder)
                connection, _ = listener.accept()
                with connection:
                    yield process, connection
                process.wait(DEADLINE)
        finally:
            pathlib.Path(path).unlink(missing_ok=True)


@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
@pytest.mark.parametrize("prefix", ["@@", "@"])
def test_reads_the_dying_process_through_the_kernels_socket(folder, program, prefix):
    config = write_config(folder)
    with kernels_connection(folder, program, prefix) as (process, connection):
        done = run_crashprobe(config, "-n", "--json", "--socket", stdin=connection)
    report = Report(json.loads(done.stdout)["payload"])
    assert report.field("PID") == str(process.pid)
    assert report.names[:3] == ["fault", "run", "main"]


# Through a pipe the kernel says the signal in words; here a record of the fact alone had none.
@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
def test_a_crash_that_is_left_out_has_its_signal(folder, program):
    config = write_config(folder)
    with contextlib.ExitStack() as others:
        for number in range(2):
            turn = others.enter_context(open(folder / f"crashprobe.turn.{number}", "w"))
            fcntl.flock(turn, fcntl.LOCK_EX)
        with kernels_connection(folder, program, "@") as (process, connection):
            done = run_crashprobe(config, "-n", "--json", "--socket", stdin=connection)
    payload = json.loads(done.stdout)["payload"]
    assert payload == (f"Process: example\nPID: {process.pid}\nSignal: 11 (SIGSEGV)\n"
                       "Analysis: left out, since two others were under way\n")


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


# struct coredump_req of linux/coredump.h: size, size_ack, mask.
REQUEST = struct.pack("=IIQ", 16, 16, 15)


@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
@pytest.mark.parametrize("words", [REQUEST, b"\x7fELF" + bytes(2000), b""],
                         ids=["asks", "streams", "says-nothing"])
def test_believes_no_process_that_connects_itself(folder, words):
    """A process of its own at the listening socket, alive, that does as the kernel does. It is not
    even listened to, so one that says nothing holds nobody up."""
    config = write_config(folder)
    script = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
              "s.sendall(bytes.fromhex(sys.argv[2])); sys.stdin.read()")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(DEADLINE)
        listener.bind(str(folder / "core"))
        listener.listen(4)
        with subprocess.Popen([sys.executable, "-c", script, str(folder / "core"), words.hex()],
                              stdin=subprocess.PIPE) as impostor:
            connection, _ = listener.accept()
            with connection:
                done = run_crashprobe(config, "-n", "--socket", stdin=connection)
            assert impostor.poll() is None
            impostor.stdin.close()
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"crashprobe: the peer is no process that the kernel dumps\n"


def test_wants_a_socket_where_it_was_promised_one(folder):
    config = write_config(folder)
    done = run_crashprobe(config, "-n", "--socket")
    assert done.returncode == 1
    assert b"ask who is at the socket" in done.stderr and done.stdout == b""


@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
@pytest.mark.parametrize("prefix", ["@@", "@"])
def test_is_activated_for_each_crash_by_the_kernels_connection(folder, program, prefix):
    """As crashprobe.socket and crashprobe@.service do it: a process for each connection."""
    activate = find_tool("systemd-socket-activate")
    config = write_config(folder)
    path = f"/run/telemetrics-test-{os.getpid()}"
    server = FrameServer(folder / "socket")
    try:
        with subprocess.Popen([activate, "--accept", "--inetd", "-l", path, CRASHPROBE, "-f", config,
                               "--socket"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL) as service:
            try:
                wait_until(lambda: os.path.exists(path))
                with core_pattern(prefix + path):
                    processes = [subprocess.Popen([program], cwd=folder) for _ in range(3)]
                    for process in processes:
                        process.wait(DEADLINE)
                    for process in processes:
                        wait_until(lambda p=process: server.of_process(p.pid))
            finally:
                service.terminate()
    finally:
        server.close()
        pathlib.Path(path).unlink(missing_ok=True)
    for process in processes:
        number, = server.of_process(process.pid)
        payload = payload_of_frame(server.frames[number])
        assert Report(payload).names[:3] == ["fault", "run", "main"]
        assert "\nSignal: 11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0\n" in payload
        assert "CANARY" not in payload
    assert not list(folder.glob("core*"))
