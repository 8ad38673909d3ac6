"""Writing a document as one Python function: its nodes in order, and what they leave behind."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from math import inf, nan
from typing import Any

from steelyard.decisions.model.compile import merging
from steelyard.decisions.model.compile.answer import (
    Evaluation,
    Hit,
    NodeTrace,
    Note,
    ToldEvaluation,
    TracedEvaluation,
)
from steelyard.decisions.model.compile.forms import Plain, scalar_of
from steelyard.decisions.model.compile.index import IndexedTable, key_of, write_index
from steelyard.decisions.model.compile.kinds import Prepared
from steelyard.decisions.model.compile.table import (
    LinearTable,
    expression,
    read_columns,
    write_rows,
)
from steelyard.decisions.model.compile.writing import Reading, Source
from steelyard.decisions.model.document import (
    CustomNode,
    Document,
    ExpressionNode,
    InputNode,
    Node,
    OutputNode,
    Shaping,
    SwitchNode,
    TableNode,
)
from steelyard.decisions.model.expression.compiled import shown
from steelyard.decisions.model.expression.generate import OPERATIONS, gives_plain
from steelyard.decisions.model.expression.tree import Call, Interval, children
from steelyard.decisions.model.expression.tree import Node as Tree
from steelyard.decisions.model.expression.values import NotEvaluable

_FAILED = object()


def _holds(condition: Callable[[], Any]) -> bool:
    try:
        return condition() is True
    except NotEvaluable:
        return False


_RUNTIME: Mapping[str, Any] = {
    **OPERATIONS,
    "_FAILED": _FAILED,
    "_INFINITE": inf,
    "_NOT_A_NUMBER": nan,
    "_Evaluation": Evaluation,
    "_Note": Note,
    "_NodeTrace": NodeTrace,
    "_ToldEvaluation": ToldEvaluation,
    "_TracedEvaluation": TracedEvaluation,
    "_holds": _holds,
    "_key": key_of,
    "_bisect": bisect_left,
    "_merge": merging.merge,
    "_named": merging.named,
    "_put": merging.put,
    "_shown": shown,
    "_stripped": merging.stripped,
    "_text": str,
    "_new": tuple.__new__,
    "KeyError": KeyError,
    "bool": bool,
    "dict": dict,
    "float": float,
    "int": int,
    "len": len,
    "list": list,
    "str": str,
    "sum": sum,
    "tuple": tuple,
    "type": type,
    "__builtins__": {},
}


class Writer:
    """Writes one function for a document."""

    def __init__(
        self,
        document: Document,
        prepared: Mapping[str, Prepared],
        *,
        traced: bool,
        indexed: bool,
        recorded: frozenset[str] | None = None,
    ) -> None:
        self.document = document
        self.prepared = prepared
        self.traced = traced
        self.indexed = indexed
        self.recorded = recorded
        self.source = Source(by_path=recorded is not None)
        self.reads: set[str] = set()
        self.answers: dict[str, str] = {}
        self.alive: dict[str, str] = {}
        self.ways: dict[tuple[str, str], str] = {}
        self.dates = False
        self.named: set[str] = {"values"}
        self.clean: set[str] = set()
        self.before: dict[str, dict[str, str]] = {}

    def function(self) -> tuple[Callable[[dict[str, Any]], Any], str]:
        """Return the function and its Python."""
        source = self.source
        source.add("h = []")
        source.add("n = []")
        if self.recorded is not None:
            source.add("r = {}")
            source.add("m = {}")
            source.add("t = {}")
            source.add("x = []")
        elif self.traced:
            source.add("z = []")
            source.add("x = []")
        for node in self.document.nodes:
            self._node(node)
        self._end()
        text = "def run(values):\n" + "\n".join(source.lines) + "\n"
        namespace: dict[str, Any] = {**_RUNTIME, **source.constants.namespace}
        exec(compile(text, f"<policy {self.document.hash[:12]}>", "exec"), namespace)
        return namespace["run"], text

    def _end(self) -> None:
        source = self.source
        result = self._result()
        source.add(f"y = {result}")
        if self.dates:
            source.add("y = _shown(y)")
        if self.recorded is not None:
            source.add("return _new(_ToldEvaluation, (y, h, x, r, [*m], n, t))")
        elif self.traced:
            parts = "y, tuple(h), tuple(n), tuple(z), tuple(x)"
            source.add(f"return _TracedEvaluation({parts})")
        else:
            source.add("return _new(_Evaluation, (y, tuple(h), tuple(n) if n else ()))")

    def _result(self) -> str:
        nodes = self.document.nodes
        output = next((node for node in nodes if isinstance(node, OutputNode)), None)
        if output is not None:
            answer = self.answers[output.id]
            if answer in self.clean:
                return answer
            if self._is_own(output) and answer in self.named:
                return f"{answer} if None not in {answer}.values() else _stripped({answer})"
            return f"_stripped({answer})"
        ends = {node.id for node in nodes} - {edge.source for edge in self.document.edges}
        merged = "{}"
        for node in nodes:
            if node.id in ends:
                merged = f"_merge({merged}, {self.answers[node.id]})"
        return merged

    def _is_own(self, output: OutputNode) -> bool:
        """Return whether what comes to the output was made here, and not given by the caller."""
        sources = [edge.source for edge in self.document.edges if edge.target == output.id]
        node = self.document.node(sources[0])
        return (
            len(sources) == 1
            and isinstance(node, ExpressionNode)
            and (not node.shaping.pass_through)
        ) or (isinstance(node, TableNode) and len(sources) == 1)

    # -- the graph ---------------------------------------------------------------------------

    def _node(self, node: Node) -> None:
        answer = self.answers[node.id] = self.source.fresh("o")
        self.before[node.id] = self._ancestors(node)
        if isinstance(node, InputNode):
            self.alive[node.id] = "True"
            self.named.add(answer)
            self.source.add(f"{answer} = values")
            return
        edges = [edge for edge in self.document.edges if edge.target == node.id]
        ways = [self._way(edge.source, edge.statement) for edge in edges]
        if "True" in ways:
            self.alive[node.id] = "True"
            self._living(node, answer, list(zip(edges, ways, strict=True)))
            return
        alive = self.alive[node.id] = self.source.fresh("a")
        self.source.add(f"{alive} = {' or '.join(dict.fromkeys(ways))}")
        self.source.add(f"{answer} = None")
        if isinstance(node, SwitchNode):
            for statement in node.statements:
                way = self.ways[node.id, statement.id] = self.source.fresh("s")
                self.source.add(f"{way} = False")
        with self.source.block(f"if {alive}:"):
            self._living(node, answer, list(zip(edges, ways, strict=True)))

    def _ancestors(self, node: Node) -> dict[str, str]:
        found: dict[str, str] = {}
        for edge in self.document.edges:
            if edge.target == node.id:
                found |= self.before[edge.source]
                found[self.document.node(edge.source).name] = self.answers[edge.source]
        return found

    def _way(self, source: str, statement: str | None) -> str:
        return self.alive[source] if statement is None else self.ways[source, statement]

    def _living(self, node: Node, answer: str, edges: list[tuple[Any, str]]) -> None:
        context = self.source.fresh("c")
        self._incoming(context, edges)
        if isinstance(node, OutputNode):
            # Behind a closed switch it is not reached, and has no answer.
            if self.alive[node.id] == "True":
                self.named |= {answer} if context in self.named else set()
                self.clean |= {answer} if context in self.clean else set()
            self.source.add(f"{answer} = {context}")
        elif isinstance(node, SwitchNode):
            self._switch(node, context, answer)
        else:
            assert not isinstance(node, InputNode)
            self._shaped(node, node.shaping, context, answer)

    def _incoming(self, context: str, edges: list[tuple[Any, str]]) -> None:
        """Lay the answers over each other, the edge that is listed first on top."""
        source = self.source
        if len(edges) == 1:
            before = self.answers[edges[0][0].source]
            if before in self.named:
                self.named.add(context)
                source.add(f"{context} = {before}")
            else:
                source.add(f"{context} = {{}} if {before} is None else {before}")
                node = self.document.node(edges[0][0].source)
                if isinstance(node, TableNode) and _answers_dict(node):
                    self.named.add(context)
                    if _is_flat(node, node.shaping):
                        self.clean.add(context)
            return
        source.add(f"{context} = {{}}")
        for edge, way in reversed(edges):
            line = f"{context} = _merge({context}, {self.answers[edge.source]})"
            source.add(line if way == "True" else f"if {way}: {line}")

    # -- nodes -------------------------------------------------------------------------------

    def _shaped(
        self,
        node: TableNode | ExpressionNode | CustomNode,
        shaping: Shaping,
        context: str,
        answer: str,
    ) -> None:
        source, constant = self.source, self.source.constants.of
        looked = context
        if shaping.input_field is not None:
            looked = source.fresh("c")
            self._evaluated(node.id, "inputField", shaping.input_field, context, looked)
        if shaping.loop:
            made, one = source.fresh("q"), source.fresh("c")
            source.add(f"{answer} = []")
            with source.block(f"if type({looked}) is not list:"):
                why = constant("the values to go through are no array")
                source.add(f"n.append(_Note({constant(node.id)}, {constant('inputField')}, {why}))")
            with source.block(f"for {one} in {looked} if type({looked}) is list else ():"):
                self._body(node, one, made)
                if shaping.pass_through:
                    source.add(f"{made} = _merge({one}, {made})")
                source.add(f"{answer}.append({made})")
        else:
            self._body(node, looked, answer)
        named = isinstance(node, ExpressionNode) and not shaping.loop
        if shaping.output_path is not None:
            named = True
            placed = answer
            for name in reversed(shaping.output_path.split(".")):
                placed = f"{{{constant(name)}: {placed}}}"
            source.add(f"{answer} = {placed}")
        if shaping.pass_through:
            self._passed(node, shaping, context, answer)
            named = context in self.named and (named or _is_flat(node, shaping))
        if named and self.alive.get(node.id) == "True":
            self.named.add(answer)

    def _passed(
        self,
        node: TableNode | ExpressionNode | CustomNode,
        shaping: Shaping,
        context: str,
        answer: str,
    ) -> None:
        """Lay an answer over what came to the node."""
        if context in self.named and _is_flat(node, shaping):
            laid = f"{context} if {answer} is None else {{**{context}, **{answer}}}"
            self.source.add(f"{answer} = {laid}")
        else:
            self.source.add(f"{answer} = _merge({context}, {answer})")

    def _body(
        self, node: TableNode | ExpressionNode | CustomNode, context: str, answer: str
    ) -> None:
        if isinstance(node, TableNode):
            self._table(node, context, answer)
        elif isinstance(node, ExpressionNode):
            self._expressions(node, context, answer)
        else:
            self._custom(node, context, answer)

    def _reading(self, node: Node, context: str) -> Reading:
        named = context in self.named
        return Reading(self.source, context, self.before[node.id], named=named, sure=self.recorded)

    def _read(self, reading: Reading) -> None:
        self.reads |= set(reading.names)
        reading.done()

    def _table(self, node: TableNode, context: str, answer: str) -> None:
        reading = self._reading(node, context)
        columns = read_columns(node, reading)
        lines = write_rows(node, columns, reading)
        planned = IndexedTable.plan(node, columns, lines) if self.indexed else None
        written = planned is not None and write_index(
            planned, reading, self.source, answer, self._compile_all
        )
        if not written:
            LinearTable(node, self.source, traced=self.traced, whole=not self.indexed).write(
                lines, answer
            )
        for row in node.rows:
            for output, cell in zip(node.outputs, row.results, strict=True):
                if cell:
                    self._dated(expression(node.id, f"column {output.id}", cell))
        self._read(reading)
        fields = {
            column.field: variable
            for column, variable in zip(node.inputs, columns.values, strict=True)
            if column.field is not None and variable is not None
        }
        self._traced(node, {**reading.names, **fields}, answer)

    def _compile_all(
        self, bodies: list[str], arguments: list[str]
    ) -> list[Callable[..., Any] | None]:
        """Return functions of Python expressions over variables; None for an empty one."""
        distinct = [body for body in dict.fromkeys(bodies) if body]
        given = ", ".join(arguments)
        text = "all = (" + "".join(f"lambda {given}: {body},\n" for body in distinct) + ")"
        namespace: dict[str, Any] = {**_RUNTIME, **self.source.constants.namespace}
        exec(text, namespace)
        made = dict(zip(distinct, namespace["all"], strict=True))
        return [made.get(body) for body in bodies]

    def _expressions(self, node: ExpressionNode, context: str, answer: str) -> None:
        source, constant = self.source, self.source.constants.of
        reading = self._reading(node, context)
        reading.generator.rows = self._collected(node)
        reading.tested = f"({answer} or None)"
        source.add(f"{answer} = {{}}")
        for entry in node.entries:
            tree = expression(node.id, f"entry {entry.id}", entry.source)
            self._dated(tree)
            value = source.fresh("e")
            self._tried(node.id, entry.id, _written(reading, tree), value)
            if len(entry.path) == 1:
                source.add(f"{answer}[{constant(entry.path[0])}] = {value}")
            else:
                source.add(f"_put({answer}, {constant(entry.path)}, {value})")
        self._read(reading)
        self._traced(node, reading.names, answer)

    def _collected(self, node: ExpressionNode) -> dict[str, dict[str, bool]]:
        """Return the names that are hits of the table before: its fields, and which are whole.

        A field counts that every row gives, as a constant; so its values need no questions.
        """
        edges = [edge for edge in self.document.edges if edge.target == node.id]
        table = self.document.node(edges[0].source)
        if len(edges) > 1 or node.shaping.input_field is not None or node.shaping.loop:
            return {}
        if not isinstance(table, TableNode) or not table.collect or table.shaping.loop:
            return {}
        path = table.shaping.output_path
        if path is None or "." in path:
            return {}
        fields = {}
        for n, output in enumerate(table.outputs):
            cells = [row.results[n] for row in table.rows]
            if len(output.path) == 1 and all(cells):
                scalars = [scalar_of(expression(table.id, "rows", cell)) for cell in cells]
                if None not in scalars:
                    fields[output.path[0]] = all(type(one) is int for one in scalars)
        return {path: fields}

    def _custom(self, node: CustomNode, context: str, answer: str) -> None:
        source, constant = self.source, self.source.constants.of
        prepared = self.prepared[node.id]
        self.reads |= set(prepared.reads)
        kept = constant(node.id)
        detail = source.fresh("d")
        source.add(f"{detail} = None")
        with source.block("try:"):
            source.add(f"w = {source.constants.bind(prepared)}.answer({context})")
            source.add(f"{answer} = w.values")
            source.add(f"{detail} = w.detail")
            hit = f"{source.constants.bind(Hit)}({kept}, i)"
            made = f'f"{{{kept}}}/{{i}}"' if source.by_path else hit
            source.add(f"if w.hits: h += [{made} for i in w.hits]")
        with source.block("except _NotEvaluable as e:"):
            source.add(f"{answer} = None")
            source.add(f"n.append(_Note({kept}, {kept}, _text(e)))")
        if not self.traced:
            return
        reading = self._reading(node, context)
        for name in prepared.reads:
            reading.value(name)
        reading.done()
        self._traced(node, reading.names, answer, detail)

    def _switch(self, node: SwitchNode, context: str, answer: str) -> None:
        source = self.source
        reading = self._reading(node, context)
        plain = Plain(source.constants, reading.value, reading.number)
        earlier: list[str] = []
        for statement in node.statements:
            way = self.ways.setdefault((node.id, statement.id), source.fresh("s"))
            written = "True"
            if statement.condition:
                at = f"statement {statement.id}"
                tree = expression(node.id, at, statement.condition)
                found = plain.write(tree)
                if found is None:
                    body = reading.generator.write(tree)
                    found = f"_holds(lambda: {body})"
                written = found
            shut = "" if node.collect or not earlier else f"not ({' or '.join(earlier)}) and "
            source.add(f"{way} = {shut}({written})")
            hit = source.marked(Hit(node.id, statement.id))
            source.add(f"if {way}: h.append({hit})")
            earlier.append(way)
        source.add(f"{answer} = {context}")
        self._read(reading)
        self._traced(node, reading.names, "None")

    # -- pieces ------------------------------------------------------------------------------

    def _evaluated(self, node: str, entry: str, written: str, context: str, value: str) -> None:
        """Write the evaluation of an expression of a node's own settings."""
        reading = Reading(self.source, context, self.before[node], named=context in self.named)
        tree = expression(node, entry, written)
        self._dated(tree)
        self._tried(node, entry, _written(reading, tree), value)
        self._read(reading)

    def _tried(self, node: str, entry: str, body: str, value: str) -> None:
        source, constant = self.source, self.source.constants.of
        with source.block("try:"):
            source.add(f"{value} = {body}")
        with source.block("except _NotEvaluable as e:"):
            source.add(f"{value} = None")
            source.add(f"n.append(_Note({constant(node)}, {constant(entry)}, _text(e)))")

    def _traced(
        self, node: Node, read: Mapping[str, str], answer: str, detail: str = "None"
    ) -> None:
        source, constant = self.source, self.source.constants.of
        if self.recorded is not None:
            for name, variable in read.items():
                if name not in self.recorded:
                    source.add(f"r[{constant(name)}] = {variable}")
                source.add(f"if {variable} is None: m[{constant(name)}] = None")
            if detail != "None":
                source.add(f"if {detail} is not None: t[{constant(node.id)}] = {detail}")
            return
        if not self.traced:
            return
        pairs = ", ".join(f"{constant(name)}: {variable}" for name, variable in read.items())
        source.add(f"w = {{{pairs}}}")
        missing = "tuple([k for k, v in w.items() if v is None])"
        source.add(f"z.append(_NodeTrace({constant(node.id)}, w, {missing}, {answer}, {detail}))")

    def _dated(self, tree: Tree) -> None:
        """Note whether a date or an interval can come out of the document."""
        if isinstance(tree, Interval) or (isinstance(tree, Call) and tree.function == "d"):
            self.dates = True
        for child in children(tree):
            self._dated(child)


def _written(reading: Reading, tree: Tree) -> str:
    """Return Python for a value that leaves a node."""
    written = reading.generator.write(tree)
    if gives_plain(tree) or reading.generator.sums_whole(tree):
        return written
    return f"_plain({written})"


def _is_flat(node: Node, shaping: Shaping) -> bool:
    """Return whether an answer is scalars under names of one level, or nothing at all."""
    if not isinstance(node, TableNode) or node.collect or shaping.loop or shaping.output_path:
        return False
    if any(len(output.path) > 1 or output.collected for output in node.outputs):
        return False
    cells = {cell for row in node.rows for cell in row.results if cell}
    return all(scalar_of(expression(node.id, "rows", cell)) is not None for cell in cells)


def _answers_dict(node: TableNode) -> bool:
    """Return whether a table answers an object of its own, or nothing."""
    shaping = node.shaping
    return not (node.collect or shaping.loop or shaping.pass_through)
