"""Terms in columns: a book of contracts as templates and what differs from loan to loan."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import attrgetter
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model.columns_dates import Days, date_of, day_number
from steelyard.cashflows.model.columns_exact import Minor
from steelyard.cashflows.model.columns_periods import NO_DAY, Lot
from steelyard.cashflows.model.terms import MAX_INSTALMENTS, MAX_PRINCIPAL_MINOR, Terms

LOT_SIZE: Final = 4_096
"""Contracts that are planned together: their columns stay in the cache of a core."""
OWN_RATE: Final = -1
"""Stands for a rate that no column holds exactly: it is the template's."""
MAX_EXPONENT: Final = 15
"""Decimals of a rate that the columns hold."""
_SHAPE: Final = attrgetter(
    "currency", "every", "unit", "month_end", "calendar", "holiday", "interest_to_due", "rate_per",
    "method", "interest_on", "day_count", "rounding", "refine_instalment",
    "instalment_multiple_minor", "part_multiple_minor", "residue", "principal_share",
    "down_payment", "grace_principal", "grace_interest", "interest_free", "fees",
)  # fmt: skip
"""What a schedule depends on and a template holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsColumns:
    """Terms of many contracts: templates, and columns for what differs from loan to loan.

    Attributes
    ----------
    templates : of which principal, start, number of instalments, first due date and rate are not
        looked at, and nothing is that no schedule depends on (penalty, allocation)
    template : place of each contract's template
    principal_minor, start_on, instalments : of each contract; days since 1970
    first_due_on : `NO_DAY` where the contract names none
    rate : of each contract, in whole numbers of ``10**-rate_exponent``
    rate_exponent : 0 to 15, or `OWN_RATE`
    """

    templates: tuple[Terms, ...]
    template: NDArray[np.int32]
    principal_minor: Minor
    start_on: Days
    instalments: NDArray[np.int32]
    first_due_on: Days
    rate: Minor
    rate_exponent: NDArray[np.int8]

    def __post_init__(self) -> None:
        assert all(one.shape == (len(self),) for one in self._columns()), "columns are of a length"
        kept = np.arange(len(self.templates))
        assert np.isin(self.template, kept).all(), "a contract has a template"
        assert _within(self.principal_minor, 1, MAX_PRINCIPAL_MINOR), "amounts are as terms allow"
        assert _within(self.instalments, 1, MAX_INSTALMENTS), "instalments are as terms allow"
        assert _within(self.rate_exponent, OWN_RATE, MAX_EXPONENT), "rates are decimals"
        assert _within(self.rate, 0, 10 ** (MAX_EXPONENT + 2)), "rates are as terms allow"
        is_named = self.first_due_on != NO_DAY
        assert (self.first_due_on[is_named] > self.start_on[is_named]).all(), "starts come first"
        for at, one in enumerate(self.templates):
            least = max(one.grace_principal + 1, one.grace_interest + 1, one.interest_free)
            chosen = self.instalments[self.template == at]
            assert (chosen >= least).all(), "a grace is shorter than the contract"

    @classmethod
    def of(cls, terms: Sequence[Terms]) -> TermsColumns:
        """Return the columns of contracts, templates shared where nothing else differs.

        Examples
        --------
        >>> from datetime import date
        >>> one = Terms(principal_minor=1_200_000, start_on=date(2024, 1, 31), instalments=12,
        ...             rate=Decimal("0.12"))
        >>> book = TermsColumns.of([one, replace(one, instalments=24, rate=Decimal("0.0435"))])
        >>> len(book.templates), book.rate.tolist(), book.rate_exponent.tolist()
        (1, [12, 435], [2, 4])
        """
        templates: dict[object, int] = {}
        kept: list[Terms] = []
        rows: list[tuple[int, ...]] = []
        for one in terms:
            rate, exponent = _scaled(one.rate)
            shape = (_SHAPE(one), one.rate if exponent == OWN_RATE else None)
            at = templates.setdefault(shape, len(kept))
            if at == len(kept):
                kept.append(one)
            first = NO_DAY if one.first_due_on is None else day_number(one.first_due_on)
            start = day_number(one.start_on)
            rows.append((at, one.principal_minor, start, one.instalments, first, rate, exponent))
        table = np.array(rows, np.int64).reshape(len(rows), 7)
        return cls(
            templates=tuple(kept),
            template=table[:, 0].astype(np.int32),
            principal_minor=table[:, 1].copy(),
            start_on=table[:, 2].astype(np.int32),
            instalments=table[:, 3].astype(np.int32),
            first_due_on=table[:, 4].astype(np.int32),
            rate=table[:, 5].copy(),
            rate_exponent=table[:, 6].astype(np.int8),
        )

    def __len__(self) -> int:
        return len(self.template)

    def __getitem__(self, which: slice) -> TermsColumns:
        """Return a part of the book, in its order."""
        return replace(
            self,
            template=self.template[which],
            principal_minor=self.principal_minor[which],
            start_on=self.start_on[which],
            instalments=self.instalments[which],
            first_due_on=self.first_due_on[which],
            rate=self.rate[which],
            rate_exponent=self.rate_exponent[which],
        )

    def terms_at(self, place: int) -> Terms:
        """Return the terms of one contract; penalty and allocation are those of its template."""
        one, exponent = self.templates[int(self.template[place])], int(self.rate_exponent[place])
        first, rate = int(self.first_due_on[place]), Decimal(int(self.rate[place]))
        return replace(
            one,
            principal_minor=int(self.principal_minor[place]),
            start_on=date_of(self.start_on[place]),
            instalments=int(self.instalments[place]),
            first_due_on=None if first == NO_DAY else date_of(first),
            rate=one.rate if exponent == OWN_RATE else rate.scaleb(-exponent),
        )

    def lots(self, size: int = LOT_SIZE) -> Iterator[Lot]:
        """Yield the contracts in lots that share template and number of instalments."""
        named = (self.first_due_on != NO_DAY).astype(np.int64)
        key = (self.template.astype(np.int64) << 13) + (self.instalments << 1) + named
        order = np.argsort(key, kind="stable")
        turns = np.flatnonzero(np.diff(key[order], prepend=-1, append=-1))
        for begin, end in zip(turns[:-1].tolist(), turns[1:].tolist(), strict=True):
            for at in range(begin, end, size):
                yield self._lot(order[at : min(at + size, end)])

    def _lot(self, places: NDArray[np.int64]) -> Lot:
        first = int(places[0])
        return Lot(
            self.templates[int(self.template[first])],
            int(self.instalments[first]),
            bool(self.first_due_on[first] != NO_DAY),
            places,
            self.principal_minor[places],
            self.start_on[places],
            self.first_due_on[places],
            self.rate[places],
            self.rate_exponent[places],
        )

    def _columns(self) -> tuple[NDArray[np.int64] | NDArray[np.int32] | NDArray[np.int8], ...]:
        return (self.template, self.principal_minor, self.start_on, self.instalments,
                self.first_due_on, self.rate, self.rate_exponent)  # fmt: skip


def _within(column: NDArray[np.signedinteger], least: int, most: int) -> bool:
    """Return whether all of a column lies within bounds, both included."""
    return not len(column) or bool(column.min() >= least and column.max() <= most)


def _scaled(rate: Decimal) -> tuple[int, int]:
    """Return a rate as a whole number of a power of ten, and the power."""
    _, digits, power = rate.as_tuple()
    assert isinstance(power, int), "terms are checked when they are made"
    number = int("".join(map(str, digits)))
    if power > 0:
        number, power = number * 10**power, 0
    while power < 0 and number % 10 == 0:
        number, power = number // 10, power + 1
    if power < -MAX_EXPONENT or number >= 10**MAX_EXPONENT:
        return 0, OWN_RATE
    return number, -power
