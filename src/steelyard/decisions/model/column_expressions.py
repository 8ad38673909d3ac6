"""Expressions over columns: each operation once for all events, with masks of what failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.column_refusals import ColumnsAreNotCovered
from steelyard.decisions.model.column_values import Hits, Kind, Mask, Value, common, either
from steelyard.decisions.model.compile.forms import number_of
from steelyard.decisions.model.expression import NotEvaluable
from steelyard.decisions.model.expression.compiled import evaluate_tree
from steelyard.decisions.model.expression.tree import (
    Array,
    Binary,
    Call,
    Closure,
    Conditional,
    Grouped,
    Interval,
    Literal,
    Member,
    Name,
    Node,
    Pointer,
    Unary,
    bare,
    names,
    replaced,
)

_NEAR = 1e-9
"""How near, relative to its size, a computed fraction may lie to what the decimal one is."""
_LEAST = 1e-27
"""How near in any case: the decimal one has 28 places, and is zero under them."""

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
    "==": np.equal,
}
_SAFE = 2.0**62


class Evaluator:
    """Evaluates the expressions of a node.

    Parameters
    ----------
    node : its id
    context : values by name; a dict is an object
    rows : how many events
    doubted : told of events in which a computed fraction came too near to decide
    bodies : what the bodies of closures give for each row of a table, kept from part to part
    """

    def __init__(
        self,
        node: str,
        context: dict[str, Any],
        rows: int,
        doubted: Callable[[Mask], None],
        bodies: dict[int, list[Any]],
    ) -> None:
        self.node = node
        self.context = context
        self.rows = rows
        self.tested: Any = None
        self._doubted = doubted
        self._bodies = bodies

    def holds(self, tree: Node) -> Mask:
        """Return the events in which a tree is true; where it fails or is no flag, it is not."""
        value = self.value(tree)
        if not isinstance(value, Value) or value.kind is not Kind.FLAG:
            return np.zeros(self.rows, np.bool_)
        mask = value.values if np.ndim(value.values) else np.full(self.rows, value.values)
        for none in (value.nothing, value.failed):
            if none is not None:
                mask = mask & ~none
        return mask

    def value(self, tree: Node) -> Any:
        """Return a `Value`; a dict for an object, `Hits` for a collected array."""
        tree = bare(tree)
        method = getattr(self, f"_{type(tree).__name__.lower()}", None)
        if method is None:
            raise self._not_covered(f"an expression with {type(tree).__name__.lower()}")
        return method(tree)

    def _not_covered(self, what: str) -> ColumnsAreNotCovered:
        return ColumnsAreNotCovered(node=self.node, what=what)

    def _one(self, tree: Node) -> Value:
        value = self.value(tree)
        if isinstance(value, Value):
            return value
        raise self._not_covered("an operation on an object or an array")

    # -- leaves ------------------------------------------------------------------------------

    def _literal(self, tree: Literal) -> Value:
        number = number_of(tree)
        return Value.constant(tree.value if number is None else number, self.rows)

    def _name(self, tree: Name) -> Any:
        found = self.tested if tree.name == "$" else self.context.get(tree.name)
        return Value.constant(None, self.rows) if found is None else found

    def _member(self, tree: Member) -> Any:
        inner, key = self.value(tree.node), bare(tree.key)
        if not isinstance(key, Literal) or not isinstance(key.value, str):
            raise self._not_covered("a computed member")
        if isinstance(inner, dict):
            found = inner.get(key.value)
            return Value.constant(None, self.rows) if found is None else found
        if isinstance(inner, Hits):
            raise self._not_covered("a member of an array")
        return Value.constant(None, self.rows)

    def _grouped(self, tree: Grouped) -> Any:
        return self.value(tree.node)

    # -- operators ---------------------------------------------------------------------------

    def _unary(self, tree: Unary) -> Value:
        number = number_of(tree)
        if number is not None:
            return Value.constant(number, self.rows)
        value = self._one(tree.node)
        if tree.operator == "+":
            return value
        if tree.operator == "-":
            return self._arithmetic("-", Value.constant(0, self.rows), value)
        if value.kind is not Kind.FLAG:
            return self._failing(Kind.FLAG, np.bool_(False))
        failed = either(value.nothing, value.failed)
        return Value(Kind.FLAG, ~value.values, failed=failed, rows=self.rows)

    def _failing(self, kind: Kind, values: Any) -> Value:
        return Value(kind, values, failed=np.ones(self.rows, np.bool_), rows=self.rows)

    def _binary(self, tree: Binary) -> Value:
        operator = tree.operator
        if operator in ("and", "or"):
            return self._logical(operator, self._one(tree.left), self._one(tree.right))
        if operator == "??":
            return self._coalesced(self._one(tree.left), self._one(tree.right))
        if operator in ("in", "not in"):
            found = self._within(self._one(tree.left), bare(tree.right))
            return replace(found, values=~found.values) if operator == "not in" else found
        left, right = self._one(tree.left), self._one(tree.right)
        if operator in ("==", "!="):
            same = self._same(left, right)
            return replace(same, values=~same.values) if operator == "!=" else same
        if operator in _COMPARE:
            return self._compared(operator, left, right)
        return self._arithmetic(operator, left, right)

    def _logical(self, operator: str, left: Value, right: Value) -> Value:
        if left.kind is not Kind.FLAG:
            return self._failing(Kind.FLAG, np.bool_(False))
        failed = either(left.failed, left.nothing)
        asked = left.values if operator == "and" else ~left.values
        if right.kind is not Kind.FLAG:
            # What is no flag is the answer itself; as a condition it does not hold.
            fails = np.broadcast_to(asked, (self.rows,))
            return Value(Kind.FLAG, left.values, failed=either(failed, fails), rows=self.rows)
        right_failed = either(right.failed, right.nothing)
        if right_failed is not None:
            failed = either(failed, right_failed & asked)
        made = left.values & right.values if operator == "and" else left.values | right.values
        return Value(Kind.FLAG, made, failed=failed, rows=self.rows)

    def _coalesced(self, left: Value, right: Value) -> Value:
        nothing = left.nothing
        if nothing is None:
            return left
        kept = replace(left, missing=None, absent=None)
        chosen = self._chosen(~nothing, kept, right)
        failed = either(left.failed, None if right.failed is None else right.failed & nothing)
        return replace(chosen, failed=failed)

    def _chosen(self, where: Any, then: Value, otherwise: Value) -> Value:
        """Return one value where a mask is true, the other elsewhere."""
        kinds = {then.kind, otherwise.kind} - {Kind.NOTHING}
        if len(kinds) > 1:
            raise self._not_covered("values of two kinds from one expression")
        kind = kinds.pop() if kinds else Kind.NOTHING
        words, first, second = then.words or otherwise.words, then.values, otherwise.values
        if kind is Kind.TEXT and then.words is not None and otherwise.words is not None:
            first, second, words = common(then, otherwise)
        where = np.broadcast_to(where, (self.rows,))
        return Value(
            kind,
            np.where(where, first, second),
            _split(where, then.nothing, otherwise.nothing),
            _split(where, then.failed, otherwise.failed),
            words,
            then.inexact or otherwise.inexact,
            None,
            self.rows,
        )

    def _conditional(self, tree: Conditional) -> Value:
        condition = self._one(tree.condition)
        then, otherwise = self._one(tree.then), self._one(tree.otherwise)
        if condition.kind is not Kind.FLAG:
            return replace(then, failed=np.ones(self.rows, np.bool_))
        chosen = self._chosen(condition.values, then, otherwise)
        failed = either(condition.nothing, condition.failed)
        return replace(chosen, failed=either(chosen.failed, failed))

    # -- numbers -----------------------------------------------------------------------------

    def _numbers(self, *values: Value) -> Mask | None:
        """Return where an operation on numbers fails: a value is missing, or is no number."""
        failed: Mask | None = None
        for value in values:
            if value.kind is not Kind.NUMBER:
                return np.ones(self.rows, np.bool_)
            failed = either(failed, either(value.nothing, value.failed))
        return failed

    def _arithmetic(self, operator: str, left: Value, right: Value) -> Value:
        failed = self._numbers(left, right)
        if left.kind is Kind.TEXT and right.kind is Kind.TEXT and operator == "+":
            raise self._not_covered("texts that are put together")
        if left.kind is not Kind.NUMBER or right.kind is not Kind.NUMBER:
            return self._failing(Kind.NUMBER, np.int64(0))
        a, b = left.values, right.values
        whole = _is_whole(a) and _is_whole(b)
        missing: Mask | None = None
        with np.errstate(all="ignore"):
            if operator in ("+", "-", "*"):
                made = {"+": np.add, "-": np.subtract, "*": np.multiply}[operator](a, b)
                if whole:
                    self._overflow(operator, a, b, failed)
            elif operator == "/":
                missing = np.broadcast_to(b == 0, (self.rows,))
                made = np.where(missing, 0.0, np.true_divide(a, np.where(b == 0, 1, b)))
            elif operator == "%" and whole:
                missing = np.broadcast_to(b == 0, (self.rows,))
                made = np.fmod(a, np.where(b == 0, 1, b))
            else:
                raise self._not_covered(f"the operator {operator} on fractions")
        inexact = not (whole and operator != "/")
        none = missing if missing is not None and missing.any() else None
        return Value(Kind.NUMBER, made, none, failed, inexact=inexact, rows=self.rows)

    def _overflow(self, operator: str, a: Any, b: Any, failed: Mask | None) -> None:
        """Leave to the row form what does not fit into 64 bits."""
        first, second = np.float64(np.abs(a).max()), np.float64(np.abs(b).max())
        if (first * second if operator == "*" else first + second) < _SAFE:
            return
        floats = np.abs(np.asarray(a, np.float64)), np.abs(np.asarray(b, np.float64))
        size = floats[0] * floats[1] if operator == "*" else floats[0] + floats[1]
        large = np.broadcast_to(size >= _SAFE, (self.rows,))
        self._doubted(large if failed is None else large & ~failed)

    def _near(self, left: Value, right: Value, failed: Mask | None) -> None:
        if left.inexact or right.inexact:
            a, b = np.asarray(left.values, float), np.asarray(right.values, float)
            near = np.abs(a - b) <= np.maximum(_LEAST, _NEAR * np.maximum(np.abs(a), np.abs(b)))
            near = np.broadcast_to(near, (self.rows,))
            self._doubted(near if failed is None else near & ~failed)

    def _compared(self, operator: str, left: Value, right: Value) -> Value:
        failed = self._numbers(left, right)
        if left.kind is not Kind.NUMBER or right.kind is not Kind.NUMBER:
            return self._failing(Kind.FLAG, np.bool_(False))
        self._near(left, right, failed)
        made = _ordered(operator, left.values, right.values)
        return Value(Kind.FLAG, made, failed=failed, rows=self.rows)

    def _same(self, left: Value, right: Value) -> Value:
        failed = either(left.failed, right.failed)
        first, second = left.nothing, right.nothing
        if left.kind is not right.kind or left.kind in (Kind.NOTHING, Kind.ARRAY):
            made: Any = np.zeros(self.rows, np.bool_)
        elif left.kind is Kind.TEXT:
            a, b, _ = common(left, right)
            made = a == b
        else:
            if left.kind is Kind.NUMBER:
                self._near(left, right, either(failed, either(first, second)))
            made = _ordered("==", left.values, right.values)
        if first is not None or second is not None:
            none = np.zeros(self.rows, np.bool_)
            first = none if first is None else first
            second = none if second is None else second
            made = (made & ~first & ~second) | (first & second)
        return Value(Kind.FLAG, made, failed=failed, rows=self.rows)

    def _within(self, left: Value, tree: Node) -> Value:
        if isinstance(tree, Interval):
            return self._between(left, tree)
        if not isinstance(tree, Array):
            raise self._not_covered("membership in anything but a written array or interval")
        made: Value | None = None
        for item in tree.items:
            same = self._same(left, self._one(item))
            made = same if made is None else self._logical("or", made, same)
        none = Value(Kind.FLAG, np.zeros(self.rows, np.bool_), failed=left.failed, rows=self.rows)
        return none if made is None else made

    def _between(self, value: Value, tree: Interval) -> Value:
        low, high = self._one(tree.left), self._one(tree.right)
        signs = {"[": ">=", "(": ">", "]": "<=", ")": "<"}
        first = self._compared(signs[tree.left_bracket], value, low)
        ends = {"]": "<=", ")": "<", "[": ">=", "(": ">"}
        last = self._compared(ends[tree.right_bracket], value, high)
        joined = np.logical_and if tree.left_bracket in "[(" else np.logical_or
        made = joined(first.values, last.values)
        failed = either(first.failed, last.failed)
        return Value(Kind.FLAG, made, failed=failed, rows=self.rows)

    # -- functions ---------------------------------------------------------------------------

    def _call(self, tree: Call) -> Any:
        argument = bare(tree.arguments[0])
        if tree.function == "sum" and isinstance(argument, Closure):
            return self._sum(argument)
        if tree.function == "len":
            found = self.value(argument)
            if isinstance(found, Hits):
                return self._weighted(found, [1] * len(found.masks))
        if tree.function == "bool":
            value = self._one(argument)
            if value.kind is Kind.FLAG and value.nothing is None:
                return value
        if tree.function in ("abs", "floor", "ceil", "trunc") and len(tree.arguments) == 1:
            return self._rounded(tree.function, self._one(argument))
        if tree.function in ("min", "max") and isinstance(argument, Array) and argument.items:
            return self._extreme(tree.function, argument)
        raise self._not_covered(f"the function {tree.function} as it is called")

    def _rounded(self, function: str, value: Value) -> Value:
        failed = self._numbers(value)
        if value.kind is not Kind.NUMBER:
            return self._failing(Kind.NUMBER, np.int64(0))
        if function == "abs":
            return replace(value, values=np.abs(value.values), missing=None, absent=None,
                           failed=failed)  # fmt: skip
        if _is_whole(value.values):
            return replace(value, missing=None, absent=None, failed=failed)
        if value.inexact:
            whole = Value(Kind.NUMBER, np.rint(value.values), rows=self.rows)
            self._near(value, whole, failed)
        rounding = {"floor": np.floor, "ceil": np.ceil, "trunc": np.trunc}[function]
        return Value(Kind.NUMBER, rounding(value.values), failed=failed, rows=self.rows)

    def _extreme(self, function: str, tree: Array) -> Value:
        values = [self._one(item) for item in tree.items]
        failed = self._numbers(*values)
        if any(value.kind is not Kind.NUMBER for value in values):
            return self._failing(Kind.NUMBER, np.int64(0))
        made: Any = values[0].values
        for value in values[1:]:
            made = (np.minimum if function == "min" else np.maximum)(made, value.values)
        inexact = any(value.inexact for value in values)
        return Value(Kind.NUMBER, made, failed=failed, inexact=inexact, rows=self.rows)

    # -- closures over the hits of a table ---------------------------------------------------

    def _closure(self, tree: Closure) -> Any:
        hits, given = self._each(tree)
        if tree.function == "map":
            return hits.array(given, self.rows)
        if tree.function not in ("some", "all", "none", "one", "count"):
            raise self._not_covered(f"the closure {tree.function}")
        if not all(isinstance(one, bool) for one in given):
            raise self._not_covered("a closure that is no condition")
        count = self._weighted(hits, [int(one) for one in given])
        if tree.function == "count":
            return count
        if tree.function == "all":
            whole = self._weighted(hits, [1] * len(given))
            return replace(count, kind=Kind.FLAG, values=count.values == whole.values)
        asked = {"some": np.greater, "none": np.equal, "one": np.equal}[tree.function]
        wanted = 1 if tree.function == "one" else 0
        return replace(count, kind=Kind.FLAG, values=asked(count.values, wanted))

    def _each(self, tree: Closure) -> tuple[Hits, list[Any]]:
        """Return the hits a closure goes through, and its body for each row of the table."""
        hits = self.value(tree.source)
        if not isinstance(hits, Hits):
            raise self._not_covered("a closure over anything but the hits of a table")
        if id(tree) not in self._bodies:
            self._bodies[id(tree)] = [self._body(tree, row) for row in hits.constants()]
        return hits, self._bodies[id(tree)]

    def _body(self, tree: Closure, row: dict[str, Any]) -> Any:
        body = replaced(tree.body, lambda node: _constant(node, tree.alias, row))
        if names(body):
            raise self._not_covered("a closure that reads more than the hit rows")
        try:
            return evaluate_tree(body)
        except NotEvaluable:
            raise self._not_covered("a closure that fails on a row of the table") from None

    def _sum(self, tree: Closure) -> Value:
        hits, given = self._each(tree)
        if tree.function != "map" or not all(type(one) is int for one in given):
            raise self._not_covered("a sum of anything but whole numbers of the hit rows")
        return self._weighted(hits, given)

    def _weighted(self, hits: Hits, weights: list[int]) -> Value:
        """Return the sum of the weights of the hit rows."""
        size = sum(abs(weight) for weight in weights)
        kind: Any = np.int16 if size < 2**15 else np.int64
        made: NDArray[Any] = np.zeros(self.rows, kind)
        part = np.empty(self.rows, kind)
        for mask, weight in zip(hits.masks, weights, strict=True):
            if weight:
                np.multiply(mask, kind(weight), out=part, dtype=kind)
                made += part
        failed = None if hits.open is None else ~hits.open
        return Value(Kind.NUMBER, made.astype(np.int64), failed=failed, rows=self.rows)


def _constant(node: Node, alias: str | None, row: dict[str, Any]) -> Node | None:
    """Return the constant a member of the looked-at row is."""
    if isinstance(node, Member) and isinstance(bare(node.key), Literal):
        inner, key = bare(node.node), bare(node.key)
        assert isinstance(key, Literal)
        looked_at = isinstance(inner, Pointer) or (isinstance(inner, Name) and inner.name == alias)
        if looked_at:
            return Literal(row.get(key.value)) if isinstance(key.value, str) else None
    return None


def _is_whole(values: Any) -> bool:
    return bool(np.asarray(values).dtype.kind == "i")


def _ordered(operator: str, a: Any, b: Any) -> Any:
    """Return a comparison; a whole number and a fraction are compared as they are, not rounded."""
    if _is_whole(a) != _is_whole(b):
        whole, other = (a, b) if _is_whole(a) else (b, a)
        if np.abs(whole).max() >= 2**53:
            if np.ndim(other) == 0 and float(other).is_integer() and abs(other) < 2**62:
                same = np.int64(other)
                return _COMPARE[operator](a, same) if whole is a else _COMPARE[operator](same, b)
            wide = np.asarray(whole).astype(np.longdouble)
            return _COMPARE[operator](wide, b) if whole is a else _COMPARE[operator](a, wide)
    return _COMPARE[operator](a, b)


def _split(where: Any, first: Mask | None, second: Mask | None) -> Mask | None:
    if first is None and second is None:
        return None
    none = np.bool_(False)
    return np.where(where, none if first is None else first, none if second is None else second)
