"""Fixtures of all tests that run the real programs.

They take them from TELEMETRICS_BUILD (default: build/release). TELEMETRICS_GOLDEN names the folder
of bytes that real telemetrics-client programs produced; what needs it is skipped without.
"""

import os
import pathlib
import resource
import shutil
import tempfile

import pytest

from support import paths
from support.collector import Collector
from support.http_sink import HttpSink
from support.machine import Machine


# A thousand connections of one test are more than a process may have open by default.
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(_hard, max(_soft, 8192)), _hard))


def pytest_terminal_summary(terminalreporter):
    """What tests have counted or measured (record_property), for people; the results for machines
    have it as well. A test's own words are not seen where several tests run at once."""
    stats = terminalreporter.stats
    for report in [*stats.get("passed", []), *stats.get("failed", [])]:
        if report.user_properties:
            terminalreporter.section(report.nodeid, sep="-")
            for name, value in report.user_properties:
                terminalreporter.write_line(f"{name}: {value}")


@pytest.fixture
def folder():
    """A private folder with a path short enough for sockets. In memory where the system has such a
    place: some tests make and remove tens of thousands of files."""
    memory = "/dev/shm"
    base = memory if os.access(memory, os.W_OK) else None
    path = pathlib.Path(tempfile.mkdtemp(prefix="telem-", dir=base))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def make_machine(folder, request):
    """Makes machines from settings. For each telemd that lives when the test ends the books are
    checked (Machine.check_books), and it has to end in order. Tests with the mark `both_ways` have
    it by a telem-deliver that telemd starts, and by one behind a socket."""
    machines = []
    has_socket = getattr(request, "param", "child") == "socket"

    def make(**settings):
        root = folder / f"m{len(machines)}"
        root.mkdir()
        machines.append(Machine(root, **settings))
        if has_socket:
            machines[-1].give_telem_deliver_a_socket()
        return machines[-1]

    yield make
    try:
        for machine in machines:
            if machine.is_alive():
                machine.check_books()
                assert machine.stop() == 0, machine.said()
    finally:
        for machine in machines:
            machine.close()


@pytest.fixture
def sink():
    server = HttpSink()
    yield server
    server.close()


@pytest.fixture
def away():
    """A server that is away until start() is called."""
    server = HttpSink(start=False)
    yield server
    server.close()


@pytest.fixture
def machine(make_machine, sink):
    """A machine that delivers to `sink`, with telemd running."""
    return make_machine(server=sink.url).start()


@pytest.fixture
def collector(folder):
    server = Collector(folder)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def golden():
    """Finds golden bytes, or skips the test that asks."""

    def find(name):
        path = paths.golden(name)
        if path is None:
            pytest.skip(f"no {name} in TELEMETRICS_GOLDEN "
                        f"({os.environ.get('TELEMETRICS_GOLDEN', 'unset')})")
        return path

    return find
