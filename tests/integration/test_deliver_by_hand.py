"""telem-deliver in a pipeline, as its man page shows it."""

import json
import os
import re
import struct
import subprocess

import pytest

from support import paths
from support.frames import (
    HEADER_NAMES,
    MAX_PAYLOAD,
    header_text,
    new_record_id,
    sample_headers,
    spool_file_bytes,
)
from support.http_sink import CLOSE, Answer

USAGE = 2
NOT_ALL_ACCEPTED = 1


def run(*arguments, stdin=b""):
    return subprocess.run(
        [paths.TELEM_DELIVER, *map(str, arguments)], input=stdin, capture_output=True, timeout=30
    )


def verdicts(result):
    """(id, outcome, code, retry_after, text) of each line of standard output."""
    lines = []
    for line in result.stdout.decode().splitlines():
        record_id, outcome, code, retry_after, text = line.split(" ", 4)
        assert re.fullmatch("[0-9a-f]{32}", record_id)
        lines.append((record_id, outcome, int(code), int(retry_after), text))
    return lines


def text_form(headers, payload):
    """As `telem-record-gen -o -n` prints a record."""
    return header_text(headers) + payload + b"\n"


def stream_record(record_id, headers, payload):
    text = header_text(headers)
    head = struct.pack("=II", len(text) + len(payload), len(text))
    return record_id.encode() + head + text + payload


def settings_line(url, **others):
    settings = {"server": url, "server_protocol": "v2", "tidheader": "X-Test: yes", "cainfo": "",
                **others}
    return json.dumps(settings).encode() + b"\n"


def test_a_record_from_telem_record_gen_through_a_pipe(sink):
    generated = subprocess.run(
        [paths.TELEM_RECORD_GEN, "-o", "-n", "-c", "org.example/by/hand", "-p", "piped"],
        capture_output=True, check=True, timeout=20,
    )
    result = run("--server", sink.url, stdin=generated.stdout)
    assert (result.returncode, result.stderr) == (0, b"")
    [(_, outcome, code, _, _)] = verdicts(result)
    assert (outcome, code) == ("accepted", 201)
    [request] = sink.requests
    assert request.headers["classification"] == "org.example/by/hand"
    assert request.body == b"piped"
    assert request.headers["X-Telemetry-TID"] == "6907c830-eed9-4ce9-81ae-76daf8d88f0f"


@pytest.mark.parametrize("payload", [b"", b"x", b"two\nlines", b"ends\n", b"\0\1\2", b"n" * 99_999])
def test_one_record_in_text_form(sink, payload):
    headers = sample_headers(machine_id="a" * 32)
    result = run("--server", sink.url, stdin=text_form(headers, payload))
    assert result.returncode == 0, result.stderr
    [request] = sink.requests
    assert request.body == payload
    assert {name: request.headers[name] for name in HEADER_NAMES} == headers


def test_spool_files_by_name(sink, folder):
    names = [f"{new_record_id()}-0-3", "Ab3dEf"]
    for name, payload in zip(names, (b"one", b"two")):
        (folder / name).write_bytes(spool_file_bytes(sample_headers(), payload))
    result = run("--server", sink.url, "--tidheader", "X-Mine: 1", *(folder / n for n in names))
    assert (result.returncode, result.stderr) == (0, b"")
    assert [v[1:3] for v in verdicts(result)] == [("accepted", 201)] * 2
    assert names[0].split("-")[0] in [v[0] for v in verdicts(result)]
    assert sorted(sink.bodies()) == [b"one", b"two"]
    assert {request.headers["X-Mine"] for request in sink.requests} == {"1"}
    # A filter: the files are their owner's.
    assert all((folder / name).exists() for name in names)


def test_the_stream_with_its_settings_line(sink):
    ids = [new_record_id() for _ in range(30)]
    records = [stream_record(i, sample_headers(), i.encode()) for i in ids]
    result = run(stdin=settings_line(sink.url) + b"".join(records))
    assert (result.returncode, result.stderr) == (0, b"")
    assert sorted(v[0] for v in verdicts(result)) == sorted(ids)
    assert {v[1:4] for v in verdicts(result)} == {("accepted", 201, 0)}
    assert sorted(sink.bodies()) == sorted(i.encode() for i in ids)
    assert {request.headers["X-Test"] for request in sink.requests} == {"yes"}
    assert sink.connections <= 10


def test_the_stream_without_settings_line_takes_the_options(sink):
    record_id = new_record_id()
    result = run("--server", sink.url,
                 stdin=stream_record(record_id, sample_headers(), b"bare"))
    assert result.returncode == 0, result.stderr
    assert [v[:3] for v in verdicts(result)] == [(record_id, "accepted", 201)]


def test_unknown_settings_are_passed_over(sink):
    stdin = settings_line(sink.url, from_a_later_release="x")
    stdin += stream_record(new_record_id(), sample_headers(), b"x")
    result = run(stdin=stdin)
    assert result.returncode == 0, result.stderr


VERDICTS = {
    200: "accepted", 201: "accepted", 204: "later", 302: "later",
    400: "refused", 405: "refused", 406: "refused", 409: "refused", 411: "refused",
    413: "refused", 414: "refused", 415: "refused", 422: "refused", 431: "refused",
    401: "later", 403: "later", 404: "later", 407: "later", 408: "later", 418: "later",
    425: "later", 429: "later", 500: "later", 502: "later", 503: "later", 504: "later",
}


@pytest.mark.parametrize("code", VERDICTS)
def test_each_answer_has_its_verdict(sink, code):
    sink.answer = Answer(code, b"words\x1b[2J of the server\nand more")
    record_id = new_record_id()
    result = run(stdin=settings_line(sink.url) + stream_record(record_id, sample_headers(), b"x"))
    [(told_id, outcome, told_code, _, text)] = verdicts(result)
    assert (told_id, outcome, told_code) == (record_id, VERDICTS[code], code)
    assert text.isprintable()
    if outcome == "refused":
        assert text == "words?[2J of the server"
    assert len(sink.requests) == 1


@pytest.mark.parametrize("code, outcome", [(400, "refused"), (500, "later")])
def test_by_hand_the_exit_code_tells_whether_all_were_accepted(sink, code, outcome):
    sink.answer = lambda request: Answer(code if request.body == b"bad" else 201)
    good = run("--server", sink.url, stdin=text_form(sample_headers(), b"good"))
    bad = run("--server", sink.url, stdin=text_form(sample_headers(), b"bad"))
    assert good.returncode == 0
    assert bad.returncode == NOT_ALL_ACCEPTED
    assert verdicts(bad)[0][1] == outcome


def test_retry_after_is_passed_on(sink):
    sink.answer = Answer(503, headers=(("Retry-After", "120"),))
    result = run("--server", sink.url, stdin=text_form(sample_headers(), b"x"))
    assert [v[1:4] for v in verdicts(result)] == [("later", 503, 120)]


def test_a_server_that_is_away_means_later(away):
    result = run("--server", away.url, stdin=text_form(sample_headers(), b"x"))
    [(_, outcome, code, _, text)] = verdicts(result)
    assert (outcome, code) == ("later", 0)
    assert "127.0.0.1" in text or "onnect" in text
    assert result.returncode == NOT_ALL_ACCEPTED


def test_a_server_that_breaks_off_means_later_for_that_record_only(sink):
    sink.answer = lambda request: CLOSE if request.body == b"3" else Answer()
    records = [stream_record(new_record_id(), sample_headers(), str(i).encode()) for i in range(6)]
    result = run(stdin=settings_line(sink.url) + b"".join(records))
    assert sorted(v[1] for v in verdicts(result)) == ["accepted"] * 5 + ["later"]


# Each record had a verdict of its own about it, as if the server were away.
@pytest.mark.parametrize("option", ["--cainfo", "--cert", "--key"])
@pytest.mark.parametrize("path, why", [("/nonexistent.pem", "No such file or directory"),
                                       ("/etc", "Is a directory")])
def test_a_certificate_that_cannot_be_read_is_said_before_anything_is_sent(sink, option, path, why):
    result = run("--server", sink.url, option, path, stdin=text_form(sample_headers(), b"x"))
    assert (result.returncode, result.stdout) == (USAGE, b"")
    assert result.stderr.decode() == (
        f"telem-deliver: {option[2:]} '{path}': {why}. Try 'telem-deliver --help'.\n")
    assert sink.requests == []


# telemd's records wait until its configuration is put right.
@pytest.mark.parametrize("setting, value, told", [
    ("cainfo", "/nonexistent.pem", "nonexistent"), ("clientcert", "/nonexistent.pem", "nonexistent"),
    ("proxy", "ftp://x", "ftp")])
def test_in_the_settings_of_a_stream_the_same_means_later(sink, setting, value, told):
    line = settings_line(sink.url.replace("http:", "https:"), **{setting: value})
    result = run(stdin=line + stream_record("a" * 32, sample_headers(), b"x"))
    assert (result.returncode, result.stderr) == (0, b"")
    [(_, outcome, code, _, text)] = verdicts(result)
    assert (outcome, code) == ("later", 0) and told in text
    assert sink.requests == []


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(option):
    result = run(option)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.startswith(b"Usage: telem-deliver")
    for word in (b"--server", b"--tidheader", b"--cainfo", b"--help", b"--version"):
        assert word in result.stdout


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    assert run(option).stdout == b"telem-deliver 3.0.0\n"


MISTAKES = {
    "unknown option": (["--nonsense"], "nonsense"),
    "unknown short option": (["-x"], "x"),
    "server without value": (["--server"], "server"),
    "server of another scheme": (["--server", "ftp://x/"], "server"),
    "server a word": (["--server", "x"], "server"),
    "tidheader without colon": (["--server", "http://x/", "--tidheader", "x"], "tidheader"),
    "tidheader of two lines": (["--server", "http://x/", "--tidheader", "A: 1\nB: 2"], "tidheader"),
    "a server without a host": (["--server", "http://"], "server"),
    "unknown protocol": (["--server", "http://x/", "-p", "v9"], "protocol: 'v9'"),
    "header without colon": (["--server", "http://x/", "-H", "bad"], "header: 'bad'"),
    "proxy of another scheme": (["--server", "http://x/", "--proxy", "ftp://x"], "socks5h:// URL"),
    "proxy without a scheme": (["--server", "http://x/", "-x", "host:3128"], "proxy: "),
    "files without server": (["/etc/hostname"], "--server"),
}


@pytest.mark.parametrize("arguments, named", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_on_the_command_line_is_named(arguments, named):
    result = run(*arguments)
    assert result.returncode == USAGE
    assert result.stdout == b""
    said = result.stderr.decode()
    assert said.startswith("telem-deliver: ") and named in said
    assert len(said.splitlines()) <= 2


GOOD = text_form(sample_headers(), b"good")
GARBAGE = {
    "text": b"garbage\n",
    "zeros": b"\0" * 1000,
    "ones": b"\xff" * 1000,
    "bad settings": b'{"server": \n',
    "settings without a server": b"{}\n" + stream_record("a" * 32, sample_headers(), b"x"),
    "settings of a bad server": settings_line("ftp://x/"),
    "settings with a line in tidheader": settings_line("http://x/", tidheader="A: 1\r\nB: 2"),
    "a cut header": GOOD[:200],
    "a bad value": text_form(sample_headers(severity="9"), b"x"),
    "a carriage return": text_form(sample_headers(arch="a\rX: 1"), b"x"),
    "too large": text_form(sample_headers(), b"x" * (MAX_PAYLOAD + 1)),
    "a record cut": stream_record("a" * 32, sample_headers(), b"hello")[:-2],
    "an id in capitals": stream_record("A" * 32, sample_headers(), b"hello"),
    "sizes of ones": b"a" * 32 + b"\xff" * 8,
    "headers larger than all": b"a" * 32 + struct.pack("=II", 10, 20) + b"x" * 30,
}


@pytest.mark.parametrize("stdin", GARBAGE.values(), ids=GARBAGE.keys())
@pytest.mark.parametrize("by_hand", [True, False], ids=["--server", "no options"])
def test_garbage_on_standard_input_sends_nothing_and_is_named(sink, stdin, by_hand):
    result = run(*(["--server", sink.url] if by_hand else []), stdin=stdin)
    assert result.returncode in (1, 2), result
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(b"telem-deliver: ")
    assert sink.requests == []


def test_a_good_record_before_garbage_is_sent_and_told(sink):
    record_id = new_record_id()
    stdin = settings_line(sink.url) + stream_record(record_id, sample_headers(), b"good")
    result = run(stdin=stdin + b"\xff" * 100)
    assert result.returncode == 1
    assert [v[:2] for v in verdicts(result)] == [(record_id, "accepted")]
    assert sink.bodies() == [b"good"]


FILES = {
    "missing": None,
    "empty": b"",
    "text": b"not a record\n",
    "control character": spool_file_bytes(sample_headers(arch="a\rX: 1"), b"x"),
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_record_is_named_and_the_others_are_sent(sink, folder, content):
    bad, good = folder / "bad", folder / "good"
    if content is not None:
        bad.write_bytes(content)
    good.write_bytes(spool_file_bytes(sample_headers(), b"good"))
    result = run("--server", sink.url, bad, good)
    assert result.returncode == 1
    [line] = result.stderr.decode().splitlines()
    assert line.startswith("telem-deliver: ") and str(bad) in line
    assert sink.bodies() == [b"good"]


def test_a_fifo_as_file_does_not_hang(sink, folder):
    os.mkfifo(folder / "fifo")
    result = run("--server", sink.url, folder / "fifo")
    assert result.returncode == 1
    assert str(folder / "fifo").encode() in result.stderr


def test_nothing_on_standard_input_is_nothing_to_do(sink):
    result = run(stdin=settings_line(sink.url))
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")
    assert sink.connections == 0
