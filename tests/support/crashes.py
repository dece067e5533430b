"""Programs that crash, and what crashprobe makes of them."""

import os
import pathlib
import re
import resource
import shutil
import subprocess

import pytest

from . import paths
from .core_pattern import locked_settings
from .waiting import DEADLINE

CRASHPROBE = paths.BUILD / "bin" / "crashprobe"

needs_crashprobe = pytest.mark.skipif(
    not CRASHPROBE.exists() or paths.is_sanitized(),
    reason="crashprobe's sandbox refuses what a sanitizer needs" if CRASHPROBE.exists()
    else "crashprobe was left out of this build")

FRAME = re.compile(r"#(\d+) (.*?) - \[(.*?)\](?: - (.+?):(\d+))?(?: \+0x([0-9a-f]+))?( \(inlined\))?$")


class Frame:
    def __init__(self, match):
        self.number = int(match[1])
        self.function = match[2]
        self.module = match[3]
        self.file = match[4]
        self.line = int(match[5]) if match[5] else None
        self.offset = int(match[6], 16) if match[6] else None
        self.inlined = bool(match[7])

    @property
    def name(self):
        """Without arguments; "main.(*Type).Method" and "(anonymous namespace)::f" are names."""
        return re.sub(r"\((?!\*|anonymous namespace).*", "", self.function)

    def __repr__(self):
        return f"#{self.number} {self.function} [{self.module}] {self.file}:{self.line}"


class Report:
    """A payload of crashprobe."""

    def __init__(self, payload):
        self.payload = payload
        self.threads = []  # (tids, frames), the one that crashed first
        self.modules = {}
        for block in payload.split("\n\n"):
            lines = block.strip("\n").split("\n")
            if lines[0].startswith("Backtrace (TID "):
                tids = lines[0][len("Backtrace (TID "):-2].split(", ")
                frames = [Frame(match) for match in map(FRAME.match, lines[1:]) if match]
                self.threads.append((tids, frames))
            elif lines[0] == "Modules:":
                self.modules = {line.rsplit(" ", 2)[0]: line.split()[-2] for line in lines[1:]}

    def field(self, name):
        match = re.search(rf"^{name}: (.*)$", self.payload, re.M)
        return match[1] if match else None

    @property
    def frames(self):
        return self.threads[0][1]

    @property
    def names(self):
        return [frame.name for frame in self.frames]

    @property
    def stable(self):
        return re.search(r"^Signature: (s1:[0-9a-f]{16}) ", self.payload, re.M)[1]

    @property
    def exact(self):
        return re.search(r" exact: (e1:[0-9a-f]{16})$", self.payload, re.M)[1]


def find_tool(*names):
    """The first of these programs that is there, or the test is skipped."""
    for name in names:
        if found := shutil.which(name):
            return found
    pytest.skip(f"no {' or '.join(names)} on this machine")


def files_are_cores():
    """Whether the kernel writes a core into the folder of the process that crashes."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    return pattern != "" and pattern[0] not in "|@/"


def make_core(command, folder, environment=None):
    """Runs `command` in `folder` until it crashes; its core."""
    with locked_settings():
        return _make_core(command, folder, environment)


def _make_core(command, folder, environment):
    if not files_are_cores():
        pytest.skip("this machine does not write cores into the folder of the process")
    before = set(folder.iterdir())

    def allow_core():
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))

    done = subprocess.run([str(word) for word in command], cwd=folder, preexec_fn=allow_core,
                          stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, env=environment or dict(os.environ),
                          timeout=4 * DEADLINE)
    cores = [path for path in set(folder.iterdir()) - before if path.name.startswith("core")]
    if not cores:
        assert done.returncode < 0, done
        pytest.skip("no core was written: the core limit is 0, or the folder takes none")
    return cores[0]


def write_config(folder, **settings):
    """A configuration that reports every path in full and touches nothing outside of `folder`."""
    values = {"socket_path": folder / "socket", "config_dir": folder, "state_dir": folder,
              "cache_dir": folder, "crash_report_paths": "*", **settings}
    config = folder / "telemetrics.conf"
    lines = "".join(f"{key} = {str(value).replace(' ', chr(92) + 's')}\n"
                    for key, value in values.items())
    config.write_text("[settings]\n" + lines)
    return config


def run_crashprobe(config, *arguments, stdin=subprocess.DEVNULL, wrapper=(), **how):
    return subprocess.run([*wrapper, CRASHPROBE, "-f", config, *map(str, arguments)], stdin=stdin,
                          capture_output=True, timeout=4 * DEADLINE, **how)


def payload_of(done):
    """What -n printed, without the fifteen headers and the last newline."""
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    return "\n".join(text.split("\n")[15:])[:-1]


def report_core(config, core, *arguments):
    return Report(payload_of(run_crashprobe(config, "-n", "-c", core, *arguments)))
