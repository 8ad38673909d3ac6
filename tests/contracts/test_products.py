"""The battery that everything which claims to be a product goes through: `check_product`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

import pytest

from steelyard.cashflows import plan, run
from steelyard.credit.model.caps import LenderKind, delivered
from steelyard.credit.model.offer import Lender, content_hash, content_of
from steelyard.credit.model.product import (
    Order,
    Product,
    Tenor,
    Tier,
    price_of,
    product_to_json,
    read_product,
    terms_of,
    terms_without_subsidy,
)
from steelyard.credit.products import DELIVERED

LENDER = Lender(kind=LenderKind.LICENSED, caps=delivered())
DAYS = (date(2026, 1, 31), date(2026, 3, 2), date(2028, 2, 29))


def orders(product: Product, tier: Tier) -> Iterator[Order]:
    """Return the corners of what can be asked for in a tier."""
    rule = product.tier_rule(tier)
    assert rule is not None
    most = min(rule.limit_minor, product.most_minor)
    for amount in (product.least_minor, most - most % product.step_minor):
        for tenor in product.tenors:
            for method in product.methods:
                for on in DAYS:
                    yield Order(amount_minor=amount, tenor=tenor, method=method, start_on=on)


def check_product(product: Product) -> None:
    """Check that a product can be sold: priced throughout, under the cap, adding up to the cent."""
    assert read_product(product_to_json(product)) == product
    assert product.en.isascii()
    assert not product.zh.isascii()
    _check_prices(product)
    for rule in product.tiers:
        for order in orders(product, rule.tier):
            _check_order(product, rule.tier, order)


def _check_prices(product: Product) -> None:
    """More risk never costs less, and a table without holes has no cell for what is not sold."""
    for tenor in product.tenors:
        found = [price_of(product, rule.tier, tenor) for rule in product.tiers]
        assert [one.rate for one in found] == sorted(one.rate for one in found)
        assert [one.fee for one in found] == sorted(one.fee for one in found)


def _check_order(product: Product, tier: Tier, order: Order) -> None:
    terms = terms_of(product, tier, order)
    rows = plan(terms).rows
    assert sum(row.principal_minor for row in rows) == order.amount_minor
    assert rows[-1].balance_minor == 0
    assert len([row for row in rows if row.due_on > order.start_on]) == (
        Tenor.of(order.tenor).instalments
    )
    standing = run(terms, (), order.start_on)
    assert standing.principal_minor == order.amount_minor
    # `content_of` refuses what costs more than the law allows.
    content = content_of(product, tier, order, LENDER)
    assert content["costs"]["payments_minor"] - content["costs"]["received_minor"] == sum(
        row.interest_minor + row.fee_minor for row in rows
    )
    assert content_hash(content) == content_hash(content_of(product, tier, order, LENDER))
    assert len(content["costs"]["rates"]) >= 1
    assert all(one["zh"] and one["en"] for one in content["costs"]["rates"])
    free = terms_without_subsidy(product, tier, order)
    assert sum(row.interest_minor for row in plan(free).rows) >= sum(
        row.interest_minor for row in rows
    )
    assert order.start_on + timedelta(days=product.cooling_off_days) < rows[-1].due_on
    assert terms.penalty is None or terms.penalty.rate <= Decimal("0.24")


@pytest.mark.parametrize("code", sorted(DELIVERED))
def test_every_delivered_product_can_be_sold(code: str) -> None:
    check_product(DELIVERED[code])
    assert DELIVERED[code].code == code
