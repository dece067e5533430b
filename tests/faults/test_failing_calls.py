"""Each single system call of telemd's intake and store fails once, and for a while.

telemd has to live, say what is wrong, go on when the fault is over, and keep what it answered 0.
"""

import collections
import errno
import os
import shutil
import signal

import pytest

from errand import Errand
from support import paths
from support.faults import FaultPlan, name_of
from support.frames import (IO_ERROR, OPTED_OUT, SPOOL_FULL, TAKEN_OVER, new_event_id, sample_headers,
                            spool_file_bytes)
from support.marks import needs_fault_injector
from support.waiting import wait_until

LONG = os.environ.get("TELEMETRICS_LONG") == "1"
RECORDS = 20
AGAIN = 30  # so many calls in a row fail when the fault stays for a while
# Where the fault begins: at each call, or at some of them.
STEPS = {1: 1, AGAIN: 15} if LONG else {1: 41, AGAIN: 61}
# The first of these only takes an old payload away, which nobody waits for.
UNLINK_STEP = 1 if LONG else 10
MALLOC_STEP = 7 if LONG else 83

# What the manual pages name for these calls, and what a full or broken disk or machine gives.
ERRORS = {
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "writev": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "rename": (errno.ENOSPC, errno.EIO, errno.ENOMEM),
    "chmod": (errno.ENOSPC, errno.EIO, errno.ENOMEM),
    "unlink": (errno.EIO, errno.ENOMEM, errno.EROFS),
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
    "socket": (errno.EMFILE, errno.ENOMEM),
    "connect": (errno.EAGAIN, errno.EACCES),
    "access": (errno.EIO, errno.ENOMEM),
    "inotify": (errno.EMFILE, errno.ENOSPC, errno.ENOMEM),
}
# Of calls that only a start makes.
START_ERRORS = {
    "fsync": (errno.EIO, errno.ENOSPC),
    "bind": (errno.EADDRINUSE, errno.EACCES),
    "flock": (errno.ENOLCK,),
    "epoll_create": (errno.EMFILE, errno.ENOMEM),
    "eventfd": (errno.EMFILE, errno.ENOMEM),
    "signalfd": (errno.EMFILE, errno.ENOMEM),
}

NO_ANSWER = None  # the connection is closed, which tells a sender as well
# The statuses other than 0 that a failing call may lead to; others are wrong.
ANSWERS = {
    "accept": set(),
    "recv": {NO_ANSWER}, "send": {NO_ANSWER}, "epoll_ctl": {NO_ANSWER}, "getsockopt": {NO_ANSWER},
    "access": {OPTED_OUT},  # nothing is taken while it cannot be known whether it may be
}
DISK_ANSWERS = {IO_ERROR, SPOOL_FULL}
# What costs no sender and no operator anything: who connects waits for a moment, a record lacks the
# name of the program that sent it, and a folder that cannot be watched is looked at from time to time.
COSTS_NOBODY = {"accept", "read", "stat", "readdir", "inotify"}

Outcome = collections.namedtuple("Outcome", "hit statuses said")


def put_through(folder, arm, sync, has_socket=False, waits_for_hit=False):
    """One errand with a fault that `arm(plan)` plans once telemd serves. What came of it: how many
    calls were hit, the statuses other than 0, and what telemd said."""
    plan = FaultPlan(folder / "plan")
    errand = Errand(folder / "errand", plan, RECORDS, spool_sync=sync)
    try:
        if has_socket:
            errand.machine.give_telem_deliver_a_socket()
        plan.off()
        errand.start()
        wait_until(errand.is_serving, what="telemd serving")
        said_before = len(errand.machine.said())
        arm(plan)
        errand.send_all()
        errand.drain()
        if waits_for_hit:
            wait_until(plan.hit, what="the call that fails")
        hit = plan.hit()
        plan.off()
        errand.machine.wait_for(collecting=True)
        said = errand.machine.said()[said_before:]
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
    return Outcome(hit, errand.other_statuses, said)


@needs_fault_injector
@pytest.mark.parametrize("sync", ["batch", "always"])
@pytest.mark.parametrize("count", [1, AGAIN], ids=["once", "for a while"])
@pytest.mark.parametrize("call", list(ERRORS))
def test_a_failing_call_costs_nothing_that_was_promised(folder, call, count, sync):
    for error in ERRORS[call]:
        number = 1
        was_told = False
        while True:
            try:
                outcome = put_through(
                    folder, lambda plan: plan.fail(call, number, error, count), sync,
                    has_socket=call in ("socket", "connect"),
                    # With "batch" a sync comes within a second: the records may be through before.
                    waits_for_hit=call in ("syncfs", "thread") and number == 1)
                assert set(outcome.statuses) <= ANSWERS.get(call, DISK_ANSWERS), outcome
                assert sum(outcome.statuses.values()) <= outcome.hit, outcome
            except AssertionError as failure:
                raise AssertionError(
                    f"{name_of(error)} from {call} number {number}, {count} times: {failure}"
                ) from None
            if outcome.hit == 0:
                break
            was_told |= bool(outcome.statuses) or os.strerror(error) in outcome.said
            # It does not know why, only that it cannot know.
            was_told |= call == "access" and "consent is gone" in outcome.said
            number += UNLINK_STEP if call == "unlink" else STEPS[count]
        assert number > 1, "no call was hit"
        assert was_told or call in COSTS_NOBODY, f"{name_of(error)} from {call}, and not a word"


@needs_fault_injector
@pytest.mark.parametrize("call", ["write", "writev"])
def test_a_write_that_takes_only_a_part_costs_nothing_that_was_promised(folder, call):
    number = 1
    while put_through(folder, lambda plan: plan.shorten(call, number), "batch").hit > 0:
        number += STEPS[1]
    assert number > 1, "no call was hit"


@needs_fault_injector
@pytest.mark.parametrize(
    "call", [*(call for call in ERRORS if call not in ("accept", "recv", "send")), *START_ERRORS])
def test_a_start_that_fails_says_why_and_the_next_one_succeeds(folder, call):
    """Each call of the start fails once. telemd either serves nevertheless, or ends with a sentence;
    it never ends by a signal, and never harms what it finds."""
    for error in ERRORS.get(call) or START_ERRORS[call]:
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
        assert number > 1 or call not in START_ERRORS, "no call was hit"


# Nothing in telemd catches std::bad_alloc: half a step without memory cannot be taken back. It ends
# with a sentence, the service manager starts it again, and the records are on disk.
@needs_fault_injector
@pytest.mark.skipif(paths.is_sanitized(), reason="a sanitizer has memory of its own")
def test_want_of_memory_costs_nothing_that_was_promised(folder):
    number = 1
    deaths = 0
    while True:
        plan = FaultPlan(folder / "plan")
        errand = Errand(folder / "errand", plan, RECORDS)
        try:
            plan.fail("malloc", number, errno.ENOMEM)
            errand.start()
            errand.wait_until_decided()
            errand.send_all()
            errand.drain_and_check()
            errand.end()
            ends = errand.unwanted_ends
            was_hit = plan.hit() > 0 or len(ends) > 0  # another telemd has another plan
            assert len(ends) <= 1, ends
            if -signal.SIGABRT in ends:
                assert "std::bad_alloc" in errand.machine.said()
                deaths += 1
            elif ends:
                assert ends == [1] and os.strerror(errno.ENOMEM) in errand.machine.said(), ends
        except AssertionError as failure:
            raise AssertionError(f"no memory for malloc number {number}: {failure}") from None
        finally:
            errand.close()
            plan.close()
        shutil.rmtree(folder / "errand")
        if not was_hit:
            break
        number += MALLOC_STEP
    assert deaths > 0
