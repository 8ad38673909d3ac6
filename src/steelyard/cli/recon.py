"""`steelyard recon`: statements of channels and banks."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.cli.output import AsJson, Column, RefusingGroup, language, show
from steelyard.kernel import Refusal

if TYPE_CHECKING:
    from steelyard.payments import statements

app = typer.Typer(
    help="statements of channels and banks, against the books",
    cls=RefusingGroup,
    no_args_is_help=True,
)

_COLUMNS = (
    Column("name", "file"),
    Column("form", "form"),
    Column("account", "account"),
    Column("period", "period"),
    Column("lines", "lines", right=True),
    Column("opening", "opening", right=True),
    Column("movements", "movements", right=True),
    Column("closing", "closing", right=True),
    Column("proof", "proved by"),
    Column("refusal", "refused"),
)


@app.callback()
def recon() -> None:
    """Bring statements of channels and banks in and compare them with the books."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one file.

    Attributes
    ----------
    statements : what was read; empty of a refused file
    refusal : why it was not taken; None of a taken one
    """

    file: Path
    sha256: str
    statements: tuple[statements.Statement, ...] = ()
    refusal: Refusal | None = None


@app.command("import")
def import_files(
    files: Annotated[
        list[Path],
        typer.Argument(help="statement files", exists=True, dir_okay=False, readable=True),
    ],
    strict: Annotated[bool, typer.Option("--strict", help="fail if a file is refused")] = False,
    as_json: AsJson = False,
) -> None:
    """Read statements of any form; each file is taken, or refused with the line and the reason."""
    answers = [answer_of(file) for file in files]
    show([_row(answer) for answer in answers], _COLUMNS, as_json=as_json)
    if strict and any(answer.refusal is not None for answer in answers):
        raise typer.Exit(1)


def answer_of(file: Path) -> Answer:
    """Read one file; nothing is stored, and no platform has to run."""
    from steelyard.payments import statements

    # A file that is too large is not loaded to be told so.
    with file.open("rb") as opened:
        content = opened.read(statements.MOST_BYTES + 1)
    sha256 = statements.digest_of(content)
    try:
        return Answer(file, sha256, statements.read(content, file.name))
    except Refusal as refusal:
        return Answer(file, sha256, refusal=refusal)


def _row(answer: Answer) -> dict[str, Any]:
    row: dict[str, Any] = {
        "file": str(answer.file),
        "name": answer.file.name,
        "outcome": "taken" if answer.refusal is None else "refused",
        "sha256": answer.sha256,
    }
    if answer.refusal is not None:
        sentence = answer.refusal.sentence(language())
        return {
            **row,
            "code": answer.refusal.code,
            "line": answer.refusal.facts.get("line"),
            "reason": sentence,
            "refusal": f"{answer.refusal.code}: {sentence}",
        }
    return {**row, **_sum(answer.statements)}


def _sum(found: tuple[statements.Statement, ...]) -> dict[str, Any]:
    """Return the row of a taken file; its ends where all its statements are one account's chain."""
    accounts = list(dict.fromkeys((s.account, s.currency) for s in found))
    is_chain = len(accounts) == 1 and all(
        before.closing_minor == after.opening_minor for before, after in pairwise(found)
    )
    rows = [_statement(statement) for statement in found]
    one = len({statement.currency for statement in found}) == 1
    first, last = min(s.from_on for s in found), max(s.to_on for s in found)
    return {
        "form": " ".join(dict.fromkeys(s.form for s in found)),
        "account": ", ".join(account for account, _ in accounts),
        "currency": found[0].currency if one else None,
        "from_on": first,
        "to_on": last,
        "period": f"{first} – {last}" if first != last else str(first),
        "lines": sum(len(s.lines) for s in found),
        "opening_minor": found[0].opening_minor if is_chain else None,
        "movements_minor": sum(row["movements_minor"] for row in rows) if one else None,
        "closing_minor": found[-1].closing_minor if is_chain else None,
        "opening": rows[0]["opening"] if is_chain else None,
        "movements": ", ".join(_moved_of(rows)),
        "closing": rows[-1]["closing"] if is_chain else None,
        "proof": " ".join(dict.fromkeys(row["proof"] for row in rows)),
        "statements": rows,
    }


def _moved_of(rows: list[dict[str, Any]]) -> list[str]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], 0) + row["movements_minor"]
    return [f"{currency} {_written(amount, currency)}" for currency, amount in sums.items()]


def _statement(statement: statements.Statement) -> dict[str, Any]:
    from steelyard.payments import statements

    moved = statements.moved(statement)
    return {
        "form": statement.form,
        "id": statement.id,
        "page": statement.page,
        "is_last_page": statement.is_last_page,
        "account": statement.account,
        "currency": statement.currency,
        "from_on": statement.from_on,
        "to_on": statement.to_on,
        "lines": len(statement.lines),
        "opening_minor": statement.opening_minor,
        "movements_minor": moved,
        "fees_minor": sum(line.fee_minor or 0 for line in statement.lines),
        "closing_minor": statement.closing_minor,
        "opening": _written(statement.opening_minor, statement.currency),
        "closing": _written(statement.closing_minor, statement.currency),
        "proof": statements.proof_of(statement).value,
    }


def _written(amount_minor: int | None, currency: str) -> str | None:
    from steelyard.payments import statements

    return None if amount_minor is None else statements.written(amount_minor, currency)
