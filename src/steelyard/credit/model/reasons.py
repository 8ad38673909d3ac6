"""Why an application is declined, reduced or looked at: stable codes, told in two languages.

A code is for ever. The codes of the policies have their texts in `decisions`; these are the
lender's own. They name no threshold and nobody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class ReasonText(NamedTuple):
    """What a customer is told of a reason."""

    en: str
    zh: str


REASONS: Mapping[str, ReasonText] = MappingProxyType({
    code: ReasonText(en, zh)
    for code, en, zh in (
        ("income_does_not_carry_it", "The instalments are high for the income and the debts.",
         "相对收入与现有负债，每期还款额过高。"),
        ("limit_of_the_risk", "The amount is above what we lend at this risk.",
         "金额超过该风险等级的可贷额度。"),
        ("limit_is_used", "What is owed to us already uses the limit.", "现有借款已占用额度。"),
        ("amount_exceeds_income", "The amount is high for the income.", "申请金额相对收入过高。"),
        ("credit_file_shows_arrears", "The credit file shows late payments.",
         "征信记录存在逾期。"),
        ("late_with_us", "A loan of ours is late.", "您在本平台有逾期未还的借款。"),
        ("credit_file_is_thin", "There is little in the credit file.", "征信记录较少。"),
        ("credit_file_is_unknown", "The credit file could not be read.", "未能取得征信记录。"),
        ("many_inquiries", "Several lenders were asked lately.", "近期征信查询次数较多。"),
        ("risk_is_too_high", "The risk is above what the product is for.",
         "风险高于该产品的可接受范围。"),
        ("risk_is_not_scored", "The risk could not be assessed automatically.",
         "暂无法自动评估风险。"),
        ("annual_cost_is_over_the_cap", "The yearly cost would be above what the law allows.",
         "年化综合成本将超过法定上限。"),
        ("documents_do_not_suffice", "The documents do not show what was stated.",
         "材料不足以证明申报信息。"),
        ("facts_do_not_hold", "What was stated was found to be otherwise.",
         "申报信息与核实结果不符。"),
        ("purpose_is_excluded", "We do not lend for this purpose.", "该用途不予贷款。"),
        ("person_could_not_be_reached", "We could not reach you.", "未能与您取得联系。"),
        ("judged_by_a_person", "A person has looked at the whole of it.", "经人工综合审核。"),
    )
})  # fmt: skip
"""Every code of our own with its texts."""

OF_A_PERSON: frozenset[str] = frozenset({
    "documents_do_not_suffice",
    "facts_do_not_hold",
    "purpose_is_excluded",
    "person_could_not_be_reached",
    "judged_by_a_person",
    "income_does_not_carry_it",
    "risk_is_too_high",
})  # fmt: skip
"""The reasons that somebody who rules on an application can give."""
