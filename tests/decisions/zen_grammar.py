"""Random expressions of the language, by its grammar, and the comparison with the reference."""

from __future__ import annotations

import math
import re
from typing import Any

import zen
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from steelyard.decisions.model.expression import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
    NotEvaluable,
    compile_expression,
    compile_unary,
)

FAILED = object()
WORDS = ["", "a", "ab", "US", "CN", "true", "12", "1.5", " x ", "2024-02-29"]
NAMES = ["a", "b", "f", "s", "t", "l", "m", "o", "n", "gone"]

numbers = st.one_of(
    st.integers(-1_000, 1_000),
    st.integers(-40_000, 40_000).map(lambda n: n / 8),
    st.sampled_from([0, 1, 0.1, 0.25, 1e-3, 123_456_789]),
)
plain_values = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(WORDS))
contexts = st.fixed_dictionaries(
    {
        "a": st.one_of(numbers, plain_values),
        "b": numbers,
        "f": st.one_of(st.booleans(), plain_values),
        "s": st.one_of(st.sampled_from(WORDS), plain_values),
        "t": st.sampled_from(WORDS),
        "l": st.lists(numbers, max_size=4),
        "m": st.lists(plain_values, max_size=4),
        "o": st.dictionaries(st.sampled_from(["k", "q", "a"]), plain_values, max_size=3),
        "n": st.none(),
        "$": plain_values,
    }
)


def literal(value: object) -> str:
    """Return a value as the language writes it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"'{value}'"
    return (
        f"({value})"
        if value < 0
        else format(value, "f").rstrip("0").rstrip(".")
        if isinstance(value, float)
        else str(value)
    )  # type: ignore[operator]


def _join(template: str, *parts: SearchStrategy[str]) -> SearchStrategy[str]:
    return st.tuples(*parts).map(lambda made: template.format(*made))


def _extend(inner: SearchStrategy[str]) -> SearchStrategy[str]:
    def some(template: str, count: int = 1) -> SearchStrategy[str]:
        return _join(template, *([inner] * count))

    binary = st.sampled_from(
        ["+", "-", "*", "==", "!=", "<", "<=", ">", ">=", "and", "or", "in", "not in", "??"]
    )
    one = st.sampled_from(
        ["len", "upper", "lower", "trim", "abs", "sum", "avg", "min", "max", "median", "mode",
         "floor", "ceil", "round", "trunc", "isNumeric", "string", "number", "bool", "type",
         "flatten", "merge", "mergeDeep"]
    )  # fmt: skip
    two = st.sampled_from(["contains", "startsWith", "endsWith", "split", "fuzzyMatch"])
    closures = st.sampled_from(["all", "none", "some", "one", "filter", "map", "flatMap", "count"])
    brackets = st.tuples(st.sampled_from("[("), inner, inner, st.sampled_from("])"))
    date = _join("d('{0}')", st.sampled_from(["2024-01-31", "2023-12-01 10:30", "2024-02-29"]))
    unit = st.sampled_from(["day", "month", "year", "hour", "week", "quarter"])
    return st.one_of(
        st.tuples(inner, binary, inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        st.tuples(inner, binary, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        _join("({0}) / {1}", inner, st.sampled_from(["2", "4", "5", "0.5", "0", "10"])),
        _join("({0}) % {1}", inner, st.sampled_from(["2", "3", "0.5", "0", "-7"])),
        _join("({0}) ^ {1}", inner, st.sampled_from(["0", "1", "2", "3"])),
        some("({0})"),
        some("-{0}"),
        some("not {0}"),
        some("({0}) ? {1} : {2}", 3),
        some("[{0}, {1}]", 2),
        some("{{k: {0}, 'q': {1}}}", 2),
        some("`x${{{0}}}y`"),
        some("({0})[0]"),
        # The order of an object's keys is the reference's own; one key has no other.
        some("keys({{k: {0}}})"),
        some("values({{k: {0}}})"),
        some("({0}).k"),
        some("l[{0}]"),
        some("t[0:{0}]"),
        brackets.map(lambda t: f"b in {t[0]}{t[1]}..{t[2]}{t[3]}"),
        _join("{0}({1})", one, inner),
        _join("{0}({1}, {2})", two, inner, inner),
        _join("{0}({1}, {2})", closures, inner, inner),
        _join("{0}({1}, # {2} {3})", closures, inner, binary, inner),
        _join("{0}(l, # > {1})", closures, inner),
        _join("{0}([1..4], # != {1})", closures, inner),
        _join("{0}.add({1}, '{2}')", date, st.integers(-40, 40).map(str), unit),
        _join("{0}.startOf('{1}')", date, unit),
        _join("{0}.isBefore({1}, '{2}')", date, date, unit),
        _join("{0}.diff({1}, '{2}')", date, date, unit),
        _join("{0} < {1}", date, date),
        _join("{0}.{1}()", date, st.sampled_from(["year", "month", "day", "weekday", "quarter"])),
    )


atoms = st.one_of(
    plain_values.map(literal),
    st.sampled_from([*NAMES, "o.k", "o.q", "l[0]", "m[1]", "$root.b"]),
    st.sampled_from([*NAMES]),
)


def _is_compared(text: str) -> bool:
    """Leave out what is stated to differ: a zero below zero, and the text of a quotient."""
    has_quotient_as_text = "/" in text and ("`" in text or "string(" in text)
    return re.search(r"-0(?![.\d])", text) is None and not has_quotient_as_text


expressions = st.recursive(atoms, _extend, max_leaves=6).filter(_is_compared)
cells = st.lists(
    st.one_of(
        atoms,
        _join("{0} {1}", st.sampled_from([">", ">=", "<", "<=", "==", "!="]), atoms),
        _join("in [{0}, {1}]", atoms, atoms),
        _join("not in [{0}, {1}]", atoms, atoms),
        st.tuples(st.sampled_from("[("), numbers, numbers, st.sampled_from("])")).map(
            lambda t: f"{t[0]}{literal(t[1])}..{literal(t[2])}{t[3]}"
        ),
        expressions,
    ),
    min_size=1,
    max_size=3,
).flatmap(
    lambda tests: st.lists(
        st.sampled_from([", ", " and ", " or "]), min_size=len(tests) - 1, max_size=len(tests) - 1
    ).map(lambda joins: tests[0] + "".join(j + t for j, t in zip(joins, tests[1:], strict=True)))
)


def reference(source: str, context: dict[str, Any], *, unary: bool) -> Any:
    """Return what the reference engine answers, `FAILED` where it does not."""
    try:
        if unary:
            return zen.evaluate_unary_expression(source, context)
        return zen.evaluate_expression(source, context)
    except Exception:
        return FAILED


def ours(source: str, context: dict[str, Any], *, unary: bool) -> Any:
    """Return what ours answers, `FAILED` where it does not."""
    try:
        compiled = (compile_unary if unary else compile_expression)(source)
        return compiled.evaluate(context)
    except (ExpressionIsMalformed, ExpressionIsNotCovered, NotEvaluable):
        return FAILED


def agree(a: Any, b: Any) -> bool:
    """Return whether two answers are equal; the reference gives every number as a float."""
    if a is FAILED or b is FAILED or isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return math.isclose(a, b, rel_tol=1e-14, abs_tol=1e-27)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(agree, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(agree(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)
