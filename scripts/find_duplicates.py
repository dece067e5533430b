#!/usr/bin/env python3
"""Finds passages of code that stand in two places, and fails when there is one.

Usage: find_duplicates.py [ROOT]

Compares lines without their indentation, blank lines, comments and includes; a passage is at least
12 such lines. Looks at src/, include/, web/, bench/, fuzz/ and tests/ below ROOT (default: the
folder above this script).
"""
import collections
import pathlib
import re
import sys

PASSAGE = 12  # shorter ones are as a rule the shape of the language, not a copy
FOLDERS = ("src", "include", "web", "bench", "fuzz", "tests")
SUFFIXES = (".c", ".cc", ".h", ".hpp", ".ts", ".py")
NO_CODE = re.compile(r"^(//|#include|#pragma|import |from |\*|/\*|#(?!\w)|[})\];,]*$)")


def code_lines(file):
    """(line number, text) of the lines that count."""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not NO_CODE.match(text):
            yield number, text


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    root = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else pathlib.Path(__file__).parents[1])
    places = collections.defaultdict(list)
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix not in SUFFIXES or "node_modules" in file.parts:
                continue
            lines = list(code_lines(file))
            for i in range(len(lines) - PASSAGE + 1):
                passage = tuple(text for _, text in lines[i : i + PASSAGE])
                places[passage].append((file.relative_to(root), lines[i][0], i))
    # Of a longer passage only the beginning is told.
    told = set()
    found = 0
    for where in places.values():
        for (file, line, i), (other, other_line, j) in zip(where, where[1:]):
            if (file, i - 1, other, j - 1) not in told:
                print(f"find_duplicates: {file}:{line} and {other}:{other_line}", file=sys.stderr)
                found += 1
            told.add((file, i, other, j))
    return 1 if found else 0


sys.exit(main())
