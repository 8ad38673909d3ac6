"""What a customer reads before he says yes: the delivered texts, in both languages.

A text that is changed is another version: published where it differs from the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

ASSESSMENT = "credit_assessment"
"""The purpose of `parties` that an application rests on."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text in both languages."""

    zh: str
    en: str


PURPOSES: Mapping[str, Text] = MappingProxyType({
    ASSESSMENT: Text(
        zh=(
            "征信查询与授信评估授权。收集内容：姓名、身份证号码、手机号、出生日期、性别，以及您申报的"
            "收入、负债与用途。使用目的：仅用于查询征信机构中您的信用报告并评估本次授信申请，不用于"
            "营销或定价意愿分析。保存期限：申请未成立的，保存至结束后五年；合同成立的，保存至结清后"
            "五年。您可以随时撤回本授权；撤回后我们不再查询和评估，尚未签署的申请将无法继续，撤回"
            "不影响此前已进行的处理。"
        ),
        en=(
            "Credit inquiry and assessment. What is collected: name, identity number, phone, date "
            "of birth, sex, and the income, debts and purpose that you state. Why: to ask a credit "
            "bureau for your report and to assess this request for credit; not for marketing, and "
            "not to find out what you would be willing to pay. How long it is kept: five years "
            "after a request that led to no contract, five years after a contract is settled. You "
            "may take this consent back at any time: we then ask and assess no more, a request "
            "that is not signed cannot go on, and what was done before stays lawful."
        ),
    ),
})  # fmt: skip
"""The texts of the purposes that credit needs a yes for, by the name of the purpose."""

CONTRACT_VERSION = 1
CONTRACT = Text(
    zh=(
        "借款合同。出借人按所示金额、期限、利率与费用提供借款；借款人按所示还款计划还款，逾期按所示罚息"
        "计收。所示年化利率包含全部成本。借款人可随时提前还款，仅支付至还款日的利息。在所示冷静期内，"
        "借款人可退回本金解除合同，不付利息。借款人已阅读所示费用与还款计划并确认其内容。"
    ),
    en=(
        "Loan contract. The lender lends the amount shown, for the term, rate and fees shown; the "
        "borrower repays by the schedule shown, and what is late bears the penalty interest shown. "
        "The yearly rate shown holds every cost. The borrower may repay early at any time and then "
        "owes interest to that day. Within the days of reflection shown he may step back, returns "
        "the principal and owes no interest. The borrower has read the costs and the schedule and "
        "confirms them."
    ),
)
"""What is accepted together with an offer; `CONTRACT_VERSION` is raised with each change."""


def text_hash(text: Text) -> str:
    """Return the SHA-256 of a text in both languages, hex; each part is led by its length."""
    parts = [part.encode() for part in (text.zh, text.en)]
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(joined).hexdigest()
