"""From bytes to what a reader works on: text, amounts, dates, rows, and the span of days."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from steelyard.kernel import Currency, UnknownCurrency
from steelyard.payments.model.statement_refusals import (
    StatementAmountIsTooFine,
    StatementCurrencyIsUnknown,
    StatementEncodingIsWrong,
    StatementFieldIsMalformed,
    StatementIsCutOff,
)

CHINA: Final = ZoneInfo("Asia/Shanghai")
"""The clock of Chinese channels: their business dates end on it."""

Rows = Sequence[tuple[int, Sequence[str]]]
"""Rows of a table, each with the line on which it ends."""

# Currencies of old statements that ISO 4217 has withdrawn, with the decimals they were booked in.
_WITHDRAWN: Final = {
    "ATS": 2,
    "BEF": 0,
    "BGN": 2,
    "DEM": 2,
    "EEK": 2,
    "ESP": 0,
    "FIM": 2,
    "FRF": 2,
    "HRK": 2,
    "IEP": 2,
    "ITL": 0,
    "LTL": 2,
    "LUF": 0,
    "LVL": 2,
    "NLG": 2,
    "SIT": 2,
    "SKK": 2,
}
_AMOUNT_LIMIT: Final = Decimal(2**62)
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_CUT: Final = frozenset({"unexpected end of data", "incomplete multibyte sequence"})
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_CHINESE: Final = re.compile(r"[　-〿一-鿿＀-￯·“”‘’…—]{2,}")


def decoded(content: bytes) -> list[tuple[str, str]]:
    """Return the texts that the bytes can be, the likelier first, each with its encoding.

    Returns
    -------
    list of (encoding, text)
        Every line ends in one line feed. Empty where the bytes are no text of Unicode or GB18030.
    """
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16")):
        if content.startswith(mark):
            return [(encoding, _strictly(content, encoding))]
    if content.startswith(b"\xfe\xff"):
        return [("utf-16", _strictly(content, "utf-16"))]
    found = []
    for encoding in ("utf-8", "gb18030"):
        try:
            found.append((encoding, _unix(content.decode(encoding))))
        except UnicodeDecodeError:
            continue
        if encoding == "utf-8":
            break
    return found


def loosely(content: bytes, encoding: str) -> str:
    """Return the text with a mark wherever a byte is none of the encoding."""
    return _unix(content.decode(encoding, errors="replace"))


def western(content: bytes) -> str:
    """Return the text of a file of bank tags, whose words do not matter to the sums.

    Chinese banks write GB18030, others Windows-1252 or Latin-1; UTF-8 is told by itself.
    """
    for encoding, text in decoded(content):
        if encoding != "gb18030" or _is_chinese(text):
            return text
    try:
        return _unix(content.decode("cp1252"))
    except UnicodeDecodeError:
        return _unix(content.decode("latin-1"))


def first_wrong(content: bytes, encoding: str) -> StatementEncodingIsWrong | StatementIsCutOff:
    """Return the refusal of the first byte that is no text in the encoding.

    A character that the end of the file cuts through is no wrong encoding.
    """
    try:
        content.decode(encoding)
    except UnicodeDecodeError as wrong:
        line = content[: wrong.start].count(b"\n") + 1
        if wrong.end == len(content) and wrong.reason in _CUT:
            return StatementIsCutOff(line=line, missing=encoding)
        return StatementEncodingIsWrong(line=line, encoding=encoding)
    raise AssertionError(f"every byte is text in {encoding}")


def latin(text: str) -> str:
    """Return a text in Latin letters, which banks' files take; empty where nothing of it is left.

    Examples
    --------
    >>> latin("张三 & Söhne")
    'Zhang San & Sohne'
    """
    from text_unidecode import unidecode  # type: ignore[import-untyped]

    return " ".join(unidecode(_CONTROL.sub(" ", text)).split())


def exponent_of(currency: str, line: int) -> int:
    """Return how many decimals a currency has, withdrawn ones included."""
    if currency in _WITHDRAWN:
        return _WITHDRAWN[currency]
    try:
        return Currency.of(currency).exponent
    except UnknownCurrency:
        raise StatementCurrencyIsUnknown(line=line, currency=currency[:12]) from None


def minor_of(amount: Decimal, currency: str, line: int) -> int:
    """Return an amount in minor units; zeros behind the last place do not matter.

    Examples
    --------
    >>> minor_of(Decimal("8.85000"), "EUR", 1)
    885

    Refusals
    --------
    statement_amount_is_too_fine, statement_currency_is_unknown, statement_field_is_malformed
    """
    scaled = amount.scaleb(exponent_of(currency, line))
    if abs(scaled) >= _AMOUNT_LIMIT:
        raise StatementFieldIsMalformed(line=line, field="amount", found=str(amount)[:40])
    if scaled != scaled.to_integral_value():
        raise StatementAmountIsTooFine(line=line, amount=str(amount)[:40], currency=currency)
    return int(scaled)


def written(amount_minor: int, currency: str, line: int = 1) -> str:
    """Return minor units as a decimal number of major ones.

    Examples
    --------
    >>> written(-885, "EUR"), written(5, "JPY")
    ('-8.85', '5')
    """
    return f"{Decimal(amount_minor).scaleb(-exponent_of(currency, line)):f}"


def moment(text: str, line: int, *, zone: ZoneInfo = CHINA) -> datetime:
    """Return the instant of a date and time on the clock of a zone.

    Examples
    --------
    >>> moment("2026-10-01 23:59:58", 1).isoformat()
    '2026-10-01T15:59:58+00:00'
    """
    try:
        local = datetime.fromisoformat(text.strip().replace("/", "-"))
    except ValueError:
        raise StatementFieldIsMalformed(line=line, field="time", found=text[:40]) from None
    return (local if local.tzinfo else local.replace(tzinfo=zone)).astimezone(UTC)


def day(text: str, line: int) -> date:
    """Return a date written with year, month and day."""
    try:
        return date.fromisoformat(text.strip().replace("/", "-"))
    except ValueError:
        raise StatementFieldIsMalformed(line=line, field="date", found=text[:40]) from None


def business_date(at: datetime, zone: ZoneInfo = CHINA) -> date:
    """Return the date of an instant on the channel's own clock, whatever ours says.

    Examples
    --------
    >>> business_date(moment("2026-10-02 00:00:01", 1)).isoformat()
    '2026-10-02'
    """
    return at.astimezone(zone).date()


def last_day(end: datetime, zone: ZoneInfo = CHINA) -> date:
    """Return the last day of a span that ends at an instant: midnight ends the day before."""
    return (end.astimezone(zone) - timedelta(seconds=1)).date()


def span(days: Iterable[date]) -> tuple[date, date] | None:
    """Return the first and last of some days; None of none."""
    known = sorted(days)
    return (known[0], known[-1]) if known else None


def rows_of(text: str) -> Rows:
    """Return the rows of comma-separated text, each with the line on which it ends.

    Refusals
    --------
    statement_field_is_malformed : a quotation that never ends, a field of over 128 KiB
    """
    reader = csv.reader(io.StringIO(text), strict=False)
    rows = []
    try:
        for cells in reader:
            rows.append((reader.line_num, cells))
    except csv.Error as wrong:
        raise StatementFieldIsMalformed(
            line=reader.line_num, field="CSV", found=str(wrong)[:60]
        ) from None
    return rows


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a table by the names of its columns; spaces and tabs around values are gone."""

    line: int
    cells: dict[str, str]

    def text(self, *names: str) -> str:
        """Return the value of the first of the columns that the table has; empty: none has."""
        for name in names:
            if name in self.cells:
                return self.cells[name]
        return ""

    def number(self, *names: str, places: int | None = None) -> Decimal:
        """Return a number; nothing, `-` and `/` are zero.

        Parameters
        ----------
        places : how many decimals are written exactly, where the form fixes them: a file in fen
            instead of yuan is found by it
        """
        found = self.text(*names)
        if found in ("", "-", "/"):
            return Decimal(0)
        plain = found.replace(",", "").replace("¥", "").replace("￥", "")
        if not re.fullmatch(r"[+-]?[0-9]{1,15}(\.[0-9]{1,6})?", plain) or (
            places is not None and found != "0" and len(plain.partition(".")[2]) != places
        ):
            raise StatementFieldIsMalformed(line=self.line, field=names[0], found=found[:40])
        return Decimal(plain)


def running(amounts: Sequence[int], balances: Sequence[int]) -> tuple[int, int] | None:
    """Return opening and closing of lines that each state the balance after them.

    Returns
    -------
    (opening, closing) or None
        None where the balances do not follow from each other in either order of the lines: an
        export of some of the lines only has no balances.

    Examples
    --------
    >>> running([5, -2], [15, 13]), running([-2, 5], [13, 15]), running([5, -2], [15, 20])
    ((10, 13), (10, 13), None)
    """
    for step in (1, -1):
        lines = list(zip(amounts, balances, strict=True))[::step]
        if lines and all(before[1] + after[0] == after[1] for before, after in pairwise(lines)):
            return lines[0][1] - lines[0][0], lines[-1][1]
    return None


def _strictly(content: bytes, encoding: str) -> str:
    try:
        return _unix(content.decode(encoding))
    except UnicodeDecodeError:
        raise first_wrong(content, encoding) from None


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _is_chinese(text: str) -> bool:
    runs = _NOT_ASCII.findall(text)
    return bool(runs) and all(_CHINESE.fullmatch(run) for run in runs)
