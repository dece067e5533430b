"""From the spool to the server: what each answer does, and what no answer does."""

import email.utils
import os
import re
import signal
import time

import pytest

from support.frames import frame, new_event_id, sample_headers
from support.http_sink import CLOSE, GARBAGE, HANG, RESET, Answer, Cut, HttpSink
from support.marks import both_ways
from support.telemctl import objects
from support.waiting import stays, wait_until


def send_all(machine, payloads):
    """Hands the payloads over on one connection, each as a record of its own."""
    with machine.connect() as connection:
        connection.send(b"".join(frame(sample_headers(), payload) for payload in payloads))
        assert connection.read_statuses(len(payloads)) == [0] * len(payloads)


@both_ways
def test_records_wait_while_the_server_is_away_and_go_at_once_on_SIGHUP(make_machine, away):
    machine = make_machine(server=away.url).start()
    event_ids = [new_event_id() for _ in range(5)]
    for event_id in event_ids:
        assert machine.send(event_id=event_id) == 0
    status = machine.wait_for(waiting=5)
    assert len(machine.spool_files()) == 5
    assert {path.stat().st_mode & 0o777 for path in machine.spool_files()} == {0o600}
    wait_until(lambda: machine.status()["last_error"])
    status = machine.status()
    assert status["last_success"] is None and status["next_attempt"] is not None
    assert status["oldest_waiting"] is not None
    away.start()
    machine.reload()
    away.wait_for(5)
    status = machine.wait_for(waiting=0, delivered=5)
    # An attempt that SIGHUP cut short is made again.
    assert set(away.event_ids()) == set(event_ids)
    assert machine.spool_files() == []
    assert status["last_success"] is not None and status["oldest_waiting"] is None
    assert set(machine.states().values()) == {"delivered"}


def test_records_go_by_themselves_when_the_server_is_back(make_machine, away):
    machine = make_machine(server=away.url).start()
    send_all(machine, [b"a", b"b", b"c"])
    wait_until(lambda: machine.status()["last_error"])
    away.start()
    away.wait_for(3)
    machine.wait_for(waiting=0, delivered=3)


def test_the_pause_after_each_failure_doubles_at_most(make_machine, sink):
    sink.answer = Answer(503)
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    for failures in (1, 2, 3):
        sink.wait_for(failures)
        wait_until(lambda: len(sink.requests) > failures or
                   (machine.status()["under_way"] == 0 and machine.status()["next_attempt"]))
        status = machine.status()
        if len(sink.requests) == failures:  # not past it already: the jitter may be next to 0
            pause = status["next_attempt"] - status["last_error_time"]
            assert pause <= 2 ** (failures - 1) + 1
    sink.answer = Answer(201)
    machine.wait_for(delivered=1, waiting=0)


def test_a_fresh_record_does_not_hurry_a_server_that_fails(make_machine, sink):
    sink.answer = Answer(503, headers=(("Retry-After", "600"),))
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    sink.wait_for(1)
    machine.wait_for(under_way=0, waiting=1)
    for _ in range(5):
        assert machine.send() == 0
    assert stays(lambda: len(sink.requests) == 1, 0.5)
    assert machine.status()["waiting"] == 6


ACCEPTED = [200, 201]
REFUSED = [400, 405, 406, 409, 411, 413, 414, 415, 422, 431]
KEPT_FOR_THE_OPERATOR = [401, 403, 404, 407, 402, 418]
KEPT = [408, 425, 429, 500, 502, 503, 504, 599]


@pytest.mark.parametrize("code", ACCEPTED)
def test_200_and_201_mean_delivered(make_machine, sink, code):
    sink.answer = Answer(code, b'{"id": 7}')
    machine = make_machine(server=sink.url).start()
    event_id = new_event_id()
    assert machine.send(event_id=event_id) == 0
    machine.wait_for(delivered=1, waiting=0)
    machine.wait_for_state(event_id, "delivered")
    assert machine.spool_files() == [] and machine.rejected_files() == []


@pytest.mark.parametrize("code", REFUSED)
def test_a_refusal_for_good_sets_the_record_aside_with_the_servers_words(
    make_machine, sink, code
):
    sink.answer = Answer(code, b'{"message": "Your kernel is\r\n too \x1eodd"}')
    machine = make_machine(server=sink.url).start()
    event_id = new_event_id()
    assert machine.send(b"evidence", event_id=event_id) == 0
    machine.wait_for(rejected=1, waiting=0)
    line = machine.wait_for_state(event_id, "rejected")
    assert str(code) in line.detail and "Your kernel is" in line.detail
    [kept] = machine.rejected_files()
    assert kept.name.startswith(line.record_id) and kept.read_bytes().endswith(b"evidence\n")
    assert machine.spool_files() == []
    machine.reload()
    assert stays(lambda: len(sink.requests) == 1, 0.2)


@pytest.mark.parametrize("code", KEPT_FOR_THE_OPERATOR)
def test_what_an_operator_must_mend_keeps_the_record_and_waits_long(make_machine, sink, code):
    sink.answer = Answer(code, b"ask your administrator")
    machine = make_machine(server=sink.url, spool_process_time=3600).start()
    assert machine.send() == 0
    sink.wait_for(1)
    status = machine.wait_for(waiting=1, under_way=0)
    status = wait_until(lambda: machine.status()["last_error"] and machine.status())
    assert str(code) in status["last_error"]
    assert stays(lambda: len(sink.requests) == 1, 1.2), "tried again at once"
    assert len(machine.spool_files()) == 1
    # Mended; and it is no stranger's record that pays for it.
    sink.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=1, waiting=0, rejected=0)


@pytest.mark.parametrize("code", KEPT)
def test_a_server_in_trouble_keeps_the_record(make_machine, sink, code):
    sink.answer = Answer(code)
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    sink.wait_for(1)
    wait_until(lambda: machine.status()["last_error"])
    assert str(code) in machine.status()["last_error"]
    machine.wait_for(waiting=1, rejected=0, delivered=0)
    assert machine.rejected_files() == []
    sink.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=1, waiting=0)


@pytest.mark.parametrize("answer", [RESET, CLOSE, GARBAGE])
def test_a_server_that_breaks_off_keeps_the_record(make_machine, sink, answer):
    sink.answer = answer
    machine = make_machine(server=sink.url).start()
    assert machine.send(b"once more") == 0
    wait_until(lambda: machine.status()["last_error"])
    machine.wait_for(waiting=1)
    sink.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=1, waiting=0)
    assert sink.bodies()[-1] == b"once more"


RETRY_AFTER = {
    "seconds": (lambda: "600", 600),
    "date": (lambda: email.utils.formatdate(time.time() + 900, usegmt=True), 900),
    "more than a day": (lambda: "1000000", 86400),
}


@pytest.mark.parametrize("value, seconds", RETRY_AFTER.values(), ids=RETRY_AFTER.keys())
@pytest.mark.parametrize("code", [503, 429])
def test_retry_after_is_honoured_and_SIGHUP_overrides_it(
    make_machine, sink, code, value, seconds
):
    sink.answer = Answer(code, headers=(("Retry-After", value()),))
    machine = make_machine(server=sink.url).start()
    before = int(time.time())
    assert machine.send() == 0
    sink.wait_for(1)
    status = wait_until(lambda: machine.status()["next_attempt"] and machine.status())
    assert before + seconds - 2 <= status["next_attempt"] <= time.time() + seconds + 2
    assert machine.send(b"second") == 0
    assert len(sink.requests) == 1
    sink.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=2, waiting=0)


def test_a_nonsense_retry_after_is_none(make_machine, sink):
    sink.answer = Answer(503, headers=(("Retry-After", "soon, \x01 perhaps"),))
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    sink.wait_for(1)
    sink.answer = Answer(201)
    machine.wait_for(delivered=1)


@both_ways
@pytest.mark.parametrize("where", ["fresh", "in the spool"])
def test_a_poisoned_record_among_a_thousand_blocks_nobody(make_machine, away, where):
    away.answer = lambda request: (
        Answer(400, b'{"message": "not this one"}') if request.body == b"poison" else Answer(201))
    payloads = [b"poison" if i == 3 else str(i).encode() for i in range(1000)]
    machine = make_machine(server=away.url, spool_max_size=-1, rate_limit_enabled=False)
    if where == "fresh":
        away.start()
    machine.start()
    for at in range(0, len(payloads), 100):
        send_all(machine, payloads[at : at + 100])
    if where == "in the spool":
        machine.wait_for(waiting=1000)
        away.start()
        machine.reload()
    # Within the deadline of every test: at the 0.4 a second of an earlier daemon that is 8 of them.
    machine.wait_for(delivered=999, rejected=1, waiting=0)
    assert set(away.bodies()) == set(payloads)
    [rejected] = objects(machine, "rejected", "list")
    assert (rejected["code"], rejected["reason"]) == (400, "not this one")


def test_a_record_that_fails_alone_goes_behind_the_others(make_machine, away):
    away.answer = lambda request: Answer(500 if request.body == b"unlucky" else 201)
    machine = make_machine(server=away.url).start()
    send_all(machine, [b"unlucky"] + [str(i).encode() for i in range(40)])
    away.start()
    machine.reload()
    machine.wait_for(delivered=40, waiting=1, timeout=40)
    away.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=41, waiting=0)


# 403: something on the way to the server dislikes its words. It stopped everything for
# spool_process_time, and again as soon as another record had shown that the server was well.
@pytest.mark.parametrize("code", [403, 451])
def test_a_record_that_the_way_to_the_server_does_not_let_pass_stops_nobody(
    make_machine, sink, code
):
    sink.answer = lambda request: Answer(code if request.body == b"poison" else 201)
    machine = make_machine(server=sink.url, spool_max_size=-1, rate_limit_enabled=False).start()
    for at in range(0, 1000, 100):
        send_all(machine, [b"poison" if i == 3 else str(i).encode() for i in range(at, at + 100)])
    machine.wait_for(delivered=999, waiting=1)
    # However often it is tried again.
    for again in range(1, 4):
        seen = sink.bodies().count(b"poison")
        wait_until(lambda: sink.bodies().count(b"poison") > seen)
        send_all(machine, [b"fresh"])
        machine.wait_for(delivered=999 + again, waiting=1)
    assert not machine.status()["failing"]
    [line] = [line for line in machine.errors.read_text().splitlines() if "did not take a record" in line]
    assert str(code) in line
    sink.answer = Answer(201)
    machine.reload()
    machine.wait_for(delivered=1003, waiting=0)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_redirects_are_not_followed(make_machine, sink, away, code):
    away.start()
    sink.answer = Answer(code, headers=(("Location", away.url),))
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    sink.wait_for(1)
    wait_until(lambda: machine.status()["last_error"])
    machine.wait_for(waiting=1)
    assert away.connections == 0


@both_ways
def test_SIGTERM_ends_telemd_while_the_server_hangs_and_nothing_is_lost(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    send_all(machine, [str(i).encode() for i in range(20)])
    wait_until(lambda: sink.hanging > 0)
    # A second is what it may take; a loaded machine gets two more. The mistake to find took nine.
    assert machine.stop(timeout=3) == 0
    assert len(machine.spool_files()) == 20
    sink.answer = Answer()
    machine.start()
    machine.wait_for(found=20, delivered=20, waiting=0)


@both_ways
def test_killed_while_the_server_hangs_loses_nothing(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    payloads = [str(i).encode() for i in range(20)]
    send_all(machine, payloads)
    wait_until(lambda: sink.hanging > 0)
    machine.kill()
    assert len(machine.spool_files()) == 20
    sink.answer = Answer()
    machine.start()
    machine.wait_for(found=20, delivered=20, waiting=0)
    assert set(payloads) == set(sink.bodies())


@both_ways
def test_a_server_that_hangs_does_not_hold_up_senders(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    wait_until(lambda: sink.hanging > 0)
    for _ in range(200):
        assert machine.send() == 0
    status = machine.status()
    assert status["waiting"] == 201
    assert 1 <= status["under_way"] <= 10
    sink.answer = Answer()
    sink.release()
    machine.wait_for(delivered=201, waiting=0)


@both_ways
def test_telem_deliver_killed_in_the_middle_loses_nothing(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    payloads = [str(i).encode() for i in range(30)]
    send_all(machine, payloads)
    wait_until(lambda: sink.hanging > 0)
    sink.answer = Answer()
    for pid in machine.deliverers():
        os.kill(pid, signal.SIGKILL)
    machine.wait_for(delivered=30, waiting=0)
    assert set(sink.bodies()) == set(payloads)
    assert machine.spool_files() == []


@both_ways
def test_telem_deliver_stopped_like_a_hang_does_not_touch_intake(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    assert machine.send(b"first") == 0
    wait_until(lambda: sink.hanging > 0)
    for pid in machine.deliverers():
        os.kill(pid, signal.SIGSTOP)
    try:
        for _ in range(300):
            assert machine.send(b"x" * 2000) == 0
        assert machine.status()["waiting"] == 301
    finally:
        for pid in machine.deliverers():
            os.kill(pid, signal.SIGKILL)
    sink.answer = Answer()
    machine.wait_for(delivered=301, waiting=0)


@both_ways
def test_telem_deliver_ends_some_seconds_after_its_last_work_and_comes_again(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    assert machine.deliverers() == []
    assert machine.send() == 0
    sink.wait_for(1)
    wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")
    assert machine.send() == 0
    sink.wait_for(2)
    machine.wait_for(delivered=2)


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 ", b"HTTP/1.1 20", b"HTTP/1.1 201"])
def test_a_cut_status_line_is_no_answer(make_machine, sink, part):
    sink.answer = Cut(part)
    machine = make_machine(server=sink.url).start()
    assert machine.send() == 0
    sink.wait_for(1)
    wait_until(lambda: machine.status()["last_error"])
    machine.wait_for(waiting=1, delivered=0)
    sink.answer = Answer()
    machine.reload()
    machine.wait_for(delivered=1, waiting=0)


def test_a_huge_answer_is_bounded(make_machine, sink):
    sink.answer = Answer(400, b"no " * 1_000_000)
    machine = make_machine(server=sink.url).start()
    event_id = new_event_id()
    assert machine.send(event_id=event_id) == 0
    line = machine.wait_for_state(event_id, "rejected")
    assert "no no no" in line.detail and len(line.detail) < 1000


@both_ways
def test_the_next_attempt_counts_from_SIGHUP_with_a_new_server(make_machine, away, sink):
    machine = make_machine(server=away.url).start()
    send_all(machine, [b"a", b"b"])
    wait_until(lambda: machine.status()["last_error"])
    machine.configure(server=sink.url)
    machine.reload()
    machine.wait_for(delivered=2, waiting=0)
    assert machine.status()["server"] == sink.url
    assert sorted(sink.bodies()) == [b"a", b"b"] and away.requests == []


def test_a_name_that_does_not_resolve_is_told_in_status(make_machine):
    machine = make_machine(server="http://telemetry.invalid/v2/collector").start()
    assert machine.send() == 0
    error = wait_until(lambda: machine.status()["last_error"])
    assert re.search("resolve|host", error, re.I)
    machine.wait_for(waiting=1)


@both_ways
def test_rejected_ones_are_bounded_in_number(make_machine, sink):
    sink.answer = Answer(400)
    machine = make_machine(server=sink.url).start()
    send_all(machine, [str(i).encode() for i in range(150)])
    machine.wait_for(rejected=150, waiting=0)
    assert len(machine.rejected_files()) == 100


def test_two_machines_do_not_mix(make_machine):
    sinks = [HttpSink(), HttpSink()]
    try:
        machines = [make_machine(server=sink.url).start() for sink in sinks]
        for machine, payload in zip(machines, (b"one", b"two")):
            assert machine.send(payload) == 0
        assert [sink.wait_for(1)[0].body for sink in sinks] == [b"one", b"two"]
        assert machines[0].status()["machine_id"] != machines[1].status()["machine_id"]
    finally:
        for sink in sinks:
            sink.close()


def test_the_real_collector_stores_what_telemd_delivers(make_machine, collector):
    machine = make_machine(server=collector.url).start()
    event_id = new_event_id()
    assert machine.send("Größe 5 µm\n".encode(), event_id=event_id, severity="3") == 0
    machine.wait_for(delivered=1)
    [record] = collector.records()
    assert record["event_id"] == event_id
    assert record["payload"] == "Größe 5 µm\n"
    assert record["machine_id"] == machine.status()["machine_id"]
    assert str(record["severity"]) == "3"
