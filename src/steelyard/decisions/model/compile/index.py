"""Long tables: rows are found by hash on their equalities and by bisection on a range.

The rows are put into buckets by the columns in which a row names the values it equals; in a bucket,
the bounds of one range column cut the numbers into pieces, and each piece knows its rows. What is
left of a row's conditions is asked of those few. An index is made only where no condition and no
result can fail; the answer is the same as row after row.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

from steelyard.decisions.model.compile.answer import Hit
from steelyard.decisions.model.compile.forms import Equal, Range
from steelyard.decisions.model.compile.table import Columns, Line, display
from steelyard.decisions.model.compile.writing import Reading, Source
from steelyard.decisions.model.document import TableNode

LEAST_ROWS = 40
"""Shorter tables are faster row after row."""

_MOST_KEYS = 4
_MOST_PATTERNS = 8
_MOST_COPIES = 24
"""How many times over, on average, a row may lie in the index."""

Candidate = tuple[int, Callable[..., bool] | None]


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

    def build(self, tests: Sequence[Callable[..., bool] | None]) -> list[dict[Any, Bucket]] | None:
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
                key: self._bucket(members, tests, budget) for key, members in rows[pattern].items()
            }
            made.append(buckets)
        return made if budget[0] >= 0 else None

    def patterns(self) -> list[tuple[bool, ...]]:
        """Return which key columns rows name, in the order of their first row."""
        return list(dict.fromkeys(self.pattern(line) for line in self.lines))

    def _bucket(
        self, members: list[int], tests: Sequence[Callable[..., bool] | None], budget: list[int]
    ) -> Bucket:
        candidates = [(at, tests[at]) for at in members]
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
        return Bucket(points, tuple(map(tuple, pieces)), open_)


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
    looked_up = {*planned.keys, planned.ranged}
    rests = [
        " and ".join(one.written for one in line.conditions if one.column not in looked_up)
        for line in planned.lines
    ]
    number = None
    if planned.ranged is not None:
        variable = columns.values[planned.ranged]
        assert variable is not None
        number = reading.number_of(variable)
    asked = _used(rests, reading)
    tests = compile_all(rests, asked)
    buckets = planned.build(tests)
    if buckets is None:
        return False
    shown = [display(source, line.results, collected=True) for line in planned.lines]
    wanted_by_results = _used(shown, reading)
    makers = compile_all(shown, wanted_by_results)
    bind = source.constants.bind
    given, told = ", ".join(asked), ", ".join(wanted_by_results)
    hits = bind(tuple(Hit(node.id, line.row.id) for line in planned.lines))
    made = bind(tuple(makers))
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
            _choose(source, found, given, collect=node.collect)
    if node.collect:
        source.add(f"{found}.sort()")
        source.add(f"{answer} = [{made}[i]({told}) for i in {found}]")
        source.add(f"h += [{hits}[i] for i in {found}]")
        return True
    source.add(f"{answer} = None")
    with source.block(f"if {found} < {len(planned.lines)}:"):
        source.add(f"{answer} = {made}[{found}]({told})")
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


def _choose(source: Source, found: str, given: str, *, collect: bool) -> None:
    """Write the questions to the candidates; the first that holds is kept, or all."""
    with source.block("for i, t in b:"), source.block(f"if t is None or t({given}):"):
        if collect:
            source.add(f"{found}.append(i)")
        else:
            with source.block(f"if i < {found}:"):
                source.add(f"{found} = i")
            source.add("break")


def key_of(value: object) -> object:
    """Return a value as it is looked up: a flag is no number, and an object equals nothing."""
    return value if type(value) in (int, float, str) else _NOTHING


_NOTHING = object()
CompileAll = Callable[[list[str], list[str]], list[Callable[..., Any] | None]]
