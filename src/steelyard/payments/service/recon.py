"""Reconciliation with channels: statements, runs, and what does not agree until it is resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.kernel.page import CursorIsInvalid
from steelyard.payments.model import statement_refusals
from steelyard.payments.model.breaks import BreakKind, Certainty, Stage
from steelyard.payments.model.clearing import ReconWord
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.recon import (
    AGES,
    Action,
    DayState,
    FileState,
    Item,
    ItemState,
    Plan,
    Proposal,
    age_bucket,
)
from steelyard.payments.model.recon_refusals import (
    ReconActionDoesNotFit,
    ReconIsRunning,
    ReconItemIsUnknown,
    ReconItemStateForbids,
    ReconMerchantIsNeeded,
    ReconPairDoesNotFit,
    ReconPlanIsMalformed,
    ReconPlanIsUnknown,
    StatementIsMissing,
    StatementIsOfNoDay,
    WriteOffIsTooLarge,
)
from steelyard.payments.service.recon_files import (
    Arrival,
    Taken,
    expect_days,
    mark_late,
    plan_of,
    plans,
    set_plan,
    take_file,
    take_statements,
)
from steelyard.payments.service.recon_resolving import (
    APPROVAL,
    age,
    approve,
    assign,
    post,
    propose,
    withdraw,
)
from steelyard.payments.service.recon_run import run_day
from steelyard.payments.store import recon as table
from steelyard.payments.store import recon_items as item_table
from steelyard.payments.store import recon_rows as rows
from steelyard.payments.store.recon import Day, File, Run

__all__ = [
    "AGES",
    "APPROVAL",
    "FILE_REFUSALS",
    "Action",
    "AgeLine",
    "Arrival",
    "BreakKind",
    "Certainty",
    "Day",
    "DayState",
    "DayView",
    "File",
    "FileState",
    "Item",
    "ItemState",
    "Mode",
    "Plan",
    "Proposal",
    "ReconActionDoesNotFit",
    "ReconIsRunning",
    "ReconItemIsUnknown",
    "ReconItemStateForbids",
    "ReconMerchantIsNeeded",
    "ReconPairDoesNotFit",
    "ReconPlanIsMalformed",
    "ReconPlanIsUnknown",
    "Run",
    "Stage",
    "StatementIsMissing",
    "StatementIsOfNoDay",
    "Taken",
    "WriteOffIsTooLarge",
    "age",
    "ageing",
    "approve",
    "assign",
    "days",
    "expect_days",
    "files",
    "history",
    "item",
    "items",
    "mark_late",
    "plan_of",
    "plans",
    "plot_of_ageing",
    "post",
    "propose",
    "reconcile",
    "result",
    "run_day",
    "runs",
    "set_plan",
    "take_file",
    "take_statements",
    "withdraw",
    "word",
]

FILE_REFUSALS: Final = (
    statement_refusals.FileIsNoStatement,
    statement_refusals.StatementFileIsTooLarge,
    statement_refusals.StatementArchiveIsBroken,
    statement_refusals.StatementIsCutOff,
    statement_refusals.StatementEncodingIsWrong,
    statement_refusals.StatementFieldIsMalformed,
    statement_refusals.StatementLacks,
    statement_refusals.StatementIsUnsafe,
    statement_refusals.StatementAmountIsTooFine,
    statement_refusals.StatementCurrencyIsUnknown,
    statement_refusals.StatementCurrenciesDiffer,
    statement_refusals.StatementDoesNotAddUp,
    statement_refusals.StatementTotalsDiffer,
    statement_refusals.StatementPageIsMissing,
    statement_refusals.StatementSealIsBroken,
)
"""How a file can be refused by its content."""


@dataclass(frozen=True, slots=True)
class DayView:
    """A day of a channel as people look at it.

    Attributes
    ----------
    run : the newest finished one; open_items, open_minor : what is left, at risk by currency
    """

    day: Day
    run: Run | None
    open_items: int
    open_minor: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeLine:
    """What is open of one age.

    Attributes
    ----------
    days : age, in days of the channel's clock, as a bucket
    at_risk_minor : how much it may cost; difference_minor : what they have more than we
    """

    channel: str
    kind: str
    state: str
    currency: str
    days: str
    items: int
    at_risk_minor: int
    difference_minor: int


def days(
    connection: sa.Connection, *, channel: str | None, from_on: date, to_on: date
) -> list[DayView]:
    """Return the days of a span with what became of them, newest first."""
    found = table.list_days(connection, channel, from_on, to_on)
    runs = table.runs_by_id(connection, [one.run for one in found if one.run is not None])
    left: dict[tuple[str, date], tuple[int, dict[str, int]]] = {}
    for of, on, _, _, currency, count, risk, _ in item_table.open_sums(connection, channel):
        number, amounts = left.get((of, on), (0, {}))
        amounts[currency] = amounts.get(currency, 0) + risk
        left[of, on] = (number + count, amounts)
    return [
        DayView(
            one,
            None if one.run is None else runs[one.run],
            *left.get((one.channel, one.on), (0, {})),
        )
        for one in found
    ]


def files(connection: sa.Connection, channel: str, on: date) -> list[File]:
    """Return every file that was taken for a day, versions that count no more as well."""
    return table.files_of(connection, channel, on, current=False)


def runs(connection: sa.Connection, channel: str, on: date) -> list[Run]:
    """Return the runs of a day, newest first; each says what it found then."""
    return table.runs_of(connection, channel, on)


def result(connection: sa.Connection, run: UUID) -> dict[str, Any]:
    """Return what a run matched, as columns.

    Returns
    -------
    dict of str to array
        `ours_number`, `ours_group`; `theirs_file`, `theirs_line`, `theirs_group`; and for each
        `group` its `stage` and `sure`. Rows with one group belong together.
    """
    import numpy as np

    found: dict[str, list[Any]] = {}
    for part in rows.result_parts(connection, run):
        for name, values in part.items():
            found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}


def item(connection: sa.Connection, id: UUID) -> Item:
    """Return an item.

    Refusals
    --------
    recon_item_is_unknown
    """
    return item_table.read_item(connection, id)


def history(connection: sa.Connection, id: UUID) -> list[dict[str, Any]]:
    """Return what was done to an item, first first."""
    return item_table.events_of(connection, id)


def items(
    connection: sa.Connection,
    *,
    channel: str | None = None,
    on: date | None = None,
    state: str | None = None,
    kind: str | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[Item]:
    """Return a page of items, newest first.

    Parameters
    ----------
    state : one of `ItemState`, or `open` for all that are not at their end

    Refusals
    --------
    cursor_is_invalid
    """
    before = None
    if cursor:
        try:
            before = UUID(str(decode_cursor(cursor, str)[0]))
        except ValueError:
            raise CursorIsInvalid from None
    found = item_table.list_items(
        connection,
        channel=channel,
        on=on,
        state=state,
        kind=kind,
        before=before,
        limit=limit + 1,
    )
    shown = tuple(found[:limit])
    return Page(shown, encode_cursor(str(shown[-1].id)) if len(found) > limit else None)


def ageing(connection: sa.Connection, today: date, channel: str | None = None) -> list[AgeLine]:
    """Return what is open by channel, kind, state, currency and age.

    Parameters
    ----------
    today : business date from which ages are counted
    """
    sums: dict[tuple[str, str, str, str, str], list[int]] = {}
    for of, on, kind, state, currency, *amounts in item_table.open_sums(connection, channel):
        key = (of, kind, state, currency, age_bucket((today - on).days))
        line = sums.setdefault(key, [0, 0, 0])
        for place, amount in enumerate(amounts):
            line[place] += int(amount)
    return [
        AgeLine(
            channel=of,
            kind=kind,
            state=state,
            currency=currency,
            days=bucket,
            items=line[0],
            at_risk_minor=line[1],
            difference_minor=line[2],
        )
        for (of, kind, state, currency, bucket), line in sorted(sums.items())
    ]


def plot_of_ageing(lines: list[AgeLine]) -> dict[str, Any]:
    """Return the ageing as a plot takes it: buckets along the axis, a row of bars for each kind.

    Examples
    --------
    >>> line = AgeLine(channel="uni", kind="short", state="break", currency="CNY", days="3-6",
    ...                items=2, at_risk_minor=90, difference_minor=-90)
    >>> plot_of_ageing([line])["series"]["short"][3]
    2
    """
    buckets = [age_bucket(start) for start in AGES]
    series: dict[str, list[int]] = {}
    at_risk: dict[str, list[int]] = {}
    for one in lines:
        place = buckets.index(one.days)
        series.setdefault(one.kind, [0] * len(buckets))[place] += one.items
        at_risk.setdefault(one.currency, [0] * len(buckets))[place] += one.at_risk_minor
    return {"buckets": buckets, "series": series, "at_risk_minor": at_risk}


def word(connection: sa.Connection, channel: str, on: date) -> ReconWord:
    """Return what reconciliation says to the settlement of a channel's day."""
    if not table.read_plans(connection, channel):
        return ReconWord(is_expected=False, is_verified=False)
    day = table.find_day(connection, channel, on)
    is_done = day is not None and day.state in (DayState.MATCHED, DayState.CLOSED)
    left = item_table.open_items(connection, channel, on, on)
    return ReconWord(
        is_expected=True,
        is_verified=is_done,
        breaks=len(left),
        open_minor=sum(one.at_risk_minor for one in left),
    )


def reconcile(
    database: Database, channel: str | None = None, *, actor: str = "system:recon"
) -> list[Run]:
    """Run every day whose statement is stored and was not matched since, oldest first.

    Returns
    -------
    list of Run
        A day that somebody else runs right now is left to him.
    """
    with database.reading() as connection:
        known = [one for one in table.read_plans(connection) if channel in (None, one.channel)]
        waiting = [
            (one.on, one.channel)
            for plan in known
            for one in table.list_days(connection, plan.channel, plan.starts_on, date.max)
            if one.state is DayState.STAGED
        ]
    done = []
    for on, of in sorted(waiting):
        try:
            done.append(run_day(database, of, on, actor=actor))
        except ReconIsRunning:
            continue
    return done
