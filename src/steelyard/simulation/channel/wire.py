"""A request and an answer on the wire, and what each dialect has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Protocol

from steelyard.simulation.channel.desk import Asked, Row, Told
from steelyard.simulation.channel.store import Payment, Refund


@dataclass(frozen=True, slots=True)
class Request:
    """A request; names of headers are small."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, or a notice to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    media: str = "application/json"


class Malformed(Exception):
    """A request that the dialect cannot read."""


class Dialect(Protocol):
    """One way to speak: reads requests, writes answers, notices and statements."""

    name: str
    retries: tuple[float, ...]
    """Seconds between the tries of a notice."""

    def is_believed(self, request: Request) -> bool:
        """Whether the merchant signed it."""
        ...

    def read(self, request: Request) -> Asked:
        """Return what is asked for, or raise `Malformed`."""
        ...

    def answer(self, request: Request, asked: Asked, told: Told) -> Reply:
        """Return the signed answer."""
        ...

    def refuse(self, request: Request, wrong: str) -> Reply:
        """Return the answer to what is not believed or cannot be read."""
        ...

    def notice(self, about: Payment | Refund, notice_id: str, *, forged: bool) -> Reply:
        """Return a notice, signed now."""
        ...

    def was_taken(self, notice_id: str, status: int, body: bytes) -> bool:
        """Whether the merchant answered as he has to."""
        ...

    def statement(self, on: date, rows: list[Row]) -> bytes:
        """Return the statement of a day as a file."""
        ...
