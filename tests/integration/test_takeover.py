"""What an earlier version, a crash or a stranger left in the folders."""

import os
import shutil
import subprocess

import pytest

from support import paths
from support.frames import (
    HEADER_NAMES,
    new_record_id,
    parse_headers,
    sample_headers,
    spool_file_bytes,
)
from support.marks import needs_root
from support.waiting import stays, wait_until


def own_name(payload, uid=None, record_id=None):
    uid = os.getuid() if uid is None else uid
    return f"{record_id or new_record_id()}-{uid}-{len(payload)}"


@pytest.mark.parametrize("name", ["FBvZEt", "fv8OEq"])
def test_a_golden_spool_file_is_delivered(name, golden, make_machine, sink):
    data = golden(f"spool/{name}").read_bytes()
    headers, rest = parse_headers(data)
    machine = make_machine(server=sink.url)
    machine.put_into_spool(name, data)
    machine.start()
    [request] = sink.wait_for(1)
    assert {name: request.headers[name] for name in HEADER_NAMES} == headers
    assert request.body == rest[:-1]
    machine.wait_for(found=1, delivered=1, waiting=0)
    assert machine.spool_files() == []


def test_the_golden_spool_folder_waits_and_is_delivered_as_a_whole(golden, make_machine, away):
    machine = make_machine(server=away.url)
    originals = {path.name: path.read_bytes() for path in golden("spool").iterdir()}
    for name, data in originals.items():
        machine.put_into_spool(name, data)
    machine.start()
    machine.wait_for(found=2, waiting=2)
    # They have names of ours now, and their bytes.
    files = wait_until(lambda: len(machine.spool_files()) == 2 and machine.spool_files())
    assert sorted(path.read_bytes() for path in files) == sorted(originals.values())
    assert all(path.name.count("-") == 2 for path in files)
    machine.kill()
    machine.start()
    machine.wait_for(found=2, waiting=2)
    away.start()
    machine.reload()
    machine.wait_for(waiting=0, delivered=2)
    assert set(away.bodies()) == {b"hello\n", b"two\nlines\n"}


def test_a_golden_journal_goes_on(golden, make_machine, sink):
    source = golden("journal")
    machine = make_machine(server=sink.url)
    shutil.copy(source / "journal-1x", machine.journal_file)
    shutil.copytree(source / "records", machine.log / "records")
    for path in [machine.journal_file, machine.log / "records",
                 *(machine.log / "records").iterdir()]:
        path.chmod(0o750 if path.is_dir() else 0o640)
        machine.give(path)
    old = machine.journal_file.read_bytes()
    machine.start()
    headers = sample_headers(classification="org.example/new/one")
    assert machine.send(**headers) == 0
    line = machine.wait_for_state(headers["event_id"], "delivered")
    assert machine.journal_file.read_bytes().startswith(old)
    listed = subprocess.run(
        [paths.TELEMCTL, "--config-file", machine.config, "journal"],
        capture_output=True, text=True, env={**os.environ, "TZ": "UTC"}, timeout=20,
    )
    assert listed.returncode == 0, listed.stderr
    shown = listed.stdout.splitlines()
    expected = (source / "telemctl-journal-output.txt").read_text().split("exit=0")[0]
    assert shown[:12] == expected.splitlines()[1:13]
    assert len(shown) == 13
    assert line.record_id in shown[12] and shown[12].startswith("org.example/new/one ")


def test_a_torn_last_line_of_the_journal_is_ended(make_machine, sink):
    machine = make_machine(server=sink.url)
    machine.has_torn_lines = True
    machine.journal_file.write_bytes(b"91c824f76f470c73fcc99abe1eb5cc31\x1e17954")
    machine.give(machine.journal_file)
    machine.start()
    headers = sample_headers()
    assert machine.send(**headers) == 0
    wait_until(lambda: headers["event_id"].encode() in machine.journal_file.read_bytes())
    torn, new = machine.journal_file.read_bytes().split(b"\n", 1)
    assert torn == b"91c824f76f470c73fcc99abe1eb5cc31\x1e17954"
    assert headers["event_id"].encode() in new


def put_symlink(machine, name, folder):
    target = folder / "target"
    target.write_bytes(spool_file_bytes(sample_headers(), b"secret"))
    (machine.spool / name).symlink_to(target)


def put_fifo(machine, name, _):
    os.mkfifo(machine.spool / name)


def put_folder(machine, name, _):
    (machine.spool / name).mkdir()
    (machine.spool / name / "inner").write_bytes(spool_file_bytes(sample_headers(), b"inner"))


def put_socket(machine, name, _):
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(machine.spool / name))


def put_bytes(data):
    return lambda machine, name, _: machine.put_into_spool(name, data)


GOOD = spool_file_bytes(sample_headers(), b"good")
FOREIGN_THINGS = {
    "symlink to a record": put_symlink,
    "fifo": put_fifo,
    "folder": put_folder,
    "socket": put_socket,
    "empty file": put_bytes(b""),
    "text": put_bytes(b"not a record\n"),
    "NULs, as after a power cut": put_bytes(b"\0" * 500),
    "cut in the headers": put_bytes(GOOD[:200]),
    "bad severity": put_bytes(spool_file_bytes(sample_headers(severity="7"), b"x")),
    "carriage return": put_bytes(spool_file_bytes(sample_headers(arch="a\rX: 1"), b"x")),
    "journal separator": put_bytes(spool_file_bytes(sample_headers(arch="a\x1eb"), b"x")),
    "far too large": put_bytes(spool_file_bytes(sample_headers(), b"x" * 1_000_000)),
    "endless 2.x path": put_bytes(b"CFG:/" + b"x" * 10_000),
}


@pytest.mark.parametrize("put", FOREIGN_THINGS.values(), ids=FOREIGN_THINGS.keys())
@pytest.mark.parametrize("name", ["Ab3dEf", f"{new_record_id()}-0-4"], ids=["1.x name", "our name"])
def test_a_foreign_thing_in_the_spool_is_set_aside_and_blocks_nobody(
    make_machine, sink, folder, put, name
):
    machine = make_machine(server=sink.url)
    put(machine, name, folder)
    before = machine.put_into_spool(own_name(b"mine"), spool_file_bytes(sample_headers(), b"mine"))
    machine.start()
    assert machine.send(b"fresh") == 0
    assert sorted(r.body for r in sink.wait_for(2)) == [b"fresh", b"mine"]
    machine.wait_for(found=2, rejected=1, delivered=2, waiting=0)
    assert not before.exists()
    assert [path.name for path in machine.rejected_files()] == [name]
    assert machine.said().count(name) == 1
    # Also after the next start nobody tries it again.
    assert machine.stop() == 0
    machine.start()
    machine.wait_for(found=0, rejected=1)
    assert sorted(sink.bodies()) == [b"fresh", b"mine"]


@needs_root
def test_a_file_of_another_user_is_set_aside(make_machine, sink):
    machine = make_machine(server=sink.url)
    path = machine.put_into_spool(own_name(b"theirs"),
                                  spool_file_bytes(sample_headers(), b"theirs"))
    os.chown(path, 65534, 65534)
    machine.start()
    machine.wait_for(rejected=1)
    assert machine.send(b"ours") == 0
    assert [r.body for r in sink.wait_for(1)] == [b"ours"]
    assert [p.name for p in machine.rejected_files()] == [path.name]


@pytest.mark.parametrize("claimed", [3, 7, 200_000], ids=["longer", "shorter", "much shorter"])
def test_a_file_of_another_length_than_its_name_says_is_set_aside(make_machine, sink, claimed):
    machine = make_machine(server=sink.url)
    name = f"{new_record_id()}-{os.getuid()}-{claimed}"
    machine.put_into_spool(name, spool_file_bytes(sample_headers(), b"hello"))
    machine.start()
    machine.wait_for(rejected=1, waiting=0)
    assert [path.name for path in machine.rejected_files()] == [name]
    assert sink.requests == []


def test_a_2x_file_with_a_path_in_front_is_delivered(make_machine, sink):
    headers = sample_headers(machine_id="a" * 32)
    machine = make_machine(server=sink.url)
    machine.put_into_spool("Ab3dEf", b"CFG:/etc/x.conf\n" + spool_file_bytes(headers, b"old"))
    machine.start()
    [request] = sink.wait_for(1)
    assert request.body == b"old"
    assert request.headers["machine_id"] == "a" * 32


def test_what_waits_is_sent_oldest_first(make_machine, sink):
    machine = make_machine(server=sink.url)
    ages = list(range(100, 5100, 100))
    for age in sorted(ages, key=str):
        payload = str(age).encode()
        machine.put_into_spool(f"old{age}", spool_file_bytes(sample_headers(), payload), age)
    machine.start()
    machine.wait_for(delivered=len(ages))
    arrived = [int(body) for body in sink.bodies()]
    assert sorted(arrived) == ages
    # Ten are under way at most, so none can be ten places early.
    oldest_first = sorted(ages, reverse=True)
    assert all(oldest_first.index(age) < place + 10 for place, age in enumerate(arrived))


def test_a_thousand_files_at_start_do_not_hold_up_a_fresh_record(make_machine, away):
    machine = make_machine(server=away.url, rate_limit_enabled=False)
    for number in range(1000):
        machine.put_into_spool(f"f{number:05}", spool_file_bytes(sample_headers(), b"old"))
    machine.start()
    assert machine.send(b"fresh") == 0
    machine.wait_for(found=1000, waiting=1001)
    away.start()
    machine.reload()
    machine.wait_for(delivered=1001, waiting=0)
    assert len(set(away.event_ids())) == 1001
    assert machine.spool_files() == []


def test_what_a_kill_left_half_written_is_not_sent(make_machine, sink):
    machine = make_machine(server=sink.url)
    unfinished = machine.put_into_spool(own_name(GOOD), GOOD[:300])
    unfinished.chmod(0o200)
    machine.start()
    assert machine.send(b"whole") == 0
    sink.wait_for(1)
    machine.wait_for(delivered=1, found=0, rejected=0)
    assert stays(lambda: sink.bodies() == [b"whole"], 0.2)
