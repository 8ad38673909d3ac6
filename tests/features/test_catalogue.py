"""The battery over every entry of the catalogue, and the fields that are worked out."""

from __future__ import annotations

import dataclasses
import doctest
import re
from importlib import import_module
from random import Random

import pytest

from steelyard.features.catalogue import CATALOGUE, HANDBOOK, KINDS, complete
from steelyard.features.model import intake, refusals
from steelyard.features.model.checking import check_feature
from steelyard.features.model.definition import (
    DAY,
    HOUR,
    LARGEST,
    Aggregate,
    Compare,
    Feature,
    Where,
)
from steelyard.features.model.event import Event, FieldType
from steelyard.features.model.layout import plan
from steelyard.features.model.stream import StreamEngine
from tests.features.naive import Naive

MODULES = ("catalogue.derived", "model.formula", "model.graph", "model.stream", "service.facts")


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, tried = doctest.testmod(import_module(f"steelyard.features.{name}"))
    assert tried
    assert not failed


@pytest.mark.parametrize("feature", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_an_entry_holds_to_the_contract(feature: Feature) -> None:
    check_feature(feature, CATALOGUE, KINDS)
    assert feature.name.startswith(f"{feature.entity}_")
    assert feature.aggregate.value in feature.name or feature.parts is not None
    assert re.fullmatch(r"[A-Z][^.]*\.", feature.en), feature.en
    assert re.fullmatch(r"[^。.]*[\u4e00-\u9fff][^。.]*。", feature.zh), feature.zh
    if feature.parts is not None:
        tail = feature.name.rsplit("_", 1)[1]
        assert all(part.endswith(tail) or "share_of" in feature.name for part in feature.parts)


def test_the_catalogue_is_as_wide_as_promised() -> None:
    assert len(CATALOGUE) >= 60
    assert {feature.aggregate for feature in CATALOGUE.values()} == set(Aggregate)
    kinds = {kind for feature in CATALOGUE.values() for kind in feature.kinds}
    assert kinds == set(KINDS)
    sentences = [feature.en for feature in CATALOGUE.values()]
    words = [(f.entity, f.aggregate, f.kinds, f.field, f.window_ms, f.delay_ms, f.where, f.before,
              f.parts) for f in CATALOGUE.values()]  # fmt: skip
    assert len(set(sentences)) == len(sentences)
    assert len(set(words)) == len(words), "no feature is there under two names"
    assert set(HANDBOOK) <= set(CATALOGUE)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
def test_a_kind_holds_together(kind) -> None:
    assert {*kind.entities, *kind.labels} <= set(kind.fields)
    assert all(kind.fields[entity] is FieldType.TEXT for entity in kind.entities)
    assert all(kind.fields[label] is not FieldType.TEXT for label in kind.labels)
    made = complete(kind.name, 0, dict.fromkeys(kind.entities))
    assert set(made) <= set(kind.fields)
    intake.check_fields(kind, made)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"kinds": ("flight",)}, "unknown"),
        ({"kinds": ()}, "unknown"),
        ({"entity": "weather"}, "no entity"),
        ({"field": "weather"}, "no field"),
        ({"field": "currency"}, "no sum of text"),
        ({"aggregate": Aggregate.MIN, "field": "is_night"}, "no min of flag"),
        ({"where": (Where("amount_minor", Compare.IS, True),)}, "not compared"),
        ({"where": (Where("is_night", Compare.AT_LEAST, True),)}, "no order"),
        ({"where": (Where("weather", Compare.IS, 1),)}, "no field"),
        ({"field": "is_fraud", "window_ms": None}, "in a window"),
        ({"name": "Customer"}, "no name"),
        ({"zh": ""}, "no sentence"),
    ],
)
def test_a_definition_that_does_not_hold_is_refused(change: dict[str, object], word: str) -> None:
    good = CATALOGUE["customer_payment_sum_1h"]
    bad = dataclasses.replace(good, **change)
    with pytest.raises(ValueError, match=word):
        check_feature(bad, {bad.name: bad}, KINDS)


@pytest.mark.parametrize(
    ("parts", "word"),
    [
        (("customer_payment_sum_1h", "nobody"), "not there"),
        (("customer_payment_sum_1h", "card_payment_sum_1h"), "something else"),
        (("customer_payment_sum_1h", "customer_refund_sum_30d"), "something else"),
        (("customer_payment_country_last", "customer_payment_sum_1h"), "no number"),
        (("customer_night_payment_share_30d", "customer_payment_sum_1h"), "no number"),
    ],
)
def test_a_ratio_of_what_does_not_fit_is_refused(parts: tuple[str, str], word: str) -> None:
    bad = Feature("r", "customer", ("payment",), Aggregate.RATIO, "It.", "它。", parts=parts)
    with pytest.raises(ValueError, match=word):
        plan([*CATALOGUE.values(), bad], KINDS)


@pytest.mark.parametrize(
    "change",
    [
        {"parts": ("a", "b")},
        {"field": None},
        {"window_ms": 0},
        {"delay_ms": -1},
        {"delay_ms": 1, "before": True},
    ],
)
def test_a_definition_that_contradicts_itself_cannot_be_made(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="customer_payment_sum_1h"):
        dataclasses.replace(CATALOGUE["customer_payment_sum_1h"], **change)


def test_what_is_worked_out() -> None:
    monday = 4 * DAY  # 1970-01-05
    made = complete("payment", monday, {"customer": "c", "device": "d"}, offset_ms=0)
    assert (made["hour"], made["is_night"], made["is_weekend"]) == (0, True, False)
    assert (made["customer_device"], made["customer_hour"]) == ("c|d", "c|0")
    assert made["customer_merchant"] is None
    sunday_in_beijing = monday - 9 * HOUR
    made = complete("log_in", sunday_in_beijing, {"hour": 3})
    assert (made["hour"], made["is_night"], made["is_weekend"]) == (23, False, True)
    assert made["customer_hour"] is None
    assert complete("log_in", monday - 1 * HOUR, {})["is_night"] is False
    assert complete("log_in", monday - 2 * HOUR, {})["is_night"] is True


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"weather": "fair"}, refusals.EventFieldIsUnknown),
        ({"is_fraud": True}, refusals.EventFieldIsUnknown),
        ({"amount_minor": 1.5}, refusals.EventFieldIsInvalid),
        ({"amount_minor": float("nan")}, refusals.EventFieldIsInvalid),
        ({"amount_minor": True}, refusals.EventFieldIsInvalid),
        ({"amount_minor": LARGEST + 1}, refusals.EventFieldIsInvalid),
        ({"is_online": 1}, refusals.EventFieldIsInvalid),
        ({"customer": ""}, refusals.EventFieldIsInvalid),
        ({"customer": "x" * 201}, refusals.EventFieldIsInvalid),
        ({"customer": 7}, refusals.EventFieldIsInvalid),
    ],
)
def test_the_edge_refuses(fields: dict[str, object], refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        intake.check_fields(KINDS["payment"], fields)


def test_the_edge_lets_pass_what_fits_and_nothing_from_the_future() -> None:
    fields = {"customer": "c", "amount_minor": -LARGEST, "is_online": None, "is_night": True}
    assert intake.check_fields(KINDS["payment"], fields) == fields
    intake.check_instant(10_000, 5_000)
    with pytest.raises(refusals.EventIsFromTheFuture):
        intake.check_instant(10_001, 5_000)


def test_the_whole_catalogue_equals_the_straight_line() -> None:
    """Every kind, every feature, some late events; labels are in the properties of the stream."""
    chance = Random(5)
    engine, naive = StreamEngine(CATALOGUE.values(), KINDS), Naive(CATALOGUE.values(), KINDS)
    at_ms = 0
    for sequence in range(160):
        at_ms += chance.choice([0, 60_000, HOUR // 2, 5 * HOUR])
        kind = chance.choice(list(KINDS.values()))
        fields: dict[str, object] = {}
        for name, type_ in kind.fields.items():
            if name in kind.labels or chance.random() < 0.1:
                continue
            if type_ is FieldType.TEXT:
                fields[name] = chance.choice("ab")
            elif type_ is FieldType.FLAG:
                fields[name] = chance.random() < 0.5
            else:
                fields[name] = chance.randrange(1_000)
        instant = at_ms - (chance.randrange(HOUR) if chance.random() < 0.2 else 0)
        event = Event(kind.name, str(sequence), instant, sequence,
                      complete(kind.name, instant, fields))  # fmt: skip
        assert engine.fold(event).values == naive.fold(event)
