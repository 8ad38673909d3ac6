"""`steelyard fx`: currency by the central bank's history, without a platform running."""

from __future__ import annotations

import csv
from dataclasses import asdict
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.cli.output import AsJson, Column, RefusingGroup, out, print_json, show
from steelyard.kernel import Money

if TYPE_CHECKING:
    from steelyard.payments import fx

app = typer.Typer(help="currency: quotes and locks", cls=RefusingGroup, no_args_is_help=True)

PAIRS = ("CNY/USD", "USD/CNY", "CNY/EUR", "EUR/CNY", "EUR/USD", "USD/EUR", "USD/JPY", "JPY/USD",
         "CNY/JPY", "JPY/CNY", "GBP/USD", "USD/GBP")  # fmt: skip
_QUOTE = (
    Column("lock", "lock"),
    Column("rate", "client's rate", right=True),
    Column("sell", "sells", right=True),
    Column("buy", "buys", right=True),
    Column("premium_bp", "premium bp", right=True),
    Column("margin_bp", "margin bp", right=True),
)
_ROWS = (
    Column("pair", "pair"),
    Column("days", "days", right=True),
    Column("promises", "promises", right=True),
    Column("premium_bp", "premium bp", right=True),
    Column("cost_bp", "cost bp", right=True),
    Column("worst_bp", "worst bp", right=True),
    Column("covered", "covered", right=True),
    Column("beyond", "beyond 3x", right=True),
)
On = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="the day; the newest known")
]


@app.callback()
def currency() -> None:
    """Quote currency and try what a promised rate costs."""


@app.command("quote")
def quote(
    sell: Annotated[str, typer.Argument(help="currency that is sold")],
    buy: Annotated[str, typer.Argument(help="currency that is bought")],
    sells: Annotated[str | None, typer.Option("--sells", help="amount sold, 1234.56")] = None,
    buys: Annotated[str | None, typer.Option("--buys", help="amount bought")] = None,
    on: On = None,
    margin_bp: Annotated[float, typer.Option(min=0, max=1_000, help="our margin")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Show what a pair is quoted at, by every period of a lock; an indication, of that day."""
    from steelyard.kernel import uuid7
    from steelyard.payments import fx, institution, quotes

    past = fx.history()
    at = datetime.combine(on.date() if on else past.days[-1], time(20), UTC)
    book = fx.book_of(fx.EcbFeed().latest(at))
    ask = quotes.QuoteAsk(
        id=uuid7(at, bytes(10)),
        mode=institution.Mode.SANDBOX,
        holder=None,
        sell=sell,
        buy=buy,
        sell_minor=None if sells is None else Money.parse(sells, sell).amount_minor,
        buy_minor=None if buys is None else Money.parse(buys, buy).amount_minor,
    )
    sigma = past.sigma(sell, buy, at)
    rows = []
    for lock in fx.Lock:
        premium = fx.premium_ppm(sigma, lock)
        price = quotes.price_of(book, ask, margin_ppm=round(margin_bp * 100), premium_ppm=premium)
        rows.append(
            {
                "lock": lock.value,
                "rate": str(price.rate),
                "sell": Money(price.sell_minor, sell).format("en"),
                "buy": Money(price.buy_minor, buy).format("en"),
                "premium_bp": str(Decimal(premium) / 100),
                "margin_bp": str(Decimal(round(margin_bp * 100)) / 100),
                "market": str(price.market),
                "mid": str(price.mid),
                "day": str(past.days[past.published(at)]),
            }
        )
    show(rows, _QUOTE, as_json=as_json)
    if not as_json:
        day, first = rows[0]["day"], rows[0]
        out.print(
            f"European Central Bank, {day}: middle {first['mid']}, market {first['market']};"
            f" volatility {sigma * 1e4:.1f} bp a day",
            highlight=False,
        )


@app.command("backtest")
def backtest(
    folder: Annotated[Path, typer.Option("--out", help="folder of the table and the plots")],
    split: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="first day by which the premium is judged"),
    ] = datetime(2015, 1, 1),
    pairs: Annotated[
        list[str] | None, typer.Option("--pair", help="CNY/USD: the client sells the first")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Try the price of a locked rate on the central bank's history since 1999.

    The load on the fair price is chosen on the days before the split, and judged on those after.
    The history has one rate a day: a promise of a day and longer is tried; one of minutes is priced
    by the same formula and cannot be tried on it.
    """
    from steelyard.payments import fx

    past = fx.history()
    crosses = {}
    for pair in pairs or PAIRS:
        sell, _, buy = pair.partition("/")
        for one in (sell, buy):
            Money(0, one)
        crosses[pair] = past.cross(sell, buy)
    found = fx.backtest(past.days, crosses, split_on=split.date())
    folder.mkdir(parents=True, exist_ok=True)
    rows = [_rounded(asdict(row)) for row in found.rows]
    with (folder / "lock_premium.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    plots = _drawn(found, folder)
    if as_json:
        years = {year: round(ratio, 4) for year, ratio in found.by_year.items()}
        print_json({"load": found.load, "rows": rows, "by_year": years})
        return
    show([row for row in rows if row["part"] == "judged_on"], _ROWS, as_json=False)
    out.print(_told(found, plots, folder), highlight=False)


def _drawn(found: fx.Backtest, folder: Path) -> int:
    from steelyard.cli.fx_plots import draw

    return draw(found, folder)


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {k: round(v, 2) if isinstance(v, float) else v for k, v in row.items()}


def _told(found: fx.Backtest, plots: int, folder: Path) -> str:
    judged = [row for row in found.rows if row.part == "judged_on" and row.days == 1]
    short = [row.pair for row in judged if row.covered < 1]
    bad = [str(year) for year, ratio in found.by_year.items() if ratio > 1]
    last: date = found.split_on - timedelta(days=1)
    return (
        f"Load {found.load}, chosen on {found.first_on} to {last}, judged on {found.split_on} to"
        f" {found.last_on}.\n"
        f"Pairs whose premiums did not pay for promises of a day: {', '.join(short) or 'none'};"
        f" years, over all pairs: {', '.join(bad) or 'none'}.\n"
        f"A table and {plots} plots are in {folder}."
    )
