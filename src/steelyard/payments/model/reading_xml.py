"""A tree of XML elements that remembers its lines, read without entities or document types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from steelyard.payments.model.statement_refusals import (
    StatementFieldIsMalformed,
    StatementIsCutOff,
    StatementIsUnsafe,
    StatementLacks,
)

_DEEPEST: Final = 64
_ENDS_EARLY: Final = frozenset(
    expat.errors.codes[text]
    for text in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)


@dataclass(slots=True)
class Element:
    """One element: its name without namespace, its line, and what stands in it."""

    name: str
    namespace: str
    line: int
    attributes: dict[str, str]
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def all(self, *path: str) -> Iterator[Element]:
        """Return every element at a path of names under this one."""
        for child in self.children:
            if child.name == path[0]:
                if len(path) == 1:
                    yield child
                else:
                    yield from child.all(*path[1:])

    def find(self, *path: str) -> Element | None:
        """Return the first element at a path of names, or None."""
        if len(path) > 1:
            return next(self.all(*path), None)
        for child in self.children:
            if child.name == path[0]:
                return child
        return None

    def need(self, *path: str) -> Element:
        """Return the first element at a path of names.

        Refusals
        --------
        statement_lacks
        """
        found = self.find(*path)
        if found is None:
            raise StatementLacks(line=self.line, missing=f"{self.name}/{'/'.join(path)}")
        return found

    def value(self, *path: str) -> str:
        """Return the text of the first element at a path of names; empty where there is none."""
        found = self.find(*path)
        return found.text.strip() if found is not None else ""


def tree_of(content: bytes) -> Element:
    """Return the root of an XML document.

    Refusals
    --------
    statement_is_unsafe : a document type or entities are declared, or it is nested too deeply
    statement_is_cut_off, statement_field_is_malformed : it is not well-formed
    """
    building = _Building()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    building.parser = parser
    parser.StartElementHandler = building.start
    parser.EndElementHandler = building.end
    parser.CharacterDataHandler = building.characters
    parser.StartDoctypeDeclHandler = building.doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as wrong:
        reason = expat.errors.messages[wrong.code]
        if wrong.code in _ENDS_EARLY:
            raise StatementIsCutOff(line=wrong.lineno, missing=building.missing) from None
        raise StatementFieldIsMalformed(line=wrong.lineno, field="XML", found=reason) from None
    except (LookupError, ValueError) as wrong:  # an encoding that nobody knows
        raise StatementFieldIsMalformed(line=1, field="XML", found=str(wrong)[:60]) from None
    assert building.root is not None
    return building.root


class _Building:
    def __init__(self) -> None:
        self.parser: expat.XMLParserType = None  # type: ignore[assignment]
        self.root: Element | None = None
        self.open: list[Element] = []

    @property
    def missing(self) -> str:
        return f"</{self.open[-1].name}>" if self.open else "XML"

    def start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        line = self.parser.CurrentLineNumber
        if len(self.open) == _DEEPEST:
            raise StatementIsUnsafe(line=line, found=f"nesting over {_DEEPEST}")
        element = Element(local, namespace, line, attributes)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, _name: str) -> None:
        self.open.pop()

    def characters(self, text: str) -> None:
        if not text.isspace():  # what only sets elements apart is nobody's text
            self.open[-1].text += text

    def doctype(self, *_declared: object) -> None:
        raise StatementIsUnsafe(line=self.parser.CurrentLineNumber, found="DOCTYPE")
