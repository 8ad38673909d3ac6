from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.cashflows import Terms, plan
from steelyard.credit.model.outcome import LEAST_BAD, OutcomeModel, fit
from steelyard.credit.model.risk_refusals import HistoryIsTooShort, StrategyIsInvalid
from steelyard.credit.model.whatif import (
    COVARIATES,
    Change,
    Economics,
    as_it_was,
    grant,
    judge,
    paths,
)
from steelyard.credit.products import DELIVERED
from steelyard.credit.service import whatif
from steelyard.credit.service.answers import price_bp
from steelyard.credit.service.made_up import MadeUp, make_up
from tests.credit.applicants import Counter
from tests.credit.applicants import counter as counter

ECONOMICS = Economics()


@pytest.fixture(scope="module")
def made() -> MadeUp:
    return make_up(lambda *_: None)


@pytest.fixture(scope="module")
def model(made: MadeUp) -> OutcomeModel:
    known = made.history.known
    return fit(COVARIATES, made.history.covariates[known], made.history.bad[known])


def test_the_schedules_are_those_of_the_plan() -> None:
    amounts, months, rates = (
        np.array(one, np.int64) for one in ([120_000, 990_001], [12, 7], [1_200, 1_085])
    )
    found = paths(amounts, months, rates)
    for n in range(2):
        rows = plan(
            Terms(
                principal_minor=int(amounts[n]), start_on=date(2026, 1, 1),
                instalments=int(months[n]), rate=Decimal(int(rates[n])) / 10_000,
            )
        ).rows  # fmt: skip
        interest = np.cumsum([0, *(row.interest_minor for row in rows)])
        assert found.interest[n][: len(interest)].tolist() == interest.tolist()
        owed = [row.balance_minor + row.principal_minor for row in rows]
        assert found.owed[n][: len(owed)].tolist() == owed
        assert found.owed[n][len(owed)] == 0
        assert found.held[n][len(owed)] == sum(owed)


def test_no_loans_have_no_schedules() -> None:
    nothing = np.zeros(0, np.int64)
    assert paths(nothing, nothing, nothing).owed.shape[0] == 0


def test_the_policy_of_the_time_gives_back_what_happened(made: MadeUp, model: OutcomeModel) -> None:
    history = made.history
    happened = judge(history, as_it_was(history), model, ECONOMICS)
    again = judge(history, grant(history, made.answers, Change()), model, ECONOMICS)
    assert replace(again, name=happened.name) == happened
    assert (happened.added, happened.dropped) == (0, 0)
    assert happened.central == happened.better == happened.worse
    known = history.known
    assert happened.observed == known.sum()


def test_the_money_of_one_loan_is_worked_out_by_hand(made: MadeUp, model: OutcomeModel) -> None:
    history = made.history
    one = int(np.flatnonzero(history.known & history.bad & (history.bad_nr > 1))[0])
    lent = np.zeros(history.rows, np.bool_)
    lent[one] = True
    found = judge(history, replace(as_it_was(history), lent=lent), model, ECONOMICS)
    rows = plan(
        Terms(
            principal_minor=int(history.lent_minor[one]), start_on=date(2026, 1, 1),
            instalments=int(history.months[one]),
            rate=Decimal(int(history.rate_bp[one])) / 10_000,
        )
    ).rows  # fmt: skip
    nr = int(history.bad_nr[one])
    owed = [row.balance_minor + row.principal_minor for row in rows]
    held = (sum(owed[:nr]) + 3 * owed[nr - 1]) / 12
    assert found.central.bad == 1.0
    assert found.central.income_minor == sum(row.interest_minor for row in rows[: nr - 1])
    assert found.central.funding_minor == round(held * 280 / 10_000)
    lost = owed[nr - 1] * (1 - int(history.recovered_ppm[one]) / 1e6)
    assert found.central.lost_minor == pytest.approx(lost, abs=1)
    assert found.balance_minor_years == pytest.approx(held)
    assert found.on_capital == pytest.approx(found.result_minor / (held * 0.12))


def test_tightening_is_observed_and_loosening_carries_a_bound(
    made: MadeUp, model: OutcomeModel
) -> None:
    history = made.history
    tight = judge(history, grant(history, made.answers, Change(cut_off=101)), model, ECONOMICS)
    assert tight.added == 0
    assert tight.dropped > 0
    assert tight.central == tight.better == tight.worse
    loose = judge(history, grant(history, made.answers, Change(cut_off=501)), model, ECONOMICS)
    assert loose.added > 0
    assert loose.better.bad < loose.central.bad < loose.worse.bad
    low, high = loose.range_minor
    assert low < loose.result_minor < high
    # Who made it up knows that the bound holds here, and that the plain model is too kind.
    assert loose.true is not None
    assert low <= loose.true.result_minor(loose.cost_minor) <= high
    assert loose.central.bad < loose.true.bad <= loose.worse.bad


def test_everybody_lent_to_is_beyond_what_was_ever_accepted(
    made: MadeUp, model: OutcomeModel
) -> None:
    history = made.history
    found = judge(history, grant(history, made.answers, Change(cut_off=1_001)), model, ECONOMICS)
    assert found.lent == history.rows - history.walked_away.sum()
    assert found.beyond > 50


@pytest.mark.parametrize("cut_off", [101, 501])
def test_a_higher_price_and_a_smaller_amount_change_money_not_people(
    made: MadeUp, model: OutcomeModel, cut_off: int
) -> None:
    history, answers = made.history, made.answers

    def of(change: Change) -> whatif.Outcome:
        return judge(history, grant(history, answers, change), model, ECONOMICS)

    plain = of(Change(cut_off=cut_off))
    dearer = of(Change(cut_off=cut_off, rate_add_bp=200))
    assert (dearer.lent, dearer.central.bad) == (plain.lent, plain.central.bad)
    assert dearer.central.income_minor > plain.central.income_minor
    half = of(Change(cut_off=cut_off, amount_bp=5_000))
    assert half.lent == plain.lent
    assert half.central.lost_minor == pytest.approx(plain.central.lost_minor / 2, rel=1e-3)
    capped = of(Change(cut_off=cut_off, most_minor=1_000_000))
    assert capped.lent_minor <= capped.lent * 1_000_000


def test_people_say_yes_only_to_cases_that_they_saw(made: MadeUp, model: OutcomeModel) -> None:
    history = made.history
    nobody_sees = replace(history, reviewed=np.zeros(history.rows, np.bool_))
    no = grant(nobody_sees, made.answers, Change())
    yes = grant(nobody_sees, made.answers, Change(lends_reviewed=True))
    assert yes.lent.sum() - no.lent.sum() == (made.answers.reviews & ~history.walked_away).sum()


@given(st.floats(1.0, 20.0))
def test_odds_move_a_probability_one_way(odds: float) -> None:
    rng = np.random.default_rng(5)
    covariates = rng.normal(size=(400, 2))
    bad = rng.random(400) < 1 / (1 + np.exp(1 - covariates[:, 0]))
    found = fit(("a", "b"), covariates, bad)
    plain = found.probability(covariates)
    more, less = found.probability(covariates, odds), found.probability(covariates, 1 / odds)
    assert (less <= plain + 1e-12).all()
    assert (plain <= more + 1e-12).all()
    assert more / (1 - more) == pytest.approx(odds * plain / (1 - plain))


def test_the_outcome_model_finds_a_known_law() -> None:
    rng = np.random.default_rng(7)
    covariates = rng.normal(3, 2, size=(40_000, 2))
    bad = rng.random(40_000) < 1 / (1 + np.exp(2 - 0.8 * (covariates[:, 0] - 3)))
    found = fit(("a", "b"), covariates, bad)
    slopes = found.coefficients / found.scale
    assert slopes.tolist() == pytest.approx([0.8, 0.0], abs=0.05)
    # With an intercept the fitted chances add up to the bad that were seen.
    assert found.probability(covariates).sum() == pytest.approx(bad.sum(), rel=1e-6)
    few = fit(("a", "b"), covariates[:300], bad[:300])
    chance = few.probability(covariates[:300])
    above = chance[bad[:300]][:, None] - chance[~bad[:300]][None, :]
    assert few.auc == pytest.approx(((above > 0) + 0.5 * (above == 0)).mean())


def test_too_few_of_either_outcome_are_refused() -> None:
    covariates = np.random.default_rng(1).normal(size=(100, 1))
    bad = np.arange(100) < LEAST_BAD - 1
    for which in (bad, ~bad):
        with pytest.raises(HistoryIsTooShort):
            fit(("a",), covariates, which)


@pytest.mark.parametrize(
    "fields",
    [{"cut_off": -1}, {"cut_off": 1_002}, {"amount_bp": 0}, {"amount_bp": 10_001},
     {"most_minor": 0}, {"rate_add_bp": 10_001}],
)  # fmt: skip
def test_a_change_that_cannot_be_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(StrategyIsInvalid):
        Change(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields", [{"odds": 0.5}, {"capital_bp": 0}, {"funding_bp": -1}, {"recovered_ppm": 1_000_001}]
)
def test_economics_that_cannot_be_are_refused(fields: dict[str, float]) -> None:
    with pytest.raises(StrategyIsInvalid):
        Economics(**fields)  # type: ignore[arg-type]


def test_prices_are_those_of_the_table() -> None:
    product = DELIVERED["quick_cash"]
    cells = {(one.tier.value, one.tenor): one.rate for one in product.prices}
    found = price_bp(product, [0, 150, 900, -1], [12, 36, 1, 24])
    wanted = [cells["A", "12m"], cells["B", "24m"], cells["C", "3m"], cells["C", "24m"]]
    assert found == [int(one * 10_000) for one in wanted]


def test_a_whole_run_says_what_it_rests_on(made: MadeUp) -> None:
    found = whatif.try_sample(Change(cut_off=501), ECONOMICS, lambda *_: None)
    sides, cuts = whatif.tables(found)
    assert sides.heads[1] == "history"
    assert {row[0] for row in sides.rows} >= {"lent", "bad_rate", "result_minor", "true_bad"}
    lent = [int(row[1] or 0) for row in cuts.rows]
    assert lent == sorted(lent)
    told = " ".join(whatif.remarks(found))
    assert "Nothing in the data can prove that" in told
    assert "inside the range" in told
    tighter = whatif.Tried(made.answers, Change(cut_off=1), ECONOMICS)
    tight = whatif.remarks(whatif.try_on(made.history, tighter, [1]))
    assert any("it tightens only" in one for one in tight)


def test_the_same_seed_makes_up_the_same_history(made: MadeUp) -> None:
    again = make_up(lambda *_: None).history
    for name in ("lent_minor", "bad_nr", "recovered_ppm", "known"):
        assert (getattr(again, name) == getattr(made.history, name)).all()
    other = make_up(lambda *_: None, seed=2).history
    assert other.lent.sum() != made.history.lent.sum()


def test_a_platform_without_decided_applications_has_no_history(database: Database) -> None:
    with database.reading() as connection, pytest.raises(HistoryIsTooShort):
        whatif.try_log(connection, Change(), ECONOMICS, lambda *_: None)


def test_applications_of_the_platform_are_read_with_what_became_of_them(counter: Counter) -> None:
    applied = counter.decided(amount_minor=500_000)
    counter.accept(applied.id)
    counter.decided(amount_minor=700_000, purpose="business")
    with counter.database.reading() as connection, pytest.raises(HistoryIsTooShort) as refusal:
        whatif.try_log(connection, Change(), ECONOMICS, lambda *_: None)
    # Both were read; no loan is a year old, so no outcome is known.
    assert refusal.value.facts == {"found": 0, "what": "bad loans", "least": LEAST_BAD}
