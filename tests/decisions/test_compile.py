from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from steelyard.decisions.model.compile import (
    Answer,
    Compiled,
    Failure,
    Hit,
    Kinds,
    NodeKindIsUnknown,
    Note,
    Prepared,
    compile_document,
)
from steelyard.decisions.model.document import CustomNode, DocumentIsMalformed, parse_document
from steelyard.decisions.model.expression import NotEvaluable
from tests.decisions.jdm import document, entries, switch, table


def compiled(*nodes: dict[str, Any], kinds: Kinds | None = None, **graph: Any) -> Compiled:
    return compile_document(parse_document(document(*nodes, **graph)), kinds)


RULES = table(
    "rules",
    ["amount", "country"],
    ["score", "code"],
    [["> 1000", "", "10", "'R1'"], ["", "'CN', 'US'", "5", "'R2'"], ["< 10", "'US'", "1", "'R3'"]],
    "collect",
    outputPath="hits",
)


def test_rows_that_hold_are_named() -> None:
    found = compiled(RULES).run({"amount": 2000, "country": "US"})
    assert found.hits == (Hit("rules", "rules-0"), Hit("rules", "rules-1"))
    assert found.result == {"hits": [{"score": 10, "code": "R1"}, {"score": 5, "code": "R2"}]}


def test_the_trace_tells_what_was_read_and_what_failed_first() -> None:
    traced = compiled(RULES).trace({"amount": 5})
    assert traced.failures == (
        Failure("rules", "rules-0", "i0"),
        Failure("rules", "rules-1", "i1"),
        Failure("rules", "rules-2", "i1"),
    )
    assert traced.nodes[0].read == {"amount": 5, "country": None}
    assert traced.missing == ("country",)


def test_a_missing_value_holds_no_condition_but_that_it_is_missing() -> None:
    rows = [["> -1", "1"], ["< 1", "2"], ["0", "3"], ["not ($ > 5)", "4"], ["null", "5"]]
    asked = compiled(table("t", ["amount"], ["x"], rows, "collect", outputPath="h"))
    for values in ({}, {"amount": None}):
        assert [hit.row for hit in asked.run(values).hits] == ["t-4"]
    # Another type is as little a number.
    assert asked.run({"amount": "7"}).hits == ()
    assert asked.run({"amount": True}).hits == ()
    assert asked.run({"amount": float("nan")}).hits == ()


def test_what_cannot_be_evaluated_is_missing_and_noted() -> None:
    found = compiled(entries("e", ("x", "amount * 2"), ("y", "$.x ?? -1"))).run({})
    assert found.result == {"y": -1}
    assert found.notes == (Note("e", "e-0", "* of null and number"),)


def test_a_row_whose_result_fails_is_no_hit_and_is_noted() -> None:
    asked = compiled(table("t", ["a"], ["x"], [["> 1", "gone + 1"], ["", "9"]]))
    found = asked.run({"a": 5})
    assert found.result == {"x": 9}
    assert found.hits == (Hit("t", "t-1"),)
    assert found.notes == (Note("t", "t-0", "+ of null and number"),)
    assert asked.trace({"a": 5})[:3] == found


def test_a_switch_takes_the_first_way_or_all() -> None:
    edges = [("in", "s"), ("s", "e", "s-0"), ("s", "f", "s-1"), ("e", "out"), ("f", "out")]
    for policy, expected in (("first", {"x": 1}), ("collect", {"x": 1, "y": 2})):
        asked = compiled(
            switch("s", "a > 5", "", policy=policy),
            entries("e", ("x", "1")),
            entries("f", ("y", "2")),
            edges=edges,
        )
        assert asked.run({"a": 6}).result == expected
        assert asked.run({}).result == {"y": 2}
        assert asked.run({"a": 6}).hits[0] == Hit("s", "s-0")
        assert [node.node for node in asked.trace({}).nodes] == ["s", "f"]


def test_an_output_behind_a_closed_switch_gives_nothing() -> None:
    edges = [("in", "s"), ("s", "t", "s-0"), ("t", "out")]
    node = table("t", ["a"], ["x"], [["", "1"]])
    asked = compiled(switch("s", "a > 5"), node, edges=edges)
    assert asked.run({"a": 6}).result == {"x": 1}
    assert asked.run({"a": 1}) == ({}, (), ())
    assert asked.trace({"a": 1}).result == {}


LONG = [
    [f"'{chr(65 + n % 5)}'", f"[{n // 5 * 10}..{n // 5 * 10 + 10})", f"{n}"] for n in range(500)
]


def test_a_long_table_is_looked_up_and_can_say_why_not() -> None:
    asked = compiled(table("t", ["k", "x"], ["row"], LONG))
    assert "_bisect(" in asked.sources[0]
    assert asked.run({"k": "B", "x": 995}).result == {"row": 496}
    assert asked.run({"k": "B", "x": 10**9}).result == {}
    assert asked.trace({"k": "B", "x": 995}).failures == ()
    assert asked.why_not({"k": "C", "x": 995}, "t", "t-496") == Failure("t", "t-496", "i0")
    assert asked.why_not({"k": "B", "x": 5}, "t", "t-496") == Failure("t", "t-496", "i1")
    assert asked.why_not({"k": "B", "x": 995}, "t", "t-496") is None


@pytest.mark.parametrize("value", [None, True, "9", [1], {}, float("nan")])
def test_a_long_table_meets_what_is_no_number(value: object) -> None:
    asked = compiled(table("t", ["k", "x"], ["row"], [*LONG, ["", "", "-1"]]))
    assert asked.run({"k": "A", "x": value}).result == {"row": -1}
    assert asked.run({"k": value, "x": 5}).result == {"row": -1}


def test_an_answer_is_the_callers_own() -> None:
    asked = compiled(table("t", ["a"], ["x"], [["", "[1, 2]"]], "collect", outputPath="h"))
    asked.run({}).result["h"][0]["x"].append(3)
    assert asked.run({}).result == {"h": [{"x": [1, 2]}]}


def test_values_that_come_in_are_not_changed() -> None:
    given = {"o": {"k": 1}, "a": [1]}
    compiled(entries("e", ("o.p", "2"), ("a", "null"), passThrough=True)).run(given)
    assert given == {"o": {"k": 1}, "a": [1]}


def test_what_a_document_reads_is_known() -> None:
    asked = compiled(
        RULES, entries("e", ("total", "sum(map(hits, #.score)) + base"), passThrough=True)
    )
    assert asked.reads == {"amount", "country", "hits", "base"}


def test_text_of_a_document_never_becomes_source() -> None:
    nasty = "x');__import__('os').system('true');('"
    node = table(nasty, [f"$root['{nasty.replace(chr(39), '')}']"], ["x"], [["'a'", '"\\n"']])
    node["name"] = nasty
    asked = compiled(node)
    assert "__import__" not in "".join(asked.sources)
    assert asked.run({}).result == {}


def test_a_cell_that_is_no_expression_is_told_with_its_place() -> None:
    with pytest.raises(DocumentIsMalformed) as caught:
        compiled(table("t", ["a"], ["x"], [["> > 5", "1"]]))
    assert caught.value.facts["node"] == "t"
    assert caught.value.facts["at"] == "row t-0, column i0"


class _Doubling:
    """A kind of node for the tests: twice a value."""

    reads = ("a",)
    writes: Mapping[str, str] = {"twice": "number"}

    def prepare(self, node: CustomNode) -> Prepared:
        assert node.settings == {"by": 2}
        return self

    def answer(self, values: Mapping[str, Any]) -> Answer:
        if values.get("a") is None:
            raise NotEvaluable("a is missing")
        return Answer({"twice": values["a"] * 2}, ("doubled",), {"by": 2})


def test_a_kind_of_its_own_answers_and_explains() -> None:
    node = {"id": "d", "type": "customNode", "content": {"kind": "double", "config": {"by": 2}}}
    asked = compiled(node, kinds={"double": _Doubling()})
    assert asked.run({"a": 4}) == ({"twice": 8}, (Hit("d", "doubled"),), ())
    traced = asked.trace({"a": 4})
    assert traced.nodes[0].detail == {"by": 2}
    assert traced.nodes[0].read == {"a": 4}
    assert asked.run({}).notes == (Note("d", "d", "a is missing"),)
    with pytest.raises(NodeKindIsUnknown):
        compiled(node)
