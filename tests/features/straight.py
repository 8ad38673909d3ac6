"""The meaning of features, written down as it is said and with no thought of speed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from steelyard.features.model import formula
from steelyard.features.model.definition import LATENESS_MS, Aggregate, Compare, Feature, Where
from steelyard.features.model.event import Event, Label, Value

Answer = dict[str, float | str | None]


def straight_line(
    events: Sequence[Event], labels: Sequence[Label], features: Sequence[Feature]
) -> list[Answer]:
    """Answer every feature at every event, by looking at everything that came before it."""
    folded: list[Event] = []
    known: list[Label] = []
    waiting = sorted(labels, key=lambda label: label.sequence)
    answers: list[Answer] = []
    for event in events:
        while waiting and waiting[0].sequence < event.sequence:
            label = waiting.pop(0)
            about = [e for e in folded if (e.kind, e.id) == (label.kind, label.id)]
            if about and about[0].at_ms <= label.at_ms:
                known.append(label)
        if folded and event.at_ms < max(e.at_ms for e in folded) - LATENESS_MS:
            answers.append(dict.fromkeys(f.name for f in features))
            continue
        folded.append(event)
        asked = _Asked(event, folded, list(known), {f.name: f for f in features})
        answers.append({f.name: asked.value(f) for f in features})
    return answers


@dataclass(frozen=True, slots=True)
class _Asked:
    event: Event
    folded: Sequence[Event]
    labels: Sequence[Label]
    features: dict[str, Feature]

    def value(self, feature: Feature) -> float | str | None:
        if self.event.fields.get(feature.entity) is None:
            return None
        if feature.parts is not None:
            first, second = (self.value(self.features[part]) for part in feature.parts)
            return formula.ratio(first, second)  # type: ignore[arg-type]
        seen = sorted((e for e in self.folded if self._counts(feature, e)), key=_place)
        if feature.aggregate is Aggregate.COUNT:
            return len(seen)
        if feature.aggregate is Aggregate.FIRST_SEEN:
            return self.event.at_ms - seen[0].at_ms if seen else None
        if feature.aggregate is Aggregate.TIME_SINCE:
            return self.event.at_ms - seen[-1].at_ms if seen else None
        values = [self.field(e, feature.field) for e in seen]
        return self._of_values(feature, values)

    def _of_values(self, feature: Feature, values: list[Value]) -> float | str | None:
        if feature.aggregate is Aggregate.DISTINCT:
            return len(set(values))
        if feature.aggregate is Aggregate.LAST:
            return values[-1] if values else None
        numbers = [int(v) for v in values]  # type: ignore[arg-type]
        n, s, q = len(numbers), sum(numbers), sum(v * v for v in numbers)
        match feature.aggregate:
            case Aggregate.SUM:
                return s
            case Aggregate.MIN:
                return min(numbers, default=None)
            case Aggregate.MAX:
                return max(numbers, default=None)
            case Aggregate.MEAN:
                return formula.mean(n, s)
            case Aggregate.STD:
                return formula.standard_deviation(n, s, q)
            case Aggregate.ZSCORE:
                own = self.field(self.event, feature.field)
                return None if own is None else formula.z_score(int(own), n, s, q)
        raise AssertionError(feature.aggregate)

    def _counts(self, feature: Feature, e: Event) -> bool:
        if e.kind not in feature.kinds:
            return False
        entity = self.event.fields[feature.entity]
        if e.fields.get(feature.entity) != entity:
            return False
        if feature.before and e is self.event:
            return False
        until = self.event.at_ms - feature.delay_ms
        if e.at_ms > until:
            return False
        if feature.window_ms is not None and e.at_ms < until - feature.window_ms:
            return False
        if feature.field is not None and self.field(e, feature.field) is None:
            return False
        return all(self._fits(where, e) for where in feature.where)

    def _fits(self, where: Where, e: Event) -> bool:
        value = self.field(e, where.field)
        if value is None:
            return False
        match where.compare:
            case Compare.IS:
                return value == where.value
            case Compare.IS_NOT:
                return value != where.value
            case Compare.AT_LEAST:
                return value >= where.value  # type: ignore[operator]
        return value < where.value  # type: ignore[operator]

    def field(self, e: Event, name: str | None) -> Value:
        """Return a field, or the label of its name that was told last, as far as it is told."""
        assert name is not None
        if name in e.fields:
            return e.fields[name]
        told = [
            label
            for label in self.labels
            if (label.kind, label.id, label.field) == (e.kind, e.id, name)
            and label.at_ms <= self.event.at_ms
        ]
        return max(told, key=lambda label: (label.at_ms, label.sequence)).value if told else None


def _place(event: Event) -> tuple[int, int]:
    return event.at_ms, event.sequence
