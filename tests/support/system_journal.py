"""Files of the system journal, written by systemd-journal-remote from entries in the export format."""

import pathlib
import re
import subprocess
import time

import pytest

from . import paths
from .waiting import DEADLINE, wait_until

JOURNALPROBE = paths.BUILD / "bin" / "journalprobe"
WRITER = pathlib.Path("/lib/systemd/systemd-journal-remote")

needs_journalprobe = pytest.mark.skipif(
    not JOURNALPROBE.exists(), reason="journalprobe was left out of this build")
needs_journal_writer = pytest.mark.skipif(
    not WRITER.exists(), reason="no systemd-journal-remote here, which writes journal files")

BOOT = "fea2d014147a405fa2063dd41f729aed"

# What systemd writes about a service that exits with an error, field by field.
FROM_SYSTEMD = {
    "_TRANSPORT": "journal", "_PID": "1", "_UID": "0", "_GID": "0", "_COMM": "systemd",
    "_SYSTEMD_UNIT": "init.scope", "_HOSTNAME": "zaphod", "SYSLOG_IDENTIFIER": "systemd",
}


def failure(unit, invocation=None, status=1, **fields):
    """An entry that says that `unit` exited with an error."""
    entry = {
        **FROM_SYSTEMD, "PRIORITY": "5", "UNIT": unit, "EXIT_CODE": "exited",
        "EXIT_STATUS": str(status), "COMMAND": "ExecStart",
        "MESSAGE": f"{unit}: Main process exited, code=exited, status={status}/FAILURE", **fields}
    if invocation is not None:
        entry["INVOCATION_ID"] = f"{invocation:032x}"
    return entry


class JournalWriter:
    """A folder with one journal file, to which entries are added while others read it."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self._process = subprocess.Popen(
            [WRITER, "--output", folder / "system.journal", "-"], stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self._monotonic = 0

    def add(self, *entries, at=None):
        """Each a dict of fields. `at`: seconds since the epoch."""
        text = b""
        for fields in entries:
            self._monotonic += 1000
            when = int((time.time() if at is None else at) * 1e6)
            text += (f"__REALTIME_TIMESTAMP={when}\n__MONOTONIC_TIMESTAMP={self._monotonic}\n"
                     f"_BOOT_ID={BOOT}\n").encode()
            text += b"".join(f"{name}={value}\n".encode() for name, value in fields.items())
            text += b"\n"
        self.add_export(text)

    def add_export(self, text):
        self._process.stdin.write(text)
        self._process.stdin.flush()

    def close(self):
        """What was added is in the file when this returns."""
        if not self._process.stdin.closed:
            self._process.stdin.close()
            said = self._process.stderr.read()
            assert self._process.wait(DEADLINE) == 0, said
            self._process.stderr.close()


class JournalProbe:
    """A journalprobe that follows."""

    def __init__(self, config, directory, *arguments, wrapper=()):
        self._log = config.parent / "journalprobe.stderr"
        self._log_file = open(self._log, "ab")
        self.process = subprocess.Popen(
            [*wrapper, JOURNALPROBE, "-f", config, "--directory", directory, *arguments],
            stdin=subprocess.DEVNULL, stdout=self._log_file, stderr=self._log_file)

    def said(self):
        return self._log.read_text()

    def wait_for_words(self, words):
        wait_until(lambda: words in self.said(), what=lambda: f"{words}; it said: {self.said()}")

    def wait_for_end(self):
        return self.process.wait(DEADLINE)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._log_file.close()


def position(config, journal):
    """The file in which a probe remembers how far it has read, with the configuration `config` in the
    folder of cache_dir."""
    name = "journal-position" + str(journal.folder).replace("/", "!")
    return config.parent / "cache" / name


def kept(config, journal):
    """What stands in it."""
    file = position(config, journal)
    return file.read_text() if file.exists() else ""


def an_hour_passes(config, journal):
    """For the failures that it has told: their times stand in that file."""
    file = position(config, journal)
    earlier = str(int(time.time()) - 3601)
    file.write_text(re.sub(r"\b1[0-9]{9}(?=,)", earlier, file.read_text()))
