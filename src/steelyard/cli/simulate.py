"""`steelyard simulate`: the town, played and looked at."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steelyard.base import read_settings
from steelyard.cli.attack import attack
from steelyard.cli.output import AsJson, Column, RefusingGroup, bars, print_json, show
from steelyard.kernel import Money

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from steelyard.base import Settings
    from steelyard.simulation import report

app = typer.Typer(help="the simulated town", cls=RefusingGroup, no_args_is_help=True)

app.command("attack")(attack)

_FACTS = [Column("what", ""), Column("is", "", right=True)]


@app.command("history")
def history(
    days: Annotated[int, typer.Option(min=1, help="days of history")] = 60,
    seed: Annotated[int, typer.Option(help="of all chance in the town")] = 1,
    customers: Annotated[int, typer.Option(min=1, help="how many live there")] = 300,
    terminals: Annotated[
        int | None, typer.Option(min=1, help="card terminals; two for each customer by default")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play the history of a town through the HTTP interface, and show what became of it.

    What was played before is not played again: a history that was interrupted goes on.
    """
    from steelyard.simulation import OPENS_ON, Plan, play_history

    plan = Plan(seed, customers, terminals or 2 * customers, OPENS_ON)
    settings = read_settings()
    settings.refuse_in_production("the simulated town")
    with _served(settings) as client, bars() as progress:
        began = time.perf_counter()
        tally = play_history(
            client, plan, days=days, progress=lambda n, total: progress("days", n, total)
        )
        seconds = time.perf_counter() - began
    found = _report(settings)
    rate = tally.actions / seconds if seconds else 0.0
    played = {"seconds": round(seconds, 1), "actions_played": tally.actions, "rate": round(rate)}
    if as_json:
        print_json(_as_json(found) | played)
    else:
        show(_rows(found, played), _FACTS, as_json=False, title="the town")
    if not all(book.is_sound and book.difference_minor == 0 for book in found.books):
        raise typer.Exit(1)


@app.command("status")
def status(as_json: AsJson = False) -> None:
    """Show the town: plan, clock, how far it has lived, whether it rests."""
    from steelyard.simulation import town
    from steelyard.web.platform import open_database

    with open_database(read_settings()) as database:
        view = town.read_town(database)
    plan, state = view.state.plan, view.state
    facts = {
        "seed": plan.seed,
        "customers": plan.customers,
        "terminals": plan.terminals,
        "opens_on": plan.opens_on,
        "history_days": state.history_days,
        "history_done": state.history_done,
        "played_through": state.played_through,
        "resting": state.resting,
        "clock": view.clock.now,
        "speed": view.clock.speed,
        "book": state.book,
        "house": state.house,
        "database_bytes": view.database_bytes,
    }
    _tell(facts, as_json=as_json)


@app.command("clock")
def clock(
    at: Annotated[
        datetime | None, typer.Option(help="let it stand here (UTC), forwards only")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0, help="virtual seconds in one real second; 0 stands still")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the business clock, or set it."""
    from steelyard.simulation import town
    from steelyard.web.platform import open_database

    settings = read_settings()
    if at is not None or speed is not None:
        settings.refuse_in_production("setting the business clock")
    with open_database(settings) as database:
        read = town.read_clock(database)
        if at is not None or speed is not None:
            wanted = None if at is None else at.replace(tzinfo=at.tzinfo or UTC)
            pace = read.speed if speed is None else speed
            read = database.transact(lambda unit: town.set_clock(database, unit, wanted, pace))
    _tell({"clock": read.now, "speed": read.speed}, as_json=as_json)


def _tell(facts: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(facts)
    else:
        rows = [{"what": name.replace("_", " "), "is": value} for name, value in facts.items()]
        show(rows, _FACTS, as_json=False)


@contextmanager
def _served(settings: Settings) -> Iterator[httpx.Client]:
    """Serve the platform from this process, for this process alone, and yield a client of it."""
    import secrets

    import httpx

    from steelyard.cli.serving import serve_alone

    token = secrets.token_urlsafe(32)
    with (
        serve_alone(settings, token) as address,
        httpx.Client(
            base_url=address, headers={"authorization": f"Bearer {token}"}, trust_env=False
        ) as client,
    ):
        yield client


def _report(settings: Settings) -> report.TownReport:
    from steelyard.simulation import report
    from steelyard.web.platform import open_database

    with open_database(settings) as database:
        return report.report_town(database)


def _as_json(found: report.TownReport) -> dict[str, Any]:
    plan = found.state.plan
    return {
        "seed": plan.seed,
        "opens_on": plan.opens_on,
        "days": found.days,
        "customers": found.customers,
        "merchants": found.merchants,
        "terminals": plan.terminals,
        "payments": found.payments,
        "declined": found.declined,
        "refunds": found.refunds,
        "fraud": {
            scenario.name.lower(): {"payments": n, "share": round(found.fraud_share(scenario), 6)}
            for scenario, n in sorted(found.fraud.items())
        },
        "lending": None
        if found.lending is None
        else {**asdict(found.lending), "overdue_share": round(found.lending.overdue_share, 4)},
        "books": [
            {
                "book": book.book,
                "transfers": book.transfers,
                "trial_balance_difference": book.difference_minor,
                "is_sound": book.is_sound,
                "head": book.head,
            }
            for book in found.books
        ],
    }


def _rows(found: report.TownReport, played: dict[str, Any]) -> list[dict[str, Any]]:
    rows: list[tuple[str, Any]] = [
        ("days", found.days),
        ("customers", found.customers),
        ("merchants", found.merchants),
        ("card payments", found.payments),
        ("of them declined", found.declined),
        ("refunds", found.refunds),
    ]
    for scenario in sorted(found.fraud):
        name = scenario.name.lower().replace("_", " ")
        rows.append((f"fraud {scenario.value}, {name}", f"{found.fraud_share(scenario):.3%}"))
    if found.lending is not None:
        told = sorted(found.lending.applications.items())
        rows += [(f"applications {state.replace('_', ' ')}", times) for state, times in told]
        rows += [
            ("loans paid out", found.lending.loans),
            ("of them open", found.lending.open),
            ("principal outstanding", _cny(found.lending.outstanding_minor)),
            ("overdue", _cny(found.lending.overdue_minor)),
            ("open loans with something late", f"{found.lending.overdue_share:.1%}"),
            ("accounts on which loans and ledger disagree", found.lending.differences),
        ]
    for book in found.books:
        rows += [
            (f"book {book.book}: transfers", book.transfers),
            (f"book {book.book}: trial balance", book.difference_minor),
            (f"book {book.book}: sound", book.is_sound),
            (f"book {book.book}: head", f"{book.head[:32]}…"),
        ]
    rows += [("seconds", played["seconds"]), ("actions a second", played["rate"])]
    return [{"what": what, "is": value} for what, value in rows]


def _cny(amount_minor: int) -> str:
    return Money(amount_minor, "CNY").format("en")
