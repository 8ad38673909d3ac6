"""Loan and merchant applications: many at once, shared devices, phones, addresses, accounts."""

from __future__ import annotations

from steelyard.features.catalogue.words import Family, shares
from steelyard.features.model.definition import Aggregate, Feature

_A = Aggregate
_LOAN = ("loan_application",)
_MERCHANT = ("merchant_application",)


def _loans() -> list[Feature]:
    applies = Family("customer", _LOAN, "application")
    prior = Family("customer", _LOAN, "application", before=True)
    product = Family("product", _LOAN, "application", before=True)
    told = Family("device", _LOAN, "application", delay="30d")
    told_counts = told.each(
        _A.COUNT, "90d", ("Loan applications from the device", "设备贷款申请数")
    )
    defaults = Family("device", _LOAN, "default", delay="30d").each(
        _A.SUM,
        "90d",
        ("Loan applications from the device known to have defaulted", "设备已知违约申请数"),
        "is_default",
    )
    return [
        *applies.each(
            _A.COUNT, "1d 7d 30d 90d", ("Loan applications of the customer", "客户贷款申请数")
        ),
        *applies.each(
            _A.SUM, "30d", ("Amount the customer applied for", "客户申请贷款金额"), "amount_minor"
        ),
        *prior.each(
            _A.MAX,
            "90d",
            ("Largest amount the customer applied for before", "客户此前最大申请金额"),
            "amount_minor",
        ),
        *Family("customer", _LOAN, "income").each(
            _A.STD,
            "90d",
            ("Deviation of the incomes the customer stated", "客户申报收入标准差"),
            "income_minor",
        ),
        *Family("customer", _LOAN, "employer").each(
            _A.DISTINCT, "90d", ("Employers the customer stated", "客户申报雇主数"), "employer"
        ),
        prior.ever(
            _A.TIME_SINCE,
            (
                "Milliseconds since the customer's application before this",
                "距客户上次贷款申请毫秒数",
            ),
        ),
        *Family("customer", _LOAN, "loan_fraud").each(
            _A.SUM,
            "90d",
            ("Loan applications of the customer known as fraud", "客户已知欺诈申请数"),
            "is_fraud",
        ),
        *Family("device", _LOAN, "application").each(
            _A.COUNT, "1d 7d", ("Loan applications from the device", "设备贷款申请数")
        ),
        *Family("device", _LOAN, "applicant").each(
            _A.DISTINCT,
            "30d",
            ("Customers who applied for a loan from the device", "设备贷款申请客户数"),
            "customer",
        ),
        *told_counts,
        *defaults,
        *shares(
            "default_share", defaults, told_counts, ("Default share of the device", "设备违约占比")
        ),
        *Family("phone", _LOAN, "applicant").each(
            _A.DISTINCT,
            "30d",
            ("Customers who applied for a loan with the phone", "同一手机号申请客户数"),
            "customer",
        ),
        *Family("address", _LOAN, "applicant").each(
            _A.DISTINCT,
            "90d",
            ("Customers who applied for a loan from the address", "同一住址申请客户数"),
            "customer",
        ),
        *Family("employer", _LOAN, "application").each(
            _A.COUNT, "7d", ("Loan applications that name the employer", "同一雇主贷款申请数")
        ),
        *Family("ip", _LOAN, "application").each(
            _A.COUNT, "1d", ("Loan applications from the internet address", "同一 IP 贷款申请数")
        ),
        *product.each(
            _A.ZSCORE,
            "30d",
            (
                "This amount against all applications for the product, in deviations",
                "本次金额相对产品申请的偏离倍数",
            ),
            "amount_minor",
        ),
    ]


def _merchants() -> list[Feature]:
    return [
        *Family("owner", _MERCHANT, "application").each(
            _A.COUNT, "90d", ("Merchants the owner applied for", "法人申请商户数")
        ),
        *Family("device", _MERCHANT, "merchant").each(
            _A.DISTINCT,
            "30d",
            ("Merchants applied for from the device", "设备申请商户数"),
            "merchant",
        ),
        *Family("phone", _MERCHANT, "merchant").each(
            _A.DISTINCT,
            "90d",
            ("Merchants applied for with the phone", "同一手机号申请商户数"),
            "merchant",
        ),
        *Family("address", _MERCHANT, "merchant").each(
            _A.DISTINCT,
            "90d",
            ("Merchants applied for at the address", "同一地址申请商户数"),
            "merchant",
        ),
        *Family("payee", _MERCHANT, "merchant").each(
            _A.DISTINCT,
            "90d",
            ("Merchants that want to be paid to the account", "同一收款账户申请商户数"),
            "merchant",
        ),
        *Family("ip", _MERCHANT, "merchant_application").each(
            _A.COUNT,
            "1d",
            ("Merchants applied for from the internet address", "同一 IP 商户申请数"),
        ),
    ]


FEATURES = (*_loans(), *_merchants())
