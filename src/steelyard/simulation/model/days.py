"""The days of the town: what happens on each, and the truth about it, kept apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from steelyard.kernel import uuid7
from steelyard.simulation.model.actions import (
    Action,
    CardPayment,
    Deposit,
    DepositKind,
    FraudReport,
    Refund,
    SignUp,
)
from steelyard.simulation.model.borrowers import borrowing
from steelyard.simulation.model.draws import below, entropy, uniform
from steelyard.simulation.model.fraud import LONGEST_DELAY_DAYS, report_of
from steelyard.simulation.model.handbook import (
    Compromised,
    Scenario,
    compromised,
    defraud,
    purchases,
)
from steelyard.simulation.model.town import (
    BEIJING,
    CURRENCY,
    Customer,
    Town,
    daytime,
    midnight,
)

_ONE_DAY = timedelta(days=1)
_RETURNING_SHARE = 0.02
_LONGEST_RETURN_DAYS = 7
_SETTLING_IN = timedelta(minutes=10)
_PAID_MS = (8 * 3_600_000, 10 * 3_600_000)
_INCOME_VARIES = (0.95, 1.05)


@dataclass(frozen=True, slots=True)
class Truth:
    """Which payments are fraud and why: for scoring, never for whoever decides about a payment.

    Attributes
    ----------
    scenarios : the scenario of each payment that is fraud, by the id of the payment
    """

    scenarios: Mapping[UUID, Scenario]

    def of(self, payment_id: UUID) -> Scenario | None:
        """Return why a payment is fraud, None when it is genuine."""
        return self.scenarios.get(payment_id)


class _Labelled(NamedTuple):
    payment: CardPayment
    scenario: Scenario | None


def day(town: Town, on: date) -> tuple[Action, ...]:
    """Return what the town does on one day, by time.

    Parameters
    ----------
    town : the town
    on : a day in Beijing, midnight to midnight

    Returns
    -------
    tuple of Action
        Sorted by instant, then id; empty before the town opens. It depends on the town's plan and
        the day alone, not on which days were asked for before.
    """
    if on < town.plan.opens_on:
        return ()
    acts: list[Action] = []
    for customer in town.customers:
        acts += _joins(town, customer, on)
        acts += _income(town, customer, on)
    acts += [labelled.payment for labelled in _payments(town, on)]
    acts += _refunds(town, on)
    acts += _reports(town, on)
    acts += borrowing(town, on)
    acts.sort(key=lambda act: (act.at, act.id))
    return tuple(acts)


def truth(town: Town, on: date) -> Truth:
    """Return which payments of a day are fraud, and by which scenario."""
    return Truth(
        {
            labelled.payment.id: labelled.scenario
            for labelled in _payments(town, on)
            if labelled.scenario is not None
        }
    )


def actions_between(town: Town, start_at: datetime, end_at: datetime) -> Iterator[Action]:
    """Yield what the town does from one instant to before another, by time.

    Each day is worked out when it is reached. A town that lives on is read by one long call, not
    by many short ones.

    Parameters
    ----------
    town : the town
    start_at, end_at : aware instants; the first is included, the last is not

    Yields
    ------
    Action
        By instant, then id. Neighbouring spans join without gap or overlap.
    """
    assert start_at.tzinfo is not None, "an instant has a zone"
    assert end_at.tzinfo is not None, "an instant has a zone"
    on = max(start_at.astimezone(BEIJING).date(), town.plan.opens_on)
    while midnight(on) < end_at:
        yield from (act for act in day(town, on) if start_at <= act.at < end_at)
        on += _ONE_DAY


def _joins(town: Town, customer: Customer, on: date) -> list[Action]:
    """Sign up, and bring some money along."""
    if customer.signs_up_at.astimezone(BEIJING).date() != on:
        return []
    chance = town.streams("sign-up", customer.number)
    at = customer.signs_up_at
    paid_at = at + timedelta(milliseconds=int(uniform(chance, 0.2, 0.8) * 600_000))
    return [
        SignUp(
            id=uuid7(at, entropy(chance)),
            at=at,
            customer_id=customer.id,
            account_id=customer.account_id,
            card_id=customer.card_id,
            person=customer.person,
        ),
        Deposit(
            id=uuid7(paid_at, entropy(chance)),
            at=paid_at,
            customer_id=customer.id,
            account_id=customer.account_id,
            amount_minor=customer.opening_minor,
            currency=CURRENCY,
            kind=DepositKind.OPENING,
        ),
    ]


def _income(town: Town, customer: Customer, on: date) -> list[Action]:
    """Pay the salary or the weekly top-up, if this is the day and the customer is there."""
    if not customer.income.pays_on(on):
        return []
    chance = town.streams("income", customer.number, on.toordinal())
    at = midnight(on) + timedelta(milliseconds=int(uniform(chance, *_PAID_MS)))
    if at < customer.signs_up_at + _SETTLING_IN:
        return []
    varied = customer.income.amount_minor * uniform(chance, *_INCOME_VARIES)
    return [
        Deposit(
            id=uuid7(at, entropy(chance)),
            at=at,
            customer_id=customer.id,
            account_id=customer.account_id,
            amount_minor=round(varied),
            currency=CURRENCY,
            kind=customer.income.kind,
        )
    ]


@lru_cache(maxsize=2)
def _payments(town: Town, on: date) -> tuple[_Labelled, ...]:
    """Return the payments of a day with the truth about them, customer by customer.

    Kept for the next day, whose reports may be about them; so a town is drawn once, not twice.
    """
    if on < town.plan.opens_on:
        return ()
    stolen = _stolen(town, on)
    return tuple(
        labelled for customer in town.customers for labelled in _pays(town, customer, on, stolen)
    )


@lru_cache(maxsize=2 * LONGEST_DELAY_DAYS)
def _told(town: Town, paid_on: date) -> tuple[FraudReport, ...]:
    """Return the reports of the fraud of one day, on whatever day they come."""
    reports = (
        report_of(town.streams, labelled.payment)
        for labelled in _payments(town, paid_on)
        if labelled.scenario is not None
    )
    return tuple(report for report in reports if report is not None)


def _reports(town: Town, on: date) -> Iterator[FraudReport]:
    """Yield the reports of a day, about payments of the fortnight before it."""
    for days in range(LONGEST_DELAY_DAYS, 0, -1):
        for report in _told(town, on - timedelta(days=days)):
            if report.at.astimezone(BEIJING).date() == on:
                yield report


def _stolen(town: Town, on: date) -> Compromised:
    return compromised(
        town.streams,
        (len(town.customers), len(town.terminals)),
        (town.plan.opens_on.toordinal(), on.toordinal()),
        town.plan.handbook,
    )


def _pays(town: Town, customer: Customer, on: date, stolen: Compromised) -> Iterator[_Labelled]:
    """Yield one customer's payments of a day, from the moment there is money to pay with.

    Fraud is drawn from generators of its own: without it, ids, instants and places are the same.
    """
    today = on.toordinal()
    handbook = town.plan.handbook
    thefts = [
        town.streams("theft", since, customer.number, today)
        for since in stolen.customers.get(customer.number, ())
    ]
    begins_at = midnight(on)
    allowed_at = customer.signs_up_at + _SETTLING_IN
    chance = town.streams("purchases", customer.number, today)
    for genuine in purchases(chance, customer.profile, customer.terminals, handbook):
        amount_minor, scenario = defraud(genuine, thefts, stolen.terminals, handbook)
        at = begins_at + timedelta(milliseconds=genuine.time_ms)
        if at < allowed_at:
            continue
        terminal = town.terminals[genuine.terminal]
        payment = CardPayment(
            id=uuid7(at, genuine.entropy),
            at=at,
            customer_id=customer.id,
            account_id=customer.account_id,
            card_id=customer.card_id,
            merchant_id=town.merchants[terminal.merchant].id,
            terminal_id=terminal.id,
            amount_minor=amount_minor,
            currency=CURRENCY,
        )
        yield _Labelled(payment, scenario)


def _refunds(town: Town, on: date) -> Iterator[Refund]:
    """Yield the refunds of a day, of payments made up to a week before.

    Each day draws who will return something of what they buy on it, and after how many days; so a
    payment is returned once at most, and only those customers' purchases are drawn again here.
    """
    for days in range(1, _LONGEST_RETURN_DAYS + 1):
        bought_on = on - timedelta(days=days)
        if bought_on < town.plan.opens_on:
            return
        returning = town.streams("returning", bought_on.toordinal())
        chosen = [
            customer
            for customer in town.customers
            if returning.random() < _RETURNING_SHARE
            and 1 + below(returning, _LONGEST_RETURN_DAYS) == days
        ]
        stolen = _stolen(town, bought_on) if chosen else Compromised(frozenset(), {})
        for customer in chosen:
            bought = [labelled.payment for labelled in _pays(town, customer, bought_on, stolen)]
            if bought:
                yield _refund(town, customer, bought, on)


def _refund(town: Town, customer: Customer, bought: list[CardPayment], on: date) -> Refund:
    """Give back one of a day's payments, by its mirror."""
    chance = town.streams("refund", customer.number, on.toordinal(), bought[0].id.int)
    payment = bought[below(chance, len(bought))]
    at = daytime(chance, on)
    return Refund(
        id=uuid7(at, entropy(chance)),
        at=at,
        payment_id=payment.id,
        customer_id=payment.customer_id,
        account_id=payment.account_id,
        merchant_id=payment.merchant_id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
