"""A machine of its own under QEMU, with Debian's kernel, whose kernel may break.

It has no disk: all that runs on it lies in its initial file system, which is busybox, the programs
under test with their libraries, and the script of the test. What the script prints comes back through
a second serial port; the first is the kernel's console.
"""

import base64
import os
import pathlib
import re
import shutil
import stat
import subprocess

from . import paths
from .frames import HEADER_NAMES, parse_headers

# Booting takes five seconds, and without KVM and on a loaded machine many times that.
BOOT = 300

BUSYBOX = pathlib.Path("/bin/busybox")
FIRMWARE = pathlib.Path("/usr/share/OVMF")

# For scripts of guests: until this holds. After two minutes the test shows what there is instead.
WAIT_FOR = r"""
wait_for() {
  tries=0
  until "$@" || [ "$tries" -eq 480 ]; do
    sleep 0.25
    tries=$((tries + 1))
  done
}
"""

INIT = r"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /etc
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
ln -s /proc/self/fd/0 /dev/stdin
mkdir -p /var/spool/telemetry /var/lib/telemetry /var/log/telemetry /var/cache/telemetry /etc/telemetrics
chown telemetry:telemetry /var/spool/telemetry /var/lib/telemetry /var/log/telemetry /var/cache/telemetry
# The user has consented before the first boot; nothing else outlives one here.
echo 1 > /var/lib/telemetry/consent_since
mount -t pstore pstore /sys/fs/pstore
hostname zaphod

# What the scripts of tests say.
break_kernel() {
  [ -e /proc/breaker ] || insmod /breaker.ko
  # In a shell of its own, which may die of it.
  sh -c "echo $1 > /proc/breaker" || true
}
start_telemd() {
  # Not between the lines of what is shown.
  telemd >> /tmp/telemd.log 2>&1 &
  telemd_pid=$!
  until [ -S /run/telem-0 ]; do sleep 0.1; done
}
count_records() { ls /var/spool/telemetry | wc -l; }
""" + WAIT_FOR + r"""has_records() { [ "$(count_records)" -ge "$1" ]; }
has_record_of() { grep -q "$1" /var/spool/telemetry/* 2>/dev/null; }
show_file() { echo "<file $1>"; base64 "$1"; echo "</file>"; }
show_records() { for file in /var/spool/telemetry/*; do [ -f "$file" ] && show_file "$file"; done; }
show_log() { dmesg -r > /tmp/log; show_file /tmp/log; }

exec </dev/null >/dev/ttyS1 2>&1
. /script
[ ! -f /tmp/telemd.log ] || cat /tmp/telemd.log
echo "<end/>"
sync
poweroff -f
"""

CONFIG = """[settings]
server = http://127.0.0.1:9/
"""

USERS = "root:x:0:0:root:/:/bin/sh\ntelemetry:x:990:990:Telemetry:/var/lib/telemetry:/bin/false\n"
GROUPS = "root:x:0:\ntelemetry:x:990:\n"


def reason_not_to_run():
    """Why no such machine can run here; None where one can."""
    for program in ("qemu-system-x86_64", "ldd"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    if not BUSYBOX.exists():
        return "no busybox on this machine"
    kernel = os.environ.get("TELEMETRICS_KERNEL")
    if not kernel:
        return "TELEMETRICS_KERNEL names no kernel to break (scripts/test-kernel makes one)"
    if not (pathlib.Path(kernel) / "current/module/breaker.ko").exists():
        return f"there is no kernel with a module in TELEMETRICS_KERNEL ({kernel})"
    if paths.is_sanitized():
        return "a sanitizer needs more memory than such a machine has"
    return None


class Archive:
    """An initial file system: cpio in the form newc, as the kernel reads it (initramfs buffer format)."""

    def __init__(self):
        self._data = bytearray()
        self._names = set()

    def add(self, name, content=b"", mode=stat.S_IFREG | 0o644):
        if name in self._names:
            return
        parent = name.rpartition("/")[0]
        if parent:
            self.add(parent, mode=stat.S_IFDIR | 0o755)
        self._entry(name, content, mode)

    def add_program(self, path):
        """With the libraries that it needs, where it looks for them."""
        self.add("bin/" + path.name, path.read_bytes(), stat.S_IFREG | 0o755)
        listed = subprocess.run(["ldd", path], capture_output=True, text=True, check=False)
        for library in re.findall(r"(?:=> |^\t)(/\S+) \(0x", listed.stdout, re.M):
            source = pathlib.Path(library)
            # The build folder's own are found by a path relative to the program.
            name = f"lib/{source.name}" if paths.BUILD in source.parents else library.lstrip("/")
            self.add(name, source.read_bytes(), stat.S_IFREG | 0o755)

    def _entry(self, name, content, mode):
        self._names.add(name)
        numbers = (len(self._names), mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        self._data += b"070701" + b"".join(b"%08X" % number for number in numbers)
        self._data += name.encode() + b"\0"
        self._pad()
        self._data += content
        self._pad()

    def _pad(self):
        self._data += bytes(-len(self._data) % 4)

    def finish(self):
        self._entry("TRAILER!!!", b"", 0)
        return bytes(self._data)


class Output:
    """What the script of a test has printed."""

    def __init__(self, text, console):
        self.text = text
        self.console = console
        self.has_ended = "<end/>" in text

    def files(self):
        """Those that it has shown, by path."""
        return {name: base64.b64decode(data) for name, data in
                re.findall(r"<file (\S+)>\s(.*?)</file>", self.text, re.S)}

    def records(self):
        """Headers by name, and the payload, of each record in the spool."""
        found = []
        for name, data in self.files().items():
            if "/spool/" in name:
                headers, payload = parse_headers(data)
                assert set(headers) == set(HEADER_NAMES)
                found.append((headers, payload.decode().rstrip("\n") + "\n"))
        return found

    def log(self):
        return self.files()["/tmp/log"].decode(errors="replace")


class KernelMachine:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self._kernel = pathlib.Path(os.environ["TELEMETRICS_KERNEL"]) / "current"
        self.version = os.readlink(self._kernel)
        self.devices = []
        self.kernel_arguments = []
        self._files = {}

    def add_module(self, name):
        """A module of the kernel's, as /NAME.ko."""
        [path] = self._kernel.glob(f"root/lib/modules/*/kernel/**/{name}.ko")
        self._files[f"{name}.ko"] = path.read_bytes()

    def _initial_files(self, script):
        archive = Archive()
        archive.add("init", INIT.encode(), stat.S_IFREG | 0o755)
        archive.add("bin/busybox", BUSYBOX.read_bytes(), stat.S_IFREG | 0o755)
        archive.add("breaker.ko", (self._kernel / "module/breaker.ko").read_bytes())
        archive.add("script", script.encode())
        archive.add("etc/passwd", USERS.encode())
        archive.add("etc/group", GROUPS.encode())
        archive.add("etc/telemetrics/telemetrics.conf", CONFIG.encode())
        for name in ("telemd", "telemctl", "klogscanner", "oopsprobe", "pstoreclean", "pstoreprobe",
                     "bertprobe"):
            if (paths.BUILD / "bin" / name).exists():
                archive.add_program(paths.BUILD / "bin" / name)
        for name, content in self._files.items():
            archive.add(name, content)
        return archive.finish()

    def run(self, script, *, reboots=False, timeout=BOOT):
        """Boots, runs the script, and returns what it printed when the machine is off. A kernel that
        panics ends the machine, or reboots it."""
        initrd = self.folder / "initrd"
        initrd.write_bytes(self._initial_files(script))
        console, output = self.folder / "console", self.folder / "output"
        # Where the host is busy, the emulated timer is too slow for the kernel's check at boot, which
        # panics.
        arguments = ["console=ttyS0", "panic=1", "mitigations=off", "no_timer_check",
                     *self.kernel_arguments]
        subprocess.run(
            ["qemu-system-x86_64", "-accel", "tcg,thread=multi", "-machine", "q35", "-m", "512",
             "-smp", "2", "-cpu", "max", "-display", "none", "-nic", "none", "-monitor", "none",
             "-serial", f"file:{console}", "-serial", f"file:{output}",
             "-kernel", *self._kernel.glob("root/boot/vmlinuz-*"), "-initrd", initrd,
             "-append", " ".join(arguments), *([] if reboots else ["-no-reboot"]), *self.devices],
            check=True, stdin=subprocess.DEVNULL, timeout=timeout)
        return Output(output.read_text(errors="replace"), console.read_text(errors="replace"))
