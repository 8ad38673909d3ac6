"""循环额度: a limit that is granted once, under which several draw-downs stand."""

from __future__ import annotations

from decimal import Decimal

from steelyard.cashflows import daycount, terms
from steelyard.credit.model.product import Price, Product, ProductKind, Tier, TierRule

_RATES = {
    Tier.A: ("0.0850", "0.0880", "0.0900"),
    Tier.B: ("0.1020", "0.1050", "0.1080"),
    Tier.C: ("0.1140", "0.1160", "0.1180"),
}
_TENORS = ("3m", "6m", "12m")

PRODUCT = Product(
    code="credit_line",
    version=1,
    kind=ProductKind.LINE,
    en="Credit line",
    zh="循环额度",
    least_minor=50_000,
    most_minor=10_000_000,
    step_minor=10_000,
    tenors=_TENORS,
    methods=(terms.Method.EQUAL_INSTALMENT, terms.Method.EQUAL_PRINCIPAL, terms.Method.BULLET),
    tiers=(
        TierRule(tier=Tier.A, score_to=99, limit_minor=10_000_000),
        TierRule(tier=Tier.B, score_to=199, limit_minor=5_000_000),
        TierRule(tier=Tier.C, score_to=299, limit_minor=2_000_000),
    ),
    prices=tuple(
        Price(tier=tier, tenor=tenor, rate=Decimal(rate))
        for tier, rates in _RATES.items()
        for tenor, rate in zip(_TENORS, rates, strict=True)
    ),
    day_count=daycount.DayCount.ACT_365F,
    penalty=terms.Penalty(rate=Decimal("0.16"), grace_days=3, days_in_year=365),
    line_days=365,
)
"""Delivered version."""
