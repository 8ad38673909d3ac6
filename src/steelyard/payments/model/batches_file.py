"""The file of debits: a CSV with a header, control totals and one row for each debit; read lazily.

    H,steelyard.debits.1,FILE_NO,CURRENCY,AMOUNTS,COUNT,SUM
    debit_no,mandate_no,amount,due_on,subject
    D-1,M-1,100.00,2026-03-10,Rent March

AMOUNTS is `minor` (whole minor units) or `decimal` (exactly the decimals of the currency). SUM is
in decimals in both cases. Text is UTF-8, with or without a byte order mark, or GB18030.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from steelyard.kernel import Currency, UnknownCurrency
from steelyard.payments.model.batches import (
    MOST_BYTES,
    MOST_ROWS,
    WORDS,
    Amounts,
    Head,
    Row,
    RowError,
    totals_differ,
)
from steelyard.payments.model.batches_refusals import DebitFileIsMalformed, DebitFileIsTooLarge

FORM: Final = "steelyard.debits.1"
COLUMNS: Final = ("debit_no", "mandate_no", "amount", "due_on", "subject")
_NO: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,63}", re.ASCII)
_WHOLE: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_MOST_MINOR: Final = 10**13
_LONGEST: Final = 200


def text_of(content: bytes) -> str:
    """Return the text of a file.

    Refusals
    --------
    debit_file_is_too_large, debit_file_is_malformed
    """
    if len(content) > MOST_BYTES:
        raise DebitFileIsTooLarge(most=f"{MOST_BYTES} bytes", found=f"{len(content)} bytes")
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\x00" in text:
            break
        return text
    raise DebitFileIsMalformed(line=1, reason="it is no text in UTF-8 or GB18030")


def read_head(content: bytes) -> Head:
    """Return what a file says about itself.

    Refusals
    --------
    debit_file_is_too_large, debit_file_is_malformed
    """
    lines = _lines(text_of(content))
    _, head = _next(lines, 1)
    if len(head) != 7 or head[:2] != ["H", FORM]:
        raise DebitFileIsMalformed(line=1, reason=f"it begins with H,{FORM} and five more")
    _, _, file_no, currency, amounts, count, total = head
    if not _NO.fullmatch(file_no):
        raise DebitFileIsMalformed(line=1, reason="the file number")
    try:
        exponent = Currency.of(currency).exponent
    except UnknownCurrency:
        raise DebitFileIsMalformed(line=1, reason="the currency") from None
    if amounts not in (Amounts.MINOR.value, Amounts.DECIMAL.value):
        raise DebitFileIsMalformed(line=1, reason="amounts are minor or decimal")
    stated = _decimal(total, exponent)
    if not _WHOLE.fullmatch(count) or stated is None:
        raise DebitFileIsMalformed(line=1, reason="the control totals: a count, a decimal sum")
    if int(count) > MOST_ROWS:
        raise DebitFileIsTooLarge(most=f"{MOST_ROWS} rows", found=f"{count} rows")
    _, names = _next(lines, 2)
    if tuple(names) != COLUMNS:
        raise DebitFileIsMalformed(line=2, reason=f"the columns are {','.join(COLUMNS)}")
    return Head(
        file_no=file_no,
        currency=currency,
        amounts=Amounts(amounts),
        stated_rows=int(count),
        stated_minor=stated,
    )


def read_rows(content: bytes, head: Head) -> Iterator[Row]:
    """Yield the rows of a file, one after the other, each with what is wrong with it by itself.

    Refusals
    --------
    debit_file_is_malformed : it is no CSV; debit_file_is_too_large
    """
    lines = _lines(text_of(content))
    _next(lines, 1)
    _next(lines, 2)
    exponent = Currency.of(head.currency).exponent
    many = 0
    for line, fields in lines:
        if not fields:
            continue
        many += 1
        if many > MOST_ROWS:
            raise DebitFileIsTooLarge(most=f"{MOST_ROWS} rows", found="more")
        yield _row(line, fields, head.amounts, exponent)


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for fields in reader:
            yield reader.line_num, fields
    except csv.Error as wrong:
        raise DebitFileIsMalformed(line=reader.line_num, reason=str(wrong)) from None


def _next(lines: Iterator[tuple[int, list[str]]], line: int) -> tuple[int, list[str]]:
    found = next(lines, None)
    if found is None:
        raise DebitFileIsMalformed(line=line, reason="the file ends")
    return found


def _row(line: int, fields: Sequence[str], amounts: Amounts, exponent: int) -> Row:
    if len(fields) != len(COLUMNS):
        found = ",".join(fields)[:_LONGEST]
        return Row(line, "", "", None, None, "", _finger(found, str(line)), RowError.COLUMNS, found)
    debit_no, mandate_no, amount, due_on, subject = (one.strip() for one in fields)
    minor = (
        _decimal(amount, exponent)
        if amounts is Amounts.DECIMAL
        else int(amount)
        if _WHOLE.fullmatch(amount)
        else None
    )
    error, found = None, ""
    if not _NO.fullmatch(debit_no):
        error, found = RowError.DEBIT_NO, debit_no
    elif minor is None or not 0 < minor <= _MOST_MINOR:
        error, found = RowError.AMOUNT, amount
    elif not _is_day(due_on):
        error, found = RowError.DUE_ON, due_on
    return Row(
        line,
        debit_no[:64],
        mandate_no[:64],
        minor,
        due_on if _is_day(due_on) else None,
        subject[:_LONGEST],
        _finger(mandate_no, amount if minor is None else str(minor), due_on, subject),
        error,
        found[:_LONGEST],
    )


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _decimal(text: str, exponent: int) -> int | None:
    """Return minor units of a decimal with exactly the decimals of its currency; None: it is not.

    Examples
    --------
    >>> _decimal("100.00", 2), _decimal("100", 2), _decimal("100", 0)
    (10000, None, 100)
    """
    whole, point, rest = text.partition(".")
    if bool(point) != bool(exponent) or len(rest) != exponent:
        return None
    if not _WHOLE.fullmatch(whole) or (rest and not _WHOLE.fullmatch(rest)):
        return None
    return int(whole + rest)


def _finger(*parts: str) -> str:
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Checked:
    """What a look at a file alone shows, before anything is uploaded.

    Attributes
    ----------
    errors : line and error of each row that is wrong
    why : the control totals do not hold; empty where they do
    """

    head: Head
    rows: int
    sum_minor: int
    errors: tuple[tuple[int, RowError], ...]
    why: str

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong with it."""
        return not self.errors and not self.why

    def sentences(self, language: str) -> Iterator[str]:
        """Yield what is wrong, a line each: `en`, or Chinese."""
        if self.why:
            yield self.why
        for line, error in self.errors:
            en, zh = WORDS[error]
            yield f"line {line}: {en}" if language == "en" else f"第 {line} 行：{zh}"


def check(content: bytes) -> Checked:
    """Look at a file of debits by itself: its form, its control totals, repeated rows.

    Refusals
    --------
    debit_file_is_too_large, debit_file_is_malformed
    """
    head = read_head(content)
    rows = total = unread = 0
    errors: list[tuple[int, RowError]] = []
    numbers: set[str] = set()
    fingers: set[str] = set()
    for row in read_rows(content, head):
        rows += 1
        total += row.amount_minor or 0
        unread += row.amount_minor is None
        error = row.error
        if error is None and row.debit_no in numbers:
            error = RowError.DEBIT_NO_REPEATED
        elif error is None and row.fingerprint in fingers:
            error = RowError.ROW_REPEATED
        if error is not None:
            errors.append((row.line, error))
        numbers.add(row.debit_no)
        fingers.add(row.fingerprint)
    return Checked(head, rows, total, tuple(errors), totals_differ(head, rows, total, unread))
