"""Senders at full speed through libtelemetry (senders.c), and what became of each record."""

import collections
import shutil
import subprocess

from . import paths
from .frames import parse_headers


def build_senders(folder):
    """The program, built against the library under test. It finds it beside itself, or where it is
    installed."""
    target = folder / "senders"
    shutil.copy(paths.LIBTELEMETRY, folder / paths.LIBTELEMETRY.name)
    subprocess.run(["gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
                    "-I", paths.REPO / "include", paths.REPO / "tests" / "support" / "senders.c",
                    paths.LIBTELEMETRY, "-Wl,-rpath,$ORIGIN:/usr/local/lib",
                    "-o", target], check=True)
    return target


class Sends:
    """What the program has printed."""

    # What libtelemetry promises.
    LONGEST_WAIT = 1_000_000  # microseconds

    def __init__(self, text):
        sends = [line.split() for line in text.splitlines()]
        self.taken = {event_id for event_id, result, *_ in sends if result == "0"}
        self.results = collections.Counter(int(result) for _, result, *_ in sends)
        self.waits = sorted(int(wait) for _, _, wait, _ in sends)
        # But for what the machine had no processor for the sender.
        self.own_waits = sorted(int(wait) - int(without) for _, _, wait, without in sends)

    def waited_too_long(self):
        return self.own_waits[-1] > self.LONGEST_WAIT

    def __str__(self):
        return (f"{len(self.waits)} sends, answers {dict(self.results)}, waits "
                f"{self.waits[len(self.waits) // 2] / 1000:.1f} ms in the middle, "
                f"{self.waits[-1] / 1000:.1f} ms at most, {self.own_waits[-1] / 1000:.1f} ms without "
                "those for a processor")


def event_ids(spool):
    """Of the records in a spool."""
    return {parse_headers(path.read_bytes())[0]["event_id"] for path in spool.iterdir()
            if not path.name.startswith(".")}
