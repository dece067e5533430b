"""A program crashes inside of a container; the machine's crashprobe looks into it from outside."""

import json
import pathlib
import shutil
import tempfile

import pytest
from support import hard_crashes
from support.core_pattern import FULL, Handler, core_pattern, needs_core_pattern
from support.crashes import CRASHPROBE, Report, needs_crashprobe, write_config
from support.guest import Guest
from support.waiting import DEADLINE, wait_until

pytestmark = [needs_crashprobe, needs_core_pattern]


@pytest.fixture
def guest(debian, tmp_path):
    folder = tmp_path / "guest"
    folder.mkdir()
    guest = Guest(folder, [debian])
    try:
        yield guest.boot()
    finally:
        guest.close()


def test_names_functions_of_files_that_only_the_container_has(guest, tmp_path):
    # At the same path the machine outside has another library. Not below /tmp, where the container
    # has a file system of its own.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = pathlib.Path(name)
        program, = hard_crashes.library(folder)
        shutil.copytree(folder, guest.path(folder))
        hard_crashes.compile_c(folder, "smash.c", "-g", "-shared", "-fPIC", output="libload.so.1")
        program.unlink()
        check_crash(guest, program, tmp_path)


def check_crash(guest, program, tmp_path):

    record = tmp_path / "record"
    handler = Handler(tmp_path, CRASHPROBE, "-f", write_config(tmp_path), "-n", "--json", output=record)
    # The container has no standard input for us; the end of the file lets the program go on.
    with core_pattern(handler.pattern(FULL)):
        done = guest.run("sh", "-c", f"SECRET=CANARY-ENVIRONMENT {program} "
                         "CANARY-ARGUMENT < /dev/null", check=False)
        wait_until(lambda: record.exists() and record.read_text().endswith("}\n"), 2 * DEADLINE,
                   what=lambda: (done, handler.calls(), handler.errors()))
    payload = json.loads(record.read_text())["payload"]
    report = Report(payload)
    hard_crashes.expect_in_order(report.names, ["decode", "library_load", "run", "main"])
    assert report.frames[0].line and report.frames[0].module == "libload.so.1"
    container = report.field("Container")
    assert container.startswith("systemd-nspawn "), payload
    assert guest.run("cat", "/run/host/container-uuid").stdout.strip() in container
    # The number is that of the machine outside.
    assert report.field("PID") != "1" and int(report.field("PID")) == int(handler.calls()[0].split()[6])
    assert "CANARY" not in payload
