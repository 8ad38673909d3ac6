"""Settlement: what a merchant is paid, when, and what stays with us until later.

What can be paid is the merchant's available balance less what was cleared and is not due yet. So
refunds, transfers and corrections count by themselves, a negative balance is carried and made good
by what the merchant sells next, and what is below the least amount waits without being forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.kernel.calendars import BusinessDayRule, calendar
from steelyard.payments.model.orders import Mode

_MOST_RESERVE: Final = Decimal("0.5")


class SettlementIsUnknown(Refusal):
    """There is no such settlement, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no settlement {settlement}."
    zh = "结算单 {settlement} 不存在。"


class SettlementStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "Settlement {settlement} is {state}: it cannot be {verb}."
    zh = "结算单 {settlement} 的状态为 {state}，不能执行 {verb}。"


class SettlementTermsAreMalformed(Refusal):
    """The contract says something of settlement that cannot be."""

    kind = RefusalKind.INVALID
    en = "The contract's {name} cannot be {value}."
    zh = "合同条款 {name} 的值 {value} 无效。"


class MerchantIsHeld(Refusal):
    """The merchant's settlements are held already."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} is held already."
    zh = "商户 {merchant} 的结算已被暂停。"


class MerchantIsNotHeld(Refusal):
    """There is no hold to lift."""

    kind = RefusalKind.CONFLICT
    en = "Merchant {merchant} is not held."
    zh = "商户 {merchant} 的结算未被暂停。"


class Cycle(StrEnum):
    """When what was cleared may be paid."""

    T0 = "T0"
    """On the day itself, as an advance; on a holiday on the next working day."""
    T1 = "T1"
    """On the next working day."""
    D1 = "D1"
    """On the next day, working or not."""


class SettlementState(StrEnum):
    """Where a settlement stands."""

    CALCULATED = "calculated"
    """Known; above the limit it waits for a second person."""
    HELD = "held"
    APPROVED = "approved"
    CARRIED = "carried"
    """There is nothing to pay: too little, or less than nothing. It stays in the balance."""
    SUPERSEDED = "superseded"
    """A later day's settlement took it up before it was paid."""
    PAYING = "paying"
    PAID = "paid"
    PAY_FAILED = "pay_failed"
    """The custodian's final no; the money is back in the merchant's balance."""
    PAY_UNKNOWN = "pay_unknown"
    RETURNED = "returned"
    """退汇: the bank sent it back; the money waits for an account that takes it."""
    REISSUED = "reissued"
    """Sent again after a return, to the account that is listed now."""
    RELEASED = "released"
    """After a return the money went back to the merchant's balance."""

    @property
    def waits(self) -> bool:
        """Whether nothing was sent, and a later day may take it up."""
        return self in (SettlementState.CALCULATED, SettlementState.HELD, SettlementState.APPROVED)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTerms:
    """What a merchant's contract says of settlement.

    Attributes
    ----------
    least_minor : below it nothing is paid; alone_minor : above it a second person approves
    reserve_rate, reserve_days : what is kept back of each day, and for how long
    calendar : code of the working days
    """

    cycle: Cycle = Cycle.T1
    least_minor: int = 1
    alone_minor: int = 100_000_000
    reserve_rate: Decimal = Decimal(0)
    reserve_days: int = 90
    calendar: str = "CN"

    def due_on(self, on: date) -> date:
        """Return the first day on which what was cleared of a day may be paid.

        Examples
        --------
        >>> SettlementTerms().due_on(date(2026, 9, 30)).isoformat()
        '2026-10-08'
        >>> SettlementTerms(cycle=Cycle.D1).due_on(date(2026, 9, 30)).isoformat()
        '2026-10-01'
        """
        days = calendar(self.calendar)
        if self.cycle is Cycle.D1:
            return on + timedelta(days=1)
        if self.cycle is Cycle.T1:
            return days.next_business_day(on)
        return days.adjust(on, BusinessDayRule.FOLLOWING)

    def pays_on(self, on: date) -> bool:
        """Whether merchants of these terms are paid on a day at all."""
        return self.cycle is Cycle.D1 or calendar(self.calendar).is_business_day(on)

    def release_on(self, on: date) -> date:
        """Return the day from which what was kept back of a day is free."""
        return on + timedelta(days=self.reserve_days)


def terms_of(contract: Mapping[str, object]) -> SettlementTerms:
    """Return the terms in a merchant's contract; what it does not say is the house's.

    Refusals
    --------
    settlement_terms_are_malformed, unknown_calendar

    Examples
    --------
    >>> terms_of({"settlement_cycle": "D1", "reserve_rate": "0.05"}).reserve_rate
    Decimal('0.05')
    """
    house = SettlementTerms()
    cycle = contract.get("settlement_cycle", house.cycle.value)
    if cycle not in set(Cycle):
        raise SettlementTermsAreMalformed(name="settlement_cycle", value=str(cycle)[:40])
    days = str(contract.get("settlement_calendar", house.calendar))
    calendar(days)
    return SettlementTerms(
        cycle=Cycle(str(cycle)),
        least_minor=_whole(contract, "settlement_least_minor", house.least_minor),
        alone_minor=_whole(contract, "settlement_alone_minor", house.alone_minor),
        reserve_rate=_rate(contract, "reserve_rate"),
        reserve_days=_whole(contract, "reserve_days", house.reserve_days),
        calendar=days,
    )


def _whole(contract: Mapping[str, object], name: str, house: int) -> int:
    value = contract.get(name, house)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SettlementTermsAreMalformed(name=name, value=str(value)[:40])
    return value


def _rate(contract: Mapping[str, object], name: str) -> Decimal:
    written = str(contract.get(name, "0"))
    try:
        rate = Decimal(written)
    except InvalidOperation:
        raise SettlementTermsAreMalformed(name=name, value=written[:40]) from None
    if not rate.is_finite() or not 0 <= rate <= _MOST_RESERVE:
        raise SettlementTermsAreMalformed(name=name, value=written[:40])
    return rate


@dataclass(frozen=True, slots=True)
class Payable:
    """What a merchant is paid on a day, and what stays.

    Attributes
    ----------
    balance_minor : available; not_due_minor : of it, cleared and not due, or not reconciled yet
    Invariant: balance - not due = amount + carried
    """

    balance_minor: int
    not_due_minor: int
    amount_minor: int
    carried_minor: int


def payable(terms: SettlementTerms, *, balance_minor: int, not_due_minor: int) -> Payable:
    """Return what can be paid of a balance.

    Examples
    --------
    >>> payable(SettlementTerms(least_minor=100), balance_minor=1_000, not_due_minor=300)
    Payable(balance_minor=1000, not_due_minor=300, amount_minor=700, carried_minor=0)
    >>> payable(SettlementTerms(), balance_minor=-50, not_due_minor=0).carried_minor
    -50
    """
    assert not_due_minor >= 0, "what is not due is something"
    free = balance_minor - not_due_minor
    amount = free if free >= max(terms.least_minor, 1) else 0
    return Payable(balance_minor, not_due_minor, amount, free - amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What a merchant is paid on a day in a currency.

    Attributes
    ----------
    held_for : why it is held: `risk`, `merchant_is_not_active`, `account_is_not_verified`
    cause : who said that it may be paid, `name@version`
    """

    id: UUID
    merchant: UUID
    mode: Mode
    currency: str
    on: date
    state: SettlementState
    version: int
    payable: Payable
    calculated_at: datetime
    held_for: str | None = None
    cause: str | None = None

    @property
    def subject(self) -> str:
        """Whose history it is."""
        return f"settlement:{self.id}"
