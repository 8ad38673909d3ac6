"""What can be refused about bound cards; none of it repeats a number of a card or a person."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class BindingIsUnknown(Refusal):
    """No card is bound under the id or token, or it is somebody else's, or bound no more."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no bound card {binding}."
    zh = "绑定的银行卡 {binding} 不存在。"


class CardNumberIsMalformed(Refusal):
    """The check digit of the card number is wrong: no bank need be asked."""

    kind = RefusalKind.INVALID
    en = "The card number is mistyped."
    zh = "银行卡号输入有误。"


class CardFactorIsMalformed(Refusal):
    """A name, identity number or phone does not have its form."""

    kind = RefusalKind.INVALID
    en = "The {field} does not have its form."
    zh = "{field} 格式有误。"


class CardIsRefused(Refusal):
    """The bank says that the four factors do not belong together."""

    kind = RefusalKind.CONFLICT
    en = "The bank does not confirm the card: {reason}."
    zh = "银行未确认该卡信息：{reason}。"


class TooManyCards(Refusal):
    """So many cards were tried, or are bound, that no further one is taken today."""

    kind = RefusalKind.TOO_MANY
    en = "At most {most} cards are tried within a day."
    zh = "一天内最多尝试绑定 {most} 张银行卡。"


class BindingStateForbids(Refusal):
    """The verb does not go with the state."""

    kind = RefusalKind.CONFLICT
    en = "The card {binding} is {state}: it cannot be {verb}."
    zh = "银行卡 {binding} 的状态为 {state}，不能执行 {verb}。"


class CardVerifierIsAway(Refusal):
    """Nobody who could confirm cards is at hand."""

    kind = RefusalKind.UNAVAILABLE
    en = "Cards cannot be bound now: no bank is at hand to confirm them."
    zh = "暂时无法绑卡：银行验证服务不可用。"
