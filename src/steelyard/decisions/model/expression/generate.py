"""From the tree to Python source: our own templates, generated names, constants by table.

No character of an expression comes into the source. A constant is bound to a generated name in the
namespace, a value of the context to a generated variable; what is called is a function of
`values` or `functions`, under a name that is fixed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from steelyard.decisions.model.expression import functions, values
from steelyard.decisions.model.expression.catalogue import CLOSURES, FUNCTIONS, METHODS, Behaviour
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
    bare,
    children,
)

_ARITHMETIC = {
    "+": "_add",
    "-": "_subtract",
    "*": "_multiply",
    "/": "_divide",
    "%": "_remainder",
    "^": "_power",
}
OPERATIONS: Mapping[str, Any] = {
    "_add": values.add,
    "_subtract": values.subtract,
    "_multiply": values.multiply,
    "_divide": values.divide,
    "_remainder": values.remainder,
    "_power": values.power,
    "_negate": values.negate,
    "_same": values.same,
    "_less": values.less,
    "_less_or_same": values.less_or_same,
    "_more": values.more,
    "_more_or_same": values.more_or_same,
    "_coalesce": values.coalesce,
    "_index": values.index,
    "_within": values.within,
    "_span": values.span,
    "_flag": values.flag,
    "_member": values.member,
    "_part": values.part,
    "_elements": values.elements,
    "_every": values.every,
    "_any_of": values.any_of,
    "_number_of": values.number_of,
    "_joined": values.joined,
    "_made": values.made,
    "_flatten": functions.flatten,
    "_plain": values.plain,
    "dict": dict,
    "list": list,
    "type": type,
    "_NotEvaluable": values.NotEvaluable,
    **{f"_f_{name}": function for name, function in functions.FUNCTIONS.items()},
    **{f"_m_{name}": function for name, function in functions.METHODS.items()},
}
"""What generated source may call, by the only names it calls them."""


class Constants:
    """The table of constants of one piece of generated source."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self._known: dict[tuple[type, Any], str] = {}

    def of(self, value: Any) -> str:
        """Return the name a constant is bound to; equal ones of one type share it."""
        if value is None or value is True or value is False:
            return repr(value)
        try:
            # A decimal keeps its places: 1.50 is not 1.5 when it is shown.
            key = (type(value), str(value) if isinstance(value, Decimal) else value)
            known = self._known.get(key)
        except TypeError:
            return self.bind(value)
        if known is None:
            known = self._known[key] = self.bind(value)
        return known

    def bind(self, value: Any) -> str:
        """Return a new name bound to an object."""
        name = f"k{len(self.namespace)}"
        self.namespace[name] = value
        return name


class Generator:
    """Writes Python for trees; names of the context are resolved by whoever made it.

    Parameters
    ----------
    constants : the table the constants go to
    resolve : the Python for a name of the context
    root : the Python for the whole context
    """

    def __init__(
        self, constants: Constants, resolve: Callable[[str], str], root: Callable[[], str]
    ) -> None:
        self.constants = constants
        self._resolve = resolve
        self._whole = root
        self.rows: dict[str, dict[str, bool]] = {}
        """Names that are known to be arrays of objects: their fields, and which are whole."""
        self._pointers: list[str] = []
        self._aliases: dict[str, str] = {}
        self._made = 0

    def write(self, node: Node) -> str:
        """Return a Python expression with the value of a tree; it may raise `NotEvaluable`."""
        written: str = getattr(self, f"_{type(node).__name__.lower()}")(node)
        return written

    def condition(self, node: Node) -> str:
        """Return a Python expression for a value that has to be a flag."""
        return self.write(node) if is_flag(node) else f"_flag({self.write(node)})"

    def _fresh(self, prefix: str) -> str:
        self._made += 1
        return f"{prefix}{self._made}"

    def _literal(self, node: Literal) -> str:
        return self.constants.of(node.value)

    def _name(self, node: Name) -> str:
        return self._aliases.get(node.name) or self._resolve(node.name)

    def _root(self, node: Root) -> str:
        return self._whole()

    def _pointer(self, node: Pointer) -> str:
        return self._pointers[-1]

    def _grouped(self, node: Grouped) -> str:
        return self.write(node.node)

    def _member(self, node: Member) -> str:
        inner, key = self.write(node.node), self.write(node.key)
        if isinstance(node.key, Literal) and type(node.key.value) is str and inner.isidentifier():
            # Most members are of an object: that needs no call.
            return f"({inner}.get({key}) if type({inner}) is dict else _member({inner}, {key}))"
        return f"_member({inner}, {key})"

    def _slice(self, node: Slice) -> str:
        first = "None" if node.first is None else f"_index({self.write(node.first)})"
        last = "None" if node.last is None else f"_index({self.write(node.last)})"
        return f"_part({self.write(node.node)}, {first}, {last})"

    def _array(self, node: Array) -> str:
        return f"[{', '.join(self.write(item) for item in node.items)}]"

    def _object(self, node: Object) -> str:
        written = (self.write(part) for pair in node.items for part in pair)
        return f"_made({', '.join(written)})"

    def _template(self, node: Template) -> str:
        return f"_joined({', '.join(self.write(part) for part in node.parts)})"

    def _interval(self, node: Interval) -> str:
        left, right = self.constants.of(node.left_bracket), self.constants.of(node.right_bracket)
        return f"_span({left}, {self.write(node.left)}, {self.write(node.right)}, {right})"

    def _unary(self, node: Unary) -> str:
        if node.operator == "not":
            return f"(not {self.condition(node.node)})"
        written = self.write(node.node)
        return f"_negate({written})" if node.operator == "-" else written

    def _binary(self, node: Binary) -> str:
        operator = node.operator
        if operator in ("and", "or"):
            return f"({self.condition(node.left)} {operator} {self.write(node.right)})"
        left, right = self.write(node.left), self.write(node.right)
        if operator == "??":
            if left.isidentifier():
                return f"({left} if {left} is not None else {right})"
            return f"_coalesce({left}, lambda: {right})"
        if operator in _ARITHMETIC:
            return f"{_ARITHMETIC[operator]}({left}, {right})"
        written = {
            "==": f"_same({left}, {right})",
            "!=": f"(not _same({left}, {right}))",
            "<": f"_less({left}, {right})",
            "<=": f"_less_or_same({left}, {right})",
            ">": f"_more({left}, {right})",
            ">=": f"_more_or_same({left}, {right})",
            "in": f"_within({left}, {right})",
            "not in": f"(not _within({left}, {right}))",
        }
        return written[operator]

    def _conditional(self, node: Conditional) -> str:
        condition = self.condition(node.condition)
        return f"({self.write(node.then)} if {condition} else {self.write(node.otherwise)})"

    def sums_whole(self, node: Node) -> bool:
        """Return whether a tree sums a field of known arrays that is a whole number in each."""
        node = bare(node)
        if not isinstance(node, Call) or node.function != "sum":
            return False
        plucked = self._plucked(bare(node.arguments[0]))
        return plucked is not None and self.rows[plucked[0]][plucked[1]]

    def _plucked(self, node: Node) -> tuple[str, str] | None:
        """Return name and field, if a tree is a field of each element of a known array."""
        if not isinstance(node, Closure) or node.function != "map":
            return None
        source, body = bare(node.source), bare(node.body)
        if not isinstance(source, Name) or not isinstance(body, Member):
            return None
        key = bare(body.key)
        if not isinstance(bare(body.node), Pointer) or not isinstance(key, Literal):
            return None
        known = source.name not in self._aliases and key.value in self.rows.get(source.name, {})
        return (source.name, str(key.value)) if known else None

    def _call(self, node: Call) -> str:
        assert node.function in functions.FUNCTIONS
        if self.sums_whole(node):
            return f"sum({self.write(node.arguments[0])})"
        return f"_f_{node.function}({', '.join(self.write(one) for one in node.arguments)})"

    def _method(self, node: Method) -> str:
        assert node.method in functions.METHODS
        written = (self.write(one) for one in (node.node, *node.arguments))
        return f"_m_{node.method}({', '.join(written)})"

    def _closure(self, node: Closure) -> str:
        plucked = self._plucked(node)
        if plucked is not None:
            one, key = self._fresh("p"), self.constants.of(plucked[1])
            return f"[{one}[{key}] for {one} in {self._resolve(plucked[0])}]"
        source = self.write(node.source)
        if source.isidentifier():
            source = f"({source} if type({source}) is list else _elements({source}))"
        else:
            source = f"_elements({source})"
        pointer = self._fresh("p")
        before = None if node.alias is None else self._aliases.get(node.alias)
        self._pointers.append(pointer)
        if node.alias is not None:
            self._aliases[node.alias] = pointer
        body = self.write(node.body)
        self._pointers.pop()
        if node.alias is not None:
            del self._aliases[node.alias]
            if before is not None:
                self._aliases[node.alias] = before
        over = f"for {pointer} in {source}"
        forms = {
            "map": f"[{body} {over}]",
            "flatMap": f"_flatten([{body} {over}])",
            "filter": f"[{pointer} {over} if _flag({body})]",
            "all": f"_every({body} {over})",
            "some": f"_any_of({body} {over})",
            "none": f"(not _any_of({body} {over}))",
            "one": f"(_number_of({body} {over}) == 1)",
            "count": f"_number_of({body} {over})",
        }
        return forms[node.function]


_COUNTED = frozenset(
    {"abs", "sum", "avg", "min", "max", "median", "mode", "floor", "ceil", "round", "trunc",
     "number"}
)  # fmt: skip


def gives_plain(node: Node) -> bool:
    """Return whether no decimal can come out of a tree: nothing in it counts."""
    if isinstance(node, Literal):
        return not isinstance(node.value, Decimal)
    if isinstance(node, Binary) and node.operator in _ARITHMETIC:
        return False
    if isinstance(node, Unary) and node.operator == "-":
        return False
    if isinstance(node, Call) and node.function in _COUNTED:
        return False
    if isinstance(node, Closure) and not isinstance(bare(node.source), Name | Member):
        return False
    return all(gives_plain(child) for child in children(node))


def is_flag(node: Node) -> bool:
    """Return whether a tree can only give a flag, or fail."""
    node = bare(node)
    if isinstance(node, Literal):
        return isinstance(node.value, bool)
    if isinstance(node, Unary):
        return node.operator == "not"
    if isinstance(node, Binary):
        if node.operator in ("and", "or"):
            return is_flag(node.right)
        return node.operator in ("==", "!=", "<", "<=", ">", ">=", "in", "not in")
    if isinstance(node, Conditional):
        return is_flag(node.then) and is_flag(node.otherwise)
    if isinstance(node, Call):
        return FUNCTIONS[node.function].gives == "flag"
    if isinstance(node, Method):
        return METHODS[node.method].gives == "flag"
    return isinstance(node, Closure) and CLOSURES[node.function] is Behaviour.FLAG
