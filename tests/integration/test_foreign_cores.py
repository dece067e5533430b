"""A core of another machine: what a real aarch64 kernel wrote, read here. tests/data/aarch64-core/make
made it."""

import lzma
import re
import struct

import pytest
from support import paths
from support.crashes import needs_crashprobe, payload_of, report_core, run_crashprobe, write_config
from support.hard_crashes import CANARIES

pytestmark = needs_crashprobe

DATA = paths.REPO / "tests" / "data" / "aarch64-core"


@pytest.fixture
def core(folder):
    path = folder / "core"
    path.write_bytes(lzma.decompress((DATA / "example.core.xz").read_bytes()))
    return path


@pytest.fixture
def machine(folder):
    """The files of the machine that the core is of."""
    root = folder / "machine"
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "example").write_bytes((DATA / "example").read_bytes())
    return root


def expect_the_story(report):
    assert report.field("Process") == "/usr/bin/example"
    assert report.field("Signal") == "11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0"
    assert report.names[:4] == ["parse_header", "load", "run", "main"]
    assert [frame.inlined for frame in report.frames[:4]] == [False, True, False, False]
    assert [frame.file for frame in report.frames[:4]] == ["example.c"] * 4
    assert all(frame.line and frame.offset for frame in report.frames[:4])
    assert report.frames[0].module == "/usr/bin/example"
    assert sum(len(tids) for tids, _ in report.threads) == 3
    for _, frames in report.threads[1:]:
        assert "wait_for_work" in [frame.name for frame in frames]
    assert re.search(r"^pc \[/usr/bin/example\] \+0x", report.payload, re.M)
    assert not CANARIES.search(report.payload)


def test_names_the_functions_of_another_machines_core(folder, core, machine):
    report = report_core(write_config(folder), core, "--root", machine)
    expect_the_story(report)


def test_reads_another_machines_core_from_a_pipe(folder, core, machine):
    done = run_crashprobe(write_config(folder), "-n", "--root", machine, input=core.read_bytes(), stdin=None)
    whole = report_core(write_config(folder), core, "--root", machine)
    assert payload_of(done) == whole.payload


def test_says_module_and_offset_where_the_other_machines_files_are_missing(folder, core):
    empty = folder / "empty"
    empty.mkdir()
    report = report_core(write_config(folder), core, "--root", empty)
    assert report.frames[0].module == "/usr/bin/example" and report.frames[0].offset
    build_id = report.modules["/usr/bin/example"]
    for _, frames in report.threads:
        places = [(frame.module, frame.offset) for frame in frames]
        assert all(one != next_one for one, next_one in zip(places, places[1:])), places
    assert re.fullmatch(r"[0-9a-f]{40}", build_id)


def test_takes_another_machines_core_that_ends_anywhere(folder, core, machine):
    whole = core.read_bytes()
    cut = folder / "cut"
    for size in [*range(64, len(whole), len(whole) // 30), len(whole) - 1]:
        cut.write_bytes(whole[:size])
        payload_of(run_crashprobe(write_config(folder), "-n", "-c", cut, "--root", machine))
    report = report_core(write_config(folder), cut, "--root", machine)
    assert report.names[0] == "parse_header"


# As on processors with pointer authentication, where programs are built with -mbranch-protection.
def test_follows_return_addresses_that_are_signed(folder, core, machine):
    plain = report_core(write_config(folder), core, "--root", machine)
    contents = core.read_bytes()
    bases = dict(re.findall(r"^(/\S+) [0-9a-f]{40} 0x([0-9a-f]+)$", plain.payload, re.M))
    returns = {int(bases[frame.module], 16) + frame.offset + 1
               for _, frames in plain.threads for frame in frames[1:]}
    for address in returns:
        word = struct.pack("<Q", address)
        assert word in contents
        contents = contents.replace(word, struct.pack("<Q", address | 0x2B << 48))
    core.write_bytes(contents)
    signed = report_core(write_config(folder), core, "--root", machine)
    places = [[(frame.name, frame.module, frame.offset) for frame in report.threads[0][1]]
              for report in (plain, signed)]
    assert places[0] == places[1]
    assert plain.payload.split("Signature:")[1] == signed.payload.split("Signature:")[1]
