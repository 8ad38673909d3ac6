"""References as banks give them back: cut, in capitals, without the marks they do not take."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_OTHER: Final = re.compile(r"[^0-9A-Z]")
_LEAST: Final = 12
"""A shorter beginning is no proof: too many numbers have it."""


def normalised(reference: str) -> str:
    """Return a reference as it can be compared: capitals and digits only, full-width ones folded.

    Examples
    --------
    >>> normalised(" pay-0001/ab ")
    'PAY0001AB'
    """
    return _OTHER.sub("", unicodedata.normalize("NFKC", reference).upper())


def is_cut(given: str, whole: str) -> bool:
    """Tell whether a reference is what a bank left of a longer one: its beginning or its end.

    Only where at least 12 letters and digits are left; equal references are not cut.

    Examples
    --------
    >>> is_cut("0123456789ABCDEF", "0123456789abcdef0123456789abcdef"), is_cut("0123", "01234")
    (True, False)
    """
    left, full = normalised(given), normalised(whole)
    if not _LEAST <= len(left) < len(full):
        return False
    return full.startswith(left) or full.endswith(left)
