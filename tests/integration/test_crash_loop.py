"""Crash loops: one program crashes over and over, and nothing else is lost because of it.

300 crashes; with TELEMETRICS_LONG=1 10,000, which takes some minutes.
"""

import os
import re
import subprocess
import threading

import pytest
from support.core_pattern import Handler, core_pattern, needs_core_pattern
from support.crashes import CRASHPROBE, find_tool, needs_crashprobe
from support.waiting import wait_until

pytestmark = [needs_crashprobe, needs_core_pattern]

CRASHES = 10_000 if os.environ.get("TELEMETRICS_LONG") == "1" else 300
# core_pipe_limit as crashprobe --setup sets it; fewer where a slow machine may be busy with other tests.
AT_ONCE = 16 if CRASHES == 10_000 else 4
PART = 1000
OTHERS = 8  # programs, each of which crashes twice in between


@pytest.fixture
def programs(tmp_path):
    """The one in the loop, and the others: each crashes in a function of its own name. Their code
    differs, too: a build id does not cover names."""
    made = []
    for number, name in enumerate(["looping", *(f"other{number}" for number in range(OTHERS))]):
        source = tmp_path / f"{name}.c"
        source.write_text(f"__attribute__((noinline)) void crash_{name}(volatile int *p) {{ *p = {number}; }}\n"
                          f"int main(void) {{ crash_{name}(0); return 0; }}\n")
        subprocess.run([find_tool("gcc"), "-O1", "-o", tmp_path / name, source], check=True)
        made.append(tmp_path / name)
    return made[0], made[1:]


def crash_over_and_over(program, count, others):
    """Lets `program` crash `count` times, AT_ONCE at a time, and each of `others` twice."""
    turns = [program] * count
    for number, other in enumerate([*others, *others]):
        turns.insert((number + 1) * len(turns) // (2 * len(others) + 1), other)
    turn = iter(turns)
    guard = threading.Lock()
    ends = []

    def crash():
        while True:
            with guard:
                command = next(turn, None)
            if command is None:
                return
            ends.append(subprocess.run([command], check=False).returncode)

    threads = [threading.Thread(target=crash) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(ends) == {-11}


def told(payloads, name):
    """How many records tell a crash of this program in full, and how many crashes they all count:
    a record in full is one, `Repeated` says how many more."""
    full = crashes = 0
    for payload in payloads:
        if not payload.startswith(f"Process: {name}\n"):
            continue
        is_whole = f"crash_{name}()" in payload
        is_fact = "\nAnalysis: " in payload
        full += is_whole
        crashes += is_whole or is_fact
        if repeated := re.search(r"^Repeated: (\d+)$", payload, re.M):
            crashes += int(repeated[1])
    return full, crashes


def counted(machine):
    """The lines of crash-counts, each in its fields: the name of the program is the last one."""
    counts = machine.state / "crash-counts"
    lines = counts.read_text().splitlines() if counts.exists() else []
    return [line.split(" ", 7) for line in lines if not line.startswith("last ")]


def held(machine, name):
    """How many crashes of this program wait to be counted in a record."""
    return sum(int(fields[4]) for fields in counted(machine) if fields[7] == name)


def let_an_hour_pass(machine):
    """For the counts: they stand in a file, with the times of what was told."""
    wait_until(lambda: not any(fields[6] for fields in counted(machine)),
               what="records that are on their way")
    lines = []
    for fields in counted(machine):
        fields[5] = "".join(f"{int(time) - 3600}," for time in fields[5].split(",") if time)
        lines.append(" ".join(fields) + "\n")
    (machine.state / "crash-counts").write_text("".join(lines))


def payloads(sink):
    return [body.decode() for body in sink.bodies()]


def all_told(sink, machine, names):
    return sum(told(payloads(sink), name)[1] + held(machine, name) for name in names)


def test_counts_every_crash_of_a_loop_and_tells_those_of_other_programs(tmp_path, machine, sink,
                                                                        programs):
    looping, others = programs
    names = [path.name for path in (looping, *others)]
    machine.configure(crash_report_paths="*")
    handler = Handler(tmp_path, CRASHPROBE, "-f", machine.config)
    total = 0
    # In parts, so that other tests that wait for these settings get them, too.
    for part in range(0, CRASHES, PART):
        count = min(PART, CRASHES - part)
        others_now = others if part == 0 else []
        total += count + 2 * len(others_now)
        with core_pattern(handler.pattern(), AT_ONCE):
            crash_over_and_over(looping, count, others_now)
            # The kernel lets a process go before its handler has told its crash.
            wait_until(lambda: all_told(sink, machine, names) == total,
                       what=lambda: f"{total} crashes; {all_told(sink, machine, names)}, "
                                    f"{len(handler.calls())} calls; {handler.errors()[-2000:]}")
    full, crashes = told(payloads(sink), "looping")
    assert 1 <= full <= 5
    assert crashes + held(machine, "looping") == CRASHES
    assert {other.name: told(payloads(sink), other.name) for other in others} == {
        other.name: (2, 2) for other in others}

    let_an_hour_pass(machine)
    subprocess.run([CRASHPROBE, "-f", machine.config, "--send-counts"], check=True)
    wait_until(lambda: told(payloads(sink), "looping")[1] == CRASHES,
               what=lambda: told(payloads(sink), "looping"))
    assert told(payloads(sink), "looping")[0] == full
    assert held(machine, "looping") == 0


# The first crashes fell into a time when telemd was away: all that an hour has were used up, and
# nobody saw a stack.
def test_tells_crashes_in_full_once_telemd_is_back(tmp_path, machine, sink, programs):
    looping, _ = programs
    machine.configure(crash_report_paths="*")
    handler = Handler(tmp_path, CRASHPROBE, "-f", machine.config)
    with core_pattern(handler.pattern(), AT_ONCE):
        machine.stop()
        crash_over_and_over(looping, 20, [])
        wait_until(lambda: held(machine, "looping") == 20,
                   what=lambda: held(machine, "looping"))
        machine.start()
        crash_over_and_over(looping, 20, [])
        wait_until(lambda: all_told(sink, machine, ["looping"]) == 40,
                   what=lambda: all_told(sink, machine, ["looping"]))
    assert told(payloads(sink), "looping")[0] == 5
