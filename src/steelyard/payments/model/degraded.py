"""Degraded mode (降级): which payments pass while nobody decides, and how many of them.

Small payments of customers who paid before pass under the rule `rule.degraded@1`, up to a number
and a sum for each and a sum for all; everything else is refused as busy. What passed is judged
afterwards as of its instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from statistics import median
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

CAUSE: Final = "rule.degraded@1"
REASON: Final = "degraded"


class Why(StrEnum):
    """What is missing."""

    OWNER_IS_AWAY = "owner_is_away"
    """The process that decides does not answer."""
    SENDER_IS_SLOW = "sender_is_slow"
    """Codes for a further proof come too late to be of use."""


class PassState(StrEnum):
    """What was said of a payment afterwards."""

    PASSED = "passed"
    AGREED = "agreed"
    DISAGREED = "disagreed"
    """It would not have passed; a person looks."""
    UNUSED = "unused"
    """It passed, and was never begun."""


class DegradedSettingIsMalformed(Refusal):
    """A setting that lets more pass than its own sum."""

    kind = RefusalKind.INVALID
    en = "The setting of degraded mode is malformed: {why}."
    zh = "降级模式设置有误：{why}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class DegradedSetting:
    """What may be paid while nobody decides; of a rolling day.

    Attributes
    ----------
    most_minor : of one payment; customer_payments, customer_minor : of one customer
    sum_minor : of all customers
    known_payments : how many paid orders of an earlier day make a customer known
    """

    is_on: bool = False
    currency: str = "CNY"
    most_minor: int = 0
    customer_payments: int = 0
    customer_minor: int = 0
    sum_minor: int = 0
    known_payments: int = 1


OFF: Final = DegradedSetting()


def check_setting(setting: DegradedSetting) -> None:
    """Refuse a setting that contradicts itself.

    Refusals
    --------
    degraded_setting_is_malformed
    """
    numbers = (
        setting.most_minor,
        setting.customer_payments,
        setting.customer_minor,
        setting.sum_minor,
    )
    if min(numbers) < 0 or setting.known_payments < 1:
        raise DegradedSettingIsMalformed(why="less than nothing")
    if not setting.most_minor <= setting.customer_minor <= setting.sum_minor:
        raise DegradedSettingIsMalformed(why="one payment, one customer, all: each within the next")


@dataclass(frozen=True, slots=True, kw_only=True)
class Small:
    """A payment that may pass.

    Attributes
    ----------
    facts : what the gate was asked
    """

    attempt: UUID
    customer: UUID
    merchant: UUID
    amount_minor: int
    currency: str
    at: datetime
    facts: Mapping[str, object]


def small_of(id: str, at: datetime, facts: Mapping[str, object]) -> Small | None:
    """Return a question as a payment that may pass; None where it lacks what that needs.

    Examples
    --------
    >>> from datetime import UTC
    >>> small_of("x", datetime(2026, 1, 1, tzinfo=UTC), {}) is None
    True
    """
    try:
        amount = facts["amount_minor"]
        if not isinstance(amount, int) or amount <= 0:
            return None
        return Small(
            attempt=UUID(id),
            customer=UUID(str(facts["customer"])),
            merchant=UUID(str(facts["merchant"])),
            amount_minor=amount,
            currency=str(facts["currency"]),
            at=at,
            facts=facts,
        )
    except (KeyError, ValueError):
        return None


@dataclass(slots=True)
class Allowance:
    """What is left of a day; taken payment after payment.

    Attributes
    ----------
    by_customer : payments and minor units that passed; sum_minor : of all
    """

    setting: DegradedSetting
    sum_minor: int
    by_customer: dict[UUID, tuple[int, int]] = field(default_factory=dict)

    def take(self, small: Small, *, is_known: bool) -> bool:
        """Return whether a payment passes, and count it if it does.

        Invariant: neither a customer nor all together ever have more than the setting leaves.
        """
        setting = self.setting
        payments, minor = self.by_customer.get(small.customer, (0, 0))
        after = (payments + 1, minor + small.amount_minor)
        passes = (
            setting.is_on
            and is_known
            and small.currency == setting.currency
            and small.amount_minor <= setting.most_minor
            and after[0] <= setting.customer_payments
            and after[1] <= setting.customer_minor
            and self.sum_minor + small.amount_minor <= setting.sum_minor
        )
        if passes:
            self.by_customer[small.customer] = after
            self.sum_minor += small.amount_minor
        return passes


@dataclass(slots=True)
class Slowness:
    """Whether what is sent takes too long, by the median of the last ones.

    Attributes
    ----------
    slow_seconds : from which it is slow; back_seconds : below which it is not any more
    """

    slow_seconds: float = 20.0
    back_seconds: float = 8.0
    least: int = 5
    is_slow: bool = False
    last: deque[float] = field(default_factory=lambda: deque(maxlen=15))

    def note(self, seconds: float) -> bool:
        """Take how long one took, infinity for one that never came; return whether it is slow.

        Examples
        --------
        >>> slowness = Slowness()
        >>> [slowness.note(30.0) for _ in range(5)][-1], [slowness.note(1.0) for _ in range(8)][-1]
        (True, False)
        """
        self.last.append(seconds)
        if len(self.last) >= self.least:
            middle = median(self.last)
            mark = self.back_seconds if self.is_slow else self.slow_seconds
            self.is_slow = middle >= mark
        return self.is_slow
