"""Static checks of a policy document, before it is committed.

They need no values: what a document reads is compared with a schema of the values it will be
given, and what its nodes make is followed through the graph.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field

from steelyard.decisions.model.check_rows import check_rows
from steelyard.decisions.model.compile.kinds import Prepared
from steelyard.decisions.model.document import (
    CustomNode,
    Document,
    ExpressionNode,
    InputNode,
    OutputNode,
    SwitchNode,
    TableNode,
)
from steelyard.decisions.model.expression import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
    parse,
    parse_unary,
)
from steelyard.decisions.model.expression.catalogue import FUNCTIONS, METHODS
from steelyard.decisions.model.expression.tree import (
    Array,
    Binary,
    Call,
    Closure,
    Conditional,
    Interval,
    Literal,
    Method,
    Name,
    Object,
    Slice,
    Template,
    Unary,
    bare,
    children,
)
from steelyard.decisions.model.expression.tree import Node as Tree
from steelyard.decisions.model.findings import Finding, Severity

ANY = "any"


def check_document(
    document: Document,
    schema: Mapping[str, str],
    nodes: Mapping[str, Prepared] | None = None,
) -> tuple[Finding, ...]:
    """Return what is wrong with a document, errors first.

    Parameters
    ----------
    document : the parsed document
    schema : the values it will be given: name to `number`, `integer`, `text`, `flag` or `any`
    nodes : prepared nodes of registered kinds, by id; they say what they read and write

    Examples
    --------
    >>> from steelyard.decisions.model.document import parse_document
    >>> entry = {"id": "1", "key": "x", "value": "amuont + 1"}
    >>> nodes = [
    ...     {"id": "i", "type": "inputNode"},
    ...     {"id": "e", "type": "expressionNode", "content": {"expressions": [entry]}},
    ... ]
    >>> edges = [{"sourceId": "i", "targetId": "e"}]
    >>> parsed = parse_document({"nodes": nodes, "edges": edges})
    >>> check_document(parsed, {"amount": "number"})[0].en
    'Nothing gives the value amuont.'
    """
    found = list(dict.fromkeys(_Check(document, schema, nodes or {}).findings()))
    order = list(Severity)
    return tuple(sorted(found, key=lambda finding: order.index(finding.severity)))


@dataclass(slots=True)
class _Scope:
    """What is known of the values at a place: names and their types; open, if there may be more."""

    types: dict[str, str] = field(default_factory=dict)
    open: bool = False

    def over(self, other: _Scope) -> _Scope:
        """Return these values over others."""
        types = dict(other.types)
        for name, type in self.types.items():
            types[name] = type if types.get(name, type) == type else ANY
        return _Scope(types, self.open or other.open)


class _Check:
    """Goes through the nodes in their order."""

    def __init__(
        self, document: Document, schema: Mapping[str, str], nodes: Mapping[str, Prepared]
    ) -> None:
        self.document = document
        self.schema = schema
        self.nodes = nodes
        self.scopes: dict[str, _Scope] = {}

    def findings(self) -> Iterator[Finding]:
        yield from self._unread()
        for node in self.document.nodes:
            if isinstance(node, InputNode):
                types = {
                    name: "number" if type == "integer" else type
                    for name, type in self.schema.items()
                }
                self.scopes[node.id] = _Scope(types)
                continue
            scope = _Scope()
            for edge in self.document.edges:
                if edge.target == node.id:
                    scope = scope.over(self.scopes[edge.source])
            made = scope
            if isinstance(node, TableNode):
                made = yield from self._table(node, scope)
            elif isinstance(node, ExpressionNode):
                made = yield from self._expressions(node, scope)
            elif isinstance(node, SwitchNode):
                yield from self._switch(node, scope)
            elif isinstance(node, CustomNode):
                made = yield from self._custom(node, scope)
            self.scopes[node.id] = made

    def _unread(self) -> Iterator[Finding]:
        """Yield nodes whose answer goes nowhere although there is an output."""
        outputs = {node.id for node in self.document.nodes if isinstance(node, OutputNode)}
        read = {edge.source for edge in self.document.edges}
        for node in self.document.nodes:
            if outputs and node.id not in outputs | read:
                yield Finding(
                    "unread_node",
                    Severity.WARNING,
                    node.id,
                    "",
                    f"Nothing reads what node {node.name} gives.",
                    f"节点 {node.name} 的结果没有被使用。",
                )

    # -- nodes -------------------------------------------------------------------------------

    def _table(self, node: TableNode, scope: _Scope) -> Generator[Finding, None, _Scope]:
        inner = self._inner(node, scope)
        types = []
        for column in node.inputs:
            if column.field is None:
                types.append(ANY)
                continue
            typing = _Typing(node.id, f"column {column.id}", inner)
            types.append(typing.of(_tree(column.field)))
            yield from typing.findings
        made: dict[str, str] = {}
        for row in node.rows:
            for column, cell, type in zip(node.inputs, row.conditions, types, strict=True):
                if not cell:
                    continue
                typing = _Typing(node.id, f"row {row.id}, column {column.id}", inner, type)
                typing.condition(_tree(cell, unary=column.field is not None))
                yield from typing.findings
            for output, cell in zip(node.outputs, row.results, strict=True):
                if not cell:
                    continue
                typing = _Typing(node.id, f"row {row.id}, column {output.id}", inner)
                type = typing.of(_tree(cell))
                yield from typing.findings
                name = output.path[0]
                single = type if len(output.path) == 1 and not output.collected else "object"
                single = "array" if output.collected and len(output.path) == 1 else single
                made[name] = single if made.get(name, single) in (single, "null") else ANY
        yield from check_rows(
            node,
            tuple(
                "integer"
                if self.schema.get(column.field or "") == "integer" and type == "number"
                else type
                for column, type in zip(node.inputs, types, strict=True)
            ),
        )
        return self._shaped(node, scope, _Scope(made), array=node.collect)

    def _expressions(self, node: ExpressionNode, scope: _Scope) -> Generator[Finding, None, _Scope]:
        made: dict[str, str] = {}
        inner = self._inner(node, scope)
        for entry in node.entries:
            typing = _Typing(node.id, f"entry {entry.id}", inner, "object")
            type = typing.of(_tree(entry.source))
            yield from typing.findings
            made[entry.path[0]] = type if len(entry.path) == 1 else "object"
        return self._shaped(node, scope, _Scope(made))

    def _switch(self, node: SwitchNode, scope: _Scope) -> Iterator[Finding]:
        for statement in node.statements:
            if statement.condition:
                typing = _Typing(node.id, f"statement {statement.id}", scope)
                typing.condition(_tree(statement.condition))
                yield from typing.findings
        if not node.collect and all(statement.condition for statement in node.statements):
            yield Finding(
                "missing_default",
                Severity.WARNING,
                node.id,
                "",
                "The switch has no way without a condition: where none holds nothing behind it "
                "runs.",
                "分支节点缺少无条件的出口：没有条件成立时其后的节点都不会执行。",
            )

    def _custom(self, node: CustomNode, scope: _Scope) -> Generator[Finding, None, _Scope]:
        prepared = self.nodes.get(node.id)
        if prepared is None:
            return self._shaped(node, scope, _Scope({}, True))
        typing = _Typing(node.id, "", self._inner(node, scope))
        for name in prepared.reads:
            typing.of(Name(name))
        yield from typing.findings
        return self._shaped(node, scope, _Scope(dict(prepared.writes)))

    def _inner(self, node: TableNode | ExpressionNode | CustomNode, scope: _Scope) -> _Scope:
        shaped = node.shaping.input_field is not None or node.shaping.loop
        return _Scope({}, True) if shaped else scope

    def _shaped(
        self,
        node: TableNode | ExpressionNode | CustomNode,
        scope: _Scope,
        made: _Scope,
        *,
        array: bool = False,
    ) -> _Scope:
        shaping = node.shaping
        if shaping.output_path is not None:
            head, _, rest = shaping.output_path.partition(".")
            kind = "array" if (array or shaping.loop) and not rest else "object"
            made = _Scope({head: kind})
        elif array or shaping.loop:
            made = _Scope({}, True)
        return made.over(scope) if shaping.pass_through else made


def _tree(source: str, *, unary: bool = False) -> Tree | None:
    """Return the tree of an expression; None where the compiler will refuse it."""
    try:
        return parse_unary(source) if unary else parse(source)
    except (ExpressionIsMalformed, ExpressionIsNotCovered):
        return None


class _Typing:
    """Infers the type of an expression, and notes what cannot be evaluated with such types."""

    def __init__(self, node: str, at: str, scope: _Scope, tested: str = ANY) -> None:
        self.node = node
        self.at = at
        self.scope = scope
        self.findings: list[Finding] = []
        self._bound: dict[str, str] = {"$": tested, "$nodes": "object"}

    def condition(self, tree: Tree | None) -> None:
        """Check that a tree is a flag."""
        type = self.of(tree)
        if tree is not None and type not in ("flag", ANY):
            self._wrong("a condition", f"a {type}", "条件", type)

    def of(self, tree: Tree | None) -> str:
        """Return the type of a tree: number, text, flag, date, array, object, null or any."""
        if tree is None:
            return ANY
        tree = bare(tree)
        if isinstance(tree, Literal):
            return _literal(tree)
        if isinstance(tree, Name):
            return self._name(tree.name)
        if isinstance(tree, Binary):
            return self._binary(tree)
        if isinstance(tree, Unary):
            type = self.of(tree.node)
            wanted = "flag" if tree.operator == "not" else "number"
            self._expect(type, (wanted,), tree.operator)
            return wanted
        if isinstance(tree, Conditional):
            self._expect(self.of(tree.condition), ("flag",), "?:")
            then, otherwise = self.of(tree.then), self.of(tree.otherwise)
            return then if then == otherwise else ANY
        if isinstance(tree, Closure):
            return self._closure(tree)
        types = [self.of(child) for child in children(tree)]
        if isinstance(tree, Call):
            return self._call(tree, types)
        if isinstance(tree, Method):
            self._expect(types[0], ("date",), f".{tree.method}")
            return METHODS[tree.method].gives
        if isinstance(tree, Slice):
            return types[0]
        fixed = {Array: "array", Object: "object", Template: "text", Interval: "interval"}
        return next((name for kind, name in fixed.items() if isinstance(tree, kind)), ANY)

    def _name(self, name: str) -> str:
        if name in self._bound:
            return self._bound[name]
        if name not in self.scope.types:
            if not self.scope.open:
                self.findings.append(
                    Finding(
                        "unknown_field",
                        Severity.ERROR,
                        self.node,
                        self.at,
                        f"Nothing gives the value {name}.",
                        f"没有任何来源提供字段 {name}。",
                    )
                )
            return ANY
        return self.scope.types[name]

    def _binary(self, tree: Binary) -> str:
        left, right = self.of(tree.left), self.of(tree.right)
        operator = tree.operator
        if operator in ("and", "or"):
            self._expect(left, ("flag",), operator)
            return right if right == "flag" else ANY
        if operator == "??":
            return left if left == right else ANY
        if operator in ("==", "!="):
            if {left, right} & {ANY, "null"} or left == right:
                return "flag"
            self._wrong(operator, f"a {left} and a {right}, which are never equal", operator,
                        f"{left} 与 {right}，二者永不相等")  # fmt: skip
            return "flag"
        if operator in ("in", "not in"):
            self._membership(left, tree.right)
            return "flag"
        if operator in ("<", "<=", ">", ">="):
            self._expect(left, ("number", "date"), operator)
            self._expect(right, ("number", "date"), operator)
            return "flag"
        if operator == "+" and "text" in (left, right):
            self._expect(left, ("text",), "+")
            self._expect(right, ("text",), "+")
            return "text"
        self._expect(left, ("number",), operator)
        self._expect(right, ("number",), operator)
        return "number" if "number" in (left, right) or operator != "+" else ANY

    def _membership(self, left: str, tree: Tree) -> None:
        tree = bare(tree)
        if isinstance(tree, Interval):
            self._expect(left, ("number", "date"), "in [..]")
        elif isinstance(tree, Array) and tree.items:
            types = {self.of(item) for item in tree.items}
            if left not in (ANY, "null") and not types & {left, ANY, "null"}:
                other = " or ".join(sorted(types))
                self._wrong("in", f"a {left} among {other}", "in", f"{left} 与 {other}")

    def _closure(self, tree: Closure) -> str:
        self._expect(self.of(tree.source), ("array", "interval"), tree.function)
        before = dict(self._bound)
        if tree.alias is not None:
            self._bound[tree.alias] = ANY
        body = self.of(tree.body)
        self._bound = before
        if tree.function in ("map", "flatMap"):
            return "array"
        self._expect(body, ("flag",), tree.function)
        return {"filter": "array", "count": "number"}.get(tree.function, "flag")

    def _call(self, tree: Call, types: list[str]) -> str:
        wanted = _ARGUMENTS.get(tree.function)
        if wanted is not None:
            self._expect(types[0], wanted, tree.function)
        return FUNCTIONS[tree.function].gives

    def _expect(self, type: str, wanted: tuple[str, ...], operation: str) -> None:
        if type not in wanted and type != ANY:
            self._wrong(operation, f"a {type}", operation, type)

    def _wrong(self, operation: str, what: str, operation_zh: str, what_zh: str) -> None:
        self.findings.append(
            Finding(
                "type_error",
                Severity.ERROR,
                self.node,
                self.at,
                f"{operation} is not made for {what}.",
                f"{operation_zh} 不适用于 {what_zh}。",
            )
        )


_TEXTS = ("text", "date")
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("upper", "lower", "trim", "startsWith", "endsWith", "matches"), _TEXTS),
    **dict.fromkeys(("extract", "split"), _TEXTS),
    **dict.fromkeys(("abs", "floor", "ceil", "round", "trunc"), ("number",)),
    **dict.fromkeys(("sum", "avg", "min", "max", "median", "mode", "flatten"), ("array",)),
    "len": ("text", "array", "date"),
    "contains": ("text", "array", "date"),
    "values": ("object",),
    "keys": ("object", "array"),
}


def _literal(tree: Literal) -> str:
    if tree.value is None:
        return "null"
    if isinstance(tree.value, bool):
        return "flag"
    return "text" if isinstance(tree.value, str) else "number"
