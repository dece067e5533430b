"""What a status byte 0 means, by the calls that were made before it: spool_sync = always syncs first,
batch soon afterwards."""

import errno
import pathlib
import re
import signal

import pytest

from support.faults import FaultPlan
from support.frames import IO_ERROR, TAKEN_OVER, frame, sample_headers
from support.marks import needs_fault_injector
from support.waiting import wait_until

pytestmark = needs_fault_injector


@pytest.fixture
def plan(folder):
    made = FaultPlan(folder / "plan")
    yield made
    made.close()


def start(make_machine, plan, server, sync):
    machine = make_machine(server=server.url, spool_sync=sync)
    return machine.start(wrapper=plan.wrapper())


def is_pending(pid, which):
    """Whether a signal that was sent to the process waits to be taken."""
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    [pending] = re.findall(r"^ShdPnd:\t([0-9a-f]{16})$", text, re.M)
    return bool(int(pending, 16) >> (which - 1) & 1)


def test_always_syncs_a_record_before_it_is_answered(make_machine, away, plan):
    machine = start(make_machine, plan, away, "always")
    # The sync is the last thing that it does.
    plan.kill(1, ["syncfs"])
    assert machine.send() is None
    assert machine.wait_for_end() == -signal.SIGKILL
    assert len(machine.spool_files()) == 1


def test_always_answers_only_as_many_as_were_synced(make_machine, away, plan):
    machine = start(make_machine, plan, away, "always")
    plan.count(["syncfs"])
    for number in range(1, 6):
        assert machine.send() == TAKEN_OVER
        assert plan.seen() == number


def test_always_tells_the_sender_when_the_sync_fails(make_machine, away, plan):
    machine = start(make_machine, plan, away, "always")
    plan.fail("syncfs", 1, errno.EIO)
    assert machine.send() == IO_ERROR
    assert "sync the spool: Input/output error" in machine.said()
    machine.wait_for(refused_io_error=1, accepted=0, waiting=0)
    assert machine.spool_files() == []
    assert machine.send() == TAKEN_OVER
    machine.wait_for(accepted=1, waiting=1)


# Records that stay on this machine were answered before any sync.
@pytest.mark.parametrize("settings", [{"server": ""}, {"record_server_delivery_enabled": False}])
def test_always_syncs_a_record_that_stays_here_before_it_is_answered(make_machine, plan, settings):
    machine = make_machine(**{"server": "http://127.0.0.1:9/", **settings}, spool_sync="always")
    machine.start(wrapper=plan.wrapper())
    plan.fail("syncfs", 1, errno.EIO)
    assert machine.send(b"lost\n") == IO_ERROR
    machine.wait_for(refused_io_error=1, accepted=0, local=0)
    assert machine.send(b"kept\n") == TAKEN_OVER
    machine.wait_for(accepted=1, local=1)
    assert plan.seen() == 2
    [kept] = (machine.log / "records").iterdir()
    assert kept.read_bytes() == b"kept\n\n"
    assert [line.state for line in machine.journal()] == ["local", "dropped", "local"]


def test_batch_syncs_a_record_that_stays_here_soon(make_machine, plan):
    machine = make_machine(server="", spool_sync="batch").start(wrapper=plan.wrapper())
    plan.count(["syncfs"])
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: plan.seen() == 1, what="a sync")


# What was taken over had been written down, and its sender saw telemd end and sent it again.
@pytest.mark.parametrize("error, first", [(0, TAKEN_OVER), (errno.EIO, IO_ERROR)])
def test_always_answers_those_who_wait_for_a_sync_when_it_ends(make_machine, away, plan, error, first):
    machine = start(make_machine, plan, away, "always")
    plan.hold("syncfs", 1, error)
    with machine.connect() as one, machine.connect() as other:
        one.send(frame(sample_headers(), b"the sync of this one is under way"))
        wait_until(plan.hit, what="a sync")
        other.send(frame(sample_headers(), b"and this one came for the next"))
        wait_until(lambda: len(machine.journal()) == 2, what="both in the journal")
        machine.send_signal(signal.SIGTERM)
        wait_until(lambda: not is_pending(machine.process.pid, signal.SIGTERM), what="the signal taken")
        plan.off()
        assert (one.read_status(), other.read_status()) == (first, TAKEN_OVER)
    assert machine.wait_for_end() == 0
    assert len(machine.spool_files()) == (2 if error == 0 else 1)


def test_batch_answers_first_and_syncs_by_itself_soon(make_machine, away, plan):
    machine = start(make_machine, plan, away, "batch")
    plan.kill(1, ["syncfs"])
    assert machine.send() == TAKEN_OVER
    # Nobody asks it for anything any more.
    assert machine.wait_for_end() == -signal.SIGKILL
    assert len(machine.spool_files()) == 1


def test_batch_says_that_a_sync_failed_and_syncs_again_with_the_next_record(
        make_machine, away, plan):
    machine = start(make_machine, plan, away, "batch")
    plan.fail("syncfs", 1, errno.EIO)
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: "sync the spool: Input/output error" in machine.said(),
               what=lambda: f"a word of it; telemd said {machine.said()}")
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: plan.seen() == 2, what="another sync")
    machine.wait_for(accepted=2, waiting=2)
