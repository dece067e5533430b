"""A machine of its own in one private folder, with telemd on it."""

import contextlib
import json
import os
import pathlib
import pwd
import resource
import signal
import socket
import struct
import subprocess

from . import paths
from .frames import frame, sample_headers
from .journal import check_states, last_states, read_journal
from .proc import children
from .service_manager import PerConnectionUnit
from .waiting import DEADLINE, wait_until


NOBODY = 65534


@contextlib.contextmanager
def effective_user(uid):
    """What is done within, such as connecting, is done as `uid`. Only root can."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def with_telemetry_user(folder):
    """The words before a command that give it a machine with the user telemetry, as an installation has
    it; here its number is NOBODY's. None where that cannot be made. Only root can."""
    users = folder / "passwd"
    users.write_text(pathlib.Path("/etc/passwd").read_text() +
                     f"telemetry:x:{NOBODY}:{NOBODY}:Telemetry:/:/bin/false\n")
    words = ["unshare", "--mount", "sh", "-c", f'mount --bind {users} /etc/passwd && exec "$@"', "sh"]
    known = subprocess.run([*words, "id", "-u", "telemetry"], capture_output=True, text=True)
    return words if known.stdout.strip() == str(NOBODY) else None


class Connection:
    """A plain client of the frame socket."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # Not by settimeout(): then connect() would fail at once while the backlog is full.
        limit = struct.pack("ll", int(DEADLINE), 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._socket.connect(str(path))
        self._socket.settimeout(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self._socket.sendall(data)

    def send_without_waiting(self, data):
        """How many of the bytes the socket took at once."""
        try:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    def finish_writing(self):
        self._socket.shutdown(socket.SHUT_WR)

    def read_statuses(self, count):
        """Up to `count` status bytes; fewer when the daemon closes the connection."""
        statuses = []
        while len(statuses) < count:
            try:
                data = self._socket.recv(count - len(statuses))
            except ConnectionResetError:
                break
            if not data:
                break
            statuses += data
        return statuses

    def read_status(self):
        """The next status byte; None when the daemon closed the connection instead."""
        return next(iter(self.read_statuses(1)), None)

    def is_closed_by_daemon(self, timeout=DEADLINE):
        self._socket.settimeout(timeout)
        try:
            return self._socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False

    def close(self):
        self._socket.close()


class Machine:
    def __init__(self, root, **settings):
        self.root = pathlib.Path(root)
        self.config = self.root / "telemetrics.conf"
        self.config_dir = self.root / "etc"
        self.spool = self.root / "spool"
        self.state = self.root / "state"
        self.log = self.root / "log"
        self.cache = self.root / "cache"
        self.socket = self.root / "run" / "telem-0"
        self.control = self.root / "run" / "control"
        self.journal_file = self.log / "journal"
        self.rejected_dir = self.state / "rejected"
        self.errors = self.root / "telemd.stderr"
        self.process = None
        self.deliver_unit = None
        self.was_killed = False
        self.has_torn_lines = False  # whether the journal may have some; else one is a fault
        self._folders = [self.config_dir, self.spool, self.state, self.log, self.cache,
                         self.socket.parent]
        self.root.chmod(0o755)
        for folder in self._folders:
            folder.mkdir()
            self.give(folder)
        self.settings = {
            "socket_path": self.socket, "control_path": self.control, "spool_dir": self.spool,
            "config_dir": self.config_dir, "state_dir": self.state, "log_dir": self.log,
            "cache_dir": self.cache,
        }
        self.configure(**settings)

    @staticmethod
    def give(path):
        """To the user that telemd becomes when root starts it."""
        if os.getuid() == 0:
            try:
                user = pwd.getpwnam("telemetry")
            except KeyError:
                return
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def configure(self, **settings):
        """Changes keys of the configuration file; None takes a key out."""
        self.settings.update(settings)
        lines = ["[settings]"]
        for key, value in self.settings.items():
            if isinstance(value, bool):
                value = str(value).lower()
            if value is not None:
                lines.append(f"{key} = {str(value).replace(' ', chr(92) + 's')}")
        self.config.write_text("\n".join(lines) + "\n")

    # telemd

    def launch(self, *arguments, wrapper=(), descriptors=None, user=None, passed=(), **environment):
        """Starts telemd and does not wait for it to serve. `passed`: descriptors of sockets, as a
        service manager passes them; `environment`: variables to add."""

        def prepare():
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))
            os.environ.update(environment)
            if passed:
                os.environ.update(LISTEN_FDS=str(len(passed)), LISTEN_PID=str(os.getpid()))
            aside = [os.dup(descriptor) for descriptor in passed]
            for number, descriptor in enumerate(aside):
                os.dup2(descriptor, 3 + number)

        group = pwd.getpwnam(user).pw_gid if user else None
        program = paths.telemd_for_everybody() if user else paths.TELEMD
        log = open(self.errors, "ab")
        self.process = subprocess.Popen(
            [*wrapper, program, *(arguments or ("-f", self.config))],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, user=user, group=group,
            extra_groups=[] if user else None, close_fds=False,
            preexec_fn=prepare if descriptors or passed or environment else None,
        )
        log.close()
        return self.process

    def start(self, **how):
        """Starts telemd and returns when it serves."""
        self.launch(**how)
        wait_until(self._is_serving, what=lambda: f"telemd serving; it said: {self.said()}")
        return self

    def _is_serving(self):
        code = self.process.poll()
        assert code is None, f"telemd ended with {code}: {self.said()}"
        try:
            return self.status()["pid"] == self.process.pid
        except (ConnectionError, FileNotFoundError, json.JSONDecodeError):
            return False

    def is_alive(self):
        return self.process is not None and self.process.poll() is None

    def send_signal(self, which):
        self.process.send_signal(which)

    def stop(self, which=signal.SIGTERM, timeout=DEADLINE):
        """Ends telemd in order; returns its exit code."""
        self.send_signal(which)
        return self.wait_for_end(timeout)

    def wait_for_end(self, timeout=DEADLINE):
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"telemd still there after {timeout} s") from None
        return code

    def kill(self):
        self.was_killed = True
        self.process.kill()
        self.process.wait()

    def reload(self):
        self.send_signal(signal.SIGHUP)

    def give_telem_deliver_a_socket(self, **environment):
        """As telem-deliver.socket does: telemd connects, and another user sends. Only root can have
        another user. `environment`: variables to add to telem-deliver's."""
        is_root = os.getuid() == 0
        self.deliver_unit = PerConnectionUnit(
            self.socket.parent / "deliver",
            paths.program_for_everybody(paths.TELEM_DELIVER) if is_root else paths.TELEM_DELIVER,
            self.errors, NOBODY if is_root else None, **environment)

    def deliverers(self):
        """Pids of telem-deliver."""
        if self.deliver_unit:
            return self.deliver_unit.pids()
        return children(self.process.pid)

    def said(self):
        """What telemd wrote to its standard error so far."""
        return self.errors.read_text(errors="replace") if self.errors.exists() else ""

    # Looking

    def ask(self, line):
        """What the control socket answers to one line."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as control:
            control.settimeout(DEADLINE)
            control.connect(str(self.control))
            control.sendall(line)
            answer = b""
            while data := control.recv(65536):
                answer += data
        return json.loads(answer)

    def status(self):
        return self.ask(b'{"command": "status"}\n')

    def wait_for(self, timeout=DEADLINE, **fields):
        """The status, once these fields of it have these values."""
        seen = {}

        def holds():
            seen.update(self.status())
            return all(seen[name] == value for name, value in fields.items())

        wait_until(holds, timeout, lambda: f"{fields}; status {seen}; said {self.said()}")
        return seen

    def check_sums(self):
        """What came in is somewhere, at every moment."""
        s = self.status()
        came = s["found"] + s["accepted"]
        went = sum(s[name] for name in
                   ("delivered", "waiting", "rejected", "evicted", "expired", "local"))
        assert came == went, s

    def check_books(self):
        """The sums are right, and the status, the journal and the folders tell the same of each
        record. Waits for a moment in which nothing changes between two looks."""
        self.check_sums()

        def look():
            counts = self._counts()
            lines = read_journal(self.journal_file, has_torn_lines=True)
            try:
                books = counts, lines, self.spool_files(), self._spool_blocks()
            except FileNotFoundError:  # delivered since its folder was listed
                return None
            return books if self._counts() == counts else None

        counts, lines, waiting, blocks = wait_until(look, what="telemd at rest")
        self.check_sums()
        told = (counts, [path.name for path in waiting])
        assert (counts["waiting"], counts["spool_bytes"]) == (len(waiting), blocks), told
        check_states(lines, {path.name.split("-")[0] for path in waiting}, self.was_killed)

    def _counts(self):
        status = self.status()
        return {name: value for name, value in status.items() if isinstance(value, int)}

    def _spool_blocks(self):
        return sum(-(-path.lstat().st_size // 4096) * 4096 for path in self.spool_files())

    def journal(self):
        return read_journal(self.journal_file, self.has_torn_lines)

    def states(self):
        """The last state of each record in the journal, by event id."""
        newest = last_states(self.journal()).values()
        return {line.event_id: line.state for line in newest}

    def wait_for_state(self, event_id, state):
        """The journal line that says so."""

        def find():
            for line in last_states(self.journal()).values():
                if line.event_id == event_id and line.state == state:
                    return line
            return None

        return wait_until(find, what=lambda: f"{event_id} {state}; journal {self.states()}")

    def spool_files(self):
        return sorted(path for path in self.spool.iterdir() if not path.name.startswith("."))

    def rejected_files(self):
        return sorted(self.rejected_dir.iterdir()) if self.rejected_dir.exists() else []

    # Doing

    def connect(self, uid=None):
        """A connection; of another user where root says so."""
        if uid is None:
            return Connection(self.socket)
        with effective_user(uid):
            return Connection(self.socket)

    def send(self, payload=b"hello\n", **headers):
        """One frame on a connection of its own; its status byte."""
        return self.send_frame(frame(sample_headers(**headers), payload))

    def send_frame(self, data, uid=None):
        with self.connect(uid) as connection:
            connection.send(data)
            return connection.read_status()

    def put_into_spool(self, name, data, age=0):
        """A file as if it lay there from earlier; `age` in seconds."""
        path = self.spool / name
        path.write_bytes(data)
        path.chmod(0o600)
        self.give(path)
        when = path.stat().st_mtime - age
        os.utime(path, (when, when))
        return path

    def opt_out(self):
        (self.config_dir / "opt-out").touch()

    def opt_in(self):
        (self.config_dir / "opt-out").unlink()

    def close(self):
        if self.is_alive():
            self.kill()
        if self.deliver_unit:
            self.deliver_unit.close()
