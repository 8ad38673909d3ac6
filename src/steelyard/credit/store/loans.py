"""Tables of loans: contracts, their history, lenders and pools."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.cashflows import events, form
from steelyard.credit.model.loan import (
    ActKind,
    Kept,
    Loan,
    LoanEvent,
    LoanState,
    NewLoan,
    Route,
)
from steelyard.credit.model.loan_refusals import LoanIsUnknown
from steelyard.credit.model.postings import Position
from steelyard.credit.model.shares import Shares

_ACTS: Final = frozenset(kind.value for kind in ActKind)
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")
_COLUMNS = (
    "l.id, l.nr, l.party, l.product, l.product_version, l.currency, l.terms, l.wallet_book,"
    " l.wallet_account, l.merchant, l.application, l.shares, l.state, l.version, l.signed_at,"
    " l.cooling_off_until"
)
_KEPT = (
    "s.as_of, s.events, s.stage, s.principal_minor, s.interest_earned_minor,"
    " s.penalty_earned_minor, s.fee_earned_minor, s.principal_own_minor,"
    " s.interest_receivable_minor, s.penalty_receivable_minor, s.fee_receivable_minor,"
    " s.interest_suspended_minor, s.penalty_suspended_minor, s.provision_minor, s.credit_minor,"
    " s.next_due_on, s.oldest_due_on, s.overdue_minor, s.dpd, s.bucket, s.category,"
    " s.paused_until, s.totals"
)
_FROM = f"SELECT {_COLUMNS}, {_KEPT} FROM credit.loan l LEFT JOIN credit.standing s ON s.nr = l.nr"


def kind_of(event: events.Any) -> str:
    """Return the name of an event's kind in the table.

    Examples
    --------
    >>> from datetime import date
    >>> kind_of(events.PaidOff(seq=1, on=date(2026, 1, 1), amount_minor=1))
    'paid_off'
    """
    return _WORD.sub("_", type(event).__name__).lower()


def insert(connection: sa.Connection, id: UUID, new: NewLoan, signed_at: datetime) -> None:
    """Insert a signed loan."""
    statement = sa.text(
        "INSERT INTO credit.loan (id, party, product, product_version, currency, terms,"
        " wallet_book, wallet_account, merchant, application, shares, state, signed_at,"
        " cooling_off_until) VALUES (:id, :party, :product, :product_version, :currency, :terms,"
        " :wallet_book, :wallet_account, :merchant, :application, :shares, 'signed', :signed_at,"
        " :cooling_off_until)"
    ).bindparams(sa.bindparam("terms", type_=JSONB), sa.bindparam("shares", type_=JSONB))
    connection.execute(
        statement,
        {
            "id": id,
            "party": new.party,
            "product": new.product,
            "product_version": new.product_version,
            "currency": new.terms.currency,
            "terms": form.terms_to_json(new.terms),
            "wallet_book": new.wallet_book,
            "wallet_account": new.wallet_account,
            "merchant": new.merchant,
            "application": new.application,
            "shares": new.shares.to_json() if new.shares.partners else sa.null(),
            "signed_at": signed_at,
            "cooling_off_until": new.cooling_off_until,
        },
    )


def read(connection: sa.Connection, loan: UUID) -> Loan:
    """Return a loan with what is stored of its standing.

    Refusals
    --------
    loan_is_unknown
    """
    row = connection.execute(sa.text(f"{_FROM} WHERE l.id = :id"), {"id": loan}).one_or_none()
    if row is None:
        raise LoanIsUnknown(loan=loan)
    return _loan(row)


def lock(connection: sa.Connection, loan: UUID) -> Loan:
    """Return a loan, its row and its standing held; what is stored is read after that.

    The day close writes standings without holding loans, so the standing is held too.

    Refusals
    --------
    loan_is_unknown
    """
    row = connection.execute(
        sa.text("SELECT nr FROM credit.loan WHERE id = :id FOR UPDATE"), {"id": loan}
    ).one_or_none()
    if row is not None:
        connection.execute(
            sa.text("SELECT FROM credit.standing WHERE nr = :nr FOR UPDATE"), {"nr": row.nr}
        )
    return read(connection, loan)


def find(
    connection: sa.Connection,
    *,
    party: UUID | None = None,
    merchant: UUID | None = None,
    application: UUID | None = None,
    product: str | None = None,
    state: LoanState | None = None,
    least_dpd: int | None = None,
    after: int = 0,
    limit: int = 50,
) -> list[Loan]:
    """Return loans by number; conditions that are not None hold all together."""
    asked = {
        "party": ("l.party = :party", party),
        "merchant": ("l.merchant = :merchant", merchant),
        "application": ("l.application = :application", application),
        "product": ("l.product = :product", product),
        "state": ("l.state = :state", state),
        "least_dpd": ("s.dpd >= :least_dpd", least_dpd),
    }
    given = {name: value for name, (_, value) in asked.items() if value is not None}
    where = " AND ".join(["l.nr > :after", *(asked[name][0] for name in given)])
    rows = connection.execute(
        sa.text(f"{_FROM} WHERE {where} ORDER BY l.nr LIMIT :limit"),
        {**given, "after": after, "limit": limit},
    )
    return [_loan(row) for row in rows]


def change_state(connection: sa.Connection, before: Loan, state: LoanState) -> None:
    """Bring a loan to its next version, at the state and version that were read."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.loan SET state = :state, version = version + 1"
            " WHERE id = :id AND state = :before AND version = :version"
        ),
        {
            "state": state.value,
            "id": before.id,
            "before": before.state.value,
            "version": before.version,
        },
    )
    assert done.rowcount == 1, "the row is held"


def insert_events(connection: sa.Connection, loan: UUID, lines: Sequence[LoanEvent]) -> None:
    """Append lines to a loan's history."""
    statement = sa.text(
        "INSERT INTO credit.event (loan, seq, kind, effective_on, content, cause, decision, actor,"
        " recorded_at, business_on, entry, route) VALUES (:loan, :seq, :kind, :effective_on,"
        " :content, :cause, :decision, :actor, :recorded_at, :business_on, :entry, :route)"
    ).bindparams(sa.bindparam("content", type_=JSONB))
    connection.execute(
        statement,
        [
            {
                "loan": loan,
                "seq": line.seq,
                "kind": line.kind,
                "effective_on": line.effective_on,
                "content": line.content,
                "cause": line.cause,
                "decision": line.decision,
                "actor": line.actor,
                "recorded_at": line.recorded_at,
                "business_on": line.business_on,
                "entry": line.entry,
                "route": line.route,
            }
            for line in lines
        ],
    )


def history(connection: sa.Connection, loan: UUID) -> tuple[LoanEvent, ...]:
    """Return everything that happened to a loan, in order."""
    rows = connection.execute(
        sa.text("SELECT * FROM credit.event WHERE loan = :loan ORDER BY seq"), {"loan": loan}
    )
    return tuple(_event(row) for row in rows)


def events_of(
    connection: sa.Connection, loans: Sequence[UUID]
) -> dict[UUID, tuple[events.Any, ...]]:
    """Return the events of several loans that their schedules depend on, in order."""
    rows = connection.execute(
        sa.text(
            "SELECT loan, kind, content FROM credit.event WHERE loan = ANY (:loans)"
            " ORDER BY loan, seq"
        ),
        {"loans": list(loans)},
    )
    found: dict[UUID, list[events.Any]] = {loan: [] for loan in loans}
    for row in rows:
        if row.kind not in _ACTS:
            found[row.loan].append(form.event_from_json(row.content))
    return {loan: tuple(ours) for loan, ours in found.items()}


def _event(row: sa.Row[Any]) -> LoanEvent:
    return LoanEvent(
        seq=row.seq,
        kind=row.kind,
        effective_on=row.effective_on,
        content=row.content,
        event=None if row.kind in _ACTS else form.event_from_json(row.content),
        cause=row.cause,
        decision=row.decision,
        actor=row.actor,
        recorded_at=row.recorded_at.astimezone(UTC),
        business_on=row.business_on,
        entry=row.entry,
        route=None if row.route is None else Route(row.route),
    )


def _loan(row: sa.Row[Any]) -> Loan:
    return Loan(
        id=row.id,
        nr=row.nr,
        party=row.party,
        product=row.product,
        product_version=row.product_version,
        currency=row.currency,
        terms=form.terms_from_json(row.terms),
        wallet_book=row.wallet_book,
        wallet_account=row.wallet_account,
        merchant=row.merchant,
        application=row.application,
        shares=Shares.from_json(row.shares),
        state=LoanState(row.state),
        version=row.version,
        signed_at=row.signed_at.astimezone(UTC),
        cooling_off_until=row.cooling_off_until,
        kept=None if row.as_of is None else _kept(row),
    )


def _kept(row: sa.Row[Any]) -> Kept:
    return Kept(
        as_of=row.as_of,
        events=row.events,
        position=Position(
            stage=row.stage,
            principal_minor=row.principal_own_minor,
            interest_minor=row.interest_receivable_minor,
            penalty_minor=row.penalty_receivable_minor,
            fee_minor=row.fee_receivable_minor,
            interest_suspended_minor=row.interest_suspended_minor,
            penalty_suspended_minor=row.penalty_suspended_minor,
            provision_minor=row.provision_minor,
            credit_minor=row.credit_minor,
        ),
        principal_minor=row.principal_minor,
        interest_earned_minor=row.interest_earned_minor,
        penalty_earned_minor=row.penalty_earned_minor,
        fee_earned_minor=row.fee_earned_minor,
        next_due_on=row.next_due_on,
        oldest_due_on=row.oldest_due_on,
        overdue_minor=row.overdue_minor,
        dpd=row.dpd,
        bucket=row.bucket,
        category=row.category,
        paused_until=row.paused_until,
        totals=dict(row.totals),
    )
