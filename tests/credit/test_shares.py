"""Shares of joint loans: fixed parts, sums exact."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.shares import ALL_OURS, Shares, SharesAreInvalid, apportion

PARTNERS = st.lists(st.integers(1, 200), max_size=4).map(
    lambda parts: tuple((f"bank_{n}", part) for n, part in enumerate(parts))
)
SHARES = st.builds(Shares, st.integers(1, 200), PARTNERS)


@given(SHARES, st.integers(0, 10**15))
def test_shares_are_the_amount_and_each_is_its_part(shares: Shares, amount: int) -> None:
    own, partners = shares.own_minor(amount), shares.split(amount)
    assert own + sum(partners) == amount
    fixed = (shares.own_parts, *(parts for _, parts in shares.partners))
    for part, parts in zip((own, *partners), fixed, strict=True):
        assert abs(part * shares.all_parts - amount * parts) <= 2 * shares.all_parts
        assert part >= 0


@given(SHARES, st.integers(0, 10**12), st.integers(0, 10**6))
def test_our_share_never_falls_when_the_amount_rises(
    shares: Shares, amount: int, more: int
) -> None:
    assert 0 <= shares.own_minor(amount + more) - shares.own_minor(amount) <= more


@given(st.integers(-(10**12), 10**12), st.lists(st.integers(1, 99), min_size=1, max_size=6))
def test_apportioned_parts_add_up_and_mirror_for_less_than_nothing(
    amount: int, parts: list[int]
) -> None:
    found = apportion(amount, parts)
    assert sum(found) == amount
    assert apportion(-amount, parts) == tuple(-one for one in found)
    assert all(
        abs(one * sum(parts) - amount * part) < sum(parts)
        for one, part in zip(found, parts, strict=True)
    )


@given(SHARES)
def test_shares_are_stored_and_read_alike(shares: Shares) -> None:
    assert Shares.from_json(shares.to_json()) == shares
    assert Shares.from_json(None) is ALL_OURS


@pytest.mark.parametrize(
    "stored",
    [
        [],
        [{"institution": "bank_a", "parts": 3}],
        [{"institution": "own", "parts": 0}],
        [{"institution": "own", "parts": 1}, {"institution": "bank_a", "parts": 0}],
        [{"institution": "own", "parts": 1}, {"institution": "A b", "parts": 1}],
        [{"institution": "own", "parts": 1}] + [{"institution": "x", "parts": 1}] * 2,
        [{"institution": "own", "parts": 10_001}],
        [{"institution": "own"}],
        [{"parts": 1}],
        [{"institution": "own", "parts": "1"}],
    ],
)
def test_what_is_no_whole_is_refused(stored: list[dict[str, object]]) -> None:
    with pytest.raises(SharesAreInvalid):
        Shares.from_json(stored)
