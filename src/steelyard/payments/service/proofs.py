"""Step-up (加验): what the gate wants of a payer is proved, the gate asked again, and then paid.

An attempt that waits for a proof was not sent: nobody outside knows of it. Once the payer answered
the code that was sent to his phone, the gate is asked again with the fact `proof`. A policy that
knows the fact decides; one that still wants a proof has it, and the payment rests on the rule
`rule.proof_lets_pass@1`. Where its channel closed meanwhile another is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Database, Gate, Outcome, Question, Settings, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal
from steelyard.parties import PersonalField, personal, phone_sign_in
from steelyard.payments.model.attempts import Attempt, AttemptState, Source
from steelyard.payments.model.bindings import binding_of
from steelyard.payments.model.channel import Decline, Finding, Said
from steelyard.payments.model.channel_calendar import closed_between
from steelyard.payments.model.orders import Order
from steelyard.payments.model.proofs import (
    PROVED,
    PayerHasNoPhone,
    ProofCannotBeSent,
    ProofHasLapsed,
    ProofIsNotAsked,
    ProofIsWrong,
    ProofTriesAreUsedUp,
    ProofWasJustSent,
    Purpose,
)
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service import evidence
from steelyard.payments.service.at_once import SCENE, told_of
from steelyard.payments.service.evidence import BALANCE, Report
from steelyard.payments.service.paying import Desk, Pay, Paying, Rerouted, Result, Routing
from steelyard.payments.service.proofs_codes import (
    Codes,
    CodeSent,
    answer_code,
    is_used_up,
    send_code,
)
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import bindings as bindings_table
from steelyard.payments.store import health as health_table
from steelyard.payments.store import orders as orders_table

__all__ = [
    "ON_ANSWER",
    "ON_SEND",
    "CodeSent",
    "Codes",
    "PayerHasNoPhone",
    "ProofCannotBeSent",
    "ProofHasLapsed",
    "ProofIsNotAsked",
    "ProofIsWrong",
    "ProofTriesAreUsedUp",
    "ProofWasJustSent",
    "Till",
    "answer",
    "codes_of",
    "go_on",
    "send",
]

ON_SEND: Final = (
    PaymentIsUnknown,
    ProofIsNotAsked,
    PayerHasNoPhone,
    ProofWasJustSent,
    ProofTriesAreUsedUp,
    ProofCannotBeSent,
)
ON_ANSWER: Final = (PaymentIsUnknown, ProofIsNotAsked, ProofHasLapsed, ProofIsWrong)
_WAITS: Final = "proof"
_PURPOSE: Final = "contract_notice"
PHONE_CONTEXT: Final = "payments.binding.phone"


@dataclass(frozen=True, slots=True)
class Till:
    """What a payment is proved and sent on with."""

    codes: Codes
    gate: Gate
    paying: Paying
    desk: Desk
    routing: Routing


def codes_of(
    database: Database,
    keyring: Keyring,
    sender: phone_sign_in.CodeSender | None,
    settings: Settings,
) -> Codes:
    """Return what codes are made and sent with; in development no service need be there."""
    return Codes(database, keyring, sender or phone_sign_in.DevelopmentCodeSender(settings))


def send(till: Till, attempt_id: UUID, *, actor: str) -> CodeSent:
    """Send the payer of a waiting attempt a one-time code.

    It goes to the phone of the card that is paid with, else to the one that the payer has with us.
    An attempt whose codes are used up is declined.

    Refusals
    --------
    payment_is_unknown, proof_is_not_asked, payer_has_no_phone, proof_was_just_sent,
    proof_tries_are_used_up, proof_cannot_be_sent
    """
    try:
        return send_code(
            till.codes,
            attempt_id,
            Purpose.PAY,
            lambda unit: _phone_of(till, unit, attempt_id),
            actor=actor,
        )
    except Refusal as refusal:
        if is_used_up(refusal):
            no = Finding(
                said=Said.DECLINED, decline=Decline.INVALID_PIN, code="proof_tries_are_used_up"
            )
            _report(till, attempt_id, no, actor=actor)
        raise


def answer(till: Till, attempt_id: UUID, code: str, *, actor: str) -> Result:
    """Take the payer's answer, ask the gate again, and send the attempt.

    Returns
    -------
    Result
        What is known after the channel was asked; or the attempt declined by the gate.

    Refusals
    --------
    payment_is_unknown, proof_is_not_asked, proof_has_lapsed, proof_is_wrong; no_channel_is_open
    while its channel and all others are closed: the proof stays good as long as the code
    """
    with till.codes.database.reading() as connection:
        _waiting(connection, attempt_id, _WAITS)
    answer_code(till.codes, attempt_id, code, actor=actor)
    return go_on(till, attempt_id, waits=_WAITS, actor=actor)


def go_on(till: Till, attempt_id: UUID, *, waits: str, actor: str) -> Result:
    """Send an attempt whose payer has done what it waited for, if the gate still lets it.

    Refusals
    --------
    payment_is_unknown, proof_is_not_asked, no_channel_is_open; those of decisions
    """
    database = till.codes.database
    with database.reading() as connection:
        order, attempt = _waiting(connection, attempt_id, waits)
    now = database.now()
    again = _rerouted(till, order, attempt, now)
    told = {**told_of(order, attempt.method), "proof": True}
    question = Question(str(uuid5(attempt.id, "proof")), now, told)
    (verdict,) = till.gate.ask_all(SCENE, [question])
    if verdict.outcome is Outcome.STEP_UP:
        verdict = Verdict(Outcome.APPROVE, PROVED, verdict.reasons)
    limit = verdict.limit_minor
    lets = verdict.outcome in (Outcome.APPROVE, Outcome.LIMIT)
    if not lets or (limit is not None and attempt.amount_minor > limit):
        code = ",".join(verdict.reasons)[:200] or verdict.outcome.value
        no = Finding(said=Said.DECLINED, decline=Decline.SUSPECTED_FRAUD, code=code)
        return _report(till, attempt_id, no, actor=actor)
    return till.paying.resume(attempt_id, verdict, again=again, actor=actor)


def _waiting(connection: sa.Connection, attempt_id: UUID, waits: str) -> tuple[Order, Attempt]:
    """Return an attempt that waits for something of its payer, and its order."""
    attempt = attempts_table.find(connection, [attempt_id]).get(attempt_id)
    if attempt is None:
        raise PaymentIsUnknown(payment=attempt_id)
    order = orders_table.find(connection, [attempt.order])[attempt.order]
    kind = (attempt.action or {}).get("kind")
    if attempt.state is not AttemptState.INIT or order.state.is_over or kind != waits:
        raise ProofIsNotAsked(about=order.id)
    return order, attempt


def _phone_of(till: Till, unit: UnitOfWork, attempt_id: UUID) -> str:
    order, attempt = _waiting(unit.connection, attempt_id, _WAITS)
    keyring = till.codes.keyring
    card = binding_of(attempt.instrument)
    bound = None if card is None else bindings_table.find(unit.connection, card)
    if bound is not None:
        return keyring.unseal(unit.connection, bound.phone, context=PHONE_CONTEXT)
    customer = order.payer.customer
    if customer is None:
        raise PayerHasNoPhone(about=order.id)
    try:
        reading = personal.Reading(customer, (PersonalField.PHONE,), _PURPOSE)
        found = personal.disclose(unit, keyring, reading)
    except Refusal:
        found = {}
    if PersonalField.PHONE not in found:
        raise PayerHasNoPhone(about=order.id)
    return found[PersonalField.PHONE]


def _rerouted(till: Till, order: Order, attempt: Attempt, now: datetime) -> Rerouted | None:
    """Return another channel where the one that was chosen takes nothing now.

    Refusals
    --------
    no_channel_is_open
    """
    if attempt.channel == BALANCE:
        return None
    can = till.desk.capability(attempt.channel)
    with till.codes.database.reading() as connection:
        windows = health_table.windows(connection, [attempt.channel], now)[attempt.channel]
    shut = closed_between(can, windows, now, now + timedelta(seconds=1))
    if not any(not one.methods or attempt.method in one.methods for one in shut):
        return None
    choice = uuid5(attempt.id, "rerouted")
    how = Pay(attempt=choice, method=attempt.method, details=attempt.details)
    return Rerouted(till.routing.route(order, how, now).channel, choice)


def _report(till: Till, attempt_id: UUID, finding: Finding, *, actor: str) -> Result:
    """End a waiting attempt that was never sent."""

    def work(unit: UnitOfWork) -> Result:
        said = [Report(attempt_id, Source.OPERATOR, finding)]
        settled = evidence.report_all(unit, said)
        attempt = settled.attempts[attempt_id]
        return Result(settled.orders[attempt.order], attempt)

    return till.codes.database.transact(work, actor=actor)
