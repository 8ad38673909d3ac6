"""`steelyard credit portfolio` and `whatif`: the book as a whole, and what it might have been."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.output import AsJson, Column, bars, err, out, print_json, show
from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steelyard.credit import portfolio as books

_SHOWN = ("buckets", "funnel", "first_payment_default", "herfindahl", "profit_and_loss")
_UNITS = 100
"""Minor units of the currencies that are lent; the files hold minor units."""


class HistoryIsNotThere(Refusal):
    """A strategy is tried on one history."""

    kind = RefusalKind.INVALID
    en = "Name a history: --sample for a made-up one, --log for the applications of the platform."
    zh = "请指定历史数据：--sample 使用虚构样本，--log 使用平台自身的申请记录。"


Out = Annotated[
    Path | None, typer.Option("--out", help="folder for tables (CSV, JSON) and plots (PNG)")
]
Sample = Annotated[bool, typer.Option("--sample", help="a made-up history of 5,000 applications")]
Seed = Annotated[int, typer.Option(min=0, help="of the made-up history")]


def portfolio(
    out_folder: Out = None,
    sample: Sample = False,
    seed: Seed = 1,
    funding: Annotated[
        float, typer.Option(min=0, max=100, help="cost of funds a year, in per cent")
    ] = 2.8,
    currency: Annotated[
        str | None, typer.Option(help="of the loans, where there are several")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Draw the book: vintages, migration, first payments, funnel, concentration, profit."""
    from steelyard.credit import portfolio as books

    with bars() as progress:
        if sample:
            book = books.made_up_book(progress, seed=seed)
        else:
            from steelyard.web.platform import open_database

            with open_database(read_settings()) as database, database.reading() as connection:
                book = books.read_book(connection, currency)
    tables = books.report(book, funding_bp=round(funding * 100))
    if out_folder is not None:
        from steelyard.cli.credit_portfolio_plots import draw_book

        keep(tables, {"source": book.source, "notes": list(book.notes)}, out_folder)
        drawn = draw_book(books.picture(book), tables, out_folder)
        _say_where(out_folder, plots=drawn > 0)
    _tell(tables, [book.source, *book.notes], names=_SHOWN, as_json=as_json)


def whatif(
    sample: Sample = False,
    log: Annotated[bool, typer.Option("--log", help="the platform's own applications")] = False,
    policy: Annotated[
        str | None, typer.Option(help="another policy: its name, or a JDM document in a file")
    ] = None,
    cut_off: Annotated[
        int | None, typer.Option(min=0, max=1_001, help="lend to scores below it, to no others")
    ] = None,
    amount: Annotated[
        float, typer.Option(min=0.01, max=100, help="% of what is asked for that is lent")
    ] = 100.0,
    most: Annotated[
        int | None, typer.Option(min=1, help="never lend more than this, minor units")
    ] = None,
    rate_bp: Annotated[int, typer.Option(help="added to every price, basis points")] = 0,
    people_say_yes: Annotated[
        bool,
        typer.Option("--people-say-yes", help="to cases that nobody saw in history; else no"),
    ] = False,
    odds: Annotated[
        float, typer.Option(min=1, help="how far those never lent to may differ: times the odds")
    ] = 3.0,
    funding: Annotated[
        float, typer.Option(min=0, max=100, help="cost of funds a year, in per cent")
    ] = 2.8,
    capital: Annotated[
        float, typer.Option(min=0.01, max=100, help="capital held for what is owed, in per cent")
    ] = 12.0,
    out_folder: Out = None,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Try a policy, cut-off, limit or price on a history, side by side with what happened."""
    if sample == log:
        raise HistoryIsNotThere
    from steelyard.credit import whatif as tries

    change = tries.Change(
        cut_off=cut_off,
        amount_bp=round(amount * 100),
        most_minor=most,
        rate_add_bp=rate_bp,
        lends_reviewed=people_say_yes,
    )
    economics = tries.Economics(
        funding_bp=round(funding * 100), capital_bp=round(capital * 100), odds=odds
    )
    with bars() as progress:
        if sample:
            found = tries.try_sample(change, economics, progress, policy=policy, seed=seed)
        else:
            from steelyard.web.platform import open_database

            with open_database(read_settings()) as database, database.reading() as connection:
                found = tries.try_log(connection, change, economics, progress, policy=policy)
    tables, remarks = tries.tables(found), tries.remarks(found)
    if out_folder is not None:
        from steelyard.cli.credit_portfolio_plots import draw_whatif

        keep(tables, {"source": found.history.source, "notes": remarks}, out_folder)
        drawn = draw_whatif(found, out_folder)
        _say_where(out_folder, plots=drawn > 0)
    _tell(tables, remarks, names=tuple(one.name for one in tables), as_json=as_json)


def keep(tables: Sequence[books.Table], about: dict[str, Any], folder: Path) -> None:
    """Write each table as CSV, and all of them with what is to be known as report.json."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        with (folder / f"{table.name}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(table.heads)
            writer.writerows(table.rows)
    told = {**about, "tables": {one.name: one.as_json() for one in tables}}
    text = json.dumps(told, ensure_ascii=False, indent=1)
    (folder / "report.json").write_text(text + "\n", encoding="utf-8")


def _say_where(folder: Path, *, plots: bool) -> None:
    without = "" if plots else ", without plots: matplotlib is not installed"
    err.print(f"kept in {folder}{without}", highlight=False, soft_wrap=True)


def _tell(
    tables: Sequence[books.Table], remarks: Sequence[str], *, names: Sequence[str], as_json: bool
) -> None:
    if as_json:
        print_json({"notes": list(remarks), **{one.name: one.as_json() for one in tables}})
        return
    for table in tables:
        if table.name in names:
            heads = [head for head in table.heads if head in _NARROW.get(table.name, table.heads)]
            columns = [Column(head, _heading(head), n > 0) for n, head in enumerate(heads)]
            rows = [
                {head: _shown(row.get("figure", head), row[head]) for head in heads}
                for row in table.as_json()
            ]
            show(rows, columns, as_json=False, title=table.title)
    for one in remarks:
        out.print(one, highlight=False, soft_wrap=True)


_NARROW = {
    "funnel": ("channel", "submitted", "approved", "signed", "approval_rate", "take_up"),
    "profit_and_loss": (
        "group", "loans", "lent_minor", "income_minor", "lost_minor", "result_minor", "margin",
    ),
    "cut_offs": (
        "cut_off", "lent", "bad_rate", "result_minor", "result_low_minor",
        "result_high_minor", "return_on_capital",
    ),
}  # fmt: skip
"""What fits a terminal; the files hold all."""
_SHARES = ("share", "rate", "margin", "coverage", "take_up", "return_on_capital")


def _heading(head: str) -> str:
    """Return a column's heading; the name of a policy stands as it is."""
    return head if "@" in head else head.removesuffix("_minor").replace("_", " ")


def _shown(figure: object, value: object) -> object:
    """Return a figure as people read it: whole units of money, shares in per cent."""
    name = str(figure)
    if value == figure:
        return _heading(name) + (", amount" if name.endswith("_minor") else "")
    if name.endswith("_minor") and isinstance(value, int):
        return round(value / _UNITS)
    if name.endswith(_SHARES) and isinstance(value, float | int):
        return f"{100 * value:.1f} %"
    return value
