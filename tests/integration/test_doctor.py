"""telemctl doctor: each fault is made, and it names cause and cure."""

import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from support import paths
from support.frames import TAKEN_OVER, new_record_id, sample_headers, spool_file_bytes
from support.http_sink import Answer
from support.telemctl import telemctl
from support.waiting import wait_until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
CHECKS = ("configuration", "consent", "units", "telemd", "rights", "disk", "clock", "library",
          "core pattern", "server", "network", "certificates", "delivery", "spool", "rate limit",
          "rejected")


class Report:
    def __init__(self, done):
        self.code = done.returncode
        self.text = done.stdout
        assert done.stderr == "", done.stderr
        self.kind, self.what, self.cure = {}, {}, {}
        name = None
        for line in self.text.splitlines():
            if line.startswith(" "):
                self.cure[name] = line.strip().removeprefix("-> ")
            else:
                kind, name, self_what = line[:4].strip(), line[6:20].strip(), line[20:]
                self.kind[name], self.what[name] = kind, self_what
        assert tuple(self.kind) == CHECKS, self.text

    def ill(self):
        return [name for name, kind in self.kind.items() if kind == "ILL"]


def doctor(machine, **how):
    return Report(telemctl(machine, "doctor", **how))


def doctor_in(machine, preparation, program=paths.TELEMCTL, **environment):
    """In a mount namespace of its own, after `preparation` (shell)."""
    done = subprocess.run(
        ["unshare", "-m", "sh", "-ec", f'{preparation}\nexec "$0" "$@"', program,
         "--config-file", machine.config, "doctor"],
        capture_output=True, text=True, env={**os.environ, "LC_ALL": "C", **environment})
    return Report(done)


def finds(report, name, what, cure=""):
    """Nothing else is ill, and this is told so."""
    assert report.ill() == [name], report.text
    assert report.code == 1
    assert what in report.what[name] and report.cure[name] and cure in report.cure[name], report.text


@pytest.fixture
def well(machine):
    """A machine on which all is well."""
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    return machine


def test_all_is_well(well):
    report = doctor(well)
    assert report.code == 0 and set(report.kind.values()) == {"well"}, report.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_who_may_not_ask_is_told_so_and_not_that_all_is_well(well):
    report = doctor(well, user="nobody")
    finds(report, "telemd", "permission denied", "ask as root")
    assert doctor(well, user="nobody", group="adm").code == 0


# ---- this machine


@pytest.mark.parametrize("line, what", [
    ("record_expiry = soon", ":{}: record_expiry: 'soon' is not a whole number"),
    ("colour = blue", ":{}: unknown key 'colour', ignoring it")])
def test_a_mistake_in_the_configuration(well, line, what):
    well.config.write_text(well.config.read_text() + line + "\n")
    number = len(well.config.read_text().splitlines())
    finds(doctor(well), "configuration", f"{well.config}{what.format(number)}", "correct it")


def test_consent(well):
    well.opt_out()
    wait_until(lambda: not well.status()["collecting"])
    report = doctor(well)
    finds(report, "consent", "opted out", f"remove '{well.config_dir}/opt-out'")
    assert report.kind["network"] == "skip"
    well.opt_in()
    well.configure(consent="opt-in")
    well.reload()
    finds(doctor(well), "consent", "nobody has opted in", f"make the file '{well.config_dir}/opt-in'")


SYSTEMD = "mount -t tmpfs none /run && mkdir -p /run/systemd/system"


def fake_systemctl(folder, script):
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def fake_units(folder, *units):
    """A systemctl that knows these; each a dict of properties that differ from those of a unit at work."""
    usual = {"ActiveState": "active", "SubState": "running", "UnitFileState": "enabled", "Type": "simple",
             "RemainAfterExit": "no", "TriggeredBy": "", "ConditionResult": "yes",
             "ConditionTimestampMonotonic": "17"}
    shown = "\n".join("".join(f"{name}={value}\n" for name, value in {**usual, **unit}.items())
                      for unit in units)
    number = len(list(folder.iterdir()))
    (folder / f"units-{number}").write_text(shown)
    return fake_systemctl(folder / f"bin-{number}",
                          f"case $1 in show) cat '{folder}/units-{number}';; *) exit 1;; esac")


@needs_root
def test_a_dead_unit(well, folder):
    path = fake_units(folder, {"Id": "telem-collector.service", "ActiveState": "failed"},
                      {"Id": "telemd.socket"},
                      {"Id": "telem-deliver@7.service", "ActiveState": "failed", "UnitFileState": "static"})
    finds(doctor_in(well, SYSTEMD, PATH=path), "units",
          "failed: telem-collector.service, telem-deliver@7.service",
          "systemctl status telem-collector.service")
    path = fake_units(folder, {"Id": "telemd.socket"})
    assert doctor_in(well, SYSTEMD, PATH=path).code == 0


# With Restart=on-failure and some seconds between two attempts a unit is never "failed".
@needs_root
def test_a_unit_that_fails_again_and_again(well, folder):
    path = fake_units(folder, {"Id": "telemd.socket"},
                      {"Id": "klogscanner.service", "ActiveState": "activating", "SubState": "auto-restart"})
    finds(doctor_in(well, SYSTEMD, PATH=path), "units", "again and again: klogscanner.service",
          "systemctl status klogscanner.service")


@needs_root
def test_a_unit_that_is_enabled_and_does_not_run(well, folder):
    gone = {"ActiveState": "inactive", "SubState": "dead"}
    at_rest = [
        {"Id": "journal-probe.service", "UnitFileState": "disabled", **gone},
        {"Id": "oops-probe.service", "Type": "oneshot", **gone},
        {"Id": "telemd.service", "Type": "notify", "TriggeredBy": "telemd.socket telemd.path", **gone},
        {"Id": "klogscanner.service", "ConditionResult": "no", **gone}]
    assert doctor_in(well, SYSTEMD, PATH=fake_units(folder, *at_rest)).code == 0
    # Nobody has tried to start it yet: no condition has said anything.
    new = {"Id": "hprobe.timer", "ConditionResult": "no", "ConditionTimestampMonotonic": "0", **gone}
    path = fake_units(folder, *at_rest, {"Id": "telemd.path", **gone}, new)
    finds(doctor_in(well, SYSTEMD, PATH=path), "units",
          "enabled, and not running: telemd.path, hprobe.timer", "systemctl start telemd.path")
    well.opt_out()
    report = doctor_in(well, SYSTEMD, PATH=path)
    assert report.kind["units"] == "well", report.text


def test_telemd_does_not_run(well):
    well.stop()
    report = doctor(well)
    finds(report, "telemd", f"telemd does not answer at {well.control}", "start 'telemd'")
    assert report.kind["delivery"] == report.kind["spool"] == "skip"


def test_telemd_runs_and_its_socket_is_gone(well):
    well.socket.unlink()
    finds(doctor(well), "telemd", f"nobody takes records at '{well.socket}': No such file",
          "start telemd again")


@needs_root
def test_a_folder_of_somebody_elses(make_machine, sink):
    machine = make_machine(server=sink.url)
    for path in (machine.spool, machine.state, machine.log, machine.config_dir, machine.socket.parent):
        shutil.chown(path, "nobody")
    machine.start(user="nobody")
    assert doctor(machine).code == 0
    shutil.chown(machine.state, "daemon")
    finds(doctor(machine), "rights", f"'{machine.state}' belongs to daemon, telemd runs as nobody",
          f"chown -R nobody {machine.state}")
    shutil.chown(machine.state, "nobody")
    machine.state.chmod(0o500)
    finds(doctor(machine), "rights", f"telemd may not write to '{machine.state}'", "chmod u+rwx")
    machine.state.chmod(0o755)


def test_a_folder_that_is_gone(well):
    shutil.rmtree(well.log)
    finds(doctor(well), "rights", f"'{well.log}' is gone while telemd runs", "start telemd again")


# As after an error of the disk (errors=remount-ro): all rights are there, and nothing can be written.
@needs_root
def test_a_file_system_that_is_read_only(well):
    report = doctor_in(well, f"mount --bind '{well.log}' '{well.log}'\n"
                             f"mount -o remount,bind,ro '{well.log}'")
    finds(report, "rights", f"the file system of '{well.log}' is read-only", "journalctl -k")


@needs_root
def test_a_full_disk(well):
    report = doctor_in(well, f"mount -t tmpfs -o size=2M,mode=755 none '{well.spool}'\n"
                             f"head -c 3000000 /dev/zero > '{well.spool}/.fill' 2>&- || true")
    finds(report, "disk", f"the disk of '{well.spool}' is full: 0 KiB are free", "make room")
    report = doctor_in(well, f"mount -t tmpfs -o nr_inodes=8,mode=755 none '{well.spool}'")
    finds(report, "disk", "can hold no more files", "remove some")


def test_a_clock_that_was_ahead(make_machine, away):
    machine = make_machine(server=away.url)
    ahead = new_record_id(time.time() + 7 * 86400)
    machine.put_into_spool(f"{ahead}-0-1", spool_file_bytes(sample_headers(), b"x"))
    machine.start()
    machine.wait_for(found=1)
    report = doctor(machine)
    assert report.kind["clock"] == "ILL" and "still to come" in report.what["clock"]
    assert "timedatectl" in report.cure["clock"]


def test_a_clock_that_is_behind(well, folder):
    program = folder / "telemctl"
    shutil.copy(paths.TELEMCTL, program)
    later = time.time() + 7 * 86400
    os.utime(program, (later, later))
    done = subprocess.run([program, "--config-file", well.config, "doctor"], capture_output=True,
                          text=True)
    finds(Report(done), "clock", "before this program was made", "timedatectl")


@pytest.mark.parametrize("name", ["libtelemetry.so.3", "libtelemetry.so.4"])
def test_an_old_library(well, folder, name):
    old = folder / "old"
    old.mkdir()
    (old / name).write_bytes(b"\x7fELF of 2.x")
    done = subprocess.run([paths.TELEMCTL, "--config-file", well.config, "doctor"],
                          env={**os.environ, "LD_LIBRARY_PATH": str(old)}, capture_output=True,
                          text=True)
    finds(Report(done), "library", f"programs get '{old}/{name}', which is not of this installation",
          "remove it, then run ldconfig")
    done = subprocess.run([paths.TELEMCTL, "--config-file", well.config, "doctor"],
                          env={**os.environ, "LD_LIBRARY_PATH": str(paths.LIBTELEMETRY.parent)},
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_a_library_of_an_architecture_of_its_own(well, folder):
    program = folder / "bin" / "telemctl"
    library = folder / "lib" / "riscv64-linux-gnu" / "libtelemetry.so.4"
    for path, original in ((program, paths.TELEMCTL), (library, paths.LIBTELEMETRY)):
        path.parent.mkdir(parents=True)
        shutil.copy(original, path)
    done = subprocess.run([program, "--config-file", well.config, "doctor"],
                          env={**os.environ, "LD_LIBRARY_PATH": str(library.parent)},
                          capture_output=True, text=True)
    assert Report(done).code == 0, done.stdout


def core_pattern(folder, text):
    file = folder / f"pattern-{len(list(folder.iterdir()))}"
    file.write_text(text + "\n")
    return f"mount --bind '{file}' /proc/sys/kernel/core_pattern"


@needs_root
def test_a_core_pattern_that_another_program_has_taken(well, folder):
    theirs = core_pattern(folder, "|/usr/share/apport/apport -p%p")
    assert doctor_in(well, theirs).code == 0  # crashprobe is not set up
    # `telemctl start` enables nothing.
    for verb, is_set_up in (("is-enabled", '[ "$4" = crashprobe-setup.service ]'),
                            ("is-active", '[ "$3" = crashprobe-setup.service ] && echo active')):
        path = fake_systemctl(folder / verb, f"case $1 in show) ;; {verb}) {is_set_up};; "
                              "*) exit 1;; esac")
        finds(doctor_in(well, f"{SYSTEMD}\n{theirs}", PATH=path), "core pattern",
              "crashes go to another program: core_pattern is '|/usr/share/apport/apport -p%p'",
              "systemctl restart crashprobe-setup.service")


# systemd-coredump had the crashes, nobody read what it wrote down, and doctor said that all was well.
@needs_root
def test_a_core_pattern_of_systemd_coredumps(well, folder):
    systemds = f"{SYSTEMD}\n{core_pattern(folder, '|/lib/systemd/systemd-coredump %P')}"
    set_up = fake_systemctl(folder / "set-up", '[ $1 = show ] || case "$*" in '
                            '*crashprobe-setup*) echo active;; *) exit 1;; esac')
    watched = fake_systemctl(folder / "watched", '[ $1 = show ] || case "$*" in '
                             '*crashprobe-watch*) echo active;; *) exit 1;; esac')
    for crash_forward in (None, "systemd-coredump"):
        well.configure(crash_forward=crash_forward)
        finds(doctor_in(well, systemds, PATH=set_up), "core pattern",
              "crashprobe-watch.service does not run", "systemctl enable --now crashprobe-watch.service")
        report = doctor_in(well, systemds, PATH=watched)
        assert report.code == 0 and "come by systemd-coredump" in report.what["core pattern"]
    plain = f"{SYSTEMD}\n{core_pattern(folder, 'core')}"
    finds(doctor_in(well, plain, PATH=watched), "core pattern", "crashes go to another program",
          "is systemd-coredump installed?")
    well.configure(crash_forward="off")
    finds(doctor_in(well, systemds, PATH=set_up), "core pattern",
          "crashes go to another program", "crash_forward = systemd-coredump")


@needs_root
def test_a_core_pattern_that_names_a_crashprobe_that_is_gone(well, folder):
    dead = core_pattern(folder, "|/nowhere/crashprobe -p %e")
    finds(doctor_in(well, dead), "core pattern", "there is no such program: crashes are lost",
          "kernel.core_pattern=core")
    program = folder / "crashprobe"
    program.write_text("")
    program.chmod(0o755)
    assert doctor_in(well, core_pattern(folder, f"|{program} -p %e")).code == 0


# Where the kernel has a socket for crashes, doctor took the one of crashprobe.socket for somebody else's.
@needs_root
@pytest.mark.parametrize("mode", ["@", "@@"])
def test_a_core_pattern_that_names_the_socket_of_crashprobe(well, folder, mode):
    path = fake_systemctl(folder / "bin", "exit 0")  # it is enabled
    ours = f"{SYSTEMD}\n{core_pattern(folder, mode + '/run/telemetry/core')}\nmkdir -p /run/telemetry"
    finds(doctor_in(well, ours, PATH=path), "core pattern", "nobody listens there: crashes are lost",
          "systemctl restart crashprobe.socket")
    assert doctor_in(well, f"{ours}\ntouch /run/telemetry/core", PATH=path).code == 0
    finds(doctor_in(well, f"{SYSTEMD}\n{core_pattern(folder, mode + '/run/somebody/core')}", PATH=path),
          "core pattern", "crashes go to another program")


# ---- the way of the records


def test_no_server(make_machine):
    machine = make_machine().start()
    finds(doctor(machine), "server", "no server is set", "set 'server'")


def test_delivery_switched_off(well):
    well.configure(record_server_delivery_enabled=False)
    finds(doctor(well), "server", "record_server_delivery_enabled is false", "set it to true")


def test_a_server_that_telemd_has_not_read_yet(well, away):
    away.start()
    well.configure(server=away.url)
    finds(doctor(well), "server", f"the configuration says {away.url}", "SIGHUP")


def test_a_name_that_is_not_known(make_machine):
    machine = make_machine(server="https://no-such-host.invalid/v2/collector").start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"], timeout=60)
    report = doctor(machine)
    assert report.ill() == ["network", "delivery"], report.text
    assert report.what["network"].startswith("the name 'no-such-host.invalid' is not known: ")
    assert "/etc/resolv.conf" in report.cure["network"]
    assert "the server's name is not known" in report.what["delivery"]


def test_nobody_listens(make_machine, away):
    machine = make_machine(server=away.url).start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    report = doctor(machine)
    assert report.ill() == ["network", "delivery"], report.text
    assert "nobody listens at the server's address" in report.what["network"]
    assert "is the port in 'server' right?" in report.cure["network"]


@pytest.mark.parametrize("status, what, cure", [
    (401, "the server wants to know who sends: 401 go away", "tidheader"),
    (403, "the server does not let this machine in: 403 go away", "token"),
    (404, "there is no collector at that address", "is the path in 'server' right?"),
    (429, "the server wants fewer records", "record_burst_limit"),
    (503, "the server is in trouble: 503 go away", "wait"),
])
def test_what_the_server_says_is_explained(machine, sink, status, what, cure):
    sink.answer = Answer(status, b"go away")
    for _ in range(4):
        assert machine.send() == TAKEN_OVER
    # One record that fails says nothing of the server yet.
    wait_until(lambda: machine.status()["failing"])
    finds(doctor(machine), "delivery", what, cure)
    sink.answer = Answer()
    telemctl(machine, "spool", "flush")
    machine.wait_for(delivered=4)
    assert doctor(machine).code == 0  # it is over


def test_records_that_are_too_large_for_the_server(machine, sink):
    sink.answer = lambda request: Answer(413 if len(request.body) > 100 else 201, b"too much")
    assert machine.send(b"x" * 1000) == TAKEN_OVER
    machine.wait_for(rejected=1)
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    report = doctor(machine)
    assert "rejected" in report.ill(), report.text
    assert "1 record refused by the server, the last: records are larger than the server takes: " \
           "413 too much" in report.what["rejected"]
    assert "client_max_body_size" in report.cure["rejected"]


def test_a_file_that_was_no_record(well):
    well.stop()
    well.put_into_spool("garbage", b"no record at all")
    well.start()
    well.wait_for(rejected=1)
    finds(doctor(well), "rejected", "1 record that cannot be delivered", "telemctl rejected list")


# ---- certificates


@pytest.fixture
def make_certificate(folder):
    def make(name, *more):
        key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", certificate,
                        "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", *more],
                       check=True, capture_output=True)
        return certificate, key

    return make


class TlsServer:
    """Shakes hands, and hangs up; no client gets further here."""

    def __init__(self, certificate, key):

        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.socket.getsockname()[1]}/v2/collector"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            try:
                connection.settimeout(10)
                self.context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()

    def close(self):

        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


@pytest.mark.parametrize("fault", ["unknown issuer", "wrong name"])
def test_certificates_that_do_not_fit(make_machine, make_certificate, fault):
    certificate, key = make_certificate("localhost" if fault == "unknown issuer" else "other.example")
    server = TlsServer(certificate, key)
    machine = make_machine(server=server.url,
                           **({} if fault == "unknown issuer" else {"cainfo": certificate})).start()
    assert machine.send() == TAKEN_OVER
    wait_until(lambda: machine.status()["last_error"])
    if fault == "unknown issuer":
        finds(doctor(machine), "delivery", "nobody this machine trusts vouches for", "'cainfo'")
    else:
        finds(doctor(machine), "delivery", "the server's certificate is for another name",
              "must have a name that stands in the certificate")
    server.close()


@pytest.mark.parametrize("key", ["cainfo", "clientcert"])
def test_a_file_of_certificates_that_is_none(well, folder, key):
    well.configure(**{key: folder / "none.pem"})
    finds(doctor(well), "certificates", f"{key}: open '{folder}/none.pem': No such file",
          "correct its name")
    (folder / "none.pem").write_text("hello")
    finds(doctor(well), "certificates", f"{key}: there is nothing in PEM form in", "openssl x509")


# doctor said to a member of adm that the key was wrong, and to root that it was right, whoever read it.
@needs_root
def test_a_key_that_not_everybody_may_read(well, folder):
    key = folder / "client.key"
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    key.chmod(0o600)
    well.configure(clientkey=key)
    report = doctor(well, user="nobody", group="adm")
    assert (report.code, report.kind["certificates"]) == (0, "skip")
    assert "ask as root" in report.what["certificates"]
    assert doctor(well).code == 0  # telemd runs as root here, and telem-deliver with it
    # Behind a socket of its own it is nobody who could read it.
    (well.control.parent / "deliver").touch()
    finds(doctor(well), "certificates", f"clientkey: telem-deliver may not read '{key}'",
          "/etc/credstore/telemetrics.clientkey")
    key.chmod(0o644)
    assert doctor(well).code == 0


@needs_root
def test_a_key_that_telemds_user_may_not_read(make_machine, sink, folder):
    machine = make_machine(server=sink.url)
    for path in (machine.spool, machine.state, machine.log, machine.config_dir, machine.socket.parent):
        shutil.chown(path, "nobody")
    machine.start(user="nobody")
    key = folder / "client.key"
    key.write_text("-----BEGIN PRIVATE KEY-----\n")
    key.chmod(0o600)
    machine.configure(clientkey=key)
    finds(doctor(machine), "certificates", f"clientkey: nobody may not read '{key}': Permission denied",
          f"chown nobody {key}")
    shutil.chown(key, "nobody")
    assert doctor(machine).code == 0


def test_a_proxy_that_is_not_there(well, away):
    well.configure(proxy=f"http://127.0.0.1:{away.port}")
    finds(doctor(well), "network", f"127.0.0.1 port {away.port}: nobody listens")


# docs/operating.md names this way to a server that is not to be reached without it.
@needs_root
def test_a_proxy_of_the_environment(make_machine, sink, folder):
    machine = make_machine(server="http://no-such-host.invalid/v2/collector")
    proxy = f"http://127.0.0.1:{sink.port}"
    machine.start(http_proxy=proxy)
    assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=1)
    report = doctor(machine)
    assert report.code == 0 and "the proxy of telem-deliver's environment" in report.what["network"]
    # Who may not look at telemd's environment is not told that something is wrong.
    report = doctor(machine, user="nobody", group="adm")
    assert (report.code, report.kind["network"]) == (0, "skip")
    assert "ask as root" in report.what["network"]


@needs_root
@pytest.mark.parametrize("place", ["Environment", "EnvironmentFiles"])
def test_a_proxy_of_the_environment_of_the_unit(make_machine, sink, away, folder, place):
    machine = make_machine(server=away.url).start()
    proxy = f"http_proxy=http://127.0.0.1:{sink.port}"
    if place == "EnvironmentFiles":
        (folder / "environment").write_text(f'# ours\nA=b\nhttp_proxy="{proxy[11:]}"\n')
        shown = f"EnvironmentFiles={folder}/environment (ignore_errors=no)"
    else:
        shown = f"Environment=A=b {proxy}"
    path = fake_systemctl(folder / "bin", f'case "$*" in *telem-deliver@doctor*) echo "{shown}";; '
                          "show*) ;; *) exit 1;; esac")
    report = doctor_in(machine, SYSTEMD, PATH=path)
    assert report.code == 0 and "the proxy of telem-deliver's environment" in report.what["network"]
    sink.close()
    finds(doctor_in(machine, SYSTEMD, PATH=path), "network",
          f"the proxy of telem-deliver's environment: 127.0.0.1 port {sink.port}: nobody listens")


# ---- limits


def test_a_full_spool(make_machine, away):
    machine = make_machine(server=away.url, spool_max_size=8).start()
    while machine.send() == TAKEN_OVER:
        pass
    report = doctor(machine)
    assert "the spool is full: 8 of 8 KiB (spool_max_size)" in report.what["spool"]
    assert "raise spool_max_size" in report.cure["spool"] and report.code == 1


def test_records_that_will_soon_be_given_up(make_machine, away):
    machine = make_machine(server=away.url, record_expiry=60)
    machine.put_into_spool(f"{new_record_id()}-0-1", spool_file_bytes(sample_headers(), b"x"),
                           age=40 * 60)
    machine.start()
    machine.wait_for(found=1)
    wait_until(lambda: machine.status()["last_error"] and not machine.status()["under_way"])
    report = doctor(machine)
    assert "the oldest record waits for 40 min, and is given up after 60 min" in report.what["spool"]
    assert "raise record_expiry" in report.cure["spool"]


def test_a_rate_limit_that_is_reached(make_machine, sink):
    machine = make_machine(server=sink.url, record_burst_limit=2).start()
    for _ in range(4):
        assert machine.send() == TAKEN_OVER
    machine.wait_for(delivered=2)
    wait_until(lambda: machine.status()["limited_until"])
    report = doctor(machine)
    finds(report, "rate limit", "is reached (record_burst_limit = 2 in 15 min", "raise the limit")
    assert re.search(r": 2 waiting until \w{3} \d{4}-", report.what["rate limit"])
