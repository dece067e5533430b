"""tests/lessons.md names tests that exist, and at least one for each lesson."""

import re

from support import paths

TABLE = paths.REPO / "tests" / "lessons.md"


def rows():
    lines = [line for line in TABLE.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][-1] == "tests"
    return cells[2:]


def names_of_ours():
    """`test_FILE.py::test_NAME` of all Python tests, `Suite.Name` of all GoogleTests."""
    found = set()
    for path in (paths.REPO / "tests").glob("*/test_*.py"):
        found |= {f"{path.name}::{name}"
                  for name in re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)}
    for path in (paths.REPO / "src").rglob("*_test.cc"):
        found |= {f"{suite}.{name}" for suite, name in
                  re.findall(r"^TEST(?:_F|_P)?\((\w+),\s*(\w+)\)", path.read_text(), re.M)}
    return found


def test_each_lesson_has_tests_and_each_of_them_exists():
    ours = names_of_ours()
    assert len(rows()) > 30
    for happened, so_here, tests in rows():
        assert happened and so_here
        named = re.findall(r"`([^`]+)`", tests)
        assert named, f"no test for: {happened}"
        missing = [name for name in named if name not in ours]
        assert missing == [], happened
