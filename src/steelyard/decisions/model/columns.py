"""A document as a function of columns: the same policy over a million events at once.

The meaning is that of the row form. Whole numbers are exact. A computed fraction is a binary64
here and a decimal there: where such a fraction comes so near to what it is compared with that the
two could differ, the event is decided by the row form, so that the answers are equal. A value
that comes out as a fraction may differ in its last place. What has no columnar form is refused by
name: loops, texts that are made, nodes of kinds that do not answer for columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.column_expressions import Evaluator
from steelyard.decisions.model.column_refusals import ColumnsAreNotCovered
from steelyard.decisions.model.column_values import (
    Column,
    Hits,
    Kind,
    Value,
    overlaid,
)
from steelyard.decisions.model.compile import Compiled
from steelyard.decisions.model.compile.table import expression
from steelyard.decisions.model.document import (
    CustomNode,
    ExpressionNode,
    InputNode,
    Node,
    OutputNode,
    SwitchNode,
    TableNode,
)

CHUNK = 32_768
"""Events that are decided together; what is made of them stays in the processor's cache."""

Mask = NDArray[np.bool_]
Context = dict[str, Any]


@runtime_checkable
class ColumnPrepared(Protocol):
    """A prepared node that answers for columns too."""

    def answer_columns(self, columns: Mapping[str, Column], rows: int) -> Mapping[str, Column]:
        """Return a column for each name it writes; what it cannot answer is missing in it."""
        ...


@dataclass(frozen=True, slots=True)
class Decided:
    """What a policy answers for many events.

    Attributes
    ----------
    columns : the result's values by their name, points between names of levels; as long as given
    hits : for each table, how many events hit each of its rows, in the order of the rows
    by_row : how many events were decided by the row form, because a fraction came too near
    """

    columns: Mapping[str, Column]
    hits: Mapping[str, NDArray[np.int64]]
    by_row: int


class ColumnPolicy:
    """A compiled document, over columns.

    Parameters
    ----------
    compiled : the document, compiled

    Refusals
    --------
    columns_are_not_covered
        The document has a node or an expression without a columnar form; says which.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self._trees: dict[tuple[str, str, bool], Any] = {}
        self.bodies: dict[int, list[Any]] = {}
        for node in compiled.document.nodes:
            self._check(node)

    def run(self, columns: Mapping[str, Column], rows: int) -> Decided:
        """Return the decisions of many events.

        Parameters
        ----------
        columns : values by name, each of `rows` length; a name that is not there is missing
        rows : how many events there are

        Refusals
        --------
        columns_are_not_covered
            An operation has no columnar form for the kinds of values it is given.
        """
        parts: list[dict[str, Column]] = []
        hits: dict[str, NDArray[np.int64]] = {}
        by_row = 0
        for begin in range(0, rows, CHUNK):
            end = min(begin + CHUNK, rows)
            part = {name: column.part(begin, end) for name, column in columns.items()}
            pass_ = _Pass(self, part, end - begin)
            made, doubtful = pass_.decide()
            if len(doubtful):
                by_row += len(doubtful)
                made = self._mended(made, part, doubtful)
            parts.append(made)
            for node, counts in pass_.hits.items():
                hits[node] = hits[node] + counts if node in hits else counts
        return Decided(Column.joined(parts, rows), hits, by_row)

    def _mended(
        self, made: dict[str, Column], part: Mapping[str, Column], rows: NDArray[np.int64]
    ) -> dict[str, Column]:
        """Return the columns with some events decided by the row form."""
        answers = []
        for row in rows.tolist():
            values = {name: column.at(row) for name, column in part.items()}
            answers.append(_flat(self.compiled.run(values).result))
        return {
            name: column.replaced(rows, [answer.get(name) for answer in answers])
            for name, column in made.items()
        }

    def tree(self, node: str, at: str, source: str, *, unary: bool = False) -> Any:
        """Return the tree of an expression of the document."""
        key = (node, source, unary)
        if key not in self._trees:
            self._trees[key] = expression(node, at, source, unary=unary)
        return self._trees[key]

    def _check(self, node: Node) -> None:
        if isinstance(node, CustomNode) and not isinstance(
            self.compiled.nodes[node.id], ColumnPrepared
        ):
            raise ColumnsAreNotCovered(node=node.id, what=f"a node of kind {node.kind}")
        if isinstance(node, CustomNode | TableNode | ExpressionNode) and (
            node.shaping.loop or node.shaping.input_field is not None
        ):
            raise ColumnsAreNotCovered(node=node.id, what="a loop, or an input field")
        if isinstance(node, TableNode):
            if node.collect and node.shaping.output_path is None:
                raise ColumnsAreNotCovered(node=node.id, what="a collected array without a name")
            if any(output.collected for output in node.outputs):
                raise ColumnsAreNotCovered(node=node.id, what="a collected column")


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested objects as one of paths."""
    found: dict[str, Any] = {}
    for name, one in value.items():
        if isinstance(one, dict):
            found |= _flat(one, f"{prefix}{name}.")
        else:
            found[prefix + name] = one
    return found


class _Pass:
    """One pass over one part of the events."""

    def __init__(self, policy: ColumnPolicy, columns: Mapping[str, Column], rows: int) -> None:
        self.policy = policy
        self.rows = rows
        self.given = columns
        self.doubt: Mask | None = None
        self.hits: dict[str, NDArray[np.int64]] = {}
        self.answers: dict[str, Context] = {}
        self.alive: dict[str, Mask | None] = {}
        self.ways: dict[tuple[str, str], Mask] = {}

    def decide(self) -> tuple[dict[str, Column], NDArray[np.int64]]:
        """Return the result's columns, and the events that the row form has to decide."""
        document = self.policy.compiled.document
        for node in document.nodes:
            self._node(node)
        output = next((node for node in document.nodes if isinstance(node, OutputNode)), None)
        if output is not None:
            result = _limited(self.answers[output.id], self.alive[output.id])
        else:
            ends = {node.id for node in document.nodes}
            ends -= {edge.source for edge in document.edges}
            result = {}
            for node in document.nodes:
                if node.id in ends:
                    result = _merged(result, self.answers[node.id], self.alive[node.id])
        doubtful = np.flatnonzero(self.doubt) if self.doubt is not None else np.empty(0, np.int64)
        return dict(_columns(result, self.rows)), doubtful

    def _node(self, node: Node) -> None:
        if isinstance(node, InputNode):
            self.answers[node.id] = {name: Value.of(column) for name, column in self.given.items()}
            self.alive[node.id] = None
            return
        context: Context = {}
        alive: Mask | None = np.zeros(self.rows, np.bool_)
        for edge in reversed(self.policy.compiled.document.edges):
            if edge.target != node.id:
                continue
            way = (
                self.alive[edge.source]
                if edge.statement is None
                else self.ways[edge.source, edge.statement]
            )
            alive = None if way is None or alive is None else alive | way
            context = _merged(context, self.answers[edge.source], way)
        self.alive[node.id] = alive
        self.answers[node.id] = self._answer(node, context)

    def _answer(self, node: Node, context: Context) -> Context:
        if isinstance(node, OutputNode):
            return context
        if isinstance(node, SwitchNode):
            self._switch(node, context)
            return context
        if isinstance(node, TableNode):
            answer = self._table(node, context)
        elif isinstance(node, ExpressionNode):
            answer = self._expressions(node, context)
        else:
            assert isinstance(node, CustomNode)
            prepared = self.policy.compiled.nodes[node.id]
            assert isinstance(prepared, ColumnPrepared)
            given = dict(_columns(context, self.rows))
            made = prepared.answer_columns(given, self.rows)
            answer = {name: Value.of(column) for name, column in made.items()}
        if node.shaping.output_path is not None:
            for name in reversed(node.shaping.output_path.split(".")):
                answer = {name: answer}
        return _merged(context, answer, None) if node.shaping.pass_through else answer

    def _evaluator(self, node: Node, context: Context) -> Evaluator:
        return Evaluator(node.id, context, self.rows, self._doubted, self.policy.bodies)

    def _doubted(self, rows: Mask) -> None:
        self.doubt = rows if self.doubt is None else self.doubt | rows

    # -- nodes -------------------------------------------------------------------------------

    def _switch(self, node: SwitchNode, context: Context) -> None:
        evaluator = self._evaluator(node, context)
        open_ = self.alive[node.id]
        taken: Mask | None = None
        for statement in node.statements:
            if statement.condition:
                at = f"statement {statement.id}"
                tree = self.policy.tree(node.id, at, statement.condition)
                holds = evaluator.holds(tree)
            else:
                holds = np.ones(self.rows, np.bool_)
            if open_ is not None:
                holds = holds & open_
            if not node.collect and taken is not None:
                holds = holds & ~taken
            taken = holds if taken is None else taken | holds
            self.ways[node.id, statement.id] = holds

    def _expressions(self, node: ExpressionNode, context: Context) -> Context:
        made: Context = {}
        evaluator = self._evaluator(node, context)
        evaluator.tested = made
        for entry in node.entries:
            tree = self.policy.tree(node.id, f"entry {entry.id}", entry.source)
            value = evaluator.value(tree)
            if isinstance(value, Value):
                value = value.failed_as_missing()
            _put(made, entry.path, value)
        return made

    def _table(self, node: TableNode, context: Context) -> Context:
        evaluator = self._evaluator(node, context)
        tested = [
            None
            if column.field is None
            else evaluator.value(self.policy.tree(node.id, f"column {column.id}", column.field))
            for column in node.inputs
        ]
        masks = []
        counts = np.zeros(len(node.rows), np.int64)
        open_ = self.alive[node.id]
        left: Mask | None = None if open_ is None else open_.copy()
        results: list[list[Any]] = []
        for n, row in enumerate(node.rows):
            mask = self._row(node, n, tested, evaluator)
            values = [
                None if not cell else evaluator.value(self._cell(node, output.id, cell))
                for output, cell in zip(node.outputs, row.results, strict=True)
            ]
            for value in values:
                if isinstance(value, Value) and value.failed is not None:
                    mask = ~value.failed if mask is None else mask & ~value.failed
            mask = np.ones(self.rows, np.bool_) if mask is None else mask
            if left is not None:
                mask = mask & left
            if not node.collect:
                left = ~mask if left is None else left & ~mask
            counts[n] = np.count_nonzero(mask)
            masks.append(mask)
            results.append(values)
        self.hits[node.id] = counts
        if node.collect:
            return Hits(masks, node, results)  # type: ignore[return-value]
        return self._chosen(node, masks, results, counts)

    def _cell(self, node: TableNode, column: str, cell: str) -> Any:
        return self.policy.tree(node.id, f"column {column}", cell)

    def _row(
        self, node: TableNode, n: int, tested: Sequence[Any], evaluator: Evaluator
    ) -> Mask | None:
        """Return which events fit a row; None for all."""
        mask: Mask | None = None
        evaluator.tested = None
        for column, value, cell in zip(node.inputs, tested, node.rows[n].conditions, strict=True):
            if not cell:
                continue
            at = f"row {node.rows[n].id}, column {column.id}"
            if value is not None:
                evaluator.tested = value
            tree = self.policy.tree(node.id, at, cell, unary=value is not None)
            holds = evaluator.holds(tree)
            if isinstance(value, Value) and value.failed is not None:
                holds = holds & ~value.failed
            mask = holds if mask is None else mask & holds
        return mask

    def _chosen(
        self,
        node: TableNode,
        masks: list[Mask],
        results: list[list[Any]],
        counts: NDArray[np.int64],
    ) -> Context:
        made: Context = {}
        for n, output in enumerate(node.outputs):
            value: Any = None
            for row, mask in enumerate(masks):
                one = results[row][n]
                if one is not None and counts[row]:
                    value = overlaid(value, one, mask, node.id)
            if value is not None:
                _put(made, output.path, value)
        return made


def _put(into: Context, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        into = into.setdefault(name, {})
    into[path[-1]] = value


def _merged(below: Context, above: Any, where: Mask | None) -> Context:
    """Return values over values, for the events of a mask."""
    if isinstance(above, Hits):
        raise ColumnsAreNotCovered(node=above.node.id, what="a collected array without a name")
    made = dict(below)
    for name, value in above.items():
        old = made.get(name)
        if isinstance(value, dict):
            made[name] = _merged(old if isinstance(old, dict) else {}, value, where)
        elif isinstance(value, Hits):
            made[name] = value.limited(where)
        else:
            made[name] = overlaid(old if isinstance(old, Value) else None, value, where, "-")
    return made


def _limited(context: Context, where: Mask | None) -> Context:
    return _merged({}, context, where)


def _columns(context: Context, rows: int, prefix: str = "") -> Iterator[tuple[str, Column]]:
    for name, value in context.items():
        if isinstance(value, dict):
            yield from _columns(value, rows, f"{prefix}{name}.")
        elif isinstance(value, Hits):
            yield prefix + name, value.array(value.constants(), rows).column()
        elif value.kind is not Kind.NOTHING:
            yield prefix + name, value.column()
