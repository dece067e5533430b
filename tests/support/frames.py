"""Records as they stand on the socket: header text and frames, made and taken apart."""

import secrets
import struct
import time

HEADER_NAMES = (
    "record_format_version", "classification", "severity", "machine_id", "creation_timestamp",
    "arch", "host_type", "build", "kernel_version", "payload_format_version", "system_name",
    "board_name", "cpu_model", "bios_version", "event_id",
)

MAX_PAYLOAD = 256 * 1024

# What the daemon answers a frame with.
TAKEN_OVER, IO_ERROR, TOO_LARGE, MALFORMED = 0, 5, 7, 22
SPOOL_FULL, OPTED_OUT, RATE_LIMITED = 28, 111, 122


def new_event_id():
    return secrets.token_hex(16)


def sample_headers(**values):
    """The fifteen headers of a record by name, in their order; `values` replace some."""
    headers = dict(zip(HEADER_NAMES, (
        "4", "org.example/test/one", "1", "FFFFFFFF", str(int(time.time())), "x86_64",
        "Example Inc.|Laptop 13|1.0", '"12"', "6.1.0-28-amd64", "1", "debian",
        "BRD-1|Example Inc.", "Example(R) CPU @ 1.90GHz", "1.23 (Example)", new_event_id(),
    )))
    unknown = set(values) - set(headers)
    assert not unknown, unknown
    headers.update(values)
    return headers


def header_text(headers):
    return b"".join(
        name.encode() + b": " + (value if isinstance(value, bytes) else value.encode()) + b"\n"
        for name, value in headers.items()
    )


def frame(headers, payload=b""):
    """A frame counted as 1.x and this version do. `headers`: a dict, or text as it is to stand."""
    text = header_text(headers) if isinstance(headers, dict) else headers
    return struct.pack("=II", len(text) + len(payload), len(text)) + text + payload + b"\0"


def frame_2x(headers, payload=b"", config_path=None):
    """A frame counted as 2.x does, with the path of a configuration file in front or not."""
    text = header_text(headers) if isinstance(headers, dict) else headers
    prefix = b"" if config_path is None else b"CFG:" + config_path.encode() + b"\0"
    rest = prefix + struct.pack("=I", len(text)) + text + payload + b"\0"
    return struct.pack("=I", len(rest) + 4) + rest


def payload_of_frame(data):
    """The text of what `frame` made: behind both sizes and the headers, in front of the NUL."""
    return data[8 + struct.unpack_from("=I", data, 4)[0]:-1].decode()


def parse_headers(text):
    """Fifteen lines by name; what stands behind them is returned as the second value."""
    headers = {}
    for name in HEADER_NAMES:
        line, text = text.split(b"\n", 1)
        found, value = line.split(b": ", 1)
        assert found.decode() == name
        headers[name] = value.decode()
    return headers, text


def parse_frame(data):
    """Headers by name and payload of one whole frame, however it counts."""
    size = struct.unpack_from("=I", data)[0]
    at = 4
    if data[4:8] == b"CFG:":
        at = data.index(b"\0", 4) + 1
    header_size = struct.unpack_from("=I", data, at)[0]
    assert len(data) in (size, size + 9) and data[-1:] == b"\0"
    headers, payload = parse_headers(data[at + 4 : -1])
    assert len(header_text(headers)) == header_size
    return headers, payload


def spool_file_bytes(headers, payload=b""):
    return header_text(headers) + payload + b"\n"


def new_record_id(when=None):
    """An id as the daemon makes them: milliseconds, then random bits."""
    return f"{int((time.time() if when is None else when) * 1000):012x}" + secrets.token_hex(10)
