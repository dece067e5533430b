"""Each single system call of telemd's intake and store fails once, and for a while.

telemd has to live, say what is wrong, go on when the fault is over, and keep what it answered 0.
"""

import errno
import os
import shutil

import pytest

from errand import Errand
from support.faults import FaultPlan, name_of
from support.frames import TAKEN_OVER, new_event_id, sample_headers, spool_file_bytes
from support.marks import needs_fault_injector
from support.waiting import wait_until

LONG = os.environ.get("TELEMETRICS_LONG") == "1"
RECORDS = 20
AGAIN = 30  # so many calls in a row fail when the fault stays for a while
# Where the fault begins: at each call, or at some of them.
STEPS = {1: 1, AGAIN: 15} if LONG else {1: 41, AGAIN: 61}

# What the manual pages name for these calls, and what a full or broken disk or machine gives.
ERRORS = {
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "writev": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "rename": (errno.ENOSPC, errno.EIO, errno.ENOMEM),
    "unlink": (errno.EIO, errno.ENOMEM, errno.EROFS),
    "fsync": (errno.EIO, errno.ENOSPC),
    "syncfs": (errno.EIO, errno.ENOSPC),
    "open": (errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EIO, errno.ENOMEM),
    "read": (errno.EIO, errno.ENOMEM),
    "stat": (errno.EIO, errno.ENOMEM),
    "mkdir": (errno.ENOSPC, errno.EIO, errno.ENOMEM),
    "opendir": (errno.EMFILE, errno.ENOMEM),
    "readdir": (errno.EIO,),
    "accept": (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED),
    "recv": (errno.ENOMEM, errno.ECONNRESET),
    "send": (errno.ENOMEM, errno.EPIPE),
    "epoll_ctl": (errno.ENOMEM, errno.ENOSPC),
    "getsockopt": (errno.ENOMEM,),
    "socketpair": (errno.EMFILE, errno.ENOMEM),
    "spawn": (errno.EAGAIN, errno.ENOMEM),
    "thread": (errno.EAGAIN,),
}


def put_through(folder, arm, sync):
    """One errand with a fault that `arm(plan)` plans once telemd serves. Returns how many calls were
    hit."""
    plan = FaultPlan(folder / "plan")
    errand = Errand(folder / "errand", plan, RECORDS, spool_sync=sync)
    try:
        plan.off()
        errand.start()
        wait_until(errand.is_serving, what="telemd serving")
        arm(plan)
        errand.send_all()
        errand.drain()
        hit = plan.hit()
        plan.off()
        event_id = new_event_id()
        assert errand.machine.send(b"after\n", event_id=event_id) == TAKEN_OVER
        errand.taken_over.append(event_id)
        errand.drain()
        assert errand.restarts == 0, f"telemd ended: {errand.machine.said()}"
        errand.check()
        errand.end()
    finally:
        errand.close()
        plan.close()
    shutil.rmtree(folder / "errand")
    return hit


@needs_fault_injector
@pytest.mark.parametrize("sync", ["batch", "always"])
@pytest.mark.parametrize("count", [1, AGAIN], ids=["once", "for a while"])
@pytest.mark.parametrize("call", list(ERRORS))
def test_a_failing_call_costs_nothing_that_was_promised(folder, call, count, sync):
    for error in ERRORS[call]:
        number = 1
        while True:
            try:
                hit = put_through(
                    folder, lambda plan: plan.fail(call, number, error, count), sync)
            except AssertionError as failure:
                raise AssertionError(
                    f"{name_of(error)} from {call} number {number}, {count} times: {failure}"
                ) from None
            if hit == 0:
                break
            number += STEPS[count]


@needs_fault_injector
@pytest.mark.parametrize("call", ["write", "writev"])
def test_a_write_that_takes_only_a_part_costs_nothing_that_was_promised(folder, call):
    number = 1
    while put_through(folder, lambda plan: plan.shorten(call, number), "batch") > 0:
        number += STEPS[1]


@needs_fault_injector
@pytest.mark.parametrize("call", [call for call in ERRORS if call not in ("accept", "recv", "send")])
def test_a_start_that_fails_says_why_and_the_next_one_succeeds(folder, call):
    """Each call of the start fails once. telemd either serves nevertheless, or ends with a sentence;
    it never ends by a signal, and never harms what it finds."""
    for error in ERRORS[call]:
        number = 1
        while True:
            plan = FaultPlan(folder / "plan")
            errand = Errand(folder / "errand", plan, 3)
            try:
                plan.fail(call, number, error)
                found = errand.machine.put_into_spool("aBcDeF", spool_file_bytes(
                    sample_headers(event_id=errand.event_ids[0]), b"of an older daemon\n"))
                errand.start()
                errand.wait_until_decided()
                if not errand.machine.is_alive():
                    assert errand.machine.process.returncode in (1, 78), errand.machine.said()
                    assert errand.machine.said()
                    assert found.exists()
                hit = plan.hit()
                plan.off()
                if errand.machine.is_alive():
                    errand.end()
                errand.revive()
                errand.taken_over.append(errand.event_ids[0])
                errand.send_all()
                errand.drain()
                errand.check()
                errand.end()
            except AssertionError as failure:
                raise AssertionError(
                    f"{name_of(error)} from {call} number {number}: {failure}") from None
            finally:
                errand.close()
                plan.close()
            shutil.rmtree(folder / "errand")
            if hit == 0:
                break
            number += STEPS[1] if LONG else 5
