from __future__ import annotations

import json
from typing import Any

import pytest

from steelyard.decisions.model.document import (
    CustomNode,
    DocumentIsMalformed,
    FunctionNodeIsRefused,
    TableNode,
    parse_document,
)
from tests.decisions.jdm import document, entries, switch, table


def refused(content: Any) -> dict[str, object]:
    with pytest.raises(DocumentIsMalformed) as caught:
        parse_document(content)
    return caught.value.facts


def test_a_table_is_read_with_its_rows() -> None:
    parsed = parse_document(document(table("t", ["a"], ["x", "tags[]"], [["> 5", "1", "'A'"]])))
    node = parsed.node("t")
    assert isinstance(node, TableNode)
    assert node.rows[0].id == "t-0"
    assert node.rows[0].conditions == ("> 5",)
    assert node.outputs[1].collected
    assert node.outputs[1].path == ("tags",)


def test_the_hash_is_of_what_is_said_and_not_of_how_it_is_drawn() -> None:
    one = document(entries("e", ("x", "1")))
    drawn = json.loads(json.dumps(one))
    drawn["nodes"][0]["position"] = {"x": 10, "y": 20}
    other = document(entries("e", ("x", "2")))
    assert parse_document(one).hash == parse_document(json.dumps(drawn)).hash
    assert parse_document(one).hash != parse_document(other).hash


def test_a_javascript_node_is_refused_by_its_own_word() -> None:
    node = {"id": "f", "name": "f", "type": "functionNode", "content": {"source": "x"}}
    with pytest.raises(FunctionNodeIsRefused) as caught:
        parse_document(document(node))
    assert caught.value.code == "function_node_is_refused"
    assert "f" in caught.value.sentence("zh")


def test_nodes_of_own_kinds_keep_their_settings() -> None:
    node = {"id": "s", "type": "customNode", "content": {"kind": "scorecard", "config": {"b": 1}}}
    parsed = parse_document(document(node)).node("s")
    assert isinstance(parsed, CustomNode)
    assert parsed.settings == {"b": 1}
    sub = {"id": "s", "type": "decisionNode", "content": {"key": "other"}}
    parsed = parse_document(document(sub)).node("s")
    assert isinstance(parsed, CustomNode)
    assert (parsed.kind, parsed.settings) == ("decision", {"key": "other"})


def test_what_is_malformed_is_told_with_its_place() -> None:
    assert "no JSON" in str(refused("{")["why"])
    assert "no JSON" in str(refused('{"nodes": [], "edges": [], "x": NaN}')["why"])
    assert refused({"nodes": []})["at"] == "nodes"
    assert refused([1])["at"] == "text"
    assert refused(document(entries("e", ("x", "1")), entries("e")))["node"] == "e"
    assert refused(document(table("t", ["a"], ["x", "x"], [])))["at"] == "columns"
    assert refused(document(table("t", ["a"], ["x", "x.y"], [])))["at"] == "columns"
    assert refused(document(table("t", ["a"], ["x"], [], "rule order")))["at"] == "hitPolicy"
    assert refused(document(table("t", ["a"], ["a..b"], [])))["at"] == "column o0"
    assert refused(document(entries("e", ("x.", "1"))))["at"] == "entry e-0"
    assert refused(document({"id": "q", "type": "fooNode", "content": {}}))["node"] == "q"


def test_a_cell_is_a_text() -> None:
    content = document(table("t", ["a"], ["x"], [["1", "2"]]))
    content["nodes"][1]["content"]["rules"][0]["i0"] = 5
    assert refused(content)["at"] == "row t-0, column i0"


def test_the_graph_leads_from_one_input() -> None:
    e = entries("e", ("x", "1"))
    assert refused(document(e, edges=[("in", "e"), ("e", "e"), ("e", "out")]))["node"] == "e"
    assert refused(document(e, edges=[("in", "out")]))["node"] == "e"
    assert refused(document(e, edges=[("in", "e"), ("e", "gone")]))["node"] == "gone"
    assert refused(document(e, edges=[("in", "e"), ("e", "out"), ("out", "e")]))["node"] == "out"
    two = {"nodes": [{"id": str(n), "type": "inputNode"} for n in range(2)], "edges": []}
    assert refused(two)["at"] == "nodes"


def test_an_edge_leaves_a_switch_by_a_statement() -> None:
    nodes = (switch("s", "a > 5"), entries("e", ("x", "1")))
    edges = [("in", "s"), ("s", "e"), ("e", "out")]
    assert refused(document(*nodes, edges=edges))["node"] == "s"
    edges[1] = ("s", "e", "s-0")  # type: ignore[call-overload]
    assert parse_document(document(*nodes, edges=edges)).edges[1].statement == "s-0"
