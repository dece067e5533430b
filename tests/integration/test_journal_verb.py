"""telemctl journal as a person or a script meets it."""

import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.bare_machine import (
    BOOT, Terminal, bare_machine, environment, line, record_id, stranger,
)
from support.paths import REPO, TELEMCTL
from support.waiting import DEADLINE

SAMPLE = REPO / "tests" / "data" / "journal-1x"
GOLDEN = os.environ.get("TELEMETRICS_GOLDEN", "")
HEADINGS = (
    f"{'Classification':<30} {'Time stamp':<27} {'Record ID':<32} {'Event ID':<32} {'Boot ID':<36}"
)
STATES = ("spooled", "delivered", "rejected", "dropped", "expired", "evicted", "local")


@pytest.fixture
def machine():
    with bare_machine() as machine:
        yield machine


# ---- journal: what 1.x printed -------------------------------------------------------------------


def golden_sections():
    """What real 1.x printed: arguments to its lines."""
    text = (Path(GOLDEN) / "journal" / "telemctl-journal-output.txt").read_text()
    sections = {}
    for part in text.split("### telemctl journal ")[1:]:
        arguments, _, output = part.partition("\n")
        sections[arguments.strip()] = output[: output.rindex("exit=")]
    return sections


@pytest.mark.skipif(not GOLDEN or not Path(GOLDEN, "journal").is_dir(),
                    reason="TELEMETRICS_GOLDEN names no folder with golden files")
@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "-V -c org.example/test/one",
        "-c org.example/*",
        "-c org.example/test/*",
        "-c org.example*",
        "-i -V -e 0123456789abcdef0123456789abcdef",
        "-i",
        "-r nosuch",
        "-r nosuch -V",
        f"-b {BOOT} -c org.clearlinux/hello/world",
        "-b none -V",
        "-c /*",
        "-c x",
        "-V -e x -V",
    ],
)
def test_prints_a_1x_journal_as_1x_did(machine, arguments):
    machine.take_over(Path(GOLDEN) / "journal", "journal-1x")
    golden = golden_sections()[arguments].splitlines(keepends=True)
    complaints = [text for text in golden if text.startswith("ERROR:")]
    done = machine.ctl("journal", *arguments.split())
    assert done.returncode == 0
    assert done.stdout == "".join(text for text in golden if not text.startswith("ERROR:"))
    assert len(done.stderr.splitlines()) == len(complaints)
    assert all(text.startswith("telemctl: no retained payload for ")
               for text in done.stderr.splitlines())


SAMPLE_LINES = [
    "org.clearlinux/hello/world     Mon 2026-09-21 14:13:20 UTC 3a5c9e1f7b2d4068a1c3e5f708192a3b "
    "9f1e2d3c4b5a69788796a5b4c3d2e1f0 0f6e1a52-3c1d-4f7e-9a57-2b8f6d1c4e90\n",
    "org.example/shell/backup       Mon 2026-09-21 14:14:20 UTC 4b6daf208c3e5179b2d4f60819203a4c "
    "0123456789abcdef0123456789abcdef 0f6e1a52-3c1d-4f7e-9a57-2b8f6d1c4e90\n",
    "org.example/shell/a-name-that-is-wider-than-its-column Tue 2026-09-22 14:13:20 UTC "
    "5c7eb0319d4f628ac3e507192a314b5d 1a2b3c4d5e6f708192a3b4c5d6e7f809 "
    "b3d9c7a4-51e2-4d08-8c6f-7e1a90d25f3b\n",
    "org.example/cpp/probe          Tue 2026-09-22 14:13:21 UTC 6d8fc142ae50739bd4f6182a3b425c6e "
    "0123456789abcdef0123456789abcdef b3d9c7a4-51e2-4d08-8c6f-7e1a90d25f3b\n",
]


@pytest.mark.parametrize(
    "arguments, shown",
    [
        ([], [0, 1, 2, 3]),
        (["-r", "4b6daf208c3e5179b2d4f60819203a4c"], [1]),
        (["--record_id=4b6daf208c3e5179b2d4f60819203a4c"], [1]),
        (["-r", "4b6d"], []),
        (["-e", "0123456789abcdef0123456789abcdef"], [1, 3]),
        (["--event_id", "1a2b3c4d5e6f708192a3b4c5d6e7f809"], [2]),
        (["-c", "org.example/cpp/probe"], [3]),
        (["--classification", "org.example/*"], [1, 2, 3]),
        (["-c", "org.example/shell/*"], [1, 2]),
        (["-c", "org.exam*"], []),
        (["-c", ""], []),
        (["-b", "0f6e1a52-3c1d-4f7e-9a57-2b8f6d1c4e90"], [0, 1]),
        (["--boot_id", "none"], []),
        (["-e", "0123456789abcdef0123456789abcdef", "-c", "org.example/cpp/*"], [3]),
        (["-r", "none", "-r", "4b6daf208c3e5179b2d4f60819203a4c"], [1]),
        (["-n", "1"], [3]),
        (["-n", "9"], [0, 1, 2, 3]),
        (["-n", "1", "-c", "org.example/shell/*"], [2]),
        (["--state", "delivered"], []),
        (["--since", "@1790086400"], [2, 3]),
        (["--since", "2026-09-22 14:13:21"], [3]),
        (["--since", "2026-09-22 14:13"], [2, 3]),
        (["--since", "2026-09-22"], [2, 3]),
        (["--since", "-99999d"], [0, 1, 2, 3]),
    ],
)
def test_selects_records(machine, arguments, shown):
    machine.take_over(SAMPLE, "journal")
    done = machine.ctl("journal", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(SAMPLE_LINES[i] for i in shown)


def test_verbose_adds_headings_and_the_total(machine):
    machine.take_over(SAMPLE, "journal")
    assert machine.ctl("journal", "-V").stdout == (
        HEADINGS + "\n" + "".join(SAMPLE_LINES) + "Total records: 4\n")
    assert machine.ctl("journal", "--verbose", "-r", "x").stdout == (
        HEADINGS + "\n" + "Total records: 0\n")


def test_prints_the_retained_payload_behind_its_line(machine):
    machine.take_over(SAMPLE, "journal")
    done = machine.ctl("journal", "-i")
    assert done.returncode == 0
    assert done.stdout == (SAMPLE_LINES[0] + SAMPLE_LINES[1] + "line one\nline two\n\n" +
                           SAMPLE_LINES[2] + SAMPLE_LINES[3] + "short\n")
    assert done.stderr == (
        "telemctl: no retained payload for 3a5c9e1f7b2d4068a1c3e5f708192a3b\n"
        "telemctl: no retained payload for 5c7eb0319d4f628ac3e507192a314b5d\n")


def test_times_are_local(machine):
    machine.take_over(SAMPLE, "journal")
    done = machine.ctl("journal", "-n", "1", "--since", "2026-09-22 16:13:21",
                       env=environment(TZ="CET-1CEST,M3.5.0,M10.5.0/3"))
    assert " Tue 2026-09-22 16:13:21 CEST " in done.stdout


# ---- journal: states -----------------------------------------------------------------------------


def test_a_record_is_one_line_with_its_newest_state_in_the_order_of_coming(machine):
    machine.write(line(1, time=100), line(2, time=200), line(3, time=300),
                  line(1, "delivered", time=400), line(3, "rejected", time=500, detail="400 no"))
    assert machine.ids() == [1, 2, 3]
    assert machine.ids("--state", "delivered") == [1]
    assert machine.ids("--state", "spooled") == [2]
    assert machine.ids("--state", "rejected") == [3]


@pytest.mark.parametrize("state", STATES)
def test_each_state_can_be_asked_for(machine, state):
    machine.write(*(line(number, each) for number, each in enumerate(STATES)))
    assert machine.ids("--state", state) == [STATES.index(state)]


def test_since_counts_back_from_now(machine):
    now = int(time.time())
    machine.write(line(1, time=now - 3 * 86400), line(2, time=now - 5400), line(3, time=now))
    assert machine.ids("--since", "-4d") == [1, 2, 3]
    assert machine.ids("--since", "2h ago") == [2, 3]
    assert machine.ids("--since", "-60m") == [3]
    assert machine.ids("--since", "3600s ago") == [3]


def test_wide_adds_what_happened_to_the_record(machine):
    machine.write(line(1, "rejected", severity=3, detail="400 no thanks"), line(2, "delivered"))
    wide = machine.ctl("journal", "--wide").stdout.splitlines()
    narrow = machine.ctl("journal").stdout.splitlines()
    assert wide[0] == narrow[0] + " rejected    3    400  1000 hprobe          400 no thanks"
    assert wide[1] == narrow[1] + " delivered   1    400  1000 hprobe"
    headings = machine.ctl("journal", "--wide", "-V").stdout.splitlines()[0]
    assert headings == HEADINGS + " State     Sev  Bytes   Uid Command         Detail"


def test_json_is_one_object_a_line(machine):
    machine.write(line(1, "rejected", detail='say "no"\\', comm="b\xe4sh"))
    done = machine.ctl("journal", "--json")
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == {
        "record_id": record_id(1), "time": 1795445599, "classification": "org.example/test/one",
        "event_id": "0123456789abcdef0123456789abcdef", "boot_id": BOOT, "state": "rejected",
        "detail": 'say "no"\\', "severity": 1, "bytes": 400, "uid": 1000, "pid": 42,
        "command": "b\xe4sh"}


def test_json_of_a_1x_journal_has_null_for_what_is_not_known(machine):
    machine.take_over(SAMPLE, "journal")
    done = machine.ctl("journal", "--json", "-i")
    records = [json.loads(text) for text in done.stdout.splitlines()]
    assert [record["payload"] for record in records] == [None, "line one\nline two\n", None, "short"]
    assert all(record["state"] is None and record["uid"] is None for record in records)
    assert len(done.stderr.splitlines()) == 2


# ---- journal: damage, absence, rights ------------------------------------------------------------


def test_torn_and_foreign_lines_are_passed_over(machine):
    machine.write("\n", "garbage\n", "\x1e" * 11 + "\n", line(1)[:60] + "\n", line(1),
                  "x" * 100_000 + "\n", "\udcff\udcfe\0\n", line(2), line(3)[:-1])
    assert machine.ids() == [1, 2]


def test_control_characters_in_a_record_never_reach_the_terminal(machine):
    machine.write(line(1, "rejected", cls="a/\x1b[31mb/c", detail="\x1b]0;t\a\u009b31m",
                       comm="\x7f\r"))
    for arguments in ([], ["--wide"], ["--json"]):
        shown = machine.ctl("journal", *arguments).stdout
        assert shown.count("\n") == 1
        assert not [c for c in shown[:-1] if ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0]


def test_a_payload_goes_into_a_pipe_as_it_is(machine):
    machine.write(line(1))
    (machine.log / "records").mkdir()
    (machine.log / "records" / record_id(1)).write_bytes(b"\x1b[31m\0\xff\n")
    done = machine.ctl("journal", "-i", text=False)
    assert done.stdout.endswith(b"\n\x1b[31m\0\xff\n")


def test_a_payload_behind_a_symbolic_link_or_without_end_is_not_printed(machine):
    machine.write(line(1), line(2))
    records = machine.log / "records"
    records.mkdir()
    (records / record_id(1)).symlink_to("/etc/passwd")
    (records / record_id(2)).symlink_to("/dev/zero")
    done = machine.ctl("journal", "-i")
    assert (done.returncode, done.stdout.count("\n")) == (0, 2)
    assert done.stderr.count("telemctl: retained payload: ") == 2


@pytest.mark.parametrize("has_folder", [True, False])
def test_no_journal_yet_is_no_error_and_none_is_made(machine, has_folder):
    if has_folder:
        machine.log.mkdir()
    done = machine.ctl("journal")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"telemctl: no journal yet at '{machine.journal}'\n"
    assert not machine.journal.exists() and machine.log.exists() == has_folder


def test_a_journal_that_is_no_file_is_named(machine):
    machine.journal.mkdir(parents=True)
    done = machine.ctl("journal")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"telemctl: '{machine.journal}' is not a regular file\n"


def group_of(path):
    import grp
    return grp.getgrgid(path.stat().st_gid).gr_name


def test_who_may_read_the_journal_is_told_to_who_may_not(machine):
    machine.write(line(1))
    # Without root, the tester is the owner: take the owner's right away, too.
    machine.journal.chmod(0o640 if os.geteuid() == 0 else 0o040)
    for arguments in (["journal"], ["journal", "-f"]):
        done = machine.ctl(*arguments, **stranger(machine))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == (
            f"telemctl: open '{machine.journal}': Permission denied (root and members of the group "
            f"'{group_of(machine.journal)}' may read it)\n")


def test_a_folder_that_may_not_be_entered_is_told_like_its_journal(machine):
    machine.write(line(1))
    machine.log.chmod(0o750 if os.geteuid() == 0 else 0o050)
    try:
        done = machine.ctl("journal", **stranger(machine))
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.endswith(
            f": Permission denied (root and members of the group '{group_of(machine.log)}' may "
            "read it)\n")
    finally:
        machine.log.chmod(0o750)


def test_mistakes_in_the_configuration_are_told_and_the_journal_shown(machine):
    machine.write(line(1))
    machine.write_config("rate_limit_enabled = maybe")
    done = machine.ctl("journal")
    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert done.stderr == (
        f"telemctl: {machine.config}:4: rate_limit_enabled: 'maybe' is not true or false\n")


# ---- journal: pipes and terminals ----------------------------------------------------------------


def test_a_reader_that_has_seen_enough_hears_no_complaint(machine):
    machine.write(*(line(number) for number in range(20_000)))
    done = subprocess.run(
        ["bash", "-c", 'set -o pipefail; "$0" journal --config-file "$1" | head -n 1',
         TELEMCTL, machine.config],
        capture_output=True, text=True, timeout=DEADLINE, env=environment())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("org.example/test/one ") and done.stdout.count("\n") == 1


def test_output_that_cannot_be_written_is_an_error(machine):
    machine.write(line(1))
    with open("/dev/full", "w") as full:
        done = subprocess.run([TELEMCTL, "journal", "--config-file", machine.config], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=DEADLINE,
                              env=environment())
    assert done.returncode == 1
    assert done.stderr == "telemctl: output: write: No space left on device\n"


def test_a_pipe_gets_neither_colors_nor_a_pager(machine):
    machine.write(*(line(number, STATES[number % 7]) for number in range(500)))
    done = machine.ctl("journal", "--wide", env=environment(PAGER="echo paged"))
    assert done.stdout.count("\n") == 500
    assert "\x1b" not in done.stdout and "paged" not in done.stdout


def test_states_are_colored_on_a_terminal(machine):
    machine.write(*(line(number, state) for number, state in enumerate(STATES)))
    terminal = Terminal("journal", "--wide", "--config-file", machine.config, PAGER="cat")
    assert terminal.finish() == 0
    assert b"\x1b[32mdelivered\x1b[0m" in terminal.seen
    assert terminal.seen.count(b"\x1b[0m") == len(STATES)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colors_can_be_declined(machine, env):
    machine.write(line(1, "delivered"))
    terminal = Terminal("journal", "--wide", "--config-file", machine.config, PAGER="cat", **env)
    assert terminal.finish() == 0
    assert b"delivered" in terminal.seen and b"\x1b" not in terminal.seen


def test_a_payload_cannot_move_the_cursor(machine):
    machine.write(line(1))
    (machine.log / "records").mkdir()
    (machine.log / "records" / record_id(1)).write_bytes(b"\x1b[2J\x9b1A\ttab\nnext\n")
    terminal = Terminal("journal", "-i", "--config-file", machine.config, PAGER="cat")
    assert terminal.finish() == 0
    assert terminal.seen.endswith(b"\n?[2J?1A\ttab\nnext\n")


def test_the_pager_of_the_user_gets_everything(machine):
    machine.write(line(1), line(2))
    terminal = Terminal("journal", "-i", "--config-file", machine.config,
                        PAGER='echo "[$LESS]"; cat; echo "[end]"')
    assert terminal.finish() == 0
    lines = terminal.seen.decode().splitlines()
    assert lines[0] == "[FRX]" and lines[-1] == "[end]"
    assert [text.split()[0] for text in lines[1:-1]] == [
        "org.example/test/one", "telemctl:", "org.example/test/one", "telemctl:"]


def test_an_empty_pager_means_none(machine):
    machine.write(line(1))
    terminal = Terminal("journal", "--config-file", machine.config, PAGER="")
    assert terminal.finish() == 0
    assert terminal.seen.startswith(b"org.example/test/one")


def test_a_pager_that_does_not_exist_is_named(machine):
    machine.write(line(1))
    terminal = Terminal("journal", "--config-file", machine.config, PAGER="no-such-pager")
    assert terminal.finish() == 1
    assert terminal.seen.endswith(
        b"telemctl: cannot start the pager 'no-such-pager'; PAGER=cat does without\n")


@pytest.mark.skipif(shutil.which("less") is None, reason="less is not installed")
def test_less_shows_long_output_and_leaves_short_output_alone(machine):
    machine.write(*(line(number) for number in range(5000)))
    terminal = Terminal("journal", "-V", "--config-file", machine.config)
    terminal.read_until(record_id(5).encode())
    assert record_id(4000).encode() not in terminal.seen
    terminal.type(b"q")
    assert terminal.finish() == 0
    terminal = Terminal("journal", "-V", "-n", "3", "--config-file", machine.config)
    assert terminal.finish() == 0
    assert b"Total records: 3" in terminal.seen


# ---- journal: follow -----------------------------------------------------------------------------


class Follower:
    def __init__(self, machine, *arguments):
        self.process = subprocess.Popen(
            [str(TELEMCTL), "journal", "-f", "--config-file", str(machine.config), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())
        self.pending = b""

    def line(self):
        end = time.monotonic() + DEADLINE
        while b"\n" not in self.pending:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            assert ready, f"no whole line came: {self.pending!r}"
            more = os.read(self.process.stdout.fileno(), 65536)
            assert more, "it ended"
            self.pending += more
        text, _, self.pending = self.pending.partition(b"\n")
        return text.decode()

    def id(self):
        return int(self.line().split()[5], 16)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate(timeout=DEADLINE)


def test_follow_shows_the_latest_ten_and_then_what_comes(machine):
    machine.write(*(line(number) for number in range(1, 16)))
    with Follower(machine) as follower:
        assert [follower.id() for _ in range(10)] == list(range(6, 16))
        # The state of a record that was shown is no new record.
        machine.append(line(15, "delivered"), line(16))
        assert follower.id() == 16
        half = line(17)
        machine.append(half[:70])
        machine.append(half[70:], line(18))
        assert [follower.id(), follower.id()] == [17, 18]


def test_follow_shows_as_many_as_asked_for_and_only_those_selected(machine):
    machine.write(*(line(number, cls=f"org.example/test/{number % 2}") for number in range(8)))
    with Follower(machine, "-n", "2", "-c", "org.example/test/1") as follower:
        assert [follower.id(), follower.id()] == [5, 7]
        machine.append(line(8, cls="org.example/test/0"), line(9, cls="org.example/test/1"))
        assert follower.id() == 9


def test_follow_shows_news_of_a_record_where_states_are_in_sight(machine):
    machine.write(line(1))
    with Follower(machine, "--json") as follower:
        assert json.loads(follower.line())["state"] == "spooled"
        machine.append(line(1, "delivered"))
        assert json.loads(follower.line())["state"] == "delivered"


def test_follow_waits_for_a_state(machine):
    machine.write(line(1), line(2))
    with Follower(machine, "--state", "delivered", "-V") as follower:
        assert follower.line() == HEADINGS
        machine.append(line(2, "delivered"))
        assert follower.id() == 2


def test_follow_survives_the_trim_by_rename(machine):
    machine.write(*(line(number) for number in range(1, 4)))
    with Follower(machine) as follower:
        assert [follower.id() for _ in range(3)] == [1, 2, 3]
        machine.append(line(4))
        machine.trim_to(line(3), line(4), line(5))
        assert [follower.id(), follower.id()] == [4, 5]
        machine.append(line(6))
        assert follower.id() == 6
        machine.trim_to(line(6))
        machine.append(line(7))
        assert follower.id() == 7


def test_follow_waits_for_the_first_record_of_a_machine(machine):
    machine.log.mkdir()
    with Follower(machine, "-V") as follower:
        assert follower.line() == HEADINGS
        assert not machine.journal.exists()
        machine.write(line(1))
        assert follower.id() == 1
        machine.journal.unlink()
        machine.write(line(2))
        assert follower.id() == 2


def test_follow_says_when_there_is_no_folder_to_watch(machine):
    done = machine.ctl("journal", "-f")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"telemctl: watch '{machine.log}': No such file or directory\n"


def test_follow_ends_when_the_folder_goes(machine):
    machine.write(line(1))
    with Follower(machine) as follower:
        follower.line()
        shutil.rmtree(machine.log)
        assert follower.process.wait(DEADLINE) == 1
        assert follower.process.stderr.read().decode() == (
            f"telemctl: '{machine.log}' was removed\n")


def test_follow_ends_on_sigint(machine):
    machine.write(line(1))
    with Follower(machine) as follower:
        follower.line()
        follower.process.send_signal(signal.SIGINT)
        assert follower.process.wait(DEADLINE) == -signal.SIGINT
        assert follower.process.stderr.read() == b""


def test_follow_ends_when_its_reader_leaves(machine):
    machine.write(line(1))
    with Follower(machine) as follower:
        follower.line()
        follower.process.stdout.close()
        assert follower.process.wait(DEADLINE) == 0
        assert follower.process.stderr.read() == b""
        follower.process.stdout = None


def test_follow_is_not_paged_on_a_terminal(machine):
    machine.write(line(1))
    terminal = Terminal("journal", "-f", "--config-file", machine.config, PAGER="echo paged")
    terminal.read_until(record_id(1).encode())
    machine.append(line(2))
    terminal.read_until(record_id(2).encode())
    terminal.type(b"\x03")
    assert terminal.finish() == -signal.SIGINT
    assert b"paged" not in terminal.seen
