"""What a static check finds in a document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a finding matters."""

    ERROR = "error"
    """A document with it is not committed."""
    WARNING = "warning"
    """It is shown to whoever approves the document."""
    NOTE = "note"
    """It may be what was meant."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding, with its place.

    Attributes
    ----------
    code : `unknown_field`, `unreachable_row`, ...; stable
    node : id of the node
    at : row, column or entry in it; empty for the node as a whole
    en, zh : what is wrong, for people
    rows : ids of the rows it is about
    """

    code: str
    severity: Severity
    node: str
    at: str
    en: str
    zh: str
    rows: tuple[str, ...] = ()
