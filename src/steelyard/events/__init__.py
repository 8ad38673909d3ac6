"""The log of facts: appended in the writer's transaction, read from snapshot to snapshot.

A subscriber declares handlers by `hears` and a `Consumer` of them; a `Runner` keeps it up with the
log. The verbs of an operator stand under `operation`, pages under `reading`, files under `export`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.events.model import refusals
    from steelyard.events.model.consumption import (
        ConsumerState,
        DeadLetter,
        LetterState,
        OnFailure,
    )
    from steelyard.events.model.log import FactFilter, Followed, StoredFact
    from steelyard.events.service import export, operation, reading
    from steelyard.events.service.consumers import Consumer, Heard, hears
    from steelyard.events.service.feed import Feed
    from steelyard.events.service.runner import Runner, drain
    from steelyard.events.store.log import PostgresFactLog

__all__ = [
    "Consumer",
    "ConsumerState",
    "DeadLetter",
    "FactFilter",
    "Feed",
    "Followed",
    "Heard",
    "LetterState",
    "OnFailure",
    "PostgresFactLog",
    "Runner",
    "StoredFact",
    "drain",
    "export",
    "hears",
    "operation",
    "reading",
    "refusals",
]

_GROUPS = {
    "export": "service.export",
    "operation": "service.operation",
    "reading": "service.reading",
    "refusals": "model.refusals",
}
_VALUES = {
    "Consumer": "service.consumers",
    "ConsumerState": "model.consumption",
    "DeadLetter": "model.consumption",
    "FactFilter": "model.log",
    "Feed": "service.feed",
    "Followed": "model.log",
    "Heard": "service.consumers",
    "LetterState": "model.consumption",
    "OnFailure": "model.consumption",
    "PostgresFactLog": "store.log",
    "Runner": "service.runner",
    "StoredFact": "model.log",
    "drain": "service.runner",
    "hears": "service.consumers",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
