"""The log of decisions as a past: the values as they were recorded, the labels as they are known.

What was turned away has no natural end: only a decision that let its event pass shows what became
of it. Such events are left out, and how many they are is said; a policy that would let more of them
pass cannot be judged by this past.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from steelyard.decisions.backtest.past import (
    DAY_MS,
    LOSSES,
    LossRule,
    Past,
    PastIsEmpty,
    Progress,
    columns_of,
    numbered,
)
from steelyard.decisions.model.decision import LETS_PASS, Decision, instant
from steelyard.decisions.store import labelled
from steelyard.features import CATALOGUE
from steelyard.features.catalogue import complete

MATURE_DAYS = 14


@dataclass(frozen=True, slots=True)
class _Row:
    """A decision whose end is known: since when, and whether it was bad."""

    decision: Decision
    told_ms: int
    is_bad: bool


def read_log(
    connection: sa.Connection,
    scene: str,
    features: Iterable[str],
    progress: Progress,
    *,
    as_of_ms: int,
    mature_days: int = MATURE_DAYS,
    loss: LossRule | None = None,
) -> Past:
    """Return the decided events of a scene whose label is known at an instant.

    Parameters
    ----------
    features : by name, those that the policies read; what was not recorded is missing, and said
    as_of_ms : labels told later are not there; nor are events that happened later
    mature_days : an event that was let pass and of which nobody said anything for so long counts as
        good

    Refusals
    --------
    past_is_empty
    """
    rule = loss or LOSSES[scene]
    known: dict[str, tuple[int, bool]] = {}
    for one in labelled.read_labels(connection, scene, as_of_ms=as_of_ms):
        at_ms, bad = known.get(one.event_id, (0, False))
        known[one.event_id] = (max(at_ms, one.at_ms), bad or one.value)
    total = labelled.count_decisions(connection, scene)
    rows: list[_Row] = []
    left = {"turned away": 0, "too young": 0}
    taken_as_good = done = 0
    wait_ms = mature_days * DAY_MS
    until = instant(as_of_ms + 1)
    for done, decision in enumerate(
        labelled.read_decisions(connection, scene, until=until), start=1
    ):
        if done % 2_000 == 0:
            progress("log", done, total)
        at_ms = decision.asked.at_ms
        told = known.get(decision.asked.id)
        if told is not None:
            rows.append(_Row(decision, max(told[0], at_ms), told[1]))
        elif decision.outcome not in LETS_PASS:
            left["turned away"] += 1
        elif at_ms + wait_ms > as_of_ms:
            left["too young"] += 1
        else:
            taken_as_good += 1
            rows.append(_Row(decision, at_ms + wait_ms, False))
    progress("log", done, max(total, done))
    if not rows:
        raise PastIsEmpty(scene=scene, why=f"of {done} decisions none has a known end")
    rows.sort(key=lambda one: one.decision.asked.at_ms)
    notes = _notes(rows, left, taken_as_good, (done, mature_days), _unrecorded(rows, features))
    return _past(scene, rows, rule, notes)


def _past(scene: str, rows: Sequence[_Row], rule: LossRule, notes: tuple[str, ...]) -> Past:
    values: list[dict[str, Any]] = []
    for one in rows:
        asked = one.decision.asked
        fields = complete(asked.scene, asked.at_ms, asked.fields)
        values.append({**fields, **one.decision.values, **one.decision.flags})
    names = sorted({name for row in values for name in row})
    amount = np.array([(row.get(rule.field) or 0) if rule.field else 0 for row in values], np.int64)
    is_bad = np.array([one.is_bad for one in rows], np.bool_)
    at_ms = np.array([one.decision.asked.at_ms for one in rows], np.int64)
    return Past(
        scene=scene,
        source="the log of decisions",
        at_ms=at_ms,
        told_ms=np.array([one.told_ms for one in rows], np.int64),
        is_bad=is_bad,
        amount_minor=amount,
        loss_minor=rule.of(amount, is_bad),
        subject=numbered([one.decision.subject for one in rows]),
        columns=columns_of(values, names),
        loss=rule,
        warm_ms=int(at_ms[0]),
        notes=notes,
    )


def _unrecorded(rows: Sequence[_Row], features: Iterable[str]) -> list[str]:
    recorded = {name for one in rows for name in one.decision.values}
    return sorted({name for name in features if name in CATALOGUE} - recorded)


def _notes(
    rows: Sequence[_Row],
    left: dict[str, int],
    taken_as_good: int,
    read: tuple[int, int],
    unrecorded: Sequence[str],
) -> tuple[str, ...]:
    decisions, days = read
    told = len(rows) - taken_as_good
    notes = [
        f"Of {decisions:,} decisions {told:,} have a label; {taken_as_good:,} were let pass at"
        f" least {days} days ago without anybody saying anything, and count as good;"
        f" {left['too young']:,} are younger than that and left out.",
        f"{left['turned away']:,} were not let pass and never got a label: they are left out. What"
        " is let through here was let through then, so that the figures say nothing about events"
        " that only the tested policy would let pass.",
    ]
    if unrecorded:
        notes.append(
            f"{len(unrecorded)} features that the policies read were not recorded and are missing"
            f" throughout: {', '.join(unrecorded)}."
        )
    return tuple(notes)
