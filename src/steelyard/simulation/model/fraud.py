"""How fraud comes to be known: told by cardholders days later, and of some of it never."""

from __future__ import annotations

from datetime import timedelta

from steelyard.kernel import uuid7
from steelyard.simulation.model.actions import CardPayment, FraudReport
from steelyard.simulation.model.draws import Streams, below, entropy
from steelyard.simulation.model.town import BEIJING, daytime

LONGEST_DELAY_DAYS = 14
"""Whoever has not told by then never tells."""

_NOTICED_SHARE = 0.9


def report_of(streams: Streams, payment: CardPayment) -> FraudReport | None:
    """Return how a fraudulent payment is reported, None where nobody ever notices.

    One in ten is never reported. The others are told of one to fourteen days after, each day as
    likely as any other, while counters are open.

    Parameters
    ----------
    streams : the generators of the town
    payment : one that is fraud; its report has a generator of its own
    """
    chance = streams("report", payment.id.int)
    if chance.random() >= _NOTICED_SHARE:
        return None
    paid_on = payment.at.astimezone(BEIJING).date()
    at = daytime(chance, paid_on + timedelta(days=1 + below(chance, LONGEST_DELAY_DAYS)))
    return FraudReport(
        id=uuid7(at, entropy(chance)),
        at=at,
        payment_id=payment.id,
        customer_id=payment.customer_id,
        card_id=payment.card_id,
    )
