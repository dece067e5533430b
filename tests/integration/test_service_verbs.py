"""telemctl start, stop, restart, is-active, opt-out and opt-in where systemd does not run telemd: what
they do without it, their words and exit codes; and which units they ask systemd for where it does.
tests/system has them with the real one."""

import os
import pathlib
import subprocess

import time

import pytest

from support import paths
from support.bare_machine import run, stranger
from support.fake_systemd import FakeSystemd
from support.frames import OPTED_OUT, TAKEN_OVER
from support.marks import needs_root
from support.telemctl import telemctl
from support.waiting import wait_until

CHANGING = ["start", "stop", "restart", "opt-out", "opt-in"]


def ctl(machine, *arguments):
    done = run("--config-file", machine.config, *arguments)
    return done.returncode, done.stdout, done.stderr


def told(sentence):
    return f"telemctl: {sentence}\n"


@needs_root
@pytest.mark.parametrize("verb", CHANGING)
def test_changing_verbs_need_root(make_machine, folder, verb):
    machine = make_machine()
    machine.folder = folder
    done = run("--config-file", machine.config, verb, **stranger(machine))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == told("Must be root to run this command. Exiting...")
    assert not list(machine.config_dir.iterdir())


@needs_root
def test_opted_out_nothing_is_started(make_machine):
    machine = make_machine()
    machine.opt_out()
    for verb in ("start", "restart"):
        assert ctl(machine, verb) == (1, "", told("Opt out is enabled. Cannot start services."))


@needs_root
def test_without_systemd_it_is_told_how_to_go_on(make_machine):
    machine = make_machine()
    code, out, err = ctl(machine, "start")
    assert (code, out) == (0, "")
    assert err.endswith(f"/bin/telemd -f {machine.config} &\n") and "systemd" in err
    assert ctl(machine, "stop") == (0, "", told("telemd does not run. Nothing to stop."))
    machine.start()
    code, out, err = ctl(machine, "stop")
    assert (code, out) == (0, "")
    assert err.endswith(f" kill {machine.process.pid}\n")
    assert machine.is_alive()


# Nobody made the folder of the probes: as user telemetry they could keep nothing.
@needs_root
@pytest.mark.parametrize("has_user", [True, False])
def test_without_systemd_all_folders_are_made(make_machine, folder, has_user):
    machine = make_machine()
    modes = {machine.config_dir: 0o755, machine.spool: 0o700, machine.state: 0o755,
             machine.log: 0o755, machine.cache: 0o755}
    for path in modes:
        path.rmdir()
    users = [line for line in pathlib.Path("/etc/passwd").read_text().splitlines()
             if not line.startswith("telemetry:")]
    if has_user:
        users.append("telemetry:x:61001:61002::/nonexistent:/usr/sbin/nologin")
    (folder / "etc").mkdir()
    (folder / "etc" / "passwd").write_text("\n".join(users) + "\n")
    done = subprocess.run(["unshare", "-m", "sh", "-ec", f"mount -t overlay -o lowerdir='{folder}/etc':/etc "
                           'overlay /etc; exec "$0" "$@"', paths.TELEMCTL, "--config-file", machine.config,
                           "start"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for path, mode in modes.items():
        seen = path.stat()
        owner = (61001, 61002) if has_user and path != machine.config_dir else (0, 0)
        assert (seen.st_mode & 0o7777, (seen.st_uid, seen.st_gid)) == (mode, owner), path


def test_is_active_tells_by_its_exit_code(make_machine):
    machine = make_machine()
    assert ctl(machine, "is-active") == (3, "inactive\n", "")
    machine.start()
    assert ctl(machine, "is-active") == (0, "active\n", "")
    done = telemctl(machine, "is-active", user="nobody" if os.geteuid() == 0 else None)
    assert (done.returncode, done.stdout) == (0, "active\n")


@needs_root
@pytest.mark.parametrize("mode", ["opt-out", "opt-in"])
def test_the_users_word_is_written_down_once(make_machine, mode):
    machine = make_machine(consent=mode)
    markers = lambda: sorted(path.name for path in machine.config_dir.iterdir())
    assert ctl(machine, "opt-out")[0] == 0
    assert markers() == ["opt-out"]
    assert ctl(machine, "opt-out") == (0, "", told("Already opted out. Nothing to do."))
    assert ctl(machine, "opt-in")[0] == 0
    assert markers() == ([] if mode == "opt-out" else ["opt-in"])
    assert ctl(machine, "opt-in") == (0, "", told("Already opted in. Nothing to do."))


# The probes that it starts may be faster than telemd, and must not tell of what was before.
@needs_root
@pytest.mark.parametrize("mode", ["opt-out", "opt-in"])
def test_opting_in_writes_down_since_when(make_machine, mode):
    machine = make_machine(consent=mode)
    since = machine.state / "consent_since"
    assert ctl(machine, "opt-out")[0] == 0
    since.write_text("1000000000\n")  # of a consent that telemd did not see end
    before = int(time.time())
    assert ctl(machine, "opt-in")[0] == 0
    written = int(since.read_text())
    assert before <= written <= time.time()
    assert since.stat().st_uid == machine.state.stat().st_uid
    machine.start()
    machine.wait_for(collecting=True)
    assert int(since.read_text()) == written


@needs_root
def test_opting_out_leaves_nothing_that_was_collected(make_machine, away):
    machine = make_machine(server=away.url, record_retention_enabled=True).start()
    for _ in range(5):
        assert machine.send(b"secret") == TAKEN_OVER
    wait_until(lambda: len(machine.journal()) == 5)
    probes_files = [machine.cache / "oops" / "1", machine.cache / "pstore" / "boot" / "2" / "dmesg",
                    machine.cache / "sent-events", machine.state / "crash-counts",
                    machine.rejected_dir / "3", machine.state / "rejected-reasons",
                    machine.state / "state"]
    for path in probes_files:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("secret")
    machine_id = machine.status()["machine_id"]
    assert ctl(machine, "opt-out")[0] == 0
    machine.wait_for(collecting=False, waiting=0)
    assert machine.send() == OPTED_OUT
    for path in (*probes_files, machine.state / "machine_id", machine.state / "consent_since"):
        assert not path.exists(), path
    assert machine.spool_files() == [] and machine.journal_file.read_bytes() == b""
    assert not list((machine.log / "records").iterdir())
    # What telemd writes from now on is found where it belongs.
    assert ctl(machine, "opt-in")[0] == 0
    machine.wait_for(collecting=True)
    assert machine.send(b"after") == TAKEN_OVER
    wait_until(lambda: len(machine.journal()) == 1)
    assert machine.status()["machine_id"] != machine_id


# Interrupted once it had written the marker, it could not be finished: "Already opted out".
@needs_root
@pytest.mark.parametrize("runs", [True, False])
def test_opting_out_goes_on_where_it_was_interrupted(make_machine, away, runs):
    machine = make_machine(server=away.url).start()
    assert machine.send(b"secret") == TAKEN_OVER
    (machine.cache / "kmsg-position").write_text("seen")
    if not runs:
        machine.stop()
    machine.opt_out()
    if runs:
        machine.wait_for(collecting=False, waiting=0)
    assert machine.journal() and (machine.state / "machine_id").exists()
    assert ctl(machine, "opt-out")[0] == 0
    assert ctl(machine, "opt-out") == (0, "", told("Already opted out. Nothing to do."))
    left = [path for folder in (machine.spool, machine.state, machine.log, machine.cache)
            for path in folder.rglob("*") if path.is_file() and path.stat().st_size > 0]
    assert left == []


# The folders are telemd's, and root removes: a link there must lead it nowhere.
@needs_root
def test_opting_out_follows_no_link(make_machine, folder):
    machine = make_machine()
    precious = folder / "precious"
    precious.mkdir()
    (precious / "file").write_text("keep")
    (machine.log / "records").symlink_to(precious)
    (machine.cache / "oops").symlink_to(precious)
    (machine.spool / "link").symlink_to(precious / "file")
    assert ctl(machine, "opt-out")[0] == 0
    assert (precious / "file").read_text() == "keep"
    assert machine.spool_files() == []
    assert not (machine.log / "records").is_symlink()


# Where an administrator has put the folders on another disk, by links, telemd worked with them, and opting out
# left everything there and said that all was well.
@needs_root
def test_opting_out_empties_folders_that_the_administrator_has_linked(make_machine, folder):
    machine = make_machine()
    data = folder / "data"
    data.mkdir()
    for path in (machine.state, machine.log, machine.cache):
        path.rename(data / path.name)
        path.symlink_to(data / path.name)
    machine.start()
    assert machine.send(b"secret") == TAKEN_OVER
    (machine.cache / "kmsg-position").write_text("seen")
    machine.stop()
    assert ctl(machine, "opt-out")[0] == 0
    assert [path for path in data.rglob("*") if path.is_file() and path.stat().st_size > 0] == []


# Nobody but the administrator may lead root anywhere by such a link.
@needs_root
@pytest.mark.parametrize("who, mode", [(65534, 0o755), (0, 0o777)])
def test_opting_out_follows_no_linked_folder_that_another_could_have_made(make_machine, folder, who, mode):
    place = folder / "place"
    place.mkdir()
    (folder / "precious").mkdir()
    (folder / "precious" / "journal").write_text("keep")
    machine = make_machine(log_dir=place / "log")
    (place / "log").symlink_to(folder / "precious")
    os.chown(place, who, who)
    place.chmod(mode)
    code, _, err = ctl(machine, "opt-out")
    assert code == 1 and str(place / "log") in err
    assert (folder / "precious" / "journal").read_text() == "keep"


# ---- with systemd


@pytest.fixture
def make_systemd(make_machine, folder):
    return lambda **settings: FakeSystemd(folder, make_machine(**settings))


SYSTEMDS = "|/lib/systemd/systemd-coredump %P %u %g %s %t %c %h"


# `telemctl restart` stopped crashprobe-watch and started crashprobe-setup, which leaves core_pattern to
# systemd-coredump where it is told to: from then on no crash was reported.
@needs_root
@pytest.mark.parametrize("crash_forward, pattern, watches", [
    ("systemd-coredump", SYSTEMDS, True), ("systemd-coredump", "core", True),
    (None, SYSTEMDS, True), (None, "core", False), (None, "|/usr/bin/crashprobe -p %e", False),
    ("off", SYSTEMDS, False), ("file", SYSTEMDS, False)])
def test_the_configuration_says_which_unit_reports_crashes(make_systemd, crash_forward, pattern, watches):
    systemd = make_systemd(crash_forward=crash_forward)
    for verb in ("start", "restart"):
        done = systemd.telemctl(verb, core_pattern=pattern)
        assert done.returncode == 0, done.stderr
        crash_units = systemd.active() & {"crashprobe-setup.service", "crashprobe-watch.service"}
        assert crash_units == {f"crashprobe-{'watch' if watches else 'setup'}.service"}
    assert "telemd.socket" in systemd.active()


# telemctl looked at the units alone: opting out unlinked the journal that this telemd went on writing.
@needs_root
def test_a_telemd_that_was_started_by_hand_is_seen(make_systemd, away):
    systemd = make_systemd(server=away.url)
    machine = systemd.machine.start()

    def ctl(verb):
        done = systemd.telemctl(verb)
        return done.returncode, done.stdout, done.stderr

    assert ctl("is-active") == (0, "active\n", "")
    by_hand = told(f"systemd does not run this telemd. To stop it: kill {machine.process.pid}")
    assert ctl("stop") == (0, "", by_hand)
    assert machine.send(b"secret") == TAKEN_OVER
    assert ctl("opt-out") == (0, "", by_hand)
    machine.wait_for(collecting=False, waiting=0)
    assert machine.journal_file.read_bytes() == b""
    assert ctl("opt-in")[0] == 0
    machine.wait_for(collecting=True)
    assert machine.send(b"after") == TAKEN_OVER
    wait_until(lambda: len(machine.journal()) == 1)
    machine.stop()
    systemd.deactivate("telemd.socket")
    assert ctl("is-active") == (3, "inactive\n", "")
    assert ctl("stop") == (0, "", "")


# A telemd that has nothing to do with systemd's may run where no unit of ours is installed.
@needs_root
def test_without_our_units_a_telemd_that_was_started_by_hand_is_seen(make_systemd):
    systemd = make_systemd()
    systemd.uninstall()
    done = systemd.telemctl("stop")
    assert (done.returncode, done.stderr) == (1, told("there are no units of telemetrics"))
    machine = systemd.machine.start()
    done = systemd.telemctl("stop")
    assert done.returncode == 0 and done.stderr.endswith(f" kill {machine.process.pid}\n")
