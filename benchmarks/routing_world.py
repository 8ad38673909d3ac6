"""The world that routing is measured in: gateways whose rates move, and feedback that waits.

Fixed before anything was tuned in it. A world of one seed is the same for every algorithm: whether
payment t would go through at gateway g is decided once, and so is how long its answer takes.

- One payment a second, four gateways.
- An answer takes 5 to 60 s; 30 % of the failures are time-outs and take 300 to 900 s.
- hard: base levels 0.80 to 0.94, a level shift of a gateway every 2.5 h, an outage of 5 to 40 min
  every 4 h during which 0 to 40 % of the usual rate is left.
- mild: base levels 0.88 to 0.94, a level shift every 10 h, an outage every 24 h.
- cost mode: fees of 0.2 to 1.6 % of the amount, the dearer gateways not always the better ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

GATEWAYS: Final = 4
_HOUR: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How a world moves: levels between two rates, hours between shifts and between outages."""

    name: str
    low: float
    high: float
    shift_hours: float
    outage_hours: float


HARD: Final = Kind("hard", 0.80, 0.94, 2.5, 4.0)
MILD: Final = Kind("mild", 0.88, 0.94, 10.0, 24.0)
KINDS: Final = {kind.name: kind for kind in (HARD, MILD)}


@dataclass(frozen=True, slots=True)
class World:
    """Payments at seconds 0, 1, 2 ...

    Attributes
    ----------
    rates : success rate, payments x gateways; good : whether it would go through
    delays : seconds until the answer; fees : per one of the amount, gateways
    """

    rates: npt.NDArray[np.float64]
    good: npt.NDArray[np.bool_]
    delays: npt.NDArray[np.float64]
    fees: npt.NDArray[np.float64]


def make(kind: Kind, seed: int, payments: int) -> World:
    """Return the world of a seed."""
    chance = np.random.default_rng((seed, len(kind.name)))
    rates = np.empty((payments, GATEWAYS))
    for gateway in range(GATEWAYS):
        rates[:, gateway] = _levels(kind, chance, payments) * _outages(kind, chance, payments)
    good = chance.random((payments, GATEWAYS)) < rates
    quick = chance.uniform(5.0, 60.0, (payments, GATEWAYS))
    slow = chance.uniform(300.0, 900.0, (payments, GATEWAYS))
    is_slow = ~good & (chance.random((payments, GATEWAYS)) < 0.3)
    fees = chance.uniform(0.002, 0.016, GATEWAYS)
    return World(rates, good, np.where(is_slow, slow, quick), fees)


def _levels(kind: Kind, chance: np.random.Generator, payments: int) -> npt.NDArray[np.float64]:
    levels = np.empty(payments)
    at = 0
    while at < payments:
        until = at + int(chance.exponential(kind.shift_hours * _HOUR)) + 1
        levels[at:until] = chance.uniform(kind.low, kind.high)
        at = until
    return levels


def _outages(kind: Kind, chance: np.random.Generator, payments: int) -> npt.NDArray[np.float64]:
    left = np.ones(payments)
    at = int(chance.exponential(kind.outage_hours * _HOUR))
    while at < payments:
        until = at + int(chance.uniform(300.0, 2_400.0))
        left[at:until] = chance.uniform(0.0, 0.4)
        at = until + int(chance.exponential(kind.outage_hours * _HOUR))
    return left
