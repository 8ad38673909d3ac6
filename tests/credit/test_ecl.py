from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.credit.model.classification import Stage
from steelyard.credit.model.ecl import (
    PARTS,
    SCENARIOS,
    Exposure,
    LossCurve,
    Owing,
    Scenario,
    allowance,
    discount,
    expected_loss,
    exposures,
    loss_curve,
    provision_matrix,
)
from steelyard.credit.model.ecl_columns import LARGEST, Curves, Graded, OpenRows, allowances
from steelyard.credit.model.risk_refusals import LossInputIsInvalid, ScenariosAreInvalid

ON = date(2026, 3, 2)
PD = [0.01, 0.012, 0.011, 0.009]
EAD = [10_000, 7_600, 5_100, 2_600]
ALONE = [Scenario(name="base", weight=Decimal(1))]


def test_the_formula_gives_the_figures_worked_out_elsewhere() -> None:
    assert expected_loss(PD, EAD, 0.45, 0.12, 1) == pytest.approx(40.178571, abs=1e-6)
    assert expected_loss(PD, EAD, 0.45, 0.12) == pytest.approx(97.556306, abs=1e-6)
    assert expected_loss(PD, EAD, 0.45, 0.12, 9) == expected_loss(PD, EAD, 0.45, 0.12)


def test_the_provision_matrix_of_the_illustrative_example() -> None:
    gross = [15_000_000, 7_500_000, 4_000_000, 2_500_000, 1_000_000]
    parts, total = provision_matrix(gross, ["0.003", "0.016", "0.036", "0.066", "0.106"])
    assert parts == (45_000, 120_000, 144_000, 165_000, 106_000)
    assert total == 580_000


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: expected_loss(PD, EAD[:3], 0.45, 0.12),
        lambda: expected_loss([0.6, 0.6], [1, 1], 0.45, 0.12),
        lambda: expected_loss([-0.1], [1], 0.45, 0.12),
        lambda: expected_loss(PD, EAD, 1.1, 0.12),
        lambda: expected_loss(PD, EAD, 0.45, -1.0),
        lambda: expected_loss([float("nan")], [1], 0.45, 0.12),
        lambda: provision_matrix([1], []),
        lambda: LossCurve((1, 2), 0),
        lambda: LossCurve((0, 2, 1), 0),
        lambda: LossCurve((0, PARTS + 1), 0),
        lambda: LossCurve((0,), PARTS + 1),
        lambda: loss_curve([0.0, 1.5], 0.45),
    ],
)
def test_what_is_no_probability_is_refused(wrong: object) -> None:
    with pytest.raises(LossInputIsInvalid):
        wrong()  # type: ignore[operator]


@pytest.mark.parametrize(
    "scenarios",
    [
        [Scenario(name="base", weight=Decimal("0.9"))],
        [Scenario(name="a", weight=Decimal(2)), Scenario(name="b", weight=Decimal(-1))],
        [Scenario(name="base", weight=Decimal(1), odds=Decimal(0))],
    ],
)
def test_scenarios_weigh_one_together(scenarios: list[Scenario]) -> None:
    with pytest.raises(ScenariosAreInvalid):
        loss_curve([0.0, 0.1], 0.45, scenarios)


def test_a_worse_scenario_raises_the_curve() -> None:
    flat = [0.0, 0.02, 0.05]
    base = loss_curve(flat, 0.45, ALONE)
    weighed = loss_curve(flat, 0.45, SCENARIOS)
    assert base.by_month == (0, 9_000_000, 22_500_000)
    assert weighed.by_month[2] > base.by_month[2]
    assert weighed.impaired == 459_500_000  # 0.45 + 0.15 * -0.02 + 0.25 * 0.05


def test_the_integers_follow_the_formula() -> None:
    """A contract with yearly dues: months of the curve and days of the discount fall together."""
    cumulative = np.interp(np.arange(49), [0, 12, 24, 36, 48], np.cumsum([0, *PD]))
    curve = loss_curve(cumulative.tolist(), 0.45, ALONE)
    scale = 1_000
    exposed = [Exposure(365 * (n + 1), ead * scale) for n, ead in enumerate(EAD)]
    assert allowance(exposed, curve, 1_200, Stage.TWO) == round(97.556306 * scale)
    assert allowance(exposed, curve, 1_200, Stage.ONE) == round(40.178571 * scale)
    assert allowance(exposed, curve, 1_200, Stage.THREE) == 4_500 * scale


def test_a_default_after_a_year_is_not_in_the_first_stage() -> None:
    curve = LossCurve((0, *(10_000_000 * n for n in range(1, 25))), PARTS)
    one = [Exposure(400, 1_000_000)]
    assert allowance(one, curve, 0, Stage.ONE) == 120_000
    assert allowance(one, curve, 0, Stage.TWO) == 131_507  # 400 days are 13.15 months


def rows_of(*rows: tuple[int, int, int, int]) -> list[Owing]:
    return [Owing(ON + timedelta(days=days), *amounts) for days, *amounts in rows]


def test_exposures_are_what_is_owed_when_it_happens() -> None:
    rows = rows_of((-40, 900, 30, 20), (0, 1_000, 25, 0), (28, 1_100, 20, 5), (59, 1_200, 10, 0))
    late = 950 + 1_025
    assert exposures(rows, ON) == (
        Exposure(28, late + 2_300 + 25),
        Exposure(59, late + 1_200 + 10),
    )
    assert exposures(rows[:1], ON) == (Exposure(1, 950),)
    assert exposures(rows_of((-40, 0, 0, 0)), ON) == ()
    assert exposures([], ON) == ()
    assert allowance((), LossCurve((0,), 0), 0, Stage.ONE) == 0


def test_the_discount_is_a_part_of_a_thousand_million() -> None:
    assert discount(0, 4_000) == PARTS
    assert discount(1_200, 365) == round(PARTS / 1.12)


# -- in columns -----------------------------------------------------------------------------------


def random_book(
    seed: int, loans: int, *, largest: int = 2_000_000
) -> tuple[OpenRows, Graded, Curves, list[list[Owing]]]:
    chance = Random(seed)
    curves = [
        LossCurve(
            (0, *np.cumsum([chance.randrange(6_000_000) for _ in range(chance.randrange(1, 40))])
              .tolist()),
            chance.randrange(PARTS),
        )
        for _ in range(5)
    ]  # fmt: skip
    book: list[list[Owing]] = []
    for _ in range(loans):
        days = sorted(chance.sample(range(-400, 1_900), chance.randrange(0, 14)))
        amounts = [
            [chance.randrange(largest), chance.randrange(5_000), chance.choice((0, 300))]
            for _ in days
        ]
        book.append(rows_of(*((d, *a) for d, a in zip(days, amounts, strict=True))))
    flat = [row for rows in book for row in rows]
    first = np.concatenate(([0], np.cumsum([len(rows) for rows in book])))
    columns = OpenRows(
        first.astype(np.int64),
        np.array([(row.due_on - ON).days for row in flat], np.int64),
        np.array([row.principal_minor for row in flat], np.int64),
        np.array([row.interest_minor for row in flat], np.int64),
        np.array([row.charges_minor for row in flat], np.int64),
    )
    graded = Graded(
        np.array([chance.randrange(5) for _ in book], np.int64),
        np.array([chance.choice((0, 360, 1_234, 2_399, 3_600)) for _ in book], np.int64),
        np.array([chance.choice((1, 1, 1, 2, 3)) for _ in book], np.int64),
    )
    return columns, graded, Curves.made(curves), book


def scalar(graded: Graded, curves: Curves, book: list[list[Owing]]) -> list[int]:
    keys = zip(graded.segment.tolist(), graded.eir_bp.tolist(), graded.stage.tolist(), strict=True)
    return [
        allowance(exposures(rows, ON), curves.of[segment], eir, Stage(stage))
        for rows, (segment, eir, stage) in zip(book, keys, strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_columns_give_the_same_minor_unit(seed: int) -> None:
    columns, graded, curves, book = random_book(seed, 1_000)
    found = allowances(columns, graded, curves).tolist()
    assert found == scalar(graded, curves, book)
    assert sum(one > 0 for one in found) > 500


def test_amounts_near_the_largest_go_to_the_scalar_form() -> None:
    columns, graded, curves, book = random_book(9, 300, largest=LARGEST)
    assert allowances(columns, graded, curves).tolist() == scalar(graded, curves, book)


def test_no_loans_have_no_provision() -> None:
    none = np.zeros(0, np.int64)
    rows = OpenRows(np.zeros(1, np.int64), none, none, none, none)
    curves = Curves.made([LossCurve((0,), 0)])
    assert allowances(rows, Graded(none, none, none), curves).tolist() == []


@given(st.integers(0, 10_000), st.sampled_from(list(Stage)))
def test_a_provision_lies_between_nothing_and_what_is_owed(seed: int, stage: Stage) -> None:
    _, graded, curves, book = random_book(seed, 4)
    for rows, segment in zip(book, graded.segment.tolist(), strict=True):
        exposed = exposures(rows, ON)
        found = allowance(exposed, curves.of[segment], 1_200, stage)
        assert 0 <= found <= max((one.ead_minor for one in exposed), default=0)
        in_one, in_two = (
            allowance(exposed, curves.of[segment], 1_200, one) for one in (Stage.ONE, Stage.TWO)
        )
        assert in_one <= in_two
