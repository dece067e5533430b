"""A daemon for tests of those who send: it takes frames apart from nothing but their length, and
answers as it is told."""

import socket
import struct
import threading


class FrameServer:
    """Listens at `path`. Each connection's frame is appended to `frames`, then it is answered with
    the next of `answers`, the last one from then on. An answer is a byte (an int), or "close", or
    "hang": wait until the peer gives up."""

    def __init__(self, path, answers=(0,)):
        self.frames = []
        self._answers = list(answers)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._take(connection)

    def _take(self, connection):
        data = b""
        while len(data) < 4 or len(data) < 9 + struct.unpack_from("=I", data)[0]:
            more = connection.recv(65536)
            if not more:
                break
            data += more
        self.frames.append(data)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer == "hang":
            connection.recv(1)
        elif answer != "close":
            connection.send(bytes([answer]))
