"""Values as JSON for set-based statements: one parameter however many rows there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec


def as_json(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as one JSON text; ids, instants and enums in their usual form."""
    return msgspec.json.encode(rows).decode()


def one_json(value: Mapping[str, Any] | None) -> str | None:
    """Return a mapping as a JSON text; None stays None."""
    return None if value is None else msgspec.json.encode(value).decode()
