"""Protocol v3 from the socket of telemd to a server that takes nothing but v3."""

import json
import urllib.error
import urllib.request

import pytest

from support.frames import MAX_PAYLOAD, TAKEN_OVER, frame, sample_headers
from support.v3_server import TID, V3Server


@pytest.fixture
def server():
    server = V3Server()
    yield server
    server.close()


PAYLOADS = {
    "text": b"hello\n",
    "nothing": b"",
    "UTF-8": "Käse \U0001f9c0 für 2 €\n".encode(),
    "quotes and control characters": b"\"\\\b\f\r\t\x01\x7f</script>",
    "NULs": b"a\0b\0",
    "256 KiB": b"x" * MAX_PAYLOAD,
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_record_arrives_as_it_was_sent(make_machine, server, payload):
    machine = make_machine(server=server.url, server_protocol="v3").start()
    # The 2.4 client cut values at their first blank.
    headers = sample_headers(cpu_model='Intel(R) Core(TM) "i7" CPU @ 1.90GHz', board_name="",
                             bios_version="back\\slash 1.0", build='"12 (bookworm)"')
    assert machine.send_frame(frame(headers, payload)) == TAKEN_OVER
    got = server.find(headers["event_id"])
    machine.wait_for(delivered=1)
    assert got == headers | {"machine_id": machine.status()["machine_id"],
                             "payload": payload.decode()}
    assert server.faults == []


# JSON has no other bytes than characters; each stands for the character of the same number.
def test_bytes_that_are_no_text_arrive_as_latin_1(make_machine, server):
    machine = make_machine(server=server.url, server_protocol="v3").start()
    headers = sample_headers()
    payload = bytes(range(256))
    assert machine.send_frame(frame(headers, payload)) == TAKEN_OVER
    assert server.find(headers["event_id"])["payload"] == payload.decode("latin-1")


def test_what_waited_arrives_too_and_what_is_refused_is_set_aside(make_machine, server, away):
    machine = make_machine(server=away.url, server_protocol="v3").start()
    headers = [sample_headers() for _ in range(20)]
    for each in headers:
        assert machine.send_frame(frame(each, each["event_id"].encode())) == TAKEN_OVER
    machine.configure(server=server.url)
    machine.reload()
    for each in headers:
        assert server.find(each["event_id"])["payload"] == each["event_id"]
    machine.wait_for(delivered=20, waiting=0)
    machine.configure(server=server.url.replace("v3", "v9"))
    machine.reload()
    assert machine.send() == TAKEN_OVER
    machine.wait_for(rejected=1)
    [line] = [line for line in machine.journal() if line.state == "rejected"]
    assert line.detail == "400 path /v9/collector"


# A test that cannot fail would be worth nothing.
@pytest.mark.parametrize("change, words", [
    ({"severity": 1}, "severity is no string"),
    ({"cpu_model": "a\nb"}, "cpu_model is 'a\nb'"),
    ({"event_id": "x"}, "event_id is 'x'"),
    ({"more": "x"}, "members"),
])
def test_the_server_refuses_what_is_no_v3(server, change, words):
    body = json.dumps(sample_headers(machine_id="a" * 32) | {"payload": "x"} | change).encode()
    request = urllib.request.Request(server.url, body, {
        "Content-Type": "application/json", "X-Telemetry-TID": TID})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request)
    assert json.load(refusal.value)["message"].startswith(words)
    assert server.records == []
