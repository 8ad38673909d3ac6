"""From the first word to the submission: drafted, consented to, submitted; withdrawn or expired."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.cases import closing
from steelyard.credit.model.application import (
    NOWHERE,
    Application,
    ApplicationIdIsTaken,
    ApplicationState,
    Consented,
    ConsentIsNeeded,
    CustomerMayNotBorrow,
    Facts,
    IdentityIsNotProved,
    Origin,
    Step,
    check_facts,
)
from steelyard.credit.model.consent_texts import ASSESSMENT, PURPOSES
from steelyard.credit.model.offer import Offer, OfferIsUnknown
from steelyard.credit.model.product import Product
from steelyard.credit.service.catalogue import product_of, read_active
from steelyard.credit.service.matters import REVIEW
from steelyard.credit.service.origination_facts import ApplicationEnded, ApplicationSubmitted
from steelyard.credit.service.steps import enter, move
from steelyard.credit.store import applications as table
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.parties import PartyKind, consents, registry

_S = ApplicationState
OPEN = (
    _S.DRAFTED,
    _S.CONSENTED,
    _S.SUBMITTED,
    _S.CHECKED,
    _S.DECIDED,
    _S.IN_REVIEW,
    _S.OFFERED,
)
"""The states in which a customer may still take it back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApplication:
    """What somebody asks for.

    Attributes
    ----------
    id : chosen by the asker; the same again is the same application
    channel : through which it came, for the funnel
    """

    party: UUID
    product: str
    facts: Facts
    origin: Origin = NOWHERE
    channel: str = "app"
    id: UUID | None = None


def publish_texts(unit: UnitOfWork) -> tuple[consents.ConsentText, ...]:
    """Publish the delivered consent texts; those that are published already are no new version."""
    return tuple(
        consents.publish_text(unit, purpose, zh=text.zh, en=text.en, changes_substance=True)
        for purpose, text in PURPOSES.items()
    )


def draft(unit: UnitOfWork, new: NewApplication) -> Application:
    """Write an application down by the terms that are sold today; nobody is asked yet.

    Refusals
    --------
    product_is_unknown, party_is_unknown, customer_may_not_borrow, tenor_is_not_offered,
    method_is_not_offered, amount_is_not_offered, application_is_malformed
    application_id_is_taken : by somebody else, or for something else
    """
    product = read_active(unit.connection, new.product)
    _customer(unit.connection, new.party)
    check_facts(product, new.facts)
    application = Application(
        id=new.id or unit.new_id(),
        party=new.party,
        product=product.code,
        product_version=product.version,
        channel=new.channel,
        state=_S.DRAFTED,
        version=1,
        facts=new.facts,
        origin=new.origin,
        consents=(),
        checks=None,
        decision=None,
        assessment=None,
        offer=None,
        loan=None,
        line=None,
        drafted_at=unit.now,
        changed_at=unit.now,
        expires_at=unit.now + timedelta(days=product.draft_days),
    )
    if enter(unit, application):
        return application
    present = table.read(unit.connection, application.id)
    asked = (new.party, new.product, new.facts)
    if asked != (present.party, present.product, present.facts):
        raise ApplicationIdIsTaken(application=present.id)
    return present


def consent(
    unit: UnitOfWork, application: UUID, texts: Mapping[str, int], *, channel: str
) -> Application:
    """Record that the customer read the texts and said yes; revocable at the parties.

    Parameters
    ----------
    texts : version read, by purpose

    Refusals
    --------
    application_is_unknown, application_state_forbids, application_has_expired, consent_is_needed,
    and those of `parties` for a consent
    """
    present = table.read(unit.connection, application, lock=True)
    if present.state is not _S.DRAFTED and present.consents:
        return present
    present.must_be("consent", _S.DRAFTED, now=unit.now)
    missing = [purpose for purpose in PURPOSES if purpose not in texts]
    if missing:
        raise ConsentIsNeeded(application=application, purposes=", ".join(missing))
    given = tuple(
        _consented(
            consents.grant(
                unit, present.party, purpose, text_version=texts[purpose], channel=channel
            )
        )
        for purpose in PURPOSES
    )
    detail = {one.purpose: one.text_version for one in given}
    return move(unit, present, _S.CONSENTED, consents=given, detail=detail)


def _consented(one: consents.Consent) -> Consented:
    return Consented(
        purpose=one.purpose,
        text_version=one.text_version,
        text_hash=one.text_hash.hex(),
        at=one.at,
    )


def submit(unit: UnitOfWork, application: UUID) -> Application:
    """Let an application be looked at: what is stated stays from now on.

    Refusals
    --------
    application_is_unknown, application_state_forbids, application_has_expired,
    customer_may_not_borrow, identity_is_not_proved, consent_is_needed : in this order
    """
    present = table.read(unit.connection, application, lock=True)
    if present.state not in (_S.DRAFTED, _S.CONSENTED):
        return present
    present.must_be("submit", _S.CONSENTED, now=unit.now)
    product = product_of(unit.connection, present.product, present.product_version)
    party = _customer(unit.connection, present.party)
    if party.level < product.identity_level:
        raise IdentityIsNotProved(
            product=product.code,
            party=party.id,
            needed=product.identity_level,
            present=int(party.level),
        )
    must_have_consent(unit.connection, present)
    fact = ApplicationSubmitted(
        application=present.id,
        party=present.party,
        product=present.product,
        product_version=present.product_version,
        channel=present.channel,
        currency=product.currency,
        amount_minor=present.facts.amount_minor,
        tenor=present.facts.tenor,
    )
    return move(unit, present, _S.SUBMITTED, fact=fact)


def withdraw(unit: UnitOfWork, application: UUID) -> Application:
    """Take an application back before it is a contract; withdrawn again it stays withdrawn.

    Refusals
    --------
    application_is_unknown, application_state_forbids
    """
    present = table.read(unit.connection, application, lock=True)
    if present.state is _S.WITHDRAWN:
        return present
    present.must_be("withdraw", *OPEN, now=present.changed_at)
    return _end(unit, present, _S.WITHDRAWN)


def expire(unit: UnitOfWork, *, limit: int = 200) -> int:
    """Write down which applications ran out of time; return how many.

    They count as expired from the instant itself; what a person looks at does not expire.
    """
    overdue = table.overdue(unit.connection, unit.now, limit=limit)
    for present in overdue:
        _end(unit, present, _S.EXPIRED)
    return len(overdue)


def _end(unit: UnitOfWork, present: Application, state: ApplicationState) -> Application:
    if present.state is _S.IN_REVIEW:
        closing.conclude(unit, REVIEW.name, present.subject, "withdrawn")
    fact = ApplicationEnded(
        application=present.id, party=present.party, product=present.product, how=state
    )
    return move(unit, present, state, fact=fact)


def read(connection: sa.Connection, application: UUID) -> Application:
    """Return an application.

    Refusals
    --------
    application_is_unknown
    """
    return table.read(connection, application)


def find(
    connection: sa.Connection,
    *,
    party: UUID | None = None,
    state: ApplicationState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Application]:
    """Return a page of applications, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    before = _uuid(str(decode_cursor(cursor, str)[0])) if cursor else None
    found = table.find(connection, party=party, state=state, before=before, limit=limit + 1)
    items = tuple(found[:limit])
    return Page(items, encode_cursor(str(items[-1].id)) if len(found) > limit else None)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise CursorIsInvalid from None


def steps_of(connection: sa.Connection, application: UUID) -> tuple[Step, ...]:
    """Return every step of an application, oldest first.

    Refusals
    --------
    application_is_unknown
    """
    table.read(connection, application)
    return tuple(table.steps(connection, application))


def offer_of(connection: sa.Connection, application: UUID) -> Offer:
    """Return the offer that an application has now.

    Refusals
    --------
    application_is_unknown, offer_is_unknown
    """
    present = table.read(connection, application)
    if present.offer is None:
        raise OfferIsUnknown(application=application, offer=None)
    return table.read_offer(connection, present.offer)


def must_have_consent(connection: sa.Connection, application: Application) -> None:
    """Refuse to go on where the consent was taken back, or a new text binds.

    Refusals
    --------
    consent_is_needed
    """
    if not consents.has_consent(connection, application.party, ASSESSMENT):
        raise ConsentIsNeeded(application=application.id, purposes=ASSESSMENT)


def product_for(connection: sa.Connection, application: Application) -> Product:
    """Return the terms by which an application was made."""
    return product_of(connection, application.product, application.product_version)


def _customer(connection: sa.Connection, party: UUID) -> registry.Party:
    found = registry.read_party(connection, party)
    if found.kind is not PartyKind.CUSTOMER or found.state is not registry.PartyState.ACTIVE:
        state = found.state if found.kind is PartyKind.CUSTOMER else found.kind
        raise CustomerMayNotBorrow(party=party, state=state)
    return found
