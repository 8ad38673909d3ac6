"""Why a case is not what somebody wants it to be."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class CaseIsUnknown(Refusal):
    """No case has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no case {case}."
    zh = "案件 {case} 不存在。"


class CaseKindIsUnknown(Refusal):
    """No room registered the kind."""

    kind = RefusalKind.INVALID
    en = "There is no kind of case {name}."
    zh = "不存在案件类型 {name}。"


class OutcomeIsUnknown(Refusal):
    """A case of the kind does not end so."""

    kind = RefusalKind.INVALID
    en = "A case of kind {kind} does not end with {outcome}; it ends with one of: {known}."
    zh = "{kind} 类案件没有处理结果 {outcome}；可选：{known}。"


class GroupIsUnknown(Refusal):
    """No such group, or cases of the kind do not go to it."""

    kind = RefusalKind.INVALID
    en = "The case cannot go to the group {group}; it can go to: {known}."
    zh = "案件不能升级到 {group} 组；可选：{known}。"


class CaseStateForbids(Refusal):
    """The state of the case is against it."""

    kind = RefusalKind.CONFLICT
    en = "Case {case} is {present}: {action} is not possible now."
    zh = "案件 {case} 当前状态为 {present}，不能执行 {action}。"


class CaseIsClaimed(Refusal):
    """Somebody else has it, and his claim has not expired."""

    kind = RefusalKind.CONFLICT
    en = "Case {case} is with {assignee} until {until}."
    zh = "案件 {case} 由 {assignee} 处理中，锁定至 {until}。"


class CaseIsNotYours(Refusal):
    """Only who has the case may do it."""

    kind = RefusalKind.CONFLICT
    en = "Case {case} is not with you; claim it first."
    zh = "案件 {case} 不在您名下，请先领取。"


class CaseIsKeptFromYou(Refusal):
    """Who has a part in the matter does not work it."""

    kind = RefusalKind.FORBIDDEN
    en = "Case {case} is about something of your own; another person works it."
    zh = "案件 {case} 涉及您本人经办的事项，须由他人处理。"


class AssigneeLacksSkill(Refusal):
    """A case is given to people only who may work it."""

    kind = RefusalKind.CONFLICT
    en = "{assignee} is not entitled to {skill} and cannot work the case."
    zh = "{assignee} 没有 {skill} 权限，不能处理该案件。"


class CaseNeedsAPerson(Refusal):
    """A machine or a customer does not work cases."""

    kind = RefusalKind.FORBIDDEN
    en = "Cases are worked by staff, not by {actor}."
    zh = "案件须由员工处理，{actor} 不能处理。"


class CaseIsSettledElsewhere(Refusal):
    """The room that opened it closes it."""

    kind = RefusalKind.CONFLICT
    en = "Case {case} is settled where {subject} is; it closes by itself then."
    zh = "案件 {case} 须在 {subject} 所在处办结，办结后自动关闭。"


class EvidenceIsMissing(Refusal):
    """The kind demands evidence before a case is closed."""

    kind = RefusalKind.CONFLICT
    en = "Case {case} lacks evidence: {missing}."
    zh = "案件 {case} 缺少证据：{missing}。"


class AnotherCaseIsOpen(Refusal):
    """About the same matter a later case is open."""

    kind = RefusalKind.CONFLICT
    en = "Case {other} about the same matter is open; work that one."
    zh = "同一事项已有未结案件 {other}，请处理该案件。"


class ReferenceIsMalformed(Refusal):
    """A subject, source or evidence is named `noun:id`."""

    kind = RefusalKind.INVALID
    en = "{where} is not of the form noun:id."
    zh = "{where} 不是 noun:id 形式的引用。"


class TextHoldsPersonalData(Refusal):
    """A text that is kept for ever looks like it tells who somebody is."""

    kind = RefusalKind.INVALID
    en = "{where} seems to hold personal data or a secret; write a reference instead."
    zh = "{where} 疑似包含个人信息或密钥，请改为引用编号。"


class TimeZoneIsUnknown(Refusal):
    """No time zone has the name."""

    kind = RefusalKind.INVALID
    en = "{zone} is not the name of a time zone."
    zh = "{zone} 不是已知的时区。"
