"""`excel.json`: spreadsheet functions, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

from steelyard.cashflows.model import irr, spreadsheet
from tests.vectors.tables import Case, NotUnderstood, Table, day, is_day, named, near, only, unknown

_KNOWN = {
    "function",
    "args",
    "expected",
    "abs_tol",
    "rel_tol",
    "source",
    "recomputed",
    "note",
    "id",
}

FUNCTIONS: dict[str, Callable[..., float]] = {
    "PMT": spreadsheet.pmt,
    "IPMT": spreadsheet.ipmt,
    "PPMT": spreadsheet.ppmt,
    "CUMIPMT": spreadsheet.cumipmt,
    "CUMPRINC": spreadsheet.cumprinc,
    "RATE": lambda nper, pmt, pv, fv=0.0, type=0, guess=None: spreadsheet.rate(
        nper, pmt, pv, fv, type
    ),
    "NPER": spreadsheet.nper,
    "PV": spreadsheet.pv,
    "FV": spreadsheet.fv,
    "EFFECT": spreadsheet.effect,
    "NOMINAL": spreadsheet.nominal,
    "NPV": lambda rate, *values: irr.npv(
        rate, values[0] if isinstance(values[0], list) else list(values)
    ),
    "IRR": irr.irr,
    "XIRR": irr.xirr,
    "XNPV": irr.xnpv,
    "YEARFRAC": spreadsheet.yearfrac,
}


def argument(value: Any) -> Any:
    """Return an argument as a spreadsheet reads it: `8%/12`, a date, a list of them."""
    if isinstance(value, list):
        return [argument(one) for one in value]
    if not isinstance(value, str):
        return value
    if is_day(value):
        return day(value)
    parts = value.replace(" ", "").split("/")
    if not all(re.fullmatch(r"-?\d+(\.\d+)?(e-?\d+)?%?", part) for part in parts):
        raise NotUnderstood(f"argument {value!r}")
    result = _number(parts[0])
    for part in parts[1:]:
        result /= _number(part)
    return float(result)


def _number(text: str) -> Decimal:
    return Decimal(text[:-1]) / 100 if text.endswith("%") else Decimal(text)


def check(case: Table) -> None:
    """Assert that a function gives what the spreadsheet gives."""
    only(case, _KNOWN, "excel")
    function = FUNCTIONS.get(case["function"].upper())
    if function is None:
        raise NotUnderstood(f"function {case['function']}")
    found = function(*map(argument, case["args"]))
    tolerance = case.get("abs_tol")
    if tolerance is None and case.get("rel_tol") is not None:
        tolerance = case["rel_tol"] * abs(float(case["expected"]))
    near(found, case["expected"], tolerance)


def cases(table: Table) -> Iterator[Case]:
    """Return the cases of the table."""
    for section, found in table.items():
        if section == "meta":
            continue
        if section != "cases":
            yield unknown(section, found)
            continue
        for label, case in named(found, "cases"):
            yield Case(f"{label}-{case['function']}", partial(check, case))
