"""Cross-border payments: planned over providers, locked, screened, funded; what people do to them.

Postings, A is sold and B bought, in the client book unless told otherwise::

    funded      Dr merchant/available:A   Cr cross_border:A            amount and fees
    converted   the four lines of `fx_books`, from cross_border:A to cross_border:B
    sent        Dr in_transit/<provider>:B  Cr settlement:B            it left the reserve
                Dr cross_border:A         Cr fees_due:A                fees are earned
    credited    Dr cross_border:B         Cr in_transit/<provider>:B
    returned    Dr settlement:B           Cr in_transit/<provider>:B   net of fees on the way
                Dr cross_border:B         Cr in_transit/<provider>:B   those fees
                and back to A by `quotes.convert_back`, to merchant/available:A; what was lost is
                the payer's, ours (own book, expense/fx_returns) or the provider's (own book,
                claims/<provider>), by contract
    rejected    Dr cross_border:A         Cr merchant/available:A

Asking providers stands in `crossborder_sending`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

import sqlalchemy as sa

from steelyard.base import Outcome, UnitOfWork, Verdict
from steelyard.base.audit import audit
from steelyard.cases import CaseKind, open_case, registry
from steelyard.decisions import consume
from steelyard.kernel import Currency, Page, encode_cursor
from steelyard.ledger import Heading
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import (
    Cross,
    CrossState,
    Deal,
    Delivery,
    Leg,
    LegState,
    LossOwner,
    NewCross,
    Remittance,
    Remitter,
    ReturnRate,
    Word,
)
from steelyard.payments.model.crossborder_refusals import (
    CorridorIsMalformed,
    CrossBorderIsHeld,
    CrossBorderIsUnknown,
    CrossBorderNoWasUsed,
    CrossBorderStateForbids,
    NoProviderFits,
    ProviderIsUnknown,
)
from steelyard.payments.model.crossborder_routes import (
    PPM,
    Candidate,
    Choice,
    Corridor,
    RouteAsk,
    check_corridor,
    choose,
    provider_day,
    shares_of,
)
from steelyard.payments.model.fx_refusals import QuoteHasExpired
from steelyard.payments.model.quotes import Quote, QuoteState, must_be_usable
from steelyard.payments.model.refusals import (
    PaymentMerchantIsNotActive,
    PaymentMerchantIsUnknown,
)
from steelyard.payments.service import fx_facts, institution
from steelyard.payments.service import quotes as quoting
from steelyard.payments.service.fx_books import chained, have_client, post_covered
from steelyard.payments.service.refunds import position_of
from steelyard.payments.store import crossborder as table
from steelyard.payments.store import institution as contracts
from steelyard.payments.store import quotes as quote_table

__all__ = [
    "LOOK",
    "Arrival",
    "Candidate",
    "Choice",
    "Corridor",
    "CorridorIsMalformed",
    "Cross",
    "CrossBorderIsHeld",
    "CrossBorderIsUnknown",
    "CrossBorderNoWasUsed",
    "CrossBorderStateForbids",
    "CrossState",
    "Deal",
    "Delivery",
    "Event",
    "Leg",
    "LegState",
    "LossOwner",
    "NameScreen",
    "NewCross",
    "NoProviderFits",
    "ProviderIsUnknown",
    "Remittance",
    "Remitter",
    "ReturnRate",
    "RouteAsk",
    "Word",
    "accept",
    "arrivals",
    "corridors",
    "create",
    "fund",
    "history",
    "list_payments",
    "read",
    "reject",
    "release",
    "requote",
    "routes",
    "set_corridor",
]

SCENE: Final = "payment"
_RELEASED: Final = "rule.cross_border_release@1"
_REJECTED: Final = "rule.cross_border_rejection@1"

LOOK: Final = registry.register_kind(
    CaseKind(
        "payments.cross_border",
        "A cross-border payment that people look at",
        "待核查的跨境付款",
        registry.Sla(timedelta(hours=4)),
        (
            registry.CaseOutcome("released", "Released", "放行"),
            registry.CaseOutcome("rejected", "Rejected", "拒绝"),
            registry.CaseOutcome("explained", "Explained", "已查明"),
        ),
        priority=registry.Priority.HIGH,
        skill="payments.exchange",
    )
)


class NameScreen(Protocol):
    """Compares parties with lists of those who may not be paid; called outside of transactions."""

    def hits(self, name: str, country: str) -> Sequence[str]:
        """Return the references of entries that a name may be; nothing where it is none of them."""
        ...


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the history of a payment."""

    at: Any
    what: str
    detail: Mapping[str, Any]
    actor: str


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a provider kept its word: legs that were sent, and how late the late ones were."""

    provider: str
    legs: int
    credited: int
    returned: int
    on_time: int
    late_seconds: int


def set_corridor(unit: UnitOfWork, corridor: Corridor) -> Corridor:
    """Enter what a provider offers between two currencies, or change it.

    Refusals
    --------
    corridor_is_malformed, unknown_calendar, unknown_currency
    """
    check_corridor(corridor)
    for one in (corridor.sell, corridor.buy):
        Currency.of(one)
    table.put_corridor(unit.connection, corridor, by=unit.actor, at=unit.now)
    audit(
        unit,
        action="payments.set_corridor",
        subject=f"corridor:{corridor.provider}.{corridor.sell}.{corridor.buy}",
        detail={"spread_ppm": corridor.spread_ppm, "is_open": corridor.is_open},
    )
    return corridor


def corridors(connection: sa.Connection) -> list[Corridor]:
    """Return all corridors."""
    return table.corridors(connection)


def routes(
    unit: UnitOfWork,
    quote: Quote,
    new: NewCross,
    *,
    buy_minor: int | None = None,
    without: frozenset[str] = frozenset(),
) -> tuple[Choice, list[Corridor]]:
    """Weigh the providers for a payment; their corridors are held, so that limits are kept.

    Parameters
    ----------
    buy_minor : a part of the payment; None: all of it
    """
    found = table.corridors(unit.connection, sell=quote.sell, buy=quote.buy, lock=True)
    sent = {
        one.provider: table.planned_on(
            unit.connection,
            one.provider,
            provider_day(one, unit.now),
            quote.buy,
            without=new.id,
        )
        for one in found
    }
    part = quote.buy_minor if buy_minor is None else buy_minor
    ask = RouteAsk(
        sell=quote.sell,
        buy=quote.buy,
        country=new.country,
        sell_minor=quote.sell_minor * part // quote.buy_minor,
        buy_minor=part,
        lifting_rate=_per_minor(quote),
        premium_minor=quote.sell_minor * part // quote.buy_minor * quote.premium_ppm // PPM,
        arrive_by=new.arrive_by,
    )
    return choose(ask, found, sent_today=sent, now=unit.now, without=without), found


def _per_minor(quote: Quote) -> Decimal:
    sell, buy = Currency.of(quote.sell), Currency.of(quote.buy)
    return Decimal(sell.minor_per_major) / (quote.mid * buy.minor_per_major)


def create(unit: UnitOfWork, new: NewCross) -> Cross:
    """Plan a payment with a quote of the payer's: who brings it, at which cost, and until when.

    The same number for the same again is the same payment.

    Refusals
    --------
    payment_merchant_is_unknown, payment_merchant_is_not_active, quote_is_unknown,
    quote_has_expired, quote_is_not_active, no_provider_fits, cross_border_no_was_used
    """
    known = table.find_number(unit.connection, new.merchant, new.mode, new.payment_no)
    if known is not None:
        found = table.read(unit.connection, known)
        if known != new.id:
            raise CrossBorderNoWasUsed(payment_no=new.payment_no, payment=known)
        return found
    terms = contracts.merchant_terms(unit.connection, [new.merchant]).get(new.merchant)
    if terms is None:
        raise PaymentMerchantIsUnknown(merchant=new.merchant)
    if terms.state != "active":
        raise PaymentMerchantIsNotActive(merchant=new.merchant, state=terms.state)
    quote = quoting.read(unit.connection, new.quote, holder=new.merchant)
    must_be_usable(quote, unit.now, for_payment=new.id)
    if quote.mode is not new.mode:
        raise quoting.QuoteIsUnknown(quote=new.quote)
    choice, legs, charge, promised = planned(unit, quote, new)
    cross = Cross(
        **asdict(new),
        sell=quote.sell,
        buy=quote.buy,
        sell_minor=quote.sell_minor,
        buy_minor=quote.buy_minor,
        charge_minor=charge,
        state=CrossState.QUOTED,
        version=1,
        hold="",
        verdict="",
        decision=None,
        screened_at=None,
        choice=choice,
        promised_at=promised,
        created_at=unit.now,
        legs=legs,
    )
    inserted = table.insert(unit.connection, cross)
    if not inserted:
        raise CrossBorderNoWasUsed(payment_no=new.payment_no, payment=new.id)
    note(unit, cross, "quoted", quote=str(quote.id), why=choice["why"])
    return cross


def planned(
    unit: UnitOfWork, quote: Quote, new: NewCross
) -> tuple[dict[str, object], tuple[Leg, ...], int, Any]:
    """Return choice, legs, fees and promised arrival of a payment with a quote.

    Refusals
    --------
    no_provider_fits
    """
    choice, known = routes(unit, quote, new)
    if not choice.parts:
        raise no_provider(quote.buy_minor, quote.buy, new.country, choice)
    legs = legs_of(unit, new.id, choice, known, sell_minor=quote.sell_minor, first=1)
    chosen = {part.provider for part in choice.parts}
    charge = sum(
        one.fixed_minor + one.lifting_minor for one in choice.candidates if one.provider in chosen
    )
    promised = choice.arrives_at
    assert promised is not None, "a part has a provider"
    return shown_choice(choice), legs, charge, promised


def no_provider(minor: int, currency: str, country: str, choice: Choice) -> NoProviderFits:
    """Return the refusal of a choice that found nobody."""
    return NoProviderFits(amount_minor=minor, currency=currency, country=country, why=choice.why)


def legs_of(
    unit: UnitOfWork,
    payment: UUID,
    choice: Choice,
    known: Sequence[Corridor],
    *,
    sell_minor: int,
    first: int,
) -> tuple[Leg, ...]:
    """Return the legs of a choice, numbered from `first`."""
    by_provider = {one.provider: one for one in known}
    arrives = {one.provider: one.arrives_at for one in choice.candidates}
    shares = shares_of(sell_minor, choice.parts)
    return tuple(
        Leg(
            payment=payment,
            no=first + n,
            provider=part.provider,
            buy_minor=part.buy_minor,
            sell_minor=share,
            leaves_on=provider_day(by_provider[part.provider], unit.now),
            promised_at=arrives[part.provider],
        )
        for n, (part, share) in enumerate(zip(choice.parts, shares, strict=True))
    )


def shown_choice(choice: Choice) -> dict[str, object]:
    """Return a choice as it is kept: who was chosen, and every candidate with its cost."""
    return {
        "why": choice.why,
        "parts": [asdict(part) for part in choice.parts],
        "candidates": [
            asdict(one) | {"cost_minor": one.cost_minor, "score_minor": one.score_minor}
            for one in choice.candidates
        ],
    }


def requote(unit: UnitOfWork, payment: UUID, quote: UUID, *, merchant: UUID | None = None) -> Cross:
    """Go on with another quote, before the money is taken: the old one expired, or was refused.

    What was screened stays so, and what is held stays held.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids, quote_is_unknown, quote_has_expired,
    quote_is_not_active, no_provider_fits
    """
    found = locked(unit, payment, merchant)
    _must_be(found, "requoted", CrossState.QUOTED, CrossState.LOCKED, CrossState.SCREENED)
    chosen = quote_table.read(unit.connection, quote, lock=True)
    if chosen.holder != found.merchant or chosen.mode is not found.mode:
        raise quoting.QuoteIsUnknown(quote=quote)
    must_be_usable(chosen, unit.now, for_payment=payment)
    if (chosen.sell, chosen.buy) != (found.sell, found.buy):
        raise quoting.QuotePairIsMalformed(sell=chosen.sell, buy=chosen.buy)
    _let_go(unit, found)
    choice, legs, charge, promised = planned(unit, chosen, new_of(found, quote))
    table.drop_planned(unit.connection, payment)
    table.insert_legs(unit.connection, legs)
    after = replace(
        found,
        quote=quote,
        sell_minor=chosen.sell_minor,
        buy_minor=chosen.buy_minor,
        charge_minor=charge,
        choice=choice,
        promised_at=promised,
        state=CrossState.QUOTED,
    )
    table.update(unit.connection, found, after)
    note(unit, found, "requoted", quote=str(quote))
    return table.read(unit.connection, payment)


def new_of(cross: Cross, quote: UUID) -> NewCross:
    """Return what a payment was asked for, with a quote."""
    names = ("id", "mode", "merchant", "payment_no", "beneficiary", "country", "purpose")
    terms = ("arrive_by", "loss_owner", "return_rate", "slip_cap_ppm")
    return NewCross(quote=quote, **{name: getattr(cross, name) for name in (*names, *terms)})


def _let_go(unit: UnitOfWork, cross: Cross) -> None:
    old = quote_table.read(unit.connection, cross.quote, lock=True)
    if old.reserved_for == cross.id and old.state_at(unit.now) is QuoteState.ACTIVE:
        quote_table.reserve(unit.connection, old, None, unit.now)


def accept(unit: UnitOfWork, payment: UUID, *, merchant: UUID | None = None) -> Cross:
    """Let the payer confirm: the quote is kept for this payment until it expires.

    One that was screened before, with an older quote, goes on from there.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids, quote_has_expired, quote_is_not_active
    """
    found = locked(unit, payment, merchant)
    if found.state is CrossState.LOCKED:
        return found
    _must_be(found, "locked", CrossState.QUOTED)
    quote = quote_table.read(unit.connection, found.quote, lock=True)
    must_be_usable(quote, unit.now, for_payment=payment)
    if not quote_table.reserve(unit.connection, quote, payment, unit.now):
        raise QuoteHasExpired(quote=quote.id, valid_to=quote.valid_to.isoformat())
    state = CrossState.LOCKED if found.screened_at is None else CrossState.SCREENED
    table.update(unit.connection, found, replace(found, state=state))
    record(unit, fx_facts.CrossBorderLocked, found)
    note(unit, found, "locked", quote=str(quote.id))
    return table.read(unit.connection, payment)


def apply_verdict(unit: UnitOfWork, payment: UUID, verdict: Verdict, hits: Sequence[str]) -> Cross:
    """Let what the gate and the name screen said count: screened, held for people, or rejected.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids
    """
    found = locked(unit, payment, None)
    _must_be(found, "screened", CrossState.LOCKED)
    note(unit, found, "gate_said", outcome=verdict.outcome.value, reasons=list(verdict.reasons))
    if verdict.outcome is Outcome.DECLINE:
        return _rejected(unit, found, ",".join(verdict.reasons) or "declined", cause=_REJECTED)
    is_over = (
        verdict.outcome is Outcome.LIMIT
        and verdict.limit_minor is not None
        and found.sell_minor > verdict.limit_minor
    )
    if hits or is_over or verdict.outcome not in (Outcome.APPROVE, Outcome.LIMIT):
        why = "listed_name" if hits else ",".join(verdict.reasons) or verdict.outcome.value
        hold(unit, found, "above_the_limit" if is_over else why, hits=list(hits))
        return table.read(unit.connection, payment)
    if verdict.decision_id is not None:
        consume(unit, verdict.decision_id, by=found.subject, amount_minor=found.sell_minor)
    return _screened(unit, found, verdict.cause, verdict.decision_id)


def _screened(unit: UnitOfWork, found: Cross, cause: str, decision: UUID | None) -> Cross:
    after = replace(
        found,
        state=CrossState.SCREENED,
        hold="",
        verdict=cause,
        decision=decision,
        screened_at=unit.now,
    )
    table.update(unit.connection, found, after)
    record(unit, fx_facts.CrossBorderScreened, found)
    note(unit, found, "screened", cause=cause)
    return table.read(unit.connection, found.id)


def hold(unit: UnitOfWork, found: Cross, why: str, **detail: object) -> None:
    """Stop a payment until people looked at it; a case is opened."""
    table.update(unit.connection, found, replace(found, hold=why))
    record(unit, fx_facts.CrossBorderHeld, found, why=why)
    note(unit, found, "held", why=why, **detail)
    open_case(unit, LOOK.name, found.subject)


def release(unit: UnitOfWork, payment: UUID, *, reason: str) -> Cross:
    """Let a held payment go on.

    Its rate may be over by then: the payer is asked for a new quote (`requote`), and screening is
    not done again.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids
    """
    found = locked(unit, payment, None)
    if not found.hold:
        raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="released")
    audit(
        unit,
        action="payments.release_cross_border",
        subject=found.subject,
        detail={"reason": reason, "hold": found.hold},
    )
    if found.state is CrossState.LOCKED:
        return _screened(unit, found, _RELEASED, None)
    table.update(unit.connection, found, replace(found, hold=""))
    note(unit, found, "released", reason=reason)
    return table.read(unit.connection, payment)


def reject(unit: UnitOfWork, payment: UUID, *, reason: str, merchant: UUID | None = None) -> Cross:
    """End a payment that was not converted; what was set aside is the payer's again.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids; cross_border_is_held : to the payer
    """
    found = locked(unit, payment, merchant)
    before = (CrossState.QUOTED, CrossState.LOCKED, CrossState.SCREENED, CrossState.FUNDED)
    _must_be(found, "rejected", *before)
    if merchant is not None and found.hold:
        raise CrossBorderIsHeld(payment=payment, why=found.hold)
    audit(
        unit,
        action="payments.reject_cross_border",
        subject=found.subject,
        detail={"reason": reason},
    )
    return _rejected(unit, found, reason, cause=_REJECTED)


def _rejected(unit: UnitOfWork, found: Cross, why: str, *, cause: str) -> Cross:
    _let_go(unit, found)
    after = replace(found, state=CrossState.REJECTED, hold="", ended_at=unit.now)
    table.update(unit.connection, found, after)
    record(unit, fx_facts.CrossBorderRejected, found, why=why)
    note(unit, found, "rejected", why=why)
    if found.state is CrossState.FUNDED:
        _post_funding(unit, found, cause=cause, is_back=True)
    return table.read(unit.connection, found.id)


def fund(unit: UnitOfWork, payment: UUID, *, merchant: UUID | None = None) -> Cross:
    """Set the payer's money aside; the quote is used by it, and the rate is the payer's from here.

    Refusals
    --------
    cross_border_is_unknown, cross_border_state_forbids, cross_border_is_held,
    quote_has_expired : it is paid with another (`requote`); balance_does_not_cover
    """
    found = locked(unit, payment, merchant)
    if found.state is CrossState.FUNDED:
        return found
    if found.hold:
        raise CrossBorderIsHeld(payment=payment, why=found.hold)
    _must_be(found, "funded", CrossState.SCREENED)
    quote = quote_table.read(unit.connection, found.quote, lock=True)
    must_be_usable(quote, unit.now, for_payment=payment)
    if not quote_table.consume(unit.connection, quote, by=conversion_id(payment), at=unit.now):
        raise QuoteHasExpired(quote=quote.id, valid_to=quote.valid_to.isoformat())
    table.update(unit.connection, found, replace(found, state=CrossState.FUNDED))
    record(unit, fx_facts.CrossBorderFunded, found)
    note(unit, found, "funded", amount_minor=found.sell_minor + found.charge_minor)
    _post_funding(unit, found, cause=found.verdict, is_back=False)
    return table.read(unit.connection, payment)


def conversion_id(payment: UUID) -> UUID:
    """Return the id of the conversion of a payment."""
    return uuid5(payment, "conversion")


def _post_funding(unit: UnitOfWork, cross: Cross, *, cause: str, is_back: bool) -> None:
    house = institution.read_known(unit.connection, cross.mode)
    payer, aside = accounts.available(cross.merchant, cross.sell), accounts.cross_border(cross.sell)
    have_client(unit, house, (payer, cross.sell), (aside, cross.sell))
    heading = Heading(
        entry=uuid5(cross.id, "unfunded" if is_back else "funded"),
        book=house.client_book,
        currency=cross.sell,
        cause=cause,
        decision_id=None if is_back else cross.decision,
        metadata={"cross_border": str(cross.id)},
    )
    debit, credit = (aside, payer) if is_back else (payer, aside)
    transfer = heading.transfer(0, debit, credit, cross.sell_minor + cross.charge_minor)
    post_covered(unit, chained((transfer,)), book=house.client_book, never_negative=(debit,))


def read(connection: sa.Connection, payment: UUID, *, merchant: UUID | None = None) -> Cross:
    """Return a payment with its legs; a merchant sees its own.

    Refusals
    --------
    cross_border_is_unknown
    """
    found = table.read(connection, payment)
    if merchant not in (None, found.merchant):
        raise CrossBorderIsUnknown(payment=payment)
    return found


def list_payments(
    connection: sa.Connection,
    *,
    merchant: UUID | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Cross]:
    """Return a page of payments, the newest first.

    Refusals
    --------
    cursor_is_invalid
    """
    found = table.list_newest(
        connection, limit=limit + 1, before=position_of(cursor), merchant=merchant
    )
    items = tuple(found[:limit])
    last = items[-1] if len(found) > limit else None
    return Page(items, encode_cursor(last.created_at.isoformat(), str(last.id)) if last else None)


def history(connection: sa.Connection, payment: UUID) -> list[Event]:
    """Return what was done to a payment and said of it, the oldest first."""
    return [Event(*row) for row in table.history(connection, payment)]


def arrivals(connection: sa.Connection, mode: institution.Mode) -> list[Arrival]:
    """Return how each provider kept its promises of arrival."""
    return [Arrival(*row) for row in table.arrivals(connection, mode)]


def locked(unit: UnitOfWork, payment: UUID, merchant: UUID | None) -> Cross:
    """Return a payment whose row is held.

    Refusals
    --------
    cross_border_is_unknown
    """
    found = table.read(unit.connection, payment, lock=True)
    if merchant not in (None, found.merchant):
        raise CrossBorderIsUnknown(payment=payment)
    return found


def _must_be(cross: Cross, verb: str, *states: CrossState) -> None:
    if cross.state not in states:
        raise CrossBorderStateForbids(payment=cross.id, state=cross.state.value, verb=verb)


def note(unit: UnitOfWork, cross: Cross, what: str, **detail: object) -> None:
    """Append a line to the history of a payment."""
    table.note(unit.connection, cross.id, what, detail=detail, actor=unit.actor, at=unit.now)


def record(
    unit: UnitOfWork, fact: Callable[..., fx_facts.CrossFact], cross: Cross, **more: object
) -> None:
    """Record a fact of a payment."""
    unit.record(
        fact(
            payment=cross.id,
            merchant=cross.merchant,
            mode=cross.mode.value,
            payment_no=cross.payment_no,
            sell=cross.sell,
            buy=cross.buy,
            sell_minor=cross.sell_minor,
            buy_minor=cross.buy_minor,
            charge_minor=cross.charge_minor,
            country=cross.country,
            **more,
        ),
        subject=cross.subject,
    )
