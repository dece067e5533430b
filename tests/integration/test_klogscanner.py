"""klogscanner on a live log, and oopsprobe: each report becomes a record, once, whatever happens."""

import os
import re
import socket
import subprocess

import pytest
from support import paths
from support.kernel_log import (
    KLOGSCANNER, OOPSPROBE, Scanner, consent_long_ago, guilty_of, oopsprobe, quiet, record, report, scan,
    wait_for_guilty)
from support.machine import NOBODY, effective_user, with_telemetry_user
from support.marks import needs_root, needs_strace
from support.proc import capabilities, run_time_ns, trace_system_calls, users_and_groups
from support.waiting import DEADLINE, stays, wait_until

QUIET_SECONDS = 60 if os.environ.get("TELEMETRICS_LONG") == "1" else 3


@pytest.fixture
def follow():
    """Starts klogscanners that end with the test."""
    scanners = []

    def start(machine, *arguments, **how):
        scanners.append(Scanner(machine, *arguments, **how))
        return scanners[-1]

    yield start
    for scanner in scanners:
        scanner.close()


@pytest.fixture
def log(folder):
    """A file in place of /dev/kmsg."""
    return folder / "kmsg.txt"


def oops_files(machine):
    folder = machine.cache / "oops"
    return sorted(folder.iterdir()) if folder.exists() else []


# ---- live


def test_a_report_becomes_a_record_while_the_log_goes_on(machine, sink, follow):
    scanner = follow(machine)
    scanner.write(quiet(0, 100) + report(100, "first"))
    wait_for_guilty(sink, "first")
    scanner.write(quiet(106, 100) + report(206, "second"))
    wait_for_guilty(sink, "first", "second")
    assert scanner.stop() == 0 and scanner.said() == ""
    assert sink.requests[0].headers["classification"] == "org.clearlinux/kernel/warning"


def test_a_report_that_has_no_end_is_told_when_nothing_more_comes(machine, sink, follow):
    scanner = follow(machine)
    scanner.write(record(0, "BUG: unable to handle page fault for address: 1"))
    sink.wait_for(1)


def test_what_is_open_when_it_is_stopped_is_told(machine, sink, follow):
    scanner = follow(machine)
    scanner.write(record(0, "BUG: unable to handle page fault for address: 1"))
    wait_until(lambda: (machine.cache / "kmsg-position").exists())
    # Whether it has read the line by now or not, the line is in its log.
    assert scanner.end_log() == 0
    sink.wait_for(1)


# Anybody who may write into the log could else make up reports: lines of processes have a facility.
def test_lines_that_processes_have_written_are_not_believed(machine, log):
    log.write_bytes(report(0, priority=12) + report(6, priority=8) + report(12, "real"))
    assert scan(machine, log)[0] == 0
    machine.wait_for(accepted=1)


@needs_strace
def test_idle_it_makes_no_system_call(machine, sink, follow, folder):
    scanner = follow(machine)
    scanner.write(quiet(0, 10) + report(10))
    wait_for_guilty(sink, "drain")
    pid = scanner.process.pid

    def sleeps():
        before = run_time_ns(pid)
        return stays(lambda: run_time_ns(pid) == before, 0.5)

    wait_until(sleeps, what="klogscanner asleep")
    assert trace_system_calls(pid, QUIET_SECONDS, folder / "strace.log") == []


# CAP_SYSLOG is there to open /dev/kmsg, and klogscanner kept it for as long as it ran: for weeks,
# beside a parser of foreign bytes. Any other capability stands in for it: not all containers have it.
@needs_root
def test_once_the_log_is_open_it_has_no_capability(machine, follow):
    with effective_user(NOBODY):
        if not os.access(KLOGSCANNER, os.X_OK, effective_ids=True):
            pytest.skip("the build lies where nobody else can run programs")
    for path in (machine.cache, machine.log):
        os.chown(path, NOBODY, NOBODY)
    scanner = follow(machine, wrapper=[
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=+kill",
        "--ambient-caps=+kill"])
    wait_until((machine.cache / "kmsg-position").exists, what=scanner.said)
    assert capabilities(scanner.process.pid) == {
        "CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapAmb": 0}


# It parsed what anybody may have written into the file with all of root's rights.
@needs_root
def test_a_saved_log_is_read_without_roots_rights(make_machine, folder):
    machine = make_machine()
    wrapper = with_telemetry_user(folder)
    if wrapper is None:
        pytest.skip("no mount namespace to be had, in which there could be a user telemetry")
    os.mkfifo(folder / "log", 0o600)
    log = os.open(folder / "log", os.O_RDWR)
    scanner = subprocess.Popen([*wrapper, KLOGSCANNER, "-f", machine.config, "-n", "--log",
                                folder / "log"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        wait_until(lambda: users_and_groups(scanner.pid) == ({NOBODY}, {NOBODY}, {NOBODY}))
    finally:
        os.close(log)
        scanner.wait()


def test_the_machines_own_log_can_be_looked_at(make_machine):
    machine = make_machine()
    done = subprocess.run([KLOGSCANNER, "-f", machine.config, "-n", "--json"], capture_output=True,
                          text=True, timeout=60)
    if done.returncode != 0 and "/dev/kmsg" in done.stderr:
        pytest.skip(f"no kernel log to read here: {done.stderr.strip()}")
    assert done.returncode == 0
    # What it has not seen of a long boot it says.
    assert re.fullmatch(r"(klogscanner: \d+ lines .* overwritten .*\n)?", done.stderr)
    assert list(machine.cache.iterdir()) == []


# ---- nothing twice, nothing lost


def test_a_second_run_repeats_nothing_and_finds_what_is_new(machine, sink, log):
    log.write_bytes(report(0, "first"))
    assert scan(machine, log) == (0, "", "")
    log.write_bytes(report(0, "first") + quiet(6, 3) + report(9, "second"))
    assert scan(machine, log) == (0, "", "")
    assert scan(machine, log) == (0, "", "")
    wait_for_guilty(sink, "first", "second")
    machine.wait_for(accepted=2)


# Killed after telemd's answer, before it noted so: the position and the last note are missing.
def test_a_kill_between_the_answer_and_the_note_repeats_nothing(machine, log):
    log.write_bytes(report(0))
    assert scan(machine, log)[0] == 0
    machine.wait_for(accepted=1)
    (machine.cache / "kmsg-position").unlink()
    sent = machine.cache / "sent-events"
    begun, done = sent.read_text().splitlines()
    assert begun == done + " ?"
    sent.write_text(begun + "\n")
    assert scan(machine, log) == (0, "", "")
    machine.wait_for(accepted=1)


# Also the calls that it makes while it does not yet know of the report; each run goes one further.
@pytest.mark.parametrize("call", ["write", "rename", "fdatasync", "fsync", "connect", "read"])
@needs_strace
def test_killed_at_any_step_it_tells_the_report_once_in_the_end(machine, log, call):
    log.write_bytes(report(0))
    kills = 0
    for nth in range(1, 40):
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
             "-e", f"inject={call}:signal=SIGKILL:when={nth}",
             KLOGSCANNER, "-f", machine.config, "--kmsg", log], timeout=60,
            stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode == 0:
            break
        kills += 1
    assert kills > 0
    assert scan(machine, log) == (0, "", "")
    machine.wait_for(accepted=1)


def test_killed_within_a_report_it_reads_the_report_again(machine, sink, follow, log):
    whole = quiet(0, 5) + report(5, "half")
    scanner = follow(machine)
    scanner.write(whole[:-100])
    wait_until(lambda: (machine.cache / "kmsg-position").exists())
    scanner.process.kill()
    log.write_bytes(whole)
    assert scan(machine, log)[0] == 0
    wait_for_guilty(sink, "half")


def test_after_a_reboot_the_log_begins_anew(machine, log):
    log.write_bytes(report(0))
    assert scan(machine, log)[0] == 0
    position = machine.cache / "kmsg-position"
    former = "11111111-2222-3333-4444-555555555555"
    this = re.search(r"^boot (.*)$", position.read_text(), re.M)[1]
    position.write_text(f"boot {former}\nnext 1000\n")
    # Of the same sequence and text, and another event: the event id has the boot in it.
    log.write_bytes(report(0, "other"))
    assert scan(machine, log)[0] == 0
    machine.wait_for(accepted=2)
    assert position.read_text() == f"boot {this}\nformer {former}\nnext 6\n"


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"next 5\n", b"boot x\nnext -1\n", b"x" * 9999])
def test_a_damaged_position_costs_nothing(machine, log, content):
    (machine.cache / "kmsg-position").write_bytes(content)
    machine.give(machine.cache / "kmsg-position")
    log.write_bytes(report(0))
    assert scan(machine, log)[0] == 0
    machine.wait_for(accepted=1)


def test_while_telemd_is_away_reports_wait_in_files(make_machine, sink, follow):
    machine = make_machine(server=sink.url)
    consent_long_ago(machine)
    scanner = follow(machine)
    scanner.write(report(0, "first"))
    wait_until(lambda: len(oops_files(machine)) == 1)
    wait_until(lambda: "telemd does not run" in scanner.said())
    machine.start()
    scanner.write(report(6, "second"))
    wait_for_guilty(sink, "first", "second")
    wait_until(lambda: oops_files(machine) == [])
    assert scanner.stop() == 0
    machine.wait_for(accepted=2)


def test_what_waited_when_it_ended_is_sent_by_oopsprobe_once(make_machine, sink, log):
    machine = make_machine(server=sink.url)
    consent_long_ago(machine)
    log.write_bytes(report(0, "first") + report(6, "second"))
    code, _, said = scan(machine, log)
    assert code == 0 and said.count("the report waits in") == 2
    assert oopsprobe(machine)[0] == 1 and len(oops_files(machine)) == 2
    machine.start()
    assert oopsprobe(machine) == (0, "", "")
    assert oops_files(machine) == []
    assert oopsprobe(machine) == (0, "", "")
    assert scan(machine, log) == (0, "", "")
    wait_for_guilty(sink, "first", "second")
    machine.wait_for(accepted=2)


def test_a_full_spool_keeps_the_report(make_machine, away, log):
    machine = make_machine(server=away.url, spool_max_size=8).start()
    while machine.send(b"x" * 2000) == 0:
        pass
    log.write_bytes(report(0))
    code, _, said = scan(machine, log)
    assert code == 0 and "telemd's spool is full; the report waits" in said
    assert len(oops_files(machine)) == 1
    code, _, said = oopsprobe(machine)
    assert code == 1 and "spool is full" in said and len(oops_files(machine)) == 1
    away.start()
    machine.configure(spool_max_size=5120)
    machine.reload()
    wait_until(lambda: oopsprobe(machine)[0] == 0)
    wait_until(lambda: guilty_of(away.requests) == ["drain"])
    assert oops_files(machine) == []


# telemd writes down what it refuses under the event's id. Taken for "telemd has had it" when the report
# was tried again, its only copy was removed.
def test_a_report_that_the_limit_refused_is_sent_when_there_is_room(make_machine, sink, log):
    machine = make_machine(server=sink.url, rate_limit_strategy="drop", record_burst_limit=1).start()
    assert machine.send() == 0
    log.write_bytes(report(0))
    code, _, said = scan(machine, log)
    assert code == 0 and "telemd's limit on records is reached; the report waits" in said
    code, _, said = oopsprobe(machine)
    assert code == 1 and "limit on records" in said and len(oops_files(machine)) == 1
    machine.configure(record_burst_limit=1000)
    machine.reload()
    wait_until(lambda: oopsprobe(machine)[0] == 0)
    wait_until(lambda: guilty_of(sink.requests) == ["drain"])
    assert oops_files(machine) == []


def test_files_are_left_to_oopsprobe_where_that_is_asked(machine, sink, log):
    log.write_bytes(report(0))
    assert scan(machine, log, "--files") == (0, "", "")
    assert scan(machine, log, "--files") == (0, "", "")
    [file] = oops_files(machine)
    assert re.match(r"\[\d+\.\d{6}\] -+\[ cut here \]-+\n", file.read_text())
    assert machine.status()["accepted"] == 0
    assert oopsprobe(machine) == (0, "", "")
    wait_for_guilty(sink, "drain")
    assert oops_files(machine) == []


@needs_strace
@pytest.mark.parametrize("call", ["write", "fdatasync", "connect", "read", "unlink"])
def test_killed_at_any_step_oopsprobe_tells_each_report_once(machine, sink, log, call):
    log.write_bytes(report(0, "first") + report(6, "second"))
    assert scan(machine, log, "--files") == (0, "", "")
    kills = 0
    for nth in range(1, 100):
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}",
             "-e", f"inject={call}:signal=SIGKILL:when={nth}", OOPSPROBE, "-f", machine.config],
            timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode == 0:
            break
        kills += 1
    assert kills > 0
    assert oopsprobe(machine) == (0, "", "")
    assert oops_files(machine) == []
    wait_for_guilty(sink, "first", "second")
    machine.wait_for(accepted=2)


def test_oopsprobe_takes_files_of_1x_and_says_what_is_no_report(machine, sink):
    folder = machine.cache / "oops"
    folder.mkdir()
    sample = paths.REPO / "tests" / "data" / "kernel" / "x86-2.6.32-paging-request.txt"
    (folder / "abcdef").write_bytes(sample.read_bytes().partition(b"\n\n")[2])
    (folder / "nothing").write_bytes(b"\xff\x00 hello\n" * 1000)
    (folder / "empty").write_bytes(b"")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo")
    (folder / "half.new").write_bytes(b"BUG: unable to handle")
    machine.give(folder)
    code, _, said = oopsprobe(machine)
    assert code == 0
    assert sorted(re.findall(r"'.*/(\S+)' (?:holds no report|is no regular)", said)) == [
        "empty", "fifo", "nothing"]
    assert "link" in said
    wait_for_guilty(sink, "tok_poll")
    assert sorted(path.name for path in folder.iterdir()) == ["fifo", "half.new", "link"]


def test_oopsprobe_shows_what_it_would_send_and_keeps_it(make_machine, folder):
    machine = make_machine()
    (folder / "dir").mkdir()
    (folder / "dir" / "a").write_text("BUG: unable to handle page fault\nCall Trace:\n a+0x1/0x2\n")
    code, shown, said = oopsprobe(machine, "-n", "--dir", folder / "dir")
    assert (code, said) == (0, "") and "Reason: BUG: unable to handle page fault\n" in shown
    assert (folder / "dir" / "a").exists()


# A name that was mistyped was a folder without evidence, as klogscanner's --log is none.
@pytest.mark.parametrize("program", ["oopsprobe", "pstoreprobe"])
def test_a_folder_that_is_named_has_to_be_there(make_machine, folder, program):
    done = subprocess.run([paths.BUILD / "bin" / program, "-f", make_machine().config, "-n", "--dir",
                           folder / "mistyped"], capture_output=True, text=True, timeout=DEADLINE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"{program}: open '{folder}/mistyped': No such file or directory\n"


# ---- floods


def test_a_flood_hides_no_report_and_takes_little_memory(make_machine, sink, follow):
    """A hundred thousand lines, among them torn ones, long ones, binary ones and those of others."""
    machine = make_machine(server=sink.url, rate_limit_enabled=False, spool_max_size=-1).start()
    scanner = follow(machine)
    noise = [
        lambda n: record(n, "x" * 4096),
        lambda n: record(n, "".join(f"\\x{i % 256:02x}" for i in range(n, n + 300))),
        lambda n: record(n, "audit: type=1400 " + "y" * 200, priority=30),
        lambda n: record(n, "------------[ cut here ]------------", priority=4, caller=f"T{n}"),
        lambda n: record(n, "BUG: made up by a process", priority=11),
    ]
    sequence, number, expected = 0, 0, []
    peak = 0
    while sequence < 100_000:
        chunk = bytearray()
        for _ in range(2000):
            if number % 50 == 0:
                chunk += noise[number // 50 % len(noise)](sequence)
            elif number % 75 == 0:
                # Torn: the sequence number is used up, the line is none.
                chunk += b"4,%d,torn\n" % sequence
            else:
                chunk += record(sequence, f"usb 1-{number % 9}: new USB device number {number}")
            sequence += 1
            number += 1
        expected.append(f"flooded_{len(expected)}")
        lines = report(sequence, expected[-1], caller="T77").splitlines(keepends=True)
        other = report(sequence + 10, expected[-1] + "_other", caller="T78").splitlines(keepends=True)
        # Two processors print at once; the numbers are given in the order of the log.
        for pair in zip(lines, other):
            for line in pair:
                chunk += re.sub(rb"^4,\d+,", b"4,%d," % sequence, line)
                sequence += 1
        expected.append(expected[-1] + "_other")
        scanner.write(bytes(chunk))
        peak = max(peak, scanner.peak_kib())
    assert scanner.end_log() == 0
    wait_for_guilty(sink, *expected)
    assert peak < 32 * 1024 or paths.is_sanitized()


def test_the_gap_is_said_where_the_kernel_dropped_lines(machine, sink, log):
    lines = report(100).splitlines(keepends=True)
    log.write_bytes(quiet(40, 10) + b"".join(lines[:3] + lines[4:]))
    code, _, said = scan(machine, log)
    assert code == 0
    assert said == ("klogscanner: 91 lines of the kernel's log were overwritten before they could be "
                    "read\n")
    [request] = sink.wait_for(1)
    assert "\nLeft out : 1 lines\n" in request.body.decode()


# ---- consent


def test_opted_out_it_reads_nothing(machine, log):
    machine.opt_out()
    log.write_bytes(report(0))
    assert scan(machine, log) == (0, "", "")
    assert oopsprobe(machine) == (0, "", "")
    assert list(machine.cache.iterdir()) == []


def test_whoever_opts_out_ends_it_and_nothing_is_left_behind(make_machine, sink, follow):
    machine = make_machine(server=sink.url)
    scanner = follow(machine)
    scanner.write(report(0, "first"))
    wait_until(lambda: len(oops_files(machine)) == 1)
    machine.opt_out()
    scanner.write(report(6, "second"))
    assert scanner.process.wait(20) == 0
    assert oops_files(machine) == []


# Who opts in today has not agreed to tell of yesterday.
def test_what_the_kernel_reported_before_the_consent_is_not_sent(machine, sink, log):
    wait_until((machine.state / "consent_since").exists)
    log.write_bytes(report(0, "before", start=0) + report(6, "after"))
    assert scan(machine, log) == (0, "", "")
    wait_for_guilty(sink, "after")
    assert machine.status()["accepted"] == 1


# telemd writes down since when there is consent; a probe that runs before its first start, as behind an
# installation, took the missing file for "since ever".
def test_before_telemd_has_ever_run_consent_has_just_begun(make_machine, log):
    machine = make_machine()
    log.write_bytes(report(0, "before", start=0) + report(6, "after"))
    code, _, said = scan(machine, log)
    assert code == 0 and said.count("the report waits in") == 1
    [file] = oops_files(machine)
    assert "after" in file.read_text() and "before" not in file.read_text()


# Under systemd a telemd that nobody sends a record to is not there to note it.
def test_where_the_start_of_consent_is_not_known_telemd_is_woken(make_machine, log):
    machine = make_machine()
    log.write_bytes(quiet(0, 3))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as activated:
        activated.bind(str(machine.socket))
        activated.listen()
        machine.socket.chmod(0o666)
        activated.setblocking(False)
        assert scan(machine, log) == (0, "", "")
        activated.accept()[0].close()
        consent_long_ago(machine)
        assert scan(machine, log) == (0, "", "")
        with pytest.raises(BlockingIOError):
            activated.accept()


# ---- command lines


@pytest.mark.parametrize("arguments, what", [
    (["--nonsense"], "unknown option '--nonsense'"),
    (["word"], "unexpected argument 'word'"),
    (["--json"], "--json goes with -n/--no-post only"),
    (["--files", "-n"], "--files goes with neither --log nor -n/--no-post"),
    (["--files", "--log", "x"], "--files goes with neither --log nor -n/--no-post"),
])
def test_a_mistake_has_one_clear_line(arguments, what):
    done = subprocess.run([KLOGSCANNER, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"klogscanner: {what}. Try 'klogscanner --help'.\n"


def test_a_log_that_is_not_there_is_said(make_machine, folder):
    code, _, said = scan(make_machine(), folder / "none")
    assert (code, said) == (1, f"klogscanner: open '{folder}/none': No such file or directory\n")
