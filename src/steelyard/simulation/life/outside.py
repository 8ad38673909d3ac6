"""The channels outside as the town plays them: which payments go there, and what goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

import httpx
import msgspec

from steelyard.base.telemetry import get_logger
from steelyard.simulation.chance import stream
from steelyard.simulation.life.custody import Custody
from steelyard.simulation.model import BEIJING, CardPayment
from steelyard.simulation.model.outside import Outage, Way, outage_of, way_of

_TIMEOUT = 5.0


class Outside:
    """Tells the simulated channels how to misbehave; without them everything is paid at home.

    What cannot be told is left untold: the channels then behave.

    Parameters
    ----------
    http : with the channels' address as `base_url`
    seed : of the town
    custody : what reaches the custodian; None: money lies in our own book alone
    """

    def __init__(self, http: httpx.Client, seed: int, custody: Custody | None = None) -> None:
        self.custody = custody
        self._http = http
        self._seed = seed
        self._outage: tuple[date, Outage] | None = None
        self._out: str | None = None

    def ways(self, payments: Sequence[CardPayment]) -> list[Way]:
        """Return how each payment goes, and script the trouble of those that have some."""
        ways = [way_of(stream(self._seed, "way", str(one.id))) for one in payments]
        rules = [
            {
                "verb": "pay",
                "number": payment.id.hex,
                "behaviour": way.trouble[0],
                "argument": way.trouble[1],
                "seconds": way.trouble[2],
            }
            for payment, way in zip(payments, ways, strict=True)
            if way.trouble is not None
        ]
        if rules:
            self._post("/script", rules)
        return ways

    def keep_time(self, now: datetime, speed: float) -> None:
        """Let everybody have the time of the town, and begin or end a channel's outage of the day.

        Parameters
        ----------
        speed : virtual seconds in one real second; 0 while the town rests
        """
        if self.custody is not None:
            self.custody.keep_time(now, speed)
        self._post("/clock", {"now": now.isoformat(), "speed": speed})
        on = now.astimezone(BEIJING).date()
        if self._outage is None or self._outage[0] != on:
            self._outage = (on, outage_of(stream(self._seed, "outage", on.isoformat()), on))
        outage = self._outage[1]
        out = outage.channel if outage.is_on(now) else None
        if out == self._out:
            return
        if self._out is not None:
            self._post("/outage", {"dialect": self._out, "on": False})
        if out is not None:
            self._post("/outage", {"dialect": out, "on": True})
        get_logger("town").info("channel_outage", channel=out or self._out, is_out=out is not None)
        self._out = out

    def _post(self, path: str, body: object) -> None:
        try:
            self._http.post(path, content=msgspec.json.encode(body), timeout=_TIMEOUT)
        except httpx.HTTPError as error:
            get_logger("town").warning(
                "channels_do_not_listen", path=path, why=type(error).__name__
            )
