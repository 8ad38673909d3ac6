"""The platform's fee on card payments: from client funds to own funds, once a business day."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from uuid import UUID, uuid5

from steelyard.base import UnitOfWork
from steelyard.kernel import Refusal, RefusalKind
from steelyard.kernel.rounding import Rounding, round_ratio
from steelyard.ledger import (
    AccountKind,
    BookReader,
    Heading,
    Leg,
    NewAccount,
    accepted,
    entry,
    entry_of,
    post,
)
from steelyard.simulation import store
from steelyard.simulation.model import CURRENCY
from steelyard.simulation.model.state import (
    BOOK,
    FEE_INCOME,
    HOUSE,
    MERCHANT_CODES,
    TownIsNotFounded,
)
from steelyard.simulation.service.facts import CardFeesCharged

__all__ = ["CardFees", "FeeDayIsNotOpen", "TownIsNotFounded", "card_fee", "charge_card_fees"]

FEE_CAUSE = "rule.card_fee@1"
FEE_PER_MILLE = 6
"""0.6 % of a merchant's turnover of the day, refunds taken off."""

TO_HOUSE = NewAccount.mirror(HOUSE, currency=CURRENCY, kind=AccountKind.LIABILITY)
"""In the town's book: what client funds owe to the house."""
TO_TOWN = NewAccount.mirror(BOOK, currency=CURRENCY, kind=AccountKind.ASSET)
"""In the house's book: what it is owed out of client funds."""

_FEES = UUID("7b5bb0f6-35c5-5f6e-9a3c-0d5b7a0b5f01")
_ONE_DAY = timedelta(days=1)


class FeeDayIsNotOpen(Refusal):
    """Fees are charged on the open business day, before it is closed."""

    kind = RefusalKind.CONFLICT
    en = "The town's book stands at {business_on}; card fees of {asked} cannot be charged on it."
    zh = "小镇账簿的营业日期为 {business_on}，不能计收 {asked} 的刷卡手续费。"


@dataclass(frozen=True, slots=True)
class CardFees:
    """The fees of one business day.

    Attributes
    ----------
    entry : the journal entry; nothing stands under it when no merchant paid
    merchants : how many paid
    amount_minor : what they paid together
    """

    business_on: date
    entry: UUID
    merchants: int
    amount_minor: int
    currency: str


def card_fee(turnover_minor: int) -> int:
    """Return the fee on a day's turnover, in minor units; none on a day of more refunds than sales.

    Examples
    --------
    >>> card_fee(100_000), card_fee(83), card_fee(84), card_fee(-5_000)
    (600, 0, 1, 0)
    """
    return round_ratio(FEE_PER_MILLE * max(0, turnover_minor), 1_000, Rounding.HALF_UP)


def charge_card_fees(unit: UnitOfWork, business_on: date) -> CardFees:
    """Move the fees of the open business day from the merchants to the platform's own funds.

    In the town's book every merchant is debited, and the account that mirrors the house credited;
    in the house's book the account that mirrors the town is debited, and income credited: one
    journal entry in two balanced books, in one transaction. Charged once a day; a repeat returns
    what was charged.

    Refusals
    --------
    town_is_not_founded
    fee_day_is_not_open : nothing was charged for the day, and it is not the business date
    """
    if store.read(unit.connection, lock=True) is None:
        raise TownIsNotFounded
    key = uuid5(_FEES, business_on.isoformat())
    taken = [m for m in entry_of(unit.connection, key) if m.book == BOOK]
    if taken:
        total = sum(m.amount_minor for m in taken)
        return CardFees(business_on, key, len(taken), total, CURRENCY)
    reader = BookReader(unit.connection, BOOK)
    if reader.book.business_on != business_on:
        raise FeeDayIsNotOpen(business_on=reader.book.business_on, asked=business_on)
    turnover = _turnover(reader, business_on)
    fees = {code: fee for code, minor in turnover.items() if (fee := card_fee(minor))}
    total = sum(fees.values())
    charged = CardFees(business_on, key, len(fees), total, CURRENCY)
    if fees:
        _move(unit, charged, fees)
    return charged


def _turnover(reader: BookReader, on: date) -> dict[str, int]:
    """Return what came to each merchant by value date, less what it gave back; by code."""
    turnover: dict[str, int] = {}
    for day, sign in ((on, 1), (on - _ONE_DAY, -1)):
        for line in reader.trial_balance(effective_on=day).lines:
            if line.code.startswith(MERCHANT_CODES):
                net = sign * (line.credit_minor - line.debit_minor)
                turnover[line.code] = turnover.get(line.code, 0) + net
    return dict(sorted(turnover.items()))


def _move(unit: UnitOfWork, charged: CardFees, fees: dict[str, int]) -> None:
    heading = Heading(entry=charged.entry, book=BOOK, currency=CURRENCY, cause=FEE_CAUSE)
    house = Heading(entry=charged.entry, book=HOUSE, currency=CURRENCY, cause=FEE_CAUSE)
    total = charged.amount_minor
    debits = [Leg(code, debit_minor=fee) for code, fee in fees.items()]
    out = entry(heading, [*debits, Leg(TO_HOUSE.code, credit_minor=total)])
    income = [Leg(TO_TOWN.code, debit_minor=total), Leg(FEE_INCOME, credit_minor=total)]
    # One chain across both books: what stands in one mirror stands in the other.
    linked = [replace(transfer, linked=True) for transfer in out]
    accepted(post(unit, [*linked, *entry(house, income)]))
    fact = CardFeesCharged(
        entry=charged.entry,
        business_on=charged.business_on,
        merchants=charged.merchants,
        amount_minor=total,
        currency=CURRENCY,
    )
    unit.record(fact, subject=f"book:{BOOK}")
