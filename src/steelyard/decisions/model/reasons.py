"""Reason codes and what a customer is told of each, in English and Chinese.

A code is for ever: its words may be made clearer, its meaning stays. The words name no rule, no
threshold and nobody else, so that they help who is honest and teach nothing to who is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from steelyard.kernel import Refusal, RefusalKind


class ReasonIsUnknown(Refusal):
    """No text belongs to a code."""

    kind = RefusalKind.INVALID
    en = "There is no reason {code}."
    zh = "没有原因代码 {code}。"


class ReasonText(NamedTuple):
    """What a customer is told of a reason."""

    en: str
    zh: str


REASONS: Mapping[str, ReasonText] = MappingProxyType({
    code: ReasonText(en, zh)
    for code, en, zh in (
        # Of every scene.
        ("policy_failed", "The check could not be completed.", "安全检查未能完成。"),
        ("event_came_too_late", "The request reached us too late.", "请求到达过晚。"),
        ("customer_is_missing", "We could not tell who is asking.", "无法确认请求人身份。"),
        ("amount_is_missing", "The amount is missing.", "缺少金额信息。"),
        ("facts_are_missing", "Facts that we need are missing.", "缺少必要信息。"),
        ("listed_as_blocked", "Please contact us about this.", "该操作无法办理，请联系我们。"),
        ("listed_as_watched", "We look at this more closely.", "该操作需要进一步核查。"),
        ("listed_as_trusted", "You are known to us.", "您是受信任的客户。"),
        ("history_of_fraud", "Fraud was reported earlier.", "此前曾被报告欺诈。"),
        ("model_finds_it_unusual", "This differs from what is usual.", "该操作与通常情况不同。"),
        # Payments.
        ("amount_is_very_high", "The amount is very high.", "金额过高。"),
        ("amount_is_unusual", "The amount is unusual for you.", "金额与您的习惯不符。"),
        ("place_had_fraud", "Fraud was reported at this place.", "该商户或终端曾被报告欺诈。"),
        ("too_many_payments", "Many payments in a short time.", "短时间内付款次数过多。"),
        ("many_small_payments", "Many small payments at this place.", "该商户小额付款异常频繁。"),
        ("many_cards_on_device", "Many cards on one device.", "同一设备使用多张银行卡。"),
        ("many_customers_on_device", "Many people on one device.", "同一设备由多人使用。"),
        ("many_declines", "Several payments were declined.", "多笔付款被拒绝。"),
        ("country_changed_fast", "Different countries in a short time.", "短时间内更换国家。"),
        ("device_is_new", "The device is new to us.", "设备首次使用。"),
        ("customer_is_new", "We do not know you long enough yet.", "您的使用时间尚短。"),
        ("hour_is_unusual", "The time of day is unusual for you.", "操作时间与您的习惯不符。"),
        ("spending_is_unusual", "You spend more than usual.", "消费金额明显高于平常。"),
        ("many_places", "Many different places in one day.", "一天内涉及商户过多。"),
        ("account_may_be_taken", "Somebody may use your account.", "您的账户可能被他人使用。"),
        # Log-in.
        ("wrong_secret_often", "Wrong secrets were entered often.", "密码多次输入错误。"),
        ("place_is_new", "You sign in from a new place.", "您从新的地点登录。"),
        ("address_is_suspicious", "The network address is suspicious.", "网络地址存在风险。"),
        # Credit.
        ("too_many_applications", "Many applications in a short time.", "短时间内申请次数过多。"),
        ("amount_exceeds_income", "The amount is high for the income.", "申请金额相对收入过高。"),
        ("stated_facts_differ", "What was stated has changed.", "申报信息前后不一致。"),
        ("shared_with_others", "Others use the same contact details.", "联系方式与他人重复。"),
        ("device_had_defaults", "Loans from the device are unpaid.", "该设备的贷款曾有违约。"),
        ("SC_AMOUNT_MINOR", "The amount asked for.", "申请金额。"),
        ("SC_INCOME_MINOR", "The income stated.", "申报收入。"),
        ("SC_TERM_MONTHS", "The term asked for.", "申请期限。"),
        ("SC_PURPOSE", "The purpose of the loan.", "贷款用途。"),
        ("SC_CUSTOMER_APPLICATION_COUNT_90D", "Recent applications.", "近期申请次数。"),
        ("SC_CUSTOMER_EMPLOYER_DISTINCT_90D", "Changes of employer.", "雇主变更。"),
        # Withdrawals.
        ("daily_limit_reached", "The limit of the day is reached.", "已达当日限额。"),
        ("weekly_limit_reached", "The limit of the week is reached.", "已达七日限额。"),
        ("single_limit_reached", "The limit for one transfer is reached.", "已达单笔限额。"),
        ("payee_is_new", "You never paid this payee before.", "收款方为首次收款。"),
        ("payee_is_fed_by_many", "Many people pay this payee.", "该收款方短期内收到多人转账。"),
        ("too_many_withdrawals", "Many transfers in a short time.", "短时间内转出次数过多。"),
        # Merchants.
        ("owner_applies_often", "The owner has applied several times.", "同一法人多次申请。"),
        ("account_pays_many", "Several merchants share one account.", "多个商户共用收款账户。"),
        ("industry_needs_review", "This industry needs a closer look.", "该行业需要人工审核。"),
        ("volume_is_high", "The expected volume is high.", "预计交易量较高。"),
    )
})  # fmt: skip
"""Every code with its texts; a policy gives no other."""


def text_of(code: str, language: str) -> str:
    """Return what a customer is told of a reason; Chinese for `zh*`, otherwise English.

    Refusals
    --------
    reason_is_unknown

    Examples
    --------
    >>> text_of("device_is_new", "en")
    'The device is new to us.'
    """
    found = REASONS.get(code)
    if found is None:
        raise ReasonIsUnknown(code=code)
    return found.zh if language.lower().startswith("zh") else found.en
