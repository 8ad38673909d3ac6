"""Waiting for what other threads and processes do."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event

PATIENCE = 20.0
_never = Event()


def until(condition: Callable[[], bool], what: str) -> None:
    """Look until the condition holds; fail after `PATIENCE` seconds."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for: {what}"
        _never.wait(0.01)
