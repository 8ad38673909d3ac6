"""The definitions as data: what an engine elsewhere needs to compute the same features."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from typing import Any

from steelyard.features.model.definition import LARGEST, LATENESS_MS, Feature
from steelyard.features.model.event import EventKind

FORM = "steelyard.features/1"


def export(features: Mapping[str, Feature], kinds: Mapping[str, EventKind]) -> dict[str, Any]:
    """Return features and kinds as plain data: texts, numbers, lists, nothing of Python's.

    It says all that the engines here go by: `lateness_ms`, `largest` (of an integer field), `kinds`
    (fields with their types, entities, labels) and `features` (their attributes under the same
    names). Parts of a ratio stand before it. `sha256` is that of the rest, as JSON with sorted
    keys and no blanks: two sides that show the same one compute the same.
    """
    ordered = sorted(features.values(), key=lambda feature: feature.parts is not None)
    told: dict[str, Any] = {
        "form": FORM,
        "lateness_ms": LATENESS_MS,
        "largest": LARGEST,
        "kinds": [asdict(kind) for kind in kinds.values()],
        "features": [asdict(feature) for feature in ordered],
    }
    plain: dict[str, Any] = json.loads(json.dumps(told))
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return plain | {"sha256": sha256(canonical.encode()).hexdigest()}
