"""A machine of its own under QEMU, with a Debian that systemd boots, and one of two kernels: that of
Debian 12, or one that connects to sockets for crashes (Linux 6.17 and later), which the other does not.

The disk is an image of a root folder; what the script of the test prints comes back through a second
serial port.
"""

import base64
import gzip
import lzma
import os
import pathlib
import re
import shutil
import stat
import subprocess

from . import paths
from .frames import parse_headers
from .kernel_machine import BUSYBOX, WAIT_FOR, Archive

# Some seconds with KVM; without it and on a loaded machine many times that.
BOOT = 900
STEADY = 3600

# Where below TELEMETRICS_KERNEL they are, and how scripts/test-kernel is asked for them.
KERNELS = {"debian": ("current/root", "--prepare"), "new": ("new/current/root", "--new-kernel")}

# What is no module in one kernel is one in the next.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci",
           "virtio_blk", "crc16", "crc32c_generic", "libcrc32c", "mbcache", "jbd2", "ext4", "brd")

MIB = 1 << 20

INIT = r"""#!/bin/busybox sh
/bin/busybox mkdir -p /proc /dev /root
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs devtmpfs /dev
# KiB, from the kernel's command line.
brd="rd_nr=1 rd_size=${in_memory:-1}"
for module in MODULES; do
  [ ! -e /$module.ko ] || /bin/busybox insmod /$module.ko $(eval echo "\$$module")
done
until [ -b /dev/vda ]; do /bin/busybox sleep 0.1; done
disk=/dev/vda
if [ -n "$in_memory" ]; then
  disk=/dev/ram0
  /bin/busybox cat /dev/vda >$disk
fi
/bin/busybox mount -t ext4 -o rw $disk /root
/bin/busybox umount /proc
exec /bin/busybox switch_root /root /usr/lib/systemd/systemd
"""

UNIT = """[Unit]
Description=What the test does
[Service]
Type=oneshot
TimeoutStartSec=infinity
ExecStart=/bin/sh /trial
"""

FUNCTIONS = r"""
exec </dev/null >/dev/ttyS1 2>&1
""" + WAIT_FOR + r"""has_records() { [ "$(ls /var/spool/telemetry | wc -l)" -ge "$1" ]; }
say() { echo "<$1>$2</$1>"; }
show_file() { echo "<$1>"; gzip -c "$2" | base64; echo "</$1>"; }
show_records() {
  for file in /var/spool/telemetry/*; do
    [ -f "$file" ] && { echo "<record>"; base64 "$file"; echo "</record>"; }
  done
}
"""

END = r"""
journalctl -b --no-pager -n 200
echo "<end/>"
systemctl poweroff --force --force
"""


def reason_not_to_run(name="new"):
    """Why no machine with that kernel can run here; None where one can."""
    for program in ("qemu-system-x86_64", "mkfs.ext4"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    if not BUSYBOX.exists():
        return "no busybox on this machine"
    if kernel(name) is None:
        return f"no such kernel in TELEMETRICS_KERNEL (scripts/test-kernel {KERNELS[name][1]} gets one)"
    if paths.is_sanitized():
        return "a sanitizer needs more memory than such a machine has"
    return None


def kernel(name):
    """The folder of the kernel's unpacked packages."""
    folder = os.environ.get("TELEMETRICS_KERNEL")
    found = pathlib.Path(folder) / KERNELS[name][0] if folder else None
    return found if found is not None and found.exists() else None


def prepare(root):
    """A root folder on which we are installed, for a machine that has a root folder made of it."""
    subprocess.run(["systemd-sysusers", f"--root={root}"], check=True, capture_output=True)
    # What nobody needs would only make the image larger.
    for path in ("usr/share/doc", "usr/share/locale", "usr/share/man", "var/lib/apt", "var/cache/apt"):
        shutil.rmtree(root / path, ignore_errors=True)


class Output:
    """What the script of a test has printed."""

    def __init__(self, text, console):
        self.text = text.replace("\r\n", "\n")
        self.console = console
        self.has_ended = "<end/>" in self.text

    def said(self, name):
        return re.findall(rf"<{name}>(.*?)</{name}>", self.text, re.S)

    def file(self, name):
        """What was shown of it."""
        [data] = self.said(name)
        return gzip.decompress(base64.b64decode(data))

    def records(self):
        """Headers by name, and the payload, of each record in the spool."""
        found = [parse_headers(base64.b64decode(data)) for data in self.said("record")]
        return [(headers, payload.decode().rstrip("\n") + "\n") for headers, payload in found]


class SystemMachine:
    def __init__(self, folder, kernel_name="new", *, steady=False):
        """`steady`: for tests of ceilings and of limits of time, which the same machine passes or fails
        whatever else this one has to do. By its clock, its only processor executes an instruction each
        nanosecond, like a slow real one, however long that takes here; where it has nothing to do, its
        clock is put forward to when it has. Its disk lies in its memory: for a real one it would wait
        while the clock is put forward."""
        self.folder = pathlib.Path(folder)
        self._kernel = kernel(kernel_name)
        self._steady = steady

    def _initrd(self):
        archive = Archive()
        archive.add("init", INIT.replace("MODULES", " ".join(MODULES)).encode(), stat.S_IFREG | 0o755)
        archive.add("bin/busybox", BUSYBOX.read_bytes(), stat.S_IFREG | 0o755)
        for name in MODULES:
            for path in [*self._kernel.glob(f"usr/lib/modules/*/kernel/**/{name}.ko*"),
                         *self._kernel.glob(f"lib/modules/*/kernel/**/{name}.ko*")]:
                data = path.read_bytes()
                archive.add(f"{name}.ko", lzma.decompress(data) if path.suffix == ".xz" else data)
        return archive.finish()

    def run(self, root, script):
        """Boots a copy of `root`, runs the script, and returns what it printed when the machine is
        off. The script is added to `root`."""
        (root / "trial").write_text(FUNCTIONS + script + END)
        units = root / "etc/systemd/system"
        (units / "trial.service").write_text(UNIT)
        wants = units / "multi-user.target.wants"
        wants.mkdir(exist_ok=True)
        (wants / "trial.service").symlink_to("/etc/systemd/system/trial.service")
        disk, initrd = self.folder / "disk", self.folder / "initrd"
        console, output = self.folder / "console", self.folder / "output"
        size = 2048 * MIB
        if self._steady:
            used = int(subprocess.run(["du", "-s", "--block-size=1M", root], check=True,
                                      capture_output=True, text=True).stdout.split()[0])
            size = (used * 5 // 4 + 96) * MIB
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", "-d", root, disk, f"{size // MIB}M"],
                       check=True, capture_output=True)
        initrd.write_bytes(self._initrd())
        # Nobody answers for the terminal: there is no udev.
        arguments = ["console=ttyS0", "panic=1", "mitigations=off", "net.ifnames=0",
                     "systemd.mask=serial-getty@ttyS0.service", "systemd.mask=getty.target"]
        processor, memory = ["-accel", "tcg,thread=multi", "-smp", "2"], 1024
        if self._steady:
            processor = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]
            memory += size // MIB
            arguments.append(f"in_memory={size // 1024}")
        try:
            subprocess.run(
                ["qemu-system-x86_64", *processor, "-machine", "q35", "-m", str(memory),
                 "-cpu", "max", "-display", "none", "-nic", "none", "-monitor", "none",
                 "-serial", f"file:{console}", "-serial", f"file:{output}",
                 "-drive", f"file={disk},if=virtio,format=raw,cache=unsafe",
                 "-kernel", self._image(), "-initrd", initrd, "-append", " ".join(arguments),
                 "-no-reboot"],
                check=True, stdin=subprocess.DEVNULL, timeout=STEADY if self._steady else BOOT)
        except subprocess.TimeoutExpired:
            pass  # what it has printed says more
        finally:
            disk.unlink()
        return Output(output.read_text(errors="replace"), console.read_text(errors="replace"))

    def _image(self):
        [image] = [*self._kernel.glob("boot/vmlinuz-*"), *self._kernel.glob("usr/lib/modules/*/vmlinuz")]
        return image
