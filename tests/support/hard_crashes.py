"""The crashes that are hard to tell of: real programs, built on the machine that runs the test."""

import dataclasses
import os
import pathlib
import re
import subprocess
import sysconfig
import typing

import pytest

from . import paths
from .crashes import find_tool

SOURCES = paths.REPO / "tests" / "data" / "crashes"

# What every program has in its arguments and environment; canaries.h puts more into its memory.
ARGUMENT = "CANARY-ARGUMENT"
ENVIRONMENT = {"SECRET": "CANARY-ENVIRONMENT"}
# "CANARY" as text, and as canaries.h puts it into registers.
CANARIES = re.compile(r"CANARY|YRANAC|NARARYRE|455259524152414e|4e41524152595245", re.I)


def run(*command, **how):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **how)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def compile_c(folder, source, *flags, compiler=("gcc",), output=None):
    program = folder / (output or pathlib.Path(source).stem)
    run(find_tool(*compiler), "-w", "-I", SOURCES, SOURCES / source, "-o", program, *flags, cwd=folder)
    return program


def strip_to_debug_file(program):
    """Moves what names functions to PROGRAM.debug, which .gnu_debuglink then names."""
    objcopy = find_tool("objcopy")
    debug = program.with_name(program.name + ".debug")
    run(objcopy, "--only-keep-debug", program, debug)
    run(objcopy, "--strip-all", program)
    run(objcopy, f"--add-gnu-debuglink={debug}", program, cwd=program.parent)
    return program


def strip_to_minidebuginfo(program):
    """As Fedora does: the symbol table alone, compressed, in a section of the program."""
    objcopy = find_tool("objcopy")
    mini = program.with_name("mini")
    run(objcopy, "--strip-debug", "--remove-section=.comment", program, mini)
    run(objcopy, "--only-keep-debug", mini)
    run(find_tool("xz"), "--force", mini)
    run(objcopy, "--strip-all", program)
    run(objcopy, f"--add-section=.gnu_debugdata={mini}.xz", program)
    return program


def plain(*flags, compiler=("gcc",), finish=None):
    def build(folder):
        program = compile_c(folder, "plain.c", *flags, compiler=compiler)
        if finish is not None:
            finish(program)
        return [program]
    return build


def simple(source, *flags, compiler=("gcc",)):
    return lambda folder: [compile_c(folder, source, *flags, compiler=compiler)]


def rust(mangling):
    def build(folder):
        program = folder / "panic"
        # Only a compiler of tomorrow can still choose the old one.
        run(find_tool("rustc"), "-Zunstable-options", f"-Csymbol-mangling-version={mangling}",
            "-Cpanic=abort", "-O", "-g", SOURCES / "panic.rs", "-o", program, cwd=folder,
            env={**os.environ, "RUSTC_BOOTSTRAP": "1"})
        return [program]
    return build


def go(folder):
    program = folder / "nil"
    run(find_tool("go"), "build", "-o", program, SOURCES / "nil.go", cwd=folder,
        env={**os.environ, "GOFLAGS": "", "GO111MODULE": "off"})
    return [program]


def node(folder):
    del folder
    # Baseline code for every function, so that it is there before a function is hot.
    return [find_tool("node"), "--always-sparkplug", SOURCES / "jit.js"]


def python_extension(folder):
    python = "/usr/bin/python3"
    include = pathlib.Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").exists():
        pytest.skip("no Python.h on this machine")
    compile_c(folder, "extension.c", "-g", "-O2", "-shared", "-fPIC", f"-I{include}",
              output="extension.so")
    return [python, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n"
            "import extension\n"
            "def work(secret): return extension.scale(secret)\n"
            "work('CANARY-' + 'ON-HEAP')"]


def library(folder):
    compile_c(folder, "library.c", "-g", "-O1", "-shared", "-fPIC", output="libload.so.1")
    return [compile_c(folder, "uses_library.c", "-g", "-O1", folder / "libload.so.1",
                      f"-Wl,-rpath,{folder}")]


@dataclasses.dataclass
class Case:
    name: str
    build: typing.Callable  # folder -> command
    names: list  # of the thread that crashed, in this order, maybe with others between them
    first: str = ""  # the module of the first frame, where it matters
    inlined: list = dataclasses.field(default_factory=list)  # names of inlined calls
    lines: bool = False  # whether the first named frame has a source line
    arguments: bool = True  # whether it can be given one


TABLELESS = ("-fno-asynchronous-unwind-tables", "-fno-unwind-tables")
PLAIN = ["parse_header", "run", "main"]

CASES = [
    Case("debug_information", plain("-g", "-O2"), PLAIN, inlined=["load"], lines=True),
    Case("compressed_debug_information", plain("-g", "-gz", "-O2"), PLAIN, inlined=["load"], lines=True),
    Case("dwarf_4", plain("-gdwarf-4", "-O2"), PLAIN, inlined=["load"], lines=True),
    Case("clang", plain("-g", "-O2", compiler=("clang-19", "clang")), PLAIN, inlined=["load"], lines=True),
    Case("no_tables_with_frame_pointers",
         plain("-O2", "-fno-omit-frame-pointer", *TABLELESS), PLAIN),
    Case("no_tables_without_frame_pointers", plain("-O2", "-fomit-frame-pointer", *TABLELESS), PLAIN),
    Case("no_tables_at_all", plain("-O2", "-fno-omit-frame-pointer", "-static", *TABLELESS,
                                   finish=lambda p: run("objcopy", "--remove-section=.eh_frame",
                                                        "--remove-section=.eh_frame_hdr", p)), PLAIN),
    Case("static", plain("-O2", "-static"), PLAIN),
    Case("static_pie", plain("-O2", "-static-pie"), PLAIN),
    Case("musl", plain("-g", "-O2", compiler=("musl-gcc",)), PLAIN, inlined=["load"], lines=True),
    Case("musl_static", plain("-O2", "-static", compiler=("musl-gcc",)), PLAIN),
    Case("stripped", plain("-O2", "-s"), [], first="plain"),
    Case("stripped_with_debuglink", plain("-g", "-O2", finish=strip_to_debug_file), PLAIN,
         inlined=["load"], lines=True),
    Case("stripped_with_debuglink_without_build_id",
         plain("-g", "-O2", "-Wl,--build-id=none", finish=strip_to_debug_file), PLAIN,
         inlined=["load"], lines=True),
    Case("minidebuginfo", plain("-O2", finish=strip_to_minidebuginfo), PLAIN),
    Case("cpp_exception", simple("exception.cc", "-g", "-O2", compiler=("g++",)),
         ["abort", "__cxa_throw", "shop::Cart<std::vector<int, std::allocator<int> > >::Price",
          "shop::Sum", "main"], first="libc.so.6", inlined=["shop::Sum"]),
    Case("cpp_exception_without_debug_information", simple("exception.cc", "-O2", compiler=("g++",)),
         ["abort", "__cxa_throw", "shop::Cart<std::vector<int, std::allocator<int> > >::Price",
          "shop::Sum", "main"]),
    Case("rust_panic_v0", rust("v0"),
         ["core::panicking::panic_bounds_check", "<panic::Table<u16> as panic::Load>::load",
          "panic::deep::er::run", "panic::main"]),
    Case("rust_panic_legacy", rust("legacy"),
         ["core::panicking::panic_bounds_check", "<panic::Table<T> as panic::Load>::load",
          "panic::deep::er::run", "panic::main"]),
    Case("go", go, ["runtime.raise", "runtime.sigpanic", "main.(*Server).Serve", "main.main",
                    "runtime.goexit"], lines=True),
    Case("generated_code", node, ["abort", "node::Abort", "???", "Builtins_JSEntry", "node::Start"],
         arguments=False),
    Case("python_extension", python_extension, ["scale", "extension_scale", "_PyEval_EvalFrameDefault"],
         first="extension.so", lines=True),
    Case("threads", simple("threads.c", "-g", "-O2", "-pthread"), ["fail", "main"], lines=True),
    Case("recursion", simple("recursion.c", "-g", "-O1"), ["walk_left", "walk_right"] * 20),
    Case("smashed_stack", simple("smash.c", "-g", "-O1", "-fno-stack-protector"), ["parse_name"],
         lines=True),
    Case("smashed_stack_that_is_noticed", simple("smash.c", "-g", "-O1", "-fstack-protector-all"),
         ["abort", "__stack_chk_fail", "parse_name"]),
    Case("signal_handler", simple("signal_handler.c", "-g", "-O1"),
         ["report", "on_signal", "__restore_rt", "raise", "work", "main"], lines=True),
    Case("wild_call", simple("wild_call.c", "-g", "-O1"), ["???", "notify", "main"]),
    Case("vdso", simple("vdso.c", "-g", "-O1"), ["clock_gettime", "read_clock", "main"], first="[vdso]"),
]


def build(case, folder):
    """The command that crashes."""
    command = [str(word) for word in case.build(folder)]
    return command + ([ARGUMENT] if case.arguments else [])


def environment():
    return {**os.environ, **ENVIRONMENT}


def without_alias(name):
    """Debian's debug files know functions of the C library under their inner names."""
    for start in ("__GI_", "__vdso_"):
        name = name.removeprefix(start)
    return name


def expect_in_order(names, expected):
    """Whether `expected` are among `names` in this order, maybe with others between them."""
    rest = iter(map(without_alias, names))
    for wanted in expected:
        assert any(name == wanted for name in rest), f"no {wanted} where it belongs: {names}"
