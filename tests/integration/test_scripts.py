"""The scripts that judge us: they tell good from bad, and say what they do."""

import os
import pathlib
import shutil
import subprocess
import tempfile
import textwrap

import pytest

from support import paths

SCRIPTS = paths.REPO / "scripts"
NAMES = sorted(path.name for path in SCRIPTS.iterdir())


def run(name, *arguments):
    return subprocess.run([SCRIPTS / name, *arguments], capture_output=True, text=True)


@pytest.mark.parametrize("name", NAMES)
def test_says_what_it_does(name):
    result = run(name, "--help")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.lower().startswith("usage: ") or "\nUsage: " in result.stdout


def test_bootstrap_has_a_reason_for_each_package():
    result = run("bootstrap", "--tests", "--check", "--bench", "--list")
    assert result.returncode == 0, result.stderr
    for line in result.stdout.splitlines():
        package, state, reason = line.split(None, 2)
        assert state in ("present", "missing") and reason, line


def bootstrap_as_user(programs):
    """What scripts/bootstrap says to a user in whose PATH are these programs and what it runs on."""
    nobody = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="telem-") as folder:
        place = pathlib.Path(folder)
        place.chmod(0o755)
        for name in ("bash", "cat", "grep"):
            (place / name).symlink_to(shutil.which(name))
        for name, text in programs.items():
            (place / name).write_text(f"#!/bin/sh\n{text}\n")
            (place / name).chmod(0o755)
        return subprocess.run([SCRIPTS / "bootstrap", "--tests"], env={"PATH": folder},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, **nobody)


# The last word is the package that is asked about.
TWO_ARE_MISSING = ('for package; do :; done\n'
                   'case $package in esbuild | strace) exit 1 ;; *) echo installed ;; esac')


@pytest.mark.parametrize("programs", [{}, {"sudo": "exit 1"}],
                         ids=["without sudo", "sudo wants a password and there is no terminal"])
def test_bootstrap_says_what_is_missing_and_why_where_it_cannot_install(programs):
    result = bootstrap_as_user({"dpkg-query": TWO_ARE_MISSING, **programs})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == textwrap.dedent("""\
        bootstrap: these packages are missing, and only root can install them:
          esbuild                telem-collector: turns the page's TypeScript into what browsers read
          strace                 integration tests count system calls
        As root: apt-get install --no-install-recommends esbuild strace
        """)


def test_bootstrap_says_what_is_needed_where_there_are_no_debian_packages():
    result = bootstrap_as_user({})
    assert (result.returncode, result.stdout) == (1, "")
    first, *rest = result.stderr.splitlines()
    assert first == ("bootstrap: this system has no Debian packages. "
                     "Please install what corresponds to:")
    assert "  cmake                  describes the build" in rest
    assert "  strace                 integration tests count system calls" in rest
    assert not any(line.startswith("  clang-19 ") for line in rest)  # that is for scripts/check


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.mark.parametrize(
    ("folder", "included", "is_allowed"),
    [
        ("record", "base/text.h", True),
        ("base", "record/headers.h", False),  # up
        ("record", "ipc/unix_socket.h", False),  # sideways
        ("ctl", "daemon/intake.h", False),  # between programs
        ("probes/hello", "telemetry.h", True),
        ("probes/hello", "client/sender.h", False),
        ("base", "base/missing.h", False),
    ],
)
def test_include_map_knows_which_way_is_down(tmp_path, folder, included, is_allowed):
    write(tmp_path, {f"src/{folder}/a.cc": f'#include "{included}"\n'})
    if included != "base/missing.h":
        root = "include" if included == "telemetry.h" else "src"
        write(tmp_path, {f"{root}/{included}": "#pragma once\n"})
    result = run("include_map.py", tmp_path)
    assert (result.returncode == 0) == is_allowed, result.stdout + result.stderr
    assert is_allowed or included in result.stderr


def test_find_duplicates_finds_a_copied_passage_and_nothing_shorter(tmp_path):
    lines = [f"  total += Weigh(item{i});\n" for i in range(12)]
    write(tmp_path, {"src/a.cc": "".join(lines), "src/b.cc": "// first\n" + "".join(lines[1:])})
    assert run("find_duplicates.py", tmp_path).returncode == 0
    write(tmp_path, {"src/b.cc": "// first\n" + "".join(lines)})
    result = run("find_duplicates.py", tmp_path)
    assert result.returncode == 1
    assert "src/a.cc:1 and src/b.cc:2" in result.stderr


UNIT = '<testsuites><testsuite>{}</testsuite></testsuites>'
CTEST = '<testsuite>{}</testsuite>'
PASSED = '<testcase name="a" classname="A" status="run"/>'
FAILED = '<testcase name="b" classname="A" status="run"><failure message="no"/></testcase>'
SKIPPED = '<testcase name="c" classname="A"><skipped message="no disk"/></testcase>'


@pytest.mark.parametrize(
    ("unit", "ctest", "pytest_cases", "line", "is_good"),
    [
        (PASSED * 3 + SKIPPED, "x:run", PASSED, "4 passed, 0 failed, 1 skipped", True),
        (PASSED + FAILED, "x:fail", PASSED, "2 passed, 1 failed, 0 skipped", False),
        # All cases passed, and then the program died.
        (PASSED, "x:fail", PASSED, "2 passed, 1 failed, 0 skipped", False),
        # No GoogleTest program: it counts as one case.
        (PASSED, "x:run y:run", PASSED, "3 passed, 0 failed, 0 skipped", True),
        (PASSED, "x:run y:fail", PASSED, "2 passed, 1 failed, 0 skipped", False),
        ("", "x:run", "", "0 passed, 0 failed, 0 skipped", False),
    ],
)
def test_sum_tests_counts_every_case_once(tmp_path, unit, ctest, pytest_cases, line, is_good):
    cases = ""
    for name, status in (word.split(":") for word in ctest.split()):
        failure = '<failure message=""/>' if status == "fail" else ""
        cases += f'<testcase name="{name}" status="{status}">{failure}</testcase>'
    write(
        tmp_path,
        {
            "unit/x.xml": UNIT.format(unit),
            "ctest.xml": CTEST.format(cases),
            "pytest.xml": UNIT.format(pytest_cases),
        },
    )
    result = run("sum_tests.py", tmp_path)
    assert result.stdout.splitlines()[-1] == line
    assert (result.returncode == 0) == is_good
