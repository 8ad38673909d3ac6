"""Delimited text, read row by row, where whatever is wrong is refused with its place."""

from __future__ import annotations

import csv
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from io import StringIO
from typing import NoReturn, TypeVar

from steelyard.imports.model.refusals import ImportRowMalformed

V = TypeVar("V")

_INTEGER = re.compile(r"[0-9]{1,18}", re.ASCII)
_MONEY = re.compile(r"(-?)([0-9]{1,15})(?:\.([0-9]{1,2}))?", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,6})?", re.ASCII)
_DAY = re.compile(r"(?:19)?([0-9]{2})-?([0-9]{2})-?([0-9]{2})(?: 00:00:00)?", re.ASCII)
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Source:
    """One file of a source: its name, for refusals, and its whole text."""

    name: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Row:
    r"""One row under a heading; its readers turn a column into a value or refuse with the place.

    Examples
    --------
    >>> row = next(rows_of(Source("loan.csv", "amount,date\n80.5,1993-07-05"), ("date",)))
    >>> row.minor("amount"), row.day("date")
    (8050, datetime.date(1993, 7, 5))
    """

    file: str
    line: int
    positions: Mapping[str, int] = field(repr=False)
    fields: list[str] = field(repr=False)

    def text(self, column: str) -> str:
        """Return the column without the blanks around it; the empty string where nothing stands."""
        return self.fields[self.positions[column]].strip()

    def integer(self, column: str) -> int:
        """Return a number without sign or fraction."""
        text = self.text(column)
        if not _INTEGER.fullmatch(text):
            self.refuse(column, "not a whole number", "不是整数")
        return int(text)

    def identifier(self, column: str, seen: set[int]) -> int:
        """Return a number that no earlier row had, and add it to `seen`."""
        number = self.integer(column)
        if number in seen:
            self.refuse(column, "there a second time", "重复出现")
        seen.add(number)
        return number

    def reference(self, column: str, known: Container[int]) -> int:
        """Return a number that another file has."""
        number = self.integer(column)
        if number not in known:
            self.refuse(column, "not in the file it refers to", "在所引用的文件中不存在")
        return number

    def minor(self, column: str) -> int:
        """Return an amount of two decimals at most, in hundredths, exact; it may be negative."""
        match = _MONEY.fullmatch(self.text(column))
        if match is None:
            self.refuse(column, "not an amount of at most two decimals", "不是至多两位小数的金额")
        sign, whole, cents = match.groups(default="")
        amount = int(whole) * 100 + int(cents.ljust(2, "0"))
        return -amount if sign else amount

    def amount(self, column: str) -> int:
        """Return an amount as `minor` does, refused below zero."""
        amount_minor = self.minor(column)
        if amount_minor < 0:
            self.refuse(column, "an amount below zero", "是负数金额")
        return amount_minor

    def number(self, column: str) -> Decimal | None:
        """Return a number as written, None where the source has a question mark (missing)."""
        text = self.text(column)
        if text == "?":
            return None
        if not _NUMBER.fullmatch(text):
            self.refuse(column, "not a number", "不是数字")
        return Decimal(text)

    def day(self, column: str) -> date:
        """Return a day of the twentieth century written yymmdd or yyyy-mm-dd."""
        text = self.text(column)
        match = _DAY.fullmatch(text)
        if match is None:
            self.refuse(column, "not a date (yymmdd or yyyy-mm-dd)", "不是日期")
        year, month, day = (int(part) for part in match.groups())
        try:
            return date(1900 + year, month, day)
        except ValueError:
            self.refuse(column, "no day of the calendar", "不是日历中的一天")

    def word(self, column: str, vocabulary: Mapping[str, V]) -> V:
        """Return what a word of the source's own vocabulary stands for."""
        text = self.text(column).lower()
        if text not in vocabulary:
            self.refuse(column, "not a word of this column", "不是该列的取值")
        return vocabulary[text]

    def refuse(self, column: str, reason: str, reason_zh: str) -> NoReturn:
        """Raise the refusal for a column: its value, shortened, is what the reason says."""
        value = self.text(column)[:_SHOWN]
        raise ImportRowMalformed(
            file=self.file,
            line=self.line,
            column=column,
            reason=f'"{value}" is {reason}',
            reason_zh=f"“{value}”{reason_zh}",
            value=value,
        )


def rows_of(
    source: Source, columns: tuple[str, ...], *, by_position: bool = False
) -> Iterator[Row]:
    """Yield the rows below the heading.

    Parameters
    ----------
    source : comma or semicolon, whichever the heading has more of; quotes where the writer liked
    columns : names that must be in the heading; further ones may be
    by_position : the editions of the file disagree on the heading, so that its words are ignored
        and the columns are these, in this order

    Refusals
    --------
    import_row_malformed : an empty file, a heading without one of `columns`, a row with more or
        fewer fields than the heading, quotes that do not close
    """
    heading = source.text.partition("\n")[0]
    delimiter = ";" if heading.count(";") > heading.count(",") else ","
    reader = csv.reader(StringIO(source.text, newline=""), delimiter=delimiter, strict=True)
    names = list(columns)
    positions: dict[str, int] | None = None
    try:
        for fields in reader:
            if not fields:
                continue
            is_heading = positions is None
            if positions is None:
                if not by_position:
                    names = [name.strip().lower() for name in fields]
                positions = {name: place for place, name in enumerate(names)}
                _check_heading(source.name, positions, columns)
            if len(fields) != len(names):
                column = names[min(len(fields), len(names) - 1)]
                _refuse_shape(
                    source.name, reader.line_num, column, expected=len(names), found=len(fields)
                )
            if not is_heading:
                yield Row(source.name, reader.line_num, positions, fields)
    except csv.Error:
        raise ImportRowMalformed(
            file=source.name,
            line=reader.line_num,
            column=names[0],
            reason="quotes that do not fit together",
            reason_zh="引号不配对",
        ) from None
    if positions is None:
        raise ImportRowMalformed(
            file=source.name,
            line=1,
            column=columns[0],
            reason="the file is empty",
            reason_zh="文件为空",
        )


def _check_heading(name: str, positions: Mapping[str, int], columns: tuple[str, ...]) -> None:
    for column in columns:
        if column not in positions:
            raise ImportRowMalformed(
                file=name,
                line=1,
                column=column,
                reason="not in the heading",
                reason_zh="表头中没有这一列",
            )


def _refuse_shape(name: str, line: int, column: str, *, expected: int, found: int) -> NoReturn:
    raise ImportRowMalformed(
        file=name,
        line=line,
        column=column,
        reason=f"{found} fields where the heading has {expected}",
        reason_zh=f"表头有 {expected} 列，本行有 {found} 列",
    )
