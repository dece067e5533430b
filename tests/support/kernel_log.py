"""What kernels and firmware leave, as tests make it: /dev/kmsg's records and something that stands for
/dev/kmsg, logs as text, the table BERT."""

import os
import struct
import subprocess
import time

from . import paths
from .proc import peak_kib
from .waiting import DEADLINE, wait_until

KLOGSCANNER = paths.BUILD / "bin" / "klogscanner"
OOPSPROBE = paths.BUILD / "bin" / "oopsprobe"


# Microseconds since the boot, after any consent that a test gives.
LATER = int(time.monotonic() * 1e6) + 3_600_000_000


def record(sequence, text, priority=4, flags="-", caller="", start=LATER):
    """One record of /dev/kmsg, printed `sequence` microseconds past `start`."""
    tail = f",caller={caller}" if caller else ""
    return f"{priority},{sequence},{start + sequence},{flags}{tail};{text}\n".encode()


def report(sequence, function="drain", **how):
    """A report of six records that blames `function`."""
    lines = [
        "------------[ cut here ]------------",
        f"WARNING: CPU: 0 PID: 7 at drivers/misc/{function}.c:1 {function}+0x1/0x2",
        "Call Trace:",
        f" {function}+0x1/0x2",
        " vfs_write+0x3/0x4",
        "---[ end trace 0000000000000000 ]---",
    ]
    return b"".join(record(sequence + i, line, **how) for i, line in enumerate(lines))


def oops(function="drain", second=10):
    """What is left of a kernel that blames `function`, as text with levels and times."""
    return (f"<1>[{second:5}.000001] BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
            f"<4>[{second:5}.000002] CPU: 0 PID: 5 Comm: crashd Not tainted 6.1.0-28-amd64 #1\n"
            f"<4>[{second:5}.000003] RIP: 0010:{function}+0x2b/0x90 [mod]\n"
            f"<4>[{second:5}.000004] Call Trace:\n"
            f"<4>[{second:5}.000005]  mod_read+0x64/0x110 [mod]\n"
            f"<4>[{second:5}.000006] ---[ end trace 0000000000000000 ]---\n")


def bert():
    """A generic error status block with a memory error, as the kernel leaves it."""
    data = struct.pack("<QQQQHH", 1 << 1 | 1 << 3 | 1 << 14, 0, 0x3f00d000, 0, 2, 0)
    data = data.ljust(72, b"\0") + b"\x03" + b"\0" * 7
    guid = bytes.fromhex("1411bca5646fde4eb8633e83ed7c83b1")
    section = guid + struct.pack("<IHBBI", 1, 0x300, 0, 0, len(data)) + b"\0" * 44 + data
    return struct.pack("<IIIII", 0, 0, 0, len(section), 1) + section


def quiet(first, count):
    return b"".join(record(first + i, f"usb 1-{i % 9}: new high-speed USB device") for i in range(count))


class Scanner:
    """A running klogscanner that follows a FIFO."""

    def __init__(self, machine, *arguments, wrapper=()):
        self.machine = machine
        self.errors = machine.root / "klogscanner.stderr"
        fifo = machine.root / "kmsg"
        if not fifo.exists():
            os.mkfifo(fifo)
        # Before the reader: to it a FIFO without a writer has ended.
        self.log = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
        with open(self.errors, "ab") as log:
            self.process = subprocess.Popen(
                [*wrapper, KLOGSCANNER, "-f", machine.config, "--kmsg", fifo, *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def write(self, data):
        """All of it, however slowly it is read."""
        rest = memoryview(data)

        def is_written():
            nonlocal rest
            try:
                rest = rest[os.write(self.log, rest):]
            except BlockingIOError:
                assert self.process.poll() is None, self.said()
            return not rest

        wait_until(is_written, what="klogscanner has read the log")

    def said(self):
        return self.errors.read_text(errors="replace")

    def peak_kib(self):
        return peak_kib(self.process.pid)

    def end_log(self):
        """The log is over; returns the exit code."""
        os.close(self.log)
        self.log = -1
        return self.process.wait(DEADLINE)

    def stop(self):
        self.process.terminate()
        return self.process.wait(DEADLINE)

    def close(self):
        if self.log >= 0:
            os.close(self.log)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def scan(machine, file, *arguments):
    """klogscanner on a file in place of /dev/kmsg, to its end; (exit code, stdout, stderr)."""
    done = subprocess.run([KLOGSCANNER, "-f", machine.config, "--kmsg", file, *arguments],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def oopsprobe(machine, *arguments):
    done = subprocess.run([OOPSPROBE, "-f", machine.config, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def consent_long_ago(machine):
    """As if telemd had run before: what lies there from before its first start is nobody's to send."""
    path = machine.state / "consent_since"
    if machine.process is not None and machine.status()["collecting"]:
        wait_until(path.exists, what="telemd's own note")
    path.write_text("1000000000\n")
    machine.give(path)


def guilty_of(requests):
    """The functions that the records blame."""
    return [line.split(" : ")[1] for request in requests
            for line in request.body.decode().splitlines() if line.startswith("Guilty : ")]


def wait_for_guilty(sink, *functions):
    wait_until(lambda: sorted(guilty_of(sink.requests)) == sorted(functions),
               what=lambda: f"records that blame {functions}; there are {guilty_of(sink.requests)}")
