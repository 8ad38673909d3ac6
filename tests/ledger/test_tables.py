"""Runs the tables that a finance reader can check: `tests/tables/ledger_*.txt`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid5

import pytest

from steelyard.base import Database
from steelyard.kernel import SteppingClock
from steelyard.kernel.money import Money
from steelyard.ledger import (
    AccountKind,
    Kind,
    NewAccount,
    Transfer,
    close_account,
    close_day,
    close_period,
    expire_holds,
)
from tests.ledger.town import balance, is_sound, open_town, outcomes, put

TABLES = Path(__file__).parents[1] / "tables"
SPACE = UUID(int=1)


def stories() -> Iterator[tuple[str, list[list[str]]]]:
    """Yield the title of each story, and its three blocks of lines."""
    for path in sorted(TABLES.glob("ledger_*.txt")):
        lines = [line for line in path.read_text().splitlines() if line and line[0] != "#"]
        for story in re.split(r"^== ", "\n".join(lines), flags=re.M)[1:]:
            title, _, rest = story.partition("\n")
            yield f"{path.stem}: {title}", [part.splitlines() for part in rest.split("--\n")]


def minor(text: str, currency: str = "CNY") -> int:
    return Money.from_decimal(Decimal(text), currency).amount_minor


def account(line: str) -> NewAccount:
    code, kind, currency, limits = (cell.strip() for cell in line.split("|"))
    found = dict(re.findall(r"(debit|credit) limit ([0-9.]+)", limits))
    return NewAccount(
        code=code,
        kind=AccountKind(kind),
        currency=currency,
        debit_limit=minor(found["debit"]) if "debit" in found else None,
        credit_limit=minor(found["credit"]) if "credit" in found else None,
    )


KINDS = {"post": Kind.POST, "void": Kind.VOID, "reverse": Kind.REVERSAL}


def transfer(line: str, now: SteppingClock) -> tuple[Transfer, str]:
    name, sides, amount, words, answer = (cell.strip() for cell in line.split("|"))
    debit, _, credit = sides.partition(" -> ")
    refers = re.search(r"(post|void|reverse) (\w+)", words)
    on = re.search(r"on (\S+)", words)
    expires = re.search(r"expires in (\d+) h", words)
    kind = KINDS[refers[1]] if refers else Kind.HOLD if "hold" in words else Kind.SINGLE
    asked = Transfer(
        id=uuid5(SPACE, name),
        book="town",
        cause="table@1",
        debit=debit or None,
        credit=credit or None,
        amount_minor=minor(amount) if amount else None,
        currency=None if refers else "USD" if "in USD" in words else "CNY",
        kind=kind,
        refers_to=uuid5(SPACE, refers[2]) if refers else None,
        linked="linked" in words,
        at_most="at most" in words,
        effective_on=date.fromisoformat(on[1]) if on else None,
        expires_at=now.at + timedelta(hours=int(expires[1])) if expires else None,
    )
    return asked, answer.removeprefix("=> ")


def happens(database: Database, clock: SteppingClock, what: str) -> None:
    if passed := re.fullmatch(r"(\d+) h pass", what):
        clock.advance(timedelta(hours=int(passed[1])))
        return
    with database.unit_of_work() as uow:
        if what == "expired holds are swept":
            assert expire_holds(uow, "town")
        elif what == "the day closes":
            close_day(uow, "town")
        elif closed := re.fullmatch(r"the period closes through (\S+)", what):
            close_period(uow, "town", through=date.fromisoformat(closed[1]))
        elif gone := re.fullmatch(r"(\S+) is closed", what):
            close_account(uow, "town", gone[1], cause="table@1")
        else:
            raise AssertionError(what)


@pytest.mark.parametrize(
    ("title", "parts"), list(stories()), ids=lambda v: v if type(v) is str else ""
)
def test_the_books_stand_as_the_table_says(
    database: Database, clock: SteppingClock, title: str, parts: list[list[str]]
) -> None:
    accounts, steps, balances = parts
    open_town(database, accounts=tuple(account(line) for line in accounts))
    batch: list[tuple[Transfer, str]] = []

    def send() -> None:
        answers = outcomes(put(database, *(asked for asked, _ in batch)))
        assert answers == [answer for _, answer in batch]
        batch.clear()

    for line in steps:
        if line.startswith("... "):
            send()
            happens(database, clock, line.removeprefix("... "))
        else:
            batch.append(transfer(line, clock))
    send()
    on = None
    for line in balances:
        if line.startswith("on "):
            on = date.fromisoformat(line.removeprefix("on "))
            continue
        code, amount = (cell.strip() for cell in line.split("|"))
        assert balance(database, code, effective_on=on) == minor(amount), (code, on)
    assert is_sound(database)


def test_there_are_tables() -> None:
    assert len(list(stories())) >= 9
