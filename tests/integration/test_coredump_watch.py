"""crashprobe --watch: what systemd-coredump wrote into the system journal is told once, whenever the
watch is ended. tests/system/test_coredump_watch.py has the real systemd-coredump."""

import os
import re
import shutil
import subprocess
import time

import pytest
from support.crashes import CRASHPROBE, needs_crashprobe
from support.waiting import DEADLINE, wait_until

pytestmark = needs_crashprobe

# As journalctl does: the entries behind a cursor, the place of an entry being its number.
JOURNALCTL = """#!/bin/sh
after=-1
for word; do case $word in --after-cursor=*) after=${word#--after-cursor=};; esac; done
for number in $(seq $((after + 1)) 9999); do
  test -e "$ENTRIES/$number" || exit 0
  cat "$ENTRIES/$number"
done
"""

ENTRY = """__CURSOR={number}
__REALTIME_TIMESTAMP={microseconds}
_SYSTEMD_UNIT={unit}
COREDUMP_PID={pid}
COREDUMP_COMM={name}
COREDUMP_EXE=/usr/bin/{name}
COREDUMP_SIGNAL=11
COREDUMP_CGROUP={cgroup}
COREDUMP_PACKAGE_NAME={name}
COREDUMP_PACKAGE_VERSION=1.0-1
MESSAGE
"""

MESSAGE = """Process {pid} ({name}) of user 0 dumped core.

Module /usr/bin/{name} with build-id 0123abcd
Stack trace of thread {tid}:
#0  0x000055d000001139 {name} ({name} + 0x1139)

Stack trace of thread {pid}:
#0  0x00007f00000d3df2 pause (libc.so.6 + 0xd3df2)
"""


class Journal:
    def __init__(self, folder):
        self._bin = folder / "bin"
        self._bin.mkdir()
        (self._bin / "journalctl").write_text(JOURNALCTL)
        (self._bin / "journalctl").chmod(0o755)
        self.entries = folder / "entries"
        self.entries.mkdir()
        self._count = 0

    def add(self, name, count=1, at=4_000_000_000, unit="systemd-coredump@7-4711-0.service",
            cgroup="/init.scope"):
        """`at`: seconds since the epoch, by themselves after any consent. `unit`: whose entry it is."""
        for _ in range(count):
            pid = 1000 + self._count
            message = MESSAGE.format(name=name, pid=pid, tid=pid + 5000).encode()
            entry = ENTRY.format(name=name, unit=unit, pid=pid, number=self._count, cgroup=cgroup,
                                 microseconds=int(at * 1e6)).encode()
            (self.entries / str(self._count)).write_bytes(
                entry + len(message).to_bytes(8, "little") + message + b"\n\n")
            self._count += 1

    def watch(self, machine, wrapper=()):
        """Until the end of what there is."""
        return subprocess.run([*wrapper, CRASHPROBE, "-f", machine.config, "--watch"],
                              env={**os.environ, "PATH": f"{self._bin}:{os.environ['PATH']}",
                                   "ENTRIES": str(self.entries)},
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=4 * DEADLINE)


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path)


def told(sink, name):
    """How many crashes are told in full, and how many are counted, by records of different events."""
    records = {request.headers["event_id"]: request.body.decode() for request in sink.requests
               if request.body.startswith(f"Process: /usr/bin/{name}\n".encode())}
    full = sum("Backtrace" in payload for payload in records.values())
    return full, sum(int(count) for payload in records.values()
                     for count in re.findall(r"^Repeated: (\d+)$", payload, re.M))


def held(machine, name):
    lines = (machine.state / "crash-counts").read_text().splitlines()
    return sum(int(line.split(" ")[4]) for line in lines if line.endswith(f" /usr/bin/{name}"))


# journalprobe masked the user in the name of a unit, and crashprobe told it.
def test_a_unit_is_told_without_whom_it_is_for(machine, sink, journal):
    journal.add("one", cgroup="/system.slice/system-syncthing.slice/syncthing@arthur.service")
    journal.add("two", cgroup="/system.slice/nginx.service")
    assert journal.watch(machine).returncode == 0
    units = [re.search("^Unit: (.*)$", request.body.decode(), re.M)[1] for request in sink.wait_for(2)]
    assert sorted(units) == ["nginx.service", "syncthing@<instance>.service"]


# systemd 252 does not say which thread it was. And what it knows of the program was left out.
def test_all_that_an_entry_knows_is_told_the_thread_that_crashed_first(machine, sink, journal):
    journal.add("threads")
    assert journal.watch(machine).returncode == 0
    wait_until(lambda: told(sink, "threads") == (1, 0))
    payload, = [body.decode() for body in sink.bodies()]
    assert re.findall(r"^Backtrace \(TID (\d+)\):$", payload, re.M) == ["6000", "1000"]
    assert "\nBuild-ID: 0123abcd\nPackage: threads 1.0-1\n" in payload
    assert "\nModules:\nlibc.so.6 - 0x7f0000000000\nthreads 0123abcd 0x55d000000000\n" in payload


def test_an_entry_that_another_program_wrote_is_no_crash(machine, sink, journal):
    journal.add("forged", unit="user@1000.service")
    journal.add("real")
    assert journal.watch(machine).returncode == 0
    wait_until(lambda: told(sink, "real") == (1, 0))
    assert told(sink, "forged") == (0, 0)


# Nobody has written down yet since when there is consent, as behind an installation.
def test_without_a_start_of_consent_it_begins_with_the_watch(machine, sink, journal):
    since = machine.state / "consent_since"
    wait_until(since.exists)
    since.unlink()
    journal.add("before", at=time.time() - 60)
    journal.add("after")
    assert journal.watch(machine).returncode == 0
    wait_until(lambda: told(sink, "after") == (1, 0))
    assert told(sink, "before") == (0, 0)


# Killed between the record and the cursor it told the crash again, or counted it again.
@pytest.mark.skipif(shutil.which("strace") is None, reason="no strace on this machine")
@pytest.mark.parametrize("call", ["write", "rename", "connect", "read"])
def test_each_crash_counts_once_wherever_the_watch_is_killed(make_machine, sink, journal, call):
    machine = make_machine(server=sink.url, rate_limit_enabled=False).start()
    names = []
    for nth in range(1, 60):
        # Numbers at the end of a name do not tell one bug from another.
        names.append("killed_" + "x" * nth + "_at")
        # The fifth is the last one that is told in full.
        journal.add(names[-1], 4)
        assert journal.watch(machine).returncode == 0
        journal.add(names[-1], 2)
        done = journal.watch(machine, ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                       f"inject={call}:signal=SIGKILL:when={nth}"])
        if done.returncode == 0:
            break
        assert journal.watch(machine).returncode == 0
    assert len(names) > 1
    wait_until(lambda: {name: told(sink, name) for name in names} == {name: (5, 0) for name in names},
               what=lambda: {name: told(sink, name) for name in names})
    assert {name: held(machine, name) for name in names} == {name: 1 for name in names}
