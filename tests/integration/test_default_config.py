"""packaging/defaults/telemetrics.conf says what the programs do."""

import json
import re
import subprocess

from support import paths

DEFAULTS = paths.REPO / "packaging" / "defaults" / "telemetrics.conf"
KEY_LINE = re.compile(r"^#(\w+) = ?(.*)$", re.MULTILINE)


def settings_in_force(config):
    """What `telemctl config` makes of a file: {key: value}, and its warnings and errors."""
    run = subprocess.run(
        [paths.TELEMCTL, "config", "--json", "--config-file", config], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    entries = [json.loads(line) for line in run.stdout.splitlines()]
    return {entry["key"]: entry["value"] for entry in entries}, run.stderr


def test_names_every_key_with_the_default_that_is_built_in(folder):
    config = folder / "telemetrics.conf"
    config.write_text("[settings]\n")
    built_in, _ = settings_in_force(config)
    documented = dict(KEY_LINE.findall(DEFAULTS.read_text()))
    assert documented == built_in


def test_loads_without_a_warning_as_it_is_and_with_every_key_in_force(folder):
    config = folder / "telemetrics.conf"
    text = DEFAULTS.read_text()
    for content in (text, KEY_LINE.sub(r"\1 = \2", text)):
        config.write_text(content)
        _, said = settings_in_force(config)
        assert said == ""


def test_names_no_server():
    assert dict(KEY_LINE.findall(DEFAULTS.read_text()))["server"] == ""
