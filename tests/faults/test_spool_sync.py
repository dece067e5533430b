"""What a status byte 0 means, by the calls that were made before it: spool_sync = always syncs first,
batch soon afterwards."""

import errno
import signal

import pytest

from support.faults import FaultPlan
from support.frames import IO_ERROR, TAKEN_OVER
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
