"""A daemon for tests of those who send: it takes frames apart from nothing but their length, and
answers as it is told."""

import contextlib
import select
import socket
import struct
import threading
import time

from .waiting import DEADLINE


class FrameServer:
    """Listens at `path`. Each connection's frame is appended to `frames`, then it is answered with
    the next of `answers`, the last one from then on. An answer is a byte (an int), or "close", or
    "hang": wait until the peer gives up."""

    def __init__(self, path, answers=(0,)):
        self.frames = []
        self.times = []  # when each was there, of time.monotonic()
        self._answers = list(answers)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def of_process(self, pid):
        """Indices of the records about a crash of this process. Others crash, too, while the kernel
        calls a crashprobe of ours."""
        return [number for number, frame in enumerate(self.frames) if b"\nPID: %d\n" % pid in frame]

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
        self.times.append(time.monotonic())
        self.frames.append(data)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if answer == "hang":
            # That it says no more does not mean that it is gone.
            gone = select.poll()
            gone.register(connection, select.POLLHUP)
            gone.poll(DEADLINE * 1000)
        elif answer != "close":
            # Whoever was killed meanwhile reads no answer.
            with contextlib.suppress(BrokenPipeError):
                connection.send(bytes([answer]))
