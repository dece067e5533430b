"""The frame socket: any cut, any order, any number of clients, any nonsense."""

import socket
import struct
import time

import pytest

from support.frames import (
    HEADER_NAMES,
    IO_ERROR,
    MALFORMED,
    MAX_PAYLOAD,
    SPOOL_FULL,
    TAKEN_OVER,
    TOO_LARGE,
    frame,
    frame_2x,
    header_text,
    sample_headers,
)
from support.proc import open_descriptors, private_kib, run_time_ns
from support.waiting import wait_until


def records(count, payload=b"hello\n"):
    """Header sets and frames of `count` records."""
    headers = [sample_headers() for _ in range(count)]
    return [h["event_id"] for h in headers], [frame(h, payload) for h in headers]


def test_a_frame_in_single_bytes_is_one_record(machine, sink):
    [event_id], [data] = records(1)
    with machine.connect() as connection:
        for i in range(len(data)):
            connection.send(data[i : i + 1])
        assert connection.read_status() == TAKEN_OVER
    assert [r.headers["event_id"] for r in sink.wait_for(1)] == [event_id]


@pytest.mark.parametrize("size", [2, 3, 7, 100, 433])
def test_frames_in_pieces_of_any_size_are_the_same_records(machine, sink, size):
    event_ids, frames = records(3)
    data = b"".join(frames)
    with machine.connect() as connection:
        for i in range(0, len(data), size):
            connection.send(data[i : i + size])
        assert connection.read_statuses(3) == [TAKEN_OVER] * 3
    assert sorted(r.headers["event_id"] for r in sink.wait_for(3)) == sorted(event_ids)


def test_a_2x_frame_with_a_path_in_single_bytes_is_one_record(machine, sink):
    data = frame_2x(sample_headers(), b"two", "/etc/telemetrics/other.conf")
    with machine.connect() as connection:
        for i in range(len(data)):
            connection.send(data[i : i + 1])
        assert connection.read_status() == TAKEN_OVER
    assert sink.wait_for(1)[0].body == b"two"


def test_ten_frames_glued_in_one_write_get_ten_status_bytes(machine, sink):
    event_ids, frames = records(10)
    with machine.connect() as connection:
        connection.send(b"".join(frames))
        assert connection.read_statuses(10) == [TAKEN_OVER] * 10
        # The connection goes on.
        connection.send(frame(sample_headers()))
        assert connection.read_status() == TAKEN_OVER
    assert set(event_ids) <= {r.headers["event_id"] for r in sink.wait_for(11)}


def test_a_thousand_idle_connections_disturb_nobody(machine, sink):
    idle = [machine.connect() for _ in range(1000)]
    try:
        event_ids, frames = records(13)
        with machine.connect() as connection:
            connection.send(b"".join(frames[:10]))
            assert connection.read_statuses(10) == [TAKEN_OVER] * 10
        with machine.connect() as connection:
            for i in range(len(frames[10])):
                connection.send(frames[10][i : i + 1])
            assert connection.read_status() == TAKEN_OVER
        # The idle ones are as good as new ones, the first and the last.
        for connection, data in ((idle[0], frames[11]), (idle[-1], frames[12])):
            connection.send(data)
            assert connection.read_status() == TAKEN_OVER
        assert {r.headers["event_id"] for r in sink.wait_for(13)} == set(event_ids)
        wait_until(lambda: is_at_rest(machine.process.pid), what="telemd at rest beside them")
    finally:
        for connection in idle:
            connection.close()


def is_at_rest(pid, seconds=0.3):
    before = run_time_ns(pid)
    time.sleep(seconds)
    return run_time_ns(pid) == before


def test_at_the_limit_of_descriptors_senders_are_still_served(make_machine, sink):
    machine = make_machine(server=sink.url).start(descriptors=64)
    idle = [machine.connect() for _ in range(100)]
    try:
        for _ in range(20):
            assert machine.send() == TAKEN_OVER
        sink.wait_for(20)
    finally:
        for connection in idle:
            connection.close()
    # And it comes back from that state.
    wait_until(lambda: is_at_rest(machine.process.pid),
               what="telemd at rest when the clients have gone")
    assert machine.send() == TAKEN_OVER


def test_a_slow_writer_does_not_hold_up_a_fast_one(machine, sink):
    _, [data] = records(1)
    with machine.connect() as slow:
        slow.send(data[:300])
        for _ in range(20):
            assert machine.send() == TAKEN_OVER
        slow.send(data[300:])
        assert slow.read_status() == TAKEN_OVER
    sink.wait_for(21)


def test_an_unfinished_frame_is_given_up_after_ten_seconds(machine, sink):
    _, [data] = records(1)
    start = time.monotonic()
    with machine.connect() as half, machine.connect() as drip, machine.connect() as idle:
        half.send(data[:200])
        drip.send(data[:1])
        # A byte now and then buys no time.
        at = 1
        while machine.status()["closed_incomplete"] < 2 and time.monotonic() < start + 14:
            try:
                drip.send(data[at : at + 1])
                at += 1
            except (BrokenPipeError, ConnectionResetError):
                pass
            time.sleep(0.2)
        assert half.is_closed_by_daemon(timeout=1)
        assert drip.is_closed_by_daemon(timeout=1)
        assert time.monotonic() > start + 9
        # A connection that has sent nothing may stay.
        idle.send(data)
        assert idle.read_status() == TAKEN_OVER
    status = machine.wait_for(closed_incomplete=2)
    assert status["accepted"] == 1
    sink.wait_for(1)


@pytest.mark.parametrize("length", [1, 4, 7, 8, 9, 200, -10, -8, -1])
def test_half_a_frame_of_a_client_that_is_gone_is_no_record(machine, sink, length):
    data = frame(sample_headers(), b"hello\n")
    with machine.connect() as connection:
        connection.send(data[:length])
    machine.wait_for(closed_incomplete=1)
    assert machine.send(b"next") == TAKEN_OVER
    assert sink.wait_for(1)[0].body == b"next"
    assert machine.status()["accepted"] == 1


def swapped(a, b):
    names = list(HEADER_NAMES)
    i, j = names.index(a), names.index(b)
    names[i], names[j] = names[j], names[i]
    headers = sample_headers()
    return {name: headers[name] for name in names}


def without(name):
    headers = sample_headers()
    del headers[name]
    return headers


def words(size, header_size, rest=b""):
    return struct.pack("=II", size, header_size) + rest


TEXT = header_text(sample_headers())

MALFORMED_FRAMES = {
    "headers larger than the frame": words(10, 20, b"x" * 11),
    "no headers": frame(b"", b"payload"),
    "nonsense in place of headers": frame(b"nonsense\n" * 15, b"payload"),
    "no NUL at the end": frame(sample_headers(), b"x")[:-1] + b"!",
    "header_size cuts a line": words(len(TEXT) + 5, len(TEXT) - 5, TEXT + b"hello\0"),
    "header_size takes payload in": words(len(TEXT) + 5, len(TEXT) + 5, TEXT + b"hello\0"),
    "path without an end": struct.pack("=I", 5000) + b"CFG:/" + b"x" * 5000,
    "2.x shorter than its parts": struct.pack("=I", 14) + b"CFG:/x\0" + b"\0" * 10,
    "first header missing": frame(without("record_format_version")),
    "last header missing": frame(without("event_id"), b"payload"),
    "a header twice": frame(TEXT.replace(b"arch: x86_64\n", b"arch: x86_64\narch: x86_64\n")),
    "one header too many": frame(TEXT + b"extra: 1\n", b""),
    "headers reordered": frame(swapped("severity", "machine_id")),
    "a blank missing": frame(TEXT.replace(b"arch: x86_64", b"arch:x86_64")),
    "another name": frame(TEXT.replace(b"arch: ", b"ARCH: ")),
    "over-long header line": frame(sample_headers(cpu_model="x" * 5000)),
    "newline in a value": frame(sample_headers(board_name="a\nb")),
    "carriage return in a value": frame(sample_headers(board_name="a\rX-Evil: 1")),
    "NUL in a value": frame(sample_headers(board_name="a\0b")),
    "journal separator in a value": frame(sample_headers(board_name="a\x1eb")),
    "escape in a value": frame(sample_headers(cpu_model="\x1b[2J")),
    "DEL in a value": frame(sample_headers(cpu_model="\x7f")),
    "format version 3": frame(sample_headers(record_format_version="3")),
    "format version empty": frame(sample_headers(record_format_version="")),
    "severity 0": frame(sample_headers(severity="0")),
    "severity 5": frame(sample_headers(severity="5")),
    "severity word": frame(sample_headers(severity="low")),
    "classification without parts": frame(sample_headers(classification="x")),
    "classification of two parts": frame(sample_headers(classification="a/b")),
    "classification of four parts": frame(sample_headers(classification="a/b/c/d")),
    "classification with an empty part": frame(sample_headers(classification="a//c")),
    "classification part of 41": frame(sample_headers(classification="a/b/" + "c" * 41)),
    "classification not ASCII": frame(sample_headers(classification="a/b/\u00e4".encode())),
    "event id of 31": frame(sample_headers(event_id="a" * 31)),
    "event id of 33": frame(sample_headers(event_id="a" * 33)),
    "event id in capitals": frame(sample_headers(event_id="A" * 32)),
    "event id with a path": frame(sample_headers(event_id="../" * 10 + "aa")),
    "timestamp word": frame(sample_headers(creation_timestamp="now")),
    "timestamp negative": frame(sample_headers(creation_timestamp="-1")),
    "payload version word": frame(sample_headers(payload_format_version="one")),
    "HTTP": b"POST / HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.mark.parametrize("data", MALFORMED_FRAMES.values(), ids=MALFORMED_FRAMES.keys())
def test_a_malformed_frame_costs_its_sender_the_connection(machine, sink, data):
    with machine.connect() as connection:
        connection.send(data)
        connection.finish_writing()
        answer = connection.read_status()
        # "POST" read as a length is too much rather than malformed; both are refusals.
        assert answer in ((MALFORMED, TOO_LARGE) if data[:4] == b"POST" else (MALFORMED,))
        assert connection.is_closed_by_daemon()
    assert machine.send(b"next") == TAKEN_OVER
    assert [r.body for r in sink.wait_for(1)] == [b"next"]
    status = machine.wait_for(delivered=1)
    assert status["accepted"] == 1
    assert status["refused_malformed"] + status["refused_too_large"] == 1
    assert machine.spool_files() == []
    assert len(machine.states()) == 1


LYING_SIZES = {
    "all ones": (words(0xFFFFFFFF, 0xFFFFFFFF), (TOO_LARGE, MALFORMED)),
    "4 GiB of payload": (words(0xFFFFFFFF, 400), (TOO_LARGE,)),
    "2 GiB": (words(0x7FFFFFFF, 400), (TOO_LARGE,)),
    "headers that wrap round": (words(100, 0xFFFFFFFB), (TOO_LARGE, MALFORMED)),
    "sizes of nothing": (words(0, 0), (MALFORMED,)),
    "too many headers": (words(200_000, 100_000), (TOO_LARGE,)),
    "4 GiB of 2.x": (struct.pack("=I", 0xFFFFFFFF) + b"CFG:/etc/x.conf\0", (TOO_LARGE,)),
}


@pytest.mark.parametrize("data, answers", LYING_SIZES.values(), ids=LYING_SIZES.keys())
def test_a_lying_size_is_refused_before_its_bytes_come(machine, data, answers):
    with machine.connect() as connection:
        connection.send(data + b"\0")
        assert connection.read_status() in answers
        assert connection.is_closed_by_daemon()
    assert machine.send() == TAKEN_OVER


def test_four_bytes_of_ones_take_no_memory_and_hold_up_nobody(machine):
    assert machine.send() == TAKEN_OVER
    before = private_kib(machine.process.pid)
    clients = [machine.connect() for _ in range(20)]
    for client in clients:
        client.send(b"\xff\xff\xff\xff")
    assert machine.send() == TAKEN_OVER
    assert private_kib(machine.process.pid) < before + 1024
    for client in clients:
        client.close()


def test_good_bad_good_in_one_write_takes_the_first_only(machine, sink):
    good = [frame(sample_headers(), payload) for payload in (b"first", b"third")]
    with machine.connect() as connection:
        connection.send(good[0] + frame(sample_headers(severity="9")) + good[1])
        assert connection.read_statuses(3) == [TAKEN_OVER, MALFORMED]
    machine.wait_for(accepted=1, refused_malformed=1, delivered=1)
    assert sink.bodies() == [b"first"]


@pytest.mark.parametrize("make", [frame, frame_2x], ids=["1.x", "2.x"])
@pytest.mark.parametrize("payload", [b"x" * 8188, b"\0" * 70_000, b"\xfe" * MAX_PAYLOAD],
                         ids=["8188", "70000 NULs", "256 KiB"])
def test_payloads_up_to_the_limit_arrive_unchanged(machine, sink, make, payload):
    with machine.connect() as connection:
        connection.send(make(sample_headers(), payload))
        connection.finish_writing()
        assert connection.read_status() == TAKEN_OVER
    assert sink.wait_for(1)[0].body == payload


@pytest.mark.parametrize("make", [frame, frame_2x], ids=["1.x", "2.x"])
@pytest.mark.parametrize("extra", [1, 9, 10, 5000, 1_000_000])
def test_a_payload_beyond_the_limit_is_refused_as_too_large(machine, make, extra):
    data = make(sample_headers(), b"x" * (MAX_PAYLOAD + extra))
    with machine.connect() as connection:
        try:
            connection.send(data)
            connection.finish_writing()
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before all of it was sent
        assert connection.read_status() == TOO_LARGE
    status = machine.wait_for(refused_too_large=1)
    assert status["accepted"] == 0
    assert machine.send() == TAKEN_OVER


def test_a_client_that_never_reads_disturbs_nobody(make_machine, sink):
    machine = make_machine(server=sink.url, spool_max_size=-1, rate_limit_enabled=False).start()
    data = b"".join(records(3000)[1])
    with machine.connect() as connection:
        at = 0
        for _ in range(2000):
            at += connection.send_without_waiting(data[at : at + 100_000])
            if at == len(data):
                break
        for _ in range(20):
            assert machine.send() == TAKEN_OVER
        wait_until(lambda: is_at_rest(machine.process.pid, 0.1),
                   what="telemd at rest beside the client")
    assert machine.send() == TAKEN_OVER
    status = machine.wait_for(waiting=0)
    # What it took over before is delivered, whether the client cared to know or not.
    assert status["delivered"] == status["accepted"] > 21


def test_a_thousand_pipelined_frames_are_answered_in_order(machine, sink):
    with machine.connect() as connection:
        statuses = []
        for _ in range(10):
            connection.send(b"".join(records(100)[1]))
            statuses += connection.read_statuses(100)
        assert statuses == [TAKEN_OVER] * 1000
    sink.wait_for(1000)


def test_the_journal_tells_who_sent_a_record(machine, tmp_path):
    import os

    headers = sample_headers(classification="org.example/who/am-i", severity="3")
    assert machine.send_frame(frame(headers, b"12345")) == TAKEN_OVER
    line = machine.wait_for_state(headers["event_id"], "delivered")
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    with open("/proc/self/comm") as file:
        comm = file.read().strip()
    first = machine.journal()[0]
    assert (first.state, first.classification, first.severity) == (
        "spooled", "org.example/who/am-i", "3")
    assert first.boot_id == boot_id
    assert (first.uid, first.pid, first.comm) == (str(os.getuid()), str(os.getpid()), comm)
    assert first.record_id == line.record_id
    assert abs(int(first.time) - time.time()) < 60


def test_when_the_spool_is_gone_the_sender_learns_of_it(make_machine, away):
    machine = make_machine(server=away.url).start()
    machine.spool.rmdir()
    assert machine.send() == IO_ERROR
    assert machine.status()["refused_io_error"] == 1
    machine.spool.mkdir()


def test_on_a_full_disk_the_sender_learns_of_it_and_nothing_is_torn(make_machine, away):
    import subprocess

    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("no right to make a mount namespace")
    machine = make_machine(server=away.url)
    mount = f"mount -t tmpfs -o size=256k,mode=0777 none {machine.spool}; exec \"$@\""
    machine.start(wrapper=["unshare", "-m", "sh", "-c", mount, "sh"])
    answers = [machine.send(b"x" * 30_000) for _ in range(12)]
    taken = answers.count(TAKEN_OVER)
    assert answers == [TAKEN_OVER] * taken + [SPOOL_FULL] * (12 - taken)
    assert 0 < taken < 12
    assert machine.wait_for(refused_spool_full=12 - taken)["waiting"] == taken
    away.start()
    machine.reload()
    assert {len(r.body) for r in away.wait_for(taken)} == {30_000}
    machine.wait_for(waiting=0)
    assert machine.send() == TAKEN_OVER
    # The books are checked from outside of the mount: nothing may lie in there by then.
    machine.wait_for(waiting=0)


def test_no_descriptor_is_left_behind(make_machine):
    machine = make_machine(server="").start()

    def after(count):
        for _ in range(count):
            assert machine.send() == TAKEN_OVER
            with machine.connect() as connection:
                connection.send(b"\0\1\2")
            with machine.connect() as connection:
                connection.send(MALFORMED_FRAMES["severity 5"])
        return open_descriptors(machine.process.pid)

    first = after(1)
    wait_until(lambda: after(20) <= first, what="as many descriptors as before")


def test_who_has_said_all_gets_its_answers_and_is_closed(machine, sink):
    event_ids, frames = records(3)
    with machine.connect() as connection:
        connection.send(b"".join(frames))
        connection.finish_writing()
        assert connection.read_statuses(3) == [TAKEN_OVER] * 3
        assert connection.is_closed_by_daemon()
    assert sorted(r.headers["event_id"] for r in sink.wait_for(3)) == sorted(event_ids)


def test_a_client_may_shut_down_its_reading_side(machine, sink):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(machine.socket))
    client.shutdown(socket.SHUT_RD)
    client.sendall(frame(sample_headers(), b"unread"))
    assert sink.wait_for(1)[0].body == b"unread"
    client.close()
    assert machine.send() == TAKEN_OVER
