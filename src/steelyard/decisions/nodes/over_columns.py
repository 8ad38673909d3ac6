"""What nodes need to answer for columns: whole numbers, texts on a list, codes of reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.column_values import Column, Kind, Words

Mask = NDArray[np.bool_]


def whole(columns: Mapping[str, Column], name: str, rows: int) -> tuple[NDArray[np.int64], Mask]:
    """Return the whole numbers of a column, and where there is none."""
    column = columns.get(name)
    if column is None or column.kind is not Kind.NUMBER or column.values.dtype.kind != "i":
        return np.zeros(rows, np.int64), np.ones(rows, np.bool_)
    missing = np.zeros(rows, np.bool_) if column.missing is None else column.missing
    return column.values, missing


def floats(columns: Mapping[str, Column], name: str, rows: int) -> NDArray[np.float64]:
    """Return the numbers of a column, flags as 1 and 0; NaN is missing."""
    column = columns.get(name)
    if column is None or column.kind not in (Kind.NUMBER, Kind.FLAG):
        return np.full(rows, np.nan)
    made = column.values.astype(np.float64)
    if column.missing is not None:
        made[column.missing] = np.nan
    return made


def is_true(column: Column | None, rows: int) -> Mask:
    """Return where a flag is true."""
    if column is None or column.kind is not Kind.FLAG:
        return np.zeros(rows, np.bool_)
    return column.values if column.missing is None else column.values & ~column.missing


def is_among(column: Column | None, texts: frozenset[str], rows: int) -> Mask:
    """Return where a text is one of some."""
    if column is None or column.kind is not Kind.TEXT or column.words is None:
        return np.zeros(rows, np.bool_)
    known = np.array([word in texts for word in column.words.words], np.bool_)
    found: Mask = known[column.values]
    return found if column.missing is None else found & ~column.missing


def codes(masks: Sequence[Mask], given: Sequence[str], rows: int) -> Column:
    """Return the column of the codes that hold, in their order."""
    matrix = np.stack(masks, axis=1) if masks else np.zeros((rows, 0), np.bool_)
    return Column(Kind.ARRAY, matrix, None, Words(given))


def flags(values: Mask) -> Column:
    """Return a column of flags that are all there."""
    return Column(Kind.FLAG, values)
