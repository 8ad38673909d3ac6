"""The facts of mandates, debits and files of debits."""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from steelyard.base import Fact
from steelyard.payments.model.debits import Debit
from steelyard.payments.model.mandates import Mandate


class MandateFact(Fact):
    """What every fact about a mandate tells; subject is `mandate:<id>`.

    Attributes
    ----------
    why : of the state: who wished it, or the code of a bank
    """

    mandate: UUID
    merchant: UUID
    customer: UUID
    mode: str
    mandate_no: str
    state: str
    why: str = ""


class MandateProposed(MandateFact, kind="payments.MandateProposed", version=1):
    """A merchant asks a customer to be allowed to take money from him."""


class MandateSigned(MandateFact, kind="payments.MandateSigned", version=1):
    """The customer said yes, and it is in force."""


class MandateSuspended(MandateFact, kind="payments.MandateSuspended", version=1):
    """Nothing new is taken by it."""


class MandateRevoked(MandateFact, kind="payments.MandateRevoked", version=1):
    """Nothing is sent by it any more."""


class MandateMoved(MandateFact, kind="payments.MandateMoved", version=1):
    """It came to another state: rejected, resumed, terminated, expired."""


class DebitFact(Fact):
    """What every fact about a debit tells; subject is `debit:<id>`.

    Attributes
    ----------
    payment : order of the core that moves the money
    code : of the bank, of a failure or a return
    """

    debit: UUID
    mandate: UUID
    merchant: UUID
    customer: UUID
    mode: str
    debit_no: str
    amount_minor: int
    currency: str
    due_on: date
    state: str
    payment: UUID | None = None
    code: str | None = None


class DebitScheduled(DebitFact, kind="payments.DebitScheduled", version=1):
    """An amount is to be taken."""


class DebitPrenotified(DebitFact, kind="payments.DebitPrenotified", version=1):
    """The customer is told what will be taken, and when."""


class DebitSucceeded(DebitFact, kind="payments.DebitSucceeded", version=1):
    """The amount was taken."""


class DebitFailed(DebitFact, kind="payments.DebitFailed", version=1):
    """It was not taken; `try_on` says when it is tried again, if it is."""

    try_on: date | None = None


class DebitReturned(DebitFact, kind="payments.DebitReturned", version=1):
    """The payer, or his bank, took it back."""


class DebitMoved(DebitFact, kind="payments.DebitMoved", version=1):
    """It came to another state: sent, accepted, unknown, cancelled."""


class DebitBatchMoved(Fact, kind="payments.DebitBatchMoved", version=1):
    """A file of debits came to a state; subject is `debit_batch:<id>`."""

    batch: UUID
    merchant: UUID
    mode: str
    state: str
    rows: int
    errors: int
    sum_minor: int
    currency: str
    why: str = ""


def about_mandate(mandate: Mandate) -> dict[str, Any]:
    """Return what a fact tells of a mandate."""
    return {
        "mandate": mandate.id,
        "merchant": mandate.merchant,
        "customer": mandate.customer,
        "mode": mandate.mode.value,
        "mandate_no": mandate.mandate_no,
        "state": mandate.state.value,
        "why": mandate.why,
    }


def about_debit(debit: Debit) -> dict[str, Any]:
    """Return what a fact tells of a debit."""
    return {
        "debit": debit.id,
        "mandate": debit.mandate,
        "merchant": debit.merchant,
        "customer": debit.customer,
        "mode": debit.mode.value,
        "debit_no": debit.debit_no,
        "amount_minor": debit.amount_minor,
        "currency": debit.currency,
        "due_on": debit.due_on,
        "state": debit.state.value,
        "payment": debit.order,
        "code": debit.code,
    }
