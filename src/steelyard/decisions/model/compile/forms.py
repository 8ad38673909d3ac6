"""What a condition of a table is, seen from the index: values it equals, or a range it lies in.

Such conditions are written as plain comparisons, without a call. Each value has two variables: the
value itself, and the value as a number, which is not-a-number if it is none; a comparison with
that does not hold, which is what a missing value, or one of another type, has to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from steelyard.decisions.model.expression.generate import Constants
from steelyard.decisions.model.expression.tree import (
    Array,
    Binary,
    Interval,
    Literal,
    Name,
    Node,
    Unary,
    bare,
)

_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True, slots=True)
class Equal:
    """The value is one of these texts or numbers."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """The value is a number between these; None is no bound."""

    least: int | float | None = None
    over: bool = False
    most: int | float | None = None
    under: bool = False


Form = Equal | Range


def number_of(node: Node) -> int | float | None:
    """Return the number a tree is, with its sign; None when it is no literal number."""
    node = bare(node)
    if isinstance(node, Unary) and node.operator in "+-":
        inner = number_of(node.node)
        return -inner if inner is not None and node.operator == "-" else inner
    if isinstance(node, Literal) and type(node.value) is int:
        return node.value
    if isinstance(node, Literal) and isinstance(node.value, Decimal):
        return float(node.value)
    return None


def scalar_of(node: Node) -> Any:
    """Return the number or text a tree is; None when it is neither."""
    node = bare(node)
    if isinstance(node, Literal) and isinstance(node.value, str):
        return node.value
    return number_of(node)


def name_of(node: Node) -> str | None:
    """Return the name a tree is; None when it is more than a name."""
    node = bare(node)
    return node.name if isinstance(node, Name) else None


def form_of(node: Node, name: str = "$") -> Form | None:
    """Return the form of a condition on a name; None when it has none.

    Examples
    --------
    >>> from steelyard.decisions.model.expression import parse_unary
    >>> form_of(parse_unary("'a', 'b'"))
    Equal(values=('a', 'b'))
    >>> form_of(parse_unary("[5..9)"))
    Range(least=5, over=False, most=9, under=True)
    """
    node = bare(node)
    if not isinstance(node, Binary):
        return None
    if node.operator in ("or", "and"):
        return _joined(node, name)
    if name_of(node.left) != name:
        return None
    right = bare(node.right)
    if node.operator == "==":
        value = scalar_of(right)
        return None if value is None else Equal((value,))
    if node.operator == "in":
        return _membership(right)
    bound = number_of(right)
    if bound is None:
        return None
    bounds = {
        ">": Range(bound, True),
        ">=": Range(bound),
        "<": Range(None, False, bound, True),
        "<=": Range(None, False, bound),
    }
    return bounds.get(node.operator)


def _joined(node: Binary, name: str) -> Form | None:
    left, right = form_of(node.left, name), form_of(node.right, name)
    if node.operator == "or" and isinstance(left, Equal) and isinstance(right, Equal):
        return Equal((*left.values, *right.values))
    if node.operator == "and" and isinstance(left, Range) and isinstance(right, Range):
        if left.most is None and right.least is None:
            return Range(left.least, left.over, right.most, right.under)
        if left.least is None and right.most is None:
            return Range(right.least, right.over, left.most, left.under)
    return None


def _membership(node: Node) -> Form | None:
    if isinstance(node, Array) and node.items:
        values = tuple(scalar_of(item) for item in node.items)
        return None if None in values else Equal(values)
    if isinstance(node, Interval) and node.left_bracket in "[(" and node.right_bracket in "])":
        least, most = number_of(node.left), number_of(node.right)
        if least is not None and most is not None:
            return Range(least, node.left_bracket == "(", most, node.right_bracket == ")")
    return None


class Plain:
    """Writes conditions as plain comparisons, where they are such.

    Parameters
    ----------
    constants : the table the constants go to
    value : the variable of a name
    number : the variable of a name as a number
    """

    def __init__(
        self, constants: Constants, value: Callable[[str], str], number: Callable[[str], str]
    ) -> None:
        self._constants = constants
        self._value = value
        self._number = number

    def write(self, node: Node) -> str | None:
        """Return a Python condition that cannot fail; None when the tree is more than plain."""
        node = bare(node)
        if isinstance(node, Literal) and isinstance(node.value, bool):
            return repr(node.value)
        if not isinstance(node, Binary):
            return None
        if node.operator in ("and", "or"):
            # What fails in the reference fails as a whole; here it only does not hold.
            if node.operator == "or" and _can_fail(node.left) and _numeric(node) is None:
                return None
            left, right = self.write(node.left), self.write(node.right)
            return None if left is None or right is None else f"({left} {node.operator} {right})"
        return self._comparison(node)

    def _comparison(self, node: Binary) -> str | None:
        name, operator, right = name_of(node.left), node.operator, bare(node.right)
        if name is None and operator in _TURNED:
            name, operator, right = name_of(right), _TURNED[operator], bare(node.left)
        if name is None:
            return None
        if operator in ("==", "!=") and isinstance(right, Literal) and not _scalar(right):
            return f"{self._value(name)} is {'not ' * (operator == '!=')}{right.value!r}"
        if operator in ("==", "!="):
            return self._equal(name, scalar_of(right), operator)
        form = form_of(Binary(operator, Name(name), right), name)
        if isinstance(form, Range):
            return self._range(name, form)
        return None if form is None else self._one_of(name, form)

    def _equal(self, name: str, value: Any, operator: str) -> str | None:
        if value is None:
            return None
        variable = self._value(name) if isinstance(value, str) else self._number(name)
        return f"{variable} {operator} {self._constants.of(value)}"

    def _one_of(self, name: str, form: Equal) -> str:
        texts = tuple(value for value in form.values if isinstance(value, str))
        numbers = tuple(value for value in form.values if not isinstance(value, str))
        found = []
        if texts:
            found.append(f"{self._value(name)} in {self._constants.of(texts)}")
        if numbers:
            found.append(f"{self._number(name)} in {self._constants.of(numbers)}")
        return found[0] if len(found) == 1 else f"({' or '.join(found)})"

    def _range(self, name: str, form: Range) -> str:
        number, constant = self._number(name), self._constants.of
        parts = []
        if form.least is not None:
            parts.append(f"{constant(form.least)} {'<' if form.over else '<='} {number}")
        if form.most is not None:
            sign = "<" if form.under else "<="
            bound = constant(form.most)
            parts.append(f"{sign} {bound}" if parts else f"{number} {sign} {bound}")
        return " ".join(parts)


def _scalar(node: Literal) -> bool:
    return node.value is not None and not isinstance(node.value, bool)


def _can_fail(node: Node) -> bool:
    """Return whether a plain condition fails on a value that is no number: an order does."""
    node = bare(node)
    if isinstance(node, Binary) and node.operator in ("and", "or"):
        return _can_fail(node.left) or _can_fail(node.right)
    return not (isinstance(node, Binary) and node.operator in ("==", "!=")) and not (
        isinstance(node, Binary) and isinstance(bare(node.right), Array)
    )


def _numeric(node: Node) -> str | None:
    """Return the one name a condition is about, if it can hold for a number only."""
    node = bare(node)
    if not isinstance(node, Binary):
        return None
    if node.operator in ("and", "or"):
        left, right = _numeric(node.left), _numeric(node.right)
        return left if left == right else None
    name = name_of(node.left)
    form = None if name is None else form_of(node, name)
    if isinstance(form, Equal):
        return None if any(isinstance(value, str) for value in form.values) else name
    return name if isinstance(form, Range) else None
