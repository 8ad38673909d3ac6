"""Metadata: a few plain facts beside a transfer or an account, and never personal data.

What is written into an append-only, hashed row cannot be erased on request, so a value that looks
like a person's (an e-mail address, a telephone, identity or card number) is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

Scalar = str | int | bool
"""What a value of metadata may be."""

MAX_KEYS = 20
MAX_TEXT = 200
_MAX_INT = 2**53 - 1

_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PERSONAL_KEY = re.compile(
    r"(^|_)(e?mail|phone|mobile|tel|telephone|address|street|passport|birthday|birth|born|dob"
    r"|first_?name|last_?name|full_?name|surname|id_?card|id_?number|ssn|pan|card_?number|iban)(_|$)"
)
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@]+")
# Any run of 11 to 19 digits with the usual separators, and an identity number that ends in X.
_DIGITS = re.compile(r"(?<![0-9A-Za-z])\+?(?:[0-9][ .()-]?){10,18}[0-9Xx](?![0-9A-Za-z])")
_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


def shape_fault(metadata: Mapping[str, Scalar]) -> str | None:
    """Return the key whose name or value metadata cannot have, or None.

    A mapping of at most 20 keys (small letters, digits, `_`) to text of at most 200 characters
    without control characters, integers up to 2^53 - 1, or booleans.
    """
    if not metadata or len(metadata) > MAX_KEYS:
        return "metadata"
    for key, value in metadata.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            return str(key)[:40]
        if isinstance(value, str):
            if len(value) > MAX_TEXT or _CONTROL.search(value):
                return key
        elif not isinstance(value, int) or abs(value) > _MAX_INT:
            return key
    return None


def personal_key(metadata: Mapping[str, Scalar]) -> str | None:
    """Return the first key that looks like personal data, by its name or by its value, or None.

    Examples
    --------
    >>> personal_key({"order": "A-17", "note": "ask li@example.com"})
    'note'
    >>> personal_key({"order": "019b76da-a800-7000-8000-000000000000"}) is None
    True
    """
    for key, value in metadata.items():
        if _PERSONAL_KEY.search(key):
            return key
        if isinstance(value, bool):
            continue
        text = _UUID.sub("", str(value))
        if _EMAIL.search(text) or _DIGITS.search(text):
            return key
    return None


def metadata_text(metadata: Mapping[str, Scalar]) -> str:
    """Return the text that PostgreSQL gives for the same mapping as `jsonb`.

    It is part of the hashed bytes of a row: keys by length, then by their bytes.

    Examples
    --------
    >>> metadata_text({"order": "A-17", "gift": True})
    '{"gift": true, "order": "A-17"}'
    """
    ordered = sorted(metadata.items(), key=lambda item: (len(item[0]), item[0]))
    return json.dumps(dict(ordered), ensure_ascii=False)
