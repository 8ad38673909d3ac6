"""How somebody who is late is reached: the law's hours and caps, and our strategies within them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from zoneinfo import ZoneInfo

from steelyard.credit.model.message import Channel
from steelyard.kernel import Refusal, RefusalKind

WEEK: Final = timedelta(days=7)


class Stop(StrEnum):
    """Why nobody is to be contacted."""

    HARDSHIP = "hardship"
    """A plan is being looked for, or is kept."""
    DISPUTE = "dispute"
    """What is owed is contested."""
    REPUDIATION = "repudiation"
    """The customer says that he never took the loan."""
    DECEASED = "deceased"


class ContactIsStopped(Refusal):
    """A stop is in force for the customer or the loan."""

    kind = RefusalKind.CONFLICT
    en = "Loan {loan} is not to be collected: {reason}."
    zh = "借款 {loan} 已停止催收：{reason}。"


class ContactIsOutsideHours(Refusal):
    """The customer's clock shows an hour at which nobody is contacted."""

    kind = RefusalKind.CONFLICT
    en = "It is {local} in {zone}; contacts are allowed from {opens} to {closes} ({rules})."
    zh = "{zone} 当地时间 {local}，允许联系的时段为 {opens} 至 {closes}（{rules}）。"


class ContactIsTooOften(Refusal):
    """So many contacts were made in the day or the week that one more is not allowed."""

    kind = RefusalKind.TOO_MANY
    en = "{channel}: {made} contacts in {period}, at most {most} ({rules})."
    zh = "{channel}：{period} 内已联系 {made} 次，上限 {most} 次（{rules}）。"


class StrategyIsUnknown(Refusal):
    """No strategy has the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no collection strategy {strategy}."
    zh = "催收策略 {strategy} 不存在。"


@dataclass(frozen=True, slots=True)
class Cap:
    """The most contacts of one customer in a local day, and in seven days."""

    day: int
    week: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactRules:
    """When and how often a customer may be contacted, from a day on.

    Attributes
    ----------
    opens, closes : on the customer's clock; from the first to, and without, the second
    all_channels : cap over all channels together
    by_channel : caps of their own; a channel without one has that of all
    source : what the rules follow
    """

    name: str
    from_on: date
    opens: time
    closes: time
    all_channels: Cap
    by_channel: Mapping[Channel, Cap]
    source: str


RULES: Final = (
    ContactRules(
        name="house@1",
        from_on=date(2018, 3, 28),
        opens=time(8),
        closes=time(21),
        all_channels=Cap(3, 10),
        by_channel=MappingProxyType({Channel.CALL: Cap(2, 7), Channel.LETTER: Cap(1, 1)}),
        source="ours; 8 to 21 and seven calls in seven days as in 12 CFR 1006.6 and 1006.14",
    ),
    ContactRules(
        name="house@2",
        from_on=date(2025, 3, 1),
        opens=time(8),
        closes=time(21),
        all_channels=Cap(3, 8),
        by_channel=MappingProxyType(
            {Channel.CALL: Cap(2, 5), Channel.SMS: Cap(1, 4), Channel.LETTER: Cap(1, 1)}
        ),
        source="ours; within GB/T 45251-2025 (not from 22 to 8, three calls a day)",
    ),
)
"""In the order of their days. They are ours, and tighter than what they name; a compliance officer
changes them by adding one."""


def rules_on(on: date, rules: Sequence[ContactRules] = RULES) -> ContactRules:
    """Return the rules in force on a day; before the first day, the first.

    Examples
    --------
    >>> rules_on(date(2024, 1, 1)).name, rules_on(date(2026, 1, 1)).name
    ('house@1', 'house@2')
    """
    known = [one for one in rules if one.from_on <= on]
    return known[-1] if known else rules[0]


@dataclass(frozen=True, slots=True)
class Made:
    """A contact that we made with the customer, about any loan of his."""

    at: datetime
    channel: Channel


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the next act depends on.

    Attributes
    ----------
    loan : number of the loan
    dpd, overdue_minor : days past due, and what is late
    zone : IANA name of the customer's time zone
    made : our contacts with the customer of the last seven days, all loans
    done : keys of the steps that the episode has taken
    stops : what is in force for the customer or the loan
    promised_until : day of a promise that is open; nobody is asked twice for what he promised
    """

    loan: int
    dpd: int
    overdue_minor: int
    zone: str
    made: tuple[Made, ...] = ()
    done: frozenset[str] = frozenset()
    stops: frozenset[Stop] = frozenset()
    promised_until: date | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One kind of contact, between two numbers of days past due, both counted.

    Attributes
    ----------
    every_days : 0 for once
    """

    code: str
    from_dpd: int
    to_dpd: int
    channel: Channel
    template: str
    every_days: int = 0

    def key(self, dpd: int) -> str | None:
        """Return which turn of the step a day belongs to, None where none does.

        A day that was missed is not made up for: its turn is the one of the next day.

        Examples
        --------
        >>> step = Step("weekly", 8, 30, Channel.SMS, "overdue", 7)
        >>> [step.key(dpd) for dpd in (7, 8, 14, 15, 30, 31)]
        [None, 'weekly#0', 'weekly#0', 'weekly#1', 'weekly#3', None]
        """
        if not self.from_dpd <= dpd <= self.to_dpd:
            return None
        turn = (dpd - self.from_dpd) // self.every_days if self.every_days else 0
        return f"{self.code}#{turn}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """Which contacts are made at which lateness.

    Attributes
    ----------
    case_from_dpd : from here on people work it, as a case of the queue
    """

    name: str
    version: int
    en: str
    zh: str
    steps: tuple[Step, ...]
    case_from_dpd: int = 31

    def __post_init__(self) -> None:
        codes = [step.code for step in self.steps]
        assert len(set(codes)) == len(codes), f"{self.name} has a step twice"
        assert all(1 <= s.from_dpd <= s.to_dpd for s in self.steps), self.name


def _strategies(*known: Strategy) -> Mapping[str, Strategy]:
    return MappingProxyType({one.name: one for one in known})


_SMS, _APP, _CALL, _LETTER = Channel.SMS, Channel.APP, Channel.CALL, Channel.LETTER
STEADY: Final = Strategy(
    name="steady",
    version=1,
    en="Remind by message, call in the third week",
    zh="先短信提醒，第三周致电",
    steps=(
        Step("first_app", 1, 3, _APP, "overdue"),
        Step("sms", 4, 30, _SMS, "overdue", 7),
        Step("call", 15, 30, _CALL, "overdue", 5),
        Step("late_call", 31, 90, _CALL, "overdue_formal", 7),
        Step("letter", 31, 90, _LETTER, "overdue_formal", 30),
        Step("last_letter", 91, 91, _LETTER, "overdue_formal"),
    ),
)
STRATEGIES: Final = _strategies(
    STEADY,
    Strategy(
        name="early_call",
        version=1,
        en="Call in the first week, fewer messages",
        zh="首周致电，减少短信",
        steps=(
            Step("first_app", 1, 2, _APP, "overdue"),
            Step("early_call", 3, 14, _CALL, "overdue", 4),
            Step("sms", 15, 30, _SMS, "overdue", 10),
            Step("late_call", 31, 90, _CALL, "overdue_formal", 7),
            Step("letter", 31, 90, _LETTER, "overdue_formal", 30),
            Step("last_letter", 91, 91, _LETTER, "overdue_formal"),
        ),
    ),
)
"""Every strategy by its name; an arm of the experiment has the name of one."""


def strategy_of(name: str) -> Strategy:
    """Return a strategy.

    Refusals
    --------
    strategy_is_unknown
    """
    found = STRATEGIES.get(name)
    if found is None:
        raise StrategyIsUnknown(strategy=name)
    return found


@dataclass(frozen=True, slots=True)
class Planned:
    """A contact to make now."""

    key: str
    channel: Channel
    template: str


def forbidden(
    situation: Situation, channel: Channel, now: datetime, rules: ContactRules | None = None
) -> Refusal | None:
    """Return why a contact that we would make now is not allowed; None where it is.

    In this order: a stop, the hour, the caps of the channel, the caps over all channels.
    """
    for stop in sorted(situation.stops):
        return ContactIsStopped(loan=situation.loan, reason=stop)
    zone = ZoneInfo(situation.zone)
    local = now.astimezone(zone)
    law = rules or rules_on(local.date())
    if not law.opens <= local.time() < law.closes:
        return ContactIsOutsideHours(
            local=f"{local:%H:%M}",
            zone=situation.zone,
            opens=f"{law.opens:%H:%M}",
            closes=f"{law.closes:%H:%M}",
            rules=law.name,
        )
    of_channel = [one for one in situation.made if one.channel is channel]
    caps = ((channel.value, law.by_channel.get(channel), of_channel),
            ("all", law.all_channels, list(situation.made)))  # fmt: skip
    for name, cap, made in caps:
        if cap is None:
            continue
        today = sum(one.at.astimezone(zone).date() == local.date() for one in made)
        in_week = sum(now - WEEK < one.at <= now for one in made)
        for period, count, most in (("day", today, cap.day), ("week", in_week, cap.week)):
            if count >= most:
                return ContactIsTooOften(
                    channel=name, made=count, period=period, most=most, rules=law.name
                )
    return None


def check_contact(
    situation: Situation, channel: Channel, now: datetime, rules: ContactRules | None = None
) -> None:
    """Refuse a contact that is not allowed now.

    Refusals
    --------
    contact_is_stopped, contact_is_outside_hours, contact_is_too_often : in this order
    """
    refusal = forbidden(situation, channel, now, rules)
    if refusal is not None:
        raise refusal


def next_acts(
    situation: Situation, strategy: Strategy, now: datetime, rules: ContactRules | None = None
) -> tuple[Planned, ...]:
    """Return the contacts that a strategy makes now, none that `check_contact` would refuse.

    Nothing is planned while a promise is open, for a loan that is not late, or for a turn that was
    taken. What one act uses up of a cap is gone for the next.

    Examples
    --------
    >>> late = Situation(loan=7, dpd=4, overdue_minor=100, zone="Asia/Shanghai")
    >>> at_nine = datetime.fromisoformat("2026-03-02T09:00+08:00")
    >>> [act.key for act in next_acts(late, STEADY, at_nine)]
    ['sms#0']
    >>> next_acts(late, STEADY, at_nine.replace(hour=7))
    ()
    """
    today = now.astimezone(ZoneInfo(situation.zone)).date()
    if situation.dpd <= 0 or situation.overdue_minor <= 0:
        return ()
    if situation.promised_until is not None and today <= situation.promised_until:
        return ()
    planned: list[Planned] = []
    seen = situation
    for step in strategy.steps:
        key = step.key(situation.dpd)
        if key is None or key in situation.done:
            continue
        if forbidden(seen, step.channel, now, rules) is not None:
            continue
        planned.append(Planned(key, step.channel, step.template))
        seen = _after(seen, Made(now, step.channel))
    return tuple(planned)


def wants_case(situation: Situation, strategy: Strategy) -> bool:
    """Return whether people are to work the loan: late enough, and nobody to be left in peace."""
    left_alone = {Stop.REPUDIATION, Stop.DECEASED}
    return situation.dpd >= strategy.case_from_dpd and not situation.stops & left_alone


def _after(situation: Situation, made: Made) -> Situation:
    return Situation(
        loan=situation.loan,
        dpd=situation.dpd,
        overdue_minor=situation.overdue_minor,
        zone=situation.zone,
        made=(*situation.made, made),
        done=situation.done,
        stops=situation.stops,
        promised_until=situation.promised_until,
    )
