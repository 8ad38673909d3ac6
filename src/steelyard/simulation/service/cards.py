"""What the town's people pay and get back, passed on to `payments`: it asks, posts and tells.

The town has no way of its own to move money. A purchase is an order of the merchant, paid from the
customer's wallet; many of them are one transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, Gate, Outcome, UnitOfWork, Verdict
from steelyard.decisions import asking, records
from steelyard.kernel import Refusal
from steelyard.parties import registry
from steelyard.payments import at_once, orders, refunds
from steelyard.simulation import store
from steelyard.simulation.model.cards import (
    BATCH,
    CardAnswer,
    CardOrder,
    CardOutcome,
    RefundOrder,
    TooManyCardPayments,
    order_id,
)
from steelyard.simulation.model.state import (
    TownIsNotFounded,
    customer_origin,
    merchant_origin,
)

__all__ = [
    "BATCH",
    "ON_DECISIONS",
    "Asked",
    "CardAnswer",
    "CardOrder",
    "CardOutcome",
    "RefundOrder",
    "TooManyCardPayments",
    "ask_about_payments",
    "order_id",
    "pay_by_card",
    "refund_card_payments",
]

ON_DECISIONS = (
    asking.OwnerIsAway,
    records.DecisionIsUnknown,
    records.DecisionDoesNotLetPass,
    records.DecisionIsUsed,
)
"""What the gate, and the consumption of what it said, can refuse."""
APP: Final = "till"
CAUSE: Final = "rule.town_payment@1"
"""What says no where an order was not even made, and what refunds are answered with."""
UNKNOWN_PARTY = "party_is_unknown"
"""Why an order is declined whose customer or merchant was never registered."""
ID_CONFLICT = "id_conflict"
"""Why an order is declined that came before with other content, in the same batch."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Orders, what `payments` is asked for of them, and what the gate said to it.

    Attributes
    ----------
    purchases : by the id of the order; one whose merchant is not registered has none
    verdicts : of each purchase, in their order; none lets pass whose customer is not registered
    """

    orders: tuple[CardOrder, ...]
    purchases: Mapping[UUID, at_once.Purchase]
    verdicts: tuple[Verdict, ...]


def ask_about_payments(database: Database, gate: Gate, wanted: Sequence[CardOrder]) -> Asked:
    """Ask the gate about each payment; before the unit of work opens.

    The gate is asked as of the instant at which the card was shown, about customer and merchant as
    the parties that they are. It knows the payment by the id of the order.

    Refusals
    --------
    too_many_card_payments
    """
    _check(wanted)
    with database.reading() as connection:
        parties = registry.find_origins(connection, origins_of(wanted))
    purchases: dict[UUID, at_once.Purchase] = {}
    for one in wanted:
        purchase = _purchase(one, parties)
        if purchase is not None:
            purchases.setdefault(one.id, purchase)
    if not purchases:
        return Asked(tuple(wanted), {}, ())
    said = at_once.ask(gate, list(purchases.values()))
    verdicts = (_of_known(*pair) for pair in zip(purchases.values(), said, strict=True))
    return Asked(tuple(wanted), purchases, tuple(verdicts))


def _of_known(purchase: at_once.Purchase, verdict: Verdict) -> Verdict:
    if purchase.order.payer.customer is not None:
        return verdict
    return replace(verdict, outcome=Outcome.DECLINE, reasons=(UNKNOWN_PARTY, *verdict.reasons))


def _purchase(one: CardOrder, parties: Mapping[str, UUID]) -> at_once.Purchase | None:
    order = order_of(one, parties, account=one.account)
    if order is None:
        return None
    # Nobody tries again at a till: what is declined is over.
    return at_once.Purchase(replace(order, most_attempts=1), attempt=one.id, at=one.at)


def order_of(
    one: CardOrder, parties: Mapping[str, UUID], *, account: str | None
) -> orders.NewOrder | None:
    """Return the order of a merchant that a purchase is; None where nobody is the merchant.

    Parameters
    ----------
    account : in our book, that pays; None: the money comes from outside
    """
    customer = parties.get(customer_origin(one.customer))
    merchant = parties.get(merchant_origin(one.merchant))
    if merchant is None:
        return None
    return orders.NewOrder(
        id=order_id(one.id),
        merchant=merchant,
        app=APP,
        mode=orders.Mode.LIVE,
        order_no=one.id.hex,
        amount_minor=one.amount_minor,
        currency=one.currency,
        subject="Purchase 消费",
        scenario=orders.Scenario.ONLINE if one.is_online else orders.Scenario.IN_STORE,
        payer=orders.Payer(
            customer=customer,
            instrument=str(one.card),
            account=account,
            terminal=str(one.terminal),
            device=one.device,
            ip=one.ip,
            country=one.country,
            is_online=one.is_online,
        ),
    )


def pay_by_card(unit: UnitOfWork, asked: Asked) -> tuple[CardAnswer, ...]:
    """Let the payments that the gate approves be posted, and tell what became of each.

    Only `approve` lets a payment through, and only until it expires: nobody stands at a terminal to
    prove more or to wait for a review.

    Returns
    -------
    tuple of CardAnswer
        One for each order. An order that went through before is accepted again, and neither moves
        money nor tells its fact a second time.

    Refusals
    --------
    town_is_not_founded, too_many_card_payments, and those of `payments.at_once.pay`
    """
    _check(asked.orders)
    _hold_town(unit.connection)
    purchases = list(asked.purchases.values())
    paid = dict(zip(asked.purchases, at_once.pay(unit, purchases, asked.verdicts), strict=True))
    return tuple(
        _answer(one, asked.purchases.get(one.id), paid.get(one.id)) for one in asked.orders
    )


def _answer(
    one: CardOrder, purchase: at_once.Purchase | None, paid: at_once.Paid | Refusal | None
) -> CardAnswer:
    if purchase is None or paid is None:
        return CardAnswer(one.id, CardOutcome.DECLINED, CAUSE, UNKNOWN_PARTY)
    asked = purchase.order
    if (asked.amount_minor, asked.payer.account) != (one.amount_minor, one.account):
        return CardAnswer(one.id, CardOutcome.DECLINED, CAUSE, ID_CONFLICT)
    if isinstance(paid, Refusal):
        return CardAnswer(one.id, CardOutcome.DECLINED, CAUSE, paid.code)
    outcome = CardOutcome.ACCEPTED if paid.is_paid else CardOutcome.DECLINED
    return CardAnswer(one.id, outcome, paid.cause, paid.reason)


def refund_card_payments(unit: UnitOfWork, wanted: Sequence[RefundOrder]) -> tuple[CardAnswer, ...]:
    """Give payments back whole; a payment that did not go through cannot be.

    Returns
    -------
    tuple of CardAnswer
        One for each order; a refund that went through before is accepted again.

    Refusals
    --------
    town_is_not_founded, too_many_card_payments
    """
    _check(wanted)
    _hold_town(unit.connection)
    made = refunds.ask(
        unit,
        [
            refunds.NewRefund(
                id=one.id,
                order=order_id(one.payment),
                refund_no=one.id.hex,
                reason="goods came back",
            )
            for one in wanted
        ],
    )
    return tuple(_refunded(one, answer) for one, answer in zip(wanted, made, strict=True))


def _refunded(one: RefundOrder, made: refunds.Refund | Refusal) -> CardAnswer:
    if isinstance(made, Refusal):
        return CardAnswer(one.id, CardOutcome.DECLINED, CAUSE, made.code)
    if not (made.state is refunds.RefundState.SUCCEEDED or made.state.is_set_aside):
        return CardAnswer(one.id, CardOutcome.DECLINED, CAUSE, f"refund_is_{made.state}")
    return CardAnswer(one.id, CardOutcome.ACCEPTED, CAUSE)


def _check(wanted: Sequence[object]) -> None:
    if len(wanted) > BATCH:
        raise TooManyCardPayments(most=BATCH, found=len(wanted))


def _hold_town(connection: sa.Connection) -> None:
    """Hold the town to the commit: what happens to a card is told in the order of its happening."""
    if store.read(connection, lock=True) is None:
        raise TownIsNotFounded


def origins_of(wanted: Iterable[CardOrder]) -> list[str]:
    """Return under which origins the people of orders are registered."""
    origins: dict[str, None] = {}
    for order in wanted:
        origins[customer_origin(order.customer)] = None
        origins[merchant_origin(order.merchant)] = None
    return list(origins)
