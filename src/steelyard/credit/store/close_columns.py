"""Whole columns out of and into the database: arrays in one row out, binary COPY in.

A row for each loan through the driver costs five times the database's own work; an array for each
column costs little more than it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

Integers = NDArray[np.int64]

_INT8_ARRAY: Final = 1016
_HEADER: Final = 20
"""Of a binary array: dimensions, flags, type, length and lower bound, four bytes each."""
_ELEMENT: Final = np.dtype([("length", ">i4"), ("value", ">i8")])
_NOTHING: Final = np.zeros(0, np.int64)
_COPY_BEGINS: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_ENDS: Final = b"\xff\xff"


class _ArrayLoader(Loader):
    """Reads bigint[] without a null as int64."""

    format = Format.BINARY

    def load(self, data: Buffer) -> Integers:
        """Return the array of a value."""
        if len(data) <= _HEADER:
            return _NOTHING
        found: Integers = np.frombuffer(data, _ELEMENT, offset=_HEADER)["value"].astype(np.int64)
        return found


def select_columns(
    driver: psycopg.Connection[Any],
    columns: Sequence[str],
    source: str,
    values: dict[str, Any],
) -> list[Integers]:
    """Return the columns of a query as arrays: int64 (rows,) each.

    Parameters
    ----------
    columns : expressions of whole numbers, never null
    source : what follows the list of columns, ordered
    values : of the query, psycopg's `%(name)s`
    """
    names = [f"c{n}" for n in range(len(columns))]
    inner = ", ".join(
        f"CAST({column} AS bigint) AS {name}" for column, name in zip(columns, names, strict=True)
    )
    outer = ", ".join(f"array_agg({name})" for name in names)
    with driver.cursor(binary=True) as cursor:
        cursor.adapters.register_loader(_INT8_ARRAY, _ArrayLoader)
        cursor.execute(f"SELECT {outer} FROM (SELECT {inner} {source}) AS s", values)
        row = cursor.fetchone()
    assert row is not None, "an aggregate is one row"
    return [_NOTHING if one is None else one for one in row]


def copy_columns(driver: psycopg.Connection[Any], table: str, columns: Sequence[Integers]) -> None:
    """Append rows of whole numbers to a table whose columns are all bigint.

    Parameters
    ----------
    columns : int64 (rows,), in the order of the table's columns
    """
    fields = [(f"length{n}", ">i4") for n in range(len(columns))]
    numbers = [(f"value{n}", ">i8") for n in range(len(columns))]
    pairs = [one for pair in zip(fields, numbers, strict=True) for one in pair]
    rows = np.empty(len(columns[0]), np.dtype([("fields", ">i2"), *pairs]))
    rows["fields"] = len(columns)
    for n, column in enumerate(columns):
        rows[f"length{n}"] = 8
        rows[f"value{n}"] = column
    with driver.cursor().copy(f"COPY {table} FROM STDIN (FORMAT BINARY)") as copy:
        copy.write(_COPY_BEGINS + rows.tobytes() + _COPY_ENDS)


def array_text(values: Integers) -> str:
    """Return whole numbers as the text of an array.

    Examples
    --------
    >>> array_text(np.array([3, -1]))
    '{3,-1}'
    """
    return "{" + ",".join(map(str, values.tolist())) + "}"
