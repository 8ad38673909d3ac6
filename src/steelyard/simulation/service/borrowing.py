"""Loans of the town, applied for as by anybody: consent, identity, bureau, policy, offer, contract.

Every step is a verb of `credit` in a transaction of its own, and each finds what those before it
left: asked for again, nothing doubles, and what a crash cut off goes on. Those that the policy
refers to a person come before an underwriter of the town's own. Ids follow from the request's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from steelyard.base import Database, Gate, UnitOfWork, Verdict
from steelyard.base.crypto import Keyring
from steelyard.cashflows import terms
from steelyard.credit import bureau, catalogue, origination, underwriting
from steelyard.parties import IdentityProvider, consents, registry
from steelyard.payments import accounts
from steelyard.simulation import store
from steelyard.simulation.chance import stream
from steelyard.simulation.model import CURRENCY
from steelyard.simulation.model.lending import LoanAnswer, LoanOrder, LoanOutcome, check_batch
from steelyard.simulation.model.state import TownIsNotFounded, customer_origin, merchant_origin
from steelyard.simulation.service.ids import seed_ids
from steelyard.simulation.service.office import prove_identity

__all__ = ["UNDERWRITER", "Desk", "LoanAnswer", "LoanOrder", "LoanOutcome", "apply_for_loans"]

CHANNEL: Final = "town"
UNDERWRITER: Final = "staff:town_underwriter"
"""Who rules on what is referred: nobody that was hired, a simulated person of the town's."""
UNKNOWN_PARTY: Final = "party_is_unknown"
_ON_DRAFT: Final = (
    origination.ApplicationIsMalformed,
    origination.CustomerMayNotBorrow,
    catalogue.AmountIsNotOffered,
    catalogue.TenorIsNotOffered,
)
_ON_SUBMIT: Final = (
    origination.IdentityIsNotProved,
    origination.ApplicationStateForbids,
    origination.ApplicationHasExpired,
)
_WAITS: Final = 0.12
"""Share of what is referred that nobody gets round to: work for whoever signs in."""
_LINE_IS_DOWN: Final = 0.08
"""Share of applications for which the bureau is not reached: their files are unknown."""
_DOUBTS: Final = 0.12
_LEAVES: Final = 0.07
"""Share of offers that nobody answers; they expire."""
_SHOWS_INCOME: Final = 0.7
_S = origination.ApplicationState


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What an application is served with.

    Attributes
    ----------
    identity : None: the town answers for its people
    credit_bureau : None: credit files are unknown, and a person looks at every application
    """

    database: Database
    keyring: Keyring
    gate: Gate
    identity: IdentityProvider | None
    credit_bureau: bureau.CreditBureau | None


@dataclass(frozen=True, slots=True)
class _Case:
    """An order on its way: who asks, and the merchant of a purchase."""

    order: LoanOrder
    party: UUID
    merchant: UUID | None

    @property
    def actor(self) -> str:
        return f"party:{self.party}"


def apply_for_loans(desk: Desk, orders: Sequence[LoanOrder]) -> tuple[LoanAnswer, ...]:
    """Carry applications through to the contract, to a no, or to where they wait.

    Returns
    -------
    tuple of LoanAnswer
        One for each order, as its application stands; asked again, as it stands then.

    Refusals
    --------
    town_is_not_founded, too_many_loans, lender_is_unknown, and those of a decision
    """
    check_batch(orders)
    with desk.database.reading() as connection:
        if store.read(connection) is None:
            raise TownIsNotFounded
        parties = registry.find_origins(connection, list(_origins(orders)))
        # Those in force are the last; without any, the application refuses to go on.
        published = consents.texts_of(connection, bureau.PURPOSE)
        texts = {text.purpose: text.version for text in published[-1:]}
    answers: dict[UUID, LoanAnswer] = {}
    cases: list[_Case] = []
    for order in orders:
        case = _case(order, parties)
        if case is None:
            answers[order.id] = _declined(order, UNKNOWN_PARTY)
        elif (refused := _begin(desk, case, texts)) is not None:
            answers[order.id] = _declined(order, refused)
        else:
            cases.append(case)
    _judge(desk, cases)
    for case in cases:
        answers[case.order.id] = _settle(desk, case)
    return tuple(answers[order.id] for order in orders)


def _origins(orders: Sequence[LoanOrder]) -> Iterator[str]:
    for order in orders:
        yield customer_origin(order.customer)
        if order.merchant is not None:
            yield merchant_origin(order.merchant)


def _case(order: LoanOrder, parties: Mapping[str, UUID]) -> _Case | None:
    party = parties.get(customer_origin(order.customer))
    merchant = None
    if order.merchant is not None:
        merchant = parties.get(merchant_origin(order.merchant))
    return None if party is None else _Case(order, party, merchant)


def _declined(order: LoanOrder, reason: str) -> LoanAnswer:
    return LoanAnswer(order.id, LoanOutcome.DECLINED, reason=reason)


# -- from the first word to the submission ------------------------------------------------------


def _begin(desk: Desk, case: _Case, texts: Mapping[str, int]) -> str | None:
    """Draft, consent, prove who it is, submit; return why nothing was written, None otherwise."""
    order = case.order

    def draft(unit: UnitOfWork) -> None:
        seed_ids(unit, "application", str(order.id))
        origination.draft(unit, _new(unit, case))
        origination.consent(unit, order.id, texts, channel=CHANNEL)

    try:
        desk.database.transact(draft, actor=case.actor)
    except _ON_DRAFT as refusal:
        return refusal.code
    prove_identity(
        desk.database, desk.keyring, desk.identity, case.party, about=order.id, actor=case.actor
    )
    # Who could not be proved leaves the application as it is, until it expires.
    with suppress(*_ON_SUBMIT):
        desk.database.transact(lambda unit: origination.submit(unit, order.id), actor=case.actor)
    return None


def _new(unit: UnitOfWork, case: _Case) -> origination.NewApplication:
    order, chance = case.order, stream(0, "stated", str(case.order.id))
    price = None
    if case.merchant is not None:
        least_bp = catalogue.read_active(unit.connection, order.product).least_down_payment_bp
        price = -(-order.amount_minor * 10_000 // (10_000 - least_bp))
    purpose = "goods" if case.merchant else chance.choice(("home", "education", "goods", "other"))
    facts = origination.Facts(
        amount_minor=order.amount_minor,
        tenor=f"{order.months}m",
        method=terms.Method.EQUAL_INSTALMENT,
        purpose=purpose,
        income_minor=order.income_minor,
        income_is_shown=chance.random() < _SHOWS_INCOME,
        price_minor=price,
        merchant=case.merchant,
    )
    return origination.NewApplication(
        id=order.id,
        party=case.party,
        product=order.product,
        facts=facts,
        origin=origination.Origin(device=f"town:{order.customer}"),
        channel=CHANNEL,
    )


# -- looked at, and decided ---------------------------------------------------------------------


def _judge(desk: Desk, cases: Sequence[_Case]) -> None:
    """Check what was submitted, ask the policy about all of it at once, and conclude."""
    found = [_check(desk, case) for case in cases]
    checked = [one for one in found if one.state is _S.CHECKED]
    if not checked:
        return
    with desk.database.reading() as connection:
        questions = [underwriting.question_of(connection, one) for one in checked]
    verdicts = desk.gate.ask_all(underwriting.SCENE, questions)
    for one, verdict in zip(checked, verdicts, strict=True):

        def conclude(
            unit: UnitOfWork, one: origination.Application = one, verdict: Verdict = verdict
        ) -> None:
            seed_ids(unit, "conclusion", str(one.id))
            underwriting.conclude(unit, one.id, one.version, verdict)

        desk.database.transact(conclude, actor=f"party:{one.party}")


def _check(desk: Desk, case: _Case) -> origination.Application:
    application = _read(desk, case)
    if application.state not in (_S.SUBMITTED, _S.CHECKED):
        return application
    is_down = stream(0, "bureau", str(case.order.id)).random() < _LINE_IS_DOWN
    asked = None if is_down else desk.credit_bureau
    try:
        return underwriting.check(
            desk.database, desk.keyring, asked, case.order.id, actor=case.actor
        )
    except bureau.InquiryIsUnderWay:
        # An earlier question is not answered yet: the file is unknown, and a person looks at it.
        return underwriting.check(
            desk.database, desk.keyring, None, case.order.id, actor=case.actor
        )


def _read(desk: Desk, case: _Case) -> origination.Application:
    with desk.database.reading() as connection:
        return origination.read(connection, case.order.id)


# -- ruled on, and accepted ---------------------------------------------------------------------


def _settle(desk: Desk, case: _Case) -> LoanAnswer:
    application = _read(desk, case)
    if application.state is _S.IN_REVIEW:
        application = desk.database.transact(
            lambda unit: _rule(unit, application), actor=UNDERWRITER
        )
    if application.state is _S.OFFERED:
        application = desk.database.transact(
            lambda unit: _accept(unit, case, application), actor=case.actor
        )
    return _answer(desk, case.order, application)


def _rule(unit: UnitOfWork, application: origination.Application) -> origination.Application:
    """Rule as the simulated underwriter does: within what was assessed, by a draw of its own."""
    lot = stream(0, "underwriter", str(application.id)).random()
    if lot < _WAITS:
        return application
    assessed = underwriting.assessment_of(application)
    assert assessed is not None, "it was assessed before it was referred"
    kinds = underwriting.RulingKind
    kind, reason, amount = kinds.APPROVE, "judged_by_a_person", None
    if lot < _WAITS + _DOUBTS:
        kind, reason = kinds.DECLINE, "documents_do_not_suffice"
    elif assessed.amount_minor < application.facts.amount_minor:
        kind, reason, amount = kinds.REDUCE, "income_does_not_carry_it", assessed.amount_minor
    seed_ids(unit, "ruling", str(application.id))
    ruling = underwriting.PersonsRuling(kind=kind, reasons=(reason,), amount_minor=amount)
    return underwriting.rule(unit, application.id, ruling)


def _accept(
    unit: UnitOfWork, case: _Case, application: origination.Application
) -> origination.Application:
    """Accept the offer as it is shown; leave it lying, also where other debts took its room."""
    order = case.order
    if stream(0, "answers-offer", str(order.id)).random() < _LEAVES:
        return application
    seed_ids(unit, "loan", str(order.id))
    while True:
        offer = origination.refresh(unit, order.id)
        acceptance = origination.Acceptance(
            offer=offer.id,
            terms_hash=offer.hash,
            text_version=int(offer.content["contract_text"]["version"]),
            wallet_account=order.account,
            payee=_paid_to(case.merchant),
            device=application.origin.device,
        )
        try:
            return origination.accept(unit, order.id, acceptance)
        except origination.OfferIsOfAnotherDay:
            # The lender's day was closed meanwhile, which it is once a day: shown anew, it fits.
            continue
        except origination.OfferNoLongerFits:
            return application


def _paid_to(merchant: UUID | None) -> str | None:
    """Return the account of a merchant that the lender pays for a purchase, None without one."""
    return None if merchant is None else accounts.available(merchant, CURRENCY)


def _answer(desk: Desk, order: LoanOrder, application: origination.Application) -> LoanAnswer:
    match application.state:
        case _S.SIGNED:
            with desk.database.reading() as connection:
                offer = origination.offer_of(connection, application.id)
            return LoanAnswer(order.id, LoanOutcome.GRANTED, offer.amount_minor)
        case _S.DECLINED:
            reasons = underwriting.adverse_reasons(application)
            return _declined(order, reasons[0])
        case _S.IN_REVIEW:
            return LoanAnswer(order.id, LoanOutcome.REFERRED)
        case _S.CONSENTED:
            return LoanAnswer(order.id, LoanOutcome.LEFT, reason="identity_is_not_proved")
    return LoanAnswer(order.id, LoanOutcome.LEFT, reason=f"application_is_{application.state}")
