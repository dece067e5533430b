"""Man pages: they can be read, and say of options what the programs say.

The parser of a program and its --help are made of one table (base/command_line.h), completion asks
--help, and here the pages are held against --help.
"""

import json
import re
import shlex
import shutil
import subprocess

import pytest

from support import paths
from support.help_texts import help_by_verb, help_texts, options_in_help, parse_options

PAGES = sorted((paths.REPO / "docs" / "man").glob("*.[1-8]"))


@pytest.fixture(scope="module")
def helps():
    return help_texts()


def page_of(program):
    [page] = (page for page in PAGES if re.fullmatch(rf"{re.escape(program)}\.[158]", page.name))
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


def options_by_verb(page):
    """Of telemctl's page: what stands below "OPTIONS" is every verb's and has the name ""; a verb of
    several has a section, where the options of each stand beside it: "list [--json]"."""
    found = {}
    for title, section in re.findall(r"^\.SH (.*)\n((?:(?!\.SH ).*\n)*)", page, re.M):
        family = title.lower().removeprefix("telemctl ")
        if title in ("OPTIONS", "STARTING AND STOPPING"):
            family = ""
        elif not title.startswith("TELEMCTL "):
            continue
        found.setdefault(family, set())
        for tag in tags_in_page(section):
            if tag.startswith("-"):
                found[family].add(parse_options(tag))
            else:
                verb = f"{family} {tag.split()[0]}".strip()
                found[verb] = {((spelling,), "") for spelling in re.findall(r"(?<![\w-])--?[a-z][\w-]*", tag)}
    return found


def options_of_verbs(page):
    """With those of every verb; the journal's -V is another."""
    found = options_by_verb(page)
    everywhere = found.pop("")
    version = (("-V", "--version"), "")
    assert version in everywhere
    return {verb: options | (everywhere - {version} if verb == "journal" else everywhere)
            for verb, options in found.items()} | {"": everywhere}


def test_telemctls_page_and_help_have_the_same_options_with_the_same_values_of_each_verb():
    helps = help_by_verb(paths.TELEMCTL)
    assert len(helps) > 20
    assert options_of_verbs(page_of("telemctl")) == {
        verb: options_in_help(text) for verb, text in helps.items()}


# The options of all verbs were compared as one set.
def test_an_option_below_the_wrong_verb_is_seen():
    page = page_of("telemctl")
    moved = page.replace('.BR "list " [ \\-\\-json ]\n', ".B list\n").replace(
        ".B flush\n", '.BR "flush " [ \\-\\-json ]\n')
    ours, theirs = options_of_verbs(page), options_of_verbs(moved)
    assert {verb for verb in ours if ours[verb] != theirs[verb]} == {
        "spool list", "spool flush", "rejected list"}
    lost = page.replace(".BI \\-\\-timeout", ".BI \\-\\-patience")
    assert options_of_verbs(lost)["test"] != ours["test"]


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


def settings_in_page(page):
    """Each key of telemetrics.conf(5) and its default, as it would stand in the file."""
    found = {}
    for tag in tags_in_page(page):
        if match := re.fullmatch(r"(\w+(?:, \w+)*) \((?:.*, )?default: (.*)\)", tag.replace("\\e", "\\")):
            found.update(dict.fromkeys(match[1].split(", "), match[2] if match[2] != "empty" else ""))
    return found


def test_the_page_of_the_configuration_has_each_key_with_its_default(tmp_path):
    empty = tmp_path / "telemetrics.conf"
    empty.write_text("")
    done = subprocess.run([paths.TELEMCTL, "--config-file", empty, "config", "--json"], check=True,
                          stdout=subprocess.PIPE, text=True)
    settings = [json.loads(line) for line in done.stdout.splitlines()]
    assert {setting["source"] for setting in settings} == {"default"}
    assert settings_in_page(page_of("telemetrics.conf")) == {
        setting["key"]: setting["value"] for setting in settings}
