"""A real kernel connects to crashprobe.socket, and systemd starts crashprobe@.service for the crash."""

import re
import subprocess

import pytest
from support import system_machine
from support.crashes import Report, find_tool, needs_crashprobe
from support.guest import Guest
from support.hard_crashes import expect_in_order

pytestmark = needs_crashprobe

SOURCE = """
__attribute__((noinline)) int fault(volatile int *p) { return *p + 1; }
__attribute__((noinline)) int load(volatile int *p) { return fault(p) + 2; }
int main(void) { return load(0) + 3; }
"""

# Each program crashes in a way of its own: none is one too many of a crash loop.
SCRIPT = r"""
crash() {
  SECRET=CANARY-ENVIRONMENT /usr/bin/"$1" CANARY-ARGUMENT &
  wait $!
  say status "$1 $?"
  records=$((records + 1))
  wait_for has_records "$records"
}
settings() { echo "$(cat /proc/sys/kernel/core_pattern) $(cat /proc/sys/kernel/core_pipe_limit)"; }

systemctl start telemd.service
say modes "$(cat /proc/sys/kernel/core_modes)"
records=0
say before "$(settings)"
systemctl start crashprobe-setup.service
say socket "$(settings)"
say socket_unit "$(systemctl is-active crashprobe.socket)"
say mode "$(stat -c '%a %U' /run/telemetry/core)"
crash socket-one
crash socket-two
# Several at once, each with a service of its own.
for name in socket-three socket-four socket-five; do /usr/bin/$name & done
wait
records=5
wait_for has_records 5
say accepted "$(systemctl show -p NAccepted --value crashprobe.socket)"
is_done() { [ "$(systemctl show -p NConnections --value crashprobe.socket)" = 0 ]; }
wait_for is_done
say left "$(systemctl list-units --all --no-legend --plain 'crashprobe@*')"
say failed "$(systemctl --failed --no-legend --plain)"
systemctl stop crashprobe-setup.service
say after_socket "$(settings)"

systemctl mask --runtime crashprobe.socket
systemctl start crashprobe-setup.service
say pipe "$(settings)"
crash pipe-one
systemctl stop crashprobe-setup.service
say after_pipe "$(settings)"

show_records
"""

PROGRAMS = ("socket-one", "socket-two", "socket-three", "socket-four", "socket-five", "pipe-one")


@pytest.fixture(scope="module")
def output(debian, installed, tmp_path_factory):
    if reason := system_machine.reason_not_to_run():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machine")
    source = folder / "example.c"
    source.write_text(SOURCE)
    (folder / "guest").mkdir()
    guest = Guest(folder / "guest", [installed, debian])
    try:
        for number, name in enumerate(PROGRAMS):
            program = guest.path(f"/usr/bin/{name}")
            # Other code each, or their build ids were the same.
            subprocess.run([find_tool("gcc"), "-g", "-O1", f"-DNUMBER={number}", "-o", program, source,
                            f"-Wl,--build-id=0x{number:040x}"], check=True)
        guest.write("/etc/telemetrics/telemetrics.conf", "[settings]\nserver = http://127.0.0.1:9/\n")
        # Their ceilings are for real processors; without KVM each step would take minutes.
        for unit in ("telemd.service", "crashprobe-setup.service", "crashprobe@.service"):
            guest.write(f"/etc/systemd/system/{unit}.d/slow.conf",
                        "[Service]\nCPUQuota=\nTimeoutStartSec=infinity\nWatchdogSec=0\n")
        system_machine.prepare(guest.root)
        yield system_machine.SystemMachine(folder).run(guest.root, SCRIPT)
    finally:
        guest.close()


def check_ended(output):
    assert output.has_ended, f"{output.text[-8000:]}\n{output.console[-4000:]}"


def reports(output):
    """By the name of the program."""
    found = {}
    for headers, payload in output.records():
        assert headers["classification"] == "org.clearlinux/crash/clr", payload
        report = Report(payload)
        found[report.field("Process").removeprefix("/usr/bin/")] = report
    return found


def test_the_kernel_connects_to_the_socket_of_systemd(output):
    check_ended(output)
    assert "socket" in output.said("modes")[0].split()
    assert output.said("socket") == ["@@/run/telemetry/core 16"], output.text
    assert output.said("socket_unit") == ["active"]
    assert output.said("mode") == ["600 root"]


def test_each_crash_starts_a_service_that_makes_its_record(output):
    check_ended(output)
    found = reports(output)
    assert set(found) == set(PROGRAMS), output.text
    for name in PROGRAMS:
        report = found[name]
        expect_in_order(report.names, ["fault", "load", "main"])
        assert report.frames[0].line and report.frames[0].module == f"/usr/bin/{name}"
        assert report.field("Signal").startswith("11 (SIGSEGV) code 1 (SEGV_MAPERR) address 0x0")
        assert "CANARY" not in report.payload
    assert output.said("accepted") == ["5"]
    # Nothing stays behind, and nothing failed.
    assert output.said("left") == [""] and output.said("failed") == [""], output.text
    assert [word for status in output.said("status") for word in status.split()[1:]] == ["139"] * 3


def test_the_pipe_takes_its_place_where_there_is_no_socket(output):
    check_ended(output)
    [pattern] = output.said("pipe")
    assert re.fullmatch(r"\|\S+/crashprobe -p %e .* %F 16", pattern), output.text
    assert "pipe-one" in reports(output)


def test_what_was_there_before_comes_back(output):
    check_ended(output)
    [before] = output.said("before")
    assert output.said("after_socket") == output.said("after_pipe") == [before]
