"""What facts tell the owners: events that nobody asked about, and what became known of others.

One consumer takes them out of the log of facts into `decisions.told`, in the order of their
arrival; every owner folds what is there at a place of its own order, and records which.
"""

from __future__ import annotations

from collections.abc import Sequence

from steelyard.base import UnitOfWork
from steelyard.decisions.store import folds
from steelyard.decisions.store.folds import Telling
from steelyard.events import Consumer, Heard, hears
from steelyard.features import facts


@hears(*facts.HEARD, many=True)
def tell_owners(unit: UnitOfWork, heard: Sequence[Heard]) -> None:
    """Keep the events and labels of facts, in their order."""
    tellings = []
    for one in heard:
        stored = one.stored
        name = f"{stored.kind}@{stored.version}"
        for draft in facts.drafts(name, stored.occurred_at, stored.payload):
            if isinstance(draft, facts.LabelDraft):
                content = {"field": draft.field, "value": draft.value, "customer": draft.customer}
                what = "label"
            else:
                what, content = "event", dict(draft.fields)
            tellings.append(
                Telling(stored.sequence, what, draft.kind, draft.id, draft.at_ms, content)
            )
    folds.insert(unit.connection, tellings)


told_owners = Consumer("decisions.told", (tell_owners,))
"""Delivered once: what it keeps is committed with its place in the log of facts."""
