"""One work queue for people: reviews, disputes, differences, alerts, approvals.

Other rooms register what sorts of case there are (`registry`: kinds, groups and what they are made
of), open cases (`open_case`), and may say how a matter ended (`closing.conclude`). People work
them: `working`, `closing`, `reading`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.cases.service import facts, upkeep
from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.cases.model import refusals
    from steelyard.cases.model.case import Case, CaseState, EventRef
    from steelyard.cases.model.kind import CaseKind
    from steelyard.cases.service import closing, reading, registry, working
    from steelyard.cases.service.opening import open_case

__all__ = [
    "Case",
    "CaseKind",
    "CaseState",
    "EventRef",
    "closing",
    "facts",
    "open_case",
    "reading",
    "refusals",
    "registry",
    "upkeep",
    "working",
]

_GROUPS = {
    "closing": "service.closing",
    "reading": "service.reading",
    "refusals": "model.refusals",
    "registry": "service.registry",
    "working": "service.working",
}
_VALUES = {
    "Case": "model.case",
    "CaseKind": "model.kind",
    "CaseState": "model.case",
    "EventRef": "model.case",
    "open_case": "service.opening",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
