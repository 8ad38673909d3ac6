"""The syntax tree of an expression: frozen values, and nothing that is not on this page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant: null, flag, whole number, fraction or text."""

    value: bool | int | Decimal | str | None


@dataclass(frozen=True, slots=True)
class Name:
    """A value of the context; `$` is the tested value, and a closure's alias is a name too."""

    name: str


@dataclass(frozen=True, slots=True)
class Root:
    """The whole context, `$root`."""


@dataclass(frozen=True, slots=True)
class Pointer:
    """The element a closure looks at, `#`."""


@dataclass(frozen=True, slots=True)
class Member:
    """`node.key` and `node[key]`."""

    node: Node
    key: Node


@dataclass(frozen=True, slots=True)
class Slice:
    """`node[first:last]`, both ends included."""

    node: Node
    first: Node | None
    last: Node | None


@dataclass(frozen=True, slots=True)
class Array:
    """`[a, b]`."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Object:
    """`{a: 1, [key]: 2}`."""

    items: tuple[tuple[Node, Node], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """Text with expressions in it."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Interval:
    """`[a..b]`; an end may be open, and with both brackets turned it is what lies outside."""

    left_bracket: str
    left: Node
    right: Node
    right_bracket: str


@dataclass(frozen=True, slots=True)
class Unary:
    """`-a`, `+a`, `not a`."""

    operator: str
    node: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """`a + b`, `a < b`, `a and b`, `a in b`, `a ?? b`."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Conditional:
    """`condition ? then : otherwise`."""

    condition: Node
    then: Node
    otherwise: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A built-in function."""

    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Closure:
    """`map(source, body)` and its kin; the body is asked once for each element."""

    function: str
    source: Node
    alias: str | None
    body: Node


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a date."""

    method: str
    node: Node
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Grouped:
    """A parenthesis, kept because the unary mode looks at it."""

    node: Node


Node = (
    Literal
    | Name
    | Root
    | Pointer
    | Member
    | Slice
    | Array
    | Object
    | Template
    | Interval
    | Unary
    | Binary
    | Conditional
    | Call
    | Closure
    | Method
    | Grouped
)


def children(node: Node) -> Iterator[Node]:
    """Yield the nodes directly under a node."""
    for field in fields(node):
        yield from _nodes(getattr(node, field.name))


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
    elif isinstance(value, Node):
        yield value


def bare(node: Node) -> Node:
    """Return the node inside any parentheses."""
    while isinstance(node, Grouped):
        node = node.node
    return node


def names(node: Node) -> frozenset[str]:
    """Return the names an expression reads from its context; aliases are not among them.

    Examples
    --------
    >>> from steelyard.decisions.model.expression import parse
    >>> sorted(names(parse("a.b + sum(map(c as x, x * d))")))
    ['a', 'c', 'd']
    """
    return frozenset(_names(node, frozenset()))


def _names(node: Node, bound: frozenset[str]) -> Iterator[str]:
    if isinstance(node, Name):
        if node.name not in bound:
            yield node.name
    elif isinstance(node, Closure):
        yield from _names(node.source, bound)
        inner = bound if node.alias is None else bound | {node.alias}
        yield from _names(node.body, inner)
    else:
        for child in children(node):
            yield from _names(child, bound)


def reads_root(node: Node) -> bool:
    """Return whether the expression looks at its whole context."""
    return isinstance(node, Root) or any(reads_root(child) for child in children(node))


def replaced(node: Node, by: Callable[[Node], Node | None]) -> Node:
    """Return a tree with some of its nodes replaced: those for which another is given."""
    other = by(node)
    if other is not None:
        return other
    changed = {field.name: _replaced(getattr(node, field.name), by) for field in fields(node)}
    return type(node)(**changed)


def _replaced(value: Any, by: Callable[[Node], Node | None]) -> Any:
    if isinstance(value, tuple):
        return tuple(_replaced(item, by) for item in value)
    return replaced(value, by) if isinstance(value, Node) else value
