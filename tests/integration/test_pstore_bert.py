"""pstoreclean, pstoreprobe and bertprobe: what a crashed kernel and its firmware leave behind."""

import base64
import os
import re
import subprocess
import time
import zlib

import pytest
from support import paths
from support.kernel_log import (
    LATER, bert, consent_long_ago, guilty_of, oops, record, scan, wait_for_guilty)
from support.marks import needs_clock_shift, needs_root, needs_strace
from support.waiting import wait_until
from support.wrong_clock import WrongClock

BIN = paths.BUILD / "bin"
FORMER = "11111111-2222-3333-4444-555555555555"
# Long after any consent.
WHEN = 4_000_000_000


def call(machine, program, *arguments):
    done = subprocess.run([BIN / program, "-f", machine.config, *arguments], capture_output=True,
                          stdin=subprocess.DEVNULL, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


PANIC = "<0>[   11.000000] Kernel panic - not syncing: Fatal exception\n"


def put(folder, name, text, when=WHEN):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (when, when))
    return path


def put_efi(folder, log, reason="Panic", count=1, size=150, when=WHEN, prefix="dmesg-efi_pstore"):
    """A log as efi_pstore keeps it: many small parts, the last lines in part 1."""
    pieces = [log[i:i + size] for i in range(0, len(log), size)]
    for part, piece in enumerate(reversed(pieces), 1):
        name = f"{prefix}-{(when * 100 + part) * 1000 + count}"
        put(folder, name, f"{reason}#{count} Part{part}\n{piece}", when)


@pytest.fixture
def pstore(folder):
    path = folder / "pstore"
    path.mkdir()
    return path


def clean(machine, pstore, *arguments):
    return call(machine, "pstoreclean", "--dir", pstore, "--archive", pstore.parent / "archive",
                *arguments)


def kept(machine):
    folder = machine.cache / "pstore"
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def remember_former_boot(machine):
    path = machine.cache / "kmsg-position"
    path.write_text(f"boot {FORMER}\nnext 1000\n")
    machine.give(path)


# ---- pstore


def test_a_panic_becomes_a_record_after_the_reboot(machine, sink, pstore):
    put_efi(pstore, oops() + PANIC)
    assert clean(machine, pstore) == (0, "", "")
    assert list(pstore.iterdir()) == []
    assert call(machine, "pstoreprobe") == (0, "", "")
    assert kept(machine) == []
    [request] = sink.wait_for(1)
    assert request.headers["classification"] == "org.clearlinux/kernel/bug"
    assert request.headers["severity"] == "4"
    body = request.body.decode()
    assert "Guilty : drain\n" in body and "Panic : Kernel panic - not syncing: Fatal exception\n" in body
    assert call(machine, "pstoreprobe") == (0, "", "")
    machine.wait_for(accepted=1)


@pytest.mark.parametrize("name", ["dmesg-ramoops-0", "dmesg-erst-7021312345678905346", "dmesg-nvram-1",
                                  "dmesg-pstore_blk-0", "dmesg-efi-400000000001001",
                                  "dmesg-erst-1.enc.z", "console-ramoops-0"])
def test_every_backend_is_read(machine, sink, pstore, name):
    text = ("" if name.startswith("console") else "Oops#1 Part1\n") + oops()
    if name.endswith(".enc.z"):
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        text = packer.compress(text.encode()) + packer.flush()
    put(pstore, name, text)
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "drain")
    assert kept(machine) == []


def test_several_crashes_of_one_boot_are_told_each(machine, sink, pstore):
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops("one"))
    put(pstore, "dmesg-erst-2", "Oops#2 Part1\n" + oops("two", 20), WHEN + 1)
    # The log of the panic has all of it once more.
    last = oops("one") + oops("two", 20) + oops("three", 30) + PANIC
    put_efi(pstore, last, count=3, when=WHEN + 2)
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "one", "two", "three")
    machine.wait_for(accepted=3)


def test_a_missing_part_is_said(machine, sink, pstore):
    put_efi(pstore, oops() + PANIC)
    next(pstore.glob(f"*-{(WHEN * 100 + 2) * 1000 + 1}")).unlink()
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe")[0] == 0
    [request] = sink.wait_for(1)
    assert "Left out : part 2 is missing\n" in request.body.decode()


# systemd-pstore sorts them into folders, one a crash, and keeps them there for the administrator.
def test_what_systemd_has_moved_is_copied_once_and_stays_there(machine, sink, pstore, folder):
    archive = folder / "archive"
    put_efi(archive / str(WHEN), oops("efi") + PANIC, prefix="dmesg-efi")
    put(archive / str(WHEN), "dmesg.txt", oops("efi") + PANIC)
    put(archive / "170000" / "001", "dmesg-erst-730144439500", "Oops#1 Part1\n" + oops("erst", 20))
    before = sorted(path for path in archive.rglob("*"))
    for _ in range(2):
        assert clean(machine, pstore) == (0, "", "")
        assert call(machine, "pstoreprobe") == (0, "", "")
    assert sorted(path for path in archive.rglob("*")) == before
    wait_for_guilty(sink, "efi", "erst")
    machine.wait_for(accepted=2)


# A machine without a clock: systemd-pstore moved the files, and then the time of day was set, so that they
# seem to be from before this boot.
@needs_clock_shift
def test_what_systemd_has_moved_before_the_clock_was_set_is_copied(machine, sink, pstore, folder):
    archive = folder / "archive"
    put(archive / "1", "dmesg-erst-1", "Oops#1 Part1\n" + oops("one"))
    assert clean(machine, pstore) == (0, "", "")
    put(archive / "2", "dmesg-erst-2", "Oops#1 Part1\n" + oops("two", 20))
    clock = WrongClock(folder / "clock")
    clock.step(1000 * 24 * 3600)
    done = subprocess.run([*clock.wrapper(), BIN / "pstoreclean", "-f", machine.config, "--dir", pstore,
                           "--archive", archive], capture_output=True, text=True, timeout=60)
    clock.close()
    assert (done.returncode, done.stderr) == (0, "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "one", "two")


# In the next boot its event would have another id.
def test_what_was_copied_in_an_earlier_boot_is_not_copied_again(machine, sink, pstore, folder):
    put(folder / "archive" / "1", "dmesg-erst-1", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    remember_former_boot(machine)
    assert clean(machine, pstore) == (0, "", "")
    assert kept(machine) == []


# klogscanner saw the report, the machine died, and pstore kept it: one event.
def test_the_report_that_klogscanner_sent_has_the_event_id_of_the_panic(machine, sink, folder):
    log = folder / "kmsg.txt"
    start = LATER
    lines = [re.sub(r"^<\d>\[.*?\] ", "", line) for line in oops().splitlines()]
    log.write_bytes(b"".join(record(i, line, start=start) for i, line in enumerate(lines)))
    assert scan(machine, log) == (0, "", "")
    [live] = sink.wait_for(1)
    # pstoreclean puts them there after a restart, into the folder of the boot that klogscanner saw.
    position = machine.cache / "kmsg-position"
    boot = re.search(r"^boot (.*)$", position.read_text(), re.M)[1]
    target = machine.cache / "pstore" / boot
    text = "".join(f"<4>[{(start + i) // 1000000:5}.{(start + i) % 1000000:06}] {line}\n"
                   for i, line in enumerate(lines))
    put(target, "dmesg-erst-1", "Oops#1 Part1\n" + text)
    put(target, "dmesg-erst-2", "Panic#2 Part1\n" + text +
        f"<0>[{start // 1000000 + 1:5}.000000] Kernel panic - not syncing: Fatal exception\n")
    for path in (target.parent, target, *target.iterdir()):
        machine.give(path)
    assert call(machine, "pstoreprobe") == (0, "", "")
    requests = sink.wait_for(2)
    assert requests[1].headers["event_id"] == live.headers["event_id"]
    assert "Panic : Kernel panic" in requests[1].body.decode()
    machine.wait_for(accepted=2)  # the oops alone is not told again


def test_the_boot_that_crashed_is_noted_when_its_files_are_moved(machine, pstore):
    remember_former_boot(machine)
    put(pstore, "dmesg-ramoops-0", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    assert [path.parent.name for path in kept(machine)] == [FORMER]


# Its unit leaves root no right to the files of others: the note that klogscanner keeps is telemetry's.
@needs_root
def test_root_without_rights_of_its_own_does_the_same(machine, pstore):
    remember_former_boot(machine)
    (machine.cache / "kmsg-position").chmod(0o600)
    put(pstore, "dmesg-ramoops-0", "Oops#1 Part1\n" + oops())
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-all,+setuid,+setgid,+syslog", BIN / "pstoreclean",
         "-f", machine.config, "--dir", pstore, "--archive", pstore], capture_output=True, text=True,
        timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.parent.name for path in kept(machine)] == [FORMER]


def test_a_name_that_comes_back_overwrites_nothing(machine, sink, pstore):
    for second, function in enumerate(("one", "two", "three"), 10):
        put(pstore, "dmesg-ramoops-0", "Oops#1 Part1\n" + oops(function, second))
        assert clean(machine, pstore) == (0, "", "")
    assert len(kept(machine)) == 3
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "one", "two", "three")


@needs_strace
@pytest.mark.parametrize("syscall", ["rename", "unlink", "fsync", "utimensat"])
def test_killed_at_any_step_pstoreclean_loses_nothing(machine, sink, pstore, syscall):
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops("one"))
    put(pstore, "dmesg-erst-2", "Oops#2 Part1\n" + oops("two", 20))
    kills = 0
    for nth in range(1, 20):
        done = subprocess.run(
            ["strace", "-o", "/dev/null", "-e", f"trace={syscall}",
             "-e", f"inject={syscall}:signal=SIGKILL:when={nth}", BIN / "pstoreclean",
             "-f", machine.config, "--dir", pstore, "--archive", pstore], timeout=60,
            capture_output=True)
        there = {path.name for path in pstore.iterdir()} | {
            path.name for path in kept(machine) if not path.name.endswith(".new")}
        assert there >= {"dmesg-erst-1", "dmesg-erst-2"}
        if done.returncode == 0:
            break
        kills += 1
    assert kills > 0
    assert call(machine, "pstoreprobe")[0] == 0
    wait_for_guilty(sink, "one", "two")


# Each run goes one call further than the one before.
@needs_strace
@pytest.mark.parametrize("syscall", ["write", "fdatasync", "connect", "read", "unlink"])
def test_killed_at_any_step_pstoreprobe_tells_each_crash_once(machine, sink, pstore, syscall):
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops("one"))
    put_efi(pstore, oops("two", 20) + PANIC, count=2)
    assert clean(machine, pstore) == (0, "", "")
    kills = 0
    for nth in range(1, 100):
        done = subprocess.run(
            ["strace", "-f", "-o", "/dev/null", "-e", f"trace={syscall}",
             "-e", f"inject={syscall}:signal=SIGKILL:when={nth}", BIN / "pstoreprobe",
             "-f", machine.config], timeout=60, stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode == 0:
            break
        kills += 1
    assert kills > 0
    assert call(machine, "pstoreprobe") == (0, "", "")
    assert kept(machine) == []
    wait_for_guilty(sink, "one", "two")
    machine.wait_for(accepted=2)


# The panic has the event id of the oops that led to it, of which telemd has a record already.
def test_a_kill_between_the_answer_and_the_note_repeats_no_panic(machine, pstore):
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    sent = machine.cache / "sent-events"
    before = sent.read_text()
    for _ in range(2):
        put(pstore, "dmesg-erst-2", "Panic#2 Part1\n" + oops() + PANIC)
        assert clean(machine, pstore) == (0, "", "")
        assert call(machine, "pstoreprobe") == (0, "", "")
        machine.wait_for(accepted=2)
        begun, *_ = sent.read_text().removeprefix(before).splitlines()
        assert begun.endswith("panic ? 1")
        sent.write_text(before + begun + "\n")


def test_while_telemd_is_away_files_stay(make_machine, sink, pstore):
    machine = make_machine(server=sink.url)
    put_efi(pstore, oops() + PANIC)
    assert clean(machine, pstore) == (0, "", "")
    code, _, said = call(machine, "pstoreprobe")
    assert code == 1 and "telemd does not run" in said
    assert kept(machine) != []
    machine.start()
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "drain")
    assert kept(machine) == []


def test_a_full_spool_keeps_the_files(make_machine, away, pstore):
    machine = make_machine(server=away.url, spool_max_size=8).start()
    while machine.send(b"x" * 2000) == 0:
        pass
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    code, _, said = call(machine, "pstoreprobe")
    assert code == 1 and "spool is full" in said and len(kept(machine)) == 1
    away.start()
    machine.configure(spool_max_size=5120)
    machine.reload()
    wait_until(lambda: call(machine, "pstoreprobe")[0] == 0)
    wait_until(lambda: guilty_of(away.requests) == ["drain"])


# As test_a_report_that_the_limit_refused_is_sent_when_there_is_room: the refusal is in telemd's journal.
def test_a_limit_that_is_reached_keeps_the_files(make_machine, sink, pstore):
    machine = make_machine(server=sink.url, rate_limit_strategy="drop", record_burst_limit=1).start()
    assert machine.send() == 0
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    for _ in range(2):
        code, _, said = call(machine, "pstoreprobe")
        assert code == 1 and "limit on records" in said and len(kept(machine)) == 1
    machine.configure(record_burst_limit=1000)
    machine.reload()
    wait_until(lambda: call(machine, "pstoreprobe")[0] == 0)
    wait_until(lambda: guilty_of(sink.requests) == ["drain"])
    assert kept(machine) == []


def test_what_cannot_be_read_is_said_and_costs_only_itself(machine, sink, pstore):
    put(pstore, "dmesg-erst-1", b"\xff" * 5000)
    put(pstore, "dmesg-erst-2.enc.z", b"\x28\xb5\x2f\xfd not zlib")
    put(pstore, "dmesg-erst-3", b"")
    put(pstore, "pmsg-ramoops-0", b"of programs, not of the kernel")
    put(pstore, "dmesg-erst-5", "Panic#1 Part1\n<6>[    1.000000] quiet\n")
    put(pstore, "dmesg-erst-6", "Oops#1 Part1\n" + oops())
    (pstore / "dmesg-erst-7").symlink_to("/etc/shadow")
    code, _, _ = clean(machine, pstore)
    assert code == 0
    assert sorted(path.name for path in pstore.iterdir()) == ["dmesg-erst-7", "pmsg-ramoops-0"]
    code, _, said = call(machine, "pstoreprobe")
    assert code == 0
    assert "erst-1': its first line does not say which part" in said
    assert "erst-2.enc.z': compressed in a way that is not zlib's" in said
    requests = sink.wait_for(4)
    reasons = sorted(re.search(r"^Reason: (.*)$", request.body.decode(), re.M)[1]
                     for request in requests)
    assert reasons == [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "Panic, of which no report was kept",
        # Two files of one moment are one crash.
        "the log of a crash, which cannot be read: compressed in a way that is not zlib's, or damaged",
        "the log of a crash, which cannot be read: its first line does not say which part of which "
        "dump it is"]
    assert kept(machine) == []
    machine.wait_for(accepted=4)


def test_it_shows_what_it_would_send_from_any_folder_and_keeps_it(make_machine, pstore):
    machine = make_machine()
    put_efi(pstore, oops() + PANIC)
    before = sorted(pstore.iterdir())
    code, shown, said = call(machine, "pstoreprobe", "-n", "--dir", pstore)
    assert (code, said) == (0, "") and "Guilty : drain\n" in shown
    assert sorted(pstore.iterdir()) == before and list(machine.cache.iterdir()) == []


def test_a_crash_from_before_the_consent_is_not_sent(machine, sink, pstore):
    wait_until((machine.state / "consent_since").exists)
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops("before"), when=1_000_000_000)
    put(pstore, "dmesg-erst-2", "Oops#1 Part1\n" + oops("after", 20))
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "after")
    assert kept(machine) == [] and machine.status()["accepted"] == 1


# The crash was after it; the log of that boot has more.
def test_of_a_crash_after_the_consent_nothing_from_before_is_sent(machine, sink, pstore):
    (machine.state / "consent_since").write_text(f"{WHEN - 60}\n")
    put(pstore, "dmesg-erst-1", "Panic#1 Part1\n" + oops("before", 10) + oops("after", 4000) +
        "<0>[ 4001.000000] Kernel panic - not syncing: Fatal exception\n")
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    wait_for_guilty(sink, "after")
    assert kept(machine) == [] and machine.status()["accepted"] == 1


def test_opted_out_pstore_stays_as_it_is_and_what_was_moved_goes(machine, pstore):
    put(pstore, "dmesg-erst-1", "Oops#1 Part1\n" + oops())
    assert clean(machine, pstore) == (0, "", "")
    put(pstore, "dmesg-erst-2", "Oops#2 Part1\n" + oops())
    machine.opt_out()
    assert clean(machine, pstore) == (0, "", "")
    assert call(machine, "pstoreprobe") == (0, "", "")
    assert [path.name for path in pstore.iterdir()] == ["dmesg-erst-2"]
    assert kept(machine) == []


# ---- BERT


@pytest.fixture
def consenting(machine):
    """A machine with telemd running, whose user has consented long before this boot."""
    consent_long_ago(machine)
    return machine


def test_a_bert_table_gives_one_record_a_boot(consenting, sink, folder):
    machine = consenting
    (folder / "bert").write_bytes(bert())
    for _ in range(2):
        assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    machine.wait_for(accepted=1)
    [request] = sink.wait_for(1)
    assert request.headers["classification"] == "org.clearlinux/bert/debug"
    assert request.headers["severity"] == "2"
    *lines, severity, error, empty = request.body.decode().split("\n")
    assert (severity, empty) == ("Severity : fatal", "")
    assert error == "Error 1 : memory, fatal, type multi-bit ECC, address 0x3f00d000, node 2"
    assert base64.b64decode("".join(lines), validate=True) == bert()
    assert {len(line) for line in lines[:-1]} == {76}


# The error was before this boot, and who consents within it has not agreed to tell of that. Opting out and
# in again forgot what was sent, so that the same table went out once more.
def test_a_bert_table_from_before_the_consent_is_not_sent(consenting, sink, folder):
    machine = consenting
    (folder / "bert").write_bytes(bert())
    assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    machine.wait_for(accepted=1)
    (machine.cache / "sent-events").unlink()
    (machine.state / "consent_since").write_text(f"{int(time.time())}\n")
    assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    (machine.state / "consent_since").unlink()
    assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    assert machine.status()["accepted"] == 1


def test_a_bert_table_of_any_bytes_is_sent_as_it_is(consenting, sink, folder):
    machine = consenting
    table = bytes(range(256)) * 2000
    (folder / "bert").write_bytes(table)
    assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    [request] = sink.wait_for(1)
    text = request.body.decode()
    left_out = int(re.search(r"^Left out : (\d+) bytes$", text, re.M)[1])
    sent = base64.b64decode("".join(line for line in text.split("\n") if " : " not in line))
    assert sent == table[:len(table) - left_out] and len(text) > 250 * 1024


def test_no_bert_table_is_no_matter_and_a_missing_file_is(make_machine, folder):
    machine = make_machine()
    (folder / "zero").write_bytes(b"\0" * 4096)
    assert call(machine, "bertprobe", "-n", "--table", folder / "zero") == (0, "", "")
    code, _, said = call(machine, "bertprobe", "-n", "--table", folder / "none")
    assert code == 1 and said == f"bertprobe: open '{folder}/none': No such file or directory\n"
    if not os.path.exists("/sys/firmware/acpi/tables/data/BERT"):
        assert call(machine, "bertprobe") == (0, "", "")


def test_while_telemd_is_away_the_table_is_told_later(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    consent_long_ago(machine)
    (folder / "bert").write_bytes(bert())
    code, _, said = call(machine, "bertprobe", "--table", folder / "bert")
    assert code == 1 and "telemd does not run" in said
    machine.start()
    assert call(machine, "bertprobe", "--table", folder / "bert") == (0, "", "")
    sink.wait_for(1)


@pytest.mark.parametrize("program", ["pstoreclean", "pstoreprobe", "bertprobe", "oopsprobe"])
def test_a_mistake_has_one_clear_line(program):
    for arguments, what in ((["--nonsense"], "unknown option '--nonsense'"),
                            (["word"], "unexpected argument 'word'"),
                            (["-f"], "option -f/--config-file needs a value")):
        done = subprocess.run([BIN / program, *arguments], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"{program}: {what}. Try '{program} --help'.\n"
