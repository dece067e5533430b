"""The table of labelled stacks is what scripts/crash_stacks.py makes, here and now."""

import re
import subprocess
import sys

import pytest

from support import paths
from support.core_pattern import locked_settings
from support.crashes import files_are_cores, find_tool, needs_crashprobe
from support.waiting import DEADLINE


pytestmark = needs_crashprobe

SCRIPT = paths.REPO / "scripts" / "crash_stacks.py"
TABLE = paths.REPO / "tests" / "data" / "crash-stacks.txt"


BUILD = "gcc -O1 other folder"


def functions(table):
    """By bug: the functions of the program itself on the stack, innermost first."""
    return {cause: re.findall(r"^#\d+ (\S+) - \[causes-c\]", frames, re.M)
            for cause, frames in re.findall(rf"^Cause: (\S+)\nBuild: {BUILD}\n((?:#.*\n)+)",
                                            table.read_text(), re.M)}


def run(folder, *arguments):
    return subprocess.run([sys.executable, SCRIPT, "--build", paths.BUILD, "--out", folder / "table",
                           *arguments], capture_output=True, text=True, timeout=20 * DEADLINE)


def test_a_build_of_today_crashes_as_the_table_says(folder):
    find_tool("gcc")
    with locked_settings():  # which another test may have changed for itself
        if not files_are_cores():
            pytest.skip("this machine does not write cores into the folder of the process")
    done = run(folder, "--only", BUILD)
    assert done.returncode == 0, done.stderr
    expected = functions(TABLE)
    assert len(expected) == 16
    found = functions(folder / "table")
    # Which of its two functions meets the end of the stack is chance.
    for told in (expected, found):
        told["endless_recursion"] = sorted(set(told["endless_recursion"]))
    assert found == expected


def test_says_when_no_build_has_such_a_name(folder):
    done = run(folder, "--only", "nobody's compiler")
    assert done.returncode != 0 and "no build has such a name" in done.stderr
