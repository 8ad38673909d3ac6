"""What is refused of a document, or of an expression, as a function of columns."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class ColumnsAreNotCovered(Refusal):
    """The document has something without a columnar form; it is decided row after row."""

    kind = RefusalKind.INVALID
    en = "Node {node} has no columnar form: {what}."
    zh = "节点 {node} 无法按列计算：{what}。"
