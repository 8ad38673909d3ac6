"""Results of files of debits: what we tell the merchant, and what a channel's own file tells us.

Of a channel's file nothing is believed but what is said about debits that we sent: a row about
another is listed, a row that comes twice is listed, a debit that it does not name stays what it is.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.kernel import Currency
from steelyard.payments.model.attempts import Source
from steelyard.payments.model.batches import outcome_of
from steelyard.payments.model.batches_file import text_of
from steelyard.payments.model.batches_refusals import DebitBatchIsUnknown, DebitResultIsMalformed
from steelyard.payments.model.channel import Finding, Said
from steelyard.payments.model.debits_codes import rule_of
from steelyard.payments.service import evidence
from steelyard.payments.service.evidence import Report
from steelyard.payments.store import batches as table

FORM: Final = "steelyard.debit_results.1"
_COLUMNS: Final = (
    *("line", "debit_no", "mandate_no", "amount", "due_on", "outcome", "code", "paid_at"),
    "payment",
)
_TAKEN_COLUMNS: Final = ["number", "outcome", "amount_minor", "code", "reference"]
_CHUNK: Final = 200
_READ: Final = 5_000
_SAID: Final = {"succeeded": Said.SUCCEEDED, "failed": Said.DECLINED}
_MOST_PROBLEMS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Taken:
    """What was made of a channel's file of results.

    Attributes
    ----------
    rows : in the file; new : of them, those that told something new
    missing : debits under way of which the file says nothing; they stay as they are
    problems : line, number and what is wrong (`unknown`, `repeated`, `malformed`, `not_sent`,
        `amount`), at most 1,000
    was_seen : the same file was taken before, and nothing was done now
    """

    rows: int
    new: int
    missing: int
    problems: tuple[tuple[int, str, str], ...]
    was_seen: bool = False


def result_of(connection: sa.Connection, batch: UUID, *, merchant: UUID | None = None) -> bytes:
    """Return the result file of a batch: every row of the input once, in its order, and totals.

    The lines are `R` (what it is of), the names of the columns, the rows, and `T` (how many rows,
    how many succeeded, their sum). No text of it begins a formula in a spreadsheet.

    Refusals
    --------
    debit_batch_is_unknown
    """
    found = table.read(connection, batch)
    if merchant not in (None, found.merchant):
        raise DebitBatchIsUnknown(batch=batch)
    places = Currency.of(found.currency).exponent
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("R", FORM, found.file_no, found.currency, found.state.value, found.sha256))
    writer.writerow(_COLUMNS)
    rows = paid = paid_minor = 0
    for row in table.every_row(connection, batch, chunk=_READ):
        outcome = outcome_of(row.state, row.error, found.state)
        rows += 1
        if outcome.value == "succeeded" and row.amount_minor is not None:
            paid += 1
            paid_minor += row.amount_minor
        writer.writerow(
            (
                row.line,
                _plain(row.debit_no),
                _plain(row.mandate_no),
                _decimal(row.amount_minor, places),
                row.due_on or "",
                outcome.value,
                _plain(row.error or row.code or ""),
                "" if row.paid_at is None else row.paid_at.isoformat(),
                "" if row.payment is None else str(row.payment),
            )
        )
    writer.writerow(("T", rows, paid, _decimal(paid_minor, places)))
    return out.getvalue().encode()


def _decimal(minor: int | None, places: int) -> str:
    if minor is None:
        return ""
    if not places:
        return str(minor)
    return f"{minor // 10**places}.{minor % 10**places:0{places}d}"


def _plain(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r", "'") else text


def take_result(
    database: Database,
    batch: UUID,
    content: bytes,
    *,
    merchant: UUID | None = None,
    actor: str = "system:debits",
) -> Taken:
    """Take a channel's file of results, once: what it says of our debits is evidence.

    The columns are number (ours, or the one that the channel was given), outcome (succeeded or
    failed), amount_minor, code, reference.

    Refusals
    --------
    debit_batch_is_unknown, debit_result_is_malformed, debit_file_is_too_large,
    debit_file_is_malformed
    """
    digest = hashlib.sha256(content).hexdigest()
    with database.reading() as connection:
        found = table.read(connection, batch)
        if merchant not in (None, found.merchant):
            raise DebitBatchIsUnknown(batch=batch)
        known = table.result(connection, batch, digest)
        numbered = table.numbered(connection, batch)
    if known is not None:
        problems = tuple((line, number, what) for line, number, what in known["problems"])
        return Taken(known["rows"], known["new"], known["missing"], problems, was_seen=True)
    reports, rows, wrong = _read(content, numbered)
    new = 0
    for start in range(0, len(reports), _CHUNK):
        chunk = reports[start : start + _CHUNK]
        rulings = database.transact(
            lambda unit, part=chunk: evidence.report(unit, part),  # type: ignore[misc]
            actor=actor,
        )
        new += sum(one.is_new for one in rulings)
    said = {one.attempt for one in reports}
    missing = {
        one.line for one in numbered.values() if one.state.is_under_way and one.attempt not in said
    }
    taken = Taken(rows, new, len(missing), tuple(wrong[:_MOST_PROBLEMS]))
    database.transact(lambda unit: _keep(unit, batch, digest, taken), actor=actor)
    return taken


def _read(
    content: bytes, numbered: dict[str, table.Numbered]
) -> tuple[list[Report], int, list[tuple[int, str, str]]]:
    """Return what a file says of debits that we sent, how many rows it has, and what is wrong."""
    reader = csv.reader(io.StringIO(text_of(content), newline=""), strict=True)
    reports: list[Report] = []
    wrong: list[tuple[int, str, str]] = []
    seen: set[int] = set()
    rows = 0
    try:
        if next(reader, None) != _TAKEN_COLUMNS:
            raise DebitResultIsMalformed(line=1, reason=",".join(_TAKEN_COLUMNS))
        for fields in reader:
            if not fields:
                continue
            rows += 1
            number = fields[0].strip()
            one = numbered.get(number)
            problem = _problem(fields, one, seen)
            if problem:
                wrong.append((reader.line_num, number[:64], problem))
            # Of another amount it is evidence too: the core holds it, and people look.
            if one is None or one.attempt is None or problem not in ("", "amount"):
                continue
            seen.add(one.line)
            reports.append(Report(one.attempt, Source.STATEMENT, _finding(fields)))
    except csv.Error as error:
        raise DebitResultIsMalformed(line=reader.line_num, reason=str(error)) from None
    return reports, rows, wrong


def _problem(fields: list[str], one: table.Numbered | None, seen: set[int]) -> str:
    if len(fields) != len(_TAKEN_COLUMNS) or fields[1] not in _SAID or not fields[2].isdecimal():
        return "malformed"
    if one is None:
        return "unknown"
    if one.line in seen:
        return "repeated"
    if one.attempt is None:
        return "not_sent"
    return "" if int(fields[2]) == one.amount_minor else "amount"


def _finding(fields: list[str]) -> Finding:
    _, outcome, amount, code, reference = (one.strip() for one in fields)
    said = _SAID[outcome]
    return Finding(
        said=said,
        amount_minor=int(amount),
        reference=reference[:64] or None,
        code=code[:40] or None,
        decline=rule_of(code, None).decline if said is Said.DECLINED else None,
    )


def _keep(unit: UnitOfWork, batch: UUID, digest: str, taken: Taken) -> None:
    table.insert_result(
        unit.connection,
        {
            "batch": batch,
            "sha256": digest,
            "taken_at": unit.now,
            "taken_by": unit.actor,
            "rows": taken.rows,
            "new": taken.new,
            "missing": taken.missing,
            "problems": json.dumps([list(one) for one in taken.problems], ensure_ascii=False),
        },
    )
