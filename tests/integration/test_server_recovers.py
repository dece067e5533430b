"""A server that misbehaves for a while and recovers, seen by telemd: each record is stored once, or
rejected with the reason, and each copy that came has an answer that was lost as its reason."""

import collections
import contextlib
import select
import shutil
import subprocess
import threading

import pytest

from support import paths
from support.certificates import Authority
from support.frames import new_event_id
from support.http_sink import DRIP, HANG, Answer, Cut, HttpSink
from support.tls_server import tls_server
from support.waiting import wait_until

from test_misbehaving_server import ANSWERS, ask_collector

RECORDS = 20
TROUBLES = 6  # so many requests are answered badly
SLOW_TROUBLES = 2  # each costs the ten seconds that a request may take
WORDS = b"this is not known here"


def send_records(machine):
    """Payloads by event id."""
    payloads = {new_event_id(): f"record {number}" for number in range(RECORDS)}
    for event_id, payload in payloads.items():
        assert machine.send(payload.encode(), event_id=event_id) == 0
    return payloads


def wait_until_decided(machine):
    """Until nothing waits. After each failure telemd is told to try at once: the pauses are not what
    is looked at here."""
    def is_decided():
        status = machine.status()
        if status["waiting"] > 0 and status["under_way"] == 0:
            machine.reload()
        return status["waiting"] == 0

    wait_until(is_decided, 60, lambda: f"nothing waiting; status {machine.status()}")
    machine.check_sums()


class TroubledServer:
    """Answers the first requests with `trouble`, in front of a collector. `verdict` is what telemd
    makes of that answer."""

    def __init__(self, collector, trouble, verdict):
        self.stored = collections.Counter()  # how often the collector got it, by event id
        self.lost = collections.Counter()  # how often that was not told
        self._collector = collector
        self._trouble = trouble
        self._verdict = verdict
        self.troubles = SLOW_TROUBLES if trouble in (HANG, DRIP) else TROUBLES
        self._met = 0
        self._lock = threading.Lock()
        self.sink = HttpSink(self._answer)

    def _answer(self, request):
        with self._lock:
            self._met += 1
            is_trouble = self._met <= self.troubles
            # Where telemd cannot know, the record may be stored or not.
            is_stored = not is_trouble or self._verdict == "accepted" or (
                self._verdict == "later" and self._met % 2 == 0)
            answer = self._trouble
            if is_stored:
                event_id = request.headers["event_id"]
                self.stored[event_id] += 1
                real = ask_collector(self._collector.port, request.raw)
                # 200 for a copy of what it has.
                expected = b"201" if self.stored[event_id] == 1 else b"200"
                assert real.startswith(b"HTTP/1.1 " + expected), real
                if not is_trouble:
                    answer = Cut(real)
                elif self._verdict == "later":
                    self.lost[event_id] += 1
            return answer

    def close(self):
        self.sink.close()


PLAIN = {name: (answer, verdict) for name, (answer, verdict, _) in ANSWERS.items()} | {
    "cut in the status": (Cut(b"HTTP/1.1 2"), "later"),
    "mute": (HANG, "later"),
    "slow": (DRIP, "later"),
    **{str(code): (Answer(code, WORDS), "later") for code in (401, 403, 404, 408, 429, 500, 503)},
    **{str(code): (Answer(code, WORDS), "refused") for code in (400, 413)},
}


@pytest.mark.parametrize("trouble, verdict", PLAIN.values(), ids=PLAIN.keys())
def test_after_a_server_recovers_each_record_is_there_once(
        make_machine, collector, trouble, verdict):
    server = TroubledServer(collector, trouble, verdict)
    try:
        machine = make_machine(server=server.sink.url).start()
        payloads = send_records(machine)
        wait_until_decided(machine)
        refused = {line.event_id: line.detail for line in machine.journal()
                   if line.state == "rejected"}
        assert len(refused) == (TROUBLES if verdict == "refused" else 0)
        assert all(WORDS.decode() in detail for detail in refused.values())
        status = machine.status()
        assert (status["delivered"], status["rejected"]) == (RECORDS - len(refused), len(refused))
    finally:
        server.close()
    taken = payloads.keys() - refused.keys()
    stored = [record["payload"] for record in collector.records(limit=1000)]
    assert sorted(stored) == sorted(payloads[event_id] for event_id in taken)
    assert server.stored == {event_id: 1 + server.lost[event_id] for event_id in taken}
    assert server.lost.total() == (server.troubles // 2 if verdict == "later" else 0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.mark.parametrize("name, words", [("wrong name", "name"), ("expired", "expired"),
                                         ("unknown issuer", "certificate")])
def test_after_a_servers_certificate_is_right_each_record_is_there_once(
        make_machine, authority, tmp_path, name, words):
    if name == "wrong name":
        bad = authority.issue("bad", host="DNS:other.example")
    elif name == "expired":
        bad = authority.issue("bad", days=-1)
    else:
        bad = Authority(tmp_path, "stranger").issue("bad")
    with tls_server(*bad) as (server, url):
        machine = make_machine(server=url, cainfo=authority.cert).start()
        payloads = send_records(machine)
        wait_until(lambda: words in machine.said(), what=lambda: f"a word of it: {machine.said()}")
        machine.wait_for(waiting=RECORDS, delivered=0, rejected=0)
        assert server.bodies == []
        server.show_certificate(*authority.issue("good"))
        wait_until_decided(machine)
        machine.wait_for(delivered=RECORDS, rejected=0)
        assert sorted(server.bodies) == sorted(payload.encode() for payload in payloads.values())


@contextlib.contextmanager
def http2_server(*arguments):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node to run the HTTP/2 server")
    script = paths.REPO / "tests" / "support" / "http2_server.js"
    server = subprocess.Popen([node, script, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    try:
        ready, _, _ = select.select([server.stdout], [], [], 20)
        assert ready, "the HTTP/2 server did not start"
        yield server, int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_after_streams_were_refused_and_broken_off_each_record_is_there_once(
        make_machine, authority):
    with http2_server(*authority.issue("http2"), TROUBLES) as (server, port):
        machine = make_machine(server=f"https://127.0.0.1:{port}/v2/collector",
                               cainfo=authority.cert).start()
        payloads = send_records(machine)
        wait_until_decided(machine)
        machine.wait_for(delivered=RECORDS, rejected=0)
        server.terminate()
        told = [line.rstrip("\n").split(" ", 1) for line in server.stdout]
    stored = collections.Counter(payload for _, payload in told)
    lost = collections.Counter(payload for word, payload in told if word == "lost")
    assert stored == {payload: 1 + lost[payload] for payload in payloads.values()}
    assert lost.total() > 0
