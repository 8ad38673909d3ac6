"""The watch over drift: each business day of each version of a policy, compared with its reference.

A day is counted once, in the database; what is found is kept with its sentences in both languages,
and an alert is put before people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.cases import open_case, registry, working
from steelyard.decisions.model.drift import Drift, Finding, Level, distribution_drift
from steelyard.decisions.model.explanation import chances, models_of
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.watch import (
    RECENT_DAYS,
    WARM_UP_DAYS,
    Bins,
    Chances,
    Day,
    Found,
    Labels,
    Reference,
    begins_reference,
    calibrations,
    hit_rates,
    lacks_for_reference,
    mature_by,
    recalls,
    shifts,
)
from steelyard.decisions.service.matters import DRIFT
from steelyard.decisions.service.policies import policy_of as committed_policy
from steelyard.decisions.service.proof import PolicyIsUnknown
from steelyard.decisions.store import watch as store
from steelyard.decisions.store.watch import FindingRow, Span, Which
from steelyard.features import CATALOGUE, catalogue

__all__ = [
    "ZONE",
    "Drifting",
    "Drifts",
    "FindingRow",
    "Series",
    "catch_up",
    "closed_day",
    "policy_at_hand",
    "read_drift",
    "read_series",
    "renew_of_case",
]

Transact = Callable[[Callable[[UnitOfWork], Any]], Any]
PolicyOf = Callable[[sa.Connection, str], CompiledPolicy | None]

_AGES = frozenset(
    name for name, one in CATALOGUE.items() if one.aggregate is catalogue.Aggregate.FIRST_SEEN
)
ZONE = "Asia/Shanghai"
"""Whose midnight ends a business day."""


@dataclass(frozen=True, slots=True)
class Drifting:
    """What was found about a policy at the end of a day.

    Attributes
    ----------
    reference : None as long as there is not enough for one
    findings : the most pressing first; `unknown` where there was too little
    """

    scene: str
    policy: str
    day: date
    decisions: int
    reference: Reference | None
    findings: tuple[FindingRow, ...]


Drifts = tuple[Drifting, ...]


def policy_at_hand(connection: sa.Connection, cause: str) -> CompiledPolicy | None:
    """Return the policy that a cause names, None where it is not here."""
    try:
        return committed_policy(connection, cause)
    except PolicyIsUnknown:
        return None


def closed_day(now: datetime, zone: str = ZONE) -> date:
    """Return the last business day that is over at an instant."""
    return now.astimezone(ZoneInfo(zone)).date() - timedelta(days=1)


def catch_up(
    database: Database,
    transact: Transact,
    policy_of: PolicyOf,
    *,
    until: date,
    zone: str = ZONE,
    should_stop: Callable[[], bool] = lambda: False,
) -> list[tuple[date, str, str]]:
    """Watch every day that was not watched yet, in order; return which.

    Parameters
    ----------
    transact : runs a unit of work; one for each day of a policy
    policy_of : finds the policy of a cause, for its models; None where it is not at hand
    until : the last day, which is over
    should_stop : asked between two days

    Returns
    -------
    list of (day, scene, policy)
        Done again it finds nothing new to do. What is decided later about a day that was watched
        is not counted in it.
    """
    with database.reading() as connection:
        last = store.last_watched(connection)
        first = store.first_day(connection, zone) if last is None else last + timedelta(days=1)
        todo = [] if first is None else store.decided(connection, Span(first, until), zone)
    done: list[tuple[date, str, str]] = []
    for day in sorted({day for day, _, _ in todo}):
        if should_stop():
            break
        _label(database, transact, policy_of, mature_by(day), zone)
        for scene, policy in [(s, p) for on, s, p in todo if on == day]:
            _watch(database, transact, Which(scene, policy, zone), day)
            done.append((day, scene, policy))
    return done


def _watch(database: Database, transact: Transact, which: Which, day: date) -> None:
    """Count a day of a policy, take the reference when it is due, and write what is found."""
    with database.reading() as connection:
        counted = store.count_hits(connection, which, day)
        reference = _current(connection, which)
        if reference is None:
            days = _days_for_reference(connection, which, counted)
            taken = _take(connection, which, days) if begins_reference(days) else None
            counts = {} if taken is None else taken.counts
        else:
            taken = None
            bins = store.read_bins(connection, which.scene, which.policy, reference.number)
            counts = store.count_values(connection, which, Span(day, day), bins)

    def write(unit: UnitOfWork) -> None:
        if not store.insert_day(unit.connection, which, counted):
            return  # another process watched the day meanwhile
        number = None if reference is None else reference.number
        if taken is not None:
            number = taken.reference.number
            store.insert_reference(unit.connection, which, taken.reference, taken.bins, at=unit.now)
        if number is not None:
            store.insert_counts(unit.connection, which, number, counts)
        found = [*_find(unit.connection, which, day, reference, taken)]
        rows = [_row(unit, which, day, one) for one in found]
        store.insert_findings(unit.connection, which, day, rows)

    transact(write)


# --- the reference -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Taken:
    reference: Reference
    bins: Sequence[Bins]
    counts: Mapping[date, Mapping[str, Sequence[int]]]


def _current(connection: sa.Connection, which: Which) -> Reference | None:
    """Return the reference that counts: the newest, unless people want a newer one."""
    found = store.find_reference(connection, which.scene, which.policy)
    renewed = store.renewed_from(connection, which.scene, which.policy)
    is_old = found is not None and renewed is not None and found.first_day < renewed
    return None if is_old else found


def _reference_from(connection: sa.Connection, which: Which, day: date) -> date:
    """Return the first day that a reference may have, as it stands on a day."""
    began = store.first_watched(connection, which.scene) or day
    warm = began + timedelta(days=WARM_UP_DAYS)
    renewed = store.renewed_from(connection, which.scene, which.policy)
    return warm if renewed is None else max(warm, renewed)


def _days_for_reference(connection: sa.Connection, which: Which, counted: Day) -> list[Day]:
    least = _reference_from(connection, which, counted.day)
    before = counted.day - timedelta(days=1)
    days = store.read_days(connection, which.scene, which.policy, until=before, least=least)
    return [*days, counted] if counted.day >= least else []


def _take(connection: sa.Connection, which: Which, days: Sequence[Day]) -> _Taken:
    """Return a reference over days, with its bins and what falls into them on each day."""
    before = store.find_reference(connection, which.scene, which.policy)
    span = Span(days[0].day, days[-1].day)
    reference = Reference(
        1 if before is None else before.number + 1,
        span.first,
        span.last,
        sum(one.decisions for one in days),
    )
    bins = store.choose_bins(connection, which, span)
    return _Taken(reference, bins, store.count_values(connection, which, span, bins))


def renew_of_case(unit: UnitOfWork, case: UUID) -> None:
    """Let the references begin anew that a case was about: people found the new normal."""
    day = closed_day(unit.now) + timedelta(days=1)
    for scene, policy in store.policies_of_case(unit.connection, case):
        store.insert_renewal(unit.connection, scene, policy, day, cause=f"case:{case}")


# --- labels --------------------------------------------------------------------------------------


def _label(
    database: Database, transact: Transact, policy_of: PolicyOf, until: date, zone: str
) -> None:
    """Count what became known of the days whose labels had time to come in."""
    with database.reading() as connection:
        waiting = store.unlabelled_days(connection, until)
    for scene, policy, day in waiting:
        which = Which(scene, policy, zone)
        with database.reading() as connection:
            made = policy_of(connection, policy)
            labels = Labels(
                *store.count_caught(connection, which, day),
                models={} if made is None else _chances(connection, which, day, made),
            )

        def write(
            unit: UnitOfWork, which: Which = which, day: date = day, labels: Labels = labels
        ) -> None:
            store.set_labels(unit.connection, which, day, labels)

        transact(write)


def _chances(
    connection: sa.Connection, which: Which, day: date, policy: CompiledPolicy
) -> dict[str, Chances]:
    found = {}
    for model in models_of(policy).values():
        rows = store.passed_inputs(connection, which, day, model.inputs.names)
        if not rows:
            continue
        matrix = np.array([inputs for inputs, _ in rows], dtype=np.float64)
        chance = chances(model, matrix)
        found[f"{model.name}@{model.version}"] = Chances(
            len(rows),
            float(chance.sum()),
            float((chance * (1 - chance)).sum()),
            sum(is_bad for _, is_bad in rows),
        )
    return found


# --- findings ------------------------------------------------------------------------------------


def _find(
    connection: sa.Connection,
    which: Which,
    day: date,
    reference: Reference | None,
    taken: _Taken | None,
) -> Iterator[Found]:
    days = store.read_days(connection, which.scene, which.policy, until=day)
    if reference is not None:
        number = reference.number
        usual = store.sum_counts(
            connection, *which[:2], number, Span(reference.first_day, reference.last_day)
        )
        earliest = max(
            reference.last_day + timedelta(days=1), day - timedelta(days=RECENT_DAYS - 1)
        )
        recent = store.sum_counts(connection, *which[:2], number, Span(earliest, day))
        yield from shifts(usual, recent, _AGES)
        among = [one for one in days if reference.first_day <= one.day <= reference.last_day]
        yield from hit_rates(among, [one for one in days if one.day > reference.last_day])
    elif taken is None:
        least = _reference_from(connection, which, day)
        began = store.first_watched(connection, which.scene) or day
        yield lacks_for_reference([one for one in days if one.day >= least], (day - began).days)
    yield from calibrations(days)
    yield recalls(which.policy, days)


def _row(unit: UnitOfWork, which: Which, day: date, found: Found) -> FindingRow:
    if not isinstance(found, Finding):
        return FindingRow(
            found.drift.value, found.subject, "unknown", None, found.en, found.zh, None
        )
    case = _alert(unit, which, day, found) if found.level is Level.ALERT else None
    return FindingRow(
        found.drift.value, found.subject, found.level.value, found.value, found.en, found.zh, case
    )


def _alert(unit: UnitOfWork, which: Which, day: date, found: Finding) -> UUID:
    """Put a finding before people; what shifts in the same way in a scene joins one case."""
    about = f"{which.scene}/{found.drift.value}"
    policy = _plain(which.policy)
    source = f"finding:{day}/{policy}/{about}/{_plain(found.subject)}"[:_LONGEST]
    opened = open_case(
        unit,
        DRIFT.name,
        f"drift:{about}"[:_LONGEST],
        source=source,
        links=(f"policy:{policy.removeprefix('policy.')}",),
        priority=registry.Priority.HIGH if found.drift is Drift.RECALL else None,
    )
    text = f"{day}: {found.en}\n{found.zh}"
    working.attach(
        unit,
        opened.case.id,
        text,
        kind="finding",
        reference=source,
        content_hash=sha256(text.encode()).hexdigest(),
    )
    return opened.case.id


_LONGEST = 160


def _plain(name: str) -> str:
    """Return a name in the characters that references have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "/_.@-") else "_" for c in name)


# --- reading -------------------------------------------------------------------------------------


def read_drift(connection: sa.Connection, scene: str | None = None) -> Drifts:
    """Return what was found last about each policy that decided on the scene's last watched day."""
    newest: dict[str, date] = {}
    found = []
    for name, policy, day in store.last_days(connection, scene):
        if newest.setdefault(name, day) == day:
            days = store.read_days(connection, name, policy, until=day, least=day)
            rows = tuple(store.read_findings(connection, name, policy, day))
            reference = _current(connection, Which(name, policy, ZONE))
            found.append(Drifting(name, policy, day, days[0].decisions, reference, rows))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Series:
    """How a policy went day by day, for a plot.

    Attributes
    ----------
    days : with decisions, hits, and labels where known
    index : of each subject, its stability index of each day, None where no decision was counted
    """

    scene: str
    policy: str
    reference: Reference
    days: tuple[Day, ...]
    index: Mapping[str, tuple[float | None, ...]]


def read_series(connection: sa.Connection, scene: str, policy: str) -> Series | None:
    """Return the days of a policy from its reference on; None without a reference."""
    reference = store.find_reference(connection, scene, policy)
    if reference is None:
        return None
    found = store.read_days(connection, scene, policy, until=date.max, least=reference.first_day)
    counts = store.read_counts(connection, scene, policy, reference.number)
    usual = store.sum_counts(
        connection, scene, policy, reference.number, Span(reference.first_day, reference.last_day)
    )
    days = tuple(one for one in found if one.day in counts)
    index = {
        subject: tuple(
            distribution_drift(
                subject,
                np.array(before, dtype=np.int64),
                np.array(counts[one.day][subject], dtype=np.int64),
            ).value
            if sum(counts[one.day][subject])
            else None
            for one in days
        )
        for subject, before in sorted(usual.items())
    }
    return Series(scene, policy, reference, days, index)
