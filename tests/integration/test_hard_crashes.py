"""The crashes that are hard to tell of, from their cores and from the dying processes, beside gdb."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess

import pytest
from support import gdb_stacks, hard_crashes
from support.core_pattern import FULL, Handler, core_pattern, needs_core_pattern
from support.crashes import (CRASHPROBE, Report, find_tool, make_core, needs_crashprobe, payload_of,
                             run_crashprobe, write_config)
from support.hard_crashes import CANARIES, CASES, expect_in_order, without_alias
from support.waiting import DEADLINE, wait_until

pytestmark = needs_crashprobe

by_name = {case.name: case for case in CASES}
every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@dataclasses.dataclass
class Crash:
    folder: pathlib.Path
    command: list
    core: pathlib.Path
    report: Report


@pytest.fixture(scope="module")
def crash_of(tmp_path_factory):
    """Builds a case's program, lets it crash and reads its core, once for all tests."""
    known = {}

    def get(case):
        if case.name not in known:
            folder = tmp_path_factory.mktemp(case.name)
            try:
                command = hard_crashes.build(case, folder)
                core = make_core(command, folder, hard_crashes.environment())
            except pytest.skip.Exception as skipped:
                known[case.name] = skipped
            else:
                done = run_crashprobe(write_config(folder), "-n", "-c", core)
                known[case.name] = Crash(folder, command, core, Report(payload_of(done)))
        if isinstance(known[case.name], pytest.skip.Exception):
            raise known[case.name]
        return known[case.name]

    yield get
    for crash in known.values():
        if isinstance(crash, Crash):
            shutil.rmtree(crash.folder)


def check(case, report):
    expect_in_order(report.names, case.names)
    assert report.frames
    for frame in report.frames:
        assert frame.function != "???()" and frame.module, frame
        assert frame.offset is not None or frame.module in ("generated code", "unmapped"), frame
    if case.first:
        assert report.frames[0].module.split("/")[-1] == case.first
    inlined = [frame.name for frame in report.frames if frame.inlined]
    expect_in_order(inlined, case.inlined)
    if case.lines:
        named = next(frame for frame in report.frames if without_alias(frame.name) == case.names[0])
        assert named.file and named.line, named


@every_case
def test_names_what_the_core_of_a_hard_case_shows(crash_of, case):
    check(case, crash_of(case).report)


def report_live(folder, command, before=lambda process: None):
    """Lets the kernel call crashprobe for `command`; its record, and the process."""
    record = folder / "record"
    handler = Handler(folder, CRASHPROBE, "-f", write_config(folder), "-n", "--json", output=record)
    with core_pattern(handler.pattern(FULL)):
        process = subprocess.Popen(command, cwd=folder, env=hard_crashes.environment(),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL)
        before(process)
        process.communicate(timeout=2 * DEADLINE)
        wait_until(lambda: record.exists() and record.read_text().endswith("}\n"),
                   what=lambda: (handler.calls(), handler.errors()))
    return json.loads(record.read_text()), process


@needs_core_pattern
def test_a_crash_of_somebody_else_meanwhile_is_not_ours(folder):
    def crash_elsewhere(process):
        # It crashes when its parent is gone, and has its end of the pipe until it is gone itself.
        waiting = "while kill -0 $0 2>/dev/null; do sleep 0.01; done; kill -SEGV $$"
        with subprocess.Popen(["sh", "-c", f"sh -c '{waiting}' $$ & kill -KILL $$"],
                              stdout=subprocess.PIPE) as parent:
            parent.wait(DEADLINE)
            assert parent.stdout.read() == b""

    command = ["sh", "-c", "read -r line; kill -ABRT $$"]
    record, process = report_live(folder, command, crash_elsewhere)
    assert Report(record["payload"]).field("PID") == str(process.pid)


@needs_core_pattern
@every_case
def test_names_the_same_while_the_process_is_dying(crash_of, case):
    crash = crash_of(case)
    record, process = report_live(crash.folder, crash.command)
    report = Report(record["payload"])
    check(case, report)
    assert report.field("PID") == str(process.pid)
    if case.name != "recursion":  # which of its functions meets the end is chance
        # The last of a smashed stack is what lay there, and other from run to run.
        assert [frame.function for frame in report.frames[:-1]] == \
            [frame.function for frame in crash.report.frames[:-1]]
    assert report.stable == crash.report.stable
    if case.name != "smashed_stack":
        assert report.exact == crash.report.exact
    assert not CANARIES.search(json.dumps(record)), CANARIES.search(json.dumps(record))


@every_case
def test_tells_no_secret_of_a_hard_case(crash_of, case):
    crash = crash_of(case)
    assert b"CANARY" in crash.core.read_bytes()
    explained = run_crashprobe(crash.folder / "telemetrics.conf", "--explain", crash.core)
    for text in (crash.report.payload, explained.stdout.decode(errors="replace")):
        assert not CANARIES.search(text), CANARIES.search(text)


def test_no_thread_hides_another(crash_of):
    report = crash_of(by_name["threads"]).report
    assert sum(len(tids) for tids, _ in report.threads) == 200
    names = [[frame.name for frame in frames] for _, frames in report.threads]
    assert names[0][:2] == ["fail", "main"]
    deep = next(frames for _, frames in report.threads if "descend" in [f.name for f in frames])
    assert len(deep) == 64
    assert "(939 frames left out)" in report.payload or " frames left out)" in report.payload
    assert ["lose_stack"] in names
    circle = next(stack for stack in names if stack[0] == "circle")
    assert len(circle) <= 64
    waiting = next(tids for tids, frames in report.threads
                   if "wait_for_work" in [f.name for f in frames] and len(tids) > 100)
    assert len(waiting) >= 190


def test_says_how_deep_a_recursion_was_at_least(crash_of):
    report = crash_of(by_name["recursion"]).report
    assert len(report.frames) == 256
    assert "(4096 or more frames left out)" in report.payload


def test_a_recursion_has_one_exact_signature_wherever_it_ends(crash_of, folder):
    crash = crash_of(by_name["recursion"])
    config = write_config(folder)
    reports = []
    for length in range(8):
        # What lies at the start of the stack moves its end; the kernel moves it, too.
        environment = hard_crashes.environment() | {"FILLER": "x" * (24 * length)}
        core = make_core(crash.command, folder, environment)
        reports.append(Report(payload_of(run_crashprobe(config, "-n", "-c", core))))
        core.unlink()
    # Chance leads to more than one instruction, or this would show nothing.
    assert len({report.frames[0].offset for report in reports}) > 1
    assert {report.exact for report in reports} == {crash.report.exact}
    assert {report.stable for report in reports} == {crash.report.stable}


@needs_core_pattern
@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_names_functions_of_a_library_that_went_away(folder, change):
    command = hard_crashes.library(folder)
    library = folder / "libload.so.1"

    def go_on(process):
        assert process.stdout.readline() == b"ready\n"
        library.unlink()
        if change == "replaced":
            # Another library of the same name: its functions lie elsewhere.
            hard_crashes.compile_c(folder, "smash.c", "-g", "-shared", "-fPIC", output=library.name)

    record, _ = report_live(folder, command, go_on)
    report = Report(record["payload"])
    expect_in_order(report.names, ["decode", "library_load", "run", "main"])
    assert [frame.module for frame in report.frames[:3]] == ["libload.so.1"] * 2 + ["uses_library"]
    assert report.frames[0].line
    assert any(line.startswith("libload.so.1 ") and line.endswith(" (deleted)")
               for line in record["payload"].splitlines())


def test_a_core_that_was_cut_off_gives_what_is_there(crash_of):
    crash = crash_of(by_name["debug_information"])
    whole = crash.core.read_bytes()
    config = crash.folder / "telemetrics.conf"
    cut = crash.folder / "cut"
    complete = 0
    for size in [*range(len(whole) // 40, len(whole), len(whole) // 40), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        report = Report(payload_of(run_crashprobe(config, "-n", "-c", cut)))
        if not report.threads:
            assert "the core ended early" in report.payload
            continue
        # Where the program was stands in the notes, and its name in its file.
        assert report.names[0] == "parse_header"
        complete += report.names[:4] == ["parse_header", "load", "run", "main"]
    assert complete > 0


def frames_of(report):
    """By thread id, as gdb_stacks has them."""
    return {int(tid): [gdb_stacks.Frame(gdb_stacks.plain_function(frame.function),
                                        frame.module.split("/")[-1]) for frame in frames]
            for tids, frames in report.threads for tid in tids}


def compare_with_gdb(gdb, crash):
    """Of how many frames gdb names function and module, how many of these we have in their place, and
    how many we have that gdb has not. Over all threads."""
    ours = frames_of(crash.report)
    known = same = more = 0
    for tid, frames in gdb_stacks.read(gdb, crash.command[0], crash.core).items():
        mine = ours.get(tid, [])
        # Of long stacks both have the first part only.
        cut = len(mine) if len(mine) >= 64 else len(frames)
        theirs = [frame for frame in frames[:cut] if frame.function and frame.module]
        found = gdb_stacks.same_frames(mine, theirs)
        known += len(theirs)
        same += len(found)
        more += len(mine) - len(found)
        if len(found) < len(theirs) and os.environ.get("TELEMETRICS_SHOW_FRAMES"):
            missed = [frame for i, frame in enumerate(theirs) if i not in found]
            print(tid, *missed, "ours:", *mine, sep="\n  ")
    return known, same, more


def test_agrees_with_gdb(crash_of, record_property):
    """Where gdb names function and module of a frame, we have the same frame. What is missing are
    mostly frames of tail calls, which gdb infers and which are not on the stack."""
    gdb = find_tool("gdb")
    table = {}
    left_out = []
    for case in CASES:
        try:
            table[case.name] = compare_with_gdb(gdb, crash_of(case))
        except pytest.skip.Exception as skipped:
            left_out.append((case.name, skipped))
    sums = {"all": tuple(map(sum, zip(*table.values()))),
            "all but those of 200 threads":
                tuple(map(sum, zip(*(row for name, row in table.items() if name != "threads"))))}
    for name, (known, same, more) in {**table, **sums}.items():
        record_property(name, f"{known} frames that gdb names, {same} the same "
                              f"({100 * same / max(known, 1):.1f} %), {more} only ours")
    for name, reason in left_out:
        record_property(name, f"left out: {reason}")
    for known, same, _ in sums.values():
        assert known > 0
        assert same >= 0.95 * known
