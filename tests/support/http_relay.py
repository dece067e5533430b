"""A relay in front of an HTTP server that counts the answers that pass, by status."""

import collections
import re
import select
import socket
import threading


class HttpRelay:
    """Listens on a port of 127.0.0.1. Once it is stopped, the port refuses like the server's."""

    def __init__(self, port_of_server):
        """`port_of_server` is asked at each connection."""
        self.answers = collections.Counter()
        self._port_of_server = port_of_server
        self._lock = threading.Lock()
        self._listener = None
        # Bound, never listening: nobody else gets the port while this one is stopped.
        self._holder = self._bind(0)
        self.port = self._holder.getsockname()[1]

    @staticmethod
    def _bind(port):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        return sock

    def start(self):
        self._listener = self._bind(self.port)
        self._listener.listen(64)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def stop(self):
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def close(self):
        self.stop()
        self._holder.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client):
        """Until either side is at its end."""
        status_line = re.compile(rb"HTTP/1\.1 (\d{3}) ")
        try:
            with client, socket.create_connection(("127.0.0.1", self._port_of_server())) as server:
                tail = b""  # a status line may come in two pieces
                while True:
                    ready, _, _ = select.select([client, server], [], [])
                    if client in ready:
                        data = client.recv(65536)
                        if not data:
                            return
                        server.sendall(data)
                    if server in ready:
                        data = server.recv(65536)
                        if not data:
                            return
                        # Counted before it is passed on: it may find nobody any more.
                        seen = tail + data
                        with self._lock:
                            for found in status_line.finditer(seen):
                                if found.end() > len(tail):
                                    self.answers[int(found[1])] += 1
                        tail = seen[-12:]
                        client.sendall(data)
        except OSError:
            pass
