"""telemctl preview and telemctl test: what would be sent, and whether it arrives."""

import json
import os
import re
import subprocess
import time

import pytest

from support import paths
from support.crashes import CRASHPROBE, Report, needs_crashprobe
from support.frames import MAX_PAYLOAD, TAKEN_OVER, header_text, sample_headers, spool_file_bytes
from support.http_sink import HANG, Answer
from support.marks import needs_root
from support.telemctl import answer, complaint, on_terminal, telemctl
from support.waiting import wait_until

PAYLOADS = [b"", b"hello\n", bytes(range(256)), b"x" * MAX_PAYLOAD]


# ---- preview


@pytest.mark.parametrize("payload", PAYLOADS, ids=["empty", "text", "any byte", "the largest"])
@pytest.mark.parametrize("protocol", ["v2", "v3", "otlp"])
def test_preview_shows_the_bytes_that_the_server_gets(make_machine, away, protocol, payload):
    machine = make_machine(server=away.url, server_protocol=protocol)
    machine.start()
    assert machine.send(payload) == TAKEN_OVER
    [file] = machine.spool_files()
    shown = answer(machine, "preview", file, text=False)
    away.start()
    answer(machine, "spool", "flush")
    [request] = away.wait_for(1)
    assert shown == request.raw


def test_preview_of_what_a_probe_prints_has_the_machine_id_that_telemd_will_put_in(machine):
    record = subprocess.run(
        [paths.TELEM_RECORD_GEN, "-f", machine.config, "-n", "-o", "-c", "org.example/a/b", "-p", "x"],
        stdout=subprocess.PIPE, check=True).stdout
    assert b"machine_id: FFFFFFFF\n" in record
    shown = answer(machine, "preview", "-", input=record, text=False)
    assert f"machine_id: {machine.status()['machine_id']}\r\n".encode() in shown
    assert shown.endswith(b"Content-Length: 1\r\n\r\nx")


def test_preview_works_without_consent_and_without_telemd_and_sends_nothing(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.opt_out()
    done = telemctl(machine, "preview")
    assert done.returncode == 0
    assert "POST /v2/collector HTTP/1.1\n" in done.stdout  # universal newlines
    assert f"Host: 127.0.0.1:{sink.port}\n" in done.stdout
    assert "telemd has not made a machine id yet" in done.stderr
    assert sink.connections == 0 and not machine.control.exists()


# Each probe with the classification of its sample, and words that show what has made it.
SAMPLES = {
    "hprobe": ("hello/world", "hello\n"),
    "hprobe --heartbeat": ("heartbeat/ping", "hello\n"),
    # What runs here lies outside of /usr.
    "crashprobe": ("crash/unknown", "Crash from third party\n"),
    "klogscanner": ("kernel/warning", "\nGuilty : sample_drain\n"),
    "oopsprobe": ("kernel/bug", "\nGuilty : sample_fill\n"),
    "pstoreprobe": ("kernel/bug", "\nPanic : Kernel panic - not syncing: Fatal exception in interrupt\n"),
    "bertprobe": ("bert/debug",
                  "\nError 1 : memory, fatal, type multi-bit ECC, address 0x12345f000, node 2\n"),
    "journalprobe": ("journal/error", "\nUnit: sample.service\n"),
}


def requests_in(shown):
    """The requests that stand one after the other: heads, as dicts, and bodies."""
    requests = []
    while shown:
        head, _, rest = shown.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        size = int(fields["Content-Length"])
        requests.append((fields, rest[:size].decode()))
        shown = rest[size:]
    return requests


def test_preview_shows_a_sample_of_each_probe(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.opt_out()
    before = sorted(machine.root.rglob("*"))
    done = telemctl(machine, "preview", text=False)
    assert done.returncode == 0, done.stderr
    installed = [name for name in SAMPLES if (paths.BUILD / "bin" / name.split()[0]).exists()]
    assert re.findall(r"^telemctl: a sample of ([\w -]+?)(?: \(.*\))?:$", done.stderr.decode(),
                      re.M) == installed
    requests = requests_in(done.stdout)
    assert [(head["classification"], SAMPLES[name][1] in "\n" + body)
            for name, (head, body) in zip(installed, requests, strict=True)] == [
                (f"org.clearlinux/{SAMPLES[name][0]}", True) for name in installed]
    # Nothing is remembered, and nobody hears of it.
    assert sorted(machine.root.rglob("*")) == before and sink.connections == 0


def test_preview_says_how_to_see_what_a_probe_makes_of_evidence_at_hand(machine):
    said = telemctl(machine, "preview").stderr
    ways = re.findall(r"\(of evidence at hand: (\w+) (-n .*?) [A-Z]+ \| telemctl preview -\)", said)
    assert {"klogscanner", "oopsprobe", "pstoreprobe", "bertprobe"} <= {name for name, _ in ways}
    for name, options in ways:
        taken = subprocess.run([paths.BUILD / "bin" / name, "--help"], text=True,
                               stdout=subprocess.PIPE, check=True).stdout
        assert all(re.search(rf"(?<![\w-]){option}\b", taken) for option in options.split())


@needs_crashprobe
def test_the_sample_of_a_crash_is_what_crashprobe_makes_of_a_process(make_machine):
    machine = make_machine(crash_report_paths=CRASHPROBE)
    done = subprocess.run([CRASHPROBE, "-f", machine.config, "--sample", "--json"],
                          capture_output=True, check=True, timeout=60)
    record = json.loads(done.stdout)
    assert record["classification"] == "org.clearlinux/crash/clr" and record["severity"] == "3"
    report = Report(record["payload"])
    assert report.field("Signal") == "6 (SIGABRT) code -6 (SI_TKILL)"
    # Where it stands, and who has called that.
    callers = ["StandWhereItFails", "WorkUntilItFails", "ShowSampleCrash"]
    assert [name for name in (full.split("::")[-1] for full in report.names)
            if name in callers] == callers
    assert report.stable and report.exact and report.modules
    left = subprocess.run(["pgrep", "-f", machine.config], stdout=subprocess.PIPE, check=False)
    assert left.stdout == b""


@pytest.mark.parametrize("program", ["klogscanner", "oopsprobe", "pstoreprobe", "bertprobe"])
def test_a_sample_leaves_evidence_and_memory_as_they_are(machine, sink, program):
    folder = machine.cache / ("oops" if program == "oopsprobe" else "pstore")
    folder.mkdir(parents=True, exist_ok=True)
    evidence = folder / "dmesg-efi_pstore-170000000001001"
    evidence.write_text("Oops#1 Part1\n[    1.000000] BUG: unable to handle page fault\n")
    before = sorted(machine.cache.rglob("*"))
    for _ in range(2):  # it is not remembered as sent
        done = subprocess.run([paths.BUILD / "bin" / program, "-f", machine.config, "--sample"],
                              capture_output=True, timeout=60, check=True)
        assert done.stdout.startswith(b"record_format_version: ") and done.stderr == b""
    assert sorted(machine.cache.rglob("*")) == before and sink.connections == 0


def test_preview_heeds_the_settings_of_delivery_and_no_proxy(make_machine):
    machine = make_machine(server="https://telemetry.example:443/a/b?c=d",
                           tidheader="X-Token: a b", proxy="http://127.0.0.1:1")
    environment = {"https_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1",
                   "no_proxy": "*"}
    shown = subprocess.run(
        [paths.TELEMCTL, "--config-file", machine.config, "preview", "-"],
        input=spool_file_bytes(sample_headers(), b"x"), stdout=subprocess.PIPE,
        env={**os.environ, **environment}, check=True).stdout
    assert shown.startswith(b"POST /a/b?c=d HTTP/1.1\r\nHost: telemetry.example\r\n")
    assert b"\r\nX-Token: a b\r\n" in shown


def test_preview_without_a_server_says_so_and_shows_what_one_would_get(make_machine):
    done = telemctl(make_machine(), "preview", "-",
                    input=spool_file_bytes(sample_headers(), b"x").decode())
    assert done.returncode == 0 and "Host: server.invalid\n" in done.stdout
    assert "no server is set" in done.stderr


def test_preview_names_what_is_no_record(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    (folder / "x").write_bytes(b"hello")
    assert complaint(machine, "preview", folder / "x") == (
        f"'{folder}/x': missing or cut header 'record_format_version'")
    assert complaint(machine, "preview", "-", input="") == (
        "standard input: missing or cut header 'record_format_version'")
    assert complaint(machine, "preview", folder / "none") == (
        f"open '{folder}/none': No such file or directory")
    (folder / "big").write_bytes(header_text(sample_headers()) + b"x" * 2 * MAX_PAYLOAD)
    assert "larger than the limit" in complaint(machine, "preview", folder / "big")


def test_preview_lets_no_control_character_onto_a_terminal(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    (folder / "x").write_bytes(spool_file_bytes(sample_headers(), b"a\x1b[31m\x07b\n"))
    seen, code = on_terminal(machine, "preview", str(folder / "x"))
    assert code == 0 and b"a?[31m?b" in seen and b"\x1b" not in seen


# ---- test


def test_test_follows_a_record_to_the_server(machine, sink):
    stations = [line.split()[0] for line in answer(machine, "test").splitlines()]
    assert stations[:4] == ["consent", "server", "telemd", "record"]
    assert stations[-1] == "delivered"
    [request] = sink.wait_for(1)
    assert request.headers["classification"] == "org.clearlinux/hello/world"
    assert request.body == b"hello\n"


# The record arrived, and the test of a member of adm failed: only telemd's user may read the journal.
@needs_root
def test_test_needs_no_rights_but_to_ask(make_machine, sink):
    machine = make_machine(server=sink.url).start()
    assert machine.journal_file.stat().st_mode & 0o777 == 0o640
    done = telemctl(machine, "test", user="nobody", group="adm")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("delivered")


def test_test_says_what_the_server_said(machine, sink):
    sink.answer = Answer(413, b"no hello here")
    assert complaint(machine, "test") == "the record was rejected: 413 no hello here"


def test_test_says_where_a_record_got_stuck(make_machine, away):
    machine = make_machine(server=away.url).start()
    done = telemctl(machine, "test", "--timeout", "1")
    assert done.returncode == 1
    assert "not delivered within 1 s: it waits in the spool, 1 there in all; last error: " in (
        done.stderr)
    assert "\ndelivery  " in done.stdout


def test_test_tries_at_once_what_would_wait(make_machine, sink):
    sink.answer = Answer(401)
    machine = make_machine(server=sink.url, spool_process_time=3600).start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    sink.answer = Answer(201)
    assert machine.status()["next_attempt"] > time.time() + 60
    assert answer(machine, "test").splitlines()[-1].startswith("delivered")


@pytest.mark.parametrize("settings, why", [
    ({"server": ""}, "no server is set: records stay on this machine"),
    ({"record_server_delivery_enabled": False},
     "record_server_delivery_enabled is false: records stay on this machine"),
    ({"journal_max_records": 0},
     "journal_max_records is 0, and without a journal no record can be followed"),
    ({"record_burst_limit": 0, "rate_limit_strategy": "drop"}, "telemd did not take the record over"),
])
def test_test_says_which_setting_is_in_the_way(make_machine, sink, settings, why):
    machine = make_machine(**{"server": sink.url, **settings}).start()
    done = telemctl(machine, "test")
    assert done.returncode == 1 and why in done.stderr
    assert sink.connections == 0


def test_test_says_that_nobody_has_consented_and_sends_nothing(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.opt_out()
    machine.start()
    assert complaint(machine, "test") == "consent is not given: opted out"
    machine.configure(consent="opt-in")
    machine.opt_in()
    assert complaint(machine, "test") == "consent is not given: nobody has opted in"
    assert sink.connections == 0


def test_test_says_that_telemd_does_not_run(make_machine, sink):
    said = complaint(make_machine(server=sink.url), "test")
    assert "telemd does not answer at " in said and "start it with 'telemd'" in said


def test_test_gives_up_when_the_server_hangs(machine, sink):
    sink.answer = HANG
    assert complaint(machine, "test", "--timeout", "1").startswith(
        "not delivered within 1 s: it waits in the spool, 1 there in all")
    sink.release()
