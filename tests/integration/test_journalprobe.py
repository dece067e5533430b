"""journalprobe: services that failed, from journal files that journald's own code has written."""

import grp
import json
import os
import pathlib
import re
import subprocess
import time

import pytest

from support import paths
from support.frame_server import FrameServer
from support.frames import parse_frame
from support.machine import NOBODY, with_telemetry_user
from support.marks import needs_root, needs_strace
from support.proc import run_time_ns, trace_system_calls, users_and_groups
from support.system_journal import (
    JOURNALPROBE, JournalProbe, JournalWriter, an_hour_passes, failure, kept, needs_journal_writer,
    needs_journalprobe, position)
from support.waiting import DEADLINE, stays, wait_until

pytestmark = [needs_journalprobe, needs_journal_writer]

# Recorded from systemd 252 with its log level at debug: services that exit with an error, are killed,
# dump core, time out, hit their start limit, fail while cleaning up; one that works, one whose exit
# status 7 is allowed; and what a user has logged in systemd's words and fields.
SAMPLE = paths.REPO / "tests" / "data" / "journal" / "failures.export"

TOLD = [
    ("exits.service", "Exit code: exited\nExit status: 3\n"),
    ("killed.service", "Exit code: killed\nExit status: 9\n"),
    ("dumps.service", "Exit code: dumped\nExit status: 11\n"),
    ("cleanup.service", "Exit code: exited\nExit status: 4\n"),
    ("slow.service", "Result: timeout\n"),
    ("limit.service", "Exit code: exited\nExit status: 1\n"),
    ("limit.service", "Exit code: exited\nExit status: 1\n"),
    ("limit.service", "Result: start-limit-hit\n"),
]

OK, SPOOL_FULL, MALFORMED = 0, 28, 22
QUIET_SECONDS = 60 if os.environ.get("TELEMETRICS_LONG") == "1" else 3


def units(payloads):
    return [re.search(r"^Unit: (.*)$", payload, re.MULTILINE)[1] for payload in payloads]


@pytest.fixture
def journal(folder):
    writer = JournalWriter(folder / "journal")
    yield writer
    writer.close()


@pytest.fixture
def config(folder):
    for name in ("etc", "state", "log", "cache"):
        (folder / name).mkdir()
    path = folder / "telemetrics.conf"
    path.write_text(f"[settings]\nsocket_path = {folder}/socket\nconfig_dir = {folder}/etc\n"
                    f"state_dir = {folder}/state\ncache_dir = {folder}/cache\n"
                    f"log_dir = {folder}/log\n")
    # The user has consented before any of it.
    (folder / "state" / "consent_since").write_text("1000000000\n")
    return path


@pytest.fixture
def listen(folder):
    """Starts daemons that answer as they are told, one after the other on the same socket."""
    servers = []

    def start(*answers):
        for server in servers:
            server.close()
        servers.clear()
        (folder / "socket").unlink(missing_ok=True)
        servers.append(FrameServer(folder / "socket", answers or (OK,)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def start(config, journal):
    probes = []

    def begin(*arguments, **how):
        probes.append(JournalProbe(config, journal.folder, *arguments, **how))
        return probes[-1]

    yield begin
    for probe in probes:
        probe.kill()


@pytest.fixture
def journalprobe_of(journal):
    """Starts journalprobes that send to the telemd of a machine."""
    probes = []

    def begin(machine):
        probes.append(JournalProbe(machine.config, journal.folder))
        return probes[-1]

    yield begin
    for probe in probes:
        probe.kill()


def records_of(server):
    """Headers by name and payload. A probe that was killed may have connected and sent nothing."""
    return [parse_frame(frame) for frame in server.frames if frame]


def payloads_of(server):
    return [payload.decode() for _, payload in records_of(server)]


def event_ids_of(server):
    return [headers["event_id"] for headers, _ in records_of(server)]


def wait_for_frames(server, count, probe):
    wait_until(lambda: len(server.frames) >= count,
               what=lambda: f"{count} frames; there are {len(server.frames)}; "
                            f"it said: {probe.said()}")


def shown(config, directory, *arguments):
    done = subprocess.run([JOURNALPROBE, "-n", "--json", "-f", config, "--directory", directory,
                           *arguments], capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, b"")
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


def test_each_way_to_fail_is_told_once(config, journal):
    journal.add_export(SAMPLE.read_bytes())
    journal.close()
    records = shown(config, journal.folder)
    payloads = [record["payload"] for record in records]
    assert units(payloads) == [unit for unit, _ in TOLD]
    for payload, (unit, end) in zip(payloads, TOLD):
        assert payload.startswith(f"MESSAGE={unit}: ")
        assert payload.endswith(end)
    assert {record["classification"] for record in records} == {"org.clearlinux/journal/error"}
    assert {record["severity"] for record in records} == {"2"}
    assert {record["payload_format_version"] for record in records} == {"1"}
    assert len({record["event_id"] for record in records}) == len(TOLD)
    assert not list((config.parent / "cache").iterdir()), "it only showed"


def test_without_privacy_filters_every_error_is_told(config, journal):
    journal.add_export(SAMPLE.read_bytes())
    journal.close()
    (config.parent / "etc" / "opt-in-no-privacy-filters").touch()
    messages = [record["payload"].split("\n")[0] for record in shown(config, journal.folder)]
    assert "MESSAGE=cannot write to /mnt/tape: disk on fire" in messages
    assert not any("victim" in message for message in messages), "that was a warning, by a user"


def test_it_follows_the_journal(journal, listen, start):
    server = listen()
    journal.add(failure("before.service"))
    probe = start()
    wait_for_frames(server, 1, probe)
    journal.add(failure("after.service"))
    wait_for_frames(server, 2, probe)
    assert units(payloads_of(server)) == ["before.service", "after.service"]


def test_a_restarted_probe_repeats_nothing_and_misses_nothing(config, journal, listen, start):
    server = listen()
    journal.add(failure("one.service"), failure("two.service"))
    probe = start()
    wait_for_frames(server, 2, probe)
    wait_until(lambda: "two.service" in kept(config, journal), what=probe.said)
    probe.kill()
    journal.add(failure("three.service"))
    probe = start()
    wait_for_frames(server, 3, probe)
    assert units(payloads_of(server)) == ["one.service", "two.service", "three.service"]


def test_a_record_that_telemd_does_not_take_is_not_given_up(config, journal, listen, start):
    journal.add(failure("one.service"), failure("two.service"))
    server = listen(OK, SPOOL_FULL)
    probe = start()
    probe.wait_for_words("telemd's spool is full; trying again in a minute")
    first = event_ids_of(server)
    assert len(first) == 2
    before = position(config, journal).read_text()
    assert stays(lambda: position(config, journal).read_text() == before, 0.2)
    probe.kill()
    server = listen()
    probe = start()
    wait_for_frames(server, 1, probe)
    assert units(payloads_of(server)) == ["two.service"]
    assert event_ids_of(server) == first[1:]


def test_a_telemd_that_is_away_is_waited_for(journal, listen, start):
    journal.add(failure("one.service"))
    probe = start()
    probe.wait_for_words("telemd does not run (its socket is not there); trying again in a minute")
    assert probe.process.poll() is None
    probe.kill()
    server = listen()
    wait_for_frames(server, 1, start())


# A record that telemd can never take would hold up all behind it for ever.
def test_a_record_that_telemd_refuses_for_good_is_passed_over(journal, listen, start):
    journal.add(failure("one.service"), failure("two.service"))
    server = listen(MALFORMED, OK)
    probe = start()
    wait_for_frames(server, 2, probe)
    probe.wait_for_words("telemd takes no record like this; passing over it")
    assert units(payloads_of(server)) == ["one.service", "two.service"]


@pytest.mark.parametrize("moment", range(1, 6))
def test_killed_at_any_moment_it_loses_nothing(journal, listen, start, moment):
    count = 6
    journal.add(*[failure(f"unit-{number}.service") for number in range(count)])
    server = listen()
    probe = start()
    wait_for_frames(server, moment, probe)
    probe.kill()
    first = event_ids_of(server)
    server = listen()
    # One that tells that the end is reached.
    journal.add(failure("end.service"))
    probe = start()
    wait_until(lambda: "end.service" in units(payloads_of(server)), what=probe.said)
    second = event_ids_of(server)
    assert len(set(first + second)) == count + 1
    # What was taken over as it was killed may come again, and has its event id: this daemon has no journal
    # that could be asked.
    assert len(first + second) <= count + 2


# Killed after telemd's answer, before it noted so: telemd's journal knows.
def test_a_kill_between_the_answer_and_the_note_repeats_nothing(machine, journal, journalprobe_of):
    journal.add(failure("one.service"))
    probe = journalprobe_of(machine)
    wait_until(lambda: "one.service" in kept(machine.config, journal), what=probe.said)
    probe.kill()
    position(machine.config, journal).unlink()
    sent = machine.cache / "sent-events"
    begun, done = sent.read_text().splitlines()
    assert begun == done + " ?"
    sent.write_text(begun + "\n")
    journal.add(failure("two.service"))
    probe = journalprobe_of(machine)
    wait_until(lambda: "two.service" in kept(machine.config, journal), what=probe.said)
    machine.wait_for(accepted=2)


# The same of failures that are only counted, whose record no entry stands for.
def test_a_kill_repeats_no_count(machine, journal, journalprobe_of):
    journal.add(*[failure("loop.service", invocation) for invocation in range(1, 16)])
    journal.add(failure("other.service"))
    probe = journalprobe_of(machine)
    wait_until(lambda: "other.service" in kept(machine.config, journal), what=probe.said)
    probe.kill()
    an_hour_passes(machine.config, journal)
    before = kept(machine.config, journal)
    probe = journalprobe_of(machine)
    machine.wait_for(accepted=12)
    wait_until(lambda: " 5 " not in kept(machine.config, journal), what=probe.said)
    probe.kill()
    position(machine.config, journal).write_text(before)
    journal.add(failure("two.service"))
    probe = journalprobe_of(machine)
    wait_until(lambda: "two.service" in kept(machine.config, journal), what=probe.said)
    wait_until(lambda: " 5 " not in kept(machine.config, journal), what=probe.said)
    machine.wait_for(accepted=13)


def test_what_is_not_from_systemd_is_not_believed(config, journal):
    journal.add(
        failure("forged.service", _PID="4242"),
        failure("forged.service", _UID="1000"),
        failure("forged.service", _TRANSPORT="stdout"),
        failure("forged.service", _PID="4242", _SYSTEMD_UNIT="user@1000.service"),
        failure("honest.service"))
    journal.close()
    assert units([r["payload"] for r in shown(config, journal.folder)]) == ["honest.service"]


def test_a_unit_that_fails_all_the_time_is_counted(config, journal, listen, start):
    server = listen()
    journal.add(*[failure("loop.service", invocation) for invocation in range(1, 26)])
    journal.add(failure("other.service"))
    probe = start()
    wait_for_frames(server, 11, probe)
    assert units(payloads_of(server)) == ["loop.service"] * 10 + ["other.service"]
    wait_until(lambda: "other.service" in kept(config, journal), what=probe.said)
    probe.kill()
    assert " 15 " in kept(config, journal)
    an_hour_passes(config, journal)
    probe = start()
    wait_for_frames(server, 12, probe)
    assert payloads_of(server)[11] == (
        "MESSAGE=loop.service: failed again\nUnit: loop.service\nRepeated: 15\n")
    wait_until(lambda: " 15 " not in kept(config, journal))
    journal.add(failure("loop.service", 100))
    wait_for_frames(server, 13, probe)
    assert "Repeated" not in payloads_of(server)[12]


def test_counts_go_with_the_next_failure(config, journal, listen, start):
    server = listen()
    journal.add(*[failure("loop.service", invocation) for invocation in range(1, 14)],
                failure("other.service"))
    probe = start()
    wait_for_frames(server, 11, probe)
    wait_until(lambda: "other.service" in kept(config, journal), what=probe.said)
    probe.kill()
    an_hour_passes(config, journal)
    journal.add(failure("loop.service", 100))
    journal.close()
    probe = start()
    wait_for_frames(server, 12, probe)
    assert payloads_of(server)[11].endswith("Exit status: 1\nRepeated: 3\n")


def test_nothing_from_before_consent_is_told(config, journal, listen, start):
    now = int(time.time())
    (config.parent / "state" / "consent_since").write_text(f"{now}\n")
    server = listen()
    journal.add(failure("before.service"), at=now - 60)
    journal.add(failure("after.service"), at=now + 1)
    probe = start()
    wait_for_frames(server, 1, probe)
    assert units(payloads_of(server)) == ["after.service"]


# telemd has not run yet, as behind an installation: nobody has written down since when there is consent.
def test_without_a_start_of_consent_it_begins_with_the_probe(config, journal, listen, start):
    (config.parent / "state" / "consent_since").unlink()
    server = listen()
    journal.add(failure("before.service"), at=time.time() - 60)
    journal.add(failure("after.service"), at=time.time() + 60)
    probe = start()
    wait_until(lambda: records_of(server), what=probe.said)
    assert units(payloads_of(server)) == ["after.service"]


def test_whoever_opted_out_hears_nothing(config, journal, listen):
    server = listen()
    journal.add(failure("one.service"))
    journal.close()
    (config.parent / "etc" / "opt-out").touch()
    done = subprocess.run([JOURNALPROBE, "-f", config, "--directory", journal.folder],
                          capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert server.frames == []
    assert not list((config.parent / "cache").iterdir())


def test_opting_out_ends_it(config, journal, listen, start):
    server = listen()
    journal.add(failure("one.service"))
    probe = start()
    wait_for_frames(server, 1, probe)
    (config.parent / "etc" / "opt-out").touch()
    assert probe.wait_for_end() == 0
    assert probe.said() == ""


def test_tail_begins_at_the_end(journal, listen, start):
    server = listen()
    journal.add(failure("before.service"), at=time.time() - 60)
    probe = start("--tail")
    number = 0
    while not server.frames:  # until it is there
        journal.add(failure(f"after-{number}.service"))
        number += 1
        time.sleep(0.05)
        assert number < 400, probe.said()
    assert not any("before" in payload for payload in payloads_of(server))


# Files that journald begins later are the group's to read.
@needs_root
def test_once_the_journal_is_open_it_is_not_root(config, journal, folder):
    wrapper = with_telemetry_user(folder)
    if wrapper is None:
        pytest.skip("no mount namespace to be had, in which there could be a user telemetry")
    journal.add(failure("before.service"))
    wait_until((journal.folder / "system.journal").exists)
    probe = subprocess.Popen([*wrapper, JOURNALPROBE, "-n", "--tail", "-f", config, "--directory",
                              journal.folder], stdout=subprocess.PIPE)
    try:
        group = grp.getgrnam("systemd-journal").gr_gid
        wait_until(lambda: users_and_groups(probe.pid) == ({NOBODY}, {NOBODY}, {NOBODY, group}))
        journal.add(failure("after.service"), at=time.time() + 60)
        assert b"after.service" in next(line for line in probe.stdout if b"MESSAGE=" in line)
    finally:
        probe.kill()
        probe.stdout.close()
        probe.wait()


def test_tail_waits_where_nothing_is_there_yet(journal, config):
    process = subprocess.Popen([JOURNALPROBE, "-n", "--tail", "-f", config, "--directory",
                                journal.folder], stdout=subprocess.PIPE)
    try:
        wait_until(lambda: run_time_ns(process.pid) > 0)
        assert stays(lambda: process.poll() is None, 0.2), "it ended"
    finally:
        process.kill()
        process.stdout.close()
        process.wait()


def test_a_second_probe_does_not_start(config, journal, listen, start):
    server = listen()
    journal.add(failure("one.service"))
    wait_for_frames(server, 1, start())
    second = subprocess.run([JOURNALPROBE, "-f", config, "--directory", journal.folder],
                            capture_output=True, timeout=DEADLINE)
    assert (second.returncode, second.stdout) == (1, b"")
    assert second.stderr == b"journalprobe: another journalprobe runs already\n"


def test_a_damaged_file_costs_nothing_but_itself(config, journal):
    journal.add(*[failure(f"unit-{number}.service") for number in range(50)])
    journal.close()
    file = journal.folder / "system.journal"
    data = bytearray(file.read_bytes())
    # Into the middle of its entries.
    middle = data.rfind(b"UNIT=unit-25.service") - 40
    data[middle:middle + 4096] = b"\xff" * 4096
    file.write_bytes(data)
    other = JournalWriter(config.parent / "other")
    other.add(failure("whole.service"))
    other.close()
    (other.folder / "system.journal").rename(journal.folder / "other.journal")
    done = subprocess.run([JOURNALPROBE, "-n", "--json", "-f", config, "--directory",
                           journal.folder], capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, b"")
    told = units([json.loads(line)["payload"] for line in done.stdout.decode().splitlines()])
    assert "whole.service" in told and len(told) > 20


@needs_strace
def test_idle_it_makes_no_system_call(journal, listen, start, folder):
    server = listen()
    journal.add(*[failure("one.service", number) for number in range(12)], failure("end.service"))
    probe = start()
    wait_for_frames(server, 11, probe)

    def sleeps():
        before = run_time_ns(probe.process.pid)
        time.sleep(0.5)
        return run_time_ns(probe.process.pid) == before

    wait_until(sleeps, what="journalprobe asleep")
    assert trace_system_calls(probe.process.pid, QUIET_SECONDS, folder / "strace.log") == []


MISTAKES = [
    (["--directory"], "option --directory needs a value"),
    (["--directory", ""], "--directory: the name of the folder is empty"),
    (["--tail=1"], "option --tail takes no value"),
    (["--json"], "--json goes with -n/--no-post only"),
    (["word"], "unexpected argument 'word'"),
    (["-z"], "unknown option '-z'"),
]


@pytest.mark.parametrize("arguments, message", MISTAKES)
def test_usage_mistakes_have_one_line(config, arguments, message):
    done = subprocess.run([JOURNALPROBE, "-f", config, *arguments], capture_output=True,
                          timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.decode() == (
        f"journalprobe: {message}. Try 'journalprobe --help'.\n")


def test_a_folder_that_is_not_there_is_named(config):
    done = subprocess.run([JOURNALPROBE, "-n", "-f", config, "--directory", "/nowhere"],
                          capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"journalprobe: system journal: /nowhere: No such file or directory\n"


@pytest.mark.skipif(any(path for folder in ("/run/log/journal", "/var/log/journal")
                        for path in pathlib.Path(folder).glob("*/*.journal")),
                    reason="this machine has a system journal")
def test_a_machine_without_a_journal_is_told_so(config, listen):
    listen()
    done = subprocess.run([JOURNALPROBE, "-f", config], capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == (b"journalprobe: system journal: there is none that this user may read "
                           b"(group systemd-journal)\n")
