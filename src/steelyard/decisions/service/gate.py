"""The gate of the platform: what may be refused is asked of the owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

import msgspec

from steelyard.base import Database, NoPolicyGate, Outcome, Question, Verdict
from steelyard.decisions.model.decision import Answer, Asked
from steelyard.decisions.model.question import SceneIsUnknown
from steelyard.decisions.service.client import OwnerClient
from steelyard.decisions.service.log import OwnerIsAway

_ANSWERS = msgspec.json.Decoder(list[Answer])


class OwnerGate:
    """Asks the owner of decisions; a scene without a policy is approved, and says so.

    Parameters
    ----------
    database : tells the business instant at which is decided
    fields : by scene, the facts that the event of the scene has; others are not sent
    """

    def __init__(
        self, client: OwnerClient, database: Database, fields: Mapping[str, frozenset[str]]
    ) -> None:
        self._client = client
        self._database = database
        self._fields = fields
        self._open = NoPolicyGate()

    def ask(self, scene: str, facts: Mapping[str, object], now: datetime) -> Verdict:
        """Return the verdict of the scene's policy.

        Refusals
        --------
        owner_is_away
        """
        (verdict,) = self.ask_all(scene, [Question(str(uuid4()), now, facts)])
        return verdict

    def ask_all(self, scene: str, questions: Sequence[Question]) -> tuple[Verdict, ...]:
        """Return the verdicts of the scene's policy, in the order of the questions.

        Refusals
        --------
        owner_is_away
        """
        fields = self._fields.get(scene)
        if fields is None:
            return self._open.ask_all(scene, questions)
        asked = [
            Asked(
                scene=scene,
                id=q.id,
                at_ms=_milliseconds(q.at),
                fields={name: _plain(q.facts[name]) for name in fields & q.facts.keys()},
            )
            for q in questions
        ]
        now = max(self._database.now(), *(q.at for q in questions))
        told = self._client.ask_all(scene, asked, now_ms=_milliseconds(now))
        if told.is_refusal:
            code = told.problem("en")["code"]
            if code == SceneIsUnknown.code:
                return self._open.ask_all(scene, questions)
            assert code == OwnerIsAway.code, f"the gate asked what cannot be asked: {code}"
            raise OwnerIsAway
        return tuple(_verdict(answer) for answer in _ANSWERS.decode(told.body))


def _verdict(answer: Answer) -> Verdict:
    return Verdict(
        Outcome(answer.outcome), answer.policy, answer.reasons, answer.id, answer.limit_minor
    )


def _milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000)


def _plain(value: object) -> int | str | bool | None:
    if value is None or isinstance(value, bool | int | str):
        return value
    assert isinstance(value, UUID), value
    return str(value)
