"""Scheduling debits: what a mandate allows is counted here, once for each, under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.kernel import Refusal, calendar
from steelyard.payments.model.debits import Debit, DebitState, NewDebit
from steelyard.payments.model.debits_dates import Cycle, collected_on, next_cycle_date
from steelyard.payments.model.debits_refusals import (
    DebitExceedsMandate,
    DebitIsMalformed,
    DebitIsTooEarly,
    DebitNoWasUsed,
)
from steelyard.payments.model.mandates import Mandate, MandateState, ends_on, rules_of
from steelyard.payments.model.mandates_refusals import MandateIsNotActive, MandateIsUnknown
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import debits_facts as facts
from steelyard.payments.service import institution
from steelyard.payments.store import debits as table
from steelyard.payments.store import mandates as mandates_table

_NEW = tuple(one.name for one in fields(NewDebit) if one.name != "id")


@dataclass(slots=True)
class Counting:
    """What mandates that are locked have used of their periods, while a batch adds to it.

    Attributes
    ----------
    used : mandate and first day of the period -> minor units
    """

    mandates: dict[UUID, Mandate]
    used: dict[tuple[UUID, date], int]

    @classmethod
    def of(cls, unit: UnitOfWork, wanted: Sequence[tuple[UUID, date]]) -> Counting:
        """Lock mandates, and count what debits due on dates would add to."""
        mandates = mandates_table.lock(unit.connection, [id for id, _ in wanted])
        periods = {(id, mandates[id].period.begins_on(on)) for id, on in wanted if id in mandates}
        return cls(mandates, table.used(unit.connection, sorted(periods)))

    def take(self, mandate: Mandate, due_on: date, amount_minor: int) -> date:
        """Count an amount; return the period it is counted in.

        Refusals
        --------
        debit_exceeds_mandate
        """
        period = mandate.period.begins_on(due_on)
        used = self.used[mandate.id, period]
        bounds = {
            "single": mandate.single_most_minor,
            mandate.period.value: mandate.period_most_minor - used,
        }
        for which, left in bounds.items():
            if amount_minor > left:
                raise DebitExceedsMandate(
                    mandate=mandate.id,
                    left_minor=max(0, left),
                    which=which,
                    amount_minor=amount_minor,
                )
        self.used[mandate.id, period] = used + amount_minor
        return period


def today(unit: UnitOfWork, mode: Mode) -> date:
    """Return the date of a unit on the clock of the institution."""
    return date_of(unit.connection, mode, unit.now)


def date_of(connection: sa.Connection, mode: Mode, at: datetime) -> date:
    """Return the date of an instant on the clock of the institution."""
    zone = institution.read_known(connection, mode).timezone
    return at.astimezone(ZoneInfo(zone)).date()


def schedule(
    unit: UnitOfWork,
    news: Sequence[NewDebit],
    *,
    merchant: UUID | None = None,
) -> list[Debit | Refusal]:
    """Schedule debits; what each takes of its mandate is counted now, and only once.

    The same number for the same again is the same debit. A mandate with a cycle goes on to its next
    date.

    Parameters
    ----------
    merchant : whose mandates they must be; None: anybody's

    Returns
    -------
    list of Debit or Refusal
        One for each, in their order.

    Refusals
    --------
    mandate_is_unknown, debit_is_malformed, debit_no_was_used, mandate_is_not_active,
    debit_is_too_early, debit_exceeds_mandate
    """
    counting = Counting.of(unit, [(new.mandate, new.due_on) for new in news])
    known = _known(unit, counting, news)
    answers: list[Debit | Refusal] = []
    fresh: dict[str, Debit] = {}
    dates: dict[UUID, tuple[date | None, date | None]] = {}
    for new in news:
        mandate = counting.mandates.get(new.mandate)
        try:
            if mandate is None or merchant not in (None, mandate.merchant):
                raise MandateIsUnknown(mandate=new.mandate)
            key = f"{mandate.merchant}/{new.debit_no}"
            present = known.get((mandate.merchant, mandate.mode, new.debit_no)) or fresh.get(key)
            if present is not None:
                answers.append(_same(present, new))
                continue
            debit = _made(unit, counting, mandate, new)
        except Refusal as refusal:
            answers.append(refusal)
            continue
        fresh[key] = debit
        answers.append(debit)
        following = _following(mandate, new)
        if following is not None:
            counting.mandates[mandate.id] = replace(mandate, next_on=following)
            dates[mandate.id] = (mandate.last_on, following)
    inserted = table.insert(unit.connection, list(fresh.values()))
    assert len(inserted) == len(fresh), "numbers are the merchant's, and its mandate is held"
    mandates_table.touch(unit.connection, dates)
    for debit in fresh.values():
        unit.record(facts.DebitScheduled(**facts.about_debit(debit)), subject=debit.subject_key)
    return answers


def _known(
    unit: UnitOfWork, counting: Counting, news: Sequence[NewDebit]
) -> dict[tuple[UUID, Mode, str], Debit]:
    """Return debits of these numbers that are there; others who want one of them wait here."""
    wanted: dict[tuple[UUID, Mode], list[str]] = {}
    for new in news:
        mandate = counting.mandates.get(new.mandate)
        if mandate is not None:
            wanted.setdefault((mandate.merchant, mandate.mode), []).append(new.debit_no)
    found: dict[tuple[UUID, Mode, str], Debit] = {}
    for (merchant, mode), numbers in sorted(wanted.items()):
        unit.connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 8))"),
            {"name": f"debit:{merchant}:{mode.value}"},
        )
        there = table.find_numbers(unit.connection, merchant, mode, numbers)
        found |= {(merchant, mode, number): debit for number, debit in there.items()}
    return found


def _same(present: Debit, new: NewDebit) -> Debit | Refusal:
    if all(getattr(present, name) == getattr(new, name) for name in _NEW):
        return present
    return DebitNoWasUsed(debit_no=new.debit_no, debit=present.id)


def _made(unit: UnitOfWork, counting: Counting, mandate: Mandate, new: NewDebit) -> Debit:
    """Return a debit of a mandate that allows it, and count it."""
    on = today(unit, mandate.mode)
    check_debit(mandate, new, on)
    period = counting.take(mandate, new.due_on, new.amount_minor)
    return Debit(
        **{name: getattr(new, name) for name in ("id", *_NEW)},
        merchant=mandate.merchant,
        customer=mandate.customer,
        mode=mandate.mode,
        state=DebitState.SCHEDULED,
        version=1,
        counted_on=period,
        try_on=on if new.is_signing else collected_on(new.due_on, calendar(mandate.calendar)),
        created_at=unit.now,
        created_by=unit.actor,
    )


def check_debit(mandate: Mandate, new: NewDebit, on: date) -> None:
    """Refuse a debit that its mandate does not allow today, whatever was taken by it before.

    Refusals
    --------
    mandate_is_not_active, debit_is_malformed, debit_is_too_early
    """
    wanted = MandateState.SIGNING if new.is_signing else MandateState.ACTIVE
    if mandate.state is not wanted:
        raise MandateIsNotActive(mandate=mandate.id, state=mandate.state.value)
    if new.amount_minor <= 0:
        raise DebitIsMalformed(reason="the amount is not over zero")
    if new.currency != mandate.currency:
        raise DebitIsMalformed(reason=f"the mandate is in {mandate.currency}")
    end = ends_on(mandate)
    if end is not None and new.due_on >= end:
        raise DebitIsMalformed(reason=f"the mandate ends on {end}")
    if new.is_signing:
        return
    earliest = on + timedelta(days=mandate.notice_days)
    if mandate.next_on is not None:
        window = timedelta(days=rules_of(mandate.kind).window_days)
        earliest = max(earliest, mandate.next_on - window)
    if new.due_on < earliest:
        raise DebitIsTooEarly(mandate=mandate.id, due_on=str(new.due_on), earliest_on=str(earliest))


def _following(mandate: Mandate, new: NewDebit) -> date | None:
    """Return the next date of a cycle after a debit of it; None without a cycle."""
    if mandate.cycle is Cycle.NONE or mandate.first_on is None or new.is_signing:
        return None
    after_on = max(new.due_on, mandate.next_on or new.due_on)
    return next_cycle_date(mandate.cycle, mandate.cycle_length, mandate.first_on, after_on)


def cancel_waiting(unit: UnitOfWork, mandate: UUID, *, failure: str) -> int:
    """Cancel what waits of a mandate that is locked; return how much of it is under way.

    An order of a debit that failed and waited for another try is ended by itself: no further
    attempt of it is ever begun.
    """
    held = table.lock(unit.connection, table.open_of(unit.connection, mandate))
    waiting = [
        replace(one, state=DebitState.CANCELLED, failure=failure, final_at=unit.now)
        for one in held.values()
        if one.state.waits
    ]
    table.write(unit.connection, waiting)
    for one in waiting:
        unit.record(facts.DebitMoved(**facts.about_debit(one)), subject=one.subject_key)
    return len(held) - len(waiting)
