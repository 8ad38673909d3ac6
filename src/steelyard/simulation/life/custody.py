"""What reaches the town's custodian from outside: money of its people, and of the channels."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Final

import httpx
import msgspec

from steelyard.base.telemetry import get_logger
from steelyard.simulation.model import Deposit
from steelyard.simulation.model.custody import RESERVE, TOP_UP

_TIMEOUT: Final = 5.0
_LOOKED_BACK: Final = 3
"""A day that a channel did not pay in because somebody was away is paid in on a later one."""
_DAY: Final = timedelta(days=1)


class Custody:
    """The levers of a simulated custodian, in the hands of those who pay in.

    What it does not hear is kept and told again. Told again, by whatever process, a movement is the
    same movement: the custodian knows it by its reference.

    Parameters
    ----------
    http : with the custodian's address as `base_url`
    channels : with that of the simulated channels
    """

    def __init__(self, http: httpx.Client, channels: httpx.Client) -> None:
        self._http = http
        self._channels = channels
        self._waiting: deque[dict[str, Any]] = deque()
        self._days: deque[date] = deque()
        self._is_away = False

    def keep_time(self, now: datetime, speed: float) -> None:
        """Let the custodian have the time of the town, and hear what it has not heard."""
        if self._tell("/clock", {"at": now.isoformat(), "speed": speed}):
            self._flush()

    def bring(self, deposits: Sequence[Deposit]) -> None:
        """Let money come that people put on their wallets."""
        self._waiting += [
            _movement(str(one.id), one.amount_minor, f"channel:{TOP_UP}") for one in deposits
        ]
        self._flush()

    def pay_in(self, on: date) -> None:
        """Let each channel pay in what its statement of a day comes to, once the day is over.

        Days just before it that were missed are paid in too. Of a day that comes to less than
        nothing, nobody pays: what the channel gave back stays on its account with us.
        """
        for day in (on - n * _DAY for n in reversed(range(_LOOKED_BACK))):
            if day not in self._days:
                self._days.append(day)
        self._flush()

    def _flush(self) -> None:
        while self._days:
            sums = self._sums(self._days[0])
            if sums is None:
                break
            on = self._days.popleft()
            self._waiting += [
                _movement(f"{channel}-{on}", amount, f"channel:{channel}")
                for channel, amount in sums.items()
                if amount > 0
            ]
        while self._waiting and self._tell("/movements", self._waiting[0]):
            self._waiting.popleft()

    def _sums(self, on: date) -> dict[str, int] | None:
        try:
            answer = self._channels.get("/sums", params={"on": str(on)}, timeout=_TIMEOUT)
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=dict[str, int])
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None

    def _tell(self, path: str, body: object) -> bool:
        try:
            answer = self._http.post(path, content=msgspec.json.encode(body), timeout=_TIMEOUT)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            if not self._is_away:
                why = type(error).__name__
                get_logger("town").warning("custodian_does_not_listen", path=path, why=why)
            self._is_away = True
            return False
        self._is_away = False
        return True


def _movement(reference: str, amount_minor: int, counterparty: str) -> dict[str, Any]:
    return {
        "account": RESERVE,
        "amount_minor": amount_minor,
        "reference": reference,
        "counterparty": counterparty,
    }
