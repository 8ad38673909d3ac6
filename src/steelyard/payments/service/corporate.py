"""Corporate e-banking: one person of the payer makes a payment, another checks it, then it is sent.

Until then the order waits with the action `corporate`, and nobody outside knows of the attempt.
Two people's yes is a proof: a gate that wants one is asked again with it. Their limits are counted
under the lock of the person, so that many payments at once do not exceed them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.kernel import Refusal
from steelyard.payments.model.attempts import Attempt, AttemptState, Source
from steelyard.payments.model.channel import Decline, Finding, Method, Said
from steelyard.payments.model.corporate import (
    WAITS,
    CheckerIsMaker,
    CorporatePaymentIsDecided,
    CorporatePaymentIsUnknown,
    Person,
    PersonLimitIsReached,
    PersonMayNot,
    PersonSetsHimself,
    Role,
    Step,
    StepState,
    check_person,
)
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service import evidence, institution, proofs
from steelyard.payments.service.evidence import Report
from steelyard.payments.service.paying import Pay, Result
from steelyard.payments.store import corporate as table
from steelyard.payments.store import orders as orders_table

__all__ = [
    "ON_DECIDE",
    "ON_SUBMIT",
    "WAITS",
    "CheckerIsMaker",
    "CorporatePaymentIsDecided",
    "CorporatePaymentIsUnknown",
    "Person",
    "PersonLimitIsReached",
    "PersonMayNot",
    "PersonSetsHimself",
    "Role",
    "Step",
    "StepState",
    "approve",
    "list_people",
    "list_steps",
    "reject",
    "set_person",
    "submit",
]

ON_SUBMIT: Final = (PaymentIsUnknown, PersonMayNot, PersonLimitIsReached)
ON_DECIDE: Final = (
    CorporatePaymentIsUnknown,
    CorporatePaymentIsDecided,
    CheckerIsMaker,
    PersonMayNot,
    PersonLimitIsReached,
)


def set_person(unit: UnitOfWork, one: Person) -> Person:
    """Let a person of a company make or check payments up to limits; zero: none.

    Refusals
    --------
    person_sets_himself
    """
    if unit.actor == one.person:
        raise PersonSetsHimself(person=one.person)
    table.put_person(unit.connection, one, unit.now)
    audit(
        unit,
        action="payments.set_corporate_person",
        subject=f"party:{one.company}",
        detail={
            "person": one.person,
            "may_make": one.may_make,
            "may_check": one.may_check,
            "currency": one.currency,
            "single_minor": one.single_minor,
            "day_minor": one.day_minor,
        },
    )
    return one


def list_people(connection: sa.Connection, company: UUID) -> list[Person]:
    """Return the makers and checkers of a company."""
    return table.people(connection, company)


def list_steps(connection: sa.Connection, company: UUID, *, waiting: bool = False) -> list[Step]:
    """Return the payments of a company, the newest first: those that wait for a checker, or all."""
    return table.of_company(connection, company, waiting=waiting)


def submit(
    till: proofs.Till,
    order_id: UUID,
    company: UUID,
    *,
    attempt: UUID,
    has_page: bool = False,
    bank: str | None = None,
    actor: str,
) -> Result:
    """Make a payment of a company: the order waits for another person of the company.

    Parameters
    ----------
    attempt : its id; the same again is the same payment
    has_page : whether the address of the order's page was shown; else the order must be for the
        company

    Refusals
    --------
    payment_is_unknown, person_may_not, person_limit_is_reached, and those of `Paying.pay`
    """
    database = till.codes.database
    with database.reading() as connection:
        order = orders_table.find(connection, [order_id]).get(order_id)
        known = table.find(connection, attempt)
    theirs = None if order is None else order.payer.customer
    if order is None or not (theirs == company or (has_page and theirs is None)):
        raise PaymentIsUnknown(payment=order_id)
    if known is None:
        # Asked before anything is begun, and again under lock when it is written.
        database.transact(lambda unit: _admit(unit, order, company, Role.MAKER, actor))
    how = Pay(
        attempt=attempt,
        method=Method.CORPORATE_BANKING,
        payer=replace(order.payer, customer=company),
        details={"bank": bank} if bank else {},
        waits_for=WAITS,
    )
    begun = till.paying.pay(order_id, how, actor=actor)
    if begun.attempt.state is not AttemptState.INIT:
        return begun
    refusal = database.transact(
        lambda unit: _write_step(unit, order, begun.attempt, company), actor=actor
    )
    if refusal is not None:
        no = Finding(said=Said.DECLINED, decline=Decline.LIMIT_EXCEEDED, code=refusal.code)
        _report(till, attempt, no, actor=actor)
        raise refusal
    return begun


def approve(till: proofs.Till, attempt: UUID, company: UUID, *, actor: str) -> Result:
    """Let a payment go that another person of the company made.

    Approved, and not sent because every channel was shut, it is sent when the same person approves
    it again.

    Refusals
    --------
    corporate_payment_is_unknown, corporate_payment_is_decided, checker_is_maker, person_may_not,
    person_limit_is_reached; no_channel_is_open
    """

    def decide(unit: UnitOfWork) -> None:
        step = _held(unit, attempt, company)
        if step.state is StepState.APPROVED and step.checker == actor and step.waits:
            return
        order = orders_table.find(unit.connection, [step.order])[step.order]
        _admit_checker(unit, order, step, actor)
        decided = replace(step, state=StepState.APPROVED, checker=actor, checked_at=unit.now)
        table.decide(unit.connection, decided)
        audit(unit, action="payments.approve_corporate", subject=f"payment:{step.order}")

    till.codes.database.transact(decide, actor=actor)
    return proofs.go_on(till, attempt, waits=WAITS, actor=actor)


def reject(till: proofs.Till, attempt: UUID, company: UUID, *, reason: str, actor: str) -> Result:
    """Turn a payment down that another person of the company made; nothing was sent.

    Refusals
    --------
    corporate_payment_is_unknown, corporate_payment_is_decided, checker_is_maker, person_may_not
    """

    def decide(unit: UnitOfWork) -> None:
        step = _held(unit, attempt, company)
        _check_open(step, actor)
        person = table.lock_person(unit.connection, company, actor, step.currency)
        if person is None or not person.may_check:
            role = Role.CHECKER.value
            raise PersonMayNot(person=actor, role=role, currency=step.currency)
        decided = replace(
            step,
            state=StepState.REJECTED,
            checker=actor,
            checked_at=unit.now,
            reason=reason,
        )
        table.decide(unit.connection, decided)
        audit(unit, action="payments.reject_corporate", subject=f"payment:{step.order}")

    till.codes.database.transact(decide, actor=actor)
    no = Finding(said=Said.DECLINED, decline=Decline.PAYER_CANCELLED, code="rejected_by_checker")
    return _report(till, attempt, no, actor=actor)


def _write_step(unit: UnitOfWork, order: Order, attempt: Attempt, company: UUID) -> Refusal | None:
    """Note a payment that waits for its checker; what is over a limit is returned."""
    if table.find(unit.connection, attempt.id) is not None:
        return None
    try:
        _admit(unit, order, company, Role.MAKER, unit.actor)
    except Refusal as refusal:
        return refusal
    table.insert_step(
        unit.connection,
        Step(
            attempt=attempt.id,
            order=order.id,
            company=company,
            amount_minor=order.amount_minor,
            currency=order.currency,
            state=StepState.SUBMITTED,
            version=1,
            maker=unit.actor,
            made_at=unit.now,
        ),
    )
    audit(unit, action="payments.submit_corporate", subject=f"payment:{order.id}")
    return None


def _admit(unit: UnitOfWork, order: Order, company: UUID, role: Role, who: str) -> None:
    """Refuse a person who may not make or check this payment, under his lock."""
    person = table.lock_person(unit.connection, company, who, order.currency)
    used = table.used_since(
        unit.connection,
        company,
        who,
        role,
        currency=order.currency,
        since=_midnight(unit.connection, order.mode, unit.now),
    )
    refusal = check_person(
        person,
        role,
        who=who,
        amount_minor=order.amount_minor,
        currency=order.currency,
        used=used,
    )
    if refusal is not None:
        raise refusal


def _admit_checker(unit: UnitOfWork, order: Order, step: Step, who: str) -> None:
    _check_open(step, who)
    _admit(unit, order, step.company, Role.CHECKER, who)


def _check_open(step: Step, who: str) -> None:
    if step.state is not StepState.SUBMITTED or not step.waits:
        state = step.state.value if step.state is not StepState.SUBMITTED else "over"
        raise CorporatePaymentIsDecided(attempt=step.attempt, state=state)
    if step.maker == who:
        raise CheckerIsMaker(person=who)


def _held(unit: UnitOfWork, attempt: UUID, company: UUID) -> Step:
    step = table.find(unit.connection, attempt, lock=True)
    if step is None or step.company != company:
        raise CorporatePaymentIsUnknown(attempt=attempt)
    return step


def _midnight(connection: sa.Connection, mode: Mode, now: datetime) -> datetime:
    zone = ZoneInfo(institution.read_known(connection, mode).timezone)
    local = now.astimezone(zone)
    return datetime.combine(local.date(), datetime.min.time(), zone)


def _report(till: proofs.Till, attempt: UUID, finding: Finding, *, actor: str) -> Result:
    """End a waiting attempt that was never sent."""

    def work(unit: UnitOfWork) -> Result:
        settled = evidence.report_all(unit, [Report(attempt, Source.OPERATOR, finding)])
        ended = settled.attempts[attempt]
        return Result(settled.orders[ended.order], ended)

    return till.codes.database.transact(work, actor=actor)
