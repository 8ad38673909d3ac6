"""What a customer sees of a loan: every movement, and what it was set against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from steelyard.cashflows import Standing, events
from steelyard.credit.model.loan import ActKind, LoanEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One thing that happened, minor units.

    Attributes
    ----------
    on : value date
    amount_minor : paid by the customer; less than nothing where it was paid to him
    principal_minor, interest_minor, fee_minor, penalty_minor : what the amount was set against, by
        now: a back-dated event moves these of later lines
    credit_minor : of the amount, set against nothing yet
    is_reversed : it counts no more
    """

    seq: int
    kind: str
    on: date
    recorded_at: datetime
    amount_minor: int
    principal_minor: int = 0
    interest_minor: int = 0
    fee_minor: int = 0
    penalty_minor: int = 0
    credit_minor: int = 0
    is_reversed: bool = False


def statement_of(history: Sequence[LoanEvent], standing: Standing) -> tuple[StatementLine, ...]:
    """Return a loan's history as its customer reads it, in order of recording.

    Credit held and set against a later instalment stands under what it paid, on no line of its own.
    """
    reversed_seqs = {
        line.event.of for line in history if isinstance(line.event, events.Reversed)
    } - {
        of.of
        for line in history
        if isinstance(line.event, events.Reversed)
        for of in [line.event]
        if of.seq in _undone(history)
    }
    taken: dict[int, dict[str, int]] = {}
    for one in standing.applied:
        parts = taken.setdefault(one.seq, {})
        name = f"{one.taken.part.value}_minor"
        parts[name] = parts.get(name, 0) + one.taken.amount_minor
    for early in standing.prepaid:
        parts = taken.setdefault(early.seq, {})
        parts["principal_minor"] = parts.get("principal_minor", 0) + early.principal_minor
    return tuple(
        _line(line, taken.get(line.seq, {}), is_reversed=line.seq in reversed_seqs)
        for line in history
    )


def _undone(history: Sequence[LoanEvent]) -> set[int]:
    return {line.event.of for line in history if isinstance(line.event, events.Reversed)}


def _line(line: LoanEvent, parts: dict[str, int], *, is_reversed: bool) -> StatementLine:
    amount = amount_of(line)
    in_minor = max(amount, 0) if not is_reversed else 0
    return StatementLine(
        seq=line.seq,
        kind=line.kind,
        on=line.effective_on,
        recorded_at=line.recorded_at,
        amount_minor=amount,
        credit_minor=max(0, in_minor - sum(parts.values())),
        is_reversed=is_reversed,
        **parts,
    )


def amount_of(line: LoanEvent) -> int:
    """Return what a line brought in, less than nothing where money went to the customer."""
    event = line.event
    if isinstance(event, events.Repaid | events.PrepaidPart | events.PaidOff):
        return event.amount_minor
    if isinstance(event, events.Disbursed | events.Refunded):
        return -event.amount_minor
    if line.kind == ActKind.PAID_OUT:
        paid = line.content.get("amount_minor")
        assert isinstance(paid, int), "a payout has an amount"
        return -paid
    return 0
