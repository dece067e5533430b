"""Ceilings of memory and processor time for one program, as a unit's MemoryMax= and CPUQuota= set them.

In control groups of the machine's own, of the first or second version, whichever acts here.
"""

import pathlib
import uuid

import pytest

from .waiting import wait_until

ROOT = pathlib.Path("/sys/fs/cgroup")
PERIOD = 100_000  # microseconds, as systemd has it


class Ceilings:
    def __init__(self, memory, percent):
        """`memory`: bytes; `percent`: of one processor. Skips the test where none can be set."""
        name = "telem-test-" + uuid.uuid4().hex[:8]
        self._is_first = (ROOT / "cpu").is_dir()
        if self._is_first:
            self._memory, self._cpu = ROOT / "memory" / name, ROOT / "cpu" / name
        else:
            self._memory = self._cpu = ROOT / name
        quota = PERIOD * percent // 100
        try:
            for folder in {self._memory, self._cpu}:
                folder.mkdir()
            if self._is_first:
                (self._cpu / "cpu.cfs_period_us").write_text(str(PERIOD))
                (self._cpu / "cpu.cfs_quota_us").write_text(str(quota))
                (self._memory / "memory.limit_in_bytes").write_text(str(memory))
            else:
                (self._cpu / "cpu.max").write_text(f"{quota} {PERIOD}")
                (self._memory / "memory.max").write_text(str(memory))
        except OSError as error:
            self.close()
            pytest.skip(f"no ceiling can be set here: {error}")

    def wrapper(self):
        """The front of a command that runs below them."""
        files = " ".join(f"{folder}/cgroup.procs" for folder in {self._memory, self._cpu})
        return ["sh", "-c", f'for f in {files}; do echo $$ >$f || exit 1; done; exec "$@"', "sh"]

    def put(self, pid):
        """Below them goes a process that is there already."""
        for folder in {self._memory, self._cpu}:
            (folder / "cgroup.procs").write_text(str(pid))

    def times_throttled(self):
        return self._number(self._cpu / "cpu.stat", "nr_throttled")

    def ended_for_want_of_memory(self):
        file = "memory.oom_control" if self._is_first else "memory.events"
        return self._number(self._memory / file, "oom_kill")

    @staticmethod
    def _number(file, name):
        return next(int(line.split()[1]) for line in file.read_text().splitlines()
                    if line.split()[0] == name)

    def close(self):
        """When nothing runs below them any more."""
        for folder in {self._memory, self._cpu}:
            if folder.is_dir():
                wait_until(lambda: not (folder / "cgroup.procs").read_text(), what=f"{folder} empty")
                folder.rmdir()
