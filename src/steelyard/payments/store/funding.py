"""The table of what funding sources lent and took back."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa


class Funding(NamedTuple):
    """What a source lent under a number, or took back.

    Attributes
    ----------
    number : of the attempt, or of the refund; payment : of the attempt
    reference : what the source knows it by
    """

    number: UUID
    of_refund: bool
    payment: UUID
    source: str
    reference: str
    amount_minor: int
    currency: str


def find(connection: sa.Connection, number: UUID, *, lock: bool = False) -> Funding | None:
    """Return what was lent or taken back under a number.

    Parameters
    ----------
    lock : hold the number, whether it is there or not, to the end of the transaction
    """
    if lock:
        key = number.int & (2**63 - 1)
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    row = connection.execute(
        sa.text(
            "SELECT number, of_refund, payment, source, reference, amount_minor, currency"
            " FROM payments.funding WHERE number = :number"
        ),
        {"number": number},
    ).one_or_none()
    return None if row is None else Funding(*row)


def insert(connection: sa.Connection, funding: Funding, at: datetime) -> None:
    """Insert what was lent or taken back; a number that is there twice is a fault."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.funding (number, of_refund, payment, source, reference,"
            " amount_minor, currency, made_at) VALUES (:number, :of_refund, :payment, :source,"
            " :reference, :amount_minor, :currency, :at)"
        ),
        {**funding._asdict(), "at": at},
    )
