"""Where the programs under test are."""

import atexit
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TELEMETRICS_BUILD", REPO / "build" / "release")).resolve()

TELEMD = BUILD / "bin" / "telemd"
TELEMCTL = BUILD / "bin" / "telemctl"
TELEM_RECORD_GEN = BUILD / "bin" / "telem-record-gen"
TELEM_COLLECTOR = BUILD / "bin" / "telem-collector"
TELEM_DELIVER = BUILD / "libexec" / "telemetrics" / "telem-deliver"
LIBTELEMETRY = BUILD / "lib" / "libtelemetry.so.4"


@functools.cache
def _programs_for_everybody():
    """A copy of the programs where every user can run them: the build may lie in a home folder that
    others cannot enter."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="telem-programs-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder)
    for program in (TELEMD, TELEM_DELIVER, TELEMCTL, TELEM_RECORD_GEN):
        if not program.exists():
            continue  # not made in this build; whoever needs it will say so
        copy = folder / program.relative_to(BUILD)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(program, copy)
    return folder


def program_for_everybody(program):
    return _programs_for_everybody() / program.relative_to(BUILD)


def telemd_for_everybody():
    """With the telem-deliver that it looks for."""
    return program_for_everybody(TELEMD)


def golden(name):
    """A folder or file of the golden bytes, or None where they are not at hand."""
    folder = os.environ.get("TELEMETRICS_GOLDEN")
    if not folder:
        return None
    path = pathlib.Path(folder) / name
    return path if path.exists() else None


def golden_files(pattern):
    """Golden files by a pattern like `frames/*.bin`; empty where they are not at hand."""
    folder = os.environ.get("TELEMETRICS_GOLDEN")
    return sorted(pathlib.Path(folder).glob(pattern)) if folder else []


def is_sanitized():
    """Whether the build under test carries a sanitizer, which needs memory of its own."""
    cache = BUILD / "CMakeCache.txt"
    if not cache.exists():
        return False
    for line in cache.read_text().splitlines():
        if line.startswith("TELEMETRICS_SANITIZE:"):
            return line.split("=", 1)[1] != ""
    return False


@functools.cache
def sanitizer_runtime():
    """AddressSanitizer's library where the build carries it: it has to be the first that is loaded, also
    in programs that were not built with it and load something that was."""
    if not is_sanitized():
        return []
    loaded = subprocess.run(["ldd", TELEMD], capture_output=True, text=True, check=True).stdout
    return re.findall(r"=> (\S*libasan\.so\S*)", loaded)


def strangers_environment():
    """For a program that loads libtelemetry and was not built as it was. What such a program leaves
    behind when it ends, such as Python, is no concern of ours."""
    if not is_sanitized():
        return dict(os.environ)
    return dict(os.environ, LD_PRELOAD=":".join(sanitizer_runtime()), ASAN_OPTIONS="detect_leaks=0")


def stem(path):
    """A golden file's name as the name of its test; pytest asks also where there is no file."""
    return getattr(path, "stem", None)
