"""Joint loans (联合贷): institutions that fund a loan together, in fixed parts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from steelyard.kernel import Refusal, RefusalKind

OWN: Final = "own"
"""The institution whose books these are."""
MOST_PARTS: Final = 10_000
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class SharesAreInvalid(Refusal):
    """The parts do not make a whole of which something is ours."""

    kind = RefusalKind.INVALID
    en = "The shares of the loan are not valid: {why}."
    zh = "联合贷出资比例无效：{why}。"


@dataclass(frozen=True, slots=True)
class Shares:
    """Who funds a loan, in parts of the whole.

    Attributes
    ----------
    own_parts : ours, at least one
    partners : the others and their parts, in the order of the contract

    Refusals
    --------
    shares_are_invalid

    Examples
    --------
    >>> Shares(3, (("bank_a", 7),)).all_parts
    10
    """

    own_parts: int = 1
    partners: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        names = [name for name, _ in self.partners]
        rules = (
            (self.own_parts >= 1, "own >= 1"),
            (all(parts >= 1 for _, parts in self.partners), "parts >= 1"),
            (self.all_parts <= MOST_PARTS, f"<= {MOST_PARTS} parts"),
            (len(set(names)) == len(names) and OWN not in names, "each institution once"),
            (all(_NAME.fullmatch(name) for name in names), "institution"),
        )
        for holds, why in rules:
            if not holds:
                raise SharesAreInvalid(why=why)

    @property
    def all_parts(self) -> int:
        """How many parts make the whole."""
        return self.own_parts + sum(parts for _, parts in self.partners)

    def own_minor(self, amount_minor: int) -> int:
        """Return our share of an amount that is not negative, rounded half up.

        It never falls when the amount rises, so that what is left of a share is never negative.

        Examples
        --------
        >>> Shares(3, (("bank_a", 7),)).own_minor(105)
        32
        """
        assert amount_minor >= 0, "a counter is not negative"
        whole = self.all_parts
        return (2 * amount_minor * self.own_parts + whole) // (2 * whole)

    def split(self, amount_minor: int) -> tuple[int, ...]:
        """Return each partner's share of an amount; with ours they are the amount.

        The partners share what is not ours by largest remainder.

        Examples
        --------
        >>> Shares(1, (("bank_a", 1), ("bank_b", 1))).split(100)
        (34, 33)
        """
        rest = amount_minor - self.own_minor(amount_minor)
        return apportion(rest, [parts for _, parts in self.partners])

    def to_json(self) -> list[dict[str, object]]:
        """Return the shares as they are stored, ours first."""
        return [
            {"institution": name, "parts": parts}
            for name, parts in ((OWN, self.own_parts), *self.partners)
        ]

    @classmethod
    def from_json(cls, stored: Sequence[Mapping[str, object]] | None) -> Shares:
        """Return the shares of what was stored; nothing stored is a loan that is all ours.

        Refusals
        --------
        shares_are_invalid

        Examples
        --------
        >>> Shares.from_json(None) == ALL_OURS
        True
        """
        if stored is None:
            return ALL_OURS
        own, partners = 0, []
        for one in stored:
            name, parts = one.get("institution"), one.get("parts")
            if not isinstance(name, str) or not isinstance(parts, int):
                raise SharesAreInvalid(why="institution, parts")
            if name == OWN:
                own += parts
            else:
                partners.append((name, parts))
        return cls(own, tuple(partners))


ALL_OURS: Final = Shares()
"""A loan that nobody else funds."""


def apportion(amount_minor: int, parts: Sequence[int]) -> tuple[int, ...]:
    """Divide an amount in parts by largest remainder; what is equal goes to the earlier.

    Parameters
    ----------
    amount_minor : may be negative
    parts : over zero each; without any there is nothing to divide

    Examples
    --------
    >>> apportion(100, [1, 1, 1]), apportion(-7, [1, 3]), apportion(0, [])
    ((34, 33, 33), (-2, -5), ())
    """
    assert parts or amount_minor == 0, "an amount without takers"
    if not parts:
        return ()
    sign, left = (-1, -amount_minor) if amount_minor < 0 else (1, amount_minor)
    whole = sum(parts)
    shares = [left * part // whole for part in parts]
    spare = left - sum(shares)
    by_remainder = sorted(range(len(parts)), key=lambda i: (-(left * parts[i] % whole), i))
    for i in by_remainder[:spare]:
        shares[i] += 1
    return tuple(sign * share for share in shares)
