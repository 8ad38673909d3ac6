"""What a definition must hold to before any engine takes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from steelyard.features.model.definition import Aggregate, Compare, Feature, Where
from steelyard.features.model.event import EventKind, FieldType

NAME = re.compile(r"[a-z][a-z0-9_]*")
_ADDED = {Aggregate.SUM, Aggregate.MEAN, Aggregate.STD, Aggregate.ZSCORE}
_ORDERED = {Aggregate.MIN, Aggregate.MAX}
_PYTHON = {FieldType.TEXT: str, FieldType.INTEGER: int, FieldType.FLAG: bool}


def looks_at_label(feature: Feature, kinds: Mapping[str, EventKind]) -> bool:
    """Whether a feature aggregates a label or has a condition on one."""
    labels = {label for kind in feature.kinds for label in kinds[kind].labels}
    return feature.field in labels or any(where.field in labels for where in feature.where)


def check_feature(
    feature: Feature, features: Mapping[str, Feature], kinds: Mapping[str, EventKind]
) -> None:
    """Check one definition against the others and the kinds.

    Raises
    ------
    ValueError
        The sentence says what does not fit. Names are of small letters, digits and underscores.
        Kinds are known and have the entity, the field (of one type, which the aggregate takes) and
        the fields of the conditions. A feature over a label has a window: what is told of an event
        long past must not change an answer for ever. A ratio has parts of its own entity and kinds
        that are numbers, and no ratios.
    """
    wrong = _faults(feature, features, kinds)
    if wrong:
        raise ValueError(f"{feature.name}: {'; '.join(wrong)}")


def _faults(
    feature: Feature, features: Mapping[str, Feature], kinds: Mapping[str, EventKind]
) -> list[str]:
    unknown = [kind for kind in feature.kinds if kind not in kinds]
    if unknown or not feature.kinds:
        return [f"kinds unknown: {unknown}"]
    wrong = [] if NAME.fullmatch(feature.name) else ["its name is no name"]
    wrong += [f"{k} has no entity {feature.entity}" for k in feature.kinds
              if feature.entity not in kinds[k].entities]  # fmt: skip
    if not (feature.en and feature.zh):
        wrong.append("it has no sentence in English or Chinese")
    if feature.parts is not None:
        return wrong + _faults_of_parts(feature, features)
    for kind in feature.kinds:
        fields = kinds[kind].fields
        wrong += _faults_of_field(feature, fields)
        for where in feature.where:
            wrong += _faults_of_where(where, fields)
    if looks_at_label(feature, kinds) and feature.window_ms is None:
        wrong.append("a label is looked at in a window")
    return wrong


def _faults_of_field(feature: Feature, fields: Mapping[str, FieldType]) -> Iterable[str]:
    if feature.field is None:
        return []
    kind = fields.get(feature.field)
    if kind is None:
        return [f"there is no field {feature.field}"]
    added = feature.aggregate in _ADDED and kind is FieldType.TEXT
    ordered = feature.aggregate in _ORDERED and kind is not FieldType.INTEGER
    return [f"no {feature.aggregate.value} of {kind.value}"] if added or ordered else []


def _faults_of_where(where: Where, fields: Mapping[str, FieldType]) -> Iterable[str]:
    kind = fields.get(where.field)
    if kind is None:
        return [f"there is no field {where.field}"]
    if type(where.value) is not _PYTHON[kind]:
        return [f"{where.field} is not compared with {where.value!r}"]
    if where.compare in {Compare.AT_LEAST, Compare.BELOW} and kind is not FieldType.INTEGER:
        return [f"{where.field} has no order"]
    return []


def _faults_of_parts(feature: Feature, features: Mapping[str, Feature]) -> list[str]:
    wrong = []
    for name in feature.parts or ():
        part = features.get(name)
        if part is None:
            wrong.append(f"its part {name} is not there")
        elif (part.entity, set(part.kinds)) != (feature.entity, set(feature.kinds)):
            wrong.append(f"its part {name} is about something else")
        elif part.aggregate in {Aggregate.RATIO, Aggregate.LAST}:
            wrong.append(f"its part {name} is no number")
    return wrong
