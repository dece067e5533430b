"""The rpm packages, as they are built on Debian: they hold what the Debian packages hold, and what they
install works there. No Fedora has seen them."""

import pathlib
import re
import shutil
import stat
import subprocess

import pytest

from support.guest import Guest
from support.waiting import wait_until

from conftest import configure, packages, packages_folder
from test_packages import FILES_OF_2X


def rpms():
    return sorted(packages_folder().glob("*.rpm")) if packages_folder() else []


pytestmark = pytest.mark.skipif(
    not rpms(), reason="TELEMETRICS_PACKAGES names no folder with rpm packages (scripts/package --rpm)")

# What the same package is called here and there.
NAMES = {"libtelemetry4": "libtelemetry4", "libtelemetry-dev": "libtelemetry-devel",
         "telemetrics-client": "telemetrics-client", "telemetrics-collector": "telemetrics-collector"}

# Paths of a Debian package, and those of the rpm package. The lists end where nothing but these differs.
DIFFER = [
    (r"^/lib/systemd/", "/usr/lib/systemd/"),  # Debian 12 still has both, and debhelper looks there
    (r"^/usr/lib/[^/]+-linux-gnu/", "/usr/lib64/"),
    (r"^/usr/share/zsh/vendor-completions/", "/usr/share/zsh/site-functions/"),
    (r"^/usr/share/doc/telemetrics-client/", "/usr/share/doc/telemetrics/"),
    (r"^(/usr/share/man/.*|/usr/share/doc/.*)\.gz$", r"\1"),  # each compresses what it likes to
]
# What each has for itself: how it tells of licenses and changes, and of mistakes that are none.
OWN = re.compile(r"/usr/share/(doc/[^/]+/(copyright|changelog.*)|lintian/.*|licenses/.*)")


def alike(files):
    """By path in the form of an rpm package."""
    found = {}
    for path, (rights, owner) in files.items():
        # Of a page that only names another one, debhelper makes a link.
        if path.startswith("/usr/share/man/") and rights.startswith("l"):
            rights = "-rw-r--r--"
        for pattern, instead in DIFFER:
            path = re.sub(pattern, instead, path)
        if not OWN.fullmatch(path):
            found[path] = (rights, owner)
    return found


def ask(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True,
                          env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "LC_ALL": "C.UTF-8"}).stdout


def files_of_deb(name):
    """Rights and owner of each file that is no folder."""
    [path] = (path for path in packages() if path.name.startswith(name + "_"))
    files = {}
    for line in ask("dpkg-deb", "-c", path).splitlines():
        rights, owner, _, _, _, name = line.split(maxsplit=5)
        if not rights.startswith("d"):
            files[name.split(" -> ")[0].removeprefix(".")] = (rights, owner)
    return files


def query(name, *arguments):
    [path] = (path for path in rpms() if re.match(rf"{name}-\d", path.name))
    return ask("rpm", "-qp", *arguments, path)


def files_of_rpm(name):
    files = {}
    form = "[%{FILEMODES} %{FILEUSERNAME}/%{FILEGROUPNAME} %{FILENAMES}\\n]"
    for line in query(name, "--qf", form).splitlines():
        mode, owner, name = line.split(maxsplit=2)
        mode = int(mode) & 0xffff
        if not stat.S_ISDIR(mode):
            files[name] = (stat.filemode(mode), owner)
    return files


@pytest.mark.parametrize("name", NAMES)
def test_an_rpm_package_has_the_files_of_the_debian_package_with_their_rights(name):
    ours, theirs = alike(files_of_rpm(NAMES[name])), alike(files_of_deb(name))
    assert ours and sorted(ours) == sorted(theirs)
    assert ours == theirs


def test_folders_of_ours_belong_to_a_package():
    listed = query("telemetrics-client", "-l").splitlines()
    for folder in ("/usr/libexec/telemetrics", "/usr/share/defaults/telemetrics", "/usr/share/doc/telemetrics"):
        assert folder in listed


@pytest.fixture
def guest(debian, tmp_path, sink):
    """One on which rpm has installed the packages, without their scripts: it has no rpm."""
    made = Guest(tmp_path, [debian])
    ask("rpm", "--root", made.root, "--nodeps", "--noscripts", "-i", *rpms())
    # Where Fedora's loader looks, and Debian's does not.
    made.write("/etc/ld.so.conf.d/lib64.conf", "/usr/lib64\n")
    ask("chroot", made.root, "ldconfig")
    configure(made, server=sink.url)
    yield made.boot()
    made.close()
    shutil.rmtree(tmp_path)


def run_script(guest, which, count):
    """A script of the client's package, as rpm would run it."""
    script = query("telemetrics-client", "--qf", f"%{{{which}}}")
    return guest.run("sh", "-e", "-s", count, stdin=script)


def test_what_rpm_has_installed_works_and_goes(guest, sink):
    for path in guest.path("/usr/bin").glob("*"):
        if path.name in {pathlib.Path(name).name for name in files_of_rpm("telemetrics-client")
                         if name.startswith("/usr/bin/")} - {"telem_journal"}:
            assert guest.run(path.name, "--version").stdout.startswith(path.name)
    run_script(guest, "POSTIN", 1)
    guest.run("systemctl", "enable", "--now", "telemd.service", "klogscanner.service")
    guest.run("hprobe")
    sink.wait_for(1)
    before, listening = guest.show("telemd.service", "MainPID"), guest.show("telemd.socket", "InvocationID")
    run_script(guest, "PREIN", 2)
    run_script(guest, "POSTIN", 2)
    wait_until(lambda: guest.show("telemd.service", "MainPID") not in ("0", before), what="a new telemd")
    # The socket's unit has not changed, and containers may have bound it.
    assert guest.show("telemd.socket", "InvocationID") == listening != ""
    for unit in ("telemd.socket", "telemd.path"):
        assert guest.state(unit) == "active"
    run_script(guest, "PREUN", 0)
    assert guest.ask("pgrep", "-l", "telem") == ""
    for unit in ("telemd.service", "telemd.socket", "klogscanner.service"):
        assert guest.ask("systemctl", "is-enabled", unit) == "disabled"


def test_what_2x_did_not_ask_is_not_taken_for_a_yes(guest):
    guest.write("/usr/bin/telemprobd", "#!/bin/sh\n", mode=0o755)
    # Where a 3.x is, it has asked.
    run_script(guest, "PREIN", 2)
    assert not guest.path("/etc/telemetrics/opt-out").exists()
    guest.run("rm", "/usr/libexec/telemetrics/telem-deliver")
    run_script(guest, "PREIN", 1)
    assert guest.path("/etc/telemetrics/opt-out").exists()


def test_what_2x_was_asked_for_goes_on(guest):
    for name, text in FILES_OF_2X.items():
        guest.write(name, text, mode=0o755)
    guest.run("touch", "/etc/telemetrics/opt-in")
    guest.run("systemctl", "daemon-reload")
    guest.run("systemctl", "enable", "--now", "telemprobd.socket")
    deliver = guest.path("/usr/libexec/telemetrics/telem-deliver").rename(guest.path("/var/tmp/deliver"))
    run_script(guest, "PREIN", 2)
    deliver.rename(guest.path("/usr/libexec/telemetrics/telem-deliver"))
    run_script(guest, "POSTIN", 2)
    assert guest.state("telemprobd.socket") == "inactive"
    assert guest.ask("systemctl", "is-enabled", "telemprobd.socket") == "disabled"
    for unit in ("telemd.socket", "telemd.path"):
        assert guest.state(unit) == "active"
        assert guest.ask("systemctl", "is-enabled", unit) == "enabled"
