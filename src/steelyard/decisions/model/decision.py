"""The decision: what was said to a scene, why, from which values, by which versions.

A decision is recorded as bytes that are computed again from what stands in them: the event, the
values that were read, and the versions. What cannot be computed again (how long it took) is not
among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

Value = int | float | str | bool | None

OUTCOMES = ("approve", "limit", "step_up", "hold", "review", "decline")
"""In the order of their severity: of several that are said, the last counts."""
LETS_PASS = frozenset({"approve", "limit"})
"""The outcomes whose decision a movement of money may consume."""
LIFE = timedelta(minutes=15)
"""How long a decision may be consumed."""
_LIFE_MS = LIFE // timedelta(milliseconds=1)
T = TypeVar("T")


class Judgement(NamedTuple):
    """What a policy says to the values of a scene.

    Attributes
    ----------
    outcome : one of `OUTCOMES`
    score : 0 (harmless) to 1000, None where nothing scored
    reasons : stable codes, most weighty first, each once
    limit_minor : the amount up to which it is approved, where the outcome is `limit`
    trace : what hit and what failed, in the policy's own words
    degraded : why the policy could not judge as it should, empty if it could
    """

    outcome: str
    score: int | None
    reasons: tuple[str, ...]
    limit_minor: int | None = None
    trace: tuple[Any, ...] = ()
    degraded: str = ""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to be decided.

    Attributes
    ----------
    scene : `payment`, `log_in`, ...
    id : of the event, chosen by the caller; the same id is the same question
    at_ms : event time, milliseconds since 1970
    fields : of the event
    """

    scene: str
    id: str
    at_ms: int
    fields: dict[str, int | str | bool | None]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it is recorded.

    Attributes
    ----------
    id : of the decision
    asked : the question
    subject : whom it is about, `noun:id`
    sequence : place of the event in the order in which the owner folded (`fold_seq`)
    values : the features that were there to read, by name; None is missing
    flags : what the event's lateness, lists or degradation add, by name
    versions : of everything that had a part: policy, models, catalogue
    degraded : why not everything was asked, empty if it was
    decided_at_ms : business instant at which it was decided
    expires_at_ms : until when it may be consumed
    """

    id: UUID
    asked: Asked
    subject: str
    sequence: int
    values: dict[str, Value]
    flags: dict[str, Value]
    versions: dict[str, str]
    outcome: str
    score: int | None
    reasons: tuple[str, ...]
    limit_minor: int | None
    trace: tuple[Any, ...]
    degraded: str
    decided_at_ms: int
    expires_at_ms: int

    @property
    def cause(self) -> str:
        """What a movement that consumes it names as its cause, `policy@version`."""
        return self.versions["policy"]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the asker is told of a decision.

    Attributes
    ----------
    id : of the decision; shown when a movement consumes it, and when somebody asks why
    reasons : stable codes, most weighty first
    limit_minor : up to which amount it is approved, where the outcome is `limit`
    expires_at_ms : until when it may be consumed
    """

    id: UUID
    scene: str
    outcome: str
    score: int | None
    reasons: tuple[str, ...]
    limit_minor: int | None
    policy: str
    degraded: str
    expires_at_ms: int

    @classmethod
    def of(cls, decision: Decision) -> Answer:
        """Return the answer that a decision gives."""
        return cls(
            id=decision.id,
            scene=decision.asked.scene,
            outcome=decision.outcome,
            score=decision.score,
            reasons=decision.reasons,
            limit_minor=decision.limit_minor,
            policy=decision.cause,
            degraded=decision.degraded,
            expires_at_ms=decision.expires_at_ms,
        )


_ENCODER = msgspec.json.Encoder(order="sorted", uuid_format="canonical")
_DECODER = msgspec.json.Decoder(Decision)


def record_of(decision: Decision) -> bytes:
    """Return the bytes that are kept and chained; equal decisions give equal bytes.

    Examples
    --------
    >>> asked = Asked(scene="log_in", id="1", at_ms=0, fields={"ip": "::1", "device": None})
    >>> decision = decide(asked, UUID(int=1), Judgement("approve", 12, ()), sequence=1,
    ...                   subject="customer:7", values={}, flags={},
    ...                   versions={"policy": "policy.log_in@1"}, decided_at_ms=0)
    >>> read_record(record_of(decision)) == decision
    True
    """
    return _ENCODER.encode(decision)


def read_record(record: bytes) -> Decision:
    """Return the decision of a record."""
    return _DECODER.decode(record)


def chained(previous: bytes, record: bytes) -> bytes:
    """Return the hash of a record behind another: SHA-256 of the hash before and the bytes."""
    return sha256(previous + record).digest()


def decide(
    asked: Asked,
    id: UUID,
    judged: Judgement,
    *,
    subject: str,
    sequence: int,
    values: Mapping[str, Value],
    flags: Mapping[str, Value],
    versions: Mapping[str, str],
    decided_at_ms: int,
    degraded: str = "",
) -> Decision:
    """Put a decision together from what a policy said.

    Parameters
    ----------
    values, flags, versions : not changed afterwards, for the decision keeps them

    Returns
    -------
    Decision
        Its reasons name each code once; it expires `LIFE` after it was decided.
    """
    assert judged.outcome in OUTCOMES, judged.outcome
    assert (judged.limit_minor is not None) == (judged.outcome == "limit")
    return Decision(
        id=id,
        asked=asked,
        subject=subject,
        sequence=sequence,
        values=_plain(values),
        flags=_plain(flags),
        versions=_plain(versions),
        outcome=judged.outcome,
        score=judged.score,
        reasons=tuple(dict.fromkeys(judged.reasons)) if judged.reasons else (),
        limit_minor=judged.limit_minor,
        trace=judged.trace,
        degraded=degraded,
        decided_at_ms=decided_at_ms,
        expires_at_ms=max(asked.at_ms, decided_at_ms) + _LIFE_MS,
    )


def _plain(values: Mapping[str, T]) -> dict[str, T]:
    return values if type(values) is dict else dict(values)


def instant(at_ms: int) -> datetime:
    """Return the instant of milliseconds since 1970."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
