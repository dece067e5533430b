"""An HTTP server that records what it gets, byte by byte, and misbehaves as told."""

import dataclasses
import socket
import struct
import threading
import time

from .waiting import wait_until


@dataclasses.dataclass(frozen=True)
class Request:
    raw: bytes
    connection: int  # which connection of the server it came on

    @property
    def head(self):
        return self.raw.split(b"\r\n\r\n", 1)[0]

    @property
    def body(self):
        return self.raw.split(b"\r\n\r\n", 1)[1]

    @property
    def request_line(self):
        return self.head.split(b"\r\n")[0].decode()

    @property
    def header_list(self):
        """(name, value) in the order in which they came."""
        pairs = (line.split(b": ", 1) for line in self.head.split(b"\r\n")[1:])
        return [(name.decode(), value.decode()) for name, value in pairs]

    @property
    def headers(self):
        return dict(self.header_list)


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int = 201
    body: bytes = b""
    headers: tuple = ()
    delay: float = 0.0  # seconds until it comes

    def encode(self):
        lines = [f"HTTP/1.1 {self.status} Words".encode()]
        lines += [f"{name}: {value}".encode() for name, value in self.headers]
        lines += [f"Content-Length: {len(self.body)}".encode(), b"", b""]
        return b"\r\n".join(lines) + self.body


@dataclasses.dataclass(frozen=True)
class Cut:
    """The front of an answer, and then the connection is closed, or reset."""

    part: bytes
    reset: bool = False


RESET = "reset"  # the connection is reset in place of an answer
CLOSE = "close"  # … or closed
GARBAGE = Cut(b"SSH-2.0-OpenSSH_9.2\r\n")  # … or answered in another protocol
DRIP = "drip"  # … or answered byte by byte, without an end
HANG = "hang"  # no answer before release() is called, then 201


class HttpSink:
    """Listens on a port of 127.0.0.1 that stays its own while it is stopped. `answer` is an Answer,
    a Cut, one of the words above, or a function that makes one of these from the request."""

    def __init__(self, answer=Answer(), start=True):
        self.answer = answer
        self.requests = []
        self.connections = 0
        self.hanging = 0
        self.cut = 0  # connections that the client closed while a request hung
        self._lock = threading.Lock()
        self._released = threading.Event()
        self._listener = None
        self._open = set()
        # Bound, never listening: nobody else gets the port, and clients are refused.
        self._holder = self._bind(0)
        self.port = self._holder.getsockname()[1]
        if start:
            self.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v2/collector"

    @staticmethod
    def _bind(port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def start(self):
        self._released.clear()
        self._listener = self._bind(self.port)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        """Gone: the port refuses, and open connections are closed."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.release()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        wait_until(lambda: not self._open, what="connections closed")

    def close(self):
        self.stop()
        self._holder.close()

    def release(self):
        self._released.set()

    def wait_for(self, count, timeout=30.0):
        """The first `count` requests, once they are there."""
        wait_until(lambda: len(self.requests) >= count, timeout,
                   lambda: f"{count} requests at the server; there are {len(self.requests)}")
        return self.requests[:count]

    def wait_for_event(self, event_id):
        """The first request that carries the record with this event id."""

        def find():
            return next((r for r in list(self.requests) if r.headers["event_id"] == event_id), None)

        return wait_until(find, what=f"{event_id} at the server")

    def event_ids(self):
        return [request.headers["event_id"] for request in list(self.requests)]

    def bodies(self):
        return [request.body for request in list(self.requests)]

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
                self.connections += 1
                number = self.connections
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection, number):
        try:
            buffered = b""
            while True:
                request, buffered = self._read(connection, buffered, number)
                if request is None or not self._reply(connection, request):
                    return
        except OSError:
            pass
        finally:
            connection.close()
            with self._lock:
                self._open.discard(connection)

    @staticmethod
    def _read(connection, buffered, number):
        def more():
            nonlocal buffered
            data = connection.recv(65536)
            buffered += data
            return bool(data)

        while b"\r\n\r\n" not in buffered:
            if not more():
                return None, b""
        end = buffered.index(b"\r\n\r\n") + 4
        length = 0
        for line in buffered[:end].split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        while len(buffered) < end + length:
            if not more():
                return None, b""
        return Request(buffered[: end + length], number), buffered[end + length :]

    def _reply(self, connection, request):
        """Whether the connection goes on."""
        with self._lock:
            self.requests.append(request)
        answer = self.answer(request) if callable(self.answer) else self.answer
        if isinstance(answer, Cut):
            connection.sendall(answer.part)
            if answer.reset:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if answer == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if answer == CLOSE:
            return False
        if answer == DRIP:
            self._drip(connection)
            return False
        if answer == HANG:
            if not self._hang(connection):
                return False
            answer = Answer()
        if answer.delay:
            time.sleep(answer.delay)
        connection.sendall(answer.encode())
        return True

    def _drip(self, connection):
        """Until the client has had enough."""
        connection.sendall(b"HTTP/1.1 ")
        connection.settimeout(0.3)
        while not self._released.is_set():
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                connection.sendall(b"1")

    def _hang(self, connection):
        with self._lock:
            self.hanging += 1
        connection.settimeout(0.02)
        try:
            while not self._released.is_set():
                try:
                    is_cut = not connection.recv(1, socket.MSG_PEEK)
                    time.sleep(0.02)
                except TimeoutError:
                    continue
                except ConnectionResetError:
                    is_cut = True
                if is_cut:
                    with self._lock:
                        self.cut += 1
                    return False
            return True
        finally:
            with self._lock:
                self.hanging -= 1
            connection.settimeout(None)
