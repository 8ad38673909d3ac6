"""The port for kinds of nodes of our own: scorecards, models, lists, limits, sub-policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from steelyard.decisions.model.document import CustomNode


class Answer(NamedTuple):
    """What a node answers.

    Attributes
    ----------
    values : what it gives, by name; they are laid over those before it as any node's are
    hits : ids of what held in it: bins, list entries, rules of a sub-policy
    detail : goes into the trace as it is; JSON values only
    """

    values: Mapping[str, Any]
    hits: tuple[str, ...] = ()
    detail: Any = None


class Prepared(Protocol):
    """A node made ready to answer; pure: the same values give the same answer."""

    @property
    def reads(self) -> tuple[str, ...]:
        """Names of the values it looks at."""
        ...

    @property
    def writes(self) -> Mapping[str, str]:
        """What it gives: name to type, which is `number`, `text`, `flag` or `any`."""
        ...

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return the answer for the values; `NotEvaluable` makes it missing, with a note."""
        ...


class NodeKind(Protocol):
    """A kind of node; registered by the name a document calls it by.

    It is asked when a document is compiled, refuses settings that it does not understand, and
    returns the node prepared. A kind that can also answer for whole columns returns what is a
    `columns.ColumnPrepared` too.
    """

    def prepare(self, node: CustomNode) -> Prepared:
        """Return a node ready to answer; refuse settings that are not understood."""
        ...


Kinds = Mapping[str, NodeKind]
