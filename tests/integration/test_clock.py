"""A clock that is wrong, or is set: what was taken over stays, limits and times go on as they were."""

import os
import subprocess
import time

import pytest

from support import paths
from support.frames import TAKEN_OVER, new_event_id
from support.http_sink import Answer
from support.marks import needs_clock_shift
from support.waiting import stays, wait_until
from support.wrong_clock import WrongClock

pytestmark = needs_clock_shift

HOUR, DAY = 3600, 86400
WRONG = {"1970": 60, "2000": 946_684_800, "2100": 4_102_444_800}
STEPS = {"a day back": -DAY, "a day ahead": DAY, "an hour back": -HOUR, "an hour ahead": HOUR,
         "to where it had been years ago": -3 * 365 * DAY}


@pytest.fixture
def clock(folder):
    clock = WrongClock(folder / "clock")
    yield clock
    clock.close()


@pytest.fixture(params=STEPS.values(), ids=STEPS.keys())
def step(request):
    return request.param


def send(machine, clock, count):
    """Sends records while the spool keeps them; their event ids."""
    before = set(machine.spool_files())
    event_ids = [new_event_id() for _ in range(count)]
    for event_id in event_ids:
        assert machine.send(event_id=event_id) == TAKEN_OVER
    wait_until(lambda: machine.status()["under_way"] == 0)
    clock.stamp(set(machine.spool_files()) - before)
    return event_ids


def id_times(machine):
    """The times in the ids of what waits, in seconds since the epoch."""
    return sorted(int(path.name[:12], 16) / 1000 for path in machine.spool_files())


def tell(machine):
    """A round of telemd's loop, in which it sees the clock."""
    machine.status()


# The start of consent would lie in the future, or so far in the past that evidence from before it
# would be reported.
@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_consent_that_was_given_by_a_wrong_clock_has_the_right_start(
    make_machine, away, clock, wrong
):
    right = clock.now()
    clock.set(wrong)
    machine = make_machine(server=away.url, consent="opt-in").start(wrapper=clock.wrapper())
    marker = machine.config_dir / "opt-in"
    marker.touch()
    os.utime(marker, (wrong, wrong))
    machine.wait_for(collecting=True)
    send(machine, clock, 1)
    since = machine.state / "consent_since"
    assert abs(int(since.read_text()) - wrong) < 60
    clock.set(right)
    tell(machine)
    wait_until(lambda: abs(int(since.read_text()) - right) < 60, what=since.read_text)
    machine.kill()
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=1, waiting=1, evicted=0)


def test_consent_of_an_earlier_run_keeps_its_start(make_machine, away, clock, step):
    machine = make_machine(server=away.url)
    since = machine.state / "consent_since"
    since.write_text("1600000000\n")
    machine.start(wrapper=clock.wrapper())
    send(machine, clock, 1)
    clock.step(step)
    tell(machine)
    machine.reload()
    send(machine, clock, 1)
    assert since.read_text() == "1600000000\n"


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_what_is_taken_while_the_clock_is_wrong_survives_its_setting(
    make_machine, away, clock, wrong
):
    right = clock.now()
    clock.set(wrong)
    machine = make_machine(server=away.url).start(wrapper=clock.wrapper())
    event_ids = send(machine, clock, 3)
    assert all(abs(made - wrong) < 60 for made in id_times(machine))
    assert all(abs(int(line.time) - wrong) < 60 for line in machine.journal())

    clock.set(right)
    tell(machine)
    event_ids += send(machine, clock, 3)
    # The new ones tell the right time again, also where the old ones were ahead of it.
    assert sum(abs(made - right) < 60 for made in id_times(machine)) == 3
    machine.wait_for(waiting=6, expired=0, evicted=0)
    machine.kill()
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=6, waiting=6, expired=0, evicted=0)
    away.start()
    machine.reload()
    machine.wait_for(delivered=6, waiting=0)
    assert set(away.event_ids()) == set(event_ids)


# Killed before it could see that the clock was set, and at a clock that is behind what it left.
@pytest.mark.parametrize("wrong", [60, 4_102_444_800], ids=["1970", "2100"])
def test_what_a_wrong_clock_left_is_found_by_the_right_one(make_machine, away, clock, wrong):
    right = clock.now()
    clock.set(wrong)
    machine = make_machine(server=away.url).start(wrapper=clock.wrapper())
    event_ids = send(machine, clock, 3)
    machine.kill()
    clock.set(right)
    away.start()
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=3, delivered=3)
    assert set(away.event_ids()) == set(event_ids)


def test_nothing_expires_by_a_clock_that_is_set(make_machine, away, clock, step):
    machine = make_machine(server=away.url, record_expiry=30).start(wrapper=clock.wrapper())
    send(machine, clock, 3)
    clock.step(step)
    tell(machine)
    machine.reload()
    assert stays(lambda: machine.status()["expired"] == 0, 0.3)
    # Nor by a restart, which has only the files' times to go by.
    assert machine.stop() == 0
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=3, waiting=3)
    assert stays(lambda: machine.status()["expired"] == 0, 0.3)


def test_what_is_old_expires_although_the_clock_was_set(make_machine, away, clock, step):
    machine = make_machine(server=away.url, record_expiry=30)
    (machine.state / "consent_since").write_text(f"{int(clock.now()) - 10 * DAY}\n")
    machine.start(wrapper=clock.wrapper())
    send(machine, clock, 2)
    assert machine.stop() == 0
    for path in machine.spool_files():
        clock.step(-31 * 60)
        clock.stamp([path])
        clock.step(31 * 60)
    machine.configure(record_expiry=40)
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=2, waiting=2, expired=0)
    clock.step(step)
    tell(machine)
    machine.wait_for(waiting=2, expired=0)
    assert machine.stop() == 0
    machine.configure(record_expiry=30)
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=2, expired=2, waiting=0)


# In a full spool the oldest makes room, one for each that comes.
def test_what_waits_keeps_its_order(make_machine, away, clock, step):
    machine = make_machine(server=away.url, record_expiry=10 * 365 * 24 * 60, spool_max_size=20,
                           spool_full_policy="drop_oldest", record_burst_limit=0)
    machine.start(wrapper=clock.wrapper())
    event_ids = []
    for _ in range(2):
        event_ids += send(machine, clock, 2)
        came = time.monotonic()
        clock.step(step)
        tell(machine)
        # The order is kept to the second, also where a file's time was rounded up to one; within it
        # ids tell, which follow the clock.
        wait_until(lambda: time.monotonic() > came + 2.1)
    event_ids += send(machine, clock, 1)
    assert machine.stop() == 0
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=5, waiting=5)
    send(machine, clock, 5)
    machine.wait_for(evicted=5, waiting=5)
    assert [line.event_id for line in machine.journal() if line.state == "evicted"] == event_ids


def test_the_rate_limit_holds_over_a_clock_that_is_set(make_machine, sink, clock, step):
    machine = make_machine(server=sink.url, record_burst_limit=4, record_window_length=10)
    machine.start(wrapper=clock.wrapper())
    for _ in range(6):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=4, waiting=2)
    left = machine.status()["limited_until"] - clock.now()
    assert 0 < left <= 601
    clock.step(step)
    machine.reload()
    assert stays(lambda: machine.status()["delivered"] == 4, 0.3)
    assert abs(machine.status()["limited_until"] - clock.now() - left) < 30
    assert machine.stop() == 0
    machine.start(wrapper=clock.wrapper())
    machine.wait_for(found=2, waiting=2)
    assert stays(lambda: len(sink.requests) == 4, 0.3)


def test_the_next_attempt_is_as_far_away_as_before(make_machine, sink, clock, step):
    sink.answer = Answer(503, headers=(("Retry-After", "600"),))
    machine = make_machine(server=sink.url).start(wrapper=clock.wrapper())
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    left = machine.status()["next_attempt"] - clock.now()
    assert 500 < left <= 601
    clock.step(step)
    assert abs(machine.status()["next_attempt"] - clock.now() - left) < 30
    assert stays(lambda: len(sink.requests) == 1, 0.3)
    sink.answer = Answer()
    machine.reload()
    machine.wait_for(delivered=1)


# A laptop that woke up took that for a clock that was set: the start of consent moved, and what had
# waited all night was as young as in the evening.
def test_a_night_of_sleep_moves_nothing_and_counts(make_machine, sink, clock):
    sink.answer = Answer(503, headers=(("Retry-After", "3600"),))
    machine = make_machine(server=sink.url, record_expiry=600).start(wrapper=clock.wrapper())
    first = send(machine, clock, 1)
    wait_until(lambda: machine.status()["last_error"])
    since = (machine.state / "consent_since").read_text()
    [file] = machine.spool_files()
    came = file.stat().st_mtime_ns
    clock.sleep(HOUR)
    tell(machine)
    assert (machine.state / "consent_since").read_text() == since
    assert file.stat().st_mtime_ns == came
    # The server's hour is over.
    sink.wait_for(2)
    clock.sleep(8 * HOUR)
    send(machine, clock, 1)
    clock.sleep(2 * HOUR)
    tell(machine)
    machine.wait_for(expired=1, waiting=1)
    assert [line.event_id for line in machine.journal() if line.state == "expired"] == first


def test_the_window_of_a_limit_goes_on_in_sleep(make_machine, sink, clock):
    machine = make_machine(server=sink.url, record_burst_limit=4, record_window_length=10)
    machine.start(wrapper=clock.wrapper())
    for _ in range(6):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=4, waiting=2)
    clock.sleep(HOUR)
    tell(machine)
    machine.wait_for(delivered=6, waiting=0)


# In the night in which summer time ends, 02:59:59 is followed by 02:00:00.
def test_the_end_of_summer_time_changes_nothing(make_machine, away, clock):
    zone = "CET-1CEST,M3.5.0,M10.5.0/3"
    change = 1_792_890_000  # 2026-10-25 01:00:00 UTC
    clock.set(change - 2)
    machine = make_machine(server=away.url, record_expiry=30)
    machine.start(wrapper=(*clock.wrapper(), f"TZ={zone}"))
    event_ids = send(machine, clock, 1)
    wait_until(lambda: clock.now() > change + 1)
    event_ids += send(machine, clock, 1)
    machine.wait_for(waiting=2, expired=0)
    done = subprocess.run([paths.TELEMCTL, "--config-file", machine.config, "journal"], capture_output=True,
                          text=True, env={"TZ": zone, "LC_ALL": "C"})
    before, after = [line.split()[2:5] for line in done.stdout.splitlines()]
    assert before[1].startswith("02:59:5") and before[2] == "CEST"
    assert after[1].startswith("02:00:") and after[2] == "CET"
    away.start()
    machine.reload()
    machine.wait_for(delivered=2)
    assert away.event_ids() == event_ids
