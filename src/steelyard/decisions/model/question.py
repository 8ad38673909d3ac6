"""A question as it comes in: read, checked against the schema of its scene, or refused."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from steelyard.decisions.model.decision import Asked
from steelyard.features import EventKind, FieldType
from steelyard.kernel import Refusal, RefusalKind

MAX_TEXT = 200
MAX_BODY = 64 * 1024
AHEAD_MS = 5_000
"""How far the clock of a caller may be ahead of ours."""
EARLIEST_MS = 0
_MOST = 2**62 - 1


class SceneIsUnknown(Refusal):
    """No policy answers for this scene."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no scene {scene}."
    zh = "没有名为 {scene} 的场景。"


class QuestionIsMalformed(Refusal):
    """The body is not JSON of the expected form."""

    kind = RefusalKind.INVALID
    en = "The question cannot be read: {why}."
    zh = "无法读取该请求：{why}。"


class QuestionIsTooLarge(Refusal):
    """The body is longer than any question."""

    kind = RefusalKind.TOO_LARGE
    en = "A question has at most {most} bytes."
    zh = "请求不得超过 {most} 字节。"


class FieldIsUnknown(Refusal):
    """The scene's event has no such field."""

    kind = RefusalKind.INVALID
    en = "The event of {scene} has no field {field}."
    zh = "{scene} 的事件没有字段 {field}。"


class FieldHasWrongType(Refusal):
    """The value of a field is not of its type, or out of range."""

    kind = RefusalKind.INVALID
    en = "Field {field} wants {expected}."
    zh = "字段 {field} 应为 {expected}。"


class EventIsInTheFuture(Refusal):
    """The event is said to happen later than now."""

    kind = RefusalKind.INVALID
    en = "The event lies {ahead_ms} ms in the future."
    zh = "事件时间超前 {ahead_ms} 毫秒。"


class EventIdWasUsed(Refusal):
    """The id came before with another event."""

    kind = RefusalKind.CONFLICT
    en = "The event id {id} was used before for another event of {scene}."
    zh = "事件编号 {id} 已用于 {scene} 的另一事件。"


class _Body(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    at_ms: int
    fields: dict[str, int | str | bool | None]


_DECODER = msgspec.json.Decoder(_Body)


def read_question(scene: str, body: bytes, *, kind: EventKind, now_ms: int) -> Asked:
    """Return the question of a body.

    Parameters
    ----------
    body : JSON `{"id": ..., "at_ms": ..., "fields": {...}}`; a field that is null or absent is
        missing
    kind : the schema of the scene's event
    now_ms : business instant, which the event does not lie after

    Refusals
    --------
    question_is_too_large, question_is_malformed, field_is_unknown, field_has_wrong_type,
    event_is_in_the_future

    Examples
    --------
    >>> kind = EventKind("log_in", {"ip": FieldType.TEXT}, ("ip",), "A log-in.", "登录。")
    >>> read_question("log_in", b'{"id": "7", "at_ms": 5, "fields": {"ip": "::1"}}', kind=kind,
    ...               now_ms=5).fields
    {'ip': '::1'}
    """
    if len(body) > MAX_BODY:
        raise QuestionIsTooLarge(most=MAX_BODY)
    try:
        read = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise QuestionIsMalformed(why=str(error)) from None
    if not 0 < len(read.id) <= MAX_TEXT or not read.id.isprintable():
        raise FieldHasWrongType(field="id", expected=f"1 to {MAX_TEXT} printable characters")
    if not EARLIEST_MS <= read.at_ms <= _MOST:
        raise FieldHasWrongType(field="at_ms", expected="milliseconds since 1970")
    if read.at_ms > now_ms + AHEAD_MS:
        raise EventIsInTheFuture(ahead_ms=read.at_ms - now_ms)
    _check_fields(scene, read.fields, kind)
    return Asked(scene=scene, id=read.id, at_ms=read.at_ms, fields=read.fields)


def _check_fields(
    scene: str, fields: Mapping[str, int | str | bool | None], kind: EventKind
) -> None:
    for name, value in fields.items():
        expected = kind.fields.get(name)
        if expected is None or name in kind.labels:
            raise FieldIsUnknown(scene=scene, field=name)
        if value is None:
            continue
        if expected is FieldType.TEXT:
            fits = isinstance(value, str) and 0 < len(value) <= MAX_TEXT and "\0" not in value
        elif expected is FieldType.FLAG:
            fits = isinstance(value, bool)
        else:
            fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MOST
        if not fits:
            raise FieldHasWrongType(field=name, expected=_WORDS[expected])


_WORDS = {
    FieldType.TEXT: f"a text of 1 to {MAX_TEXT} characters",
    FieldType.INTEGER: "a whole number below 2^62",
    FieldType.FLAG: "true or false",
}

QUESTION_REFUSALS = (
    SceneIsUnknown,
    QuestionIsTooLarge,
    QuestionIsMalformed,
    FieldIsUnknown,
    FieldHasWrongType,
    EventIsInTheFuture,
    EventIdWasUsed,
)
"""What a question can be answered with instead of a decision."""
