"""Messages to customers: templates, the gateway's port, and what its receipts come to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, Protocol
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

PURPOSE: Final = "contract_notice"
"""The purpose of `parties` that an address is read for."""
_HOLE = re.compile(r"\{([a-z_]+)\}")


class Channel(StrEnum):
    """How somebody is reached."""

    SMS = "sms"
    APP = "app"
    CALL = "call"
    LETTER = "letter"


class Told(StrEnum):
    """What a receipt says."""

    ACCEPTED = "accepted"
    """The gateway took it over."""
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """No answer, or none that can be read: it may have gone out."""
    NOT_RECEIVED = "not_received"
    """The gateway has no such request, or it verifiably never left us."""


class MessageState(StrEnum):
    """What all receipts of one message come to."""

    INTENDED = "intended"
    """Committed before the call; no receipt yet."""
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    VOID = "void"
    """It never left."""
    DISPUTED = "disputed"
    """Delivered and failed, both."""


OPEN: Final = frozenset({MessageState.INTENDED, MessageState.ACCEPTED, MessageState.UNKNOWN})
"""States in which the gateway is asked again."""


class TemplateIsUnknown(Refusal):
    """No template has the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no message template {template}."
    zh = "消息模板 {template} 不存在。"


class TemplateDoesNotFit(Refusal):
    """A template names values, and exactly those are given."""

    kind = RefusalKind.INVALID
    en = "The template {template} wants the values {wanted}, not {given}."
    zh = "消息模板 {template} 需要的参数为 {wanted}，实际为 {given}。"


class AddressIsMissing(Refusal):
    """The customer left no address of the kind that the channel needs."""

    kind = RefusalKind.CONFLICT
    en = "Party {party} cannot be reached by {channel}."
    zh = "客户 {party} 没有 {channel} 联系方式。"


class MessageIsUnknown(Refusal):
    """No message has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no message {message}."
    zh = "消息 {message} 不存在。"


class ActHasAnotherMessage(Refusal):
    """An act sends one message; what is asked for now differs from what it sent."""

    kind = RefusalKind.CONFLICT
    en = "The act {act} sent another message, {message}."
    zh = "动作 {act} 已发送另一条消息 {message}。"


class GatewayIsNotAtHand(Refusal):
    """The platform runs without a message gateway."""

    kind = RefusalKind.UNAVAILABLE
    en = "There is no message gateway at hand."
    zh = "当前没有可用的消息网关。"


@dataclass(frozen=True, slots=True)
class Template:
    """A text in both languages; values are put in its holes, never personal data."""

    name: str
    version: int
    en: str
    zh: str

    @property
    def values(self) -> frozenset[str]:
        """Return the names of its holes, the same in both languages."""
        return frozenset(_HOLE.findall(self.en))

    def text(self, language: str, values: Mapping[str, str]) -> str:
        """Return the text in a language.

        Refusals
        --------
        template_does_not_fit

        Examples
        --------
        >>> Template("hello", 1, "{loan} is due", "{loan} 到期").text("zh-CN", {"loan": "L1"})
        'L1 到期'
        """
        if set(values) != self.values:
            raise TemplateDoesNotFit(
                template=self.name,
                wanted=", ".join(sorted(self.values)),
                given=", ".join(sorted(values)),
            )
        return (self.zh if language.startswith("zh") else self.en).format_map(dict(values))


def _templates(*known: Template) -> Mapping[str, Template]:
    for one in known:
        assert set(_HOLE.findall(one.zh)) == one.values, f"{one.name} differs by language"
    return MappingProxyType({one.name: one for one in known})


TEMPLATES: Final = _templates(
    Template(
        "due_soon",
        1,
        "{amount} of your loan {loan} is due on {due_on}. It is taken from your wallet that day.",
        "您的借款 {loan} 将于 {due_on} 应还 {amount}，届时从您的钱包扣款。",
    ),
    Template(
        "overdue",
        1,
        "{amount} of your loan {loan} is {days} days past due. Please repay in the app, or tell us"
        " if you cannot: a plan may be possible.",
        "您的借款 {loan} 已逾期 {days} 天，应还 {amount}。请在应用内还款；如有困难，请联系我们。",
    ),
    Template(
        "overdue_formal",
        1,
        "Formal notice: {amount} of your loan {loan} is {days} days past due. What you owe, and"
        " your right to object, are shown in the app.",
        "正式通知：您的借款 {loan} 已逾期 {days} 天，应还 {amount}。欠款明细及异议权利请见应用。",
    ),
    Template(
        "promise_noted",
        1,
        "You promised to pay {amount} for your loan {loan} by {by_on}. Thank you.",
        "已记录：您承诺于 {by_on} 前偿还借款 {loan} 的 {amount}。谢谢。",
    ),
    Template(
        "promise_broken",
        1,
        "By {by_on}, {paid} of the {amount} promised for your loan {loan} had come in.",
        "您承诺于 {by_on} 前偿还借款 {loan} 的 {amount}，实际到账 {paid}。",
    ),
    Template(
        "plan_granted",
        1,
        "The plan for your loan {loan} is in force. Your next instalment is due on {due_on}.",
        "您的借款 {loan} 的还款安排已生效，下一期应还日为 {due_on}。",
    ),
    Template(
        "complaint_received",
        1,
        "We have your matter {matter} and answer it by {due_on} at the latest.",
        "您的诉求 {matter} 已受理，我们最迟于 {due_on} 答复。",
    ),
    Template(
        "complaint_answered",
        1,
        "Your matter {matter} is decided: {outcome}. The reasons are shown in the app.",
        "您的诉求 {matter} 已办结：{outcome}。理由请见应用。",
    ),
)
"""Every template by its name."""


def template_of(name: str) -> Template:
    """Return a template.

    Refusals
    --------
    template_is_unknown
    """
    found = TEMPLATES.get(name)
    if found is None:
        raise TemplateIsUnknown(template=name)
    return found


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What a gateway says about one request.

    Attributes
    ----------
    reason : stable code, never personal data
    reference : number the gateway gave it
    """

    request: str
    told: Told
    reason: str = ""
    reference: str = ""


class MessageGateway(Protocol):
    """Sends messages.

    Its verbs answer and do not raise: what is not known is `UNKNOWN`, and only what verifiably did
    not reach the gateway is `NOT_RECEIVED`. A request sent twice goes out once.
    """

    @property
    def name(self) -> str:
        """Name of the gateway, kept with every message."""
        ...

    def send(self, request: str, *, channel: Channel, to: str, text: str) -> GatewayAnswer:
        """Send a text to a phone, a device or an address."""
        ...

    def query(self, request: str) -> GatewayAnswer:
        """Ask what became of a request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """One message that somebody wants sent.

    Attributes
    ----------
    act : `noun:id` of what it is sent for; the same act again is the same message, never a second
    values : for the template; texts, without personal data
    """

    act: str
    party: UUID
    channel: Channel
    template: str
    values: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    language: str = "zh-CN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message: committed before it is sent, settled by receipts.

    Attributes
    ----------
    id : also the number of the request at the gateway
    template_version : of the text that went out; the text itself is made of it and the values
    """

    id: UUID
    act: str
    party: UUID
    channel: Channel
    template: str
    template_version: int
    values: Mapping[str, str]
    language: str
    gateway: str
    state: MessageState
    version: int
    started_at: datetime
    started_wall_at: datetime
    actor: str

    @property
    def is_open(self) -> bool:
        """Whether the gateway is to be asked again."""
        return self.state in OPEN


def settle(told: Iterable[Told]) -> MessageState:
    """Return what the receipts of one message come to.

    The order and the number of equal receipts change nothing: delivered or failed beat accepted,
    which beats its absence.

    Examples
    --------
    >>> settle([Told.UNKNOWN, Told.DELIVERED, Told.ACCEPTED]).value
    'delivered'
    """
    known = frozenset(told)
    if not known:
        return MessageState.INTENDED
    if known >= {Told.DELIVERED, Told.FAILED}:
        return MessageState.DISPUTED
    for one in (Told.DELIVERED, Told.FAILED, Told.ACCEPTED):
        if one in known:
            return MessageState(one.value)
    return MessageState.VOID if Told.NOT_RECEIVED in known else MessageState.UNKNOWN
