"""What the kernel report parser makes of the samples in tests/data/kernel, through klogscanner.

Each file has a head, a blank line and a kernel log. The head says what records the log gives, in their
order: `record: CLASS SEVERITY`, `reason:`, `guilty:` and `frames:`, the first three of the backtrace
(`?FUNCTION`: not certain). `no record` says that there is none.
"""

import json
import os
import pathlib
import re
import subprocess

import pytest
from support import paths

KLOGSCANNER = paths.BUILD / "bin" / "klogscanner"
FOLDER = paths.REPO / "tests" / "data" / "kernel"
SAMPLES = sorted(FOLDER.glob("*.txt"))


def split(path):
    """(expected records, log)."""
    head, _, log = path.read_bytes().partition(b"\n\n")
    expected = []
    for line in head.decode().splitlines():
        if line == "no record":
            continue
        key, value = line.split(": ", 1)
        if key == "record":
            expected.append({"guilty": "", "frames": ""})
        expected[-1][key] = value
    return expected, log


def records(log):
    done = subprocess.run([KLOGSCANNER, "--no-post", "--json", "--log", "-"], input=log,
                          stdout=subprocess.PIPE, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]


def described(record):
    payload = record["payload"]
    fields = dict(re.findall(r"^(Reason|Guilty) ?: (.*)$", payload, re.M))
    frames = re.findall(r"^#\d+ (\? )?(\S+)", payload, re.M)[:3]
    kind = record["classification"].removeprefix("org.clearlinux/kernel/")
    return {"record": f"{kind} {record['severity']}", "reason": fields.get("Reason", ""),
            "guilty": fields.get("Guilty", ""),
            "frames": ", ".join(doubt + function for doubt, function in frames)}


def test_there_are_samples():
    assert len(SAMPLES) >= 60


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_gives_the_records_that_it_names(path):
    expected, log = split(path)
    assert [described(record) for record in records(log)] == expected


def test_the_same_report_has_the_same_event_id_in_every_form():
    """A serial console, dmesg and pstore print the same report in different forms."""
    _, log = split(FOLDER / "x86-6.1-null-dereference.txt")
    lines = log.decode().splitlines()
    forms = [
        "\n".join(lines),
        "\r\n".join(lines) + "\r\n",
        "\n".join(f"<4>{line}" for line in lines),
        "\n".join(f"kern  :warn  : {line}" for line in lines),
        "\n".join(f"Nov 25 04:52:10 host kernel: {line}" for line in lines),
    ]
    ids = {record["event_id"] for form in forms for record in records(form.encode())}
    assert len(ids) == 1


def test_figures_of_foreign_logs():
    """The goals on real logs that nobody here wrote: found >= 98 %, guilty >= 90 %, none false."""
    folder = os.environ.get("TELEMETRICS_CORPORA")
    if not folder or not (pathlib.Path(folder) / "kernel").is_dir():
        pytest.skip("no kernel logs: TELEMETRICS_CORPORA names no folder that has kernel/")
    done = subprocess.run(
        [paths.REPO / "scripts" / "kernel-reports", "--klogscanner", KLOGSCANNER,
         pathlib.Path(folder) / "kernel"], stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    last = done.stdout.splitlines()[-1]
    found, logs, guilty, functions, false, left_out = map(int, re.search(
        r"found (\d+) of (\d+) .*guilty (\d+) of (\d+) .*false (\d+) of \d+, left out (\d+)",
        last).groups())
    assert found >= 0.98 * logs, done.stdout
    assert guilty >= 0.90 * functions, done.stdout
    assert false == 0, done.stdout
    assert left_out <= 0.02 * (logs + left_out), done.stdout
