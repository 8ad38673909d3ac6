"""`steelyard payments batch`: a file of debits, looked at before it is uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from steelyard.cli.output import AsJson, Column, RefusingGroup, out, print_json, show

app = typer.Typer(help="files of debits", cls=RefusingGroup, no_args_is_help=True)
_COLUMNS = [
    Column("line", "line", right=True),
    Column("code", "code"),
    Column("en", "what is wrong"),
    Column("zh", "问题"),
]
_MOST_SHOWN = 50


@app.callback()
def batch() -> None:
    """Look at files of debits."""


@app.command("check")
def check_file(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="the CSV")],
    as_json: AsJson = False,
) -> None:
    """Check a file by itself: form, control totals, repeated rows; exit status 1 if it is wrong."""
    from steelyard.payments import batches

    found = batches.check(file.read_bytes())
    errors = [
        {"line": line, "code": error.value, "en": en, "zh": zh}
        for line, error in found.errors
        for en, zh in (batches.words_of(error.value),)
    ]
    if as_json:
        print_json(
            {
                "file_no": found.head.file_no,
                "currency": found.head.currency,
                "amounts": found.head.amounts.value,
                "rows": found.rows,
                "sum_minor": found.sum_minor,
                "stated_rows": found.head.stated_rows,
                "stated_minor": found.head.stated_minor,
                "why": found.why,
                "errors": errors,
            }
        )
    else:
        if errors:
            show(errors[:_MOST_SHOWN], _COLUMNS, as_json=False)
        if len(errors) > _MOST_SHOWN:
            out.print(f"and {len(errors) - _MOST_SHOWN} more")
        out.print(f"{found.rows} rows, {found.sum_minor} minor units of {found.head.currency}")
        out.print(found.why or ("the control totals hold" if errors else "nothing is wrong"))
    if not found.is_good:
        raise typer.Exit(1)
