"""Asking the owner from another process: found in the database, found again when it has moved."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from steelyard.base import Database
from steelyard.decisions.model.decision import Asked
from steelyard.decisions.service.log import OwnerIsAway
from steelyard.decisions.store.log import Whereabouts, find_owner

PATIENCE_SECONDS = 5.0
"""How long an asker waits for a standby to take over."""
_PAUSE_SECONDS = 0.1
_TIMEOUT_SECONDS = 5.0
_TICKET = "X-Steelyard-Ticket"


@dataclass(frozen=True, slots=True)
class Told:
    """What the owner answered: the status of the edge, and the body as it is."""

    status: int
    body: bytes

    @property
    def is_refusal(self) -> bool:
        """Whether the body is a problem document with the sentences of all languages."""
        return self.status != 200

    def problem(self, language: str) -> Mapping[str, Any]:
        """Return the problem document in one language."""
        read: dict[str, Any] = msgspec.json.decode(self.body)
        sentences = read.pop("sentences")
        return {**read, "title": sentences[language]}


class OwnerClient:
    """Asks the owner of a shard; safe in many threads.

    An owner that does not answer is looked up again until `PATIENCE_SECONDS` are over: the same
    question asked twice is decided once, so asking again is safe.
    """

    def __init__(self, database: Database, *, shard: int = 0) -> None:
        self._database = database
        self._shard = shard
        self._client = httpx.Client(timeout=_TIMEOUT_SECONDS, trust_env=False)
        self._known: Whereabouts | None = None
        self._never = threading.Event()

    def ask(self, scene: str, body: bytes) -> Told:
        """Return what the owner says to a question.

        Refusals
        --------
        owner_is_away
        """
        return self._post(f"/v1/decisions/{scene}", body)

    def ask_all(self, scene: str, questions: Sequence[Asked], *, now_ms: int) -> Told:
        """Return what the owner says to many questions at once, decided at a business instant.

        Refusals
        --------
        owner_is_away
        """
        listed = [{"id": q.id, "at_ms": q.at_ms, "fields": q.fields} for q in questions]
        body = msgspec.json.encode({"now_ms": now_ms, "questions": listed})
        return self._post(f"/v1/batches/{scene}", body)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _post(self, path: str, body: bytes) -> Told:
        tries = int(PATIENCE_SECONDS / _PAUSE_SECONDS)
        for attempt in range(tries):
            owner = self._known or self._look_up()
            if owner is not None:
                try:
                    answer = self._client.post(
                        f"{owner.address}{path}",
                        content=body,
                        headers={_TICKET: owner.ticket, "Content-Type": "application/json"},
                    )
                except httpx.HTTPError:
                    answer = None
                # 401: another process listens there now; 503: it is over, or rebuilding.
                if answer is not None and answer.status_code not in (401, 503):
                    return Told(answer.status_code, answer.content)
            self._known = None
            if attempt < tries - 1:
                self._never.wait(_PAUSE_SECONDS)
        raise OwnerIsAway

    def _look_up(self) -> Whereabouts | None:
        with self._database.reading() as connection:
            self._known = find_owner(connection, self._shard)
        return self._known
