"""The most that a credit may cost a year: by lender and day, from a table."""

from __future__ import annotations

import json
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.caps import (
    AnnualRateIsOverCap,
    CapTable,
    CapTableIsMalformed,
    LenderKind,
    RateCapIsUnknown,
    cap_on,
    delivered,
    hold_to_cap,
    lpr_cap,
    table_of,
)

RULE = {
    "from_on": "2030-01-01",
    "lender": "licensed",
    "kind": "lpr_multiple",
    "value": "3",
    "measure": "compound",
    "source": "a rule to come",
    "source_zh": "将来的规定",
}


@pytest.mark.parametrize(
    ("on", "rate"),
    [
        ("2015-09-01", "0.24"),
        ("2020-08-19", "0.24"),
        ("2020-08-20", "0.154"),
        ("2021-12-19", "0.154"),
        ("2021-12-20", "0.152"),
        ("2023-08-21", "0.138"),
        ("2024-10-21", "0.124"),
        ("2025-05-19", "0.124"),
        ("2025-05-20", "0.12"),
    ],
)
def test_private_lending_is_held_to_24_percent_then_to_four_times_the_prime_rate(
    on: str, rate: str
) -> None:
    cap = cap_on(delivered(), LenderKind.PRIVATE, date.fromisoformat(on))
    assert cap.rate == Decimal(rate)
    assert (cap.prime is None) == (on < "2020-08-20")


def test_a_licensed_lender_has_a_rule_of_its_own() -> None:
    assert cap_on(delivered(), LenderKind.LICENSED, date(2025, 6, 1)).rate == Decimal("0.24")


def test_a_day_before_every_rule_is_unknown_not_free() -> None:
    with pytest.raises(RateCapIsUnknown):
        cap_on(delivered(), LenderKind.PRIVATE, date(2015, 8, 31))
    with pytest.raises(RateCapIsUnknown) as refused:
        cap_on(CapTable(delivered().rules, ()), LenderKind.PRIVATE, date(2026, 1, 1))
    assert refused.value.facts["why"] == "no loan prime rate"


def test_over_the_cap_is_refused_with_the_figures() -> None:
    cap = cap_on(delivered(), LenderKind.PRIVATE, date(2025, 6, 1))
    hold_to_cap(cap, compound=Decimal("0.126825"), simple=Decimal("0.120049"))
    with pytest.raises(AnnualRateIsOverCap) as refused:
        hold_to_cap(cap, compound=Decimal("0.127"), simple=Decimal("0.120051"))
    facts = refused.value.facts
    assert (facts["rate_percent"], facts["cap_percent"]) == ("12.0051", "12")
    assert refused.value.code == "annual_rate_is_over_cap"
    assert "12.0051%" in refused.value.sentence("zh")


def test_what_nobody_verified_says_so() -> None:
    cap = cap_on(delivered(), LenderKind.PRIVATE, date(2025, 6, 1))
    assert (cap.rule.is_verified, cap.is_verified) == (True, False)
    text = {
        "lpr_1y": [{"from_on": "2029-01-01", "percent": "4", "is_verified": True}],
        "caps": [{**RULE, "is_verified": True}],
    }
    assert cap_on(table_of(json.dumps(text)), LenderKind.LICENSED, date(2030, 1, 1)).is_verified


def test_the_rule_says_which_rate_counts() -> None:
    table = table_of(json.dumps({"lpr_1y": [{"from_on": "2029-01-01", "percent": "4"}],
                                 "caps": [RULE]}))  # fmt: skip
    cap = cap_on(table, LenderKind.LICENSED, date(2030, 1, 1))
    assert cap.rate == Decimal("0.12")
    hold_to_cap(cap, compound=Decimal("0.12"), simple=Decimal("0.5"))
    with pytest.raises(AnnualRateIsOverCap):
        hold_to_cap(cap, compound=Decimal("0.1201"), simple=Decimal("0.1"))


@given(st.dates(date(2020, 8, 20), date(2040, 1, 1)), st.integers(0, 400))
def test_a_rule_holds_until_the_next(on: date, days: int) -> None:
    first = cap_on(delivered(), LenderKind.PRIVATE, on)
    later = cap_on(delivered(), LenderKind.PRIVATE, on + timedelta(days=days))
    assert first.prime is not None
    assert later.prime is not None
    assert first.prime.from_on <= on
    assert later.prime.from_on >= first.prime.from_on
    assert first.rate == lpr_cap(first.prime.percent) / 100


@pytest.mark.parametrize(
    "caps",
    [
        [{**RULE, "value": "0"}],
        [{**RULE, "value": "NaN"}],
        [RULE, RULE],
        [{**RULE, "lender": "friend"}],
        [{**RULE, "note": "x"}],
        [{key: value for key, value in RULE.items() if key != "source"}],
    ],
)
def test_a_table_that_cannot_be_is_refused(caps: list[dict[str, str]]) -> None:
    with pytest.raises(CapTableIsMalformed):
        table_of(json.dumps({"lpr_1y": [], "caps": caps}))
    with pytest.raises(CapTableIsMalformed):
        table_of("{")
