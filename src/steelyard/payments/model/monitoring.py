"""Monitoring of merchants (商户风险监测): a day against his own past and against his industry.

A rate is judged by the lower end of its 95 % interval (Wilson 1927, JASA 22), so that three
refunds of five payments raise nothing. An alert has two marks: above the upper one it opens, and
only below the lower one, for several days in a row, it ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.payments.model.orders import Mode

QUIET_LOOKS: Final = 3
PAST_DAYS: Final = 28
_Z: Final = 1.96
_LOWER_MARK: Final = 0.7
_LEAST_PAST: Final = 7
"""Days of a past below which it says nothing."""


class MerchantRule(StrEnum):
    """What is looked at."""

    REFUND_RATE = "refund_rate"
    DISPUTE_RATE = "dispute_rate"
    DECLINE_RATE = "decline_rate"
    TICKET_JUMP = "ticket_jump"
    VOLUME_JUMP = "volume_jump"
    NIGHT_SHARE = "night_share"
    CARDS_PER_DEVICE = "cards_per_device"


class AlertLevel(StrEnum):
    """How far out of the way it is."""

    WATCH = "watch"
    """A person looks."""
    ACT = "act"
    """Money is held until a person has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts of one or several days of a merchant or an industry.

    Attributes
    ----------
    night : paid between midnight and six; cards_per_device : the most of a day
    """

    days: int = 0
    attempts: int = 0
    declined: int = 0
    paid: int = 0
    paid_minor: int = 0
    night: int = 0
    refunded: int = 0
    disputed: int = 0
    cards_per_device: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A merchant's day, with what it is measured by."""

    merchant: UUID
    mode: Mode
    currency: str
    on: date
    day: Figures
    own: Figures
    industry: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a rule says of a day.

    Attributes
    ----------
    value : of the day; own, industry : of the past, None where it says nothing
    level : None: below the upper mark
    is_quiet : below the lower mark
    """

    rule: MerchantRule
    value: float
    own: float | None
    industry: float | None
    level: AlertLevel | None
    is_quiet: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """An alert as it stands.

    Attributes
    ----------
    quiet : looks in a row below the lower mark; done : what was done because of it
    """

    id: UUID
    merchant: UUID
    mode: Mode
    currency: str
    rule: MerchantRule
    level: AlertLevel
    is_open: bool
    version: int
    value: float
    own: float | None
    industry: float | None
    opened_at: datetime
    seen_at: datetime
    quiet: int = 0
    case: UUID | None = None
    done: tuple[str, ...] = ()
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Mark:
    """When a rule speaks.

    Attributes
    ----------
    least : of the value, whatever the past; factor : over the past
    act : over the upper mark, from which money is held; of : what the value is made of
    """

    of: Callable[[Figures], tuple[float, float]]
    least: float
    factor: float
    act: float
    is_rate: bool = True
    least_count: int = 20


_MARKS: Final = {
    MerchantRule.REFUND_RATE: _Mark(lambda f: (f.refunded, f.paid), 0.10, 3.0, 2.5),
    MerchantRule.DISPUTE_RATE: _Mark(lambda f: (f.disputed, f.paid), 0.008, 3.0, 2.0),
    MerchantRule.DECLINE_RATE: _Mark(lambda f: (f.declined, f.attempts), 0.35, 2.0, 1.7),
    MerchantRule.NIGHT_SHARE: _Mark(lambda f: (f.night, f.paid), 0.30, 3.0, 2.0),
    MerchantRule.TICKET_JUMP: _Mark(lambda f: (f.paid_minor, f.paid), 0.0, 4.0, 3.0, is_rate=False),
    MerchantRule.VOLUME_JUMP: _Mark(
        lambda f: (f.paid_minor, max(f.days, 1)), 0.0, 5.0, 3.0, is_rate=False
    ),
    MerchantRule.CARDS_PER_DEVICE: _Mark(
        lambda f: (f.cards_per_device, 1), 6.0, 2.0, 2.0, is_rate=False, least_count=6
    ),
}
_BY_INDUSTRY: Final = frozenset(MerchantRule) - {MerchantRule.TICKET_JUMP, MerchantRule.VOLUME_JUMP}
"""Amounts differ between merchants of one industry by more than any jump."""


def wilson_low(count: float, of: float) -> float:
    """Return the lower end of the 95 % interval of a share; 0 of nothing.

    Examples
    --------
    >>> round(wilson_low(3, 5), 3), round(wilson_low(300, 500), 3)
    (0.231, 0.556)
    """
    if of <= 0:
        return 0.0
    share = min(count / of, 1.0)
    middle = share + _Z * _Z / (2 * of)
    spread = _Z * math.sqrt(share * (1 - share) / of + _Z * _Z / (4 * of * of))
    return max((middle - spread) / (1 + _Z * _Z / of), 0.0)


def judge(seen: Seen) -> list[Reading]:
    """Return what each rule says of a day, in the order of the rules.

    A rule that has nothing to measure by (a new merchant in a new industry) measures by its own
    least value; a jump needs a past of the merchant's own.
    """
    return [_read(rule, mark, seen) for rule, mark in _MARKS.items()]


def _read(rule: MerchantRule, mark: _Mark, seen: Seen) -> Reading:
    count, of = mark.of(seen.day)
    value = count / of if of else 0.0
    own = _past(mark, seen.own)
    industry = _past(mark, seen.industry) if rule in _BY_INDUSTRY else None
    known = [past for past in (own, industry) if past is not None]
    # Out of the way by both, where both are known: an industry that goes up together alarms nobody.
    upper = max([mark.least, *(mark.factor * past for past in known)])
    is_told = bool(known) or mark.least > 0
    surely = wilson_low(count, of) if mark.is_rate else value
    enough = _basis(rule, seen.day) >= mark.least_count
    level = None
    if is_told and enough and upper > 0 and surely >= upper:
        level = AlertLevel.ACT if surely >= min(mark.act * upper, 0.9) else AlertLevel.WATCH
        if not mark.is_rate:
            level = AlertLevel.ACT if value >= mark.act * upper else AlertLevel.WATCH
    return Reading(
        rule=rule,
        value=value,
        own=own,
        industry=industry,
        level=level,
        is_quiet=not is_told or value < _LOWER_MARK * upper,
    )


def _basis(rule: MerchantRule, day: Figures) -> int:
    if rule is MerchantRule.DECLINE_RATE:
        return day.attempts
    return day.cards_per_device if rule is MerchantRule.CARDS_PER_DEVICE else day.paid


def _past(mark: _Mark, past: Figures) -> float | None:
    count, of = mark.of(past)
    return count / of if past.days >= _LEAST_PAST and of and count else None
