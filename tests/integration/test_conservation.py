"""Nothing is lost or counted twice: found at start + accepted = delivered + waiting + rejected +
evicted + expired + local, after everything that can happen to a record. Every other test that runs
telemd ends with the same check (make_machine)."""

import random
import re

import pytest

from support.frames import TAKEN_OVER, SPOOL_FULL, new_event_id, sample_headers, spool_file_bytes
from support.http_sink import Answer
from support.telemctl import answer, objects, telemctl
from support.waiting import wait_until


def check_status_verb(machine):
    [status] = objects(machine, "status")
    assert status["found"] + status["accepted"] == sum(
        status[name] for name in
        ("delivered", "waiting", "rejected", "evicted", "expired", "local"))


def at_rest(machine, **fields):
    """Waits for these fields of the status, and checks the books."""
    status = machine.wait_for(under_way=0, **fields)
    machine.check_books()
    check_status_verb(machine)
    return status


# The sum of sizes of an earlier daemon missed records that expired, until an empty spool was full.
def test_the_sum_of_sizes_is_that_of_the_files_whatever_happened(make_machine, away, folder):
    machine = make_machine(server=away.url, spool_max_size=60, record_expiry=10,
                           spool_full_policy="drop_oldest")
    machine.put_into_spool("Ab3dEf", spool_file_bytes(sample_headers(), b"old"), age=3600)
    machine.put_into_spool("Xy9zAb", spool_file_bytes(sample_headers(), b"young" * 3000))
    machine.put_into_spool("fv8OEq", b"no record at all")
    machine.start()
    at_rest(machine, found=3, expired=1, rejected=1, waiting=1, spool_bytes=16 * 1024)
    for size in (1, 5000, 9000, 20_000, 1, 9000):
        assert machine.send(b"x" * size) == TAKEN_OVER
    status = at_rest(machine)
    assert status["evicted"] > 0 and status["spool_bytes"] <= 60 * 1024

    [first, *_] = objects(machine, "spool", "list")
    answer(machine, "spool", "drop", first["id"])
    at_rest(machine, evicted=status["evicted"] + 1)
    answer(machine, "spool", "export", "--remove", folder / "export")
    at_rest(machine, waiting=0, spool_bytes=0)
    other = make_machine(server=away.url).start()
    for size in (1, 5000, 20_000):
        assert other.send(b"x" * size) == TAKEN_OVER
    answer(other, "spool", "export", folder / "carried")
    answer(machine, "spool", "import", folder / "carried")
    at_rest(machine, waiting=3, spool_bytes=(1 + 2 + 5) * 4096)

    away.answer = lambda request: Answer(422 if len(request.body) < 100 else 201)
    away.start()
    machine.reload()
    status = at_rest(machine, waiting=0, spool_bytes=0)
    assert status["delivered"] > 0 and status["rejected"] > 1
    away.answer = Answer()
    for record in objects(machine, "rejected", "list"):
        if record["id"]:
            answer(machine, "rejected", "retry", record["name"])
        else:
            answer(machine, "rejected", "drop", record["name"])
    at_rest(machine, waiting=0, rejected=0, spool_bytes=0)
    # An empty spool has all of its room.
    away.stop()
    for _ in range(15):
        assert machine.send() == TAKEN_OVER
    at_rest(machine, waiting=15, spool_bytes=60 * 1024)
    machine.configure(spool_full_policy="drop_new")
    machine.reload()
    wait_until(lambda: machine.send() == SPOOL_FULL)
    at_rest(machine, waiting=15)

    machine.kill()
    machine.start()
    at_rest(machine, found=15, waiting=15, spool_bytes=60 * 1024)
    machine.opt_out()
    status = at_rest(machine, waiting=0, spool_bytes=0)
    assert status["evicted"] >= 15


def by_hand(machine, *arguments):
    """What a person does with a record, which may have been delivered since it was listed."""
    done = telemctl(machine, *arguments)
    if done.returncode != 0:
        assert re.search("no record|no such record|the spool is full", done.stderr), done.stderr


# The server fails, refuses, breaks off and comes back while records come, and telemd is killed: by
# chance, but by the same chance each time that the test is told the seed.
@pytest.mark.parametrize("seed", range(3))
def test_the_books_balance_after_any_history(make_machine, sink, seed):
    chance = random.Random(seed)
    machine = make_machine(server=sink.url, spool_max_size=200, rate_limit_enabled=False).start()
    event_ids = []

    def send():
        event_id = new_event_id()
        if machine.send(b"x" * chance.choice((10, 6000)), event_id=event_id) == TAKEN_OVER:
            event_ids.append(event_id)

    def fail():
        sink.answer = Answer(chance.choice((400, 413, 422, 429, 500, 503)))

    def recover():
        sink.answer = Answer()
        machine.reload()

    def kill():
        machine.kill()
        machine.start()

    def restart():
        assert machine.stop() == 0
        machine.start()

    def drop():
        if waiting := objects(machine, "spool", "list"):
            by_hand(machine, "spool", "drop", chance.choice(waiting)["id"])

    def retry():
        if rejected := objects(machine, "rejected", "list"):
            by_hand(machine, "rejected", "retry", chance.choice(rejected)["name"])

    deeds = [send] * 30 + [fail] * 4 + [recover] * 3 + [kill, restart, drop, retry]
    history = []
    for _ in range(150):
        deed = chance.choice(deeds)
        history.append(deed.__name__)
        deed()
        machine.check_sums()
    machine.check_books()
    recover()
    machine.wait_for(waiting=0, under_way=0)
    machine.check_books()
    check_status_verb(machine)
    # Each that was answered 0 has an end that the journal tells.
    states = machine.states()
    assert {states[event_id] for event_id in event_ids} <= {"delivered", "rejected", "evicted"}, history
