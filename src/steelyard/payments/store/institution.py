"""In which books the money of a mode stands, and the contracts of merchants as orders need them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.refusals import InstitutionIsNotOpen


class Institution(NamedTuple):
    """The books of one mode.

    Attributes
    ----------
    client_book, own_book : ids of the books of client funds and of own funds
    """

    mode: Mode
    client_book: str
    own_book: str
    timezone: str


class MerchantTerms(NamedTuple):
    """What an order needs to know of a merchant's contract."""

    id: UUID
    state: str
    currencies: tuple[str, ...]
    methods: tuple[Method, ...]
    name: str
    industry: str | None
    has_limits: bool = False
    """Whether there is any limit in the house: where there is none, none is looked for."""


def insert(connection: sa.Connection, institution: Institution, at: datetime) -> bool:
    """Insert the books of a mode; False when it has some."""
    done = connection.execute(
        sa.text(
            "INSERT INTO payments.institution (mode, client_book, own_book, timezone, opened_at)"
            " VALUES (:mode, :client_book, :own_book, :timezone, :at) ON CONFLICT DO NOTHING"
        ),
        {**institution._asdict(), "mode": institution.mode.value, "at": at},
    )
    return done.rowcount == 1


def find(connection: sa.Connection, mode: Mode) -> Institution | None:
    """Return the books of a mode."""
    row = connection.execute(
        sa.text(
            "SELECT mode, client_book, own_book, timezone FROM payments.institution"
            " WHERE mode = :mode"
        ),
        {"mode": mode.value},
    ).one_or_none()
    return None if row is None else Institution(Mode(row[0]), *row[1:])


def read(connection: sa.Connection, mode: Mode) -> Institution:
    """Return the books of a mode.

    Refusals
    --------
    institution_is_not_open
    """
    found = find(connection, mode)
    if found is None:
        raise InstitutionIsNotOpen(mode=mode.value)
    return found


def merchant_terms(connection: sa.Connection, ids: Sequence[UUID]) -> dict[UUID, MerchantTerms]:
    """Return what orders need to know of merchants, by id."""
    rows = connection.execute(
        sa.text(
            "SELECT id, state, currencies, methods, name, industry,"
            " EXISTS (SELECT FROM payments.limit_rule WHERE state = 'approved') AS has_limits"
            " FROM payments.merchant WHERE id = ANY(:ids)"
        ),
        {"ids": list(set(ids))},
    )
    return {
        row.id: MerchantTerms(
            row.id,
            row.state,
            tuple(row.currencies),
            tuple(Method(m) for m in row.methods),
            row.name,
            row.industry,
            row.has_limits,
        )
        for row in rows
    }
