"""Which features a stream can feed, and what it lacks for the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from steelyard.features.model.definition import Feature
from steelyard.features.service.parity.replay import Replay


@dataclass(frozen=True, slots=True)
class NotFed:
    """A feature that was not compared, and what its events lack."""

    name: str
    en: str
    zh: str


def split(replay: Replay, features: Mapping[str, Feature]) -> tuple[list[Feature], list[NotFed]]:
    """Return the features that the stream can feed, and the others.

    A feature is fed if some event of its kinds has the entity and all fields it looks at, or was
    told them as labels.
    """
    present = _present(replay)
    lacking: dict[str, NotFed] = {}
    for feature in sorted(features.values(), key=lambda each: each.parts is not None):
        what = _lacks(feature, present, lacking)
        if what is not None:
            lacking[feature.name] = NotFed(feature.name, *what)
    fed = [feature for name, feature in features.items() if name not in lacking]
    return fed, [lacking[name] for name in features if name in lacking]


def _present(replay: Replay) -> dict[str, set[str]]:
    """Return by kind the fields that some event of it has."""
    fields = [name for name in replay.events.columns if name != "kind"]
    counted = replay.events.group_by("kind").agg(pl.col(name).count() for name in fields)
    present = {
        row["kind"]: {name for name in fields if row[name]} for row in counted.iter_rows(named=True)
    }
    for kind, field in replay.labels.select("kind", "field").unique().rows():
        present.setdefault(kind, set()).add(field)
    return present


def _lacks(
    feature: Feature, present: Mapping[str, set[str]], lacking: Mapping[str, NotFed]
) -> tuple[str, str] | None:
    for part in feature.parts or ():
        if part in lacking:
            return f"its part {part}: {lacking[part].en}", f"其组成 {part}：{lacking[part].zh}"
    kinds = [kind for kind in feature.kinds if kind in present]
    if not kinds:
        names = ", ".join(feature.kinds)
        return f"no event {names}", f"没有事件 {names}"
    wanted = [feature.entity, *(where.field for where in feature.where)]
    wanted += [] if feature.field is None else [feature.field]
    missing = min((sorted(set(wanted) - present[kind]) for kind in kinds), key=len)
    if missing:
        names = ", ".join(missing)
        return f"no {names} in {', '.join(kinds)}", f"{', '.join(kinds)} 中没有 {names}"
    return None
