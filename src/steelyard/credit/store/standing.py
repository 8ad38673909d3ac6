"""Tables of standings and instalments: written by events and by the day close alike."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.cashflows import Row, Standing
from steelyard.credit.model.loan import STATE_NUMBERS, Loan, LoanState
from steelyard.credit.model.postings import Position

_FIELDS = (
    "nr",
    "pool",
    "state",
    "as_of",
    "events",
    "own_parts",
    "all_parts",
    "principal_minor",
    "line_nr",
    "line_from",
    "line_to",
    "line_before_minor",
    "line_total_minor",
    "interest_settled_minor",
    "interest_earned_minor",
    "penalty_earned_minor",
    "fee_earned_minor",
    "principal_own_minor",
    "interest_receivable_minor",
    "penalty_receivable_minor",
    "fee_receivable_minor",
    "interest_suspended_minor",
    "penalty_suspended_minor",
    "provision_minor",
    "stage",
    "next_due_on",
    "oldest_due_on",
    "overdue_minor",
    "dpd",
    "credit_minor",
    "totals",
)
_ROW_FIELDS = (
    "from_on",
    "to_on",
    "due_on",
    "principal_minor",
    "interest_minor",
    "fee_minor",
    "penalty_minor",
    "balance_minor",
    "accrues_minor",
    "paid_principal_minor",
    "paid_interest_minor",
    "paid_fee_minor",
    "paid_penalty_minor",
    "waived_interest_minor",
    "waived_fee_minor",
    "waived_penalty_minor",
    "penalty_from",
    "penalty_before_minor",
    "penalty_base_minor",
    "paid_on",
)
_UPSERT = sa.text(
    f"INSERT INTO credit.standing ({', '.join(_FIELDS)})"
    f" VALUES ({', '.join(':' + name for name in _FIELDS)}) ON CONFLICT (nr) DO UPDATE SET "
    + ", ".join(f"{name} = EXCLUDED.{name}" for name in _FIELDS[1:])
).bindparams(sa.bindparam("totals", type_=JSONB))
_COMPARED = ("is_down_payment", *_ROW_FIELDS)
_UPSERT_ROW = sa.text(
    f"INSERT INTO credit.instalment AS i (nr, no, {', '.join(_COMPARED)})"
    f" VALUES (:nr, :no, {', '.join(':' + name for name in _COMPARED)})"
    " ON CONFLICT (nr, no) DO UPDATE SET "
    + ", ".join(f"{name} = EXCLUDED.{name}" for name in _COMPARED)
    + f" WHERE (i.{', i.'.join(_COMPARED)}) IS DISTINCT FROM"
    + f" (EXCLUDED.{', EXCLUDED.'.join(_COMPARED)})"
)


def write(
    connection: sa.Connection,
    loan: Loan,
    standing: Standing,
    position: Position,
    *,
    pool: int,
    state: LoanState,
    events: int,
) -> None:
    """Write how a loan stands; bucket, category and pause stay as the day close left them.

    Parameters
    ----------
    events : number of the last event that the standing knows
    """
    connection.execute(
        _UPSERT,
        {
            "nr": loan.nr,
            "pool": pool,
            "state": STATE_NUMBERS[state],
            "events": events,
            "own_parts": loan.shares.own_parts,
            "all_parts": loan.shares.all_parts,
            **standing_values(standing),
            **position_values(position),
        },
    )
    connection.execute(
        _UPSERT_ROW,
        [{"nr": loan.nr, **row_values(row)} for row in standing.rows],
    )
    connection.execute(
        sa.text("DELETE FROM credit.instalment WHERE nr = :nr AND no > :last"),
        {"nr": loan.nr, "last": len(standing.rows)},
    )


def standing_values(standing: Standing) -> dict[str, Any]:
    """Return the columns that follow from a standing alone."""
    line, totals = standing.accrual, standing.totals
    settled = totals.interest_earned_minor
    if line is not None:
        settled -= line.earned_minor(standing.as_of)
    ahead = [row.due_on for row in standing.rows if row.due_on > standing.as_of and row.open_minor]
    return {
        "as_of": standing.as_of,
        "principal_minor": standing.principal_minor,
        "line_nr": line and line.nr,
        "line_from": line and line.from_on,
        "line_to": line and line.to_on,
        "line_before_minor": line and line.before_minor,
        "line_total_minor": line and line.total_minor,
        "interest_settled_minor": settled,
        "interest_earned_minor": totals.interest_earned_minor,
        "penalty_earned_minor": totals.penalty_earned_minor,
        "fee_earned_minor": totals.fee_earned_minor,
        "next_due_on": min(ahead, default=None),
        "oldest_due_on": standing.oldest_due_on,
        "overdue_minor": standing.overdue_minor,
        "dpd": standing.days_past_due,
        "totals": asdict(totals),
    }


def position_values(position: Position) -> dict[str, Any]:
    """Return the columns that say how a loan stands in our books."""
    return {
        "principal_own_minor": position.principal_minor,
        "interest_receivable_minor": position.interest_minor,
        "penalty_receivable_minor": position.penalty_minor,
        "fee_receivable_minor": position.fee_minor,
        "interest_suspended_minor": position.interest_suspended_minor,
        "penalty_suspended_minor": position.penalty_suspended_minor,
        "provision_minor": position.provision_minor,
        "stage": position.stage,
        "credit_minor": position.credit_minor,
    }


def row_values(row: Row) -> dict[str, Any]:
    """Return the columns of a row of a schedule."""
    return {
        "no": row.nr,
        "is_down_payment": row.kind.value == "down_payment",
        **{name: getattr(row, name) for name in _ROW_FIELDS},
    }


def pause_ageing(connection: sa.Connection, nr: int, until: Any) -> None:
    """Let the bucket of a loan not grow worse before a day."""
    connection.execute(
        sa.text("UPDATE credit.standing SET paused_until = :until WHERE nr = :nr"),
        {"until": until, "nr": nr},
    )
