"""scripts/demo: what a newcomer sees first."""

import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import tempfile

import pytest

from support import paths
from support.core_pattern import KERNEL, locked_settings, needs_core_pattern
from support.crashes import needs_crashprobe
from support.proc import processes_with

DEMO = paths.REPO / "scripts" / "demo"

# Of the record about the crash, as the collector has it.
CRASH = "   #0 parse_header() - [viewer] - crash.c:4 +0x"

# What it says where there is no core file to be had.
NO_CORE = re.compile(r"the core limit \(ulimit -Hc\) is 0|This machine gives cores to '[|@/]")

pytestmark = pytest.mark.skipif(
    paths.is_sanitized(), reason="the demo compiles programs without the sanitizer of this build"
)


@pytest.fixture
def folder():
    """Not the one of other tests: programs cannot be run from everywhere in memory."""
    with tempfile.TemporaryDirectory(prefix="telem-") as path:
        yield pathlib.Path(path)


def settings():
    return [(KERNEL / name).read_text() for name in ("core_pattern", "core_pipe_limit")]


@pytest.fixture
def environment(folder):
    """Lets the demo use the programs under test, and puts what it makes where we can look."""
    return {**os.environ, "TMPDIR": str(folder), "TELEMETRICS_BUILD": str(paths.BUILD)}


def test_every_record_arrives_and_nothing_is_left_behind(environment, folder):
    demo = subprocess.run(
        [DEMO, "--once"], env=environment, capture_output=True, text=True, timeout=300
    )
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert re.search(r"^Every record has arrived at the collector\.\n"
                     r"The build took \d+ s, the rest \d+ s\.\n\Z", demo.stdout, re.MULTILINE)
    for classification in ("org.clearlinux/hello/world", "org.example/demo/shell",
                           "org.example/demo/c", "org.example/demo/cpp",
                           "org.example/demo/offline"):
        assert re.search(rf"^ +{classification} ", demo.stdout, re.MULTILINE), demo.stdout
    assert CRASH in demo.stdout or NO_CORE.search(demo.stdout)
    assert list(folder.iterdir()) == []
    assert processes_with(str(folder)) == []


def run_until(environment, line, then):
    """Runs the demo to its end, calls `then` when it prints a line with these words. Its exit code,
    what it said on standard output, and on standard error."""
    with subprocess.Popen([DEMO, "--once"], env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as demo:
        said = ""
        for said_now in demo.stdout:
            said += said_now
            if line in said_now:
                then()
        assert line in said, said + demo.stderr.read()
        return demo.wait(timeout=30), said, demo.stderr.read()


# As many records are there as were sent, and one of them is another one.
def test_fails_when_a_record_has_not_arrived(environment, folder):
    def spoil_one():
        [store] = folder.glob("*/records.db")
        with sqlite3.connect(store, timeout=30) as database:
            database.execute("CREATE TRIGGER spoil AFTER INSERT ON records "
                             "WHEN NEW.classification = 'org.example/demo/offline' "
                             "AND NEW.severity = '2' BEGIN UPDATE records "
                             f"SET event_id = '{'f' * 32}' WHERE id = NEW.id; END")

    code, said, complaint = run_until(environment, "The collector's page:", spoil_one)
    assert code == 1, said
    assert re.search("^demo: these event ids are in the journal and not at the collector: "
                     "[0-9a-f]{32}\n\\Z", complaint, re.MULTILINE), complaint
    assert "Every record has arrived" not in said
    assert list(folder.iterdir()) == []
    assert processes_with(str(folder)) == []


def test_fails_when_the_collector_ends_for_good(environment, folder):
    def kill_collector():
        [pid] = processes_with(f"{next(folder.iterdir())}/usr/bin/telem-collector")
        os.kill(pid, signal.SIGKILL)

    code, said, complaint = run_until(environment, "All four have arrived", kill_collector)
    if NO_CORE.search(said):
        pytest.skip("without the core of its crash the demo starts another collector next")
    assert code == 1, said
    assert "\ndemo: telem-collector ended: " in f"\n{complaint}"
    assert list(folder.iterdir()) == []
    assert processes_with(str(folder)) == []


# A build belongs to who made it, and the demo brings it up to date: this user's is a layer above it,
# which only his processes see.
AS_NOBODY = """set -eu
build=$1 layer=$2
shift 2
mount -t overlay -o "lowerdir=$build,upperdir=$layer/upper,workdir=$layer/work,metacopy=on" \\
  overlay "$build" || exit 77
chown -R 65534:65534 "$build"
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""


@pytest.fixture
def run_as_nobody(environment, folder):
    """Runs the demo as a user who can do nothing else here. Root only."""
    if os.getuid() != 0:
        pytest.skip("not root: the other tests run the demo as a user already")
    home = folder / "home"
    home.mkdir()
    os.chown(home, 65534, 65534)
    folder.chmod(0o755)
    for name in ("upper", "work"):
        (folder / "layer" / name).mkdir(parents=True)

    def run(*arguments):
        demo = subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_NOBODY, "as-nobody", paths.BUILD,
             folder / "layer", DEMO, *arguments],
            env={**environment, "TMPDIR": str(home), "HOME": str(home)}, capture_output=True,
            text=True, timeout=300)
        if demo.returncode == 77:
            pytest.skip(f"no layer above the build can be made here: {demo.stderr}")
        assert list(home.iterdir()) == []
        return demo

    return run


# The lock on the kernel's settings was a file in /tmp, which belonged to whoever came first: a user
# was refused, and told that this machine gives its cores to "core".
def test_a_user_needs_no_rights(run_as_nobody):
    demo = run_as_nobody("--once")
    assert (demo.returncode, demo.stderr) == (0, ""), demo.stdout
    assert "Every record has arrived at the collector." in demo.stdout
    assert CRASH in demo.stdout or NO_CORE.search(demo.stdout)


@needs_core_pattern
@needs_crashprobe
def test_with_crash_the_kernel_calls_crashprobe_and_gets_its_settings_back(environment):
    with locked_settings():
        before = settings()
    demo = subprocess.run([DEMO, "--once", "--crash"], env=environment, capture_output=True,
                          text=True, timeout=300)
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert "kernel.core_pattern, for a moment: |$DEMO/h -p %e" in demo.stdout
    assert CRASH in demo.stdout
    with locked_settings():
        assert settings() == before


@needs_core_pattern
@needs_crashprobe
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_kernel_gets_its_settings_back_also_when_the_demo_is_ended(environment, which):
    with locked_settings():
        before = settings()
    with subprocess.Popen([DEMO, "--crash"], env=environment, stdout=subprocess.PIPE, text=True,
                          start_new_session=True) as demo:
        for line in demo.stdout:
            if "for a moment" in line:
                break
        os.kill(demo.pid, which)
        demo.wait(timeout=30)
        # What holds the lock puts them back first.
        with locked_settings():
            assert settings() == before
        if which == signal.SIGKILL:
            # Its programs have nobody who ends them.
            os.killpg(demo.pid, signal.SIGKILL)
        demo.stdout.read()


def test_says_who_may_change_the_kernels_settings(environment):
    demo = subprocess.run([DEMO, "--crash"], env=environment, capture_output=True, text=True,
                          user=65534 if os.getuid() == 0 else None)
    assert demo.returncode == 1
    assert demo.stderr == "demo: --crash changes kernel.core_pattern, which only root may\n"


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
