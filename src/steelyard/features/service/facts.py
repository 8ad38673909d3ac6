"""From the log of facts to events: by registered name and version, without other rooms' classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from steelyard.features.catalogue import KINDS, complete, kind_now
from steelyard.features.model.event import Event, Label, Value

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


class LabelDraft(NamedTuple):
    """What became known about an event, that has no place in the order yet.

    Attributes
    ----------
    kind, id : of the event
    at_ms : from when on it is known
    field : the label of the kind
    value : 1 or 0
    customer : of the event, where the fact says whose it was
    """

    kind: str
    id: str
    at_ms: int
    field: str
    value: int
    customer: str | None = None

    def label(self, sequence: int) -> Label:
        """Return the label at its place."""
        return Label(self.kind, self.id, self.at_ms, sequence, self.field, self.value)


def _picked(payload: Payload, names: str) -> dict[str, Value]:
    return {name: payload.get(name) for name in names.split()}


def _payment(payload: Payload) -> dict[str, Value]:
    names = "customer card account merchant terminal amount_minor currency method scenario"
    return _picked(payload, f"{names} is_online")


def _decline(payload: Payload) -> dict[str, Value]:
    names = "customer card account merchant terminal amount_minor currency method reason"
    return _picked(payload, names)


def _refund(payload: Payload) -> dict[str, Value]:
    names = "customer card account merchant payment currency method"
    # The fact is about the payment as well, and has its amount too.
    return _picked(payload, names) | {"amount_minor": payload.get("refund_minor")}


def _log_in(payload: Payload) -> dict[str, Value] | None:
    role, _, party = str(payload["owner"]).partition(":")
    if role != "party":
        return None
    return {"customer": party, "succeeded": True, "method": "+".join(payload["factors"])}


def _sign_up(payload: Payload) -> dict[str, Value]:
    return {"customer": payload["party"]} | _picked(payload, "channel region")


def _repayment(payload: Payload) -> dict[str, Value]:
    names = "product loan currency repayment_kind amount_minor days_late left_minor"
    return {"customer": payload["party"]} | _picked(payload, names)


def _lateness(payload: Payload) -> dict[str, Value]:
    names = "product loan dpd overdue_minor bucket_before bucket category stage"
    return {"customer": payload["party"]} | _picked(payload, names)


_READERS: Mapping[str, tuple[tuple[str, str, _Fields], ...]] = {
    # A payment is known by its attempt: about that the gate was asked.
    "payments.PaymentSucceeded@1": (("payment", "attempt", _payment),),
    # It was asked for, and it was declined: two events.
    "payments.AttemptDeclined@1": (
        ("payment", "attempt", _payment),
        ("payment_decline", "attempt", _decline),
    ),
    "payments.RefundSucceeded@1": (("payment_refund", "refund", _refund),),
    "parties.SessionOpened@1": (("log_in", "session", _log_in),),
    "parties.CustomerRegistered@1": (("sign_up", "party", _sign_up),),
    # A loan has many of both: its own number, or the day, tells them apart.
    "credit.LoanRepaid@1": (("loan_repayment", "loan seq", _repayment),),
    "credit.LoanBucketChanged@1": (("loan_lateness", "loan on", _lateness),),
}


def _closed(payload: Payload, at_ms: int) -> LabelDraft | None:
    """Return the label that the closing of a case proves; what is no label of its kind is none."""
    kind = KINDS.get(kind_now(payload.get("event_kind") or ""))
    field = payload.get("label_field")
    if kind is None or field not in kind.labels:
        return None
    noun, _, customer = str(payload.get("about")).partition(":")
    return LabelDraft(
        kind.name,
        payload["event_id"],
        payload["known_at_ms"],
        field,
        payload["label_value"],
        customer if noun == "customer" else None,
    )


def _reported(payload: Payload, at_ms: int) -> LabelDraft:
    customer, value = payload.get("customer"), int(payload["is_fraud"])
    return LabelDraft("payment", payload["payment"], at_ms, "is_fraud", value, customer)


_TELLERS: Mapping[str, Callable[[Payload, int], LabelDraft | None]] = {
    "cases.CaseClosed@1": _closed,
    # Of the further decisions that joined the case: the same fields.
    "decisions.DecisionReviewed@1": _closed,
    "simulation.CardPaymentReported@1": _reported,
}
HEARD: tuple[str, ...] = (*_READERS, *_TELLERS)
"""Facts by name and version that become events or labels; who reads the log hears these."""


def drafts(
    name: str, occurred_at: datetime, payload: str | bytes
) -> tuple[Draft | LabelDraft, ...]:
    """Return the events and labels in a fact; none in one that is not about features.

    Parameters
    ----------
    name : kind and version, `payments.PaymentSucceeded@1`
    occurred_at : when it happened, UTC
    payload : JSON, as stored

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 5, tzinfo=UTC)
    >>> [draft.kind for draft in drafts("payments.AttemptDeclined@1", at,
    ...     '{"attempt": "p1", "card": "c1", "amount_minor": 500, "reason": "no"}')]
    ['payment', 'payment_decline']
    >>> drafts("parties.SessionOpened@1", at, '{"owner": "staff:1", "factors": []}')
    ()
    """
    readers, teller = _READERS.get(name), _TELLERS.get(name)
    if readers is None and teller is None:
        return ()
    content = msgspec.json.decode(payload)
    # Whole milliseconds from whole microseconds: a float of seconds would not be exact.
    at_ms = int(occurred_at.timestamp()) * 1_000 + occurred_at.microsecond // 1_000
    if teller is not None:
        label = teller(content, at_ms)
        return () if label is None else (label,)
    made = []
    for kind, id_, fields_of in readers or ():
        fields = fields_of(content)
        if fields is not None:
            id_of = ":".join(str(content[name]) for name in id_.split())
            made.append(Draft(kind, id_of, at_ms, fields))
    return tuple(made)
