"""The Debian packages: installed, upgraded from what 1.x and 2.x leave, removed, purged."""

import fnmatch
import os
import pathlib
import re
import shutil
import subprocess

import pytest

from support import paths
from support.core_pattern import locked_settings
from support.errands import ERRANDS, NO_PART, lay_evidence, look_at
from support.guest import Guest
from support.system_journal import needs_journal_writer
from support.waiting import wait_until

from conftest import configure, packages, packages_folder
from test_units import (COLLECTS_NOTHING_HERE, kept_files, look_at_consent_alone, our_units, send_hello,
                        short, try_to_start)

pytestmark = pytest.mark.skipif(
    packages_folder() is None,
    reason="TELEMETRICS_PACKAGES names no folder of packages (scripts/test-system --packages)")

KERNEL = ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/core_pipe_limit"]


@pytest.fixture
def make_bare_guest(debian, tmp_path):
    """Makes guests without anything of ours, not booted yet."""
    guests = []

    def make():
        folder = tmp_path / f"guest{len(guests)}"
        folder.mkdir()
        guests.append(Guest(folder, [debian]))
        target = guests[-1].path("/var/tmp/packages")
        target.mkdir()
        for package in packages():
            shutil.copy(package, target)
        return guests[-1]

    yield make
    for guest in guests:
        print(guest.system_journal() if guest.is_up() else guest.console())
        guest.close()
        shutil.rmtree(guest.folder)


def install(guest):
    return guest.run("sh", "-c", "dpkg -i /var/tmp/packages/*.deb")


# Every file and folder of the system but what others keep there.
FIND_FILES = ["find", "/", "-xdev", "-not", "-path", "/var/lib/dpkg/*", "-not", "-path",
              "/var/log/journal/*", "-not", "-path", "/var/tmp/*", "-not", "-path",
              "/var/cache/ldconfig/*", "-printf", "%y %m %u %p -> %l\\n"]


def files(guest):
    return set(guest.run(*FIND_FILES).stdout.splitlines())


def is_enabled(guest, unit):
    return guest.run("systemctl", "is-enabled", unit, check=False).returncode == 0


@short
def test_purging_leaves_the_system_as_it_was(make_bare_guest, sink):
    guest = make_bare_guest().boot()
    with locked_settings():
        kernel = guest.run("cat", *KERNEL).stdout
        before = files(guest)
        install(guest)
        # Nothing runs and nothing will before somebody says so.
        for unit in ("telemd.socket", "telemd.path", "telemd.service", "telem-deliver.socket",
                     "hprobe.timer", "crashprobe-setup.service", "telem-collector.service"):
            assert guest.state(unit) == "inactive" and not is_enabled(guest, unit), unit
        assert guest.run("cat", *KERNEL).stdout == kernel
        configure(guest, server=sink.url)
        guest.run("systemctl", "enable", "--now", "telemd.service", "hprobe.timer")
        guest.run("telemctl", "start")
        guest.run("systemctl", "start", "telem-collector.service")
        guest.run("hprobe")
        sink.wait_for(1)
        guest.run("dpkg", "--remove", "telemetrics-collector", "telemetrics-client", "libtelemetry-dev",
                  "libtelemetry4")
        assert guest.ask("pgrep", "-l", "telem") == ""
        # What was collected and configured stays until it is purged.
        assert guest.path("/etc/telemetrics/telemetrics.conf").exists()
        assert guest.path("/var/log/telemetry/journal").exists()
        guest.run("dpkg", "--purge", "telemetrics-collector", "telemetrics-client", "libtelemetry-dev",
                  "libtelemetry4")
        assert files(guest) == before
        assert guest.run("cat", *KERNEL).stdout == kernel


# The client's purge took away the settings of a collector that went on running.
@pytest.mark.parametrize("order", [("telemetrics-client", "telemetrics-collector"),
                                   ("telemetrics-collector", "telemetrics-client")])
def test_each_package_purges_its_own_settings_and_the_last_one_their_folder(make_bare_guest, order):
    guest = make_bare_guest().boot()
    install(guest)
    own = {"telemetrics-client": {"telemetrics.conf", "telemetrics.conf.d", "opt-out"},
           "telemetrics-collector": {"collector.conf"}}
    configure(guest)
    guest.write("/etc/telemetrics/telemetrics.conf.d/50-server.conf", "[settings]\n")
    guest.run("touch", "/etc/telemetrics/opt-out", "/etc/telemetrics/collector.conf")
    first, last = order
    guest.run("dpkg", "--purge", first)
    assert {path.name for path in guest.path("/etc/telemetrics").iterdir()} == own[last]
    guest.run("dpkg", "--purge", last)
    assert not guest.path("/etc/telemetrics").exists()


# Its last file was the collector's, and opting out needs the folder.
def test_the_folder_of_settings_stays_as_long_as_the_client_does(make_bare_guest):
    guest = make_bare_guest().boot()
    install(guest)
    guest.run("touch", "/etc/telemetrics/collector.conf")
    guest.run("dpkg", "--purge", "telemetrics-collector")
    assert list(guest.path("/etc/telemetrics").iterdir()) == []


def test_files_belong_to_whom_they_should(make_bare_guest):
    guest = make_bare_guest().boot()
    install(guest)
    listed = guest.run("sh", "-c", "dpkg -L telemetrics-client telemetrics-collector libtelemetry4 "
                       "libtelemetry-dev | grep . | sort -u | xargs -d '\\n' stat -c '%U:%G %a %F %n'").stdout
    for line in listed.splitlines():
        if not line or "symbolic link" in line:
            continue
        owner, mode, rest = line.split(" ", 2)
        assert owner == "root:root", line
        assert int(mode, 8) & 0o7022 == 0, line  # no setuid, nobody else writes
    for folder, mode in (("/var/spool/telemetry", "700"), ("/var/lib/telemetry", "755"),
                         ("/var/log/telemetry", "755"), ("/var/cache/telemetry", "755")):
        assert guest.run("stat", "-c", "%U:%G %a", folder).stdout.strip() == \
            f"telemetry:telemetry {mode}"
    # And what comes to be where it runs.
    guest.run("telemctl", "start")
    send_hello(guest)
    for path, owner, mode in (("/etc/telemetrics", "root", "755"),
                              ("/run/telemetry", "root", "755"),
                              ("/run/telem-0", "root", "666"),
                              ("/run/telemetry/control", "root", "666"),
                              ("/run/telemetry/deliver", "telemetry", "600"),
                              ("/var/log/telemetry/journal", "telemetry", "600")):
        assert guest.run("stat", "-c", "%U:%G %a", path).stdout.strip() == f"{owner}:{owner} {mode}", path


def test_debug_information_is_in_packages_of_its_own():
    found = {path.name.split("-dbgsym_")[0]: path for path in packages_folder().glob("*-dbgsym_*.deb")}
    assert set(found) == {"libtelemetry4", "telemetrics-client", "telemetrics-collector"}
    for path in found.values():
        listed = subprocess.run(["dpkg-deb", "-c", path], check=True, capture_output=True, text=True).stdout
        assert re.search(r"\./usr/lib/debug/\.build-id/\S+\.debug$", listed, re.M), path


def listed_files(guest):
    """Every file of ours, by dpkg."""
    listed = guest.run("sh", "-c", "dpkg -L $(dpkg-query -W -f '${Package} ${source:Package}\\n' | "
                       "sed -n 's/ telemetrics$//p')").stdout
    return {line for line in listed.splitlines() if line.startswith("/") and guest.path(line).is_file()}


def run_errand(guest, program, config, evidence):
    """Asks a program for the thing that it would report or store something for."""
    name = pathlib.Path(program).name
    assert name in ERRANDS, f"{name}: a program that nobody thought of"
    if name == "telemd":
        guest.run("sh", "-c", f"{program} </dev/null >/tmp/telemd.log 2>&1 &")
        wait_until(lambda: guest.run("telemctl", "status", check=False).returncode == 0,
                   what=lambda: guest.ask("cat", "/tmp/telemd.log"))
        guest.run("pkill", "-x", "telemd")
        wait_until(lambda: guest.ask("pgrep", "-x", "telemd") == "", what="telemd ended")
    else:
        for errand in ERRANDS[name]:
            errand.check_without_consent(
                guest.run("timeout", "60", *errand.command(program, config, evidence), check=False))


# One unit that lacked its siblings' condition went on collecting.
@needs_journal_writer
def test_opted_out_nothing_that_dpkg_names_collects(make_bare_guest, sink):
    guest = make_bare_guest().boot()
    install(guest)
    configure(guest, server=sink.url)
    guest.run("touch", "/etc/telemetrics/opt-out")
    files_of_ours = listed_files(guest)
    guest.units = {pathlib.Path(name).name: guest.path(name) for name in files_of_ours
                   if "/systemd/system/" in name}
    programs = [name for name in files_of_ours
                if os.access(guest.path(name), os.X_OK) and ".so" not in name
                and not guest.path(name).is_symlink()]
    assert len(guest.units) > 10 and len(programs) > 10
    units = [unit for unit in guest.units if unit not in COLLECTS_NOTHING_HERE]
    for unit in units:
        look_at_consent_alone(guest, unit)
    guest.run("systemctl", "daemon-reload")
    evidence = "/var/tmp/evidence"
    lay_evidence(guest.path(evidence))
    guest.run("chown", "-R", "telemetry:telemetry", evidence)
    before = look_at(guest.path(evidence))
    guest.run("touch", "/var/tmp/before")
    assert [unit for unit in units if try_to_start(guest, unit)] == []
    for program in programs:
        if pathlib.Path(program).name not in NO_PART:
            run_errand(guest, program, "/etc/telemetrics/telemetrics.conf", evidence)
    assert look_at(guest.path(evidence)) == before
    assert our_units(guest) == {}
    assert kept_files(guest) == []
    written = guest.run("find", "/", "-xdev", "-newer", "/var/tmp/before", "-type", "f", "-size", "+0",
                        "-not", "-path", "/var/log/journal/*", "-not", "-path", f"{evidence}/*",
                        "-not", "-path", "/var/lib/telemetry/state").stdout
    assert written == ""
    assert (sink.requests, sink.connections) == ([], 0)


def table_of_files():
    """What stands where, by docs/operating.md: patterns of paths."""
    text = (paths.REPO / "docs" / "operating.md").read_text()
    section = text.partition("### What is where")[2].partition("\n## ")[0]
    return {folder + name for folder, names in re.findall(r"`(/[^`]*/)`:((?: `[^`]+`)+)", section)
            for name in re.findall(r"`([^`]+)`", names)}


# What each package has, and nobody looks for: Debian's own papers.
PAPERS = re.compile(r"/usr/share/(doc/[^/]+/(copyright|changelog.*gz)|lintian/overrides/.*)")


def test_the_packages_have_what_an_installation_consists_of(make_bare_guest):
    guest = make_bare_guest().boot()
    install(guest)
    listed = {name for name in listed_files(guest) if not PAPERS.fullmatch(name)}
    table = table_of_files()
    assert len(table) > 40
    assert {name for name in listed
            if not any(fnmatch.fnmatchcase(name, row) for row in table)} == set()
    assert {row for row in table if not fnmatch.filter(listed, row)} == set()
    for program in (pathlib.Path(name).name for name in listed
                    if name.startswith(("/usr/bin/", "/usr/libexec/", "/lib/systemd/system-generators/"))):
        assert any(re.fullmatch(rf"/usr/share/man/man[18]/{re.escape(program)}\.[18]\.gz", name)
                   for name in listed), f"no man page of {program}"
    for program in (pathlib.Path(name).name for name in listed if name.startswith("/usr/bin/")):
        for place in ("bash-completion/completions/{}", "zsh/vendor-completions/_{}",
                      "fish/vendor_completions.d/{}.fish"):
            assert "/usr/share/" + place.format(program) in listed


def leave_as_1x_does(guest, server):
    """The files of a telemetrics-client 1.x that was used for a while."""
    guest.run("useradd", "--system", "--home-dir", "/var/lib/telemetry", "telemetry")
    configure(guest, server=server, record_expiry=10000, rate_limit_enabled="true")
    guest.write("/var/lib/telemetry/machine_id", "0123456789abcdef0123456789abcdef")
    shutil.copytree(paths.REPO / "tests" / "data" / "journal-1x", guest.path("/var/log/telemetry"))
    name, spooled = (paths.REPO / "fuzz" / "corpus" / "spool_file" / "1x").read_bytes().split(b"\n", 1)
    guest.path("/var/spool/telemetry").mkdir(parents=True)
    for name in (name.decode(), "ghijkl"):
        guest.path(f"/var/spool/telemetry/{name}").write_bytes(spooled)
    guest.run("chown", "-R", "telemetry:telemetry", "/var/lib/telemetry", "/var/log/telemetry",
              "/var/spool/telemetry")


def test_1x_is_taken_over(make_bare_guest, sink):
    guest = make_bare_guest().boot()
    leave_as_1x_does(guest, sink.url)
    config = guest.path("/etc/telemetrics/telemetrics.conf").read_bytes()
    install(guest)
    assert guest.path("/etc/telemetrics/telemetrics.conf").read_bytes() == config
    assert not guest.path("/etc/telemetrics/opt-out").exists()
    guest.run("telemctl", "start")
    # Nobody sends anything: what 1.x left is found by the path unit.
    sink.wait_for(2)
    assert "0123456789abcdef0123456789abcdef" in guest.run("telemctl", "status").stdout
    assert len(guest.run("telemctl", "journal").stdout.splitlines()) >= 4


def test_1x_that_was_opted_out_stays_out(make_bare_guest, sink):
    guest = make_bare_guest().boot()
    leave_as_1x_does(guest, sink.url)
    guest.run("touch", "/etc/telemetrics/opt-out")
    install(guest)
    assert guest.path("/etc/telemetrics/opt-out").exists()
    assert guest.run("telemctl", "start", check=False).returncode == 1
    guest.run("systemctl", "start", "telemd.socket", "telemd.path", "telemd.service")
    assert our_units(guest) == {}
    guest.run("hprobe")  # quietly
    assert (sink.requests, sink.connections) == ([], 0)


# Files of 2.x, with a daemon that does nothing.
FILES_OF_2X = {
    "/usr/bin/telemprobd": "#!/bin/sh\n",
    "/lib/systemd/system/telemprobd.service": "[Service]\nExecStart=/usr/bin/telemprobd\n",
    "/lib/systemd/system/telemprobd.socket":
        "[Socket]\nListenStream=/run/telem-0\n[Install]\nWantedBy=sockets.target\n",
}


def install_2x(guest, how):
    """By a package of its name and version, or by hand."""
    folder = "/var/tmp/2x" if how == "package" else ""
    for name, text in FILES_OF_2X.items():
        guest.write(folder + name, text, mode=0o755 if "/bin/" in name else 0o644)
    if how == "package":
        guest.write(folder + "/DEBIAN/control",
                    "Package: telemetrics-client\nVersion: 2.4.0\nArchitecture: all\n"
                    "Maintainer: nobody <nobody@localhost>\nDescription: 2.x\n")
        guest.run("dpkg-deb", "--build", folder, "/var/tmp/2x.deb")
        guest.run("dpkg", "-i", "/var/tmp/2x.deb")
    guest.run("systemctl", "daemon-reload")


# 2.x collects nothing before the user says yes; upgrading must not turn silence into consent, nor a yes
# into silence.
@pytest.mark.parametrize("how", ["package", "by hand"])
@pytest.mark.parametrize(("said_yes", "was_on"), [(False, True), (True, True), (True, False)])
def test_2x_goes_on_where_the_user_said_yes_and_only_there(make_bare_guest, how, said_yes, was_on):
    guest = make_bare_guest().boot()
    install_2x(guest, how)
    guest.run("mkdir", "-p", "/etc/telemetrics")
    if said_yes:
        guest.run("touch", "/etc/telemetrics/opt-in")
    if was_on:
        guest.run("systemctl", "enable", "--now", "telemprobd.socket")
    install(guest)
    assert guest.path("/etc/telemetrics/opt-out").exists() == (not said_yes)
    goes_on = said_yes and was_on
    for _ in range(2):
        assert guest.state("telemprobd.socket") == "inactive"
        assert not is_enabled(guest, "telemprobd.socket")
        for unit in ("telemd.socket", "telemd.path"):
            assert guest.state(unit) == ("active" if goes_on else "inactive"), unit
            assert is_enabled(guest, unit) == goes_on, unit
        if goes_on:
            assert "Successfully sent" in guest.run("hprobe").stdout
        guest.reboot()
    started = guest.run("telemctl", "start", check=False)
    assert started.returncode == (0 if said_yes else 1), started.stderr


# What 2.x leaves behind took back the consent that was given to 3.x, at each upgrade of that.
def test_what_2x_has_left_behind_does_not_opt_out_of_3x(make_bare_guest):
    guest = make_bare_guest().boot()
    guest.write("/usr/bin/telemprobd", "#!/bin/sh\n", mode=0o755)
    install(guest)
    guest.run("telemctl", "opt-in")
    install(guest)
    assert not guest.path("/etc/telemetrics/opt-out").exists()
    # Nor where it is installed again.
    guest.run("dpkg", "--remove", "telemetrics-client")
    install(guest)
    assert not guest.path("/etc/telemetrics/opt-out").exists()


def test_an_upgrade_starts_again_what_runs_and_keeps_what_waits(make_bare_guest, away):
    guest = make_bare_guest().boot()
    install(guest)
    configure(guest, server=away.url)
    guest.run("systemctl", "enable", "--now", "telemd.service")
    guest.run("telemctl", "start")
    guest.run("hprobe")
    before = guest.show("telemd.service", "MainPID")
    # But for connections, which end when they have nothing more to say.
    running = {unit for unit in our_units(guest) if "@" not in unit}
    assert {"telemd.socket", "hprobe.timer", "journal-probe.service"} <= running
    install(guest)
    for unit in running:
        guest.wait_for(unit)
    for unit in ("telemd.service", "telemd.socket", "telemd.path"):
        assert is_enabled(guest, unit), unit
    assert guest.show("telemd.service", "MainPID") != before
    away.start()
    guest.run("telemctl", "spool", "flush")
    away.wait_for(1)


# A container has the socket bound that was there when it was started.
def test_an_upgrade_leaves_the_socket_where_it_is_unless_its_unit_changed(make_bare_guest):
    guest = make_bare_guest().boot()
    install(guest)
    guest.run("systemctl", "enable", "--now", "telemd.socket")
    guest.run("hprobe")
    telemd = guest.show("telemd.service", "MainPID")
    guest.run("touch", "/srv/telem-0")
    guest.run("mount", "--bind", "/run/telem-0", "/srv/telem-0")
    guest.write("/srv/inside.conf", "[settings]\nsocket_path = /srv/telem-0\n")
    install(guest)
    assert guest.show("telemd.service", "MainPID") not in ("0", telemd)
    assert "Successfully sent" in guest.run("hprobe", "-f", "/srv/inside.conf").stdout
    # What an earlier version had.
    guest.write("/lib/systemd/system/telemd.socket", "[Socket]\nListenStream=/run/telem-0\n")
    started = guest.show("telemd.socket", "InvocationID")
    install(guest)
    assert guest.show("telemd.socket", "InvocationID") not in ("", started)
    send_hello(guest)


# A container's package once wrote the host's core_pattern.
def test_maintainer_scripts_leave_the_kernel_alone_in_a_chroot(make_bare_guest):
    guest = make_bare_guest()
    settings = [pathlib.Path(name).read_text for name in KERNEL]
    with locked_settings():
        before = [read() for read in settings]
        subprocess.run(["mount", "-t", "proc", "proc", guest.path("/proc")], check=True)
        try:
            for command in ("dpkg -i /var/tmp/packages/*.deb",
                            "dpkg --purge telemetrics-client telemetrics-collector"):
                subprocess.run(["chroot", guest.root, "sh", "-c", command], check=True,
                               capture_output=True, env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        finally:
            subprocess.run(["umount", guest.path("/proc")], check=True)
        assert [read() for read in settings] == before
