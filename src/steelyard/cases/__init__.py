"""One work queue for people: reviews, disputes, differences, alerts, approvals.

Other rooms register what sorts of case there are (`register_kind`), open cases (`open_case`), and
may say how a matter ended (`closing.conclude`). People work them: `working`, `closing`, `reading`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard.cases.service import facts, upkeep

if TYPE_CHECKING:
    from steelyard.cases.model import refusals
    from steelyard.cases.model.case import Case, CaseState, EventRef
    from steelyard.cases.model.kind import CaseGroup, CaseKind, CaseOutcome, Label, Priority
    from steelyard.cases.model.sla import Colour, Sla, WorkingHours
    from steelyard.cases.service import closing, reading, registry, working
    from steelyard.cases.service.approval_cases import approval_cases
    from steelyard.cases.service.opening import open_case
    from steelyard.cases.service.registry import register_group, register_kind

__all__ = [
    "Case",
    "CaseGroup",
    "CaseKind",
    "CaseOutcome",
    "CaseState",
    "Colour",
    "EventRef",
    "Label",
    "Priority",
    "Sla",
    "WorkingHours",
    "approval_cases",
    "closing",
    "facts",
    "open_case",
    "reading",
    "refusals",
    "register_group",
    "register_kind",
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
    "CaseGroup": "model.kind",
    "CaseKind": "model.kind",
    "CaseOutcome": "model.kind",
    "CaseState": "model.case",
    "Colour": "model.sla",
    "EventRef": "model.case",
    "Label": "model.kind",
    "Priority": "model.kind",
    "Sla": "model.sla",
    "WorkingHours": "model.sla",
    "approval_cases": "service.approval_cases",
    "open_case": "service.opening",
    "register_group": "service.registry",
    "register_kind": "service.registry",
}


def __getattr__(name: str) -> Any:
    """Load a group or value when it is asked for first."""
    if name in _GROUPS:
        return import_module(f"{__name__}.{_GROUPS[name]}")
    if name in _VALUES:
        return getattr(import_module(f"{__name__}.{_VALUES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
