"""The history of the town, played under a clock that stands at the end of each span."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import httpx

from steelyard.simulation.chance import found
from steelyard.simulation.life.client import TownClient
from steelyard.simulation.life.errands import Messenger, Tally
from steelyard.simulation.life.upcoming import Upcoming
from steelyard.simulation.model import Plan, midnight
from steelyard.simulation.model.schedule import errands, history_spans

Progress = Callable[[int, int], None]


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


def play_history(
    client: httpx.Client | TownClient, plan: Plan, *, days: int, progress: Progress = _silent
) -> Tally:
    """Found the town unless it is there, and play its first days, as far as they were not yet.

    The requests go one after the other; ids and instants come from the seed and the virtual clock:
    the same plan gives the same books, to the hash, whatever the number of servers, and however
    often it was interrupted.

    Parameters
    ----------
    client : with the server's address as `base_url`, signing its requests
    plan : what the town is made from
    days : of history, from the day on which the town opens
    progress : called with the days played, and the days in all

    Returns
    -------
    Tally
        What was sent this time; nothing where the history was played before. The town lives on
        from where it is; a history is not made longer afterwards.

    Refusals
    --------
    town_was_refused
    """
    caller = client if isinstance(client, TownClient) else TownClient(client)
    at, is_done = _found(caller, plan, days)
    opens_at = midnight(plan.opens_on)
    end_at = opens_at + timedelta(days=days)
    if is_done:
        progress(days, days)
        return Tally()
    town = found(plan)
    messenger = Messenger(caller, town)
    upcoming = Upcoming(town, at)
    messenger.open_lender()
    progress((at - opens_at).days, days)
    for span in history_spans(at, end_at):
        some = errands(upcoming.take(span.end_at))
        if some.sign_ups:
            # People join while the clock stands at the beginning: what follows is no earlier than
            # they are, and nothing in the span comes too late to be decided about.
            _note(caller, span.start_at, span.end_at, stand_at=None)
            messenger.welcome(span, some.sign_ups)
        _note(caller, span.start_at, span.end_at, stand_at=span.end_at)
        messenger.carry(span, some)
        if span.ends_the_day:
            progress((span.end_at - opens_at).days, days)
    last_at = max(at, end_at)
    _note(caller, last_at, last_at, stand_at=last_at, is_done=True)
    return messenger.tally


def _found(caller: TownClient, plan: Plan, days: int) -> tuple[datetime, bool]:
    """Found the town, and return how far it has lived, and whether its history is done."""
    caller.post(
        "/v1/simulation/town",
        f"town/{plan.seed}/{plan.customers}/{plan.terminals}/{plan.opens_on}/{days}",
        {
            "seed": plan.seed,
            "customers": plan.customers,
            "terminals": plan.terminals,
            "opens_on": plan.opens_on,
            "history_days": days,
        },
    )
    standing = caller.get("/v1/simulation/town")
    return datetime.fromisoformat(standing["played_through"]), standing["history_done"]


def _note(
    caller: TownClient,
    played_at: datetime,
    playing_at: datetime,
    *,
    stand_at: datetime | None,
    is_done: bool = False,
) -> None:
    """Note what was played and what is next, and where the clock is to stand; None leaves it."""
    span = f"{played_at:%Y%m%dT%H%M%S.%f}-{playing_at:%Y%m%dT%H%M%S.%f}"
    caller.post(
        "/v1/simulation/progress",
        f"town/progress/{span}/{'end' if stand_at else 'beginning'}",
        {
            "played_through": played_at,
            "playing_through": playing_at,
            "history_done": is_done,
            "stand_at": stand_at,
        },
    )
