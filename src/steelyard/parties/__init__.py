"""The parties: who deals with us, what is proved about them, what they consented to; and access.

The verbs stand in groups by noun: `registry.register_customer(...)`, `consents.grant(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door
from steelyard.parties.service import access_facts, access_upkeep, facts, identity_upkeep

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
    from steelyard.parties.service import api_key as api_keys
    from steelyard.parties.service import approval as approvals
    from steelyard.parties.service import consent as consents
    from steelyard.parties.service import contact as contacts
    from steelyard.parties.service import device as devices
    from steelyard.parties.service import (
        first_run,
        identity,
        personal,
        phone_sign_in,
        sign_in,
        staff,
    )
    from steelyard.parties.service import party as registry
    from steelyard.parties.service import passkey as passkeys
    from steelyard.parties.service import role as roles
    from steelyard.parties.service import second_factor as second_factors
    from steelyard.parties.service import session as sessions
    from steelyard.parties.service import signer as signing
    from steelyard.parties.service.account_owner import account_owners
    from steelyard.parties.service.request_verifier import RequestVerifier
    from steelyard.parties.service.signer import RequestSigner

__all__ = [
    "HttpIdentityProvider",
    "IdentityLevel",
    "IdentityProvider",
    "NewCustomer",
    "NewLegalPerson",
    "Party",
    "PartyKind",
    "PersonalField",
    "RequestSigner",
    "RequestVerifier",
    "access_facts",
    "access_upkeep",
    "account_owners",
    "api_keys",
    "approvals",
    "consents",
    "contacts",
    "devices",
    "facts",
    "first_run",
    "identity",
    "identity_upkeep",
    "passkeys",
    "personal",
    "phone_sign_in",
    "registry",
    "roles",
    "second_factors",
    "sessions",
    "sign_in",
    "signing",
    "staff",
]

_GROUPS = {
    "api_keys": "service.api_key",
    "approvals": "service.approval",
    "consents": "service.consent",
    "contacts": "service.contact",
    "devices": "service.device",
    "first_run": "service.first_run",
    "identity": "service.identity",
    "passkeys": "service.passkey",
    "personal": "service.personal",
    "phone_sign_in": "service.phone_sign_in",
    "registry": "service.party",
    "roles": "service.role",
    "second_factors": "service.second_factor",
    "sessions": "service.session",
    "sign_in": "service.sign_in",
    "signing": "service.signer",
    "staff": "service.staff",
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
    "RequestSigner": "service.signer",
    "RequestVerifier": "service.request_verifier",
    "account_owners": "service.account_owner",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
