"""Ids of the Stripe-compatible API: a prefix and the 32 hex digits of our own id, both ways."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Final
from uuid import UUID

from steelyard.payments.model.stripe_refusals import FacadeObjectIsUnknown

NOUNS: Final = {
    "pi": "payment_intent",
    "ch": "charge",
    "re": "refund",
    "cus": "customer",
    "pm": "payment_method",
    "seti": "setup_intent",
    "evt": "event",
    "po": "payout",
    "txn": "balance_transaction",
    "dp": "dispute",
    "acct": "account",
}
"""What each prefix names."""
_PREFIXES: Final = {noun: prefix for prefix, noun in NOUNS.items()}
_FORM: Final = re.compile(r"([a-z]+)_([0-9a-f]{32})")


def to_id(noun: str, id: UUID) -> str:
    """Return the id outside of an object.

    Examples
    --------
    >>> to_id("refund", UUID(int=7))
    're_00000000000000000000000000000007'
    """
    return f"{_PREFIXES[noun]}_{id.hex}"


def from_id(noun: str, text: str, *, param: str = "id") -> UUID:
    """Return our own id of an object.

    Refusals
    --------
    facade_object_is_unknown : it is not of the form, or of another noun

    Examples
    --------
    >>> from_id("refund", "re_00000000000000000000000000000007").int
    7
    """
    found = _FORM.fullmatch(text)
    if found is None or found[1] != _PREFIXES[noun]:
        raise FacadeObjectIsUnknown(noun=noun, id=text[:60], param=param)
    return UUID(found[2])


def noun_of(text: str) -> str | None:
    """Return what an id names, None where it is no id."""
    found = _FORM.fullmatch(text)
    return None if found is None else NOUNS.get(found[1])


def client_secret(noun: str, id: UUID, merchant: UUID) -> str:
    """Return what clients of the API expect beside an intent; nothing is opened by it here.

    Examples
    --------
    >>> client_secret("setup_intent", UUID(int=7), UUID(int=8))[-36:-24]
    '0007_secret_'
    """
    return f"{to_id(noun, id)}_secret_{sha256(id.bytes + merchant.bytes).hexdigest()[:24]}"
