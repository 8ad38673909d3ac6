"""A small made-up bank in the form of the real files, the same for the same seed.

Nothing in it is taken from the real data but the form: delimiters, quotes, line ends, date forms
and the habits of the `balance` column.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from hashlib import sha256
from itertools import islice
from typing import TypeVar

T = TypeVar("T")

_BANKS = ("AA", "BB", "CC", "DD", "EE")
_DISTRICTS = (
    ("Hill", "north", 61_000),
    ("Weir", "north", 48_500),
    ("Ferry", "south", 120_300),
    ("Orchard", "south", 33_900),
    ("Quay", "west", 204_700),
)
_STATEMENT_FEE_MINOR = 1_460
_SALARY_DAY = 5
_BUSY_DAY = 12


class _Habit(Enum):
    """What an account is there to show."""

    WHOLE = "whole crowns only: agrees exactly"
    INTEREST = "interest in haléř that the files round: agrees within the rounding, or drifts"
    OVERDRAWN = "spends more than it has once a month, and pays sanction interest"
    BUSY = "six lines on one day"
    DRIFTING = "interest that the files always round down: drifts by 0.04 a line"


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of a statement as the bank keeps it, before the files round it."""

    booked_on: date
    type: str
    operation: str
    k_symbol: str
    amount_minor: int
    bank: str = ""
    account: str = ""

    @property
    def signed_minor(self) -> int:
        return self.amount_minor if self.type == "credit" else -self.amount_minor


@dataclass(frozen=True, slots=True)
class _Household:
    """An account and what it does every month."""

    account_id: int
    opened_on: date
    habit: _Habit
    salary_minor: int
    employer: tuple[str, str]
    rent_minor: int
    landlord: tuple[str, str]


@dataclass(frozen=True, slots=True)
class _Loan:
    """A loan; the payment is whole crowns a month."""

    account_id: int
    granted_on: date
    months: int
    payment: int
    outcome: str


class _Draw:
    """Numbers that look drawn and follow from a seed alone: hashes of the seed and a count."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._drawn = 0

    def between(self, low: int, high: int) -> int:
        return low + self._next() % (high - low + 1)

    def one_of(self, choices: Sequence[T]) -> T:
        return choices[self.between(0, len(choices) - 1)]

    def shuffled(self, items: Iterable[T]) -> list[T]:
        keyed = [(self._next(), place, item) for place, item in enumerate(items)]
        return [item for _, _, item in sorted(keyed, key=lambda k: k[:2])]

    def _next(self) -> int:
        self._drawn += 1
        return int.from_bytes(sha256(f"{self._seed}/{self._drawn}".encode()).digest()[:8], "big")


def sample_files(
    seed: int = 1, *, clients: int = 60, accounts: int = 50, transactions: int = 600
) -> dict[str, str]:
    """Return the text of each file of a made-up bank, by name.

    Four accounts in five have transactions. Among them are accounts of whole crowns, accounts
    whose interest is rounded to 0.10 on paper only, one where that adds up to more, one that goes
    below zero and one with a day of six lines. The rows of a day stand in an order that is not the
    bank's.

    Parameters
    ----------
    seed : the same seed gives the same files, to the byte
    clients : at least as many as accounts; those without an account of their own are disponents
    accounts : at least 10
    transactions : 10 to 240 for each account that has any
    """
    active = accounts * 4 // 5
    assert clients >= accounts >= 10, "every account has its own owner"
    assert 10 <= transactions // active <= 239, "the years of the files end in 1999"
    draw = _Draw(seed)
    households = [_household(draw, number) for number in range(1, accounts + 1)]
    shares = [transactions * (n + 1) // active - transactions * n // active for n in range(active)]
    statements = {
        household.account_id: list(islice(_statement(draw, household), share))
        for household, share in zip(households, shares, strict=False)
    }
    dispositions = _dispositions(draw, clients, accounts)
    files = {
        "district.csv": _district_file(),
        "client.csv": _client_file(draw, clients),
        "account.csv": _account_file(draw, households),
        "disp.csv": _quoted(("disp_id", "client_id", "account_id", "type"), dispositions),
        "trans.csv": _trans_file(draw, statements),
    }
    loans = _loans(draw, households)
    return {
        **files,
        "order.csv": _order_file(households, loans),
        "loan.csv": _loan_file(loans),
        **_card_files(draw, dispositions),
    }


def _household(draw: _Draw, number: int) -> _Household:
    habits = {2: _Habit.OVERDRAWN, 3: _Habit.BUSY, 5: _Habit.DRIFTING}
    habit = habits.get(number, _Habit.WHOLE if number % 4 == 0 else _Habit.INTEREST)
    salary = draw.between(90, 400) * 10_000
    return _Household(
        account_id=number * 7,
        opened_on=date(draw.between(1993, 1995), draw.between(1, 12), draw.between(1, 28)),
        habit=habit,
        salary_minor=salary,
        employer=(draw.one_of(_BANKS), str(draw.between(10_000_000, 99_999_999))),
        rent_minor=salary // 400 * 100,
        landlord=(draw.one_of(_BANKS), str(draw.between(10_000_000, 99_999_999))),
    )


def _statement(draw: _Draw, household: _Household) -> Iterator[_Line]:
    """Yield what the account does, in the bank's order, month after month without end."""
    first = _Line(household.opened_on, "credit", "credit in cash", "", draw.between(5, 20) * 10_000)
    yield first
    balance_minor = first.signed_minor
    month = household.opened_on
    while True:
        month = date(month.year + month.month // 12, month.month % 12 + 1, 1)
        for line in _month(draw, household, month, balance_minor):
            balance_minor += line.signed_minor
            yield line


def _month(draw: _Draw, household: _Household, month: date, balance_minor: int) -> Iterator[_Line]:
    payday = month.replace(day=_SALARY_DAY)
    collection, remittance = "collection from another bank", "remittance to another bank"
    yield _Line(payday, "credit", collection, "", household.salary_minor, *household.employer)
    yield _Line(
        payday, "withdrawal", remittance, "household", household.rent_minor, *household.landlord
    )
    balance_minor += household.salary_minor - household.rent_minor
    spending = [draw.between(5, 20) for _ in range(draw.between(1, 3))]
    day = draw.between(6, 20)
    if household.habit is _Habit.BUSY:
        spending, day = [draw.between(2, 9) for _ in range(6)], _BUSY_DAY
    if household.habit is _Habit.OVERDRAWN:
        spending.append(130)
    for percent in spending:
        kind = draw.one_of(("withdrawal", "withdrawal in cash"))
        amount_minor = max(balance_minor * percent // 10_000 * 100, 100)
        yield _Line(month.replace(day=day), kind, "withdrawal in cash", "", amount_minor)
        balance_minor -= amount_minor
        if household.habit is not _Habit.BUSY:
            day += draw.between(0, 2)
    if household.habit is not _Habit.WHOLE:
        yield from _month_end(month, household.habit, balance_minor)


def _month_end(month: date, habit: _Habit, balance_minor: int) -> Iterator[_Line]:
    """Yield the bank's own lines, to the haléř, which the files do not show."""
    last = month.replace(day=monthrange(month.year, month.month)[1])
    cash = "withdrawal in cash"
    yield _Line(last, "withdrawal", cash, "payment for statement", _STATEMENT_FEE_MINOR)
    if balance_minor < 0:
        sanction = "sanction interest if negative balance"
        yield _Line(last, "withdrawal", cash, sanction, max(-balance_minor * 3 // 200, 10))
        return
    interest_minor = max(balance_minor // 333, 10)
    if habit is _Habit.DRIFTING:
        for part in (2, 3, 5, 7, 11):
            part_minor = interest_minor // part // 10 * 10 + 4
            yield _Line(last, "credit", "", "interest credited", part_minor)
    else:
        yield _Line(last, "credit", "", "interest credited", interest_minor)


def _trans_file(draw: _Draw, statements: dict[int, list[_Line]]) -> str:
    """Write the statements with rounded amounts and balances, the rows of each day shuffled."""
    total = sum(len(lines) for lines in statements.values())
    ids = iter(draw.shuffled(range(1_001, 1_001 + total)))
    rows: list[tuple[object, ...]] = []
    for account_id, lines in statements.items():
        balance_minor = 0
        kept: list[tuple[date, tuple[object, ...]]] = []
        for line in lines:
            balance_minor += line.signed_minor
            row = (
                next(ids),
                account_id,
                _yymmdd(line.booked_on),
                line.type,
                line.operation,
                _rounded(line.amount_minor),
                _rounded(balance_minor),
                line.k_symbol,
                line.bank,
                line.account,
            )
            kept.append((line.booked_on, row))
        rows += [row for _, row in sorted(draw.shuffled(kept), key=lambda k: k[0])]
    heading = "trans_id;account_id;date;type;operation;amount;balance;k_symbol;bank;account"
    return _lines(heading, (";".join(map(str, row)) for row in rows), end="\r\n")


def _district_file() -> str:
    names = ["code ", "name ", "region", "no. of inhabitants", *(f"A{n}" for n in range(5, 17))]
    rows = [
        f"{code};{name};{region};{inhabitants};3;9;4;1;2;61.5;8950;"
        f"{'?' if code == 3 else '2.41'};3.02;118;{'?' if code == 3 else 2_204};2310"
        for code, (name, region, inhabitants) in enumerate(_DISTRICTS, start=1)
    ]
    return _lines(";".join(names), rows)


def _client_file(draw: _Draw, clients: int) -> str:
    rows = []
    for client_id in range(1, clients + 1):
        born = date(draw.between(1925, 1975), draw.between(1, 12), draw.between(1, 28))
        month = born.month + 50 * draw.between(0, 1)
        birth_number = f"{born.year % 100:02d}{month:02d}{born.day:02d}"
        rows.append((client_id, birth_number, draw.between(1, len(_DISTRICTS))))
    return _quoted(("client_id", "birth_number", "district_id"), rows)


def _account_file(draw: _Draw, households: Sequence[_Household]) -> str:
    frequencies = ("monthly issuance", "weekly issuance", "issuance after transaction")
    rows = [
        (
            h.account_id,
            draw.between(1, len(_DISTRICTS)),
            draw.one_of(frequencies),
            _yymmdd(h.opened_on),
        )
        for h in households
    ]
    body = (f'{a};{d};"{frequency}";{opened}' for a, d, frequency, opened in rows)
    return _lines('"account_id";"district_id";"frequency";"date"', body)


def _dispositions(draw: _Draw, clients: int, accounts: int) -> list[tuple[int, int, int, str]]:
    owners = [(n, n, n * 7, "OWNER") for n in range(1, accounts + 1)]
    others = [
        (n, n, draw.between(1, accounts) * 7, "DISPONENT") for n in range(accounts + 1, clients + 1)
    ]
    return owners + others


def _order_file(households: Sequence[_Household], loans: Sequence[_Loan]) -> str:
    """Write an order for each rent, and one for each loan, a few haléř off the whole crowns."""
    rents = [
        f"{29_400 + h.account_id},{h.account_id},{h.landlord[0]},{h.landlord[1]},"
        f"{h.rent_minor // 100}.0,{'SIPO' if h.account_id % 2 else ' '}"
        for h in households
    ]
    first = 29_401 + max(h.account_id for h in households)
    payments = [
        f"{first + number},{one.account_id},{_BANKS[0]},{40_000_000 + one.account_id},"
        f"{one.payment}.{number % 6},UVER"
        for number, one in enumerate(loans)
    ]
    return _lines("order_id,account_id,bank_to,account_to,amount,k_symbol", [*rents, *payments])


def _loans(draw: _Draw, households: Sequence[_Household]) -> list[_Loan]:
    loans = []
    for h in households[::6]:
        months = draw.one_of((12, 24, 36))
        payment = draw.between(800, 4_000)
        granted_on = h.opened_on + timedelta(days=draw.between(900, 1_100))
        loans.append(_Loan(h.account_id, granted_on, months, payment, draw.one_of("AABCCD")))
    return loans


def _loan_file(loans: Sequence[_Loan]) -> str:
    rows = (
        f"{4_900 + one.account_id},{one.account_id},{one.granted_on},{one.payment * one.months},"
        f"{one.months},{one.payment},{one.outcome}"
        for one in loans
    )
    return _lines("loan_id,account_id,date,amount,duration,payments,status", rows)


def _card_files(draw: _Draw, dispositions: Sequence[tuple[int, int, int, str]]) -> dict[str, str]:
    """Write the cards in two parts of two forms, as the real ones come."""
    rows = [
        (n, disposition[0], draw.one_of(("junior", "classic", "classic", "gold")), f"97{n:02d}15")
        for n, disposition in enumerate(dispositions[::5], start=1)
        if n <= 12
    ]
    plain = (f"{c};{d};{kind};{issued}" for c, d, kind, issued in rows[:8])
    quoted = (f'{c};{d};"{kind}";{issued}' for c, d, kind, issued in rows[8:])
    return {
        "card_dev.csv": _lines("card_id;disp_id;type;issued", plain),
        "card_comp.csv": _lines('"card_id";"disp_id";"type";"issued"', quoted, end="\r\n"),
    }


def _quoted(names: Sequence[str], rows: Iterable[Sequence[int | str]]) -> str:
    """Write rows with semicolons and quotes around every string, as most of the files are."""
    body = (
        ";".join(f'"{value}"' if isinstance(value, str) else str(value) for value in row)
        for row in rows
    )
    return _lines(";".join(f'"{name}"' for name in names), body)


def _lines(heading: str, rows: Iterable[str], *, end: str = "\n") -> str:
    return end.join((heading, *rows)) + end


def _yymmdd(day: date) -> str:
    return day.strftime("%y%m%d")


def _rounded(amount_minor: int) -> str:
    """Write haléř as crowns rounded half up to 0.10, with the second decimal always 0."""
    tenths = (abs(amount_minor) + 5) // 10
    sign = "-" if amount_minor < 0 and tenths else ""
    return f"{sign}{tenths // 10}.{tenths % 10}0"
