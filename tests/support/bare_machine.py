"""An installation below a folder of its own, without telemd, and telemctl as a person runs it there."""

import contextlib
import fcntl
import json
import os
import pty
import select
import shutil
import struct
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from .paths import TELEMCTL
from .waiting import DEADLINE

BOOT = "7d5cb02f-7f11-418a-9386-9b7ae7cf4f25"


def environment(**more):
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", "TERM": "xterm", **more}


def run(*arguments, **options):
    options.setdefault("env", environment())
    return subprocess.run(
        [str(options.pop("program", TELEMCTL)), *map(str, arguments)],
        capture_output=True,
        text=options.pop("text", True),
        timeout=DEADLINE,
        **options,
    )


def record_id(number):
    return f"{number:032x}"


def line(number, state="spooled", time=1795445599, cls="org.example/test/one", detail="",
         severity=1, size=400, uid=1000, comm="hprobe"):
    fields = (record_id(number), time, cls, "0123456789abcdef0123456789abcdef", BOOT, severity,
              size, state, detail, uid, 42, comm)
    return "\x1e".join(map(str, fields)) + "\n"


class BareMachine:
    """An installation below a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.log = self.folder / "log"
        self.journal = self.log / "journal"
        self.control = self.folder / "control"
        self.config = self.folder / "telemetrics.conf"
        self.write_config()

    def write_config(self, *lines):
        base = ("[settings]", f"log_dir = {self.log}", f"control_path = {self.control}")
        self.config.write_text("\n".join((*base, *lines)) + "\n")

    def write(self, *lines):
        self.log.mkdir(exist_ok=True)
        self.journal.write_text("".join(lines), errors="surrogateescape")

    def append(self, *lines):
        with self.journal.open("a", errors="surrogateescape") as file:
            file.write("".join(lines))

    def trim_to(self, *lines):
        fresh = self.log / "journal.new"
        fresh.write_text("".join(lines))
        fresh.rename(self.journal)

    def take_over(self, sample, journal):
        shutil.copytree(sample, self.log)
        if journal != "journal":
            (self.log / journal).rename(self.journal)

    def ctl(self, *arguments, **options):
        return run("--config-file", self.config, *arguments, **options)

    def ids(self, *arguments):
        done = self.ctl("journal", "--json", *arguments)
        assert (done.returncode, done.stderr) == (0, "")
        return [int(json.loads(text)["record_id"], 16) for text in done.stdout.splitlines()]


@contextlib.contextmanager
def bare_machine():
    # Not below pytest's own folder, which other users may not enter.
    with tempfile.TemporaryDirectory(prefix="telemctl-") as folder:
        os.chmod(folder, 0o755)
        yield BareMachine(folder)


def stranger(machine):
    """How to run telemctl as somebody who is neither root nor in any group of ours."""
    if os.geteuid() != 0:
        return {}
    program = machine.folder / "telemctl"
    shutil.copy(TELEMCTL, program)
    return {"program": program, "user": 65534, "group": 65534, "extra_groups": []}


class Terminal:
    """A program on a terminal of 24 lines, as a person would run it."""

    def __init__(self, *arguments, **env):
        own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))

        def take_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.fd = own
        self.seen = b""
        self.process = subprocess.Popen([str(TELEMCTL), *map(str, arguments)], stdin=theirs,
                                        stdout=theirs, stderr=theirs, env=environment(**env),
                                        preexec_fn=take_terminal)
        os.close(theirs)

    def read_until(self, wanted):
        end = time.monotonic() + DEADLINE
        while wanted not in self.seen:
            ready, _, _ = select.select([self.fd], [], [], max(0, end - time.monotonic()))
            assert ready, f"{wanted} did not appear: {self.seen!r}"
            try:
                more = os.read(self.fd, 65536)
            except OSError:  # EIO: the program closed its terminal
                more = b""
            assert more, f"{wanted} did not appear before the end: {self.seen!r}"
            self.seen += more

    def type(self, keys):
        os.write(self.fd, keys)

    def finish(self):
        """Exit code; all output is in `seen`, with the terminal's CR LF as LF."""
        while True:
            ready, _, _ = select.select([self.fd], [], [], DEADLINE)
            assert ready, f"still running: {self.seen!r}"
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                break
            if not more:
                break
            self.seen += more
        os.close(self.fd)
        self.seen = self.seen.replace(b"\r\n", b"\n")
        return self.process.wait(DEADLINE)
