"""telem-collector: what it takes, what it keeps, what it shows, and how it fails."""

import concurrent.futures
import contextlib
import http.client
import json
import os
import pathlib
import re
import resource
import select
import signal
import socket
import sqlite3
import subprocess
import time
import urllib.parse

import pytest

from support import paths
from support.waiting import wait_until

TID = "6907c830-eed9-4ce9-81ae-76daf8d88f0f"
GOLDEN_REQUESTS = paths.golden_files("http/*.req")


def headers(**changes):
    """The headers of a valid request; a change to None leaves one out."""
    values = {
        "record_format_version": "4",
        "classification": "org.example/test/one",
        "severity": "1",
        "machine_id": "44b5cf907cf3fefbf924c3a99a6bb86a",
        "creation_timestamp": str(int(time.time())),
        "arch": "x86_64",
        "host_type": "Example Inc.|Laptop 13|1.0",
        "build": '"12"',
        "kernel_version": "6.1.0-28-amd64",
        "payload_format_version": "1",
        "system_name": "debian",
        "board_name": "BRD-1|Example Inc.",
        "cpu_model": "Example CPU @ 1.90GHz",
        "bios_version": "1.23 (Example)",
        "event_id": os.urandom(16).hex(),
        "X-Telemetry-TID": TID,
        "Content-Type": "application/text",
    }
    values.update(changes)
    return {name: value for name, value in values.items() if value is not None}


def request_bytes(payload, **changes):
    lines = [b"POST /v2/collector HTTP/1.1", b"Host: x"]
    lines += [f"{name}: {value}".encode("latin-1") for name, value in headers(**changes).items()]
    lines.append(b"Content-Length: %d" % len(payload))
    return b"\r\n".join(lines) + b"\r\n\r\n" + payload


class Server:
    """A running telem-collector."""

    def __init__(self, store, *arguments, listen="127.0.0.1:0", before=None, with_store=True):
        self.store = store
        command = [paths.TELEM_COLLECTOR, "--listen", listen]
        if with_store:
            command += ["--store", f"sqlite:{store}"]
        self.process = subprocess.Popen(
            [*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, preexec_fn=before,
        )
        ready, _, _ = select.select([self.process.stdout], [], [], 20)
        line = self.process.stdout.readline().decode() if ready else ""
        match = re.fullmatch(r"telem-collector: listening on http://127\.0\.0\.1:(\d+)/\n", line)
        if not match:
            self.process.kill()
            raise AssertionError(line + self.process.communicate()[1].decode())
        self.port = int(match[1])

    def connect(self):
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def ask(self, method, target, body=None, fields=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, target, body, fields or {})
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def post(self, payload=b"hello\n", target="/v2/collector", **changes):
        answer, body = self.ask("POST", target, payload, headers(**changes))
        return answer.status, json.loads(body)

    def page(self, **parameters):
        answer, body = self.ask("GET", "/api/records?" + urllib.parse.urlencode(parameters))
        assert answer.status == 200, body
        return json.loads(body)

    def records(self, **parameters):
        return self.page(**parameters)["records"]

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        said = self.process.communicate(timeout=20)[1].decode()
        return self.process.returncode, said

    def memory_kib(self, name="VmRSS"):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M)[1])

    def threads(self):
        return len(os.listdir(f"/proc/{self.process.pid}/task"))


@pytest.fixture
def start(folder):
    """Starts collectors; those that live when the test ends have to end in order."""
    servers = []

    def start_one(*arguments, store=None, **options):
        servers.append(Server(store or folder / "records.db", *arguments, **options))
        return servers[-1]

    yield start_one
    for server in servers:
        if server.process.poll() is None:
            code, said = server.stop()
            assert (code, said) == (0, "")


@pytest.fixture
def server(start):
    return start()


def read_answer(connection, buffer=b""):
    """One answer off `connection`: status, headers, body, and bytes behind it."""
    while b"\r\n\r\n" not in buffer:
        piece = connection.recv(65536)
        if not piece:
            return None, {}, b"", buffer
        buffer += piece
    head, buffer = buffer.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
    length = int(fields["content-length"])
    while len(buffer) < length:
        piece = connection.recv(65536)
        assert piece, "the connection ended within a body"
        buffer += piece
    return int(lines[0].split()[1]), fields, buffer[:length], buffer[length:]


def run(*arguments):
    return subprocess.run([paths.TELEM_COLLECTOR, *arguments], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=20)


# ---- what it takes ----


@pytest.mark.skipif(not GOLDEN_REQUESTS, reason="TELEMETRICS_GOLDEN has no http/*.req")
@pytest.mark.parametrize("path", GOLDEN_REQUESTS, ids=paths.stem)
def test_keeps_what_real_clients_send(server, path):
    data = path.read_bytes()
    head, payload = data.split(b"\r\n\r\n", 1)
    sent = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    if int(sent["creation_timestamp"]) > time.time() + 86_400:
        pytest.skip("the clock of this machine is before the time when this was captured")
    with server.connect() as connection:
        connection.sendall(data)
        status, fields, body, _ = read_answer(connection)
    assert (status, fields["content-type"]) == (201, "application/json"), body
    [record] = server.records()
    assert json.loads(body) == record
    assert record["payload"].encode() == payload
    sent["build"] = sent["build"].strip('"')
    for name in list(headers())[:15]:
        assert record[name] == sent[name], name


def test_takes_records_at_the_root_too(server):
    assert server.post(target="/")[0] == 201
    assert len(server.records()) == 1


REFUSED = [
    ("X-Telemetry-TID", None), ("X-Telemetry-TID", "6907c830-eed9-4ce9-81ae-76daf8d88f00"),
    ("record_format_version", "0"), ("record_format_version", "5"), ("record_format_version", "x"),
    ("severity", "0"), ("severity", "5"), ("severity", "high"), ("severity", "11"),
    ("classification", "org.example"), ("classification", "a/b/c/d"), ("classification", "a//c"),
    ("machine_id", "m" * 33), ("creation_timestamp", "yesterday"), ("creation_timestamp", "-1"),
    ("creation_timestamp", "12345"), ("creation_timestamp", "9" * 40),
    ("kernel_version", "6"), ("kernel_version", "linux"), ("event_id", "A" * 32),
    ("event_id", "a" * 31), ("host_type", "h" * 250), ("board_name", "b" * 200),
    ("cpu_model", "caf\xe9"), ("bios_version", "a\tb"), ("build", "1 2"), ("build", '"'),
    ("arch", "X86"), ("payload_format_version", "one"), ("payload_format_version", "4294967296"),
]


@pytest.mark.parametrize("name, value", REFUSED, ids=lambda value: str(value)[:20])
def test_says_which_header_it_cannot_take(server, name, value):
    status, answer = server.post(**{name: value})
    assert status == 400
    assert set(answer) == {"message"}
    assert answer["message"].startswith(f"{name}: ")
    assert server.records() == []


@pytest.mark.parametrize("name", [name for name in headers() if name != "Content-Type"])
def test_wants_every_header_of_format_version_4(server, name):
    assert server.post(**{name: None}) == (400, {"message": f"{name}: missing"})


@pytest.mark.parametrize("version, absent", [
    ("3", ["event_id"]),
    ("2", ["event_id", "board_name", "cpu_model", "bios_version"]),
    ("1", ["event_id", "board_name", "cpu_model", "bios_version", "host_type"]),
])
def test_takes_older_format_versions_without_what_came_later(server, version, absent):
    changes = {name: None for name in absent}
    assert server.post(**changes)[0] == 400
    status, answer = server.post(record_format_version=version, **changes)
    assert status == 201
    assert [name for name in answer if answer[name] is None] == [
        name for name in headers() if name in absent]
    assert server.records() == [answer]


def test_takes_real_values_of_other_machines(server):
    for changes in ({"arch": "riscv64", "kernel_version": "6.1"}, {"arch": "s390x", "severity": "4"},
                    {"machine_id": "kiosk 17"}, {"system_name": "'ubuntu'", "build": '"24.04"'},
                    {"system_name": "clear-linux-os", "build": "41000"}, {"host_type": "h" * 249}):
        assert server.post(**changes)[0] == 201, changes
    assert server.post(system_name="clear-linux-os", build="41a")[0] == 400
    assert server.records(build="24.04")[0]["system_name"] == "ubuntu"


def test_knows_headers_whatever_proxies_did_to_their_names(server):
    changed = {name.replace("_", "-").title(): value for name, value in headers().items()}
    answer, _ = server.ask("POST", "/v2/collector", b"x", changed)
    assert answer.status == 201


def test_refuses_a_header_that_stands_twice(server):
    data = request_bytes(b"x").replace(b"Host: x", b"Host: x\r\nseverity: 2")
    with server.connect() as connection:
        connection.sendall(data)
        status, _, body, _ = read_answer(connection)
    assert (status, json.loads(body)["message"]) == (400, "severity: given twice")


PAYLOADS = {
    "empty": b"", "nul": b"a\0b\0", "utf8": "größer 日本 \U0001f600\u202e".encode(),
    "latin1": b"gr\xf6\xdfer", "every byte": bytes(range(256)), "newlines": b"\r\n\r\n\n",
    "surrogate": b"\xed\xa0\x80", "overlong": b"\xc0\xaf", "markup": b"<script>alert(1)</script>",
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_keeps_any_payload_faithfully(server, payload):
    status, answer = server.post(payload)
    assert status == 201
    [record] = server.records()
    assert record == answer
    encoding = record["payload_encoding"]
    assert record["payload"].encode(encoding) == payload
    assert record["payload_size"] == len(payload)
    try:
        payload.decode()
        assert encoding == "utf-8"
    except UnicodeDecodeError:
        assert encoding == "latin-1"
    with sqlite3.connect(server.store) as database:
        assert database.execute("SELECT payload FROM records").fetchone() == (payload,)


def test_takes_payloads_up_to_max_payload(start, folder):
    config = folder / "collector.conf"
    config.write_text("[settings]\nmax_payload = 2\n")
    server = start("-f", config)
    assert server.post(b"x" * 2048)[0] == 201
    status, answer = server.post(b"y" * 2049)
    assert (status, set(answer)) == (413, {"message"})
    assert server.post(b"z" * 1_000_000)[0] == 413
    assert [record["payload_size"] for record in server.records()] == [2048]


def test_takes_half_a_mebibyte_by_default(server):
    assert server.post(b"x" * (512 * 1024))[0] == 201
    assert server.post(b"x" * (512 * 1024 + 1))[0] == 413


def test_refuses_a_compressed_payload(server):
    answer, body = server.ask("POST", "/v2/collector", b"x", headers(**{"Content-Encoding": "gzip"}))
    assert answer.status == 415
    assert "Content-Encoding" in json.loads(body)["message"]


def test_takes_a_payload_in_chunks(server):
    data = request_bytes(b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    with server.connect() as connection:
        connection.sendall(data + b"3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")
        assert read_answer(connection)[0] == 201
    assert server.records()[0]["payload"] == "hello"


def test_answers_pipelined_requests_in_their_order(server):
    with server.connect() as connection:
        connection.sendall(b"".join(request_bytes(b"%d" % i) for i in range(20)))
        rest = b""
        for i in range(20):
            status, _, body, rest = read_answer(connection, rest)
            assert (status, json.loads(body)["payload"]) == (201, str(i))
    assert len(server.records()) == 20


def test_a_request_in_single_bytes_is_the_same_record(server):
    with server.connect() as connection:
        for byte in request_bytes(b"hello\n"):
            connection.sendall(bytes([byte]))
        assert read_answer(connection)[0] == 201


@pytest.mark.parametrize("data", [
    b"\0" * 1000, b"\xff\xfe" * 500, b"GET\r\n\r\n", b"POST /v2/collector HTTP/9.9\r\n\r\n",
    b"POST /v2/collector HTTP/1.1\r\n\r\n", b"\r\n\r\n\r\n", b"POST " + b"/" * 100_000,
    b"POST /v2/collector HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v2/collector HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v2/collector HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 10_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\ncookie: " + b"c" * 200_000 + b"\r\n\r\n",
    b"POST /v2/collector HTTP/1.1\r\nHost: x\r\nclassification: a\0b\r\n: x\r\n\r\n",
    b"GET /api/records?%00=%ff&&&=== HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
], ids=range(14))
def test_nonsense_is_refused_and_disturbs_nobody(server, data):
    with server.connect() as connection:
        connection.settimeout(2)
        try:
            connection.sendall(data)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:
            answer = b""  # closed without a word, or still waited for the end of a line
    assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 505 ")), answer[:100]
    assert server.post()[0] == 201


@pytest.mark.parametrize("framing", [
    b"Content-Length: 3\r\nContent-Length: 50\r\n", b"Content-Length: 3\r\nContent-Length: 3\r\n",
    b"Content-Length: 50\r\nTransfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
], ids=range(6))
def test_a_body_that_two_may_end_in_two_places_is_refused(server, framing):
    """Behind a proxy that reads its length differently, its rest would be another request."""
    with server.connect() as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n"
                           b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, fields, body, rest = read_answer(connection)
        assert (status, fields["connection"]) == (400, "close")
        assert json.loads(body) == {"message": "the length of the body is not clear"}
        assert rest + connection.recv(65536) == b""


def test_a_slow_sender_keeps_nobody_waiting(server):
    connections = [server.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(request_bytes(b"x" * 100)[:-50])
    threads = server.threads()
    assert server.post()[0] == 201
    for connection in connections[:50]:
        connection.sendall(b"x" * 50)
        assert read_answer(connection)[0] == 201
    assert server.threads() == threads
    for connection in connections:
        connection.close()
    assert len(server.records()) == 51


def test_more_connections_than_it_serves_at_a_time(server):
    idle = [server.connect() for _ in range(1000)]
    waiting = server.connect()
    waiting.sendall(request_bytes(b"late"))
    idle.pop().close()
    assert read_answer(waiting)[0] == 201
    for connection in (*idle, waiting):
        connection.close()


@pytest.mark.skipif(paths.is_sanitized(), reason="sanitizers take memory of their own")
def test_memory_stays_small_whatever_clients_hold_back(server):
    connections = [server.connect() for _ in range(200)]

    def fill(connection):
        try:
            connection.sendall(request_bytes(b"x" * (512 * 1024))[:-1])
        except OSError:
            pass

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(fill, connections))
    status, _ = server.post()
    assert status in (201, 503)
    assert server.memory_kib("VmHWM") < 64 * 1024
    for connection in connections:
        connection.close()
    wait_until(lambda: server.post()[0] == 201)


# ---- what it keeps ----


def test_counts_a_copy_once(server):
    fields = headers()
    first, body = server.ask("POST", "/v2/collector", b"same", fields)
    second, copy = server.ask("POST", "/v2/collector", b"same", fields)
    assert (first.status, second.status) == (201, 200)
    assert body == copy
    assert server.ask("POST", "/v2/collector", b"other", fields)[0].status == 201
    assert [record["payload"] for record in server.records()] == ["other", "same"]


def test_counts_copies_that_come_at_once_once(server):
    data = request_bytes(b"same")
    connections = [server.connect() for _ in range(20)]
    for connection in connections:
        connection.sendall(data)
    answers = [read_answer(connection) for connection in connections]
    assert sorted(answer[0] for answer in answers) == [200] * 19 + [201]
    assert len({answer[2] for answer in answers}) == 1
    assert len(server.records()) == 1
    for connection in connections:
        connection.close()


def test_nothing_acknowledged_is_lost_by_a_kill(start):
    kept = set()
    for _ in range(10):
        server = start()
        connections = [server.connect() for _ in range(8)]
        for number, connection in enumerate(connections):
            connection.sendall(request_bytes(b"%d" % number, event_id=os.urandom(16).hex()))
        for connection in connections[:5]:
            status, _, body, _ = read_answer(connection)
            assert status == 201
            kept.add(json.loads(body)["event_id"])
        server.stop(signal.SIGKILL)
        for connection in connections:
            connection.close()
    server = start()
    stored = [record["event_id"] for record in server.records(limit=1000)]
    assert kept <= set(stored)
    assert len(stored) == len(set(stored))
    with sqlite3.connect(server.store) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_commits_are_synced_before_they_are_answered(server, folder):
    """Each answer to a lone client follows an fdatasync of its own."""
    if not pathlib.Path("/usr/bin/strace").exists():
        pytest.skip("strace is not installed")
    log = folder / "trace"
    tracer = subprocess.Popen(
        ["strace", "-f", "-q", "-e", "trace=fsync,fdatasync", "-o", log, "-p",
         str(server.process.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    status = pathlib.Path(f"/proc/{server.process.pid}/task")
    wait_until(lambda: tracer.poll() is not None or all(
        f"TracerPid:\t{tracer.pid}\n" in (task / "status").read_text() for task in status.iterdir()))
    if tracer.poll() is not None:
        pytest.skip("strace may not attach: " + tracer.stderr.read().decode())
    for _ in range(10):
        assert server.post()[0] == 201
    tracer.send_signal(signal.SIGINT)
    tracer.wait(timeout=20)
    tracer.stderr.close()
    assert len(re.findall(r"f(?:data)?sync\(", log.read_text())) >= 10


def test_a_signal_ends_it_in_order_with_requests_under_way(start):
    for how in (signal.SIGTERM, signal.SIGINT):
        server = start()
        before = len(server.records())
        idle = server.connect()
        halfway = server.connect()
        halfway.sendall(request_bytes(b"x" * 10)[:-5])
        busy = server.connect()
        busy.sendall(b"".join(request_bytes(b"%d" % i) for i in range(50)))
        assert read_answer(busy)[0] == 201
        begun = time.monotonic()
        code, said = server.stop(how)
        assert (code, said) == (0, "")
        assert time.monotonic() - begun < 5
        for connection in (idle, halfway, busy):
            connection.close()
        assert len(start().records()) > before


def test_other_signals_do_not_end_it(server):
    for how in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE):
        server.process.send_signal(how)
    assert server.post()[0] == 201


def test_two_collectors_share_a_store(start):
    first = start()
    second = start()
    fields = headers()
    assert first.ask("POST", "/", b"x", fields)[0].status == 201
    assert second.ask("POST", "/", b"x", fields)[0].status == 200

    def send(server):
        return [server.post()[0] for _ in range(50)]

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        statuses = sum(pool.map(send, (first, second)), [])
    assert statuses == [201] * 100
    assert len(second.records(limit=1000)) == 101


def test_starts_with_the_store_of_an_earlier_run(start):
    server = start()
    server.post(b"before")
    assert server.stop()[0] == 0
    server = start()
    server.post(b"after")
    assert [record["payload"] for record in server.records()] == ["after", "before"]


def test_says_nothing_is_stored_that_goes_into_a_removed_file(start, folder):
    """SQLite goes on writing into it, and what was acknowledged was gone with the next start."""
    server = start()
    assert server.post()[0] == 201
    for path in folder.glob("records.db*"):
        path.unlink()
    answer, body = server.ask("POST", "/", b"x", headers())
    assert answer.status == 503, body
    assert "removed" in json.loads(server.ask("GET", "/healthz")[1])["message"]
    assert server.stop()[0] == 0
    server = start()
    assert server.post()[0] == 201
    assert len(server.records()) == 1


def test_the_store_may_be_thinned_out_and_copied_by_hand_while_it_runs(server, folder):
    page = (paths.REPO / "docs" / "collector.md").read_text()
    [remove_old] = re.findall(r'"(DELETE FROM .*)"$', page, re.M)
    [make_copy] = re.findall(r'"(VACUUM INTO .*)"$', page, re.M)
    server.post(b"old")
    server.post(b"new")
    with sqlite3.connect(server.store) as database:
        database.execute("UPDATE records SET creation_timestamp = creation_timestamp - 401 * 86400 "
                         "WHERE payload = x'6f6c64'")
    with sqlite3.connect(server.store) as database:
        assert database.execute(remove_old).rowcount == 1
    assert [record["payload"] for record in server.records()] == ["new"]
    copy = folder / "copy.db"
    sqlite3.connect(f"file:{server.store}?mode=ro", uri=True).execute(
        make_copy.replace("/backup/records.db", str(copy)))
    server.post(b"newer")
    assert [record["payload"] for record in server.records()] == ["newer", "new"]
    assert sqlite3.connect(copy).execute("SELECT payload FROM records").fetchall() == [(b"new",)]


def test_keeps_its_files_from_other_users(server):
    server.post()
    for path in server.store.parent.glob("records.db*"):
        assert path.stat().st_mode & 0o007 == 0, path


# As the first release made it; never changed, so that each later schema is reached from here.
SCHEMA_1 = """
CREATE TABLE records (
  id INTEGER PRIMARY KEY AUTOINCREMENT, received INTEGER NOT NULL,
  record_format_version TEXT NOT NULL, classification TEXT NOT NULL, severity TEXT NOT NULL,
  machine_id TEXT NOT NULL, creation_timestamp INTEGER NOT NULL, arch TEXT NOT NULL, host_type TEXT,
  build TEXT NOT NULL, kernel_version TEXT NOT NULL, payload_format_version TEXT NOT NULL,
  system_name TEXT NOT NULL, board_name TEXT, cpu_model TEXT, bios_version TEXT, event_id TEXT,
  digest INTEGER NOT NULL, payload BLOB NOT NULL) STRICT;
CREATE INDEX records_by_creation ON records (creation_timestamp, digest);
CREATE INDEX records_by_machine ON records (machine_id);
CREATE INDEX records_by_classification ON records (classification);
CREATE TABLE digest_key (bytes BLOB NOT NULL) STRICT;
INSERT INTO digest_key VALUES (x'000102030405060708090a0b0c0d0e0f');
INSERT INTO records VALUES (7, 1795445504123, '4', 'org.example/test/old', '2', 'm', 1795445503,
  'x86_64', 'h', '12', '6.1', '1', 'debian', 'b', 'c', 'v', '0123456789abcdef0123456789abcdef',
  0, x'6f6c64');
PRAGMA application_id = 0x74656c6d;
PRAGMA user_version = 1;
"""


def test_takes_over_a_store_of_schema_version_1(start, folder):
    database = sqlite3.connect(folder / "records.db")
    database.executescript(SCHEMA_1)
    database.close()
    server = start()
    server.post(b"new")
    new, old = server.records()
    assert (new["id"], new["payload"]) == (8, "new")
    assert (old["id"], old["payload"], old["received"]) == (7, "old", 1795445504.123)
    assert old["creation_timestamp"] == "1795445503"


def test_refuses_a_store_of_a_newer_version(start, folder):
    assert start().stop()[0] == 0
    with sqlite3.connect(folder / "records.db") as database:
        database.execute("PRAGMA user_version = 4000")
    done = run("--listen", "127.0.0.1:0", "--store", f"sqlite:{folder}/records.db")
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(rf"telem-collector: store: {folder}/records\.db: the store has schema version"
                        r" 4000, this program knows versions up to \d+\n", done.stderr)


def test_leaves_foreign_databases_and_files_alone(folder):
    theirs = folder / "theirs.db"
    with sqlite3.connect(theirs) as database:
        database.execute("CREATE TABLE theirs (x)")
    text = folder / "text"
    text.write_text("no database\n" * 100)
    for path in (theirs, text):
        before = path.read_bytes()
        done = run("--listen", "127.0.0.1:0", "--store", f"sqlite:{path}")
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"telem-collector: store: {path}: ")
        assert path.read_bytes() == before


def wait_until_full(server):
    """Posts until nothing fits; gives back the event ids that were taken."""
    taken = []
    payload = os.urandom(20_000).hex().encode()
    for _ in range(5000):
        event_id = os.urandom(16).hex()
        answer, body = server.ask("POST", "/", payload, headers(event_id=event_id))
        if answer.status == 201:
            taken.append(event_id)
            continue
        assert answer.status == 503, body
        assert answer.headers["Retry-After"] == "60"
        assert set(json.loads(body)) == {"message"}
        return taken
    raise AssertionError("the store takes everything")


def check_recovery(server, taken):
    assert server.ask("GET", "/healthz")[0].status == 503
    event_id = os.urandom(16).hex()
    yield
    assert server.post(event_id=event_id)[0] == 201
    assert server.ask("GET", "/healthz")[0].status == 200
    found = set()
    cursor = {}
    while cursor is not None:
        page = server.page(limit=1000, payload="false", **cursor)
        found |= {record["event_id"] for record in page["records"]}
        cursor = {"cursor": page["next"]} if page["next"] else None
    assert set(taken) | {event_id} == found


def said(server):
    """The next line of its log."""
    ready, _, _ = select.select([server.process.stderr], [], [], 30)
    return server.process.stderr.readline().decode() if ready else "nothing"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small file system")
def test_a_full_disk_is_a_state_that_it_comes_back_from(start, folder):
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk],
                             capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip("cannot mount a small file system: " + mounted.stderr)
    try:
        ballast = disk / "ballast"
        ballast.write_bytes(bytes(1_500_000))
        server = start(store=disk / "records.db")
        taken = wait_until_full(server)
        recovery = check_recovery(server, taken)
        next(recovery)
        ballast.unlink()
        next(recovery, None)
        assert server.stop()[0] == 0
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_a_file_size_limit_is_a_state_that_it_comes_back_from(start):
    server = start(before=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY)))
    taken = wait_until_full(server)
    recovery = check_recovery(server, taken)
    next(recovery)
    assert said(server).startswith("telem-collector: records cannot be stored, and their senders are"
                                   " told to try again: ")
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE,
                     (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    next(recovery, None)
    assert said(server) == "telem-collector: records are stored again\n"


# ---- what it shows ----


def test_filters_and_pages(server):
    now = int(time.time())
    for number in range(30):
        status, _ = server.post(
            b"%d" % number, severity=str(1 + number % 4),
            machine_id=f"machine-{number % 3}", build=str(number % 2),
            classification=f"org.example/test/c{number % 5}",
            creation_timestamp=str(now - 1000 * number))
        assert status == 201

    def numbers(**parameters):
        return [int(record["payload"]) for record in server.records(**parameters)]

    newest_first = list(range(29, -1, -1))
    assert numbers() == newest_first
    assert numbers(severity=4) == [n for n in newest_first if n % 4 == 3]
    assert numbers(build="1") == [n for n in newest_first if n % 2 == 1]
    assert numbers(machine_id="machine-2") == [n for n in newest_first if n % 3 == 2]
    assert numbers(classification="org.example/test/c4") == [n for n in newest_first if n % 5 == 4]
    assert numbers(classification="org.example/test/*") == newest_first
    assert numbers(classification="org.example/test/c", severity=1) == []
    assert numbers(created_in_sec=5500) == [5, 4, 3, 2, 1, 0]
    assert numbers(created_in_days=1) == newest_first
    assert numbers(ts_capture=now - 2000) == [2, 1, 0]
    assert numbers(limit=3) == [29, 28, 27]
    ids = {int(record["payload"]): record["id"] for record in server.records()}
    assert numbers(from_id=ids[27]) == [29, 28, 27]
    assert numbers(cursor=ids[2]) == [1, 0]
    assert numbers(machine_id="machine-0", severity=1, from_id=ids[5]) == [24, 12]

    walked = []
    cursor = {}
    while True:
        page = server.page(limit=7, **cursor)
        walked += [int(record["payload"]) for record in page["records"]]
        if page["next"] is None:
            break
        cursor = {"cursor": page["next"]}
    assert walked == newest_first


@pytest.mark.parametrize("query", [
    "severity=5", "severity=", "limit=0", "limit=1001", "limit=x", "from_id=-1", "cursor=x",
    "created_in_days=0", "created_in_sec=abc", "ts_capture=" + "9" * 30, "classification=",
    "machine_id=%00", "build=%ff", "payload=yes", "nonsense=1", "limit",
])
def test_says_which_parameter_it_cannot_take(server, query):
    answer, body = server.ask("GET", f"/api/records?{query}")
    assert answer.status == 400
    assert json.loads(body)["message"].startswith(query.split("=")[0] + ": ")


def test_what_is_stored_can_be_shown(start, folder):
    """A NUL is six bytes of JSON: the largest payloads of them still have to fit a page."""
    config = folder / "collector.conf"
    config.write_text("[settings]\nmax_payload = 1024\n")
    server = start("-f", config)
    payload = bytes(1024 * 1024)
    for _ in range(3):
        assert server.post(payload)[0] == 201
    page = server.page()
    seen = page["records"]
    while page["next"]:
        page = server.page(cursor=page["next"])
        seen += page["records"]
    assert [record["payload"] == payload.decode() for record in seen] == [True] * 3


@pytest.mark.skipif(paths.is_sanitized(), reason="sanitizers take memory of their own")
def test_a_search_holds_one_page_of_payloads_at_a_time(server):
    """Matches of a prefix are sorted; with their payloads that took as much memory as they have."""
    payload = os.urandom(256 * 1024).hex().encode()
    for _ in range(60):
        assert server.post(payload)[0] == 201
    before = server.memory_kib("VmHWM")
    for query in ({"classification": "org.example/*"}, {"created_in_days": 1}, {"severity": 1}):
        page = server.page(limit=1000, **query)
        assert len(page["records"]) == 4
        assert page["next"]
    assert server.memory_kib("VmHWM") - before < 24 * 1024


def own_address():
    """This machine's address on some network, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
            return probe.getsockname()[0]
        except OSError:
            return None


@contextlib.contextmanager
def collector_at(address, folder):
    """Its port there, and a list of connections that are closed in the end."""
    process = subprocess.Popen(
        [paths.TELEM_COLLECTOR, "--listen", f"{address}:0", "--store", f"sqlite:{folder}/r.db"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    connections = []
    try:
        yield int(process.stdout.readline().decode().rstrip("/\n").rsplit(":", 1)[1]), connections
    finally:
        for connection in connections:
            connection.close()
        process.terminate()
        assert process.wait(timeout=20) == 0
        process.stdout.close()


def is_served(connection):
    try:
        connection.sendall(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(9) == b"HTTP/1.1 "
    except OSError:
        return False


def test_one_address_may_not_take_all_connections(folder):
    address = own_address()
    if address is None or address.startswith("127."):
        pytest.skip("this machine has no address but its own")
    with collector_at(address, folder) as (port, connections):
        for _ in range(100):
            connections.append(socket.create_connection((address, port), timeout=20))
            assert is_served(connections[-1])
        surplus = socket.create_connection((address, port), timeout=20)
        connections.append(surplus)
        assert not is_served(surplus)
        connections.pop(0).close()

        def is_next_served():
            with socket.create_connection((address, port), timeout=20) as connection:
                return is_served(connection)

        wait_until(is_next_served)


def test_this_machine_may_take_more_also_where_it_is_served_by_ipv6(folder):
    """A proxy on this machine that speaks IPv4 is ::ffff:127.0.0.1 there."""
    if not socket.has_ipv6 or not pathlib.Path("/proc/net/if_inet6").exists():
        pytest.skip("there is no IPv6 here")
    with collector_at("[::]", folder) as (port, connections):
        for _ in range(110):
            connections.append(socket.create_connection(("127.0.0.1", port), timeout=20))
            assert is_served(connections[-1])


def test_lists_without_payloads_say_their_size(server):
    server.post(b"x" * 1000)
    [record] = server.records(payload="false")
    assert "payload" not in record
    assert record["payload_size"] == 1000


def test_methods_and_paths(server):
    for target, allowed in (("/", "GET, HEAD, POST"), ("/v2/collector", "POST"),
                            ("/api/records", "GET, HEAD"), ("/healthz", "GET, HEAD"),
                            ("/page.js", "GET, HEAD")):
        answer, body = server.ask("DELETE", target)
        assert (answer.status, answer.headers["Allow"]) == (405, allowed)
        assert "message" in json.loads(body)
        if "HEAD" in allowed:
            got, content = server.ask("GET", target)
            head, nothing = server.ask("HEAD", target)
            assert (got.status, head.status, nothing) == (200, 200, b"")
            assert int(head.headers["Content-Length"]) == len(content)
            assert head.headers["Content-Type"] == got.headers["Content-Type"]
    for target in ("/nowhere", "/api", "/v2/collector/", "/../etc/passwd", "/v3/collector"):
        assert server.ask("GET", target)[0].status == 404
        assert server.ask("POST", target, b"x", headers())[0].status == 404


def test_page_files_say_who_they_are_and_what_they_may_do(server):
    for target, kind in (("/", "text/html"), ("/page.js", "text/javascript"),
                         ("/page.css", "text/css"), ("/icon.svg", "image/svg+xml")):
        answer, body = server.ask("GET", target)
        assert answer.headers["Content-Type"].startswith(kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        again, nothing = server.ask("GET", target, fields={"If-None-Match": answer.headers["ETag"]})
        assert (again.status, nothing) == (304, b"")
        assert server.ask("GET", target, fields={"If-None-Match": '"x"'})[1] == body
    assert b"style=" not in server.ask("GET", "/")[1]


def test_healthz_is_ok(server):
    assert server.ask("GET", "/healthz")[0].status == 200


# ---- how it is called ----


def test_help_and_version():
    for option in ("-h", "--help"):
        done = run(option)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: telem-collector ")
    for option in ("-V", "--version"):
        done = run(option)
        assert (done.returncode, done.stdout, done.stderr) == (0, "telem-collector 3.0.0\n", "")


@pytest.mark.parametrize("arguments, named", [
    (["--nonsense"], "--nonsense"), (["-x"], "-x"), (["--listen"], "option --listen needs a value"), (["-f"], "-f"),
    (["--listen", "8080"], "--listen"), (["--listen", "localhost:80"], "--listen"),
    (["--listen", "127.0.0.1:70000"], "--listen"), (["--store", "records.db"], "--store"),
    (["--store", "sqlite:relative.db"], "--store"), (["surplus"], "surplus"),
    (["--help=x"], "--help takes no value"), (["-f", ""], "-f"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_usage_mistakes_are_named(arguments, named):
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("telem-collector: ")
    assert named in done.stderr
    assert done.stderr.endswith("Try 'telem-collector --help'.\n")


def test_configuration_mistakes_are_named_by_file_line_and_key(folder):
    config = folder / "collector.conf"
    config.write_text("[settings]\nlisten = here\nmax_payload = many\n[other]\n")
    done = run("-f", config)
    assert done.returncode == 78
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        f"telem-collector: {config}:2: listen: 'here' is not ADDRESS:PORT, as 127.0.0.1:8080 or"
        " [::1]:8080",
        f"telem-collector: {config}:3: max_payload: 'many' is not a number of KiB from 1 to 1024",
        f"telem-collector: {config}:4: unknown section [other]; there is [settings] only",
    ]


def test_a_configuration_that_cannot_be_read_is_named(folder):
    done = run("-f", folder / "missing.conf")
    assert done.returncode == 78
    assert re.fullmatch(r"telem-collector: .*missing\.conf.*: No such file or directory\n",
                        done.stderr)


def test_settings_come_from_the_file_and_options_win(start, folder):
    config = folder / "collector.conf"
    config.write_text(f"[settings]\nlisten = 127.0.0.1:1\nstore = sqlite:{folder}/deep/er/r.db\n"
                      "tid = first-id, second-id\n")
    server = start("-f", config, with_store=False)
    assert server.post(**{"X-Telemetry-TID": "second-id"})[0] == 201
    assert server.post(**{"X-Telemetry-TID": TID})[0] == 400
    assert (folder / "deep/er/r.db").exists()


def test_a_port_in_use_is_named(server, folder):
    done = run("--listen", f"127.0.0.1:{server.port}", "--store", f"sqlite:{folder}/other.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"telem-collector: listen on 127.0.0.1:{server.port}: Address already in use\n")


def test_a_store_that_cannot_be_opened_is_named(folder):
    (folder / "file").write_text("")
    for store in (folder / "file/records.db", folder):
        done = run("--listen", "127.0.0.1:0", "--store", f"sqlite:{store}")
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith("telem-collector: store: ")
