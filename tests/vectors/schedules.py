"""`fineract_schedules.json`: schedules of Apache Fineract, with its conventions.

Each period is rounded half to even; an equal instalment is tried once more where the last one
differs; a part of a month counts its actual days over those of the month; a year's end is cut at
31 December; in progressive loans interest runs on what is really outstanding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from steelyard.cashflows.model import events as happened
from steelyard.cashflows.model.columns import TermsColumns, plan_columns
from steelyard.cashflows.model.dates import schedule_dates
from steelyard.cashflows.model.daycount import DayCount, RatePer, year_fraction
from steelyard.cashflows.model.events import PayoffUntil
from steelyard.cashflows.model.factors import factors
from steelyard.cashflows.model.plan import Plan, plan
from steelyard.cashflows.model.run import quote_payoff, run
from steelyard.cashflows.model.standing import Row
from steelyard.cashflows.model.terms import Accrues, InterestOn, Method, MonthEnd, Terms, Unit
from steelyard.kernel import Rounding
from tests.vectors.tables import (
    Case,
    NotUnderstood,
    Table,
    day,
    digits,
    minor,
    named,
    only,
    unknown,
)

_FIRST_DUE = ("first_due_date", "first_due", "first_due_on", "first_repayment_date")
_SCHEDULE_START = (
    "schedule_start_date", "schedule_start", "schedule_start_on", "start_date", "period_start",
    "schedule_generation_start_date", "seed_date",
)  # fmt: skip
_RECALCULATES = (
    "interest_recalculation", "recalculation", "preclose_strategy", "preclosure_strategy",
    "pre_closure_interest", "payoff_strategy", "rest_frequency",
)  # fmt: skip
_CASE = {"id", "kind", "engine", "source", "input", "expected", "note"}
_INPUT = {
    "principal", "nominal_rate_percent", "rate_period", "number_of_installments", "repay_every",
    "frequency", "disbursement_date", "day_count", "amortisation", "interest_type",
    "interest_calculation_period", "installment_multiple_of", "grace_on_principal",
    "grace_on_interest", "interest_free_periods", "down_payment_percent", "events",
    "currency_decimals", "rows_partial", "month_end", *_FIRST_DUE, *_SCHEDULE_START,
    *_RECALCULATES,
}  # fmt: skip
_EXPECTED = {
    "rows", "total_interest", "total_principal", "total_due", "total", "emi", "instalment",
    "payoff_amount", "payoff_principal", "payoff_interest", "outstanding", "overdue",
}  # fmt: skip
_ROW = {
    "nr", "due_date", "from_date", "principal", "interest", "fees", "penalties", "balance_after",
    "total", "days", "note", "paid", "outstanding",
}  # fmt: skip
_CURRENCIES = {0: "JPY", 2: "CNY", 3: "KWD"}
_PER = {
    "year": RatePer.YEAR, "annual": RatePer.YEAR, "month": RatePer.MONTH, "week": RatePer.WEEK,
    "day": RatePer.DAY, "term": RatePer.TERM, "whole_term": RatePer.TERM,
}  # fmt: skip
_UNITS = {"DAYS": Unit.DAY, "WEEKS": Unit.WEEK, "MONTHS": Unit.MONTH, "YEARS": Unit.MONTH}
_COUNTS = (
    ("FEB_29", DayCount.ACT_ACT_FEB29),
    ("FEB-29", DayCount.ACT_ACT_FEB29),
    ("ISDA", DayCount.ACT_ACT_ISDA),
    ("ACT/ACT", DayCount.ACT_ACT_DEC31),
    ("ACTUAL/ACTUAL", DayCount.ACT_ACT_DEC31),
    ("ACT/365", DayCount.ACT_365F),
    ("ACTUAL/365", DayCount.ACT_365F),
    ("ACT/364", DayCount.ACT_364),
    ("ACTUAL/364", DayCount.ACT_364),
    ("ACT/360", DayCount.ACT_360),
    ("ACTUAL/360", DayCount.ACT_360),
    ("30E/360", DayCount.THIRTY_E_360),
    ("30/360", DayCount.MONTHS_360),
    ("360/30", DayCount.MONTHS_360),
    ("BUS/252", DayCount.BUS_252),
    ("PERIOD", DayCount.PERIODS),
    ("RATE/12", DayCount.PERIODS),
    ("1/12", DayCount.PERIODS),
    ("/52", DayCount.PERIODS),
    ("N/A", DayCount.PERIODS),
)
"""Spellings, the first that is found counts."""
_MONTH_ENDS = 3
"""Days by which rules for the ends of months may differ."""
_OVERPAYS = "TILL_REST"
_TWELVE = Context(prec=12, rounding=ROUND_HALF_EVEN)
"""The digits in which the sums behind an equal instalment are published."""


def day_count(text: str, interest_period: str) -> DayCount:
    """Return the day count of a spelling; same as the repayment period, none is used."""
    for spelling, count in _COUNTS:
        if spelling in text.upper():
            same = interest_period.upper().startswith("SAME_AS")
            return DayCount.PERIODS if same else count
    raise NotUnderstood(f"day count {text!r}")


def _method(given: Table) -> dict[str, Any]:
    text = str(given["amortisation"]).lower()
    share = re.search(r"fixed_principal_([\d.]+)\s*(?:pct|%|percent)", text)
    if share:
        return {
            "method": Method.FIXED_PRINCIPAL,
            "principal_share": Decimal(share[1]) / 100,
        }
    for word, method in (
        ("equal_principal", Method.EQUAL_PRINCIPAL),
        ("equal_install", Method.EQUAL_INSTALMENT),
        ("equal_instal", Method.EQUAL_INSTALMENT),
        ("interest_only", Method.INTEREST_ONLY),
        ("bullet", Method.BULLET),
    ):
        if word in text:
            return {"method": method}
    raise NotUnderstood(f"amortisation {given['amortisation']!r}")


def _multiples(given: Table, exponent: int) -> dict[str, Any]:
    text = given.get("installment_multiple_of")
    if text in (None, ""):
        return {}
    found = re.match(r"\s*(\d+(?:\.\d+)?)\s*(\(.*\))?\s*$", str(text))
    if found is None:
        raise NotUnderstood(f"instalment multiple {text!r}")
    size = minor(found[1], exponent)
    if found[2] is None:
        return {"instalment_multiple_minor": size}
    if "currency" in found[2]:
        return {"part_multiple_minor": size}
    raise NotUnderstood(f"instalment multiple {text!r}")


def terms_of(given: Table, engine: str, rows: Sequence[Table] = ()) -> Terms:
    """Return the terms of a case.

    Parameters
    ----------
    rows : as expected; a contract names its first due date, and where the input of a table leaves
        it out, it stands in the first of them alone
    """
    only(given, _INPUT, "input")
    terms = _terms_of(given, engine)
    first = next((day(given[name]) for name in _FIRST_DUE if given.get(name)), None)
    begun = next((day(given[name]) for name in _SCHEDULE_START if given.get(name)), None)
    if first is None and begun is not None:
        first = schedule_dates(replace(terms, start_on=begun))[0].due_on
    usual = schedule_dates(terms)[0].due_on
    if first is None and not given.get("events") and terms.down_payment is None:
        due = [day(one["due_date"]) for one in rows if one.get("due_date") and one.get("nr") == 1]
        # A part of a period, and no other rule for the ends of months.
        first = next((on for on in due if abs((on - usual).days) > _MONTH_ENDS), None)
    return terms if first in (None, usual) else replace(terms, first_due_on=first)


def _terms_of(given: Table, engine: str) -> Terms:
    exponent = int(given.get("currency_decimals") or 0)
    flat = str(given["interest_type"]).lower() == "flat"
    if not flat and "declining" not in str(given["interest_type"]).lower():
        raise NotUnderstood(f"interest type {given['interest_type']!r}")
    unit = str(given["frequency"]).upper()
    period = str(given["rate_period"]).lower()
    if unit not in _UNITS or period not in _PER or exponent not in _CURRENCIES:
        raise NotUnderstood(f"{unit}, {period}, {exponent} decimals")
    progressive = engine == "progressive"
    # Only where the books are closed on a day does Fineract look at who is late.
    closes = any("cob" in str(one.get("type")).lower() for one in given.get("events") or [])
    down = given.get("down_payment_percent")
    return Terms(
        currency=_CURRENCIES[exponent],
        principal_minor=minor(given["principal"], exponent),
        start_on=day(given["disbursement_date"]),
        instalments=int(given["number_of_installments"]),
        every=int(given["repay_every"]) * (12 if unit == "YEARS" else 1),
        unit=_UNITS[unit],
        month_end=_month_end(given.get("month_end")),
        rate=Decimal(str(given["nominal_rate_percent"])) / 100,
        rate_per=_PER[period],
        interest_on=InterestOn.ORIGINAL if flat else InterestOn.BALANCE,
        accrues=Accrues.OUTSTANDING if closes and not flat else Accrues.PLANNED,
        day_count=day_count(str(given["day_count"]), str(given["interest_calculation_period"])),
        rounding=Rounding.HALF_EVEN,
        refine_instalment=progressive,
        grace_principal=int(given.get("grace_on_principal") or 0),
        grace_interest=int(given.get("grace_on_interest") or 0),
        interest_free=int(given.get("interest_free_periods") or 0),
        down_payment=Decimal(str(down)) / 100 if down else None,
        **_method(given),
        **_multiples(given, exponent),
    )


def _month_end(text: object) -> MonthEnd:
    words = str(text or "").lower()
    if "roll" in words or "first" in words:
        return MonthEnd.ROLL
    return MonthEnd.CLIP


def event_of(seq: int, given: Table, terms: Terms, case: Table) -> happened.Any | None:
    """Return an event of a case; None for a day on which the books are only looked at."""
    kind, exponent = str(given["type"]).lower(), _exponent(terms)
    if kind == "reschedule":
        kind = next((name for key, name in _RESCHEDULES.items() if given.get(key)), "rate")
    if kind in ("cob", "close_of_business", "view"):
        return None
    if kind == "move_due_dates":
        return _moved(seq, given, terms)
    if "rate" in kind:
        on = _rate_from(given, terms, str(case["engine"]))
        return happened.RateChanged(seq=seq, on=on, rate=_new_rate(given))
    on = _on(given)
    if kind in ("disburse", "disbursement", "tranche"):
        amount = minor(given["amount"], exponent)
        return happened.Disbursed(seq=seq, on=on, amount_minor=amount)
    if kind in ("repay", "repayment", "down_payment"):
        return happened.Repaid(seq=seq, on=on, amount_minor=minor(given["amount"], exponent))
    if kind in ("payoff", "prepay", "preclose"):
        how = [case["input"].get(name) for name in _RECALCULATES]
        words = f"{case['id']} {given} {how}".upper()
        until = PayoffUntil.PERIOD_END if _OVERPAYS in words else PayoffUntil.DAY
        amount = minor(given.get("amount", given.get("expected_amount")), exponent)
        return happened.PaidOff(seq=seq, on=on, amount_minor=amount, until=until)
    if kind in ("re_age", "reage"):
        return _re_aged(seq, given)
    if kind in ("extend", "add_installments", "extra_terms"):
        added = given.get("installments", given.get("extra_terms", 0))
        return happened.Extended(seq=seq, on=on, instalments=int(added))
    if kind in ("interest_pause", "pause_interest"):
        return happened.InterestPaused(seq=seq, on=on, until=day(given["until"]))
    raise NotUnderstood(f"event {given}")


def _re_aged(seq: int, given: Table) -> happened.ReAged:
    """Return a re-age; its distance is `1 MONTHS`, or a number and a unit in two fields."""
    text = str(given.get("frequency", given.get("frequency_type", "MONTHS"))).upper()
    number = re.search(r"\d+", text)
    every = number[0] if number else given.get("frequency_number", given.get("repay_every", 1))
    unit = next((unit for word, unit in _UNITS.items() if word.rstrip("S") in text), None)
    first = given.get("start", given.get("start_date", given.get("first_due")))
    count = given.get("installments", given.get("instalments", given.get("number_of_installments")))
    if unit is None or first is None or count is None:
        raise NotUnderstood(f"re-age {given}")
    return happened.ReAged(
        seq=seq,
        on=_on(given),
        first_due_on=day(first),
        instalments=int(count),
        every=int(every) * (12 if "YEAR" in text else 1),
        unit=unit,
    )


def _moved(seq: int, given: Table, terms: Terms) -> happened.DueDatesMoved:
    """Return a move of due dates, agreed when the period of the first of them began."""
    named_from = next(given[name] for name in _FROM if given.get(name))
    from_due = day(named_from)
    to_due = day(given.get("to_due", given.get("adjusted_due_date")))
    begun = [row.from_on for row in plan(terms).rows if row.due_on == from_due]
    if not begun:
        raise NotUnderstood(f"no instalment is due on {from_due}")
    return happened.DueDatesMoved(seq=seq, on=begun[-1], from_due=from_due, to_due=to_due)


_FROM = (
    "from", "from_due", "from_date", "reschedule_from", "reschedule_from_date", "effective",
    "effective_from", "effective_on", "effective_date",
)  # fmt: skip
_RESCHEDULES = {
    "to_due": "move_due_dates",
    "adjusted_due_date": "move_due_dates",
    "extra_terms": "extend",
}


def _on(given: Table) -> date:
    for name in ("on", "date", *_FROM):
        if given.get(name):
            return day(given[name])
    raise NotUnderstood(f"no date in {given}")


def _rate_from(given: Table, terms: Terms, engine: str) -> date:
    """Return from when a new rate runs.

    In a cumulative loan it is that of the whole period whose instalment is named; in a progressive
    one it runs from the evening before the day that is named.
    """
    rows = [row for row in plan(terms).rows if row.to_on > row.from_on]
    for name in ("from_installment", "from_instalment", "from_nr"):
        if given.get(name):
            return rows[int(given[name]) - 1].from_on
    begins = next((day(given[name]) for name in _FROM if given.get(name)), None) or _on(given)
    if engine == "progressive":
        return max(terms.start_on, begins - timedelta(days=1))
    return next((row.from_on for row in rows if row.due_on >= begins), begins)


def _new_rate(given: Table) -> Decimal:
    """Return the rate of an event, per one; in the tables it is always a percentage."""
    found = [
        value
        for key, value in given.items()
        if "rate" in key and re.fullmatch(r"\d+(\.\d+)?", str(value))
    ]
    if len(found) != 1:
        raise NotUnderstood(f"no one new rate in {given}")
    return Decimal(str(found[0])) / 100


def _exponent(terms: Terms) -> int:
    return next(digits for digits, code in _CURRENCIES.items() if code == terms.currency)


def check_case(case: Table) -> None:
    """Assert the rows of a case, and what its payoff costs."""
    only(case, _CASE, str(case["id"]))
    given, expected = case["input"], case["expected"]
    only(expected, _EXPECTED, "expected")
    terms = terms_of(given, str(case["engine"]), expected.get("rows") or ())
    exponent = _exponent(terms)
    listed = given.get("events") or []
    rows: Sequence[Row]
    instalment = 0
    if listed:
        events: list[happened.Any] = []
        looked = [terms.start_on]
        for seq, one in enumerate(listed, 1):
            event = event_of(seq, one, terms, case)
            if isinstance(event, happened.PaidOff):
                _check_payoff(terms, events, event, one)
            if event is not None:
                events.append(event)
            looked.append(_on(one) if event is None else event.on)
        as_of = max(looked)
        standing = run(terms, events, as_of)
        rows, instalment = standing.rows, standing.instalment_minor
    else:
        rows, instalment = planned(terms)
    if expected.get("rows"):
        is_partial = bool(given.get("rows_partial"))
        check_rows(rows, expected["rows"], exponent=exponent, is_partial=is_partial)
    sums = {
        "total_interest": sum(row.interest_minor for row in rows),
        "total_principal": sum(row.principal_minor for row in rows),
        "total_due": sum(row.total_minor for row in rows),
        "total": sum(row.total_minor for row in rows),
        "emi": instalment,
        "instalment": instalment,
    }
    for name, amount in expected.items():
        if name in sums and amount is not None:
            assert sums[name] == minor(amount, exponent), (name, sums[name], amount)
        elif name not in ("rows", *sums) and amount is not None:
            raise NotUnderstood(f"expected {name}")


def planned(terms: Terms) -> Plan:
    """Return the schedule that both engines give."""
    made = plan(terms)
    assert plan_columns(TermsColumns.of([terms])).plan_at(0) == made
    return made


def _check_payoff(
    terms: Terms, events: Sequence[happened.Any], event: happened.PaidOff, given: Table
) -> None:
    quote = quote_payoff(terms, events, event.on, event.until)
    exponent = _exponent(terms)
    facts = {
        "expected_amount": quote.total_minor,
        "expected_principal": quote.principal_minor,
        "expected_interest": quote.interest_minor,
        "expected_fee": quote.fee_minor,
        "expected_penalty": quote.penalty_minor,
    }
    for name, amount in given.items():
        if name.startswith("expected") and amount is not None:
            if name not in facts:
                raise NotUnderstood(f"payoff {name}")
            assert facts[name] == minor(amount, exponent), (name, quote)


def check_rows(
    rows: Sequence[Row], expected: Sequence[Table], *, exponent: int, is_partial: bool
) -> None:
    """Assert rows, to the minor unit."""
    if not is_partial:
        assert len(rows) == len(expected), f"{len(rows)} rows for {len(expected)}"
    found, wanted = [], []
    for nr, one in enumerate(expected, 1):
        only(one, _ROW, f"row {nr}")
        row = rows[int(one.get("nr", nr)) - 1]
        facts: dict[str, object] = {
            "due_date": row.due_on,
            "from_date": row.from_on,
            "days": (row.to_on - row.from_on).days,
            "principal": row.principal_minor,
            "interest": row.interest_minor,
            "fees": row.fee_minor,
            "penalties": row.penalty_minor,
            "balance_after": row.balance_minor,
            "total": row.total_minor + row.penalty_minor,
            "outstanding": row.open_minor,
        }
        names = [name for name in facts if one.get(name) is not None]
        found.append([row.nr, *(facts[name] for name in names)])
        wanted.append([row.nr, *(_wanted(name, one[name], exponent) for name in names)])
    assert found == wanted


def _wanted(name: str, value: object, exponent: int) -> object:
    if name.endswith("date"):
        return day(value)
    return int(str(value)) if name == "days" else minor(value, exponent)


def check_month_ends(case: Table) -> None:
    """Assert due dates that keep the day of the first."""
    only(case, {"first_due", "due", "rule", "month_end", "note", "id"}, "month end")
    first = day(case["first_due"])
    terms = Terms(
        principal_minor=1,
        start_on=first - timedelta(days=28),
        first_due_on=first,
        instalments=len(case["due"]),
        rate=Decimal(0),
        month_end=_month_end(case.get("rule", case.get("month_end"))),
    )
    assert [one.due_on for one in schedule_dates(terms)] == [day(on) for on in case["due"]]


_EVERY = re.compile(
    r"(\d{4}-\d\d-\d\d)\s+(?:every\s+(\d+)\s+)?(monthly|weekly|daily|months?|weeks?|days?)\s+x(\d+)"
)


def check_factors(case: Table, rate: str) -> None:
    """Assert interest factors, and the sums of which an equal instalment is made."""
    only(case, {"day_count", "periods", "factors", "fn", "rate", "note", "id"}, "rate factors")
    found = _EVERY.fullmatch(case["periods"].strip())
    if found is None:
        raise NotUnderstood(f"periods {case['periods']!r}")
    unit = {"m": Unit.MONTH, "w": Unit.WEEK, "d": Unit.DAY}[found[3][0]]
    terms = Terms(
        principal_minor=1,
        start_on=day(found[1]),
        instalments=int(found[4]),
        every=int(found[2] or 1),
        unit=unit,
        rate=Decimal(case.get("rate", rate)),
        day_count=day_count(case["day_count"], "DAILY"),
    )
    spans = schedule_dates(terms)
    made = factors(terms, terms.rate, spans, (spans[-1].to_on - terms.start_on).days)
    for (num, den), published in zip(made, case["factors"], strict=True):
        last = Fraction(1, 10 ** digits(published))
        assert abs(Fraction(num, den) - Fraction(published)) <= last / 2, (num / den, published)
    total = Decimal(0)
    for (num, den), published in zip(made, case.get("fn", []), strict=False):
        grows = _TWELVE.add(1, _TWELVE.divide(Decimal(num), Decimal(den)))
        total = _TWELVE.add(_TWELVE.multiply(total, grows), 1)
        assert total == Decimal(published)


def _ticket_term() -> dict[str, Any]:
    terms = Terms(
        principal_minor=10_000_000, start_on=date(2024, 1, 1), instalments=1, every=60,
        unit=Unit.DAY, rate=Decimal("0.01"), rate_per=RatePer.TERM, day_count=DayCount.ACT_360,
    )  # fmt: skip
    return {"expected_interest": plan(terms).rows[0].interest_minor}


def _ticket_flat_month() -> dict[str, Any]:
    terms = Terms(
        principal_minor=100_000, start_on=date(2024, 4, 1), instalments=1, every=30, unit=Unit.DAY,
        rate=Decimal("0.2"), rate_per=RatePer.MONTH, interest_on=InterestOn.ORIGINAL,
        day_count=DayCount.MONTHS_360,
    )  # fmt: skip
    return {"expected_interest": plan(terms).rows[0].interest_minor}


def _ticket_rate_a_day() -> dict[str, Any]:
    def interest(start: date) -> int:
        terms = Terms(
            principal_minor=100_000, start_on=start, instalments=12, rate=Decimal("0.0005"),
            rate_per=RatePer.DAY, method=Method.INTEREST_ONLY, day_count=DayCount.ACT_ACT_ISDA,
        )  # fmt: skip
        return plan(terms).rows[0].interest_minor

    assert interest(date(2024, 1, 1)) == interest(date(2023, 1, 1)) == 1_550
    return {}


def _ticket_balloon() -> dict[str, Any]:
    terms = Terms(
        principal_minor=100_000, start_on=date(2024, 1, 1), instalments=6, rate=Decimal("0.12"),
        grace_principal=5,
    )  # fmt: skip
    found = [row.principal_minor for row in plan(terms).rows]
    assert found == [0, 0, 0, 0, 0, 100_000]
    return {}


_TICKETS: dict[str, Callable[[], dict[str, Any]]] = {
    "FINERACT-2359": _ticket_term,
    "FINERACT-343": _ticket_flat_month,
    "FINERACT-3201": _ticket_rate_a_day,
    "FINERACT-2789": _ticket_balloon,
}
_TICKET = {
    "id", "url", "input", "expected", "expected_interest", "fineract_bug_gave",
    "expected_year_basis", "note",
}  # fmt: skip


def check_ticket(case: Table) -> None:
    """Assert that a defect somebody else had is none here."""
    only(case, _TICKET, "issue")
    if case["id"] == "FINERACT-2197":
        for span, basis in case["expected_year_basis"].items():
            from_on, _, to_on = span.partition("..")
            assert year_fraction(DayCount.ACT_ACT_FEB29, day(from_on), day(to_on))[1] == basis
        return
    if case["id"] == "FINERACT-2816":
        _check_roll(case["expected"])
        return
    if case["id"] not in _TICKETS:
        raise NotUnderstood(f"issue {case['id']}: {case.get('input')}")
    found = _TICKETS[case["id"]]()
    for name, value in found.items():
        assert value == minor(case[name]), (name, value)


def _check_roll(expected: Table) -> None:
    for rule, name in (
        (MonthEnd.CLIP, "default_first_due"),
        (MonthEnd.ROLL, "roll_forward_first_due"),
    ):
        terms = Terms(
            principal_minor=1, start_on=date(2023, 1, 30), instalments=1, rate=Decimal(0),
            month_end=rule,
        )  # fmt: skip
        due = schedule_dates(terms)[0].due_on
        assert f"{due.day} {due:%B}" == expected[name]


def cases(table: Table) -> Iterator[Case]:
    """Return the cases of the table."""
    for section, found in table.items():
        if section == "meta":
            continue
        if section == "cases":
            yield from _each(found, section, check_case)
        elif section == "month_end_seed_rules":
            yield from _each(found["cases"], section, check_month_ends)
        elif section == "rate_factors":
            rate = found["rate"]
            yield from _each(found["rows"], section, partial(check_factors, rate=rate))
        elif section == "issue_vectors":
            yield from _each(found, section, check_ticket)
        else:
            yield unknown(section, found)


def _each(found: object, section: str, check: Callable[..., None]) -> Iterator[Case]:
    for label, case in named(found, section):
        yield Case(label, partial(check, case))
