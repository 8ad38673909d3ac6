"""An order and an attempt of it, as examples in docstrings and tests begin with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Capture, Mode, Order, OrderState, Payer, Scenario

AT: Final = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


def an_order(**changes: Any) -> Order:
    """Return an order of 100.00 CNY of which the first attempt is under way."""
    given: dict[str, Any] = {
        "id": UUID(int=1),
        "merchant": UUID(int=2),
        "app": "app_example",
        "mode": Mode.LIVE,
        "order_no": "A-1",
        "amount_minor": 10_000,
        "currency": "CNY",
        "subject": "Tea 茶叶",
        "scenario": Scenario.ONLINE,
        "capture": Capture.AUTOMATIC,
        "methods": (),
        "payer": Payer(),
        "state": OrderState.PROCESSING,
        "version": 2,
        "created_at": AT,
        "expires_at": AT + timedelta(minutes=30),
        "attempts": 1,
    }
    return Order(**{**given, **changes})


def an_attempt(**changes: Any) -> Attempt:
    """Return the first attempt of `an_order`, just sent."""
    given: dict[str, Any] = {
        "id": UUID(int=3),
        "order": UUID(int=1),
        "no": 1,
        "channel": "simulated",
        "method": Method.WALLET,
        "amount_minor": 10_000,
        "currency": "CNY",
        "state": AttemptState.SENT,
        "version": 1,
        "sent_at": AT,
        "cause": "no_policy@0",
    }
    return Attempt(**{**given, **changes})
