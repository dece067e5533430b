"""A wrong time of day for telemd; tests/faults/clock_shift.cc makes it."""

import mmap
import os
import struct
import time

from . import paths

SHIFT = paths.BUILD / "tests" / "clock_shift.so"


class WrongClock:
    """What telemd takes for the time of day; may be set while it runs."""

    def __init__(self, path):
        self._path = path
        path.write_bytes(bytes(16))
        path.chmod(0o644)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)
        self._shift = self._slept = 0

    def wrapper(self):
        """The words before a command that give it this clock."""
        return ("env", f"LD_PRELOAD={SHIFT}", f"TELEM_CLOCK_SHIFT={self._path}")

    def now(self):
        return time.time() + self._shift + self._slept

    def set(self, when):
        """To seconds since the epoch."""
        self.step(when - self.now())

    def step(self, seconds):
        self._shift += int(seconds)
        struct.pack_into("=q", self._map, 0, self._shift)

    def sleep(self, seconds):
        """The machine was suspended for so long: that is no step of the clock."""
        self._slept += int(seconds)
        struct.pack_into("=q", self._map, 8, self._slept)

    def stamp(self, files):
        """Gives new files the time that a kernel with this clock would have given them: the shift is
        only telemd's."""
        for path in files:
            when = path.stat().st_mtime + self._shift + self._slept
            os.utime(path, (when, when))

    def close(self):
        self._map.close()
