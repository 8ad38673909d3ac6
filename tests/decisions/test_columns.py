from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from steelyard.decisions.model.column_refusals import ColumnsAreNotCovered
from steelyard.decisions.model.column_values import Column, Kind
from steelyard.decisions.model.columns import ColumnPolicy, Decided
from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.document import parse_document
from tests.decisions.jdm import document, entries, switch, table


def columnar(*nodes: dict[str, Any], **graph: Any) -> ColumnPolicy:
    return ColumnPolicy(compile_document(parse_document(document(*nodes, **graph))))


def columns(events: list[dict[str, Any]]) -> dict[str, Column]:
    names = dict.fromkeys(name for event in events for name in event)
    return {name: Column.of([event.get(name) for event in events]) for name in names}


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, dict):
            found |= flat(one, f"{prefix}{name}.")
        elif one is not None:
            found[prefix + name] = one
    return found


def same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-20)
    return bool(a == b)


def check(policy: ColumnPolicy, events: list[dict[str, Any]]) -> Decided:
    """The columns say for each event what the row form says."""
    decided = policy.run(columns(events), len(events))
    lists = {name: column.to_list() for name, column in decided.columns.items()}
    hits: dict[str, int] = {}
    for n, event in enumerate(events):
        row = policy.compiled.run(event)
        expected = flat(row.result)
        found = {name: values[n] for name, values in lists.items() if values[n] is not None}
        assert expected.keys() == found.keys(), (event, expected, found)
        assert all(same(expected[name], found[name]) for name in expected), (event, expected, found)
        for hit in row.hits:
            hits[hit.node] = hits.get(hit.node, 0) + 1
    if not decided.by_row:
        for node, counts in decided.hits.items():
            assert int(counts.sum()) == hits.get(node, 0)
    return decided


EVENTS = [
    {"amount": amount, "country": country, "fresh": fresh, "rate": rate}
    for amount in (None, 0, 99, 100, 500, 2_000, 2**60)
    for country in ("CN", "US", None, "GB")
    for fresh in (True, False, None)
    for rate in (0.1, 0.3, None)
]


def test_rules_scores_and_bands_over_columns() -> None:
    rules = table(
        "rules",
        ["amount", "country", "fresh"],
        ["score", "code"],
        [["> 99", "", "", "10", "'A'"], ["", "'CN', 'US'", "true", "7", "'B'"],
         ["<= 100", "!= 'US'", "", "-3", "'C'"], ["", "null", "", "1", "'D'"]],
        "collect",
        outputPath="hits",
    )  # fmt: skip
    total = entries(
        "sum",
        ("score", "sum(map(hits, #.score))"),
        ("codes", "map(hits, #.code)"),
        ("n", "len(hits)"),
        ("bad", "some(hits, #.code == 'D' or #.score > 9)"),
        ("few", "count(hits as h, h.score > 0) < 2"),
    )
    bands = table(
        "band", ["score"], ["action", "limit"],
        [["> 9", "'decline'", ""], ["[5..9]", "'review'", "score * 100"], ["", "'approve'", "1"]],
        passThrough=True,
    )  # fmt: skip
    decided = check(columnar(rules, total, bands), EVENTS)
    assert decided.by_row == 0
    assert decided.columns["codes"].kind is Kind.ARRAY


def test_a_fraction_that_comes_too_near_is_decided_by_the_row_form() -> None:
    policy = columnar(
        entries("e", ("x", "rate + 0.2"), ("y", "$.x == 0.3"), ("z", "$.x > 0.3 ? 'a' : 'b'"))
    )
    decided = check(policy, EVENTS)
    assert decided.by_row > 0
    near = [n for n, event in enumerate(EVENTS) if event["rate"] == 0.1]
    assert all(decided.columns["y"].at(n) is True for n in near)


def test_whole_numbers_beyond_64_bits_are_decided_by_the_row_form() -> None:
    check(columnar(entries("e", ("x", "amount * amount > 10 and amount > 5"))), EVENTS)


def test_switches_split_the_events() -> None:
    edges = [("in", "s"), ("s", "e", "s-0"), ("s", "f", "s-1"), ("e", "g"), ("f", "g"),
             ("g", "out")]  # fmt: skip
    for policy in ("first", "collect"):
        check(
            columnar(
                switch("s", "amount > 99", "country == 'CN' or fresh", policy=policy),
                entries("e", ("x", "1"), ("o.p", "amount")),
                entries("f", ("x", "2"), ("o.q", "country")),
                entries("g", ("y", "x + 1"), ("z", "o.p ?? -1"), passThrough=True),
                edges=edges,
            ),
            EVENTS,
        )


def test_missing_columns_are_missing_values() -> None:
    policy = columnar(table("t", ["gone", "amount"], ["x"], [["> 1", "", "1"], ["null", "", "2"]]))
    decided = check(policy, EVENTS)
    assert decided.columns["x"].values.tolist() == [2] * len(EVENTS)


def test_many_parts_are_joined() -> None:
    events = [{"a": n % 7, "t": f"w{n % 5}" if n > 17_000 else None} for n in range(40_000)]
    node = table("t", ["a", "t"], ["x", "y"], [["> 3", "", "a * 2", "t"], ["", "'w1'", "0", "'q'"]])
    policy = columnar(node)
    decided = policy.run(columns(events), len(events))
    for n in (0, 5, 16_383, 16_384, 17_001, 39_999):
        expected = policy.compiled.run(events[n]).result
        found = {name: column.at(n) for name, column in decided.columns.items()}
        assert {k: v for k, v in found.items() if v is not None} == expected
    assert int(decided.hits["t"][0]) == sum(event["a"] > 3 for event in events)


class _Half:
    """A kind of node that answers for columns too."""

    reads = ("amount",)
    writes: Mapping[str, str] = {"half": "number"}

    def prepare(self, node: object) -> _Half:
        return self

    def answer(self, values: Mapping[str, Any]) -> Any:
        from steelyard.decisions.model.compile import Answer

        amount = values.get("amount")
        return Answer({"half": None if amount is None else amount // 2})

    def answer_columns(self, given: Mapping[str, Column], rows: int) -> Mapping[str, Column]:
        column = given["amount"]
        return {"half": Column(Kind.NUMBER, column.values // 2, column.missing)}


def test_a_kind_of_its_own_answers_for_columns() -> None:
    node = {"id": "h", "type": "customNode", "content": {"kind": "half", "config": {}}}
    content = document(node, entries("e", ("x", "half + 1")))
    compiled = compile_document(parse_document(content), {"half": _Half()})
    check(ColumnPolicy(compiled), EVENTS)


@pytest.mark.parametrize(
    "node",
    [
        entries("e", ("x", "`a${country}`")),
        entries("e", ("x", "upper(country)")),
        entries("e", ("x", "country + 'x'")),
        entries("e", ("x", "map([1, 2], # + amount)")),
        entries("e", ("x", "fresh ? 1 : 'a'")),
        entries("e", ("x", "rate % 0.2")),
        entries("e", ("x", "amount"), executionMode="loop"),
        table("t", ["amount"], ["x"], [["", "1"]], "collect"),
        table("t", ["amount"], ["x[]"], [["", "1"]]),
    ],
)
def test_what_has_no_columnar_form_is_refused_by_name(node: dict[str, Any]) -> None:
    with pytest.raises(ColumnsAreNotCovered) as caught:
        columnar(node).run(columns(EVENTS), len(EVENTS))
    assert caught.value.facts["node"] == node["id"]


def test_a_column_holds_one_type() -> None:
    with pytest.raises(TypeError):
        Column.of([1, "a"])
    assert Column.of([1, None, 2.5]).to_list() == [1.0, None, 2.5]
    assert Column.of([None, None]).kind is Kind.NOTHING
    assert Column.of(np.array([1.0, np.nan])).to_list() == [1.0, None]


_NUMBER = st.one_of(
    st.sampled_from(["a", "b", "r", "n", "gone", "(a ?? 3)"]),
    st.integers(-5, 60).map(str),
    st.sampled_from(["0.5", "2.25", "0.1"]),
)
_TEXT = st.sampled_from(["s", "'x'", "'y'", "null", "(s ?? 'x')"])


def _conditions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda t: f"({' '.join(t)})"),
        inner.map(lambda text: f"not ({text})"),
    )


_ARITHMETIC = st.recursive(
    _NUMBER,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({' '.join(t)})"),
        st.tuples(st.sampled_from(["abs", "floor", "ceil"]), inner).map(
            lambda t: f"{t[0]}({t[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda t: f"{t[0]}([{t[1]}, {t[2]}])"
        ),
        st.tuples(st.sampled_from(["a > 5", "f", "s == 'x'"]), inner, inner).map(
            lambda t: f"({t[0]} ? {t[1]} : {t[2]})"
        ),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=4,
)
_FLAG = st.recursive(
    st.one_of(
        st.tuples(
            _ARITHMETIC, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), _ARITHMETIC
        ).map(" ".join),
        st.tuples(_TEXT, st.sampled_from(["==", "!="]), _TEXT).map(" ".join),
        st.tuples(_NUMBER, st.sampled_from(["in [1..9)", "not in (0..5]", "in [3, 5, 7]"])).map(
            " ".join
        ),
        st.sampled_from(["f", "f == true", "s in ['x', 'z']", "s not in ['x']", "g == null"]),
    ),
    _conditions,
    max_leaves=4,
)
_CELL = st.sampled_from(
    ["", "> 5", "[0..9)", "3, 7", "!= 5", "null", "> b", "> 1 and < 8", "< 2, > 7", "not in [1, 2]"]
)
_EVENT = st.fixed_dictionaries(
    {
        "a": st.one_of(st.none(), st.integers(-3, 12)),
        "b": st.integers(-3, 12),
        "r": st.one_of(st.none(), st.sampled_from([0.1, 0.2, 0.3, 2.25, -1.5, 7.0])),
        "n": st.none(),
        "s": st.sampled_from([None, "x", "y", "z"]),
        "f": st.sampled_from([None, True, False]),
        "g": st.sampled_from([None, True]),
    }
)


@settings(
    max_examples=120,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(
    numbers=st.lists(_ARITHMETIC, min_size=1, max_size=2),
    flags=st.lists(_FLAG, min_size=1, max_size=2),
    rows=st.lists(st.tuples(_CELL, _CELL, _ARITHMETIC), max_size=4),
    through=st.booleans(),
    events=st.lists(_EVENT, min_size=1, max_size=12),
)
def test_columns_say_what_rows_say(
    numbers: list[str],
    flags: list[str],
    rows: list[tuple[str, str, str]],
    through: bool,
    events: list[dict[str, Any]],
) -> None:
    pairs = [(f"x{n}", text) for n, text in enumerate(numbers)]
    pairs += [(f"y{n}", text) for n, text in enumerate(flags)]
    policy = columnar(
        entries("e", *pairs, passThrough=True),
        table("t", ["a", "x0"], ["x1"], rows, passThrough=through),
    )
    try:
        check(policy, events)
    except ColumnsAreNotCovered:
        assume(False)
