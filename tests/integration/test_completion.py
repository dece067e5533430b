"""Completion in real shells, on a real terminal: what a person types, a tab, and what stands there
then. What is offered comes out of --help."""

import os
import pty
import re
import select
import shutil
import time

import pytest
from support import paths
from support.help_texts import help_texts
from support.waiting import DEADLINE

COMPLETION = paths.BUILD / "completion"
PROGRAMS = sorted(path.name for path in (COMPLETION / "bash").iterdir())

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             'for file in {dir}/bash/*; do . "$file"; done'),
    "zsh": (["zsh", "-f", "-i"],
            "fpath=({dir}/zsh $fpath); autoload -U compinit; compinit -D -u; unsetopt prompt_cr"),
    "fish": (["fish", "--no-config", "-i"],
             "for file in {dir}/fish/*; source $file; end"),
}


class Terminal:
    """A shell on a terminal of its own."""

    def __init__(self, shell, folder):
        command, load = SHELLS[shell]
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.environ.update(PATH=f"{paths.BUILD}/bin:{os.environ['PATH']}", HOME=str(folder),
                              TERM="dumb", XDG_DATA_HOME=str(folder), XDG_CONFIG_HOME=str(folder))
            os.execvp(command[0], command)
        self.screen = ""
        self.type(load.format(dir=COMPLETION) + "\n" + "echo loa''ded\n")
        self.wait_for("loaded")

    def type(self, text):
        self.screen = ""
        os.write(self._fd, text.encode())

    def wait_for(self, text):
        end = time.monotonic() + DEADLINE
        while text not in self.screen:
            left = end - time.monotonic()
            assert left > 0, self.screen
            if select.select([self._fd], [], [], left)[0]:
                self.screen += re.sub(r"\x1b[\[\]?0-9;>=]*[a-zA-Z\x07]?", "",
                                      os.read(self._fd, 65536).decode(errors="replace"))

    def close(self):
        os.close(self._fd)
        os.waitpid(self._pid, 0)


@pytest.fixture(params=SHELLS)
def terminal(request, folder):
    if shutil.which(request.param) is None:
        pytest.skip(f"no {request.param} on this machine")
    opened = Terminal(request.param, folder)
    yield opened
    opened.close()


@pytest.mark.parametrize("steps", [
    [("hprobe --heartb\t", "--heartbeat")],
    [("telemctl spo\t", "telemctl spool"), ("expo\t", "export")],
    [("telemctl journal --incl\t", "--include_record")],
    [("crashprobe --core-f\t", "--core-file"), ("/etc/hostn\t", "/etc/hostname")],
], ids=lambda steps: steps[0][0].strip())
def test_a_tab_completes(terminal, steps):
    for typed, there in steps:
        terminal.type(typed)
        terminal.wait_for(there)


def test_every_program_that_people_call_has_completion():
    assert set(PROGRAMS) - {"telem_journal"} == set(help_texts()) - {"telem-deliver"}
