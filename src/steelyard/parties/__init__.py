"""The parties: who deals with us, what is proved about them, and what they consented to.

The verbs stand in groups by noun: `registry.register_customer(...)`, `consents.grant(...)`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from steelyard.parties.service import facts

if TYPE_CHECKING:
    from steelyard.parties.model.identity import IdentityProvider
    from steelyard.parties.model.party import (
        IdentityLevel,
        NewCustomer,
        NewLegalPerson,
        Party,
        PartyKind,
    )
    from steelyard.parties.model.personal import PersonalField
    from steelyard.parties.providers.http import HttpIdentityProvider
    from steelyard.parties.service import consent as consents
    from steelyard.parties.service import contact as contacts
    from steelyard.parties.service import device as devices
    from steelyard.parties.service import identity, personal
    from steelyard.parties.service import party as registry

__all__ = [
    "HttpIdentityProvider",
    "IdentityLevel",
    "IdentityProvider",
    "NewCustomer",
    "NewLegalPerson",
    "Party",
    "PartyKind",
    "PersonalField",
    "consents",
    "contacts",
    "devices",
    "facts",
    "identity",
    "personal",
    "registry",
]

_GROUPS = {
    "consents": "service.consent",
    "contacts": "service.contact",
    "devices": "service.device",
    "identity": "service.identity",
    "personal": "service.personal",
    "registry": "service.party",
}
_VALUES = {
    "HttpIdentityProvider": "providers.http",
    "IdentityLevel": "model.party",
    "IdentityProvider": "model.identity",
    "NewCustomer": "model.party",
    "NewLegalPerson": "model.party",
    "Party": "model.party",
    "PartyKind": "model.party",
    "PersonalField": "model.personal",
}


def __getattr__(name: str) -> Any:
    """Load a group or value when it is asked for first."""
    if name in _GROUPS:
        return import_module(f"{__name__}.{_GROUPS[name]}")
    if name in _VALUES:
        return getattr(import_module(f"{__name__}.{_VALUES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
