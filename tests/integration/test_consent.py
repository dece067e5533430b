"""Opted out: nothing is taken, nothing is kept, not one packet leaves."""

import os
import shutil
import time

import pytest

from support.frames import OPTED_OUT, TAKEN_OVER, frame, header_text, sample_headers
from support.http_sink import HANG, Answer
from support.marks import both_ways, needs_strace
from support.slow_server import SlowServer
from support.telemctl import answer
from support.waiting import stays, wait_until


def test_opted_out_nothing_is_kept_and_nothing_leaves(make_machine, sink):
    machine = make_machine(server=sink.url, record_retention_enabled=True)
    machine.opt_out()
    machine.start()
    assert [machine.send() for _ in range(3)] == [OPTED_OUT] * 3
    status = machine.status()
    assert status["collecting"] is False and status["consent"] == "opt-out"
    assert (status["refused_opted_out"], status["accepted"], status["waiting"]) == (3, 0, 0)
    assert machine.spool_files() == []
    assert machine.journal() == []
    assert not list((machine.log / "records").glob("*"))
    assert stays(lambda: sink.connections == 0, 0.3)


def withdraw(machine, mode):
    """Takes consent back in the way that the mode has."""
    if mode == "opt-out":
        machine.opt_out()
    else:
        (machine.config_dir / "opt-in").unlink()


def give(machine, mode):
    if mode == "opt-out":
        machine.opt_in()
    else:
        (machine.config_dir / "opt-in").touch()


def since(machine):
    path = machine.state / "consent_since"
    return int(path.read_text()) if path.exists() else None


@pytest.fixture(params=["opt-out", "opt-in"])
def mode(request):
    return request.param


@pytest.fixture
def consenting(make_machine, mode):
    """Makes a machine whose user consents, in either way."""

    def make(**settings):
        machine = make_machine(consent=mode, **settings)
        if mode == "opt-in":
            give(machine, mode)
        return machine

    return make


# Opting out left queued data behind, and it was sent when the user opted in again.
def test_opting_out_removes_what_waits_and_it_is_never_sent(consenting, mode, away):
    machine = consenting(server=away.url).start()
    for _ in range(5):
        assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    withdraw(machine, mode)
    machine.wait_for(collecting=False, waiting=0, under_way=0, evicted=5)
    assert machine.spool_files() == []
    assert machine.send() == OPTED_OUT
    assert {line.detail for line in machine.journal() if line.state == "evicted"} == {"opted out"}
    away.start()
    give(machine, mode)
    machine.wait_for(collecting=True)
    assert machine.send(b"afterwards") == TAKEN_OVER
    machine.wait_for(delivered=1)
    assert away.bodies() == [b"afterwards"]


def test_opting_out_removes_any_number_at_once(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=-1).start()
    with machine.connect() as connection:
        for _ in range(30):
            connection.send(b"".join(frame(sample_headers(), b"hello\n") for _ in range(100)))
            assert connection.read_statuses(100) == [TAKEN_OVER] * 100
    machine.opt_out()
    machine.wait_for(waiting=0, evicted=3000)
    assert machine.spool_files() == []


def test_the_marker_is_seen_without_a_signal(make_machine, away):
    machine = make_machine(server=away.url).start()
    assert machine.send() == TAKEN_OVER
    machine.opt_out()
    machine.wait_for(collecting=False)
    assert machine.send() == OPTED_OUT
    machine.opt_in()
    machine.wait_for(collecting=True)
    assert machine.send() == TAKEN_OVER


@both_ways
def test_opting_out_cuts_what_is_under_way(consenting, mode, sink):
    sink.answer = HANG
    machine = consenting(server=sink.url).start()
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
    wait_until(lambda: sink.hanging > 0)
    withdraw(machine, mode)
    wait_until(lambda: sink.hanging == 0, 5, what="connections cut")
    assert sink.cut > 0
    sink.answer = Answer()
    seen = len(sink.requests)
    machine.wait_for(under_way=0, collecting=False)
    assert stays(lambda: len(sink.requests) == seen, 1.2)


# Not even what the kernel already had of it.
@both_ways
def test_the_rest_of_a_record_does_not_arrive(consenting, mode):
    server = SlowServer()
    try:
        machine = consenting(server=server.url).start()
        payload = b"x" * 262_144
        assert machine.send(payload) == TAKEN_OVER
        server.wait_for_front()
        withdraw(machine, mode)
        machine.wait_for(collecting=False, under_way=0, evicted=1)
        wait_until(lambda: not machine.deliverers(), what="telem-deliver gone")
        server.read_on()
        assert server.was_reset
        assert len(server.front) + len(server.rest) < len(payload) / 2
    finally:
        server.close()


def test_opted_out_at_start_what_was_found_is_removed(consenting, mode, away):
    machine = consenting(server=away.url).start()
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
    assert machine.stop() == 0
    withdraw(machine, mode)
    away.start()
    machine.start()
    machine.wait_for(found=3, evicted=3, waiting=0)
    assert machine.spool_files() == []
    assert stays(lambda: away.connections == 0, 0.5)


# The reasons quote servers, and the state told how much this machine had sent.
def test_opting_out_removes_what_is_remembered_of_records(consenting, mode, sink):
    sink.answer = lambda request: Answer(422 if request.body == b"bad" else 201)
    machine = consenting(server=sink.url).start()
    assert [machine.send(b"bad"), machine.send(b"good")] == [TAKEN_OVER] * 2
    machine.wait_for(rejected=1, delivered=1)
    assert machine.stop() == 0
    machine.start()
    remembered = [machine.state / "state", machine.state / "rejected-reasons"]
    assert all(path.exists() for path in remembered)
    withdraw(machine, mode)
    machine.wait_for(collecting=False)
    wait_until(lambda: not any(path.exists() for path in remembered))
    assert machine.rejected_files() == []
    assert machine.stop() == 0
    assert not any(path.exists() for path in remembered)


# docs/operating.md said that it removes all but the journal and the machine id.
def test_the_marker_alone_leaves_what_has_left_the_machine_or_stays_on_it(consenting, mode, sink):
    sink.answer = lambda request: Answer(422 if request.body == b"bad" else 201)
    machine = consenting(server=sink.url, record_retention_enabled=True).start()
    assert [machine.send(b"bad"), machine.send(b"good")] == [TAKEN_OVER] * 2
    machine.wait_for(rejected=1, delivered=1)
    counts = machine.state / "crash-counts"
    counts.write_text("kept by crashprobe\n")
    stays_there = [machine.journal_file, machine.state / "machine_id", counts,
                   *(machine.log / "records").iterdir()]
    assert len(stays_there) == 5
    withdraw(machine, mode)
    machine.wait_for(collecting=False)
    wait_until(lambda: machine.rejected_files() == [])
    assert machine.stop() == 0
    assert all(path.stat().st_size > 0 for path in stays_there)


def test_opted_out_at_start_no_foreign_file_is_kept(consenting, mode, sink):
    machine = consenting(server=sink.url)
    machine.put_into_spool("fv8OEq", b"no record at all")
    withdraw(machine, mode)
    machine.start()
    machine.wait_for(found=1, rejected=1, waiting=0)
    wait_until(lambda: machine.rejected_files() == [] and machine.spool_files() == [])
    assert not (machine.state / "rejected-reasons").exists()


# By its id, an imported record was made before consent was given here; it came after it.
def test_a_record_that_was_imported_with_consent_survives_a_restart(make_machine, away, folder):
    other = make_machine(server=away.url)
    (other.state / "consent_since").write_text("1600000000\n")
    old_record(other, 600, b"carried")
    other.start()
    other.wait_for(found=1, waiting=1)
    answer(other, "spool", "export", folder / "export")
    machine = make_machine(server=away.url)
    (machine.state / "consent_since").write_text(f"{int(time.time()) - 300}\n")
    machine.start()
    answer(machine, "spool", "import", folder / "export")
    machine.wait_for(waiting=1)
    assert machine.stop() == 0
    machine.start()
    machine.wait_for(found=1, waiting=1, evicted=0)
    away.start()
    machine.reload()
    machine.wait_for(delivered=1)


# The start of consent.


def test_consent_has_a_start(consenting, mode, sink):
    before = int(time.time())
    machine = consenting(server=sink.url).start()
    first = wait_until(lambda: since(machine), what="consent_since")
    assert before - 1 <= first <= time.time()
    # It stays what it is as long as consent lasts.
    machine.state.joinpath("consent_since").write_text(f"{first - 100}\n")
    assert machine.stop() == 0
    machine.start()
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    assert since(machine) == first - 100
    withdraw(machine, mode)
    wait_until(lambda: since(machine) is None, what="consent_since removed")
    give(machine, mode)
    assert wait_until(lambda: since(machine), what="consent_since") >= first


# `telemctl status` told the start of the process.
def test_status_tells_since_when_there_is_consent(consenting, mode):
    machine = consenting()
    withdraw(machine, mode)
    machine.start()
    status = machine.wait_for(collecting=False, collecting_since=None)
    wait_until(lambda: time.time() >= status["started"] + 1, what="another second")
    give(machine, mode)
    status = machine.wait_for(collecting=True)
    assert status["started"] < status["collecting_since"] <= time.time()
    since = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(status["collecting_since"]))
    assert answer(machine, "status").startswith(f"collecting since {since};")
    withdraw(machine, mode)
    machine.wait_for(collecting=False, collecting_since=None)


def test_without_consent_it_has_no_start(make_machine, sink):
    machine = make_machine(server=sink.url, consent="opt-in")
    (machine.state / "consent_since").write_text("1700000000\n")
    machine.start()
    machine.wait_for(collecting=False)
    wait_until(lambda: since(machine) is None, what="consent_since removed")


def test_the_marker_tells_when_the_user_opted_in(make_machine, sink):
    machine = make_machine(server=sink.url, consent="opt-in")
    marker = machine.config_dir / "opt-in"
    marker.touch()
    os.utime(marker, (1_700_000_000, 1_700_000_000))
    machine.start()
    assert wait_until(lambda: since(machine), what="consent_since") == 1_700_000_000


def old_record(machine, age, payload):
    """A spool file of a record that was made `age` seconds ago."""
    made = int((time.time() - age) * 1000)
    name = f"{made:012x}{'0' * 19}{age % 10}-0-{len(payload)}"
    return machine.put_into_spool(name, header_text(sample_headers()) + payload + b"\n", age)


def test_what_was_made_before_the_user_opted_in_is_not_sent(make_machine, sink):
    machine = make_machine(server=sink.url, consent="opt-in")
    (machine.config_dir / "opt-in").touch()
    old_record(machine, 600, b"before")
    machine.start()
    machine.wait_for(found=1, evicted=1, waiting=0)
    assert machine.send(b"after") == TAKEN_OVER
    machine.wait_for(delivered=1)
    assert sink.bodies() == [b"after"]
    [line] = [line for line in machine.journal() if line.state == "evicted"]
    assert line.detail == "made before consent was given"


def test_the_file_alone_tells_what_was_made_before(make_machine, sink):
    machine = make_machine(server=sink.url)
    (machine.state / "consent_since").write_text(f"{int(time.time()) - 300}\n")
    old_record(machine, 600, b"before")
    old_record(machine, 60, b"after")
    machine.start()
    machine.wait_for(found=2, evicted=1, delivered=1)
    assert sink.bodies() == [b"after"]


# An upgrade: telemetrics-client collected with consent and wrote no such file.
def test_what_waited_when_the_start_was_first_written_down_is_sent(make_machine, away):
    machine = make_machine(server=away.url)
    made = int(time.time()) - 600
    old_record(machine, 600, b"from before the upgrade")
    machine.start()
    assert abs(wait_until(lambda: since(machine), what="consent_since") - made) <= 1
    assert machine.stop() == 0
    away.start()
    machine.start()
    machine.wait_for(found=1, delivered=1)


# The watch.


def test_a_marker_that_comes_with_its_folder(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.config_dir.rmdir()
    machine.start()
    assert machine.send() == TAKEN_OVER
    other = machine.root / "other"
    other.mkdir()
    (other / "opt-out").touch()
    other.rename(machine.config_dir)
    assert machine.send() == OPTED_OUT
    shutil.rmtree(machine.config_dir)
    assert machine.send() == TAKEN_OVER
    machine.config_dir.mkdir()
    machine.opt_out()
    assert machine.send() == OPTED_OUT


def test_a_folder_that_is_replaced(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    machine.config_dir.rename(machine.root / "old")
    machine.config_dir.mkdir()
    assert machine.send() == TAKEN_OVER
    machine.opt_out()
    assert machine.send() == OPTED_OUT
    (machine.root / "old").rename(machine.root / "older")
    machine.opt_in()
    assert machine.send() == TAKEN_OVER


@needs_strace
def test_records_cost_no_question_for_consent(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    log = folder / "strace.log"
    machine.start(wrapper=["strace", "-D", "-f", "-o", log, "-e", "trace=faccessat,faccessat2,access"])
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)

    def questions():
        return sum("opt-out" in line for line in log.read_text().splitlines())

    asked = wait_until(questions, what="the question at start")
    for _ in range(20):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=21)
    assert questions() == asked
    machine.opt_out()
    assert machine.send() == OPTED_OUT
    wait_until(lambda: questions() > asked, what="the question after an event")


@needs_strace
def test_without_inotify_the_files_are_asked(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    machine.start(wrapper=["strace", "-D", "-f", "-o", folder / "strace.log", "-e",
                           "inject=inotify_init1:error=EMFILE"])
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
        machine.opt_out()
        assert machine.send() == OPTED_OUT
        machine.opt_in()
    machine.wait_for(collecting=True)
    assert machine.send() == TAKEN_OVER


# Both forms of consent.


@pytest.mark.parametrize("opt_out", [False, True])
@pytest.mark.parametrize("opt_in", [False, True])
def test_both_modes_with_each_marker(make_machine, sink, mode, opt_out, opt_in):
    machine = make_machine(server=sink.url, consent=mode)
    if opt_out:
        machine.opt_out()
    if opt_in:
        (machine.config_dir / "opt-in").touch()
    machine.start()
    allowed = not opt_out and (mode == "opt-out" or opt_in)
    assert machine.status()["collecting"] is allowed
    assert machine.status()["consent"] == mode
    assert machine.send() == (TAKEN_OVER if allowed else OPTED_OUT)
    if allowed:
        sink.wait_for(1)


def test_consent_given_and_taken_back_in_opt_in_mode(make_machine, sink):
    machine = make_machine(server=sink.url, consent="opt-in").start()
    assert machine.send() == OPTED_OUT
    (machine.config_dir / "opt-in").touch()
    machine.reload()
    machine.wait_for(collecting=True)
    assert machine.send() == TAKEN_OVER
    sink.wait_for(1)
    (machine.config_dir / "opt-in").unlink()
    machine.reload()
    machine.wait_for(collecting=False)
    assert machine.send() == OPTED_OUT
    assert len(sink.requests) == 1
