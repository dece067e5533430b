"""Fixtures of the tests that boot a Debian with our units in it.

They take what `cmake --install` makes of TELEMETRICS_BUILD, as an administrator would.
"""

import os
import pathlib
import shutil
import subprocess

import pytest

from support import paths
from support.guest import Guest, reason_not_to_boot
from support.skipping import tell_when_all_were_skipped


def pytest_configure(config):
    config.addinivalue_line("markers", "short: one of those that continuous integration runs, too")


def pytest_sessionfinish(session, exitstatus):
    tell_when_all_were_skipped(session, exitstatus)


@pytest.fixture(scope="session")
def debian(tmp_path_factory):
    """The root folder of a Debian that has our runtime libraries."""
    if reason := reason_not_to_boot(tmp_path_factory.mktemp("bare")):
        pytest.skip(reason)
    return pathlib.Path(os.environ["TELEMETRICS_SYSTEM_ROOT"]).resolve()


def packages_folder():
    """The folder of packages that are to be tested, or None."""
    folder = os.environ.get("TELEMETRICS_PACKAGES")
    return pathlib.Path(folder).resolve() if folder else None


def packages():
    """Those that are installed: what is only for debuggers is left out."""
    return [path for path in sorted(packages_folder().glob("*.deb")) if "-dbgsym_" not in path.name]


@pytest.fixture(scope="session")
def installed(debian, tmp_path_factory):
    """A layer with what is installed: by the packages where TELEMETRICS_PACKAGES names some, else by
    `cmake --install`."""
    layer = tmp_path_factory.mktemp("installed")
    layer.chmod(0o755)
    if packages_folder() is None:
        subprocess.run(["cmake", "--install", paths.BUILD], check=True, capture_output=True,
                       env={**os.environ, "DESTDIR": str(layer)})
        yield layer
        return
    guest = Guest(layer, [debian])
    try:
        target = guest.path("/var/tmp/packages")
        target.mkdir()
        for package in packages():
            shutil.copy(package, target)
        subprocess.run(["chroot", guest.root, "sh", "-c", "dpkg -i /var/tmp/packages/*.deb"],
                       check=True, capture_output=True,
                       env={**os.environ, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        shutil.rmtree(target)
        yield guest.layer
    finally:
        guest.close()


@pytest.fixture
def make_guest(debian, installed, tmp_path):
    """Boots guests on which we are installed, and nothing of ours has been started."""
    guests = []

    def make(*, layers=(), **settings):
        folder = tmp_path / f"guest{len(guests)}"
        folder.mkdir()
        guest = Guest(folder, [*layers, installed, debian])
        guest.units = units_in(installed)
        guests.append(guest)
        configure(guest, **settings)
        guest.boot()
        guest.run("systemd-sysusers")
        guest.run("systemd-tmpfiles", "--create")
        return guest

    yield make
    for guest in guests:
        # Shown where the test failed.
        print(guest.system_journal())
        guest.close()
        shutil.rmtree(guest.folder)


def units_in(layer):
    """All units that we install, by name; none is forgotten here, whatever it is called."""
    return {path.name: path for path in sorted(layer.rglob("systemd/system/*"))}


def configure(guest, **settings):
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    guest.write("/etc/telemetrics/telemetrics.conf", "[settings]\n" + lines)


@pytest.fixture
def guest(make_guest, sink):
    """One that delivers to `sink`."""
    return make_guest(server=sink.url)
