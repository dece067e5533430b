"""telemd is killed at each single call that changes something on disk, once each.

The run is 200 records with failures, refusals and retries; the journal is trimmed and payloads are
retained on the way. After each kill a new telemd starts over what it finds.
"""

import os
import shutil

import pytest

from errand import Errand
from support.faults import CHANGES, FaultPlan
from support.marks import needs_fault_injector

LONG = os.environ.get("TELEMETRICS_LONG") == "1"
RECORDS = 200
STEP = 1 if LONG else 97


@needs_fault_injector
@pytest.mark.parametrize("sync", ["batch", "always"])
def test_no_kill_loses_a_record(folder, capsys, sync):
    point = 1
    kills = copies = 0
    slowest = 0.0
    while True:
        plan = FaultPlan(folder / "plan")
        errand = Errand(folder / "errand", plan, RECORDS, spool_sync=sync)
        try:
            plan.kill(point)
            errand.start()
            errand.send_all()
            errand.drain()
            was_killed = errand.restarts > 0
            errand.check()
            kills += errand.restarts
            copies += sum(errand.server.taken.values()) - len(errand.server.taken)
            slowest = max(slowest, errand.seconds_to_accept)
            if not was_killed:
                points = plan.seen()
            errand.end()
        except AssertionError as failure:
            raise AssertionError(f"killed at call {point} of {CHANGES}: {failure}") from None
        finally:
            errand.close()
            plan.close()
        shutil.rmtree(folder / "errand")
        if not was_killed:
            break
        point += STEP
    with capsys.disabled():
        print(f"\n  spool_sync = {sync}: {points} calls change something in {RECORDS} records; "
              f"killed at {kills} of them, 0 records lost, {copies} records came to the server "
              f"twice; accepting again within {slowest * 1000:.0f} ms at the longest")
    assert kills > 0
