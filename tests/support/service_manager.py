"""What systemd does for a service, as far as a test can do it: listens in its place, hears it."""

import os
import socket
import subprocess
import threading

from .waiting import wait_until


def listen(path, kind=socket.SOCK_STREAM):
    """A socket as a .socket unit makes it."""
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    os.chmod(path, 0o666)
    sock.listen(128)
    return sock


class PerConnectionUnit:
    """A socket unit with Accept=yes whose service has StandardInput=socket: each connection gets a
    process of its own. `environment`: variables to add."""

    def __init__(self, path, program, log, user=None, **environment):
        self._program = program
        self._log = log
        self._user = user
        self._environment = {**os.environ, **environment}
        self._socket = listen(path)
        self._children = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, open(self._log, "ab") as log:
                self._children.append(subprocess.Popen(
                    [self._program], stdin=connection, stdout=connection, stderr=log,
                    env=self._environment, user=self._user, group=self._user, extra_groups=[] if self._user else None))

    def started(self):
        """How many processes there were so far."""
        return len(self._children)

    def pids(self):
        """Of those that live."""
        return [child.pid for child in self._children if child.poll() is None]

    def stop_listening(self):
        """The socket stays in the file system, as systemd leaves it."""
        # close() alone would not wake accept().
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def close(self):
        if self._socket.fileno() >= 0:
            self.stop_listening()
        for child in self._children:
            child.kill()
            child.wait()


class NotifySocket:
    """Hears what a service tells by sd_notify(3). `name`: a path, or `@` and an abstract name."""

    def __init__(self, name):
        self.name = str(name)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.name[1:] if self.name.startswith("@") else self.name)
        self._socket.setblocking(False)
        self.heard = []

    def listen(self):
        """All assignments so far, in their order."""
        try:
            while True:
                self.heard += self._socket.recv(4096).decode().split("\n")
        except BlockingIOError:
            return self.heard

    def wait_for(self, assignment, count=1):
        wait_until(lambda: self.listen().count(assignment) >= count,
                   what=lambda: f"{assignment} {count} times; heard {self.heard}")

    def status(self):
        """The latest sentence."""
        sentences = [line for line in self.listen() if line.startswith("STATUS=")]
        return sentences[-1].removeprefix("STATUS=") if sentences else None

    def close(self):
        self._socket.close()
