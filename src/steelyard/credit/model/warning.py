"""Early warning: rules over features of a customer, and what they propose for the limit.

A rule reads one feature of the catalogue and fires at a threshold. What fires proposes at most one
act, the strictest; a person decides (case kind `credit.limit_review`). A limit is proposed to rise
only where nothing fires, the record is long and clean, and the customer asked or consented to be
looked at: the service sees to that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

Value = int | float | str | bool | None


class Act(IntEnum):
    """What is proposed, the strictest last."""

    NONE = 0
    RAISE = 1
    WATCH = 2
    LOWER = 3
    FREEZE = 4


@dataclass(frozen=True, slots=True)
class Trigger:
    """A rule of early warning.

    Attributes
    ----------
    name : stable
    feature : name in the catalogue
    at_least : fires from this value on
    act : that it proposes
    """

    name: str
    feature: str
    at_least: float
    act: Act
    en: str
    zh: str

    def fires(self, values: Mapping[str, Value]) -> bool:
        """Return whether it fires; a missing feature fires nothing."""
        value = values.get(self.feature)
        return isinstance(value, int | float) and value >= self.at_least


TRIGGERS: Final = (
    Trigger(
        "in_default", "customer_lateness_max_90d", 4, Act.FREEZE,
        "A loan was over 90 days past due within 90 days.", "近 90 天内有贷款逾期超过 90 天。",
    ),
    Trigger(
        "rolled_twice", "customer_lateness_max_30d", 2, Act.FREEZE,
        "A loan was over 30 days past due within 30 days.", "近 30 天内有贷款逾期超过 30 天。",
    ),
    Trigger(
        "impaired", "customer_stage_last", 3, Act.FREEZE,
        "The loan that changed last is impaired.", "最近变动的贷款已发生信用减值。",
    ),
    Trigger(
        "late_again", "customer_late_repayment_count_90d", 2, Act.LOWER,
        "Two repayments came late within 90 days.", "近 90 天内两次逾期还款。",
    ),
    Trigger(
        "very_late", "customer_repayment_max_90d", 15, Act.LOWER,
        "A repayment was 15 days late within 90 days.", "近 90 天内有还款逾期达 15 天。",
    ),
    Trigger(
        "applies_a_lot", "customer_application_count_30d", 4, Act.LOWER,
        "Four loan applications within 30 days.", "近 30 天内四次申请贷款。",
    ),
    Trigger(
        "late_once", "customer_late_repayment_count_90d", 1, Act.WATCH,
        "A repayment came late within 90 days.", "近 90 天内有逾期还款。",
    ),
    Trigger(
        "unsteady", "customer_lateness_count_90d", 3, Act.WATCH,
        "Three changes of bucket or grade within 90 days.", "近 90 天内档次变动三次。",
    ),
)  # fmt: skip
"""Ours, a judgement; each names a feature that the catalogue computes in every engine."""
RAISE_AFTER: Final = 3
"""Repayments in 90 days, none late, before a limit is proposed to rise."""
LOWER_BP: Final = 5_000
"""Of the limit, that is left when it is proposed to be lowered."""
RAISE_BP: Final = 12_000
_BP: Final = 10_000


@dataclass(frozen=True, slots=True)
class Warned:
    """What early warning has to say about a customer.

    Attributes
    ----------
    fired : rules, in the order of the list
    act : the strictest that was proposed
    """

    fired: tuple[Trigger, ...]
    act: Act


def warn(values: Mapping[str, Value], triggers: Sequence[Trigger] = TRIGGERS) -> Warned:
    """Return what the features of a customer ask for.

    Examples
    --------
    >>> warn({"customer_late_repayment_count_90d": 2}).act.name
    'LOWER'
    >>> warn({"customer_repayment_count_90d": 3, "customer_late_repayment_count_90d": 0}).act.name
    'RAISE'
    >>> warn({}).act.name
    'NONE'
    """
    fired = tuple(one for one in triggers if one.fires(values))
    if fired:
        return Warned(fired, max(one.act for one in fired))
    paid = values.get("customer_repayment_count_90d")
    clean = isinstance(paid, int | float) and paid >= RAISE_AFTER
    return Warned((), Act.RAISE if clean else Act.NONE)


def proposed_limit(limit_minor: int, used_minor: int, act: Act, *, step_minor: int) -> int:
    """Return the limit that an act proposes, in whole steps.

    Parameters
    ----------
    used_minor : a lower limit is never proposed under what is owed

    Returns
    -------
    int
        The limit itself where nothing about it is proposed; 0 for a freeze, which keeps the limit
        and lends nothing more.

    Examples
    --------
    >>> [proposed_limit(1_000_000, 620_000, act, step_minor=10_000) for act in Act]
    [1000000, 1200000, 1000000, 620000, 0]
    """
    assert step_minor > 0, step_minor
    if act is Act.FREEZE:
        return 0
    if act is Act.LOWER:
        lowered = limit_minor * LOWER_BP // _BP // step_minor * step_minor
        return min(limit_minor, max(lowered, -(-used_minor // step_minor) * step_minor))
    if act is Act.RAISE:
        return limit_minor * RAISE_BP // _BP // step_minor * step_minor
    return limit_minor


def read_by(triggers: Iterable[Trigger] = TRIGGERS) -> frozenset[str]:
    """Return the names of the features that the rules read."""
    return frozenset(one.feature for one in triggers) | {"customer_repayment_count_90d"}
