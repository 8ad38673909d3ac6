"""What a loan posts: the table that a reader of books can check, and what holds for any flow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cashflows import Totals
from steelyard.credit.model.postings import (
    Accounts,
    Flow,
    PartFlow,
    Position,
    legs,
    moved,
    position,
    suspended,
    with_suspense,
)
from steelyard.credit.model.shares import Shares
from steelyard.kernel import Money

TABLE = Path(__file__).parents[1] / "tables" / "credit_postings.txt"
PARTS = {"interest", "penalty", "fee"}
ACTS = {"earned": "earned_minor", "waived": "waived_minor", "written off": "written_off_minor"}


def minor(text: str) -> int:
    return Money.from_decimal(Decimal(text), "CNY").amount_minor


def stories() -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield title, situation and entry of each story."""
    lines = [line for line in TABLE.read_text().splitlines() if line and line[0] != "#"]
    for story in re.split(r"^== ", "\n".join(lines), flags=re.M)[1:]:
        title, _, rest = story.partition("\n")
        situation, _, entry = rest.partition("--\n")
        yield title, situation.splitlines(), entry.splitlines()


def cells(line: str) -> dict[str, str]:
    """Return words and number of each cell after the first."""
    found = (cell.strip().rpartition(" ") for cell in line.split("|")[1:])
    return {words.strip(): number for words, _, number in found}


def read_position(line: str | None) -> Position:
    values = {} if line is None else cells(line)
    stage = int(values.pop("stage", "1"))
    return Position(stage=stage, **{f"{name}_minor": minor(n) for name, n in values.items()})


def read_flow(line: str | None) -> Flow:
    made: dict[str, Any] = {}
    for words, number in ({} if line is None else cells(line)).items():
        noun, _, act = words.partition(" ")
        if noun in PARTS:
            made[noun] = PartFlow(
                **made.get(noun, PartFlow())._asdict() | {ACTS[act]: minor(number)}
            )
        elif noun == "partner":
            made["partners_minor"] = (minor(number),)
        else:
            made[f"{words.replace(' ', '_')}_minor"] = minor(number)
    return Flow(**made)


@pytest.mark.parametrize("story", list(stories()), ids=lambda story: story[0])
def test_the_table_of_entries(story: tuple[str, list[str], list[str]]) -> None:
    _, situation, entry = story
    by_name = {line.split("|")[0].strip(): line for line in situation}
    flow = read_flow(by_name.get("flow"))
    partners = ("bank_a",) if flow.partners_minor else ()
    accounts = Accounts("quick_cash", "CNY", "mirror:town:CNY", loan=7, partners=partners)
    before, after = read_position(by_name.get("before")), read_position(by_name.get("after"))
    wanted = {}
    for line in entry:
        account, debit, credit = (cell.strip() for cell in line.split("|"))
        wanted[account] = minor(debit or "0") - minor(credit or "0")
    assert dict(legs(accounts, before, after, flow)) == wanted
    assert sum(wanted.values()) == 0


AMOUNT = st.integers(0, 10**9)
TOTALS = st.builds(Totals, **{one.name: AMOUNT for one in fields(Totals)})
SHARES = st.one_of(
    st.just(Shares()),
    st.builds(lambda own, a: Shares(own, (("a", a),)), st.integers(1, 99), st.integers(1, 99)),
    st.builds(
        lambda own, a, b: Shares(own, (("a", a), ("b", b))),
        st.integers(1, 99),
        st.integers(1, 99),
        st.integers(1, 99),
    ),
)


def whole(t: Totals, credit_minor: int) -> Totals:
    """Return counters in which money adds up: what came in was set against something."""
    paid = (
        t.principal_paid_minor
        + t.down_payment_minor
        + t.interest_paid_minor
        + t.fee_paid_minor
        + t.penalty_paid_minor
        + t.recovered_minor
    )
    values = {one.name: getattr(t, one.name) for one in fields(Totals)}
    owed = t.down_payment_minor + t.principal_paid_minor + t.principal_written_off_minor
    return Totals(
        **values
        | {
            "received_minor": paid + credit_minor + t.refunded_minor,
            "credit_minor": credit_minor,
            "disbursed_minor": owed + t.disbursed_minor,
        }
    )


@given(TOTALS, TOTALS, SHARES, AMOUNT, AMOUNT, st.integers(1, 3))
def test_any_two_states_of_the_counters_make_a_balanced_entry(
    one: Totals, other: Totals, shares: Shares, c1: int, c2: int, stage: int
) -> None:
    before, after = whole(one, c1), whole(other, c2)
    was = position(before, shares, before=Position(stage=stage))
    flow = moved(before, after, shares)
    now = with_suspense(was, position(after, shares, before=was), flow)
    names = tuple(name for name, _ in shares.partners)
    accounts = Accounts("quick_cash", "CNY", "mirror:town:CNY", loan=7, partners=names)
    entry = dict(legs(accounts, was, now, flow))
    assert sum(entry.values()) == 0
    assert entry.get("loan:7:CNY", 0) == now.principal_minor - was.principal_minor
    assert entry.get("mirror:town:CNY", 0) == flow.cash_minor


@given(TOTALS, SHARES)
def test_what_is_settled_leaves_nothing_of_our_share(t: Totals, shares: Shares) -> None:
    values = {one.name: getattr(t, one.name) for one in fields(Totals)}
    for part in PARTS:
        gone = sum(values[f"{part}_{how}_minor"] for how in ("paid", "waived", "written_off"))
        values[f"{part}_earned_minor"] = gone
    values["disbursed_minor"] = (
        t.down_payment_minor + t.principal_paid_minor + t.principal_written_off_minor
    )
    settled = position(Totals(**values), shares, before=Position())
    assert settled.book_minor == 0


@given(st.integers(0, 500), st.integers(-200, 200), st.integers(-100, 900))
def test_what_is_suspended_is_a_part_of_the_receivable(
    before: int, earned: int, receivable: int
) -> None:
    found = suspended(before, earned, receivable, 3)
    assert 0 <= found <= max(0, receivable)
    assert suspended(before, earned, receivable, 2) == 0
