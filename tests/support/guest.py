"""A booted Debian with systemd, in a container of systemd-nspawn.

Each guest is a thrown-away layer over layers that are only read: a Debian (scripts/test-system makes
it), and on top of it what the tests install. It shares the network of the machine, so a server on
127.0.0.1 is the same one inside and outside.
"""

import contextlib
import os
import pathlib
import re
import shutil
import signal
import subprocess
import uuid

from .proc import children
from .waiting import DEADLINE, wait_until

# A boot takes a second; machines that do much else need longer.
BOOT = 6 * DEADLINE


class Guest:
    def __init__(self, folder, layers):
        """`folder`: an empty one; `layers`: root folders, the uppermost first."""
        self.folder = pathlib.Path(folder)
        self.root = self.folder / "root"
        self.name = "telem-" + uuid.uuid4().hex[:12]
        self._console = self.folder / "console"
        self._process = None
        self._leader = None
        memory = self.folder / "memory"
        for path in (self.root, memory):
            path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", memory], check=True)
        self.layer = memory / "upper"  # what this guest has changed
        for path in (self.layer, memory / "work"):
            path.mkdir(mode=0o755)
        lower = ":".join(str(layer) for layer in layers)
        subprocess.run(["mount", "-t", "overlay", "-o",
                        f"lowerdir={lower},upperdir={memory}/upper,workdir={memory}/work",
                        "overlay", self.root], check=True)

    # Power

    def boot(self):
        """Returns when systemd has started everything that it was to start."""
        with open(self._console, "ab") as console:
            self._process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "-D", self.root, "-M", self.name, "--boot",
                 "--register=no", "--keep-unit", "--console=pipe", "--kill-signal=SIGRTMIN+3",
                 "--resolv-conf=off", "--timezone=off", "--link-journal=no"],
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"})
        self._leader = wait_until(self._find_leader, BOOT, lambda: f"a guest: {self.console()}")
        wait_until(self._is_up, BOOT, lambda: f"a booted guest: {self.console()}")
        return self

    def _find_leader(self):
        assert self._process.poll() is None, self.console()
        # Other children come and go before the one that is process 1 of a new pid namespace.
        for pid in children(self._process.pid):
            # One that ends while its file is read is no such process any more.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                status = pathlib.Path(f"/proc/{pid}/status").read_text()
                if re.search(r"^NSpid:\t\d+\t1$", status, re.M):
                    return pid
        return None

    def _is_up(self):
        # "degraded": some unit of the container failed, which is not our business here.
        asked = self.run("systemctl", "is-system-running", "--wait", check=False)
        return asked.stdout.strip() in ("running", "degraded")

    def is_up(self):
        return self._process is not None and self._process.poll() is None

    def power_off(self):
        os.kill(self._leader, signal.SIGRTMIN + 4)
        self._process.wait(BOOT)

    def reboot(self):
        self.power_off()
        return self.boot()

    def close(self):
        if self._process and self._process.poll() is None:
            if self._leader is not None:
                with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                    self.power_off()
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
        for path in (self.root, self.folder / "memory"):
            subprocess.run(["umount", path], check=True)

    # Doing

    def run(self, *command, check=True, stdin=None):
        """Runs a command inside as root, in the way of subprocess.run."""
        done = subprocess.run(
            ["nsenter", "-t", str(self._leader), "-a", "--", *map(str, command)], input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None, capture_output=True, text=True,
            timeout=BOOT, env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin",
                               "LC_ALL": "C.UTF-8"})
        assert not check or done.returncode == 0, \
            f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.system_journal()}"
        return done

    def ask(self, *command):
        """What a command prints, whatever its exit code."""
        return self.run(*command, check=False).stdout.strip()

    def find(self, program):
        """Its path inside."""
        return self.run("sh", "-c", f"command -v {program}").stdout.strip()

    @property
    def leader(self):
        """The guest's process 1, as it is seen from outside."""
        return self._leader

    def path(self, path):
        """Where a file of the guest is seen from here. /run and /tmp are not: they are mounts of the
        guest's own."""
        return self.root / str(path).lstrip("/")

    def write(self, path, text, mode=0o644):
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    # Looking

    def state(self, unit):
        """active, inactive, failed, ..."""
        return self.ask("systemctl", "is-active", unit)

    def show(self, unit, *names):
        """Properties of a unit; one alone as text."""
        values = dict(line.split("=", 1) for line in
                      self.ask("systemctl", "show", unit, *(f"-p{n}" for n in names)).splitlines())
        return values if len(names) != 1 else values[names[0]]

    def wait_for(self, unit, state="active"):
        wait_until(lambda: self.state(unit) == state, what=lambda: (
            f"{unit} {state}; it is {self.state(unit)}\n{self.system_journal()}"))

    def system_journal(self):
        return self.ask_quietly("journalctl", "--no-pager", "-b", "-n", "60", "-o", "short-precise")

    def ask_quietly(self, *command):
        done = subprocess.run(["nsenter", "-t", str(self._leader), "-a", "--", *command],
                              capture_output=True, text=True, timeout=BOOT)
        return done.stdout

    def console(self):
        return self._console.read_text(errors="replace")[-4000:] if self._console.exists() else ""


def reason_not_to_boot(folder):
    """Why no guest can run here; None where one can. `folder`: an empty one, for the attempt."""
    if os.getuid() != 0:
        return "only root can boot a guest"
    for program in ("systemd-nspawn", "nsenter", "mount"):
        if shutil.which(program) is None:
            return f"no {program} on this machine"
    root = os.environ.get("TELEMETRICS_SYSTEM_ROOT")
    if not root:
        return "TELEMETRICS_SYSTEM_ROOT names no Debian to boot (scripts/test-system makes one)"
    if not (pathlib.Path(root) / "usr/lib/systemd/systemd").exists():
        return f"there is no systemd in TELEMETRICS_SYSTEM_ROOT ({root})"
    # Nothing of ours is in it: that it does not boot is the machine's doing.
    try:
        guest = Guest(folder, [pathlib.Path(root).resolve()])
    except subprocess.CalledProcessError as error:
        subprocess.run(["umount", "-q", folder / "memory"], check=False)
        return f"no file system can be mounted here: {error}"
    try:
        guest.boot()
    except AssertionError as error:
        return f"a bare Debian cannot be booted here: {error}"
    finally:
        guest.close()
    return None
