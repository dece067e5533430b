"""What README.md and docs/ show is real: examples are taken out of them and tried."""

import os
import re
import shlex
import struct
import subprocess

import pytest

from support import paths

README = (paths.REPO / "README.md").read_text()
FORMATS = (paths.REPO / "docs" / "formats.md").read_text()


def example(text, language, containing=""):
    """The code block of that language."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    found = [block for block in blocks if containing in block]
    assert len(found) == 1, f"{len(found)} blocks of {language} contain {containing!r}"
    return found[0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """An installation as the README makes one, in a private folder."""
    prefix = tmp_path_factory.mktemp("installed")
    subprocess.run(
        ["cmake", "--install", paths.BUILD, "--prefix", prefix], check=True, capture_output=True
    )
    return prefix


def only_record(sink):
    (request,) = sink.wait_for(1)
    return request


@pytest.mark.skipif(
    paths.is_sanitized(), reason="the example is compiled without the sanitizer of this build"
)
def test_the_c_probe_builds_and_sends_its_record(installed, machine, sink, tmp_path):
    (pkg_config,) = installed.rglob("libtelemetry.pc")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libtelemetry"],
        env={**os.environ, "PKG_CONFIG_PATH": str(pkg_config.parent)},
        check=True, capture_output=True, text=True,
    ).stdout
    (tmp_path / "probe.c").write_text(example(README, "c"))
    # The example uses the configuration of the system; this puts the test's in its place.
    (tmp_path / "use_config.c").write_text(
        "#include <stdlib.h>\n"
        "#include <telemetry.h>\n"
        "__attribute__((constructor)) static void use_config(void) {\n"
        '  if (tm_set_config_file(getenv("TEST_CONFIG")) != 0) abort();\n'
        "}\n"
    )
    program = tmp_path / "probe"
    subprocess.run(
        ["cc", "-Wall", "-Wextra", "-Werror", "-o", program, tmp_path / "probe.c",
         tmp_path / "use_config.c", *shlex.split(flags), f"-Wl,-rpath,{pkg_config.parent.parent}"],
        check=True,
    )
    subprocess.run([program], env={**os.environ, "TEST_CONFIG": str(machine.config)}, check=True)
    request = only_record(sink)
    assert request.headers["classification"] == "org.example/backup/failed"
    assert request.headers["severity"] == "2"
    assert request.body == b"no space left on /backup\n"


def test_the_shell_probe_sends_its_record(machine, sink, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    # The backup fails, and telem-record-gen uses the configuration of the test.
    (programs / "tar").write_text("#!/bin/sh\necho 'tar: /backup: No space left on device' >&2\nexit 2\n")
    (programs / "telem-record-gen").write_text(
        f'#!/bin/sh\nexec {paths.TELEM_RECORD_GEN} --config-file {machine.config} "$@"\n'
    )
    for program in programs.iterdir():
        program.chmod(0o755)
    subprocess.run(
        ["sh", "-eu", "-c", example(README, "sh")],
        env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}, check=True,
    )
    request = only_record(sink)
    assert request.headers["classification"] == "org.example/backup/failed"
    assert request.body == b"tar: /backup: No space left on device\n"


def test_the_configuration_is_taken_without_a_warning(folder):
    config = folder / "telemetrics.conf"
    config.write_text(example(README, "ini"))
    run = subprocess.run(
        [paths.TELEMCTL, "config", "--config-file", config], capture_output=True, text=True, check=True
    )
    assert run.stderr == ""
    assert "http://collector.example.org:8080/v2/collector" in run.stdout


def test_each_script_and_document_that_is_named_is_there():
    for name in re.findall(r"\]\(([^)#:]+)\)", README) + re.findall(r"\bscripts/\w+", README):
        assert (paths.REPO / name).exists(), name


def hexdump_bytes():
    data = b""
    for line in example(FORMATS, "hexdump").splitlines():
        offset, rest = line.split(None, 1)
        assert int(offset, 16) == len(data)
        data += bytes.fromhex(rest.split("|", 1)[0])
    return data


def test_the_frame_of_the_documentation_is_taken(machine, sink):
    data = hexdump_bytes()
    size, header_size = struct.unpack_from("<II", data)
    assert (len(data), size, header_size) == (413, 404, 398)
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        pytest.skip("the example is for little-endian machines")
    assert machine.send_frame(data) == 0
    assert only_record(sink).headers["event_id"] == "d241abedaee245e0a151b0e782f09a57"


def test_both_2x_frames_of_the_documentation_are_taken(machine, sink):
    data = hexdump_bytes()
    if struct.pack("=I", 1) != struct.pack("<I", 1):
        pytest.skip("the example is for little-endian machines")
    plain = struct.pack("<I", 413) + data[4:]
    with_path = struct.pack("<I", 429) + b"CFG:/etc/t.conf\0" + data[4:]
    for frame in (plain, with_path):
        assert len(frame) == struct.unpack_from("<I", frame)[0]
        with machine.connect() as connection:
            connection.send(frame)
            connection.finish_writing()
            assert connection.read_status() == 0
    requests = sink.wait_for(2)
    assert [request.body for request in requests] == [b"hello\n"] * 2
