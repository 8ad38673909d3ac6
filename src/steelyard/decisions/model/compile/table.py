"""Decision tables, row after row; `index.py` has the tables that are too long for that."""

from __future__ import annotations

from dataclasses import dataclass

from steelyard.decisions.model.compile.answer import Failure, Hit
from steelyard.decisions.model.compile.forms import Form, Plain, form_of, number_of
from steelyard.decisions.model.compile.writing import Reading, Source
from steelyard.decisions.model.document import Output, Row, TableNode, malformed
from steelyard.decisions.model.expression import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
    parse,
    parse_unary,
)
from steelyard.decisions.model.expression.generate import is_flag
from steelyard.decisions.model.expression.tree import Literal, Member, Name, Node, bare, names


@dataclass(frozen=True, slots=True)
class Condition:
    """A cell of a row that is not empty.

    Attributes
    ----------
    column : place of its column among the inputs
    written : Python that is true where it holds
    fails : whether that Python may raise `NotEvaluable`
    form : what it is to the index; None when it is more than that
    """

    column: int
    written: str
    fails: bool
    form: Form | None


@dataclass(frozen=True, slots=True)
class Line:
    """A row, written: its conditions, and Python for each of its results."""

    row: Row
    conditions: tuple[Condition, ...]
    results: tuple[tuple[Output, str], ...]
    fails: bool


@dataclass(frozen=True, slots=True)
class Columns:
    """The variables of the tested values; None for a column of whole expressions."""

    values: tuple[str | None, ...]
    simple: tuple[bool, ...]


def read_columns(node: TableNode, reading: Reading) -> Columns:
    """Write what reads the tested values."""
    variables: list[str | None] = []
    simple = []
    for column in node.inputs:
        if column.field is None:
            variables.append(None)
            simple.append(False)
            continue
        tree = bare(expression(node.id, f"column {column.id}", column.field))
        named = isinstance(tree, Name)
        variables.append(
            reading.value(tree.name) if isinstance(tree, Name) else reading.field(tree)
        )
        simple.append(named)
    return Columns(tuple(variables), tuple(simple))


def write_rows(node: TableNode, columns: Columns, reading: Reading) -> list[Line]:
    """Return the rows, written."""
    return [_line(node, row, columns, reading) for row in node.rows]


def expression(node: str, at: str, source: str, *, unary: bool = False) -> Node:
    """Return the tree of an expression of a document; refused with its place in it."""
    try:
        return parse_unary(source) if unary else parse(source)
    except (ExpressionIsMalformed, ExpressionIsNotCovered) as refused:
        raise malformed(node, at, refused.sentence("en")) from refused


def _line(node: TableNode, row: Row, columns: Columns, reading: Reading) -> Line:
    conditions = []
    reading.tested = "None"
    for n, (column, cell) in enumerate(zip(node.inputs, row.conditions, strict=True)):
        if not cell:
            continue
        at = f"row {row.id}, column {column.id}"
        variable = columns.values[n]
        if variable is not None:
            reading.tested = variable
        tree = expression(node.id, at, cell, unary=variable is not None)
        conditions.append(_condition(n, tree, columns, reading))
    results = []
    fails = False
    for output, cell in zip(node.outputs, row.results, strict=True):
        if cell:
            at = f"row {row.id}, column {output.id}"
            tree = expression(node.id, at, cell)
            number = number_of(tree)
            safe = is_safe(tree) or number is not None
            written = (
                reading.generator.write(tree)
                if number is None
                else reading.source.constants.of(number)
            )
            results.append((output, written if safe else f"_plain({written})"))
            fails = fails or not safe
    return Line(row, tuple(conditions), tuple(results), fails)


def _condition(column: int, tree: Node, columns: Columns, reading: Reading) -> Condition:
    variable = columns.values[column]
    plain = Plain(reading.source.constants, reading.value, reading.number)
    written = plain.write(tree)
    fails = written is None
    if written is None:
        written = reading.generator.write(tree)
        written = written if is_flag(tree) else f"({written}) is True"
    form = None
    if variable is not None and columns.simple[column]:
        form = form_of(tree)
    elif variable is not None and "$" in names(tree):
        written = f"({variable} is not _FAILED and {written})"
    return Condition(column, written, fails, form)


def is_safe(node: Node) -> bool:
    """Return whether a tree is a constant or a value that is looked up, which cannot fail."""
    node = bare(node)
    if isinstance(node, Member):
        return is_safe(node.node) and isinstance(node.key, Literal) and type(node.key.value) is str
    return isinstance(node, Literal | Name)


def display(source: Source, results: tuple[tuple[Output, str], ...], *, collected: bool) -> str:
    """Return Python for the object of a row's results."""
    tree: dict[str, object] = {}
    for output, written in results:
        if output.collected and not collected:
            continue
        inner = tree
        for name in output.path[:-1]:
            found = inner.setdefault(name, {})
            assert isinstance(found, dict)
            inner = found
        inner[output.path[-1]] = written
    return _display(source, tree)


def _display(source: Source, tree: dict[str, object]) -> str:
    pairs = []
    for name, value in tree.items():
        written = value if isinstance(value, str) else _display(source, value)  # type: ignore[arg-type]
        pairs.append(f"{source.constants.of(name)}: {written}")
    return "{" + ", ".join(pairs) + "}"


class LinearTable:
    """Writes a table row after row.

    Parameters
    ----------
    node : the table
    source : where it is written
    traced : whether the first failed condition of each row is recorded
    whole : whether the rows behind the first hit are asked as well, for what failed in them
    """

    def __init__(
        self, node: TableNode, source: Source, *, traced: bool, whole: bool = False
    ) -> None:
        self.node = node
        self.source = source
        self.traced = traced
        self.whole = whole
        self.gathers = not node.collect and any(output.collected for output in node.outputs)

    def write(self, lines: list[Line], answer: str) -> None:
        """Write the rows; the answer is left in a variable."""
        source = self.source
        if self.node.collect:
            source.add(f"{answer} = []")
            for line in lines:
                self._row(line, answer)
            return
        source.add(f"{answer} = None")
        if self.gathers:
            source.add("u = {}")
            for line in lines:
                self._row(line, answer)
            with source.block(f"if {answer} is not None:"):
                for output in self.node.outputs:
                    if output.collected:
                        path = source.constants.of(output.path)
                        source.add(f"_put({answer}, {path}, u.get({path}, []))")
            return
        if self.whole:
            for line in lines:
                self._row(line, answer)
            return
        with source.block("while True:"):
            for line in lines:
                self._row(line, answer)
            source.add("break")

    def _row(self, line: Line, answer: str) -> None:
        source = self.source
        if self.traced:
            self._traced(line, answer)
            return
        held = " and ".join(one.written for one in line.conditions) or "True"
        if any(one.fails for one in line.conditions):
            with source.block("try:"):
                source.add(f"m = {held}")
            with source.block("except _NotEvaluable:"):
                source.add("m = False")
            held = "m"
        with source.block(f"if {held}:"):
            self._guarded(line, answer)

    def _guarded(self, line: Line, answer: str) -> None:
        """Write what a held row gives; a result that fails is noted, and the row is not hit."""
        if not line.fails:
            self._body(line, answer)
            return
        source, constant = self.source, self.source.constants.of
        with source.block("try:"):
            self._body(line, answer)
        with source.block("except _NotEvaluable as e:"):
            note = f"_Note({constant(self.node.id)}, {constant(line.row.id)}, _text(e))"
            source.add(f"n.append({note})")

    def _traced(self, line: Line, answer: str) -> None:
        source = self.source
        word = "if"
        for condition in line.conditions:
            written = condition.written
            if condition.fails:
                written = f"_holds(lambda: {written})"
            failure = Failure(self.node.id, line.row.id, self.node.inputs[condition.column].id)
            with source.block(f"{word} not ({written}):"):
                source.add(f"x.append({source.marked(failure)})")
            word = "elif"
        with source.block("else:" if line.conditions else "if True:"):
            self._guarded(line, answer)

    def _body(self, line: Line, answer: str) -> None:
        source = self.source
        hit = f"h.append({source.marked(Hit(self.node.id, line.row.id))})"
        if self.gathers:
            made = source.fresh("q")
            source.add(f"{made} = {display(source, line.results, collected=False)}")
            gathered = []
            for output, written in line.results:
                if output.collected:
                    value = source.fresh("q")
                    source.add(f"{value} = {written}")
                    gathered.append((output, value))
            for output, value in gathered:
                path = source.constants.of(output.path)
                source.add(f"u.setdefault({path}, []).append({value})")
            with source.block(f"if {answer} is None:"):
                source.add(f"{answer} = {made}")
            source.add(hit)
            return
        made = display(source, line.results, collected=True)
        if self.node.collect:
            source.add(f"{answer}.append({made})")
            source.add(hit)
        elif self.whole:
            with source.block(f"if {answer} is None:"):
                source.add(f"{answer} = {made}")
                source.add(hit)
        else:
            source.add(f"{answer} = {made}")
            source.add(hit)
            source.add("break")
