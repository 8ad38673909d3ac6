"""The owner of a shard: the one process that folds its events and decides.

It is fenced: whoever takes the shard over raises the epoch, and what an earlier owner still tries
to write is refused in the transaction of its batch. A decision is durable before it is answered.
When a batch fails, what was folded may not be what is kept: the owner rebuilds its state from the
log before it answers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy as sa

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Asked, Decision
from steelyard.decisions.model.question import EventIdWasUsed
from steelyard.decisions.service.engine import REMEMBERED, Engine, Rules, id_of
from steelyard.decisions.service.follower import Follower
from steelyard.decisions.service.log import DecisionLog, LogWriter, OwnerIsAway, TenureIsOver
from steelyard.decisions.service.state import MOST_ENTITIES
from steelyard.decisions.store import folds
from steelyard.decisions.store import log as store
from steelyard.decisions.store.folds import Told


@dataclass(frozen=True, slots=True)
class Place:
    """Who takes a shard over, and where it is asked.

    Attributes
    ----------
    holder : names the process
    address, ticket : where it answers, and what it wants to be shown there
    """

    holder: str
    address: str = ""
    ticket: str = ""
    shard: int = 0


class Owner:
    """Answers questions of every scene, one after the other in the order of their coming.

    Parameters
    ----------
    rules : who judges whom
    follower : the state of who stood by; without it the log is read here
    most_entities : states that it holds; the others are read back from the log

    Notes
    -----
    Making one takes the shard over and folds what is missing of its log.
    """

    def __init__(
        self,
        database: Database,
        rules: Rules,
        place: Place,
        *,
        follower: Follower | None = None,
        most_entities: int = MOST_ENTITIES,
    ) -> None:
        self._database = database
        self._most_entities = most_entities
        self._shard = place.shard
        self._log = DecisionLog(
            database,
            shard=place.shard,
            holder=place.holder,
            address=place.address,
            ticket=place.ticket,
        )
        self._rules = rules
        self.decided: Callable[[Decision], None] = _nothing
        """Is told of each new decision when it is taken; for what watches over policies."""
        self._suspects: frozenset[tuple[str, str]] = frozenset()
        self._read_to = 0
        self._held: dict[int, Told] = {}
        self._is_ahead = False
        self._writer = LogWriter(self._log.write_soon)
        self._rebuild(follower)

    @property
    def epoch(self) -> int:
        """The epoch of its tenure."""
        return self._log.tenure.epoch

    @property
    def engine(self) -> Engine:
        """What it folds with; for reading."""
        return self._engine

    @property
    def rules_version(self) -> int:
        """The version of the rules that it decides by."""
        return self._rules.version

    async def ask(self, scene: str, body: bytes, *, now_ms: int) -> Decision:
        """Return the decision on a question, once it is durable; the same question, the same.

        Refusals
        --------
        scene_is_unknown, event_id_was_used, owner_is_away, and what `read_question` refuses

        Raises
        ------
        TenureIsOver
            Another process decides now, or has to: a fault left this one with a wrong state.
        """
        self._check()
        asked = self._engine.read(scene, body, now_ms=now_ms)
        known = self._decided(asked) if self._may_know(asked) else None
        decision = known or self._decide(asked, now_ms)
        try:
            if known is not None:
                await self._writer.written(known.id)
            else:
                await self._writer.durable(decision)
        except (sa.exc.SQLAlchemyError, psycopg.Error, OSError) as error:
            get_logger("decisions").warning("batch_failed", error=type(error).__name__)
            raise OwnerIsAway from error
        return decision

    async def ask_all(self, scene: str, bodies: Sequence[bytes], *, now_ms: int) -> list[Decision]:
        """Return the decisions on questions in their order; they become durable together.

        Refusals
        --------
        those of `ask`, for the first question that is refused; those before it stay decided
        """
        return list(
            await asyncio.gather(*(self.ask(scene, body, now_ms=now_ms) for body in bodies))
        )

    @property
    def read_to(self) -> int:
        """Arrival up to which it has read what facts told."""
        return self._read_to

    async def open_line(self) -> psycopg.AsyncConnection[Any]:
        """Return a new connection for statements of the event loop; a statement is durable."""
        return await self._log.open_line()

    def untold(self) -> list[Told]:
        """Return what facts told and this shard has not read; may be called in a thread."""
        with self._database.reading() as connection:
            return folds.read_told(connection, self._shard, after=self._read_to)

    def hear(self, told: Sequence[Told], *, now_ms: int) -> None:
        """Fold what facts told, in its order; it becomes durable with the next decisions.

        What is told of a later instant than any known yet waits until its time has come: folded at
        once it would make everything before it late.

        Parameters
        ----------
        told : comes out of `untold`, each once
        now_ms : business instant

        Raises
        ------
        TenureIsOver
        """
        self._check()
        for one in told:
            if one.arrival > self._read_to:
                self._held[one.arrival] = one
                self._read_to = one.arrival
        come_ms = max(now_ms, self._engine.state.stream.watermark)
        due = [one for one in self._held.values() if one.at_ms <= come_ms]
        for one in due:
            self._is_ahead = True
            fold = self._engine.hear(one)
            self._is_ahead = False
            del self._held[one.arrival]
            heard_to = 0
            if one is due[-1]:
                heard_to = min(self._held, default=self._read_to + 1) - 1
            self._writer.heard(fold._replace(heard_to=heard_to))

    async def follow(self, rules: Rules) -> None:
        """Decide by newer rules from the next question on.

        What they read and the state does not know is folded from the log first, which takes as long
        as a restart without a snapshot.
        """
        self._check()
        self._rules = rules
        if wanted_of(rules) == self._engine.state.names:
            self._engine.rules = rules
        else:
            await self._writer.settled()
            self._rebuild(None)

    def close(self) -> None:
        """Let the log go."""
        self._log.close()

    def _check(self) -> None:
        """Refuse to go on with a wrong state; rebuild it after a batch has failed."""
        if self._is_ahead:
            raise TenureIsOver
        if self._writer.failed is not None:
            self._recover()

    def _recover(self) -> None:
        """Rebuild after a batch has failed: what it folded may not be what is kept."""
        if isinstance(self._writer.failed, TenureIsOver):
            raise TenureIsOver
        # If an id in it was used long ago, the log is asked before it is folded again.
        self._suspects = self._writer.lost
        try:
            self._log.renew()
            self._rebuild(None)
        except sa.exc.SQLAlchemyError as error:
            raise OwnerIsAway from error

    def _rebuild(self, follower: Follower | None) -> None:
        """Fold the shard's log, in the order in which it was folded, behind what is known of it."""
        wanted = wanted_of(self._rules)
        if follower is None or follower.state.names != wanted:
            follower = Follower(
                self._database, wanted, shard=self._shard, most_entities=self._most_entities
            )
        progress = follower.catch_up()
        engine = Engine(self._rules, follower.state)
        with self._database.reading() as connection:
            self._log.head = store.head(connection, self._shard)
            known = store.recently_asked(connection, self._shard, limit=REMEMBERED)
            known += folds.recently_heard(connection, self._shard, limit=REMEMBERED)
        for kind, event_id, at_ms in sorted(known, key=lambda one: one[2]):
            engine.remember(kind, event_id, at_ms)
        if len(known) >= REMEMBERED:
            engine.forget_before(min(one[2] for one in known))
        get_logger("decisions").info(
            "state_rebuilt", folded_to=follower.state.sequence, epoch=self.epoch
        )
        self._engine = engine
        self._read_to = progress.heard_to
        self._held = {}
        self._is_ahead = False
        self._writer = LogWriter(self._log.write_soon)
        follower.waiting = self._writer.waiting
        self._follower = follower

    @property
    def unsaved(self) -> int:
        """Folds that no snapshot has."""
        return self._follower.unsaved

    def save(self) -> bool:
        """Store a snapshot, if all that was folded is committed; for one that is about to end."""
        settled = not (self._is_ahead or self._writer.failed or self._writer.waiting())
        if settled:
            self._follower.save()
        return settled

    def _decide(self, asked: Asked, now_ms: int) -> Decision:
        """Decide; a fault after folding leaves the state ahead of the log, and ends the owner."""
        self._is_ahead = True
        decision = self._engine.decide(asked, now_ms=now_ms)
        self._is_ahead = False
        self.decided(decision)
        return decision

    def _may_know(self, asked: Asked) -> bool:
        return self._engine.may_know(asked) or (asked.scene, asked.id) in self._suspects

    def _decided(self, asked: Asked) -> Decision | None:
        """Return the decision that was made on a question before."""
        found = self._writer.unwritten(id_of(asked))
        if found is None:
            with self._database.reading() as connection:
                line = store.find_asked(connection, asked.scene, asked.id)
                found = None if line is None else line.decision
                was_heard = found is None and (
                    self._engine.knows(asked.scene, asked.id)
                    or folds.was_folded(connection, self._shard, asked.scene, asked.id)
                )
            if was_heard:
                raise EventIdWasUsed(id=asked.id, scene=asked.scene)
        if found is not None and found.asked != asked:
            raise EventIdWasUsed(id=asked.id, scene=asked.scene)
        return found


def _nothing(decision: Decision) -> None:
    """Watch nothing."""


def wanted_of(rules: Rules) -> dict[str, tuple[str, ...]]:
    """Return by scene, which is also the kind of its events, the features that are read."""
    return {scene: rules.reads(scene) for scene in rules.scenes}
