"""What the features refuse."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class EventFieldIsUnknown(Refusal):
    """An event carries a field that its kind does not have, or that is only told by a label."""

    kind = RefusalKind.INVALID
    en = "An event of kind {event_kind} has no field {field}."
    zh = "{event_kind} 类事件没有字段 {field}。"


class EventFieldIsInvalid(Refusal):
    """A field of an event holds what it cannot hold."""

    kind = RefusalKind.INVALID
    en = "The field {field} takes {type}: a text of 1 to 200 characters, an integer or a flag."
    zh = "字段 {field} 的类型应为 {type}（1 至 200 字的文本、整数或真假值）。"


class EventIsFromTheFuture(Refusal):
    """An event says that it happens later than now; folded, it would shut out the present."""

    kind = RefusalKind.INVALID
    en = "The event is {ahead_ms} ms ahead of the clock."
    zh = "事件时间比系统时钟早到 {ahead_ms} 毫秒。"


class EntityIsUnknown(Refusal):
    """There are no features of such an entity."""

    kind = RefusalKind.NOT_FOUND
    en = "There are no features of {entity}."
    zh = "没有关于 {entity} 的特征。"


class HistoryIsNotConnected(Refusal):
    """Nobody has handed the room the events from which profiles are read."""

    kind = RefusalKind.UNAVAILABLE
    en = "Profiles cannot be read: no history of events is connected."
    zh = "无法读取画像：未接入事件历史。"
