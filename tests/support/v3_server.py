"""A server for records in JSON, strict about what docs/formats.md says of protocol v3: an HTTP server
of its own (http.server), so that nothing of ours judges what ours sends."""

import http.server
import json
import re
import threading

from .frames import HEADER_NAMES
from .waiting import wait_until

PATH = "/v3/collector"
TID = "6907c830-eed9-4ce9-81ae-76daf8d88f0f"

RULES = {
    "record_format_version": r"4",
    "classification": r"[!-~]{1,40}/[!-~]{1,40}/[!-~]{1,40}",
    "severity": r"[1-4]",
    "machine_id": r"[0-9a-f]{32}",
    "creation_timestamp": r"\d{1,10}",
    "payload_format_version": r"\d+",
    "event_id": r"[0-9a-f]{32}",
}


def fault(path, headers, body):
    """What is wrong with a request, in words; nothing when it is as it must be."""
    if path != PATH:
        return f"path {path}"
    if headers.get_content_type() != "application/json":
        return f"content type {headers.get('Content-Type')}"
    if headers.get("X-Telemetry-TID") != TID:
        return "no X-Telemetry-TID"
    if set(headers.keys()) & set(HEADER_NAMES):
        return "headers of the record as HTTP headers"
    try:
        pairs = json.loads(body, object_pairs_hook=list)
    except ValueError as error:  # no JSON, or no UTF-8
        return str(error)
    if not isinstance(pairs, list) or [name for name, _ in pairs] != [*HEADER_NAMES, "payload"]:
        return f"members {pairs}"
    for name, value in pairs:
        if not isinstance(value, str):
            return f"{name} is no string"
        if name != "payload" and not re.fullmatch(RULES.get(name, r"[ -~]{0,249}"), value):
            return f"{name} is '{value}'"
    return None


class V3Server:
    """Keeps the records that are right, as dictionaries; others get 400 and the reason."""

    def __init__(self):
        self.records = []
        self.faults = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                wrong = fault(self.path, self.headers, body)
                if wrong:
                    outer.faults.append(wrong)
                else:
                    outer.records.append(json.loads(body))
                answer = json.dumps({"message": wrong or "stored"}).encode()
                self.send_response(400 if wrong else 201)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}{PATH}"

    def find(self, event_id):
        """The record with this event id, once it is there."""
        return wait_until(
            lambda: next((r for r in list(self.records) if r["event_id"] == event_id), None),
            what=lambda: f"{event_id}; refused: {self.faults}")

    def close(self):
        self._server.shutdown()
        self._server.server_close()
