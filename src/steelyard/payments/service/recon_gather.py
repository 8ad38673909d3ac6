"""What a run stands on: gathered on one snapshot, as columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.matching_columns import (
    KINDS,
    NOT_SAID,
    Held,
    Ours,
    Theirs,
    join,
    take,
)
from steelyard.payments.model.matching_keys import NONE, Index, lengths, normalised
from steelyard.payments.model.recon import DayState, Item, Plan
from steelyard.payments.model.recon_refusals import StatementIsMissing
from steelyard.payments.model.statement_files import Proof
from steelyard.payments.model.statements import LineKind
from steelyard.payments.service.recon_files import file_ids
from steelyard.payments.store import recon as table
from steelyard.payments.store import recon_items as item_table
from steelyard.payments.store import recon_rows as rows

AROUND: Final = timedelta(days=10)
"""So far around a day what is open may be explained by its statement."""
EPOCH: Final = 719_163
"""Ordinal of 1970-01-01."""
_NUMBER: Final = 32
_APART: Final = tuple(
    KINDS.index(kind) for kind in (LineKind.FEE, LineKind.PAYOUT, LineKind.ADJUSTMENT)
)
"""Lines that are no payments of ours: summed up, and compared by whoever moved that money."""


@dataclass(slots=True)
class Gathered:
    """What a run stands on.

    Attributes
    ----------
    files : those of the day first, then those of other days that extras are from
    elsewhere : open items of other days, by the number that they are about or their file and line
    """

    plan: Plan
    on: date
    files: list[UUID]
    days: dict[UUID, date]
    is_complete: bool
    ours: Ours
    theirs: Theirs
    sums: dict[str, dict[str, int]]
    elsewhere: list[Item]
    no: int


def gather(connection: sa.Connection, channel: str, on: date) -> Gathered:
    """Return what a run of a day stands on.

    Refusals
    --------
    recon_plan_is_unknown, statement_is_missing
    """
    plan = table.read_plan(connection, channel)
    day = table.find_day(connection, channel, on)
    state = None if day is None else day.state
    if state not in (DayState.STAGED, DayState.MATCHED, DayState.CLOSED):
        word = "unexpected" if state is None else state.value
        raise StatementIsMissing(channel=channel, on=on, state=word)
    current = table.files_of(connection, channel, on)
    files = file_ids(current)
    days = dict.fromkeys(files, on)
    theirs = rows.lines_of(connection, files)
    apart = np.isin(theirs.kind, _APART)
    sums = _sums(theirs, apart)
    theirs = take(theirs, ~apart)
    ours = rows.ours_of_day(connection, channel, plan.clock, plan.clock.bounds(on))
    gone_numbers, gone_lines = rows.crosses(connection, channel, on, own=False)
    _mark_gone(ours, gone_numbers)
    theirs = _without_gone(theirs, files, gone_lines)
    elsewhere = [
        one
        for one in item_table.open_items(connection, channel, on - AROUND, on + AROUND)
        if one.on != on and one.kind.may_heal
    ]
    # What the run before found in other days is found again: it is open there but for that run.
    own_numbers, own_lines = rows.crosses(connection, channel, on, own=True)
    wanted = _Elsewhere(
        plan, on, own_numbers | {one.number for one in elsewhere if one.number}, own_lines
    )
    ours = _with_named(connection, wanted, ours, theirs)
    theirs = _with_open_lines(connection, wanted, theirs, elsewhere, days=days)
    files = list(days)
    if plan.fee_ppm is not None:
        _fill_fees(ours, plan.fee_ppm)
    known = table.runs_of(connection, channel, on)
    return Gathered(
        plan=plan,
        on=on,
        files=files,
        days=days,
        is_complete=all(one.proof is not Proof.NONE for one in current),
        ours=ours,
        theirs=theirs,
        sums=sums,
        elsewhere=elsewhere,
        no=known[0].no + 1 if known else 1,
    )


def _sums(theirs: Theirs, apart: Any) -> dict[str, dict[str, int]]:
    """Return the sums of lines that are no payments, by kind and currency."""
    found: dict[str, dict[str, int]] = {}
    for kind in _APART:
        mine = apart & (theirs.kind == kind)
        for currency in np.unique(theirs.currency[mine]):
            total = int(theirs.amount[mine & (theirs.currency == currency)].sum())
            found.setdefault(KINDS[kind].value, {})[currency.decode()] = total
    return found


def _mark_gone(ours: Ours, numbers: set[str]) -> None:
    """Let what a neighbouring day's run matched over the border not be missed here."""
    if numbers:
        gone = np.isin(ours.number, np.array(sorted(numbers), "S64"))
        ours.is_due[gone], ours.is_taken[gone] = False, True


def _without_gone(theirs: Theirs, files: list[UUID], lines: set[tuple[UUID, int]]) -> Theirs:
    if not lines:
        return theirs
    gone = np.zeros(len(theirs.line), np.bool_)
    for place, file in enumerate(files):
        numbers = [line for of, line in lines if of == file]
        gone |= (theirs.file == place) & np.isin(theirs.line, numbers)
    return take(theirs, ~gone)


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """What of other days belongs to a run: numbers that are open there, and lines."""

    plan: Plan
    on: date
    numbers: set[str]
    lines: set[tuple[UUID, int]]


def _with_named(connection: sa.Connection, wanted: _Elsewhere, ours: Ours, theirs: Theirs) -> Ours:
    """Add payments of other days that are open, or that a line of this day names."""
    plan, on, open_numbers = wanted.plan, wanted.on, wanted.numbers
    whole = normalised(theirs.number)
    unknown = (lengths(whole) == _NUMBER) & (Index(normalised(ours.number)).find(whole) == NONE)
    named = {text.decode().lower() for text in np.unique(whole[unknown])}
    ids = []
    for text in sorted(open_numbers | named):
        try:
            ids.append(UUID(text))
        except ValueError:
            continue
    have = set(ours.number.tolist())
    tables = [ours]
    for start in range(0, len(ids), rows.PART):
        more = rows.ours_by_id(connection, plan.channel, plan.clock, ids[start : start + rows.PART])
        more = take(more, np.array([n not in have for n in more.number.tolist()], np.bool_))
        tables.append(more)
    extras = join(tables[1:]) if len(tables) > 1 else None
    if extras is None or not len(extras.amount):
        return ours
    # Matched on its own day, unless it is open there or that day was not matched yet.
    states = table.list_days(
        connection,
        plan.channel,
        date.fromordinal(int(extras.on.min()) + EPOCH),
        date.fromordinal(int(extras.on.max()) + EPOCH),
    )
    matched = np.array([one.on.toordinal() - EPOCH for one in states if one.run is not None])
    is_open = np.isin(extras.number, np.array(sorted(open_numbers) or [""], "S64"))
    taken = np.isin(extras.on, matched) & ~is_open & (extras.held == Held.MONEY)
    taken &= extras.on != on.toordinal() - EPOCH
    extras.is_taken[:] = taken
    return join([ours, extras])


def _with_open_lines(
    connection: sa.Connection,
    wanted: _Elsewhere,
    theirs: Theirs,
    elsewhere: Sequence[Item],
    *,
    days: dict[UUID, date],
) -> Theirs:
    """Add lines of other days that nothing was found for; their files come to those of the day."""
    places: dict[UUID, list[int]] = {}
    for one in elsewhere:
        if one.kind is BreakKind.BANK_ONLY and one.file is not None and one.line is not None:
            places.setdefault(one.file, []).append(one.line)
    for file, line in wanted.lines:
        if file not in days:
            places.setdefault(file, []).append(line)
    if not places:
        return theirs
    more = table.days_of_files(connection, sorted(places))
    days.update(sorted(more.items()))
    return join([theirs, rows.lines_at(connection, places, list(days))])


def _fill_fees(ours: Ours, ppm: int) -> None:
    """Work out the fee of payments of which the channel told none, half up."""
    blank = (ours.fee == NOT_SAID) & (ours.amount > 0)
    ours.fee[blank] = (ours.amount[blank] * ppm + 500_000) // 1_000_000
