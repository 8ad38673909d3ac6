"""The kinds of case and the groups, as rooms register them, and what they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from steelyard.cases.model.kind import CaseGroup, CaseKind, CaseOutcome, Label, Priority
from steelyard.cases.model.refusals import CaseKindIsUnknown, GroupIsUnknown
from steelyard.cases.model.sla import Colour, Sla, WorkingHours

__all__ = [
    "LEADS",
    "CaseGroup",
    "CaseOutcome",
    "Colour",
    "Label",
    "Priority",
    "Sla",
    "WorkingHours",
    "case_groups",
    "case_kinds",
    "group_of",
    "kind_of",
    "register_group",
    "register_kind",
]

_KINDS: dict[str, CaseKind] = {}
_GROUPS: dict[str, CaseGroup] = {}


def register_kind(kind: CaseKind) -> CaseKind:
    """Register a kind of case; the same one twice is one."""
    known = _KINDS.setdefault(kind.name, kind)
    assert known == kind, f"{kind.name} is registered twice, differently"
    return known


def register_group(group: CaseGroup) -> CaseGroup:
    """Register a group of people; the same one twice is one."""
    known = _GROUPS.setdefault(group.name, group)
    assert known == group, f"{group.name} is registered twice, differently"
    return known


def case_kinds() -> Mapping[str, CaseKind]:
    """Return the registered kinds by name."""
    return MappingProxyType(_KINDS)


def case_groups() -> Mapping[str, CaseGroup]:
    """Return the registered groups by name."""
    return MappingProxyType(_GROUPS)


def kind_of(name: str) -> CaseKind:
    """Return a registered kind.

    Refusals
    --------
    case_kind_is_unknown
    """
    found = _KINDS.get(name)
    if found is None:
        raise CaseKindIsUnknown(name=name)
    return found


def group_of(name: str) -> CaseGroup:
    """Return a registered group.

    Refusals
    --------
    group_is_unknown
    """
    found = _GROUPS.get(name)
    if found is None:
        raise GroupIsUnknown(group=name, known=", ".join(sorted(_GROUPS)))
    return found


LEADS = register_group(CaseGroup("leads", "cases.lead", "Case leads", "案件主管"))
"""The group that is always there: those who lead the work on cases."""
