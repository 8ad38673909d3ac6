"""Who of the town borrows, and how they repay: known to the town alone.

A borrower's conduct is hidden like the truth about fraud: no action bears it. What can be seen is
that a payment comes, comes late, or does not come.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from steelyard.kernel import uuid7
from steelyard.simulation.model.actions import (
    LoanComplaint,
    LoanPayment,
    LoanRequest,
)
from steelyard.simulation.model.draws import Chance, below, entropy, pick, uniform
from steelyard.simulation.model.town import BEIJING, CURRENCY, Customer, Town, daytime

BorrowersAction = LoanRequest | LoanPayment | LoanComplaint

_BORROWING_SHARE = 0.25
_FIRST_AFTER_DAYS = (4, 40)
_AGAIN_AFTER_DAYS = (30, 120)
_PURCHASE_SHARE = 0.3
_MONTHS = (3, 3, 6, 6, 6, 12)
_OF_INCOME = (0.5, 2.5)
_LEAST_MINOR, _MOST_MINOR, _STEP_MINOR = 100_000, 5_000_000, 10_000
_COMPLAINT_SHARE = 0.03
_DAYS_A_MONTH = 30.4375


class Conduct(StrEnum):
    """How a borrower repays; nobody is told."""

    PROMPT = "prompt"
    LATE = "late"
    """Now and then some days after the due date."""
    FAILING = "failing"
    """Stops after a few instalments, or never begins."""
    EARLY = "early"
    """Repays everything with the first or second instalment."""


_CONDUCTS = (
    (0.76, Conduct.PROMPT),
    (0.88, Conduct.LATE),
    (0.94, Conduct.FAILING),
    (1.00, Conduct.EARLY),
)


@dataclass(frozen=True, slots=True)
class Borrowing:
    """A loan that somebody asks for, and what comes of it if it is given.

    Attributes
    ----------
    asks_on : the day in Beijing
    conduct : hidden
    acts : the request, the payments and the complaint, by day
    """

    asks_on: date
    conduct: Conduct
    acts: tuple[tuple[date, BorrowersAction], ...]


def borrowing(town: Town, on: date) -> list[BorrowersAction]:
    """Return what the borrowers of the town do on a day.

    It depends on the plan and the day alone: whether a loan was given is for the platform to say,
    and a payment for a loan that was not given finds nothing to pay.
    """
    acts: list[BorrowersAction] = []
    for customer in town.customers:
        number = 0
        while (one := borrowing_of(town, customer.number, number)) is not None:
            if one.asks_on > on:
                break
            acts += [act for at, act in one.acts if at == on]
            number += 1
    return acts


@lru_cache(maxsize=100_000)
def borrowing_of(town: Town, customer: int, number: int) -> Borrowing | None:
    """Return the loan that a customer asks for as the first, second, ...; None: never borrows."""
    who = town.customers[customer]
    habits = town.streams("borrower", customer)
    if habits.random() >= _BORROWING_SHARE:
        return None
    conduct = _conduct(habits)
    joined_on = who.signs_up_at.astimezone(BEIJING).date()
    asks_on = joined_on + timedelta(days=int(uniform(habits, *_FIRST_AFTER_DAYS)))
    for again in range(number):
        wait = uniform(town.streams("borrows-again", customer, again), *_AGAIN_AFTER_DAYS)
        asks_on += timedelta(days=int(wait))
    chance = town.streams("borrowing", customer, number)
    request = _request(town, who, chance, asks_on)
    acts: list[tuple[date, BorrowersAction]] = [(asks_on, request)]
    acts += _payments(chance, request, asks_on, conduct)
    if chance.random() < _COMPLAINT_SHARE:
        acts.append(_complaint(chance, request, asks_on))
    return Borrowing(asks_on, conduct, tuple(acts))


def _conduct(chance: Chance) -> Conduct:
    lot = chance.random()
    return next(conduct for up_to, conduct in _CONDUCTS if lot < up_to)


def _request(town: Town, who: Customer, chance: Chance, on: date) -> LoanRequest:
    at = daytime(chance, on)
    monthly = who.income.amount_minor * (1 if who.income.kind == "salary" else _DAYS_A_MONTH / 7)
    wanted = int(monthly * uniform(chance, *_OF_INCOME)) // _STEP_MINOR * _STEP_MINOR
    buys = chance.random() < _PURCHASE_SHARE and bool(who.terminals)
    merchant = None
    if buys:
        terminal = town.terminals[pick(chance, who.terminals)]
        merchant = town.merchants[terminal.merchant]
    return LoanRequest(
        id=uuid7(at, entropy(chance)),
        at=at,
        customer_id=who.id,
        account_id=who.account_id,
        product="merchant_instalments" if merchant else "quick_cash",
        amount_minor=min(max(wanted, _LEAST_MINOR), _MOST_MINOR),
        currency=CURRENCY,
        months=pick(chance, _MONTHS),
        income_minor=int(monthly),
        merchant_id=merchant.id if merchant else None,
        merchant_account_id=merchant.account_id if merchant else None,
    )


def _payments(
    chance: Chance, request: LoanRequest, asks_on: date, conduct: Conduct
) -> list[tuple[date, BorrowersAction]]:
    """Return the payments that come; each pays what is due then, one that repays all excepted."""
    stops_after = below(chance, 3) if conduct is Conduct.FAILING else request.months
    repays_all_at = 1 + below(chance, 2) if conduct is Conduct.EARLY else 0
    made: list[tuple[date, BorrowersAction]] = []
    for nr in range(1, stops_after + 1):
        is_late = conduct is Conduct.LATE and chance.random() < 0.5
        days = 1 + below(chance, 40) if is_late else 0
        on = months_after(asks_on, nr) + timedelta(days=days)
        at = daytime(chance, on)
        repays_all = nr == repays_all_at
        payment = LoanPayment(
            id=uuid7(at, entropy(chance)),
            at=at,
            customer_id=request.customer_id,
            request_id=request.id,
            repays_all=repays_all,
        )
        made.append((on, payment))
        if repays_all:
            break
    return made


def _complaint(chance: Chance, request: LoanRequest, asks_on: date) -> tuple[date, BorrowersAction]:
    on = asks_on + timedelta(days=5 + below(chance, 60))
    at = daytime(chance, on)
    about = pick(chance, ("wrong_penalty", "rude_call", "not_my_loan"))
    complaint = LoanComplaint(
        id=uuid7(at, entropy(chance)),
        at=at,
        customer_id=request.customer_id,
        request_id=request.id,
        about=about,
    )
    return on, complaint


def months_after(on: date, months: int) -> date:
    """Return the same day some months later, the last of a month that has no such day.

    Examples
    --------
    >>> months_after(date(2026, 1, 31), 1)
    datetime.date(2026, 2, 28)
    """
    count = on.year * 12 + on.month - 1 + months
    year, month = count // 12, count % 12 + 1
    return date(year, month, min(on.day, monthrange(year, month)[1]))
