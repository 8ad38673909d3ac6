"""Sub-policies: a document asked inside another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steelyard.decisions.model.compile import Answer, Compiled, Kinds, compile_document
from steelyard.decisions.model.document import CustomNode, Document
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.policy import Told, given_by
from steelyard.decisions.nodes.settings import Settings


@dataclass(frozen=True, slots=True)
class PreparedSubPolicy:
    """A compiled document, ready to be asked."""

    compiled: Compiled
    reads: tuple[str, ...]
    codes: tuple[str, ...]
    writes: Mapping[str, str]
    versions: Mapping[str, str]
    asks: Mapping[str, str]

    def answer(self, values: Mapping[str, Any]) -> Answer:
        """Return what its document gives, its hits as `node/row`.

        Raises
        ------
        NotEvaluable : it gives no object
        """
        found = self.compiled.run(dict(values))
        if not isinstance(found.result, dict):
            raise NotEvaluable("the sub-policy gives no object")
        hits = tuple(f"{hit.node}/{hit.row}" for hit in found.hits)
        return Answer(found.result, hits, {"notes": [list(note) for note in found.notes]})


class SubPolicyKind:
    """Kind `decision`: `{"key"}`, the name of a document that is at hand.

    Parameters
    ----------
    documents : by key
    kinds : of the nodes in them; a sub-policy asks no further sub-policy, so that none asks itself
    """

    def __init__(self, documents: Mapping[str, Document], kinds: Kinds) -> None:
        self._documents = dict(documents)
        self._kinds = dict(kinds)

    def prepare(self, node: CustomNode) -> PreparedSubPolicy:
        """Return the document of a node, compiled."""
        settings = Settings.of(node, "key")
        key = settings.get("key", str)
        document = self._documents.get(key)
        if document is None:
            raise settings.refused(f"there is no document {key}")
        compiled = compile_document(document, self._kinds)
        given = given_by(compiled)
        inner = [one for one in compiled.nodes.values() if isinstance(one, Told)]
        versions = {f"document.{key}": document.hash}
        asks: dict[str, str] = {}
        for one in inner:
            versions |= one.versions
            asks |= one.asks
        return PreparedSubPolicy(
            compiled=compiled,
            reads=tuple(sorted(compiled.reads - given)),
            codes=tuple(dict.fromkeys(code for one in inner for code in one.codes)),
            writes=dict.fromkeys(sorted(given), "any"),
            versions=versions,
            asks=asks,
        )
