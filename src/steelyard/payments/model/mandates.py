"""Mandates (代扣协议): what a customer allows a merchant to take from him, how much and when.

A customer signs himself; a merchant never signs for him. Whoever may stop it, stops it: the
customer, the merchant, and a bank that says there is no such mandate (any more).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from steelyard.kernel import Currency, calendar
from steelyard.payments.model.debits_dates import Cycle, Period, months_after
from steelyard.payments.model.mandates_refusals import (
    DebitDateMovesOnlyLater,
    MandateIsMalformed,
    MandateStateForbids,
)
from steelyard.payments.model.orders import Mode

IDLE_MONTHS: Final = 36
"""A mandate that nothing was taken by for so long has ended (SEPA Core rulebook, 4.1)."""


class MandateState(StrEnum):
    """Where a mandate stands."""

    DRAFT = "draft"
    """Proposed by the merchant; the customer has not looked at it."""
    SIGNING = "signing"
    """The customer has said yes, and his bank or wallet has not confirmed it yet."""
    ACTIVE = "active"
    SUSPENDED = "suspended"
    """Nothing new is taken; it can be resumed."""
    TERMINATING = "terminating"
    """Revoked: what was sent before is still under way, nothing is sent any more."""
    TERMINATED = "terminated"
    REJECTED = "rejected"
    EXPIRED = "expired"

    @property
    def is_over(self) -> bool:
        """Whether nothing can ever be taken by it again."""
        return self in _OVER


_S = MandateState
_OVER: Final = frozenset({_S.TERMINATING, _S.TERMINATED, _S.REJECTED, _S.EXPIRED})


class MandateVerb(StrEnum):
    """What is done to a mandate, by people, a channel or the calendar."""

    SIGN = "sign"
    CONFIRM = "confirm"
    REJECT = "reject"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    FINISH = "finish"
    EXPIRE = "expire"


NEXT: Final[Mapping[MandateVerb, Mapping[MandateState, MandateState]]] = MappingProxyType(
    {
        MandateVerb.SIGN: {_S.DRAFT: _S.SIGNING},
        MandateVerb.CONFIRM: {_S.SIGNING: _S.ACTIVE},
        MandateVerb.REJECT: {_S.DRAFT: _S.REJECTED, _S.SIGNING: _S.REJECTED},
        MandateVerb.SUSPEND: {_S.ACTIVE: _S.SUSPENDED},
        MandateVerb.RESUME: {_S.SUSPENDED: _S.ACTIVE},
        MandateVerb.REVOKE: {_S.ACTIVE: _S.TERMINATING, _S.SUSPENDED: _S.TERMINATING},
        MandateVerb.FINISH: {_S.TERMINATING: _S.TERMINATED},
        MandateVerb.EXPIRE: {
            _S.DRAFT: _S.EXPIRED,
            _S.ACTIVE: _S.EXPIRED,
            _S.SUSPENDED: _S.EXPIRED,
        },
    }
)
"""Which state a verb leads to; from any other state it is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MandateRules:
    """What a kind of channel demands of its agreements.

    Attributes
    ----------
    last_month_day : month cycles begin on a day up to this one
    least_day_cycle : days of the shortest cycle of days
    most_per_pair : mandates of one customer with one merchant that are not over
    window_days : how long before its date a debit may be taken
    """

    last_month_day: int = 31
    least_day_cycle: int = 1
    most_per_pair: int = 100
    window_days: int = 0


RULES: Final[Mapping[str, MandateRules]] = MappingProxyType(
    {
        "": MandateRules(),
        "alipay": MandateRules(
            last_month_day=28, least_day_cycle=7, most_per_pair=10, window_days=5
        ),
    }
)
"""By kind of channel; one that is not named has the first."""


def rules_of(kind: str) -> MandateRules:
    """Return what a kind of channel demands."""
    return RULES.get(kind, RULES[""])


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMandate:
    """A mandate to propose.

    Attributes
    ----------
    mandate_no : the merchant's own number; unique for the merchant for ever
    account : code of an account of the customer in our client book; None: a channel collects
    channel : that collects; None: the routing chooses among those that can
    kind : of that channel, whose rules hold
    needs_confirmation : whether the customer's bank or wallet confirms the signing, by a first
        debit of `signing_minor` that carries `sign` among its details
    single_most_minor : of one debit; period_most_minor : of all debits due in one `period`
    cycle, cycle_length, first_on : when debits are due; no cycle: whenever the merchant says
    notice_days : calendar days between the notice to the customer and the debit
    pay_days : days of the month on which a failed debit is tried again; empty: in 3 business days
    details : what the channel is told with every debit (name, iban ...)
    """

    id: UUID
    merchant: UUID
    customer: UUID
    mode: Mode
    mandate_no: str
    currency: str
    single_most_minor: int
    period_most_minor: int
    period: Period = Period.MONTH
    account: str | None = None
    channel: str | None = None
    kind: str = ""
    needs_confirmation: bool = False
    signing_minor: int = 1
    cycle: Cycle = Cycle.NONE
    cycle_length: int = 1
    first_on: date | None = None
    notice_days: int = 0
    pay_days: tuple[int, ...] = ()
    calendar: str = "CN"
    valid_until: date | None = None
    subject: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mandate(NewMandate):
    """A mandate as it stands.

    Attributes
    ----------
    signed_by : who said yes, `noun:id`; signed_on : on his calendar
    last_on : date of the newest debit by it; idle years count from there, or from the signing
    next_on : the next date of its cycle; it only ever moves later
    why : of the state, a short word: `customer`, `merchant`, a code of a bank
    """

    state: MandateState
    version: int
    created_at: datetime
    created_by: str
    signed_at: datetime | None = None
    signed_by: str | None = None
    signed_on: date | None = None
    last_on: date | None = None
    next_on: date | None = None
    why: str = ""

    @property
    def number(self) -> str:
        """What a channel knows it by, 32 hex digits."""
        return self.id.hex

    @property
    def subject_key(self) -> str:
        """Subject of its facts."""
        return f"mandate:{self.id}"

    def after(self, verb: MandateVerb) -> MandateState:
        """Return the state that a verb leads to.

        Refusals
        --------
        mandate_state_forbids
        """
        state = NEXT[verb].get(self.state)
        if state is None:
            raise MandateStateForbids(mandate=self.id, state=self.state.value, verb=verb.value)
        return state


def check_mandate(new: NewMandate) -> NewMandate:
    """Return a mandate that can be proposed.

    Refusals
    --------
    mandate_is_malformed, unknown_currency, unknown_calendar
    """
    Currency.of(new.currency)
    calendar(new.calendar)
    why = _wrong(new)
    if why:
        raise MandateIsMalformed(reason=why)
    return new


def _wrong(new: NewMandate) -> str:
    """Return the first thing that is wrong with a mandate; empty where nothing is."""
    rules = rules_of(new.kind)
    if not 0 < new.single_most_minor <= new.period_most_minor:
        return "one debit is over zero and at most what a period allows"
    if new.account is not None and (new.channel is not None or new.needs_confirmation):
        return "an account with us needs no channel"
    if new.needs_confirmation and not 0 < new.signing_minor <= new.single_most_minor:
        return "the first debit is within the limit of one debit"
    if (new.cycle is Cycle.NONE) != (new.first_on is None):
        return "a cycle begins on a date, and only a cycle does"
    if new.cycle_length < 1 or new.notice_days < 0 or new.notice_days > 30:
        return "cycles are one or longer, notice is given up to 30 days before"
    if any(not 1 <= day <= 31 for day in new.pay_days):
        return "pay-days are days of a month"
    if new.cycle is Cycle.DAY and new.cycle_length < rules.least_day_cycle:
        return f"a cycle of days has at least {rules.least_day_cycle}"
    if (
        new.cycle is Cycle.MONTH
        and new.first_on is not None
        and new.first_on.day > rules.last_month_day
    ):
        return f"a cycle of months begins on day 1 to {rules.last_month_day}"
    return ""


def check_later(mandate: Mandate, to_on: date) -> None:
    """Refuse a next date that is not later than the one that stands.

    Refusals
    --------
    debit_date_moves_only_later
    """
    if mandate.next_on is None or to_on <= mandate.next_on:
        raise DebitDateMovesOnlyLater(
            mandate=mandate.id, next_on=str(mandate.next_on or "-"), to_on=str(to_on)
        )


def ends_on(mandate: Mandate) -> date | None:
    """Return the first date on which a mandate is over by the calendar; None before its signing.

    Examples
    --------
    >>> from steelyard.payments.model.debits_dates import months_after
    >>> months_after(date(2024, 2, 29), IDLE_MONTHS)
    datetime.date(2027, 2, 28)
    """
    since = mandate.last_on or mandate.signed_on
    idle = None if since is None else months_after(since, IDLE_MONTHS)
    bounds = [on for on in (idle, mandate.valid_until) if on is not None]
    return min(bounds, default=None)
