"""telemctl start, stop, restart, is-active, opt-out and opt-in where systemd does not run telemd: what
they do without it, their words and exit codes. tests/system has them with systemd."""

import time

import pytest

from support.bare_machine import run, stranger
from support.frames import OPTED_OUT, TAKEN_OVER
from support.marks import needs_root
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
    assert ctl(machine, "stop") == (0, "", "")
    machine.start()
    code, out, err = ctl(machine, "stop")
    assert (code, out) == (0, "")
    assert err.endswith(f" kill {machine.process.pid}\n")
    assert machine.is_alive()


def test_is_active_tells_by_its_exit_code(make_machine):
    machine = make_machine()
    assert ctl(machine, "is-active") == (3, "inactive\n", "")
    machine.start()
    assert ctl(machine, "is-active") == (0, "active\n", "")


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
