"""Fields worked out from others when an event comes in, so that every engine finds them there."""

from __future__ import annotations

from collections.abc import Mapping

from steelyard.features.catalogue.kinds import KINDS, kind_now
from steelyard.features.model.definition import DAY, HOUR
from steelyard.features.model.event import Value

NIGHT_ENDS = 7
"""Night is from midnight to this local hour, as in the Fraud Detection Handbook."""
SEPARATOR = "|"

_PAIRS = {
    kind.name: tuple(
        (entity, *entity.split("_")) for entity in kind.entities if entity.startswith("customer_")
    )
    for kind in KINDS.values()
}


def complete(
    kind: str, at_ms: int, fields: Mapping[str, Value], *, offset_ms: int = 8 * HOUR
) -> dict[str, Value]:
    """Return the fields with what follows from them and the instant.

    `hour` (0 to 23), `is_night` and `is_weekend` are those of the place `offset_ms` east of UTC; a
    pair `a_b` is the text `a|b`, and missing if one of the two is. What was given of these is
    replaced.

    Examples
    --------
    >>> complete("withdrawal", 0, {"customer": "c7", "payee": "p1"})["customer_payee"]
    'c7|p1'
    """
    local = at_ms + offset_ms
    hour = local % DAY // HOUR
    made: dict[str, Value] = {
        **fields,
        "hour": hour,
        "is_night": hour < NIGHT_ENDS,
        # 1970-01-01 was a Thursday.
        "is_weekend": (local // DAY + 3) % 7 >= 5,
    }
    for pair, first, second in _PAIRS[kind_now(kind)]:
        one, other = made.get(first), made.get(second)
        missing = one is None or other is None
        made[pair] = None if missing else f"{one}{SEPARATOR}{other}"
    return made
