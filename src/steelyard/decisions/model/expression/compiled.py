"""An expression as a Python function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from steelyard.decisions.model.expression.dates import Instant
from steelyard.decisions.model.expression.generate import OPERATIONS, Constants, Generator
from steelyard.decisions.model.expression.parser import parse, parse_unary
from steelyard.decisions.model.expression.tree import Node, names
from steelyard.decisions.model.expression.values import NotEvaluable, Span, plain


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression.

    Attributes
    ----------
    source : as it was written
    tree : as it was understood
    reads : the names of the context it reads
    """

    source: str
    tree: Node
    reads: frozenset[str]
    _function: Callable[[Mapping[str, Any]], Any]

    def evaluate(self, context: Mapping[str, Any]) -> Any:
        """Return the value in a context: int, float, str, bool, None, or lists and dicts of them.

        Raises
        ------
        NotEvaluable
            An operation met a missing value, or another that it is not made for.

        Examples
        --------
        >>> compile_expression("0.1 + amount").evaluate({"amount": 0.2})
        0.3
        """
        return shown(plain(self._function(context)))


@lru_cache(maxsize=4_096)
def compile_expression(source: str) -> Expression:
    """Return an expression of the standard mode, compiled; refuses as `parse` does."""
    return _compiled(source, parse(source))


@lru_cache(maxsize=4_096)
def compile_unary(source: str) -> Expression:
    """Return a test of `$`, the tested value, compiled; refuses as `parse_unary` does.

    Examples
    --------
    >>> compile_unary("[5..9], 12").evaluate({"$": 12})
    True
    """
    return _compiled(source, parse_unary(source))


def _compiled(source: str, tree: Node) -> Expression:
    constants = Constants()
    generator = Generator(
        constants, lambda name: f"_member(context, {constants.of(name)})", lambda: "context"
    )
    body = generator.write(tree)
    namespace: dict[str, Any] = {**OPERATIONS, **constants.namespace, "__builtins__": {}}
    exec(f"def run(context):\n    return {body}\n", namespace)
    return Expression(source, tree, names(tree), namespace["run"])


def evaluate_tree(tree: Node) -> Any:
    """Return the value of a tree that reads nothing; raises `NotEvaluable` as any."""
    return _compiled("", tree).evaluate({})


def shown(value: Any) -> Any:
    """Return a value as it leaves a document: dates and intervals become texts."""
    if isinstance(value, Instant | Span):
        return str(value)
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {key: shown(item) for key, item in value.items()}
    return value


__all__ = [
    "Expression",
    "NotEvaluable",
    "compile_expression",
    "compile_unary",
    "evaluate_tree",
    "shown",
]
