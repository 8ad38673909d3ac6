"""The text of a generated function, and the variables of the values a node reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from steelyard.decisions.model.compile.answer import Failure, Hit
from steelyard.decisions.model.expression.generate import Constants, Generator
from steelyard.decisions.model.expression.tree import Node


class Source:
    """Lines of Python, indented, with a table of constants and fresh names.

    Parameters
    ----------
    by_path : whether hits and failures are written as their paths
    """

    def __init__(self, *, by_path: bool = False) -> None:
        self.lines: list[str] = []
        self.constants = Constants()
        self.by_path = by_path
        self._depth = 1
        self._names = 0

    def add(self, line: str) -> None:
        """Append a line."""
        self.lines.append("    " * self._depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Append a head; what is added inside is indented under it."""
        self.add(head)
        self._depth += 1
        yield
        self._depth -= 1

    def mark(self, what: Hit | Failure) -> Any:
        """Return a hit or a failure as it is recorded."""
        return "/".join(what) if self.by_path else what

    def marked(self, what: Hit | Failure) -> str:
        """Return the name of a constant: a hit or a failure as it is recorded."""
        return self.constants.bind(self.mark(what))

    def fresh(self, prefix: str) -> str:
        """Return a name that was not used before."""
        self._names += 1
        return f"{prefix}{self._names}"

    def reserve(self) -> int:
        """Return a place that lines can be put at later, by `fill`."""
        self.lines.append("")
        return len(self.lines) - 1

    def fill(self, at: int, lines: list[str]) -> None:
        """Put lines at a reserved place, with the indentation of now."""
        self.lines[at] = "\n".join("    " * self._depth + line for line in lines)


class Reading:
    """Variables of the values of a context, each looked up once, in a prelude.

    Parameters
    ----------
    source : where the node is written
    context : the variable of its values
    ancestors : variables of the answers of the nodes before it, by their name (`$nodes`)
    named : whether the values are known to be a dict
    sure : names that are nearly always there; None where that is true of all
    """

    def __init__(
        self,
        source: Source,
        context: str,
        ancestors: dict[str, str],
        *,
        named: bool = False,
        sure: frozenset[str] | None = None,
    ) -> None:
        self.source = source
        self.context = context
        self.tested = "None"
        self.generator = Generator(source.constants, self.value, self._whole)
        self._ancestors = ancestors
        self._named = named
        self._sure = sure
        self._looked: list[tuple[str, str]] = []
        self._values: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._prelude: list[str] = []
        self._place = source.reserve()

    def value(self, name: str) -> str:
        """Return the variable of a name."""
        if name == "$":
            return self.tested
        if name == "$nodes":
            constant = self.source.constants.of
            pairs = (f"{constant(name)}: {out}" for name, out in self._ancestors.items())
            return "{" + ", ".join(pairs) + "}"
        if name not in self._values:
            variable = self._values[name] = self.source.fresh("v")
            self._looked.append((variable, name))
        return self._values[name]

    def number(self, name: str) -> str:
        """Return the variable of a name as a number."""
        return self.number_of(self.value(name))

    def number_of(self, variable: str) -> str:
        """Return a variable that is the number of another; not-a-number if it is none."""
        if variable not in self._numbers:
            number = self._numbers[variable] = self.source.fresh("f")
            self._prelude.append(as_number(number, variable))
        return self._numbers[variable]

    def field(self, node: Node) -> str:
        """Return a variable of an expression's value; a failed one equals nothing."""
        variable = self.source.fresh("v")
        written = self.generator.write(node)
        self._prelude += [
            "try:",
            f"    {variable} = _plain({written})",
            "except _NotEvaluable:",
            f"    {variable} = _FAILED",
        ]
        return variable

    def _whole(self) -> str:
        return f"_stripped({self.context})"

    @property
    def names(self) -> dict[str, str]:
        """The variables by the names that were read."""
        return self._values

    @property
    def variables(self) -> tuple[str, ...]:
        """All variables the prelude sets, in their order."""
        set_ = (line.split(" = ")[0].strip() for line in self._prelude if " = " in line)
        return tuple(dict.fromkeys((*(variable for variable, _ in self._looked), *set_)))

    def done(self) -> None:
        """Write the prelude at its place: what is looked up, then what is made of it."""
        constant = self.source.constants.of
        looked = [f"{variable} = g({constant(name)})" for variable, name in self._looked]
        sure = [n for n, (_, name) in enumerate(self._looked) if self._is_sure(name)]
        if looked:
            get = f"{self.context}.get" if self._named else f"_named({self.context})"
            lines = [f"g = {get}"]
            if self._named and len(sure) > 1:
                # A name that is there is found faster so; one that is not sends all the other way.
                found = [self._looked[n] for n in sure]
                lines += [
                    "try:",
                    *(f"    {v} = {self.context}[{constant(name)}]" for v, name in found),
                ]
                lines += ["except KeyError:", *(f"    {looked[n]}" for n in sure)]
                looked = [line for n, line in enumerate(looked) if n not in sure]
            looked = [*lines, *looked]
        self.source.fill(self._place, [*looked, *self._prelude] or ["pass"])

    def _is_sure(self, name: str) -> bool:
        return self._sure is None or name in self._sure


def as_number(number: str, value: str) -> str:
    """Return the line that makes a number of a value."""
    return (
        f"{number} = {value} if type({value}) is int or type({value}) is float else _NOT_A_NUMBER"
    )
