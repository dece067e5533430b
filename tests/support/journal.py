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
        fields = line.decode(errors="surrogateescape").split("\x1e")
        if len(fields) not in (5, len(FIELDS)):
            assert has_torn_lines, line
            continue
        lines.append(Line(*fields))
    return lines


def last_states(lines):
    """The newest line of each record, by record id."""
    return {line.record_id: line for line in lines}


LAST = ("delivered", "rejected", "dropped", "expired", "evicted", "local")


def check_states(lines, waiting, was_killed):
    """Each record has exactly one last state, and those that wait (their ids: `waiting`) have none.

    What was given up by hand or rejected may wait again, and then says so. A kill between the line
    and the end of the file gives a record its last state twice.
    """
    states = {}
    for line in lines:
        if line.state:  # lines of 1.x have none
            states.setdefault(line.record_id, []).append(line.state)
    for record_id, told in states.items():
        assert set(told) <= {"spooled", *LAST}, (record_id, told)
        is_waiting = told[-1] == "spooled"
        assert is_waiting == (record_id in waiting), (record_id, told)
        if not was_killed:
            again = [pair for pair in zip(told, told[1:]) if pair[0] in LAST and pair[1] in LAST]
            # By hand, a rejected one may be dropped; and one whose sync failed was not taken over.
            assert set(again) <= {("rejected", "evicted"), ("local", "dropped")}, (record_id, told)
