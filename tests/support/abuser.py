"""One of the noisy processes of test_abuse.py, run as another user. Needs nothing but Python, since
that user may not be able to read this tree: it comes on standard input.

    python3 - SOCKET idle COUNT      opens COUNT connections, and says nothing on any
    python3 - SOCKET drip COUNT      COUNT connections that write one byte of a frame each 100 ms,
                                     anew when telemd closes them
    python3 - SOCKET flood FRAMES    writes the bytes of the file FRAMES over and over, as fast as
                                     telemd reads, and reads the status bytes

Writes "ready" when it is at it, and ends by a signal.
"""

import select
import signal
import socket
import sys
import time


def connect(path):
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(path)
    return connection


def ready():
    print("ready", flush=True)


def idle(path, count):
    held = [connect(path) for _ in range(int(count))]
    ready()
    signal.pause()
    del held


def drip(path, count):
    # The front of a frame of 1,000 bytes, of which 900 are headers.
    data = (1000).to_bytes(4, sys.byteorder) + (900).to_bytes(4, sys.byteorder) + b"x" * 900
    writers = [[connect(path), 0] for _ in range(int(count))]
    ready()
    while True:
        for writer in writers:
            connection, at = writer
            try:
                connection.sendall(data[at : at + 1])
                writer[1] += 1
            except (BrokenPipeError, ConnectionResetError):
                connection.close()
                writer[:] = [connect(path), 0]
        time.sleep(0.1)


def flood(path, frames):
    with open(frames, "rb") as file:
        data = file.read()
    connection = connect(path)
    connection.setblocking(False)
    ready()
    at = 0
    while True:
        readable, writable, _ = select.select([connection], [connection], [])
        if readable and not connection.recv(65536):
            raise SystemExit("telemd closed the connection")
        if writable:
            at += connection.send(data[at:])
            at %= len(data)


if __name__ == "__main__":
    {"idle": idle, "drip": drip, "flood": flood}[sys.argv[2]](sys.argv[1], sys.argv[3])
