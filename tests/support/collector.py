"""The real telem-collector, on a free port and a store of its own."""

import json
import select
import signal
import subprocess
import urllib.parse
import urllib.request

from . import paths


class Collector:
    def __init__(self, folder):
        self.store = folder / "collector.db"
        self._log_path = folder / "collector.log"
        self.port = 0
        self._process = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v2/collector"

    def start(self):
        """Returns when it listens; on the same port each time."""
        log = open(self._log_path, "ab")
        self._process = subprocess.Popen(
            [paths.TELEM_COLLECTOR, "--listen", f"127.0.0.1:{self.port}",
             "--store", f"sqlite:{self.store}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
        )
        log.close()
        ready, _, _ = select.select([self._process.stdout], [], [], 20)
        line = self._process.stdout.readline().decode() if ready else ""
        assert line.startswith("telem-collector: listening on http://127.0.0.1:"), (
            line + self._log_path.read_text()
        )
        self.port = int(line.rstrip().rstrip("/").rsplit(":", 1)[1])

    def stop(self, how=signal.SIGTERM):
        if self._process is None:
            return
        self._process.send_signal(how)
        code = self._process.wait(timeout=20)
        self._process.stdout.close()
        self._process = None
        if how == signal.SIGTERM:
            assert code == 0, self._log_path.read_text()

    def records(self, **parameters):
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.port}/api/records?{query}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["records"]
