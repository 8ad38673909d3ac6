"""The process that decides: `python -m steelyard.web.owner`.

Two of them run: the one that holds the shard's lock is its owner, the other stands by and takes the
shard over when the lock is free. The lock only keeps the standby quiet; what keeps an owner that is
over from writing is the epoch.
"""

from __future__ import annotations

import gc
import os
import secrets
import signal
import socket
import threading
from datetime import datetime

import psycopg
import uvicorn

from steelyard.base import Database, Settings, read_settings
from steelyard.base.lifeline import stop_with_parent
from steelyard.base.telemetry import configure_logs, get_logger
from steelyard.web.platform import open_database

LOCK = 7_311_040
"""Key of the advisory lock of shard 0; shard n takes the key n above it."""
_LOOK_SECONDS = 0.1
_CLOCK_SECONDS = 0.25


def main() -> None:
    """Stand by, then decide, until told to stop or taken over from."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop_with_parent(stop.set)
    settings = read_settings()
    configure_logs(settings)
    with open_database(settings, pool_size=3) as database:
        url = database.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True) as holder:
            if _waited(holder, stop):
                _decide(database, settings, stop, holder)


def _waited(holder: psycopg.Connection[tuple[object, ...]], stop: threading.Event) -> bool:
    """Return True once the lock is ours, False if told to stop before."""
    while True:
        row = holder.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row == (True,):
            return True
        if stop.wait(_LOOK_SECONDS):
            return False


def _decide(
    database: Database,
    settings: Settings,
    stop: threading.Event,
    holder: psycopg.Connection[tuple[object, ...]],
) -> None:
    from steelyard.decisions import Owner
    from steelyard.decisions.http.owner_app import OwnerApp
    from steelyard.decisions.scenes import delivered_policies

    listening = socket.create_server((settings.host, 0))
    ticket = secrets.token_urlsafe(24)
    owner = Owner(
        database,
        delivered_policies(),
        holder=f"{socket.gethostname()}/{os.getpid()}",
        address=f"http://{settings.host}:{listening.getsockname()[1]}",
        ticket=ticket,
    )
    clock = BusinessMilliseconds(database)
    app = OwnerApp(owner, ticket=ticket, now_ms=clock.now_ms, gone=stop.set)
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)  # what is folded stays; looking at it is most of the work
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end, args=(server, stop, holder), daemon=True).start()
    get_logger("decisions").info("deciding", epoch=owner.epoch)
    server.run(sockets=[listening])
    owner.close()


def _end(
    server: uvicorn.Server,
    stop: threading.Event,
    holder: psycopg.Connection[tuple[object, ...]],
) -> None:
    """Let the server end when told to, or when the lock went with its connection."""
    while not stop.wait(1.0):
        try:
            holder.execute("SELECT 1")
        except psycopg.Error:
            break
    server.should_exit = True


class BusinessMilliseconds:
    """The business instant, read now and then: asking it costs no round trip."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = 0.0
        self._now = self._read()

    def now_ms(self) -> int:
        """Return milliseconds since 1970, at most a quarter of a second old."""
        wall = self._database.wall.now().timestamp()
        if not self._read_at <= wall < self._read_at + _CLOCK_SECONDS:
            self._now = self._read()
        return int(self._now.timestamp() * 1_000)

    def _read(self) -> datetime:
        self._read_at = self._database.wall.now().timestamp()
        return self._database.now()


if __name__ == "__main__":
    main()
