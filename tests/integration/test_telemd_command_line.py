"""telemd as an operator meets it: options, configuration, signals, and why it does not start."""

import os
import signal
import socket
import subprocess

import pytest

from support import paths
from support.frames import sample_headers
from support.marks import needs_root
from support.waiting import stays, wait_until

CONFIG_ERROR = 78
CANNOT_START = 1
USAGE = 2


def run(*arguments, program=paths.TELEMD, **how):
    return subprocess.run(
        [program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=20, **how,
    )


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help_goes_to_standard_output(option):
    result = run(option)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("Usage: telemd")
    for word in ("-f", "--config-file", "-h", "--help", "-V", "--version"):
        assert word in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option):
    result = run(option)
    assert (result.returncode, result.stdout, result.stderr) == (0, "telemd 3.0.0\n", "")


MISTAKES = {
    "unknown option": (["-x"], "-x"),
    "unknown long option": (["--nonsense"], "--nonsense"),
    "missing value": (["-f"], "-f"),
    "missing long value": (["--config-file"], "--config-file"),
    "extra argument": (["extra"], "extra"),
}


@pytest.mark.parametrize("arguments, named", MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_on_the_command_line_is_named(arguments, named):
    result = run(*arguments)
    assert result.returncode == USAGE
    assert result.stdout == ""
    first, *rest = result.stderr.splitlines()
    assert first.startswith("telemd: ") and named.lstrip("-") in first
    assert "Try 'telemd --help'" in result.stderr
    assert len(rest) <= 1


@pytest.mark.parametrize("path", ["missing.conf", "."])
def test_a_configuration_file_that_cannot_be_read(folder, path):
    result = run("-f", str(folder / path))
    assert result.returncode == CONFIG_ERROR
    [line] = result.stderr.splitlines()
    assert str(folder / path) in line


BAD_LINES = {
    "server of another scheme": ("server = ftp://x/", "server"),
    "server without host": ("server = http://", "server"),
    "server a word": ("server = telemetry.example.org", "server"),
    "server with a blank": ("server = http://a\\sb/", "server"),
    "server_protocol": ("server_protocol = v9", "server_protocol"),
    "cainfo relative": ("cainfo = ca.pem", "cainfo"),
    "tidheader without colon": ("tidheader = X-TID", "tidheader"),
    "tidheader without name": ("tidheader = :\\sx", "tidheader"),
    "flag": ("rate_limit_enabled = maybe", "rate_limit_enabled"),
    "flag empty": ("record_retention_enabled =", "record_retention_enabled"),
    "flag in capitals": ("daemon_recycling_enabled = TRUE", "daemon_recycling_enabled"),
    "number a word": ("record_burst_limit = abc", "record_burst_limit"),
    "number empty": ("record_window_length =", "record_window_length"),
    "number with unit": ("byte_burst_limit = 10k", "byte_burst_limit"),
    "number with fraction": ("byte_window_length = 1.5", "byte_window_length"),
    "number in hex": ("record_expiry = 0x10", "record_expiry"),
    "number beyond 64 bits": ("spool_max_size = 99999999999999999999", "spool_max_size"),
    "number with tail": ("spool_process_time = 900 s", "spool_process_time"),
    "strategy": ("rate_limit_strategy = perhaps", "rate_limit_strategy"),
    "consent": ("consent = yes", "consent"),
    "spool_sync": ("spool_sync = never", "spool_sync"),
    "journal_max_records": ("journal_max_records = many", "journal_max_records"),
    "retention_max_records": ("retention_max_records = few", "retention_max_records"),
    "classification_domain": ("classification_domain = a/b", "classification_domain"),
    "spool_dir relative": ("spool_dir = spool", "spool_dir"),
    "state_dir relative": ("state_dir = ./state", "state_dir"),
    "log_dir empty": ("log_dir =", "log_dir"),
    "cache_dir relative": ("cache_dir = c", "cache_dir"),
    "config_dir relative": ("config_dir = etc", "config_dir"),
    "socket_path relative": ("socket_path = telem-0", "socket_path"),
    "socket_path too long": ("socket_path = /" + "x" * 200, "socket_path"),
    "control_path too long": ("control_path = /" + "x" * 200, "control_path"),
    "no equals sign": ("spool_max_size 100", ""),
    "another section": ("[other]", "[other]"),
    "control character": ("server = http://a\x01b/", ""),
}


@pytest.mark.parametrize("line, key", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_a_bad_line_is_named_with_file_and_line_and_telemd_does_not_start(
    make_machine, line, key
):
    machine = make_machine()
    machine.config.write_text("# a comment\n[settings]\n\n" + line + "\n")
    result = run("-f", str(machine.config))
    assert result.returncode == CONFIG_ERROR
    assert result.stdout == ""
    [said] = result.stderr.splitlines()
    place = f"{machine.config}:4: "
    assert place in said
    what = said.split(place)[1]
    assert what.startswith(f"{key}: ") if line.startswith(f"{key} ") and key else key in what
    assert said.isprintable()


def test_each_mistake_has_its_line(make_machine):
    machine = make_machine()
    machine.config.write_text(
        "server = http://a/\n[settings]\nrecord_expiry = abc\nserver = http://a/\nconsent = no\n"
    )
    result = run("-f", str(machine.config))
    assert result.returncode == CONFIG_ERROR
    lines = result.stderr.splitlines()
    assert [line.split(f"{machine.config}:")[1].split(":")[0] for line in lines] == ["1", "3", "5"]


def test_drop_ins_count_last_and_their_mistakes_name_them(make_machine, sink, away):
    machine = make_machine(server=away.url)
    drop_ins = machine.root / "telemetrics.conf.d"
    drop_ins.mkdir()
    (drop_ins / "10-a.conf").write_text("[settings]\nserver = http://127.0.0.1:1/\n")
    (drop_ins / "20-b.conf").write_text(f"[settings]\nserver = {sink.url}\n")
    (drop_ins / "30-c.conf.bak").write_text("nonsense")
    machine.start()
    assert machine.status()["server"] == sink.url
    assert machine.send() == 0
    sink.wait_for(1)
    assert machine.stop() == 0
    (drop_ins / "40-d.conf").write_text("[settings]\nconsent = never\n")
    result = run("-f", str(machine.config))
    assert result.returncode == CONFIG_ERROR
    assert f"{drop_ins / '40-d.conf'}:2: consent: " in result.stderr


WARNED = {
    "unknown key": ("spool_maxsize = 1", "spool_maxsize"),
    "too small": ("spool_process_time = 1", "spool_process_time"),
    "too large": ("record_window_length = 60", "record_window_length"),
    "negative": ("record_expiry = -5", "record_expiry"),
}


@pytest.mark.parametrize("line, key", WARNED.values(), ids=WARNED.keys())
def test_what_can_be_made_sense_of_is_a_warning(make_machine, sink, line, key):
    machine = make_machine(server=sink.url)
    with machine.config.open("a") as file:
        file.write(line + "\n")
    number = len(machine.config.read_text().splitlines())
    machine.start()
    [warning] = [said for said in machine.said().splitlines() if key in said]
    assert f"{machine.config}:{number}: " in warning
    assert machine.send() == 0
    sink.wait_for(1)


def test_comments_blanks_and_missing_keys_are_fine(make_machine, sink):
    machine = make_machine(server=sink.url)
    text = machine.config.read_text().replace("server = ", "  server=")
    machine.config.write_text("; one\n# two\n\n" + text + "\n   # three\n")
    machine.start()
    assert machine.status()["server"] == sink.url
    assert machine.said().count("telemetrics.conf") == 0


# Not starting.


def test_a_second_telemd_on_the_same_folders_leaves_the_first_alone(machine, sink):
    result = run("-f", str(machine.config))
    assert result.returncode == CANNOT_START
    [line] = result.stderr.splitlines()[-1:]
    assert "another" in line or "in use" in line or "listens" in line
    assert machine.send() == 0
    sink.wait_for(1)
    machine.wait_for(delivered=1)


@pytest.mark.parametrize("shared", ["spool_dir", "socket_path", "control_path"])
def test_a_second_telemd_with_one_thing_in_common_does_not_start(make_machine, sink, shared):
    first = make_machine(server=sink.url).start()
    second = make_machine(server=sink.url)
    second.configure(**{shared: first.settings[shared]})
    second.launch()
    assert second.wait_for_end() == CANNOT_START
    assert str(first.settings[shared]) in second.said()
    assert first.send() == 0
    sink.wait_for(1)
    assert first.socket.exists() and first.control.exists()


@pytest.mark.parametrize("how", ["left by a kill", "left by a stranger"])
def test_a_stale_socket_file_is_replaced(make_machine, sink, how):
    machine = make_machine(server=sink.url)
    if how == "left by a kill":
        machine.start()
        machine.kill()
    else:
        for path in (machine.socket, machine.control):
            with socket.socket(socket.AF_UNIX) as stale:
                stale.bind(str(path))
    assert machine.socket.exists()
    machine.start()
    assert machine.send() == 0
    sink.wait_for(1)


def test_a_file_that_is_no_socket_is_not_replaced(make_machine):
    machine = make_machine()
    machine.socket.write_text("mine")
    machine.launch()
    assert machine.wait_for_end() == CANNOT_START
    assert str(machine.socket) in machine.said()
    assert machine.socket.read_text() == "mine"


def test_everybody_may_send(machine):
    assert machine.socket.stat().st_mode & 0o777 == 0o666


@needs_root
def test_the_control_socket_answers_those_who_may_know(machine):
    script = (
        "import socket, sys\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "s.connect(sys.argv[1])\n"
        "s.sendall(b'{\"command\": \"status\"}\\n')\n"
        "print(s.recv(65536).decode())\n"
    )
    import sys

    result = subprocess.run(
        [sys.executable, "-c", script, str(machine.control)], user="nobody", group="nogroup",
        extra_groups=[], capture_output=True, text=True, timeout=20,
    )
    assert "permission denied" in (result.stdout + result.stderr).lower()
    assert "machine_id" not in result.stdout


QUESTIONS = {
    "another command": b'{"command": "dance"}\n',
    "no JSON": b"status\n",
    "an array": b"[]\n",
    "empty line": b"\n",
    "no command": b'{"verb": "status"}\n',
    "deep": b"[" * 5000 + b"\n",
    "long": b'{"command": "' + b"x" * 100_000 + b'"}\n',
    "bytes": bytes(range(128, 256)) + b"\n",
}


@pytest.mark.parametrize("line", QUESTIONS.values(), ids=QUESTIONS.keys())
def test_a_question_that_makes_no_sense_gets_an_error(machine, line):
    try:
        answer = machine.ask(line)
        assert list(answer) == ["error"] and answer["error"]
    except (BrokenPipeError, ConnectionResetError):
        assert len(line) > 4096  # cut off while it was still talking
    assert machine.status()["pid"] == machine.process.pid


def test_control_clients_that_say_nothing_hold_up_nobody(machine, sink):
    silent = []
    for _ in range(100):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(5)
        client.connect(str(machine.control))
        silent.append(client)
    assert machine.send() == 0
    sink.wait_for(1)
    wait_until(lambda: machine.status()["delivered"] == 1)
    for client in silent:
        client.close()


@needs_root
@pytest.mark.parametrize("missing", ["spool", "state", "log", "run"])
def test_without_rights_telemd_says_so_and_ends(make_machine, missing):
    machine = make_machine()
    for name in ("spool", "state", "log", "cache", "run"):
        if name != missing:
            os.chown(machine.root / name, 65534, 65534)
    machine.launch(user="nobody")
    assert machine.wait_for_end() == CANNOT_START
    line = machine.said().splitlines()[-1]
    assert str(machine.root / missing) in line and "ermission denied" in line


@needs_root
def test_an_ordinary_user_can_run_an_installation_of_his_own(make_machine, sink):
    machine = make_machine(server=sink.url)
    for name in ("spool", "state", "log", "cache", "run", "etc"):
        os.chown(machine.root / name, 65534, 65534)
    machine.start(user="nobody")
    assert machine.send(b"from root") == 0
    assert sink.wait_for(1)[0].body == b"from root"
    machine.wait_for(delivered=1)


@needs_root
def test_without_any_configuration_an_ordinary_user_gets_one_clear_line():
    result = run(program=paths.telemd_for_everybody(), user="nobody", group="nogroup",
                 extra_groups=[])
    assert result.returncode == CANNOT_START
    [line] = result.stderr.splitlines()[-1:]
    assert line.startswith("telemd: ") and "/" in line


@needs_root
def test_root_makes_the_folders_that_are_missing(make_machine, sink):
    machine = make_machine(server=sink.url)
    for name in ("spool", "state", "log", "cache", "run"):
        (machine.root / name).rmdir()
    machine.start()
    assert machine.send() == 0
    sink.wait_for(1)
    for private in (machine.spool, machine.journal_file, machine.state / "machine_id"):
        assert private.stat().st_mode & 0o007 == 0


def test_a_folder_that_is_a_file_is_named(make_machine):
    machine = make_machine()
    machine.spool.rmdir()
    machine.spool.write_text("not a folder")
    machine.launch()
    assert machine.wait_for_end() == CANNOT_START
    assert str(machine.spool) in machine.said()


# Signals.


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_SIGTERM_and_SIGINT_end_it_in_order(machine, sink, which):
    assert machine.send() == 0
    sink.wait_for(1)
    assert machine.stop(which, timeout=5) == 0
    assert not machine.socket.exists() and not machine.control.exists()


def test_SIGTERM_finishes_what_is_answered_and_leaves_no_child(make_machine, away):
    machine = make_machine(server=away.url).start()
    for _ in range(20):
        assert machine.send() == 0
    children = machine.deliverers()
    assert machine.stop() == 0
    assert len(machine.spool_files()) == 20
    wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children))


UNEXPECTED = ["SIGUSR1", "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO",
              "SIGWINCH", "SIGCHLD", "SIGURG", "SIGCONT"]


@pytest.mark.parametrize("name", UNEXPECTED)
def test_other_signals_do_not_end_it(machine, sink, name):
    for _ in range(3):
        machine.send_signal(getattr(signal, name))
    assert machine.send() == 0
    sink.wait_for(1)
    assert machine.is_alive()


def test_SIGHUP_with_a_broken_file_keeps_the_settings_in_force(machine, sink):
    text = machine.config.read_text()
    machine.config.write_text(text + "record_expiry = abc\nserver = http://127.0.0.1:1/\n")
    machine.reload()
    number = len(text.splitlines()) + 1
    wait_until(lambda: f"{machine.config}:{number}: record_expiry" in machine.said())
    assert machine.status()["server"] == sink.url
    assert machine.send() == 0
    sink.wait_for(1)
    machine.config.unlink()
    said = len(machine.said())
    machine.reload()
    wait_until(lambda: str(machine.config) in machine.said()[said:])
    assert machine.send() == 0
    sink.wait_for(2)
    machine.config.write_text(text)


def test_SIGHUP_with_a_broken_file_changes_nothing_and_names_each_mistake(machine, sink):
    text = machine.config.read_text()
    machine.configure(spool_max_size=0, rate_limit_enabled=False, record_retention_enabled=True)
    drop_ins = machine.root / "telemetrics.conf.d"
    drop_ins.mkdir()
    (drop_ins / "10.conf").write_text("[settings]\nconsent = perhaps\nserver = ftp://x/\n")
    before = machine.status()
    machine.reload()
    wait_until(lambda: "the old settings stay in force" in machine.said())
    for place in ("10.conf:2: consent: ", "10.conf:3: server: "):
        [line] = [line for line in machine.said().splitlines() if place in line]
        assert line.startswith("telemd: ")
    after = machine.status()
    for key in ("server", "spool_max_kib", "consent", "collecting"):
        assert after[key] == before[key], key
    assert machine.send() == 0
    machine.wait_for(delivered=1)
    assert not list((machine.log / "records").glob("*"))
    # Mended, all of it counts.
    (drop_ins / "10.conf").write_text("[settings]\nconsent = opt-in\n")
    machine.reload()
    machine.wait_for(spool_max_kib=0, consent="opt-in", collecting=False)
    machine.config.write_text(text)


def test_SIGHUP_with_drop_ins_that_cannot_be_read_changes_nothing(machine, sink):
    (machine.root / "telemetrics.conf.d").symlink_to("telemetrics.conf.d")
    machine.configure(spool_max_size=0)
    machine.reload()
    wait_until(lambda: "the old settings stay in force" in machine.said())
    assert machine.status()["spool_max_kib"] != 0
    assert machine.send() == 0


def test_SIGHUP_tells_what_needs_a_restart_and_takes_the_rest(machine, sink):
    kept = {"socket_path", "control_path", "spool_dir", "config_dir", "state_dir", "log_dir"}
    old = {key: str(machine.settings[key]) for key in kept}
    machine.configure(**{key: f"{path}-new" for key, path in old.items()}, spool_max_size=77)
    machine.reload()
    machine.wait_for(spool_max_kib=77)
    for key, path in old.items():
        [line] = [line for line in machine.said().splitlines() if f"{key} stays" in line]
        assert path in line and f"{path}-new" in line and "started again" in line
    assert machine.send() == 0
    sink.wait_for(1)
    machine.wait_for(delivered=1)
    machine.opt_out()
    assert machine.send() == 111
    assert sorted(path.name for path in machine.root.glob("*-new")) == []
    machine.configure(**old)


def test_many_SIGHUPs_are_survived(machine, sink):
    for _ in range(200):
        machine.reload()
    for _ in range(10):
        assert machine.send() == 0
        machine.reload()
    sink.wait_for(10)
    machine.wait_for(delivered=10)


def test_SIGHUP_takes_new_limits(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=-1).start()
    assert machine.send() == 0
    machine.configure(spool_max_size=0)
    machine.reload()
    machine.wait_for(spool_max_kib=0)
    assert machine.send() == 28


def test_ten_records_make_no_ten_log_lines(machine, sink):
    said = len(machine.said().splitlines())
    for _ in range(10):
        assert machine.send(**sample_headers()) == 0
    machine.wait_for(delivered=10)
    assert len(machine.said().splitlines()) - said <= 1


def test_an_outage_makes_few_log_lines(make_machine, away):
    machine = make_machine(server=away.url).start()
    said = len(machine.said().splitlines())
    for _ in range(50):
        assert machine.send() == 0
    for _ in range(5):
        machine.reload()
    wait_until(lambda: machine.status()["last_error"])
    assert stays(lambda: len(machine.said().splitlines()) - said <= 12, 0.5)
