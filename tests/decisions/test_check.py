from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.decisions.model.check import check_document
from steelyard.decisions.model.compile import compile_document
from steelyard.decisions.model.document import parse_document
from steelyard.decisions.model.findings import Finding, Severity
from tests.decisions.jdm import document, entries, switch, table

SCHEMA = {"amount": "integer", "rate": "number", "country": "text", "fresh": "flag"}


def found(*nodes: dict[str, Any], **graph: Any) -> list[Finding]:
    return list(check_document(parse_document(document(*nodes, **graph)), SCHEMA))


def codes(*nodes: dict[str, Any], **graph: Any) -> list[tuple[str, str]]:
    return [(one.code, one.at) for one in found(*nodes, **graph)]


def test_a_clean_document_has_no_finding() -> None:
    assert not found(
        table(
            "t",
            ["amount", "country", "fresh"],
            ["score"],
            [["> 5", "'CN', 'US'", "true", "10"], ["", "", "", "0"]],
            outputPath="risk",
            passThrough=True,
        ),
        entries("e", ("total", "risk.score + amount"), ("high", "$.total > 5 ? 'yes' : 'no'")),
    )


def test_an_unknown_field_is_told_with_its_place() -> None:
    assert codes(table("t", ["amuont"], ["x"], [["> 1", "rate"], ["", "gone"]])) == [
        ("unknown_field", "column i0"),
        ("unknown_field", "row t-1, column o0"),
    ]
    node = entries("e", ("x", "some([1], # > limit) and $root.y == 1"))
    assert codes(node) == [("unknown_field", "entry e-0")]
    # What a node does not pass on is not there behind it.
    first, second = entries("e", ("x", "amount")), entries("f", ("y", "x + amount"))
    assert codes(first, second) == [("unknown_field", "entry f-0")]
    through = entries("e", ("x", "amount"), passThrough=True)
    assert codes(through, second) == []


def test_types_that_do_not_fit_are_told() -> None:
    wrong = ["country + 1", "amount > 'a'", "not amount",
             "country > 'a'", "amount == 'x'", "amount in ['a']", "country in [1..2]",
             "upper(amount)", "sum(amount)", "amount ? 1 : 2", "-country", "map(amount, #)",
             "filter([1], # + 1)"]  # fmt: skip
    for source in wrong:
        listed = found(entries("e", ("x", source)))
        assert [one.code for one in listed] == ["type_error"], source
    edges = [("in", "s"), ("s", "out", "s-0"), ("s", "out", "s-1")]
    assert codes(switch("s", "amount", ""), edges=edges) == [("type_error", "statement s-0")]
    cells = [["'a'", "1"], ["> 5", "1"], ["", "0"]]
    assert ("type_error", "row t-0, column i0") in codes(table("t", ["amount"], ["x"], cells))


def test_a_row_that_is_never_reached_names_what_hides_it() -> None:
    rows = [["> 5", "", "1"], ["> 7", "'CN'", "2"], ["", "", "3"], ["< 2", "", "4"]]
    listed = found(table("t", ["amount", "country"], ["x"], rows))
    assert [(one.code, one.rows) for one in listed] == [
        ("unreachable_row", ("t-0", "t-1")),
        ("unreachable_row", ("t-2", "t-3")),
    ]
    assert "第 t-1 行" in listed[0].zh
    # Hidden by two rows together.
    rows = [["<= 5", "1"], ["> 5", "2"], ["[3..8]", "3"], ["", "4"]]
    assert codes(table("t", ["amount"], ["x"], rows)) == [("unreachable_row", "row t-2")]
    # All rows of a collecting table are asked.
    assert codes(table("t", ["amount"], ["x"], rows, "collect", outputPath="h")) == []


def test_a_row_that_nothing_fits_is_told() -> None:
    listed = found(table("t", ["amount"], ["x"], [["> 5 and < 3", "1"], ["", "2"]]))
    assert [one.code for one in listed] == ["impossible_row"]


def test_rows_that_overlap_with_different_results_are_noted() -> None:
    rows = [["[0..10]", "1"], ["[5..20]", "2"], ["", "3"]]
    listed = found(table("t", ["amount"], ["x"], rows))
    assert [(one.code, one.rows, one.severity) for one in listed] == [
        ("overlapping_rows", ("t-0", "t-1"), Severity.NOTE)
    ]
    rows = [["[0..10]", "1"], ["[5..20]", "1"], ["", "3"]]
    assert not found(table("t", ["amount"], ["x"], rows))


def test_gaps_and_missing_defaults_are_told() -> None:
    listed = found(table("t", ["amount"], ["x"], [["< 5", "1"], ["> 5", "2"]]))
    assert [one.code for one in listed] == ["missing_default", "gap"]
    assert listed[1].en == "No row holds for amount = 5."
    # Between 5 and 6 lies no whole number; what is left is the missing value.
    listed = found(table("t", ["amount"], ["x"], [["<= 5", "1"], [">= 6", "2"]]))
    assert [(one.code, one.severity) for one in listed] == [
        ("missing_default", Severity.WARNING),
        ("gap", Severity.NOTE),
    ]
    assert "amount = missing" in listed[1].en
    listed = found(table("t", ["rate"], ["x"], [["<= 5", "1"], [">= 6", "2"]]))
    assert "rate = 5.5" in listed[1].en
    edges = [("in", "s"), ("s", "e", "s-0"), ("e", "out")]
    listed = found(switch("s", "fresh"), entries("e", ("x", "1")), edges=edges)
    assert [one.code for one in listed] == ["missing_default"]


def test_a_node_that_nothing_reads_is_told() -> None:
    edges = [("in", "e"), ("in", "f"), ("e", "out")]
    nodes = (entries("e", ("x", "1")), entries("f", ("y", "1")))
    assert codes(*nodes, edges=edges) == [("unread_node", "")]


@pytest.mark.parametrize("cell", ["> rate", "startsWith($, 'x')", "len($) > 1"])
def test_a_cell_that_is_not_understood_makes_no_false_finding(cell: str) -> None:
    field = "amount" if "rate" in cell else "country"
    listed = codes(table("t", [field], ["x"], [[cell, "1"], [cell, "2"], ["", "3"]]))
    assert listed == []


_CELL = st.sampled_from(
    ["", "> 3", "<= 3", "[1..5)", "(2..4]", "7", "3, 7", "!= 7", "null", "< 0", "> 1 and < 6"]
)
_TEXT = st.sampled_from(["", "'a'", "'a', 'b'", "!= 'a'", "null", "in ['c']"])
_ROWS = st.lists(st.tuples(_CELL, _TEXT, st.integers(0, 9).map(str)), min_size=1, max_size=6)
_VALUES = [
    {"amount": amount, "country": country}
    for amount in (None, *range(-2, 10))
    for country in (None, "a", "b", "c", "d")
]


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(rows=_ROWS)
def test_findings_about_rows_are_true(rows: list[tuple[str, ...]]) -> None:
    """What is said of a table of few values is what asking it for all of them shows."""
    content = parse_document(document(table("t", ["amount", "country"], ["x"], rows)))
    listed = check_document(content, SCHEMA)
    run = compile_document(content).run
    hits = [run(values).hits for values in _VALUES]
    reached = {hit.row for one in hits for hit in one}
    told = {one.rows[-1] for one in listed if one.code in ("unreachable_row", "impossible_row")}
    assert told == {f"t-{n}" for n in range(len(rows))} - reached
    assert any(one.code == "gap" for one in listed) == any(not one for one in hits)
