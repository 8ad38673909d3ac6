"""SWIFT statements MT940 (end of day) and MT942 (during the day).

Read by our own grammar and not by mt-940, which is the oracle of the tests: a refusal has to name
the line, and that library passes over what it does not understand.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

from steelyard.payments.model.statement_refusals import (
    StatementCurrenciesDiffer,
    StatementDoesNotAddUp,
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementLacks,
    StatementPageIsMissing,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import minor_of, span, written
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_TAG: Final = re.compile(r":(NS|\d{2}[A-Z]?):(.*)")
_HEADER: Final = frozenset({"20", "21", "25", "25P", "28", "28C", "13", "13D", "34F", "60F", "60M"})
_BODY: Final = frozenset({"61", "86", "NS", "62F", "62M", "64", "65", "90C", "90D"})
# Some banks forget the line break before a tag; in these fields a colon has no other use.
_GLUED: Final = re.compile(r":(?=(?:20|25|28C?|60[FM]|61|62[FM]|64|86):)")
_MAY_GLUE: Final = frozenset({"20", "25", "28", "28C", "60F", "60M", "61", "62F", "62M", "64"})
_END: Final = re.compile(r"-\}?.{0,40}|-")
_SWIFT: Final = re.compile(r"\{[1-5]:")
_BALANCE: Final = re.compile(r"([CD])(\d{6})([A-Z]{3})?(\d{1,20}(?:,\d*)?)")
_TOTAL: Final = re.compile(r"(\d{1,8})([A-Z]{3})(\d{1,20}(?:,\d*)?)")
_MOVEMENT: Final = re.compile(
    r"(?P<value>\d{6})(?P<entry>\d{4}|\s{4})?"
    r"(?P<mark>R?[CD]|E[CD])(?P<funds>[A-Z])?"
    r"(?P<amount>\d{1,18}(?:,\d*)?)"
    r"(?P<type>[A-Z][A-Z0-9 ]{3})?"
    r"(?P<ours>(?:(?!//).)*)(?://(?P<theirs>.*))?"
)
_NOTHING: Final = frozenset({"", "NONREF", "NOTPROVIDED"})
_FEES: Final = frozenset({"NCHG", "NCOM", "FCHG", "FCOM", "NTAX"})
_RETURNS: Final = frozenset({"NRTI", "FRTI", "NRTN"})
_SUB: Final = re.compile(r"\?(\d{2})")
_SEPA: Final = re.compile(r"(EREF|KREF|MREF|CRED|DEBT|SVWZ|ABWA|ABWE|IBAN|BIC|COAM|OAMT)\+")
_EARLY_YEARS: Final = 80


def knows_mt940(text: str) -> bool:
    """Tell whether the text has tags of a SWIFT statement at the beginning of lines."""
    return re.search(r"(?m)^(\{1:F01.*\{4:)?\s*:(20|25|60F|61):", text) is not None


def read_mt940(text: str) -> tuple[Statement, ...]:
    """Return the statements of a file, in the order in which they stand in it.

    Returns
    -------
    tuple of Statement
        Pages with intermediate balances (60M, 62M) are statements of their own, each of which adds
        up. Movements after the end of a statement and without a head are a statement without
        balances on the account before them. Lines are numbered by the line of their `:61:`.

    Notes
    -----
    A value date of 30 February is what banks write that count months of 30 days; it is taken as the
    last day of that month, and the field is kept in `more`.

    Refusals
    --------
    statement_lacks, statement_is_cut_off, statement_field_is_malformed, statement_does_not_add_up,
    statement_currencies_differ, statement_totals_differ, statement_page_is_missing
    """
    made: list[Statement] = []
    for message in _messages(text):
        made.append(message.statement(made[-1] if made else None))
    return tuple(made)


@dataclass(slots=True)
class _Field:
    tag: str
    line: int
    texts: list[str]

    @property
    def first(self) -> str:
        return self.texts[0].strip()


@dataclass(slots=True)
class _Message:
    """The fields between a `:20:` and the end of its statement."""

    line: int
    fields: list[_Field] = field(default_factory=list)
    last_line: int = 0
    in_body: bool = False
    is_closed: bool = False

    def add(self, found: _Field) -> None:
        self.fields.append(found)
        self.in_body |= found.tag in _BODY and found.tag != "NS"  # which a head may have too
        self.is_closed |= found.tag in ("62F", "62M", "90C", "90D")

    def one(self, *tags: str) -> _Field | None:
        return next((f for f in self.fields if f.tag in tags), None)

    def takes(self, tag: str) -> bool:
        """Whether a tag can stand here, or is a piece of somebody's text that looks like one."""
        if tag in _BODY:
            return True
        return tag in _HEADER and not self.in_body

    def statement(self, before: Statement | None) -> Statement:
        if self.one("20") is None and before is None:
            raise StatementLacks(line=self.line, missing=":20:")
        if self.one("20") is None and self.one("25") is None:
            return self._loose(before)
        account = self.one("25", "25P")
        if account is None:
            raise StatementLacks(line=self.line, missing=":25:")
        opens = self.one("60F", "60M")
        if opens is None:
            return self._interim(account)
        opening = _balance(opens, "")
        closes = self.one("62F", "62M")
        if closes is None:
            raise StatementIsCutOff(line=self.last_line, missing=":62F:")
        closing = _balance(closes, opening.currency)
        lines = self._lines(opening.currency)
        _check_sum(opening, closing, lines)
        page, is_last = self._page(), closes.tag == "62F"
        made = Statement(
            form="mt940",
            account=account.first,
            currency=opening.currency,
            from_on=min(opening.on, closing.on, *(x.booked_on for x in lines)),
            to_on=max(opening.on, closing.on, *(x.booked_on for x in lines)),
            lines=lines,
            opening_minor=opening.amount_minor,
            closing_minor=closing.amount_minor,
            id=self._id(),
            page=page,
            is_last_page=is_last,
        )
        _check_page(opens, made, before)
        return made

    def _interim(self, account: _Field) -> Statement:
        """Return an MT942: no balances, but totals of both sides."""
        if self.one("34F", "13", "13D", "90C", "90D") is None:
            raise StatementLacks(line=account.line, missing=":60F:")
        totals = [(f, _total(f)) for f in self.fields if f.tag in ("90C", "90D")]
        floor = self.one("34F")
        currency = floor.first[:3] if floor is not None else ""
        if totals:
            currency = totals[0][1][1]
        if not currency:
            raise StatementLacks(line=account.line, missing=":34F:")
        lines = self._lines(currency)
        # Below a floor limit movements are counted and not listed.
        if floor is None or not floor.first[3:].strip("CD0,"):
            for found, (count, _, size) in totals:
                _check_total(found, (count, size), lines, currency)
        stamp = self.one("13D", "13")
        days = [line.booked_on for line in lines]
        days += [_date(stamp.first[:6], stamp.line)] if stamp is not None else []
        known = span(days)
        if known is None:
            raise StatementLacks(line=account.line, missing=":13D:")
        return Statement(
            form="mt942",
            account=account.first,
            currency=currency,
            from_on=known[0],
            to_on=known[1],
            lines=lines,
            id=self._id(),
            page=self._page(),
        )

    def _loose(self, before: Statement | None) -> Statement:
        assert before is not None
        lines = self._lines(before.currency)
        known = span(line.booked_on for line in lines)
        if known is None:
            raise StatementLacks(line=self.line, missing=":20:")
        return Statement(
            form=before.form,
            account=before.account,
            currency=before.currency,
            from_on=known[0],
            to_on=known[1],
            lines=lines,
        )

    def _id(self) -> str:
        number, reference = self.one("28C", "28"), self.one("20")
        parts = [f.first for f in (reference, number) if f is not None]
        return " ".join(parts)

    def _page(self) -> int:
        number = self.one("28C", "28")
        last = number.first.partition("/")[2] if number is not None else ""
        return max(int(last), 1) if last.isascii() and last.isdigit() else 1

    def _lines(self, currency: str) -> tuple[StatementLine, ...]:
        lines: list[StatementLine] = []
        open_fields: list[_Field] = []
        for found in (*self.fields, None):
            ends = found is None or found.tag in ("61", "62F", "62M", "90C", "90D")
            if open_fields and ends:
                lines.append(_movement(open_fields[0], open_fields[1:], currency))
                open_fields = []
            if found is not None and (found.tag == "61" or (open_fields and found.tag in _BODY)):
                open_fields.append(found)
        return tuple(lines)


@dataclass(frozen=True, slots=True)
class _Balance:
    amount_minor: int
    currency: str
    on: date
    line: int


def _messages(text: str) -> list[_Message]:
    messages: list[_Message] = []
    current: _Message | None = None
    lines = _unglued(text)
    for place, (number, raw) in enumerate(lines):
        line = raw.strip("\x01\x03\x00").rstrip()
        if _SWIFT.match(line):
            line = line.rpartition("{4:")[2] if "{4:" in line else ""
            current = None
        if current is not None and line.startswith("-") and _END.fullmatch(line):
            current = None
            continue
        match = _TAG.fullmatch(line.lstrip() if current is None else line)
        tag = match[1] if match else ""
        begins = tag == "20" and (
            current is None or not current.in_body or current.is_closed or _heads(lines, place)
        )
        if match and (begins or (current is None and tag in _HEADER | _BODY)):
            current = _Message(number)
            messages.append(current)
        if current is None:
            continue
        current.last_line = number
        if match and (begins or current.takes(tag)):
            current.add(_Field(tag, number, [match[2]]))
        elif current.fields:
            current.fields[-1].texts.append(line)
    return messages


def _unglued(text: str) -> list[tuple[int, str]]:
    lines = []
    # In a file of one line only the tags can end a text; otherwise texts are left alone.
    may_glue = _MAY_GLUE if "\n" in text.strip() else _MAY_GLUE | {"86"}
    for number, line in enumerate(text.split("\n"), start=1):
        rest = line
        while True:
            match = _TAG.match(rest.lstrip())
            glued = _GLUED.search(rest, 4) if match and match[1] in may_glue else None
            if glued is None:
                lines.append((number, rest))
                break
            lines.append((number, rest[: glued.start()]))
            rest = rest[glued.start() :]
    return lines


def _heads(lines: Sequence[tuple[int, str]], place: int) -> bool:
    """Whether a `:20:` in the middle of a body begins a new statement: an account follows it."""
    after = lines[place + 1][1] if place + 1 < len(lines) else ""
    return after.startswith((":25:", ":21:", ":25P:"))


def _amount(text: str, currency: str, line: int) -> int:
    return minor_of(Decimal(text.replace(",", ".")), currency, line)


def _balance(found: _Field, currency: str) -> _Balance:
    match = _BALANCE.fullmatch(found.first)
    if match is None or not (match[3] or currency):
        raise StatementFieldIsMalformed(
            line=found.line, field=f":{found.tag}:", found=found.first[:40]
        )
    own = match[3] or currency
    if currency and own != currency:
        raise StatementCurrenciesDiffer(line=found.line, currency=currency, found=own)
    size = _amount(match[4], own, found.line)
    sign = 1 if match[1] == "C" else -1
    return _Balance(sign * size, own, _date(match[2], found.line), found.line)


def _total(found: _Field) -> tuple[int, str, int]:
    match = _TOTAL.fullmatch(found.first)
    if match is None:
        raise StatementFieldIsMalformed(
            line=found.line, field=f":{found.tag}:", found=found.first[:40]
        )
    return int(match[1]), match[2], _amount(match[3], match[2], found.line)


def _check_total(
    found: _Field, stated: tuple[int, int], lines: Sequence[StatementLine], currency: str
) -> None:
    side = 1 if found.tag == "90C" else -1
    sizes = [abs(x.amount_minor) for x in lines if x.amount_minor * side > 0]
    counted = (len(sizes), sum(sizes))
    if counted != stated:
        raise StatementTotalsDiffer(
            line=found.line,
            total=f":{found.tag}:",
            stated=f"{stated[0]} / {written(stated[1], currency)}",
            counted=f"{counted[0]} / {written(counted[1], currency)}",
        )


def _check_sum(opening: _Balance, closing: _Balance, lines: Sequence[StatementLine]) -> None:
    moved = sum(line.amount_minor for line in lines)
    if opening.amount_minor + moved != closing.amount_minor:
        raise StatementDoesNotAddUp(
            line=closing.line,
            opening=written(opening.amount_minor, opening.currency),
            movements=written(moved, opening.currency),
            closing=written(closing.amount_minor, opening.currency),
            currency=opening.currency,
        )


def _check_page(opens: _Field, made: Statement, before: Statement | None) -> None:
    """Refuse a page that does not begin where the page before it in the file ends."""
    if opens.tag != "60M" or before is None or before.account != made.account:
        return
    if before.closing_minor != made.opening_minor and before.closing_minor is not None:
        assert made.opening_minor is not None
        raise StatementPageIsMissing(
            line=opens.line,
            opening=written(made.opening_minor, made.currency),
            closing=written(before.closing_minor, made.currency),
            currency=made.currency,
        )


def _date(text: str, line: int, *, is_value: bool = False) -> date:
    """Return a date of six digits; years to 79 are of this century."""
    try:
        year, month, on = int(text[:2]), int(text[2:4]), int(text[4:6])
        year += 2000 if year < _EARLY_YEARS else 1900
        if is_value and month == 2 and on in (29, 30):
            on = min(on, monthrange(year, month)[1])
        return date(year, month, on)
    except ValueError:
        raise StatementFieldIsMalformed(line=line, field="date", found=text) from None


def _entry_date(text: str, value_on: date, line: int) -> date:
    """Return the booking date of month and day, in the year nearest to the value date."""
    nearest = None
    for year in (value_on.year - 1, value_on.year, value_on.year + 1):
        try:
            found = date(year, int(text[:2]), int(text[2:]))
        except ValueError:
            continue
        if nearest is None or abs(found - value_on) < abs(nearest - value_on):
            nearest = found
    if nearest is None or abs(nearest - value_on) > timedelta(days=200):
        raise StatementFieldIsMalformed(line=line, field="date", found=text)
    return nearest


def _movement(found: _Field, notes: Sequence[_Field], currency: str) -> StatementLine:
    match = _MOVEMENT.fullmatch(found.texts[0].rstrip())
    if match is None:
        raise StatementFieldIsMalformed(line=found.line, field=":61:", found=found.texts[0][:40])
    mark, code = match["mark"], (match["type"] or "").strip()
    is_reversal = mark.startswith("R")
    sign = 1 if mark[-1] == "C" else -1
    if is_reversal:  # RC takes a credit back, RD a debit
        sign = -sign
    value_on = _date(match["value"], found.line, is_value=True)
    entry = (match["entry"] or "").strip()
    amount = sign * _amount(match["amount"], currency, found.line)
    told = _told(notes)
    ours = match["ours"].strip()
    more = {"type": code, "supplement": " ".join(t.strip() for t in found.texts[1:] if t.strip())}
    more.update({name: told[name] for name in ("mandate", "account_of_other") if name in told})
    if match["value"] != f"{value_on:%y%m%d}":
        more["value_date"] = match["value"]
    return StatementLine(
        number=found.line,
        kind=_kind(code, amount),
        amount_minor=amount,
        currency=currency,
        booked_on=_entry_date(entry, value_on, found.line) if entry else value_on,
        value_on=value_on,
        reference=_given(match["theirs"] or "") or told.get("reference", ""),
        our_number=told.get("our_number", "") or _given(ours),
        is_reversal=is_reversal,
        status="EXPECTED" if mark.startswith("E") else "",
        counterparty=told.get("counterparty", ""),
        text=told.get("text", ""),
        more={name: value for name, value in more.items() if value},
    )


def _given(text: str) -> str:
    return "" if text.strip().upper() in _NOTHING else text.strip()


def _kind(code: str, amount: int) -> LineKind:
    if code in _FEES:
        return LineKind.FEE
    if code in _RETURNS:
        return LineKind.RETURN
    return LineKind.PAYMENT if amount >= 0 else LineKind.PAYOUT


def _told(notes: Sequence[_Field]) -> dict[str, str]:
    """Return what the texts after a movement say: `:86:` with German sub-fields, or free."""
    told: dict[str, str] = {}
    free: list[str] = []
    for note in notes:
        if note.tag == "86" and re.match(r"\s?\d{3}\?", note.texts[0]):
            told.update(_sub_fields("".join(note.texts)))
        elif note.tag in ("86", "NS"):
            free += [text.strip() for text in note.texts if text.strip()]
    told["text"] = " ".join(filter(None, (told.get("text", ""), *free)))
    return told


def _sub_fields(text: str) -> dict[str, str]:
    parts = _SUB.split(text)
    fields = dict.fromkeys(parts[1::2], "")
    for name, value in zip(parts[1::2], parts[2::2], strict=True):
        fields[name] += value
    numbers = [f"{n:02d}" for n in (*range(20, 30), *range(60, 64))]
    purpose = "".join(fields.get(number, "") for number in numbers)
    told = {
        "counterparty": (fields.get("32", "") + fields.get("33", "")).strip(),
        "account_of_other": (fields.get("38", "") or fields.get("31", "")).strip(),
        "text": purpose.strip(),
    }
    marked = _SEPA.split(purpose)
    for name, value in zip(marked[1::2], marked[2::2], strict=True):
        if name == "EREF":
            told["our_number"] = _given(value)
        elif name == "SVWZ":
            told["text"] = value.strip()
        elif name == "KREF":
            told["reference"] = _given(value)
        elif name == "MREF":
            told["mandate"] = _given(value)
    return {name: value for name, value in told.items() if value}
