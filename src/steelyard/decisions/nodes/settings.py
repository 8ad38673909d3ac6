"""How kinds of nodes read their settings: every name is known, every value has its type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from steelyard.decisions.model.document import (
    CustomNode,
    DocumentIsMalformed,
    canonical,
    malformed,
)
from steelyard.decisions.model.registered import ModelIsNotApproved, ModelIsUnknown

SHAPING = frozenset({"inputField", "outputPath", "executionMode", "passThrough"})
"""Settings that the document itself has read."""
T = TypeVar("T")
Models = Callable[[str], str]
"""From `name@version` to the flat form of a registered model; refuses what is not registered."""


def no_models(reference: str) -> str:
    """Refuse: no registry is at hand."""
    raise ModelIsUnknown(model=reference)


class Settings:
    """The settings of a node, or an object in them; refuses what is not asked for.

    Parameters
    ----------
    node : id of the node
    values : the object
    known : the names it may have
    at : where the object stands in the node
    """

    def __init__(self, node: str, values: Any, *known: str, at: str = "config") -> None:
        self._node = node
        self._at = at
        if not isinstance(values, Mapping):
            raise self.refused("an object is expected")
        self._values: Mapping[str, Any] = values
        for name in values:
            if name not in known:
                raise self.refused(f"there is no setting {name}")

    @classmethod
    def of(cls, node: CustomNode, *known: str) -> Settings:
        """Return those of a node."""
        return cls(node.id, node.settings, *known, *SHAPING)

    def refused(self, why: str) -> DocumentIsMalformed:
        """Return the refusal of these settings."""
        return malformed(self._node, self._at, why)

    def has(self, name: str) -> bool:
        """Return whether a setting is there."""
        return self._values.get(name) is not None

    def get(self, name: str, expected: type[T]) -> T:
        """Return a setting of a type; a flag is no whole number."""
        value = self._values.get(name)
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise self.refused(f"{name} has to be {_WORDS.get(expected, expected.__name__)}")
        if value == "":
            raise self.refused(f"{name} is empty")
        return value

    def form(self, name: str, models: Models) -> str:
        """Return the JSON of a model, which stands here or is named as `name@version`."""
        if not isinstance(self._values.get(name), str):
            return canonical(self.get(name, dict))
        try:
            return models(self.get(name, str))
        except (ModelIsUnknown, ModelIsNotApproved) as refused:
            raise self.refused(refused.sentence("en")) from refused

    def whole(self, name: str, default: int | None = None) -> int:
        """Return a whole number that is not below zero."""
        if default is not None and not self.has(name):
            return default
        value = self.get(name, int)
        if value < 0:
            raise self.refused(f"{name} lies below zero")
        return value

    def objects(self, name: str, *known: str) -> list[Settings]:
        """Return a list of objects that is not empty."""
        found = self.get(name, list)
        if not found:
            raise self.refused(f"{name} is empty")
        return [Settings(self._node, one, *known, at=f"{name}, {n + 1}")
                for n, one in enumerate(found)]  # fmt: skip

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self.get(name, list)
        if not all(isinstance(one, str) and one for one in found):
            raise self.refused(f"{name} has to be a list of texts")
        return tuple(found)


_WORDS: Mapping[type, str] = {
    int: "a whole number",
    str: "a text",
    list: "a list",
    bool: "true or false",
    dict: "an object",
}
