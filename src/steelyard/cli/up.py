"""`steelyard up`: the whole platform on this machine, until Ctrl-C."""

from __future__ import annotations

from typing import Annotated

import typer


def up(
    port: Annotated[int | None, typer.Option(help="first port to try")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="HTTP processes")] = None,
    speed: Annotated[float, typer.Option(min=0, help="virtual seconds in one real second")] = 120.0,
    town: Annotated[bool, typer.Option(help="let the simulated town live")] = True,
    history: Annotated[
        int, typer.Option(min=0, help="days of history that the first run plays")
    ] = 60,
    customers: Annotated[int, typer.Option(min=20, help="customers of the town")] = 300,
) -> None:
    """Run the platform: database, server, jobs, simulated town. Ctrl-C stops all of it."""
    from steelyard.cli.running import Wishes, run

    run(Wishes(port, workers, town, history, speed, customers))
