"""The command lines of hprobe and telem-record-gen: each mistake has one clear line and exit code
1, and sends nothing."""

import json
import os
import re
import subprocess
import threading

import pytest
from support import paths
from support.frame_server import FrameServer
from support.frames import MAX_PAYLOAD, parse_frame, parse_headers

HPROBE = paths.BUILD / "bin" / "hprobe"
RECORD_GEN = paths.TELEM_RECORD_GEN
EVENT_ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def server(folder):
    """A daemon that takes everything, at the socket of `config`."""
    started = FrameServer(folder / "socket")
    yield started
    started.close()


@pytest.fixture
def config(folder):
    path = folder / "telemetrics.conf"
    path.write_text(f"[settings]\nsocket_path = {folder}/socket\nconfig_dir = {folder}\n")
    return path


def call(*command, stdin=b""):
    return subprocess.run([str(part) for part in command], input=stdin, capture_output=True,
                          timeout=60)


def expect_mistake(done, message):
    """One line on stderr that `message` (an expression) matches, exit 1, nothing on stdout."""
    stderr = done.stderr.decode()
    assert done.returncode == 1, stderr
    assert re.fullmatch(message + r"\n", stderr), stderr
    assert done.stdout == b""


CLASS = ["-c", "a/b/c"]
FORM = r"is not DOMAIN/PROBE/REST, three parts of 1 to 40 printable characters"

# Arguments and what is said of them. A class and a payload are given where they are not the matter.
USAGE_MISTAKES = {
    HPROBE: [
        (["-x"], r"unknown option '-x'"),
        (["-Hx"], r"unknown option '-x'"),
        (["--nonsense"], r"unknown option '--nonsense'"),
        (["--help=1"], r"option -h/--help takes no value"),
        (["-f"], r"option -f/--config-file needs a value"),
        (["--config-file"], r"option -f/--config-file needs a value"),
        (["--json"], r"--json goes with -n/--no-post only"),
        (["word"], r"unexpected argument 'word'"),
        (["-H", "a\nb"], r"unexpected argument 'a\?b'"),
    ],
    RECORD_GEN: [
        ([], r"option -c/--class is required"),
        (["-p", "x"], r"option -c/--class is required"),
        (["-c"], r"option -c/--class needs a value"),
        (["-c", "", "-p", "x"], rf"-c/--class: '' {FORM}"),
        (["-c", "a/b", "-p", "x"], rf"-c/--class: 'a/b' {FORM}"),
        (["-c", "a/b/c/d", "-p", "x"], rf"-c/--class: 'a/b/c/d' {FORM}"),
        (["-c", "a//c", "-p", "x"], rf"-c/--class: 'a//c' {FORM}"),
        (["-c", "a/b/" + "c" * 41, "-p", "x"], rf"-c/--class: 'a/b/c+' {FORM}"),
        (["-c", "a/b/c\nd", "-p", "x"], rf"-c/--class: 'a/b/c\?d' {FORM}"),
        (["-c", "a/b/ä", "-p", "x"], rf"-c/--class: 'a/b/ä' {FORM}"),
        ([*CLASS, "-s", "0"], r"-s/--severity: '0' is not a number from 1 to 4"),
        ([*CLASS, "-s", "5"], r"-s/--severity: '5' is not a number from 1 to 4"),
        ([*CLASS, "-s", "-1"], r"-s/--severity: '-1' is not a number from 1 to 4"),
        ([*CLASS, "-s", "high"], r"-s/--severity: 'high' is not a number from 1 to 4"),
        ([*CLASS, "-s", ""], r"-s/--severity: '' is not a number from 1 to 4"),
        ([*CLASS, "--severity", "1x"], r"-s/--severity: '1x' is not a number from 1 to 4"),
        ([*CLASS, "-R", "one"], r"-R/--record-version: 'one' is not a number from 0 to 4294967295"),
        ([*CLASS, "-R", "4294967296"], r"-R/--record-version: '4294967296' is not a number .*"),
        ([*CLASS, "-e", "123"], r"-e/--event-id: '123' is not 32 lower-case hex digits"),
        ([*CLASS, "-e", EVENT_ID.upper()], r"-e/--event-id: '.*' is not 32 lower-case hex digits"),
        ([*CLASS, "-e", EVENT_ID + "0"], r"-e/--event-id: '.*' is not 32 lower-case hex digits"),
        ([*CLASS, "-p"], r"option -p/--payload needs a value"),
        ([*CLASS, "-P"], r"option -P/--payload-file needs a value"),
        ([*CLASS, "-P", ""], r"-P/--payload-file: the name of the file is empty"),
        ([*CLASS, "-p", "x", "-P", "/dev/null"],
         r"-p/--payload and -P/--payload-file cannot both be given"),
        ([*CLASS, "-p", "x", "word"], r"unexpected argument 'word'"),
        ([*CLASS, "-z"], r"unknown option '-z'"),
        ([*CLASS, "--echo=1"], r"option -o/--echo takes no value"),
        ([*CLASS, "--no-post=1"], r"option -n/--no-post takes no value"),
        ([*CLASS, "--nonsense"], r"unknown option '--nonsense'"),
        ([*CLASS, "-f", "/nowhere/telemetrics.conf"],
         r"configuration file '/nowhere/telemetrics.conf': No such file or directory"),
        ([*CLASS, "-f", "/"], r"configuration file '/': is not a regular file"),
        ([*CLASS, "-f", ""], r"configuration file '': No such file or directory"),
    ],
}


@pytest.mark.parametrize(
    "program, arguments, message",
    [(program, *case) for program, cases in USAGE_MISTAKES.items() for case in cases],
)
def test_usage_mistakes_have_one_line_and_send_nothing(server, config, program, arguments, message):
    # The configuration first, so that a mistake behind it could be sent somewhere.
    done = call(program, "-f", config, *arguments)
    expect_mistake(done, rf"{program.name}: {message}\. Try '{program.name} --help'\.")
    assert server.frames == []


@pytest.mark.parametrize("path, message", [
    ("/nowhere/telemetrics.conf", "No such file or directory"),
    ("/", "is not a regular file"),
])
def test_hprobe_names_a_configuration_file_that_it_cannot_take(path, message):
    expect_mistake(call(HPROBE, "-f", path), rf"hprobe: configuration file '{path}': {message}")


@pytest.mark.parametrize("name, payload, message", [
    ("missing", None, r"open '.*/missing': No such file or directory"),
    ("large", b"x" * (MAX_PAYLOAD + 1), r"payload file '.*/large': more than 256 KiB"),
    ("nul", b"a\0b", r"payload file '.*/nul': a payload cannot hold a NUL byte"),
], ids=["missing", "large", "nul"])
def test_payload_files_that_cannot_be_sent(server, config, folder, name, payload, message):
    if payload is not None:
        (folder / name).write_bytes(payload)
    done = call(RECORD_GEN, "-f", config, *CLASS, "-P", folder / name)
    expect_mistake(done, rf"telem-record-gen: {message}")
    assert server.frames == []


def test_a_folder_is_no_payload(server, config, folder):
    done = call(RECORD_GEN, "-f", config, *CLASS, "-P", folder)
    expect_mistake(done, r"telem-record-gen: payload file '.*': read: Is a directory")
    assert server.frames == []


@pytest.mark.parametrize("payload, message", [
    (b"x" * (MAX_PAYLOAD + 1), r"standard input: more than 256 KiB"),
    (b"x" * (4 * MAX_PAYLOAD), r"standard input: more than 256 KiB"),
    (b"a\0b", r"standard input: a payload cannot hold a NUL byte"),
], ids=["a byte too large", "much too large", "nul"])
def test_standard_input_that_cannot_be_sent(server, config, payload, message):
    done = call(RECORD_GEN, "-f", config, *CLASS, stdin=payload)
    expect_mistake(done, rf"telem-record-gen: {message}")
    assert server.frames == []


# The shell hands 128 KiB over in one argument at most, so only files and pipes can be longer.
@pytest.mark.parametrize("way", ["file", "standard input"])
def test_the_largest_payload_arrives(server, config, folder, way):
    payload = b"\xff" * MAX_PAYLOAD
    (folder / "payload").write_bytes(payload)
    if way == "file":
        done = call(RECORD_GEN, "-f", config, *CLASS, "-P", folder / "payload")
    else:
        done = call(RECORD_GEN, "-f", config, *CLASS, stdin=payload)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert parse_frame(server.frames[0])[1] == payload


# As bash does for `-P <(dmesg)`.
def test_a_payload_file_may_be_a_pipe_whose_writer_comes_later(server, config, folder):
    os.mkfifo(folder / "pipe")
    writer = threading.Thread(target=(folder / "pipe").write_bytes, args=(b"late\n",))
    writer.start()
    done = call(RECORD_GEN, "-f", config, *CLASS, "-P", folder / "pipe")
    writer.join()
    assert (done.returncode, done.stderr) == (0, b"")
    assert parse_frame(server.frames[0])[1] == b"late\n"


@pytest.mark.parametrize("program", [HPROBE, RECORD_GEN])
def test_help_and_version_go_to_stdout(program):
    for option in ("-h", "--help"):
        done = call(program, option)
        assert (done.returncode, done.stderr) == (0, b"")
        text = done.stdout.decode()
        assert text.startswith(f"Usage: {program.name} ")
        assert "--config-file" in text and "--version" in text
    for option in ("-V", "--version"):
        done = call(program, option)
        assert (done.returncode, done.stderr) == (0, b"")
        assert re.fullmatch(rf"{program.name} \d+\.\d+\.\d+\n", done.stdout.decode())


# On /dev/full every write fails.
def test_an_echo_that_cannot_be_written_is_an_error(server, config):
    with open("/dev/full", "w") as full:
        done = subprocess.run([RECORD_GEN, "-f", config, *CLASS, "-p", "x", "-o"], stdout=full,
                              stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1
    assert done.stderr == b"telem-record-gen: standard output: write: No space left on device\n"
    assert server.frames == []


def test_long_options_mean_the_same(server, config, folder):
    (folder / "payload").write_text("of a file")
    done = call(RECORD_GEN, "--config-file", config, "--class", "a/b/c", "--severity", "3",
                "--payload-file", folder / "payload", "--record-version", "9", "--event-id",
                EVENT_ID, "--echo")
    assert (done.returncode, done.stderr) == (0, b"")
    headers, payload = parse_frame(server.frames[0])
    assert headers["severity"] == "3"
    assert headers["payload_format_version"] == "9"
    assert headers["event_id"] == EVENT_ID
    assert payload == b"of a file"


def test_echo_prints_the_very_record_that_is_sent(server, config):
    done = call(RECORD_GEN, "-f", config, *CLASS, "-p", "hello", "-o")
    assert (done.returncode, done.stderr) == (0, b"")
    headers, rest = parse_headers(done.stdout)
    assert rest == b"hello\n"
    assert (headers, b"hello") == parse_frame(server.frames[0])


def test_no_post_sends_nothing(server, config):
    done = call(RECORD_GEN, "-f", config, *CLASS, "-p", "hello", "-n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    done = call(RECORD_GEN, "-f", config, *CLASS, "-p", "hello", "-o", "-n")
    assert (done.returncode, done.stderr) == (0, b"")
    assert parse_headers(done.stdout)[1] == b"hello\n"
    assert server.frames == []


def test_hprobe_says_that_its_record_was_taken(server, config):
    done = call(HPROBE, "-f", config)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b"Successfully sent record to daemon.\n"
    assert len(server.frames) == 1


def test_hprobe_takes_the_domain_of_its_classification_from_the_configuration(server, config):
    with config.open("a") as file:
        file.write("classification_domain = org.example\n")
    assert call(HPROBE, "-f", config).returncode == 0
    assert call(HPROBE, "-H", "-f", config).returncode == 0
    classes = [parse_frame(frame)[0]["classification"] for frame in server.frames]
    assert classes == ["org.example/hello/world", "org.example/heartbeat/ping"]


def test_a_configuration_file_may_be_named_by_a_relative_path(server, config):
    done = subprocess.run([HPROBE, "-f", config.name], cwd=config.parent, capture_output=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(server.frames) == 1


# Bad values are telemd's to complain of; a probe goes on with what holds.
def test_mistakes_in_the_configuration_do_not_keep_a_probe_from_sending(server, config):
    with config.open("a") as file:
        file.write("rate_limit_enabled = maybe\nno line of ours\nclassification_domain = a/b\n")
    assert call(HPROBE, "-f", config).returncode == 0
    assert parse_frame(server.frames[0])[0]["classification"] == "org.clearlinux/hello/world"


COMMANDS = [(HPROBE, []), (RECORD_GEN, [*CLASS, "-p", "x"])]

FAILURES = [
    (28, r"telemd's spool is full"),
    (122, r"telemd's limit on records is reached"),
    (111, r"telemd does not run, or the user has opted out"),
    (7, r"telemd takes no record of this size"),
    (22, r"telemd takes no record like this"),
    (5, r"telemd ended before it answered, or could not store the record"),
    ("close", r"telemd ended before it answered, or could not store the record"),
    ("hang", r"telemd did not answer within a second"),
]


@pytest.mark.parametrize("program, arguments", COMMANDS)
@pytest.mark.parametrize("answer, message", FAILURES)
def test_a_record_that_is_not_taken_is_a_failure(folder, config, program, arguments, answer,
                                                 message):
    server = FrameServer(folder / "socket", [answer])
    done = call(program, "-f", config, *arguments)
    server.close()
    expect_mistake(done, rf"{program.name}: cannot send the record: {message}")


@pytest.mark.parametrize("program, arguments", COMMANDS)
def test_a_daemon_that_does_not_run_is_a_failure(config, program, arguments):
    expect_mistake(call(program, "-f", config, *arguments),
                   rf"{program.name}: cannot send the record: telemd does not run "
                   r"\(its socket is not there\)")


@pytest.mark.parametrize("program, arguments", [*COMMANDS, (RECORD_GEN, [*CLASS, "-o"])])
def test_whoever_opted_out_hears_nothing_and_sends_nothing(server, config, folder, program,
                                                           arguments):
    (folder / "opt-out").touch()
    done = call(program, "-f", config, *arguments, stdin=b"x" * MAX_PAYLOAD)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert server.frames == []


def test_whoever_opted_out_may_look_at_what_would_be_sent(server, config, folder):
    (folder / "opt-out").touch()
    done = call(RECORD_GEN, "-f", config, *CLASS, "-p", "x", "-o", "-n")
    assert done.returncode == 0
    assert parse_headers(done.stdout)[1] == b"x\n"
    assert server.frames == []


def test_hprobe_shows_the_record_that_it_would_send_and_sends_nothing(folder):
    config = folder / "telemetrics.conf"
    config.write_text(f"[settings]\nsocket_path = {folder}/nobody\nconfig_dir = {folder}\n")
    text = call(HPROBE, "-n", "-f", config)
    assert text.returncode == 0 and text.stderr == b""
    lines = text.stdout.decode().split("\n")
    assert lines[0] == "record_format_version: 4" and lines[15:] == ["hello", "", ""]
    shown = call(HPROBE, "-H", "--no-post", "--json", "-f", config)
    record = json.loads(shown.stdout)
    assert shown.stdout.count(b"\n") == 1
    assert list(record)[:2] == ["record_format_version", "classification"] and len(record) == 16
    assert record["classification"] == "org.clearlinux/heartbeat/ping"
    assert record["payload"] == "hello\n"
