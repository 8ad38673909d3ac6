"""Merchant statements as MT940: what we give out for programs that read nothing newer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from steelyard.payments.model.statement_csv import check_sum
from steelyard.payments.model.statement_refusals import StatementFieldIsMalformed, StatementLacks
from steelyard.payments.model.statement_text import latin, written
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_LONGEST_REFERENCE: Final = 16
_LONGEST_ACCOUNT: Final = 35
_WIDTH: Final = 65
_PIECE: Final = 27
_LINES: Final = 6
_PURPOSES: Final = tuple(f"{n:02d}" for n in (*range(20, 30), *range(60, 64)))
_TYPES: Final = {LineKind.FEE: "NCHG", LineKind.RETURN: "NRTI"}
# What SWIFT's set of characters lacks, and the mark that divides the parts of a text.
_OTHER: Final = re.compile(r"[^A-Za-z0-9/\-:().,'+ ]")


def write_mt940(statement: Statement) -> bytes:
    """Return a statement with balances as an MT940 message.

    A fee is a line of its own (`NCHG`) after the line it was taken of; numbers that are too long
    for `:61:` stand in `:86:` after `EREF+` and `KREF+`. Words are written in Latin letters, and
    cut where `:86:` ends; numbers are not.

    Refusals
    --------
    statement_lacks : it has no balances
    statement_does_not_add_up : its balances contradict its lines
    statement_field_is_malformed : a number or the account has no room in the format
    """
    if statement.opening_minor is None or statement.closing_minor is None:
        raise StatementLacks(line=1, missing=":60F:, :62F:")
    check_sum(statement, 1)
    if len(statement.account) > _LONGEST_ACCOUNT or _OTHER.search(statement.account):
        raise StatementFieldIsMalformed(line=1, field=":25:", found=statement.account[:40])
    opens = "60F" if statement.page == 1 else "60M"
    closes = "62F" if statement.is_last_page else "62M"
    ends = (statement.opening_minor, statement.closing_minor)
    fields = [
        f":20:{statement.to_on:%Y%m%d}",
        f":25:{statement.account}",
        f":28C:{statement.to_on:%j}/{statement.page}",
        f":{opens}:{_balance(ends[0], statement.from_on, statement.currency)}",
        *(row for line in statement.lines for row in _line(line)),
        f":{closes}:{_balance(ends[1], statement.to_on, statement.currency)}",
        "-",
    ]
    return "".join(f"{row}\r\n" for row in fields).encode("ascii")


def _balance(amount_minor: int, on: date, currency: str) -> str:
    side = "C" if amount_minor >= 0 else "D"
    return f"{side}{on:%y%m%d}{currency}{_amount(amount_minor, currency)}"


def _amount(amount_minor: int, currency: str) -> str:
    whole, _, part = written(abs(amount_minor), currency).partition(".")
    return f"{whole},{part}"


def _line(line: StatementLine) -> Iterator[str]:
    yield _movement(line, line.amount_minor, _TYPES.get(line.kind, "NTRF"))
    yield from _wrapped(_notes(line))
    if line.fee_minor:
        yield _movement(line, -line.fee_minor, "NCHG")
        yield from _wrapped(f"805?00FEE{_parts(_purpose(line, ''))}")


def _movement(line: StatementLine, amount_minor: int, code: str) -> str:
    side = "C" if amount_minor >= 0 else "D"
    if line.is_reversal:  # RC takes a credit back and goes out, RD the other way
        side = "RD" if amount_minor >= 0 else "RC"
    value_on = line.value_on or line.booked_on
    fits = len(line.reference) <= _LONGEST_REFERENCE and not _OTHER.search(line.reference)
    reference = f"//{line.reference}" if line.reference and fits else ""
    amount = _amount(amount_minor, line.currency)
    return f":61:{value_on:%y%m%d}{line.booked_on:%m%d}{side}{amount}{code}NONREF{reference}"


def _notes(line: StatementLine) -> str:
    name = _plain(line.counterparty)
    parts = f"166?00{line.kind.value.upper()}{_parts(_purpose(line, line.text))}"
    for number, start in (("32", 0), ("33", _PIECE)):
        piece = name[start : start + _PIECE].strip()
        parts += f"?{number}{piece}" if piece else ""
    return parts


def _purpose(line: StatementLine, text: str) -> str:
    """Return the numbers, whole, and as much of the text as there is room for."""
    long = len(line.reference) > _LONGEST_REFERENCE
    numbers = (("EREF", line.our_number), ("KREF", line.reference if long else ""))
    made = ""
    for mark, number in numbers:
        if _OTHER.search(number) or len(made) + len(number) > _PIECE * 6:
            raise StatementFieldIsMalformed(line=line.number, field=mark, found=number[:40])
        made += f"{mark}+{number}" if number else ""
    return made + (f"SVWZ+{_plain(text)}" if text else "")


def _parts(purpose: str) -> str:
    pieces = [purpose[start : start + _PIECE] for start in range(0, len(purpose), _PIECE)]
    return "".join(f"?{number}{piece}" for number, piece in zip(_PURPOSES, pieces, strict=False))


def _plain(text: str) -> str:
    return _OTHER.sub(".", latin(text))


def _wrapped(note: str) -> Sequence[str]:
    """Return `:86:` in lines; none begins with what would end or begin a field."""
    rows: list[str] = []
    rest = note
    while rest and len(rows) < _LINES:
        cut = _WIDTH if len(rest) > _WIDTH else len(rest)
        while cut < len(rest) and (rest[cut] in ":- " or rest[cut - 1] == " "):
            cut -= 1
        rows.append(rest[:cut])
        rest = rest[cut:]
    rows[0] = f":86:{rows[0]}"
    return rows
