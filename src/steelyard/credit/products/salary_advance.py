"""工资预支: a part of the next salary for up to a month, for a flat fee shown as a yearly rate."""

from __future__ import annotations

from decimal import Decimal

from steelyard.cashflows import terms
from steelyard.credit.model.product import Price, Product, ProductKind, Tier, TierRule

_FEES = {
    Tier.A: ("0.0015", "0.0030", "0.0065"),
    Tier.B: ("0.0018", "0.0036", "0.0078"),
    Tier.C: ("0.0021", "0.0042", "0.0090"),
}
_TENORS = ("7d", "14d", "30d")

PRODUCT = Product(
    code="salary_advance",
    version=1,
    kind=ProductKind.SALARY,
    en="Salary advance",
    zh="工资预支",
    least_minor=20_000,
    most_minor=1_000_000,
    step_minor=10_000,
    tenors=_TENORS,
    methods=(terms.Method.BULLET,),
    tiers=(
        TierRule(tier=Tier.A, score_to=149, limit_minor=1_000_000),
        TierRule(tier=Tier.B, score_to=219, limit_minor=600_000),
        TierRule(tier=Tier.C, score_to=299, limit_minor=300_000),
    ),
    prices=tuple(
        Price(tier=tier, tenor=tenor, rate=Decimal(0), fee=Decimal(fee))
        for tier, fees in _FEES.items()
        for tenor, fee in zip(_TENORS, fees, strict=True)
    ),
    fee_code="advance",
    penalty=terms.Penalty(rate=Decimal("0.16"), grace_days=3, days_in_year=365),
    cooling_off_days=1,
)
"""Delivered version."""
