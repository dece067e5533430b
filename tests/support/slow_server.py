"""A server that takes the front of a request and then reads nothing more until it is told to."""

import socket
import threading

from .waiting import DEADLINE


class SlowServer:
    """One connection. `front` is what arrived before it stopped reading, `rest` what came after
    read_on(), and `was_reset` whether the connection ended without saying goodbye."""

    def __init__(self, front_size=1000):
        self._listener = socket.socket()
        # A small window: most of a large request stays with its sender.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(8)
        self.front = b""
        self.rest = b""
        self.was_reset = False
        self._front_size = front_size
        self._has_front = threading.Event()
        self._may_go_on = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/v2/collector"

    def wait_for_front(self):
        assert self._has_front.wait(DEADLINE), "nothing came"

    def read_on(self):
        """Reads to the end of the connection."""
        self._may_go_on.set()
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive(), "the connection is still open"

    def close(self):
        self._may_go_on.set()
        self._listener.close()

    def _serve(self):
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            while len(self.front) < self._front_size:
                self.front += connection.recv(self._front_size - len(self.front))
            self._has_front.set()
            self._may_go_on.wait()
            try:
                while data := connection.recv(65536):
                    self.rest += data
            except ConnectionResetError:
                self.was_reset = True
