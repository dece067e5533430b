#!/usr/bin/env python3
"""Shows which folder of src/ includes which, and fails on an include that points up or sideways.

Usage: include_map.py [ROOT]

ROOT is the folder that holds src/ and include/ (default: the one above this script). Exit 1 when
an include is not in the table below, or names a file that is not there.
"""
import collections
import pathlib
import re
import sys

# Who may look at whom; docs/architecture.md explains the rows. "include" are the public headers.
# A folder may always look at itself. Programs do not look at each other. A line for a folder
# inside another counts instead of the outer one's.
MAY_INCLUDE = {
    # ground
    "base": [],
    # parts
    "record": ["base"],
    "ipc": ["base"],
    "unwind": ["base"],
    "config": ["base", "record"],  # a setting is valid when the record's rules say so
    # state
    "store": ["base", "record"],
    "client": ["base", "record", "config", "ipc", "include"],
    # programs
    "daemon": ["base", "record", "config", "ipc", "store"],
    "deliver": ["base", "record"],
    "generator": ["base", "config"],
    # through the public header, as a stranger's probe would
    "probes": ["base", "record", "config", "include"],
    "probes/crash": ["base", "record", "config", "unwind", "include"],
    # shows people the bytes that libtelemetry would send, asks telemd's journal what it has had, and
    # wakes telemd
    "probes/common": ["base", "record", "config", "ipc", "store", "client", "include"],
    "ctl": ["base", "record", "config", "ipc", "store"],
    "collector": ["base", "record", "config"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([^">]+)[">]', re.MULTILINE)


def includes_of(root, file):
    """Which of our own headers `file` includes: (name as written, folder); folder None if missing."""
    for name in INCLUDE.findall(file.read_text(encoding="utf-8")):
        if (root / "include" / name).is_file():
            yield name, "include"
        elif name.split("/")[0] in MAY_INCLUDE:
            yield name, name.split("/")[0] if (root / "src" / name).is_file() else None


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__.strip())
        return 0 if len(sys.argv) == 2 else 2
    root = pathlib.Path(sys.argv[1] if len(sys.argv) == 2 else pathlib.Path(__file__).parents[1])
    counts = collections.defaultdict(collections.Counter)
    mistakes = []
    files = [path for path in (root / "src").rglob("*") if path.suffix in (".cc", ".h", ".c")]
    for file in sorted(files):
        parts = file.relative_to(root / "src").parts
        folder = parts[0]
        allowed = MAY_INCLUDE.get("/".join(parts[:2]), MAY_INCLUDE.get(folder))
        if allowed is None:
            mistakes.append(f"{file.relative_to(root)}: folder '{folder}' is not in the table")
            continue
        for name, target in includes_of(root, file):
            if target is None:
                # Headers that the build makes lie in the build folder.
                if "generated" not in name:
                    mistakes.append(f"{file.relative_to(root)}: no such header: {name}")
            elif target != folder:
                counts[folder][target] += 1
                if target not in allowed:
                    mistakes.append(f"{file.relative_to(root)}: {folder} must not include {name}")
    for file in (root / "include").glob("*"):
        for name in re.findall(r'#\s*include\s*"', file.read_text(encoding="utf-8")):
            mistakes.append(f"{file.relative_to(root)}: a public header includes {name}")

    for folder in MAY_INCLUDE:
        if counts[folder]:
            targets = ", ".join(f"{target} ({n})" for target, n in sorted(counts[folder].items()))
            print(f"{folder:10} -> {targets}")
    for mistake in mistakes:
        print(f"include_map: {mistake}", file=sys.stderr)
    return 1 if mistakes else 0


sys.exit(main())
