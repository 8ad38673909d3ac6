"""The process that decides: `python -m steelyard.web.owner`.

Two of them run: the one that holds the shard's lock is its owner, the other stands by and takes the
shard over when the lock is free. The lock only keeps the standby quiet; what keeps an owner that is
over from writing is the epoch.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import socket
import sys
import threading
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import sqlalchemy as sa
import uvicorn
import uvloop

from steelyard.base import Database, read_settings
from steelyard.base.lifeline import stop_with_parent
from steelyard.base.telemetry import configure_logs, get_logger
from steelyard.decisions import deciding
from steelyard.decisions.http.owner_app import OwnerApp
from steelyard.web.platform import open_database

LOCK = 7_311_040
"""Key of the advisory lock of shard 0; shard n takes the key n above it."""
SNAPSHOT_FOLDS = 5_000
SNAPSHOT_EVERY = timedelta(minutes=10)
"""A snapshot is taken when so much was folded since the last one, and so much time has gone."""
ENTITIES_AT_THE_END = 50_000
_LOOK_SECONDS = 0.2
_CLOCK_SECONDS = 0.25


def main() -> None:
    """Stand by, then decide, until told to stop or taken over from."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop_with_parent(stop.set)
    settings = read_settings()
    configure_logs(settings)
    # What is folded stays: looking at all of it would stop every answer for a while. What is
    # thrown away young is looked at often, and so never for long.
    gc.set_threshold(2_000, 10, 1_000_000)
    # The thread that decides gets the interpreter back quickly from those that read beside it.
    sys.setswitchinterval(0.0005)
    with open_database(settings, pool_size=5) as database:
        url = database.url.replace("postgresql+psycopg://", "postgresql://")
        with psycopg.connect(url, autocommit=True) as holder:
            rules = deciding.StoredRules(database)
            follower = _waited(database, rules, holder, stop)
            if follower is not None:
                listening = socket.create_server((settings.host, 0))
                ticket = secrets.token_urlsafe(24)
                address = f"http://{settings.host}:{listening.getsockname()[1]}"
                place = deciding.Place(f"{socket.gethostname()}/{os.getpid()}", address, ticket)
                owner = deciding.Owner(database, rules.load(), place, follower=follower)
                _decide(Deciding(database, owner, rules, place), listening, stop, holder)


def _waited(
    database: Database,
    rules: deciding.StoredRules,
    holder: psycopg.Connection[tuple[object, ...]],
    stop: threading.Event,
) -> deciding.Follower | None:
    """Follow the owner until the lock is ours; None if told to stop before.

    Whoever follows also keeps the snapshots: the owner has better things to do.
    """
    follower = deciding.Follower(database, deciding.wanted_of(rules.present))
    saved_at = database.wall.now()
    while True:
        row = holder.execute("SELECT pg_try_advisory_lock(%s)", (LOCK,)).fetchone()
        if row == (True,):
            return follower
        try:
            if rules.have_changed() and deciding.wanted_of(rules.load()) != follower.state.names:
                follower = deciding.Follower(database, deciding.wanted_of(rules.present))
            follower.catch_up()
            if (
                follower.unsaved >= SNAPSHOT_FOLDS
                and database.wall.now() - saved_at >= SNAPSHOT_EVERY
            ):
                follower.save()
                saved_at = database.wall.now()
        except sa.exc.SQLAlchemyError as error:
            get_logger("decisions").warning("database_is_away", error=type(error).__name__)
        if stop.wait(_LOOK_SECONDS):
            if follower.unsaved >= SNAPSHOT_FOLDS and _is_small(follower.state):
                follower.save()
            return None


def _is_small(state: deciding.State) -> bool:
    """Return whether a snapshot takes less than who stops is given: a few seconds."""
    return state.stream.entities <= ENTITIES_AT_THE_END


@dataclass(frozen=True, slots=True)
class Deciding:
    """An owner with what it decides by, and where it is asked."""

    database: Database
    owner: deciding.Owner
    rules: deciding.StoredRules
    place: deciding.Place


def _decide(
    it: Deciding,
    listening: socket.socket,
    stop: threading.Event,
    holder: psycopg.Connection[tuple[object, ...]],
) -> None:
    clock = BusinessMilliseconds(it.database)
    app = OwnerApp(it.owner, ticket=it.place.ticket, now_ms=clock.now_ms, gone=stop.set)
    gc.collect()
    gc.freeze()
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_config=None, lifespan="off"
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_end, args=(server, stop, holder), daemon=True).start()
    get_logger("decisions").info("deciding", epoch=it.owner.epoch)

    async def serve() -> None:
        beside = [
            asyncio.create_task(
                deciding.tend(it.owner, it.rules, now_ms=clock.now_ms, gone=stop.set)
            ),
            asyncio.create_task(clock.keep()),
        ]
        try:
            await server.serve(sockets=[listening])
        finally:
            for task in beside:
                task.cancel()

    uvloop.run(serve())
    if it.owner.unsaved >= SNAPSHOT_FOLDS and _is_small(it.owner.engine.state):
        it.owner.save()
    it.owner.close()


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
    """The business instant, read now and then beside the loop: asking for it costs nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._now = database.now()

    def now_ms(self) -> int:
        """Return milliseconds since 1970, some quarter of a second old at most."""
        return int(self._now.timestamp() * 1_000)

    async def keep(self) -> None:
        """Read it again and again; a database that is away is waited for."""
        while True:
            await asyncio.sleep(_CLOCK_SECONDS)
            try:
                self._now = await asyncio.to_thread(self._database.now)
            except sa.exc.SQLAlchemyError as error:
                get_logger("decisions").warning("database_is_away", error=type(error).__name__)


if __name__ == "__main__":
    main()
