"""A policy as a document: the open JDM format of GoRules, parsed to frozen values.

A document is a graph: one input node, nodes that make values of values, at most one output node.
The values that come to a node are those of the nodes before it, laid over each other; where two
give the same name, the edge that is listed first wins. What is parsed is what is compiled: a
field of the format that is not understood is refused, unless it only says where the editor draws.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.kernel import Refusal, RefusalKind

MAX_NODES = 500
MAX_ROWS = 50_000
MAX_BYTES = 16_000_000


class DocumentIsMalformed(Refusal):
    """The document is no graph of nodes; says at which node and row."""

    kind = RefusalKind.INVALID
    en = "The document is malformed at node {node}, {at}: {why}."
    zh = "策略文档在节点 {node} 的 {at} 处有误：{why}。"


class FunctionNodeIsRefused(Refusal):
    """A node runs JavaScript; what a policy does has to be readable, replayable and bounded."""

    kind = RefusalKind.INVALID
    en = (
        "Node {node} is a JavaScript function, which is refused: a policy is made of tables, "
        "expressions and the registered kinds of nodes."
    )
    zh = (
        "节点 {node} 是 JavaScript 函数，不予接受：策略只能由决策表、表达式和已注册的节点类型组成。"
    )


@dataclass(frozen=True, slots=True)
class Shaping:
    """How a node takes its values and gives its answer.

    Attributes
    ----------
    input_field : expression of what it looks at, instead of all its values
    output_path : where its answer is put, as names with points between; None is the top
    loop : whether it answers for each element of an array
    pass_through : whether what it got is passed on below its answer
    """

    input_field: str | None = None
    output_path: str | None = None
    loop: bool = False
    pass_through: bool = False


@dataclass(frozen=True, slots=True)
class Input:
    """A column of conditions; without a field each cell is a whole expression."""

    id: str
    name: str
    field: str | None


@dataclass(frozen=True, slots=True)
class Output:
    """A column of results.

    Attributes
    ----------
    path : names under which the result is put
    collected : whether the results of all hit rows are gathered in an array (`tags[]`)
    """

    id: str
    name: str
    path: tuple[str, ...]
    collected: bool


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table; an empty cell is no condition, or no result."""

    id: str
    conditions: tuple[str, ...]
    results: tuple[str, ...]
    note: str


@dataclass(frozen=True, slots=True)
class InputNode:
    """Where the values come in."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class OutputNode:
    """What comes to it is the answer."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class TableNode:
    """A decision table; `collect` gives every hit row, otherwise the first."""

    id: str
    name: str
    collect: bool
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    rows: tuple[Row, ...]
    shaping: Shaping


@dataclass(frozen=True, slots=True)
class Entry:
    """A named expression; the name is a path."""

    id: str
    path: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class ExpressionNode:
    """Named expressions, one after the other; `$` holds those before."""

    id: str
    name: str
    entries: tuple[Entry, ...]
    shaping: Shaping


@dataclass(frozen=True, slots=True)
class Statement:
    """A way out of a switch; an empty condition always holds."""

    id: str
    condition: str


@dataclass(frozen=True, slots=True)
class SwitchNode:
    """Ways out: the first whose condition holds, or with `collect` all of them."""

    id: str
    name: str
    collect: bool
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class CustomNode:
    """A node of a registered kind; a sub-decision of the format is of kind `decision`.

    Attributes
    ----------
    config : its own settings, as canonical JSON text: read it with `settings`
    """

    id: str
    name: str
    kind: str
    config: str
    shaping: Shaping

    @property
    def settings(self) -> dict[str, Any]:
        """The settings; a new dict each time."""
        made: dict[str, Any] = json.loads(self.config)
        return made


Node = InputNode | OutputNode | TableNode | ExpressionNode | SwitchNode | CustomNode


@dataclass(frozen=True, slots=True)
class Edge:
    """Values go from a node to another; out of a switch, through one of its statements."""

    source: str
    target: str
    statement: str | None


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed policy document.

    Attributes
    ----------
    nodes : in an order in which each comes after those before it in the graph
    edges : as listed, those that lead nowhere left out
    content : canonical JSON of what the document says; positions in the editor are not in it
    hash : SHA-256 of `content`, in hex
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    content: str
    hash: str

    def node(self, id: str) -> Node:
        """Return a node by its id."""
        return next(node for node in self.nodes if node.id == id)


def canonical(value: Any) -> str:
    """Return JSON with sorted keys and nothing between, the same text for the same value."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def parse_document(source: str | bytes | Mapping[str, Any]) -> Document:
    """Return a document, parsed.

    Parameters
    ----------
    source : JSON, or what it decodes to: `nodes` and `edges`

    Refusals
    --------
    document_is_malformed
        It is no JSON, no graph with one input, has a circle, or a node that is not understood.
    function_node_is_refused
        A node runs JavaScript.

    Examples
    --------
    >>> nodes = [{"id": "i", "type": "inputNode"}, {"id": "o", "type": "outputNode"}]
    >>> parse_document({"nodes": nodes, "edges": [{"sourceId": "i", "targetId": "o"}]}).nodes[1].id
    'o'
    """
    raw = _decoded(source)
    nodes = [_node(one) for one in _list(raw, "nodes", "-")]
    if len(nodes) > MAX_NODES:
        raise malformed("-", "nodes", f"more than {MAX_NODES} nodes")
    by_id: dict[str, Node] = {}
    for node in nodes:
        if node.id in by_id:
            raise malformed(node.id, "id", "two nodes have this id")
        by_id[node.id] = node
    _counted(nodes)
    edges = tuple(_edge(one, by_id) for one in _list(raw, "edges", "-"))
    ordered = _ordered(by_id, edges)
    content = canonical(
        {
            "nodes": [_said(one) for one in raw["nodes"]],
            "edges": [[edge.source, edge.target, edge.statement] for edge in edges],
        }
    )
    return Document(ordered, edges, content, hashlib.sha256(content.encode()).hexdigest())


def malformed(node: str, at: str, why: str) -> DocumentIsMalformed:
    """Return the refusal of a document, with the node and the place in it."""
    return DocumentIsMalformed(node=node, at=at, why=why)


def _decoded(source: str | bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(source, str | bytes):
        if len(source) > MAX_BYTES:
            raise malformed("-", "text", f"larger than {MAX_BYTES} bytes")
        try:
            source = json.loads(source, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise malformed("-", "text", f"it is no JSON ({error})") from None
    if not isinstance(source, Mapping):
        raise malformed("-", "text", "it is no object")
    return source


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_DRAWN = frozenset({"position", "measured", "width", "height", "selected", "dragging"})


def _said(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without what only the editor needs."""
    return {key: value for key, value in node.items() if key not in _DRAWN}


def _list(of: Mapping[str, Any], key: str, node: str) -> list[Mapping[str, Any]]:
    value = of.get(key)
    if not isinstance(value, list) or not all(isinstance(one, Mapping) for one in value):
        raise malformed(node, key, "a list of objects is expected")
    return value


def _text(of: Mapping[str, Any], key: str, node: str, default: str | None = None) -> str:
    value = of.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, str) or (not value.strip() and default is None):
        raise malformed(node, key, "a text is expected")
    return value


def _counted(nodes: Iterable[Node]) -> None:
    nodes = list(nodes)
    inputs = [node for node in nodes if isinstance(node, InputNode)]
    if len(inputs) != 1:
        raise malformed("-", "nodes", f"one input node is expected, not {len(inputs)}")
    outputs = [node for node in nodes if isinstance(node, OutputNode)]
    if len(outputs) > 1:
        raise malformed(outputs[1].id, "type", "a second output node")


def _edge(raw: Mapping[str, Any], nodes: Mapping[str, Node]) -> Edge:
    source, target = _text(raw, "sourceId", "-"), _text(raw, "targetId", "-")
    for end in (source, target):
        if end not in nodes:
            raise malformed(end, "edges", "an edge names a node that is not there")
    statement = _text(raw, "sourceHandle", source, "") or None
    node = nodes[source]
    if isinstance(node, SwitchNode):
        if statement is None or statement not in {one.id for one in node.statements}:
            raise malformed(source, "edges", "an edge leaves the switch by no statement of it")
    elif isinstance(node, OutputNode):
        raise malformed(source, "edges", "an edge leaves the output node")
    if isinstance(nodes[target], InputNode):
        raise malformed(target, "edges", "an edge enters the input node")
    return Edge(source, target, statement if isinstance(node, SwitchNode) else None)


def _ordered(nodes: Mapping[str, Node], edges: Iterable[Edge]) -> tuple[Node, ...]:
    """Return the nodes, each after those before it; every one has to come from the input."""
    waiting = {id: sum(edge.target == id for edge in edges) for id in nodes}
    for id, count in waiting.items():
        if not count and not isinstance(nodes[id], InputNode):
            raise malformed(id, "edges", "no edge leads to the node")
    after: dict[str, list[str]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge.target)
    ready = [id for id, count in waiting.items() if not count]
    ordered: list[Node] = []
    while ready:
        id = ready.pop(0)
        ordered.append(nodes[id])
        for target in after.get(id, ()):
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    left = [id for id, count in waiting.items() if count]
    if left:
        raise malformed(left[0], "edges", "the edges lead in a circle")
    return tuple(ordered)


def _node(raw: Mapping[str, Any]) -> Node:
    id = _text(raw, "id", "?")
    name, type = _text(raw, "name", id, id), _text(raw, "type", id)
    if type == "inputNode":
        return InputNode(id, name)
    if type == "outputNode":
        return OutputNode(id, name)
    if type == "functionNode":
        raise FunctionNodeIsRefused(node=id)
    content = raw.get("content")
    if not isinstance(content, Mapping):
        raise malformed(id, "content", "an object is expected")
    if type == "decisionTableNode":
        return _table(id, name, content)
    if type == "expressionNode":
        return _expressions(id, name, content)
    if type == "switchNode":
        return _switch(id, name, content)
    if type == "customNode":
        config = content.get("config", {})
        if not isinstance(config, Mapping):
            raise malformed(id, "config", "an object is expected")
        kind = _text(content, "kind", id)
        return CustomNode(id, name, kind, canonical(config), _shaping(id, config))
    if type == "decisionNode":
        config = {"key": _text(content, "key", id)}
        return CustomNode(id, name, "decision", canonical(config), _shaping(id, content))
    raise malformed(id, "type", f"there is no type {type}")


def _hit_policy(id: str, content: Mapping[str, Any]) -> bool:
    policy = _text(content, "hitPolicy", id, "first")
    if policy not in ("first", "collect"):
        raise malformed(id, "hitPolicy", f"first or collect is expected, not {policy}")
    return policy == "collect"


def _shaping(id: str, content: Mapping[str, Any]) -> Shaping:
    mode = _text(content, "executionMode", id, "single")
    if mode not in ("single", "loop"):
        raise malformed(id, "executionMode", f"single or loop is expected, not {mode}")
    through = content.get("passThrough") or False
    if not isinstance(through, bool):
        raise malformed(id, "passThrough", "true or false is expected")
    path = _text(content, "outputPath", id, "").strip() or None
    if path is not None:
        _path(id, "outputPath", path)
    return Shaping(
        _text(content, "inputField", id, "").strip() or None, path, mode == "loop", through
    )


def _path(id: str, at: str, written: str) -> tuple[str, ...]:
    parts = tuple(written.split("."))
    if not all(part.strip() for part in parts):
        raise malformed(id, at, f"{written} is no name")
    return parts


def _table(id: str, name: str, content: Mapping[str, Any]) -> TableNode:
    inputs: list[Input] = []
    outputs: list[Output] = []
    for raw in _list(content, "inputs", id):
        column = _text(raw, "id", id)
        field = _text(raw, "field", id, "").strip() or None
        inputs.append(Input(column, _text(raw, "name", id, column), field))
    for raw in _list(content, "outputs", id):
        column = _text(raw, "id", id)
        field = _text(raw, "field", id).strip()
        path = _path(id, f"column {column}", field.removesuffix("[]"))
        outputs.append(Output(column, _text(raw, "name", id, column), path, field.endswith("[]")))
    columns = [*(one.id for one in inputs), *(one.id for one in outputs)]
    if len(set(columns)) != len(columns):
        raise malformed(id, "columns", "two columns have the same id")
    paths = [output.path for output in outputs]
    for n, path in enumerate(paths):
        for other in paths[n + 1 :]:
            shorter = min(len(path), len(other))
            if path[:shorter] == other[:shorter]:
                raise malformed(id, "columns", f"two columns write {'.'.join(path[:shorter])}")
    raw_rows = _list(content, "rules", id)
    if len(raw_rows) > MAX_ROWS:
        raise malformed(id, "rules", f"more than {MAX_ROWS} rows")
    rows = [_row(id, n, raw, inputs, outputs) for n, raw in enumerate(raw_rows)]
    ids = {row.id for row in rows}
    if len(ids) != len(rows):
        raise malformed(id, "rules", "two rows have the same id")
    collect = _hit_policy(id, content)
    return TableNode(
        id, name, collect, tuple(inputs), tuple(outputs), tuple(rows), _shaping(id, content)
    )


def _row(
    id: str, n: int, raw: Mapping[str, Any], inputs: list[Input], outputs: list[Output]
) -> Row:
    row = _text(raw, "_id", id, f"{n + 1}")
    columns = [*(one.id for one in inputs), *(one.id for one in outputs)]
    cells = [_cell(id, row, raw, column) for column in columns]
    return Row(
        row,
        tuple(cells[: len(inputs)]),
        tuple(cells[len(inputs) :]),
        _text(raw, "_description", id, ""),
    )


def _cell(id: str, row: str, raw: Mapping[str, Any], column: str) -> str:
    value = raw.get(column)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise malformed(id, f"row {row}, column {column}", "a cell is a text")
    return value.strip()


def _expressions(id: str, name: str, content: Mapping[str, Any]) -> ExpressionNode:
    entries = []
    for raw in _list(content, "expressions", id):
        key, value = _text(raw, "key", id, "").strip(), _text(raw, "value", id, "").strip()
        if key and value:
            entry = _text(raw, "id", id, key)
            entries.append(Entry(entry, _path(id, f"entry {entry}", key), value))
    return ExpressionNode(id, name, tuple(entries), _shaping(id, content))


def _switch(id: str, name: str, content: Mapping[str, Any]) -> SwitchNode:
    statements = tuple(
        Statement(_text(raw, "id", id), _text(raw, "condition", id, "").strip())
        for raw in _list(content, "statements", id)
    )
    if len({one.id for one in statements}) != len(statements):
        raise malformed(id, "statements", "two statements have the same id")
    return SwitchNode(id, name, _hit_policy(id, content), statements)
