"""From the log of facts to events: by registered name and version, without other rooms' classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from steelyard.features.catalogue import complete
from steelyard.features.model.event import Event, Value

Payload = Mapping[str, Any]
_Fields = Callable[[Payload], dict[str, Value] | None]


class Draft(NamedTuple):
    """An event that has no place in the order yet.

    Attributes
    ----------
    id : the same for one happening, whether it comes as a request or as a fact: what was folded as
        a request is not folded again as a fact
    """

    kind: str
    id: str
    at_ms: int
    fields: Mapping[str, Value]

    def event(self, sequence: int) -> Event:
        """Return the event at its place, with what follows from its fields."""
        fields = complete(self.kind, self.at_ms, self.fields)
        return Event(self.kind, self.id, self.at_ms, sequence, fields)


def _picked(payload: Payload, names: str) -> dict[str, Value]:
    return {name: payload.get(name) for name in names.split()}


def _payment(payload: Payload) -> dict[str, Value]:
    return _picked(payload, "customer card account merchant terminal amount_minor currency")


def _decline(payload: Payload) -> dict[str, Value]:
    return _payment(payload) | _picked(payload, "reason")


def _refund(payload: Payload) -> dict[str, Value]:
    return _picked(payload, "customer card account merchant payment amount_minor currency")


def _log_in(payload: Payload) -> dict[str, Value] | None:
    role, _, party = str(payload["owner"]).partition(":")
    if role != "party":
        return None
    return {"customer": party, "succeeded": True, "method": "+".join(payload["factors"])}


def _sign_up(payload: Payload) -> dict[str, Value]:
    return {"customer": payload["party"]} | _picked(payload, "channel region")


_READERS: Mapping[str, tuple[tuple[str, str, _Fields], ...]] = {
    "simulation.CardPaymentMade@1": (("card_payment", "payment", _payment),),
    # It was asked for, and it was declined: two events.
    "simulation.CardPaymentDeclined@1": (
        ("card_payment", "payment", _payment),
        ("card_decline", "payment", _decline),
    ),
    "simulation.CardPaymentRefunded@1": (("card_refund", "refund", _refund),),
    "parties.SessionOpened@1": (("log_in", "session", _log_in),),
    "parties.CustomerRegistered@1": (("sign_up", "party", _sign_up),),
}
HEARD: tuple[str, ...] = tuple(_READERS)
"""Facts by name and version that become events; whoever reads the log for an engine hears these."""


def drafts(name: str, occurred_at: datetime, payload: str | bytes) -> tuple[Draft, ...]:
    """Return the events in a fact; none in one that is not about features.

    Parameters
    ----------
    name : kind and version, `simulation.CardPaymentMade@1`
    occurred_at : when it happened, UTC
    payload : JSON, as stored

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 5, tzinfo=UTC)
    >>> [draft.kind for draft in drafts("simulation.CardPaymentDeclined@1", at,
    ...     '{"payment": "p1", "card": "c1", "amount_minor": 500, "reason": "no"}')]
    ['card_payment', 'card_decline']
    >>> drafts("parties.SessionOpened@1", at, '{"owner": "staff:1", "factors": []}')
    ()
    """
    readers = _READERS.get(name)
    if readers is None:
        return ()
    content = msgspec.json.decode(payload)
    # Whole milliseconds from whole microseconds: a float of seconds would not be exact.
    at_ms = int(occurred_at.timestamp()) * 1_000 + occurred_at.microsecond // 1_000
    made = []
    for kind, id_, fields_of in readers:
        fields = fields_of(content)
        if fields is not None:
            made.append(Draft(kind, str(content[id_]), at_ms, fields))
    return tuple(made)
