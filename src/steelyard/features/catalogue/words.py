"""How the catalogue writes families of features: one sentence, several windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from steelyard.features.model.definition import (
    DAY,
    HOUR,
    MINUTE,
    Aggregate,
    Compare,
    Feature,
    Where,
)

Words = tuple[str, str]
"""English and Chinese."""


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time and its words."""

    ms: int
    en: str
    zh: str


SPANS: Mapping[str, Span] = MappingProxyType({
    "10m": Span(10 * MINUTE, "10 minutes", "10 分钟"),
    "1h": Span(HOUR, "hour", "1 小时"),
    "1d": Span(DAY, "day", "1 天"),
    "7d": Span(7 * DAY, "7 days", "7 天"),
    "30d": Span(30 * DAY, "30 days", "30 天"),
    "90d": Span(90 * DAY, "90 days", "90 天"),
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """Features of one entity over the same events.

    Attributes
    ----------
    what : middle of the names, `payment` in `customer_payment_count_1h`
    where : conditions on the events
    delay : how long before the event asked at the windows end, a name in `SPANS`
    """

    entity: str
    kinds: tuple[str, ...]
    what: str
    where: tuple[Where, ...] = ()
    delay: str | None = None
    before: bool = False

    def each(
        self, aggregate: Aggregate, spans: str, words: Words, field: str | None = None
    ) -> list[Feature]:
        """Return one feature for each span, named apart by blanks."""
        return [self._over(aggregate, span, words, field) for span in spans.split()]

    def ever(self, aggregate: Aggregate, words: Words, field: str | None = None) -> Feature:
        """Return the feature over all that ever was."""
        return Feature(
            name=f"{self.entity}_{self.what}_{aggregate.value}",
            entity=self.entity,
            kinds=self.kinds,
            aggregate=aggregate,
            en=f"{words[0]}.",
            zh=f"{words[1]}。",
            field=field,
            where=self.where,
            before=self.before,
        )

    def _over(self, aggregate: Aggregate, span: str, words: Words, field: str | None) -> Feature:
        length = SPANS[span]
        name = f"{self.entity}_{self.what}_{aggregate.value}_{span}"
        en, zh = f"{words[0]} in the last {length.en}", f"近 {length.zh}{words[1]}"
        delay_ms = 0
        if self.delay is not None:
            delay = SPANS[self.delay]
            delay_ms = delay.ms
            name += f"_delayed_{self.delay}"
            en, zh = f"{en}, as of {delay.en} before", f"{zh}（截至 {delay.zh}前）"
        return Feature(
            name=name,
            entity=self.entity,
            kinds=self.kinds,
            aggregate=aggregate,
            en=f"{en}.",
            zh=f"{zh}。",
            field=field,
            window_ms=length.ms,
            where=self.where,
            delay_ms=delay_ms,
            before=self.before,
        )


def shares(
    name: str, tops: Sequence[Feature], bottoms: Sequence[Feature], words: Words
) -> list[Feature]:
    """Return the ratios of two families, pair by pair; the names end as the first part's do."""
    made = []
    for top, bottom in zip(tops, bottoms, strict=True):
        tail = top.name.split(f"_{top.aggregate.value}_")[1]
        made.append(
            Feature(
                name=f"{top.entity}_{name}_{tail}",
                entity=top.entity,
                kinds=top.kinds,
                aggregate=Aggregate.RATIO,
                en=f"{words[0]}: {_lower(top.en)[:-1]}, over {_lower(bottom.en)}",
                zh=f"{words[1]}：{top.zh[:-1]}，比{bottom.zh}",
                parts=(top.name, bottom.name),
            )
        )
    return made


def is_(field: str, value: int | str) -> tuple[Where, ...]:
    """Return the condition that a field has a value."""
    return (Where(field, Compare.IS, value),)


def below(field: str, value: int) -> tuple[Where, ...]:
    """Return the condition that a field lies below a value."""
    return (Where(field, Compare.BELOW, value),)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
