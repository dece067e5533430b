"""crash_forward = systemd-coredump: the real one has core_pattern, and crashprobe --watch reports what
it writes into the system journal. One record for each crash, and none twice."""

import re
import subprocess

import pytest
from support.core_pattern import Handler, core_pattern, needs_core_pattern
from support.crashes import find_tool, needs_crashprobe
from support.waiting import wait_until

pytestmark = [needs_crashprobe, needs_core_pattern]

# As the package sets core_pattern, with the pid that the guest knows (%p).
COREDUMP_WORDS = "%p %u %g %s %t %c %h"


@pytest.fixture(scope="session")
def systemd_coredump(tmp_path_factory):
    """A layer with the files of the package. It is not installed: its scripts, run in a chroot,
    change the core_pattern of the host."""
    folder = tmp_path_factory.mktemp("systemd-coredump")
    done = subprocess.run(["apt-get", "download", "-q", "systemd-coredump"], cwd=folder,
                          capture_output=True, text=True)
    packages = list(folder.glob("*.deb"))
    if done.returncode != 0 or not packages:
        pytest.skip(f"systemd-coredump cannot be had: {done.stderr.strip()[-200:]}")
    layer = folder / "layer"
    subprocess.run(["dpkg-deb", "-x", packages[0], layer], check=True)
    # In a Debian, /lib is a link to it.
    subprocess.run(["cp", "-a", f"{layer}/lib/.", f"{layer}/usr/lib"], check=True)
    subprocess.run(["rm", "-r", f"{layer}/lib"], check=True)
    layer.chmod(0o755)
    return layer


@pytest.fixture
def program(tmp_path):
    source = tmp_path / "example.c"
    source.write_text("__attribute__((noinline)) void fault(volatile int *p) { *p = 1; }\n"
                      "int main(void) { fault(0); return 0; }\n")
    subprocess.run([find_tool("gcc"), "-O1", "-o", tmp_path / "example", source], check=True)
    return tmp_path / "example"


@pytest.fixture
def guest(make_guest, sink, systemd_coredump, program):
    guest = make_guest(layers=[systemd_coredump], server=sink.url, crash_forward="systemd-coredump")
    guest.path("/usr/bin/example").write_bytes(program.read_bytes())
    guest.path("/usr/bin/example").chmod(0o755)
    guest.run("telemctl", "start")
    return guest


def crash(guest, count=1):
    """Lets the program crash inside; the pids that it had there."""
    # systemd-coredump writes no core, and so no stack, where the process may have none.
    script = f"ulimit -c $(ulimit -Hc); for i in $(seq {count}); do /usr/bin/example & echo $!; wait $!; done; true"
    return re.findall(r"^\d+$", guest.run("sh", "-c", script).stdout, re.M)


def pids_told(sink):
    """Of which crashes there are records."""
    return sorted(re.search(r"^PID: (\d+)$", body.decode(), re.M)[1] for body in sink.bodies()
                  if body.startswith(b"Process: /usr/bin/example\n"))


def test_what_systemd_coredump_takes_is_told_once(guest, sink, tmp_path):
    handler = Handler(tmp_path, "nsenter", "-t", guest.leader, "-a", "--",
                      "/lib/systemd/systemd-coredump")
    with core_pattern(handler.pattern(COREDUMP_WORDS), 16):
        # Before anybody watches, while somebody does, and again after a restart.
        guest.run("systemctl", "stop", "crashprobe-watch.service")
        pids = crash(guest)
        guest.run("telemctl", "start")
        pids += crash(guest)
        wait_until(lambda: pids_told(sink) == sorted(pids),
                   what=lambda: f"{pids}: {pids_told(sink)} {handler.errors()} {guest.system_journal()}")
        # It stopped the one that reports crashes, and started the one that does not here.
        guest.run("telemctl", "restart")
        pids += crash(guest)
        wait_until(lambda: pids_told(sink) == sorted(pids),
                   what=lambda: f"{pids}: {pids_told(sink)} {guest.system_journal()}")
        guest.run("systemctl", "kill", "-s", "KILL", "crashprobe-watch.service")
        pids += crash(guest, 2)
        guest.run("systemctl", "restart", "crashprobe-watch.service")
        wait_until(lambda: pids_told(sink) == sorted(pids),
                   what=lambda: f"{pids}: {pids_told(sink)} {guest.system_journal()}")
    body = next(body.decode() for body in sink.bodies() if b"/usr/bin/example" in body)
    assert "\nSignal: 11 (SIGSEGV)\n" in body
    assert re.search(r"^#0 fault\(\) - \[(/usr/bin/)?example\] \+0x[0-9a-f]+$", body, re.M), body
    assert re.search(r"^Signature: s1:[0-9a-f]{16} +exact: e1:[0-9a-f]{16}$", body, re.M), body
    requests = [r for r in sink.requests if r.body.startswith(b"Process: /usr/bin/example\n")]
    assert {r.headers["classification"] for r in requests} == {"org.clearlinux/crash/clr"}


def test_a_loop_is_counted_here_too(guest, sink, tmp_path):
    handler = Handler(tmp_path, "nsenter", "-t", guest.leader, "-a", "--",
                      "/lib/systemd/systemd-coredump")
    with core_pattern(handler.pattern(COREDUMP_WORDS), 16):
        crash(guest, 8)

        def held():
            lines = guest.ask("cat", "/var/lib/telemetry/crash-counts").splitlines()
            return sum(int(line.split()[4]) for line in lines if line.endswith("example"))

        wait_until(lambda: held() == 3, what=lambda: f"{held()} {guest.system_journal()}")
    wait_until(lambda: len(pids_told(sink)) == 5)
