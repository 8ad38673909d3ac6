"""The reference page of the expression language, made from its catalogue."""

from __future__ import annotations

from collections.abc import Iterator

from steelyard.decisions.model.expression.catalogue import CLOSURES, FUNCTIONS, METHODS, Signature
from steelyard.decisions.model.expression.lexer import MAX_LENGTH
from steelyard.decisions.model.expression.parser import MAX_DEPTH
from steelyard.decisions.model.expression.values import MAX_ELEMENTS

_BEGIN = """# Expressions of policies

<!-- Made by scripts/reference.py from the code: do not edit. -->

Policies are written in the open ZEN expression language of GoRules: in its standard mode in
expression nodes, switches and results of tables, in its unary mode in the conditions of tables. An
expression is parsed to a tree, and the tree is written as Python by our own generator; no character
of it becomes code. Random expressions and documents are compared with the `zen-engine` package in
the tests: where both evaluate, the answers are equal, but for what this page says.

## Values

| value | written | notes |
| --- | --- | --- |
| number | `42`, `3.14`, `1e3`, `1_000` | whole numbers stay whole, fractions are decimals |
| text | `'a'`, `"a"`, `` `sum ${a + b}` `` | no escapes; a template cannot hold a template |
| flag | `true`, `false` | no number, and no number is a flag |
| missing | `null` | also every name that is not there |
| array, object | `[1, 2]`, `{a: 1, [key]: 2}` | never equal to anything, not even to itself |
| interval | `[1..5]`, `(1..5)` | round: without the end; turned, `]1..5[`: outside |
| date | `d('2024-02-29')` | an instant in UTC; an invalid date is a value too |

Arithmetic with fractions is decimal with 28 digits, so that `0.1 + 0.2 == 0.3`. A float that comes
in is taken by its shortest decimal form. A fraction leaves a node as a binary64. Division by zero,
and the remainder of it, is missing. No number is larger than 2^96 - 1.

## Missing and unfit values

Missing is explicit and never zero. An operation on a value it is not made for, and that includes a
missing one, cannot be evaluated; only `==`, `!=`, `in [..]`, `??`, `.` and the functions `bool`,
`string`, `type`, `isNumeric` and `d` take it. What then happens:

- a condition of a table or of a switch **does not hold**, as a whole: `not ($ > 5)` and
  `$ > 5 or other > 1` do not hold for a missing `$` either. Write `(amount ?? 0) > 5` to say what
  missing means;
- a result of a row: the row is **not hit**, and a note says why;
- an entry of an expression node: its result is **missing**, and a note says why. The reference
  engine fails the whole decision there.

## Operators, from the weakest

`? :`, `or`, `and`, then `== != < <= > >= in not in`, `+ -`, `not`, `* / %`, `^`, `??`, and `+a -a`
last. So `not a == b` is `(not a) == b`, and `-2 ^ 2` is 4. Order is for two numbers or two dates.
Tests of a cell are joined from the left without precedence: `5, 6 and > 5` is `(5 or 6) and > 5`;
inside of parentheses `and` and `or` do not stand in a cell.
"""

_END = f"""
## Not covered

| what | why |
| --- | --- |
| assignments (`a = 1; a + 1`) | an expression node has entries for that |
| the clock: `d()`, `isToday`, `isYesterday`, `isTomorrow` | decisions are replayed |
| `rand` | a decision is replayed |
| time zones: `tz`, `d(x, zone)`, `offsetName` | instants are UTC, business dates are values |
| patterns that are not written in the expression, look around or refer back | engines differ |
| directives of `format` beyond the common ones, `format()` without one | engines differ |
| `#` outside of a closure | the reference reads it as missing |
| JavaScript function nodes | refused: `function_node_is_refused` |

An expression is refused that is longer than {MAX_LENGTH:,} characters or nests deeper than
{MAX_DEPTH}; an interval of more than {MAX_ELEMENTS:,} elements is not counted out.

## Other than in the reference

- Text is counted in characters; there, in bytes of UTF-8. They differ outside of ASCII.
- Numbers beyond 15 digits, a zero below zero, and results whose 28th digit matters may differ in
  the last place. Roots of negative numbers cannot be evaluated.
- A quotient becomes text without zeros at its end (`0.5`); there, sometimes with one (`0.50`).
- The keys of an object keep their order.
- `$root` does not hold `$nodes`; `$nodes` holds the nodes before this one.
- `$` in a result of a table is the tested value of the row's last condition; without one, missing.
- A cell that is no expression is refused when the document is read; there, its row never holds.
- Two columns that write the same name, a node no edge leads to, an edge that leaves a switch by no
  statement, and two outputs are refused.

## In columns

Backtests evaluate the same document over columns. Covered are comparisons, arithmetic, `in` over
written arrays and intervals, logic, `??`, `? :`, `abs`, `floor`, `ceil`, `trunc`, `min` and `max`
of written arrays, and over the hits of a collecting table `sum(map(..))` of whole numbers, `map`,
`len`, `count`, `some`, `all`, `none`, `one`. All else is refused by name
(`columns_are_not_covered`). A computed fraction that comes within 1e-9 of what it is compared with
is decided by the row form.
"""


def expressions_page() -> str:
    """Return the page, in Markdown."""
    return "\n".join([_BEGIN, *_calls(), _END.removesuffix("\n")]) + "\n"


def _calls() -> Iterator[str]:
    yield "## Functions\n"
    yield "| function | arguments | gives | in a cell it is |\n| --- | --- | --- | --- |"
    for name, signature in FUNCTIONS.items():
        if signature.refused is None:
            yield f"| `{name}` | {_count(signature)} | {signature.gives} | {_cell(signature)} |"
    yield "\n`date`, `time`, `startOf` and their kin are the older functions: seconds since 1970."
    closures = ", ".join(f"`{name}`" for name in CLOSURES)
    yield f"\nClosures go through an array or an interval: {closures}. `#` is the element, or the"
    yield "name after `as`: `map(items as item, item.price * 2)`."
    yield "\n## Methods of dates\n"
    yield "| method | arguments | gives |\n| --- | --- | --- |"
    for name, signature in METHODS.items():
        if signature.refused is None:
            yield f"| `.{name}` | {_count(signature)} | {signature.gives} |"


def _count(signature: Signature) -> str:
    if signature.least == signature.most:
        return str(signature.least)
    return f"{signature.least} to {signature.most}"


def _cell(signature: Signature) -> str:
    said = {"equal": "compared with `$`", "in": "looked into for `$`", "flag": "the answer"}
    return said[signature.behaviour.value]
