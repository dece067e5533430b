"""Reasons not to run a test here."""

import os

import pytest

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
