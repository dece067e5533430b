"""Servers that misbehave on purpose: each record ends up stored, kept, or rejected with the reason."""

import contextlib
import gzip
import json
import os
import select
import shutil
import socket
import subprocess
import threading

import pytest

from support import paths
from support.certificates import Authority
from support.frames import frame, header_text, new_record_id, sample_headers
from support.http_sink import CLOSE, GARBAGE, RESET, Answer, Cut, HttpSink
from support.marks import both_ways
from support.tls_server import tls_server
from support.waiting import wait_until

from test_deliver_by_hand import run, settings_line, stream_record, text_form, verdicts

TID = "X-Telemetry-TID: 6907c830-eed9-4ce9-81ae-76daf8d88f0f"


def send_stream(url, records, **settings):
    """Verdicts by record id."""
    result = run(stdin=settings_line(url, **settings) + b"".join(
        stream_record(record_id, headers, payload) for record_id, headers, payload in records))
    assert result.returncode == 0, result.stderr
    told = {verdict[0]: verdict[1:] for verdict in verdicts(result)}
    assert len(told) == len(verdicts(result)) == len(records)
    return told


def ask_collector(port, request):
    """The whole answer of the server to the bytes of a request."""
    with socket.create_connection(("127.0.0.1", port)) as server:
        server.sendall(request.replace(b"\r\nAccept:", b"\r\nConnection: close\r\nAccept:", 1))
        answer = b""
        while data := server.recv(65536):
            answer += data
    return answer


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_an_answer_lost_at_any_byte_stores_the_record_once(sink, collector, reset):
    headers, payload = sample_headers(machine_id="a" * 32), b"measure"
    whole = ask_collector(collector.port, _request(headers, payload))
    cuts = range(len(whole) + 1)
    records = [(new_record_id(), sample_headers(machine_id="b" * 32), str(cut).encode())
               for cut in cuts]

    def store_and_cut(request):
        answer = ask_collector(collector.port, request.raw)
        assert answer.startswith(b"HTTP/1.1 201")
        return Cut(answer[: int(request.body)], reset)

    sink.answer = store_and_cut
    told = send_stream(sink.url, records, tidheader=TID)
    for record_id, _, payload in records:
        outcome, code = told[record_id][:2]
        # Once the status line is whole it is known what became of the record.
        if not reset:
            line = whole.index(b"\r\n") + 2
            expected = ("accepted", 201) if int(payload) >= line else ("later", 0)
            assert (outcome, code) == expected, (payload, told[record_id])
        assert outcome in ("accepted", "later")
    kept = [record for record in records if told[record[0]][0] == "later"]
    assert kept
    again = send_stream(collector.url, kept, tidheader=TID)
    assert {verdict[0] for verdict in again.values()} == {"accepted"}
    # Sent twice where the answer was lost; the collector knows the copies.
    stored = [r["payload"] for r in collector.records(machine_id="b" * 32, limit=1000)]
    assert sorted(stored) == sorted(str(cut) for cut in cuts)


def _request(headers, payload):
    head = b"POST /v2/collector HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n"
    head += header_text(headers).replace(b"\n", b"\r\n")
    head += TID.encode() + b"\r\n"
    return head + b"Content-Length: %d\r\n\r\n" % len(payload) + payload


ANSWERS = {
    "HTTP/1.0": (Cut(b"HTTP/1.0 201 Created\r\n\r\n"), "accepted", 201),
    "closed behind the headers": (Cut(b"HTTP/1.1 201 C\r\nContent-Length: 9\r\n\r\n"),
                                  "accepted", 201),
    "longer than it says": (Cut(b"HTTP/1.1 201 C\r\nContent-Length: 1\r\n\r\nabcdef"),
                            "accepted", 201),
    "negative length": (Cut(b"HTTP/1.1 503 C\r\nContent-Length: -1\r\n\r\n"), "later", 503),
    "100 first": (Cut(b"HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\nHTTP/1.1 201 C\r\n\r\n"),
                  "accepted", 201),
    "100 only": (Cut(b"HTTP/1.1 100 Continue\r\n\r\n"), "later", 0),
    "chunked garbage": (Cut(b"HTTP/1.1 503 C\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nno\r\n"),
                        "later", 503),
    "endless headers": (Cut(b"HTTP/1.1 201 C\r\n" + b"X: y\r\n" * 20_000), "accepted", 201),
    "another protocol": (GARBAGE, "later", 0),
    "nothing": (CLOSE, "later", 0),
    "a reset": (RESET, "later", 0),
    "HTTP/0.9": (Cut(b"hello\n"), "later", 0),
}


@pytest.mark.parametrize("answer, outcome, code", ANSWERS.values(), ids=ANSWERS.keys())
def test_an_odd_answer_has_the_verdict_that_is_safe(sink, answer, outcome, code):
    sink.answer = answer
    record = (new_record_id(), sample_headers(), b"x")
    [(told, told_code, retry_after, text)] = send_stream(sink.url, [record]).values()
    assert (told, told_code, retry_after) == (outcome, code, 0)
    assert text.isprintable()
    if outcome == "later":
        assert text


@contextlib.contextmanager
def raw_server(serve):
    """Each connection is given to serve(); the port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    done = threading.Event()

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(connection, done), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        done.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def never_answer(connection, done):
    with connection:
        done.wait(40)


def drip(connection, done):
    with connection, contextlib.suppress(OSError):
        connection.sendall(b"HTTP/1.1 ")
        while not done.wait(0.3):
            connection.sendall(b"1")


def test_servers_that_are_too_slow_are_given_up_on():
    """All at once, for each costs the ten seconds that a request may take."""
    with raw_server(never_answer) as mute, raw_server(drip) as slow:
        urls = [f"http://127.0.0.1:{mute}/", f"http://127.0.0.1:{slow}/",
                f"https://127.0.0.1:{mute}/"]
        running = [subprocess.Popen([paths.TELEM_DELIVER, "-s", url], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE) for url in urls]
        for process in running:
            process.stdin.write(text_form(sample_headers(), b"x"))
            process.stdin.close()
            process.stdin = None
        for process in running:
            out, _ = process.communicate(timeout=40)
            assert out.split(b" ", 4)[1:4] == [b"later", b"0", b"0"]
            assert b"timed out" in out.lower() or b"timeout" in out.lower()


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("name, how, words", [
    ("good", {}, ""),
    ("wrong-name", {"host": "DNS:other.example"}, "name"),
    ("expired", {"days": -1}, "expired"),
])
def test_a_certificate_must_be_right(authority, name, how, words):
    with tls_server(*authority.issue(name, **how)) as (server, url):
        result = run("-s", url, "-c", authority.cert, stdin=text_form(sample_headers(), b"secret"))
    [(_, outcome, code, _, text)] = verdicts(result)
    assert (outcome, code) == (("later", 0) if words else ("accepted", 201)), text
    assert words in text
    assert server.bodies == ([] if words else [b"secret"])


def test_an_unknown_issuer_is_not_trusted(authority):
    with tls_server(*authority.issue("unknown")) as (server, url):
        result = run("-s", url, stdin=text_form(sample_headers(), b"secret"))
    [(_, outcome, code, _, text)] = verdicts(result)
    assert (outcome, code, server.bodies) == ("later", 0, [])
    assert "certificate" in text


def test_a_server_that_asks_for_a_certificate_gets_it(authority):
    cert, key = authority.issue("client")
    with tls_server(*authority.issue("server"), client_ca=authority.cert) as (server, url):
        without = run("-s", url, "-c", authority.cert, stdin=text_form(sample_headers(), b"1"))
        shown = run("-s", url, "-c", authority.cert, "--cert", cert, "--key", key,
                    stdin=text_form(sample_headers(), b"2"))
        record = (new_record_id(), sample_headers(), b"3")
        told = send_stream(url, [record], cainfo=str(authority.cert), clientcert=str(cert),
                           clientkey=str(key))
    assert verdicts(without)[0][1:3] == ("later", 0)
    assert verdicts(shown)[0][1:3] == ("accepted", 201)
    assert told[record[0]][0] == "accepted"
    assert server.bodies == [b"2", b"3"]


def test_http2_takes_all_requests_on_one_connection(authority):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the HTTP/2 server")
    script = paths.REPO / "tests" / "support" / "http2_server.js"
    cert, key = authority.issue("http2")
    server = subprocess.Popen([node, script, cert, key], stdout=subprocess.PIPE)
    try:
        ready, _, _ = select.select([server.stdout], [], [], 20)
        assert ready, "the HTTP/2 server did not start"
        port = int(server.stdout.readline())
        url = f"https://127.0.0.1:{port}/v2/collector"
        # Blanks around values are no part of them, and HTTP/2 forbids them.
        records = [(new_record_id(), sample_headers(cpu_model="a CPU  "), b"x" * 1000)
                   for _ in range(30)]
        told = send_stream(url, records, cainfo=str(authority.cert))
        assert {verdict[:2] for verdict in told.values()} == {("accepted", 201)}
        by_hand = run("-s", url, "-c", authority.cert, "-p", "v3",
                      stdin=text_form(sample_headers(), b"x"))
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    # Without our header it answers 400, and says which connection that was.
    assert verdicts(by_hand)[0][1:] == ("refused", 400, 0, "HTTP/2.0 2")


# Proxies


def test_a_proxy_is_used_where_one_is_named(sink, away):
    record = text_form(sample_headers(), b"x")
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}

    def outcome(*options, **environment):
        result = subprocess.run([paths.TELEM_DELIVER, "-s", away.url, *options], input=record,
                                capture_output=True, timeout=30, env=clean | environment)
        return verdicts(result)[0][1]

    proxy = f"http://127.0.0.1:{sink.port}"
    assert outcome() == "later"
    assert outcome("--proxy", proxy) == "accepted"
    assert outcome(http_proxy=proxy) == "accepted"
    assert outcome(http_proxy=proxy, no_proxy="127.0.0.1") == "later"
    assert {r.request_line for r in sink.requests} == {f"POST {away.url} HTTP/1.1"}
    assert len(sink.requests) == 2


@pytest.mark.parametrize("code, told", [(407, 407), (400, 0), (502, 0)])
def test_a_proxy_that_opens_no_way_rejects_no_record(sink, code, told):
    sink.answer = Answer(code)
    result = run("-s", "https://server.example/", "-x", f"http://127.0.0.1:{sink.port}",
                 stdin=text_form(sample_headers(), b"x"))
    [(_, outcome, told_code, _, text)] = verdicts(result)
    assert (outcome, told_code) == ("later", told)
    assert text
    assert sink.requests[0].request_line == "CONNECT server.example:443 HTTP/1.1"


# v3 and otlp


def test_v3_sends_one_json_object_of_strings(sink):
    headers = sample_headers()
    told = send_stream(sink.url, [(new_record_id(), headers, b"caf\xe9\0")], server_protocol="v3")
    assert [verdict[0] for verdict in told.values()] == ["accepted"]
    [request] = sink.requests
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["X-Test"] == "yes"
    assert json.loads(request.body) == headers | {"payload": "café\0"}


def log_records(request):
    body = request.body
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    return [log for resource in json.loads(body)["resourceLogs"]
            for scope in resource["scopeLogs"] for log in scope["logRecords"]]


def payloads(request):
    return [log["body"]["stringValue"] for log in log_records(request)]


@pytest.mark.parametrize("code", [400, 413])
def test_otlp_refuses_no_record_for_what_its_neighbour_is(sink, code):
    sink.answer = lambda request: (Answer(code, b'{"code": 3, "message": "bad one"}')
                                   if "poison" in payloads(request) else Answer(200, b"{}"))
    records = [(new_record_id(), sample_headers(), b"poison" if i == 3 else str(i).encode())
               for i in range(40)]
    told = send_stream(sink.url, records, server_protocol="otlp", otlp_headers="X-Token=a%20b")
    for record_id, _, payload in records:
        refused, accepted = ("refused", code, 0, "bad one"), ("accepted", 200, 0, "")
        assert told[record_id] == (refused if payload == b"poison" else accepted)
    assert {r.request_line for r in sink.requests} == {"POST /v2/collector/v1/logs HTTP/1.1"}
    assert {r.headers["X-Token"] for r in sink.requests} == {"a b"}
    assert sink.requests[0].headers["Content-Encoding"] == "gzip"
    assert len(payloads(sink.requests[0])) == 10
    taken = [p for r in sink.requests if "poison" not in payloads(r) for p in payloads(r)]
    assert sorted(taken) == sorted(p.decode() for _, _, p in records if p != b"poison")


@pytest.mark.parametrize("code", [429, 502, 503, 504])
def test_otlp_keeps_all_of_a_request_that_is_to_be_sent_again(sink, code):
    sink.answer = Answer(code, headers=(("Retry-After", "7"),))
    records = [(new_record_id(), sample_headers(), b"x") for _ in range(10)]
    told = send_stream(sink.url, records, server_protocol="otlp")
    assert {verdict[:3] for verdict in told.values()} == {("later", code, 7)}
    assert len(sink.requests) == 1


def test_otlp_tells_of_a_partial_success(sink):
    sink.answer = Answer(200, b'{"partialSuccess": {"rejectedLogRecords": "1", '
                              b'"errorMessage": "too old"}}')
    records = [(new_record_id(), sample_headers(), b"x") for _ in range(3)]
    told = send_stream(sink.url, records, server_protocol="otlp")
    assert set(told.values()) == {("accepted", 200, 0, "1 of the request rejected: too old")}


# With telemd


@both_ways
def test_telemds_proxy_and_headers_are_those_of_the_wire(make_machine, sink, away):
    machine = make_machine(server=away.url, proxy=f"http://127.0.0.1:{sink.port}",
                           server_protocol="otlp", otlp_headers="X-Token=a%20b,X-Tenant=7").start()
    assert machine.send(b"x") == 0
    machine.wait_for(delivered=1)
    [request] = sink.requests
    assert request.request_line == f"POST {away.url}/v1/logs HTTP/1.1"
    assert (request.headers["X-Token"], request.headers["X-Tenant"]) == ("a b", "7")
    # And in force again when they change.
    machine.configure(server=sink.url, proxy=None, otlp_headers="X-Token=c")
    machine.reload()
    assert machine.send(b"x") == 0
    machine.wait_for(delivered=2)
    request = sink.requests[1]
    assert request.request_line == "POST /v2/collector/v1/logs HTTP/1.1"
    assert request.headers["X-Token"] == "c" and "X-Tenant" not in request.headers


def test_telemd_notes_what_a_partial_success_says(make_machine, sink):
    sink.answer = Answer(200, b'{"partialSuccess": {"rejectedLogRecords": "1"}}')
    machine = make_machine(server=sink.url, server_protocol="otlp").start()
    headers = sample_headers()
    assert machine.send_frame(frame(headers, b"x")) == 0
    line = machine.wait_for_state(headers["event_id"], "delivered")
    assert line.detail == "1 of the request rejected"


def test_after_every_kind_of_trouble_all_records_are_at_the_collector(make_machine, collector):
    """Each request meets the next trouble; every other time the collector has stored it already."""
    troubles = [RESET, CLOSE, GARBAGE, Cut(b"HTTP/1.1 2"), Answer(500), Answer(503), Answer(429),
                Answer(404)]
    met = []

    def answer(request):
        met.append(None)
        if len(met) % 2 == 0:
            ask_collector(collector.port, request.raw)
        return troubles[(len(met) - 1) % len(troubles)]

    server = HttpSink(answer)
    try:
        machine = make_machine(server=server.url).start()
        sent = [str(i) for i in range(30)]
        for payload in sent:
            assert machine.send(payload.encode()) == 0
        for count in range(1, 2 * len(troubles)):
            wait_until(lambda: len(met) >= count or machine.reload())
            machine.check_sums()
        machine.configure(server=collector.url)
        machine.reload()
        machine.wait_for(delivered=30, waiting=0, rejected=0, under_way=0)
        machine.check_sums()
        stored = [r["payload"] for r in collector.records(limit=1000)]
        assert sorted(stored) == sorted(sent)
    finally:
        server.close()
