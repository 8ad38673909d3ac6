"""A question as it comes in: read, checked against the schema of its scene, or refused."""

from __future__ import annotations

import msgspec

from steelyard.decisions.model.decision import Asked
from steelyard.features import intake, refusals
from steelyard.features.catalogue import EventKind
from steelyard.kernel import Refusal, RefusalKind

MAX_TEXT = 200
MAX_QUESTION = 64 * 1024


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
    question_is_too_large, question_is_malformed, event_field_is_unknown,
    event_field_is_invalid, event_is_from_the_future

    Examples
    --------
    >>> from steelyard.features.catalogue import FieldType
    >>> kind = EventKind("log_in", {"ip": FieldType.TEXT}, ("ip",), "A log-in.", "登录。")
    >>> read_question("log_in", b'{"id": "7", "at_ms": 5, "fields": {"ip": "::1"}}', kind=kind,
    ...               now_ms=5).fields
    {'ip': '::1'}
    """
    if len(body) > MAX_QUESTION:
        raise QuestionIsTooLarge(most=MAX_QUESTION)
    try:
        read = _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise QuestionIsMalformed(why=str(error)) from None
    if not 0 < len(read.id) <= MAX_TEXT or not read.id.isprintable():
        raise QuestionIsMalformed(why=f"id wants 1 to {MAX_TEXT} printable characters")
    if read.at_ms < 0:
        raise QuestionIsMalformed(why="at_ms wants milliseconds since 1970")
    intake.check_instant(read.at_ms, now_ms)
    intake.check_fields(kind, read.fields)
    return Asked(scene=scene, id=read.id, at_ms=read.at_ms, fields=read.fields)


QUESTION_REFUSALS = (
    SceneIsUnknown,
    QuestionIsTooLarge,
    QuestionIsMalformed,
    refusals.EventFieldIsUnknown,
    refusals.EventFieldIsInvalid,
    refusals.EventIsFromTheFuture,
    EventIdWasUsed,
)
"""What a question can be answered with instead of a decision."""
