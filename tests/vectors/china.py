"""`china.json`: schedules, annualised rates, caps and categories as they are used in China."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from steelyard.cashflows.model.disclosure import disclose, fee_to_rate
from steelyard.cashflows.model.standing import RowKind
from steelyard.cashflows.model.terms import InterestOn, Method, Terms
from steelyard.credit.model.caps import lpr_cap
from steelyard.credit.model.classification import category_of_days
from tests.vectors.schedules import check_rows, planned
from tests.vectors.tables import (
    Case,
    NotUnderstood,
    Table,
    day,
    digits,
    minor,
    named,
    near,
    only,
    unknown,
)

METHODS: dict[str, dict[str, Any]] = {
    "等额本息": {"method": Method.EQUAL_INSTALMENT},
    "等额本金": {"method": Method.EQUAL_PRINCIPAL},
    "先息后本": {"method": Method.INTEREST_ONLY},
    "按月付息到期还本": {"method": Method.INTEREST_ONLY},
    "一次性还本付息": {"method": Method.BULLET},
    "到期还本付息": {"method": Method.BULLET},
    "等本等息": {"method": Method.EQUAL_PRINCIPAL, "interest_on": InterestOn.ORIGINAL},
}
_SCHEDULE = {
    "kind", "principal", "nominal_rate_percent", "rate_basis", "n", "start", "rows",
    "total_interest", "irr_month", "apr_simple_percent", "apr_compound_percent", "id", "note",
}  # fmt: skip


def _terms(kind: str, principal_minor: int, percent: str, n: int, start: str) -> Terms:
    if kind not in METHODS:
        raise NotUnderstood(f"way of repayment {kind!r}")
    return Terms(
        principal_minor=principal_minor,
        start_on=day(start),
        instalments=n,
        rate=Decimal(percent) / 100,
        **METHODS[kind],
    )


def check_schedule(case: Table) -> None:
    """Assert the rows of a schedule, and what it costs a year, compound and simple."""
    only(case, _SCHEDULE, "schedules")
    basis = str(case.get("rate_basis", "monthly = annual/12"))
    if "12" not in basis:
        raise NotUnderstood(f"rate basis {basis!r}")
    terms = _terms(
        case["kind"],
        minor(case["principal"]),
        case["nominal_rate_percent"],
        int(case["n"]),
        case["start"],
    )
    made = planned(terms)
    check_rows(made.rows, case["rows"], exponent=2, is_partial=False)
    if case.get("total_interest") is not None:
        assert sum(row.interest_minor for row in made.rows) == minor(case["total_interest"])
    cost = disclose(terms)
    if case.get("apr_simple_percent") is not None:
        near(cost.simple * 100, case["apr_simple_percent"], 0.5001e-4)
    if case.get("apr_compound_percent") is not None:
        near(cost.compound * 100, case["apr_compound_percent"], 0.5001e-4)
    if case.get("irr_month") is not None:
        monthly = (1 + float(cost.compound)) ** (1 / 12) - 1
        near(monthly, case["irr_month"], 1e-7)


_MORTGAGE = re.compile(
    r"mortgage-(?P<millions>[\d.]+)m-(?P<years>\d+)y-(?P<percent>[\d.]+)-(?P<kind>.+)"
)


def check_known(case: Table) -> None:
    """Assert the widely quoted figures of a mortgage."""
    only(case, {"id", "widely_quoted", "computed", "note", "source"}, "knowns")
    found = _MORTGAGE.fullmatch(case["id"])
    if found is None:
        raise NotUnderstood(f"known {case['id']!r}")
    principal = int(Decimal(found["millions"]) * 10**8)
    months = 12 * int(found["years"])
    terms = _terms(found["kind"], principal, found["percent"], months, "2024-01-01")
    rows = [row for row in planned(terms).rows if row.kind is RowKind.INSTALMENT]
    rate = terms.rate / 12
    grown = (1 + rate) ** months
    exact = {
        Method.EQUAL_INSTALMENT: principal * rate * grown / (grown - 1) * months - principal,
        Method.EQUAL_PRINCIPAL: principal * rate * (months + 1) / 2,
    }[terms.method]
    facts = {
        "payment": rows[0].total_minor,
        "first_payment": rows[0].total_minor,
        "monthly_decrease": rows[0].total_minor - rows[1].total_minor,
        "total_interest": int(exact.to_integral_value()),
    }
    # What is quoted is the sum of the unrounded instalments: rounding each of them to the cent
    # moves it by half a cent an instalment at the most.
    booked = sum(row.interest_minor for row in rows)
    assert abs(booked - exact) <= Decimal(months) / 2, (booked, exact)
    for published in (case.get("widely_quoted", {}), case.get("computed", {})):
        for name, amount in published.items():
            if name not in facts:
                raise NotUnderstood(f"figure {name!r}")
            assert abs(facts[name]) == abs(minor(amount)), (name, facts[name], amount)


def check_fee(case: Table) -> None:
    """Assert what a monthly fee on the original amount is a year."""
    known = {
        "principal", "monthly_fee_rate", "n", "irr_annual_simple_percent",
        "irr_annual_compound_percent", "note", "id",
    }  # fmt: skip
    only(case, known, "fee_to_irr")
    found = fee_to_rate(Decimal(case["monthly_fee_rate"]), int(case["n"]))
    near(found.simple * 100, case["irr_annual_simple_percent"], 0.5001e-4)
    if case.get("irr_annual_compound_percent") is not None:
        near(found.compound * 100, case["irr_annual_compound_percent"], 0.5001e-4)


def check_lpr(case: Sequence[Any]) -> None:
    """Assert four times a loan prime rate."""
    prime, cap = case
    assert lpr_cap(Decimal(str(prime))) == Decimal(str(cap)), digits(cap)


def check_category(case: Sequence[Any]) -> None:
    """Assert the category that lateness alone asks for."""
    days, name = case
    assert category_of_days(int(days)).zh == name


_SECTIONS = {
    "schedules": check_schedule,
    "knowns": check_known,
    "fee_to_irr": check_fee,
    "lpr_x4": check_lpr,
    "five_category": check_category,
}


def cases(table: Table) -> Iterator[Case]:
    """Return the cases of the table."""
    for section, found in table.items():
        if section == "meta":
            continue
        check: Any = _SECTIONS.get(section)
        if check is None:
            yield unknown(section, found)
            continue
        listed = found
        if isinstance(found, dict):
            listed = found.get("cases", found.get("boundary_cases"))
        for label, case in named(listed, section):
            yield Case(label, partial(check, case))
