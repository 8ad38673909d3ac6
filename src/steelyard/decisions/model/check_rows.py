"""Rows of a table against each other: unreachable, overlapping, and what no row covers.

Each tested value is cut into the pieces that the cells of its column tell apart: every number that
is named, the spaces between, every text, any other text, the two flags, and missing. A cell holds
on some of the pieces, a row on a box of them, and rows are compared as boxes. A row with a cell
that tests more than its own value is left out where that could make a finding wrong.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

from steelyard.decisions.model.compile.forms import Plain, number_of
from steelyard.decisions.model.document import Row, TableNode
from steelyard.decisions.model.expression import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
    NotEvaluable,
    compile_unary,
)
from steelyard.decisions.model.expression.generate import Constants
from steelyard.decisions.model.expression.tree import Literal, Node, bare, children, names
from steelyard.decisions.model.findings import Finding, Severity

MAX_BOXES = 4_000
"""How many boxes are kept while rows are taken away; beyond it nothing is said of gaps."""

MAX_PAIRS_OF = 400
"""Tables with more rows are not asked for overlaps."""

MAX_OVERLAPS = 20

Box = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Boxes:
    """A table as boxes; bit n of a side is piece n of its column."""

    pieces: tuple[tuple[Any, ...], ...]
    rows: tuple[tuple[Row, Box | None], ...]

    @property
    def whole(self) -> Box:
        return tuple((1 << len(pieces)) - 1 for pieces in self.pieces)


def check_rows(node: TableNode, types: tuple[str, ...]) -> Iterator[Finding]:
    """Yield what is wrong with the rows of a table.

    Parameters
    ----------
    node : the table
    types : of each tested value: `number`, `integer`, `text`, `flag` or `any`
    """
    boxes = _boxes(node, types)
    yield from _impossible(node, boxes)
    if node.collect:
        return
    hidden = list(_unreachable(node, boxes))
    yield from hidden
    yield from _overlaps(node, boxes, {one.rows[-1] for one in hidden})
    yield from _gaps(node, boxes)


def _boxes(node: TableNode, types: tuple[str, ...]) -> _Boxes:
    pieces = []
    sides: list[list[int | None]] = []
    for n, column in enumerate(node.inputs):
        cells = [row.conditions[n] for row in node.rows]
        if column.field is None:
            pieces.append((True,))
            sides.append([None if cell else 1 for cell in cells])
            continue
        trees = {cell: _tree(cell) for cell in cells if cell}
        found = _pieces([tree for tree in trees.values() if tree is not None], types[n])
        whole = (1 << len(found)) - 1
        held = {cell: _held(cell, tree, found) for cell, tree in trees.items()}
        pieces.append(found)
        sides.append([whole if not cell else held[cell] for cell in cells])
    rows = []
    for n, row in enumerate(node.rows):
        box = [side[n] for side in sides]
        rows.append((row, None if None in box else tuple(one or 0 for one in box)))
    return _Boxes(tuple(pieces), tuple(rows))


def _tree(cell: str) -> Node | None:
    try:
        return compile_unary(cell).tree
    except (ExpressionIsMalformed, ExpressionIsNotCovered):
        return None


def _literals(node: Node) -> Iterator[Any]:
    number = number_of(node)
    if number is not None:
        yield number
        return
    if isinstance(node, Literal):
        yield node.value
    for child in children(node):
        yield from _literals(child)


def _pieces(trees: list[Node], type: str) -> tuple[Any, ...]:
    """Return a value for each piece that the cells of a column can tell apart."""
    literals = {(one.__class__, one) for tree in trees for one in _literals(tree)}
    numbers = sorted({one for kind, one in literals if kind in (int, float)})
    texts = sorted({one for kind, one in literals if kind is str})
    found: list[Any] = []
    if type == "integer":
        found += [one for one in _spaces(numbers) if one == int(one) or one in numbers]
    elif type == "number" or (type == "any" and numbers):
        found += _spaces(numbers)
    if type == "text" or (type == "any" and texts):
        found += [*texts, "another text" + "." * max((len(one) for one in texts), default=0)]
    if type == "flag" or (type == "any" and any(kind is bool for kind, _ in literals)):
        found += [True, False]
    return (*found, None)


def _spaces(numbers: list[Any]) -> list[Any]:
    if not numbers:
        return [0]
    found: list[Any] = [numbers[0] - 1]
    for n, number in enumerate(numbers):
        after = numbers[n + 1] if n + 1 < len(numbers) else inf
        between = number + 1 if after > number + 1 else (number + after) / 2
        found += [number, between]
    return found


def _held(cell: str, tree: Node | None, pieces: tuple[Any, ...]) -> int | None:
    """Return the pieces a cell holds on; None where that depends on more than the value."""
    if tree is None or names(tree) - {"$"}:
        return None
    tree = bare(tree)
    if Plain(Constants(), lambda name: name, lambda name: name).write(tree) is None:
        return None
    compiled = compile_unary(cell)
    side = 0
    for n, piece in enumerate(pieces):
        try:
            side |= (compiled.evaluate({"$": piece}) is True) << n
        except NotEvaluable:
            continue
    return side


def _impossible(node: TableNode, boxes: _Boxes) -> Iterator[Finding]:
    for row, box in boxes.rows:
        if box is not None and not all(box):
            column = node.inputs[box.index(0)]
            yield Finding(
                "impossible_row",
                Severity.ERROR,
                node.id,
                f"row {row.id}, column {column.id}",
                f"No value of {column.field} fits {row.conditions[box.index(0)]}.",
                f"{column.field} 的任何取值都不满足 {row.conditions[box.index(0)]}。",
                (row.id,),
            )


def _within(inner: Box, outer: Box) -> bool:
    return all(not a & ~b for a, b in zip(inner, outer, strict=True))


def _unreachable(node: TableNode, boxes: _Boxes) -> Iterator[Finding]:
    left: list[Box] | None = [boxes.whole]
    for at, (row, box) in enumerate(boxes.rows):
        if box is None:
            continue
        if not all(box):
            continue
        over = next(
            (
                earlier
                for earlier, other in boxes.rows[:at]
                if other is not None and _within(box, other)
            ),
            None,
        )
        covered = left is not None and not any(_meet(box, one) for one in left)
        if over is not None or covered:
            by = f"row {over.id}" if over else "the rows above it"
            cover = f"第 {over.id} 行" if over else "其上方各行"
            yield Finding(
                "unreachable_row",
                Severity.ERROR,
                node.id,
                f"row {row.id}",
                f"Row {row.id} is never reached: {by} holds whenever it does.",
                f"第 {row.id} 行永远不会命中：{cover}已覆盖其全部条件。",
                (*((over.id,) if over else ()), row.id),
            )
        left = None if left is None else _without(left, box)


def _meet(a: Box, b: Box) -> bool:
    return all(x & y for x, y in zip(a, b, strict=True))


def _without(boxes: list[Box], taken: Box) -> list[Box] | None:
    """Return what is left of boxes when one is taken away; None when that is too much."""
    left: list[Box] = []
    for box in boxes:
        if not _meet(box, taken):
            left.append(box)
            continue
        rest = list(box)
        for n, side in enumerate(taken):
            outside = rest[n] & ~side
            if outside:
                left.append((*rest[:n], outside, *rest[n + 1 :]))
            rest[n] &= side
        if len(left) > MAX_BOXES:
            return None
    return left


def _overlaps(node: TableNode, boxes: _Boxes, hidden: set[str]) -> Iterator[Finding]:
    if len(boxes.rows) > MAX_PAIRS_OF:
        return
    told = 0
    rows = [pair for pair in boxes.rows if pair[0].id not in hidden]
    for at, (row, box) in enumerate(rows):
        for later, other in rows[at + 1 :]:
            if box is None or other is None or row.results == later.results:
                continue
            # A later row that is wider is the common form of an exception before the rule.
            if not _meet(box, other) or _within(box, other) or _within(other, box):
                continue
            yield Finding(
                "overlapping_rows",
                Severity.NOTE,
                node.id,
                f"rows {row.id} and {later.id}",
                f"Rows {row.id} and {later.id} hold together for some values, and give different "
                "results; the first one counts.",
                f"第 {row.id} 行与第 {later.id} 行在部分取值上同时成立且结果不同，以前者为准。",
                (row.id, later.id),
            )
            told += 1
            if told == MAX_OVERLAPS:
                return


def _gaps(node: TableNode, boxes: _Boxes) -> Iterator[Finding]:
    if any(box == boxes.whole for _, box in boxes.rows):
        return
    yield Finding(
        "missing_default",
        Severity.WARNING,
        node.id,
        "",
        "The table has no last row without conditions: where no row holds it gives nothing.",
        "决策表缺少无条件的兜底行：没有行成立时不产生任何结果。",
    )
    left: list[Box] | None = [boxes.whole]
    for _, box in boxes.rows:
        if box is None:
            # What such a row covers is not known, so that no gap can be shown for certain.
            return
        left = None if left is None else _without(left, box)
    if not left:
        return
    known = [box for box in left if _shown(box, boxes, missing=False) is not None]
    shown = _shown((known or left)[0], boxes, missing=not known)
    if shown is None:
        return
    pairs = zip(node.inputs, shown, strict=True)
    values = ", ".join(f"{column.field} = {_told(value)}" for column, value in pairs)
    yield Finding(
        "gap",
        Severity.WARNING if known else Severity.NOTE,
        node.id,
        "",
        f"No row holds for {values}.",
        f"没有任何行覆盖 {values}。",
    )


def _shown(box: Box, boxes: _Boxes, *, missing: bool) -> tuple[Any, ...] | None:
    """Return values in a box, without missing ones if that can be."""
    found = []
    for side, pieces in zip(box, boxes.pieces, strict=True):
        fitting = [piece for n, piece in enumerate(pieces) if side >> n & 1]
        known = [piece for piece in fitting if piece is not None]
        if not known and not missing:
            return None
        found.append((known or fitting)[0])
    return tuple(found)


def _told(value: Any) -> str:
    return "missing" if value is None else repr(value)
