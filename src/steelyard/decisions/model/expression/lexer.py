"""From text to tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from steelyard.decisions.model.expression.refusals import ExpressionIsMalformed

MAX_LENGTH = 4_000
"""Characters of an expression: one that is longer is no longer read by anybody."""


class Kind(StrEnum):
    """What sort of token it is."""

    NUMBER = "number"
    TEXT = "text"
    NAME = "name"
    WORD = "word"
    """`true` and `false`."""
    OPERATOR = "operator"
    BRACKET = "bracket"
    TEMPLATE = "template"
    END = "end"


@dataclass(frozen=True, slots=True)
class Token:
    """A token and where it begins."""

    kind: Kind
    text: str
    at: int


_TOKEN = re.compile(
    r"""(?P<space>[ \n\t]+)
      | (?P<number>[0-9][0-9_]*(?:\.(?!\.)[0-9_]*)?(?:e[+-]?[0-9]+)?)
      | (?P<name>[A-Za-z$_\#][A-Za-z0-9$_\#]*)
      | (?P<text>'[^']*'|"[^"]*")
      | (?P<template>`[^`]*`)
      | (?P<bracket>[()\[\]{}])
      | (?P<operator>\.\.|\?\?|[=!<>]=|[-+*/%^<>!?:,.])
    """,
    re.VERBOSE,
)
_NOT_IN = re.compile(r"not in ")
_OPERATORS = {"and", "or", "not", "in"}


def tokens(source: str, offset: int = 0) -> list[Token]:
    """Return the tokens of an expression; the last is the end.

    Refusals
    --------
    expression_is_malformed
        A character that belongs to no token, or an expression longer than `MAX_LENGTH`.
    """
    if len(source) > MAX_LENGTH:
        raise ExpressionIsMalformed(
            expression=source[:60] + " ...",
            at=offset + MAX_LENGTH,
            why=f"longer than {MAX_LENGTH} characters",
        )
    found: list[Token] = []
    at = 0
    while at < len(source):
        matched = _TOKEN.match(source, at)
        if matched is None:
            raise ExpressionIsMalformed(
                expression=source, at=offset + at, why=f"character {source[at]!r} is not understood"
            )
        kind = matched.lastgroup
        assert kind is not None
        text = matched[kind]
        begin, at = at, matched.end()
        if kind == "name" and text == "not" and _NOT_IN.match(source, begin):
            found.append(Token(Kind.OPERATOR, "not in", offset + begin))
            at = begin + len("not in ")
        elif kind == "name" and text in _OPERATORS:
            found.append(Token(Kind.OPERATOR, text, offset + begin))
        elif kind == "name" and text in ("true", "false"):
            found.append(Token(Kind.WORD, text, offset + begin))
        elif kind != "space":
            text = "not" if text == "!" else text
            found.append(Token(Kind(kind), text, offset + begin))
    found.append(Token(Kind.END, "", offset + len(source)))
    return found
