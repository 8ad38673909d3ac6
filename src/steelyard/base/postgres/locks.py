"""File locks (flock): the kernel drops them when the last holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def open_lock(path: Path) -> Iterator[int]:
    """Open a lock file, made where it is missing; closing it drops a lock taken on it.

    A child that inherits the descriptor holds the lock too, until it closes it or dies.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def wait_for_lock(descriptor: int) -> None:
    """Take the lock for ourselves alone; wait while another holds it."""
    fcntl.flock(descriptor, fcntl.LOCK_EX)


def try_lock(descriptor: int) -> bool:
    """Take the lock for ourselves alone if nobody else holds it; say whether we have it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def share_lock(descriptor: int) -> None:
    """Take the lock together with others; wait while somebody holds it alone."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def drop_lock(descriptor: int) -> None:
    """Let go of the lock, in forked children that inherited the descriptor too."""
    fcntl.flock(descriptor, fcntl.LOCK_UN)
