"""Faults made on purpose in telemd's system calls; tests/faults/fault_injector.cc makes them."""

import errno
import mmap
import struct

from . import paths

INJECTOR = paths.BUILD / "tests" / "fault_injector.so"

# What can be hit, as the injector names and orders it.
CALLS = ("write", "writev", "rename", "chmod", "unlink", "fsync", "syncfs", "truncate", "link",
         "open", "read", "stat", "mkdir", "opendir", "readdir", "accept", "recv", "send", "epoll_ctl",
         "getsockopt", "socketpair", "spawn", "thread", "socket", "connect", "bind", "access",
         "inotify", "flock", "epoll_create", "eventfd", "signalfd", "malloc")

# Those that change what is on disk.
CHANGES = ("write", "writev", "rename", "chmod", "unlink", "fsync", "syncfs", "truncate", "link")

_OFF, _COUNT, _KILL, _FAIL, _SHORTEN, _HOLD = range(6)
_HEAD = struct.Struct("=IIQQQ")
_COUNTERS = struct.Struct(f"={2 + len(CALLS)}Q")


class FaultPlan:
    """What shall go wrong, in a file that telemd has mapped; may be changed while it runs."""

    def __init__(self, path):
        self._path = path
        path.write_bytes(bytes(_HEAD.size + _COUNTERS.size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    def wrapper(self):
        """The words before a command that put the injector into it."""
        preloads = [*paths.sanitizer_runtime(), INJECTOR]
        return ("env", f"LD_PRELOAD={':'.join(map(str, preloads))}", f"TELEM_FAULT_PLAN={self._path}")

    def off(self):
        self._set(_OFF, (), 0, 0, 0)

    def count(self, calls=CALLS):
        """Only counts."""
        self._set(_COUNT, calls, 0, 0, 0)

    def kill(self, number, calls=CHANGES):
        """SIGKILL in place of the call with this number (from 1) among `calls`."""
        self._set(_KILL, calls, number, 1, 0)

    def fail(self, call, number, error, count=1):
        """`count` calls from this one on fail with this errno."""
        self._set(_FAIL, (call,), number, count, error)

    def shorten(self, call, number, count=1):
        """`count` writes from this one on take only a part of their bytes."""
        self._set(_SHORTEN, (call,), number, count, 0)

    def hold(self, call, number, error=0):
        """This call does not begin before off(); then it fails where an errno is given."""
        self._set(_HOLD, (call,), number, 1, error)

    def seen(self):
        return self._counters()[0]

    def hit(self):
        return self._counters()[1]

    def each(self):
        """How often each call was seen."""
        return dict(zip(CALLS, self._counters()[2:]))

    def _counters(self):
        return _COUNTERS.unpack_from(self._map, _HEAD.size)

    def _set(self, mode, calls, first, count, error):
        # Off first: what is half written must not act.
        struct.pack_into("=I", self._map, 0, _OFF)
        mask = sum(1 << CALLS.index(call) for call in calls)
        _COUNTERS.pack_into(self._map, _HEAD.size, *[0] * (2 + len(CALLS)))
        _HEAD.pack_into(self._map, 0, _OFF, error, mask, first, count)
        struct.pack_into("=I", self._map, 0, mode)

    def close(self):
        self._map.close()


def name_of(error):
    return errno.errorcode[error]
