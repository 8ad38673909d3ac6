"""What a feature is, said once; every engine computes it from this definition.

The meaning, the same for all engines. The events of an entity are ordered by (instant, sequence).
Asked at an event that stands at (t, s), a feature looks at the events of its kinds and condition
that have the same value of the entity's field, and lie in the closed window from t - delay - window
to t - delay; without a delay, those up to (t, s), itself included, or excluded if `before`. Events
that lack the entity's field, or the aggregated field, are not looked at. Of a label it sees the
value that was told at or before t. What there is nothing to compute from is missing, not zero:
only a count, a sum and a distinct count of nothing are zero.

An event is late when its instant lies before the watermark, which is the highest instant folded
before it. Up to `LATENESS_MS` late it is put in its place, and answered as if it had come in time;
what was answered before stays as it was recorded. An event later than that is counted, flagged and
not folded, by every engine alike.
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


class Aggregate(StrEnum):
    """What is made of the values in the window. n: how many, s: their sum, q: sum of squares."""

    COUNT = "count"
    SUM = "sum"
    MEAN = "mean"
    """s / n; missing without a value."""
    MIN = "min"
    MAX = "max"
    STD = "std"
    """Of the sample, from integers: sqrt((n q - s s) / (n (n - 1))); missing below two values."""
    DISTINCT = "distinct"
    """How many different values."""
    LAST = "last"
    """The value at the latest place in the window."""
    FIRST_SEEN = "first_seen"
    """Milliseconds since the first of the events; 0 at itself."""
    TIME_SINCE = "time_since"
    """Milliseconds since the latest of the events; with `before` since the one before this."""
    RATIO = "ratio"
    """First of `parts` over the second; missing if the second is missing or zero."""
    ZSCORE = "zscore"
    """This event's own value against n, s, q of the window: (x - s / n) / std; missing with std
    missing or zero."""


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

    Attributes
    ----------
    name : `entity_what_window`, unique in the catalogue, e.g. `card_payment_count_1h`
    entity : field of the event that names the entity (`customer`, `card`, `device`, ...)
    kinds : the kinds of events that are counted
    aggregate : what is made of them
    field : the aggregated field; None for counts and instants
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
        if self.window_ms is not None and self.window_ms <= 0:
            raise ValueError(f"{self.name}: a window is longer than nothing")
        if self.delay_ms < 0 or (self.delay_ms and self.before):
            raise ValueError(f"{self.name}: a delayed window leaves the event out anyway")
