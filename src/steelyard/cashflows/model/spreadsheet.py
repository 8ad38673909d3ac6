"""The financial functions of spreadsheets, with their names, arguments and signs.

Money that comes in is positive, money that goes out negative: a loan received has a positive
present value and negative payments. `IRR`, `NPV`, `XIRR` and `XNPV` stand in `irr`.
"""

# The order of the arguments is the spreadsheets'.
# ruff: noqa: PLR0917

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date
from math import expm1, fsum, log, log1p

from steelyard.cashflows.model.irr import RateDoesNotExist, root
from steelyard.kernel import Refusal, RefusalKind


class ArgumentIsInvalid(Refusal):
    """A function has no value for these arguments."""

    kind = RefusalKind.INVALID
    en = "{function}: {name} must be {why}."
    zh = "{function}：{name} 应为 {why}。"


def pmt(rate: float, nper: float, pv: float, fv: float = 0.0, type: int = 0) -> float:
    """Return the level payment of an annuity (PMT).

    Parameters
    ----------
    rate : per one and period
    nper : periods
    pv, fv : worth now, and after the last payment
    type : 0 at the end of each period, 1 at its beginning

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(pmt(0.08 / 12, 10, 10_000), 2)
    -1037.03
    """
    _check("PMT", ("nper", nper != 0, "not 0"), *_shape(rate, type))
    growth, worth = _growth(rate, nper), _annuity(rate, nper, type)
    return -(pv * growth + fv) / worth


def pv(rate: float, nper: float, pmt: float, fv: float = 0.0, type: int = 0) -> float:
    """Return what an annuity is worth now (PV).

    Examples
    --------
    >>> round(pv(0.07, 20, 12_000), 4)
    -127128.1709
    """
    _check("PV", *_shape(rate, type))
    return -(pmt * _annuity(rate, nper, type) + fv) / _growth(rate, nper)


def fv(rate: float, nper: float, pmt: float, pv: float = 0.0, type: int = 0) -> float:
    """Return what an annuity is worth after its last payment (FV).

    Examples
    --------
    >>> round(fv(0.075, 20, -2000), 4)
    86609.3627
    """
    _check("FV", *_shape(rate, type))
    return -(pv * _growth(rate, nper) + pmt * _annuity(rate, nper, type))


def nper(rate: float, pmt: float, pv: float, fv: float = 0.0, type: int = 0) -> float:
    """Return the number of periods of an annuity, not whole as a rule (NPER).

    Refusals
    --------
    argument_is_invalid : the payments never reach the future value

    Examples
    --------
    >>> round(nper(0.01, -100, -1000, 10_000, 1), 6)
    59.673866
    """
    _check("NPER", *_shape(rate, type))
    if rate == 0:
        _check("NPER", ("pmt", pmt != 0, "not 0"))
        return -(pv + fv) / pmt
    level = pmt * (1 + rate * type) / rate
    _check("NPER", ("pmt", pv + level != 0 and (level - fv) / (pv + level) > 0, "enough"))
    return log((level - fv) / (pv + level)) / log1p(rate)


def rate(nper: float, pmt: float, pv: float, fv: float = 0.0, type: int = 0) -> float:
    """Return the rate per period of an annuity (RATE).

    Refusals
    --------
    rate_does_not_exist, argument_is_invalid

    Examples
    --------
    >>> round(rate(48, -200, 8000), 6)
    0.007701
    """
    _check("RATE", ("nper", nper > 0, "> 0"), *_shape(0.0, type))

    def value(u: float) -> float:
        per = expm1(u)
        scale = max(1.0, _growth(per, nper))
        return (pv * _growth(per, nper) + pmt * _annuity(per, nper, type) + fv) / scale

    low = high = 0.0
    at_low = at_high = value(0.0)
    reach = 0.01
    while reach < min(20.0, 600 / nper):
        if at_high * value(reach) <= 0:
            return expm1(root(value, high, reach))
        if at_low * value(-reach) <= 0:
            return expm1(root(value, -reach, low))
        low, high = -reach, reach
        at_low, at_high = value(low), value(high)
        reach *= 1.5
    raise RateDoesNotExist(why=f"{nper} payments of {pmt} for {pv} and {fv}")


def ipmt(rate: float, per: int, nper: int, pv: float, fv: float = 0.0, type: int = 0) -> float:
    """Return the interest in a payment of an annuity (IPMT).

    Parameters
    ----------
    per : which payment, from 1

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(ipmt(0.1 / 12, 1, 36, 8000), 2)
    -66.67
    """
    _check("IPMT", ("per", 1 <= per <= nper, "1..nper"), *_shape(rate, type))
    if type == 1 and per == 1:
        return 0.0
    level = pmt(rate, nper, pv, fv, type)
    left = nper - per + 1
    # What is owed, from the payments that are still to come: the sum of those made would lose
    # every digit where the rate is high and the term long.
    owed = level * _worth_now(rate, left) + fv * _growth(rate, -left - type)
    return owed * rate


def ppmt(rate: float, per: int, nper: int, pv: float, fv: float = 0.0, type: int = 0) -> float:
    """Return the principal in a payment of an annuity (PPMT).

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(ppmt(0.08, 10, 10, 200_000), 2)
    -27598.05
    """
    return pmt(rate, nper, pv, fv, type) - ipmt(rate, per, nper, pv, fv, type)


def cumipmt(rate: float, nper: int, pv: float, start: int, end: int, type: int = 0) -> float:
    """Return the interest in the payments from one to another, both included (CUMIPMT).

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(cumipmt(0.09 / 12, 360, 125_000, 13, 24), 2)
    -11135.23
    """
    _check("CUMIPMT", ("start, end", 1 <= start <= end <= nper, "1 <= start <= end <= nper"))
    return fsum(ipmt(rate, per, nper, pv, 0.0, type) for per in range(start, end + 1))


def cumprinc(rate: float, nper: int, pv: float, start: int, end: int, type: int = 0) -> float:
    """Return the principal in the payments from one to another, both included (CUMPRINC).

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(cumprinc(0.09 / 12, 360, 125_000, 13, 24), 4)
    -934.1071
    """
    _check("CUMPRINC", ("start, end", 1 <= start <= end <= nper, "1 <= start <= end <= nper"))
    return fsum(ppmt(rate, per, nper, pv, 0.0, type) for per in range(start, end + 1))


def effect(nominal_rate: float, npery: int) -> float:
    """Return the annual compound rate of a nominal one (EFFECT).

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(effect(0.0525, 4), 7)
    0.0535427
    """
    _check("EFFECT", ("npery", npery >= 1, ">= 1"), *_shape(nominal_rate / max(npery, 1), 0))
    return expm1(npery * log1p(nominal_rate / npery))


def nominal(effect_rate: float, npery: int) -> float:
    """Return the nominal annual rate of a compound one (NOMINAL).

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(nominal(0.053543, 4), 8)
    0.05250032
    """
    _check("NOMINAL", ("npery", npery >= 1, ">= 1"), *_shape(effect_rate, 0))
    return npery * expm1(log1p(effect_rate) / npery)


def yearfrac(start_date: date, end_date: date, basis: int = 0) -> float:
    """Return the part of a year between two dates, in either order (YEARFRAC).

    Parameters
    ----------
    basis : 0 US 30/360 with its rules for the end of February, 1 actual over the average length of
        the years touched, 2 actual/360, 3 actual/365, 4 European 30/360

    Refusals
    --------
    argument_is_invalid

    Examples
    --------
    >>> round(yearfrac(date(2012, 1, 1), date(2012, 7, 30), 1), 8)
    0.57650273
    """
    _check("YEARFRAC", ("basis", basis in range(5), "0..4"))
    first, last = sorted((start_date, end_date))
    days = (last - first).days
    match basis:
        case 0:
            return _thirty_us(first, last) / 360
        case 1:
            return days / _average_year(first, last)
        case 2:
            return days / 360
        case 3:
            return days / 365
        case _:
            return _thirty(first, min(first.day, 30), last, min(last.day, 30)) / 360


def _thirty_us(first: date, last: date) -> int:
    one, two = first.day, last.day
    if _ends_february(first):
        if _ends_february(last):
            two = 30
        one = 30
    if two == 31 and one >= 30:
        two = 30
    return _thirty(first, min(one, 30), last, two)


def _thirty(first: date, one: int, last: date, two: int) -> int:
    return 360 * (last.year - first.year) + 30 * (last.month - first.month) + two - one


def _ends_february(on: date) -> bool:
    return on.month == 2 and on.day == monthrange(on.year, 2)[1]


def _average_year(first: date, last: date) -> float:
    """Return the days of a year: of the one that holds both dates, else the average."""
    within = (last.year, last.month, last.day) <= (first.year + 1, first.month, first.day)
    if first.year == last.year:
        return 366 if isleap(first.year) else 365
    if within:
        early = isleap(first.year) and first < date(first.year, 3, 1)
        late = isleap(last.year) and last >= date(last.year, 2, 29)
        return 366 if early or late else 365
    years = last.year - first.year + 1
    return (date(last.year + 1, 1, 1) - date(first.year, 1, 1)).days / years


def _growth(rate: float, nper: float) -> float:
    return float((1 + rate) ** nper)


def _annuity(rate: float, nper: float, type: int) -> float:
    """Return what payments of one are worth after the last period."""
    if rate == 0:
        return nper
    return (1 + rate * type) * expm1(nper * log1p(rate)) / rate


def _worth_now(rate: float, nper: float) -> float:
    """Return what payments of one, the first after a period, are worth now."""
    return nper if rate == 0 else -expm1(-nper * log1p(rate)) / rate


def _shape(rate: float, type: int) -> tuple[tuple[str, bool, str], ...]:
    return ("rate", rate > -1, "> -1"), ("type", type in (0, 1), "0, 1")


def _check(function: str, *rules: tuple[str, bool, str]) -> None:
    for name, holds, why in rules:
        if not holds:
            raise ArgumentIsInvalid(function=function, name=name, why=why)
