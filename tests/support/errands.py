"""What the tests of consent ask each program to do: the thing that it would report or store something
for, with the evidence that it would do so of. A program that is missing here fails them."""

import dataclasses
import os
import time

from .kernel_log import bert, oops, report
from .system_journal import WRITER, JournalWriter, failure


@dataclasses.dataclass(frozen=True)
class Errand:
    """`arguments` may name the configuration and the folder of evidence. With consent its outcome is a
    record of the class `reports`, or else a file in the folder `lays_down` of cache_dir; where it has
    neither, the program only shows things."""

    arguments: tuple
    reports: str = ""
    lays_down: str = ""
    # Whether it goes on, with consent, until it is told to end.
    stays: bool = False
    # How it ends without consent; None: in any way but that of a wrong command line.
    exit_code: int | None = 0
    is_quiet: bool = True

    def command(self, program, config, evidence):
        return [program, *(word.format(config=config, evidence=evidence) for word in self.arguments)]

    def check_without_consent(self, done):
        """`done`: what subprocess.run() returned."""
        told = (self, done.returncode, done.stdout, done.stderr)
        if self.exit_code is None:
            assert done.returncode != WRONG_USAGE, told
        else:
            assert done.returncode == self.exit_code, told
        assert not self.is_quiet or not done.stdout + done.stderr, told


WRONG_USAGE = 2  # telemctl's


def _probe(*arguments, **how):
    return [Errand(("-f", "{config}", *arguments), **how)]


def _telemctl(*arguments, **how):
    return Errand(("--config-file", "{config}", *arguments), is_quiet=False, **how)


# How each program is called for the things that it would report, store or send something for.
ERRANDS = {
    "bertprobe": _probe("--table", "{evidence}/bert", reports="bert/debug"),
    # As the kernel calls it; what it says of a core that cannot be read is a record, too.
    "crashprobe": _probe("-p", "example", "-E", "!usr!bin!example", "-s", "11", reports="crash/error"),
    "hprobe": _probe(reports="hello/world"),
    "journalprobe": _probe("--directory", "{evidence}/journal", reports="journal/error", stays=True),
    "klogscanner": _probe("--kmsg", "{evidence}/kmsg", reports="kernel/warning"),
    "oopsprobe": _probe("--dir", "{evidence}/oops", reports="kernel/bug"),
    "pstoreclean": _probe("--dir", "{evidence}/pstore", "--archive", "{evidence}/archive",
                          lays_down="pstore"),
    "pstoreprobe": _probe("--dir", "{evidence}/moved", reports="kernel/bug"),
    "telem-record-gen": _probe("-c", "org.example/a/b", "-p", "secret", reports="a/b"),
    "telemetrics-generator": [Errand(("{config}.units",))],
    "telemctl": [
        _telemctl("test", reports="hello/world", exit_code=1),
        *(_telemctl(*verb, exit_code=None) for verb in (
            ["status"], ["preview"], ["doctor"], ["spool", "list"], ["spool", "flush"],
            ["rejected", "list"], ["journal"], ["config"]))],
    "telemd": [],  # has a test of its own, and telem-deliver, which it would start, a part in that
}
NO_PART = {
    "telem-collector": "takes the records of other machines, whose users were asked there",
    "telem-deliver": "has no configuration and is started by telemd, or by hand with a URL",
}

# Later than any consent: of what is older nobody has agreed to tell.
LATER = int(time.time()) + 3600


def lay_evidence(folder):
    """Makes `folder`, and there what the errands are about; the paths of all, folders first."""
    folder.mkdir()
    (folder / "bert").write_bytes(bert())
    (folder / "kmsg").write_bytes(report(0))
    for name in ("archive", "moved", "oops", "pstore"):
        (folder / name).mkdir()
    (folder / "oops" / "report").write_text(oops("laid_down"))
    for name in ("moved", "pstore"):
        (folder / name / "dmesg-erst-1").write_text("Oops#1 Part1\n" + oops(name))
    if WRITER.exists():
        journal = JournalWriter(folder / "journal")
        journal.add(failure("example.service"), at=LATER)
        journal.close()
    paths = [folder, *sorted(folder.rglob("*"))]
    for path in paths:
        os.utime(path, (LATER, LATER))
    return paths


def look_at(folder):
    """What the files of a folder hold, by their paths in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*"))
            if path.is_file()}
