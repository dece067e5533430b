"""The kernel's settings for crashes, which belong to the whole machine.

A lock keeps the tests that change them, and those that need them as they are, from each other. It is
on the settings' own folder: root and users find the same one, and can open it.
"""

import contextlib
import fcntl
import os
import pathlib
import subprocess
import tempfile

import pytest

from .waiting import DEADLINE

KERNEL = pathlib.Path("/proc/sys/kernel")
SHORT = "-p %e -E %E -s %s"
FULL = SHORT + " %P %i %I %t %u %g %c %d"
WITH_PIDFD = FULL + " %F"

needs_core_pattern = pytest.mark.skipif(
    os.getuid() != 0 or not os.access(KERNEL / "core_pattern", os.W_OK),
    reason="kernel.core_pattern cannot be changed here")


def has_socket_mode():
    """Whether this kernel can connect to a socket for each crash."""
    modes = KERNEL / "core_modes"
    return modes.exists() and "socket" in modes.read_text().split()


# Waits for the end of whoever holds its standard input.
_KEEPER = r"""cat >/dev/null
printf '%s\n' "$1" > /proc/sys/kernel/core_pattern &&
printf '%s\n' "$2" > /proc/sys/kernel/core_pipe_limit"""


@contextlib.contextmanager
def locked_settings(exclusive=False):
    """Nobody changes the settings meanwhile, or nobody but us. scripts/demo keeps to it, too."""
    lock = os.open(KERNEL, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield lock
    finally:
        os.close(lock)


@contextlib.contextmanager
def kept_settings():
    """What is done to the settings within is undone at its end, and also when this process is
    killed: a child puts back what was there, and has the lock until then."""
    with locked_settings(exclusive=True) as lock:
        former = [(KERNEL / name).read_text().strip() for name in ("core_pattern", "core_pipe_limit")]
        keeper = subprocess.Popen(["sh", "-c", _KEEPER, "keeper", *former], stdin=subprocess.PIPE,
                                  pass_fds=[lock], start_new_session=True)
        try:
            yield
        finally:
            keeper.stdin.close()
            assert keeper.wait(DEADLINE) == 0


@contextlib.contextmanager
def core_pattern(pattern, pipe_limit=4):
    with kept_settings():
        (KERNEL / "core_pipe_limit").write_text(str(pipe_limit))
        (KERNEL / "core_pattern").write_text(str(pattern))
        yield


# The settings are the whole machine's: somebody else's program may crash meanwhile, that of a test
# beside this one, too. $1 is %P, which the program that is tested does not see.
_OURS = """pid=$1
shift
while [ "$pid" -gt 1 ] && [ "$pid" -ne {worker} ]; do
  while read -r key value; do
    if [ "$key" = PPid: ]; then pid=$value; break; fi
  done < "/proc/$pid/status" || exit 0
done
[ "$pid" -eq {worker} ] || exit 0
"""


class Handler:
    """A program for the kernel to call: `command` with what the kernel says behind it. Each call
    leaves a line in the file `calls` in `folder`. Crashes of processes that are not below this one
    are left alone."""

    def __init__(self, folder, *command, output="/dev/null"):
        # By a short name: the kernel cuts a core_pattern behind 127 bytes.
        self._place = tempfile.TemporaryDirectory(prefix="h")
        self.path = pathlib.Path(self._place.name) / "handler"
        self._calls = folder / "calls"
        self._errors = folder / "errors"
        self.path.write_text("#!/bin/sh\n" + _OURS.format(worker=os.getpid()) + f"echo \"$*\" >> {self._calls}\n"
                             f"exec {' '.join(map(str, command))} \"$@\" "
                             f">> {output} 2>> {self._errors}\n")
        self.path.chmod(0o755)

    def pattern(self, words=FULL):
        pattern = f"|{self.path} %P {words}"
        assert len(pattern) <= 127
        return pattern

    def calls(self, program=None):
        """What the kernel said each time, or each time it was this program."""
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        path = str(program).replace("/", "!")
        return [line for line in lines if program is None or f" -E {path} " in line]

    def errors(self):
        return self._errors.read_text() if self._errors.exists() else ""
