"""What is expected of a channel's statements, and the life of what does not agree in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.clearing import DayClock
from steelyard.payments.model.matching_work import Rules
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.recon_refusals import ReconItemStateForbids


class DayState(StrEnum):
    """How far the statement of a day came."""

    EXPECTED = "expected"
    LATE = "late"
    ARRIVED = "arrived"
    """Something came, and was not verified."""
    INCOMPLETE = "incomplete"
    """Pages are missing."""
    VERIFIED = "verified"
    STAGED = "staged"
    """Its lines are stored."""
    MATCHED = "matched"
    CLOSED = "closed"
    """Matched, and nothing of the day is open."""


class FileState(StrEnum):
    """What became of a file."""

    ARRIVED = "arrived"
    VERIFIED = "verified"
    STAGED = "staged"
    CORRECTED = "corrected"
    """A later version stands in its place."""


class ItemState(StrEnum):
    """Where a disagreement stands.

    What is expected and what was matched at once are no items: a run keeps them as columns.
    """

    SUSPECT = "suspect"
    """存疑: a file of the next days may explain it."""
    BREAK = "break"
    ASSIGNED = "assigned"
    PROPOSED = "proposed"
    APPROVED = "approved"
    POSTED = "posted"
    """In the books, and still open: in suspense."""
    CLOSED = "closed"
    MATCHED = "matched"
    """A later file or run explained it."""

    @property
    def is_open(self) -> bool:
        """Whether anything is left to do."""
        return self not in (ItemState.CLOSED, ItemState.MATCHED)


class Action(StrEnum):
    """How a disagreement is resolved."""

    SUPPLEMENT = "supplement"
    """补单: the money is the merchant's after all."""
    REFUND = "refund"
    """退款: the money goes back to where it came from."""
    REVERSE = "reverse"
    """冲正: what we booked is taken back from the merchant."""
    ADJUST = "adjust"
    """调账: the merchant's account follows the statement."""
    RECOVER = "recover"
    """追款: the merchant pays it back."""
    WRITE_OFF = "write_off"
    """核销: our own book bears or keeps it, within a limit."""
    SUSPENSE = "suspense"
    """挂账: it waits in unclaimed or shortage."""
    MATCH = "match"
    """By hand, with another item; posts nothing."""


_MORE: Final = frozenset(
    {
        Action.SUPPLEMENT,
        Action.REFUND,
        Action.ADJUST,
        Action.WRITE_OFF,
        Action.SUSPENSE,
        Action.MATCH,
    }
)
_LESS: Final = frozenset(
    {
        Action.REVERSE,
        Action.ADJUST,
        Action.RECOVER,
        Action.WRITE_OFF,
        Action.SUSPENSE,
        Action.MATCH,
    }
)
OF_MERCHANT: Final = frozenset({Action.REVERSE, Action.ADJUST, Action.RECOVER})
"""Actions that move money of a merchant, who has to be known."""


def actions_for(difference_minor: int, *, is_suspended: bool = False) -> frozenset[Action]:
    """Return what may be done about a difference: what they have more than we.

    Examples
    --------
    >>> sorted(actions_for(-5, is_suspended=True))[:2]
    [<Action.ADJUST: 'adjust'>, <Action.MATCH: 'match'>]
    """
    if difference_minor == 0:
        return frozenset({Action.ADJUST})
    found = _MORE if difference_minor > 0 else _LESS
    return found - {Action.SUSPENSE} if is_suspended else found


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is expected of a channel's statements, and what is tolerated in them.

    Attributes
    ----------
    timezone, cut_off : whose days the statements have, and when they end there
    due_days, due_at : a day's file is due so many days later, at that local time
    suspect_days : T+n: so long a later file may explain what does not agree
    case_days : so old a break becomes a case
    tolerance_minor, budget_minor : of one pair, and of all of a day together
    write_off_minor : the most that is written off in one item
    fee_ppm : what the channel keeps, in millionths, where it tells no fee with the payment
    starts_on : first day whose statement is expected
    """

    channel: str
    mode: Mode
    timezone: str = "Asia/Shanghai"
    cut_off: time = time(0)
    due_days: int = 1
    due_at: time = time(10)
    suspect_days: int = 2
    case_days: int = 3
    tolerance_minor: int = 0
    budget_minor: int = 0
    write_off_minor: int = 0
    fee_ppm: int | None = None
    starts_on: date = date(2026, 1, 1)

    @property
    def clock(self) -> DayClock:
        """When its business dates begin and end."""
        return DayClock(self.timezone, self.cut_off)

    @property
    def rules(self) -> Rules:
        """What a matching takes as the same."""
        return Rules(tolerance_minor=self.tolerance_minor, budget_minor=self.budget_minor)

    def due(self, on: date) -> datetime:
        """Return when the statement of a day is late."""
        local = datetime.combine(on + timedelta(days=self.due_days), self.due_at)
        return local.replace(tzinfo=ZoneInfo(self.timezone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What somebody wants to do about an item.

    Attributes
    ----------
    merchant : whose money moves; other : the item it is matched with
    """

    action: Action
    reason: str
    merchant: UUID | None = None
    other: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A disagreement between a statement and our books.

    Attributes
    ----------
    number : of the payment or refund that it is about; empty: none of ours
    file, line : where they list it; None: they do not
    difference_minor : what they have more than we; at_risk_minor : how much it may cost
    held, listed : what we hold and what they list, for people
    suspense_minor : what of it lies in unclaimed (over zero) or in shortage (below)
    """

    id: UUID
    channel: str
    mode: Mode
    on: date
    key: str
    kind: BreakKind
    state: ItemState
    version: int
    run: UUID
    number: str
    of_refund: bool
    file: UUID | None
    line: int | None
    difference_minor: int
    at_risk_minor: int
    currency: str
    differs_in: tuple[str, ...]
    held: Mapping[str, Any] = field(default_factory=dict)
    listed: Mapping[str, Any] = field(default_factory=dict)
    suspect_until: date
    suspense_minor: int = 0
    owner: str | None = None
    proposal: Proposal | None = None
    approval: UUID | None = None
    cause: str | None = None
    opened_at: datetime
    updated_at: datetime
    closed_at: datetime | None = None
    closed_why: str | None = None
    case_at: datetime | None = None

    @property
    def subject(self) -> str:
        """Whose history its facts belong to."""
        return f"recon_item:{self.id}"

    def must_be(self, act: str, *states: ItemState) -> None:
        """Refuse unless it is in one of the states.

        Refusals
        --------
        recon_item_state_forbids
        """
        if self.state not in states:
            raise ReconItemStateForbids(item=self.id, state=self.state.value, act=act)


WAITING: Final = (ItemState.SUSPECT, ItemState.BREAK, ItemState.ASSIGNED, ItemState.POSTED)
"""States in which something may be proposed."""

AGES: Final = (0, 1, 2, 3, 7, 15, 30, 90)
"""Where the buckets of the ageing report begin, in days."""


def age_bucket(days: int) -> str:
    """Return the bucket of an age.

    Examples
    --------
    >>> age_bucket(0), age_bucket(5), age_bucket(400)
    ('0', '3-6', '90+')
    """
    first = max(start for start in AGES if start <= max(0, days))
    later = [start for start in AGES if start > first]
    if not later:
        return f"{first}+"
    return str(first) if later[0] == first + 1 else f"{first}-{later[0] - 1}"
