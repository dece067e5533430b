"""What systemd does for a service, as far as a test can do it: listens in its place, hears it."""

import os
import socket

from .waiting import wait_until


def listen(path, kind=socket.SOCK_STREAM):
    """A socket as a .socket unit makes it."""
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(str(path))
    os.chmod(path, 0o666)
    sock.listen(128)
    return sock


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
