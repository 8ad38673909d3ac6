"""Spreadsheet functions: their identities; the published values are in vectors."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows.model import spreadsheet as sheet
from steelyard.cashflows.model.irr import RateDoesNotExist

rates = st.floats(-0.02, 0.2)
periods = st.integers(1, 480)
money = st.floats(-1e6, 1e6)
when = st.sampled_from([0, 1])


@given(rates, periods, money, money, when)
def test_a_payment_makes_up_the_difference(
    rate: float, nper: int, pv: float, fv: float, type: int
) -> None:
    paid = sheet.pmt(rate, nper, pv, fv, type)
    size = max(1.0, abs(pv) * (1 + abs(rate)) ** nper, abs(fv))
    assert sheet.fv(rate, nper, paid, pv, type) == pytest.approx(fv, abs=1e-7 * size)
    shrunk = size * max(1.0, (1 + rate) ** -nper)
    assert sheet.pv(rate, nper, paid, fv, type) == pytest.approx(pv, abs=1e-7 * shrunk)


@given(st.floats(0.0001, 0.1), st.integers(2, 360), st.floats(100, 1e6), when)
def test_interest_and_principal_are_the_payment_and_repay_the_loan(
    rate: float, nper: int, pv: float, type: int
) -> None:
    paid = sheet.pmt(rate, nper, pv, 0.0, type)
    for per in {1, 2, nper}:
        both = sheet.ipmt(rate, per, nper, pv, 0.0, type) + sheet.ppmt(
            rate, per, nper, pv, 0.0, type
        )
        assert both == pytest.approx(paid, rel=1e-9)
    assert sheet.cumprinc(rate, nper, pv, 1, nper, type) == pytest.approx(-pv, rel=1e-6)
    interest = sheet.cumipmt(rate, nper, pv, 1, nper, type)
    assert interest == pytest.approx(paid * nper + pv, rel=1e-6, abs=1e-4)


@given(st.floats(-0.005, 0.1), st.integers(1, 360), st.floats(100, 1e6), when)
def test_rate_and_nper_turn_pmt_round(rate: float, nper: int, pv: float, type: int) -> None:
    paid = sheet.pmt(rate, nper, pv, 0.0, type)
    if type == 1 and nper == 1:
        # Paid at once: any rate fits.
        return
    assert sheet.rate(nper, paid, pv, 0.0, type) == pytest.approx(rate, abs=1e-7)
    # Where all but the last of a payment is interest, the number of them is lost in rounding.
    if abs(rate) > 1e-6 and rate * nper < 15:
        assert sheet.nper(rate, paid, pv, 0.0, type) == pytest.approx(nper, rel=1e-5)


@given(st.floats(0, 2), st.integers(1, 365))
def test_nominal_turns_effect_round(nominal: float, npery: int) -> None:
    found = sheet.effect(nominal, npery)
    assert found >= nominal * (1 - 1e-12) - 1e-300
    assert sheet.nominal(found, npery) == pytest.approx(nominal, abs=1e-10)


@pytest.mark.parametrize(
    ("start", "end", "basis", "days", "of"),
    [
        ("2011-01-31", "2011-02-28", 0, 28, 360),
        ("2012-02-29", "2012-03-31", 0, 30, 360),
        ("2011-02-28", "2012-02-29", 0, 360, 360),
        ("2011-01-31", "2011-03-31", 0, 60, 360),
        ("2011-01-15", "2011-03-31", 0, 76, 360),
        ("2011-01-15", "2011-03-31", 4, 75, 360),
        ("2011-01-01", "2012-01-01", 1, 365, 365),
        ("2012-01-01", "2013-01-01", 1, 366, 366),
        ("2011-06-01", "2012-03-01", 1, 274, 366),
        ("2011-06-01", "2012-02-28", 1, 272, 365),
        ("2010-01-01", "2013-01-01", 1, 1096, 365.25),
        ("2012-01-01", "2012-07-30", 2, 211, 360),
        ("2012-01-01", "2012-07-30", 3, 211, 365),
    ],
)
def test_parts_of_a_year(start: str, end: str, basis: int, days: int, of: float) -> None:
    one, two = date.fromisoformat(start), date.fromisoformat(end)
    assert sheet.yearfrac(one, two, basis) == pytest.approx(days / of, abs=1e-12)
    assert sheet.yearfrac(two, one, basis) == sheet.yearfrac(one, two, basis)


@pytest.mark.parametrize(
    "call",
    [
        lambda: sheet.pmt(0.1, 0, 100),
        lambda: sheet.pmt(-1, 10, 100),
        lambda: sheet.pmt(0.1, 10, 100, 0, 2),
        lambda: sheet.ipmt(0.1, 0, 10, 100),
        lambda: sheet.ipmt(0.1, 11, 10, 100),
        lambda: sheet.cumipmt(0.1, 10, 100, 5, 4),
        lambda: sheet.cumprinc(0.1, 10, 100, 0, 4),
        lambda: sheet.effect(0.1, 0),
        lambda: sheet.nominal(0.1, 0),
        lambda: sheet.nper(0.1, -1, 100),
        lambda: sheet.nper(0, 0, 100),
        lambda: sheet.rate(0, -1, 100),
        lambda: sheet.yearfrac(date(2026, 1, 1), date(2026, 2, 1), 5),
    ],
)
def test_arguments_without_a_value_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(sheet.ArgumentIsInvalid):
        call()


def test_payments_that_go_one_way_have_no_rate() -> None:
    with pytest.raises(RateDoesNotExist):
        sheet.rate(12, 100, 1000)
