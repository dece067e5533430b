"""journal-probe.service in a booted Debian: services that fail in each way, told once each."""

import re

import pytest

from support.core_pattern import core_pattern, needs_core_pattern
from support.waiting import stays, wait_until

FAILING = {
    "exits.service": "[Service]\nExecStart=/bin/sh -c 'exit 3'\n",
    "killed.service": "[Service]\nExecStart=/bin/sh -c 'kill -KILL $$$$'\n",
    "dumps.service": "[Service]\nLimitCORE=infinity\nExecStart=/bin/sh -c 'kill -SEGV $$$$'\n",
    "slow.service": "[Service]\nType=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep 100\n",
    # A failure of its own that is no more of one.
    "cleans.service": "[Service]\nExecStart=/bin/sh -c 'exit 4'\nExecStopPost=/bin/sh -c 'exit 5'\n",
    "limit.service": "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n"
                     "[Service]\nRestart=always\nRestartSec=50ms\nExecStart=/bin/false\n",
}
WORKING = {
    "works.service": "[Service]\nExecStart=/bin/true\n",
    "allowed.service": "[Service]\nSuccessExitStatus=7\nExecStart=/bin/sh -c 'exit 7'\n",
    "minus.service": "[Service]\nExecStart=-/bin/false\n",
    "stopped.service": "[Service]\nExecStart=/bin/sleep 1000\n",
}
TOLD = sorted([
    ("exits.service", "exited 3"),
    ("killed.service", "killed 9"),
    ("dumps.service", "dumped 11"),
    ("slow.service", "timeout"),
    ("cleans.service", "exited 4"),
    ("limit.service", "exited 1"),
    ("limit.service", "exited 1"),
    ("limit.service", "start-limit-hit"),
])


def told(sink):
    """Unit and end of each failure that has arrived."""
    found = []
    for request in list(sink.requests):
        if not request.headers["classification"].endswith("/journal/error"):
            continue
        text = request.body.decode()
        fields = dict(re.findall(r"^(Unit|Exit code|Exit status|Result): (.*)$", text, re.M))
        end = fields.get("Result") or f"{fields['Exit code']} {fields['Exit status']}"
        found.append((fields["Unit"], end))
    return sorted(found)


def add_units(guest, units):
    for name, text in units.items():
        guest.write(f"/etc/systemd/system/{name}", text)
    guest.run("systemctl", "daemon-reload")


@pytest.fixture
def watched(guest):
    if "journal-probe.service" not in guest.units:
        pytest.skip("journalprobe was left out of this build: it needs libsystemd")
    guest.run("systemctl", "enable", "--now", "telemd.socket", "telemd.path", "journal-probe.service")
    guest.wait_for("journal-probe.service")
    return guest


@needs_core_pattern
def test_each_way_to_fail_is_told_once_and_after_a_restart_not_again(watched, sink):
    guest = watched
    add_units(guest, {**FAILING, **WORKING})
    # Where the core goes belongs to the whole machine: into the folder of the process, for this test.
    with core_pattern("core"):
        guest.run("systemctl", "start", *WORKING)
        guest.run("systemctl", "stop", "stopped.service")
        for name in FAILING:
            guest.run("systemctl", "start", name, check=False)
        wait_until(lambda: len(told(sink)) >= len(TOLD), what=lambda: told(sink))
    assert told(sink) == TOLD

    guest.run("systemctl", "kill", "-s", "KILL", "journal-probe.service")
    # Its own end is a failure like any other, and shows that it is back, and has read everything.
    ended = [("journal-probe.service", "killed 9")]
    wait_until(lambda: len(told(sink)) > len(TOLD), timeout=60, what=guest.system_journal)
    assert told(sink) == sorted(TOLD + ended)

    guest.reboot()
    guest.wait_for("journal-probe.service")
    guest.run("systemctl", "start", "exits.service", check=False)
    again = [("exits.service", "exited 3")]
    wait_until(lambda: len(told(sink)) > len(TOLD + ended), what=guest.system_journal)
    assert stays(lambda: told(sink) == sorted(TOLD + ended + again), 1), told(sink)


def test_what_a_user_logs_is_no_failure_of_a_service(watched, sink):
    guest = watched
    entry = ("MESSAGE=victim.service: Main process exited, code=killed, status=9/KILL\nUNIT=victim.service\n"
             "EXIT_CODE=killed\nEXIT_STATUS=9\nPRIORITY=4\n_PID=1\n_UID=0\n")
    guest.run("runuser", "-u", "nobody", "--", "logger", "--journald", stdin=entry)
    guest.run("runuser", "-u", "nobody", "--", "systemd-cat", "-t", "systemd", "-p", "warning", "echo",
              "victim.service: Start request repeated too quickly.")
    add_units(guest, {"exits.service": FAILING["exits.service"]})
    guest.run("systemctl", "start", "exits.service", check=False)
    wait_until(lambda: told(sink), what=guest.system_journal)
    assert told(sink) == [("exits.service", "exited 3")]
