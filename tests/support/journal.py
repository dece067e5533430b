"""The journal, as any reader of text sees it."""

import dataclasses

FIELDS = ("record_id", "time", "classification", "event_id", "boot_id",
          "severity", "bytes", "state", "detail", "uid", "pid", "comm")


@dataclasses.dataclass(frozen=True)
class Line:
    record_id: str
    time: str
    classification: str
    event_id: str
    boot_id: str
    severity: str = ""
    bytes: str = ""
    state: str = ""
    detail: str = ""
    uid: str = ""
    pid: str = ""
    comm: str = ""


def read_journal(path, has_torn_lines=False):
    """All whole lines, oldest first; none where there is no journal yet. A full disk leaves torn ones,
    which readers skip."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = []
    for line in text.split(b"\n")[:-1]:
        fields = line.decode().split("\x1e")
        if len(fields) not in (5, len(FIELDS)):
            assert has_torn_lines, line
            continue
        lines.append(Line(*fields))
    return lines


def last_states(lines):
    """The newest line of each record, by record id."""
    return {line.record_id: line for line in lines}
