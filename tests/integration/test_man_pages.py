"""Man pages: they can be read, and say of options what the programs say.

The parser of a program and its --help are made of one table (base/command_line.h), completion asks
--help, and here the pages are held against --help.
"""

import re
import shlex
import shutil
import subprocess

import pytest

from support import paths
from support.help_texts import help_texts, options_in_help, parse_options

PAGES = sorted((paths.REPO / "docs" / "man").glob("*.[1-8]"))


@pytest.fixture(scope="module")
def helps():
    return help_texts()


def page_of(program):
    [page] = (page for page in PAGES if re.fullmatch(rf"{re.escape(program)}\.[18]", page.name))
    return page.read_text()


def plain(line):
    """A line of a page as it is read: `.BR \\-n ", " \\-\\-no\\-post` is "-n, --no-post"."""
    text = re.sub(r"\\f.", "", line.replace("\\-", "-"))
    macro = re.match(r"\.([BIR]{1,2}) ", text)
    if not macro:
        return text
    # Macros of two fonts set their words without blanks between.
    return ("" if len(macro[1]) == 2 else " ").join(shlex.split(text[macro.end():]))


def tags_in_page(page):
    """What stands alone before a paragraph that explains it."""
    return [plain(line) for line in re.findall(r"^\.T[PQ].*\n(.*)", page, re.M)]


def options_in_page(page):
    return {parse_options(tag) for tag in tags_in_page(page) if tag.startswith("-")}


def test_the_reader_of_pages_understands_how_they_are_written():
    page = """
.TP
.BI \\-\\-table " FILE"
.TP
.BR \\-f ", " \\-\\-config\\-file " \\fIFILE\\fR"
.TQ
.B \\-\\-json
.TP
.BI \\-r " ID\\fR, " \\-\\-record_id " ID"
"""
    assert options_in_page(page) == {
        (("--table",), "FILE"), (("-f", "--config-file"), "FILE"), (("--json",), ""),
        (("-r", "--record_id"), "ID")}
    assert options_in_help(
        "  -f, --file FILE|PID  read\n                  -x is more of it\n      --json  as JSON\n") == {
        (("-f", "--file"), "FILE|PID"), (("--json",), "")}


def programs_without_verbs():
    return sorted(path.name for path in (paths.BUILD / "bin").iterdir()
                  if path.name not in ("telemctl", "telem_journal")) + ["telem-deliver"]


@pytest.mark.parametrize("program", programs_without_verbs())
def test_a_page_and_help_have_the_same_options_with_the_same_values(helps, program):
    assert options_in_page(page_of(program)) == options_in_help(helps[program])


def test_telemctls_page_and_help_have_the_same_options_with_the_same_values(helps):
    ours = options_in_help(helps["telemctl"])
    page = page_of("telemctl")
    assert options_in_page(page) <= ours
    # Some stand on the line of their verb: "list [--json]".
    beside_verbs = " ".join(tag for tag in tags_in_page(page) if not tag.startswith("-"))
    missing = {option for option in ours - options_in_page(page)
               if not all(re.search(rf"(?<!\S)\[?{spelling}\b", beside_verbs) for spelling in option[0])}
    assert not missing


def test_no_page_names_an_option_that_is_not_there(helps):
    ours = {spelling for text in helps.values() for spellings, _ in options_in_help(text)
            for spelling in spellings}
    for program in helps:
        text = re.sub(r"\\f.", "", page_of(program).replace("\\-", "-"))
        # Those with "=VALUE" behind are other programs'.
        named = set(re.findall(r"(?<![\w-])(--[a-zA-Z][\w-]*)(?![\w=-])", text))
        assert named <= ours, program


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_renders_without_a_warning(page):
    if shutil.which("man") is None:
        pytest.skip("no man on this machine")
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", page], capture_output=True, text=True,
                          check=True, env={"PATH": "/usr/bin:/bin", "MANWIDTH": "80", "LC_ALL": "C.UTF-8"})
    assert done.stderr == ""
    assert "NAME" in done.stdout and len(done.stdout.splitlines()) > 10
