"""Tables of routing: policies, decisions, what was taken of a day, and what attempts became."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from steelyard.payments.model.attempts import AttemptState
from steelyard.payments.model.channel import Decline, Method
from steelyard.payments.model.routing import Candidate, Choice
from steelyard.payments.model.routing_rules import Options, RoutingPolicy, RoutingRequest, Rule


class DecisionRow(NamedTuple):
    """A choice on its way into the table."""

    attempt: UUID
    decided_at: datetime
    request: RoutingRequest
    choice: Choice


@dataclass(frozen=True, slots=True)
class StoredDecision:
    """A choice as it was written down."""

    attempt: UUID
    decided_at: datetime
    request: RoutingRequest
    choice: Choice


def insert_decisions(connection: sa.Connection, rows: Sequence[DecisionRow]) -> None:
    """Write choices down, in the transaction that begins their attempts."""
    if not rows:
        return
    connection.execute(
        sa.text(
            "INSERT INTO payments.routing_decision (attempt, decided_at, policy, book_version,"
            " seed, rule, chosen, propensity, request, candidates, excluded)"
            " SELECT * FROM unnest(CAST(:attempts AS uuid[]), CAST(:ats AS timestamptz[]),"
            " CAST(:policies AS integer[]), CAST(:books AS bigint[]), CAST(:seeds AS bigint[]),"
            " CAST(:rules AS text[]), CAST(:chosen AS text[]),"
            " CAST(:propensities AS double precision[]), CAST(:requests AS jsonb[]),"
            " CAST(:candidates AS jsonb[]), CAST(:excluded AS jsonb[]))"
        ),
        {
            "attempts": [row.attempt for row in rows],
            "ats": [row.decided_at for row in rows],
            "policies": [row.choice.policy for row in rows],
            "books": [row.choice.book_version for row in rows],
            "seeds": [row.choice.seed for row in rows],
            "rules": [row.choice.rule for row in rows],
            "chosen": [row.choice.chosen for row in rows],
            "propensities": [row.choice.propensity for row in rows],
            "requests": [msgspec.json.encode(row.request).decode() for row in rows],
            "candidates": [json.dumps(row.choice.candidates) for row in rows],
            "excluded": [json.dumps(row.choice.excluded) for row in rows],
        },
    )


def find_decision(connection: sa.Connection, attempt: UUID) -> StoredDecision | None:
    """Return the choice of an attempt's channel; None where there was none to make."""
    row = connection.execute(
        sa.text("SELECT * FROM payments.routing_decision WHERE attempt = :attempt"),
        {"attempt": attempt},
    ).one_or_none()
    if row is None:
        return None
    choice = Choice(
        chosen=row.chosen,
        propensity=row.propensity,
        candidates=tuple(Candidate(*one) for one in row.candidates),
        excluded=row.excluded,
        rule=row.rule,
        seed=row.seed,
        policy=row.policy,
        book_version=row.book_version,
    )
    request = msgspec.convert(row.request, RoutingRequest)
    return StoredDecision(row.attempt, row.decided_at, request, choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRow:
    """A version of the rules and options, and whether it came into force."""

    policy: RoutingPolicy
    reason: str
    actor: str
    made_at: datetime
    cause: str | None
    in_force_at: datetime | None


def insert_policy(
    connection: sa.Connection, policy: RoutingPolicy, *, reason: str, actor: str, at: datetime
) -> None:
    """Keep a version."""
    connection.execute(
        sa.text(
            "INSERT INTO payments.routing_policy (version, rules, options, reason, actor, made_at)"
            " VALUES (:version, :rules, :options, :reason, :actor, :at)"
        ).bindparams(sa.bindparam("rules", type_=JSONB), sa.bindparam("options", type_=JSONB)),
        {
            "version": policy.version,
            "rules": rules_to_plain(policy.rules),
            "options": msgspec.to_builtins(policy.options),
            "reason": reason,
            "actor": actor,
            "at": at,
        },
    )


def rules_to_plain(rules: Sequence[Rule]) -> list[Any]:
    """Return rules as JSON holds them, the members of sets in order."""
    plain: list[Any] = json.loads(msgspec.json.encode(list(rules), order="deterministic"))
    return plain


def lock_policies(connection: sa.Connection) -> int:
    """Let nobody else write a version until the end; return the newest, 0 where there is none."""
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('payments.routing_policy'))"))
    found = connection.execute(
        sa.text("SELECT coalesce(max(version), 0) FROM payments.routing_policy")
    ).scalar_one()
    return int(found)


def put_in_force(connection: sa.Connection, version: int, *, cause: str, at: datetime) -> bool:
    """Let a version count; return False where it does already, or is not there."""
    done = connection.execute(
        sa.text(
            "UPDATE payments.routing_policy SET cause = :cause, in_force_at = :at"
            " WHERE version = :version AND in_force_at IS NULL"
        ),
        {"version": version, "cause": cause, "at": at},
    )
    return done.rowcount == 1


def policies(
    connection: sa.Connection, *, version: int | None = None, limit: int = 50
) -> list[PolicyRow]:
    """Return versions, the newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM payments.routing_policy"
            " WHERE CAST(:version AS integer) IS NULL OR version = :version"
            " ORDER BY version DESC LIMIT :limit"
        ),
        {"version": version, "limit": limit},
    ).all()
    return [_policy(row) for row in rows]


def policy_in_force(connection: sa.Connection) -> RoutingPolicy:
    """Return what counts: the version that came into force last."""
    row = connection.execute(
        sa.text(
            "SELECT * FROM payments.routing_policy WHERE in_force_at IS NOT NULL"
            " ORDER BY in_force_at DESC, version DESC LIMIT 1"
        )
    ).one_or_none()
    return RoutingPolicy() if row is None else _policy(row).policy


def _policy(row: Any) -> PolicyRow:
    policy = RoutingPolicy(
        version=row.version,
        rules=msgspec.convert(row.rules, tuple[Rule, ...]),
        options=msgspec.convert(row.options, Options, strict=False),
    )
    return PolicyRow(
        policy=policy,
        reason=row.reason,
        actor=row.actor,
        made_at=row.made_at,
        cause=row.cause,
        in_force_at=row.in_force_at,
    )


class Taken(NamedTuple):
    """What a payment takes of a channel's day.

    Attributes
    ----------
    most_minor, most_payments : what the day allows; None: no limit
    """

    channel: str
    currency: str
    on: date
    amount_minor: int
    most_minor: int | None
    most_payments: int | None


def take_of_day(connection: sa.Connection, taken: Taken) -> bool:
    """Take a payment's amount of a channel's day; False where the day has not so much left.

    The row of the day is held until the transaction ends: of two payments that both fit alone, one
    is refused.
    """
    done = connection.execute(
        sa.text(
            'INSERT INTO payments.channel_day AS d (channel, currency, "on", amount_minor,'
            " payments) SELECT :channel, :currency, :on, :amount, 1"
            " WHERE (CAST(:most AS bigint) IS NULL OR :amount <= :most)"
            " AND (CAST(:count AS integer) IS NULL OR 1 <= :count)"
            ' ON CONFLICT (channel, currency, "on") DO UPDATE SET'
            " amount_minor = d.amount_minor + :amount, payments = d.payments + 1"
            " WHERE (CAST(:most AS bigint) IS NULL OR d.amount_minor + :amount <= :most)"
            " AND (CAST(:count AS integer) IS NULL OR d.payments + 1 <= :count)"
        ),
        {
            "channel": taken.channel,
            "currency": taken.currency,
            "on": taken.on,
            "amount": taken.amount_minor,
            "most": taken.most_minor,
            "count": taken.most_payments,
        },
    )
    return done.rowcount == 1


def used_of_day(connection: sa.Connection, channel: str, on: date) -> dict[str, tuple[int, int]]:
    """Return what was taken of a channel's day by currency: minor units, payments."""
    rows = connection.execute(
        sa.text(
            "SELECT currency, amount_minor, payments FROM payments.channel_day"
            ' WHERE channel = :channel AND "on" = :on'
        ),
        {"channel": channel, "on": on},
    ).all()
    return {row.currency: (int(row.amount_minor), row.payments) for row in rows}


def count_day_again(
    connection: sa.Connection, channel: str, on: date, *, since: datetime, until: datetime
) -> None:
    """Set what was taken of a day to what its attempts say; those without money give it back."""
    connection.execute(
        sa.text(
            'SELECT 1 FROM payments.channel_day WHERE channel = :channel AND "on" = :on'
            " ORDER BY currency FOR UPDATE"
        ),
        {"channel": channel, "on": on},
    )
    connection.execute(
        sa.text(
            "UPDATE payments.channel_day d SET amount_minor = coalesce(a.amount, 0),"
            " payments = coalesce(a.payments, 0) FROM payments.channel_day k LEFT JOIN LATERAL ("
            "  SELECT sum(amount_minor) AS amount, count(*) AS payments FROM payments.attempt"
            "  WHERE channel = k.channel AND currency = k.currency"
            "   AND sent_at >= :since AND sent_at < :until"
            "   AND state NOT IN ('init', 'declined', 'closed', 'reversed')) a ON true"
            ' WHERE k.channel = :channel AND k."on" = :on AND d.channel = k.channel'
            ' AND d.currency = k.currency AND d."on" = k."on"'
        ),
        {"channel": channel, "on": on, "since": since, "until": until},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """An attempt as routing looks at it."""

    id: UUID
    channel: str
    method: Method
    merchant: UUID
    amount_minor: int
    currency: str
    network: str
    state: AttemptState
    decline: Decline | None
    sent_at: datetime
    final_at: datetime | None


_TRIED = (
    "SELECT a.id, a.channel, a.method, o.merchant, a.amount_minor, a.currency, a.state, a.decline,"
    " coalesce(a.details->>'network', '') AS network, a.sent_at, a.final_at"
    " FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id"
)


def tried_since(
    connection: sa.Connection, channels: Sequence[str], since: datetime, *, limit: int
) -> list[Tried]:
    """Return the newest attempts that channels were sent since an instant, the oldest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT t.* FROM unnest(CAST(:channels AS text[])) c (code) CROSS JOIN LATERAL ("
            f"{_TRIED} WHERE a.channel = c.code AND a.sent_at >= :since AND a.state <> 'init'"
            " ORDER BY a.sent_at DESC LIMIT :limit) t ORDER BY t.sent_at, t.id"
        ),
        {"channels": list(channels), "since": since, "limit": limit},
    ).all()
    return [_tried(row) for row in rows]


def tried_of(connection: sa.Connection, ids: Sequence[UUID]) -> list[Tried]:
    """Return attempts by their ids, the oldest first."""
    rows = connection.execute(
        sa.text(f"{_TRIED} WHERE a.id = ANY(:ids) ORDER BY a.sent_at, a.id"), {"ids": list(ids)}
    ).all()
    return [_tried(row) for row in rows]


def _tried(row: Any) -> Tried:
    given = dict(row._mapping)
    return Tried(
        **{
            **given,
            "method": Method(row.method),
            "state": AttemptState(row.state),
            "decline": None if row.decline is None else Decline(row.decline),
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many payments a channel got of a merchant's method, and how many of them went through."""

    channel: str
    method: Method
    currency: str
    payments: int
    succeeded: int
    amount_minor: int


def shares(
    connection: sa.Connection, since: datetime, until: datetime, merchant: UUID | None
) -> list[Share]:
    """Return what each channel got between two instants."""
    rows = connection.execute(
        sa.text(
            "SELECT a.channel, a.method, a.currency, count(*) AS payments,"
            " count(*) FILTER (WHERE a.state IN ('authorized', 'succeeded', 'reversed'))"
            " AS succeeded, sum(a.amount_minor) AS amount_minor"
            " FROM payments.attempt a JOIN payments.order o ON o.id = a.order_id"
            " WHERE a.sent_at >= :since AND a.sent_at < :until AND a.state <> 'init'"
            " AND (CAST(:merchant AS uuid) IS NULL OR o.merchant = :merchant)"
            " GROUP BY 1, 2, 3 ORDER BY 2, 3, 4 DESC, 1"
        ),
        {"since": since, "until": until, "merchant": merchant},
    ).all()
    return [
        Share(
            channel=row.channel,
            method=Method(row.method),
            currency=row.currency,
            payments=row.payments,
            succeeded=row.succeeded,
            amount_minor=int(row.amount_minor),
        )
        for row in rows
    ]


def logged(
    connection: sa.Connection, since: datetime, until: datetime, *, limit: int
) -> list[tuple[str, float, list[Candidate], AttemptState, Decline | None, float]]:
    """Return decisions between two instants with the ends of their attempts.

    Returns
    -------
    list
        Chosen channel, propensity, candidates, state, reason, seconds from sending to the end.
    """
    rows = connection.execute(
        sa.text(
            "SELECT d.chosen, d.propensity, d.candidates, a.state, a.decline,"
            " extract(epoch FROM a.final_at - a.sent_at) AS seconds"
            " FROM payments.routing_decision d JOIN payments.attempt a ON a.id = d.attempt"
            " WHERE d.decided_at >= :since AND d.decided_at < :until AND a.final_at IS NOT NULL"
            " AND d.rule IS NULL ORDER BY d.decided_at LIMIT :limit"
        ),
        {"since": since, "until": until, "limit": limit},
    ).all()
    return [
        (
            row.chosen,
            row.propensity,
            [Candidate(*one) for one in row.candidates],
            AttemptState(row.state),
            None if row.decline is None else Decline(row.decline),
            float(row.seconds),
        )
        for row in rows
    ]
