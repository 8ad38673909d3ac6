"""What is kept beside a case for ever: its history, notes, evidence and links."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from steelyard.cases.model.case import CaseState
from steelyard.cases.model.refusals import ReferenceIsMalformed

_REFERENCE = re.compile(r"[a-z][a-z0-9_]{0,39}:[A-Za-z0-9][A-Za-z0-9:/_.@-]{0,159}")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class HistoryLine:
    """One thing that happened to a case.

    Attributes
    ----------
    sequence : order of all lines
    version : of the case after it
    at : business instant; wall_at : real instant
    action : word of a `CaseAction`, or `open`
    before : None for the opening
    detail : codes, ids and reasons, without personal data
    """

    sequence: int
    case: UUID
    version: int
    at: datetime
    wall_at: datetime
    actor: str
    action: str
    before: CaseState | None
    after: CaseState
    detail: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Note:
    """What somebody wrote about a case."""

    at: datetime
    by: str
    text: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where something that proves is kept, and the SHA-256 of it; the thing itself is not here.

    Attributes
    ----------
    kind : what it is, e.g. `bank_statement`
    reference : `noun:id`
    content_hash : 64 hex digits
    """

    kind: str
    reference: str
    content_hash: str
    at: datetime
    by: str


@dataclass(frozen=True, slots=True)
class Link:
    """What else a case has to do with: `case:<id>` or any other `noun:id`."""

    target: str
    at: datetime
    by: str


def check_reference(reference: str, where: str) -> str:
    """Return a reference of the form `noun:id`.

    Refusals
    --------
    reference_is_malformed

    Examples
    --------
    >>> check_reference("transfer:client/7", "subject")
    'transfer:client/7'
    """
    if not _REFERENCE.fullmatch(reference):
        raise ReferenceIsMalformed(where=where)
    return reference


def without_ids(text: str) -> str:
    """Return a text with its UUIDs taken out: their digits are nobody's phone or card.

    Examples
    --------
    >>> without_ids("see 019b76da-a800-7000-8000-138123456789, please")
    'see , please'
    """
    return _UUID.sub("", text)


def missing_evidence(required: Iterable[str], present: Iterable[Evidence]) -> tuple[str, ...]:
    """Return which kinds of evidence are demanded and not there, in the order demanded."""
    there = {evidence.kind for evidence in present}
    return tuple(kind for kind in required if kind not in there)
