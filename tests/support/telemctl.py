"""telemctl as a person runs it."""

import json
import os
import pty
import pwd
import select
import subprocess

from . import paths
from .waiting import DEADLINE


def _environment():
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC", "TERM": "xterm", "PAGER": "cat"}


def telemctl(machine, *arguments, input=None, user=None, group=None, groups=(), text=True, timeout=60):
    """Runs it with the machine's configuration, as another user (root only) where one is named."""
    program = paths.program_for_everybody(paths.TELEMCTL) if user else paths.TELEMCTL
    who = {}
    if user:
        entry = pwd.getpwnam(user)
        who = {"user": user, "group": group or entry.pw_gid, "extra_groups": groups}
    return subprocess.run(
        [program, "--config-file", machine.config, *map(str, arguments)], capture_output=True,
        text=text, input=input, stdin=subprocess.DEVNULL if input is None else None,
        env=_environment(), timeout=timeout, **who)


def answer(machine, *arguments, **how):
    """What it prints when all is well."""
    done = telemctl(machine, *arguments, **how)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def objects(machine, *arguments, **how):
    """The same for --json, taken apart."""
    return [json.loads(line) for line in answer(machine, *arguments, "--json", **how).splitlines()]


def complaint(machine, *arguments, code=1, **how):
    """What it says on standard error when it fails, without its name in front."""
    done = telemctl(machine, *arguments, **how)
    assert done.returncode == code, (arguments, done.returncode, done.stdout, done.stderr)
    return done.stderr.removeprefix("telemctl: ").rstrip("\n")


def on_terminal(machine, *arguments):
    """What it writes to a terminal, and its exit code."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(paths.TELEMCTL,
                  [str(paths.TELEMCTL), "--config-file", str(machine.config), *arguments],
                  _environment())
    seen = b""
    while select.select([terminal], [], [], DEADLINE)[0]:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # the other end is gone
            break
        if not data:
            break
        seen += data
    os.close(terminal)
    return seen, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
