"""The machine id: random, kept for three days, or what the administrator wrote."""

import os
import re
import time

import pytest

from support.frames import new_event_id

HEX = re.compile("[0-9a-f]{32}")


def id_file(machine):
    return machine.state / "machine_id"


def sent_id(machine, sink):
    """The machine id that the server sees."""
    event_id = new_event_id()
    assert machine.send(event_id=event_id) == 0
    return sink.wait_for_event(event_id).headers["machine_id"]


def restart(machine):
    assert machine.stop() == 0
    machine.start()


def test_it_is_made_and_kept_over_restarts(machine, sink):
    first = sent_id(machine, sink)
    assert HEX.fullmatch(first)
    status = machine.status()
    assert status["machine_id"] == first
    assert status["machine_id_static"] is False
    assert abs(status["machine_id_created"] - time.time()) < 60
    assert id_file(machine).read_text().strip() == first
    restart(machine)
    assert sent_id(machine, sink) == first
    machine.kill()
    machine.start()
    assert sent_id(machine, sink) == first


@pytest.mark.parametrize("hours, is_kept", [(71, True), (73, False), (24 * 400, False)])
def test_it_is_replaced_when_it_is_older_than_three_days(machine, sink, hours, is_kept):
    first = sent_id(machine, sink)
    assert machine.stop() == 0
    when = time.time() - hours * 3600
    os.utime(id_file(machine), (when, when))
    machine.start()
    second = sent_id(machine, sink)
    assert HEX.fullmatch(second)
    assert (second == first) is is_kept


BROKEN = {
    "empty": b"",
    "blank": b"   \n",
    "zero": b"0\n",
    "short": b"ab" * 15 + b"\n",
    "not hex": b"z" * 32 + b"\n",
    "5,000 bytes": b"a" * 5000,
    "NULs": b"\0" * 32,
    "binary": bytes(range(128, 256)),
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_made_anew(make_machine, sink, content):
    machine = make_machine(server=sink.url)
    id_file(machine).write_bytes(content)
    machine.give(id_file(machine))
    machine.start()
    first = sent_id(machine, sink)
    assert HEX.fullmatch(first)
    assert id_file(machine).read_text().strip() == first
    restart(machine)
    assert sent_id(machine, sink) == first


def test_a_static_id_overrides_it_until_it_is_taken_away(machine, sink):
    rotating = sent_id(machine, sink)
    static = machine.config_dir / "opt-in-static-machine-id"
    static.write_text("rack-7 node 12\nsecond line\n")
    machine.reload()
    status = machine.wait_for(machine_id="rack-7 node 12")
    assert status["machine_id_static"] is True and status["machine_id_created"] is None
    assert sent_id(machine, sink) == "rack-7 node 12"
    restart(machine)
    assert sent_id(machine, sink) == "rack-7 node 12"
    static.unlink()
    machine.reload()
    machine.wait_for(machine_id=rotating)
    assert sent_id(machine, sink) == rotating


STATIC = {
    "32 characters": (b"x" * 32, "x" * 32),
    "more than 32": (b"y" * 40 + b"\n", "y" * 32),
    "empty": (b"", None),
    "blank line": (b"\n", None),
    "control character": (b"a\x1eb\n", None),
    "carriage return inside": (b"a\rX-Evil: 1\n", None),
    "5,000 bytes": (b"w" * 5000, None),  # no file that somebody wrote for this
}


@pytest.mark.parametrize("content, expected", STATIC.values(), ids=STATIC.keys())
def test_static_ids_are_bounded_and_checked(make_machine, sink, content, expected):
    machine = make_machine(server=sink.url)
    (machine.config_dir / "opt-in-static-machine-id").write_bytes(content)
    machine.start()
    sent = sent_id(machine, sink)
    if expected is None:
        assert HEX.fullmatch(sent)
        assert "opt-in-static-machine-id" in machine.said()
    else:
        assert sent == expected


def test_a_sender_cannot_choose_the_machine_id(machine, sink):
    assert machine.send(machine_id="e" * 32) == 0
    [request] = sink.wait_for(1)
    assert request.headers["machine_id"] == machine.status()["machine_id"] != "e" * 32
