"""Machines whose kernel may break; scripts/test-kernel says where the kernel comes from."""

import pytest

from support import kernel_machine, paths
from support.skipping import tell_when_all_were_skipped


def pytest_configure(config):
    config.addinivalue_line("markers", "short: what continuous integration runs, too")


def pytest_sessionfinish(session, exitstatus):
    tell_when_all_were_skipped(session, exitstatus)


@pytest.fixture(scope="session")
def make_kernel_machine(tmp_path_factory):
    if reason := kernel_machine.reason_not_to_run():
        pytest.skip(reason)
    return lambda: kernel_machine.KernelMachine(tmp_path_factory.mktemp("machine"))


@pytest.fixture
def kernel_machine_of(make_kernel_machine):
    """One that has these programs of ours."""

    def make(*programs):
        for name in programs:
            if not (paths.BUILD / "bin" / name).exists():
                pytest.skip(f"{name} is not in this build")
        return make_kernel_machine()

    return make
