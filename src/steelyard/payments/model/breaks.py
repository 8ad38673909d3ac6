"""The ways in which a statement and our books disagree, and what each of them puts at risk."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final


class BreakKind(IntEnum):
    """What sort of disagreement it is; the number is how it is stored in columns."""

    LONG = 1
    """长款: they have the money of a payment that we hold as not paid."""
    SHORT = 2
    """短款: we booked the money of a payment that they do not list."""
    BANK_ONLY = 3
    """They list what we have never heard of."""
    PLATFORM_ONLY = 4
    """We have it under way, without money, and they do not list it."""
    AMOUNT = 5
    FEE = 6
    CURRENCY = 7
    STATUS = 8
    """We booked its money, and they list it as failed, pending or reversed."""
    DATE = 9
    """One business date with us and another with them, and no cut-off explains it."""
    DUPLICATE = 10
    """They list it once more."""
    DIRECTION = 11
    """Money in with one, money out with the other."""
    SPLIT = 12
    """Several lines, or several payments, that belong together and do not add up."""

    @property
    def word(self) -> str:
        """Its name outside, in small letters."""
        return self.name.lower()

    @property
    def may_heal(self) -> bool:
        """Whether a later file may explain it: then it is suspected first (存疑)."""
        return self in _MAY_HEAL


_MAY_HEAL: Final = frozenset(
    {
        BreakKind.LONG,
        BreakKind.SHORT,
        BreakKind.BANK_ONLY,
        BreakKind.PLATFORM_ONLY,
        BreakKind.STATUS,
    }
)


class Difference(IntFlag):
    """In what a pair differs; a pair has one kind of break and may differ in more."""

    NONE = 0
    CURRENCY = 1
    DIRECTION = 2
    STATUS = 4
    LONG = 8
    AMOUNT = 16
    FEE = 32
    DATE = 64


PRECEDENCE: Final = (
    (Difference.CURRENCY, BreakKind.CURRENCY),
    (Difference.STATUS, BreakKind.STATUS),
    (Difference.DIRECTION, BreakKind.DIRECTION),
    (Difference.LONG, BreakKind.LONG),
    (Difference.AMOUNT, BreakKind.AMOUNT),
    (Difference.FEE, BreakKind.FEE),
    (Difference.DATE, BreakKind.DATE),
)
"""Which kind a pair that differs in several ways is: the first that applies."""


class Stage(IntEnum):
    """By what a pair or group was found; the number is how it is stored in columns."""

    EXACT = 1
    """Number, amount, currency and kind."""
    NORMALISED = 2
    """The number after what banks do to it: other case, separators, cut off."""
    REFERENCE = 3
    """The channel's own number, which it told us before."""
    FEE_NET = 4
    """The number; their amount is ours less the fee."""
    CUT_OFF = 5
    """The number; the business dates are neighbours, and the instant is close to their border."""
    TOLERANCE = 6
    """The number; what is left is less than what is tolerated, and so is the sum of the day."""
    MANY_TO_ONE = 7
    """A bulk deposit of several payments."""
    ONE_TO_MANY = 8
    """Several lines of one payment."""
    AMOUNT_AND_TIME = 9
    """No number at all: amount, party and time, alone in both directions."""

    @property
    def word(self) -> str:
        """Its name outside, in small letters."""
        return self.name.lower()


class Certainty(IntEnum):
    """How sure a match is."""

    CERTAIN = 1
    """By a whole number."""
    STRONG = 2
    """By a number that was cut off, a reference, or a sum under one batch number."""
    PROBABLE = 3
    """By amount and time alone, or by the sum of a day."""

    @property
    def word(self) -> str:
        """Its name outside, in small letters."""
        return self.name.lower()
