"""Waiting for conditions instead of for time."""

import time

# Long enough for a loaded machine with a sanitizer build; no test that passes waits for it.
DEADLINE = 20.0


def wait_until(condition, timeout=DEADLINE, what=None):
    """Polls until `condition()` is true and returns its value; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            shown = what() if callable(what) else what
            raise AssertionError(f"not within {timeout} s: {shown or condition}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def stays(condition, seconds):
    """Whether `condition()` is true now and at every look during the next `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            return False
        time.sleep(0.02)
    return bool(condition())
