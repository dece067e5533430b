"""The names and versions that programs built against 1.x and 2.x look for, and nothing else."""

import re
import subprocess

import pytest
from support import paths

EXPORTS = {
    "tm_set_config_file@@TM_1_0_0",
    "tm_free_record@@TM_2_0_0",
    "tm_create_record@@TM_3_0_0",
    "tm_set_payload@@TM_3_0_0",
    "tm_send_record@@TM_3_0_0",
    "tm_set_event_id@@TM_4_0_0",
    "tm_is_opted_in@@TM_4_1_0",
}


def output(*command):
    return subprocess.run([*map(str, command)], check=True, capture_output=True, text=True).stdout


def test_exports_are_exactly_those_of_1x_and_2x():
    lines = output("nm", "-D", "--with-symbol-versions", "--defined-only", paths.LIBTELEMETRY)
    names = [line.split()[-1] for line in lines.splitlines()]
    # The versions stand in the list themselves, as absolute symbols.
    versions = {name.split("@@")[1] for name in EXPORTS}
    assert sorted(names) == sorted(EXPORTS | versions)


def test_soname_is_that_of_2x_with_a_link_for_1x():
    dynamic = output("readelf", "-d", paths.LIBTELEMETRY)
    assert re.search(r"SONAME.*\[libtelemetry\.so\.4\]", dynamic)
    for link in ("libtelemetry.so.3", "libtelemetry.so"):
        assert (paths.LIBTELEMETRY.parent / link).resolve() == paths.LIBTELEMETRY.resolve()


def test_needs_libc_and_nothing_else():
    if paths.is_sanitized():
        pytest.skip("a sanitizer brings libraries of its own")
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", paths.LIBTELEMETRY))
    assert {re.sub(r"\.so.*", "", name) for name in needed} <= {"libc", "ld-linux-x86-64",
                                                               "ld-linux-aarch64"}
