"""The facts of reconciliation."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact


class StatementTaken(Fact, kind="payments.StatementTaken", version=1):
    """A statement was verified and stored; subject `statement_day:<channel>.<day>`."""

    channel: str
    on: date
    file: UUID
    file_version: int
    lines: int


class StatementIsLate(Fact, kind="payments.StatementIsLate", version=1):
    """A statement did not come in time; subject as of `StatementTaken`."""

    channel: str
    on: date


class DayReconciled(Fact, kind="payments.DayReconciled", version=1):
    """A day was matched with its statement; subject as of `StatementTaken`.

    Attributes
    ----------
    matched : payments and refunds that were found; breaks : what was not
    """

    channel: str
    on: date
    run: UUID
    no: int
    matched: int
    breaks: int
    digest: str


class ReconItemOpened(Fact, kind="payments.ReconItemOpened", version=1):
    """Something does not agree; subject `recon_item:<id>`."""

    item: UUID
    channel: str
    on: date
    break_kind: str
    state: str
    difference_minor: int
    currency: str


class ReconItemMoved(Fact, kind="payments.ReconItemMoved", version=1):
    """An item came to another state; subject `recon_item:<id>`.

    Attributes
    ----------
    what : assign, propose, approve, post, age, match, evidence, reopen ...
    """

    item: UUID
    channel: str
    break_kind: str
    state: str
    what: str
    action: str | None = None
    cause: str | None = None
