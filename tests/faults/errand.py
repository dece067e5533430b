"""What telemd is put through while faults happen: records go in, a server takes some, refuses some,
and fails some at first."""

import collections
import contextlib
import signal
import threading
import time

from support.frames import TAKEN_OVER, new_event_id
from support.http_sink import Answer, HttpSink, RESET
from support.journal import last_states, read_journal
from support.machine import Machine
from support.waiting import wait_until

PLANNED_ENDS = (-signal.SIGKILL, -signal.SIGABRT)
REFUSAL = b"this classification is not known here"


class Server:
    """By a record's number: the fourth of each ten is refused for good, the sixth fails at first, the
    eighth has its first answer cut off; all else is taken."""

    def __init__(self):
        self.sink = HttpSink(self._answer)
        self.taken = collections.Counter()  # how often each event id was answered 201
        self._asked = collections.Counter()
        self._lock = threading.Lock()
        self._numbers = {}

    def expect(self, numbers):
        """Event ids and their numbers."""
        self._numbers = numbers

    def _answer(self, request):
        event_id = request.headers["event_id"]
        kind = self._numbers.get(event_id, 0) % 10
        with self._lock:
            self._asked[event_id] += 1
            is_first = self._asked[event_id] == 1
            if kind == 3:
                return Answer(400, REFUSAL)
            if kind == 5 and is_first:
                return Answer(503)
            if kind == 7 and is_first:
                return RESET
            self.taken[event_id] += 1
            return Answer(201)

    def close(self):
        self.sink.close()


class Errand:
    """`count` records through a telemd of its own in `folder`, with `plan` in its way."""

    def __init__(self, folder, plan, count, **settings):
        self.server = Server()
        self.plan = plan
        folder.mkdir()
        self.machine = Machine(
            folder, server=self.server.sink.url, rate_limit_enabled=False, journal_max_records=50,
            record_retention_enabled=True, retention_max_records=10, **settings)
        self.event_ids = [new_event_id() for _ in range(count)]
        self.server.expect({event_id: number for number, event_id in enumerate(self.event_ids)})
        self.taken_over = []  # event ids that were answered 0
        self.other_statuses = collections.Counter()
        self.unwanted_ends = []  # exit codes
        self.seconds_to_accept = []  # of each restart

    # Each step is repeated with a new telemd when the old one dies of the plan.

    def start(self):
        self.machine.launch(wrapper=self.plan.wrapper())

    @property
    def restarts(self):
        return len(self.unwanted_ends)

    def revive(self):
        """Another telemd, without faults, if this one is dead. Returns whether it was."""
        if self.machine.process.poll() is None:
            return False
        self.unwanted_ends.append(self.machine.process.returncode)
        self.plan.off()
        started = time.monotonic()
        self.start()
        status = None
        while status != TAKEN_OVER:
            status = self._send(new_event_id(), b"after the restart\n")
            assert self.machine.is_alive(), self.machine.said()
            assert time.monotonic() - started < 20, self.machine.said()
        self.seconds_to_accept.append(time.monotonic() - started)
        return True

    def send_all(self):
        for number, event_id in enumerate(self.event_ids):
            payload = b"x" * (9000 if number % 7 == 0 else 100)
            status = self._send(event_id, payload)
            if status == TAKEN_OVER:
                self.taken_over.append(event_id)
            else:
                self.other_statuses[status] += 1
            if status is None:
                self.wait_until_decided()
                self.revive()

    def _send(self, event_id, payload):
        """The status byte; None when there was no answer."""
        try:
            return self.machine.send(payload, event_id=event_id)
        except (ConnectionError, FileNotFoundError):
            return None

    def wait_until_decided(self):
        """telemd serves, or has ended: a connection may end before it, and it may not serve yet."""
        wait_until(lambda: not self.machine.is_alive() or self.is_serving(),
                   what="telemd serving, or at its end")

    def is_serving(self):
        with contextlib.suppress(OSError, ValueError):
            return self.machine.status()["pid"] == self.machine.process.pid
        return False

    def drain(self):
        """Until nothing waits any more. SIGHUP means: try at once."""
        def is_empty():
            self.revive()
            if not self.is_serving():
                return False
            self.machine.reload()
            with contextlib.suppress(OSError, ValueError):
                return self.machine.status()["waiting"] == 0 and not self.machine.spool_files()
            return False
        wait_until(is_empty, 60, lambda: f"an empty spool; telemd said {self.machine.said()}")

    def drain_and_check(self):
        """A kill may also come while telemd is at rest, as its syncing thread writes on."""
        self.drain()
        with contextlib.suppress(OSError, ValueError):
            self.check()
            return
        assert self.machine.wait_for_end() in PLANNED_ENDS, self.machine.said()
        self.drain()
        self.check()

    def check(self):
        """Nothing that was answered 0 is lost, and the books are right."""
        refused = {path.read_bytes().split(b"event_id: ")[1][:32].decode()
                   for path in self.machine.rejected_files()}
        lost = [event_id for event_id in self.taken_over
                if event_id not in self.server.taken and event_id not in refused]
        assert not lost, f"{len(lost)} lost: {lost}; telemd said {self.machine.said()}"
        expected = {event_id for number, event_id in enumerate(self.event_ids) if number % 10 == 3}
        assert refused <= expected
        self.machine.check_sums()
        assert self.machine.spool_files() == []
        for line in last_states(read_journal(self.machine.journal_file, has_torn_lines=True)).values():
            assert line.state != "spooled", line

    def end(self):
        """telemd ends in order; a kill on the way there is a kill like any other."""
        code = self.machine.stop()
        if code in PLANNED_ENDS and self.revive():
            self.drain_and_check()
            code = self.machine.stop()
        assert code == 0, self.machine.said()

    def close(self):
        self.machine.close()
        self.server.close()
