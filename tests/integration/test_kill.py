"""The promise of the status byte, under SIGKILL.

Four processes send records through the C library while telemd and telem-deliver are killed again
and again, each time with frames under way, and the collector is away for a while (only then there may
be no telem-deliver). Each record whose send returned 0 must be in the collector's database in the end.
"""

import os
import signal
import sqlite3
import subprocess
import sys

import pytest

from support import paths
from support.http_relay import HttpRelay
from support.kill_sender import SLOT
from support.waiting import wait_until

SENDERS = 4
RECORDS = 20_000
KILLS = 30
AWAY_FROM, AWAY_UNTIL = 10, 15  # before which kills the collector goes and comes back


class Senders:
    """The sending processes and their counters."""

    def __init__(self, folder, config):
        self._folder = folder
        self._counters = folder / "counters"
        self._counters.write_bytes(bytes(SLOT.size * SENDERS))
        script = paths.REPO / "tests" / "support" / "kill_sender.py"
        self._errors = (folder / "senders.stderr").open("w+")
        self.processes = [
            subprocess.Popen(
                [sys.executable, script, paths.LIBTELEMETRY, config, str(number),
                 str(RECORDS // SENDERS), self._counters, folder / f"done{number}"],
                stdin=subprocess.DEVNULL, stderr=self._errors, env=paths.strangers_environment(),
            )
            for number in range(SENDERS)
        ]

    def _attempts(self):
        return list(SLOT.iter_unpack(self._counters.read_bytes()))

    def came_back(self):
        return sum(returned for _, returned in self._attempts())

    def under_way(self):
        return sum(started - returned for started, returned in self._attempts())

    def done(self):
        """Event ids of the sends that returned 0."""
        return {
            line
            for number in range(SENDERS)
            for line in (self._folder / f"done{number}").read_text().splitlines()
        }

    def have_ended(self):
        return all(process.poll() is not None for process in self.processes)

    def failures(self):
        self._errors.seek(0)
        return self._errors.read()

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
        self._errors.close()


@pytest.fixture
def make_senders():
    made = []

    def make(folder, config):
        made.append(Senders(folder, config))
        return made[-1]

    yield make
    for senders in made:
        senders.close()


@pytest.fixture
def relay(collector):
    """Passes on to the collector, which answers 201 for a record and 200 for a copy of it."""
    relay = HttpRelay(lambda: collector.port)
    relay.start()
    yield relay
    relay.close()


def kill_deliverers(machine, must_be):
    """SIGKILL for each telem-deliver of a telemd that is stopped, so that no other takes its place.
    Returns how many there were."""
    deliverers = machine.deliverers()
    assert deliverers or not must_be
    for pid in deliverers:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not machine.deliverers(), what="the end of telem-deliver")
    return len(deliverers)


def stop_with_frames_under_way(machine, senders, with_deliverer):
    """SIGSTOP for telemd, wherever it happens to be. Returns how many frames are under way then:
    they cannot be answered any more before it goes on."""
    if with_deliverer:
        wait_until(machine.deliverers, what=lambda: f"telem-deliver; {machine.said()}")
    machine.send_signal(signal.SIGSTOP)
    os.waitpid(machine.process.pid, os.WUNTRACED)
    return wait_until(senders.under_way, what="frames under way")


def test_no_record_that_was_taken_over_is_lost(
    make_machine, collector, relay, folder, make_senders, record_property
):
    machine = make_machine(
        server=f"http://127.0.0.1:{relay.port}/v2/collector", spool_max_size=-1,
        rate_limit_enabled=False,
    )
    machine.start()
    senders = make_senders(folder, machine.config)
    frames_under_way = []  # at each kill of telemd
    killed_with_telemd = killed_alone = 0  # telem-deliver
    for kill in range(KILLS):
        if kill == AWAY_FROM:
            relay.stop()
            collector.stop()
        if kill == AWAY_UNTIL:
            collector.start()
            relay.start()
        due = (kill + 1) * RECORDS // (KILLS + 2)
        wait_until(lambda: senders.came_back() >= due, 60,
                   lambda: f"{senders.came_back()} of {due}; {senders.failures()} {machine.said()}")
        delivers = not AWAY_FROM <= kill < AWAY_UNTIL
        if kill % 2:
            # telem-deliver alone, as well: telemd goes on with another.
            assert stop_with_frames_under_way(machine, senders, delivers) > 0
            killed_alone += kill_deliverers(machine, delivers)
            machine.send_signal(signal.SIGCONT)
        frames_under_way.append(stop_with_frames_under_way(machine, senders, delivers))
        # Before telemd, whose end would be theirs.
        killed_with_telemd += kill_deliverers(machine, delivers)
        machine.kill()
        machine.launch()
    wait_until(senders.have_ended, 120, what="senders at their end")
    assert [process.returncode for process in senders.processes] == [0] * SENDERS
    done = senders.done()

    machine.wait_for(pid=machine.process.pid)
    machine.reload()
    status = machine.wait_for(waiting=0, rejected=0, timeout=120)
    machine.check_sums()
    assert machine.spool_files() == [] and machine.rejected_files() == []
    with sqlite3.connect(f"file:{collector.store}?mode=ro", uri=True) as store:
        stored = [row[0] for row in store.execute("SELECT event_id FROM records")]

    record_property("records", RECORDS)
    record_property("sends that returned 0", len(done))
    record_property("of these lost", len(done - set(stored)))
    record_property("sends given up after 5 s", len(senders.failures().splitlines()))
    record_property("kills of telemd", len(frames_under_way))
    record_property("frames under way at each", f"{min(frames_under_way)} to {max(frames_under_way)}")
    record_property("kills of telem-deliver", f"{killed_with_telemd} with telemd, {killed_alone} alone")
    record_property("copies that came to the collector", relay.answers[200])
    record_property("copies in its store", len(stored) - len(set(stored)))
    record_property("records found at the last start", status["found"])
    assert len(frames_under_way) == KILLS and min(frames_under_way) > 0
    away = AWAY_UNTIL - AWAY_FROM
    assert killed_with_telemd >= KILLS - away and killed_alone >= (KILLS - away) // 2
    assert len(done) >= RECORDS * 0.995, senders.failures()
    assert done <= set(stored)
