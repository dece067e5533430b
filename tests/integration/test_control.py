"""The control socket itself: who may ask what, and what an answer costs."""

import json
import os
import select
import shutil
import socket
import subprocess

import pytest

from support import paths
from support.frames import TAKEN_OVER, new_record_id, sample_headers, spool_file_bytes
from support.http_sink import HttpSink
from support.marks import needs_root
from support.proc import private_kib
from support.telemctl import answer, complaint, objects
from support.waiting import DEADLINE, wait_until

CHANGING = (("spool", "drop", "--all"), ("spool", "flush"),
            ("rejected", "retry", "--all"), ("rejected", "drop", "--all"))


class Conversation:
    def __init__(self, machine):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(str(machine.control))
        self.lines = self.socket.makefile("rb")

    def ask(self, **request):
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def line(self):
        return json.loads(self.lines.readline())

    def close(self):
        self.lines.close()
        self.socket.close()


@pytest.fixture
def talk(machine):
    conversation = Conversation(machine)
    yield conversation
    conversation.close()


def fill_spool(machine, count, payload=b"x" * 100):
    data = spool_file_bytes(sample_headers(), payload)
    for _ in range(count):
        machine.put_into_spool(f"{new_record_id()}-0-{len(payload)}", data)


def test_several_requests_on_one_connection_are_answered_in_their_order(talk):
    talk.ask(command="status", keep_open=True)
    talk.ask(command="spool-list", keep_open=True)
    talk.ask(command="dance", keep_open=True)
    assert "accepted" in talk.line()
    assert talk.line() == {"end": True}
    assert talk.line() == {"error": "unknown command 'dance'"}
    assert talk.lines.read() == b""  # a mistake ends the conversation


@pytest.mark.parametrize("line, error", [
    (b"hello\n", "not a JSON object of plain values"),
    (b"{}\n", "no command"),
    (b'{"command": "spool-show", "name": "../../etc/shadow"}\n',
     "no record's name '../../etc/shadow'"),
    (b'{"command": "spool-show", "name": "' + b"0" * 32 + b'"}\n', "no such record waits"),
    (b'{"command": "rejected-show", "name": "..%2f"}\n',
     "no such record is among the rejected ones"),
    (b'{"command": "spool-import", "name": "' + b"0" * 32 + b'-0-3", "data": "616263"}\n',
     "missing or cut header 'record_format_version'"),
])
def test_a_mistake_is_named(machine, line, error):
    assert machine.ask(line)["error"] == error


def test_the_journal_tells_what_became_of_a_record(machine, talk, away):
    machine.configure(server=away.url)
    machine.reload()
    events = [f"{number:032x}" for number in range(3)]
    for event in events[:2]:
        assert machine.send(event_id=event) == TAKEN_OVER

    def ask(event):
        talk.ask(command="journal-show", name=event, keep_open=True)
        return talk.line()

    for event in events[:2]:
        assert ask(event)["state"] == "spooled"
    assert ask(events[2])["not_found"] is True
    away.start()
    machine.reload()
    machine.wait_for(delivered=2)
    for line in machine.journal():
        answer = ask(line.event_id)
        assert (answer["id"], answer["state"]) == (line.record_id, "delivered")


def test_a_request_without_end_is_not_read_for_ever(machine):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(machine.control))
        try:
            while True:
                client.sendall(b"x" * 65536)
        except (BrokenPipeError, ConnectionResetError):
            pass
    assert machine.status()["pid"] == machine.process.pid


def test_who_takes_no_byte_of_the_answer_is_left(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=-1)
    fill_spool(machine, 2000)
    machine.start()
    machine.wait_for(found=2000)
    talk = Conversation(machine)
    talk.ask(command="spool-list")

    def is_left():
        poll = select.poll()
        poll.register(talk.socket, 0)
        return any(events & select.POLLHUP for _, events in poll.poll(0))

    wait_until(is_left, what="the connection closed by telemd")
    assert not talk.lines.read().endswith(b'{"end": true}\n')
    talk.close()


@pytest.mark.skipif(paths.is_sanitized(), reason="a sanitizer has memory of its own")
def test_memory_does_not_grow_with_what_is_listed(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=-1)
    fill_spool(machine, 4000)
    machine.start()
    machine.wait_for(found=4000)
    answer(machine, "spool", "list")  # whatever is allocated once
    before = private_kib(machine.process.pid)
    talks = [Conversation(machine) for _ in range(10)]
    for talk in talks:
        talk.ask(command="spool-list")
    # Each list is under way, and its reader has stopped reading.
    firsts = [talk.line() for talk in talks]
    assert all("id" in first for first in firsts)
    during = private_kib(machine.process.pid)
    # 4,000 lines are some 800 KiB; ten of them would be 8 MiB.
    assert during - before < 1024, (before, during)
    for talk in talks:
        assert len(talk.lines.read().splitlines()) == 4000  # the others, and the end
        talk.close()


def test_a_list_is_whole_while_records_come_and_go(make_machine):
    sink = HttpSink(start=False)
    machine = make_machine(server=sink.url, spool_max_size=-1)
    fill_spool(machine, 1000)
    machine.start()
    machine.wait_for(found=1000)
    kept = {path.name[:32] for path in machine.spool_files()}
    talk = Conversation(machine)
    talk.ask(command="spool-list")
    listed = {talk.line()["id"]}
    for _ in range(50):
        assert machine.send() == TAKEN_OVER
    for record in iter(talk.line, {"end": True}):
        listed.add(record["id"])
    assert kept <= listed
    talk.close()
    sink.close()


# ---- who may


def look_and_try_to_change(make_machine, away, who, wrapper=()):
    """What `who` asks of a telemd with one record that waits and one that was rejected."""
    machine = make_machine(server=away.url)
    machine.put_into_spool("garbage", b"no record at all")
    machine.start(wrapper=wrapper)
    machine.wait_for(rejected=1)
    assert machine.send() == TAKEN_OVER
    assert answer(machine, "status", **who).startswith("collecting since ")
    [waiting] = objects(machine, "spool", "list", **who)
    assert "hello" in answer(machine, "spool", "show", waiting["id"], **who)
    assert answer(machine, "rejected", "show", "garbage", **who) == "no record at all"
    for verb in CHANGING:
        assert complaint(machine, *verb, **who) == "Must be root to run this command. Exiting..."
    assert len(machine.spool_files()) == 1 and len(machine.rejected_files()) == 1


@needs_root
def test_who_is_not_root_may_look_and_change_nothing(make_machine, away):
    look_and_try_to_change(make_machine, away, {"user": "nobody", "group": "adm"})


# A group that has a name only in telemd's eyes: the machine of the test may have none of that name.
TELEMETRY = 59_871


@needs_root
@pytest.mark.parametrize("who", [{"group": TELEMETRY}, {"groups": [TELEMETRY]}],
                         ids=["its group", "one of its groups"])
def test_members_of_telemetry_may_look_and_change_nothing(make_machine, away, folder, who):
    groups = folder / "group"
    groups.write_text(f"telemetry:x:{TELEMETRY}:\n")
    wrapper = ["unshare", "-m", "sh", "-c", f"mount --bind {groups} /etc/group && exec \"$@\"", "sh"]
    if subprocess.run([*wrapper, "true"]).returncode != 0:
        pytest.skip("no process may have mounts of its own here")
    look_and_try_to_change(make_machine, away, {"user": "nobody", **who}, wrapper)


@needs_root
def test_who_runs_a_telemd_of_his_own_may_change_what_it_keeps(make_machine, away):
    machine = make_machine(server=away.url)
    for name in ("spool", "state", "log", "cache", "run", "etc"):
        shutil.chown(machine.root / name, "nobody")
    machine.start(user="nobody")
    assert machine.send() == TAKEN_OVER
    answer(machine, "spool", "flush", user="nobody")
    answer(machine, "spool", "drop", "--all", user="nobody")
    machine.wait_for(waiting=0, evicted=1)
    assert complaint(machine, "spool", "flush", user="daemon", group="adm") == (
        "Must be root to run this command. Exiting...")


@needs_root
def test_strangers_may_not_even_look(machine):
    for verb in (("status",), ("spool", "list"), ("rejected", "list")):
        assert complaint(machine, *verb, user="nobody") == (
            f"telemd at {machine.control}: permission denied: only root and members of the groups "
            "adm and telemetry may ask")


@needs_root
def test_strangers_who_ask_nothing_do_not_keep_root_out(machine):
    # As nobody: connections are opened by a child that has become nobody.
    ready, wait = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        held = []
        for _ in range(64):
            client = socket.socket(socket.AF_UNIX)
            client.connect(str(machine.control))
            held.append(client)
        os.write(wait, b"x")
        select.select([], [], [], DEADLINE)
        os._exit(0)
    try:
        os.read(ready, 1)
        talk = Conversation(machine)
        talk.ask(command="status", keep_open=True)
        assert talk.line()["pid"] == machine.process.pid
        talk.close()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ready)
        os.close(wait)
