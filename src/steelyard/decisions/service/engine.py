"""The engine: folds events in one order, asks the policy of their scene, and forgets nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from typing import Protocol
from uuid import UUID, uuid5

import msgspec

from steelyard.decisions.model.decision import (
    Asked,
    Decision,
    Judgement,
    Value,
    decide,
)
from steelyard.decisions.model.question import SceneIsUnknown, read_question
from steelyard.features import Event, StreamEngine
from steelyard.features.catalogue import EventKind, complete

_NAMESPACE = UUID("6c9b0b52-5d2f-5d0c-9a52-1f9b3c0a7e10")
REMEMBERED = 1_000_000
"""How many decided questions are known as such without asking the log."""


class Policy(Protocol):
    """What judges the values of a scene; pure, and the same for ever for its version."""

    @property
    def cause(self) -> str:
        """`policy.<name>@<version>`, what a movement names as its cause."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of everything else that has a part in its answer: document hash, models, lists."""
        ...

    @property
    def reads(self) -> tuple[str, ...]:
        """The features that it reads, by name."""
        ...

    def judge(self, values: Mapping[str, Value]) -> Judgement:
        """Return what it says to the fields and features of an event."""
        ...


class Engine:
    """Decides for one shard, in one thread: what it folds, and in which order, is its state.

    Parameters
    ----------
    policies : by scene; a scene is also the kind of its events
    stream : the features, folded up to `sequence`
    """

    def __init__(
        self,
        policies: Mapping[str, Policy],
        stream: StreamEngine,
        kinds: Mapping[str, EventKind],
        *,
        catalogue: str,
    ) -> None:
        self.policies = dict(policies)
        self.stream = stream
        self._kinds = kinds
        self._catalogue = catalogue
        self._decided: OrderedDict[tuple[str, str], int] = OrderedDict()
        # Questions about events from this instant on are all remembered.
        self._complete_from_ms = 0

    def read(self, scene: str, body: bytes, *, now_ms: int) -> Asked:
        """Return the question of a body, checked.

        Refusals
        --------
        scene_is_unknown, and what `read_question` refuses
        """
        if scene not in self.policies:
            raise SceneIsUnknown(scene=scene)
        return read_question(scene, body, kind=self._kinds[scene], now_ms=now_ms)

    def may_know(self, asked: Asked) -> bool:
        """Return whether the question may have been decided before; the log knows for sure."""
        return asked.at_ms < self._complete_from_ms or (asked.scene, asked.id) in self._decided

    def decide(self, asked: Asked, *, now_ms: int) -> Decision:
        """Fold the event of a question, and decide; the caller has it written before answering.

        Parameters
        ----------
        asked : was not decided before (see `may_know`)
        now_ms : business instant
        """
        policy = self.policies[asked.scene]
        fields = complete(asked.scene, asked.at_ms, asked.fields)
        sequence = self.stream.sequence + 1
        folded = self.stream.fold(Event(asked.scene, asked.id, asked.at_ms, sequence, fields))
        flags: dict[str, Value] = {}
        if folded.is_late:
            flags["event_is_too_late" if folded.is_too_late else "event_is_late"] = True
        values = {name: folded.values.get(name) for name in policy.reads}
        judged = policy.judge(inputs_of(fields, values, flags))
        decision = decide(
            asked,
            id_of(asked),
            judged,
            subject=_subject(fields),
            sequence=sequence,
            values=values,
            flags=flags,
            versions={"policy": policy.cause, "catalogue": self._catalogue, **policy.versions},
            decided_at_ms=now_ms,
            degraded=judged.degraded,
        )
        self.remember(asked)
        return decision

    def remember(self, asked: Asked) -> None:
        """Know that a question was decided, without asking the log."""
        self._decided[asked.scene, asked.id] = asked.at_ms
        if len(self._decided) > REMEMBERED:
            _, oldest_at_ms = self._decided.popitem(last=False)
            self._complete_from_ms = max(self._complete_from_ms, oldest_at_ms + 1)


def id_of(asked: Asked) -> UUID:
    """Return the id of the decision on a question: a question is decided once.

    UUID version 5 of scene and event id, so that the same history gives the same books.
    """
    return uuid5(_NAMESPACE, f"{asked.scene}/{asked.id}")


def inputs_of(
    fields: Mapping[str, Value], values: Mapping[str, Value], flags: Mapping[str, Value]
) -> dict[str, Value]:
    """Return what a policy reads: fields of the event, features, flags, by their names."""
    return {**fields, **values, **flags}


def replay(decision: Decision, policy: Policy) -> Decision:
    """Compute a decision again from what is recorded in it; by the policy of its version.

    Returns
    -------
    Decision
        Equal to the recorded one, to the byte, unless somebody changed the record or the rules.
    """
    assert policy.cause == decision.cause
    asked = decision.asked
    fields = complete(asked.scene, asked.at_ms, asked.fields)
    judged = policy.judge(inputs_of(fields, decision.values, decision.flags))
    return decide(
        asked,
        decision.id,
        judged,
        subject=_subject(fields),
        sequence=decision.sequence,
        values=decision.values,
        flags=decision.flags,
        versions={**decision.versions, **policy.versions},
        decided_at_ms=decision.decided_at_ms,
        degraded=judged.degraded,
    )


def catalogue_version(definitions: object) -> str:
    """Return a version of the definitions: the first 16 digits of their hash."""
    return sha256(msgspec.json.encode(definitions, order="sorted")).hexdigest()[:16]


def _subject(fields: Mapping[str, Value]) -> str:
    for noun in ("customer", "merchant", "account"):
        if fields.get(noun) is not None:
            return f"{noun}:{fields[noun]}"
    return "nobody:unknown"
