"""What telemd keeps, for how long, and what it has no room for."""

import os
import time

import pytest

from support.frames import (
    IO_ERROR,
    RATE_LIMITED,
    SPOOL_FULL,
    TAKEN_OVER,
    frame,
    new_event_id,
    new_record_id,
    sample_headers,
    spool_file_bytes,
)
from support.machine import NOBODY
from support.marks import needs_root
from support.waiting import stays, wait_until


def retained(machine):
    folder = machine.log / "records"
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def next_millisecond():
    """Record ids sort by it: within one, after a restart, any record may pass for the older one."""
    now = time.time_ns() // 1_000_000
    wait_until(lambda: time.time_ns() // 1_000_000 > now)


LOCAL = {
    "delivery switched off": {"record_server_delivery_enabled": False,
                              "record_retention_enabled": True},
    "no server": {"server": ""},
    "no server, no retention asked for": {"server": "", "record_retention_enabled": False},
}


@pytest.mark.parametrize("settings", LOCAL.values(), ids=LOCAL.keys())
def test_a_record_that_stays_here_is_journaled_as_local_and_retained(
    make_machine, sink, settings
):
    machine = make_machine(**{"server": sink.url, **settings}).start()
    event_id = new_event_id()
    assert machine.send(b"stays\nhere", event_id=event_id) == TAKEN_OVER
    line = machine.wait_for_state(event_id, "local")
    assert retained(machine) == {line.record_id: b"stays\nhere\n"}
    machine.wait_for(accepted=1, local=1, waiting=0)
    assert machine.spool_files() == []
    machine.reload()
    assert stays(lambda: sink.connections == 0, 0.2)


def test_without_a_server_nothing_leaves_and_with_one_the_new_records_do(make_machine, sink):
    machine = make_machine(server="").start()
    assert machine.send(b"before") == TAKEN_OVER
    machine.configure(server=sink.url)
    machine.reload()
    machine.wait_for(server=sink.url)
    assert machine.send(b"after") == TAKEN_OVER
    assert [r.body for r in sink.wait_for(1)] == [b"after"]
    machine.wait_for(local=1, delivered=1)


def test_payloads_of_delivered_records_are_retained_where_that_is_asked_for(make_machine, sink):
    machine = make_machine(server=sink.url, record_retention_enabled=True).start()
    event_id = new_event_id()
    assert machine.send(b"kept", event_id=event_id) == TAKEN_OVER
    line = machine.wait_for_state(event_id, "delivered")
    assert retained(machine) == {line.record_id: b"kept\n"}


# Payloads of records that were refused took the places of those that had been taken over.
@pytest.mark.parametrize("limit, status", [
    ({"record_burst_limit": 2, "rate_limit_strategy": "drop"}, RATE_LIMITED),
    ({"spool_max_size": 8}, SPOOL_FULL),
], ids=["over the rate limit", "spool full"])
def test_the_payload_of_a_refused_record_is_not_retained(make_machine, away, limit, status):
    machine = make_machine(server=away.url, record_retention_enabled=True,
                           retention_max_records=2, **limit).start()
    for payload in (b"1", b"2"):
        assert machine.send(payload) == TAKEN_OVER
    for payload in (b"3", b"4", b"5"):
        assert machine.send(payload) == status
    assert sorted(retained(machine).values()) == [b"1\n", b"2\n"]


def test_a_payload_that_cannot_be_retained_is_delivered_all_the_same(make_machine, sink):
    machine = make_machine(server=sink.url, record_retention_enabled=True)
    (machine.log / "records").touch()
    machine.start()
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=3, waiting=0, refused_io_error=0)
    assert machine.said().count("going on without it") == 1
    # Where it is to stay here that would be the only copy.
    machine.configure(server="", record_retention_enabled=True)
    machine.reload()
    machine.wait_for(server="")
    assert machine.send() == IO_ERROR
    machine.wait_for(refused_io_error=1, local=0)


def test_payloads_of_delivered_records_are_not_retained_otherwise(machine, sink):
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    assert retained(machine) == {}


def test_retention_keeps_the_latest_payloads(make_machine):
    machine = make_machine(server="", retention_max_records=3).start()
    for number in range(8):
        assert machine.send(str(number).encode()) == TAKEN_OVER
        next_millisecond()
    wait_until(lambda: len(retained(machine)) == 3, what=lambda: retained(machine))
    assert sorted(retained(machine).values()) == [b"5\n", b"6\n", b"7\n"]
    # Also those of an earlier run make room.
    assert machine.stop() == 0
    machine.start()
    assert machine.send(b"8") == TAKEN_OVER
    wait_until(lambda: sorted(retained(machine).values()) == [b"6\n", b"7\n", b"8\n"],
               what=lambda: retained(machine))


def test_a_sender_cannot_overwrite_what_is_retained_of_another(make_machine):
    machine = make_machine(server="").start()
    event_id = new_event_id()
    for payload in (b"first", b"second"):
        assert machine.send(payload, event_id=event_id) == TAKEN_OVER
    wait_until(lambda: sorted(retained(machine).values()) == [b"first\n", b"second\n"])


def test_the_journal_keeps_the_latest_records(make_machine):
    machine = make_machine(server="", journal_max_records=50, retention_max_records=1).start()
    event_ids = []
    with machine.connect() as connection:
        for _ in range(30):
            batch = [sample_headers() for _ in range(100)]
            event_ids += [headers["event_id"] for headers in batch]
            connection.send(b"".join(frame(headers, b"x") for headers in batch))
            assert connection.read_statuses(100) == [TAKEN_OVER] * 100
    # It may grow between two trims, but not without end.
    wait_until(lambda: len(machine.journal()) < 1500, what=lambda: len(machine.journal()))
    assert [line.event_id for line in machine.journal()][-50:] == event_ids[-50:]
    assert machine.stop() == 0
    machine.start()
    assert machine.send() == TAKEN_OVER
    assert machine.journal()[-2].event_id == event_ids[-1]


@pytest.mark.parametrize("age", [7200, 90], ids=["hours", "just over"])
def test_a_record_older_than_record_expiry_is_never_sent(make_machine, away, age):
    machine = make_machine(server=away.url, record_expiry=1)
    old = [sample_headers(), sample_headers()]
    record_id = new_record_id(time.time() - age)
    machine.put_into_spool("Ab3dEf", spool_file_bytes(old[0], b"1.x"), age=age)
    machine.put_into_spool(f"{record_id}-{os.getuid()}-4", spool_file_bytes(old[1], b"ours"),
                           age=age)
    young = machine.put_into_spool("Xy9zAb", spool_file_bytes(sample_headers(), b"young"))
    away.start()
    machine.start()
    machine.wait_for(found=3, expired=2, delivered=1, waiting=0)
    assert [request.body for request in away.requests] == [b"young"]
    assert not young.exists() and machine.spool_files() == []
    for headers in old:
        machine.wait_for_state(headers["event_id"], "expired")
    assert machine.rejected_files() == []


def test_records_expire_while_the_server_is_away(make_machine, away):
    machine = make_machine(server=away.url, record_expiry=1)
    # One second is left to it when telemd starts; the attempt that finds it comes by SIGHUP.
    headers = sample_headers()
    machine.put_into_spool("Ab3dEf", spool_file_bytes(headers, b"old"), age=57)
    machine.start()
    machine.wait_for(found=1, waiting=1)

    def is_expired():
        machine.reload()
        return machine.status()["expired"] == 1

    wait_until(is_expired, what="expired")
    machine.wait_for_state(headers["event_id"], "expired")
    assert machine.spool_files() == []


def test_a_full_spool_refuses_and_accepts_again_when_it_has_drained(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=40).start()
    event_ids = [new_event_id() for _ in range(13)]
    answers = [machine.send(event_id=event_id) for event_id in event_ids]
    # Each file counts as 4 KiB.
    assert answers == [TAKEN_OVER] * 10 + [SPOOL_FULL] * 3
    status = machine.wait_for(accepted=10, waiting=10, refused_spool_full=3)
    assert status["spool_bytes"] == 40 * 1024
    assert status["spool_max_kib"] == 40
    assert set(machine.states()) == set(event_ids[:10])
    away.start()
    machine.reload()
    machine.wait_for(delivered=10, waiting=0, spool_bytes=0)
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=11)


def test_the_size_of_the_spool_is_right_after_a_kill(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=40).start()
    for payload in (b"x", b"x" * 5000, b"x" * 9000):
        assert machine.send(payload) == TAKEN_OVER
    assert machine.status()["spool_bytes"] == (1 + 2 + 3) * 4096
    machine.kill()
    machine.start()
    machine.wait_for(found=3, waiting=3, spool_bytes=(1 + 2 + 3) * 4096)
    answers = [machine.send() for _ in range(6)]
    assert answers == [TAKEN_OVER] * 4 + [SPOOL_FULL] * 2


def test_no_limit_is_no_limit(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=-1).start()
    for _ in range(30):
        assert machine.send(b"x" * 200_000) == TAKEN_OVER
    assert machine.wait_for(waiting=30)["spool_max_kib"] == -1


def test_over_the_rate_limit_records_wait(make_machine, sink):
    machine = make_machine(server=sink.url, record_burst_limit=10).start()
    answers = [machine.send() for _ in range(13)]
    assert answers == [TAKEN_OVER] * 13
    sink.wait_for(10)
    machine.wait_for(delivered=10, waiting=3)
    machine.reload()
    assert stays(lambda: len(sink.requests) == 10, 0.5)
    assert len(machine.spool_files()) == 3


def test_the_byte_limit_counts_headers_and_payload(make_machine, sink):
    machine = make_machine(server=sink.url, byte_burst_limit=25_000).start()
    for _ in range(4):
        assert machine.send(b"x" * 10_000) == TAKEN_OVER
    machine.wait_for(delivered=2, waiting=2)
    assert stays(lambda: len(sink.requests) == 2, 0.3)


def test_over_the_rate_limit_records_are_refused_with_strategy_drop(make_machine, sink):
    machine = make_machine(
        server=sink.url, record_burst_limit=10, rate_limit_strategy="drop"
    ).start()
    event_ids = [new_event_id() for _ in range(12)]
    answers = [machine.send(event_id=event_id) for event_id in event_ids]
    assert answers == [TAKEN_OVER] * 10 + [RATE_LIMITED] * 2
    machine.wait_for(delivered=10, dropped=2, refused_rate_limited=2, waiting=0)
    for event_id in event_ids[10:]:
        machine.wait_for_state(event_id, "dropped")
    assert len(sink.requests) == 10


def test_strategy_drop_does_not_drop_what_the_network_failed_to_take(make_machine, away):
    machine = make_machine(
        server=away.url, record_burst_limit=10, rate_limit_strategy="drop"
    ).start()
    answers = [machine.send() for _ in range(12)]
    # What waits counts as well: it will be delivered.
    assert answers == [TAKEN_OVER] * 10 + [RATE_LIMITED] * 2
    away.start()
    machine.reload()
    machine.wait_for(delivered=10, dropped=2, waiting=0)


OFF = {
    "rate_limit_enabled = false": {"rate_limit_enabled": False},
    "limit -1": {"record_burst_limit": -1},
    "window 0": {"record_window_length": 0},
}


@pytest.mark.parametrize("settings", OFF.values(), ids=OFF.keys())
@pytest.mark.parametrize("strategy", ["spool", "drop"])
def test_the_rate_limit_can_be_switched_off(make_machine, sink, settings, strategy):
    machine = make_machine(
        **{"server": sink.url, "record_burst_limit": 2, "rate_limit_strategy": strategy, **settings}
    ).start()
    for _ in range(10):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=10, dropped=0)


def test_spool_sync_always_takes_records_too(make_machine, sink):
    machine = make_machine(server=sink.url, spool_sync="always").start()
    with machine.connect() as connection:
        connection.send(b"".join(frame(sample_headers(), b"x") for _ in range(200)))
        assert connection.read_statuses(200) == [TAKEN_OVER] * 200
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=201, waiting=0)


def send_as(machine, uid, count, payload=b"x", **headers):
    """`count` records of one uid on one connection; their status bytes and event ids."""
    sent = [sample_headers(**headers) for _ in range(count)]
    statuses = []
    with machine.connect(uid) as connection:
        for at in range(0, count, 100):
            some = sent[at : at + 100]
            connection.send(b"".join(frame(h, payload) for h in some))
            statuses += connection.read_statuses(len(some))
    return statuses, [h["event_id"] for h in sent]


# One user once filled the spool, and root's crash found no room.
@needs_root
def test_a_user_holds_at_most_half_of_the_spool(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=80).start()
    statuses, _ = send_as(machine, NOBODY, 15)
    assert statuses == [TAKEN_OVER] * 10 + [SPOOL_FULL] * 5
    statuses, _ = send_as(machine, NOBODY - 1, 4, payload=b"x" * 5000)
    assert statuses == [TAKEN_OVER] * 4
    # Root may have all the rest.
    statuses, _ = send_as(machine, 0, 4)
    assert statuses == [TAKEN_OVER] * 2 + [SPOOL_FULL] * 2
    machine.wait_for(accepted=16, waiting=16, refused_spool_full=7, spool_bytes=80 * 1024)
    # Also after a restart, when the names say whose they are.
    assert machine.stop() == 0
    machine.start()
    machine.wait_for(found=16, waiting=16)
    assert send_as(machine, NOBODY, 1)[0] == [SPOOL_FULL]
    away.start()
    machine.reload()
    machine.wait_for(delivered=16, waiting=0)
    assert send_as(machine, NOBODY, 1)[0] == [TAKEN_OVER]


@needs_root
def test_over_a_users_half_of_the_rate_its_records_wait_and_nobody_elses_do(make_machine, sink):
    machine = make_machine(server=sink.url, record_burst_limit=40, spool_max_size=-1).start()
    statuses, _ = send_as(machine, NOBODY, 1000)
    assert statuses == [TAKEN_OVER] * 1000
    machine.wait_for(delivered=20, waiting=980)
    _, [event_id] = send_as(machine, 0, 1)
    sink.wait_for_event(event_id)
    _, theirs = send_as(machine, NOBODY - 1, 5)
    for event_id in theirs:
        sink.wait_for_event(event_id)
    machine.wait_for(delivered=26, waiting=980)
    # The half of another one is not what nobody left over.
    _, theirs = send_as(machine, 0, 20)
    machine.wait_for(delivered=40, waiting=986)
    machine.reload()
    assert stays(lambda: len(sink.requests) == 40, 0.3)


@needs_root
@pytest.mark.parametrize("limit", [{"record_burst_limit": 10},
                                   {"record_burst_limit": -1, "byte_burst_limit": 100_000}],
                         ids=["records", "bytes"])
def test_strategy_drop_refuses_a_user_over_its_half(make_machine, away, limit):
    machine = make_machine(server=away.url, rate_limit_strategy="drop", **limit).start()
    payload = b"x" * (9_500 if "byte_burst_limit" in limit else 10)
    statuses, event_ids = send_as(machine, NOBODY, 7, payload)
    assert statuses == [TAKEN_OVER] * 5 + [RATE_LIMITED] * 2
    statuses, _ = send_as(machine, 0, 6, payload)
    assert statuses == [TAKEN_OVER] * 5 + [RATE_LIMITED]
    machine.wait_for(accepted=10, dropped=3, refused_rate_limited=3)
    for event_id in event_ids[5:]:
        machine.wait_for_state(event_id, "dropped")
    away.start()
    machine.reload()
    # What was answered 0 is never dropped later.
    machine.wait_for(delivered=10, dropped=3, waiting=0)


def test_with_drop_oldest_the_lowest_severity_and_there_the_oldest_makes_room(make_machine, away):
    machine = make_machine(
        server=away.url, spool_max_size=40, spool_full_policy="drop_oldest"
    ).start()
    ids = {}
    for severity in "4213":
        for number in range(3 if severity != "4" else 1):
            ids[severity, number] = new_event_id()
            assert machine.send(event_id=ids[severity, number], severity=severity) == TAKEN_OVER
    machine.wait_for(waiting=10, under_way=0)
    order = [("1", 0), ("1", 1), ("1", 2), ("2", 0), ("2", 1), ("2", 2), ("3", 0)]
    for evicted, key in enumerate(order, 1):
        assert machine.send(severity="4") == TAKEN_OVER
        machine.wait_for(evicted=evicted, waiting=10, spool_bytes=40 * 1024)
        assert machine.wait_for_state(ids[key], "evicted").detail == "the spool was full"
        assert len(machine.spool_files()) == 10
    # One that needs more room than one record leaves, and one for which there is none at all.
    assert machine.send(b"x" * 9_000, severity="4") == TAKEN_OVER
    status = machine.wait_for(evicted=10, waiting=8)
    assert machine.send(b"x" * 41_000) == SPOOL_FULL
    machine.wait_for(evicted=10, waiting=8, refused_spool_full=1)
    away.start()
    machine.reload()
    machine.wait_for(delivered=status["waiting"], waiting=0)


def test_of_what_was_found_at_start_the_lowest_severity_makes_room_too(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=40, spool_full_policy="drop_oldest")
    by_severity = {severity: sample_headers(severity=severity) for severity in "34123412"}
    for age, (severity, headers) in enumerate(by_severity.items()):
        machine.put_into_spool(f"old{age}", spool_file_bytes(headers, b"x"), age=100 - age)
    machine.start()
    machine.wait_for(found=4, waiting=4)
    for _ in range(6):
        assert machine.send(severity="4") == TAKEN_OVER
    machine.wait_for(waiting=10, under_way=0)  # what is under way stays
    for severity in "123":
        assert machine.send(severity="4") == TAKEN_OVER
        machine.wait_for_state(by_severity[severity]["event_id"], "evicted")
    machine.wait_for(evicted=3, waiting=10)


@needs_root
def test_with_drop_oldest_whoever_holds_most_makes_room(make_machine, away):
    machine = make_machine(
        server=away.url, spool_max_size=80, spool_full_policy="drop_oldest"
    ).start()
    _, theirs = send_as(machine, NOBODY, 10, severity="4")
    _, roots = send_as(machine, 0, 7)
    machine.wait_for(waiting=17, under_way=0)  # what is under way stays
    # Nobody is at its half: it makes room for itself.
    more = []
    for _ in range(2):
        statuses, event_ids = send_as(machine, NOBODY, 1)
        assert statuses == [TAKEN_OVER]
        more += event_ids
    for event_id in [theirs[0], more[0]]:
        machine.wait_for_state(event_id, "evicted")
    # Root finds room while nobody fills.
    statuses, _ = send_as(machine, 0, 4)
    assert statuses == [TAKEN_OVER] * 4
    machine.wait_for(evicted=3, waiting=20)
    states = machine.states()
    assert all(states[event_id] == "spooled" for event_id in roots)
    assert states[more[1]] == "evicted"


def test_a_restart_opens_no_gate(make_machine, sink):
    machine = make_machine(server=sink.url, record_burst_limit=2).start()
    for _ in range(2):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=2)
    assert machine.stop() == 0
    machine.start()
    assert machine.send() == TAKEN_OVER
    status = machine.wait_for(accepted=3, waiting=1)
    assert status["limited_until"] is not None
    assert len(sink.requests) == 2
