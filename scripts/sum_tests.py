#!/usr/bin/env python3
"""Sums up the results that scripts/test leaves in a folder, in one line.

Usage: sum_tests.py FOLDER

Counts cases, not programs: unit/*.xml is from GoogleTest, one file a program; pytest.xml is from
pytest; ctest.xml is from ctest and counts where a test wrote no file of its own, because it is no
GoogleTest program or because it died, and where a program failed although none of its cases did.

Exit 1 when a case failed or none was run.
"""
import collections
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None:
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
        return "skipped"
    return "passed"


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    folder = pathlib.Path(sys.argv[1])
    counts = collections.Counter()
    unit = {file.stem: file for file in (folder / "unit").glob("*.xml")}
    failed_programs = set()
    for file in [*unit.values(), folder / "pytest.xml"]:
        if not file.exists():  # pytest did not come to its end; its exit status says so
            continue
        for case in ElementTree.parse(file).iter("testcase"):
            counts[outcome(case)] += 1
            if outcome(case) == "failed":
                failed_programs.add(file.stem)
            reason = case.find("skipped")
            if file.stem in unit and reason is not None:
                text = (reason.get("message") or "").strip().splitlines()
                print(f"SKIPPED {case.get('classname')}.{case.get('name')}: {' '.join(text)}")
    for case in ElementTree.parse(folder / "ctest.xml").iter("testcase"):
        name = case.get("name")
        if name not in unit or (outcome(case) == "failed" and name not in failed_programs):
            counts[outcome(case)] += 1
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return 1 if counts["failed"] or not counts["passed"] else 0


sys.exit(main())
