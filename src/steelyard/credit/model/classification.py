"""Five categories and IFRS 9 stages: how sound a loan is, by dated rules.

Sources: 商业银行金融资产风险分类办法 (2023, in force from 1 July 2023); for the rates by
category 银行贷款损失准备计提指引 (2002); IFRS 9, 5.5.3 to 5.5.11 and B5.5.19 to B5.5.37 (the
significant increase, the 30- and 90-day presumptions). The rules have a date, because they change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Final

PPM: Final = 1_000_000


class Category(IntEnum):
    """The five categories (五级分类); from `SUBSTANDARD` on a loan is non-performing (不良)."""

    NORMAL = 0
    """正常"""
    SPECIAL_MENTION = 1
    """关注"""
    SUBSTANDARD = 2
    """次级"""
    DOUBTFUL = 3
    """可疑"""
    LOSS = 4
    """损失"""

    @property
    def zh(self) -> str:
        """The name in Chinese."""
        return ("正常", "关注", "次级", "可疑", "损失")[self]

    @property
    def is_non_performing(self) -> bool:
        """Whether it counts as 不良."""
        return self >= Category.SUBSTANDARD


class Stage(IntEnum):
    """The stages of IFRS 9."""

    ONE = 1
    """No significant increase in risk: twelve months of expected loss."""
    TWO = 2
    """Significant increase: expected loss of the whole life."""
    THREE = 3
    """Impaired: the whole life, and interest on the net amount."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryRules:
    """Thresholds of the five categories from a day on.

    Attributes
    ----------
    in_force_on : first day
    technical_days : lateness of technical cause up to so many days is forgiven
    substandard_over, doubtful_over, loss_over : days past due above which a category is the least
    doubtful_ecl_ppm, loss_ecl_ppm : expected loss as a share of the gross amount, impaired loans
    own_share_ppm : above this share of the debtor's claims here non-performing, all are
    other_share_ppm : above this share of the debtor's debt at all banks 90 days late: substandard
    observed_days : a restructured loan is watched for so long at least
    upgrade_days, upgrade_instalments : paid in time before a non-performing loan is better again;
        both have to have passed
    """

    in_force_on: date
    technical_days: int = 7
    substandard_over: int = 90
    doubtful_over: int = 270
    loss_over: int = 360
    doubtful_ecl_ppm: int = 500_000
    loss_ecl_ppm: int = 900_000
    own_share_ppm: int = 100_000
    other_share_ppm: int = 200_000
    observed_days: int = 365
    upgrade_days: int = 183
    upgrade_instalments: int = 2


RULES_2023: Final = CategoryRules(in_force_on=date(2023, 7, 1))
"""商业银行金融资产风险分类办法, in force from 1 July 2023."""
RULES: Final = (RULES_2023,)
"""In the order of their days; before the first day the first applies, for loans of an older book
were reclassified by it."""


def rules_on(on: date, rules: Sequence[CategoryRules] = RULES) -> CategoryRules:
    """Return the rules in force on a day.

    Examples
    --------
    >>> rules_on(date(2026, 1, 1)).doubtful_over
    270
    """
    found = [one for one in rules if one.in_force_on <= on]
    return found[-1] if found else rules[0]


def category_of_days(days_past_due: int, rules: CategoryRules = RULES_2023) -> Category:
    """Return the least category that lateness alone asks for.

    Examples
    --------
    >>> [category_of_days(days).zh for days in (0, 1, 90, 91, 270, 271, 360, 361)]
    ['正常', '关注', '关注', '次级', '次级', '可疑', '可疑', '损失']
    """
    steps = (0, rules.substandard_over, rules.doubtful_over, rules.loss_over)
    return Category(sum(days_past_due > step for step in steps))


@dataclass(frozen=True, slots=True, kw_only=True)
class Restructured:
    """A contract was changed because the debtor is in difficulty (重组).

    Attributes
    ----------
    on : of the last time
    times : within the time of observation, this one included
    was : category just before the first time
    """

    on: date
    times: int = 1
    was: Category = Category.NORMAL


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFacts:
    """What is known about a loan when it is classified.

    Attributes
    ----------
    before : category at the end of the day before; None for a new loan
    is_technical : lateness that the lender or a channel caused
    is_impaired : evidence of impairment beside lateness
    ecl_ppm : expected loss as a share of the gross amount, of an impaired loan
    is_retail : the rules on cross-debt are about other debtors
    own_bad_ppm : share of the debtor's claims here that is non-performing
    other_late_ppm : share of the debtor's debt at all banks that is over 90 days late
    clean_since : since when nothing is late; None while something is, or if nothing ever was
    paid_since : instalments paid in time since then
    """

    on: date
    days_past_due: int
    before: Category | None = None
    is_technical: bool = False
    is_impaired: bool = False
    ecl_ppm: int = 0
    is_retail: bool = True
    own_bad_ppm: int = 0
    other_late_ppm: int = 0
    restructured: Restructured | None = None
    clean_since: date | None = None
    paid_since: int = 0


@dataclass(frozen=True, slots=True)
class Classified:
    """A category, and why it is no better.

    Attributes
    ----------
    reasons : of the rules that ask for this category, by name
    """

    category: Category
    reasons: tuple[str, ...]


def classify(facts: RiskFacts, rules: CategoryRules | None = None) -> Classified:
    """Return the category of a loan: the worst that any rule asks for.

    Parameters
    ----------
    rules : None takes those in force on the day

    Returns
    -------
    Classified
        Never better than `category_of_days`, except for lateness of technical cause.

    Examples
    --------
    >>> classify(RiskFacts(on=date(2026, 3, 2), days_past_due=5)).category.zh
    '关注'
    >>> classify(RiskFacts(on=date(2026, 3, 2), days_past_due=5, is_technical=True)).category.zh
    '正常'
    >>> classify(RiskFacts(on=date(2026, 3, 2), days_past_due=0, is_impaired=True,
    ...                    ecl_ppm=500_000)).reasons
    ('impaired_half_lost',)
    """
    chosen = rules or rules_on(facts.on)
    asked = [
        *_of_lateness(facts, chosen),
        *_of_impairment(facts, chosen),
        *_of_debtor(facts, chosen),
    ]
    asked += _of_restructuring(facts, chosen)
    asked += _of_before(facts, chosen)
    worst = max((category for category, _ in asked), default=Category.NORMAL)
    if worst is Category.NORMAL:
        return Classified(worst, ())
    return Classified(worst, tuple(why for category, why in asked if category is worst))


Asked = list[tuple[Category, str]]


def _of_lateness(facts: RiskFacts, rules: CategoryRules) -> Asked:
    if facts.is_technical and facts.days_past_due <= rules.technical_days:
        return []
    return [(category_of_days(facts.days_past_due, rules), "days_past_due")]


def _of_impairment(facts: RiskFacts, rules: CategoryRules) -> Asked:
    if not facts.is_impaired:
        return []
    if facts.ecl_ppm >= rules.loss_ecl_ppm:
        return [(Category.LOSS, "impaired_nearly_all_lost")]
    if facts.ecl_ppm >= rules.doubtful_ecl_ppm:
        return [(Category.DOUBTFUL, "impaired_half_lost")]
    return [(Category.SUBSTANDARD, "impaired")]


def _of_debtor(facts: RiskFacts, rules: CategoryRules) -> Asked:
    if facts.is_retail:
        return []
    asked: Asked = []
    if facts.own_bad_ppm > rules.own_share_ppm:
        asked.append((Category.SUBSTANDARD, "other_claims_non_performing"))
    if facts.other_late_ppm > rules.other_share_ppm:
        asked.append((Category.SUBSTANDARD, "late_at_other_banks"))
    if facts.own_bad_ppm > 0 or facts.other_late_ppm > 0:
        asked.append((Category.SPECIAL_MENTION, "other_debt_bad"))
    return asked


def _of_restructuring(facts: RiskFacts, rules: CategoryRules) -> Asked:
    one = facts.restructured
    if one is None or facts.on >= one.on + timedelta(days=rules.observed_days):
        return []
    if one.times > 1:
        return [(Category.DOUBTFUL, "restructured_again")]
    if one.was.is_non_performing:
        return [(Category.SUBSTANDARD, "restructured_non_performing")]
    return [(Category.SPECIAL_MENTION, "restructured")]


def _of_before(facts: RiskFacts, rules: CategoryRules) -> Asked:
    """Keep a non-performing loan where it is until it was paid in time for long enough."""
    before = facts.before
    if before is None or not before.is_non_performing:
        return []
    if facts.is_impaired or facts.clean_since is None:
        return [(before, "not_yet_cured")]
    passed = (facts.on - facts.clean_since).days >= rules.upgrade_days
    if passed and facts.paid_since >= rules.upgrade_instalments:
        return []
    return [(before, "not_yet_cured")]


def clean_since(dues: Sequence[tuple[date, date | None]], on: date) -> tuple[date | None, int]:
    """Return since when nothing is late, and how many instalments were paid in time since then.

    Parameters
    ----------
    dues : due date of each instalment, and the day on which nothing of it was left to pay

    Returns
    -------
    tuple
        None while something is late or if nothing ever was; and how many instalments that fell
        due from that day on were paid by their due date.

    Examples
    --------
    >>> jan, feb, mar = (date(2026, month, 5) for month in (1, 2, 3))
    >>> clean_since([(jan, date(2026, 1, 20)), (feb, feb), (mar, mar)], date(2026, 3, 9))
    (datetime.date(2026, 1, 20), 2)
    >>> clean_since([(jan, date(2026, 1, 20)), (feb, None)], date(2026, 3, 9))
    (None, 0)
    """
    past = [(due, paid) for due, paid in dues if due < on]
    if any(paid is None for _, paid in past):
        return None, 0
    late = [paid for due, paid in past if paid is not None and paid > due]
    since = max(late, default=None)
    in_time = [due for due, paid in dues if paid is not None and paid <= due and due <= on]
    return since, sum(since is None or due >= since for due in in_time)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRules:
    """When risk has increased significantly, when a loan is impaired, when it is cured.

    Attributes
    ----------
    increase_over : days past due above which risk has increased (presumption, B5.5.20)
    impaired_over : days past due above which a loan is in default (presumption, B5.5.37)
    pd_ratio_ppm, pd_rise_ppm : risk has increased when the probability of default in twelve months
        is at least so many times that of the contract's first day, and so much above it
    low_risk_ppm : a probability below this is low risk: no increase is assumed (5.5.10)
    cure_two_days, cure_three_days : nothing late for so long before stage 2, or 3, is left
    """

    increase_over: int = 30
    impaired_over: int = 90
    pd_ratio_ppm: int = 2_000_000
    pd_rise_ppm: int = 5_000
    low_risk_ppm: int = 3_000
    cure_two_days: int = 90
    cure_three_days: int = 90


STANDARD_STAGES: Final = StageRules()
"""The presumptions of IFRS 9 unrebutted; ratio, rise and cures are ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFacts:
    """What is known about a loan when its stage is found.

    Attributes
    ----------
    before : stage at the end of the day before; None for a new loan
    first_pd_ppm, pd_ppm : probability of default in twelve months, on the first day and now
    category : of the five; non-performing is impaired, a restructured one has increased risk
    """

    on: date
    days_past_due: int
    before: Stage | None = None
    first_pd_ppm: int = 0
    pd_ppm: int = 0
    category: Category = Category.NORMAL
    is_impaired: bool = False
    is_restructured: bool = False
    clean_since: date | None = None
    rules: StageRules = field(default=STANDARD_STAGES)


def stage_of(facts: StageFacts) -> Stage:
    """Return the stage of a loan.

    Returns
    -------
    Stage
        A stage is left one step at a time, and only after nothing was late for as long as the
        rules ask; a worse one is entered at once.

    Examples
    --------
    >>> [int(stage_of(StageFacts(on=date(2026, 3, 2), days_past_due=days)))
    ...  for days in (0, 30, 31, 90, 91)]
    [1, 1, 2, 2, 3]
    >>> int(stage_of(StageFacts(on=date(2026, 3, 2), days_past_due=0, first_pd_ppm=10_000,
    ...                         pd_ppm=20_000)))
    2
    """
    asked = _stage_now(facts)
    before = facts.before
    if before is None or asked >= before:
        return asked
    needed = facts.rules.cure_three_days if before is Stage.THREE else facts.rules.cure_two_days
    if _was_late(facts) and not _clean_for(facts, needed):
        return before
    return Stage(max(asked, before - 1))


def _stage_now(facts: StageFacts) -> Stage:
    rules = facts.rules
    impaired = facts.is_impaired or facts.category.is_non_performing
    if impaired or facts.days_past_due > rules.impaired_over:
        return Stage.THREE
    rose = (
        facts.pd_ppm >= rules.low_risk_ppm
        and facts.pd_ppm * PPM >= facts.first_pd_ppm * rules.pd_ratio_ppm
        and facts.pd_ppm - facts.first_pd_ppm >= rules.pd_rise_ppm
    )
    # Without a probability of the first day nothing can be compared: missing is not zero.
    rose = rose and facts.first_pd_ppm > 0
    if rose or facts.is_restructured or facts.days_past_due > rules.increase_over:
        return Stage.TWO
    return Stage.ONE


def _was_late(facts: StageFacts) -> bool:
    """Whether lateness brought it here; a probability that fell again needs no probation."""
    return facts.days_past_due > 0 or facts.clean_since is not None or facts.before is Stage.THREE


def _clean_for(facts: StageFacts, days: int) -> bool:
    return facts.clean_since is not None and (facts.on - facts.clean_since).days >= days


RATES_2002: Final = {
    Category.NORMAL: Decimal("0.01"),
    Category.SPECIAL_MENTION: Decimal("0.02"),
    Category.SUBSTANDARD: Decimal("0.25"),
    Category.DOUBTFUL: Decimal("0.50"),
    Category.LOSS: Decimal("1.00"),
}
"""银行贷款损失准备计提指引 (2002): special provision by category; the general one, at least 1 % of
the whole, stands here at 正常. 次级 and 可疑 may be set a fifth higher or lower."""


def provision_2002(gross_minor: int, category: Category, *, float_ppm: int = 0) -> int:
    """Return the provision of the 2002 guide on a gross amount, minor units, rounded half up.

    Parameters
    ----------
    float_ppm : what 次级 and 可疑 are set higher or lower by, at most a fifth of the rate

    Examples
    --------
    >>> [provision_2002(1_000_000, category) for category in Category]
    [10000, 20000, 250000, 500000, 1000000]
    """
    assert abs(float_ppm) <= 200_000, "a fifth at most"
    assert float_ppm == 0 or category in (Category.SUBSTANDARD, Category.DOUBTFUL), category
    rate_ppm = int(RATES_2002[category] * PPM)
    numerator = gross_minor * rate_ppm * (PPM + float_ppm)
    return (2 * numerator + PPM**2) // (2 * PPM**2)
