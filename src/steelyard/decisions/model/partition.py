"""How the values of a characteristic are cut into bins; the same for one value and for a column."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import isfinite
from typing import TYPE_CHECKING, Any

from steelyard.kernel import Refusal, RefusalKind

if TYPE_CHECKING:
    from numpy.typing import NDArray

Scalar = int | float | str | bool | None
"""A value that a policy reads; None is missing, and never zero."""


class ValueDoesNotFit(Refusal):
    """A text came where a number is cut, or the other way round."""

    kind = RefusalKind.INVALID
    en = "The value {value!r} of {name} is not {expected}."
    zh = "{name} 的取值 {value!r} 不是 {expected}。"


@dataclass(frozen=True, slots=True)
class Partition:
    """The bins of one characteristic, numbered: intervals or groups, specials, missing, other.

    Attributes
    ----------
    name : of the characteristic
    edges : rising; n edges cut a number line into n + 1 intervals, closed on the left:
        `(-inf, e0), [e0, e1), ..., [en, inf)`; None where the characteristic is a category
    groups : of a category, the levels of each bin; empty where it is a number
    specials : values with a bin of their own that stand outside the order (-9 for `not asked`)
    regular : how many intervals or groups there are; they are numbered from 0, specials follow
    missing : the number of the bin of missing values
    other : the number of the bin of levels never named

    Notes
    -----
    Missing (None, NaN) always has the bin `missing`. A level that no group names falls in `other`,
    the last bin; a number never does. Whole numbers are taken as floats, exact to 2^53.

    Examples
    --------
    >>> age = Partition("age", edges=(25.0, 40.0), specials=(-1.0,))
    >>> [age.index(value) for value in (24, 25, 60, -1, None)]
    [0, 1, 2, 3, 4]
    >>> age.labels()
    ('below 25', '25 to 40', '40 and above', 'special -1', 'missing', 'other')
    """

    name: str
    edges: tuple[float, ...] | None = None
    groups: tuple[tuple[str, ...], ...] = ()
    specials: tuple[float | str, ...] = ()
    regular: int = field(init=False, repr=False, compare=False)
    missing: int = field(init=False, repr=False, compare=False)
    other: int = field(init=False, repr=False, compare=False)
    _known: Mapping[Any, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.edges is None) == (not self.groups):
            raise ValueError(f"{self.name}: either edges or groups")
        if self.edges is not None and list(self.edges) != sorted(set(self.edges)):
            raise ValueError(f"{self.name}: edges rise")
        if self.edges is not None and not all(map(isfinite, self.edges)):
            raise ValueError(f"{self.name}: edges are finite")
        known: dict[Any, int] = {}
        for number, group in enumerate(self.groups):
            known.update(dict.fromkeys(group, number))
        first = len(self.groups) if self.edges is None else len(self.edges) + 1
        known.update({value: first + n for n, value in enumerate(self.specials)})
        object.__setattr__(self, "regular", first)
        object.__setattr__(self, "missing", first + len(self.specials))
        object.__setattr__(self, "other", self.missing + 1)
        object.__setattr__(self, "_known", known)

    @property
    def size(self) -> int:
        """How many bins there are in all."""
        return self.other + 1

    def index(self, value: Scalar) -> int:
        """Return the number of the value's bin.

        Raises
        ------
        ValueDoesNotFit : a text for a number, a number for a category
        """
        if value is None or value != value:
            return self.missing
        if self.edges is None:
            if not isinstance(value, str):
                raise ValueDoesNotFit(name=self.name, value=value, expected="a text")
            return self._known.get(value, self.other)
        if self.specials and value in self._known:
            return self._known[value]
        try:
            return bisect_right(self.edges, value)
        except TypeError:
            raise ValueDoesNotFit(name=self.name, value=value, expected="a number") from None

    def indices(self, column: Sequence[Scalar] | NDArray[Any]) -> NDArray[Any]:
        """Return the numbers of the bins of a column; equal to `index` of each value.

        Parameters
        ----------
        column : numbers with NaN for missing, or texts with None for missing
        """
        import numpy as np

        if self.edges is None:
            return np.fromiter((self.index(value) for value in column), np.int64, len(column))
        values = np.asarray(column, dtype=np.float64)
        found = np.searchsorted(np.asarray(self.edges), values, side="right")
        for number, special in enumerate(self.specials):
            found[values == special] = self.regular + number
        found[np.isnan(values)] = self.missing
        return found

    def labels(self) -> tuple[str, ...]:
        """Return what each bin holds, for people."""
        if self.edges is None:
            regular = [" · ".join(group) for group in self.groups]
        elif not self.edges:
            regular = ["any number"]
        else:
            shown = [f"{edge:g}" if abs(edge) < 1e5 else f"{edge:,.0f}" for edge in self.edges]
            middle = [f"{low} to {high}" for low, high in pairwise(shown)]
            regular = [f"below {shown[0]}", *middle, f"{shown[-1]} and above"]
        specials = [f"special {value:g}" if isinstance(value, float) else f"special {value}"
                    for value in self.specials]  # fmt: skip
        return (*regular, *specials, "missing", "other")
