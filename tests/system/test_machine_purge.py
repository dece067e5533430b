"""Installed, set up, used and purged, the Debian packages leave a machine as it was, its kernel's settings
too: those of a container are its host's (tests/system/test_packages.py), here the machine has its own."""

import json
import re
import shlex
import shutil
import subprocess

import pytest

from support import system_machine
from support.crashes import Report, find_tool
from support.guest import Guest
from support.hard_crashes import expect_in_order

from conftest import configure, packages, packages_folder
from test_core_socket import SOURCE
from test_packages import FIND_FILES

pytestmark = pytest.mark.skipif(
    packages_folder() is None,
    reason="TELEMETRICS_PACKAGES names no folder of packages (scripts/test-system --packages)")

# Neither is what a kernel starts with.
PATTERN, LIMIT = "core.%e.of.an.administrator", 7

CONFIG = "[settings]\nserver = http://127.0.0.1:8080/v2/collector\n"

SCRIPT = r"""
settings() { echo "$(cat /proc/sys/kernel/core_pattern) $(cat /proc/sys/kernel/core_pipe_limit)"; }
crashes() { curl -sf 'http://127.0.0.1:8080/api/records?classification=org.clearlinux/crash/*'; }
has_arrived() { crashes | grep -q /usr/bin/crasher; }
# What boots beside this script has folders of its own in /tmp.
is_alone() {
  starting=$(systemctl list-units --type=service --state=activating --no-legend --plain | cut -d ' ' -f 1)
  [ "$starting" = trial.service ]
}

say kernel "$(settings)"
echo "$pattern" >/proc/sys/kernel/core_pattern
echo "$limit" >/proc/sys/kernel/core_pipe_limit
say before "$(settings)"
wait_for is_alone
list_files >/run/before

dpkg -i /var/tmp/packages/*.deb
say installed "$? $(settings)"
list_files >/run/installed

mkdir -p /etc/telemetrics
cp /var/tmp/telemetrics.conf /etc/telemetrics/telemetrics.conf
systemctl start telem-collector.service
systemctl enable --now telemd.service
systemctl enable --now crashprobe-setup.service
say enabled "$(systemctl is-enabled crashprobe-setup.service) $(systemctl is-active crashprobe-setup.service)"
say set_up "$(settings)"

# Where the kernel writes a core itself, it lies here.
cd /var/tmp
ulimit -c unlimited
/usr/bin/crasher &
wait $!
say status "$?"
wait_for has_arrived
crashes >/run/crashes
show_file crashes /run/crashes
say cores "$(find /var/tmp -name 'core*')"

dpkg --remove telemetrics-collector telemetrics-client libtelemetry-dev libtelemetry4
say removed "$? $(settings)"
# The next one is the kernel's own again.
/usr/bin/crasher &
wait $!
say core "$(find /var/tmp -name 'core*' -printf '%f ')"

dpkg --purge telemetrics-collector telemetrics-client libtelemetry-dev libtelemetry4
say purged "$? $(settings)"
wait_for is_alone
list_files >/run/after
say files "$(wc -l </run/before)"
say more "$(comm -13 /run/before /run/installed | wc -l)"
say changes "$(comm -3 /run/before /run/after)"
say failed "$(systemctl --failed --no-legend --plain)"
"""


def script():
    return (f"pattern='{PATTERN}' limit={LIMIT}\nlist_files() {{ {shlex.join(FIND_FILES)} | sort; }}\n"
            "export LC_ALL=C\n" + SCRIPT)


@pytest.fixture(scope="module", params=list(system_machine.KERNELS))
def output(request, debian, tmp_path_factory):
    if reason := system_machine.reason_not_to_run(request.param):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("machine")
    source = folder / "crasher.c"
    source.write_text(SOURCE)
    (folder / "guest").mkdir()
    guest = Guest(folder / "guest", [debian])
    try:
        subprocess.run([find_tool("gcc"), "-g", "-O1", "-DNUMBER=1", "-o", guest.path("/usr/bin/crasher"),
                        source], check=True)
        # A large part of the image, and nobody's here.
        for path in ("/var/lib/apt", "/var/cache/apt"):
            shutil.rmtree(guest.path(path))
        guest.path("/var/tmp/packages").mkdir()
        for package in packages():
            shutil.copy(package, guest.path("/var/tmp/packages"))
        guest.write("/var/tmp/telemetrics.conf", CONFIG)
        yield system_machine.SystemMachine(folder, request.param, steady=True).run(guest.root, script())
    finally:
        guest.close()


def check_ended(output):
    assert output.has_ended, f"{output.text[-8000:]}\n{output.console[-4000:]}"


def test_installing_leaves_the_kernel_alone(output):
    check_ended(output)
    before = f"{PATTERN} {LIMIT}"
    assert output.said("kernel") != [before] == output.said("before")
    assert output.said("installed") == [f"0 {before}"], output.text
    # There is something to take away.
    assert int(output.said("more")[0]) > 100


def test_a_crash_arrives_once_crashprobe_is_set_up(output):
    check_ended(output)
    assert output.said("enabled") == ["enabled active"], output.text
    [set_up] = output.said("set_up")
    assert re.fullmatch(r"(@@/run/telemetry/core|\|\S+/crashprobe -p %e .*) 16", set_up)
    print(set_up)
    assert output.said("status") == ["139"]
    [record] = json.loads(output.file("crashes"))["records"]
    report = Report(record["payload"])
    print(report.payload)
    expect_in_order(report.names, ["fault", "load", "main"])
    assert report.field("Process") == "/usr/bin/crasher"
    assert output.said("cores") == [""]


def test_removing_gives_the_kernel_its_settings_back(output):
    check_ended(output)
    before = f"0 {PATTERN} {LIMIT}"
    assert output.said("removed") == output.said("purged") == [before], output.text
    # They are in force: a crash leaves what they say.
    assert output.said("core") == [PATTERN.replace("%e", "crasher") + " "]


def test_purging_leaves_the_files_of_before(output):
    check_ended(output)
    print(f"{output.said('files')[0]} files and folders, {output.said('more')[0]} more with the packages")
    assert int(output.said("files")[0]) > 1000
    assert output.said("changes") == [""]
    assert output.said("failed") == [""]
