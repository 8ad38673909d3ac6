"""In which order a payment is set against what is owed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import Final, NamedTuple

from steelyard.cashflows.model.refusals import AllocationIsInvalid


class When(StrEnum):
    """How an instalment stands to the day of a payment."""

    PAST_DUE = "past_due"
    DUE = "due"
    """Due on the day itself."""
    IN_ADVANCE = "in_advance"


class Part(StrEnum):
    """What an instalment is made of."""

    PENALTY = "penalty"
    FEE = "fee"
    INTEREST = "interest"
    PRINCIPAL = "principal"


Pair = tuple[When, Part]


class Direction(StrEnum):
    """Which comes first, the instalment or the part."""

    HORIZONTAL = "horizontal"
    """Instalment by instalment, oldest first; within one, the parts in order."""
    VERTICAL = "vertical"
    """Pair by pair over all instalments, oldest first."""


class Advance(StrEnum):
    """What becomes of money that nothing is due for."""

    HOLD = "hold"
    """Kept as a credit balance, taken when the next instalment falls due."""
    NEXT = "next"
    """Set against the next instalments."""
    LAST = "last"
    """Set against the last instalments."""
    REPLAN = "replan"
    """Taken off the principal at once; the plan is made anew as the terms' `prepay` says."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """An order of all twelve pairs of {past due, due, in advance} and {penalty, fee, ...}.

    Attributes
    ----------
    order : every pair once, first paid first
    direction : horizontal keeps of the order the ranks of the parts within each `When`
    advance : what happens with the pairs in advance

    Refusals
    --------
    allocation_is_invalid

    Examples
    --------
    >>> STANDARD.order[0]
    (<When.PAST_DUE: 'past_due'>, <Part.PENALTY: 'penalty'>)
    """

    order: tuple[Pair, ...]
    direction: Direction = Direction.HORIZONTAL
    advance: Advance = Advance.HOLD

    def __post_init__(self) -> None:
        for pair in product(When, Part):
            found = self.order.count(pair)
            if found != 1:
                why = "missing" if found == 0 else f"named {found} times"
                raise AllocationIsInvalid(pair=f"{pair[0]}/{pair[1]}", why=why)

    @classmethod
    def of(
        cls,
        parts: Sequence[Part],
        *,
        direction: Direction = Direction.HORIZONTAL,
        advance: Advance = Advance.HOLD,
    ) -> Allocation:
        """Return the order that takes past due before due before in advance, parts alike in each.

        Examples
        --------
        >>> one = Allocation.of([Part.INTEREST, Part.PRINCIPAL, Part.FEE, Part.PENALTY])
        >>> one.order[4][1].value
        'interest'
        """
        return cls(tuple((when, part) for when in When for part in parts), direction, advance)


STANDARD: Final = Allocation.of([Part.PENALTY, Part.FEE, Part.INTEREST, Part.PRINCIPAL])
"""Penalty, fee, interest, principal; the oldest instalment first."""


class Owed(NamedTuple):
    """What an instalment still asks for, minor units.

    Attributes
    ----------
    nr : of the instalment; rising with the due date
    """

    nr: int
    when: When
    penalty: int
    fee: int
    interest: int
    principal: int


class Taken(NamedTuple):
    """A part of a payment set against a part of an instalment, minor units."""

    nr: int
    when: When
    part: Part
    amount_minor: int


def allocate(
    amount_minor: int, owed: Sequence[Owed], rule: Allocation
) -> tuple[tuple[Taken, ...], int]:
    """Set a payment against what is owed, in the rule's order.

    Parameters
    ----------
    amount_minor : of the payment, not negative
    owed : instalments in the order of their due dates; none asks for less than nothing

    Returns
    -------
    tuple
        What was taken, in the order in which it was taken, and what is left over; together they
        are the payment, and nothing is taken beyond what is owed.

    Examples
    --------
    >>> owed = [Owed(1, When.PAST_DUE, 10, 0, 100, 900), Owed(2, When.DUE, 0, 0, 90, 910)]
    >>> taken, left = allocate(1_050, owed, STANDARD)
    >>> [(one.nr, one.part.value, one.amount_minor) for one in taken], left
    ([(1, 'penalty', 10), (1, 'interest', 100), (1, 'principal', 900), (2, 'interest', 40)], 0)
    """
    assert amount_minor >= 0, "a payment is not negative"
    taken: list[Taken] = []
    left = amount_minor
    for one, when, part in _queue(owed, rule):
        asked: int = getattr(one, part.value)
        amount = min(left, asked)
        if amount > 0:
            taken.append(Taken(one.nr, when, part, amount))
            left -= amount
        if left == 0:
            break
    return tuple(taken), left


def _queue(owed: Sequence[Owed], rule: Allocation) -> list[tuple[Owed, When, Part]]:
    """Return every part of every instalment in the order in which it is paid."""
    of_last = rule.advance is Advance.LAST

    def oldest_first(when: When) -> list[Owed]:
        found = [one for one in owed if one.when is when]
        return found[::-1] if when is When.IN_ADVANCE and of_last else found

    if rule.direction is Direction.VERTICAL:
        return [(one, *pair) for pair in rule.order for one in oldest_first(pair[0])]
    firsts = sorted(When, key=lambda when: min(_ranks(rule, when)))
    return [
        (one, when, part)
        for when in firsts
        for one in oldest_first(when)
        for kind, part in rule.order
        if kind is when
    ]


def _ranks(rule: Allocation, when: When) -> list[int]:
    return [rank for rank, pair in enumerate(rule.order) if pair[0] is when]


def follows_order(
    amount_minor: int, owed: Sequence[Owed], rule: Allocation, taken: Sequence[Taken]
) -> bool:
    """Return whether what was taken obeys the rule: nothing was passed over, nothing overpaid.

    The proof does not allocate again: it looks at each part that was not paid in full and asks that
    nothing was paid which stands after it.

    Examples
    --------
    >>> owed = [Owed(1, When.DUE, 0, 0, 100, 900)]
    >>> follows_order(50, owed, STANDARD, [Taken(1, When.DUE, Part.PRINCIPAL, 50)])
    False
    """
    paid: dict[tuple[int, Part], int] = {}
    for one in taken:
        paid[one.nr, one.part] = paid.get((one.nr, one.part), 0) + one.amount_minor
    total, short = 0, False
    for row, _, part in _queue(owed, rule):
        asked: int = getattr(row, part.value)
        got = paid.pop((row.nr, part), 0)
        if got < 0 or got > asked or (short and got > 0):
            return False
        total += got
        short = short or got < asked
    exhausted = total == amount_minor or not short
    return exhausted and total <= amount_minor and not paid
