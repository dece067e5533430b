"""crashprobe --setup and --restore: the kernel's settings are taken over, and put back whatever
happens in between; and what crash_forward hands on."""

import os
import pathlib
import re
import resource
import shutil
import subprocess
import tempfile

import pytest
from support.core_pattern import KERNEL, has_socket_mode, kept_settings, needs_core_pattern
from support.crashes import (CRASHPROBE, Report, find_tool, needs_crashprobe, report_core,
                             write_config)
from support.frame_server import FrameServer
from support.frames import payload_of_frame
from support.proc import processes_with
from support.waiting import wait_until

pytestmark = [needs_crashprobe, needs_core_pattern, pytest.mark.skipif(
    os.readlink("/proc/self/ns/pid") != "pid:[4026531836]",
    reason="in a container crashprobe changes nothing")]

NOBODY = 65534


@pytest.fixture
def place():
    """A folder with crashprobe in it and with a short path: the kernel takes 127 characters."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        shutil.copy(CRASHPROBE, folder / "crashprobe")
        write_config(folder).rename(folder / "c")
        yield folder


# A root folder with all that is in the one of the machine, but no mark of a container: a virtual
# machine that was made of one has it still.
NEW_ROOT = """
mount -t tmpfs none {new} && cd {new} && {inner}
for i in /*; do
  if test -h $i; then cp -P $i .; elif test -d $i; then mkdir .$i && mount --rbind $i .$i; fi
done
"""


def call(place, *arguments, wrapper=()):
    command = [*wrapper, place / "crashprobe", "-f", place / "c", *arguments]
    if pathlib.Path("/.dockerenv").exists():
        (place / "new").mkdir(exist_ok=True)
        script = NEW_ROOT.format(new=place / "new", inner="") + 'mkdir old && pivot_root . old && exec "$@"'
        command = [find_tool("unshare"), "-m", "sh", "-ec", script, "sh", *command]
    return subprocess.run(command, capture_output=True, text=True)


def set_kernel(pattern="core.%p", limit="0"):
    (KERNEL / "core_pattern").write_text(pattern)
    (KERNEL / "core_pipe_limit").write_text(limit)


def kernel():
    return ((KERNEL / "core_pattern").read_text().strip(),
            (KERNEL / "core_pipe_limit").read_text().strip())


@pytest.fixture
def program(tmp_path):
    source = tmp_path / "example.c"
    source.write_text("__attribute__((noinline)) void fault(volatile int *p) { *p = 1; }\n"
                      "int main(void) { fault(0); return 0; }\n")
    subprocess.run([find_tool("gcc"), "-g", "-O1", "-o", tmp_path / "example", source], check=True)
    return tmp_path / "example"


def test_the_kernel_calls_crashprobe_until_it_is_put_back(place, program):
    server = FrameServer(place / "socket")
    try:
        with kept_settings():
            set_kernel()
            done = call(place, "--setup")
            assert (done.returncode, done.stderr) == (0, "")
            assert kernel()[0].startswith(f"|{place}/crashprobe -f {place}/c -p %e -E %E -s %s %P ")
            assert kernel()[1] == "16"
            process = subprocess.Popen([program])
            process.wait()
            wait_until(lambda: server.of_process(process.pid))
            done = call(place, "--restore")
            assert (done.returncode, done.stderr) == (0, "")
            assert kernel() == ("core.%p", "0")
    finally:
        server.close()
    number, = server.of_process(process.pid)
    report = Report(payload_of_frame(server.frames[number]))
    assert report.names[:2] == ["fault", "main"]


# The unit's sandbox made one, and the pipe was taken without a word.
@pytest.mark.skipif(not has_socket_mode(), reason="this kernel has no coredump socket")
def test_says_that_the_kernel_takes_no_socket_from_another_mount_namespace(place):
    inner = 'mount -t tmpfs none /run && mkdir /run/telemetry && touch /run/telemetry/core && exec "$@"'
    with kept_settings():
        set_kernel()
        done = call(place, "--setup", wrapper=[find_tool("unshare"), "-m", "sh", "-ec", inner, "sh"])
        assert done.returncode == 0
        assert kernel()[0].startswith(f"|{place}/crashprobe ")
        assert call(place, "--restore").returncode == 0
    assert re.findall(r"^crashprobe: '(@+/run/telemetry/core)' is refused: .*; taking the next best$",
                      done.stderr, re.M) == ["@@/run/telemetry/core", "@/run/telemetry/core"]


def test_doing_it_twice_is_doing_it_once(place):
    with kept_settings():
        set_kernel()
        for _ in range(2):
            assert call(place, "--setup").returncode == 0
        for _ in range(2):
            assert call(place, "--restore").returncode == 0
            assert kernel() == ("core.%p", "0")


@pytest.mark.parametrize("action", ["--setup", "--restore"])
def test_puts_back_what_was_there_after_a_kill_at_any_point(place, action):
    kills = 0
    with kept_settings():
        for change in ("write", "rename", "unlink", "fsync"):
            number = 1
            while kill_at(place, action, f"{change}:signal=KILL:when={number}"):
                number += 1
                kills += 1
    assert kills >= 3


def kill_at(place, action, where):
    """Whether crashprobe was killed there; then everything can be put back all the same."""
    set_kernel()
    if action == "--restore":
        assert call(place, "--setup").returncode == 0
    done = call(place, action, wrapper=[find_tool("strace"), "-q", "-o", "/dev/null",
                                        "-e", f"inject={where}"])
    after_kill = kernel()
    assert call(place, "--restore").returncode == 0, after_kill
    assert kernel() == ("core.%p", "0"), (where, after_kill)
    return done.returncode != 0


def test_leaves_alone_what_somebody_else_has_set_since(place):
    with kept_settings():
        set_kernel()
        assert call(place, "--setup").returncode == 0
        set_kernel("|/usr/bin/other %p", "3")
        assert call(place, "--restore").returncode == 0
        assert kernel() == ("|/usr/bin/other %p", "3")


def test_an_opted_out_user_is_not_set_up_and_is_put_back(place):
    with kept_settings():
        set_kernel()
        assert call(place, "--setup").returncode == 0
        (place / "opt-out").touch()
        assert call(place, "--restore").returncode == 0
        assert kernel() == ("core.%p", "0")
        assert call(place, "--setup").returncode == 0
        assert kernel() == ("core.%p", "0")


def test_lets_systemd_coredump_keep_it_where_that_was_asked_for(place):
    write_config(place, crash_forward="systemd-coredump").rename(place / "c")
    with kept_settings():
        theirs = "|/lib/systemd/systemd-coredump %P %u %g %s %t %c %h"
        set_kernel(theirs, "16")
        done = call(place, "--setup")
        assert done.returncode == 0
        assert done.stderr == "crashprobe: systemd-coredump keeps core_pattern, as crash_forward says\n"
        assert call(place, "--restore").returncode == 0
        assert kernel() == (theirs, "16")


REFUSED = "crashprobe: the kernel of a container or chroot is its host's\n"


@pytest.mark.parametrize("action", ["--setup", "--restore"])
def test_changes_nothing_from_a_container(place, action):
    unshare = find_tool("unshare")
    with kept_settings():
        set_kernel()
        if action == "--restore":
            assert call(place, "--setup").returncode == 0
        before = kernel()
        done = call(place, action, wrapper=[unshare, "--pid", "--fork", "--mount-proc"])
        assert (done.returncode, done.stderr) == (1, REFUSED)
        assert kernel() == before


@pytest.mark.parametrize("action", ["--setup", "--restore"])
def test_changes_nothing_from_a_chroot(place, action):
    (place / "chroot").mkdir()
    # All of the machine is in there, so that crashprobe finds whatever it may look for.
    script = NEW_ROOT.format(new=place / "chroot", inner="mkdir inner && cd inner")
    script += f"exec chroot . {place}/crashprobe -f {place}/c {action}"
    with kept_settings():
        set_kernel()
        if action == "--restore":
            assert call(place, "--setup").returncode == 0
        before = kernel()
        done = subprocess.run([find_tool("unshare"), "-m", "sh", "-ec", script],
                              capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (1, REFUSED)
        assert kernel() == before


class Forwarded:
    """Crashes while crash_forward = file, and the pattern that was there before is `pattern`."""

    def __init__(self, place, pattern, **settings):
        write_config(place, crash_forward="file", **settings).rename(place / "c")
        self.place = place
        self.pattern = pattern
        self.server = FrameServer(place / "socket")

    def crash(self, program, folder, limit=resource.RLIM_INFINITY, user=None):
        def prepare():
            resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))

        with kept_settings():
            set_kernel(self.pattern)
            assert call(self.place, "--setup").returncode == 0
            process = subprocess.Popen([program], cwd=folder, preexec_fn=prepare, user=user,
                                       group=user, extra_groups=[] if user else None)
            process.wait()
            wait_until(lambda: self.server.of_process(process.pid)
                       and not processes_with(self.place / "c"))
            assert call(self.place, "--restore").returncode == 0
        self.server.close()
        number, = self.server.of_process(process.pid)
        return process, payload_of_frame(self.server.frames[number])


@pytest.fixture
def cwd(place):
    folder = place / "cwd"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


def test_hands_the_whole_core_on_to_the_file_that_was_there_before(place, cwd, program):
    process, payload = Forwarded(place, "core-%e.%p").crash(program, cwd)
    core = cwd / f"core-example.{process.pid}"
    assert [path.name for path in cwd.iterdir()] == [core.name]
    assert core.stat().st_mode & 0o777 == 0o600
    # It is whole: another reader finds in it what the record said.
    assert report_core(place / "c", core).names == Report(payload).names
    assert "fault" in subprocess.run(
        [find_tool("gdb"), "-batch", "-ex", "bt", program, core], capture_output=True,
        text=True).stdout


def test_hands_the_core_on_as_the_user_of_the_process(place, cwd, program):
    program.parent.chmod(0o755)
    shutil.copy(program, place / "example")
    Forwarded(place, "core").crash(place / "example", cwd, user=NOBODY)
    core, = cwd.iterdir()
    assert core.stat().st_uid == NOBODY


def test_writes_no_core_beyond_the_limit_of_the_process(place, cwd, program):
    Forwarded(place, "core").crash(program, cwd, limit=0)
    assert list(cwd.iterdir()) == []


def test_cuts_the_core_where_the_limit_of_the_process_is(place, cwd, program):
    Forwarded(place, "core").crash(program, cwd, limit=20_480)
    core, = cwd.iterdir()
    assert core.stat().st_size <= 20_480


def test_writes_no_core_over_a_file_of_somebody_else(place, cwd, program):
    victim = cwd / "core"
    victim.write_text("precious")
    os.link(victim, cwd / "second-name")
    Forwarded(place, "core").crash(program, cwd)
    assert victim.read_text() == "precious"


def test_writes_no_core_when_nothing_is_to_be_handed_on(place, cwd, program):
    write_config(place).rename(place / "c")
    server = FrameServer(place / "socket")
    try:
        with kept_settings():
            set_kernel("core")
            assert call(place, "--setup").returncode == 0
            process = subprocess.Popen([program], cwd=cwd)
            process.wait()
            wait_until(lambda: server.of_process(process.pid))
            assert call(place, "--restore").returncode == 0
    finally:
        server.close()
    assert list(cwd.iterdir()) == []
