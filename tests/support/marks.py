"""Reasons not to run a test here."""

import os
import shutil

import pytest

from . import faults, paths, wrong_clock

# What holds for a telem-deliver that is telemd's child holds for one behind a socket.
both_ways = pytest.mark.parametrize("make_machine", ["child", "socket"], indirect=True)

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")

needs_fault_injector = pytest.mark.skipif(
    not faults.INJECTOR.exists(), reason=f"no {faults.INJECTOR.name} in this build")

needs_clock_shift = pytest.mark.skipif(
    paths.is_sanitized() or not wrong_clock.SHIFT.exists(),
    reason="a sanitizer wants to stand between telemd and libc itself"
    if paths.is_sanitized() else f"no {wrong_clock.SHIFT.name} in this build")

needs_strace = pytest.mark.skipif(
    paths.is_sanitized() or shutil.which("strace") is None,
    reason="a sanitizer makes system calls of its own, and cannot look for leaks under strace"
    if paths.is_sanitized() else "no strace here")
