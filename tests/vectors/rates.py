"""`apr.json`: annual percentage rates of the United States and the European Union."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from steelyard.cashflows.model.apr import Interval, UnitPeriod, apr
from steelyard.cashflows.model.eu_apr import (
    TimeBase,
    disclosed,
    eu_apr,
    eu_apr_of_years,
    years_between,
)
from steelyard.cashflows.model.irr import Flow
from tests.vectors.tables import (
    Case,
    NotUnderstood,
    Table,
    day,
    digits,
    is_day,
    minor,
    named,
    near,
    only,
    tolerance_of,
    unknown,
)

_REGZ = {
    "id", "title", "method", "unit_period", "unit_periods_per_year", "advances", "payments",
    "published_apr_percent", "computed_apr_percent", "published_answer_confidence", "source",
    "note", "tolerance", "tolerance_percent", "abs_tol", "disputed",
}  # fmt: skip
_EU = {
    "id", "title", "method", "drawdowns", "repayments", "advances", "payments", "published_1dp",
    "published_2dp", "published_apr_percent", "computed_apr_percent",
    "published_answer_confidence", "source", "note", "base_period", "tolerance",
    "tolerance_percent", "abs_tol", "disputed",
}  # fmt: skip
_LEAST = 1e-6
_BASES = (TimeBase.MONTH, TimeBase.DAY, TimeBase.WEEK, TimeBase.YEAR)


def unit_period(text: str) -> UnitPeriod:
    """Return a unit-period of a table: `2 month`, `1 semimonth`, `255 days`, `1 year`."""
    count, _, word = text.strip().partition(" ")
    word = word.strip().rstrip("s").replace("-", "").replace(" ", "")
    if word in ("year", "yr"):
        return UnitPeriod(Interval.MONTH, 12 * int(count))
    if word in ("fortnight", "biweek"):
        return UnitPeriod(Interval.WEEK, 2 * int(count))
    if not count.isdigit() or word not in [one.value for one in Interval]:
        raise NotUnderstood(f"unit period {text!r}")
    return UnitPeriod(Interval(word), int(count))


def flows(pairs: Sequence[Sequence[Any]]) -> list[Flow]:
    """Return pairs of a date and an amount."""
    return [Flow(day(on), minor(amount)) for on, amount in pairs]


def check_regz(case: Table) -> None:
    """Assert an annual percentage rate of Appendix J, with the unit-period that is named."""
    only(case, _REGZ, "regz")
    unit = unit_period(case["unit_period"]) if case.get("unit_period") else None
    found = apr(flows(case["advances"]), flows(case["payments"]), unit)
    per_year = case.get("unit_periods_per_year")
    if per_year is not None:
        near(float(found.unit_period.per_year), per_year, 1e-9)
    _published(case, found.percent, ("published_apr_percent",))


def _published(case: Table, found: Decimal, fields: Sequence[str]) -> None:
    """Assert a rate against what was published and what an independent computation gave.

    Where the published answer is disputed, the independent computation decides alone.
    """
    within = tolerance_of(case)
    answers = [case[name] for name in fields if case.get(name) is not None]
    computed = case.get("computed_apr_percent")
    if _is_disputed(case) and computed is not None:
        answers = []
    for answer in answers:
        near(found, answer, within or max(_LEAST, 0.5 * 10.0 ** -digits(answer)))
    if computed is not None:
        near(found, computed, max(1e-5, within or 0.0, 0.5 * 10.0 ** -digits(computed)))
    if not answers and computed is None:
        raise NotUnderstood("no answer to hold the rate against")


def check_eu(case: Table) -> None:
    """Assert an annual percentage rate of charge, of years or of dates."""
    only(case, _EU, "eu")
    out = case.get("drawdowns", case.get("advances"))
    back = case.get("repayments", case.get("payments"))
    if not out or not back:
        raise NotUnderstood(f"no drawdowns or no repayments: {sorted(case)}")
    if not all(is_day(pair[0]) for pair in (*out, *back)):
        _check_eu_rate(case, eu_apr_of_years(_timed(out), _timed(back)))
        return
    named_base = case.get("base_period")
    bases = [TimeBase(named_base)] if named_base else list(_BASES)
    for base in bases:
        found = eu_apr(flows(out), flows(back), base)
        try:
            _check_eu_rate(case, found)
        except AssertionError:
            # Where a table does not say in what its dates are counted, one way must do.
            if base is bases[-1]:
                raise
        else:
            return


def _check_eu_rate(case: Table, found: Decimal) -> None:
    _published(case, found, ("published_1dp", "published_2dp", "published_apr_percent"))
    if _is_disputed(case):
        return
    for places in (1, 2):
        shown = case.get(f"published_{places}dp")
        if shown is not None:
            assert disclosed(found, places) == Decimal(shown)


def _is_disputed(case: Table) -> bool:
    words = str(case.get("published_answer_confidence", "")).lower()
    return "disputed" in words or bool(case.get("disputed"))


def _timed(pairs: Sequence[Sequence[Any]]) -> list[tuple[float, float]]:
    return [(_years(time), float(amount)) for time, amount in pairs]


def _years(time: Any) -> float:
    """Return years that are a number or a sum of quotients in words."""
    if isinstance(time, int | float):
        return float(time)
    total = 0.0
    for part in str(time).split("+"):
        top, _, bottom = part.partition("/")
        total += float(top) / float(bottom or 1)
    return total


def check_interval(case: Table) -> None:
    """Assert how a distance of dates becomes years."""
    only(case, {"first_drawdown", "payment", "base_period", "years", "value", "note"}, "interval")
    base = TimeBase(case["base_period"])
    found = years_between(day(case["first_drawdown"]), day(case["payment"]), base)
    near(float(found), case["value"], 5.1e-13 if digits(case["value"]) >= 12 else None)
    near(float(found), _years(case["years"]), 1e-12)


def check_rounding(case: Sequence[Any]) -> None:
    """Assert how a percentage is rounded when it is shown."""
    percent, places, shown = case
    assert disclosed(Decimal(str(percent)), int(places)) == Decimal(str(shown))


_SECTIONS: dict[str, Callable[[Any], None]] = {
    "regz": check_regz,
    "eu": check_eu,
    "eu_time_intervals": check_interval,
    "eu_rounding": check_rounding,
}


def cases(table: Table) -> Iterator[Case]:
    """Return the cases of the table; a section of European cases may have any name in eu_*."""
    for section, found in table.items():
        if section == "meta":
            continue
        check = _SECTIONS.get(section)
        if check is None and section.startswith(("eu", "uk")) and isinstance(found, list):
            check = check_eu
        if check is None and section.startswith("regz"):
            check = check_regz
        if check is None:
            yield unknown(section, found)
            continue
        listed = found["cases"] if isinstance(found, dict) else found
        for label, case in named(listed, section):
            yield Case(label, partial(check, case))
