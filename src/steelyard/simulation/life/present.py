"""The present of the town: people act when the running clock reaches their instant."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx

from steelyard.base.telemetry import get_logger
from steelyard.simulation.chance import found
from steelyard.simulation.life.client import Stopped, TownClient
from steelyard.simulation.life.errands import Messenger, Tally
from steelyard.simulation.life.outside import Outside
from steelyard.simulation.life.upcoming import Upcoming
from steelyard.simulation.model import Plan
from steelyard.simulation.model.schedule import QUIET_BEYOND, errands, live_spans

RESTING = "disk_budget_is_used"
"""Why the town rests: the database has grown to the limit."""

_LONG_PAUSE = QUIET_BEYOND + timedelta(hours=6)
_CATCH_UP = timedelta(hours=6)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much of the machine the town takes.

    Attributes
    ----------
    tick_seconds : what happens meanwhile is sent together
    actions_a_tick : at most; what is more waits for the next tick
    cpu_share : of one core, at most, over every tick
    disk_limit_bytes : size of the database at which the town rests
    disk_check_seconds : how often the size is asked for
    """

    tick_seconds: float = 1.0
    actions_a_tick: int = 500
    cpu_share: float = 0.15
    disk_limit_bytes: int = 2_000_000_000
    disk_check_seconds: float = 30.0


_USUAL = Pace()


def live(
    client: httpx.Client | TownClient,
    plan: Plan,
    *,
    speed: float,
    stop: threading.Event,
    pace: Pace = _USUAL,
    outside: Outside | None = None,
) -> Tally:
    """Let the town live on by the running clock until it is told to stop.

    Each span is announced before it is sent, so that whoever goes on after a crash sends the same
    span again: what was answered before is answered the same, and nothing is done twice. A pause of
    more than 30 virtual hours is not lived through in full: people are paid, business days are
    closed, but nobody shops until six hours before the present.

    Parameters
    ----------
    client : with the server's address as `base_url`, signing its requests
    plan : what the town was founded with; its history is played
    speed : virtual seconds in one real second
    stop : set when the town has to stop
    pace : how much of the machine it takes
    outside : channels over which some pay; None: everybody pays from a wallet

    Returns
    -------
    Tally
        What was sent.

    Refusals
    --------
    town_was_refused
    """
    caller = client if isinstance(client, TownClient) else TownClient(client, stop=stop)
    life = Life(caller, plan, speed, pace, outside=outside)
    try:
        life.begin()
        while not stop.wait(life.pause()):
            life.tick()
    except Stopped:
        pass
    return life.messenger.tally


class Life:
    """One process of the town, from tick to tick.

    Parameters
    ----------
    timer : seconds of the real clock from any beginning
    """

    def __init__(
        self,
        caller: TownClient,
        plan: Plan,
        speed: float,
        pace: Pace,
        *,
        timer: Callable[[], float] = time.monotonic,
        outside: Outside | None = None,
    ) -> None:
        self.caller = caller
        self.timer = timer
        self.speed = speed
        self.pace = pace
        self.town = found(plan)
        self.messenger = Messenger(caller, self.town, outside)
        self.log = get_logger("town")
        self.is_resting = False
        self._began = (self.timer(), time.process_time())
        self._size_asked = float("-inf")

    def begin(self) -> None:
        """Send again what was under way when the town stopped, and let the clock run."""
        standing = self.caller.get("/v1/simulation/town")
        self.played_at = datetime.fromisoformat(standing["played_through"])
        announced_at = datetime.fromisoformat(standing["playing_through"])
        self.upcoming = Upcoming(self.town, self.played_at)
        self.messenger.open_lender()
        self._send(announced_at)
        self._run(self.speed)
        self.log.info("town_lives", speed=self.speed, since=self.played_at.isoformat())

    def pause(self) -> float:
        """Return for how long to sleep: the rest of the tick, or more after much work."""
        wall, cpu = self._began
        used, lasted = time.process_time() - cpu, self.timer() - wall
        return max(0.0, self.pace.tick_seconds - lasted, used / self.pace.cpu_share - lasted)

    def tick(self) -> None:
        """Live up to the present, or as far as the pace allows."""
        self._began = (self.timer(), time.process_time())
        self._look_at_the_disk()
        now = self._now()
        if self.messenger.outside is not None:
            self.messenger.outside.keep_time(now, self._read[2])
        if self.is_resting:
            self._announce(self.played_at)
            return
        end_at = self._reach(now)
        self._announce(end_at)
        closed = self.messenger.tally.days_closed
        self._send(end_at)
        if self.messenger.tally.days_closed > closed:
            self.log.info("day_closed", at=self.played_at.isoformat(), **self._counts())

    def _reach(self, now: datetime) -> datetime:
        """Return the end of what is sent next."""
        if now - self.played_at > _LONG_PAUSE:
            self.log.warning("town_skips", since=self.played_at.isoformat(), to=now.isoformat())
            return now - _CATCH_UP
        now = max(now, self.played_at)
        return self.upcoming.cut(now, most=self.pace.actions_a_tick)

    def _announce(self, end_at: datetime) -> None:
        """Note what is done and what is sent next; the answer sets our idea of the present."""
        answer = self.caller.post(
            "/v1/simulation/progress",
            f"town/progress/{uuid4()}",
            {
                "played_through": self.played_at,
                "playing_through": end_at,
                "history_done": True,
                "resting": RESTING if self.is_resting else None,
            },
        )
        self._set(answer)

    def _send(self, end_at: datetime) -> None:
        for span in live_spans(self.played_at, end_at):
            actions = self.upcoming.take(span.end_at)
            self.messenger.carry(span, errands(actions, is_quiet=span.is_quiet))
        self.played_at = max(self.played_at, end_at)

    def _run(self, speed: float) -> None:
        self._set(
            self.caller.post("/v1/simulation/clock", f"town/clock/{uuid4()}", {"speed": speed})
        )

    def _set(self, clock: Any) -> None:
        self._read = (self.timer(), datetime.fromisoformat(clock["now"]), clock["speed"])

    def _now(self) -> datetime:
        """Return the business instant, reckoned on from when the server told it last."""
        at, now, speed = self._read
        return now + timedelta(seconds=(self.timer() - at) * speed)

    def _look_at_the_disk(self) -> None:
        """Rest when the database has used its budget, and go on when there is room again."""
        if self._began[0] - self._size_asked < self.pace.disk_check_seconds:
            return
        self._size_asked = self._began[0]
        size = self.caller.get("/v1/simulation/town")["database_bytes"]
        is_full = size >= self.pace.disk_limit_bytes
        if is_full == self.is_resting:
            return
        self.is_resting = is_full
        # The clock stands while the town rests: no business day passes without its people.
        self._run(0 if is_full else self.speed)
        event = "town_rests" if is_full else "town_wakes"
        self.log.warning(event, reason=RESTING, database_mb=size // 1_000_000)

    def _counts(self) -> dict[str, int]:
        tally = self.messenger.tally
        return {
            "payments": tally.payments,
            "declined": tally.declined,
            "outside": tally.outside,
            "not_known_at_once": tally.unknown,
            "refunds": tally.refunds,
            "deposits": tally.deposits,
            "loans_asked_for": tally.loans,
            "loans_declined": tally.loans_declined,
            "loan_payments": tally.loan_payments,
        }
