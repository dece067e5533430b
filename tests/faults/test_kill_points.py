"""telemd is killed at each single call that changes something on disk, once each.

The run is 200 records with failures, refusals and retries; the journal is trimmed and payloads are
retained on the way. After each kill a new telemd starts over what it finds.
"""

import os
import shutil
import statistics

import pytest

from errand import Errand
from support.faults import CHANGES, FaultPlan
from support.marks import needs_fault_injector

LONG = os.environ.get("TELEMETRICS_LONG") == "1"
# scripts/faults also asks how soon telemd accepts again, which among other tests would say nothing.
TIMED = os.environ.get("TELEMETRICS_TIMED") == "1"
SECONDS_TO_ACCEPT = 0.1  # from a start to the first status byte, by the median
RECORDS = 200
# The sample of scripts/faults --short is another one than that of scripts/test.
FIRST, STEP = (1, 1) if LONG else (20, 41) if TIMED else (1, 97)


@needs_fault_injector
@pytest.mark.parametrize("sync", ["batch", "always"])
def test_no_kill_loses_a_record(folder, record_property, sync):
    point = FIRST
    kills = copies = 0
    seconds = []
    was_killed = True
    while was_killed:
        plan = FaultPlan(folder / "plan")
        errand = Errand(folder / "errand", plan, RECORDS, spool_sync=sync)
        try:
            plan.kill(point)
            errand.start()
            errand.send_all()
            errand.drain_and_check()
            errand.end()
            was_killed = errand.restarts > 0
            kills += errand.restarts
            copies += sum(errand.server.taken.values()) - len(errand.server.taken)
            seconds += errand.seconds_to_accept
            points = plan.seen()
        except AssertionError as failure:
            raise AssertionError(f"killed at call {point} of {CHANGES}: {failure}") from None
        finally:
            errand.close()
            plan.close()
        shutil.rmtree(folder / "errand")
        point += STEP
    assert kills > 0
    median = statistics.median(seconds)
    record_property(f"calls that change something in {RECORDS} records", points)
    record_property("killed at", kills)
    record_property("records lost", 0)
    record_property("records that came to the server twice", copies)
    record_property("accepting again within", f"{median * 1000:.0f} ms (median), "
                                              f"{max(seconds) * 1000:.0f} ms at the longest")
    if TIMED:
        assert median <= SECONDS_TO_ACCEPT
