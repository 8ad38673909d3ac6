"""`steelyard payments`: the day of the institution, settlements, and the tie-out of the reserve."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli import payments_batch, payments_reports
from steelyard.cli.output import AsJson, Column, RefusingGroup, bars, out, print_json, show

if TYPE_CHECKING:
    from collections.abc import Iterator

    from steelyard.payments import day, institution, tieout
    from steelyard.web.platform import SteelyardPlatform

app = typer.Typer(
    help="pay: the day, settlements, the reserve", cls=RefusingGroup, no_args_is_help=True
)
app.command("report")(payments_reports.report)
app.add_typer(payments_batch.app, name="batch")
ACTOR = "operator:cli"
On = Annotated[
    datetime | None,
    typer.Option("--on", formats=["%Y-%m-%d"], help="the day; the last one that is over"),
]
Sandbox = Annotated[bool, typer.Option("--sandbox", help="the sandbox instead of live payments")]

_CHANNELS = [
    Column("channel", "channel"),
    Column("state", "state"),
    Column("payments", "payments", right=True),
    Column("gross", "gross", right=True),
    Column("refunds", "refunds", right=True),
    Column("refunded", "refunded", right=True),
    Column("fees", "fees", right=True),
]
_STATEMENTS = [
    Column("channel", "channel"),
    Column("statement", "statement"),
    Column("lines", "lines", right=True),
    Column("matched", "matched", right=True),
    Column("breaks", "breaks", right=True),
]
_MERCHANTS = [
    Column("merchant", "merchant"),
    Column("gross", "gross", right=True),
    Column("refund", "refunds", right=True),
    Column("dispute", "disputes", right=True),
    Column("fee", "fee", right=True),
    Column("reserve", "reserve", right=True),
    Column("net", "net", right=True),
    Column("paid", "paid", right=True),
    Column("payout", "payout"),
]
_NOTHING = ("0.00", "0", "0.000", "–")
_TIES = [Column("what", "reserve"), Column("amount", "amount", right=True)]
_SETTLEMENTS = [
    Column("id", "settlement"),
    Column("merchant", "merchant"),
    Column("state", "state"),
    Column("balance", "balance", right=True),
    Column("not_due", "not due", right=True),
    Column("amount", "amount", right=True),
    Column("carried", "carried", right=True),
    Column("held_for", "held for"),
]


@app.callback()
def payments() -> None:
    """Run the days of a payment institution, and see where its clients' money is."""


@app.command("day")
def run_day(
    on: On = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="a town of its own: nothing of the home is touched")
    ] = False,
    days: Annotated[int, typer.Option("--days", min=1, max=31, help="with --demo")] = 2,
    count: Annotated[
        int, typer.Option("--payments", min=0, max=20_000, help="of a day, with --demo")
    ] = 200,
    seed: Annotated[int, typer.Option("--seed", help="with --demo")] = 1,
    sandbox: Sandbox = False,
    as_json: AsJson = False,
) -> None:
    """Run a day: close, fetch statements, reconcile, settle, tie out; and print the tables."""
    if demo:
        from steelyard.cli import payments_demo

        with bars() as progress, payments_demo.open_town(progress) as town:
            reports = payments_demo.play(town, days=days, payments=count, seed=seed)
    else:
        from steelyard.payments import day

        with _platform() as platform, bars() as progress:
            mode = _mode(sandbox=sandbox)
            which = day.due_on(platform.database, mode) if on is None else on.date()
            how = day.How(actor=ACTOR, progress=progress)
            reports = [day.run(platform.database, mode, which, _hands(platform), how)]
    if as_json:
        print_json([_plain(one) for one in reports])
        return
    for one in reports:
        _print(one)


@app.command("settlements")
def list_settlements(on: On = None, sandbox: Sandbox = False, as_json: AsJson = False) -> None:
    """Show the settlements of a day, the newest ones without."""
    from steelyard.payments import settlement
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database, database.reading() as connection:
        found = settlement.list_settlements(
            connection, _mode(sandbox=sandbox), on=None if on is None else on.date()
        )
    rows = [
        {
            "id": str(one.id),
            "merchant": str(one.merchant),
            "on": str(one.on),
            "state": one.state.value,
            "balance": _money(one.payable.balance_minor, one.currency),
            "not_due": _money(one.payable.not_due_minor, one.currency),
            "amount": _money(one.payable.amount_minor, one.currency),
            "carried": _money(one.payable.carried_minor, one.currency),
            "held_for": one.held_for,
        }
        for one in found
    ]
    show(rows, _SETTLEMENTS, as_json=as_json)


@app.command("tie-out")
def tie_out(on: On = None, sandbox: Sandbox = False, as_json: AsJson = False) -> None:
    """Tie the reserve out for a day; exit status 2 where it is off and payouts are stopped."""
    from steelyard.payments import day

    with _platform() as platform:
        mode = _mode(sandbox=sandbox)
        which = day.due_on(platform.database, mode) if on is None else on.date()
        how = day.How(actor=ACTOR)
        made = day.tie_out(platform.database, mode, which, _hands(platform), how)
    if as_json:
        print_json([_plain(one) for one in made])
    else:
        for one in made:
            _print_tie(one)
    if any(one.stops for one in made):
        raise typer.Exit(2)


@contextmanager
def _platform() -> Iterator[SteelyardPlatform]:
    from steelyard.cli.running import settings_of_running
    from steelyard.web.platform import open_platform

    with open_platform(settings_of_running(read_settings())) as platform:
        yield platform


def _mode(*, sandbox: bool) -> institution.Mode:
    from steelyard.payments import institution

    return institution.Mode.SANDBOX if sandbox else institution.Mode.LIVE


def _hands(platform: SteelyardPlatform) -> day.Hands:
    from steelyard.payments import day, payouts_payees

    return day.Hands(
        channels=platform.channels,
        payees=payouts_payees.SettlementPayees(platform.keyring),
        custodian=getattr(platform, "custodian", None),
    )


def _money(amount_minor: int | None, currency: str) -> str:
    from steelyard.kernel import Money

    if amount_minor is None or not currency:
        return "–"
    return f"{Money(amount_minor, currency).to_decimal():,}"


def _print(report: day.DayReport) -> None:
    """Print the tables of a day: channels, their statements, merchants, the reserve."""
    channels = [
        {
            "channel": f"{one.channel} {one.currency}",
            "state": one.state,
            "payments": one.payments,
            "gross": _money(one.gross_minor, one.currency),
            "refunds": one.refunds,
            "refunded": _money(one.refund_minor, one.currency),
            "fees": _money(one.fee_minor, one.currency),
            "statement": one.statement,
            "lines": one.lines,
            "matched": one.matched,
            "breaks": one.breaks,
        }
        for one in report.channels
    ]
    show(channels, _CHANNELS, as_json=False, title=f"{report.on}: channels")
    show(channels, _STATEMENTS, as_json=False, title=f"{report.on}: their statements")
    merchants = [
        {
            "merchant": f"{one.name} {one.currency}",
            "gross": _money(one.gross_minor, one.currency),
            "refund": _money(one.refund_minor, one.currency),
            "dispute": _money(one.dispute_minor, one.currency),
            "fee": _money(one.fee_minor, one.currency),
            "reserve": _money(one.reserve_minor, one.currency),
            "net": _money(one.net_minor, one.currency),
            "paid": _money(one.paid_minor, one.currency),
            "payout": one.payout or "nothing due",
        }
        for one in report.merchants
    ]
    title = f"{report.on}: merchants, paid on {report.settled_on}"
    show(merchants, _of_use(_MERCHANTS, merchants), as_json=False, title=title)
    for tie in report.tie_outs:
        _print_tie(tie)


def _of_use(columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> list[Column]:
    """Return the columns without those that say nothing of any row: a terminal is narrow."""
    return [
        column
        for column in columns
        if not column.right or any(row[column.key] not in _NOTHING for row in rows)
    ]


def _print_tie(tie: tieout.TieOut) -> None:
    colour = "green" if tie.holds else "red"
    rows = [{"what": what, "amount": _money(amount, tie.currency)} for what, amount in _lines(tie)]
    show(rows, _TIES, as_json=False, title=f"{tie.on}: the reserve, {tie.currency}")
    word = tie.why.replace("_", " ")
    stopped = "; payouts are stopped" if tie.stops else ""
    out.print(f"[{colour}]{word}[/{colour}]{stopped}")


def _lines(tie: tieout.TieOut) -> Iterable[tuple[str, int | None]]:
    """Yield what a tie-out is made of: owed, held, on the way, item by item, and what is left."""
    for group, amount in tie.holdings.owed.items():
        if amount:
            yield f"owed: {group.replace('_', ' ')}", amount
    yield "owed in all", tie.holdings.owed_minor
    yield "the custodian's own statement", tie.custody_minor
    for name, amount in tie.holdings.in_transit.items():
        if amount:
            yield f"in transit: {name}", amount
    for item in tie.items:
        yield f"{item.kind.replace('_', ' ')}: {item.about[:20]}", item.amount_minor
    yield "difference", tie.difference_minor


def _plain(value: Any) -> dict[str, Any]:
    plain = asdict(value)
    for name, one in list(plain.items()):
        if isinstance(one, date):
            plain[name] = str(one)
    return plain
