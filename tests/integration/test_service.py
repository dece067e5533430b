"""telemd under a service manager: sockets that are passed, what it tells, and what outlives it.

The manager is a stand-in here; tests/system has the real one.
"""

import os
import re
import signal
import socket
import time

import pytest

from support.frames import TAKEN_OVER
from support.http_sink import Answer
from support.service_manager import NotifySocket, listen
from support.waiting import stays, wait_until


@pytest.fixture
def sockets():
    made = []

    def make(path, *kind):
        made.append(listen(path, *kind))
        return made[-1]

    yield make
    for sock in made:
        sock.close()


@pytest.fixture
def manager(folder):
    notify = NotifySocket(folder / "notify")
    yield notify
    notify.close()


# Sockets.


@pytest.mark.parametrize("passed", [("frames",), ("frames", "control"), ("control", "frames")])
def test_it_listens_on_the_sockets_that_are_passed(make_machine, sink, sockets, passed):
    machine = make_machine(server=sink.url)
    made = {"frames": machine.socket, "control": machine.control}
    inodes = {name: None for name in passed}
    descriptors = []
    for name in passed:
        descriptors.append(sockets(made[name]).fileno())
        inodes[name] = made[name].stat().st_ino
    machine.start(passed=descriptors)
    assert machine.send() == TAKEN_OVER
    sink.wait_for(1)
    machine.wait_for(delivered=1)
    assert machine.stop() == 0
    # Those are not telemd's to remove; one that it bound itself is.
    for name, path in made.items():
        assert path.exists() == (name in passed)
        if name in passed:
            assert path.stat().st_ino == inodes[name]


def test_names_tell_which_socket_is_which(make_machine, sink, sockets):
    machine = make_machine(server=sink.url)
    elsewhere = machine.root / "elsewhere"
    passed = [sockets(elsewhere).fileno(), sockets(machine.socket).fileno()]
    machine.launch(passed=passed, LISTEN_FDNAMES="control:frames")
    machine.control = elsewhere
    wait_until(lambda: machine.status()["pid"] == machine.process.pid)
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)


def test_a_record_that_came_before_telemd_is_taken(make_machine, sink, sockets):
    machine = make_machine(server=sink.url)
    descriptor = sockets(machine.socket).fileno()
    with machine.connect() as early:
        from support.frames import frame, sample_headers
        early.send(frame(sample_headers(), b"early"))
        machine.launch(passed=[descriptor])
        assert early.read_status() == TAKEN_OVER
    assert sink.wait_for(1)[0].body == b"early"
    machine.wait_for(delivered=1)


def test_what_is_no_listening_socket_is_named(make_machine, sockets):
    machine = make_machine()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams:
        machine.launch(passed=[datagrams.fileno()])
        assert machine.wait_for_end() == 1
    assert "descriptor 3" in machine.said()
    for passed in ([0, 1], [1, 0, 2]):
        made = [sockets(machine.root / f"{len(passed)}{number}").fileno() for number in passed]
        machine.launch(passed=made)
        assert machine.wait_for_end() == 1
    assert "one socket too many" in machine.said()


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return {entry.split(b"=")[0].decode() for entry in file.read().split(b"\0")}


def test_children_inherit_nothing_of_it(make_machine, sink, sockets, manager):
    machine = make_machine(server=sink.url)
    descriptor = sockets(machine.socket).fileno()
    machine.start(passed=[descriptor], LISTEN_FDNAMES="frames", NOTIFY_SOCKET=manager.name,
                  WATCHDOG_USEC="60000000")
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    [child] = machine.deliverers()
    names = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"}
    assert not names & environment_of(child)
    targets = {os.readlink(f"/proc/{child}/fd/{fd}") for fd in os.listdir(f"/proc/{child}/fd")}
    inode = f"socket:[{os.fstat(descriptor).st_ino}]"
    assert inode not in targets


# What it tells.


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_it_says_READY_when_it_takes_records_and_STOPPING_at_the_end(
    make_machine, sink, folder, kind
):
    name = folder / "notify" if kind == "file" else f"@telem-{os.getpid()}-{folder.name}"
    manager = NotifySocket(name)
    machine = make_machine(server=sink.url)
    machine.launch(NOTIFY_SOCKET=manager.name)
    manager.wait_for("READY=1")
    assert machine.send() == TAKEN_OVER
    assert machine.stop() == 0
    assert [line for line in manager.listen() if not line.startswith("STATUS=")] == [
        "READY=1", "STOPPING=1"]
    manager.close()


def test_it_says_nothing_before_it_could_start(make_machine, manager):
    machine = make_machine()
    machine.spool.rmdir()
    machine.spool.write_text("in the way")
    machine.launch(NOTIFY_SOCKET=manager.name)
    assert machine.wait_for_end() == 1
    assert manager.listen() == []


def test_a_reload_is_told_from_its_beginning_to_its_end(make_machine, manager, sink):
    machine = make_machine(server=sink.url)
    machine.start(NOTIFY_SOCKET=manager.name)
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    for count in (2, 3):
        machine.reload()
        manager.wait_for("READY=1", count)
        # Mistakes end a reload as well.
        machine.configure(spool_max_size="abc")
    told = [line for line in manager.heard if not line.startswith("STATUS=")]
    times = [int(line.split("=")[1]) for line in told if line.startswith("MONOTONIC_USEC=")]
    assert [re.sub(r"_USEC=\d+", "_USEC", line) for line in told] == [
        "READY=1", "RELOADING=1", "MONOTONIC_USEC", "READY=1", "RELOADING=1", "MONOTONIC_USEC",
        "READY=1"]
    assert before <= times[0] <= times[1] <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    machine.configure(spool_max_size=5120)


def test_the_watchdog_is_fed_while_the_loop_goes_round(make_machine, manager, sink):
    machine = make_machine(server=sink.url)
    machine.start(NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="200000")
    manager.wait_for("WATCHDOG=1", 5)
    machine.send_signal(signal.SIGSTOP)
    wait_until(lambda: " T " in open(f"/proc/{machine.process.pid}/stat").read())
    seen = manager.listen().count("WATCHDOG=1")
    assert stays(lambda: manager.listen().count("WATCHDOG=1") == seen, 1.0)
    machine.send_signal(signal.SIGCONT)
    manager.wait_for("WATCHDOG=1", seen + 1)


def test_a_watchdog_for_another_process_is_not_fed(make_machine, manager, sink):
    machine = make_machine(server=sink.url)
    machine.start(NOTIFY_SOCKET=manager.name, WATCHDOG_USEC="20000", WATCHDOG_PID="1")
    assert stays(lambda: "WATCHDOG=1" not in manager.listen(), 0.5)


def test_the_sentence_tells_how_things_are(make_machine, manager, sink):
    machine = make_machine(server="")
    machine.start(NOTIFY_SOCKET=manager.name)
    assert manager.status() == "Records stay on this machine: no server is configured."
    machine.configure(server=sink.url.replace("http://", "http://user:secret@"))
    machine.reload()
    wait_until(lambda: "0 waiting" in manager.status())
    host = f"http://127.0.0.1:{sink.port}"
    assert manager.status() == f"0 records delivered to {host}, 0 waiting"
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: manager.status() == f"1 records delivered to {host}, 0 waiting")
    sink.answer = Answer(503, b"come back\nMAINPID=1")
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    machine.reload()
    wait_until(lambda: "1 waiting: 503 come back" in manager.status())
    assert not any(line.startswith("MAINPID") for line in manager.listen())
    machine.opt_out()
    machine.reload()
    wait_until(lambda: manager.status() == "Collecting nothing: the user has opted out.")


def test_many_records_are_few_sentences(make_machine, manager, sink):
    machine = make_machine(server=sink.url)
    machine.start(NOTIFY_SOCKET=manager.name)
    for _ in range(200):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=200)
    assert len(manager.listen()) <= 4


# What outlives it.


def test_the_counters_outlive_a_restart(make_machine, sink):
    sink.answer = lambda request: Answer(413 if request.body == b"bad" else 201)
    machine = make_machine(server=sink.url).start()
    since = machine.status()["counting_since"]
    for body in (b"one", b"two", b"bad"):
        assert machine.send(body) == TAKEN_OVER
    before = machine.wait_for(delivered=2, rejected=1)
    assert machine.stop() == 0
    machine.start()
    after = machine.wait_for(found=0, accepted=3, delivered=2, rejected=1, frames=3)
    assert after["counting_since"] == since
    assert after["last_success"] == before["last_success"]
    machine.check_sums()


def test_what_waits_is_found_again_and_counted_once(make_machine, away):
    machine = make_machine(server=away.url).start()
    for _ in range(4):
        assert machine.send() == TAKEN_OVER
    for _ in range(3):
        assert machine.stop() == 0
        machine.start()
        machine.wait_for(found=4, accepted=0, waiting=4)
        machine.check_sums()
    away.start()
    machine.reload()
    machine.wait_for(found=4, accepted=0, delivered=4, waiting=0)
    assert machine.stop() == 0
    machine.start()
    machine.wait_for(found=0, accepted=4, delivered=4)


def test_a_kill_costs_the_counters_of_a_minute_at_most(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    state = machine.state / "state"
    wait_until(lambda: state.exists() and "counter.delivered 1\n" in state.read_text())
    assert state.stat().st_mode & 0o777 == 0o600
    machine.kill()
    machine.start()
    machine.wait_for(accepted=1, delivered=1)
    machine.check_sums()


@pytest.mark.parametrize("damage", ["", "saved\n", "\0" * 100, "nonsense\n" * 5, "folder"])
def test_a_damaged_state_file_stops_nothing(make_machine, sink, damage):
    machine = make_machine(server=sink.url)
    state = machine.state / "state"
    if damage == "folder":
        state.mkdir()
    else:
        state.write_text(damage)
        machine.give(state)
    machine.start()
    assert machine.said().count(str(state)) == 1
    assert machine.send() == TAKEN_OVER
    machine.wait_for(accepted=1, delivered=1)


def test_a_state_file_that_was_not_finished_does_not_count(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    assert machine.stop() == 0
    (machine.state / "state.new").write_text("saved 1\ncounter.delivered 77\n")
    machine.give(machine.state / "state.new")
    machine.start()
    machine.wait_for(delivered=1)
