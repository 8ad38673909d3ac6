"""A whole document as two generated functions: a fast one, and one with the trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steelyard.decisions.model.compile.answer import (
    Evaluation,
    Failure,
    ToldEvaluation,
    TracedEvaluation,
)
from steelyard.decisions.model.compile.function import Writer
from steelyard.decisions.model.compile.kinds import Kinds, Prepared
from steelyard.decisions.model.document import (
    CustomNode,
    Document,
)
from steelyard.kernel import Refusal, RefusalKind


class NodeKindIsUnknown(Refusal):
    """A document names a kind of node that is not registered."""

    kind = RefusalKind.INVALID
    en = "Node {node} is of kind {name}, which is not registered."
    zh = "节点 {node} 的类型 {name} 未注册。"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled document.

    Attributes
    ----------
    document : what was compiled
    reads : names of the values that come in that any node may read
    nodes : the prepared nodes of registered kinds, by id
    run : values to `Evaluation`; values is a dict, a name that is not in it is missing
    trace : values to `TracedEvaluation`, of equal result, hits and notes
    sources : the generated Python of both, for people who want to see it
    """

    document: Document
    reads: frozenset[str]
    nodes: Mapping[str, Prepared]
    run: Callable[[dict[str, Any]], Evaluation]
    trace: Callable[[dict[str, Any]], TracedEvaluation]
    sources: tuple[str, str] = field(repr=False)
    _every: Callable[[], Callable[[dict[str, Any]], TracedEvaluation]] = field(repr=False)
    _telling: Callable[[frozenset[str]], Callable[[dict[str, Any]], ToldEvaluation]] = field(
        repr=False
    )

    def telling(self, recorded: frozenset[str]) -> Callable[[dict[str, Any]], ToldEvaluation]:
        """Return a function like `trace` that says the same in the form of a record.

        What it read it leaves out where the name is among `recorded`.
        """
        return self._telling(recorded)

    def why_not(self, values: dict[str, Any], node: str, row: str) -> Failure | None:
        """Return the first condition of a row that does not hold; None if the row was hit.

        The table is gone through row after row, however long it is, the rows behind the first
        hit as well. None, too, where the node did not run.
        """
        found = self._every()(values).failures
        return next((one for one in found if one.node == node and one.row == row), None)


def compile_document(document: Document, kinds: Kinds | None = None) -> Compiled:
    """Return a document, compiled to Python functions.

    Parameters
    ----------
    document : the parsed document
    kinds : registered kinds of nodes, by the name documents call them by

    Refusals
    --------
    document_is_malformed
        An expression in it is malformed or not covered; says at which node, row and column.
    node_kind_is_unknown
        A node is of a kind that is not registered.

    Examples
    --------
    >>> from steelyard.decisions.model.document import parse_document
    >>> nodes = [
    ...     {"id": "i", "type": "inputNode"},
    ...     {"id": "e", "type": "expressionNode",
    ...      "content": {"expressions": [{"id": "1", "key": "twice", "value": "a * 2"}]}},
    ...     {"id": "o", "type": "outputNode"},
    ... ]
    >>> edges = [{"sourceId": "i", "targetId": "e"}, {"sourceId": "e", "targetId": "o"}]
    >>> compiled = compile_document(parse_document({"nodes": nodes, "edges": edges}))
    >>> compiled.run({"a": 21}).result
    {'twice': 42}
    >>> compiled.run({}).notes
    (Note(node='e', entry='1', why='* of null and number'),)
    """
    prepared = _prepared(document, kinds or {})
    fast = Writer(document, prepared, traced=False, indexed=True)
    run, source = fast.function()
    traced = Writer(document, prepared, traced=True, indexed=True)
    trace, traced_source = traced.function()
    every: list[Any] = []

    def all_rows() -> Callable[[dict[str, Any]], TracedEvaluation]:
        if not every:
            whole = Writer(document, prepared, traced=True, indexed=False)
            every.append(whole.function()[0])
        found: Callable[[dict[str, Any]], TracedEvaluation] = every[0]
        return found

    def telling(recorded: frozenset[str]) -> Callable[[dict[str, Any]], ToldEvaluation]:
        told = Writer(document, prepared, traced=True, indexed=True, recorded=recorded)
        return told.function()[0]

    reads = frozenset(fast.reads)
    sources = (source, traced_source)
    return Compiled(document, reads, prepared, run, trace, sources, all_rows, telling)


def _prepared(document: Document, kinds: Kinds) -> dict[str, Prepared]:
    found = {}
    for node in document.nodes:
        if isinstance(node, CustomNode):
            if node.kind not in kinds:
                raise NodeKindIsUnknown(node=node.id, name=node.kind)
            found[node.id] = kinds[node.kind].prepare(node)
    return found
