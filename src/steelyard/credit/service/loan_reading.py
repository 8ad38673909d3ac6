"""Loans read: standing, history, statement, and quotes that write nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from steelyard.cashflows import PayoffQuote, Standing, events, run
from steelyard.cashflows import quote_payoff as payoff_of
from steelyard.cashflows import refusals as cash_refusals
from steelyard.cashflows import terms as cash_terms
from steelyard.credit.model import loan_refusals as refusals
from steelyard.credit.model.loan import Loan, LoanEvent, LoanState
from steelyard.credit.model.statement import StatementLine, statement_of
from steelyard.credit.service import books
from steelyard.credit.store import loans as table
from steelyard.kernel import Page, decode_cursor, encode_cursor

_OWES = (LoanState.ACTIVE, LoanState.WRITTEN_OFF)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepayQuote:
    """What a part repaid early would change.

    Attributes
    ----------
    before, after : the standing on the day without and with the payment
    interest_saved_minor : by which the interest of the whole schedule is smaller
    """

    on: date
    amount_minor: int
    before: Standing
    after: Standing

    @property
    def interest_saved_minor(self) -> int:
        """Return by how much the interest of the whole schedule is smaller."""
        was, now = (sum(row.interest_minor for row in s.rows) for s in (self.before, self.after))
        return was - now


def read(connection: sa.Connection, loan: UUID, *, on: date | None = None) -> Loan:
    """Return a loan with its standing on the business date, or on another day.

    Refusals
    --------
    loan_is_unknown
    value_date_is_out_of_range : a day before the loan begins
    """
    found = table.read(connection, loan)
    if found.kept is None:
        return found
    on = on or books.business_on(connection, found.currency)
    first = found.terms.start_on
    if on < first:
        raise refusals.ValueDateIsOutOfRange(asked=on, first_on=first, last_on=date.max)
    known = table.events_of(connection, [loan])[loan]
    return replace(found, standing=run(found.terms, known, on))


def find(
    connection: sa.Connection,
    *,
    party: UUID | None = None,
    merchant: UUID | None = None,
    application: UUID | None = None,
    product: str | None = None,
    state: LoanState | None = None,
    least_dpd: int | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Loan]:
    """Return a page of loans by number, with what is stored of their standing.

    Parameters
    ----------
    least_dpd : days past due at the last event or day close, at least

    Refusals
    --------
    cursor_is_invalid
    """
    after = int(decode_cursor(cursor, int)[0]) if cursor else 0
    found = table.find(
        connection,
        party=party,
        merchant=merchant,
        application=application,
        product=product,
        state=state,
        least_dpd=least_dpd,
        after=after,
        limit=limit + 1,
    )
    more = len(found) > limit
    return Page(tuple(found[:limit]), encode_cursor(found[limit - 1].nr) if more else None)


def history(connection: sa.Connection, loan: UUID) -> tuple[LoanEvent, ...]:
    """Return everything that happened to a loan, in order of recording.

    Refusals
    --------
    loan_is_unknown
    """
    table.read(connection, loan)
    return table.history(connection, loan)


def events_of(
    connection: sa.Connection, loans: Iterable[UUID]
) -> dict[UUID, tuple[events.Any, ...]]:
    """Return the events of several loans that their schedules depend on, for `run`."""
    return table.events_of(connection, list(loans))


def statement(connection: sa.Connection, loan: UUID) -> tuple[StatementLine, ...]:
    """Return what the customer sees: every movement, and what it was set against.

    Refusals
    --------
    loan_is_unknown
    """
    found = read(connection, loan)
    lines = table.history(connection, loan)
    if found.standing is None:
        return ()
    return statement_of(lines, found.standing)


def quote_payoff(
    connection: sa.Connection,
    loan: UUID,
    on: date | None = None,
    until: events.PayoffUntil = events.PayoffUntil.DAY,
) -> PayoffQuote:
    """Return what repays a loan wholly on a day, today or later.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, value_date_is_out_of_range
    """
    found, on = _quoted(connection, loan, on)
    known = table.events_of(connection, [loan])[loan]
    return payoff_of(found.terms, known, on, until)


def quote_prepay(
    connection: sa.Connection,
    loan: UUID,
    *,
    amount_minor: int,
    on: date | None = None,
    plan: cash_terms.Prepay | None = None,
) -> PrepayQuote:
    """Return what a part repaid early on a day would change.

    Refusals
    --------
    loan_is_unknown, loan_is_closed, loan_state_forbids, value_date_is_out_of_range,
    amount_is_not_positive, change_does_not_fit
    """
    if amount_minor <= 0:
        raise refusals.AmountIsNotPositive(amount_minor=amount_minor)
    found, on = _quoted(connection, loan, on)
    lines = table.history(connection, loan)
    known = tuple(line.event for line in lines if line.event is not None)
    event = events.PrepaidPart(seq=len(lines) + 1, on=on, amount_minor=amount_minor, plan=plan)
    try:
        after = run(found.terms, (*known, event), on)
    except cash_refusals.EventIsInvalid as refused:
        raise refusals.ChangeDoesNotFit(loan=loan, why=refused.facts["why"]) from None
    return PrepayQuote(
        on=on, amount_minor=amount_minor, before=run(found.terms, known, on), after=after
    )


def _quoted(connection: sa.Connection, loan: UUID, on: date | None) -> tuple[Loan, date]:
    found = table.read(connection, loan)
    today = books.business_on(connection, found.currency)
    on = on or today
    if found.state not in _OWES:
        is_over = found.state is not LoanState.SIGNED
        refusal = refusals.LoanIsClosed if is_over else refusals.LoanStateForbids
        raise refusal(loan=loan, present=found.state.value, act="quote")
    if on < today:
        raise refusals.ValueDateIsOutOfRange(asked=on, first_on=today, last_on=date.max)
    return found, on
