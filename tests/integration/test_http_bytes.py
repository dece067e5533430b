"""What comes in at the socket goes out as the HTTP request that 1.x sends, byte for byte."""

import re

import pytest

from support import paths
from support.frames import (
    HEADER_NAMES,
    frame,
    frame_2x,
    parse_frame,
    sample_headers,
    spool_file_bytes,
)

TID = ("X-Telemetry-TID", "6907c830-eed9-4ce9-81ae-76daf8d88f0f")


def expected_request(sink, machine, headers, payload):
    """The whole request, from the record and this machine's id."""
    lines = ["POST /v2/collector HTTP/1.1", f"Host: 127.0.0.1:{sink.port}", "Accept: */*"]
    for name in HEADER_NAMES:
        value = machine.status()["machine_id"] if name == "machine_id" else headers[name]
        lines.append(f"{name}: {value}")
    lines += [": ".join(TID), "Content-Type: application/text", f"Content-Length: {len(payload)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + payload


def send_as_1x_did(machine, data):
    """Writes the frame and closes, without reading."""
    with machine.connect() as connection:
        connection.send(data)


OWN_FRAMES = {
    "as 1.x counts": lambda h, p: frame(h, p),
    "as 2.x counts": lambda h, p: frame_2x(h, p),
    "2.x with a configuration path": lambda h, p: frame_2x(h, p, "/etc/telemetrics/other.conf"),
    "2.x with an empty path": lambda h, p: frame_2x(h, p, ""),
}
PAYLOADS = {
    "text": b"hello\n",
    "empty": b"",
    "one byte": b"x",
    "without newline": b"two\nlines",
    "newlines only": b"\n\n\n",
    "bytes": bytes(range(256)),
    "UTF-8": "Größe: 5 µm, 画面\n".encode(),
    "like a frame": frame(sample_headers(), b"inner"),
    "like HTTP": b"\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "NULs at the end": b"payload\0\0\0\0\0\0\0\0\0\0",
}


def test_every_way_of_counting_arrives_as_the_record_that_was_sent(machine, sink):
    sent = []
    for make in OWN_FRAMES.values():
        for payload in PAYLOADS.values():
            headers = sample_headers()
            send_as_1x_did(machine, make(headers, payload))
            sent.append((headers, payload))
    by_event = {r.headers["event_id"]: r for r in sink.wait_for(len(sent))}
    for headers, payload in sent:
        expected = expected_request(sink, machine, headers, payload)
        assert by_event[headers["event_id"]].raw == expected
    machine.wait_for(delivered=len(sent), waiting=0)


@pytest.mark.parametrize("way", ["close", "half-close", "wait"])
def test_a_2x_frame_is_taken_however_its_sender_ends(machine, sink, way):
    headers = sample_headers()
    with machine.connect() as connection:
        connection.send(frame_2x(headers, b"hello\n"))
        if way == "half-close":
            connection.finish_writing()
            assert connection.read_status() == 0
    if way == "wait":
        # The sender died before the daemon looked: the bytes are there all the same.
        send_as_1x_did(machine, frame_2x(sample_headers(), b"more"))
        sink.wait_for(2)
    assert sink.wait_for_event(headers["event_id"]).body == b"hello\n"


def test_a_path_behind_CFG_does_not_redirect_delivery(make_machine, sink, away, folder):
    away.start()
    other = folder / "other.conf"
    other.write_text(f"[settings]\nserver = {away.url}\n")
    machine = make_machine(server=sink.url).start()
    for _ in range(3):
        send_as_1x_did(machine, frame_2x(sample_headers(), b"mine", str(other)))
    machine.put_into_spool(
        "Ab3dEf", b"CFG:" + str(other).encode() + b"\n" + spool_file_bytes(sample_headers(), b"old")
    )
    machine.wait_for(delivered=3)
    assert machine.stop() == 0
    machine.start()
    machine.wait_for(delivered=4)
    assert away.connections == 0
    assert sorted(sink.bodies()) == [b"mine", b"mine", b"mine", b"old"]


GOLDEN_FRAMES = paths.golden_files("frames/*.bin")


@pytest.mark.parametrize("path", GOLDEN_FRAMES, ids=[path.stem for path in GOLDEN_FRAMES])
def test_each_golden_frame_arrives_as_its_record(path, machine, sink):
    data = path.read_bytes()
    headers, payload = parse_frame(data)
    send_as_1x_did(machine, data)
    [request] = sink.wait_for(1)
    assert request.raw == expected_request(sink, machine, headers, payload)
    machine.wait_for(delivered=1, frames=1)


def test_there_are_golden_frames(golden):
    assert len(list(golden("frames").glob("*.bin"))) == 17


HOST_VALUES = ("Host", "machine_id", "creation_timestamp", "event_id")


def without_host_values(raw):
    """The request with what differs from host to host and run to run made equal."""
    head, body = raw.split(b"\r\n\r\n", 1)
    for name in HOST_VALUES:
        head, count = re.subn(rb"(?m)^(%s): [^\r]*" % name.encode(), rb"\1: *", head)
        assert count == 1, name
    return head + b"\r\n\r\n" + body


# By both generations, but for -H, which 2.x gives another payload.
NAMES = ["hprobe", "trg-P", "trg-e", "trg-empty", "trg-p", "trg-s4-R2", "trg-stdin"]
FRAMES_AND_REQUESTS = [(f"{generation}-{name}", name) for generation in ("1x", "2x")
                       for name in NAMES] + [("1x-hprobe-H", "hprobe-H")]


@pytest.mark.parametrize("frame_name, name", FRAMES_AND_REQUESTS)
def test_the_request_for_a_golden_frame_is_the_golden_request(
    frame_name, name, golden, make_machine, sink
):
    data = golden(f"frames/{frame_name}.bin").read_bytes()
    expected = golden(f"http/v2-{name}.req").read_bytes()
    machine = make_machine(server=sink.url).start()
    send_as_1x_did(machine, data)
    [request] = sink.wait_for(1)
    assert without_host_values(request.raw) == without_host_values(expected)


@pytest.mark.parametrize("name", ["oops-klogscanner-oopsprobe", "trg-8191", "from-spool"])
@pytest.mark.parametrize("way", ["direct", "from the spool"])
def test_a_golden_request_is_made_again_from_its_record(name, way, golden, make_machine, sink):
    expected = golden(f"http/v2-{name}.req").read_bytes()
    head, payload = expected.split(b"\r\n\r\n", 1)
    lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    if name == "from-spool":
        # Here the 1.x daemon had added a newline to the payload.
        payload = payload[:-1]
        expected = expected[:-1].replace(b"Content-Length: 11", b"Content-Length: 10")
    headers = {header: lines[header.encode()].decode() for header in HEADER_NAMES}
    machine = make_machine(server=sink.url)
    if way == "from the spool":
        machine.put_into_spool("Ab3dEf", spool_file_bytes(headers, payload))
        machine.start()
    else:
        machine.start()
        assert machine.send_frame(frame(headers, payload)) == 0
    [request] = sink.wait_for(1)
    assert without_host_values(request.raw) == without_host_values(expected)


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS.keys())
def test_a_record_out_of_the_spool_has_the_same_bytes_as_a_fresh_one(make_machine, away, payload):
    machine = make_machine(server=away.url).start()
    headers = sample_headers()
    assert machine.send_frame(frame(headers, payload)) == 0
    machine.wait_for(waiting=1)
    away.start()
    machine.reload()
    machine.wait_for(delivered=1)
    assert machine.send_frame(frame(headers, payload)) == 0
    spooled, fresh = away.wait_for(2)
    assert spooled.raw == fresh.raw
    assert spooled.body == payload


def test_the_tidheader_of_the_configuration_is_sent(make_machine, sink):
    machine = make_machine(server=sink.url, tidheader="X-Fleet: blue team 7").start()
    assert machine.send() == 0
    [request] = sink.wait_for(1)
    position = [name for name, _ in request.header_list].index("event_id")
    assert request.header_list[position + 1] == ("X-Fleet", "blue team 7")
    assert b"X-Telemetry-TID" not in request.head


# libcurl takes "name:" for a header to be left out, and such a record ended the poster of 1.x at each
# start.
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_value_arrives_as_one(machine, sink, value):
    headers = sample_headers(board_name=value, bios_version=value)
    assert machine.send_frame(frame(headers, b"x")) == 0
    [request] = sink.wait_for(1)
    names = [line.split(b":")[0].decode() for line in request.head.split(b"\r\n")]
    assert names[3:18] == list(HEADER_NAMES)
    for name in (b"board_name", b"bios_version"):
        [line] = [line for line in request.head.split(b"\r\n") if line.startswith(name)]
        assert line.split(b":", 1)[1].strip() == b""
    machine.wait_for(delivered=1)


def test_values_arrive_whole_with_blanks_and_signs(machine, sink):
    headers = sample_headers(
        cpu_model="Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", board_name="A: b; c, \"d\" \\ e|F",
        bios_version="1.0 ", host_type="x" * 249, build='"12 (bookworm)"',
    )
    assert machine.send_frame(frame(headers, b"")) == 0
    [request] = sink.wait_for(1)
    for name in ("cpu_model", "board_name", "host_type", "build"):
        assert request.headers[name] == headers[name]


def test_what_servers_do_not_take_is_cut_or_masked(machine, sink):
    headers = sample_headers(
        host_type="v" * 400, cpu_model="w" * 300, bios_version="Gr\u00f6\u00dfe".encode()
    )
    assert machine.send_frame(frame(headers, b"")) == 0
    [request] = sink.wait_for(1)
    assert request.headers["host_type"] == "v" * 249
    assert request.headers["cpu_model"] == "w" * 199
    assert request.headers["bios_version"] == "Gr????e"


def test_connections_are_kept(machine, sink):
    for _ in range(50):
        assert machine.send() == 0
    sink.wait_for(50)
    assert sink.connections <= 10
