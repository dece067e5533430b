"""telemctl on a machine that systemd seems to run: stand-ins for its tools remember which units are
active. (tests/system has the real one.) Only root can."""

import os
import shutil
import subprocess

from . import paths

SYSTEMCTL = """#!/bin/sh
cd '{folder}'
verb=$1
shift
while case ${{1:-}} in --) false ;; -*) true ;; *) false ;; esac; do shift; done
case ${{1:-}} in --) shift ;; esac
case $verb in
  list-unit-files) test ! -e uninstalled || exit 1; for unit; do echo "$unit disabled enabled"; done ;;
  start) for unit; do : >"active/$unit"; done ;;
  stop) for unit; do rm -f active/$unit; done ;;
  is-active) if test -e "active/$1"; then echo active; else echo inactive; exit 3; fi ;;
  is-enabled) test -e "enabled/$1" ;;
esac
"""

# What is mounted is seen by telemctl alone. Of /etc only what is ours is another.
PREPARATION = """
mount -t tmpfs none /run
mkdir -p /run/systemd/system
mount -t overlay -o lowerdir='{folder}/etc':/etc overlay /etc
{core_pattern}
exec "$0" "$@"
"""


class FakeSystemd:
    def __init__(self, folder, machine):
        self.machine = machine
        self.folder = folder / "systemd"
        for name in ("active", "enabled", "bin", "etc/telemetrics"):
            (self.folder / name).mkdir(parents=True)
        self._write("systemctl", SYSTEMCTL.format(folder=self.folder))
        self._write("systemd-tmpfiles", "#!/bin/sh\n")

    def _write(self, name, text):
        program = self.folder / "bin" / name
        program.write_text(text)
        program.chmod(0o755)

    def active(self):
        return {path.name for path in (self.folder / "active").iterdir()}

    def deactivate(self, unit):
        (self.folder / "active" / unit).unlink()

    def uninstall(self):
        (self.folder / "uninstalled").touch()

    def telemctl(self, *arguments, core_pattern=None):
        """With the settings of the machine where those of an installation are."""
        shutil.copy(self.machine.config, self.folder / "etc/telemetrics/telemetrics.conf")
        mount = ""
        if core_pattern is not None:
            file = self.folder / "core_pattern"
            file.write_text(core_pattern + "\n")
            mount = f"mount --bind '{file}' /proc/sys/kernel/core_pattern"
        script = PREPARATION.format(folder=self.folder, core_pattern=mount)
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        return subprocess.run(["unshare", "-m", "sh", "-ec", script, paths.TELEMCTL, *arguments],
                              capture_output=True, text=True,
                              env={**os.environ, "LC_ALL": "C", "PATH": path})
