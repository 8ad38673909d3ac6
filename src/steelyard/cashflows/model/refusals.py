"""What cannot be computed, and why."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class TermsAreInvalid(Refusal):
    """The terms contradict themselves or lie outside what is computed."""

    kind = RefusalKind.INVALID
    en = "The terms cannot be: {field} must be {why}."
    zh = "合同条款无效：{field} 应为 {why}。"


class EventIsInvalid(Refusal):
    """An event cannot happen to this contract on this date."""

    kind = RefusalKind.INVALID
    en = "Event {seq} ({kind}) on {on} cannot be: {why}."
    zh = "{on} 的第 {seq} 号事件（{kind}）无效：{why}。"


class AllocationIsInvalid(Refusal):
    """An order of allocation does not name each pair once."""

    kind = RefusalKind.INVALID
    en = "The order of allocation must name each of the twelve pairs once; {pair} is {why}."
    zh = "冲账顺序必须恰好包含十二种组合各一次；{pair}：{why}。"


class FormIsInvalid(Refusal):
    """Plain data does not say what terms or events are."""

    kind = RefusalKind.INVALID
    en = "{field} must be {why}."
    zh = "字段 {field} 应为：{why}。"
