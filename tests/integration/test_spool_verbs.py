"""telemctl spool and telemctl rejected: what people do with single records."""

import os
import re
import subprocess
import time

import pytest

from support import paths
from support.frames import (
    MAX_PAYLOAD, TAKEN_OVER, new_event_id, new_record_id, sample_headers, spool_file_bytes)
from support.http_sink import HANG, Answer
from support.telemctl import answer, complaint, objects, on_terminal, telemctl
from support.waiting import wait_until

NO_RECORD = "no record waits"


@pytest.fixture
def lonely(make_machine, away):
    """A machine that collects, and whose server is away."""
    return make_machine(server=away.url).start()


@pytest.fixture
def patient(make_machine, sink):
    """A machine that collects, and whose server has asked for a rest: nothing is tried meanwhile."""
    sink.answer = Answer(503, headers=(("Retry-After", "600"),))
    return make_machine(server=sink.url).start()


def wait_for_rest(machine):
    wait_until(lambda: machine.status()["last_error"] and machine.status()["under_way"] == 0)


def send(machine, count, payload=b"hello\n"):
    events = [new_event_id() for _ in range(count)]
    for event_id in events:
        assert machine.send(payload, event_id=event_id) == TAKEN_OVER
    return events


def ids(machine):
    return [record["id"] for record in objects(machine, "spool", "list")]


# ---- spool list


def test_list_tells_of_each_record_oldest_first(patient):
    for number in range(3):
        assert patient.send(severity=str(number + 1),
                           classification=f"org.example/test/{number}") == TAKEN_OVER
        time.sleep(0.002)  # ids sort by the millisecond
    wait_for_rest(patient)
    records = objects(patient, "spool", "list")
    assert [record["classification"] for record in records] == [
        f"org.example/test/{number}" for number in range(3)]
    files = {path.name.split("-")[0]: path.stat().st_size for path in patient.spool_files()}
    for number, record in enumerate(records):
        assert record["severity"] == number + 1 and record["uid"] == os.getuid()
        assert record["bytes"] == files[record["id"]] - 1  # the newline is not part of it
        # Those that were tried have failed, the others wait for their turn.
        assert (record["state"], record["attempts"]) in (("waiting", 0), ("failed", 1))
        assert abs(record["time"] - time.time()) < 3600
    lines = answer(patient, "spool", "list").splitlines()
    assert [line.split()[0] for line in lines] == [record["id"] for record in records]
    assert re.fullmatch(r"[0-9a-f]{32} \w{3} \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC failed +1 +\d+ +\d+ "
                        r"org\.example/test/0 \(failed once, next attempt in \d+ (s|min)\)", lines[0])


def test_list_of_an_empty_spool_says_so(machine):
    done = telemctl(machine, "spool", "list")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", f"telemctl: {NO_RECORD}\n")
    assert answer(machine, "spool", "list", "--json") == ""


def test_list_shows_what_is_under_way(machine, sink):
    sink.answer = HANG
    send(machine, 2)
    # Both are telem-deliver's; it may well use one connection.
    wait_until(lambda: sink.hanging > 0 and machine.status()["under_way"] == 2)
    assert {record["state"] for record in objects(machine, "spool", "list")} == {"under way"}
    sink.release()


def test_list_shows_what_failed_alone_and_when_it_is_tried_again(machine, sink):
    sink.answer = lambda request: Answer(500 if request.body == b"poison" else 201)
    send(machine, 1, b"poison")
    send(machine, 5)
    machine.wait_for(delivered=5)
    wait_until(lambda: objects(machine, "spool", "list")[0]["attempts"] >= 2)
    [record] = objects(machine, "spool", "list")
    assert record["state"] in ("failed", "under way")
    if record["state"] == "failed":
        assert record["next"] >= int(time.time()) - 1


def test_a_damaged_file_does_not_disturb_the_list(patient):
    send(patient, 2)
    wait_for_rest(patient)
    patient.spool_files()[0].write_bytes(b"\x1b[31m no record any more")
    first, second = objects(patient, "spool", "list")
    assert first["classification"] is None and second["classification"] == "org.example/test/one"
    assert len(answer(patient, "spool", "list").splitlines()) == 2


# ---- spool show


@pytest.mark.parametrize("payload", [b"", b"hello\n", bytes(range(256)), b"x" * MAX_PAYLOAD],
                         ids=["empty", "text", "any byte", "the largest"])
def test_show_gives_the_bytes_of_the_record(lonely, payload):
    send(lonely, 1, payload)
    [file] = lonely.spool_files()
    shown = answer(lonely, "spool", "show", file.name[:32], text=False)
    assert shown == file.read_bytes()
    assert shown.endswith(payload + b"\n")


def test_show_lets_no_control_character_onto_a_terminal(lonely):
    send(lonely, 1, b"a\x1b[31m\x07\x9b\tb\n")
    seen, code = on_terminal(lonely, "spool", "show", ids(lonely)[0])
    assert code == 0 and b"a?[31m??\tb" in seen
    assert b"\x1b" not in seen and b"\x07" not in seen


def test_an_id_may_be_abbreviated_where_it_is_unique(lonely):
    send(lonely, 2)
    first, second = ids(lonely)
    for wanted in (first, first[-8:], first[:32]):
        assert answer(lonely, "spool", "show", wanted)
    assert complaint(lonely, "spool", "show", first[:4]) == (
        f"'{first[:4]}' stands for more than one record")
    assert complaint(lonely, "spool", "show", "\x1bf") == "there is no record '?f'"
    assert complaint(lonely, "spool", "drop", "f" * 32) == f"there is no record '{'f' * 32}'"


# ---- spool drop


def test_a_dropped_record_is_gone_and_the_journal_says_who_did_it(lonely):
    kept, dropped = send(lonely, 2)
    assert answer(lonely, "spool", "drop", ids(lonely)[1]) == "1 record dropped\n"
    line = lonely.wait_for_state(dropped, "evicted")
    assert line.detail == f"dropped by uid {os.getuid()}"
    assert line.classification == "org.example/test/one"
    status = lonely.wait_for(waiting=1, evicted=1)
    assert status["spool_bytes"] == 4096
    lonely.check_sums()
    [file] = lonely.spool_files()
    assert kept.encode() in file.read_bytes()


def test_all_can_be_dropped_at_once(lonely):
    send(lonely, 30)
    assert answer(lonely, "spool", "drop", "--all") == "30 records dropped\n"
    status = lonely.wait_for(waiting=0, evicted=30)
    assert status["spool_bytes"] == 0 and lonely.spool_files() == []


def test_dropping_takes_away_what_is_under_way(machine, sink):
    sink.answer = HANG
    [event_id] = send(machine, 1)
    wait_until(lambda: sink.hanging == 1)
    answer(machine, "spool", "drop", ids(machine)[0])
    wait_until(lambda: sink.cut == 1)
    sink.answer = Answer()
    machine.wait_for(evicted=1, waiting=0, under_way=0)
    send(machine, 1)
    machine.wait_for(delivered=1)
    assert event_id not in sink.event_ids()[1:]


def test_what_failed_alone_can_be_dropped(machine, sink):
    sink.answer = lambda request: Answer(500 if request.body == b"poison" else 201)
    send(machine, 1, b"poison")
    send(machine, 5)
    machine.wait_for(delivered=5)
    answer(machine, "spool", "drop", "--all")
    machine.wait_for(waiting=0, evicted=1)


# ---- spool flush


def test_flush_tries_at_once(make_machine, sink):
    sink.answer = Answer(401)  # tried again at the longest interval only
    machine = make_machine(server=sink.url, spool_process_time=3600).start()
    send(machine, 3)
    wait_until(lambda: machine.status()["last_error"])
    machine.wait_for(waiting=3, under_way=0)  # else one of them meets the other answer
    sink.answer = Answer(201)
    assert machine.status()["next_attempt"] > time.time() + 60
    assert answer(machine, "spool", "flush") == "trying at once: 3 records to send\n"
    machine.wait_for(delivered=3)
    assert answer(machine, "spool", "flush") == NO_RECORD + "\n"


def test_flush_says_why_nothing_can_be_sent(make_machine, lonely):
    homely = make_machine().start()
    assert complaint(homely, "spool", "flush").endswith(
        "nothing is sent from here: no server is set, or delivery is switched off")
    lonely.opt_out()
    wait_until(lambda: not lonely.status()["collecting"])
    assert complaint(lonely, "spool", "flush").endswith(
        "nothing is collected or sent: opted out")


# ---- spool export and import: a stick carries records from a machine without a network to another


def test_records_travel_in_a_file_and_arrive_as_they_were(lonely, make_machine, sink, folder):
    payloads = [b"", b"hello\n", bytes(range(256)), b"x" * MAX_PAYLOAD]
    for payload in payloads:
        send(lonely, 1, payload)
    stick = folder / "stick"
    done = telemctl(lonely, "spool", "export", stick)
    assert done.returncode == 0 and done.stderr.startswith("telemctl: 4 records exported (")
    assert len(lonely.spool_files()) == 4  # they stay
    files = {path.name[:32]: path.read_bytes() for path in lonely.spool_files()}

    connected = make_machine(server=sink.url).start()
    assert answer(connected, "spool", "import", stick) == "4 records imported\n"
    status = connected.wait_for(delivered=4)
    assert status["accepted"] == 4
    connected.check_sums()
    by_body = {request.body: request.headers for request in sink.requests}
    assert sorted(by_body) == sorted(payloads)
    assert {headers["machine_id"] for headers in by_body.values()} == {lonely.status()["machine_id"]}
    for record_id, data in files.items():
        event_id = re.search(rb"event_id: (\w+)", data)[1].decode()
        line = connected.wait_for_state(event_id, "delivered")
        assert line.record_id == record_id
        created = re.search(rb"creation_timestamp: (\d+)", data)[1].decode()
        assert created in {headers["creation_timestamp"] for headers in by_body.values()}
    spooled = [line for line in connected.journal() if line.state == "spooled"]
    assert {line.detail for line in spooled} == {f"imported by uid {os.getuid()}"}


def test_importing_twice_gives_no_second_copy(lonely, make_machine, sink, folder):
    send(lonely, 3)
    answer(lonely, "spool", "export", folder / "stick")
    sink.answer = HANG
    connected = make_machine(server=sink.url).start()
    answer(connected, "spool", "import", folder / "stick")
    wait_until(lambda: sink.hanging > 0 and connected.status()["under_way"] == 3)
    again = "0 records imported, 3 known here already\n"
    assert answer(connected, "spool", "import", folder / "stick") == again  # under way
    sink.answer = Answer()
    sink.release()
    connected.wait_for(delivered=3)
    assert answer(connected, "spool", "import", folder / "stick") == again  # delivered
    assert answer(lonely, "spool", "import", folder / "stick") == again  # where they come from
    connected.stop()
    connected.start()
    assert answer(connected, "spool", "import", folder / "stick") == again  # after a restart
    assert len(sink.requests) == 3


def test_a_record_that_was_rejected_is_not_imported_again(lonely, make_machine, sink, folder):
    send(lonely, 1)
    answer(lonely, "spool", "export", folder / "stick")
    sink.answer = Answer(413)
    connected = make_machine(server=sink.url, journal_max_records=0).start()
    answer(connected, "spool", "import", folder / "stick")
    connected.wait_for(rejected=1)
    assert answer(connected, "spool", "import", folder / "stick") == (
        "0 records imported, 1 known here already\n")


def test_an_export_with_remove_gives_the_records_up_once_they_are_in_the_file(lonely, folder):
    events = send(lonely, 3)
    done = telemctl(lonely, "spool", "export", "--remove", folder / "stick")
    assert done.returncode == 0 and done.stderr.endswith("3 records removed from the spool\n")
    lonely.wait_for(waiting=0, evicted=3)
    for event_id in events:
        assert lonely.wait_for_state(event_id, "evicted").detail == (
            f"exported by uid {os.getuid()}")
    # The way back: this machine knows them, and says so.
    assert answer(lonely, "spool", "import", folder / "stick") == (
        "0 records imported, 3 known here already\n")


def test_an_export_that_fails_removes_nothing(lonely):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    send(lonely, 2)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [paths.TELEMCTL, "--config-file", lonely.config, "spool", "export", "-"],
            stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left on device" in done.stderr
    assert len(lonely.spool_files()) == 2


def test_an_export_does_not_overwrite_a_file(lonely, folder):
    send(lonely, 1)
    stick = folder / "stick"
    stick.write_text("the only copy of something")
    assert complaint(lonely, "spool", "export", "--remove", stick) == (
        f"'{stick}' is there already, leaving it as it is")
    assert stick.read_text() == "the only copy of something"
    assert len(lonely.spool_files()) == 1


def test_an_export_goes_through_a_pipe_and_not_onto_a_terminal(lonely, make_machine, sink):
    send(lonely, 2)
    export = answer(lonely, "spool", "export", "-", text=False)
    connected = make_machine(server=sink.url).start()
    imported = answer(connected, "spool", "import", "-", text=False, input=export)
    assert imported == b"2 records imported\n"
    connected.wait_for(delivered=2)
    assert complaint(lonely, "spool", "export", "--remove", "-") == (
        "--remove needs a file: nobody knows what becomes of what goes into a pipe")
    seen, code = on_terminal(lonely, "spool", "export", "-")
    assert code == 1 and b"not writing an export to a terminal" in seen
    assert len(lonely.spool_files()) == 2


def test_a_file_that_is_cut_off_anywhere_imports_nothing(lonely, machine, folder):
    send(lonely, 3, b"")
    whole = answer(lonely, "spool", "export", "-", text=False)
    stick = folder / "stick"
    for size in sorted({*range(0, len(whole), 97), len(whole) - 1, len(whole) - 6, 26, 27, 28}):
        stick.write_bytes(whole[:size])
        assert complaint(machine, "spool", "import", stick).endswith("; nothing was imported")
    assert machine.status()["accepted"] == 0 and machine.spool_files() == []


def test_what_is_no_export_imports_nothing_and_is_named(lonely, machine, folder):
    send(lonely, 2)
    whole = answer(lonely, "spool", "export", "-", text=False)
    stick = folder / "stick"
    for data, what in (
        (b"", "not an export of 'telemctl spool export', behind 0 records"),
        (os.urandom(5000), "not an export of 'telemctl spool export', behind 0 records"),
        (whole.replace(b"hello", b"hullo", 1), "a record was damaged, behind 0 records"),
        (whole[:-6] + b"end 3\n", "not all of its records, behind 2 records"),
        (whole[:-6] + b"x" * 200, "no line of an export, behind 2 records"),
        (whole + b"more", "something behind its end, behind 2 records"),
        (whole[:-6], "it is cut off, behind 2 records"),
    ):
        stick.write_bytes(data)
        assert complaint(machine, "spool", "import", stick) == (
            f"'{stick}': {what}; nothing was imported")
    assert machine.status()["accepted"] == 0
    assert complaint(machine, "spool", "import", folder) == f"'{folder}' is no regular file"
    assert complaint(machine, "spool", "import", folder / "none") == (
        f"open '{folder}/none': No such file or directory")


def test_records_that_are_too_old_here_are_not_taken_and_it_is_said(make_machine, away, sink, folder):
    collecting = make_machine(server=away.url, record_expiry=100_000)
    old = new_record_id(time.time() - 3 * 3600)
    collecting.put_into_spool(f"{old}-0-1", spool_file_bytes(sample_headers(), b"x"))
    collecting.start()
    collecting.wait_for(found=1)
    send(collecting, 1)
    answer(collecting, "spool", "export", folder / "stick")
    connected = make_machine(server=sink.url, record_expiry=60).start()
    done = telemctl(connected, "spool", "import", folder / "stick")
    assert (done.returncode, done.stdout) == (1, "1 record imported\n")
    assert "1 record not taken: older than record_expiry" in done.stderr
    connected.configure(record_expiry=100_000)
    connected.reload()
    wait_until(lambda: telemctl(connected, "spool", "import", folder / "stick").returncode == 0)
    connected.wait_for(delivered=2)


def test_a_full_spool_takes_what_fits_and_the_rest_later(lonely, make_machine, away, folder):
    send(lonely, 5)
    answer(lonely, "spool", "export", folder / "stick")
    small = make_machine(server=away.url, spool_max_size=12).start()
    done = telemctl(small, "spool", "import", folder / "stick")
    assert (done.returncode, done.stdout) == (1, "3 records imported\n")
    assert "the spool is full (spool_max_size)" in done.stderr
    assert "what is missing can be imported later from the same file" in done.stderr
    small.check_sums()
    away.start()
    answer(small, "spool", "flush")
    small.wait_for(delivered=3)
    assert answer(small, "spool", "import", folder / "stick") == (
        "2 records imported, 3 known here already\n")
    small.wait_for(delivered=5)


@pytest.mark.parametrize("how", ["opted out", "no server"])
def test_nothing_is_imported_where_nothing_is_sent(lonely, make_machine, sink, folder, how):
    send(lonely, 1)
    answer(lonely, "spool", "export", folder / "stick")
    other = make_machine(server=sink.url if how == "opted out" else "")
    if how == "opted out":
        other.opt_out()
    other.start()
    done = telemctl(other, "spool", "import", folder / "stick")
    assert (done.returncode, done.stdout) == (1, "0 records imported\n")
    assert ("opted out" if how == "opted out" else "no server is set") in done.stderr
    assert other.spool_files() == [] and other.journal() == []


# ---- rejected


@pytest.fixture
def refusing(make_machine, sink):
    """A machine with two rejected records, and its server."""
    sink.answer = lambda request: Answer(413, b"Too \x1b[31mlarge for me\n" + request.body)
    machine = make_machine(server=sink.url).start()
    send(machine, 2)
    machine.wait_for(rejected=2)
    return machine


def test_the_servers_sentence_is_shown_also_after_a_restart(refusing):
    for _ in range(2):
        for record in objects(refusing, "rejected", "list"):
            assert record["code"] == 413 and record["reason"].startswith("Too ")
            assert record["classification"] == "org.example/test/one"
            assert abs(record["time"] - time.time()) < 3600
        text = answer(refusing, "rejected", "list")
        assert text.count("    413 Too ") == 2 and "\x1b" not in text
        refusing.stop()
        refusing.journal_file.unlink()
        refusing.start()


def test_a_file_that_never_was_a_record_is_listed_with_its_reason(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.put_into_spool("fv8OEq", b"no record at all")
    machine.put_into_spool("b\udce4d\x1b[31m", b"")
    machine.start()
    machine.wait_for(rejected=2)
    by_name = {record["name"]: record for record in objects(machine, "rejected", "list")}
    assert set(by_name) == {"fv8OEq", "b\u00e4d\x1b[31m"}
    record = by_name["fv8OEq"]
    assert record["id"] is None and record["code"] is None
    assert "missing or cut header" in record["reason"]
    text = answer(machine, "rejected", "list")
    assert "\x1b" not in text and "b\u00e4d?[31m" in text
    assert answer(machine, "rejected", "show", "fv8") == "no record at all"
    assert complaint(machine, "rejected", "retry", "fv8OEq").endswith(
        "that file is no record and cannot be sent")
    assert complaint(machine, "rejected", "retry", "--all")
    assert answer(machine, "rejected", "drop", "--all") == "2 records dropped\n"
    assert machine.rejected_files() == []
    machine.check_sums()


def test_nothing_rejected_is_said(machine):
    done = telemctl(machine, "rejected", "list")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "telemctl: no record was rejected\n"


def test_a_rejected_record_can_be_looked_at(refusing):
    [file, _] = refusing.rejected_files()
    assert answer(refusing, "rejected", "show", file.name[:32], text=False) == file.read_bytes()


def test_retry_puts_a_record_back_and_it_is_delivered(refusing, sink):
    sink.answer = Answer(201)
    record = objects(refusing, "rejected", "list")[0]
    assert answer(refusing, "rejected", "retry", record["id"]) == "1 record put back into the spool\n"
    refusing.wait_for(rejected=1, delivered=1, waiting=0, accepted=2)
    lines = [line for line in refusing.journal() if line.record_id == record["id"]]
    assert [line.state for line in lines] == ["spooled", "rejected", "spooled", "delivered"]
    assert lines[2].detail == f"retried by uid {os.getuid()}"
    refusing.check_sums()
    assert answer(refusing, "rejected", "retry", "--all") == "1 record put back into the spool\n"
    refusing.wait_for(rejected=0, delivered=2, waiting=0)
    assert refusing.rejected_files() == []


def test_a_record_that_an_earlier_telemd_rejected_can_be_retried(refusing, sink):
    refusing.stop()
    refusing.start()
    sink.answer = Answer(201)
    answer(refusing, "rejected", "retry", "--all")
    refusing.wait_for(delivered=2, waiting=0)
    refusing.check_sums()


def test_a_dropped_one_is_evicted(refusing):
    record = objects(refusing, "rejected", "list")[0]
    assert answer(refusing, "rejected", "drop", record["id"]) == "1 record dropped\n"
    status = refusing.wait_for(rejected=1, evicted=1)
    assert status["accepted"] == 2
    line = [line for line in refusing.journal() if line.record_id == record["id"]][-1]
    assert (line.state, line.detail) == ("evicted", f"dropped by uid {os.getuid()}")
    refusing.check_sums()


def test_an_expired_one_is_not_retried(make_machine, sink):
    sink.answer = Answer(413)
    machine = make_machine(server=sink.url, record_expiry=100_000)
    old = new_record_id(time.time() - 3 * 3600)
    machine.put_into_spool(f"{old}-0-1", spool_file_bytes(sample_headers(), b"x"))
    machine.start()
    machine.wait_for(rejected=1)
    machine.configure(record_expiry=60)
    machine.reload()
    wait_until(lambda: "older than record_expiry" in
               telemctl(machine, "rejected", "retry", old).stderr)
    assert len(machine.rejected_files()) == 1


# ---- no telemd


@pytest.mark.parametrize("verb", [("spool", "list"), ("spool", "flush"), ("rejected", "list"),
                                  ("spool", "drop", "--all"), ("rejected", "retry", "x")])
def test_without_telemd_it_is_said(make_machine, verb):
    machine = make_machine()
    said = complaint(machine, *verb)
    assert said.startswith(f"telemd does not answer at {machine.control}: No such file or directory")
    assert "start it with 'telemd'" in said
