"""Opted out: nothing is taken, nothing is kept, not one packet leaves."""

import pytest

from support.frames import OPTED_OUT, TAKEN_OVER
from support.http_sink import HANG, Answer
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


def test_what_waits_does_not_leave_after_opting_out_and_goes_on_after_opting_in(
    make_machine, away
):
    machine = make_machine(server=away.url).start()
    for _ in range(5):
        assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    machine.opt_out()
    away.start()
    machine.reload()
    machine.wait_for(collecting=False)
    assert machine.send() == OPTED_OUT
    assert stays(lambda: away.connections == 0, 1.5)
    machine.opt_in()
    machine.reload()
    machine.wait_for(collecting=True)
    away.wait_for(5)
    machine.wait_for(waiting=0, delivered=5)
    assert machine.send() == TAKEN_OVER


def test_the_marker_is_seen_without_a_signal(make_machine, away):
    machine = make_machine(server=away.url).start()
    assert machine.send() == TAKEN_OVER
    machine.opt_out()
    machine.wait_for(collecting=False)
    assert machine.send() == OPTED_OUT
    machine.opt_in()
    machine.wait_for(collecting=True)
    assert machine.send() == TAKEN_OVER


def test_opting_out_cuts_what_is_under_way(make_machine, sink):
    sink.answer = HANG
    machine = make_machine(server=sink.url).start()
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
    wait_until(lambda: sink.hanging > 0)
    machine.opt_out()
    machine.reload()
    wait_until(lambda: sink.hanging == 0, 5, what="connections cut")
    assert sink.cut > 0
    sink.answer = Answer()
    seen = len(sink.requests)
    machine.wait_for(under_way=0, collecting=False)
    assert stays(lambda: len(sink.requests) == seen, 1.2)


def test_opted_out_at_start_what_was_found_stays_home(make_machine, away):
    machine = make_machine(server=away.url).start()
    for _ in range(3):
        assert machine.send() == TAKEN_OVER
    assert machine.stop() == 0
    machine.opt_out()
    away.start()
    machine.start()
    machine.wait_for(found=3)
    assert stays(lambda: away.connections == 0, 0.5)


@pytest.mark.parametrize("mode", ["opt-in", "opt-out"])
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
