"""What is refused of an expression, before it is ever evaluated."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ExpressionIsMalformed(Refusal):
    """The text is not an expression of the language."""

    kind = RefusalKind.INVALID
    en = "The expression {expression} is malformed at character {at}: {why}."
    zh = "表达式 {expression} 在第 {at} 个字符处有误：{why}。"


class ExpressionIsNotCovered(Refusal):
    """The text is well formed, but uses something that is refused here; the docs say what."""

    kind = RefusalKind.INVALID
    en = "The expression {expression} uses {what}, which is not covered: {why}."
    zh = "表达式 {expression} 使用了不支持的 {what}：{why}。"
