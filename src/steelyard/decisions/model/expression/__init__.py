"""The expression language of policies: the open ZEN language of GoRules.

`parse` and `parse_unary` give a frozen tree, `compile_expression` and `compile_unary` a Python
function. `docs/reference/expressions.md` says what is covered and what is not.
"""

from steelyard.decisions.model.expression.compiled import (
    Expression,
    compile_expression,
    compile_unary,
)
from steelyard.decisions.model.expression.parser import parse, parse_unary
from steelyard.decisions.model.expression.refusals import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
)
from steelyard.decisions.model.expression.values import NotEvaluable

__all__ = [
    "Expression",
    "ExpressionIsMalformed",
    "ExpressionIsNotCovered",
    "NotEvaluable",
    "compile_expression",
    "compile_unary",
    "parse",
    "parse_unary",
]
