"""Tables of the day close: the loans of a chunk as columns, what was done, what is held."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from datetime import date, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import msgspec
import numpy as np
import psycopg

from steelyard.cashflows import Terms, form
from steelyard.credit.model.classification import Category, Restructured, clean_since
from steelyard.credit.model.close import (
    NO_DAY,
    NONE,
    Flags,
    Integers,
    LoanColumns,
    NextLines,
    PenaltyRules,
    RowColumns,
    place_of,
)
from steelyard.credit.model.close_grading import Past
from steelyard.credit.model.close_postings import Group
from steelyard.credit.store.close_columns import array_text, copy_columns, select_columns

Driver = psycopg.Connection[Any]

_DATES: Final = frozenset(
    {"as_of", "line_from", "line_to", "next_due_on", "oldest_due_on", "paused_until"}
)
_MAY_BE_NONE: Final = frozenset({"line_nr", "eir_bp"})
_MAY_BE_NOTHING: Final = frozenset({"line_before_minor", "line_total_minor"})


def _day(expression: str) -> str:
    return f"COALESCE({expression} - DATE '2000-01-01', {NO_DAY})"


def _column(name: str) -> str:
    if name in _DATES:
        return _day(f"s.{name}")
    if name in _MAY_BE_NONE:
        return f"COALESCE(s.{name}, {NONE})"
    return f"COALESCE(s.{name}, 0)" if name in _MAY_BE_NOTHING else f"s.{name}"


_LOANS: Final = [_column(one.name) for one in fields(LoanColumns)]
_ROWS: Final = [
    "i.nr",
    "i.no",
    "i.to_on - DATE '2000-01-01'",
    "i.due_on - DATE '2000-01-01'",
    "i.principal_minor - i.paid_principal_minor",
    "i.interest_minor - i.paid_interest_minor - i.waived_interest_minor",
    "i.fee_minor - i.paid_fee_minor - i.waived_fee_minor",
    "i.penalty_minor",
    "i.paid_penalty_minor + i.waived_penalty_minor",
    _day("i.penalty_from"),
    "i.penalty_before_minor",
    "i.penalty_base_minor",
]


def read_loans(driver: Driver, pools: Sequence[int], first: int, last: int) -> LoanColumns:
    """Return the open loans of a range of numbers."""
    found = select_columns(
        driver,
        _LOANS,
        "FROM credit.standing AS s WHERE s.nr BETWEEN %(first)s AND %(last)s AND s.state = 1"
        " AND s.pool = ANY (%(pools)s) ORDER BY s.nr",
        {"first": first, "last": last, "pools": list(pools)},
    )
    return LoanColumns(*found)


def read_rows(driver: Driver, loans: LoanColumns) -> RowColumns:
    """Return the instalments of some loans of which anything may be left to pay."""
    if not len(loans.nr):
        return RowColumns(*([loans.nr] * len(_ROWS)))
    found = select_columns(
        driver,
        _ROWS,
        "FROM credit.instalment AS i WHERE i.nr BETWEEN %(first)s AND %(last)s"
        " AND i.paid_on IS NULL ORDER BY i.nr, i.no",
        {"first": int(loans.nr[0]), "last": int(loans.nr[-1])},
    )
    ours = np.isin(found[0], loans.nr)
    return RowColumns(*(found if ours.all() else [one[ours] for one in found]))


def read_next_lines(driver: Driver, loans: LoanColumns, wanted: Flags) -> NextLines:
    """Return where the lines of some loans go on when their period ends.

    Parameters
    ----------
    wanted : bool (loans,), of whom it is asked
    """
    of = "FILTER (WHERE i.no = r.line_nr)"
    then = "FILTER (WHERE i.no = r.line_nr + 1)"
    before = "FILTER (WHERE i.no <= r.line_nr)"
    columns = [
        "r.nr",
        f"COALESCE(min(i.to_on) {of} - DATE '2000-01-01', {NO_DAY})",
        f"COALESCE(min(i.no) {then}, {NONE})",
        f"COALESCE(min(i.from_on) {then} - DATE '2000-01-01', {NO_DAY})",
        f"COALESCE(min(i.to_on) {then} - DATE '2000-01-01', {NO_DAY})",
        f"COALESCE(sum(i.accrues_minor) {then}, 0)",
        f"COALESCE(sum(i.accrues_minor) {before}, 0)",
        f"COALESCE(sum(i.fee_minor) {before}, 0)",
        f"COALESCE(sum(i.paid_interest_minor) {then}, 0)",
    ]
    nrs, lines = loans.nr[wanted], loans.line_nr[wanted]
    found = select_columns(
        driver,
        columns,
        "FROM unnest(%(nrs)s::bigint[], %(lines)s::bigint[]) AS r (nr, line_nr)"
        " JOIN credit.instalment AS i ON i.nr = r.nr GROUP BY r.nr ORDER BY r.nr",
        {"nrs": array_text(nrs), "lines": array_text(lines)},
    )
    assert len(found[0]) == len(nrs), "a loan has a schedule"
    empty = (NO_DAY, NONE, NO_DAY, NO_DAY, 0, 0, 0, 0)
    made = []
    for column, nothing in zip(found[1:], empty, strict=True):
        whole = np.full(len(loans.nr), nothing, np.int64)
        whole[wanted] = column
        made.append(whole)
    return NextLines(*made)


def read_rules(driver: Driver, loans: LoanColumns, wanted: Flags) -> tuple[PenaltyRules, Flags]:
    """Return the rules of penalty of some loans, and which of all run on what is really owed."""
    rules = PenaltyRules.none(len(loans.nr))
    runs_on_owed = np.zeros(len(loans.nr), np.bool_)
    if not wanted.any():
        return rules, runs_on_owed
    rows = driver.execute(
        "SELECT l.nr, CAST(l.terms -> 'penalty' AS text), l.terms ->> 'accrues' = 'outstanding'"
        " AND COALESCE(l.terms ->> 'interest_on', 'balance') = 'balance'"
        " FROM credit.loan AS l WHERE l.nr = ANY (%s::bigint[]) ORDER BY l.nr",
        [array_text(loans.nr[wanted])],
    ).fetchall()
    place = place_of(loans, np.array([row[0] for row in rows], np.int64))
    runs_on_owed[place] = [bool(row[2]) for row in rows]
    read = [_rule(row[1]) for row in rows]
    rules.num[place] = [one[0] for one in read]
    rules.den[place] = [one[1] for one in read]
    rules.grace_days[place] = [one[2] for one in read]
    rules.on_interest[place] = [one[3] for one in read]
    return rules, runs_on_owed


@lru_cache(maxsize=10_000)
def _rule(text: str | None) -> tuple[int, int, int, bool]:
    if text is None or text == "null":
        return 0, 1, 0, False
    stored = msgspec.json.decode(text)
    num, den = Decimal(stored["rate"]).as_integer_ratio()
    days = stored.get("days_in_year", 365)
    return num, den * days, stored.get("grace_days", 0), stored.get("on_interest", False)


def read_terms(driver: Driver, nrs: Integers) -> dict[int, Terms]:
    """Return the terms of some loans, by number."""
    rows = driver.execute(
        "SELECT nr, terms FROM credit.loan WHERE nr = ANY (%s::bigint[])", [array_text(nrs)]
    )
    return {int(row[0]): form.terms_from_json(row[1]) for row in rows}


def find_ids(driver: Driver, nrs: Integers) -> dict[int, tuple[UUID, UUID, str]]:
    """Return id, party and product of some loans, by number."""
    rows = driver.execute(
        "SELECT nr, id, party, product FROM credit.loan WHERE nr = ANY (%s::bigint[])",
        [array_text(nrs)],
    )
    return {int(row[0]): (row[1], row[2], row[3]) for row in rows}


def note_restructurings(driver: Driver, first: int, last: int, on: date) -> None:
    """Keep which contracts were changed in difficulty on a day, with their category before.

    A new schedule for all that is owed always is; more instalments are where something was late.
    """
    driver.execute(
        "INSERT INTO credit.restructuring (nr, seq, on_day, category)"
        " SELECT l.nr, e.seq, e.business_on, s.category FROM credit.event AS e"
        " JOIN credit.loan AS l ON l.id = e.loan JOIN credit.standing AS s ON s.nr = l.nr"
        " WHERE e.business_on = %(on)s AND (e.kind = 're_aged'"
        " OR e.kind = 'extended' AND s.bucket > 0)"
        " AND l.nr BETWEEN %(first)s AND %(last)s ON CONFLICT DO NOTHING",
        {"on": on, "first": first, "last": last},
    )


def read_restructured(
    driver: Driver, first: int, last: int, since: date
) -> dict[int, Restructured]:
    """Return which contracts were changed in difficulty since a day, by number.

    What was taken back does not count.
    """
    rows = driver.execute(
        "SELECT r.nr, r.on_day, r.category FROM credit.restructuring AS r"
        " WHERE r.nr BETWEEN %(first)s AND %(last)s AND r.on_day > %(since)s AND NOT EXISTS ("
        "SELECT FROM credit.loan AS l JOIN credit.event AS e ON e.loan = l.id"
        " WHERE l.nr = r.nr AND e.kind = 'reversed'"
        " AND CAST(e.content ->> 'of' AS integer) = r.seq) ORDER BY r.nr, r.seq",
        {"first": first, "last": last, "since": since},
    )
    found: dict[int, list[tuple[date, int]]] = defaultdict(list)
    for row in rows:
        found[int(row[0])].append((row[1], row[2]))
    return {
        nr: Restructured(on=times[-1][0], times=len(times), was=Category(times[0][1]))
        for nr, times in found.items()
    }


def read_past(
    driver: Driver, nrs: Integers, restructured: dict[int, Restructured], on: date
) -> dict[int, Past]:
    """Return what the rules about getting better ask of some loans, by number."""
    if not len(nrs):
        return {}
    rows = driver.execute(
        "SELECT nr, due_on, paid_on FROM credit.instalment WHERE nr = ANY (%s::bigint[])"
        " ORDER BY nr, no",
        [array_text(nrs)],
    )
    dues: dict[int, list[tuple[date, date | None]]] = defaultdict(list)
    for row in rows:
        dues[int(row[0])].append((row[1], row[2]))
    return {
        nr: Past(*clean_since(theirs, on), restructured=restructured.get(nr))
        for nr, theirs in dues.items()
    }


_WRITTEN: Final = (
    "as_of",
    "line_nr",
    "line_from",
    "line_to",
    "line_before_minor",
    "line_total_minor",
    "interest_settled_minor",
    "interest_earned_minor",
    "penalty_earned_minor",
    "fee_earned_minor",
    "interest_receivable_minor",
    "penalty_receivable_minor",
    "fee_receivable_minor",
    "interest_suspended_minor",
    "penalty_suspended_minor",
    "next_due_on",
    "oldest_due_on",
    "overdue_minor",
    "dpd",
    "bucket",
    "category",
    "stage",
    "provision_minor",
    "eir_bp",
)
_KEYS: Final = ("nr", "was_events", "was_as_of")


def _written(name: str) -> str:
    if name in _DATES:
        return f"{name} = DATE '2000-01-01' + CAST(NULLIF(t.{name}, {NO_DAY}) AS integer)"
    if name in _MAY_BE_NOTHING:
        return f"{name} = CASE WHEN t.line_nr <> {NONE} THEN t.{name} END"
    return f"{name} = NULLIF(t.{name}, {NONE})" if name in _MAY_BE_NONE else f"{name} = t.{name}"


_UPDATE: Final = (
    "UPDATE credit.standing AS s SET "
    + ", ".join(_written(name) for name in _WRITTEN)
    + " FROM closing_loan AS t WHERE s.nr = t.nr AND s.nr BETWEEN %(first)s AND %(last)s"
    " AND s.events = t.was_events AND s.state = 1"
    " AND s.as_of = DATE '2000-01-01' + CAST(t.was_as_of AS integer)"
)
_ROW_KEYS: Final = ("nr", "no", "penalty_minor", "penalty_from", "penalty_base_minor")
_UPDATE_ROWS: Final = (
    "UPDATE credit.instalment AS i SET penalty_minor = t.penalty_minor,"
    " penalty_from = DATE '2000-01-01' + CAST(NULLIF(t.penalty_from, %(no_day)s) AS integer),"
    " penalty_base_minor = t.penalty_base_minor FROM closing_row AS t"
    " WHERE i.nr = t.nr AND i.no = t.no AND i.nr BETWEEN %(first)s AND %(last)s"
)


def _temporary(driver: Driver, name: str, columns: Sequence[str]) -> None:
    made = ", ".join(f"{column} bigint NOT NULL" for column in columns)
    driver.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} ({made}) ON COMMIT DELETE ROWS")


def write_loans(driver: Driver, before: LoanColumns, after: LoanColumns) -> int:
    """Write the standings of a day, each as it was read; return how many were written.

    Fewer than all: somebody wrote a loan in between, and nothing of this may stand.
    """
    if not len(before.nr):
        return 0
    _temporary(driver, "closing_loan", (*_KEYS, *_WRITTEN))
    columns = [before.nr, before.events, before.as_of]
    copy_columns(driver, "closing_loan", columns + [getattr(after, one) for one in _WRITTEN])
    # A temporary table has no statistics: the planner would take each row for an index of all.
    driver.execute("SET LOCAL enable_nestloop = off")
    bounds = {"first": int(before.nr[0]), "last": int(before.nr[-1])}
    return driver.execute(_UPDATE, bounds).rowcount


def write_rows(driver: Driver, before: RowColumns, after: RowColumns) -> int:
    """Write the penalty of the rows where it changed; return how many were."""
    moved = (before.penalty_minor != after.penalty_minor) | (
        before.penalty_from != after.penalty_from
    )
    at = np.flatnonzero(moved)
    if not len(at):
        return 0
    _temporary(driver, "closing_row", _ROW_KEYS)
    copy_columns(driver, "closing_row", [getattr(after, one)[at] for one in _ROW_KEYS])
    nrs = after.nr[at]
    done = driver.execute(
        _UPDATE_ROWS,
        {"first": int(nrs[0]), "last": int(nrs[-1]), "no_day": NO_DAY},
    ).rowcount
    assert done == len(at), "rows are written with their standing"
    return done


def insert_accrual(
    driver: Driver, day: tuple[str, date], first_nr: int, group: Group, entry: UUID | None
) -> None:
    """Keep what each loan of a group earned; the database adds it up again."""
    amounts = (group.interest, group.penalty, group.fee, group.provision)
    driver.execute(
        "INSERT INTO credit.accrual (book, on_day, first_nr, pool, stage_before, stage, entry,"
        " nrs, interest, penalty, fee, provision, interest_minor, penalty_minor, fee_minor,"
        " provision_minor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " %s)",
        [
            *day,
            first_nr,
            group.pool,
            group.stage_before,
            group.stage,
            entry,
            array_text(group.nrs),
            *(array_text(one) if one.any() else "{}" for one in amounts),
            *(int(one.sum()) for one in amounts),
        ],
    )


def insert_snapshot(driver: Driver, pools: Sequence[int], first: int, last: int, on: date) -> None:
    """Keep how the loans of a range stand at the end of a month.

    A loan that ended stands in the month it ended, last.
    """
    driver.execute(
        "INSERT INTO credit.snapshot (month_on, nr, pool, state, bucket, dpd, category, stage,"
        " principal_minor, overdue_minor, provision_minor)"
        " SELECT %(on)s, s.nr, s.pool, s.state, s.bucket, s.dpd, s.category, s.stage,"
        " s.principal_minor, s.overdue_minor, s.provision_minor FROM credit.standing AS s"
        " WHERE s.nr BETWEEN %(first)s AND %(last)s AND s.pool = ANY (%(pools)s)"
        " AND (s.state = 1 OR s.as_of >= %(month)s AND NOT EXISTS (SELECT FROM credit.snapshot"
        " AS p WHERE p.nr = s.nr AND p.state = s.state)) ON CONFLICT DO NOTHING",
        {"on": on, "first": first, "last": last, "pools": list(pools), "month": on.replace(day=1)},
    )


def is_month_end(on: date) -> bool:
    """Whether a day is the last of its month.

    Examples
    --------
    >>> is_month_end(date(2024, 2, 28)), is_month_end(date(2024, 2, 29))
    (False, True)
    """
    return (on + timedelta(days=1)).day == 1
