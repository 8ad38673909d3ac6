"""Documents for tests: written by hand in few words, and random ones by the grammar."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import zen
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.decisions.zen_grammar import FAILED, atoms, cells, expressions, literal, numbers


def table(
    id: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    rows: Sequence[Sequence[str]],
    policy: str = "first",
    **shaping: Any,
) -> dict[str, Any]:
    """Return a table node; an empty field is a column of whole expressions."""
    ins = [{"id": f"i{n}", "name": f"i{n}", "field": field} for n, field in enumerate(inputs)]
    outs = [{"id": f"o{n}", "name": f"o{n}", "field": field} for n, field in enumerate(outputs)]
    ids = [column["id"] for column in (*ins, *outs)]
    rules = [{"_id": f"{id}-{n}", **dict(zip(ids, row, strict=True))} for n, row in enumerate(rows)]
    content = {"hitPolicy": policy, "inputs": ins, "outputs": outs, "rules": rules, **shaping}
    return {"id": id, "name": id, "type": "decisionTableNode", "content": content}


def entries(id: str, *pairs: tuple[str, str], **shaping: Any) -> dict[str, Any]:
    """Return an expression node."""
    listed = [{"id": f"{id}-{n}", "key": key, "value": v} for n, (key, v) in enumerate(pairs)]
    content = {"expressions": listed, **shaping}
    return {"id": id, "name": id, "type": "expressionNode", "content": content}


def switch(id: str, *conditions: str, policy: str = "first") -> dict[str, Any]:
    """Return a switch; its ways are `<id>-0`, `<id>-1`, ..."""
    listed = [{"id": f"{id}-{n}", "condition": text} for n, text in enumerate(conditions)]
    content = {"hitPolicy": policy, "statements": listed}
    return {"id": id, "name": id, "type": "switchNode", "content": content}


def document(
    *nodes: dict[str, Any], edges: Sequence[Sequence[str]] | None = None, output: bool = True
) -> dict[str, Any]:
    """Return a document; without edges the nodes are a chain from `in` to `out`."""
    listed = [{"id": "in", "name": "in", "type": "inputNode"}, *nodes]
    if output:
        listed.append({"id": "out", "name": "out", "type": "outputNode"})
    if edges is None:
        ids = [node["id"] for node in listed]
        edges = list(pairwise(ids))
    drawn = [
        {
            "id": f"e{n}",
            "type": "edge",
            "sourceId": edge[0],
            "targetId": edge[1],
            **({"sourceHandle": edge[2]} if len(edge) > 2 else {}),
        }
        for n, edge in enumerate(edges)
    ]
    return {"nodes": listed, "edges": drawn}


def engine(content: dict[str, Any]) -> Any:
    """Return the reference engine with a document loaded as `k`."""
    return zen.ZenEngine({"loader": {"type": "static", "content": {"k": content}}})


def reference(content: dict[str, Any], values: dict[str, Any]) -> Any:
    """Return what the reference engine answers, `FAILED` where it does not."""
    try:
        return engine(content).evaluate("k", values)["result"]
    except RuntimeError:
        return FAILED


FIELDS = ["a", "b", "f", "s", "t", "o.k", "n"]
paths = st.sampled_from(["x", "y", "z.p", "z.q", "a", "tag"])
conditions = st.one_of(
    st.just(""),
    st.sampled_from(["> 5", "<= 100", "[0..50)", "'US', 'CN'", "true", "null", "!= 5", "in [1, 5]",
                     "> 0 and < 100", "< -10, > 10", "> b", "not in ['US', 'a']", "12"]),
    numbers.map(lambda value: f">= {literal(value)}"),
    cells,
)  # fmt: skip
results = st.one_of(st.just(""), numbers.map(literal), atoms, expressions)
values = st.fixed_dictionaries(
    {},
    optional={
        "a": st.one_of(numbers, st.none()),
        "b": st.one_of(numbers, st.sampled_from(["US", "a"])),
        "f": st.one_of(st.booleans(), st.none()),
        "s": st.sampled_from(["US", "CN", "a", "", None, "12"]),
        "t": st.sampled_from(["US", "ab"]),
        "l": st.lists(numbers, max_size=3),
        "o": st.dictionaries(st.sampled_from(["k", "q"]), numbers, max_size=2),
    },
)


@st.composite
def tables(draw: DrawFn, id: str) -> dict[str, Any]:
    """Draw a table."""
    inputs = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True))
    outputs = draw(st.lists(paths, min_size=1, max_size=3, unique=True))
    if draw(st.booleans()):
        outputs[0] = f"{outputs[0]}[]"
    row = st.tuples(*(conditions for _ in inputs), *(results for _ in outputs))
    rows = draw(st.lists(row, max_size=6))
    policy = draw(st.sampled_from(["first", "collect"]))
    shaping: dict[str, Any] = {"passThrough": draw(st.booleans())}
    if policy == "collect" or draw(st.booleans()):
        shaping["outputPath"] = draw(st.sampled_from(["hits", "z.hits", "o"]))
    return table(id, inputs, outputs, rows, policy, **shaping)


@st.composite
def named_expressions(draw: DrawFn, id: str) -> dict[str, Any]:
    """Draw an expression node."""
    source = st.one_of(expressions, st.sampled_from(["$.x", "$.z.p", "a ?? 1", "b"]))
    keys = draw(st.lists(st.sampled_from(["x", "y", "z.p", "a"]), min_size=1, max_size=3))
    pairs = [(key, draw(source)) for key in keys]
    return entries(id, *pairs, passThrough=draw(st.booleans()))


def workers(id: str) -> SearchStrategy[dict[str, Any]]:
    """Return nodes that make values."""
    return st.one_of(tables(id), named_expressions(id))


@st.composite
def documents(draw: DrawFn) -> dict[str, Any]:
    """Draw a document: a chain, a fork that meets again, or a switch with its ways."""
    shape = draw(st.sampled_from(["one", "chain", "fork", "switch", "open"]))
    first, second = draw(workers("p")), draw(workers("q"))
    if shape == "one":
        return document(first)
    if shape == "chain":
        return document(first, second)
    last = draw(workers("r"))
    if shape == "fork":
        edges = [("in", "p"), ("in", "q"), ("p", "r"), ("q", "r"), ("r", "out")]
        return document(first, second, last, edges=draw(st.permutations(edges)))
    found = draw(st.lists(conditions.filter(bool), min_size=1, max_size=2))
    ways = [f"a {text}" if text[0] in "<>!" else text for text in found]
    policy = draw(st.sampled_from(["first", "collect"]))
    node = switch("w", *ways, "", policy=policy)
    edges = [("in", "w"), ("w", "p", "w-0"), ("w", "q", f"w-{len(ways)}")]
    if shape == "open":
        return document(node, first, second, edges=edges, output=False)
    edges += [("p", "r"), ("q", "r"), ("r", "out")]
    return document(node, first, second, last, edges=edges)
