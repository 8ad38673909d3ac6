"""From tokens to the tree, in the standard mode and in the unary mode of table cells."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from steelyard.decisions.model.expression.catalogue import (
    CLOSURES,
    FUNCTIONS,
    METHODS,
    Behaviour,
)
from steelyard.decisions.model.expression.lexer import Kind, Token, tokens
from steelyard.decisions.model.expression.refusals import (
    ExpressionIsMalformed,
    ExpressionIsNotCovered,
)
from steelyard.decisions.model.expression.tree import (
    Array,
    Binary,
    Call,
    Closure,
    Conditional,
    Grouped,
    Interval,
    Literal,
    Member,
    Method,
    Name,
    Node,
    Object,
    Pointer,
    Root,
    Slice,
    Template,
    Unary,
)
from steelyard.decisions.model.expression.values import LARGEST

MAX_DEPTH = 40
"""How deep an expression nests; Python's own parser has a limit as well."""

_BINARY: dict[str, int] = {
    "or": 10,
    "and": 15,
    "==": 20,
    "!=": 20,
    "<": 20,
    ">": 20,
    "<=": 20,
    ">=": 20,
    "in": 20,
    "not in": 20,
    "+": 30,
    "-": 30,
    "*": 60,
    "/": 60,
    "%": 60,
    "^": 70,
    "??": 80,
}
_PREFIX: dict[str, int] = {"not": 50, "+": 200, "-": 200}
COMPARISONS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in", "not in"})
_TESTED = Name("$")


def parse(source: str) -> Node:
    """Return the tree of an expression in the standard mode.

    Parameters
    ----------
    source : an expression of the ZEN language, as written in expression nodes and output columns

    Refusals
    --------
    expression_is_malformed
        It is no expression.
    expression_is_not_covered
        It uses what is refused here: the clock, chance, assignments.

    Examples
    --------
    >>> parse("1 + a")
    Binary(operator='+', left=Literal(value=1), right=Name(name='a'))
    """
    parser = _Parser(source, unary=False)
    return parser.whole(parser.binary(0, in_closure=False))


def parse_unary(source: str) -> Node:
    """Return the tree of a table cell: a test of `$`, as a standard expression that is a flag.

    Refusals
    --------
    expression_is_malformed
        It is no test.
    expression_is_not_covered
        It uses what is refused here.

    Examples
    --------
    >>> parse_unary("> 5") == parse("$ > 5")
    True
    """
    parser = _Parser(source, unary=True)
    return parser.whole(parser.tests())


class _Parser:
    """A recursive descent over the tokens of one expression."""

    def __init__(self, source: str, *, unary: bool, offset: int = 0) -> None:
        self.source = source
        self.unary = unary
        self.tokens = tokens(source, offset)
        self.position = 0
        self.closures = 0
        self.depth = 0
        self.has_range = any(token.text == ".." for token in self.tokens)
        self.no_interval: set[int] = set()

    # -- tokens ------------------------------------------------------------------------------

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def at(self, kind: Kind, *texts: str) -> bool:
        token = self.token
        return token.kind is kind and (not texts or token.text in texts)

    def take(self) -> Token:
        token = self.tokens[self.position]
        if token.kind is Kind.END:
            raise self.malformed("it ends too early")
        self.position += 1
        return token

    def expect(self, kind: Kind, text: str) -> None:
        if not self.at(kind, text):
            raise self.malformed(f"{text} expected, {self.token.text or 'the end'} found")
        self.position += 1

    def malformed(self, why: str) -> ExpressionIsMalformed:
        return ExpressionIsMalformed(expression=self.source, at=self.token.at, why=why)

    def not_covered(self, what: str, why: str) -> ExpressionIsNotCovered:
        return ExpressionIsNotCovered(expression=self.source, what=what, why=why)

    def whole(self, node: Node) -> Node:
        if not self.at(Kind.END):
            raise self.malformed(f"{self.token.text} is not expected")
        return node

    # -- tests of a table cell ---------------------------------------------------------------

    def tests(self) -> Node:
        """Read tests joined by comma, `or` and `and`, from the left and without precedence."""
        node = self.test()
        while not self.at(Kind.END):
            if not self.at(Kind.OPERATOR, "and", "or", ","):
                raise self.malformed(f"{self.token.text} does not join two tests")
            operator = "and" if self.take().text == "and" else "or"
            node = Binary(operator, node, self.test())
        return node

    def test(self) -> Node:
        if self.at(Kind.OPERATOR, *COMPARISONS):
            operator = self.take().text
            return Binary(operator, _TESTED, self.binary(0, in_closure=False))
        node = self.binary(0, in_closure=False)
        behaviour = _behaviour(node)
        if behaviour is Behaviour.FLAG:
            return Call("bool", (node,))
        return Binary("==" if behaviour is Behaviour.EQUAL else "in", _TESTED, node)

    # -- operators ---------------------------------------------------------------------------

    def binary(self, precedence: int, *, in_closure: bool) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.malformed(f"it nests deeper than {MAX_DEPTH}")
        node = self.prefix()
        while self.at(Kind.OPERATOR):
            operator = self.token.text
            if self.unary and not in_closure and operator in ("and", "or"):
                break
            strength = _BINARY.get(operator)
            if strength is None or strength < precedence:
                break
            self.position += 1
            right = self.binary(strength + (operator != "^"), in_closure=False)
            node = Binary(operator, node, right)
        if precedence == 0 and self.at(Kind.OPERATOR, "?"):
            self.position += 1
            then = self.binary(0, in_closure=False)
            self.expect(Kind.OPERATOR, ":")
            node = Conditional(node, then, self.binary(0, in_closure=False))
        self.depth -= 1
        return node

    def prefix(self) -> Node:
        if self.at(Kind.OPERATOR):
            operator = self.token.text
            if operator not in _PREFIX:
                raise self.malformed(f"{operator} does not begin a value")
            self.position += 1
            return Unary(operator, self.binary(_PREFIX[operator], in_closure=False))
        interval = self.interval()
        if interval is not None:
            return self.postfix(interval)
        if self.at(Kind.BRACKET, "("):
            self.position += 1
            node = self.binary(0, in_closure=False)
            self.expect(Kind.BRACKET, ")")
            return self.postfix(Grouped(node))
        return self.primary()

    def interval(self) -> Interval | None:
        """Read an interval, or stay where it is if there is none: `(` and `[` mean more things."""
        begin = self.position
        if not self.has_range or not self.at(Kind.BRACKET) or begin in self.no_interval:
            return None
        depth, closures = self.depth, self.closures
        try:
            left_bracket = self.take().text
            left = self.binary(0, in_closure=False)
            self.expect(Kind.OPERATOR, "..")
            right = self.binary(0, in_closure=False)
            if not self.at(Kind.BRACKET):
                raise self.malformed("the interval is not closed")
            right_bracket = self.take().text
        except ExpressionIsMalformed:
            self.position, self.depth, self.closures = begin, depth, closures
            self.no_interval.add(begin)
            return None
        if left_bracket not in "([])" or right_bracket not in "([])":
            raise self.malformed("an interval has round or square brackets")
        return Interval(left_bracket, left, right, right_bracket)

    # -- values ------------------------------------------------------------------------------

    def primary(self) -> Node:
        token = self.take()
        if token.kind is Kind.NUMBER:
            return self.number(token)
        if token.kind is Kind.WORD:
            return Literal(token.text == "true")
        if token.kind is Kind.TEXT:
            return Literal(token.text[1:-1])
        if token.kind is Kind.TEMPLATE:
            return self.template(token)
        if token.kind is Kind.NAME:
            return self.named(token)
        if token.text == "[":
            return self.array()
        if token.text == "{":
            return self.object()
        self.position -= 1
        raise self.malformed(f"{token.text} does not begin a value")

    def number(self, token: Token) -> Literal:
        try:
            value = Decimal(token.text.replace("_", "").removesuffix("."))
        except InvalidOperation:
            raise self.malformed(f"{token.text} is not a number") from None
        exponent = value.as_tuple().exponent
        assert isinstance(exponent, int)
        if value > LARGEST or exponent < -28:
            raise self.malformed(f"{token.text} is out of range")
        if exponent < 0:
            return Literal(value)
        return Literal(int(value))

    def template(self, token: Token) -> Template:
        parts: list[Node] = []
        text, at = token.text[1:-1], token.at + 1
        while (begin := text.find("${")) >= 0:
            end = text.find("}", begin)
            if end < 0:
                raise self.malformed("an expression in the text is not closed")
            inner = _Parser(text[begin + 2 : end], unary=self.unary, offset=at + begin + 2)
            inner.closures, inner.depth = self.closures, self.depth
            parts.append(Literal(text[:begin]))
            parts.append(inner.whole(inner.binary(0, in_closure=False)))
            text, at = text[end + 1 :], at + end + 1
        return Template((*parts, Literal(text)))

    def named(self, token: Token) -> Node:
        name = token.text
        if name == "null":
            return Literal(None)
        if name == "#":
            if not self.closures:
                raise self.malformed("# stands only inside of a closure")
            return self.postfix(Pointer())
        if self.at(Kind.BRACKET, "("):
            self.position += 1
            return self.postfix(self.call(name))
        return self.postfix(Root() if name == "$root" else Name(name))

    def call(self, name: str) -> Node:
        if name in CLOSURES:
            return self.closure(name)
        if name not in FUNCTIONS:
            raise self.malformed(f"there is no function {name}")
        arguments = self.arguments()
        self.checked(name, FUNCTIONS[name].check(arguments))
        return Call(name, arguments)

    def checked(self, name: str, why: str | None) -> None:
        """Refuse a call for the reason given, if there is one."""
        if why is not None:
            raise self.not_covered(f"{name}()", why)

    def closure(self, name: str) -> Closure:
        source = self.binary(0, in_closure=False)
        alias = None
        if self.at(Kind.NAME, "as"):
            self.position += 1
            if not self.at(Kind.NAME):
                raise self.malformed("a name is expected after as")
            alias = self.take().text
        self.expect(Kind.OPERATOR, ",")
        self.closures += 1
        body = self.binary(0, in_closure=True)
        self.closures -= 1
        self.expect(Kind.BRACKET, ")")
        return Closure(name, source, alias, body)

    def arguments(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.at(Kind.BRACKET, ")"):
            found.append(self.binary(0, in_closure=False))
            if not self.at(Kind.OPERATOR, ","):
                break
            self.position += 1
        self.expect(Kind.BRACKET, ")")
        return tuple(found)

    def array(self) -> Node:
        items: list[Node] = []
        while not self.at(Kind.BRACKET, "]"):
            items.append(self.binary(0, in_closure=False))
            if not self.at(Kind.OPERATOR, ","):
                break
            self.position += 1
        self.expect(Kind.BRACKET, "]")
        return self.postfix(Array(tuple(items)))

    def object(self) -> Object:
        items: list[tuple[Node, Node]] = []
        while not self.at(Kind.BRACKET, "}"):
            key = self.key()
            self.expect(Kind.OPERATOR, ":")
            items.append((key, self.binary(0, in_closure=False)))
            if not self.at(Kind.OPERATOR, ","):
                break
            self.position += 1
            if self.at(Kind.BRACKET, "}"):
                raise self.malformed("a key is expected after the comma")
        self.expect(Kind.BRACKET, "}")
        return Object(tuple(items))

    def key(self) -> Node:
        token = self.take()
        if token.kind in (Kind.NAME, Kind.WORD, Kind.NUMBER):
            return Literal(token.text)
        if token.kind is Kind.TEXT:
            return Literal(token.text[1:-1])
        if token.text == "[":
            node = self.binary(0, in_closure=False)
            self.expect(Kind.BRACKET, "]")
            return node
        self.position -= 1
        raise self.malformed(f"{token.text} is not a key")

    # -- what follows a value ----------------------------------------------------------------

    def postfix(self, node: Node) -> Node:
        while True:
            if self.at(Kind.OPERATOR, "."):
                self.position += 1
                node = self.member(node)
            elif self.at(Kind.BRACKET, "["):
                self.position += 1
                node = self.subscript(node)
            else:
                return node

    def member(self, node: Node) -> Node:
        token = self.take()
        named = token.kind is Kind.NAME or (
            token.kind is Kind.OPERATOR and token.text in ("and", "or", "not", "in")
        )
        if not named:
            self.position -= 1
            raise self.malformed(f"{token.text} is not a property")
        if not self.at(Kind.BRACKET, "("):
            return Member(node, Literal(token.text))
        if token.text not in METHODS:
            raise self.malformed(f"there is no method {token.text}")
        self.position += 1
        arguments = self.arguments()
        self.checked(f".{token.text}", METHODS[token.text].check(arguments))
        return Method(token.text, node, arguments)

    def subscript(self, node: Node) -> Node:
        first = None if self.at(Kind.OPERATOR, ":") else self.binary(0, in_closure=False)
        if not self.at(Kind.OPERATOR, ":"):
            self.expect(Kind.BRACKET, "]")
            assert first is not None
            return Member(node, first)
        self.position += 1
        last = None if self.at(Kind.BRACKET, "]") else self.binary(0, in_closure=False)
        self.expect(Kind.BRACKET, "]")
        return Slice(node, first, last)


def _behaviour(node: Node) -> Behaviour:
    """Return whether a cell is compared with `$`, contains it, or is a flag by itself."""
    if isinstance(node, Array | Slice | Interval):
        return Behaviour.IN
    if isinstance(node, Conditional):
        return _both(node.then, node.otherwise)
    if isinstance(node, Unary | Grouped):
        return _behaviour(node.node)
    if isinstance(node, Binary):
        return _both(node.left, node.right) if node.operator in "+-*/%^" else Behaviour.FLAG
    if isinstance(node, Call):
        return FUNCTIONS[node.function].behaviour
    if isinstance(node, Closure):
        return CLOSURES[node.function]
    if isinstance(node, Method):
        return METHODS[node.method].behaviour
    return Behaviour.FLAG if isinstance(node, Pointer) else Behaviour.EQUAL


def _both(left: Node, right: Node) -> Behaviour:
    first = _behaviour(left)
    return first if first is _behaviour(right) else Behaviour.EQUAL
