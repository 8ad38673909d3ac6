"""Loans that run: how a customer repays, how late and how deep; what early warning looks at."""

from __future__ import annotations

from steelyard.features.catalogue.words import Family
from steelyard.features.model.definition import Aggregate, Compare, Feature, Where

_A = Aggregate
_PAID = ("loan_repayment",)
_LATE = ("loan_lateness",)
_WAS_LATE = (Where("days_late", Compare.AT_LEAST, 1),)


def _features() -> list[Feature]:
    paid = Family("customer", _PAID, "repayment")
    late = Family("customer", _PAID, "late_repayment", where=_WAS_LATE)
    fell = Family("customer", _LATE, "lateness")
    return [
        *paid.each(_A.COUNT, "30d 90d", ("Loan repayments of the customer", "客户还款笔数")),
        *paid.each(
            _A.SUM, "30d", ("Amount the customer repaid on loans", "客户还款金额"), "amount_minor"
        ),
        *paid.each(
            _A.MAX,
            "90d",
            (
                "Days by which the customer's latest-paid instalment was late",
                "客户还款最长逾期天数",
            ),
            "days_late",
        ),
        *late.each(
            _A.COUNT, "90d", ("Loan repayments of the customer that came late", "客户逾期还款笔数")
        ),
        *fell.each(
            _A.COUNT,
            "30d 90d",
            ("Times a loan of the customer changed its bucket or grade", "客户贷款档次变动次数"),
        ),
        *fell.each(
            _A.MAX,
            "30d 90d",
            ("Worst delinquency bucket of the customer's loans", "客户贷款最差逾期档"),
            "bucket",
        ),
        Family("customer", _LATE, "overdue").ever(
            _A.LAST,
            (
                "Overdue amount of the customer's loan that changed last",
                "客户最近变动贷款的逾期金额",
            ),
            "overdue_minor",
        ),
        Family("customer", _LATE, "stage").ever(
            _A.LAST,
            ("Stage of the customer's loan that changed last", "客户最近变动贷款的减值阶段"),
            "stage",
        ),
        fell.ever(
            _A.TIME_SINCE,
            (
                "Milliseconds since a loan of the customer last changed its bucket or grade",
                "距客户贷款上次档次变动毫秒数",
            ),
        ),
    ]


FEATURES = tuple(_features())
