"""The order in which a payment is set against what is owed, and its proof."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows.model.allocation import (
    STANDARD,
    Advance,
    Allocation,
    Direction,
    Owed,
    Part,
    Taken,
    When,
    allocate,
    follows_order,
)
from steelyard.cashflows.model.refusals import AllocationIsInvalid

RULES = st.builds(
    Allocation,
    st.permutations([*product(When, Part)]).map(tuple),
    st.sampled_from(Direction),
    st.sampled_from([Advance.NEXT, Advance.LAST]),
)
AMOUNTS = st.integers(0, 500)


@st.composite
def debts(draw: st.DrawFn) -> list[Owed]:
    """Return instalments, the oldest first."""
    whens = sorted(
        draw(st.lists(st.sampled_from([*When]), min_size=1, max_size=6)), key=[*When].index
    )
    return [
        Owed(nr, when, *(draw(AMOUNTS) for _ in Part)) for nr, when in enumerate(whens, start=1)
    ]


@given(st.integers(0, 6_000), debts(), RULES)
def test_what_is_taken_and_left_is_the_payment(
    amount: int, owed: list[Owed], rule: Allocation
) -> None:
    taken, left = allocate(amount, owed, rule)
    assert sum(one.amount_minor for one in taken) + left == amount
    every = sum(sum(one[2:]) for one in owed)
    assert left == max(0, amount - every)
    assert follows_order(amount, owed, rule, taken)


@given(st.integers(1, 6_000), debts(), RULES, st.randoms(use_true_random=False))
def test_money_put_elsewhere_does_not_follow_the_order(
    amount: int, owed: list[Owed], rule: Allocation, random: object
) -> None:
    taken, _ = allocate(amount, owed, rule)
    paid = {(one.nr, one.part): one.amount_minor for one in taken}
    short = [
        (one.nr, part)
        for one in owed
        for part in Part
        if paid.get((one.nr, part), 0) < getattr(one, part.value)
    ]
    if len(taken) < 1 or not short:
        return
    to = random.choice(short)  # type: ignore[attr-defined]
    giver = random.choice(taken)  # type: ignore[attr-defined]
    if to == (giver.nr, giver.part):
        return
    paid[giver.nr, giver.part] -= 1
    paid[to] = paid.get(to, 0) + 1
    when = {one.nr: one.when for one in owed}
    moved = [Taken(nr, when[nr], part, sum_) for (nr, part), sum_ in paid.items()]
    assert not follows_order(amount, owed, rule, moved)


@given(st.integers(1, 6_000), debts(), RULES)
def test_money_kept_back_does_not_follow_the_order(
    amount: int, owed: list[Owed], rule: Allocation
) -> None:
    taken, _ = allocate(amount, owed, rule)
    if taken:
        last = taken[-1]
        kept = [*taken[:-1], last._replace(amount_minor=last.amount_minor - 1)]
        assert not follows_order(amount, owed, rule, kept)


def test_horizontal_finishes_an_instalment_vertical_a_part() -> None:
    owed = [Owed(1, When.PAST_DUE, 0, 0, 10, 100), Owed(2, When.PAST_DUE, 0, 0, 10, 100)]
    parts = [Part.PENALTY, Part.FEE, Part.INTEREST, Part.PRINCIPAL]
    across = Allocation.of(parts, direction=Direction.HORIZONTAL)
    down = Allocation.of(parts, direction=Direction.VERTICAL)
    first = [(one.nr, one.part) for one in allocate(115, owed, across)[0]]
    second = [(one.nr, one.part) for one in allocate(115, owed, down)[0]]
    assert first == [(1, Part.INTEREST), (1, Part.PRINCIPAL), (2, Part.INTEREST)]
    assert second == [(1, Part.INTEREST), (2, Part.INTEREST), (1, Part.PRINCIPAL)]


@pytest.mark.parametrize(
    "order", [STANDARD.order[:-1], (*STANDARD.order, STANDARD.order[0]), ()], ids=len
)
def test_an_order_names_every_pair_once(order: tuple[tuple[When, Part], ...]) -> None:
    with pytest.raises(AllocationIsInvalid):
        Allocation(order)
