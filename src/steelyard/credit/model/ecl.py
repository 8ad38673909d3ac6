"""Expected credit loss: of a contract's own remaining cash flows, to the minor unit.

The loss expected of a loan is the sum, over the times at which it can default, of the probability
of that default, the exposure then, the share of it that is lost, and a discount at the effective
rate of the contract (IFRS 9, 5.5.17 and B5.5.44). `expected_loss` is that formula. What is booked
is made of integers: a `LossCurve` carries probability and loss share of all scenarios, weighted, in
parts of 10^9 by month; between months it runs straight; the discount is a table by whole basis
points and days; one rounding, half up, at the end. So the scalar form here and the columns of
`ecl_columns` give the same minor unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

from steelyard.credit.model.classification import Stage
from steelyard.credit.model.risk_refusals import LossInputIsInvalid, ScenariosAreInvalid

PARTS: Final = 1_000_000_000
"""What probabilities and discounts are counted in."""
YEAR_DAYS: Final = 365
TWELVE_MONTHS: Final = 365
MONTHS_A_YEAR: Final = 12
_TOLERANCE: Final = 1e-9


def expected_loss(
    marginal_pd: Sequence[float],
    ead: Sequence[float],
    lgd: float,
    eir: float,
    periods: int | None = None,
) -> float:
    """Return the discounted expected loss of equal periods, by the formula.

    Parameters
    ----------
    marginal_pd : (n,) probability of default in each period, seen from today
    ead : (n,) exposure if it defaults in the period
    lgd : share of the exposure that is lost
    eir : effective rate of a period, per one; default and discount at the end of a period
    periods : only the first so many; None is all (the whole life)

    Returns
    -------
    float
        In the units of `ead`.

    Refusals
    --------
    loss_input_is_invalid

    Examples
    --------
    >>> pd, ead = [0.01, 0.012, 0.011, 0.009], [10_000, 7_600, 5_100, 2_600]
    >>> [round(expected_loss(pd, ead, 0.45, 0.12, periods), 6) for periods in (1, None)]
    [40.178571, 97.556306]
    """
    if len(marginal_pd) != len(ead):
        raise LossInputIsInvalid(field="ead", why="as many as probabilities")
    if not all(0 <= one <= 1 for one in marginal_pd) or sum(marginal_pd) > 1 + _TOLERANCE:
        raise LossInputIsInvalid(field="marginal_pd", why="0..1, together at most 1")
    if not 0 <= lgd <= 1:
        raise LossInputIsInvalid(field="lgd", why="0..1")
    if not eir > -1:
        raise LossInputIsInvalid(field="eir", why="> -1")
    many = len(ead) if periods is None else min(periods, len(ead))
    pairs = zip(marginal_pd[:many], ead[:many], strict=True)
    return sum(p * lgd * e / (1 + eir) ** (n + 1) for n, (p, e) in enumerate(pairs))


def provision_matrix(
    gross: Sequence[int], rates: Sequence[Decimal | str]
) -> tuple[tuple[int, ...], int]:
    """Return the provision of each bucket and the total (simplified approach, IFRS 9 B5.5.35).

    Parameters
    ----------
    gross : (n,) minor units, by bucket
    rates : (n,) loss rates, per one

    Returns
    -------
    tuple
        Each is rounded half up; the total is the sum of the rounded.

    Examples
    --------
    >>> provision_matrix([15_000_000, 7_500_000], ["0.003", "0.016"])
    ((45000, 120000), 165000)
    """
    if len(gross) != len(rates):
        raise LossInputIsInvalid(field="rates", why="as many as buckets")
    exact = [Decimal(amount) * Decimal(rate) for amount, rate in zip(gross, rates, strict=True)]
    parts = tuple(int(one.to_integral_value(ROUND_HALF_UP)) for one in exact)
    return parts, sum(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A way in which the economy may go.

    Attributes
    ----------
    name : `base`, `good`, `bad`
    weight : its probability, per one
    odds : what it multiplies the odds of default by
    lgd_add : what it adds to the share lost
    """

    name: str
    weight: Decimal
    odds: Decimal = Decimal(1)
    lgd_add: Decimal = Decimal(0)


SCENARIOS: Final = (
    Scenario(name="base", weight=Decimal("0.60")),
    Scenario(name="good", weight=Decimal("0.15"), odds=Decimal("0.8"), lgd_add=Decimal("-0.02")),
    Scenario(name="bad", weight=Decimal("0.25"), odds=Decimal("1.5"), lgd_add=Decimal("0.05")),
)
"""Ours, a judgement, until somebody sets others: stated with every set of parameters."""


@dataclass(frozen=True, slots=True)
class LossCurve:
    """Loss expected of one unit of exposure by the end of each month, all scenarios weighted.

    Attributes
    ----------
    by_month : (months + 1,) in parts of 10^9, from 0, never falling; after the last month it stays
    impaired : share lost of an exposure that is in default, parts of 10^9
    """

    by_month: tuple[int, ...]
    impaired: int

    def __post_init__(self) -> None:
        rises = all(a <= b for a, b in zip(self.by_month, self.by_month[1:], strict=False))
        if not self.by_month or self.by_month[0] != 0 or not rises or self.by_month[-1] > PARTS:
            raise LossInputIsInvalid(field="by_month", why="from 0, rising, at most 10^9")
        if not 0 <= self.impaired <= PARTS:
            raise LossInputIsInvalid(field="impaired", why="0..10^9")

    def at(self, days: int) -> int:
        """Return the loss expected by the end of a day, parts of 10^9.

        Examples
        --------
        >>> LossCurve((0, 12_000, 24_000), PARTS).at(365 // 12), LossCurve((0, 5), PARTS).at(999)
        (11835, 5)
        """
        assert days >= 0, "the past is known"
        month, part = divmod(days * MONTHS_A_YEAR, YEAR_DAYS)
        last = len(self.by_month) - 1
        if month >= last:
            return self.by_month[last]
        below, above = self.by_month[month], self.by_month[month + 1]
        return below + (above - below) * part // YEAR_DAYS


def loss_curve(
    cumulative_pd: Sequence[float], lgd: float, scenarios: Sequence[Scenario] = SCENARIOS
) -> LossCurve:
    """Return the weighted loss curve of a term structure of default.

    Parameters
    ----------
    cumulative_pd : (months + 1,) probability of default by the end of each month, from 0
    lgd : share lost of the exposure at default, in the base scenario

    Refusals
    --------
    loss_input_is_invalid, scenarios_are_invalid

    Examples
    --------
    >>> loss_curve([0.0, 0.01, 0.02], 0.5, [Scenario(name="base", weight=Decimal(1))]).by_month
    (0, 5000000, 10000000)
    """
    if sum(one.weight for one in scenarios) != 1 or any(one.weight < 0 for one in scenarios):
        raise ScenariosAreInvalid(why="weights are not negative and add up to 1")
    if any(one.odds <= 0 for one in scenarios):
        raise ScenariosAreInvalid(why="odds are multiplied by more than 0")
    if not all(0 <= one <= 1 for one in cumulative_pd):
        raise LossInputIsInvalid(field="cumulative_pd", why="0..1")
    weighed = [
        (float(one.weight), float(one.odds), min(1.0, max(0.0, lgd + float(one.lgd_add))))
        for one in scenarios
    ]
    lost = [
        sum(weight * share * _shifted(pd, odds) for weight, odds, share in weighed)
        for pd in cumulative_pd
    ]
    impaired = sum(weight * share for weight, _, share in weighed)
    return LossCurve(tuple(_in_parts(one) for one in lost), _in_parts(impaired))


def _shifted(pd: float, odds: float) -> float:
    """Return a probability whose odds are multiplied; 0 and 1 stay."""
    return odds * pd / (1 - pd + odds * pd)


def _in_parts(share: float) -> int:
    return min(PARTS, int(share * PARTS + 0.5))


def discount(eir_bp: int, days: int) -> int:
    """Return the discount of an effective yearly rate over some days, parts of 10^9.

    Parameters
    ----------
    eir_bp : whole basis points, not negative

    Examples
    --------
    >>> discount(1_200, 0), discount(1_200, 365)
    (1000000000, 892857143)
    """
    return int(PARTS * (1 + eir_bp / 10_000) ** (-days / YEAR_DAYS) + 0.5)


class Exposure(NamedTuple):
    """What is owed if the loan defaults up to a day.

    Attributes
    ----------
    days : from today to the end of the period, the due date of an instalment
    ead_minor : principal, interest and fees that are owed at that time
    """

    days: int
    ead_minor: int


class Owing(NamedTuple):
    """An instalment as the exposures need it, minor units, open amounts only."""

    due_on: date
    principal_minor: int
    interest_minor: int
    charges_minor: int
    """Fees and penalty."""


def exposures(rows: Iterable[Owing], on: date) -> tuple[Exposure, ...]:
    """Return the exposures of a contract's own remaining cash flows.

    What is late is owed in every period. In the period that ends with an instalment, all principal
    not yet due is owed, and the interest and fees of that instalment.

    Parameters
    ----------
    rows : the open part of every instalment

    Returns
    -------
    tuple
        One for each later due date, rising; one of a day where all is due already.

    Examples
    --------
    >>> rows = [Owing(date(2026, 1, 31), 100, 5, 0), Owing(date(2026, 3, 2), 100, 2, 0)]
    >>> exposures(rows, date(2026, 2, 10))
    (Exposure(days=20, ead_minor=207),)
    """
    late, coming = 0, []
    for row in rows:
        if row.due_on <= on:
            late += row.principal_minor + row.interest_minor + row.charges_minor
        else:
            coming.append(row)
    if not coming:
        return (Exposure(1, late),) if late else ()
    coming.sort(key=lambda row: row.due_on)
    left = sum(row.principal_minor for row in coming)
    made = []
    for row in coming:
        owed = late + left + row.interest_minor + row.charges_minor
        made.append(Exposure((row.due_on - on).days, owed))
        left -= row.principal_minor
    return tuple(made)


def allowance(exposed: Sequence[Exposure], curve: LossCurve, eir_bp: int, stage: Stage) -> int:
    """Return the provision of a loan, minor units, rounded half up once.

    Parameters
    ----------
    exposed : as of `exposures`
    curve : of the loan's segment
    eir_bp : effective yearly rate of the contract, whole basis points

    Returns
    -------
    int
        Stage 1: defaults of the next 365 days. Stage 2: of the whole life. Stage 3: the impaired
        share of what is owed now, for the discount to recovery is in that share. Never below 0 and
        never above the largest exposure.

    Examples
    --------
    >>> curve = LossCurve((0, *(1_000_000 * n for n in range(1, 25))), 450_000_000)
    >>> exposed = [Exposure(30, 100_000), Exposure(61, 50_000), Exposure(92, 25_000)]
    >>> [allowance(exposed, curve, 1_200, stage) for stage in Stage]
    [172, 172, 45000]
    """
    if not exposed:
        return 0
    if stage is Stage.THREE:
        # What is owed now is the first exposure; interest of the period that runs is part of it.
        return (2 * exposed[0].ead_minor * curve.impaired + PARTS) // (2 * PARTS)
    lost, before = 0, 0
    for days, ead in exposed:
        lost += ead * within(curve, eir_bp, before, days, stage)
        before = days
    return (2 * lost + PARTS) // (2 * PARTS)


def within(curve: LossCurve, eir_bp: int, since: int, until: int, stage: Stage) -> int:
    """Return the discounted loss of defaults between two days per unit of exposure.

    A default is discounted from the end of its period; a period that goes on after twelve months
    is cut there, so that the whole life is never less than its first year.

    Returns
    -------
    int
        Parts of 10^9, each of the two parts of a cut period rounded half up.

    Examples
    --------
    >>> curve = LossCurve((0, *(1_000_000 * n for n in range(1, 25))), 450_000_000)
    >>> within(curve, 0, 335, 396, Stage.ONE), within(curve, 0, 335, 396, Stage.TWO)
    (986302, 2005480)
    """
    near, far = min(until, TWELVE_MONTHS), max(until, TWELVE_MONTHS)
    first = curve.at(near) - curve.at(min(since, TWELVE_MONTHS))
    made = _product(first, discount(eir_bp, near))
    if stage is Stage.ONE or far == TWELVE_MONTHS:
        return made
    later = curve.at(far) - curve.at(max(since, TWELVE_MONTHS))
    return made + _product(later, discount(eir_bp, far))


def _product(loss: int, factor: int) -> int:
    return (loss * factor + PARTS // 2) // PARTS
