"""Small worlds for properties: two kinds, few entities, coarse time: everything collides."""

from __future__ import annotations

from random import Random

from hypothesis import strategies as st

from steelyard.features.model.definition import LATENESS_MS, Aggregate, Compare, Feature, Where
from steelyard.features.model.event import Event, EventKind, FieldType, Label

STEP = LATENESS_MS // 4
"""Up to four steps late is late, five is too late."""
KINDS = {
    "pay": EventKind(
        "pay",
        {
            "card": FieldType.TEXT,
            "shop": FieldType.TEXT,
            "minor": FieldType.INTEGER,
            "night": FieldType.FLAG,
            "land": FieldType.TEXT,
            "bad": FieldType.FLAG,
            "grade": FieldType.INTEGER,
        },
        ("card", "shop"),
        "A payment.",
        "付款。",
        ("bad", "grade"),
    ),
    "visit": EventKind(
        "visit",
        {
            "card": FieldType.TEXT,
            "minor": FieldType.INTEGER,
            "land": FieldType.TEXT,
        },
        ("card",),
        "A visit.",
        "到访。",
    ),
}
A = Aggregate
_FIELDS = {
    A.SUM: ("minor", "night", "bad", "grade"),
    A.MEAN: ("minor", "night", "bad", "grade"),
    A.MIN: ("minor", "grade"),
    A.MAX: ("minor", "grade"),
    A.STD: ("minor", "grade"),
    A.DISTINCT: ("minor", "land", "night", "grade"),
    A.LAST: ("minor", "land", "night", "bad"),
    A.ZSCORE: ("minor",),
}
_WHERES = (
    Where("night", Compare.IS, True),
    Where("land", Compare.IS_NOT, "x"),
    Where("minor", Compare.AT_LEAST, 2),
    Where("minor", Compare.BELOW, 3),
    Where("bad", Compare.IS, True),
    Where("grade", Compare.BELOW, 2),
)


@st.composite
def features(draw: st.DrawFn) -> list[Feature]:
    made = []
    for i in range(draw(st.integers(1, 8))):
        aggregate = draw(st.sampled_from([a for a in A if a is not A.RATIO]))
        both = draw(st.booleans())
        kinds = ("pay", "visit") if both else draw(st.sampled_from([("pay",), ("visit",)]))
        field = draw(st.sampled_from(_FIELDS[aggregate])) if aggregate in _FIELDS else None
        where = tuple(draw(st.lists(st.sampled_from(_WHERES), max_size=2)))
        used = {field, *(w.field for w in where)} - {None}
        if not all(used <= set(KINDS[kind].fields) for kind in kinds):
            kinds = ("pay",)
        window = draw(st.sampled_from([None, 1, 3, 8]))
        if window is None and used & {"bad", "grade"}:
            window = 8
        delay = draw(st.sampled_from([0, 0, 2, 5]))
        made.append(
            Feature(
                name=f"f{i}",
                entity=draw(st.sampled_from(["card", "shop"])) if kinds == ("pay",) else "card",
                kinds=kinds,
                aggregate=aggregate,
                en="It.",
                zh="它。",
                field=field,
                window_ms=None if window is None else window * STEP,
                where=where,
                delay_ms=delay * STEP,
                before=draw(st.booleans()) and not delay,
            )
        )
    numbers = [f for f in made if f.aggregate is not A.LAST]
    for i, top in enumerate(numbers[:2]):
        for bottom in numbers:
            if (top.entity, top.kinds) == (bottom.entity, bottom.kinds):
                parts = (top.name, bottom.name)
                made.append(
                    Feature(f"r{i}", top.entity, top.kinds, A.RATIO, "It.", "它。", parts=parts)
                )
                break
    return made


_events = st.tuples(
    st.sampled_from(["pay", "pay", "visit"]),
    st.sampled_from([0, 0, 1, 1, 2, 3, 9, -1, -2, -4, -5]),
    st.fixed_dictionaries(
        {},
        optional={
            "card": st.sampled_from(["a", "b"]),
            "shop": st.sampled_from(["s", "t"]),
            "minor": st.integers(-2, 5),
            "night": st.booleans(),
            "land": st.sampled_from(["x", "y", "z"]),
        },
    ),
)
_labels = st.tuples(
    st.integers(1, 12),
    st.sampled_from([0, 0, 1, 2, 6, -1]),
    st.sampled_from(["bad", "grade"]),
    st.integers(0, 1),
)


@st.composite
def streams(draw: st.DrawFn, most: int = 40) -> list[Event | Label]:
    """Events and labels in the order of arrival; a label goes some events back."""
    made: list[Event | Label] = []
    at = 100
    for sequence in range(draw(st.integers(1, most))):
        back, after, name, value = draw(_labels)
        pays = [e for e in made if isinstance(e, Event) and e.kind == "pay"]
        if len(pays) >= back and draw(st.booleans()):
            about = pays[-back]
            told = about.at_ms + after * STEP
            made.append(Label("pay", about.id, told, sequence, name, value))
            continue
        kind, step, fields = draw(_events)
        names = KINDS[kind].fields
        kept = {name: value for name, value in fields.items() if name in names}
        made.append(Event(kind, f"e{sequence}", (at + step) * STEP, sequence, kept))
        at = max(at, at + step)
    return made


def every_feature() -> list[Feature]:
    """One of each aggregate, field, window, delay, and with and without the event itself."""
    made = []
    for aggregate in [a for a in A if a is not A.RATIO]:
        for field in _FIELDS.get(aggregate, (None,)):
            for window, delay, before in [
                (None, 0, False),
                (None, 0, True),
                (None, 2, False),
                (3, 0, False),
                (6, 0, True),
                (4, 3, False),
            ]:
                if window is None and field in KINDS["pay"].labels:
                    continue
                made.append(
                    Feature(
                        name=f"f{len(made)}",
                        entity="card",
                        kinds=("pay",),
                        aggregate=aggregate,
                        en="It.",
                        zh="它。",
                        field=field,
                        window_ms=None if window is None else window * STEP,
                        delay_ms=delay * STEP,
                        before=before,
                    )
                )
    return made


def dense(seed: int, length: int) -> list[Event | Label]:
    """One card, an event or two per step, a third of them late, labels for half."""
    chance = Random(seed)
    made: list[Event | Label] = []
    now, ids = 100, []
    for sequence in range(length):
        if ids and chance.random() < 0.3:
            about, at = chance.choice(ids[-8:])
            told = (at + chance.randrange(-1, 8)) * STEP
            name = chance.choice(["bad", "grade"])
            made.append(Label("pay", about, told, sequence, name, chance.randrange(2)))
            continue
        step = chance.choice([0, 1, 1, -1, -2, -3, -4, -5])
        fields = {
            "card": "a",
            "minor": chance.choice([1, 2, 3, 5, 8, None]),
            "night": chance.choice([True, False, None]),
            "land": chance.choice(["x", "y", None]),
        }
        made.append(Event("pay", f"e{sequence}", (now + step) * STEP, sequence, fields))
        if step >= -4:
            ids.append((f"e{sequence}", now + step))
        now = max(now, now + step)
    return made
