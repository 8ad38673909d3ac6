"""Routes of cards: payments, refunds, reports; and the close of a day of payments."""

from __future__ import annotations

from datetime import UTC, date
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base import RefusedInProduction
from steelyard.base.http import BodyIn, refusals
from steelyard.payments import channel
from steelyard.simulation import cards, outside, paydays, reports, town
from steelyard.simulation.http.wire import Code, Lives, refuse_in_production

router = APIRouter()
_OUTSIDE_BATCH = 20
"""A payment outside takes as long as its channel: a batch of them is answered in seconds."""

_ON_CARDS = (town.TownIsNotFounded, cards.TooManyCardPayments, RefusedInProduction)


class CardPaymentIn(BodyIn):
    """A card payment that is asked for; its id is that of the attempt it becomes."""

    id: UUID
    at: AwareDatetime = Field(description="when the card was shown")
    customer: UUID = Field(description="as the town knows the customer")
    card: UUID
    account: Code = Field(description="code of the account that pays")
    merchant: UUID = Field(description="as the town knows the merchant")
    terminal: UUID
    amount_minor: Annotated[int, Field(gt=0, lt=2**53)]
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    device: Code | None = Field(None, description="from which it is asked for; null: not known")
    ip: Code | None = Field(None, description="address of the net; null: not known")
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = Field(
        None, description="ISO 3166; null: not known"
    )
    is_online: bool | None = Field(None, description="null: not known")


class ChannelPaymentIn(CardPaymentIn):
    """A payment over a channel outside; routing chooses which."""

    method: channel.Method


class ChannelPaymentsIn(BodyIn):
    """Payments over channels in the order in which they happened."""

    payments: Annotated[list[ChannelPaymentIn], Field(min_length=1, max_length=_OUTSIDE_BATCH)]


class CardPaymentsIn(BodyIn):
    """Card payments in the order in which they happened."""

    payments: Annotated[list[CardPaymentIn], Field(min_length=1, max_length=cards.BATCH)]


class RefundIn(BodyIn):
    """A refund of one whole payment."""

    id: UUID
    at: AwareDatetime
    payment: UUID


class RefundsIn(BodyIn):
    """Refunds in the order in which they happened."""

    refunds: Annotated[list[RefundIn], Field(min_length=1, max_length=cards.BATCH)]


class CardReportIn(BodyIn):
    """What a cardholder, or the card's bank, says about a payment."""

    payment: UUID = Field(description="made or declined")
    at: AwareDatetime = Field(description="when it is told")
    card: UUID = Field(description="with which the payment was asked for")
    is_fraud: bool = Field(True, description="false takes an earlier report back")


class CardReportsIn(BodyIn):
    """Reports in the order in which they were made."""

    reports: Annotated[list[CardReportIn], Field(min_length=1, max_length=cards.BATCH)]


class CardAnswerOut(BaseModel):
    """What became of one item."""

    id: UUID
    outcome: cards.CardOutcome
    reason: str | None = Field(description="why it was declined: a code of the gate or the ledger")
    cause: str


class CardAnswersOut(BaseModel):
    """One answer for each item, in order."""

    items: list[CardAnswerOut]

    @classmethod
    def of(cls, answers: tuple[cards.CardAnswer, ...]) -> CardAnswersOut:
        """Return the wire form of answers."""
        return cls(
            items=[
                CardAnswerOut(id=a.id, outcome=a.outcome, reason=a.reason, cause=a.cause)
                for a in answers
            ]
        )


class PaydayIn(BodyIn):
    """Which business day is closed."""

    business_on: date


class PaydayOut(BaseModel):
    """What came of a day of payments."""

    business_on: date
    days: int = Field(description="clearing days that were let pass")
    settlements: int = Field(description="worked out for merchants")


@router.post(
    "/card-payments",
    response_model=CardAnswersOut,
    responses=refusals(*_ON_CARDS, *cards.ON_DECISIONS, write=True),
)
def pay_by_card(body: CardPaymentsIn, write: Lives) -> Response:
    """Let card payments be paid by `payments`: asked of the gate, judged by the books."""
    refuse_in_production(write)
    orders = [_order(p) for p in body.payments]
    asked = cards.ask_about_payments(write.database, write.platform.gate, orders)
    return write.run(lambda unit: CardAnswersOut.of(cards.pay_by_card(unit, asked)))


def _order(p: CardPaymentIn) -> cards.CardOrder:
    return cards.CardOrder(
        id=p.id,
        at=p.at.astimezone(UTC),
        customer=p.customer,
        card=p.card,
        account=p.account,
        merchant=p.merchant,
        terminal=p.terminal,
        amount_minor=p.amount_minor,
        currency=p.currency,
        device=p.device,
        ip=p.ip,
        country=p.country,
        is_online=p.is_online,
    )


@router.post(
    "/channel-payments",
    response_model=CardAnswersOut,
    responses=refusals(*_ON_CARDS, *cards.ON_DECISIONS, write=True),
)
def pay_over_channels(body: ChannelPaymentsIn, write: Lives) -> Response:
    """Let payments be made over channels outside; one that is not known yet is asked about."""
    refuse_in_production(write)
    wanted = [(_order(p), p.method) for p in body.payments]
    return write.run_in_steps(
        lambda: CardAnswersOut.of(
            outside.pay_over_channels(write.database, write.platform.paying, wanted)
        )
    )


@router.post("/refunds", response_model=CardAnswersOut, responses=refusals(*_ON_CARDS, write=True))
def refund_card_payments(body: RefundsIn, write: Lives) -> Response:
    """Let card payments be given back whole by `payments`."""
    refuse_in_production(write)
    orders = [
        cards.RefundOrder(
            id=r.id,
            at=r.at.astimezone(UTC),
            payment=r.payment,
        )
        for r in body.refunds
    ]
    return write.run(lambda unit: CardAnswersOut.of(cards.refund_card_payments(unit, orders)))


@router.post(
    "/card-reports", response_model=CardAnswersOut, responses=refusals(*_ON_CARDS, write=True)
)
def report_card_payments(body: CardReportsIn, write: Lives) -> Response:
    """Tell which payments were fraud, days after; said again, it changes nothing."""
    refuse_in_production(write)
    said = [
        reports.CardReport(
            payment=r.payment, at=r.at.astimezone(UTC), card=r.card, is_fraud=r.is_fraud
        )
        for r in body.reports
    ]
    return write.run(lambda unit: CardAnswersOut.of(reports.report_card_payments(unit, said)))


@router.post(
    "/payday-close",
    response_model=PaydayOut,
    responses=refusals(RefusedInProduction, town.TownIsNotFounded, *paydays.ON_PAYDAY, write=True),
)
def close_payday(body: PaydayIn, write: Lives) -> Response:
    """Clear a day of payments, charge its fees, and work out what merchants get."""
    refuse_in_production(write)

    def work() -> PaydayOut:
        desk = write.platform.channels
        closed = paydays.close_payday(
            write.database, write.platform.keyring, desk.capability, body.business_on
        )
        return PaydayOut(business_on=closed.on, days=closed.days, settlements=closed.settlements)

    return write.run_in_steps(work)
