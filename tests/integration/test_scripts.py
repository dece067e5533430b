"""The scripts that judge us: they tell good from bad, and say what they do."""

import subprocess
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
