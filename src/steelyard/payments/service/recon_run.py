"""Reconciling a day: gathered on one snapshot, matched in columns, written in chunks.

A run never changes an earlier one. Its payments and lines are those of the day, what is open of
the days around it, and whatever a line names by its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import numpy as np
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.clock import new_id
from steelyard.payments.model.breaks import BreakKind
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.matching import Outcome, digest, match
from steelyard.payments.model.matching_columns import (
    Held,
)
from steelyard.payments.model.matching_keys import NONE
from steelyard.payments.model.recon import DayState, Item, ItemState, Plan
from steelyard.payments.model.recon_items import LATE_ARRIVAL, Ground, items_of, late, renewed
from steelyard.payments.model.recon_refusals import ReconIsRunning
from steelyard.payments.service import evidence, recon_posting, refunds_evidence
from steelyard.payments.service.recon_change import change_items, closed, open_items
from steelyard.payments.service.recon_facts import DayReconciled
from steelyard.payments.service.recon_files import subject_of
from steelyard.payments.service.recon_gather import EPOCH, Gathered, gather
from steelyard.payments.store import recon as table
from steelyard.payments.store import recon_items as item_table
from steelyard.payments.store import recon_rows as rows
from steelyard.payments.store.recon import Run

__all__ = ["run_day"]

_CHUNK: Final = 500
_REPORTS: Final = 100


def run_day(database: Database, channel: str, on: date, *, actor: str = "system:recon") -> Run:
    """Match a day's statement with what we hold, and write what does not agree.

    Returns
    -------
    Run
        The next one of the day. Without a change in between it has the digest of the one before.
        No transaction lasts over two seconds, however many rows there are.

    Refusals
    --------
    recon_plan_is_unknown, statement_is_missing : not come, or pages are missing
    recon_is_running
    """
    with _alone(database, channel):
        with database.reading() as connection:
            found = gather(connection, channel, on)
        outcome = match(found.ours, found.theirs, found.plan.rules)
        run = database.transact(lambda unit: _begin(unit, found, actor), actor=actor)
        _keep_result(database, run, found, outcome, actor)
        fresh = items_of(
            Ground(plan=found.plan, on=on, run=run.id, files=found.files, now=run.started_at),
            found.ours,
            found.theirs,
            outcome,
            lambda: new_id(run.started_at),
        )
        _write_items(database, run, fresh, actor)
        _close_elsewhere(database, run, found, outcome, actor)
        _report_money(database, run, fresh, actor)
        _report_absent(database, run, found, outcome, actor)
        _age(database, found.plan, actor)
        # What takes long is worked out before the transaction that writes it.
        crosses = list(_crosses(found, outcome))
        done = replace(
            run,
            state="finished",
            matched=int((outcome.ours_group >= 0).sum()),
            stages=outcome.stages(),
            breaks=outcome.kinds(),
            digest=digest(found.ours, found.theirs, outcome),
        )
        return database.transact(lambda unit: _finish(unit, done, crosses), actor=actor)


@contextmanager
def _alone(database: Database, channel: str) -> Iterator[None]:
    """Keep others from matching the channel; a crash lets go of it by itself."""
    name = f"payments.recon/{channel}"
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        key = {"name": name}
        got = connection.execute(
            sa.text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))"), key
        ).scalar_one()
        if not got:
            raise ReconIsRunning(channel=channel)
        try:
            yield
        finally:
            connection.execute(
                sa.text("SELECT pg_advisory_unlock(hashtextextended(:name, 0))"), key
            )


# --- writing --------------------------------------------------------------------------------------


def _begin(unit: UnitOfWork, found: Gathered, actor: str) -> Run:
    run = Run(
        id=unit.new_id(),
        channel=found.plan.channel,
        on=found.on,
        no=found.no,
        state="running",
        files=tuple(file for file in found.files if found.days[file] == found.on),
        is_complete=found.is_complete,
        ours=int(found.ours.is_due.sum()),
        theirs=int(found.theirs.is_due.sum()),
        matched=0,
        stages={},
        breaks={},
        sums=found.sums,
        digest=None,
        started_at=unit.now,
        finished_at=None,
        by=actor,
    )
    table.insert_run(unit.connection, run)
    return run


def _keep_result(
    database: Database, run: Run, found: Gathered, outcome: Outcome, actor: str
) -> None:
    """Store what was matched, in parts: numbers of ours, places of lines, and their groups."""
    mine = np.flatnonzero(outcome.ours_group >= 0)
    lines = np.flatnonzero(outcome.theirs_group >= 0)
    pieces: list[dict[str, Any]] = [
        {
            "ours_number": found.ours.number[at],
            "ours_group": outcome.ours_group[at].astype(np.int32),
        }
        for at in _parts(mine)
    ]
    pieces += [
        {
            "theirs_file": found.theirs.file[at].astype(np.int16),
            "theirs_line": found.theirs.line[at].astype(np.int32),
            "theirs_group": outcome.theirs_group[at].astype(np.int32),
        }
        for at in _parts(lines)
    ]
    pieces += [
        {"group": at.astype(np.int32), "stage": outcome.stage[at], "sure": outcome.certainty[at]}
        for at in _parts(np.arange(len(outcome.stage)))
    ]
    for part, piece in enumerate(pieces):
        database.transact(
            lambda unit, k=part, p=piece: rows.insert_result(  # type: ignore[misc]
                unit.connection, run.id, k, p
            ),
            actor=actor,
        )


def _parts(values: Any) -> list[Any]:
    return [values[at : at + rows.PART] for at in range(0, len(values), rows.PART)]


def _write_items(database: Database, run: Run, fresh: Sequence[Item], actor: str) -> None:
    """Open items that are new, renew those that are there, and close those that are explained."""
    for start in range(0, len(fresh), _CHUNK):
        chunk = fresh[start : start + _CHUNK]
        database.transact(lambda unit, c=chunk: _merge(unit, c), actor=actor)  # type: ignore[misc]
    keys = {one.key for one in fresh}
    with database.reading() as connection:
        known = item_table.items_of_day(connection, run.channel, run.on)
    over = (ItemState.MATCHED.value,)
    gone = [id for id, key, state in known if key not in keys and state not in over]
    for start in range(0, len(gone), _CHUNK):
        ids = gone[start : start + _CHUNK]
        database.transact(
            lambda unit, i=ids: close_explained(unit, i, run),  # type: ignore[misc]
            actor=actor,
        )


def _merge(unit: UnitOfWork, fresh: Sequence[Item]) -> None:
    known = item_table.items_by_key(unit.connection, fresh[0].channel, [one.key for one in fresh])
    open_items(unit, [one for one in fresh if one.key not in known])
    changes = []
    for one in fresh:
        before = known.get(one.key)
        if before is None:
            continue
        after = renewed(before, one)
        if after is not None:
            changes.append((*after, {"run": str(one.run)}))
    change_items(unit, changes)


def close_explained(unit: UnitOfWork, ids: Sequence[UUID], run: Run) -> int:
    """Close items that a run explains; take what lies in suspense for them back out of it.

    What was posted otherwise stands, and has to go back by people: such an item is opened again.
    """
    changes = []
    transfers = []
    for one in item_table.lock_items(unit.connection, ids):
        if LATE_ARRIVAL in one.differs_in or one.state is ItemState.MATCHED:
            continue
        detail = {"run": str(run.id), "on": run.on.isoformat()}
        if one.state is ItemState.CLOSED:
            if one.closed_why == recon_posting.POSTED and one.difference_minor:
                changes.append((late(one, run.id), "late_arrival", detail))
            continue
        if one.suspense_minor:
            transfers += recon_posting.release(unit, one)
        after = replace(closed(unit, one, f"run {run.on} no {run.no}"), suspense_minor=0)
        changes.append((replace(after, proposal=None, approval=None), "match", detail))
    change_items(unit, changes)
    recon_posting.write(unit, transfers)
    return len(changes)


def _close_elsewhere(
    database: Database, run: Run, found: Gathered, outcome: Outcome, actor: str
) -> None:
    """Close items of other days whose payment or line was found in this statement."""
    done = _done_with(found, outcome)
    ids = [one.id for one in found.elsewhere if _mark(one) in done]
    for start in range(0, len(ids), _CHUNK):
        chunk = ids[start : start + _CHUNK]
        database.transact(
            lambda unit, i=chunk: close_explained(unit, i, run),  # type: ignore[misc]
            actor=actor,
        )


def _mark(item: Item) -> object:
    return item.number or (item.file, item.line)


def _done_with(found: Gathered, outcome: Outcome) -> set[object]:
    """Return what was matched or paired: numbers of ours, files and lines of theirs."""
    mine, lines = _extras(found)
    pairs = outcome.breaks
    both = (pairs.ours >= 0) & (pairs.theirs >= 0)
    in_pair = np.isin(mine, pairs.ours[both])
    done: set[object] = {
        found.ours.number[i].decode() for i in mine[(outcome.ours_group[mine] >= 0) | in_pair]
    }
    in_pair = np.isin(lines, pairs.theirs[both])
    for j in lines[(outcome.theirs_group[lines] >= 0) | in_pair]:
        done.add((found.files[int(found.theirs.file[j])], int(found.theirs.line[j])))
    return done


def _extras(found: Gathered) -> tuple[Any, Any]:
    """Return the rows that are of other days."""
    return np.flatnonzero(~found.ours.is_due), np.flatnonzero(~found.theirs.is_due)


# --- evidence -------------------------------------------------------------------------------------


def _report_money(database: Database, run: Run, fresh: Sequence[Item], actor: str) -> None:
    """Tell the core of payments that we hold as unknown and the statement has the money of."""
    found = [
        one
        for one in fresh
        if one.kind is BreakKind.LONG and one.held.get("held") == Held.OPEN.name.lower()
    ]
    for start in range(0, len(found), _REPORTS):
        chunk = found[start : start + _REPORTS]
        database.transact(
            lambda unit, c=chunk: _tell(  # type: ignore[misc]
                unit, c, [succeeded(one) for one in c]
            ),
            actor=actor,
        )


def succeeded(item: Item) -> Finding:
    """Return what a line says of a payment that is listed in a verified statement."""
    at = item.listed.get("at")
    return Finding(
        said=Said.SUCCEEDED,
        amount_minor=abs(int(item.listed["amount_minor"])),
        currency=item.listed["currency"],
        reference=item.listed["reference"] or None,
        fee_minor=item.listed["fee_minor"],
        at=None if at is None else datetime.fromisoformat(at).astimezone(UTC),
    )


def _tell(unit: UnitOfWork, items: Sequence[Item], findings: Sequence[Finding]) -> None:
    """Report evidence, and close the items about it: the books follow from it."""
    close_by_key(unit, items, "evidence")
    tell(unit, items, findings)


def close_by_key(unit: UnitOfWork, items: Sequence[Item], why: str) -> None:
    """Close items, found by their keys: what was just made may stand under an older id."""
    known = item_table.items_by_key(unit.connection, items[0].channel, [one.key for one in items])
    change_items(
        unit,
        [
            (closed(unit, one, why, is_matched=False), why, {})
            for one in known.values()
            if one.state.is_open and not one.suspense_minor
        ],
    )


def tell(unit: UnitOfWork, items: Sequence[Item], findings: Sequence[Finding]) -> None:
    """Report what a statement says of payments and refunds; its postings come last."""
    both = list(zip(items, findings, strict=True))
    refunds = [
        refunds_evidence.RefundReport(UUID(one.number), evidence.Source.STATEMENT, finding)
        for one, finding in both
        if one.of_refund
    ]
    if refunds:
        refunds_evidence.report(unit, refunds)
    payments = [
        evidence.Report(UUID(one.number), evidence.Source.STATEMENT, finding)
        for one, finding in both
        if not one.of_refund
    ]
    if payments:
        evidence.report(unit, payments)


def _report_absent(
    database: Database, run: Run, found: Gathered, outcome: Outcome, actor: str
) -> None:
    """Tell the core of payments under way that two complete statements do not have."""
    done = _done_with(found, outcome)
    absent = [
        one
        for one in found.elsewhere
        if one.kind is BreakKind.PLATFORM_ONLY
        and one.on < run.on
        and one.number not in done
        and found.is_complete
    ]
    with database.reading() as connection:
        first = table.runs_by_id(connection, [one.run for one in absent])
    absent = [one for one in absent if first[one.run].is_complete]
    finding = Finding(said=Said.NOT_FOUND)
    for start in range(0, len(absent), _REPORTS):
        chunk = absent[start : start + _REPORTS]
        database.transact(
            lambda unit, c=chunk: _tell(unit, c, [finding] * len(c)),  # type: ignore[misc]
            actor=actor,
        )


# --- the end --------------------------------------------------------------------------------------


def _age(database: Database, plan: Plan, actor: str) -> None:
    """Make breaks of what was suspected for long enough."""
    for _ in range(10_000):
        if not database.transact(lambda unit: age_suspects(unit, plan, limit=_CHUNK), actor=actor):
            return


def age_suspects(unit: UnitOfWork, plan: Plan, *, limit: int) -> int:
    """Make breaks of suspected items whose time is over; return how many."""
    today = plan.clock.business_on(unit.now)
    found = item_table.due_suspects(unit.connection, plan.channel, today, limit)
    change_items(unit, [(replace(one, state=ItemState.BREAK), "age", {}) for one in found])
    return len(found)


def _finish(unit: UnitOfWork, run: Run, crosses: Sequence[rows.Cross]) -> Run:
    rows.insert_crosses(unit.connection, run.id, crosses)
    done = replace(run, finished_at=unit.now)
    table.finish_run(unit.connection, done)
    day = table.find_day(unit.connection, run.channel, run.on, lock=True)
    assert day is not None, "a run is of a day"
    is_open = item_table.has_open(unit.connection, run.channel, run.on)
    state = DayState.MATCHED if is_open else DayState.CLOSED
    table.move_day(unit.connection, day, state, unit.now, run.id)
    fact = DayReconciled(
        channel=run.channel,
        on=run.on,
        run=run.id,
        no=run.no,
        matched=done.matched,
        breaks=sum(done.breaks.values()),
        digest=done.digest or "",
    )
    unit.record(fact, subject=subject_of(run.channel, run.on))
    return done


def _crosses(found: Gathered, outcome: Outcome) -> Iterator[rows.Cross]:
    """Yield the pairs of which one side belongs to another day."""
    mine, lines = _extras(found)
    groups = {int(outcome.ours_group[i]) for i in mine} | {
        int(outcome.theirs_group[j]) for j in lines
    }
    groups.discard(NONE)
    pairs: list[tuple[int, int]] = []
    if groups:
        wanted = np.array(sorted(groups))
        here = np.flatnonzero(np.isin(outcome.ours_group, wanted)).tolist()
        by_group: dict[int, list[int]] = {}
        for j in np.flatnonzero(np.isin(outcome.theirs_group, wanted)).tolist():
            by_group.setdefault(int(outcome.theirs_group[j]), []).append(j)
        pairs += [(i, j) for i in here for j in by_group[int(outcome.ours_group[i])]]
    breaks = outcome.breaks
    other = set(mine.tolist()), set(lines.tolist())
    both = zip(breaks.ours.tolist(), breaks.theirs.tolist(), strict=True)
    pairs += [(i, j) for i, j in both if min(i, j) >= 0 and (i in other[0] or j in other[1])]
    for i, j in pairs:
        file = found.files[int(found.theirs.file[j])]
        yield rows.Cross(
            found.ours.number[i].decode(),
            file,
            int(found.theirs.line[j]),
            date.fromordinal(int(found.ours.on[i]) + EPOCH),
            found.days[file],
        )
