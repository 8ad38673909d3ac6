"""A made-up story: what happened and what became known, folded by the streaming engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from steelyard.decisions.backtest.handbook import with_parts
from steelyard.decisions.backtest.past import (
    DAY_MS,
    LOSSES,
    LossRule,
    Past,
    Progress,
    columns_of,
    numbered,
)
from steelyard.features import CATALOGUE, KINDS, Event, StreamEngine
from steelyard.features.catalogue import Label, complete

STARTS_MS = 1_767_225_600_000
"""2026-01-01, UTC."""
HOUR_MS = 3_600_000
MINUTE_MS = 60_000


@dataclass(slots=True)
class Happened:
    """One event of a story; what became of it stands beside.

    Attributes
    ----------
    labels : what is told about it, with the days until then
    is_bad : whether somebody who knew all would have stopped it
    loses : whether it loses anything if it is not stopped
    """

    kind: str
    at_ms: int
    fields: Mapping[str, Any]
    labels: tuple[tuple[str, bool, float], ...] = ()
    is_bad: bool = False
    loses: bool = True


@dataclass(slots=True)
class Story:
    """What happens in one scene, in any order; and for how long before anything is asked.

    Attributes
    ----------
    scene : whose events are judged; events of other kinds are folded beside
    days : how long it goes on; warm_days : of these the first ones fill the windows
    tells_ms : after how long a good event counts as such
    """

    scene: str
    chance: Random
    days: int
    warm_days: int
    tells_ms: int
    events: list[Happened] = field(default_factory=list)

    def instant(self, day: float) -> int:
        """Return the instant of a day of the story."""
        return STARTS_MS + int(day * DAY_MS)

    def daytime(self, day: int, hour: float, spread: float = 2.5) -> int:
        """Return an instant of a day about an hour of it, local time (UTC+8)."""
        drawn = min(23.99, max(0.0, self.chance.gauss(hour, spread)))
        return STARTS_MS + day * DAY_MS + int((drawn - 8.0) * HOUR_MS)

    def add(self, kind: str, at_ms: int, fields: Mapping[str, Any], **what: Any) -> None:
        """Let something happen."""
        self.events.append(Happened(kind, at_ms, fields, **what))


def fold(
    story: Story, features: Iterable[str], progress: Progress, loss: LossRule | None = None
) -> Past:
    """Return the labelled events of a story's scene, with some features as of each.

    Everything goes through the streaming engine in order of time, labels when they are told; no
    feature is set by hand.
    """
    scene = story.scene
    rule = loss or LOSSES[scene]
    wanted = with_parts(name for name in features if name in CATALOGUE)
    engine = StreamEngine(wanted, KINDS)
    happened = sorted(enumerate(story.events), key=lambda one: (one[1].at_ms, one[0]))
    told = sorted(
        (one.at_ms + int(days * DAY_MS), str(n), one.kind, name, value)
        for n, one in happened
        for name, value, days in one.labels
    )
    rows: list[dict[str, Any]] = []
    kept: list[Happened] = []
    place = sequence = 0
    for done, (n, one) in enumerate(happened):
        while place < len(told) and told[place][0] <= one.at_ms:
            at_ms, id_, kind, name, value = told[place]
            engine.label(Label(kind, id_, at_ms, sequence, name, int(value)))
            place, sequence = place + 1, sequence + 1
        fields = complete(one.kind, one.at_ms, one.fields)
        folded = engine.fold(Event(one.kind, str(n), one.at_ms, sequence, fields))
        sequence += 1
        if one.kind == scene:
            rows.append({**fields, **folded.values})
            kept.append(one)
        if done % 2_000 == 0:
            progress("sample", done, len(happened))
    progress("sample", len(happened), len(happened))
    return _past(story, rows, kept, rule)


def _past(story: Story, rows: list[dict[str, Any]], kept: list[Happened], rule: LossRule) -> Past:
    names = sorted({name for row in rows for name in row})
    amount = np.array([(row.get(rule.field) or 0) if rule.field else 0 for row in rows], np.int64)
    is_bad = np.array([one.is_bad for one in kept], np.bool_)
    loses = np.array([one.loses for one in kept], np.bool_)
    at_ms = np.array([one.at_ms for one in kept], np.int64)
    told = [
        max((int(days * DAY_MS) for _, _, days in one.labels), default=story.tells_ms)
        for one in kept
    ]
    noun = "merchant" if story.scene == "merchant_application" else "customer"
    return Past(
        scene=story.scene,
        source="a small made-up history",
        at_ms=at_ms,
        told_ms=at_ms + np.array(told, np.int64),
        is_bad=is_bad,
        amount_minor=amount,
        loss_minor=np.where(loses, rule.of(amount, is_bad), 0),
        subject=numbered([row.get(noun) for row in rows]),
        columns=columns_of(rows, names),
        loss=rule,
        warm_ms=story.instant(story.warm_days),
        notes=("The history is made up: it shows that the machinery works, not what to expect.",),
    )
