"""No secret of tests/data/masking comes through a probe that carries texts of others."""

import json
import re
import subprocess

import pytest

from support import paths
from support.marks import needs_root
from support.system_journal import (
    JOURNALPROBE, JournalWriter, needs_journal_writer, needs_journalprobe)
from support.waiting import DEADLINE

DATA = paths.REPO / "tests" / "data" / "masking"
KLOGSCANNER = paths.BUILD / "bin" / "klogscanner"
HOST = "zaphod.heartofgold.example"
MARK = re.compile(r"\{\{(.*?)\}\}")


def lines(name):
    return [line for line in (DATA / name).read_text().splitlines()
            if line and not line.startswith("#")]


SECRETS = [line for line in lines("secrets.txt") if MARK.search(line)]


def plain(line):
    """A line as it was written, with its secrets."""
    return MARK.sub(r"\1", line)


def masked(line):
    """What it has to look like: a word in angle brackets in place of each secret."""
    return r"<\w+>".join(map(re.escape, MARK.split(line)[::2]))


@pytest.fixture
def config(folder):
    path = folder / "telemetrics.conf"
    path.write_text(f"[settings]\nsocket_path = {folder}/socket\nconfig_dir = {folder}\n"
                    f"state_dir = {folder}\ncache_dir = {folder}\n")
    return path


@needs_journalprobe
@needs_journal_writer
def test_journalprobe_masks_them(config, folder):
    (folder / "opt-in-no-privacy-filters").touch()
    journal = JournalWriter(folder / "journal")
    everything = [plain(line) for line in SECRETS] + lines("kept.txt")
    journal.add(*[{"MESSAGE": line, "PRIORITY": "3", "_TRANSPORT": "syslog", "_HOSTNAME": HOST,
                   "_SYSTEMD_UNIT": f"unit{number}.service"}
                  for number, line in enumerate(everything)])
    journal.close()
    done = subprocess.run([JOURNALPROBE, "-n", "--json", "-f", config, "--directory",
                           journal.folder], capture_output=True, timeout=3 * DEADLINE, check=True)
    messages = [json.loads(line)["payload"].split("\n")[0].removeprefix("MESSAGE=")
                for line in done.stdout.splitlines()]
    wanted = [masked(line) for line in SECRETS] + [re.escape(line) for line in lines("kept.txt")]
    assert len(messages) == len(wanted)
    assert [message for message, want in zip(messages, wanted)
            if not re.fullmatch(want, message)] == []


def reasons(config, texts, hostname=None):
    """What klogscanner says of kernels that died with these words, each with its whole payload."""
    # A machine's own name is masked, too; here it gets one.
    as_host = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', hostname] if hostname else []
    log = "".join(f"[{100 * number:5}.000000] Kernel panic - not syncing: {text}\n"
                  f"[{100 * number:5}.000001] CPU: 0 PID: 1 Comm: init Not tainted 6.1.0 #1\n"
                  f"[{100 * number:5}.000002] ---[ end Kernel panic - not syncing: {text} ]---\n"
                  for number, text in enumerate(texts, 1))
    done = subprocess.run([*as_host, KLOGSCANNER, "-n", "--json", "-f", config, "--log", "-"],
                          input=log.encode(), capture_output=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (0, b""), done
    payloads = [json.loads(line)["payload"] for line in done.stdout.splitlines()]
    assert len(payloads) == len(texts)
    return payloads


@needs_root
def test_klogscanner_masks_them(config):
    for line, payload in zip(SECRETS, reasons(config, [plain(line) for line in SECRETS], HOST)):
        for secret in MARK.findall(line):
            # "42" or "1000" may be a number of the kernel's own elsewhere in it.
            assert len(secret) < 5 or secret not in payload
        assert re.search(f"^Reason: Kernel panic - not syncing: {masked(line)}$", payload, re.M), payload


@needs_root
def test_klogscanner_says_what_is_nobodys(config):
    for line, payload in zip(lines("kept.txt"), reasons(config, lines("kept.txt"), HOST)):
        assert line.strip() in payload
