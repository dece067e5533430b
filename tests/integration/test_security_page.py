"""docs/security.md names each door for foreign bytes, with its fuzz target."""

import re

from support import paths


def test_each_fuzz_target_stands_beside_its_door():
    page = (paths.REPO / "docs" / "security.md").read_text()
    table = re.search(r"^\| door \|.*?\n\n", page, re.M | re.S)[0]
    named = {name for row in table.strip().splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[-2])}
    targets = {path.name.removesuffix("_fuzz.cc") for path in (paths.REPO / "fuzz").glob("*_fuzz.cc")}
    # These read files that no foreigner writes, and texts that came through another door.
    own = {"crash_counts", "journal_state", "masking"}
    assert named == targets - own
