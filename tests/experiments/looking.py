"""Simulated experiments that are looked at after every unit, in columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from steelyard.experiments.model.sequential import FEWEST_EVENTS, FEWEST_UNITS, mixing

Draw = Callable[[np.random.Generator, tuple[int, int]], Any]


@dataclass(frozen=True)
class Setting:
    """What is simulated: outcomes (whole numbers) of each arm, and the share of the challenger."""

    control: Draw
    challenger: Draw
    share: float = 0.5
    is_proportion: bool = True
    units: int = 4_000
    planned: int = 4_000
    alpha: float = 0.05


def rate(p: float) -> Draw:
    return lambda rng, shape: (rng.random(shape) < p).astype(np.int64)


def lognormal(shift: float = 0.0) -> Draw:
    return lambda rng, shape: (np.exp(rng.normal(shift, 1, shape)) * 10_000).astype(np.int64)


def rare_loss(p: float) -> Draw:
    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> Any:
        amounts = (np.exp(rng.normal(0, 1, shape)) * 10_000).astype(np.int64)
        return np.where(rng.random(shape) < p, amounts, 0)

    return draw


@dataclass(frozen=True)
class Looks:
    """Running counts of every run: index 0 the control, 1 the challenger; shape (runs, units)."""

    n: Any
    total: Any
    squares: Any
    nonzero: Any


def simulate(setting: Setting, runs: int, seed: int) -> Looks:
    rng = np.random.default_rng(seed)
    shape = (runs, setting.units)
    is_new = rng.random(shape) < setting.share
    x = np.where(is_new, setting.challenger(rng, shape), setting.control(rng, shape))

    def running(values: Any) -> Any:
        new = np.cumsum(np.where(is_new, values, 0), axis=1)
        return np.stack([np.cumsum(values, axis=1) - new, new])

    ones = np.ones(shape, dtype=np.int64)
    return Looks(running(ones), running(x), running(x * x), running((x != 0).astype(np.int64)))


def p_values(looks: Looks, setting: Setting, variance: str = "tested") -> Any:
    """The p-value after every unit, 1 while nothing is said; for itself, beside the library's."""
    n, total, squares = (a.astype(float) for a in (looks.n, looks.total, looks.squares))
    with np.errstate(divide="ignore", invalid="ignore"):
        each = (n * squares - total**2) / (n * (n - 1)) / n
        all_n, all_total, all_squares = n.sum(0), total.sum(0), squares.sum(0)
        pooled = (all_n * all_squares - all_total**2) / (all_n * (all_n - 1)) * (1 / n).sum(0)
        tested = pooled if setting.is_proportion else np.maximum(each.sum(0), pooled)
        v = each.sum(0) if variance == "within" else tested
        k = all_n * mixing(setting.planned, setting.alpha)
        effect = total[1] / n[1] - total[0] / n[0]
        log_ratio = effect**2 / (2 * v) * k / (1 + k) - np.log1p(k) / 2
        p = np.exp(-np.maximum(log_ratio, 0.0))
    nonzero = looks.nonzero.sum(0)
    events = np.minimum(nonzero, all_n - nonzero) if setting.is_proportion else nonzero
    says = (looks.n.min(0) >= FEWEST_UNITS) & (events >= FEWEST_EVENTS) & (v > 0)
    return np.where(says, p, 1.0)


def alarms(setting: Setting, runs: int, seed: int, variance: str = "tested") -> float:
    """Share of runs that ever fall to alpha."""
    found = 0
    for start in range(0, runs, 100):
        looks = simulate(setting, min(100, runs - start), seed + start)
        found += int((p_values(looks, setting, variance) <= setting.alpha).any(axis=1).sum())
    return found / runs
