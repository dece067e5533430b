#!/usr/bin/env python3
"""Makes tests/data/crash-stacks.txt: what crashprobe says of the same bugs in many builds.

Usage: scripts/crash_stacks.py [--build DIR] [--out FILE] [--only TEXT]... [--jobs N]

Builds the programs in tests/data/causes with every compiler and option of the list below, and the hard
cases of tests/support/hard_crashes.py that have debug information, lets each of their bugs crash, and
writes down the stack that crashprobe reports, with the name of the bug and of the build. docs/signatures.md says what the table is for. Needs gcc, g++, clang-19, musl-tools, binutils,
rustc and go (those of Debian and others that come first in the PATH), and a kernel that writes cores into
the folder of the process (kernel.core_pattern = core).

  --build DIR   the build folder with crashprobe (default: build/release)
  --out FILE    where to write the table (default: tests/data/crash-stacks.txt)
  --only TEXT   only builds with TEXT in their name; may be given more than once
  --jobs N      how many builds to go through at once (default: the number of processors)
"""

import argparse
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[1]
SOURCES = REPO / "tests" / "data" / "causes"
sys.path.insert(0, str(REPO / "tests"))

# How often a crash is looked into that crashprobe could not do in its time, as on a loaded machine.
TRIES = 20
# Frames of a stack that are written down: an endless recursion shows itself in fewer.
MAX_FRAMES = 48
# Name, and the command that builds SOURCE into OUT. All have debug information, since what a compiler
# inlines has no other name.
C = "-g -w -pthread SOURCE -o OUT"
CPP = "-g -w -std=c++17 -pthread SOURCE -o OUT -lstdc++"
RUST = "-g -Cpanic=abort SOURCE -o OUT"
BUILDS = [
    ("causes.c", "gcc -O0", f"gcc -O0 {C}"),
    ("causes.c", "gcc -O1", f"gcc -O1 {C}"),
    ("causes.c", "gcc -O2", f"gcc -O2 {C}"),
    ("causes.c", "gcc -O3", f"gcc -O3 {C}"),
    ("causes.c", "gcc -Os", f"gcc -Os {C}"),
    ("causes.c", "gcc -O2 -fno-inline", f"gcc -O2 -fno-inline {C}"),
    ("causes.c", "gcc -O2 -flto", f"gcc -O2 -flto {C}"),
    ("causes.c", "gcc -O2 -fno-omit-frame-pointer", f"gcc -O2 -fno-omit-frame-pointer {C}"),
    ("causes.c", "gcc -O2 -no-pie", f"gcc -O2 -no-pie {C}"),
    ("causes.c", "gcc -O2 -static", f"gcc -O2 -static {C}"),
    ("causes.c", "gcc -O2 -static-pie", f"gcc -O2 -static-pie {C}"),
    ("causes.c", "gcc -O2 -D_FORTIFY_SOURCE=2", f"gcc -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong {C}"),
    ("causes.c", "gcc -O2 -gdwarf-4", f"gcc -O2 -gdwarf-4 {C}"),
    ("causes.c", "gcc -O2 stripped, debuglink", f"gcc -O2 {C} && STRIP"),
    ("causes.c", "gcc -O1 other folder", f"MOVE && gcc -O1 {C}"),
    ("causes.c", "clang -O0", f"clang-19 -O0 {C}"),
    ("causes.c", "clang -O1", f"clang-19 -O1 {C}"),
    ("causes.c", "clang -O2", f"clang-19 -O2 {C}"),
    ("causes.c", "clang -Os", f"clang-19 -Os {C}"),
    ("causes.c", "musl gcc -O1", f"musl-gcc -O1 {C}"),
    ("causes.cc", "g++ -O0", f"g++ -O0 {CPP}"),
    ("causes.cc", "g++ -O1", f"g++ -O1 {CPP}"),
    ("causes.cc", "g++ -O2", f"g++ -O2 {CPP}"),
    ("causes.cc", "g++ -O3", f"g++ -O3 {CPP}"),
    ("causes.cc", "g++ -Os", f"g++ -Os {CPP}"),
    ("causes.cc", "g++ -O2 -fno-inline", f"g++ -O2 -fno-inline {CPP}"),
    ("causes.cc", "g++ -O2 -flto", f"g++ -O2 -flto {CPP}"),
    ("causes.cc", "g++ -O2 -static", f"g++ -O2 -static {CPP}"),
    ("causes.cc", "g++ -O2 stripped, debuglink", f"g++ -O2 {CPP} && STRIP"),
    ("causes.cc", "g++ -O1 -std=c++20 other folder", f"MOVE && g++ -O1 {CPP} -std=c++20"),
    ("causes.cc", "clang++ -O0", f"clang-19 -O0 {CPP}"),
    ("causes.cc", "clang++ -O1", f"clang-19 -O1 {CPP}"),
    ("causes.cc", "clang++ -O2", f"clang-19 -O2 {CPP}"),
    ("causes.rs", "rustc", f"rustc {RUST}"),
    ("causes.rs", "rustc -O", f"rustc -O {RUST}"),
    ("causes.rs", "rustc opt-level=s", f"rustc -Copt-level=s {RUST}"),
    ("causes.rs", "rustc -O v0", f"rustc -O -Csymbol-mangling-version=v0 {RUST}"),
    ("causes.rs", "rustc -O lto", f"rustc -O -Clto {RUST}"),
    ("causes.rs", "rustc -O legacy", f"RUSTC_BOOTSTRAP=1 rustc -Zunstable-options -O -Csymbol-mangling-version=legacy {RUST}"),
    ("causes.rs", "rustc -O stripped, debuglink", f"rustc -O {RUST} && STRIP"),
    ("causes.rs", "Debian's rustc", f"/usr/bin/rustc {RUST}"),
    ("causes.rs", "Debian's rustc -O", f"/usr/bin/rustc -O {RUST}"),
    ("causes.rs", "Debian's rustc -O v0", f"/usr/bin/rustc -O -Csymbol-mangling-version=v0 {RUST}"),
    ("causes.go", "go", "go build -o OUT SOURCE"),
    ("causes.go", "go -N -l", "go build -gcflags='-N -l' -o OUT SOURCE"),
    ("causes.go", "go -l", "go build -gcflags=-l -o OUT SOURCE"),
    ("causes.go", "go -buildmode=pie", "go build -buildmode=pie -o OUT SOURCE"),
    ("causes.go", "go -trimpath other folder", "MOVE && go build -trimpath -o OUT SOURCE"),
    ("causes.go", "Debian's go", "/usr/bin/go build -o OUT SOURCE"),
    ("causes.go", "Debian's go -N -l", "/usr/bin/go build -gcflags='-N -l' -o OUT SOURCE"),
]

# Hard cases (tests/support/hard_crashes.py), and what is wrong in each.
HARD_CASES = {
    "debug_information": "bad_header",
    "compressed_debug_information": "bad_header",
    "dwarf_4": "bad_header",
    "clang": "bad_header",
    "musl": "bad_header",
    "stripped_with_debuglink": "bad_header",
    "stripped_with_debuglink_without_build_id": "bad_header",
    "cpp_exception": "no_price",
    "rust_panic_v0": "row_out_of_bounds",
    "rust_panic_legacy": "row_out_of_bounds",
    "go": "server_is_nil",
    "python_extension": "wrong_scale",
    "threads": "one_of_many_threads",
    "recursion": "endless_walk",
    "smashed_stack_that_is_noticed": "name_too_long",
    "signal_handler": "handler_of_a_signal",
    "wild_call": "wild_call",
    "vdso": "clock_of_nobody",
}

STRIP = ("objcopy --only-keep-debug OUT OUT.debug && objcopy --strip-all OUT && "
         "objcopy --add-gnu-debuglink=OUT.debug OUT")
MOVE = "mkdir -p elsewhere/src && cp SOURCE elsewhere/src/ && cd elsewhere/src"


def build(source, command, folder):
    """The program; every build has its own folder, and all programs of a language the same name."""
    program = folder / ("causes-" + source.rsplit(".", 1)[1])
    if command.startswith("MOVE"):
        command = command.replace("MOVE", MOVE, 1).replace("SOURCE", str(SOURCES / source), 1)
        command = command.replace("SOURCE", source)
    command = command.replace("STRIP", STRIP)
    command = command.replace("SOURCE", str(SOURCES / source)).replace("OUT", str(program))
    done = subprocess.run(["sh", "-e", "-c", command], cwd=folder, stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "GO111MODULE": "off", "GOFLAGS": ""})
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stderr}")
    return program


def stack_of(payload):
    """The frames of the thread that crashed: lines of a real record."""
    lines = payload.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("Backtrace (TID "))
    frames = []
    for line in lines[start + 1:]:
        if not line.startswith("#"):
            break
        frames.append(line)
    return frames[:MAX_FRAMES]


def block_of(cause, name, core, folder):
    """What crashprobe says of a core, as the table has it."""
    # What is imported here asks for the build folder when it is imported.
    from support.crashes import payload_of, run_crashprobe, write_config
    config = write_config(folder)
    for _ in range(TRIES):
        payload = payload_of(run_crashprobe(config, "-n", "-c", core))
        if "\nAnalysis: " not in payload:
            break
    else:
        sys.exit(f"crash_stacks.py: {name}, {cause}: crashprobe does not get to its end in its "
                 f"time; is this machine busy?\n{payload}")
    core.unlink()
    return "\n".join([f"Cause: {cause}", f"Build: {name}", *stack_of(payload)])


def stack_of_hard_case(name, cause):
    from support import hard_crashes
    from support.crashes import make_core
    case = next(case for case in hard_crashes.CASES if case.name == name)
    with tempfile.TemporaryDirectory(prefix="crash-stacks-") as top:
        folder = pathlib.Path(top)
        command = hard_crashes.build(case, folder)
        language = "rustc, " if name.startswith("rust") else ""
        return block_of(cause, f"{language}hard case {name}", make_core(command, folder), folder)


def stacks_of_build(source, name, command):
    from support.crashes import make_core
    blocks = []
    with tempfile.TemporaryDirectory(prefix="crash-stacks-") as top:
        folder = pathlib.Path(top)
        program = build(source, command, folder)
        causes = subprocess.run([program], capture_output=True, text=True, check=True).stdout.split()
        cores = folder / "cores"
        cores.mkdir()
        for cause in causes:
            blocks.append(block_of(cause, name, make_core([program, cause], cores), folder))
    return blocks


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--build", type=pathlib.Path, default=REPO / "build" / "release")
    parser.add_argument("--out", type=pathlib.Path, default=REPO / "tests" / "data" / "crash-stacks.txt")
    parser.add_argument("--only", action="append")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    os.environ["TELEMETRICS_BUILD"] = str(arguments.build.resolve())
    chosen = [row for row in BUILDS if not arguments.only or any(text in row[1] for text in arguments.only)]
    hard = [(name, cause) for name, cause in HARD_CASES.items()
            if not arguments.only or any(text in f"hard case {name}" for text in arguments.only)]
    if not chosen and not hard:
        sys.exit("crash_stacks.py: no build has such a name")
    blocks = []
    with concurrent.futures.ProcessPoolExecutor(arguments.jobs) as pool:
        for found in pool.map(stacks_of_build, *zip(*chosen)) if chosen else ():
            blocks += found
        blocks += pool.map(stack_of_hard_case, *zip(*hard)) if hard else ()
    text = "# Made by scripts/crash_stacks.py, from real crashes.\n\n" + "\n\n".join(sorted(blocks)) + "\n"
    arguments.out.write_text(text)
    print(f"{len(blocks)} stacks")


if __name__ == "__main__":
    main()
