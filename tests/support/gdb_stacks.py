"""What gdb says of the stacks in a core, and how much of it somebody else says, too."""

import dataclasses
import json
import os
import pathlib
import re
import subprocess

from .waiting import DEADLINE

INSIDE = pathlib.Path(__file__).with_name("gdb_inside.py")


@dataclasses.dataclass(frozen=True)
class Frame:
    function: str | None  # as plain_function() has it
    module: str | None  # the file's name


def _without_brackets(name, opening, closing, kept):
    """Without what is in brackets, but for the texts in `kept`."""
    out = ""
    depth = 0
    for i, c in enumerate(name):
        if depth == 0 and any(name.startswith(text, i) for text in kept):
            kept_text = next(text for text in kept if name.startswith(text, i))
            out += kept_text[0]
            continue
        if c == opening and not out.endswith("operator"):
            depth += 1
        if depth == 0:
            out += c
        if c == closing and depth > 0 and name[i - 1] != "-":
            depth -= 1
    return out


def plain_function(name):
    """Without arguments and template arguments, which debuggers write differently."""
    if name is None or name.startswith("???"):
        return None
    name = name.replace("(anonymous namespace)", "{anonymous}").replace("@plt", "")
    name = re.sub(r"\(\*(\w+)\)", r"{*\1}", name)
    if name.startswith("<"):  # Rust: <Type as Trait>::method
        return re.sub(r"\(\)$", "", name)
    name = _without_brackets(name, "(", ")", ())
    name = _without_brackets(name, "<", ">", ("<lambda",))
    name = re.sub(r"\[clone.*|( const)+$", "", name).strip()
    return re.sub(r"::$", "", name).split(" ")[-1] if "operator" not in name else name


def _demangled(names):
    done = subprocess.run(["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True)
    # The hashes of Rust's crates and of its old names
    return [re.sub(r"\[[0-9a-f]{10,16}\]|::h[0-9a-f]{16}$", "", name) for name in done.stdout.splitlines()]


def read(gdb, program, core, limit=256):
    """Stacks by thread id, innermost frame first, inlined calls included."""
    done = subprocess.run([gdb, "-nx", "-batch", "-x", INSIDE, program, core], capture_output=True, text=True,
                          env={**os.environ, "LIMIT": str(limit)}, timeout=20 * DEADLINE)
    line = next((line for line in done.stdout.splitlines() if line.startswith("STACKS ")), None)
    assert line, done.stdout + done.stderr
    stacks = json.loads(line.removeprefix("STACKS "))
    mangled = sorted({frame["linkage"] for frames in stacks.values() for frame in frames
                      if (frame["linkage"] or "").startswith(("_Z", "_R"))})
    names = dict(zip(mangled, _demangled(mangled)))
    return {int(tid): [Frame(plain_function(names.get(f["linkage"], f["function"])), f["module"])
                       for f in frames] for tid, frames in stacks.items()}


def same_frames(ours, theirs):
    """The indices of those of `theirs` that `ours` has in the same order: the longest common
    subsequence."""
    best = [[0] * (len(theirs) + 1) for _ in range(len(ours) + 1)]
    for i in range(len(ours) - 1, -1, -1):
        for j in range(len(theirs) - 1, -1, -1):
            best[i][j] = best[i + 1][j + 1] + 1 if ours[i] == theirs[j] else max(best[i + 1][j],
                                                                               best[i][j + 1])
    found = []
    i = j = 0
    while i < len(ours) and j < len(theirs):
        if ours[i] == theirs[j]:
            found.append(j)
            i += 1
            j += 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
