"""Our units in a booted Debian: started in each way, seen, stopped."""

import os
import re
import socket

import pytest

from support.certificates import Authority
from support.core_pattern import FULL, Handler, core_pattern, locked_settings, needs_core_pattern
from support.crashes import needs_crashprobe
from support.http_sink import HANG, Answer, HttpSink
from support.tls_server import tls_server
from support.waiting import DEADLINE, stays, wait_until

from conftest import configure


# With this mark: the short form, which continuous integration has the time for.
short = pytest.mark.short


def send_hello(guest):
    guest.run("hprobe")


def status(guest):
    return {name: value for name, value in
            re.findall(r'"(\w+)": ?"?([^",}]*)', guest.run("telemctl", "status", "--json").stdout)}


def is_never_given_up(guest, unit):
    """Whether a unit that fails at once, whenever it is started, stays below systemd's start limit."""
    pause, burst, interval = (int(guest.show(unit, name).removesuffix("s")) for name in
                              ("RestartUSec", "StartLimitBurst", "StartLimitIntervalUSec"))
    return pause * (burst - 1) > interval


def our_units(guest):
    """Name and state of each unit of ours that runs, listens or waits."""
    listed = guest.ask("systemctl", "list-units", "--plain", "--no-legend", "--state=active,failed",
                       "telem*", "hprobe*", "crashprobe*", "*probe.service")
    return {line.split()[0]: line.split()[2] for line in listed.splitlines()
            if not line.split()[0].endswith((".slice", ".mount"))}


# ---- three ways to start -------------------------------------------------------------------------


@short
def test_socket_and_path_start_telemd_when_there_is_something_to_do(guest, sink):
    guest.run("systemctl", "enable", "--now", "telemd.socket", "telemd.path")
    assert guest.state("telemd.service") == "inactive"
    send_hello(guest)
    sink.wait_for(1)
    assert guest.state("telemd.service") == "active"
    guest.reboot()
    assert guest.state("telemd.socket") == guest.state("telemd.path") == "active"
    assert guest.state("telemd.service") == "inactive"
    send_hello(guest)
    sink.wait_for(2)


def test_the_service_alone_brings_the_others_along(guest, sink):
    guest.run("systemctl", "enable", "--now", "telemd.service")
    for unit in ("telemd.socket", "telemd.path"):
        assert guest.state(unit) == "active"
        assert guest.ask("systemctl", "is-enabled", unit) == "enabled"
    send_hello(guest)
    sink.wait_for(1)
    guest.reboot()
    for unit in ("telemd.service", "telemd.socket", "telemd.path"):
        assert guest.state(unit) == "active"
    send_hello(guest)
    sink.wait_for(2)


def test_by_hand_it_becomes_telemetry_and_starts_telem_deliver_itself(guest, sink):
    guest.run("sh", "-c", "telemd </dev/null >/tmp/telemd.log 2>&1 &")
    wait_until(lambda: guest.run("telemctl", "status", check=False).returncode == 0,
               what=lambda: guest.ask("cat", "/tmp/telemd.log"))
    send_hello(guest)
    sink.wait_for(1)
    assert guest.ask("ps", "-C", "telemd", "-o", "user=") == "telemetry"
    assert guest.ask("pgrep", "-x", "-P", guest.ask("pgrep", "-x", "telemd"), "telem-deliver")
    assert our_units(guest) == {}
    # telemctl, which looks at units first, sees it all the same.
    pid = guest.ask("pgrep", "-x", "telemd")
    assert guest.run("telemctl", "is-active").stdout == "active\n"
    assert guest.run("telemctl", "opt-out").stderr.endswith(f" kill {pid}\n")
    assert status(guest)["collecting"] == "false"
    assert kept_files(guest) == []
    guest.run("kill", pid)
    wait_until(lambda: guest.ask("pgrep", "-x", "telemd") == "", what="telemd gone")


# ---- what runs, and with which rights ------------------------------------------------------------


def rights(guest, pid):
    return dict(re.findall(r"^(\w+):\s+(.*)$", guest.run("cat", f"/proc/{pid}/status").stdout, re.M))


@short
def test_telemd_has_no_rights_but_its_users(guest, sink):
    sink.answer = HANG
    guest.run("telemctl", "start")
    send_hello(guest)
    wait_until(lambda: sink.hanging > 0)
    telemd = rights(guest, guest.show("telemd.service", "MainPID"))
    uid = guest.run("id", "-u", "telemetry").stdout.strip()
    assert set(telemd["Uid"].split()) == {uid}
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(telemd[kind], 16) == 0, kind
    assert (telemd["NoNewPrivs"], telemd["Seccomp"]) == ("1", "2")
    # telem-deliver is of another user, and finds no file of telemd's.
    pid = guest.run("pgrep", "-x", "telem-deliver").stdout.strip()
    deliver = rights(guest, pid)
    assert deliver["Uid"].split()[0] not in ("0", uid)
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(deliver[kind], 16) == 0, kind
    for folder in ("/var/spool/telemetry", "/var/lib/telemetry", "/run/telemetry"):
        # Its own view of the file system, looked at as root: what it cannot enter is empty and of mode 0.
        assert guest.run("stat", "-c", "%a", f"/proc/{pid}/root{folder}").stdout.strip() == "0", folder
    sink.answer = Answer()
    sink.release()


@short
def test_the_user_telemetry_may_look_and_change_nothing(guest, sink):
    # Where nothing was rejected nobody is kept from dropping it.
    sink.answer = Answer(400)
    guest.run("telemctl", "start")
    send_hello(guest)
    wait_until(lambda: status(guest)["rejected"] == "1", what="a rejected record")
    as_telemetry = ("runuser", "-u", "telemetry", "--", "telemctl")
    assert guest.run(*as_telemetry, "status").stdout.startswith("collecting since ")
    for verb in (("spool", "flush"), ("rejected", "drop", "--all")):
        done = guest.run(*as_telemetry, *verb, check=False)
        assert (done.returncode, done.stderr) == (
            1, "telemctl: Must be root to run this command. Exiting...\n")


def exposures(guest):
    """Exposure of each of our services by systemd's own judgement."""
    found = {}
    for unit in guest.units:
        if unit.endswith(".service"):
            judged = guest.ask("systemd-analyze", "security", "--no-pager", unit)
            found[unit] = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", judged)[1])
    return found


@short
def test_every_service_is_closed_down(guest, record_property):
    for unit, exposure in exposures(guest).items():
        record_property(f"{unit}, exposure of 10", exposure)
        assert exposure <= {"telemd.service": 1.0, "crashprobe-setup.service": 3.5}.get(unit, 2.0), unit


def test_every_service_has_ceilings_of_its_own(guest):
    for unit in guest.units:
        if not unit.endswith(".service"):
            continue
        has = guest.show(unit.replace("@", "@x"), "MemoryMax", "CPUQuotaPerSecUSec", "TasksMax")
        assert "infinity" not in (has["MemoryMax"], has["CPUQuotaPerSecUSec"]), (unit, has)


@short
def test_systemd_has_nothing_to_say_against_a_unit(guest):
    units = [unit.replace("@", "@x") for unit in guest.units]
    done = guest.run("systemd-analyze", "verify", "--man=no", *units, check=False)
    ours = [line for line in done.stderr.splitlines() if "telem" in line or "probe" in line]
    assert ours == []


# It is telemd who may read the journal, and telemd whom they may ask.
def test_who_is_in_the_group_adm_and_no_more_may_send_a_test(guest):
    guest.run("useradd", "--no-create-home", "--groups", "adm", "jo")
    guest.run("telemctl", "start")
    done = guest.run("runuser", "-u", "jo", "--", "telemctl", "test")
    assert done.stdout.splitlines()[-1].startswith("delivered")
    seen = guest.run("runuser", "-u", "jo", "--", "cat", "/var/log/telemetry/journal", check=False)
    assert seen.stderr.endswith("Permission denied\n")


def test_doctor_names_units_that_do_not_do_their_work(guest):
    if "journal-probe.service" not in guest.units:
        pytest.skip("journalprobe was left out of this build: it needs libsystemd")

    def finding():
        return re.search("^(well|ILL |skip)  units +(.*)$", guest.ask("telemctl", "doctor"), re.M)[2]

    guest.run("systemctl", "enable", *(unit for unit in guest.units if "[Install]" in
                                       guest.units[unit].read_text() and unit != "crashprobe-watch.service"))
    guest.run("telemctl", "start")
    guest.run("systemctl", "start", "telem-collector.service")
    guest.reboot()
    assert finding() == "none has failed"
    guest.run("systemctl", "stop", "telemd.path", "hprobe.timer")
    assert finding() == "enabled, and not running: telemd.path, hprobe.timer"
    guest.run("systemctl", "start", "telemd.path", "hprobe.timer")
    guest.write("/etc/systemd/system/journal-probe.service.d/test.conf",
                "[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=1h\n")
    guest.run("systemctl", "daemon-reload")
    guest.run("systemctl", "restart", "journal-probe.service")
    wait_until(lambda: guest.show("journal-probe.service", "SubState") == "auto-restart")
    assert finding() == "end in failure again and again: journal-probe.service"


# Who knows systemd puts a file there, and nothing of it counted.
def test_doctor_names_settings_that_nobody_reads(guest):
    guest.run("rm", "/etc/telemetrics/telemetrics.conf")
    guest.write("/etc/telemetrics/telemetrics.conf.d/10-server.conf",
                "[settings]\nserver = http://127.0.0.1:1/\n")
    assert ("ILL   configuration '/etc/telemetrics/telemetrics.conf.d' is not read, for there is no "
            "'/etc/telemetrics/telemetrics.conf'\n") in guest.run("telemctl", "doctor", check=False).stdout
    guest.run("touch", "/etc/telemetrics/telemetrics.conf")
    assert "\nwell  server        http://127.0.0.1:1/ (v2)\n" in \
        guest.run("telemctl", "doctor", check=False).stdout


# ---- life ----------------------------------------------------------------------------------------


def test_the_heartbeat_activates_telemd(guest, sink):
    guest.run("systemctl", "start", "telemd.socket")
    guest.run("systemctl", "start", "hprobe.service")
    sink.wait_for(1)
    assert sink.requests[0].headers["classification"].endswith("/heartbeat/ping")


# systemd counts the shift of a heartbeat that was missed from the boot on. With one of up to a day, a
# machine that is switched off every evening never came to send any.
def test_a_heartbeat_that_was_missed_comes_soon_after_the_boot(guest):
    stamp = "/var/lib/systemd/timers/stamp-hprobe.timer"
    guest.run("touch", "-d", "2 days ago", stamp)
    guest.run("systemctl", "start", "hprobe.timer")
    show = "date +%s; date +%s -d \"$(systemctl show --value -p NextElapseUSecRealtime hprobe.timer)\""
    now, elapses = map(int, guest.run("sh", "-c", show).stdout.split())
    assert elapses <= now + 3600
    timer = guest.show("hprobe.timer", "RandomizedDelayUSec", "AccuracyUSec")
    # Not all at once, whoever's machine id makes for a short shift.
    assert timer == {"RandomizedDelayUSec": "1h", "AccuracyUSec": "1min"}


def test_a_telemd_that_hangs_is_replaced_and_loses_nothing(guest, away):
    guest.write("/etc/systemd/system/telemd.service.d/test.conf", "[Service]\nWatchdogSec=1\n")
    guest.write("/etc/telemetrics/telemetrics.conf", f"[settings]\nserver = {away.url}\n")
    guest.run("systemctl", "daemon-reload")
    guest.run("systemctl", "start", "telemd.service")
    send_hello(guest)
    first = guest.show("telemd.service", "MainPID")
    guest.run("kill", "-STOP", first)
    wait_until(lambda: guest.show("telemd.service", "NRestarts") == "1", what="a restart")
    guest.wait_for("telemd.service")
    assert guest.show("telemd.service", "MainPID") != first
    assert "watchdog" in guest.run("journalctl", "-b", "-u", "telemd.service").stdout.lower()
    away.start()
    send_hello(guest)
    away.wait_for(2)


# Killed five times in as many seconds, for want of memory for example, it took telemd.socket and telemd.path
# along for good.
def test_a_telemd_that_dies_again_and_again_is_not_given_up(guest, sink):
    guest.write("/etc/systemd/system/telemd.service.d/test.conf",
                "[Service]\nExecStart=\nExecStart=/bin/sh -c 'kill -KILL $$$$'\n")
    guest.run("systemctl", "daemon-reload")
    guest.run("systemctl", "start", "telemd.socket", "telemd.path")
    assert guest.run("hprobe", check=False).returncode == 1
    wait_until(lambda: guest.show("telemd.service", "NRestarts") == "2", what="two restarts")
    assert is_never_given_up(guest, "telemd.service")
    guest.run("rm", "/etc/systemd/system/telemd.service.d/test.conf")
    guest.run("systemctl", "daemon-reload")
    guest.wait_for("telemd.service")
    send_hello(guest)
    sink.wait_for(1)


def test_a_telemd_that_was_ended_comes_back_with_the_next_record(guest, sink):
    guest.run("systemctl", "start", "telemd.socket")
    send_hello(guest)
    sink.wait_for(1)
    # As it ends by itself when there is nothing to do (daemon_recycling_enabled).
    guest.run("kill", "-TERM", guest.show("telemd.service", "MainPID"))
    guest.wait_for("telemd.service", "inactive")
    assert guest.show("telemd.service", "Result") == "success"
    send_hello(guest)
    sink.wait_for(2)


def test_a_wrong_configuration_is_not_tried_again_and_again(guest):
    guest.write("/etc/telemetrics/telemetrics.conf", "[settings]\nspool_sync = maybe\n")
    assert guest.run("systemctl", "start", "telemd.service", check=False).returncode != 0
    assert guest.show("telemd.service", "NRestarts") == "0"
    assert "spool_sync" in guest.run("journalctl", "-b", "-u", "telemd.service").stdout


# What waited started it again and again until systemd gave up the path unit and the socket, for good.
def test_correcting_the_configuration_is_enough_where_a_record_waits(guest, away):
    configure(guest, server=away.url)
    guest.run("systemctl", "start", "telemd.socket")
    send_hello(guest)
    guest.run("systemctl", "stop", "telemd.socket", "telemd.path", "telemd.service")
    configure(guest, server=away.url, spool_sync="maybe")
    guest.run("systemctl", "start", "telemd.socket", "telemd.path")
    wait_until(lambda: guest.state("telemd.path") == "failed"
               or guest.show("telemd.service", "SubState") == "stop-post", what="an attempt that failed")
    assert guest.state("telemd.path") == guest.state("telemd.socket") == "active"
    away.start()
    configure(guest, server=away.url)
    away.wait_for(1)


# Somebody who made room below /var/log took telemd's folder with it. systemd could not start telemd without it,
# gave up the path unit and the socket as well, and doctor said that all folders were well.
def test_making_a_folder_again_is_enough_where_a_record_waits(guest, away):
    configure(guest, server=away.url)
    guest.run("systemctl", "start", "telemd.socket")
    send_hello(guest)
    guest.run("systemctl", "stop", "telemd.socket", "telemd.path", "telemd.service")
    guest.run("rm", "-r", "/var/log/telemetry")
    guest.run("systemctl", "start", "telemd.socket", "telemd.path")
    wait_until(lambda: guest.state("telemd.path") == "failed"
               or guest.show("telemd.service", "SubState") == "stop-post", what="an attempt that failed")
    assert guest.state("telemd.path") == guest.state("telemd.socket") == "active"
    assert "make folder '/var/log/telemetry'" in guest.run("journalctl", "-b", "-t", "telemd").stdout
    report = guest.run("telemctl", "doctor", check=False).stdout
    assert "ILL   units         end in failure again and again: telemd.service\n" in report
    assert "ILL   rights        '/var/log/telemetry' is gone, and telemetry may not make it\n" in report
    away.start()
    guest.run("systemd-tmpfiles", "--create")
    away.wait_for(1)


def test_a_reload_reads_the_configuration_again(guest, sink, away):
    guest.run("telemctl", "start")
    away.start()
    send_hello(guest)
    sink.wait_for(1)
    guest.write("/etc/telemetrics/telemetrics.conf", f"[settings]\nserver = {away.url}\n")
    # The command of docs/operating.md; reload alone fails on a machine whose telemd has ended for want of work.
    reload = ("systemctl", "try-reload-or-restart", "telemd")
    guest.run(*reload)
    send_hello(guest)
    away.wait_for(1)
    assert len(sink.requests) == 1
    assert guest.show("telemd.service", "NRestarts", "Result") == {"NRestarts": "0", "Result": "success"}
    guest.run("kill", "-TERM", guest.show("telemd.service", "MainPID"))
    guest.wait_for("telemd.service", "inactive")
    guest.run(*reload)
    assert guest.state("telemd.service") == "inactive"


@short
def test_a_full_spool_at_a_reboot_is_sent_when_the_server_is_back(make_guest, away):
    # 20 files of 4 KiB; the longest pause between two attempts is the shortest that there is.
    guest = make_guest(server=away.url, spool_max_size=80, spool_process_time=120)
    guest.run("systemctl", "enable", "--now", "telemd.path", "telemd.socket")
    for _ in range(20):
        send_hello(guest)
    refused = guest.run("hprobe", check=False)
    assert refused.returncode == 1 and "spool is full" in refused.stderr
    assert len(list(guest.path("/var/spool/telemetry").iterdir())) == 20
    guest.reboot()
    # Nobody sends anything: it is the path unit that starts it.
    guest.wait_for("telemd.service")
    wait_until(lambda: status(guest)["last_error"] != "null", what="an attempt that failed")
    assert status(guest)["waiting"] == "20"
    away.start()
    # Nobody asks for it.
    away.wait_for(20, timeout=120 + DEADLINE)
    wait_until(lambda: status(guest)["waiting"] == "0")
    assert status(guest)["delivered"] == "20"


@short
def test_a_record_reaches_the_collector_of_another_machine(make_guest, folder):
    server = HttpSink(start=False)  # holds a free port
    port = server.port
    server.close()
    there = make_guest()
    there.write("/etc/telemetrics/collector.conf", f"[settings]\nlisten = 127.0.0.1:{port}\n")
    there.run("systemctl", "start", "telem-collector.service")
    wait_until(lambda: there.run("curl", "-sf", f"http://127.0.0.1:{port}/", check=False)
               .returncode == 0, what=lambda: there.system_journal())
    here = make_guest(server=f"http://127.0.0.1:{port}/v2/collector")
    here.run("telemctl", "start")
    here.run("telemctl", "test")
    assert status(here)["delivered"] == "1"
    listed = there.run("curl", "-sf", f"http://127.0.0.1:{port}/api/records").stdout
    assert "hello/world" in listed
    pid = there.show("telem-collector.service", "MainPID")
    assert rights(there, pid)["Uid"].split()[0] != "0"


# At boot it may come before the address that it is to listen on, or before who had the port is gone. systemd
# gave it up after five attempts in as many seconds.
def test_the_collector_waits_for_its_address(make_guest):
    other = HttpSink()
    there = make_guest()
    there.write("/etc/telemetrics/collector.conf", f"[settings]\nlisten = 127.0.0.1:{other.port}\n")
    there.run("systemctl", "start", "telem-collector.service")
    wait_until(lambda: there.show("telem-collector.service", "SubState") == "auto-restart")
    assert is_never_given_up(there, "telem-collector.service")
    other.close()
    there.wait_for("telem-collector.service")
    wait_until(lambda: there.run("curl", "-sf", f"http://127.0.0.1:{other.port}/healthz", check=False)
               .returncode == 0, what=lambda: there.system_journal())


# ---- stopping, opting out, opting in -------------------------------------------------------------


def test_telemctl_starts_and_stops_everything(guest, sink):
    assert guest.run("telemctl", "is-active", check=False).returncode == 3
    assert guest.ask("telemctl", "is-active") == "inactive"
    guest.run("telemctl", "start")
    assert guest.run("telemctl", "is-active").stdout == "active\n"
    assert {"telemd.socket", "telemd.path", "telem-deliver.socket", "hprobe.timer"} <= \
        our_units(guest).keys()
    send_hello(guest)
    sink.wait_for(1)
    before = guest.show("telemd.service", "MainPID")
    guest.run("telemctl", "restart")
    send_hello(guest)
    sink.wait_for(2)
    assert guest.show("telemd.service", "MainPID") not in ("0", before)
    guest.run("telemctl", "stop")
    assert our_units(guest) == {}
    assert guest.ask("pgrep", "-l", "telem") == ""
    assert guest.run("hprobe", check=False).returncode == 1
    assert our_units(guest) == {}


FOLDERS = ("/var/spool/telemetry", "/var/lib/telemetry", "/var/log/telemetry", "/var/cache/telemetry")


# As README.md has it: installed from source, and started before any boot has made the user.
def test_telemctl_start_makes_user_and_folders(guest, sink):
    guest.run("userdel", "telemetry")
    for folder in ("/var/spool", "/var/lib", "/var/log", "/var/cache", "/run"):
        guest.run("rm", "-rf", f"{folder}/telemetry")
    report = guest.run("telemctl", "doctor", check=False).stdout
    assert "ILL   rights        there is no user telemetry, as whom systemd runs telemd\n" in report
    guest.run("telemctl", "start")
    send_hello(guest)
    sink.wait_for(1)


def kept_files(guest):
    """What lies in our folders, but for telemd's counters, and locks, which are empty."""
    return [path for folder in FOLDERS for path in guest.path(folder).rglob("*")
            if path.is_file() and path.stat().st_size > 0
            and path != guest.path("/var/lib/telemetry/state")]


@short
def test_opting_out_stops_all_and_removes_all_and_opting_in_brings_it_back(guest, sink):
    guest.run("systemctl", "enable", "telemd.socket", "telemd.path", "hprobe.timer")
    guest.run("telemctl", "start")
    sink.answer = HANG
    for _ in range(5):
        send_hello(guest)
    wait_until(lambda: sink.hanging > 0)
    assert kept_files(guest)
    done = guest.run("telemctl", "opt-out")
    assert (done.stdout, done.stderr) == ("", "")
    wait_until(lambda: sink.hanging == 0, what="connections cut")
    assert sink.cut > 0
    assert kept_files(guest) == []
    assert our_units(guest) == {}
    assert guest.run("telemctl", "opt-out").stderr.endswith("Already opted out. Nothing to do.\n")
    refused = guest.run("telemctl", "start", check=False)
    assert refused.returncode == 1
    assert refused.stderr.endswith("Opt out is enabled. Cannot start services.\n")
    guest.reboot()
    assert our_units(guest) == {}
    guest.run("hprobe")  # quietly
    seen = len(sink.requests)
    assert stays(lambda: len(sink.requests) == seen, 0.3)
    sink.answer = Answer()
    guest.run("telemctl", "opt-in")
    assert guest.run("telemctl", "opt-in").stderr.endswith("Already opted in. Nothing to do.\n")
    send_hello(guest)
    sink.wait_for(seen + 1)


COLLECTS_NOTHING_HERE = {
    "telem-collector.service": "takes the records of other machines, whose users were asked there",
}


def try_to_start(guest, unit):
    """Whether systemd would have started it."""
    name = unit.replace("@", "@x")
    guest.run("systemctl", "start", "--no-block", name, check=False)
    wait_until(lambda: guest.show(name, "Job") in ("", "0"), what=f"no job of {name} any more")
    return guest.show(name, "ConditionResult") == "yes"


def look_at_consent_alone(guest, unit):
    """Takes away the condition that this is no container, which would hide what is to be tested, and
    keeps the others."""
    text = guest.units[unit].read_text()
    conditions = [line for line in text.splitlines() if line.startswith("Condition")]
    if not any(line.startswith("ConditionVirtualization") for line in conditions):
        return
    kept = [line for line in conditions if not line.startswith("ConditionVirtualization")]
    guest.write(f"/etc/systemd/system/{unit}.d/10-test.conf",
                "[Unit]\nConditionVirtualization=\n" + "\n".join(kept) + "\n")


# One unit that lacked its siblings' condition went on collecting.
@short
@pytest.mark.parametrize("how", ["opt-out", "opt-in"])
def test_without_consent_no_unit_starts(make_guest, how):
    guest = make_guest(consent=how)
    units = [unit for unit in guest.units if unit not in COLLECTS_NOTHING_HERE]
    assert len(units) > 10
    for unit in units:
        look_at_consent_alone(guest, unit)
    if how == "opt-out":
        guest.run("touch", "/etc/telemetrics/opt-out")
    guest.run("systemctl", "daemon-reload")
    assert [unit for unit in units if try_to_start(guest, unit)] == []
    assert our_units(guest) == {}
    # The test can see a unit that starts.
    if how == "opt-out":
        guest.run("rm", "/etc/telemetrics/opt-out")
    else:
        guest.run("touch", "/etc/telemetrics/opt-in")
    assert try_to_start(guest, "telemd.service") and try_to_start(guest, "telemd.path")


# Under systemd telem-deliver is a user of its own, who can read no key.
def test_a_key_that_only_root_can_read_reaches_telem_deliver(make_guest, folder):
    authority = Authority(folder)
    cert, key = authority.issue("client")
    with tls_server(*authority.issue("server"), client_ca=authority.cert) as (server, url):
        place = "/etc/credstore/telemetrics.clientkey"
        guest = make_guest(server=url, cainfo="/etc/ca.pem", clientcert="/etc/client.pem",
                           clientkey=place)
        guest.write("/etc/ca.pem", authority.cert.read_text())
        guest.write("/etc/client.pem", cert.read_text())
        guest.run("telemctl", "start")
        send_hello(guest)
        wait_until(lambda: status(guest)["last_error"] != "null")
        guest.write(place, key.read_text(), mode=0o600)
        wait_until(lambda: guest.run("pgrep", "-x", "telem-deliver", check=False).stdout == "",
                   what="telem-deliver gone")
        guest.run("telemctl", "spool", "flush")
        wait_until(lambda: status(guest)["delivered"] == "1", what=lambda: guest.system_journal())
    assert len(server.bodies) == 1


# ---- probes --------------------------------------------------------------------------------------


def wait_for_record(sink, classification):
    """The first record of this kind that arrives."""
    def find():
        return next((request for request in list(sink.requests)
                     if request.headers["classification"].endswith(classification)), None)

    return wait_until(find, what=lambda: classification)


def test_a_service_that_fails_arrives(guest, sink):
    if "journal-probe.service" not in guest.units:
        pytest.skip("journalprobe was left out of this build: it needs libsystemd")
    guest.write("/etc/systemd/system/example.service", "[Service]\nExecStart=/bin/false\n")
    guest.run("systemctl", "daemon-reload")
    guest.run("telemctl", "start")
    assert guest.state("journal-probe.service") == "active"
    guest.run("systemctl", "start", "example.service")
    assert b"example.service" in wait_for_record(sink, "/journal/error").body


# As the kernel writes it: no process can, in its name.
KERNEL_REPORT = """\
4,100,5000000,-;------------[ cut here ]------------
4,101,5000010,-;WARNING: CPU: 0 PID: 77 at drivers/example/example.c:42 example_probe+0x1c/0x40 [example]
4,102,5000020,-;CPU: 0 PID: 77 Comm: modprobe Not tainted 6.1.0-28-amd64 #1  Debian 6.1.119-1
4,103,5000030,-;RIP: 0010:example_probe+0x1c/0x40 [example]
4,104,5000040,-;Call Trace:
4,105,5000050,-; <TASK>
4,106,5000060,-; do_one_initcall+0x59/0x220
4,107,5000070,-; do_init_module+0x4a/0x1f0
4,108,5000080,-; </TASK>
4,109,5000090,-;---[ end trace 0000000000000000 ]---
"""


# A container has no log of the kernel, and no CAP_SYSLOG; a pipe and another capability stand in for them.
def test_a_line_of_the_kernels_log_arrives(guest, sink):
    guest.write("/etc/systemd/system/klogscanner.service.d/test.conf",
                "[Unit]\nConditionVirtualization=\n[Service]\nExecStart=\nDeviceAllow=\n"
                "CapabilityBoundingSet=CAP_KILL\nAmbientCapabilities=CAP_KILL\n"
                f"ExecStart={guest.find('klogscanner')} --kmsg /etc/kmsg\n")
    guest.run("mkfifo", "-m", "0644", "/etc/kmsg")
    log = os.open(guest.path("/etc/kmsg"), os.O_RDWR)  # not ended while this is open
    try:
        os.write(log, KERNEL_REPORT.encode())
        # It is from the start of this boot, and there was consent before.
        guest.write("/var/lib/telemetry/consent_since", "1000000000\n")
        guest.run("systemctl", "daemon-reload")
        guest.run("telemctl", "start")
        assert b"example_probe" in wait_for_record(sink, "/kernel/warning").body
        # What it needed one for is done.
        scanner = rights(guest, guest.show("klogscanner.service", "MainPID"))
        assert scanner["Uid"].split()[0] == guest.run("id", "-u", "telemetry").stdout.strip()
        for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            assert int(scanner[kind], 16) == 0, kind
    finally:
        os.close(log)


# ---- crashes -------------------------------------------------------------------------------------


@short
def test_the_kernel_of_the_host_is_left_alone(guest):
    settings = [f"/proc/sys/kernel/{name}" for name in ("core_pattern", "core_pipe_limit")]
    with locked_settings():
        before = guest.run("cat", *settings).stdout
        guest.run("systemctl", "start", "crashprobe-setup.service")
        assert guest.state("crashprobe-setup.service") == "inactive"
        assert guest.run("cat", *settings).stdout == before


# Whoever enabled crashprobe-setup alone, as docs/operating.md says, never heard of what was only counted.
@needs_crashprobe
@pytest.mark.parametrize("unit", ["crashprobe-setup.service", "crashprobe-watch.service"])
def test_who_reports_crashes_also_tells_what_was_counted(guest, unit):
    assert guest.state("crashprobe-counts.timer") == "inactive"
    guest.run("systemctl", "start", unit)
    assert guest.state("crashprobe-counts.timer") == "active"
    left = guest.ask("sh", "-c", "echo $(($(date +%s -d \"$(systemctl show -P NextElapseUSecRealtime "
                     "crashprobe-counts.timer)\") - $(date +%s)))")
    assert 0 <= int(left) <= 13 * 60


# A user's programs crashed in a loop, and systemd gave the socket up: nobody's crash was told any more.
@needs_crashprobe
def test_many_crashes_do_not_make_systemd_give_up_the_socket(guest):
    guest.write("/etc/systemd/system/crashprobe.socket.d/test.conf", "[Unit]\nConditionVirtualization=\n")
    guest.run("systemctl", "daemon-reload")
    guest.run("systemctl", "start", "crashprobe.socket")
    path = f"/proc/{guest.leader}/root/run/telemetry/core"

    def connect():
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)

    for _ in range(600):
        connect()
    wait_until(lambda: int(guest.show("crashprobe.socket", "NAccepted")) > 0)
    wait_until(lambda: guest.show("crashprobe.socket", "NConnections") == "0")
    assert (guest.state("crashprobe.socket"), guest.show("crashprobe.socket", "Result")) == ("active", "success")
    connect()


@needs_core_pattern
@needs_crashprobe
def test_a_real_crash_arrives(guest, sink, tmp_path):
    guest.run("telemctl", "start")
    # The kernel starts its handler outside; inside it finds the process by the number that it has there.
    handler = Handler(tmp_path, "nsenter", "-t", guest.leader, "-a", "--", guest.find("crashprobe"))
    with core_pattern(handler.pattern(FULL.replace("%P", "%p"))):
        guest.run("sh", "-c", "kill -SEGV $$", check=False)
        wait_until(lambda: sink.requests, what=lambda: f"{handler.calls()} {handler.errors()}")
    assert sink.requests[0].headers["classification"].endswith("/crash/clr")
    assert b"Process: /usr/bin/dash" in sink.requests[0].body
    assert b"\nBacktrace (TID " in sink.requests[0].body
