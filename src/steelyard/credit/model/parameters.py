"""Risk parameters: what provisions are made with, frozen as one version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from typing import Any, Final

from steelyard.credit.model.buckets import STANDARD, Buckets
from steelyard.credit.model.ecl import PARTS, SCENARIOS, LossCurve, Scenario, loss_curve

MONTHS: Final = 60
"""How far a term structure goes; later defaults are not expected of what is still alive then."""
DEFAULT_BUCKET: Final = STANDARD.of(91)
"""From this bucket on a loan is in default."""
WHOLE_BOOK: Final = "*"
"""Segment of all products together; it answers for a product that was never seen."""
_PER_PPM: Final = PARTS // 1_000_000


@dataclass(frozen=True, slots=True)
class Segment:
    """What was estimated of one product.

    Attributes
    ----------
    product : its code; `*` for the whole book
    cumulative : by bucket short of default, probability of default by the end of each month, in
        parts of 10^9, (DEFAULT_BUCKET, MONTHS + 1)
    low, high : 95 % of the probability in twelve months, by bucket, parts of 10^9
    lgd : share lost, parts of 10^9
    moves, defaults : monthly moves of loans, and ended defaults, that it was estimated from
    """

    product: str
    cumulative: tuple[tuple[int, ...], ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    lgd: int
    moves: int
    defaults: int

    def pd_ppm(self, bucket: int, months: int = 12) -> int:
        """Return the probability of default within some months, parts of a million."""
        if bucket >= len(self.cumulative):
            return 1_000_000
        curve = self.cumulative[bucket]
        return curve[min(months, len(curve) - 1)] // _PER_PPM


@dataclass(frozen=True, slots=True)
class Parameters:
    """A version of the parameters.

    Attributes
    ----------
    version : 0 for what is delivered, which is the priors alone
    as_of : end of the last month that was counted
    months : months that were counted
    segments : by product, the whole book among them
    scenarios : weighted in every curve
    note : how they were made, a sentence
    """

    version: int
    as_of: date
    months: int
    segments: Mapping[str, Segment]
    scenarios: tuple[Scenario, ...] = SCENARIOS
    note: str = ""

    def segment(self, product: str) -> Segment:
        """Return what holds for a product: its own, or that of the whole book."""
        return self.segments.get(product) or self.segments[WHOLE_BOOK]

    def curves(self, products: Sequence[str]) -> tuple[LossCurve, ...]:
        """Return a curve for each product and bucket, default last; `place` finds one among them.

        Returns
        -------
        tuple
            Of ``len(products) * (DEFAULT_BUCKET + 1)`` curves.
        """
        return tuple(
            self.curve(product, bucket)
            for product in products
            for bucket in range(DEFAULT_BUCKET + 1)
        )

    def curve(self, product: str, bucket: int) -> LossCurve:
        """Return the loss curve of a product's loans that stand in a bucket now."""
        segment = self.segment(product)
        if bucket < len(segment.cumulative):
            return _curve(segment.cumulative[bucket], segment.lgd, self.scenarios)
        # In default already: the loss does not wait.
        return _curve((0, *[PARTS] * MONTHS), segment.lgd, self.scenarios)


def place(product_nr: int, bucket: int) -> int:
    """Return the place of a product's bucket among `Parameters.curves`.

    Examples
    --------
    >>> place(0, 0), place(1, 7)
    (0, 9)
    """
    return product_nr * (DEFAULT_BUCKET + 1) + min(bucket, DEFAULT_BUCKET)


@cache
def _curve(cumulative: tuple[int, ...], lgd: int, scenarios: tuple[Scenario, ...]) -> LossCurve:
    return loss_curve([one / PARTS for one in cumulative], lgd / PARTS, scenarios)


def live_labels(buckets: Buckets = STANDARD) -> tuple[str, ...]:
    """Return the names of the buckets short of default.

    Examples
    --------
    >>> live_labels()
    ('current', '1-30', '31-60', '61-90')
    """
    return buckets.labels[:DEFAULT_BUCKET]


def parameters_to_json(one: Parameters) -> dict[str, Any]:
    """Return the parameters as plain JSON; the version is not part of it."""
    return {
        "as_of": one.as_of.isoformat(),
        "months": one.months,
        "note": one.note,
        "scenarios": [
            {
                "name": s.name,
                "weight": str(s.weight),
                "odds": str(s.odds),
                "lgd_add": str(s.lgd_add),
            }
            for s in one.scenarios
        ],
        "segments": [
            {
                "product": s.product,
                "cumulative": [list(curve) for curve in s.cumulative],
                "low": list(s.low),
                "high": list(s.high),
                "lgd": s.lgd,
                "moves": s.moves,
                "defaults": s.defaults,
            }
            for s in one.segments.values()
        ],
    }


def parameters_from_json(version: int, content: Mapping[str, Any]) -> Parameters:
    """Return the parameters that `parameters_to_json` wrote."""
    segments = [
        Segment(
            s["product"],
            tuple(tuple(curve) for curve in s["cumulative"]),
            tuple(s["low"]),
            tuple(s["high"]),
            s["lgd"],
            s["moves"],
            s["defaults"],
        )
        for s in content["segments"]
    ]
    scenarios = tuple(
        Scenario(
            name=s["name"],
            weight=Decimal(s["weight"]),
            odds=Decimal(s["odds"]),
            lgd_add=Decimal(s["lgd_add"]),
        )
        for s in content["scenarios"]
    )
    return Parameters(
        version,
        date.fromisoformat(content["as_of"]),
        content["months"],
        {one.product: one for one in segments},
        scenarios,
        content["note"],
    )
