"""Cards of customers: verified by their bank, proved by a code, and known by a token from then on.

The intent is committed with what may be kept of the card, the verifier is asked in no transaction,
and its answer is recorded. The card number is in memory for the length of one call.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.payments.model.bindings import (
    DAY,
    MOST_A_DAY,
    TOKEN_BEGINS,
    Binding,
    BindingState,
    CardAnswer,
    CardSaid,
    CardVerifier,
    FourFactors,
    is_ours,
    learn,
    needs_code,
)
from steelyard.payments.model.bindings_refusals import (
    BindingIsUnknown,
    BindingStateForbids,
    CardFactorIsMalformed,
    CardIsRefused,
    CardNumberIsMalformed,
    CardVerifierIsAway,
    TooManyCards,
)
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Payer
from steelyard.payments.model.proofs import (
    ProofCannotBeSent,
    ProofHasLapsed,
    ProofIsWrong,
    ProofTriesAreUsedUp,
    ProofWasJustSent,
    Purpose,
)
from steelyard.payments.service.bindings_facts import CardBound, CardUnbound
from steelyard.payments.service.paying import Pay
from steelyard.payments.service.proofs import PHONE_CONTEXT
from steelyard.payments.service.proofs_codes import Codes, CodeSent, answer_code, send_code
from steelyard.payments.store import bindings as table

__all__ = [
    "ON_BIND",
    "ON_CODE",
    "ON_CONFIRM",
    "Binding",
    "BindingIsUnknown",
    "BindingState",
    "BindingStateForbids",
    "CardAnswer",
    "CardFactorIsMalformed",
    "CardIsRefused",
    "CardNumberIsMalformed",
    "CardSaid",
    "CardVerifier",
    "CardVerifierIsAway",
    "FourFactors",
    "TooManyCards",
    "bind",
    "confirm",
    "is_ours",
    "list_bindings",
    "needs_code",
    "pay_by_token",
    "poll",
    "read",
    "send_bind_code",
    "unbind",
]

ON_BIND: Final = (
    CardNumberIsMalformed,
    CardFactorIsMalformed,
    TooManyCards,
    CardVerifierIsAway,
)
ON_CODE: Final = (
    BindingIsUnknown,
    BindingStateForbids,
    CardIsRefused,
    ProofWasJustSent,
    ProofTriesAreUsedUp,
    ProofCannotBeSent,
)
ON_CONFIRM: Final = (BindingIsUnknown, BindingStateForbids, ProofHasLapsed, ProofIsWrong)


def bind(
    codes: Codes,
    verifier: CardVerifier,
    customer: UUID,
    factors: FourFactors,
    *,
    id: UUID,
    actor: str,
) -> Binding:
    """Begin to bind a card: its bank is asked whether the four factors belong together.

    Parameters
    ----------
    id : of the binding; asked again with the same, what became of it is returned

    Returns
    -------
    Binding
        `code_needed` where the bank confirms, `refused` where it does not, `verifying` while
        nobody knows.

    Refusals
    --------
    card_number_is_malformed, card_factor_is_malformed, too_many_cards
    """
    clean = factors.checked()

    def begin(unit: UnitOfWork) -> tuple[Binding, bool]:
        known = table.find(unit.connection, id)
        if known is not None:
            return known, False
        if table.count_since(unit.connection, customer, unit.now - DAY) >= MOST_A_DAY:
            raise TooManyCards(most=MOST_A_DAY)
        new = _new(unit, codes, customer, clean, id)
        table.insert(unit.connection, new)
        audit(unit, action="payments.bind_card", subject=f"binding:{id}")
        return new, True

    made, is_new = codes.database.transact(begin, actor=actor)
    if not is_new:
        return poll(codes, verifier, made.id, actor=actor)
    answer = verifier.verify(made.id.hex, clean)
    return _learnt(codes, made.id, answer, actor=actor)


def poll(codes: Codes, verifier: CardVerifier, id: UUID, *, actor: str) -> Binding:
    """Ask what became of a verification of which nobody knows.

    Refusals
    --------
    binding_is_unknown
    """
    with codes.database.reading() as connection:
        known = table.find(connection, id)
    if known is None:
        raise BindingIsUnknown(binding=id)
    if known.state is not BindingState.VERIFYING:
        return known
    return _learnt(codes, id, verifier.query(id.hex), actor=actor)


def send_bind_code(codes: Codes, id: UUID, customer: UUID, *, actor: str) -> CodeSent:
    """Send a code to the phone that the bank confirmed.

    Refusals
    --------
    binding_is_unknown, binding_state_forbids, card_is_refused, proof_was_just_sent,
    proof_tries_are_used_up, proof_cannot_be_sent
    """

    def phone_of(unit: UnitOfWork) -> str:
        known = _mine(table.lock(unit.connection, id), customer, id)
        if known.state is BindingState.REFUSED:
            raise CardIsRefused(reason=known.reason or "factors_disagree")
        if known.state is not BindingState.CODE_NEEDED:
            raise BindingStateForbids(binding=id, state=known.state.value, verb="code")
        return codes.keyring.unseal(unit.connection, known.phone, context=PHONE_CONTEXT)

    return send_code(codes, id, Purpose.BIND, phone_of, actor=actor)


def confirm(codes: Codes, id: UUID, customer: UUID, code: str, *, actor: str) -> Binding:
    """Bind the card for good, by the code.

    Refusals
    --------
    binding_is_unknown, binding_state_forbids, proof_has_lapsed, proof_is_wrong
    """
    with codes.database.reading() as connection:
        known = read(connection, id, customer)
    if known.state is BindingState.ACTIVE:
        return known
    if known.state is not BindingState.CODE_NEEDED:
        raise BindingStateForbids(binding=id, state=known.state.value, verb="confirmed")
    answer_code(codes, id, code, actor=actor)

    def work(unit: UnitOfWork) -> Binding:
        held = _mine(table.lock(unit.connection, id), customer, id)
        if held.state is not BindingState.CODE_NEEDED:
            return held
        active = replace(held, state=BindingState.ACTIVE, bound_at=unit.now)
        active = table.write(unit.connection, active)
        fact = CardBound(customer=customer, binding=id, bank=active.bank)
        unit.record(fact, subject=f"party:{customer}")
        return active

    return codes.database.transact(work, actor=actor)


def unbind(unit: UnitOfWork, id: UUID, customer: UUID) -> Binding:
    """Let a card be paid with no more; attempts that were begun go on.

    Refusals
    --------
    binding_is_unknown
    """
    held = _mine(table.lock(unit.connection, id), customer, id)
    if held.state in (BindingState.UNBOUND, BindingState.REFUSED):
        return held
    was_active = held.state is BindingState.ACTIVE
    gone = table.write(
        unit.connection, replace(held, state=BindingState.UNBOUND, ended_at=unit.now)
    )
    if was_active:
        fact = CardUnbound(customer=customer, binding=id, bank=gone.bank)
        unit.record(fact, subject=f"party:{customer}")
    audit(unit, action="payments.unbind_card", subject=f"binding:{id}")
    return gone


def read(connection: sa.Connection, id: UUID, customer: UUID) -> Binding:
    """Return a customer's own card.

    Refusals
    --------
    binding_is_unknown
    """
    return _mine(table.find(connection, id), customer, id)


def list_bindings(connection: sa.Connection, customer: UUID) -> Sequence[Binding]:
    """Return the cards of a customer that are bound or on their way, the newest first."""
    gone = (BindingState.UNBOUND, BindingState.REFUSED)
    return [one for one in table.of_customer(connection, customer) if one.state not in gone]


def pay_by_token(
    connection: sa.Connection,
    how: Pay,
    payer: Payer,
    *,
    amount_minor: int,
    currency: str,
    always_code: bool = False,
) -> Pay:
    """Return how an order is paid with a bound card: above a limit the payer proves himself.

    Parameters
    ----------
    payer : names the token, and the customer whose it must be
    always_code : whatever the amount

    Refusals
    --------
    binding_is_unknown : also a token of somebody else's card, or of one that is bound no more
    """
    token = payer.instrument or ""
    found = table.find_token(connection, token)
    mine = found is not None and found.customer == payer.customer
    if found is None or not mine or found.state is not BindingState.ACTIVE:
        raise BindingIsUnknown(binding=token[:40])
    assert found.card_token is not None, "it is active"
    wants = always_code or needs_code(amount_minor, currency)
    return replace(
        how,
        method=Method.QUICK_PAY,
        # The token is as good as the card: what is written down is its name only.
        payer=replace(payer, instrument=found.reference),
        details={**how.details, "card_token": found.card_token, "bank": found.bank},
        waits_for="proof" if wants else how.waits_for,
    )


def _new(unit: UnitOfWork, codes: Codes, customer: UUID, factors: FourFactors, id: UUID) -> Binding:
    at: datetime = unit.now
    return Binding(
        id=id,
        customer=customer,
        token=TOKEN_BEGINS + secrets.token_hex(16),
        state=BindingState.VERIFYING,
        version=1,
        bank="",
        bin=factors.card_number[:6],
        last4=factors.card_number[-4:],
        created_at=at,
        phone=codes.keyring.seal(
            unit.connection, factors.phone, owner=f"party:{customer}", context=PHONE_CONTEXT
        ),
    )


def _learnt(codes: Codes, id: UUID, answer: CardAnswer, *, actor: str) -> Binding:
    def work(unit: UnitOfWork) -> Binding:
        held = table.lock(unit.connection, id)
        assert held is not None, "it was inserted"
        after = learn(held, answer, unit.now)
        return held if after == held else table.write(unit.connection, after)

    return codes.database.transact(work, actor=actor)


def _mine(found: Binding | None, customer: UUID, id: UUID) -> Binding:
    if found is None or found.customer != customer:
        raise BindingIsUnknown(binding=id)
    return found
