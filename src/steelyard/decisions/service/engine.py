"""The engine: folds events in one order, asks the policy of their scene, and forgets nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import Any, Protocol
from uuid import UUID, uuid5

from steelyard.decisions.model.decision import Asked, Decision, Judgement, Value, decide
from steelyard.decisions.model.question import SceneIsUnknown, read_question
from steelyard.decisions.model.roster import NOBODY
from steelyard.decisions.service.state import State
from steelyard.decisions.store.folds import HeardFold, Told
from steelyard.features import KINDS, Event
from steelyard.features.catalogue import complete

_NAMESPACE = UUID("6c9b0b52-5d2f-5d0c-9a52-1f9b3c0a7e10")
REMEMBERED = 1_000_000
"""How many decided questions are known as such without asking the log."""
_MANY_VERSIONS = 4_096


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


class Choice(Protocol):
    """What judges one question; see `model.roster.Chosen`."""

    @property
    def policy(self) -> Policy:
        """The policy, without what is switched off."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """What the decision records beside the policy's own versions."""
        ...


class Rules(Protocol):
    """Who judges whom now, and what stands on the lists; see `model.roster.Roster`."""

    @property
    def version(self) -> int:
        """Grows with every change."""
        ...

    @property
    def scenes(self) -> Collection[str]:
        """The scenes that have a policy."""
        ...

    def choose(self, scene: str, subject: str, now_ms: int) -> Choice:
        """Return what judges a question of a subject."""
        ...

    def flags(self, policy: Any, fields: Mapping[str, Value], now_ms: int) -> Mapping[str, bool]:
        """Return the kept lists that a policy, one it chose, asks and on which a field stands."""
        ...

    def reads(self, scene: str) -> tuple[str, ...]:
        """Return the features that any policy of a scene reads."""
        ...


class Engine:
    """Decides for one shard, in one thread: what it folds, and in which order, is its state.

    Parameters
    ----------
    rules : may be replaced by newer ones between two questions, if `state` knows what they read
    state : the features, folded up to its sequence
    """

    def __init__(self, rules: Rules, state: State) -> None:
        self.state = state
        self.rules = rules
        self._known: OrderedDict[tuple[str, str], int] = OrderedDict()
        # Questions about events from this instant on are all remembered.
        self._complete_from_ms = 0
        self._versions: dict[tuple[str, ...], dict[str, str]] = {}

    def read(self, scene: str, body: bytes, *, now_ms: int) -> Asked:
        """Return the question of a body, checked.

        Refusals
        --------
        scene_is_unknown, and what `read_question` refuses
        """
        if scene not in self.rules.scenes:
            raise SceneIsUnknown(scene=scene)
        return read_question(scene, body, kind=KINDS[scene], now_ms=now_ms)

    def knows(self, kind: str, event_id: str) -> bool:
        """Return whether it remembers that an event was folded."""
        return (kind, event_id) in self._known

    def may_know(self, asked: Asked) -> bool:
        """Return whether the question may have been decided before; the log knows for sure."""
        return asked.at_ms < self._complete_from_ms or (asked.scene, asked.id) in self._known

    def decide(self, asked: Asked, *, now_ms: int) -> Decision:
        """Fold the event of a question, and decide; the caller has it written before answering.

        Parameters
        ----------
        asked : was not decided before (see `may_know`)
        now_ms : business instant
        """
        rules, scene = self.rules, asked.scene
        fields = complete(scene, asked.at_ms, asked.fields)
        sequence = self.state.sequence + 1
        known, flags = self.state.fold(Event(scene, asked.id, asked.at_ms, sequence, fields))
        subject = subject_of(fields)
        chosen = rules.choose(scene, subject, now_ms)
        policy = chosen.policy
        flags.update(rules.flags(policy, fields, now_ms))
        names = rules.reads(scene)
        values = known if len(known) == len(names) else {name: known.get(name) for name in names}
        judged = policy.judge(inputs_of(fields, values, flags))
        decision = decide(
            asked,
            id_of(asked),
            judged,
            subject=subject,
            sequence=sequence,
            values=values,
            flags=flags,
            versions=self._versions_of(chosen),
            decided_at_ms=now_ms,
            degraded=judged.degraded,
        )
        self.remember(scene, asked.id, asked.at_ms)
        return decision

    def hear(self, told: Told) -> HeardFold:
        """Fold what a fact told, unless the event was folded before; and return where."""
        if told.what == "event":
            if (told.kind, told.event_id) in self._known:
                return HeardFold(told, None)
            self.remember(told.kind, told.event_id, told.at_ms)
        sequence = self.state.sequence + 1
        return HeardFold(told, sequence, self.state.hear(told, sequence))

    def remember(self, kind: str, event_id: str, at_ms: int) -> None:
        """Know that an event was folded, without asking the log."""
        self._known[kind, event_id] = at_ms
        if len(self._known) > REMEMBERED:
            _, oldest_at_ms = self._known.popitem(last=False)
            self._complete_from_ms = max(self._complete_from_ms, oldest_at_ms + 1)

    def forget_before(self, at_ms: int) -> None:
        """Ask the log about every question whose event is older: not all were remembered."""
        self._complete_from_ms = max(self._complete_from_ms, at_ms)

    def _versions_of(self, chosen: Choice) -> dict[str, str]:
        policy = chosen.policy
        key = (policy.cause, *policy.versions.values(), *chosen.versions.values())
        found = self._versions.get(key)
        if found is None:
            if len(self._versions) > _MANY_VERSIONS:
                self._versions.clear()
            found = self._versions[key] = {
                "policy": policy.cause,
                "catalogue": self.state.definitions,
                **policy.versions,
                **chosen.versions,
            }
        return found


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

    Parameters
    ----------
    policy : without what the decision's versions say was left out

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
        subject=subject_of(fields),
        sequence=decision.sequence,
        values=decision.values,
        flags=decision.flags,
        versions={**decision.versions, **policy.versions},
        decided_at_ms=decision.decided_at_ms,
        degraded=judged.degraded,
    )


def subject_of(fields: Mapping[str, Value]) -> str:
    """Return whom an event is about, `noun:id`."""
    for noun in ("customer", "merchant", "account"):
        if fields.get(noun) is not None:
            return f"{noun}:{fields[noun]}"
    return NOBODY
