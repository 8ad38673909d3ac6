"""What a feature is, said once; every engine computes it from this definition.

The meaning, the same for all engines. Whatever is folded, event or label, has a sequence that rises
in the order of arrival. An answer sees only what had come by then: asked at an event of instant t
and sequence s, a feature looks at the events of its kinds and conditions that

- have a sequence of at most s (below s if `before`: the event itself is left out),
- have the same value of the entity's field as the event asked at, whatever its kind is,
- have the aggregated field, if there is one, and
- lie in the closed window from t - delay - window to t - delay (from ever, without a window).

Of a label, aggregated or in a condition, it sees the value told at or before t by the labels of a
sequence below s: the one with the highest (instant, sequence) among them. Until then the event
lacks the field. A label whose event has not been folded when it comes, or that is told for an
instant before its event, is counted, flagged and not folded.

A flag is 1 or 0 where it is added up. What there is nothing to compute from is missing, not zero:
only a count, a sum and a distinct count of nothing are zero. Asked at an event that lacks the
entity's field, every feature of that entity is missing.

An event is late when its instant lies before the watermark, which is the highest instant of all
events folded before it (labels do not move it). Up to and including `LATENESS_MS` late it is put in
its place: itself answered as if it had come in time, and seen by whoever asks afterwards; what was
answered before stays as it was recorded. An event later than that is counted, flagged, not folded
and not seen, and every feature asked at it is missing, in every engine alike. (So an event from
the future would shut out the present: the edge refuses it.)
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

LATENESS_MS = HOUR
"""How late an event may come and still be folded."""

LARGEST = 2**40
"""The largest magnitude of an integer field; the edge refuses more."""


class Aggregate(StrEnum):
    """What is made of the values in the window. n: how many, s: their sum, q: sum of squares."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    """s / n; missing without a value."""
    MIN = "min"
    MAX = "max"
    STD = "std"
    """Of the sample, from exact integers; missing below two values."""
    DISTINCT = "distinct"
    """How many different values."""
    LAST = "last"
    """The value of the latest by (instant, sequence)."""
    FIRST_SEEN = "first_seen"
    """Milliseconds since the first of the events; 0 at itself."""
    TIME_SINCE = "time_since"
    """Milliseconds since the latest of the events; with `before` since the one before this."""
    RATIO = "ratio"
    """First of `parts` over the second; missing if either is missing or the second is zero."""
    ZSCORE = "zscore"
    """The own value of the event asked at, of whatever kind, against n, s, q of the window; missing
    where the value or the deviation is missing, or the deviation is zero."""


class Compare(StrEnum):
    """How a field is compared with a constant."""

    IS = "is"
    IS_NOT = "is_not"
    AT_LEAST = "at_least"
    BELOW = "below"


@dataclass(frozen=True, slots=True)
class Where:
    """A condition on a field of the counted event; a missing field never fits."""

    field: str
    compare: Compare
    value: int | str | bool


@dataclass(frozen=True, slots=True)
class Feature:
    """A number about an entity, as of an event.

    A ratio states its name, entity, kinds, parts and words; window, conditions, delay and `before`
    are those of its parts, and its own stay at their defaults.

    Attributes
    ----------
    name : `entity_what_window`, unique in the catalogue, e.g. `card_payment_count_1h`
    entity : field of the event that names the entity (`customer`, `card`, `device`, ...)
    kinds : the kinds of events that are counted
    aggregate : what is made of them
    field : the aggregated field; None for counts and instants. Integers and flags are added up,
        integers have a minimum and a maximum; a label is added up only
    window_ms : length; None is all that ever was
    where : conditions, all of which the counted event fits
    delay_ms : how long ago the window ends (label delay)
    before : whether the event itself is left out
    parts : the two features of a ratio, by name; their entity and kinds are the ratio's
    en, zh : what it says, for people
    version : goes up when the meaning changes
    """

    name: str
    entity: str
    kinds: tuple[str, ...]
    aggregate: Aggregate
    en: str
    zh: str
    field: str | None = None
    window_ms: int | None = None
    where: tuple[Where, ...] = ()
    delay_ms: int = 0
    before: bool = False
    parts: tuple[str, str] | None = None
    version: int = 1

    def __post_init__(self) -> None:
        if (self.parts is not None) != (self.aggregate is Aggregate.RATIO):
            raise ValueError(f"{self.name}: a ratio, and nothing else, has two parts")
        needs = {Aggregate.SUM, Aggregate.MEAN, Aggregate.MIN, Aggregate.MAX, Aggregate.STD,
                 Aggregate.DISTINCT, Aggregate.LAST, Aggregate.ZSCORE}  # fmt: skip
        if (self.field is not None) != (self.aggregate in needs):
            raise ValueError(f"{self.name}: {self.aggregate} and its field do not fit")
        own = (self.window_ms, self.where, self.delay_ms, self.before)
        if self.parts is not None and own != (None, (), 0, False):
            raise ValueError(f"{self.name}: the window of a ratio is that of its parts")
        if self.window_ms is not None and self.window_ms <= 0:
            raise ValueError(f"{self.name}: a window is longer than nothing")
        if self.delay_ms < 0 or (self.delay_ms and self.before):
            raise ValueError(f"{self.name}: a delayed window leaves the event out anyway")
