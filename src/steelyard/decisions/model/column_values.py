"""Columns, and the values that expressions make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.column_refusals import ColumnsAreNotCovered

Mask = NDArray[np.bool_]


class Kind(StrEnum):
    """What a column holds."""

    NUMBER = "number"
    TEXT = "text"
    FLAG = "flag"
    ARRAY = "array"
    NOTHING = "nothing"
    """Every value is missing."""


class Words:
    """The texts that codes stand for."""

    def __init__(self, words: Sequence[Any]) -> None:
        self.words = tuple(words)

    @cached_property
    def codes(self) -> dict[Any, int]:
        """The code of each text."""
        return {word: code for code, word in enumerate(self.words)}


@dataclass(frozen=True, slots=True)
class Column:
    """Values of many events.

    Attributes
    ----------
    kind : what it holds
    values : (n,) int64 or float64 for numbers, bool for flags, int codes for texts; (n, rows of a
        table) bool for arrays, true where the row was hit. What is missing may be anything here
    missing : (n,) true where there is no value; None where none is missing
    words : of texts, what the codes stand for; of arrays, what each row of the table gives
    """

    kind: Kind
    values: NDArray[Any]
    missing: Mask | None = None
    words: Words | None = None

    @staticmethod
    def of(values: Sequence[Any] | NDArray[Any]) -> Column:
        """Return the column of values of one type: numbers, texts or flags; None is missing.

        Examples
        --------
        >>> Column.of(["a", None, "b", "a"]).values.tolist()
        [0, 0, 1, 0]
        """
        if isinstance(values, np.ndarray) and values.dtype.kind in "bif":
            return Column._of_array(values)
        given = list(values)
        missing = np.fromiter((one is None for one in given), np.bool_, len(given))
        absent = missing if missing.any() else None
        types = {type(one) for one in given if one is not None}
        if not types:
            return Column(Kind.NOTHING, np.zeros(len(given), np.int64), missing)
        if types == {str}:
            words = Words(tuple(dict.fromkeys(one for one in given if one is not None)))
            codes = (0 if one is None else words.codes[one] for one in given)
            return Column(Kind.TEXT, np.fromiter(codes, np.int64, len(given)), absent, words)
        if types == {bool}:
            flags = np.fromiter((bool(one) for one in given), np.bool_, len(given))
            return Column(Kind.FLAG, flags, absent)
        if types <= {int, float}:
            kind: type = np.int64 if types == {int} else np.float64
            numbers: NDArray[Any] = np.fromiter(
                (0 if one is None else one for one in given), kind, len(given)
            )
            return Column(Kind.NUMBER, numbers, absent)
        raise TypeError(f"a column of {sorted(one.__name__ for one in types)}")

    @staticmethod
    def _of_array(values: NDArray[Any]) -> Column:
        if values.dtype.kind == "b":
            return Column(Kind.FLAG, values)
        if values.dtype.kind == "i":
            return Column(Kind.NUMBER, values.astype(np.int64, copy=False))
        missing = np.isnan(values)
        return Column(Kind.NUMBER, values, missing if missing.any() else None)

    def part(self, begin: int, end: int) -> Column:
        """Return some of the events, in sequence; nothing is copied."""
        missing = None if self.missing is None else self.missing[begin:end]
        return Column(self.kind, self.values[begin:end], missing, self.words)

    def at(self, row: int) -> Any:
        """Return the value of an event, as the row form takes it."""
        if self.kind is Kind.NOTHING or (self.missing is not None and self.missing[row]):
            return None
        if self.kind is Kind.ARRAY:
            assert self.words is not None
            return [self.words.words[n] for n in np.flatnonzero(self.values[row]).tolist()]
        value = self.values[row].item()
        return self.words.words[value] if self.words is not None else value

    def to_list(self) -> list[Any]:
        """Return all values, as the row form takes them."""
        return [self.at(row) for row in range(len(self.values))]

    def replaced(self, rows: NDArray[np.int64], values: Sequence[Any]) -> Column:
        """Return the column with other values for some events."""
        made = self.values.copy()
        missing = np.zeros(len(made), np.bool_) if self.missing is None else self.missing.copy()
        words = self.words
        if self.kind is Kind.ARRAY:
            assert words is not None
            for row, value in zip(rows.tolist(), values, strict=True):
                missing[row] = value is None
                made[row] = _marked(words.words, value or ())
            return Column(self.kind, made, missing if missing.any() else None, words)
        if words is not None:
            more = [one for one in values if one is not None and one not in words.codes]
            words = Words((*words.words, *dict.fromkeys(more)))
        if made.dtype.kind == "i" and any(isinstance(one, float) for one in values):
            made = made.astype(np.float64)
        for row, value in zip(rows.tolist(), values, strict=True):
            missing[row] = value is None
            if value is not None:
                made[row] = value if words is None else words.codes[value]
        return Column(self.kind, made, missing if missing.any() else None, words)

    @staticmethod
    def joined(parts: Sequence[Mapping[str, Column]], rows: int) -> dict[str, Column]:
        """Return the columns of parts behind one another; a name a part lacks is missing in it."""
        lengths = [len(next(iter(part.values())).values) if part else 0 for part in parts]
        found: dict[str, Column] = {}
        for name in dict.fromkeys(name for part in parts for name in part):
            columns = [
                part.get(name) or Column.of([None] * length)
                for part, length in zip(parts, lengths, strict=True)
            ]
            found[name] = _joined(columns)
        return found


def _marked(words: Sequence[Any], given: Sequence[Any]) -> Mask:
    """Return marks on the words that are given, in their order; a word may stand there twice."""
    marks = np.zeros(len(words), np.bool_)
    place = -1
    for one in given:
        place = words.index(one, place + 1)
        marks[place] = True
    return marks


def _joined(columns: Sequence[Column]) -> Column:
    kinds = {column.kind for column in columns} - {Kind.NOTHING}
    assert len(kinds) <= 1
    kind = kinds.pop() if kinds else Kind.NOTHING
    words = None
    values: list[NDArray[Any]] = []
    if kind is Kind.TEXT:
        words = Words(
            tuple(dict.fromkeys(word for one in columns if one.words for word in one.words.words))
        )
    shape = next((one.values.shape[1:] for one in columns if one.kind is kind), ())
    for column in columns:
        if column.kind is not kind:
            values.append(np.zeros((len(column.values), *shape), np.int64))
        elif words is not None and column.words is not None:
            codes = np.array([words.codes[word] for word in column.words.words], np.int64)
            values.append(codes[column.values] if len(codes) else column.values)
        else:
            values.append(column.values)
    missing = None
    if any(column.missing is not None for column in columns):
        none = [
            np.zeros(len(one.values), np.bool_) if one.missing is None else one.missing
            for one in columns
        ]
        missing = np.concatenate(none)
    if kind is Kind.ARRAY:
        words = next(one.words for one in columns if one.kind is kind)
    made = np.concatenate(values)
    return Column(kind, made.astype(np.bool_) if kind is Kind.FLAG else made, missing, words)


@dataclass(frozen=True, slots=True)
class Value:
    """What an expression is, for the events of a part.

    Attributes
    ----------
    kind, values, words : as of a column; one value alone stands for all events
    missing : where it is null; None for nowhere
    failed : where it could not be evaluated; None for nowhere
    inexact : whether it is a computed fraction, a float that stands for a decimal
    absent : where the name is not there at all; None for nowhere
    """

    kind: Kind
    values: Any
    missing: Mask | None = None
    failed: Mask | None = None
    words: Words | None = None
    inexact: bool = False
    absent: Mask | None = None
    rows: int = 0

    def __len__(self) -> int:
        return self.rows

    @staticmethod
    def of(column: Column) -> Value:
        """Return the value of a column."""
        rows = len(column.values)
        return Value(column.kind, column.values, column.missing, words=column.words, rows=rows)

    @staticmethod
    def constant(value: Any, rows: int) -> Value:
        """Return a constant of all events."""
        if value is None:
            return Value(Kind.NOTHING, 0, np.ones(rows, np.bool_), rows=rows)
        if isinstance(value, bool):
            return Value(Kind.FLAG, np.bool_(value), rows=rows)
        if isinstance(value, str):
            return Value(Kind.TEXT, np.int64(0), words=Words((value,)), rows=rows)
        number = np.int64(value) if isinstance(value, int) else np.float64(value)
        return Value(Kind.NUMBER, number, rows=rows)

    @property
    def nothing(self) -> Mask | None:
        """Where there is nothing to read: null, or not there."""
        return either(self.missing, self.absent)

    def failed_as_missing(self) -> Value:
        """Return it with what failed as missing, as it leaves a node."""
        return replace(self, missing=either(self.missing, self.failed), failed=None)

    def column(self) -> Column:
        """Return the column; what failed or is not there is missing in it."""
        values = self.values
        if np.ndim(values) == 0:
            values = np.full(self.rows, values)
        return Column(self.kind, values, either(self.nothing, self.failed), self.words)


def either(a: Mask | None, b: Mask | None) -> Mask | None:
    """Return where one of two masks is true."""
    if a is None:
        return b
    return a if b is None else a | b


@dataclass(frozen=True, slots=True)
class Hits:
    """The rows that a collecting table hit, as a mask for each, and what they give."""

    masks: list[Mask]
    node: Any
    results: list[list[Any]]
    open: Mask | None = None

    def limited(self, where: Mask | None) -> Hits:
        """Return the hits of some events only."""
        if where is None:
            return self
        masks = [mask & where for mask in self.masks]
        return Hits(masks, self.node, self.results, where)

    def constants(self) -> list[dict[str, Any]]:
        """Return what each row of the table gives, if it is the same for all events."""
        return [self._row(n) for n in range(len(self.masks))]

    def _row(self, n: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for output, value in zip(self.node.outputs, self.results[n], strict=True):
            if value is None:
                continue
            if not isinstance(value, Value) or np.ndim(value.values) or len(output.path) > 1:
                raise ColumnsAreNotCovered(
                    node=self.node.id, what="a collected result that is no constant"
                )
            name = output.path[0]
            if value.kind is Kind.NOTHING:
                made[name] = None
            elif value.words is not None:
                made[name] = value.words.words[0]
            else:
                made[name] = value.values.item()
        return made

    def array(self, given: Sequence[Any], rows: int) -> Value:
        """Return the array of what the hit rows give."""
        matrix = np.empty((rows, len(self.masks)), np.bool_)
        for n, mask in enumerate(self.masks):
            matrix[:, n] = mask
        absent = None if self.open is None else ~self.open
        return Value(Kind.ARRAY, matrix, words=Words(given), absent=absent, rows=rows)


def overlaid(below: Value | None, above: Value, where: Mask | None, node: str) -> Value:
    """Return values over values, for the events of a mask where the upper name is there."""
    if above.absent is not None:
        where = ~above.absent if where is None else where & ~above.absent
    if where is None:
        return above
    if below is None:
        return replace(above, absent=~where)
    kind = above.kind if below.kind is Kind.NOTHING else below.kind
    if above.kind not in (kind, Kind.NOTHING) or kind is Kind.ARRAY:
        raise ColumnsAreNotCovered(node=node, what="values of two kinds under one name")
    words = above.words or below.words
    low, high = below.values, above.values
    if kind is Kind.TEXT and below.words is not None and above.words is not None:
        low, high, words = common(below, above)
    return Value(
        kind,
        np.where(where, high, low),
        _where(where, above.missing, below.missing),
        _where(where, above.failed, below.failed),
        words,
        below.inexact or above.inexact,
        _where(where, None, below.absent),
        above.rows,
    )


def _where(where: Mask, above: Mask | None, below: Mask | None) -> Mask | None:
    if above is None and below is None:
        return None
    if above is None:
        assert below is not None
        return below & ~where
    return above & where if below is None else np.where(where, above, below)


def common(a: Value, b: Value) -> tuple[Any, Any, Words]:
    """Return the codes of two texts over the same words."""
    assert a.words is not None
    assert b.words is not None
    if a.words is b.words:
        return a.values, b.values, a.words
    words = Words(tuple(dict.fromkeys((*a.words.words, *b.words.words))))
    codes = np.array([words.codes[word] for word in b.words.words], np.int64)
    # The words of a come first and keep their codes.
    return a.values, codes[b.values], words
