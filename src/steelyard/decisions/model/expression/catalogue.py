"""The functions, closures and methods there are, and how each is called."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from steelyard.decisions.model.expression.tree import Literal, Node


class Behaviour(StrEnum):
    """What a table cell does with the value of such a node."""

    EQUAL = "equal"
    """It is compared with the tested value."""
    IN = "in"
    """The tested value is looked for in it."""
    FLAG = "flag"
    """It is the answer by itself."""


@dataclass(frozen=True, slots=True)
class Signature:
    """How a function or a method is called; `least` and `most` count its arguments.

    Attributes
    ----------
    gives : `number`, `text`, `flag`, `array`, `object`, `date` or `any`
    refused : why it is not covered; None when it is
    literal : argument that has to be a literal, with what it has to be
    """

    least: int
    most: int
    gives: str
    behaviour: Behaviour = Behaviour.EQUAL
    refused: str | None = None
    literal: tuple[int, Callable[[str], str | None]] | None = None

    def check(self, arguments: Sequence[Node]) -> str | None:
        """Return why a call cannot be; None when it can."""
        if self.refused is not None:
            return self.refused
        if not self.least <= len(arguments) <= self.most:
            return f"it takes {self.least} to {self.most} arguments, not {len(arguments)}"
        if self.literal is not None and len(arguments) > self.literal[0]:
            argument = arguments[self.literal[0]]
            if not isinstance(argument, Literal) or not isinstance(argument.value, str):
                return f"argument {self.literal[0] + 1} has to be a literal text"
            return self.literal[1](argument.value)
        return None


_NOT_SHARED = re.compile(r"\(\?[=!<#(]|\(\?P[=>]|\\[1-9ZAGKRXQE]|\(\?>|[*+?}]\+")
_CLOCK = "it asks the clock; give the instant as a value"
_DIRECTIVES = frozenset("YmdHMSabABjyeIpuwFTDR%")


def pattern_is_refused(pattern: str) -> str | None:
    """Return why a regular expression is refused; None when both engines read it alike.

    Examples
    --------
    >>> pattern_is_refused("^[a-z]+$")
    >>> pattern_is_refused("(?=a)")
    'its pattern looks around or refers back'
    """
    if _NOT_SHARED.search(pattern):
        return "its pattern looks around or refers back"
    try:
        re.compile(pattern)
    except re.error as error:
        return f"its pattern is no regular expression ({error})"
    return None


def format_is_refused(form: str) -> str | None:
    """Return why a format of dates is refused."""
    directives = re.findall("%(.?)", form.replace("%%", ""))
    unknown = [one for one in directives if one not in _DIRECTIVES or not one]
    return f"directive %{unknown[0]} is not covered" if unknown else None


def _number(least: int = 1, most: int = 1) -> Signature:
    return Signature(least, most, "number")


def _flag(least: int = 2, most: int = 2) -> Signature:
    return Signature(least, most, "flag", Behaviour.FLAG)


_PATTERN = (1, pattern_is_refused)
FUNCTIONS: dict[str, Signature] = {
    "len": _number(),
    "contains": _flag(),
    "flatten": Signature(1, 1, "array", Behaviour.IN),
    "merge": Signature(1, 1, "any", Behaviour.IN),
    "mergeDeep": Signature(1, 1, "any", Behaviour.IN),
    "upper": Signature(1, 1, "text"),
    "lower": Signature(1, 1, "text"),
    "trim": Signature(1, 1, "text"),
    "startsWith": _flag(),
    "endsWith": _flag(),
    "matches": Signature(2, 2, "flag", Behaviour.FLAG, literal=_PATTERN),
    "extract": Signature(2, 2, "array", Behaviour.IN, literal=_PATTERN),
    "fuzzyMatch": Signature(2, 2, "any"),
    "split": Signature(2, 2, "array", Behaviour.IN),
    "abs": _number(),
    "sum": _number(),
    "avg": _number(),
    "min": Signature(1, 1, "any"),
    "max": Signature(1, 1, "any"),
    "rand": Signature(1, 1, "number", refused="it asks for chance; a decision is replayed"),
    "median": _number(),
    "mode": _number(),
    "floor": _number(),
    "ceil": _number(),
    "round": _number(1, 2),
    "trunc": _number(1, 2),
    "isNumeric": _flag(1, 1),
    "string": Signature(1, 1, "text"),
    "number": _number(),
    "bool": Signature(1, 1, "flag"),
    "type": Signature(1, 1, "text"),
    "keys": Signature(1, 1, "array", Behaviour.IN),
    "values": Signature(1, 1, "array", Behaviour.IN),
    "d": Signature(1, 1, "date"),
    "date": _number(),
    "time": _number(),
    "duration": _number(),
    "year": _number(),
    "dayOfWeek": _number(),
    "dayOfMonth": _number(),
    "dayOfYear": _number(),
    "weekOfYear": _number(),
    "monthOfYear": _number(),
    "monthString": Signature(1, 1, "text"),
    "weekdayString": Signature(1, 1, "text"),
    "dateString": Signature(1, 1, "text"),
    "startOf": _number(2, 2),
    "endOf": _number(2, 2),
}
CLOSURES: dict[str, Behaviour] = {
    "all": Behaviour.FLAG,
    "none": Behaviour.FLAG,
    "some": Behaviour.FLAG,
    "one": Behaviour.FLAG,
    "filter": Behaviour.IN,
    "map": Behaviour.IN,
    "flatMap": Behaviour.IN,
    "count": Behaviour.EQUAL,
}
METHODS: dict[str, Signature] = {
    "add": Signature(1, 2, "date"),
    "sub": Signature(1, 2, "date"),
    "set": Signature(2, 2, "date"),
    "format": Signature(1, 1, "text", literal=(0, format_is_refused)),
    "startOf": Signature(1, 1, "date"),
    "endOf": Signature(1, 1, "date"),
    "diff": _number(1, 2),
    "tz": Signature(1, 1, "date", refused="instants are UTC; a business date is a value"),
    "isSame": _flag(1, 2),
    "isBefore": _flag(1, 2),
    "isAfter": _flag(1, 2),
    "isSameOrBefore": _flag(1, 2),
    "isSameOrAfter": _flag(1, 2),
    "isValid": _flag(0, 0),
    "isLeapYear": _flag(0, 0),
    "isToday": Signature(0, 0, "flag", refused=_CLOCK),
    "isYesterday": Signature(0, 0, "flag", refused=_CLOCK),
    "isTomorrow": Signature(0, 0, "flag", refused=_CLOCK),
    "second": _number(0, 0),
    "minute": _number(0, 0),
    "hour": _number(0, 0),
    "day": _number(0, 0),
    "dayOfYear": _number(0, 0),
    "week": _number(0, 0),
    "weekday": _number(0, 0),
    "month": _number(0, 0),
    "quarter": _number(0, 0),
    "year": _number(0, 0),
    "timestamp": _number(0, 0),
    "offsetName": Signature(0, 0, "text", refused="instants are UTC"),
}
