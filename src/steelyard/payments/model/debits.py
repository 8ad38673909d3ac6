"""Debits (代扣): single amounts taken by a mandate, from their date to the last possible return.

The money moves by an order of the core; what a debit is follows from its order and the newest
attempt, by `reduce` and nothing else. No time-out makes a failure.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.payments.model.attempts import Attempt, AttemptState
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.debits_codes import After, rule_of
from steelyard.payments.model.debits_dates import MOST_RETRIES, months_after
from steelyard.payments.model.orders import Mode, Order, OrderState

CLAIM_WEEKS: Final = timedelta(weeks=8)
"""How long a payer may have money back that he had allowed to be taken (SEPA Core, 4.3.4)."""
CLAIM_MONTHS: Final = 13
"""How long he may have back what he never allowed (Directive (EU) 2015/2366, Article 71)."""


class DebitState(StrEnum):
    """Where a debit stands."""

    SCHEDULED = "scheduled"
    PRENOTIFIED = "prenotified"
    """The customer was told what will be taken, and when."""
    SENT = "sent"
    ACCEPTED = "accepted"
    """The channel has it and is not finished."""
    UNKNOWN = "unknown"
    SUCCEEDED = "succeeded"
    RETURNED = "returned"
    """The payer's bank took it back, days or months later."""
    REFUND_CLAIMED = "refund_claimed"
    """The payer took it back."""
    FAILED_RETRYABLE = "failed_retryable"
    FAILED_FINAL = "failed_final"
    CANCELLED = "cancelled"

    @property
    def waits(self) -> bool:
        """Whether it will be sent, and was not yet, or not again."""
        return self in _WAITING

    @property
    def is_under_way(self) -> bool:
        """Whether the channel has it, for all that is known."""
        return self in _UNDER_WAY

    @property
    def is_final(self) -> bool:
        """Whether nothing is done about it any more."""
        return not (self.waits or self.is_under_way)

    @property
    def counts(self) -> bool:
        """Whether its amount is used up of what the mandate allows."""
        return self not in (DebitState.FAILED_FINAL, DebitState.CANCELLED)


_WAITING: Final = frozenset(
    {DebitState.SCHEDULED, DebitState.PRENOTIFIED, DebitState.FAILED_RETRYABLE}
)
_UNDER_WAY: Final = frozenset({DebitState.SENT, DebitState.ACCEPTED, DebitState.UNKNOWN})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDebit:
    """An amount to take by a mandate.

    Attributes
    ----------
    debit_no : the merchant's own number; unique for the merchant for ever
    due_on : on the calendar of the mandate; collected then, or on the next business day
    is_signing : the first one, by which a channel confirms the mandate itself
    """

    id: UUID
    mandate: UUID
    debit_no: str
    amount_minor: int
    currency: str
    due_on: date
    subject: str = ""
    is_signing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Debit(NewDebit):
    """A debit as it stands.

    Attributes
    ----------
    counted_on : first day of the period in which it counts, once, however often it is tried
    try_on : business day on which it is sent, or sent again
    tries : how often it was sent
    order : of the core, from the first sending on; None of one that was pulled within our books
    movement : of one that was pulled
    code, decline : of the newest failure or return, as the bank put it and in our list
    failure : code of a refusal of ours, where nothing was sent
    """

    merchant: UUID
    customer: UUID
    mode: Mode
    state: DebitState
    version: int
    counted_on: date
    try_on: date
    created_at: datetime
    created_by: str
    tries: int = 0
    order: UUID | None = None
    movement: UUID | None = None
    first_sent_on: date | None = None
    sent_at: datetime | None = None
    code: str | None = None
    decline: Decline | None = None
    failure: str | None = None
    final_at: datetime | None = None
    returned_at: datetime | None = None

    @property
    def subject_key(self) -> str:
        """Subject of its facts."""
        return f"debit:{self.id}"


def method_of(account: str | None) -> Method:
    """Return how a debit is paid: out of our own book, or by a channel."""
    return Method.DIRECT_DEBIT if account is None else Method.BALANCE


@dataclass(frozen=True, slots=True)
class DebitRuling:
    """What follows for a debit from its order.

    Attributes
    ----------
    retries : whether it is tried again, where a day for that can be found
    suspends : whether nothing more is taken by its mandate
    """

    state: DebitState
    code: str | None = None
    decline: Decline | None = None
    retries: bool = False
    suspends: bool = False


def reduce(debit: Debit, order: Order, newest: Attempt | None) -> DebitRuling:
    """Return where a debit stands by its order and the newest attempt of it.

    Money that came counts whatever was thought before; what took it back later stays; a debit that
    waits for another try, or for its first, is not moved by what happened before.

    Examples
    --------
    >>> from steelyard.payments.model.examples import an_attempt, an_order
    >>> from steelyard.payments.model.debits_examples import a_debit
    >>> from steelyard.payments.model.attempts import AttemptState
    >>> reduce(a_debit(), an_order(), an_attempt(state=AttemptState.UNKNOWN)).state.value
    'unknown'
    """
    if debit.state in (DebitState.RETURNED, DebitState.REFUND_CLAIMED):
        return _as_it_is(debit)
    if order.state.is_paid:
        return DebitRuling(DebitState.SUCCEEDED)
    if debit.state is DebitState.SUCCEEDED and order.state is OrderState.CANCELLED:
        return DebitRuling(DebitState.CANCELLED)
    if debit.state.waits and order.state.is_over:
        return DebitRuling(DebitState.FAILED_FINAL, debit.code, debit.decline)
    if debit.state.is_under_way and order.state is OrderState.CANCELLED:
        if newest is None or newest.state is AttemptState.CLOSED:
            return DebitRuling(DebitState.CANCELLED)
        return _failed(debit, newest, is_over=True)
    if not debit.state.is_under_way or newest is None or newest.no != debit.tries:
        return _as_it_is(debit)
    under_way = {
        AttemptState.SENT: DebitState.SENT,
        AttemptState.PENDING: DebitState.ACCEPTED,
        AttemptState.PENDING_USER: DebitState.ACCEPTED,
        AttemptState.AUTHORIZED: DebitState.ACCEPTED,
        AttemptState.UNKNOWN: DebitState.UNKNOWN,
        AttemptState.INTEGRITY_HOLD: DebitState.UNKNOWN,
    }
    if newest.state in under_way:
        return DebitRuling(under_way[newest.state])
    return _failed(debit, newest, is_over=order.state.is_over)


def _as_it_is(debit: Debit) -> DebitRuling:
    return DebitRuling(debit.state, debit.code, debit.decline)


def _failed(debit: Debit, newest: Attempt, *, is_over: bool) -> DebitRuling:
    """Return what follows a no of the channel, of the gate, or of the payer's balance."""
    rule = rule_of(newest.code, newest.decline)
    # Closed before anything was sent: the same may be sent again.
    after = After.RETRY if newest.state is AttemptState.CLOSED else rule.after
    may_again = after is After.RETRY and debit.tries <= MOST_RETRIES and not is_over
    return DebitRuling(
        DebitState.FAILED_RETRYABLE if may_again else DebitState.FAILED_FINAL,
        newest.code,
        newest.decline,
        retries=may_again,
        suspends=after is After.SUSPEND,
    )


def is_in_time(paid_on: date, on: date, code: str) -> bool:
    """Whether a payer, or his bank, may still take a debit back for a reason.

    Examples
    --------
    >>> is_in_time(date(2026, 1, 31), date(2026, 3, 29), "MD06")
    False
    >>> is_in_time(date(2026, 1, 31), date(2027, 2, 28), "MD01")
    True
    """
    if code in ("MD06", "R08"):
        return on <= paid_on + CLAIM_WEEKS
    return on <= months_after(paid_on, CLAIM_MONTHS)
