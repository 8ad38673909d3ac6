"""商户分期: pays a purchase; down payment to the merchant, who bears interest of short terms."""

from __future__ import annotations

from decimal import Decimal

from steelyard.cashflows import terms
from steelyard.credit.model.product import (
    Price,
    Product,
    ProductKind,
    Subsidy,
    Tier,
    TierRule,
)

_RATES = {
    Tier.A: ("0.0900", "0.0960", "0.1020", "0.1080"),
    Tier.B: ("0.1000", "0.1060", "0.1100", "0.1140"),
    Tier.C: ("0.1080", "0.1120", "0.1160", "0.1180"),
}
_TENORS = ("3m", "6m", "12m", "24m")

PRODUCT = Product(
    code="merchant_instalments",
    version=1,
    kind=ProductKind.MERCHANT,
    en="Merchant instalments",
    zh="商户分期",
    least_minor=30_000,
    most_minor=5_000_000,
    step_minor=1,
    tenors=_TENORS,
    methods=(terms.Method.EQUAL_INSTALMENT,),
    tiers=(
        TierRule(tier=Tier.A, score_to=149, limit_minor=5_000_000),
        TierRule(tier=Tier.B, score_to=219, limit_minor=3_000_000),
        TierRule(tier=Tier.C, score_to=299, limit_minor=1_000_000),
    ),
    prices=tuple(
        Price(tier=tier, tenor=tenor, rate=Decimal(rate))
        for tier, rates in _RATES.items()
        for tenor, rate in zip(_TENORS, rates, strict=True)
    ),
    penalty=terms.Penalty(rate=Decimal("0.16"), grace_days=3, days_in_year=360),
    least_down_payment_bp=1_000,
    subsidies=(
        Subsidy(tenor="3m", share_bp=10_000),
        Subsidy(tenor="6m", share_bp=5_000),
    ),
    cooling_off_days=7,
)
"""Delivered version."""
