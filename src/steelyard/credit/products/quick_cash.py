"""快易贷: a cash loan of 3 to 24 months, paid out to the wallet."""

from __future__ import annotations

from decimal import Decimal

from steelyard.cashflows import terms
from steelyard.credit.model.product import Price, Product, ProductKind, Tier, TierRule

_RATES = {
    Tier.A: ("0.0780", "0.0820", "0.0860", "0.0920"),
    Tier.B: ("0.0960", "0.1000", "0.1050", "0.1100"),
    Tier.C: ("0.1080", "0.1120", "0.1160", "0.1180"),
}
_TENORS = ("3m", "6m", "12m", "24m")

PRODUCT = Product(
    code="quick_cash",
    version=1,
    kind=ProductKind.CASH,
    en="Quick cash loan",
    zh="快易贷",
    least_minor=100_000,
    most_minor=20_000_000,
    step_minor=10_000,
    tenors=_TENORS,
    methods=(
        terms.Method.EQUAL_INSTALMENT,
        terms.Method.EQUAL_PRINCIPAL,
        terms.Method.INTEREST_ONLY,
    ),
    tiers=(
        TierRule(tier=Tier.A, score_to=99, limit_minor=20_000_000),
        TierRule(tier=Tier.B, score_to=199, limit_minor=10_000_000),
        TierRule(tier=Tier.C, score_to=299, limit_minor=5_000_000),
    ),
    prices=tuple(
        Price(tier=tier, tenor=tenor, rate=Decimal(rate))
        for tier, rates in _RATES.items()
        for tenor, rate in zip(_TENORS, rates, strict=True)
    ),
    penalty=terms.Penalty(rate=Decimal("0.16"), grace_days=3, days_in_year=360),
    cooling_off_days=3,
)
"""Delivered version."""
