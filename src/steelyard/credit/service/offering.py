"""Offers: made from an assessment or a ruling, with every cost; asked for anew on another day."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.credit.model.application import Application, ApplicationState
from steelyard.credit.model.caps import LenderKind, delivered
from steelyard.credit.model.offer import AccountIsNotTheirs, Lender, Offer, content_of
from steelyard.credit.model.product import Product, Tier
from steelyard.credit.service import books
from steelyard.credit.service.applying import must_have_consent, product_for
from steelyard.credit.service.origination_facts import OfferMade
from steelyard.credit.service.steps import move
from steelyard.credit.store import applications as table
from steelyard.ledger import BookReader

LENDER = Lender(kind=LenderKind.LICENSED, caps=delivered())
"""By which caps the platform lends; the table is dated data, verified by whoever lends."""


def business_on(connection: sa.Connection, currency: str) -> date:
    """Return the day from which would be lent: the business date of the lender's book.

    Refusals
    --------
    lender_is_unknown
    """
    return books.business_on(connection, currency)


def must_own(connection: sa.Connection, account: str, party: UUID, *, book: str) -> None:
    """Refuse an account that is not the party's: nobody is lent to, or debited for, another.

    Refusals
    --------
    account_not_found, account_is_not_theirs
    """
    if BookReader(connection, book).account(account).owner != f"party:{party}":
        raise AccountIsNotTheirs(account=account, party=party)


def make_offer(
    unit: UnitOfWork,
    present: Application,
    product: Product,
    *,
    tier: Tier,
    amount_minor: int,
    cause: str,
    decision: UUID | None,
    on: date | None = None,
) -> Application:
    """Offer an amount in a tier, and return the application that has the offer.

    Parameters
    ----------
    on : day from which would be lent; None: the business date

    Refusals
    --------
    lender_is_unknown, annual_rate_is_over_cap, rate_cap_is_unknown
    """
    offer = _offer(
        unit,
        present,
        product,
        tier=tier,
        amount_minor=amount_minor,
        cause=cause,
        decision=decision,
        on=on or business_on(unit.connection, product.currency),
    )
    table.insert_offer(unit.connection, offer)
    fact = OfferMade(
        application=present.id,
        offer=offer.id,
        party=present.party,
        product=present.product,
        channel=present.channel,
        tier=tier,
        currency=product.currency,
        amount_minor=amount_minor,
        tenor=present.facts.tenor,
        cause=cause,
    )
    detail = {"offer": str(offer.id), "hash": offer.hash, "cause": cause}
    return move(
        unit,
        present,
        ApplicationState.OFFERED,
        fact=fact,
        detail=detail,
        offer=offer.id,
        expires_at=offer.expires_at,
    )


def refresh(unit: UnitOfWork, application: UUID) -> Offer:
    """Make the offer anew for today's dates: same amount, same price, the same day of expiry.

    Refusals
    --------
    application_is_unknown, application_state_forbids, application_has_expired, consent_is_needed
    """
    present = table.read(unit.connection, application, lock=True)
    present.must_be("refresh", ApplicationState.OFFERED, now=unit.now)
    must_have_consent(unit.connection, present)
    assert present.offer is not None, "it is offered"
    before = table.read_offer(unit.connection, present.offer)
    product = product_for(unit.connection, present)
    on = business_on(unit.connection, product.currency)
    if before.start_on == on:
        return before
    fresh = _offer(
        unit,
        present,
        product,
        tier=before.tier,
        amount_minor=before.amount_minor,
        cause=before.cause,
        decision=before.decision,
        on=on,
    )
    fresh = replace(fresh, expires_at=before.expires_at)
    table.insert_offer(unit.connection, fresh)
    detail = {"offer": str(fresh.id), "hash": fresh.hash, "in_place_of": str(before.id)}
    move(unit, present, ApplicationState.OFFERED, detail=detail, offer=fresh.id)
    return fresh


def _offer(
    unit: UnitOfWork,
    present: Application,
    product: Product,
    *,
    tier: Tier,
    amount_minor: int,
    cause: str,
    decision: UUID | None,
    on: date,
) -> Offer:
    order = replace(present.facts.order(on), amount_minor=amount_minor)
    content = content_of(product, tier, order, LENDER, price_minor=present.facts.price_minor)
    return Offer(
        id=unit.new_id(),
        application=present.id,
        content=content,
        cause=cause,
        decision=decision,
        made_by=unit.actor,
        made_at=unit.now,
        expires_at=unit.now + timedelta(days=product.offer_days),
    )
