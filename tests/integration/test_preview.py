"""telemctl preview and telemctl test: what would be sent, and whether it arrives."""

import os
import subprocess
import time

import pytest

from support import paths
from support.frames import MAX_PAYLOAD, TAKEN_OVER, header_text, sample_headers, spool_file_bytes
from support.http_sink import HANG, Answer
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
    assert "a sample of hprobe:" in done.stderr and "--heartbeat" in done.stderr
    assert "telemd has not made a machine id yet" in done.stderr
    assert sink.connections == 0 and not machine.control.exists()


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
