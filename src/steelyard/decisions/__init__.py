"""Decisions: what may happen, why, by which version; durable before it is used, used once.

A movement of money consumes a decision (`Use`, `consume`, `consume_all`). The other verbs stand in
groups: `asking` an owner and `deciding` as one, the `records` of what was decided, `policies` with
what is changed about them (`guards`, `lists`, `shadows`, `challenges`, the words in `lifecycle`),
the `registry` of models, `reviews` by people and the `watch` over drift; `facts` and
`upkeep` are what a process enters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.decisions.model.decision import Decision
from steelyard.decisions.service import facts
from steelyard.decisions.service.log import Use, consume, consume_all
from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.decisions.model import lifecycle
    from steelyard.decisions.service import (
        asking,
        challenges,
        deciding,
        guards,
        lists,
        policies,
        records,
        registry,
        reviews,
        shadows,
        upkeep,
        watch,
    )

__all__ = [
    "Decision",
    "Use",
    "asking",
    "challenges",
    "consume",
    "consume_all",
    "deciding",
    "facts",
    "guards",
    "lifecycle",
    "lists",
    "policies",
    "records",
    "registry",
    "reviews",
    "shadows",
    "upkeep",
    "watch",
]

_GROUPS = {
    "asking": "service.asking",
    "challenges": "service.challenges",
    "deciding": "service.deciding",
    "guards": "service.guards",
    "lifecycle": "model.lifecycle",
    "lists": "service.lists",
    "policies": "service.policies",
    "records": "service.records",
    "registry": "service.registry",
    "reviews": "service.reviews",
    "shadows": "service.shadows",
    "upkeep": "service.upkeep",
    "watch": "service.watch",
}

__getattr__ = door(__name__, _GROUPS)
