"""A mandate and a debit of it, as examples in docstrings and tests begin with."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from steelyard.payments.model.debits import Debit, DebitState
from steelyard.payments.model.examples import AT
from steelyard.payments.model.mandates import Mandate, MandateState
from steelyard.payments.model.orders import Mode


def a_mandate(**changes: Any) -> Mandate:
    """Return an active mandate of 500.00 CNY a debit and 1,000.00 a month."""
    given: dict[str, Any] = {
        "id": UUID(int=4),
        "merchant": UUID(int=2),
        "customer": UUID(int=5),
        "mode": Mode.LIVE,
        "mandate_no": "M-1",
        "currency": "CNY",
        "single_most_minor": 50_000,
        "period_most_minor": 100_000,
        "state": MandateState.ACTIVE,
        "version": 1,
        "created_at": AT,
        "created_by": "key:example",
        "signed_on": AT.date(),
    }
    return Mandate(**{**given, **changes})


def a_debit(**changes: Any) -> Debit:
    """Return a debit of 100.00 CNY that was just sent for the first time."""
    given: dict[str, Any] = {
        "id": UUID(int=6),
        "mandate": UUID(int=4),
        "debit_no": "D-1",
        "amount_minor": 10_000,
        "currency": "CNY",
        "due_on": date(2026, 3, 2),
        "merchant": UUID(int=2),
        "customer": UUID(int=5),
        "mode": Mode.LIVE,
        "state": DebitState.SENT,
        "version": 1,
        "counted_on": date(2026, 3, 1),
        "try_on": date(2026, 3, 2),
        "created_at": AT,
        "created_by": "key:example",
        "tries": 1,
    }
    return Debit(**{**given, **changes})
