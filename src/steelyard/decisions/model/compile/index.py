"""Long tables: rows are found by hash on their equalities and by bisection on a range.

The rows are put into buckets by the columns in which a row names the values it equals; in a bucket,
the bounds of one range column cut the numbers into pieces, and each piece knows its rows. What is
left of a row's conditions is asked of those few. An index is made only where no condition and no
result can fail; the answer is the same as row after row.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from math import inf, nextafter
from typing import Any, NamedTuple

from steelyard.decisions.model.compile.answer import Hit
from steelyard.decisions.model.compile.forms import Equal, Range, scalar_of
from steelyard.decisions.model.compile.table import Columns, Line, display
from steelyard.decisions.model.compile.writing import Reading, Source
from steelyard.decisions.model.document import TableNode
from steelyard.decisions.model.expression import parse
from steelyard.decisions.model.expression.tree import Literal, bare

LEAST_ROWS = 40
"""Shorter tables are faster row after row."""

_MOST_KEYS = 4
_MOST_PATTERNS = 8
_MOST_COPIES = 24
"""How many times over, on average, a row may lie in the index."""

_EXACT = 2**52
"""Bounds below it can be turned from open to closed by the next float, for whole numbers too."""

Candidate = tuple[Any, ...]
"""A row, and what is left to ask: a function (or None), or the least and most of each column."""


class Bucket(NamedTuple):
    """Rows with the same equalities, cut by the bounds of a range column.

    Attributes
    ----------
    points : the bounds, sorted
    pieces : candidates on each piece: 2n + 1 is point n itself, 2n lies before it
    unbounded : candidates where there is no number to look up
    """

    points: tuple[float, ...]
    pieces: tuple[tuple[Candidate, ...], ...]
    unbounded: tuple[Candidate, ...]


class IndexedTable:
    """An index over the rows of a table; `None` from `plan` where it is not worth one."""

    def __init__(self, node: TableNode, columns: Columns, lines: list[Line]) -> None:
        self.node = node
        self.columns = columns
        self.lines = lines
        self.keys = self._key_columns()
        self.ranged = self._range_column()

    @classmethod
    def plan(cls, node: TableNode, columns: Columns, lines: list[Line]) -> IndexedTable | None:
        """Return the index of a table, if it can and should have one."""
        if len(lines) < LEAST_ROWS or any(output.collected for output in node.outputs):
            return None
        if any(line.fails or any(one.fails for one in line.conditions) for line in lines):
            return None
        planned = cls(node, columns, lines)
        if not planned.keys and planned.ranged is None:
            return None
        if len({planned.pattern(line) for line in lines}) > _MOST_PATTERNS:
            return None
        copies = sum(planned._copies(line) for line in lines)
        return planned if copies <= _MOST_COPIES * len(lines) else None

    def _forms(self, column: int) -> list[object]:
        return [one.form for line in self.lines for one in line.conditions if one.column == column]

    def _key_columns(self) -> tuple[int, ...]:
        found = []
        for column in range(len(self.node.inputs)):
            forms = self._forms(column)
            equal = sum(isinstance(form, Equal) for form in forms)
            if equal and equal == len(forms) and 2 * equal >= len(self.lines):
                found.append(column)
        return tuple(found[:_MOST_KEYS])

    def _range_column(self) -> int | None:
        counts = Counter(
            one.column
            for line in self.lines
            for one in line.conditions
            if isinstance(one.form, Range)
        )
        best = counts.most_common(1)
        return best[0][0] if best and best[0][1] > len(self.lines) // 4 else None

    def _form(self, line: Line, column: int) -> object:
        return next((one.form for one in line.conditions if one.column == column), None)

    def pattern(self, line: Line) -> tuple[bool, ...]:
        """Return which of the key columns a row names."""
        return tuple(self._form(line, column) is not None for column in self.keys)

    def _copies(self, line: Line) -> int:
        copies = 1
        for column in self.keys:
            form = self._form(line, column)
            copies *= len(form.values) if isinstance(form, Equal) else 1
        return copies

    # -- what is looked up -------------------------------------------------------------------

    def build(self, rests: Sequence[tuple[Any, ...]]) -> list[dict[Any, Bucket]] | None:
        """Return the buckets by key, one mapping for each pattern; None if it grows too large."""
        rows: dict[tuple[bool, ...], dict[Any, list[int]]] = {}
        for at, line in enumerate(self.lines):
            pattern = self.pattern(line)
            choices = []
            for column, named in zip(self.keys, pattern, strict=True):
                form = self._form(line, column)
                if named:
                    assert isinstance(form, Equal)
                    choices.append(tuple(dict.fromkeys(form.values)))
            for key in product(*choices):
                wanted = key[0] if len(key) == 1 else key
                rows.setdefault(pattern, {}).setdefault(wanted, []).append(at)
        budget = [_MOST_COPIES * len(self.lines)]
        made = []
        for pattern in self.patterns():
            buckets = {
                key: self._bucket(members, rests, budget) for key, members in rows[pattern].items()
            }
            made.append(buckets)
        return made if budget[0] >= 0 else None

    def rest_columns(self) -> tuple[int, ...] | None:
        """Return the columns that are left to ask, if each is a range; None if one is more."""
        left = {
            one.column: one.form
            for line in self.lines
            for one in line.conditions
            if one.column not in self.keys and one.column != self.ranged
        }
        for line in self.lines:
            for one in line.conditions:
                if one.column in left and _closed(one.form) is None:
                    return None
        return tuple(sorted(left))

    def bounds(self, line: Line, columns: Sequence[int]) -> tuple[float, ...]:
        """Return the least and the most of each column; what is not asked holds for all."""
        found: list[float] = []
        for column in columns:
            found += _closed(self._form(line, column)) or (-inf, inf)
        return tuple(found)

    def patterns(self) -> list[tuple[bool, ...]]:
        """Return which key columns rows name, in the order of their first row."""
        return list(dict.fromkeys(self.pattern(line) for line in self.lines))

    def _bucket(
        self, members: list[int], rests: Sequence[tuple[Any, ...]], budget: list[int]
    ) -> Bucket:
        candidates = [(at, *rests[at]) for at in members]
        if self.ranged is None:
            return Bucket((), (tuple(candidates),), tuple(candidates))
        forms = [self._form(self.lines[at], self.ranged) for at in members]
        bounds = {
            bound
            for form in forms
            if isinstance(form, Range)
            for bound in (form.least, form.most)
            if bound is not None
        }
        points = tuple(sorted(bounds))
        pieces: list[list[Candidate]] = [[] for _ in range(2 * len(points) + 1)]
        for candidate, form in zip(candidates, forms, strict=True):
            first, last = _reach(points, form) if isinstance(form, Range) else (0, len(pieces) - 1)
            budget[0] -= max(0, last - first + 1)
            if budget[0] < 0:
                break
            for piece in pieces[first : last + 1]:
                piece.append(candidate)
        open_ = tuple(
            one for one, form in zip(candidates, forms, strict=True) if not isinstance(form, Range)
        )
        # Most pieces have the rows of their neighbour: one tuple for equal ones stays in the cache.
        shared: dict[tuple[Candidate, ...], tuple[Candidate, ...]] = {}
        return Bucket(
            points, tuple(shared.setdefault(tuple(one), tuple(one)) for one in pieces), open_
        )


def _closed(form: object) -> tuple[float, float] | None:
    """Return a range as least and most, both in it; without an end the largest float."""
    if not isinstance(form, Range):
        return None
    if any(bound is not None and abs(bound) >= _EXACT for bound in (form.least, form.most)):
        return None
    least: float = -_LARGEST if form.least is None else form.least
    most: float = _LARGEST if form.most is None else form.most
    least = nextafter(least, inf) if form.over else least
    return least, nextafter(most, -inf) if form.under else most


_LARGEST = sys.float_info.max


def _reach(points: Sequence[float], form: Range) -> tuple[int, int]:
    """Return the first and the last piece a range covers."""
    first, last = 0, 2 * len(points)
    if form.least is not None:
        first = 2 * bisect_left(points, form.least) + 1 + form.over
    if form.most is not None:
        last = 2 * bisect_left(points, form.most) + 1 - form.under
    return first, last


def write_index(
    planned: IndexedTable, reading: Reading, source: Source, answer: str, compile_all: CompileAll
) -> bool:
    """Write the look-up of a table; false, with nothing written, where the index grows too large.

    Parameters
    ----------
    planned : the plan
    reading, source : of the node
    answer : the variable the answer is left in
    compile_all : makes functions of Python expressions over the given variables
    """
    columns, node = planned.columns, planned.node
    number = None
    if planned.ranged is not None:
        number = reading.number_of(_variable(columns, planned.ranged))
    condition, rests = _rests(planned, reading, source, compile_all)
    buckets = planned.build(rests)
    if buckets is None:
        return False
    bind = source.constants.bind
    made = _makers(planned, reading, source, compile_all)
    hits = bind(tuple(source.mark(Hit(node.id, line.row.id)) for line in planned.lines))
    found = source.fresh("r")
    source.add(f"{found} = []" if node.collect else f"{found} = {len(planned.lines)}")
    patterns = [planned.pattern(line) for line in planned.lines]
    for pattern, mapping in zip(planned.patterns(), buckets, strict=True):
        first = patterns.index(pattern)
        shut = f" and {found} > {first}" if first and not node.collect else ""
        bucket = mapping.get(()) if not any(pattern) else None
        if bucket is not None and not bucket.points:
            # The rows that name nothing, and whose ranges name nothing, are known beforehand.
            source.add(f"b = {bind(bucket.unbounded)}")
        else:
            key = _key(pattern, planned)
            source.add(f"b = {bind(mapping)}.get({key})")
            with source.block("if b is not None:"):
                _look(source, number)
        with source.block(f"if b{shut}:"):
            _choose(source, found, condition, collect=node.collect)
    if node.collect:
        source.add(f"{found}.sort()")
        source.add(f"{answer} = [{made.format('i')} for i in {found}]")
        source.add(f"h += [{hits}[i] for i in {found}]")
        return True
    source.add(f"{answer} = None")
    with source.block(f"if {found} < {len(planned.lines)}:"):
        source.add(f"{answer} = {made.format(found)}")
        source.add(f"h.append({hits}[{found}])")
    return True


def _used(bodies: list[str], reading: Reading) -> list[str]:
    """Return the variables that are in any of the bodies."""
    found = {name for body in bodies for name in _VARIABLE.findall(body)}
    return [name for name in reading.variables if name in found]


_VARIABLE = re.compile(r"\b[vf][0-9]+\b")


def _key(pattern: tuple[bool, ...], planned: IndexedTable) -> str:
    """Return Python for the key of a pattern."""
    values = planned.columns.values
    named = [values[at] for at, is_in in zip(planned.keys, pattern, strict=True) if is_in]
    keys = [f"({key} if type({key}) is str else _key({key}))" for key in named]
    return keys[0] if len(keys) == 1 else f"({', '.join(keys)})"


def _look(source: Source, number: str | None) -> None:
    """Write the bisection: `b`, a bucket, becomes the candidates in it."""
    if number is None:
        source.add("b = b[2]")
        return
    source.add("y, j, b = b")
    with source.block(f"if {number} == {number}:"):
        source.add(f"i = _bisect(y, {number})")
        source.add(f"b = j[2 * i + (i < len(y) and y[i] == {number})]")


def _choose(source: Source, found: str, condition: str, *, collect: bool) -> None:
    """Write the questions to the candidates; the first that holds is kept, or all."""
    with source.block(condition.partition("\n")[0]), source.block(condition.partition("\n")[2]):
        if collect:
            source.add(f"{found}.append(i)")
        else:
            with source.block(f"if i < {found}:"):
                source.add(f"{found} = i")
            source.add("break")


def _variable(columns: Columns, column: int) -> str:
    variable = columns.values[column]
    assert variable is not None
    return variable


def _rests(
    planned: IndexedTable, reading: Reading, source: Source, compile_all: CompileAll
) -> tuple[str, list[tuple[Any, ...]]]:
    """Return the loop over candidates with its question, and what each candidate has for it.

    Bounds lie in the candidate itself where all that is left are ranges: a function for each row
    would be looked for all over the memory.
    """
    columns = planned.rest_columns()
    if columns is None:
        looked_up = {*planned.keys, planned.ranged}
        left = [
            " and ".join(one.written for one in line.conditions if one.column not in looked_up)
            for line in planned.lines
        ]
        asked = _used(left, reading)
        question = f"for i, t in b:\nif t is None or t({', '.join(asked)}):"
        return question, [(test,) for test in compile_all(left, asked)]
    names, questions = ["i"], []
    for n, column in enumerate(columns):
        # What is no number fits only where nothing is asked: it is put beyond all numbers.
        number = reading.number_of(_variable(planned.columns, column))
        beyond = source.fresh("f")
        source.add(f"{beyond} = {number} if {number} == {number} else _INFINITE")
        names += [f"l{n}", f"u{n}"]
        questions.append(f"l{n} <= {beyond} <= u{n}")
    rests = [planned.bounds(line, columns) for line in planned.lines]
    return f"for {', '.join(names)}, in b:\nif {' and '.join(questions) or 'True'}:", rests


def _makers(
    planned: IndexedTable, reading: Reading, source: Source, compile_all: CompileAll
) -> str:
    """Return Python that makes the answer of a row, with a place for the row's number."""
    constant = [_constant(planned.node, line) for line in planned.lines]
    if None not in constant:
        return source.constants.bind(tuple(constant)) + "[{0}].copy()"
    shown = [display(source, line.results, collected=True) for line in planned.lines]
    used = _used(shown, reading)
    made = source.constants.bind(tuple(compile_all(shown, used)))
    return f"{made}[{{0}}]({', '.join(used)})"


def _constant(node: TableNode, line: Line) -> dict[str, Any] | None:
    """Return the answer of a row, if it is scalars under names of one level."""
    found: dict[str, Any] = {}
    for output, cell in zip(node.outputs, line.row.results, strict=True):
        if not cell:
            continue
        tree = bare(parse(cell))
        if len(output.path) > 1 or not (scalar_of(tree) is not None or isinstance(tree, Literal)):
            return None
        scalar = scalar_of(tree)
        found[output.path[0]] = scalar if scalar is not None else tree.value  # type: ignore[union-attr]
    return found


def key_of(value: object) -> object:
    """Return a value as it is looked up: a flag is no number, and an object equals nothing."""
    return value if type(value) in (int, float, str) else _NOTHING


_NOTHING = object()
CompileAll = Callable[[list[str], list[str]], list[Callable[..., Any] | None]]
