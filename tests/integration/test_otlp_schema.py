"""OTLP output, field by field, against the schema that the OpenTelemetry project publishes."""

import gzip
import json
import pathlib
import shutil
import subprocess
import tempfile

import pytest

from support import paths
from support.frames import new_record_id, sample_headers
from support.http_sink import Answer

from test_deliver_by_hand import run, settings_line, stream_record

PACKAGE = "@opentelemetry/otlp-transformer@0.203.0"


@pytest.fixture(scope="module")
def schema():
    """A folder with the package that carries the schema, installed by npm once."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("no npm and node")
    name = PACKAGE.rsplit("/", 1)[1].replace("@", "-")
    cache = pathlib.Path.home() / ".cache" / "telemetrics-tests" / name
    if not (cache / "node_modules").is_dir():
        try:
            cache.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache.parent) as made:
                subprocess.run(["npm", "install", "--prefix", made, "--no-audit", "--no-fund",
                                "--ignore-scripts", PACKAGE],
                               check=True, capture_output=True, timeout=60)
                shutil.copytree(made, cache, symlinks=True, dirs_exist_ok=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"npm could not install {PACKAGE}: {error}")
    return cache


@pytest.mark.parametrize("payload", [b"hello\n", b"", "Größe \0 🐞".encode(), b"\xff\0\x80"])
def test_every_field_is_one_of_the_schema_and_has_its_type(sink, schema, payload):
    sink.answer = Answer(200, b"{}")
    records = b"".join(
        stream_record(new_record_id(), sample_headers(machine_id=machine, severity=severity), payload)
        for machine, severity in (("a" * 32, "1"), ("b" * 32, "4"), ("a" * 32, "2")))
    assert run(stdin=settings_line(sink.url, server_protocol="otlp") + records).returncode == 0
    [request] = sink.requests
    sent = json.loads(gzip.decompress(request.body))
    script = paths.REPO / "tests" / "support" / "otlp_schema.js"
    done = subprocess.run(["node", script, schema], input=json.dumps(sent).encode(),
                          capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == sent
    logs = [log for resource in sent["resourceLogs"] for scope in resource["scopeLogs"]
            for log in scope["logRecords"]]
    assert [log["severityNumber"] for log in logs] == [9, 13, 21]
    assert all("eventName" in log for log in logs)
