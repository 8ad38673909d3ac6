"""Asking the owner from an event loop: connections that are kept, and nothing that blocks.

A client of its own, because the decision endpoint is the one route whose rate is bound by the CPU
of the client it forwards with: a question and its answer cost 20 us here and 780 us over httpx,
the answering stub included. The bytes are parsed by httptools.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast

import httptools

from steelyard.base import Database
from steelyard.decisions.service.client import PATIENCE_SECONDS, Told
from steelyard.decisions.service.log import OwnerIsAway
from steelyard.decisions.store.log import Whereabouts, find_owner

_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 5.0
# Another process listens there now; the owner is over, or rebuilding.
_ASK_AGAIN = frozenset({401, 503})


class OwnerLine:
    """Asks the owner of a shard; belongs to the event loop in which it is used first.

    An owner that does not answer is looked up again until the patience is over: the same question
    asked twice is decided once, so asking again is safe.

    Parameters
    ----------
    database : tells where the owner answers; read in a thread
    patience_s : how long it waits for a standby to take over
    """

    def __init__(
        self, database: Database, *, shard: int = 0, patience_s: float = PATIENCE_SECONDS
    ) -> None:
        self._database = database
        self._shard = shard
        self._tries = max(1, int(patience_s / _PAUSE_SECONDS))
        self._known: Whereabouts | None = None
        self._looking: asyncio.Task[Whereabouts | None] | None = None
        self._idle: deque[_Connection] = deque()

    async def ask(self, scene: str, body: bytes) -> Told:
        """Return what the owner says to a question.

        Parameters
        ----------
        scene : letters and underlines

        Refusals
        --------
        owner_is_away
        """
        for attempt in range(self._tries):
            owner = self._known or await self._look_up()
            if owner is not None:
                try:
                    async with asyncio.timeout(_TIMEOUT_SECONDS):
                        told = await self._post(owner, scene, body)
                except (OSError, httptools.HttpParserError):  # TimeoutError is an OSError
                    told = None
                if told is not None and told.status not in _ASK_AGAIN:
                    return told
                self._forget(owner)
            if attempt < self._tries - 1:
                await asyncio.sleep(_PAUSE_SECONDS)
        raise OwnerIsAway

    def close(self) -> None:
        """Close the connections that wait for the next question."""
        while self._idle:
            self._idle.pop().close()

    async def _post(self, owner: Whereabouts, scene: str, body: bytes) -> Told:
        """Ask over a kept connection, or over a new one where none is free."""
        connection = self._free(owner) or await _connect(owner)
        head = (
            f"POST /v1/decisions/{scene} HTTP/1.1\r\nhost: owner\r\n"
            f"x-steelyard-ticket: {owner.ticket}\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        try:
            told = await connection.send(head.encode() + body)
        except BaseException:
            connection.close()
            raise
        if connection.is_open:
            self._idle.append(connection)
        return told

    def _free(self, owner: Whereabouts) -> _Connection | None:
        """Return the connection used last: those used least are closed by the owner's patience."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open and connection.owner == owner:
                return connection
            connection.close()
        return None

    def _forget(self, owner: Whereabouts) -> None:
        """Look the owner up again before the next question, unless somebody has already."""
        if self._known == owner:
            self._known = None

    async def _look_up(self) -> Whereabouts | None:
        """Read where the owner answers; those who want to know at the same time read it once."""
        if self._looking is None:
            self._looking = asyncio.create_task(asyncio.to_thread(self._read))
        looking = self._looking
        try:
            self._known = await asyncio.shield(looking)
        finally:
            if self._looking is looking and looking.done():
                self._looking = None
        return self._known

    def _read(self) -> Whereabouts | None:
        with self._database.reading() as connection:
            return find_owner(connection, self._shard)


async def _connect(owner: Whereabouts) -> _Connection:
    host, _, port = owner.address.removeprefix("http://").rpartition(":")
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(lambda: _Connection(owner), host, int(port))
    return made


class _Connection(asyncio.Protocol):
    """One connection: a question at a time, in HTTP/1.1."""

    def __init__(self, owner: Whereabouts) -> None:
        self.owner = owner
        self.is_open = False
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Told] | None = None
        self._parts: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    async def send(self, request: bytes) -> Told:
        """Send a request and return its answer.

        Raises
        ------
        ConnectionError, HttpParserError
        """
        if not self.is_open:
            raise ConnectionResetError
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who waits that no answer comes."""
        self.is_open = False
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError())

    def data_received(self, data: bytes) -> None:
        """Read on in the answer."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(error)
            self.close()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body (called by the parser)."""
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """Give the whole answer to who waits (called by the parser)."""
        body = b"".join(self._parts)
        self._parts.clear()
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Told(self._parser.get_status_code(), body))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
