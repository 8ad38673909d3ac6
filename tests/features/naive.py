"""The straight-line model: every answer from the whole list, by the words of `definition`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from steelyard.features.model import formula
from steelyard.features.model.definition import LATENESS_MS, Aggregate, Compare, Feature, Where
from steelyard.features.model.event import Event, EventKind, Label

FINITE = {
    Aggregate.COUNT: lambda v: len(v),
    Aggregate.SUM: lambda v: sum(v),
    Aggregate.MEAN: lambda v: formula.mean(len(v), sum(v)),
    Aggregate.MIN: lambda v: min(v, default=None),
    Aggregate.MAX: lambda v: max(v, default=None),
    Aggregate.STD: lambda v: formula.standard_deviation(len(v), sum(v), sum(x * x for x in v)),
    Aggregate.DISTINCT: lambda v: len(set(v)),
    Aggregate.LAST: lambda v: v[-1] if v else None,
}


class Naive:
    def __init__(self, features: Iterable[Feature], kinds: Mapping[str, EventKind]) -> None:
        self.features = {feature.name: feature for feature in features}
        self.kinds = kinds
        self.events: list[Event] = []
        self.labels: list[Label] = []

    def fold(self, event: Event) -> dict[str, object]:
        wanted = {
            name: feature
            for name, feature in self.features.items()
            if feature.entity in self.kinds[event.kind].entities
        }
        watermark = max((each.at_ms for each in self.events), default=event.at_ms)
        if event.at_ms < watermark - LATENESS_MS:
            return dict.fromkeys(wanted)
        self.events.append(event)
        return {name: self.value(feature, event) for name, feature in wanted.items()}

    def label(self, label: Label) -> None:
        about = [e for e in self.events if (e.kind, e.id) == (label.kind, label.id)]
        if about and about[0].at_ms <= label.at_ms:
            self.labels.append(label)

    def told(self, event: Event, field: str, asked: Event) -> object:
        known = [
            (label.at_ms, label.sequence, label.value)
            for label in self.labels
            if (label.kind, label.id, label.field) == (event.kind, event.id, field)
            and label.at_ms <= asked.at_ms
            and label.sequence < asked.sequence
        ]
        return max(known)[2] if known else None

    def field(self, event: Event, field: str, asked: Event) -> object:
        if field in self.kinds[event.kind].labels:
            return self.told(event, field, asked)
        return event.fields.get(field)

    def fits(self, where: Where, event: Event, asked: Event) -> bool:
        value = self.field(event, where.field, asked)
        if value is None:
            return False
        return {
            Compare.IS: lambda: value == where.value,
            Compare.IS_NOT: lambda: value != where.value,
            Compare.AT_LEAST: lambda: value >= where.value,
            Compare.BELOW: lambda: value < where.value,
        }[where.compare]()

    def value(self, feature: Feature, asked: Event) -> object:
        if feature.parts is not None:
            one, other = (self.value(self.features[part], asked) for part in feature.parts)
            return None if one is None or not other else one / other
        who = asked.fields.get(feature.entity)
        if who is None:
            return None
        end = asked.at_ms - feature.delay_ms
        seen = [
            event
            for event in self.events
            if event.kind in feature.kinds
            and event.fields.get(feature.entity) == who
            and event.at_ms <= end
            and (feature.window_ms is None or event.at_ms >= end - feature.window_ms)
            and (event.sequence < asked.sequence or not feature.before)
            and all(self.fits(where, event, asked) for where in feature.where)
            and (feature.field is None or self.field(event, feature.field, asked) is not None)
        ]
        seen.sort(key=lambda event: (event.at_ms, event.sequence))
        if feature.aggregate is Aggregate.TIME_SINCE:
            return asked.at_ms - seen[-1].at_ms if seen else None
        if feature.aggregate is Aggregate.FIRST_SEEN:
            return asked.at_ms - seen[0].at_ms if seen else None
        if feature.field is None:
            return len(seen)
        values = [self.field(event, feature.field, asked) for event in seen]
        if feature.aggregate is Aggregate.ZSCORE:
            own = asked.fields.get(feature.field)
            n, s, q = len(values), sum(values), sum(x * x for x in values)
            return None if own is None else formula.z_score(own, n, s, q)
        return FINITE[feature.aggregate](values)
