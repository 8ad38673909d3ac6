"""What can be refused about rates, quotes and conversions."""

from __future__ import annotations

from steelyard.kernel import Refusal, RefusalKind


class RateSourceIsUnknown(Refusal):
    """Nobody entered where the rate comes from."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no source of rates {source}."
    zh = "没有汇率来源 {source}。"


class RateTickIsMalformed(Refusal):
    """What a feed says cannot be a rate."""

    kind = RefusalKind.INVALID
    en = "The rate of {pair} from {source} cannot be used: {what}."
    zh = "来源 {source} 的 {pair} 汇率不可用：{what}。"


class RateIsUnknown(Refusal):
    """No accepted rate of the currency is there."""

    kind = RefusalKind.UNAVAILABLE
    en = "There is no rate of {currency}."
    zh = "没有 {currency} 的汇率。"


class RateIsStale(Refusal):
    """The newest rate is older than its source may be."""

    kind = RefusalKind.UNAVAILABLE
    en = "The newest rate of {currency} ({source}) is of {observed_at}, older than its cap."
    zh = "{currency} 的最新汇率（来源 {source}）为 {observed_at}，已超过时效上限。"


class RateIsHeld(Refusal):
    """The newest rate jumped, and nobody has confirmed it yet."""

    kind = RefusalKind.UNAVAILABLE
    en = "The newest rate of {currency} ({source}) jumped and waits for a confirmation."
    zh = "{currency} 的最新汇率（来源 {source}）跳变，等待确认。"


class HeldRateIsUnknown(Refusal):
    """No rate with the id is held."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no rate {rate} that waits for a confirmation."
    zh = "没有等待确认的汇率 {rate}。"


class RateIsOwnWork(Refusal):
    """Who brought a rate does not confirm it."""

    kind = RefusalKind.FORBIDDEN
    en = "{actor} brought the rate {rate}: another person confirms it."
    zh = "汇率 {rate} 由 {actor} 录入，须由另一人确认。"


class RateSourceIsMalformed(Refusal):
    """A source needs a cap and a spread that make sense."""

    kind = RefusalKind.INVALID
    en = "The source of rates {source} cannot be: {what}."
    zh = "汇率来源 {source} 无效：{what}。"


class MarginIsMalformed(Refusal):
    """A margin lies between nothing and a fifth."""

    kind = RefusalKind.INVALID
    en = "A margin of {margin_ppm} millionths is not between 0 and {most_ppm}."
    zh = "加点 {margin_ppm}（百万分之一）不在 0 至 {most_ppm} 之间。"


class MarginIsBackdated(Refusal):
    """What was agreed is not changed afterwards."""

    kind = RefusalKind.CONFLICT
    en = "A margin cannot begin at {starts_at}: that is over, or another begins then."
    zh = "加点不能自 {starts_at} 起生效：该时点已过，或已有另一加点同时生效。"


class BothSidesAreGiven(Refusal):
    """One amount is fixed and the other follows from the rate."""

    kind = RefusalKind.INVALID
    en = "Either the amount sold or the amount bought is given, not both."
    zh = "卖出金额与买入金额只能指定其一，不能同时指定。"


class NoSideIsGiven(Refusal):
    """Neither amount is fixed."""

    kind = RefusalKind.INVALID
    en = "The amount sold or the amount bought has to be given."
    zh = "必须指定卖出金额或买入金额。"


class QuotePairIsMalformed(Refusal):
    """A quote is between two currencies."""

    kind = RefusalKind.INVALID
    en = "There is nothing to convert from {sell} to {buy}."
    zh = "{sell} 与 {buy} 之间无需兑换。"


class QuoteIsTooSmall(Refusal):
    """What is bought would be nothing."""

    kind = RefusalKind.INVALID
    en = "{amount_minor} minor units of {currency} convert to nothing."
    zh = "{amount_minor} 个最小单位的 {currency} 兑换后为零。"


class QuoteIsUnknown(Refusal):
    """No quote has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no quote {quote}."
    zh = "报价 {quote} 不存在。"


class QuoteHasExpired(Refusal):
    """Its time was over before it was used."""

    kind = RefusalKind.CONFLICT
    en = "Quote {quote} was good until {valid_to}."
    zh = "报价 {quote} 有效期至 {valid_to}，已过期。"


class QuoteIsNotActive(Refusal):
    """It was used, withdrawn, or is kept for something else."""

    kind = RefusalKind.CONFLICT
    en = "Quote {quote} is {state}."
    zh = "报价 {quote} 的状态为 {state}，不能使用。"


class RateSlipped(Refusal):
    """Whoever executes asks for a rate that is worse than the cap allows."""

    kind = RefusalKind.CONFLICT
    en = "The rate slipped by {slip_ppm} millionths, more than {cap_ppm}: {executed} for {quoted}."
    zh = "执行汇率 {executed} 较报价 {quoted} 滑点 {slip_ppm}（百万分之一），超过上限 {cap_ppm}。"


class ConversionIsUnknown(Refusal):
    """No conversion has the id, or it is somebody else's."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no conversion {conversion}."
    zh = "兑换 {conversion} 不存在。"


class ConversionReturnExceeds(Refusal):
    """No more is converted back than was converted."""

    kind = RefusalKind.CONFLICT
    en = "Of conversion {conversion}, {left_minor} can be converted back, not {amount_minor}."
    zh = "兑换 {conversion} 可回兑 {left_minor}，不能回兑 {amount_minor}。"


class BalanceDoesNotCover(Refusal):
    """The client has less than is sold."""

    kind = RefusalKind.CONFLICT
    en = "The balance of {balance_minor} {currency} does not cover {amount_minor}."
    zh = "{currency} 余额 {balance_minor} 不足以支付 {amount_minor}。"


class OwnCurrencyIsShort(Refusal):
    """Our own money in the client reserve does not cover what the client buys."""

    kind = RefusalKind.UNAVAILABLE
    en = "Our own {currency} in the client reserve, {own_minor}, does not cover {amount_minor}."
    zh = "备付金账户中自有 {currency} {own_minor} 不足以覆盖 {amount_minor}。"
