"""What the tests of the library as strangers use it need: a daemon, a configuration, a compiler."""

import subprocess

import pytest
from support import paths
from support.frame_server import FrameServer


@pytest.fixture
def serve(folder):
    """Starts a daemon that gives the answers named, at the socket of `config`."""
    servers = []

    def start(*answers):
        servers.append(FrameServer(folder / "socket", answers or (0,)))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def config(folder):
    path = folder / "telemetrics.conf"
    path.write_text(f"[settings]\nsocket_path = {folder}/socket\nconfig_dir = {folder}\n")
    return path


@pytest.fixture
def build(folder):
    """Compiles a program; every warning is an error."""

    def compile_and_link(name, source, *arguments, compiler="cc"):
        path = folder / name
        path.write_text(source)
        program = path.with_suffix("")
        command = [compiler, "-Wall", "-Wextra", "-Werror", str(path), "-o", str(program),
                   *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
        return program

    return compile_and_link


@pytest.fixture
def run():
    """Runs a program with the library of the build; returns its exit code, or the negative number
    of the signal that ended it."""

    def run_program(*command, library_folder=paths.LIBTELEMETRY.parent):
        environment = dict(paths.strangers_environment(), LD_LIBRARY_PATH=str(library_folder))
        return subprocess.run([str(part) for part in command], env=environment,
                              timeout=60).returncode

    return run_program
