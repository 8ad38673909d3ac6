"""Merchant statements as CSV: what we give out, with totals, a hash and a signature, and read back.

The lines are `H` (what it is a statement of), the names of the columns, one `L` a line, `T` (count,
sums), `S` (SHA-256 of every byte above) and, signed, `G` (algorithm, name of the key, signature of
every byte above). A byte order mark, for programs that need one, is not part of what is signed.
"""

from __future__ import annotations

import base64
import binascii
import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from steelyard.payments.model.statement_refusals import (
    StatementDoesNotAddUp,
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementSealIsBroken,
    StatementTotalsDiffer,
)
from steelyard.payments.model.statement_text import (
    Record,
    day,
    exponent_of,
    minor_of,
    moment,
    rows_of,
    written,
)
from steelyard.payments.model.statements import LineKind, Statement, StatementLine

_FORM: Final = "steelyard.statement.1"
_HEAD: Final = f"H,{_FORM},"
_MARK: Final = b"\xef\xbb\xbf"
_HEADER: Final = (
    "H",
    "form",
    "id",
    "account",
    "currency",
    "from_on",
    "to_on",
    "opening",
    "closing",
    "page",
    "is_last_page",
)
_FIELDS: Final = (
    "L",
    "number",
    "kind",
    "amount",
    "fee",
    "booked_on",
    "booked_at",
    "value_on",
    "reference",
    "our_number",
    "is_reversal",
    "batch",
    "status",
    "counterparty",
    "text",
    "more",
)
_TEXTS: Final = ("reference", "our_number", "batch", "status", "counterparty", "text")
# What a spreadsheet takes for a formula, its full-width twins, and the guard itself.
_FORMULA: Final = re.compile(r"[=+\-@'＝＋－＠\t]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\x85\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Signature:
    """The signature that stands in a file.

    Attributes
    ----------
    algorithm : `ed25519` or `hmac-sha256`
    key : name of the key it was made with
    signed : the bytes it is about
    """

    algorithm: str
    key: str
    signature: bytes
    signed: bytes


@dataclass(frozen=True, slots=True)
class Signer:
    """Whoever signs; the key stays with him.

    Attributes
    ----------
    sign : returns the signature of bytes
    """

    algorithm: str
    key: str
    sign: Callable[[bytes], bytes]


def knows_statement_csv(text: str) -> bool:
    """Tell by the first line."""
    return text.startswith(_HEAD)


def write_statement_csv(
    statement: Statement, *, signer: Signer | None = None, has_mark: bool = False
) -> bytes:
    """Return a statement as signed CSV; the same statement gives the same bytes.

    A text that a spreadsheet would take for a formula is guarded by an apostrophe, which reading
    takes off again; control characters and line breaks in texts become spaces.

    Parameters
    ----------
    signer : None: the file has its hash only
    has_mark : whether it begins with a byte order mark, by which Excel knows UTF-8

    Refusals
    --------
    statement_does_not_add_up : with balances that contradict the lines

    Examples
    --------
    >>> from datetime import date
    >>> day = date(2026, 10, 1)
    >>> made = Statement(form="merchant", account="M1", currency="CNY", from_on=day, to_on=day,
    ...                  lines=(), opening_minor=100, closing_minor=100)
    >>> write_statement_csv(made).decode().splitlines()[0]
    'H,steelyard.statement.1,,M1,CNY,2026-10-01,2026-10-01,1.00,1.00,1,true'
    """
    check_sum(statement, 1)
    currency = statement.currency
    rows: list[Sequence[str]] = [
        (
            "H",
            _FORM,
            _guarded(statement.id),
            _guarded(statement.account),
            currency,
            statement.from_on.isoformat(),
            statement.to_on.isoformat(),
            _money(statement.opening_minor, currency),
            _money(statement.closing_minor, currency),
            str(statement.page),
            _flag(statement.is_last_page),
        ),
        _FIELDS,
    ]
    rows += [_row(line) for line in statement.lines]
    rows.append(("T", *_totals(statement.lines, currency)))
    whole = _csv(rows)
    whole += _csv([("S", hashlib.sha256(whole).hexdigest())])
    if signer is not None:
        signature = base64.b64encode(signer.sign(whole)).decode()
        whole += _csv([("G", signer.algorithm, signer.key, signature)])
    return _MARK + whole if has_mark else whole


def signature_of(content: bytes) -> Signature | None:
    """Return the signature of a file, for whoever has the key to check; None: it is not signed.

    Refusals
    --------
    statement_field_is_malformed
    """
    whole = content.removeprefix(_MARK).replace(b"\r\n", b"\n")
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    cells = whole[start:].decode("utf-8", "replace").strip().split(",")
    if cells[0] != "G":
        return None
    try:
        signature = base64.b64decode(cells[3], validate=True)
    except (IndexError, binascii.Error):
        line = whole[:start].count(b"\n") + 1
        raise StatementFieldIsMalformed(line=line, field="G", found=cells[-1][:40]) from None
    return Signature(cells[1], cells[2], signature, whole[:start])


def read_statement_csv(text: str) -> Statement:
    """Return a statement that `write_statement_csv` made; the signature is not checked here.

    Refusals
    --------
    statement_is_cut_off, statement_seal_is_broken, statement_totals_differ,
    statement_does_not_add_up, statement_field_is_malformed
    """
    rows = rows_of(text)
    last = next((n for n, (_, cells) in enumerate(rows) if cells[:1] == ["S"]), None)
    if last is None or last < 3 or rows[last - 1][1][:1] != ["T"]:
        raise StatementIsCutOff(line=rows[-1][0] if rows else 1, missing="T, S")
    _check_hash(text, rows[last])
    head = Record(1, dict(zip(_HEADER, rows[0][1], strict=False)))
    if len(rows[0][1]) != len(_HEADER) or tuple(rows[1][1]) != _FIELDS:
        raise StatementFieldIsMalformed(line=1, field="H", found=",".join(rows[0][1])[:40])
    currency = head.text("currency")
    exponent_of(currency, 1)
    lines = []
    for number, cells in rows[2 : last - 1]:
        if len(cells) != len(_FIELDS):
            raise StatementFieldIsMalformed(
                line=number, field=f"{len(_FIELDS)} columns", found=",".join(cells)[:40]
            )
        lines.append(_line(Record(number, dict(zip(_FIELDS, cells, strict=True))), currency))
    total, counted = rows[last - 1], _totals(lines, currency)
    if tuple(total[1][1:]) != counted:
        raise StatementTotalsDiffer(
            line=total[0], total="T", stated=" ".join(total[1][1:]), counted=" ".join(counted)
        )
    made = Statement(
        form="steelyard_csv",
        account=_bare(head.text("account")),
        currency=currency,
        from_on=day(head.text("from_on"), 1),
        to_on=day(head.text("to_on"), 1),
        lines=tuple(lines),
        opening_minor=_minor(head, "opening", currency),
        closing_minor=_minor(head, "closing", currency),
        id=_bare(head.text("id")),
        page=int(head.number("page", places=0)),
        is_last_page=head.text("is_last_page") == "true",
    )
    check_sum(made, 1)
    return made


def check_sum(statement: Statement, line: int) -> None:
    """Refuse a statement whose balances its lines, less their fees, do not lead to.

    Refusals
    --------
    statement_does_not_add_up
    """
    if statement.opening_minor is None or statement.closing_minor is None:
        return
    moved = sum(x.amount_minor - (x.fee_minor or 0) for x in statement.lines)
    if statement.opening_minor + moved != statement.closing_minor:
        raise StatementDoesNotAddUp(
            line=line,
            opening=written(statement.opening_minor, statement.currency),
            movements=written(moved, statement.currency),
            closing=written(statement.closing_minor, statement.currency),
            currency=statement.currency,
        )


def _csv(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _row(line: StatementLine) -> Sequence[str]:
    more = json.dumps(dict(line.more), ensure_ascii=False, sort_keys=True) if line.more else ""
    return (
        "L",
        str(line.number),
        line.kind.value,
        _money(line.amount_minor, line.currency),
        _money(line.fee_minor, line.currency),
        line.booked_on.isoformat(),
        line.booked_at.astimezone(UTC).isoformat() if line.booked_at else "",
        line.value_on.isoformat() if line.value_on else "",
        _guarded(line.reference),
        _guarded(line.our_number),
        _flag(line.is_reversal),
        *(_guarded(getattr(line, name)) for name in _TEXTS[2:]),
        more,
    )


def _line(record: Record, currency: str) -> StatementLine:
    try:
        kind = LineKind(record.text("kind"))
        more = json.loads(record.text("more") or "{}")
    except ValueError:
        found = record.text("kind")[:40]
        raise StatementFieldIsMalformed(line=record.line, field="kind", found=found) from None
    at, value_on = record.text("booked_at"), record.text("value_on")
    amount = _minor(record, "amount", currency)
    if amount is None:
        raise StatementFieldIsMalformed(line=record.line, field="amount", found="")
    return StatementLine(
        number=int(record.number("number", places=0)),
        kind=kind,
        amount_minor=amount,
        currency=currency,
        booked_on=day(record.text("booked_on"), record.line),
        booked_at=moment(at, record.line) if at else None,
        value_on=day(value_on, record.line) if value_on else None,
        fee_minor=_minor(record, "fee", currency),
        is_reversal=record.text("is_reversal") == "true",
        more=more,
        **{name: _bare(record.text(name)) for name in _TEXTS},
    )


def _check_hash(text: str, row: tuple[int, Sequence[str]]) -> None:
    number, cells = row
    above = "".join(f"{line}\n" for line in text.split("\n")[: number - 1])
    if len(cells) != 2 or hashlib.sha256(above.encode()).hexdigest() != cells[1]:
        raise StatementSealIsBroken(line=number, seal="SHA-256")


def _totals(lines: Sequence[StatementLine], currency: str) -> tuple[str, str, str]:
    amount = sum(line.amount_minor for line in lines)
    fees = sum(line.fee_minor or 0 for line in lines)
    return str(len(lines)), _money(amount, currency), _money(fees, currency)


def _money(amount_minor: int | None, currency: str) -> str:
    return "" if amount_minor is None else written(amount_minor, currency)


def _minor(record: Record, name: str, currency: str) -> int | None:
    if not record.text(name):
        return None
    places = exponent_of(currency, record.line)
    return minor_of(record.number(name, places=places), currency, record.line)


def _flag(value: object) -> str:
    return "true" if value else "false"


def _guarded(text: str) -> str:
    plain = _CONTROL.sub(" ", text)
    return f"'{plain}" if _FORMULA.match(plain) else plain


def _bare(text: str) -> str:
    return text.removeprefix("'")
