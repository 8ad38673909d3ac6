"""Form bodies with brackets, as clients of Stripe send them, read into nested values.

`metadata[order]=7&items[0][price]=5&expand[]=customer` is a tree of dicts, lists and texts; what
a route asks of it is read by name, and what nobody asked for is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from steelyard.payments.model.stripe_refusals import FacadeParameterIsWrong

MOST_FIELDS: Final = 500
MOST_KEYS: Final = 50
LONGEST_KEY: Final = 40
LONGEST_VALUE: Final = 500
_NAME: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")

Tree = dict[str, Any]


def read_form(text: str) -> Tree:
    """Return the tree of a form body or query.

    Refusals
    --------
    facade_parameter_is_wrong

    Examples
    --------
    >>> read_form("a[b]=1&a[c][]=2&a[c][]=3&d[0][e]=4&f=")
    {'a': {'b': '1', 'c': ['2', '3']}, 'd': [{'e': '4'}], 'f': ''}
    """
    try:
        pairs = parse_qsl(
            text,
            keep_blank_values=True,
            strict_parsing=False,
            max_num_fields=MOST_FIELDS,
            errors="strict",
        )
    except ValueError:
        raise FacadeParameterIsWrong(param="body", what="it is no form") from None
    tree: Tree = {}
    for name, value in pairs:
        found = _NAME.fullmatch(name)
        if found is None or "\x00" in value or "\x00" in name:
            raise FacadeParameterIsWrong(param=name[:60], what="it is not of the form name[key]")
        _put(tree, [found[1], *_PART.findall(found[2])], value, name)
    listed = _listed(tree)
    assert isinstance(listed, dict), "a form is a mapping"
    return listed


def _put(tree: Tree, path: list[str], value: str, name: str) -> None:
    """Put a value at its place; lists are mappings of numbers until all is read."""
    node: Tree = tree
    for step in path[:-1]:
        below = node.setdefault(step or str(len(node)), {})
        if not isinstance(below, dict):
            raise FacadeParameterIsWrong(param=name[:60], what="it is a value and a mapping")
        node = below
    last = path[-1] or str(len(node))
    if isinstance(node.get(last), dict):
        raise FacadeParameterIsWrong(param=name[:60], what="it is a value and a mapping")
    node[last] = value


def _listed(node: Any) -> Any:
    if not isinstance(node, dict):
        return node
    if node and all(key.isdecimal() and len(key) < 4 for key in node):
        return [_listed(node[key]) for key in sorted(node, key=int)]
    return {key: _listed(value) for key, value in node.items()}


@dataclass(slots=True)
class Params:
    """What a request says; every value is asked for once, and what is left is refused.

    Parameters
    ----------
    at : the name of the mapping within the request, for what is told of it
    """

    tree: Tree
    at: str = ""
    _asked: set[str] = field(default_factory=set)

    def name(self, key: str) -> str:
        """Return how a value is named in the request."""
        return f"{self.at}[{key}]" if self.at else key

    def wrong(self, key: str, what: str) -> FacadeParameterIsWrong:
        """Return the refusal of a value."""
        return FacadeParameterIsWrong(param=self.name(key), what=what)

    def has(self, key: str) -> bool:
        """Whether the request says anything of it."""
        return key in self.tree

    def text(self, key: str, *, most: int = 500) -> str | None:
        """Return a text; None where it was not sent, empty where it was sent empty.

        Refusals
        --------
        facade_parameter_is_wrong
        """
        self._asked.add(key)
        value = self.tree.get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise self.wrong(key, "it has to be a text")
        if len(value) > most:
            raise self.wrong(key, f"it has more than {most} characters")
        return value

    def needed(self, key: str, *, most: int = 500) -> str:
        """Return a text that has to be there."""
        value = self.text(key, most=most)
        if not value:
            raise self.wrong(key, "it is missing")
        return value

    def choice(self, key: str, known: Iterable[str]) -> str | None:
        """Return one of some words."""
        value = self.text(key)
        names = tuple(known)
        if value is not None and value not in names:
            raise self.wrong(key, f"it has to be one of {', '.join(names)}")
        return value

    def number(self, key: str, *, least: int, most: int) -> int | None:
        """Return a whole number."""
        value = self.text(key, most=40)
        if value is None:
            return None
        if not re.fullmatch(r"-?[0-9]{1,18}", value):
            raise self.wrong(key, "it has to be a whole number")
        if not least <= int(value) <= most:
            raise self.wrong(key, f"it has to be between {least} and {most}")
        return int(value)

    def flag(self, key: str) -> bool | None:
        """Return a yes or no."""
        value = self.choice(key, ("true", "false"))
        return None if value is None else value == "true"

    def texts(self, key: str) -> tuple[str, ...] | None:
        """Return a list of texts; an empty text is an empty list."""
        self._asked.add(key)
        value = self.tree.get(key)
        if value is None:
            return None
        if value == "":
            return ()
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise self.wrong(key, "it has to be a list of texts")
        return tuple(value)

    def inner(self, key: str) -> Params | None:
        """Return what a mapping says; None where it was not sent."""
        self._asked.add(key)
        value = self.tree.get(key)
        if value is None or value == "":
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "it has to be a mapping")
        return Params(value, self.name(key))

    def metadata(self) -> dict[str, str] | None:
        """Return what a client keeps with an object; None where it was not sent.

        An empty value takes its key out; `metadata=` takes all of them out.
        """
        if self.tree.get("metadata") == "":
            self._asked.add("metadata")
            return {}
        found = self.inner("metadata")
        if found is None:
            return None
        kept: dict[str, str] = {}
        for key in found.tree:
            if len(key) > LONGEST_KEY:
                raise found.wrong(key[:60], f"its key has more than {LONGEST_KEY} characters")
            kept[key] = found.text(key, most=LONGEST_VALUE) or ""
        if len(kept) > MOST_KEYS:
            raise self.wrong("metadata", f"it has more than {MOST_KEYS} keys")
        return kept

    def ignore(self, *keys: str) -> None:
        """Take parameters that change nothing here."""
        self._asked.update(keys)

    def done(self) -> None:
        """Refuse what nobody asked for.

        Refusals
        --------
        facade_parameter_is_wrong
        """
        for key in self.tree:
            if key not in self._asked:
                raise self.wrong(key[:60], "there is no such parameter")


def merged(before: Mapping[str, str], told: Mapping[str, str] | None) -> dict[str, str]:
    """Return metadata after a change: what is told replaces, an empty value takes out.

    Examples
    --------
    >>> merged({"a": "1", "b": "2"}, {"b": "", "c": "3"})
    {'a': '1', 'c': '3'}
    """
    if told is None:
        return dict(before)
    if not told:
        return {}
    return {key: value for key, value in {**before, **told}.items() if value}
