"""docs/security.md names each program of ours, each door for foreign bytes with its fuzz target, and the
ceilings of each unit."""

import re

from support import paths

PAGE = paths.REPO / "docs" / "security.md"
UNITS = {path.name.removesuffix(".in"): path.read_text()
         for path in (paths.REPO / "packaging" / "systemd").glob("*.in")}


def table_with(start):
    """The cells of the rows of the table whose heading begins so, the heading first."""
    table = re.search(rf"^{re.escape(start)}.*?\n\n", PAGE.read_text(), re.M | re.S)[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.strip().splitlines()]
    return [rows[0], *rows[2:]]


def test_each_program_is_somebody_who_is_trusted_with_something():
    programs = {path.name for folder in (paths.BUILD / "bin", paths.BUILD / "libexec" / "telemetrics")
                for path in folder.iterdir() if not path.is_symlink()}
    named = {name for who, *_ in table_with("| who |") for name in re.findall(r"`([\w-]+)[` ]", who)}
    assert programs - named == set()


def test_each_fuzz_target_stands_beside_its_door():
    named = {name for row in table_with("| door |")[1:] for name in re.findall(r"`(\w+)`", row[-1])}
    targets = {path.name.removesuffix("_fuzz.cc") for path in (paths.REPO / "fuzz").glob("*_fuzz.cc")}
    # These read files that no foreigner writes, and texts that came through another door.
    own = {"crash_counts", "journal_state", "masking"}
    assert named == targets - own


def test_the_ceilings_are_those_of_the_units():
    (_, *names), *rows = table_with("| unit | `MemoryMax` |")
    names = [name.strip("`") for name in names]
    listed = {unit.strip("`"): {name: value for name, value in zip(names, values) if value}
              for unit, *values in rows}
    setting = re.compile(rf"^({'|'.join(names)})=(.*)$", re.M)
    assert listed == {unit: dict(setting.findall(text)) for unit, text in UNITS.items()
                      if setting.search(text)}
    # None is without one, whatever its own unit file leaves to systemd.
    assert {unit for unit in UNITS if unit.endswith(".service")} <= listed.keys()
    assert all({"MemoryMax", "CPUQuota", "TasksMax"} <= listed[unit].keys() for unit in listed
               if unit.endswith(".service"))
    assert all("MaxConnections" in listed[unit] for unit, text in UNITS.items() if "Accept=yes" in text)


def test_the_one_unit_that_starts_while_opted_out_is_named():
    started = {unit for unit, text in UNITS.items() if "ConditionPathExists=!/etc/telemetrics/opt-out" not in text}
    section = PAGE.read_text().partition("## What each unit may")[2].partition("\n| unit")[0]
    assert started == set(re.findall(r"`(\S+\.\w+)`, which", section)) == {"telem-collector.service"}


def test_as_many_may_ask_the_control_socket_as_telemd_lets():
    header = (paths.REPO / "src" / "daemon" / "control.h").read_text()
    limits = {what: limit for what, limit, _ in table_with("| | limit |")}
    assert limits["connections to telemd's control socket"] == re.search(r"kMaxClients = (\d+);", header)[1]
