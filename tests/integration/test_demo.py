"""scripts/demo --once: what a newcomer sees first."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile

import pytest

from support import paths

DEMO = paths.REPO / "scripts" / "demo"

pytestmark = pytest.mark.skipif(
    paths.is_sanitized(), reason="the demo compiles programs without the sanitizer of this build"
)


@pytest.fixture
def folder():
    """Not the one of other tests: programs cannot be run from everywhere in memory."""
    with tempfile.TemporaryDirectory(prefix="telem-") as path:
        yield pathlib.Path(path)


@pytest.fixture
def environment(folder):
    """Lets the demo use the programs under test, and puts what it makes where we can look."""
    return {**os.environ, "TMPDIR": str(folder), "TELEMETRICS_BUILD": str(paths.BUILD)}


def processes_with(text):
    """Pids of processes that have `text` in their command line."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended meanwhile
    return found


def test_every_record_arrives_and_nothing_is_left_behind(environment, folder):
    demo = subprocess.run(
        [DEMO, "--once"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "Every record has arrived at the collector." in demo.stdout
    for classification in ("org.clearlinux/hello/world", "org.example/demo/shell",
                           "org.example/demo/c", "org.example/demo/cpp",
                           "org.example/demo/offline"):
        assert re.search(rf"^ +{classification} ", demo.stdout, re.MULTILINE), demo.stdout
    assert list(folder.iterdir()) == []
    assert processes_with(str(folder)) == []


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_cleans_up_when_it_is_interrupted(environment, folder, which):
    with subprocess.Popen(
        [DEMO], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        for line in demo.stdout:
            if "at the collector" in line:
                break
        # As a terminal does it: to everybody in the foreground.
        os.killpg(demo.pid, which)
        demo.stdout.read()
        assert demo.wait(timeout=30) == 128 + which
    assert list(folder.iterdir()) == []
    assert processes_with(str(folder)) == []


def test_stays_until_ctrl_c(environment, folder):
    with subprocess.Popen(
        [DEMO], env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        for line in demo.stdout:
            if line.startswith("Ctrl-C ends"):
                break
        assert demo.poll() is None
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(timeout=30) == 0
    assert list(folder.iterdir()) == []


def test_says_what_is_wrong_with_an_option(environment):
    demo = subprocess.run([DEMO, "--often"], env=environment, capture_output=True, text=True)
    assert demo.returncode == 2
    assert demo.stderr == "demo: unknown option '--often'. Try 'scripts/demo --help'.\n"
