"""Provisioning: risk parameters estimated from the book, and put in force by two people."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.credit.model.book import Book
from steelyard.credit.model.estimation import Seen, delivered_parameters, estimate_parameters
from steelyard.credit.model.parameters import DEFAULT_BUCKET, Parameters
from steelyard.credit.model.portfolio import moves
from steelyard.credit.model.risk_refusals import HistoryIsTooShort, ParametersAreUnknown
from steelyard.credit.service.portfolio import read_all
from steelyard.credit.service.risk_facts import RiskParametersAdopted, RiskParametersEstimated
from steelyard.credit.store import risk as table
from steelyard.credit.store.risk import Adoption
from steelyard.parties import approvals

__all__ = [
    "ADOPT",
    "Adoption",
    "HistoryIsTooShort",
    "Parameters",
    "ParametersAreUnknown",
    "adopt",
    "delivered_parameters",
    "estimate",
    "in_force",
    "list_adoptions",
    "read",
    "request_adoption",
    "seen_in",
    "summary",
]

ADOPT = approvals.approval_kind(
    "credit.risk_parameters",
    verb="credit.approve",
    en="Make provisions with new risk parameters",
    zh="启用新的风险参数计提减值",
)


def in_force(connection: sa.Connection, on: date) -> Parameters:
    """Return what provisions are made with on a business date; before any adoption, version 0."""
    return table.read_parameters(connection, table.version_on(connection, on))


def read(connection: sa.Connection, version: int) -> Parameters:
    """Return a version of the parameters.

    Refusals
    --------
    parameters_are_unknown
    """
    return table.read_parameters(connection, version)


def list_adoptions(connection: sa.Connection) -> list[Adoption]:
    """Return what was put in force when, and by whose yes."""
    return table.adoptions(connection)


def estimate(unit: UnitOfWork, *, dry_run: bool = False) -> Parameters:
    """Estimate parameters from the months of the book, and keep them as the next version.

    Nothing is provided with them before two people want it: `request_adoption`, `adopt`.

    Refusals
    --------
    book_is_empty, history_is_too_short
    """
    version = table.next_version(unit.connection)
    book = read_all(unit.connection)
    year, month = divmod(book.as_of_month + 1, 12)
    as_of = date(year, month + 1, 1) - timedelta(days=1)
    made = estimate_parameters(seen_in(book), as_of, version=version)
    if dry_run:
        return made
    table.insert_parameters(unit.connection, made, actor=unit.actor, at=unit.now)
    fact = RiskParametersEstimated(
        parameters=version, months=made.months, content_hash=table.digest_of(made).hex()
    )
    unit.record(fact, subject=_subject(version))
    return made


def request_adoption(unit: UnitOfWork, version: int, *, from_on: date) -> approvals.Approval:
    """Ask for a second person's yes to making provisions with a version from a day on.

    Refusals
    --------
    parameters_are_unknown
    """
    found = table.read_parameters(unit.connection, version)
    return approvals.request_approval(
        unit,
        kind=ADOPT.name,
        subject=_subject(version),
        shown=_shown(found, from_on),
        by=unit.actor,
    )


def adopt(unit: UnitOfWork, version: int, *, from_on: date, approval: UUID) -> Adoption:
    """Make provisions with a version from a business date on, as two people want it.

    A day that was closed keeps its own version: it names it.

    Refusals
    --------
    parameters_are_unknown, and those of `consume_approval`
    """
    found = table.read_parameters(unit.connection, version)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=ADOPT.name,
        subject=_subject(version),
        shown=_shown(found, from_on),
    )
    made = Adoption(version, from_on, cause, unit.actor, unit.now)
    table.insert_adoption(unit.connection, made)
    fact = RiskParametersAdopted(parameters=version, from_on=from_on, cause=cause)
    unit.record(fact, subject=_subject(version))
    return made


def seen_in(book: Book) -> dict[str, Seen]:
    """Return what a book showed, product by product.

    A default's loss is known once it was written off: what was owed then against what came back up
    to now. What is in default and not written off yet says nothing about its end.
    """
    made: dict[str, Seen] = {}
    for code, product in enumerate(book.product.names):
        ended = (book.product.codes == code) & (book.written_off_minor > 0)
        made[product] = Seen(
            moves(book, product=code).counts,
            book.written_off_minor[ended],
            np.minimum(book.recovered_minor, book.written_off_minor)[ended],
        )
    return made


def summary(parameters: Parameters) -> list[dict[str, Any]]:
    """Return a line for each product and bucket: probability of default in twelve months."""
    lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for product, segment in parameters.segments.items():
        for bucket in range(DEFAULT_BUCKET):
            lines[product].append(
                {
                    "product": product,
                    "bucket": bucket,
                    "pd_ppm": segment.pd_ppm(bucket),
                    "low_ppm": segment.low[bucket] // 1_000,
                    "high_ppm": segment.high[bucket] // 1_000,
                    "lgd_ppm": segment.lgd // 1_000,
                    "moves": segment.moves,
                    "defaults": segment.defaults,
                }
            )
    return [line for one in lines.values() for line in one]


def _subject(version: int) -> str:
    return f"risk_parameters:{version}"


def _shown(parameters: Parameters, from_on: date) -> dict[str, object]:
    """Return what a second person says yes to."""
    return {
        "version": parameters.version,
        "content_hash": table.digest_of(parameters).hex(),
        "from_on": from_on.isoformat(),
        "note": parameters.note,
    }
