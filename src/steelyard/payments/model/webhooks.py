"""Webhooks: what merchants are told, how it is signed, and when it is tried again.

An event is a snapshot of what a fact told: it is the same in every try, under the same id, and
numbered within its object, because nothing says in which order things arrive.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks_refusals import (
    WebhookEndpointIsMalformed,
    WebhookEndpointStateForbids,
)

API_VERSION: Final = "2026-11-01"
"""Of the form of events; an endpoint keeps the one that it was made with."""
SECRET_PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32
MOST_ENDPOINTS: Final = 16
MOST_KINDS: Final = 100
DISABLED_AFTER: Final = 10
"""So many dead deliveries in a row, and nothing is sent to an endpoint any more."""
TIMEOUT: Final = timedelta(seconds=5)
LONGEST_OVERLAP: Final = timedelta(days=7)
EVERY: Final = "*"


class Form(StrEnum):
    """How an event is written and signed."""

    NATIVE = "native"
    """Our own events, signed as Standard Webhooks has it."""
    STRIPE = "stripe"
    """Events of the Stripe-compatible API, signed as its clients check."""


class EndpointState(StrEnum):
    """Whether anything is sent to an endpoint."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    """By us: it did not take what was sent. What happens meanwhile waits."""
    CLOSED = "closed"


class DeliveryState(StrEnum):
    """Where a delivery stands; nothing but `delivered` means that it arrived."""

    PENDING = "pending"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    DEAD = "dead"
    REPLAYED = "replayed"
    """Put on its way again by hand."""


@dataclass(frozen=True, slots=True)
class Told:
    """How merchants are told of a fact.

    Attributes
    ----------
    kind : what they know it as, `noun.verb`
    key : field of the fact with the id of the object
    fields : of the fact that they see; what is not named stays with us
    """

    kind: str
    key: str
    fields: tuple[str, ...]

    @property
    def noun(self) -> str:
        """What sort of object it is about."""
        return self.kind.partition(".")[0]


_PAYMENT = ("payment", "order_no", "amount_minor", "currency", "scenario", "attempt", "method")
_REFUND = (*_PAYMENT, "refund", "refund_no", "refund_minor", "state", "is_automatic")
_DISPUTE = (*_PAYMENT, "dispute", "dispute_minor", "held_minor", "state", "reason")


def _of(noun: str, key: str, fields: tuple[str, ...], **verbs: str) -> dict[str, Told]:
    return {f"payments.{fact}": Told(f"{noun}.{verb}", key, fields) for fact, verb in verbs.items()}


TOLD: Final[Mapping[str, Told]] = MappingProxyType(
    {
        **_of(
            "payment",
            "payment",
            _PAYMENT,
            OrderCreated="created",
            PaymentRequiresAction="requires_action",
            PaymentAuthorized="authorized",
            PaymentSucceeded="succeeded",
            PaymentFailed="failed",
            PaymentCancelled="cancelled",
            PaymentExpired="expired",
        ),
        **_of(
            "payment",
            "payment",
            (*_PAYMENT, "reason"),
            AttemptDeclined="attempt_declined",
        ),
        **_of("payment", "payment", (*_PAYMENT, "why"), MoneyCameLate="money_came_late"),
        **_of(
            "refund",
            "refund",
            _REFUND,
            RefundAsked="created",
            RefundClosed="closed",
            RefundReturned="returned",
        ),
        **_of("refund", "refund", (*_REFUND, "fee_minor"), RefundSucceeded="succeeded"),
        **_of("refund", "refund", (*_REFUND, "reason"), RefundFailed="failed"),
        **_of(
            "dispute",
            "dispute",
            _DISPUTE,
            DisputeOpened="opened",
            DisputeMoved="moved",
            DisputeWon="won",
            DisputeLost="lost",
        ),
        **_of(
            "settlement",
            "settlement",
            ("settlement", "currency", "amount_minor", "before", "after"),
            SettlementChanged="changed",
        ),
        **_of(
            "merchant",
            "merchant",
            ("merchant",),
            MerchantActivated="activated",
            MerchantSuspended="suspended",
            MerchantResumed="resumed",
            MerchantClosed="closed",
        ),
        **_of(
            "merchant",
            "merchant",
            ("merchant", "contract_version", "changed"),
            MerchantContractChanged="contract_changed",
        ),
        **_of(
            "fee_plan",
            "plan",
            ("plan", "plan_version", "effective_on"),
            FeePlanApproved="approved",
        ),
        **_of(
            "settlement_account",
            "account",
            ("account",),
            SettlementAccountVerified="verified",
            SettlementAccountWithdrawn="withdrawn",
        ),
        **_of(
            "settlement_account",
            "account",
            ("account", "currency", "hint"),
            SettlementAccountProposed="proposed",
        ),
        **_of(
            "settlement_account",
            "account",
            ("account", "currency", "active_from"),
            SettlementAccountApproved="approved",
        ),
        **_of(
            "webhook_endpoint",
            "endpoint",
            ("endpoint", "dead"),
            WebhookEndpointDisabled="disabled",
        ),
    }
)
"""By the name of a fact: what merchants are told of it."""
KINDS: Final = tuple(sorted(told.kind for told in TOLD.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an app hears what happens.

    Attributes
    ----------
    kinds : of events; `*` is every one
    dead_in_a_row : deliveries that died since one arrived
    """

    id: str
    merchant: UUID
    app: str
    mode: Mode
    url: str
    kinds: tuple[str, ...]
    form: Form
    api_version: str
    state: EndpointState
    version: int
    created_at: datetime
    created_by: str
    dead_in_a_row: int = 0
    disabled_for: str | None = None
    hints: tuple[str, ...] = ()

    def must_be(self, *states: EndpointState, verb: str) -> Endpoint:
        """Return the endpoint itself if the verb goes with its state.

        Refusals
        --------
        webhook_endpoint_state_forbids
        """
        if self.state not in states:
            raise WebhookEndpointStateForbids(endpoint=self.id, state=self.state, verb=verb)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened, as merchants are told it.

    Attributes
    ----------
    object : `noun:id`; sequence : 1, 2, ... within it
    snapshot : what is told
    """

    id: UUID
    merchant: UUID
    app: str | None
    mode: Mode
    kind: str
    object: str
    sequence: int
    snapshot: Mapping[str, Any]
    occurred_at: datetime

    @property
    def name(self) -> str:
        """The id outside: the same in every try."""
        return f"evt_{self.id.hex}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """An event on its way to an endpoint.

    Attributes
    ----------
    tries : all of them; round_tries : since it was last replayed by hand
    next_try_at : real instant
    """

    id: UUID
    event: UUID
    endpoint: str
    merchant: UUID
    state: DeliveryState
    version: int
    tries: int
    round_tries: int
    made_at: datetime
    next_try_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None
    delivered_at: datetime | None = None


def check_kinds(kinds: tuple[str, ...], known: tuple[str, ...] = KINDS) -> tuple[str, ...]:
    """Return kinds that there are, each once.

    Refusals
    --------
    webhook_endpoint_is_malformed

    Examples
    --------
    >>> check_kinds(("payment.succeeded", "payment.succeeded"))
    ('payment.succeeded',)
    """
    unknown = [kind for kind in kinds if kind != EVERY and kind not in known]
    if not kinds or len(kinds) > MOST_KINDS or unknown:
        raise WebhookEndpointIsMalformed(reason=f"unknown kinds: {', '.join(unknown)[:100]}")
    return tuple(dict.fromkeys(kinds))


def snapshot_of(told: Told, fact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what merchants see of a fact; what is not known is left out."""
    return {name: fact[name] for name in told.fields if fact.get(name) is not None}


def native_body(event: Event, api_version: str) -> bytes:
    """Return an event as it is sent: the same bytes in every try."""
    told = {
        "id": event.name,
        "type": event.kind,
        "api_version": api_version,
        "created_at": event.occurred_at.isoformat().replace("+00:00", "Z"),
        "mode": event.mode.value,
        "object": event.object,
        "sequence": event.sequence,
        "data": dict(event.snapshot),
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def standard_headers(
    secrets: tuple[str, ...], event: str, body: bytes, timestamp: int
) -> dict[str, str]:
    """Return the three headers of Standard Webhooks 1.0.0, a signature for each secret.

    Parameters
    ----------
    secrets : `whsec_` and base64, the newest first
    event : id of the event; timestamp : Unix seconds of this try

    Examples
    --------
    >>> made = standard_headers(("whsec_AAAA",), "evt_1", b"{}", 0)
    >>> sorted(made), made["webhook-signature"][:8]
    (['webhook-id', 'webhook-signature', 'webhook-timestamp'], 'v1,ooe9x')
    """
    signed = b".".join((event.encode(), str(timestamp).encode(), body))
    keys = (base64.b64decode(secret.removeprefix(SECRET_PREFIX) + "==") for secret in secrets)
    signatures = (base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
    return {
        "webhook-id": event,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def stripe_headers(secrets: tuple[str, ...], body: bytes, timestamp: int) -> dict[str, str]:
    """Return the one header that clients of Stripe check; the key is the secret's text.

    Examples
    --------
    >>> stripe_headers(("whsec_AAAA",), b"{}", 0)["Stripe-Signature"][:12]
    't=0,v1=ef366'
    """
    signed = str(timestamp).encode() + b"." + body
    parts = [f"t={timestamp}"]
    parts += [f"v1={hmac.digest(secret.encode(), signed, 'sha256').hex()}" for secret in secrets]
    return {"Stripe-Signature": ",".join(parts)}


def new_secret(entropy: bytes) -> str:
    """Return a secret of 32 bytes of chance."""
    assert len(entropy) == SECRET_BYTES, "32 bytes of chance"
    return SECRET_PREFIX + base64.b64encode(entropy).decode()


WAITS: Final = tuple(
    timedelta(seconds=s) for s in (15, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200)
)
"""How long after a try that failed the next one comes; after the last one it is dead: eleven tries
in 27 hours 51 minutes, up to a fifth more with the jitter."""


def wait_after(tries: int, seed: bytes) -> timedelta | None:
    """Return how long to wait after a try that failed; None: no further try.

    Parameters
    ----------
    tries : made so far in this round, from 1
    seed : of the jitter, which adds up to a fifth: deliveries that failed together come back apart

    Examples
    --------
    >>> wait_after(1, b"a").total_seconds() // 1, wait_after(11, b"a")
    (17.0, None)
    """
    assert tries > 0, "a try was made"
    if tries > len(WAITS):
        return None
    draw = hashlib.sha256(seed + tries.to_bytes(4, "big")).digest()
    share = int.from_bytes(draw[:4], "big") / 2**32
    return WAITS[tries - 1] * (1 + 0.2 * share)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a try.

    Attributes
    ----------
    status : of HTTP; None: there was none, and `error` says why in a word
    text : its first bytes, printable
    """

    status: int | None
    error: str | None
    text: str
    latency_ms: int

    @property
    def is_yes(self) -> bool:
        """Whether the endpoint took it: 2xx and nothing else."""
        return self.status is not None and 200 <= self.status < 300


def after_try(delivery: Delivery, answer: Answer, now: datetime) -> Delivery:
    """Return where a delivery stands after a try.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2026, 1, 1, tzinfo=UTC)
    >>> sent = Delivery(id=UUID(int=1), event=UUID(int=2), endpoint="we_x", merchant=UUID(int=3),
    ...                 state=DeliveryState.PENDING, version=1, tries=0, round_tries=0, made_at=at)
    >>> after_try(sent, Answer(500, None, "", 3), at).state.value
    'retrying'
    """
    tries = delivery.round_tries + 1
    wait = None if answer.is_yes else wait_after(tries, delivery.id.bytes)
    if answer.is_yes:
        state = DeliveryState.DELIVERED
    else:
        state = DeliveryState.DEAD if wait is None else DeliveryState.RETRYING
    return Delivery(
        id=delivery.id,
        event=delivery.event,
        endpoint=delivery.endpoint,
        merchant=delivery.merchant,
        state=state,
        version=delivery.version + 1,
        tries=delivery.tries + 1,
        round_tries=tries,
        made_at=delivery.made_at,
        next_try_at=None if wait is None else now + wait,
        last_status=answer.status,
        last_error=answer.error,
        delivered_at=now if answer.is_yes else delivery.delivered_at,
    )
