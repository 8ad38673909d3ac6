"""What the operators do. A number is an int, a float or, inside of an expression, a Decimal.

Whole numbers stay whole. Arithmetic in which a fraction takes part is decimal, with 28 digits, so
that `0.1 + 0.2 == 0.3`; a float takes part by its shortest decimal form. A result leaves a node as
an int or a float (`plain`). Flags are no numbers. An operation on what it is not made for, and that
includes a missing value, does not answer with a guess: it raises `NotEvaluable`, and whoever asked
decides what that means.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from typing import Any

from steelyard.decisions.model.expression.dates import Instant

LARGEST = 2**96 - 1
"""The largest number, as in the reference engine; beyond it an operation cannot be evaluated."""

MAX_ELEMENTS = 100_000
"""How many elements an interval may have when it is counted out."""

_CONTEXT = Context(
    prec=28, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow]
)
_SMALLEST_EXPONENT = -28


class NotEvaluable(Exception):
    """An expression met a value it is not made for; `str()` says which operation and what."""


@dataclass(frozen=True, slots=True)
class Span:
    """An interval as a value; its ends are two numbers or two instants."""

    left_bracket: str
    left: Any
    right: Any
    right_bracket: str

    def holds(self, value: object) -> bool:
        """Return whether the value lies in it; with a turned left bracket, outside of it."""
        if kind_of(value) != kind_of(self.left):
            if kind_of(value) in ("number", "date"):
                return False
            raise unfit("in", value, self)
        left, right = self.left_bracket, self.right_bracket
        first = less(self.left, value, equal=left == "[") if left in "[(" else less(
            value, self.left, equal=left == "]"
        )  # fmt: skip
        last = less(value, self.right, equal=right == "]") if right in "])" else less(
            self.right, value, equal=right == "["
        )  # fmt: skip
        return first and last if left in "[(" else first or last

    def __str__(self) -> str:
        return f"{self.left_bracket}{text(self.left)}..{text(self.right)}{self.right_bracket}"


def kind_of(value: object) -> str:
    """Return the name of a value's type, as `type()` of the language gives it."""
    found = type(value)
    if value is None:
        return "null"
    if found is bool:
        return "bool"
    if found is int or found is float or found is Decimal:
        return "number"
    if found is str:
        return "string"
    if found is list or found is tuple:
        return "array"
    if isinstance(value, dict):
        return "object"
    if found is Instant:
        return "date"
    return "interval"


def unfit(operation: str, *values: object) -> NotEvaluable:
    """Return the exception for an operation on values it is not made for."""
    return NotEvaluable(f"{operation} of {' and '.join(kind_of(value) for value in values)}")


def is_number(value: object) -> bool:
    """Return whether a value is a number; a flag is not."""
    return type(value) in (int, float, Decimal)


def exact(value: object, operation: str) -> Decimal:
    """Return a number as a decimal; a float by its shortest form."""
    found = type(value)
    if found is int or found is Decimal:
        return Decimal(value)  # type: ignore[arg-type]
    if found is float:
        made = Decimal(repr(value))
        if made.is_finite():
            return made
        raise NotEvaluable(f"{operation} of a number that is not finite")
    raise unfit(operation, value)


def plain(value: object) -> Any:
    """Return a value as it leaves a node: a decimal becomes an int if whole, else a float."""
    found = type(value)
    if found is Decimal:
        whole = int(value)  # type: ignore[call-overload]
        return whole if whole == value else float(value)  # type: ignore[arg-type]
    if found is list or found is tuple or found is range:
        items: Iterable[Any] = value  # type: ignore[assignment]
        return [item if type(item) in _KEPT else plain(item) for item in items]
    if found is dict:
        return {key: plain(item) for key, item in value.items()}  # type: ignore[attr-defined]
    return value


_KEPT = frozenset({str, int, float, bool, type(None)})


def _bounded(value: int, operation: str) -> int:
    if -LARGEST <= value <= LARGEST:
        return value
    raise NotEvaluable(f"{operation} overflows")


def _decimal(value: Decimal, operation: str) -> Decimal:
    if not -LARGEST <= value <= LARGEST:
        raise NotEvaluable(f"{operation} overflows")
    if value.adjusted() < _SMALLEST_EXPONENT:
        return Decimal(0)
    return value


def _is_joined(value: Any) -> bool:
    return type(value) is str or (type(value) is Instant and value.at is not None)


def add(a: Any, b: Any) -> Any:
    """Return a + b, of two numbers or two texts; a date beside a text or a date is a text."""
    if type(a) is int and type(b) is int:
        return _bounded(a + b, "+")
    if _is_joined(a) and _is_joined(b):
        return f"{a}{b}"
    return _decimal(_CONTEXT.add(_operand(a, b, "+"), exact(b, "+")), "+")


def subtract(a: Any, b: Any) -> Any:
    """Return a - b."""
    if type(a) is int and type(b) is int:
        return _bounded(a - b, "-")
    return _decimal(_CONTEXT.subtract(_operand(a, b, "-"), exact(b, "-")), "-")


def multiply(a: Any, b: Any) -> Any:
    """Return a * b."""
    if type(a) is int and type(b) is int:
        return _bounded(a * b, "*")
    return _decimal(_CONTEXT.multiply(_operand(a, b, "*"), exact(b, "*")), "*")


def divide(a: Any, b: Any) -> Any:
    """Return a / b; missing (null) where b is zero."""
    if type(a) is int and type(b) is int and b and not a % b:
        return a // b
    first, second = _operand(a, b, "/"), exact(b, "/")
    return _decimal(_CONTEXT.divide(first, second), "/") if second else None


def remainder(a: Any, b: Any) -> Any:
    """Return what is left of a / b, with the sign of a; missing (null) where b is zero."""
    first, second = _operand(a, b, "%"), exact(b, "%")
    if not second:
        return None
    if type(a) is int and type(b) is int:
        return abs(a) % abs(b) * (1 if a >= 0 else -1)
    try:
        return _decimal(_CONTEXT.remainder(first, second), "%")
    except InvalidOperation:
        raise NotEvaluable("% of numbers too far apart") from None


def power(a: Any, b: Any) -> Any:
    """Return a to the power of b."""
    first, second = _operand(a, b, "^"), exact(b, "^")
    if type(a) is int and type(b) is int and b >= 0:
        if abs(a) > 1 and b > 96:
            raise NotEvaluable("^ overflows")
        return _bounded(a**b, "^")
    if not second:
        return 1
    try:
        return _decimal(_CONTEXT.power(first, second), "^")
    except (InvalidOperation, DivisionByZero, Overflow):
        raise NotEvaluable("^ of these numbers is no number") from None


def _operand(a: object, b: object, operation: str) -> Decimal:
    """Return the first operand; what is unfit is told with both."""
    if not (is_number(a) and is_number(b)):
        raise unfit(operation, a, b)
    return exact(a, operation)


def negate(a: Any) -> Any:
    """Return -a."""
    if type(a) is int:
        return -a
    return exact(a, "-").copy_negate()


def same(a: Any, b: Any) -> bool:
    """Return a == b; values of two types are never equal, nor are arrays and objects."""
    first, second = type(a), type(b)
    if first is second:
        if first is float or first is int or first is str or first is bool or first is Decimal:
            return bool(a == b)
        return a is None or (first is Instant and bool(a == b))
    if is_number(a) and is_number(b):
        if first is Decimal or second is Decimal:
            return exact(a, "==") == exact(b, "==")
        return bool(a == b)
    return False


def less(a: Any, b: Any, *, equal: bool = False) -> bool:
    """Return a < b, or a <= b; of two numbers or two instants."""
    first, second = type(a), type(b)
    if is_number(a) and is_number(b):
        if a != a or b != b:
            raise NotEvaluable("comparison of what is not a number")
        if first is Decimal or second is Decimal:
            a, b = exact(a, "<"), exact(b, "<")
    elif first is not Instant or second is not Instant:
        raise unfit("comparison", a, b)
    return bool(a <= b) if equal else bool(a < b)


def less_or_same(a: Any, b: Any) -> bool:
    """Return a <= b."""
    return less(a, b, equal=True)


def more(a: Any, b: Any) -> bool:
    """Return a > b."""
    return less(b, a)


def more_or_same(a: Any, b: Any) -> bool:
    """Return a >= b."""
    return less(b, a, equal=True)


def coalesce(a: Any, otherwise: Callable[[], Any]) -> Any:
    """Return a, or what stands for it where it is missing."""
    return otherwise() if a is None else a


def within(a: Any, b: Any) -> bool:
    """Return whether a is in b: an array, an interval, or the keys of an object."""
    found = type(b)
    if found is list or found is tuple:
        if kind_of(a) in ("array", "object", "interval"):
            raise unfit("in", a, b)
        return any(same(a, item) for item in b)
    if found is Span:
        return bool(b.holds(a))
    if found is dict and type(a) is str:
        return b.get(a, _ABSENT) is not _ABSENT
    raise unfit("in", a, b)


_ABSENT = object()


def span(left_bracket: str, left: Any, right: Any, right_bracket: str) -> Span:
    """Return an interval."""
    numbers = is_number(left) and is_number(right)
    if not numbers and not (type(left) is Instant and type(right) is Instant):
        raise unfit("interval", left, right)
    return Span(left_bracket, left, right, right_bracket)


def flag(value: Any) -> bool:
    """Return the value, which has to be a flag."""
    if value is True or value is False:
        return bool(value)
    raise unfit("condition", value)


def member(node: Any, key: Any) -> Any:
    """Return `node[key]`; null where there is no such member."""
    if isinstance(node, dict):
        return node.get(key) if type(key) is str else None
    if type(node) is Instant:
        if node.at is None:
            return None
        node = str(node)
    if isinstance(node, list | tuple | str) and is_number(key):
        number = exact(key, "[]")
        if number.is_signed():
            raise NotEvaluable("[] before the beginning")
        place = int(number)
        return node[place] if place < len(node) else None
    return None


def index(value: Any) -> int:
    """Return a number as a place, without what follows its point."""
    number = exact(value, "[:]")
    if number.is_signed():
        raise NotEvaluable("[:] before the beginning")
    return int(number)


def part(node: Any, first: int | None, last: int | None) -> Any:
    """Return `node[first:last]`, both ends included; None for an end is the end itself."""
    if type(node) is Instant:
        node = str(node)
    if not isinstance(node, list | tuple | str):
        raise unfit("[:]", node)
    begin = 0 if first is None else first
    end = len(node) - 1 if last is None else last
    if begin < 0 or end < 0 or end >= len(node) or begin > end + 1:
        raise NotEvaluable("[:] is out of range")
    return node[begin : end + 1]


def elements(value: Any) -> Sequence[Any]:
    """Return what a closure goes through: an array, or the whole numbers of an interval."""
    if isinstance(value, list | tuple):
        return value
    if type(value) is Span and value.left_bracket in "[(" and value.right_bracket in "])":
        if type(value.left) is Instant:
            raise NotEvaluable("an interval of dates is not counted out")
        begin = int(exact(value.left, "..")) + (value.left_bracket == "(")
        end = int(exact(value.right, "..")) - (value.right_bracket == ")")
        if end - begin >= MAX_ELEMENTS:
            raise NotEvaluable(f"an interval of more than {MAX_ELEMENTS} elements")
        return range(begin, end + 1)
    raise unfit("closure", value)


def every(answers: Iterable[Any]) -> bool:
    """Return whether all answers are true; the first that is not ends it."""
    return all(flag(answer) for answer in answers)


def any_of(answers: Iterable[Any]) -> bool:
    """Return whether an answer is true; the first that is ends it."""
    return any(flag(answer) for answer in answers)


def number_of(answers: Iterable[Any]) -> int:
    """Return how many answers are true."""
    return sum(flag(answer) for answer in answers)


def text(value: Any) -> str:
    """Return a value as text, as templates and `string()` show it."""
    found = type(value)
    if found is str:
        return str(value)
    if value is None:
        return "null"
    if found is bool:
        return "true" if value else "false"
    if found is int:
        return str(value)
    if found is float and value.is_integer():
        return str(int(value))
    if found is float or found is Decimal:
        return format(exact(value, "string"), "f")
    if found is Instant:
        return str(value)
    raise unfit("string", value)


def joined(*parts: Any) -> str:
    """Return the text of a template."""
    return "".join(map(text, parts))


def made(*items: Any) -> dict[str, Any]:
    """Return an object of keys and values that take turns."""
    return {text(items[n]): items[n + 1] for n in range(0, len(items), 2)}


def place(points: Sequence[Any], value: Any) -> int:
    """Return where a number lies among sorted points: 2n + 1 on point n, 2n just before it."""
    at = bisect_left(points, value)
    return 2 * at + (at < len(points) and bool(points[at] == value))
