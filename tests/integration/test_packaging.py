"""What several files of the packaging say must be the same."""

import re

from support.paths import REPO

PACKAGING = REPO / "packaging"


def find(pattern, file):
    return re.findall(pattern, file.read_text(), re.M)


def test_all_agree_on_the_version():
    [version] = find(r"^project\(telemetrics VERSION ([\d.]+)", REPO / "CMakeLists.txt")
    assert find(r"^telemetrics \(([\d.]+)-", PACKAGING / "debian" / "changelog")[0] == version
    assert find(r"^Version: +(\S+)", PACKAGING / "rpm" / "telemetrics.spec") == [version]


# docs/security.md says what this address is.
def test_all_agree_on_whom_to_write_to():
    [maintainer] = find(r"^Maintainer: (.+)", PACKAGING / "debian" / "control")
    assert set(find(r"^ -- (.+?)  ", PACKAGING / "debian" / "changelog")) == {maintainer}
    address = re.search(r"<(.+)>", maintainer)[1]
    assert f"`{address}`" in (REPO / "docs" / "security.md").read_text()


def test_the_package_needs_for_its_build_what_bootstrap_installs_for_one():
    text = (PACKAGING / "debian" / "control").read_text()
    needed = set(re.search(r"^Build-Depends:(.*?)^\S", text, re.M | re.S)[1].replace(",", " ").split())
    installed = set(find(r"^build\|([^|]+)\|", REPO / "scripts" / "bootstrap"))
    # Every build has a compiler; a cache and a look at the demo are no part of a package's.
    assert installed - needed == {"g++", "ccache", "curl", "ca-certificates"}


def test_units_that_are_disabled_by_preset_are_all_units():
    listed = (PACKAGING / "systemd" / "units.cmake").read_text()
    for unit in (PACKAGING / "systemd").glob("*.in"):
        assert unit.name.removesuffix(".in") in listed, unit.name


# In a mount namespace of its own it got the pipe, on every kernel that has the socket: the kernel
# refuses a socket from elsewhere than the first one, and crashprobe then takes the next best.
def test_what_writes_core_pattern_has_no_mount_namespace_of_its_own():
    folder = PACKAGING / "systemd"
    text = re.sub(r"^@TELEM_(\w+)@$",
                  lambda part: (folder / (part[1].lower().replace("_", "-") + ".inc")).read_text(),
                  (folder / "crashprobe-setup.service.in").read_text(), flags=re.M)
    settings = dict(re.findall(r"^(\w+)=(.*)$", text, re.M))
    # systemd.exec(5): each of these makes one.
    for name in ("PrivateDevices", "PrivateMounts", "PrivateNetwork", "PrivateTmp", "PrivateIPC",
                 "ProtectControlGroups", "ProtectHome", "ProtectHostname", "ProtectKernelLogs",
                 "ProtectKernelModules", "ProtectKernelTunables", "ProtectSystem", "DynamicUser"):
        assert settings.get(name, "no") == "no", name
    for name in ("BindPaths", "BindReadOnlyPaths", "ExecPaths", "InaccessiblePaths", "NoExecPaths", "ProcSubset",
                 "ProtectProc", "ReadOnlyPaths", "ReadWritePaths", "RootDirectory", "RootImage",
                 "TemporaryFileSystem"):
        assert name not in settings, name
