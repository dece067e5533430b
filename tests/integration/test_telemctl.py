"""telemctl as a person or a script meets it: what it prints where, and its exit codes."""

import json
import os
import select
import socket
import threading
import time
from pathlib import Path

import pytest

from support.bare_machine import Terminal, bare_machine, line, record_id, run, stranger
from support.paths import TELEMCTL
from support.waiting import DEADLINE


@pytest.fixture
def machine():
    with bare_machine() as machine:
        yield machine


# ---- the command line ----------------------------------------------------------------------------


def test_help_is_on_stdout():
    for arguments in (["--help"], ["-h"]):
        done = run(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        for verb in ("journal", "status", "config"):
            assert f"\n  {verb} " in done.stdout


@pytest.mark.parametrize("verb", ["journal", "status", "config"])
def test_each_verb_has_its_help(verb):
    for option in ("-h", "--help"):
        done = run(verb, option)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"Usage: telemctl {verb} " in done.stdout


def test_journal_help_names_every_option():
    text = run("journal", "--help").stdout
    for option in ("-r,--record_id", "-e,--event_id", "-c,--classification", "-b,--boot_id",
                   "-i,--include_record", "-V,--verbose", "-h,--help", "--json", "--state",
                   "--since", "-n", "-f,--follow", "--wide", "--config-file"):
        assert f"  {option} " in text


@pytest.mark.parametrize("arguments", [["-V"], ["--version"], ["status", "-V"], ["config", "-V"]])
def test_version(arguments):
    done = run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("telemctl 3.") and done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "arguments, mistake",
    [
        ([], "a verb is missing"),
        (["frobnicate"], "unknown verb 'frobnicate'"),
        (["-x"], "unknown option '-x'"),
        (["--config-file"], "option --config-file needs a value"),
    ],
)
def test_without_a_verb_the_usage_is_on_stderr(arguments, mistake):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"telemctl: {mistake}\n")
    assert "\nUsage: telemctl " in done.stderr


NO_TIME = (
    "is no time: allowed are 'YYYY-MM-DD', 'YYYY-MM-DD HH:MM[:SS]', '@EPOCH', '-2h' or '2h ago' "
    "(s, m, h, d)"
)
ALL_STATES = "spooled, delivered, rejected, dropped, expired, evicted or local"


@pytest.mark.parametrize(
    "arguments, mistake",
    [
        (["journal", "-v"], "unknown option '-v'"),
        (["journal", "--no-such"], "unknown option '--no-such'"),
        (["journal", "extra", "args"], "unexpected argument 'extra'"),
        (["journal", "status"], "unexpected argument 'status'"),
        (["journal", "--record_id"], "option --record_id needs a value"),
        (["journal", "-e"], "option --event_id needs a value"),
        (["journal", "-c"], "option --classification needs a value"),
        (["journal", "-b"], "option --boot_id needs a value"),
        (["journal", "--state"], "option --state needs a value"),
        (["journal", "--since"], "option --since needs a value"),
        (["journal", "-n"], "option -n needs a value"),
        (["journal", "-n", "0"], "-n: '0' is not a whole number above 0"),
        (["journal", "-n", "-3"], "-n: '-3' is not a whole number above 0"),
        (["journal", "-n", "many"], "-n: 'many' is not a whole number above 0"),
        (["journal", "--state", "sent"], f"--state: 'sent' is not {ALL_STATES}"),
        (["journal", "--since", "yesterday"], f"--since: 'yesterday' {NO_TIME}"),
        (["journal", "--since", "2026-02-30"], f"--since: '2026-02-30' {NO_TIME}"),
        (["journal", "--json", "-V"], "--json and --verbose do not go together"),
        (["status", "now"], "unexpected argument 'now'"),
        (["status", "-j"], "unknown option '-j'"),
        (["config", "x"], "unexpected argument 'x'"),
        (["config", "--check"], "option --check needs a value"),
        (["preview", "--explain", "x"], "--explain and a FILE do not go together"),
        (["config", "--check", "x", "--json"], "--json and --check do not go together"),
        (["test", "x"], "unexpected argument 'x'"),
        (["test", "--timeout"], "option --timeout needs a value"),
        *((["test", "--timeout", bad], f"--timeout: '{bad}' is not a whole number from 1 to 3600")
          for bad in ("0", "3601", "-1", "1.5", "x", "")),
        (["spool"], "a verb is missing"),
        (["rejected"], "a verb is missing"),
        (["spool", "frobnicate"], "unknown verb 'frobnicate'"),
        (["spool", "--all"], "unknown option '--all'"),
    ],
)
def test_a_usage_mistake_has_its_line_and_exit_code_2(arguments, mistake):
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"telemctl: {mistake}. Try 'telemctl {arguments[0]} --help'.\n"


@pytest.mark.parametrize(
    "verb, arguments, mistake",
    [
        ("spool list", ["x"], "unexpected argument 'x'"),
        ("spool show", [], "ID is missing"),
        ("spool show", ["a", "b"], "unexpected argument 'b'"),
        ("spool drop", [], "an ID or --all is missing"),
        ("spool drop", ["a", "--all"], "--all and an ID do not go together"),
        ("spool drop", ["--all", "a"], "--all and an ID do not go together"),
        ("spool flush", ["x"], "unexpected argument 'x'"),
        ("spool export", [], "FILE is missing"),
        ("spool export", ["--remove"], "FILE is missing"),
        ("spool import", [], "FILE is missing"),
        ("rejected show", [], "ID is missing"),
        ("rejected retry", [], "an ID or --all is missing"),
        ("rejected retry", ["a", "--all"], "--all and an ID do not go together"),
        ("rejected drop", [], "an ID or --all is missing"),
        ("rejected drop", ["a", "--all"], "--all and an ID do not go together"),
    ],
)
def test_a_usage_mistake_of_a_verb_within_another_names_both(verb, arguments, mistake):
    done = run(*verb.split(), *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"telemctl: {mistake}. Try 'telemctl {verb} --help'.\n"


def test_a_mistake_does_not_carry_its_escape_sequences_to_the_terminal():
    done = run("\x1b[31mverb\x9b")
    assert "\x1b" not in done.stderr and "\x9b" not in done.stderr


@pytest.mark.parametrize("verb", ["journal", "status", "config"])
def test_a_configuration_that_cannot_be_read_is_named(verb):
    done = run(verb, "--config-file", "/nowhere/telemetrics.conf")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "telemctl: open '/nowhere/telemetrics.conf': No such file or directory\n"


def test_the_configuration_is_given_before_or_after_the_verb(machine):
    machine.write(line(1))
    before = run("--config-file", machine.config, "journal")
    after = run("journal", "--config-file", machine.config)
    assert before.stdout == after.stdout != ""


def test_telem_journal_is_a_second_name_of_telemctl_journal(machine):
    machine.write(line(1), line(2))
    second = run("--config-file", machine.config, "-V", "-n", "1", program=TELEMCTL.with_name("telem_journal"))
    assert second.stdout == machine.ctl("journal", "-V", "-n", "1").stdout
    assert "Total records: 1\n" in second.stdout


# ---- status --------------------------------------------------------------------------------------


def status_of(**changes):
    now = int(time.time())
    return {
        "version": "3.0.0", "pid": 4711, "started": now - 3600, "collecting": True,
        "collecting_since": now - 1800,
        "consent": "opt-out", "delivery_enabled": True, "server": "https://c.example/v2/collector",
        "server_protocol": "v2", "machine_id": "ab" * 16, "machine_id_created": now - 7300,
        "machine_id_static": False, "frames": 20, "refused_malformed": 2, "refused_too_large": 1,
        "refused_spool_full": 0, "refused_opted_out": 0, "refused_rate_limited": 0,
        "refused_io_error": 0, "closed_incomplete": 0, "found": 3, "accepted": 14, "delivered": 9,
        "waiting": 5, "rejected": 1, "dropped": 0, "evicted": 0, "expired": 2, "local": 0,
        "spool_bytes": 20480, "spool_max_kib": 5120, "oldest_waiting": now - 310, "under_way": 0,
        "last_success": None, "last_error": "503 busy \u00e4", "last_error_time": now - 5,
        "next_attempt": now + 3000, **changes}


class Telemd:
    """A control socket that answers as a test wants it to."""

    def __init__(self, path, answer):
        self.answer = answer
        self.request = b""
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        os.chmod(path, 0o666)
        self.socket.listen()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        peer, _ = self.socket.accept()
        with peer:
            while b"\n" not in self.request:
                more = peer.recv(4096)
                if not more:
                    return
                self.request += more
            try:
                self.answer(peer)
            except (BrokenPipeError, ConnectionResetError):
                pass  # the client had enough

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.thread.join(DEADLINE)
        self.socket.close()
        assert not self.thread.is_alive()


def answering(data):
    return lambda peer: peer.sendall(data)


def until_the_client_leaves(peer):
    peer.recv(1)


def test_status_tells_people_everything_telemd_knows(machine):
    status = status_of()
    with Telemd(machine.control, answering(json.dumps(status).encode() + b"\n")) as telemd:
        done = machine.ctl("status")
    assert telemd.request == b'{"command": "status"}\n'
    assert (done.returncode, done.stderr) == (0, "")
    since = time.strftime("%a %Y-%m-%d %H:%M:%S UTC", time.gmtime(status["collecting_since"]))
    assert done.stdout.splitlines()[0] == (
        f"collecting since {since}; sending to https://c.example/v2/collector (v2)")
    rows = dict((text[2:17].rstrip(), text[17:]) for text in done.stdout.splitlines()[1:])
    assert rows["accepted"] == "14" and rows["delivered"] == "9" and rows["rejected"] == "1"
    assert rows["waiting"].startswith("5, oldest of ") and rows["waiting"].endswith("(5 min ago)")
    assert rows["refused"] == "3 (2 malformed, 1 too large)"
    assert rows["machine id"] == "ab" * 16 + ", 2 h old"
    assert rows["spool"] == "20 KiB of 5120 KiB"
    assert rows["last success"] == "none"
    assert rows["last error"].startswith("503 busy \u00e4, ")
    assert rows["next attempt"].endswith(" min)")
    assert rows["consent"].startswith("opt-out")


@pytest.mark.parametrize(
    "changes, headline",
    [
        ({"server": ""}, "collecting since TIME; no server is set, records stay on this machine"),
        ({"delivery_enabled": False},
         "collecting since TIME; delivery is switched off, records stay on this machine"),
        ({"collecting": False}, "not collecting (opted out), running since TIME; the server "
                                "is https://c.example/v2/collector (v2)"),
        ({"collecting": False, "consent": "opt-in", "server": ""},
         "not collecting (nobody has opted in), running since TIME; no server is set, records stay "
         "on this machine"),
    ],
)
def test_status_says_first_what_matters(machine, changes, headline):
    status = status_of(started=1795445599, collecting_since=1795445599, **changes)
    with Telemd(machine.control, answering(json.dumps(status).encode() + b"\n")):
        done = machine.ctl("status")
    assert done.stdout.splitlines()[0] == headline.replace("TIME", "Mon 2026-11-23 14:53:19 UTC")


def test_status_as_json_is_telemds_object_on_one_line(machine):
    status = status_of()
    with Telemd(machine.control, answering(json.dumps(status).encode() + b"\n")):
        done = machine.ctl("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and json.loads(done.stdout) == status


def test_status_takes_an_answer_in_pieces_and_without_its_newline(machine):
    text = json.dumps(status_of()).encode()

    def in_pieces(peer):
        for at in range(0, len(text), 7):
            peer.sendall(text[at:at + 7])

    with Telemd(machine.control, in_pieces):
        done = machine.ctl("status", "--json")
    assert json.loads(done.stdout) == json.loads(text)


def test_status_lets_no_control_character_of_the_answer_through(machine):
    status = json.dumps(status_of(last_error="\x1b[31m\u009b\x7fx"), ensure_ascii=False).encode()
    for arguments in ([], ["--json"]):
        machine.control.unlink(missing_ok=True)
        with Telemd(machine.control, answering(status + b"\n")):
            shown = machine.ctl("status", *arguments).stdout
        assert not [c for c in shown if c != "\n" and (ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0)]


@pytest.mark.parametrize(
    "answer, complaint",
    [
        (b"hello\n", "telemd's answer at PATH is not understood: not a JSON object of plain values"),
        (b"\n", "telemd's answer at PATH is not understood: not a JSON object of plain values"),
        (b'{"a": {"b": 1}}\n',
         "telemd's answer at PATH is not understood: not a JSON object of plain values"),
        (b'{"server": "\xff"}\n', "telemd's answer at PATH is not understood: not UTF-8"),
        (b"", "telemd does not answer at PATH: it closed the connection without an answer"),
        (b'{"error": "unknown command \\u001b"}\n', "telemd at PATH: unknown command ?"),
        (b'{"error": "permission denied: only root may ask"}\n',
         "telemd at PATH: permission denied: only root may ask"),
    ],
)
def test_status_says_what_is_wrong_with_an_answer(machine, answer, complaint):
    with Telemd(machine.control, answering(answer)):
        done = machine.ctl("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"telemctl: {complaint.replace('PATH', str(machine.control))}\n"


def test_status_does_not_read_an_endless_answer(machine):
    def endless(peer):
        while True:
            peer.sendall(b"{" * 65536)

    with Telemd(machine.control, endless):
        done = machine.ctl("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"telemctl: telemd does not answer at {machine.control}: an answer of more than 64 KiB\n")


def trickle(peer):
    while True:
        peer.sendall(b" ")
        select.select([peer], [], [], 0.2)


@pytest.mark.parametrize("answer", [until_the_client_leaves, trickle], ids=["hung", "trickling"])
def test_status_gives_up_on_a_telemd_that_does_not_come_to_an_end(machine, answer):
    with Telemd(machine.control, answer):
        done = machine.ctl("status")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"telemctl: telemd does not answer at {machine.control}: no answer within 5 s\n")


def test_status_works_without_telemd_and_says_so(machine):
    spool = machine.folder / "spool"
    spool.mkdir()
    for number in range(3):
        (spool / f"{record_id(number)}-0-1").write_text("")
    machine.write_config(f"spool_dir = {spool}", f"config_dir = {machine.folder}",
                         "server = https://c.example/v2/collector")
    for left_over in (False, True):
        if left_over:
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(machine.control))
        why = "Connection refused" if left_over else "No such file or directory"
        done = machine.ctl("status")
        assert (done.returncode, done.stderr) == (3, "")
        assert done.stdout == (
            "not collecting: telemd does not run\n"
            f"  why            telemd does not answer at {machine.control}: {why}\n"
            "  consent        given\n"
            "  server         https://c.example/v2/collector (v2)\n"
            f"  waiting        3 in {spool}\n"
            "start it with 'telemd', as root or with a configuration of your own\n")
    (machine.folder / "opt-out").touch()
    done = machine.ctl("status", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    assert json.loads(done.stdout) == {
        "running": False, "collecting": False, "consent": "opt-out", "opted_in": False,
        "server": "https://c.example/v2/collector", "server_protocol": "v2", "waiting": 3}


def test_status_is_colored_on_a_terminal_only(machine):
    terminal = Terminal("status", "--config-file", machine.config)
    assert terminal.finish() == 3
    assert b"\x1b[31mnot collecting\x1b[0m: telemd does not run" in terminal.seen
    terminal = Terminal("status", "--config-file", machine.config, NO_COLOR="1")
    assert terminal.finish() == 3
    assert b"\x1b" not in terminal.seen


def test_status_says_who_may_ask(machine):
    with socket.socket(socket.AF_UNIX) as control:
        control.bind(str(machine.control))
        control.listen()
        machine.control.chmod(0o600 if os.geteuid() == 0 else 0)
        done = machine.ctl("status", **stranger(machine))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"telemctl: telemd does not answer at {machine.control}: Permission denied (root, telemd's "
        "own user and members of the groups adm and telemetry may ask)\n")


# ---- config --------------------------------------------------------------------------------------


def test_config_prints_each_setting_with_its_source(machine):
    machine.write_config("server = https://c.example/v2/collector", "# a comment", "record_expiry = 60")
    drop_in = Path(f"{machine.config}.d")
    drop_in.mkdir()
    (drop_in / "50-local.conf").write_text("[settings]\nspool_sync = always\n")
    done = machine.ctl("config")
    assert (done.returncode, done.stderr) == (0, "")
    rows = dict((text.partition("#")[0].strip(), text.partition("#")[2].strip())
                for text in done.stdout.splitlines())
    assert rows["server = https://c.example/v2/collector"] == f"{machine.config}:4"
    assert rows["record_expiry = 60"] == f"{machine.config}:6"
    assert rows["spool_sync = always"] == f"{drop_in}/50-local.conf:2"
    assert rows["cainfo ="] == "default"
    assert rows["consent = opt-out"] == "default"
    columns = {text.index("  # ") for text in done.stdout.splitlines() if "tidheader" not in text}
    assert len(columns) == 1


def test_config_as_json_is_one_object_a_setting(machine):
    machine.write_config("server = https://c.example/v2/collector")
    done = machine.ctl("config", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    settings = {each["key"]: each for each in map(json.loads, done.stdout.splitlines())}
    assert settings["server"] == {"key": "server", "value": "https://c.example/v2/collector",
                                  "source": f"{machine.config}:4"}
    assert settings["spool_max_size"]["value"] == "5120"


def test_config_tells_mistakes_beside_the_settings(machine):
    machine.write_config("consent = perhaps", "colour = blue")
    done = machine.ctl("config")
    assert done.returncode == 78
    assert "consent = opt-out " in done.stdout
    assert done.stderr == (
        f"telemctl: {machine.config}:4: consent: 'perhaps' is not opt-out or opt-in\n"
        f"telemctl: warning: {machine.config}:5: unknown key 'colour', ignoring it\n")


@pytest.mark.parametrize(
    "lines, complaints, code",
    [
        (["record_expiry = 60"], [], 0),
        (["colour = blue"], ["warning: FILE:2: unknown key 'colour', ignoring it"], 0),
        (["record_window_length = 99"],
         ["warning: FILE:2: record_window_length: '99' is out of range, taken as 59"], 0),
        (["record_expiry = soon"], ["FILE:2: record_expiry: 'soon' is not a whole number"], 78),
        (["server = ftp://x"],
         ["FILE:2: server: 'ftp://x' is not an http:// or https:// URL, or nothing"], 78),
        (["rate_limit_strategy = both"],
         ["FILE:2: rate_limit_strategy: 'both' is not spool or drop"], 78),
        (["nonsense"], ["FILE:2: neither 'key = value' nor a comment"], 78),
        (["colour = blue", "rate_limit_enabled = 1"],
         ["FILE:3: rate_limit_enabled: '1' is not true or false",
          "warning: FILE:2: unknown key 'colour', ignoring it"], 78),
    ],
)
def test_check_looks_a_file_over(machine, lines, complaints, code):
    file = machine.folder / "fresh.conf"
    file.write_text("\n".join(["[settings]", *lines]) + "\n")
    done = run("config", "--check", file)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == "".join(
        f"telemctl: {text.replace('FILE', str(file))}\n" for text in complaints)


def test_check_names_a_file_that_is_not_there(machine):
    done = run("config", "--check", machine.folder / "none.conf")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"telemctl: open '{machine.folder}/none.conf': No such file or directory\n"
