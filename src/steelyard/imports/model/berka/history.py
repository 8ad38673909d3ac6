"""What an account showed before its loan was granted: the inputs of a scorecard.

Only what carries a date before the grant is taken: the terms asked for, the account's opening, its
statement lines, its cards. Standing orders, authorised persons, statement frequency and the
figures of the districts (1995 and 1996) have no date, or one after it, and are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from steelyard.imports.model.berka.loans import BAD
from steelyard.imports.model.berka.operations import Operation, Purpose
from steelyard.imports.model.berka.records import (
    BerkaBank,
    DispositionRole,
    Loan,
    Sex,
    Transaction,
)

_RECENT = timedelta(days=91)
_MONTH_DAYS = 30.4375
_CASH_OUT = (Operation.CASH_WITHDRAWAL, Operation.CARD_WITHDRAWAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoanHistory:
    """One loan as it could be judged on the day of its grant; amounts in crowns.

    Attributes
    ----------
    balance_* : at the ends of days with lines, by our sum; `recent` is the last 91 days
    *_monthly : a month of the time with lines
    transferred_share : of what came in, the part from other banks (wages, pensions)
    cash_share : of what went out, the part in cash
    payment_share : of what comes in a month, the instalment; None where nothing came in
    is_bad : the outcome, which no input knows: B or D
    """

    loan_id: int
    amount: float
    duration_months: float
    payment: float
    account_days: float
    balance_last: float
    balance_mean_recent: float
    balance_lowest: float
    balance_lowest_recent: float
    credits_monthly: float
    debits_monthly: float
    payment_share: float | None
    transferred_share: float | None
    cash_share: float | None
    lines_monthly: float
    household_monthly: float
    below_zero_fees: float
    has_card: bool
    age_years: float
    sex: Sex
    is_bad: bool


def loan_histories(bank: BerkaBank) -> tuple[LoanHistory, ...]:
    """Return every loan whose account has lines before the grant, in the order of their ids."""
    lines: dict[int, list[Transaction]] = {}
    for line in bank.transactions:
        lines.setdefault(line.account_id, []).append(line)
    births, sexes = _owners(bank)
    cards = _first_cards(bank)
    opened = {account.account_id: account.opened_on for account in bank.accounts}
    found = []
    for loan in bank.loans:
        before = [t for t in lines.get(loan.account_id, ()) if t.booked_on < loan.granted_on]
        if before:
            found.append(
                _history(
                    loan,
                    before,
                    opened_on=opened[loan.account_id],
                    born_on=births[loan.account_id],
                    sex=sexes[loan.account_id],
                    has_card=cards.get(loan.account_id, loan.granted_on) < loan.granted_on,
                )
            )
    return tuple(found)


def _owners(bank: BerkaBank) -> tuple[Mapping[int, date], Mapping[int, Sex]]:
    clients = {client.client_id: client for client in bank.clients}
    owners = {
        d.account_id: clients[d.client_id]
        for d in bank.dispositions
        if d.role is DispositionRole.OWNER
    }
    return (
        {account: client.born_on for account, client in owners.items()},
        {account: client.sex for account, client in owners.items()},
    )


def _first_cards(bank: BerkaBank) -> Mapping[int, date]:
    accounts = {d.disposition_id: d.account_id for d in bank.dispositions}
    first: dict[int, date] = {}
    for card in bank.cards:
        account = accounts[card.disposition_id]
        first[account] = min(card.issued_on, first.get(account, card.issued_on))
    return first


def _history(
    loan: Loan,
    lines: Sequence[Transaction],
    *,
    opened_on: date,
    born_on: date,
    sex: Sex,
    has_card: bool,
) -> LoanHistory:
    balances = _ends_of_days(lines)
    recent = _recent(balances, loan.granted_on)
    months = max(1.0, (loan.granted_on - lines[0].booked_on).days / _MONTH_DAYS)
    came = [t for t in lines if t.operation.is_credit]
    went = [t for t in lines if not t.operation.is_credit]
    came_minor, went_minor = _sum(came), _sum(went)
    return LoanHistory(
        loan_id=loan.loan_id,
        amount=loan.amount_minor / 100,
        duration_months=float(loan.duration_months),
        payment=loan.payment_minor / 100,
        account_days=float((loan.granted_on - opened_on).days),
        balance_last=balances[-1][1] / 100,
        balance_mean_recent=sum(amount for _, amount in recent) / len(recent) / 100,
        balance_lowest=min(amount for _, amount in balances) / 100,
        balance_lowest_recent=min(amount for _, amount in recent) / 100,
        credits_monthly=came_minor / months / 100,
        debits_monthly=went_minor / months / 100,
        payment_share=loan.payment_minor * months / came_minor if came_minor else None,
        transferred_share=_share(came, (Operation.TRANSFER_IN,)),
        cash_share=_share(went, _CASH_OUT),
        lines_monthly=len(lines) / months,
        household_monthly=sum(t.purpose is Purpose.HOUSEHOLD for t in lines) / months,
        below_zero_fees=float(sum(t.operation is Operation.SANCTION_INTEREST for t in lines)),
        has_card=has_card,
        age_years=(loan.granted_on - born_on).days / 365.25,
        sex=sex,
        is_bad=loan.outcome in BAD,
    )


def _ends_of_days(lines: Sequence[Transaction]) -> list[tuple[date, int]]:
    """Return the balance at the end of each day with lines, summed up from zero."""
    ends: dict[date, int] = {}
    balance_minor = 0
    for line in lines:
        balance_minor += line.signed_minor
        ends[line.booked_on] = balance_minor
    return list(ends.items())


def _recent(balances: list[tuple[date, int]], granted_on: date) -> list[tuple[date, int]]:
    """Return the balances of the last days, or the last one where none is so young."""
    return [one for one in balances if one[0] >= granted_on - _RECENT] or balances[-1:]


def _sum(lines: Sequence[Transaction]) -> int:
    return sum(t.amount_minor for t in lines)


def _share(lines: Sequence[Transaction], operations: Sequence[Operation]) -> float | None:
    """Return the part of the amounts that some operations moved; None of nothing."""
    total = _sum(lines)
    return _sum([t for t in lines if t.operation in operations]) / total if total else None
