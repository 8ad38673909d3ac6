"""Small made-up histories, one for each scene, the same for the same seed.

Each has honest customers with habits and their exceptions (a new phone, a journey, a large
purchase), several kinds of attack, and bad events that nobody could tell from good ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random

from steelyard.decisions.backtest.past import LossRule, Past, Progress
from steelyard.decisions.backtest.samples.loan_applications import tell as loan_applications
from steelyard.decisions.backtest.samples.log_ins import tell as log_ins
from steelyard.decisions.backtest.samples.merchant_applications import tell as merchants
from steelyard.decisions.backtest.samples.payments import tell as payments
from steelyard.decisions.backtest.samples.told import Story, fold
from steelyard.decisions.backtest.samples.withdrawals import tell as withdrawals

__all__ = ["SAMPLES", "make_sample"]

SAMPLES: Mapping[str, Callable[[Random], Story]] = {
    "payment": payments,
    "log_in": log_ins,
    "loan_application": loan_applications,
    "withdrawal": withdrawals,
    "merchant_application": merchants,
}
"""What makes up a story, by scene."""


def make_sample(
    scene: str,
    features: Iterable[str],
    progress: Progress,
    *,
    seed: int = 1,
    loss: LossRule | None = None,
) -> Past:
    """Return the made-up history of a scene, with some features as of each event."""
    return fold(SAMPLES[scene](Random(seed)), features, progress, loss)
