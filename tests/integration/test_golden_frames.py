"""What our probes write on the socket is what those of 1.x wrote, but for what the host says of
itself, the time and random event ids."""

import subprocess

import pytest
from support import paths
from support.frame_server import FrameServer
from support.frames import frame, parse_frame

HPROBE = [paths.BUILD / "bin" / "hprobe"]
EVENT_ID = "0123456789abcdef0123456789abcdef"

OF_THE_HOST = ("creation_timestamp", "arch", "host_type", "build", "kernel_version", "system_name",
               "board_name", "cpu_model", "bios_version", "event_id")


def record_gen(classification, *arguments):
    return [paths.TELEM_RECORD_GEN, "-c", classification, *arguments]


# Golden file: command, standard input.
COMMANDS = {
    "1x-hprobe": (HPROBE, b""),
    "1x-hprobe-H": ([*HPROBE, "-H"], b""),
    "1x-trg-p": (record_gen("org.example/test/one", "-p", "hello world"), b""),
    "1x-trg-P": (record_gen("org.example/test/file", "-P", "PAYLOAD_FILE"), b""),
    "1x-trg-stdin": (record_gen("org.example/test/stdin"), b"from\nstdin\n"),
    "1x-trg-e": (record_gen("org.example/test/ev", "-p", "ev", "-e", EVENT_ID), b""),
    "1x-trg-empty": (record_gen("org.example/test/empty", "-p", ""), b""),
    "1x-trg-s4-R2": (record_gen("org.example/test/sev", "-s", "4", "-R", "2", "-p", "x"), b""),
}


def test_every_golden_frame_of_1x_has_its_command(golden):
    names = {path.stem for path in golden("frames").glob("1x-*.bin")}
    assert names == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_frames_are_those_of_1x(folder, golden, name):
    expected = golden(f"frames/{name}.bin").read_bytes()
    command, stdin = COMMANDS[name]
    (folder / "payload").write_text("file line 1\nfile line 2")
    command = [folder / "payload" if part == "PAYLOAD_FILE" else part for part in command]
    config = folder / "telemetrics.conf"
    config.write_text(f"[settings]\nsocket_path = {folder}/socket\nconfig_dir = {folder}\n")
    server = FrameServer(folder / "socket")
    subprocess.run([*command, "-f", config], input=stdin, check=True, timeout=60)
    server.close()

    (got,) = server.frames
    headers, payload = parse_frame(got)
    assert got == frame(headers, payload), "not of the size that 1.x counts"
    golden_headers, _ = parse_frame(expected)
    for header in OF_THE_HOST:
        if header != "event_id" or name != "1x-trg-e":
            headers[header] = golden_headers[header]
    assert frame(headers, payload) == expected
