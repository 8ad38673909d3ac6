from __future__ import annotations

import pytest

from steelyard.decisions.model.expression import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
    NotEvaluable,
    compile_expression,
    compile_unary,
    parse,
    parse_unary,
)
from steelyard.decisions.model.expression.generate import OPERATIONS
from steelyard.decisions.model.expression.tree import names, reads_root


def value(source: str, **context: object) -> object:
    return compile_expression(source).evaluate(context)


def test_fractions_are_decimal_and_whole_numbers_stay_whole() -> None:
    assert value("0.1 + 0.2 == 0.3") is True
    assert value("a + 0.2 == 0.3", a=0.1) is True
    assert value("a * b", a=10**12, b=10**12) == 10**24
    assert type(value("7 / 7")) is int
    assert type(value("2.5 * 2")) is int
    assert type(value("7 / 2")) is float


def test_missing_is_never_a_number() -> None:
    for source in ("a + 1", "a > 1", "a < 1", "not a", "a and true", "a in [1..5]", "sum([a])"):
        with pytest.raises(NotEvaluable):
            value(source, a=None)
        with pytest.raises(NotEvaluable):
            value(source)
    assert value("a == 0", a=None) is False
    assert value("a ?? 5", a=None) == 5
    assert value("a.b.c") is None


def test_a_flag_is_no_number() -> None:
    assert value("a == 1", a=True) is False
    assert value("a in [1, 'x']", a=True) is False
    with pytest.raises(NotEvaluable):
        value("a + 1", a=True)


def test_division_by_zero_is_missing() -> None:
    assert value("a / 0", a=1) is None
    assert value("a % 0", a=1) is None


def test_numbers_are_bounded() -> None:
    for source in ("10 ^ 1000000", "a * a * a", "2 ^ 96"):
        with pytest.raises(NotEvaluable):
            value(source, a=10**10)
    with pytest.raises(NotEvaluable):
        value("len(map([1..1000000000], #))")


def test_what_is_read_is_known() -> None:
    tree = parse("a.b > 1 and some(c as x, x.d > y) and $root.z == 1")
    assert names(tree) == {"a", "c", "y"}
    assert reads_root(tree)
    assert not reads_root(parse("a"))


def test_tests_of_a_cell() -> None:
    assert parse_unary("> 5") == parse("$ > 5")
    assert parse_unary("'a', 'b'") == parse("$ == 'a' or $ == 'b'")
    assert compile_unary("[1..3], > 9").evaluate({"$": 10}) is True
    assert compile_unary("not in [1, 2]").evaluate({"$": 1}) is False
    # Joined from the left: (5 or 6) and > 5.
    assert compile_unary("5, 6 and > 5").evaluate({"$": 5}) is False


@pytest.mark.parametrize(
    "source",
    ["", " ", "1 +", "(1", "[1", "{a", "'a", "`a", "1 2", "a b", "1..2", "foo(1)", "len()", "é",
     "a\r", "#", "x.len()", "map([1])", "a ? 1", "{a: 1,}", "5.5.5", "1 = 1", "x = 1; x", "9e99",
     "a;b", "__import__('os')", "a.__class__()", "(" * 99 + "1" + ")" * 99, "1" + " + 1" * 2_000],
)  # fmt: skip
def test_what_is_no_expression_is_refused(source: str) -> None:
    with pytest.raises((ExpressionIsMalformed, ExpressionIsNotCovered)):
        parse(source)


@pytest.mark.parametrize(
    "source",
    ["rand(5)", "d('2024-01-01').isToday()", "d('2024-01-01').tz('Asia/Shanghai')",
     "matches(a, b)", "matches(a, '(?=x)')", "matches(a, '(')", "d(1).format('%Q')"],
)  # fmt: skip
def test_clock_chance_and_what_engines_read_differently_are_refused(source: str) -> None:
    with pytest.raises(ExpressionIsNotCovered) as refused:
        parse(source)
    assert refused.value.facts["why"]


def test_a_malformed_expression_says_where() -> None:
    with pytest.raises(ExpressionIsMalformed) as refused:
        parse("amount > > 5")
    assert refused.value.facts["at"] == 9
    assert "第 9 个字符" in refused.value.sentence("zh")


def test_text_of_an_expression_never_becomes_source() -> None:
    """Whatever is written in it is a constant, and can be nothing else."""
    nasty = "\\\"\n' + __import__(\\'os\\') + '{}"
    assert value('"' + nasty.replace('"', "") + '"') == nasty.replace('"', "")
    assert value("a['__class__']", a={}) is None
    assert value("a.__class__", a="x") is None
    assert "__builtins__" not in OPERATIONS


def test_an_interval_in_nested_brackets_is_read_in_time() -> None:
    assert value("(" * 15 + "1 in [0..2]" + ")" * 15) is True


def test_closures_nest_and_shadow() -> None:
    assert value("map(a, sum(map(#.b, # * 2)))", a=[{"b": [1, 2]}, {"b": []}]) == [6, 0]
    assert value("map(a as a, a + 1)", a=[1, 2]) == [2, 3]
    assert value("map(a ?? [], #)") == []
    assert value("map(a, map([1], # ?? b))", a=[1], b=2) == [[1]]


def test_a_document_value_is_never_changed() -> None:
    given = {"a": [1, 2], "o": {"k": [1]}}
    value("merge([o, {k: 2}])", **given)
    value("flatten([a, a])", **given)
    assert given == {"a": [1, 2], "o": {"k": [1]}}
