"""Products: terms that fit together, a price of three things only, versions by two people."""

from __future__ import annotations

import inspect
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit import catalogue, origination
from steelyard.credit.model.assessment import Grounds
from steelyard.credit.model.product import (
    Funder,
    Price,
    Product,
    ProductIsMalformed,
    Subsidy,
    Tenor,
    TenorIsNotOffered,
    Tier,
    TierIsNotServed,
    TierRule,
    price_of,
    product_as_data,
    read_product,
    terms_of,
)
from steelyard.credit.model.shares import SharesAreInvalid
from steelyard.credit.products import DELIVERED
from tests.credit.applicants import Counter
from tests.credit.applicants import counter as counter
from tests.credit.lender import ANN

CASH = DELIVERED["quick_cash"]


def test_a_price_depends_on_product_risk_and_term_and_nothing_else() -> None:
    assert list(inspect.signature(price_of).parameters) == ["product", "tier", "tenor"]
    assert set(inspect.signature(terms_of).parameters) == {"product", "tier", "order"}
    seen = {name for one in (Product, Price, Grounds) for name in one.__dataclass_fields__}
    wanted = ("willing", "elastic", "sensitiv", "income_band", "device", "channel", "age", "sex")
    assert not [name for name in seen for word in wanted if word in name.split("_")]


@given(st.sampled_from(sorted(DELIVERED)), st.data())
def test_the_amount_never_changes_the_price(code: str, data: st.DataObject) -> None:
    product = DELIVERED[code]
    rule = data.draw(st.sampled_from(product.tiers))
    tenor = data.draw(st.sampled_from(product.tenors))
    steps = (product.most_minor - product.least_minor) // product.step_minor
    rates = set()
    for _ in range(2):
        amount = product.least_minor + data.draw(st.integers(0, steps)) * product.step_minor
        order = origination.Order(
            amount_minor=amount,
            tenor=tenor,
            method=product.methods[0],
            start_on=date(2026, 1, 5),
        )
        rates.add(terms_of(product, rule.tier, order).rate)
    assert len(rates) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("code", "Quick Cash"),
        ("zh", ""),
        ("currency", "XXY"),
        ("least_minor", 0),
        ("most_minor", 20_000_001),
        ("tenors", ()),
        ("tenors", ("3m", "3m")),
        ("tenors", ("0m",)),
        ("methods", ()),
        ("tiers", ()),
        ("tiers", (TierRule(tier=Tier.B, score_to=9, limit_minor=1),) * 2),
        ("prices", CASH.prices[1:]),
        ("prices", (*CASH.prices, CASH.prices[0])),
        ("prices", (replace(CASH.prices[0], rate=Decimal(2)), *CASH.prices[1:])),
        ("thin_file_tier", Tier.D),
        ("max_burden_bp", 0),
        ("subsidies", (Subsidy(tenor="3m", share_bp=10_000),)),
        ("identity_level", 4),
        ("cooling_off_days", -1),
        ("funders", (Funder(institution="own", share_bp=9_999),)),
        ("funders", (Funder(institution="bank", share_bp=10_000),)),
    ],
)
def test_terms_that_do_not_fit_together_are_refused(field: str, value: Any) -> None:
    with pytest.raises((ProductIsMalformed, SharesAreInvalid)):
        replace(CASH, **{field: value})


@pytest.mark.parametrize("source", [b"", b"[]", b'{"code": 1}', b'{"nonsense": 1}', b"\xff"])
def test_what_is_no_product_is_refused(source: bytes) -> None:
    with pytest.raises(ProductIsMalformed):
        read_product(source)


def test_what_is_not_sold_has_no_price() -> None:
    with pytest.raises(TierIsNotServed):
        price_of(CASH, Tier.D, "12m")
    with pytest.raises(TenorIsNotOffered):
        price_of(CASH, Tier.A, "36m")
    for code in ("", "m", "12", "12y", "012m", "-1m"):
        with pytest.raises(TenorIsNotOffered):
            Tenor.of(code)


def test_a_joint_loan_names_who_funds_it() -> None:
    funders = (
        Funder(institution="own", share_bp=3_000),
        Funder(institution="bank", share_bp=7_000),
    )
    shares = replace(CASH, funders=funders).shares
    assert (shares.own_parts, shares.partners) == (3_000, (("bank", 7_000),))
    assert CASH.shares.partners == ()


def test_installed_once_and_never_again(counter: Counter) -> None:
    assert counter.run(catalogue.install_delivered) == ()
    with counter.database.reading() as connection:
        assert {one.code for one in catalogue.list_active(connection)} == set(DELIVERED)


def test_another_version_is_sold_only_by_two_people(counter: Counter) -> None:
    before = counter.draft()
    dearer = product_as_data(
        replace(CASH, prices=tuple(replace(one, rate=one.rate * 2) for one in CASH.prices))
    )
    drafted = counter.run(
        lambda unit: catalogue.draft_version(unit, dearer, note="rates doubled"), ANN
    )
    assert drafted.product.version == 2
    with counter.database.reading() as connection:
        assert catalogue.read_active(connection, "quick_cash").version == 1
    ask = ("quick_cash", 2)
    approval = counter.approve(lambda unit: catalogue.request_activation(unit, *ask))
    assert (
        counter.refused(catalogue.activate, "quick_cash", 1, approval=approval)
        == "product_version_is_active"
    )
    counter.run(lambda unit: catalogue.activate(unit, *ask, approval=approval), ANN)
    assert counter.refused(catalogue.request_activation, *ask) == "product_version_is_active"
    after = counter.draft()
    assert (before.product_version, after.product_version) == (1, 2)
    offers = []
    for one in (before, after):
        counter.run(
            lambda unit, one=one: origination.consent(  # type: ignore[misc]
                unit, one.id, {"credit_assessment": 1}, channel="app"
            )
        )
        counter.run(lambda unit, one=one: origination.submit(unit, one.id))  # type: ignore[misc]
        counter.check(one.id)
        counter.decide(one.id)
        offers.append(counter.offer(one.id))
    assert offers[1].terms.rate == 2 * offers[0].terms.rate
    with counter.database.reading() as connection:
        history = catalogue.activations_of(connection, "quick_cash")
    assert [(one.version, one.before) for one in history] == [(2, 1), (1, None)]
    assert history[0].cause.startswith("approval:")


def test_who_drafts_a_version_does_not_put_it_in_force(counter: Counter) -> None:
    counter.run(lambda unit: catalogue.draft_version(unit, product_as_data(CASH), note="same"), ANN)
    asked = counter.run(lambda unit: catalogue.request_activation(unit, "quick_cash", 2), ANN)
    assert (
        counter.refused(catalogue.activate, "quick_cash", 2, approval=asked.id)
        == "approval_is_not_open"
    )
    assert counter.refused(catalogue.request_activation, "quick_cash", 9) == (
        "product_version_is_unknown"
    )
    assert counter.refused(catalogue.draft_version, {"code": "x"}, note="x") == (
        "product_is_malformed"
    )
    assert counter.refused(catalogue.draft_version, product_as_data(CASH), note=" ") == (
        "product_is_malformed"
    )
