"""An idle telemd costs nothing: no system call, and little memory whatever waits; a record costs
little."""

import os
import re
import shutil
import time

import pytest

from support import paths
from support.frames import frame, sample_headers
from support.marks import needs_strace
from support.proc import private_kib, run_time_ns, trace_system_calls
from support.waiting import wait_until

LONG = os.environ.get("TELEMETRICS_LONG") == "1"
QUIET_SECONDS = 60 if LONG else 3
WAITING = 10_000


def settle(machine):
    """Returns when the last work is done, telem-deliver has gone and telemd sleeps."""
    wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")

    def sleeps():
        before = run_time_ns(machine.process.pid)
        time.sleep(0.5)
        return run_time_ns(machine.process.pid) == before

    wait_until(sleeps, what="telemd asleep")


def test_idle_it_makes_no_system_call(machine, sink, folder):
    assert machine.send() == 0
    sink.wait_for(1)
    machine.wait_for(delivered=1)
    settle(machine)
    pid = machine.process.pid
    before = run_time_ns(pid)
    time.sleep(QUIET_SECONDS)
    assert run_time_ns(pid) == before, "it ran"
    if shutil.which("strace") is None:
        pytest.skip("no strace here; it did not run on a CPU, the rest is not shown")
    calls = trace_system_calls(pid, QUIET_SECONDS, folder / "strace.log")
    assert calls == []


@pytest.mark.skipif(paths.is_sanitized(), reason="a sanitizer needs memory of its own")
def test_idle_it_has_little_private_memory(machine, sink):
    for size in (0, 100, 200_000):
        assert machine.send(b"x" * size) == 0
    sink.wait_for(3)
    machine.wait_for(delivered=3)
    settle(machine)
    used = private_kib(machine.process.pid)
    print(f"idle: {used} KiB private")
    assert used < 700


@pytest.mark.skipif(paths.is_sanitized(), reason="a sanitizer needs memory of its own")
@pytest.mark.parametrize("when", ["taken over", "found at start"])
def test_with_ten_thousand_waiting_it_has_little_private_memory(make_machine, away, when):
    machine = make_machine(server=away.url, spool_max_size=-1, rate_limit_enabled=False).start()
    with machine.connect() as connection:
        for _ in range(WAITING // 100):
            connection.send(b"".join(frame(sample_headers(), b"hello\n") for _ in range(100)))
            assert connection.read_statuses(100) == [0] * 100
    if when == "found at start":
        assert machine.stop() == 0
        machine.start()
        machine.wait_for(found=WAITING)
    machine.wait_for(waiting=WAITING)
    wait_until(lambda: machine.status()["last_error"])
    used = private_kib(machine.process.pid)
    print(f"{WAITING} waiting, {when}: {used} KiB private")
    assert used < 1.2 * 1024
    if not LONG:
        return
    # And it is not the price of not delivering them.
    away.start()
    machine.reload()
    machine.wait_for(delivered=WAITING, waiting=0, timeout=60)
    assert machine.spool_files() == []


def count_calls(make_machine, sink, log, records):
    """System calls of telemd and telem-deliver from start to end, with so many records."""
    machine = make_machine(server=sink.url, rate_limit_enabled=False)
    machine.start(wrapper=["strace", "-f", "-D", "-c", "-U", "name,calls", "-o", log])
    for _ in range(records):
        assert machine.send() == 0
    machine.wait_for(delivered=records)
    assert machine.stop() == 0
    [total] = wait_until(lambda: re.findall(r"(\d+) total|total +(\d+)$",
                                            log.read_text() if log.exists() else "", re.M),
                         what="strace's table")
    return int("".join(total))


# 78 it were once, and a connection to the server.
@needs_strace
def test_a_record_costs_few_system_calls(make_machine, sink, folder):
    few = count_calls(make_machine, sink, folder / "few", 10)
    many = count_calls(make_machine, sink, folder / "many", 310)
    each = (many - few) / 300
    print(f"{each:.1f} system calls a record")
    assert each < 30  # scripts/bench, whose sender is faster, finds below 25
