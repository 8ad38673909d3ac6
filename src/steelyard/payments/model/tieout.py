"""备付金勾对: what we owe to clients against what the custodian itself says it holds for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final
from uuid import UUID

from steelyard.payments.model.orders import Mode

_GROUPS: Final = {
    "pending": "merchants_pending",
    "available": "merchants_available",
    "reserve": "merchants_reserve",
}


@dataclass(frozen=True, slots=True)
class TieItem:
    """One thing by which our books and the custodian's differ.

    Attributes
    ----------
    kind : `payout_after`, `return_after`, `deposit_after`: known, and of a later day;
        `line_is_not_ours`, `not_in_the_statement`, `line_has_vanished`: nobody explained it
    about : `noun:id`, or the line of the statement
    amount_minor : by how much our books are above the custodian's because of it
    """

    kind: str
    about: str
    amount_minor: int

    @property
    def is_explained(self) -> bool:
        """Whether it is a matter of days alone."""
        return self.kind.endswith("_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What the client book says, in one currency, minor units.

    Attributes
    ----------
    owed : by group, what clients and others are owed; together all liabilities of the book
    in_transit : by channel, what channels owe us and did not pay in; `shortage` beside them
    overdrawn_minor : of merchants whose balance is below zero, over zero
    own_owes_minor : what our own book owes to clients, over zero
    """

    owed: Mapping[str, int]
    in_transit: Mapping[str, int]
    overdrawn_minor: int = 0
    own_owes_minor: int = 0

    @property
    def owed_minor(self) -> int:
        """All that is owed."""
        return sum(self.owed.values())

    @property
    def in_transit_minor(self) -> int:
        """All that is on its way to the custodian."""
        return sum(self.in_transit.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class TieOut:
    """A tie-out of a day.

    Attributes
    ----------
    run : 1, 2, ... of the day
    custody_minor : the closing balance of the custodian's own statement; None: there is none
    difference_minor : owed less custody, in transit and what is explained; None without statement
    why : `ties_out`, or what is against it
    """

    id: UUID
    mode: Mode
    currency: str
    on: date
    run: int
    statement: UUID | None
    custody_minor: int | None
    holdings: Holdings
    items: tuple[TieItem, ...]
    difference_minor: int | None
    why: str
    made_at: datetime

    @property
    def holds(self) -> bool:
        """Whether it ties out to the cent."""
        return self.why == "ties_out"

    @property
    def explained_minor(self) -> int:
        """What is explained, item by item."""
        return sum(item.amount_minor for item in self.items if item.is_explained)

    @property
    def stops(self) -> bool:
        """Whether no client money may leave because of it."""
        return not self.holds and self.why != "statement_is_missing"


@dataclass(slots=True)
class _Sums:
    owed: dict[str, int] = field(default_factory=dict)
    in_transit: dict[str, int] = field(default_factory=dict)
    overdrawn: int = 0
    own: int = 0


def holdings_of(lines: Mapping[str, int], *, mirror: str) -> Holdings:
    """Return what a client book says, from its balances.

    Parameters
    ----------
    lines : code without currency -> debits less credits, of every account in one currency
    mirror : code without currency of the account that faces our own book

    Examples
    --------
    >>> said = holdings_of({"settlement": 70, "in_transit/uni": 30, "fees_due": -1,
    ...                     "merchant/a/available": -99}, mirror="mirror:own")
    >>> said.owed_minor, said.in_transit_minor
    (100, 30)
    """
    sums = _Sums()
    for code, balance in lines.items():
        if code == "settlement":
            continue
        if code.startswith("in_transit/") or code == "shortage":
            name = code.removeprefix("in_transit/")
            sums.in_transit[name] = sums.in_transit.get(name, 0) + balance
            continue
        group = _group(code, mirror)
        sums.owed[group] = sums.owed.get(group, 0) - balance
        if group.startswith("merchants_") and balance > 0:
            sums.overdrawn += balance
        if group in ("due_to_us", "fees_due"):
            sums.own += balance
    return Holdings(
        owed=dict(sorted(sums.owed.items())),
        in_transit=dict(sorted(sums.in_transit.items())),
        overdrawn_minor=sums.overdrawn,
        own_owes_minor=max(0, sums.own),
    )


def _group(code: str, mirror: str) -> str:
    if code == mirror:
        return "due_to_us"
    if code.startswith("merchant/"):
        return _GROUPS.get(code.rsplit("/", 1)[1], "merchants_other")
    known = ("payouts", "refunds", "disputes", "unclaimed", "fees_due")
    return code if code in known else "other_clients"


def judge(
    holdings: Holdings,
    *,
    custody_minor: int | None,
    fault: str | None,
    items: tuple[TieItem, ...],
) -> tuple[int | None, str]:
    """Return the difference and what is against a tie-out.

    Examples
    --------
    >>> books = Holdings(owed={"merchants_available": 100}, in_transit={})
    >>> judge(books, custody_minor=99, fault=None, items=())
    (1, 'reserve_is_off')
    >>> after = (TieItem("payout_after", "payout:1", -20),)
    >>> judge(books, custody_minor=120, fault=None, items=after)
    (0, 'ties_out')
    """
    if custody_minor is None:
        return None, "statement_is_missing"
    explained = sum(item.amount_minor for item in items if item.is_explained)
    difference = holdings.owed_minor - custody_minor - holdings.in_transit_minor - explained
    if fault is not None:
        return difference, fault
    if difference:
        return difference, "reserve_is_off"
    if any(not item.is_explained for item in items):
        return difference, "items_are_not_explained"
    if holdings.own_owes_minor:
        return difference, "own_funds_owe_clients"
    return difference, "ties_out"
