"""The assessment: what policy, credit file, tier and affordability come to, in one pure function.

Judged anew from the same grounds it says the same: offers, reviews, counterfactuals and replays
all call `assess`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Any

import msgspec

from steelyard.credit.model.affordability import (
    Means,
    burden_bp,
    largest_amount_minor,
    monthly_minor,
    room_minor,
)
from steelyard.credit.model.application import Facts
from steelyard.credit.model.bureau import Found, Report
from steelyard.credit.model.product import Product, Tier, terms_of

_WANT_A_PERSON = frozenset({"review", "hold", "step_up"})
_NO_FILE = frozenset({Found.THIN_FILE, Found.NO_FILE})


class Ruling(StrEnum):
    """What becomes of an application."""

    OFFER = "offer"
    REVIEW = "review"
    DECLINE = "decline"


@dataclass(frozen=True, slots=True)
class Said:
    """What the policy said.

    Attributes
    ----------
    score : 0 (harmless) to 1000, None where nothing scored
    limit_minor : up to which it approves, None without such a limit
    """

    outcome: str
    score: int | None
    reasons: tuple[str, ...] = ()
    limit_minor: int | None = None


NOBODY_DECIDED = Said("review", None, ("risk_is_not_scored",))
"""What is assumed where no policy answers for the scene."""


@dataclass(frozen=True, slots=True)
class CreditFile:
    """What the bureau knows: its finding, and the report of a hit or a thin file."""

    found: Found
    report: Report | None = None

    @property
    def monthly_due_minor(self) -> int:
        """Return what falls due elsewhere in a month; nothing where nothing is known."""
        return 0 if self.report is None else self.report.monthly_due_minor


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Everything that an application is assessed by; minor units.

    Attributes
    ----------
    own_debts_minor : instalments of a month that we are owed already
    own_owed_minor : principal that we are owed already
    own_days_late : of the loan of ours that is latest
    on : day from which would be lent
    """

    product: Product
    facts: Facts
    said: Said
    file: CreditFile
    own_debts_minor: int
    own_owed_minor: int
    on: date
    own_days_late: int = 0

    @property
    def means(self) -> Means:
        """Return income and debts."""
        return Means(
            income_minor=self.facts.income_minor,
            income_is_shown=self.facts.income_is_shown,
            stated_debts_minor=self.facts.debts_minor,
            known_debts_minor=self.file.monthly_due_minor,
            own_debts_minor=self.own_debts_minor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """What became of it, and by which figures; minor units.

    Attributes
    ----------
    reasons : stable codes, most weighty first: why it is declined, looked at or reduced
    tier : None where the risk is in none
    amount_minor : that can be lent, at most what was asked for; 0 where nothing can
    limit_minor : the most at this risk, what is owed to us taken off
    room_minor : of a month, for an instalment
    monthly_minor : what the amount asks for in a month
    burden_bp : debts and instalment in basis points of the income that counts
    """

    ruling: Ruling
    reasons: tuple[str, ...]
    tier: Tier | None
    amount_minor: int
    limit_minor: int
    room_minor: int
    monthly_minor: int
    burden_bp: int | None


def assess(grounds: Grounds, *, reduces: bool = True) -> Assessment:
    """Return what becomes of an application.

    Parameters
    ----------
    reduces : whether a smaller amount is looked for where what is asked for cannot be lent

    Returns
    -------
    Assessment
        Declined before looked at before offered. An offer has a tier and an amount, and its
        instalment fits into the room.
    """
    product, said, file = grounds.product, grounds.said, grounds.file
    declines = _declines(grounds)
    reviews = _reviews(grounds)
    tier = _tier(product, said, file)
    if tier is None and not declines and said.outcome not in _WANT_A_PERSON:
        declines.append("risk_is_too_high" if said.score is not None else "risk_is_not_scored")
    # A person who looks at it is shown what the worst tier would bear.
    bears = tier or product.tiers[-1].tier
    limit = _limit_minor(grounds, bears)
    room = room_minor(grounds.means, product)
    amount, binding = _amount(grounds, bears, limit, room, reduces=reduces)
    if amount == 0:
        declines += [one for one in binding if one not in declines]
    ruling = Ruling.DECLINE if declines else Ruling.REVIEW if reviews else Ruling.OFFER
    monthly = 0
    if amount:
        order = replace(grounds.facts.order(grounds.on), amount_minor=amount)
        monthly = monthly_minor(terms_of(product, bears, order))
    return Assessment(
        ruling=ruling,
        reasons=tuple(dict.fromkeys([*declines, *reviews, *binding])),
        tier=tier,
        amount_minor=0 if ruling is Ruling.DECLINE else amount,
        limit_minor=limit,
        room_minor=room,
        monthly_minor=monthly,
        burden_bp=burden_bp(grounds.means, product, monthly),
    )


def _declines(grounds: Grounds) -> list[str]:
    """Return what speaks against it and is not left to a person."""
    product, said, report = grounds.product, grounds.said, grounds.file.report
    found: list[str] = []
    if said.outcome == "decline":
        found += said.reasons or ("risk_is_too_high",)
    if report is not None and (
        report.overdue_minor > product.most_overdue_minor
        or report.worst_dpd_24m > product.worst_dpd
    ):
        found.append("credit_file_shows_arrears")
    if grounds.own_days_late:
        found.append("late_with_us")
    return found


def _reviews(grounds: Grounds) -> list[str]:
    """Return what wants a person to look at it."""
    product, said, file = grounds.product, grounds.said, grounds.file
    found: list[str] = []
    if said.outcome in _WANT_A_PERSON:
        found += said.reasons or ("risk_is_not_scored",)
    if file.found not in (Found.HIT, *_NO_FILE):
        found.append("credit_file_is_unknown")
    if file.report is not None and file.report.inquiries_6m > product.most_inquiries:
        found.append("many_inquiries")
    return found


def _tier(product: Product, said: Said, file: CreditFile) -> Tier | None:
    if said.score is None:
        return None
    tier = product.tier_of(said.score)
    if tier is None or file.found not in _NO_FILE:
        return tier
    return max(tier, product.thin_file_tier)


def _limit_minor(grounds: Grounds, tier: Tier) -> int:
    rule = grounds.product.tier_rule(tier)
    assert rule is not None, "tiers are taken from the product"
    most = min(rule.limit_minor, grounds.product.most_minor)
    if grounds.said.limit_minor is not None:
        most = min(most, grounds.said.limit_minor)
    return max(most - grounds.own_owed_minor, 0)


def _amount(
    grounds: Grounds, tier: Tier, limit: int, room: int, *, reduces: bool
) -> tuple[int, list[str]]:
    """Return what can be lent of what is asked for, and what bounds it."""
    product, asked = grounds.product, grounds.facts.order(grounds.on)
    if not reduces:
        fits = asked.amount_minor <= limit
        fits = fits and monthly_minor(terms_of(product, tier, asked)) <= room
        amount = asked.amount_minor if fits else 0
    else:
        amount = largest_amount_minor(product, tier, asked, room=room, most_minor=limit)
    if amount == asked.amount_minor:
        return amount, []
    bounds = []
    if limit < asked.amount_minor:
        bounds.append(_why_limited(grounds, limit))
    if amount + product.step_minor <= limit or room <= 0:
        bounds.append("income_does_not_carry_it")
    return amount, bounds or ["income_does_not_carry_it"]


def _why_limited(grounds: Grounds, limit: int) -> str:
    if limit + grounds.own_owed_minor >= grounds.facts.amount_minor:
        return "limit_is_used"
    if grounds.said.limit_minor is not None and grounds.said.reasons:
        return grounds.said.reasons[0]
    return "limit_of_the_risk"


def assessment_as_data(assessment: Assessment) -> dict[str, Any]:
    """Return an assessment as plain values."""
    data: dict[str, Any] = msgspec.to_builtins(assessment)
    # As it comes back from a column of JSON.
    return {**data, "reasons": list(assessment.reasons)}


def read_assessment(data: Mapping[str, Any]) -> Assessment:
    """Return the assessment of its plain values."""
    return msgspec.convert(dict(data), Assessment)
