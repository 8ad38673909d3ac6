"""Limits (限额): how much may be paid at once, in a day and in a month, by and for whom.

A rule has a line: whom and what it limits. Of the approved rules of a line the one that began last
holds, and a line that names somebody stands in the place of the line of everybody for him. All
lines that fit an attempt hold together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Mode, Scenario

EVERYBODY: Final = "*"


class LimitScope(StrEnum):
    """Whose payments are added up."""

    CHANNEL = "channel"
    MERCHANT = "merchant"
    CUSTOMER = "customer"
    SCENARIO = "scenario"
    """All payments of a trade scenario (交易场景) together."""


class LimitPeriod(StrEnum):
    """Over what they are added up, by the clock of the institution."""

    SINGLE = "single"
    DAY = "day"
    MONTH = "month"


class LimitState(StrEnum):
    """Where a rule stands; only an approved one limits anything."""

    DRAFTED = "drafted"
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


class LimitIsReached(Refusal):
    """No more may be paid, at once or until a day or month is over."""

    kind = RefusalKind.CONFLICT
    en = (
        "The {period} limit of {scope} {whose} leaves {left_minor} minor units and"
        " {left_payments} payments (-1: any number); it is free again at {free_at}."
    )
    zh = (
        "{scope} {whose} 的 {period} 限额剩余 {left_minor}（最小货币单位）、"
        "{left_payments} 笔（-1：不限）；恢复时间：{free_at}。"
    )


class LimitIsUnknown(Refusal):
    """No rule has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no limit {limit}."
    zh = "限额规则 {limit} 不存在。"


class LimitIsMalformed(Refusal):
    """A rule that limits nothing that can be counted."""

    kind = RefusalKind.INVALID
    en = "The limit is malformed: {why}."
    zh = "限额规则有误：{why}。"


class LimitStateForbids(Refusal):
    """The verb does not go with the state of the rule."""

    kind = RefusalKind.CONFLICT
    en = "Limit {limit} is {state}: it cannot be {verb}."
    zh = "限额规则 {limit} 的状态为 {state}，不能执行 {verb}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewLimit:
    """A rule to draft.

    Attributes
    ----------
    whose : code or id of whom it limits; `*`: each that has no line of its own
    scenario, method : of which payments; None: of any
    most_minor, most_payments : what it leaves; None: any; both None: the line is limited no more
    from_on : first day, by the clock of the institution
    """

    scope: LimitScope
    period: LimitPeriod
    currency: str
    from_on: date
    whose: str = EVERYBODY
    scenario: Scenario | None = None
    method: Method | None = None
    mode: Mode = Mode.LIVE
    most_minor: int | None = None
    most_payments: int | None = None

    @property
    def line(self) -> str:
        """What it limits, as one text."""
        return _line(self, self.whose)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRule(NewLimit):
    """A rule as it is stored; what it says never changes."""

    id: UUID
    version: int
    state: LimitState
    made_by: str
    made_at: datetime


def _line(rule: NewLimit, whose: str) -> str:
    scenario = rule.scenario.value if rule.scenario else EVERYBODY
    method = rule.method.value if rule.method else EVERYBODY
    parts = (rule.mode, rule.scope, whose, scenario, method, rule.period, rule.currency)
    return "|".join(parts)


def check_limit(new: NewLimit, today: date) -> None:
    """Refuse a rule that cannot be counted, or that would change the past.

    Refusals
    --------
    limit_is_malformed
    """
    if new.period is LimitPeriod.SINGLE and new.most_payments is not None:
        raise LimitIsMalformed(why="a single payment has no number")
    if min(new.most_minor or 0, new.most_payments or 0) < 0:
        raise LimitIsMalformed(why="less than nothing")
    if "|" in new.whose or not new.whose or len(new.whose) > 100:
        raise LimitIsMalformed(why="whose it is")
    if new.from_on < today:
        raise LimitIsMalformed(why=f"it would begin before {today.isoformat()}")
    if new.scope in (LimitScope.MERCHANT, LimitScope.CUSTOMER) and new.whose != EVERYBODY:
        try:
            canonical = str(UUID(new.whose)) == new.whose
        except ValueError:
            canonical = False
        if not canonical:
            raise LimitIsMalformed(why="whose it is")
    if new.scope is LimitScope.SCENARIO and new.scenario is not None:
        raise LimitIsMalformed(why="the scenario is named twice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """An attempt as limits see it."""

    attempt: UUID
    mode: Mode
    channel: str
    merchant: UUID
    customer: UUID | None
    scenario: Scenario
    method: Method
    amount_minor: int
    currency: str

    def whose(self, scope: LimitScope) -> str | None:
        """Return whom a scope adds it to; None: nobody who is known."""
        if scope is LimitScope.CHANNEL:
            return self.channel
        if scope is LimitScope.MERCHANT:
            return str(self.merchant)
        if scope is LimitScope.SCENARIO:
            return self.scenario.value
        return None if self.customer is None else str(self.customer)


class Bound(NamedTuple):
    """A rule that holds for an attempt.

    Attributes
    ----------
    key : of the row that is counted in; empty: nothing is counted
    """

    rule: LimitRule
    whose: str
    begins_on: date
    key: str


class Used(NamedTuple):
    """What was taken in a period."""

    amount_minor: int = 0
    payments: int = 0


def begins_on(period: LimitPeriod, on: date) -> date:
    """Return the first day of the period of a day."""
    return on.replace(day=1) if period is LimitPeriod.MONTH else on


def free_at(period: LimitPeriod, begins: date, zone: str) -> datetime | None:
    """Return when a period that began is over; None: never, another amount is needed.

    Examples
    --------
    >>> free_at(LimitPeriod.MONTH, date(2026, 12, 1), "Asia/Shanghai").isoformat()
    '2026-12-31T16:00:00+00:00'
    """
    if period is LimitPeriod.SINGLE:
        return None
    after = begins + timedelta(days=1)
    if period is LimitPeriod.MONTH:
        after = (begins + timedelta(days=32)).replace(day=1)
    return datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)


def bounds_of(spending: Spending, rules: Iterable[LimitRule], on: date) -> list[Bound]:
    """Return what holds for an attempt on a day, the tightest look first: single, day, month.

    Parameters
    ----------
    rules : those in force, one of each line
    """
    best: dict[tuple[str, ...], tuple[LimitRule, str]] = {}
    for rule in rules:
        whose = spending.whose(rule.scope)
        if whose is None or rule.whose not in (EVERYBODY, whose) or not _fits(rule, spending):
            continue
        place = tuple(_line(rule, EVERYBODY).split("|"))
        if place not in best or rule.whose != EVERYBODY:
            best[place] = (rule, whose)
    bounds = []
    for rule, whose in best.values():
        if rule.most_minor is None and rule.most_payments is None:
            continue
        begins = begins_on(rule.period, on)
        is_single = rule.period is LimitPeriod.SINGLE
        key = "" if is_single else f"{_line(rule, whose)}|{begins.isoformat()}"
        bounds.append(Bound(rule, whose, begins, key))
    order = list(LimitPeriod)
    return sorted(bounds, key=lambda one: (order.index(one.rule.period), one.key))


def _fits(rule: LimitRule, spending: Spending) -> bool:
    return (
        rule.mode is spending.mode
        and rule.currency == spending.currency
        and rule.scenario in (None, spending.scenario)
        and rule.method in (None, spending.method)
    )


@dataclass(slots=True)
class Tally:
    """What is taken by a batch, attempt after attempt.

    Attributes
    ----------
    used : by key, what was taken before and by those of the batch that fitted
    added : by key, what the batch adds; taken : by attempt, the keys that it is counted in
    """

    used: dict[str, Used]
    zone: str
    added: dict[str, Used] = field(default_factory=dict)
    taken: dict[UUID, tuple[str, ...]] = field(default_factory=dict)

    def take(self, spending: Spending, bounds: Sequence[Bound]) -> LimitIsReached | None:
        """Count an attempt where it fits; nothing of one that does not is counted.

        Invariant: no line is ever above what its rule leaves by what was taken here.
        """
        for bound in bounds:
            used = self.used.get(bound.key, Used())
            if not fits_in(bound.rule, used, spending.amount_minor):
                return _refused(bound, used, self.zone)
        keys = tuple(bound.key for bound in bounds if bound.key)
        for key in keys:
            self.used[key] = _plus(self.used.get(key, Used()), spending.amount_minor)
            self.added[key] = _plus(self.added.get(key, Used()), spending.amount_minor)
        if keys:
            self.taken[spending.attempt] = keys
        return None


def fits_in(rule: LimitRule, used: Used, amount_minor: int) -> bool:
    """Return whether an amount still fits.

    Examples
    --------
    >>> from steelyard.payments.model.limits_examples import a_rule
    >>> [fits_in(a_rule(most_minor=100), Used(60, 1), amount) for amount in (40, 41)]
    [True, False]
    """
    is_small = rule.most_minor is None or used.amount_minor + amount_minor <= rule.most_minor
    return is_small and (rule.most_payments is None or used.payments < rule.most_payments)


def _plus(used: Used, amount_minor: int) -> Used:
    return Used(used.amount_minor + amount_minor, used.payments + 1)


def _refused(bound: Bound, used: Used, zone: str) -> LimitIsReached:
    rule = bound.rule
    at = free_at(rule.period, bound.begins_on, zone)
    many = rule.most_payments
    return LimitIsReached(
        scope=rule.scope.value,
        whose=bound.whose,
        period=rule.period.value,
        scenario=rule.scenario.value if rule.scenario else None,
        method=rule.method.value if rule.method else None,
        left_minor=-1 if rule.most_minor is None else max(rule.most_minor - used.amount_minor, 0),
        left_payments=-1 if many is None else max(many - used.payments, 0),
        free_at="-" if at is None else at.isoformat(),
        limit=rule.id,
    )
