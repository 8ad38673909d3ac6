"""What a compiled policy answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple


class Hit(NamedTuple):
    """A row of a table that held, a statement of a switch, or what a node of its own kind named."""

    node: str
    row: str


class Failure(NamedTuple):
    """The first condition of a row that did not hold."""

    node: str
    row: str
    column: str


class Note(NamedTuple):
    """What could not be evaluated, because a value was missing or of another type.

    Its result is missing: it is never zero, and never left out in silence.
    """

    node: str
    entry: str
    why: str


class NodeTrace(NamedTuple):
    """What a node looked at and answered.

    Attributes
    ----------
    node : its id
    read : the values it looked at, by the name or expression they have in the document
    missing : those of them that were missing, in their order
    answer : what it answered
    detail : what a node of a registered kind adds
    """

    node: str
    read: Mapping[str, Any]
    missing: tuple[str, ...]
    answer: Any
    detail: Any = None


class Evaluation(NamedTuple):
    """The answer of a policy.

    Attributes
    ----------
    result : what the document gives: int, float, str, bool, None, lists and dicts of them
    hits : rows that held, in the order in which they were met
    notes : what could not be evaluated
    """

    result: Any
    hits: tuple[Hit, ...]
    notes: tuple[Note, ...]


class TracedEvaluation(NamedTuple):
    """The answer of a policy, with how it came about.

    Attributes
    ----------
    result, hits, notes : as of an `Evaluation`, and equal to it
    nodes : what each node looked at, in the order in which they ran; nodes behind a closed switch
        are not in it
    failures : the first failed condition of each row of the small tables; ask `why_not` for others
    """

    result: Any
    hits: tuple[Hit, ...]
    notes: tuple[Note, ...]
    nodes: tuple[NodeTrace, ...]
    failures: tuple[Failure, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The values that were read and missing, each once."""
        return tuple(dict.fromkeys(name for node in self.nodes for name in node.missing))


class ToldEvaluation(NamedTuple):
    """The answer of a policy, with how it came about in the form of a record.

    Attributes
    ----------
    result, notes : as of a `TracedEvaluation`
    hits, failures : as paths, `node/row` and `node/row/column`
    read : what nodes looked at and is not recorded elsewhere, by name
    missing : names that were looked at and missing, each once
    details : what nodes of registered kinds add, by node
    """

    result: Any
    hits: list[str]
    failures: list[str]
    read: dict[str, Any]
    missing: list[str]
    notes: list[Note]
    details: dict[str, Any]
