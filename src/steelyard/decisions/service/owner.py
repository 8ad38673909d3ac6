"""The owner of a shard: the one process that folds its events and decides.

It is fenced: whoever takes the shard over raises the epoch, and what an earlier owner still tries
to write is refused in the transaction of its batch. A decision is durable before it is answered.
When a batch fails, what was folded may not be what is kept: the owner rebuilds its state from the
log before it answers again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from steelyard.base import Database
from steelyard.base.telemetry import get_logger
from steelyard.decisions.model.decision import Asked, Decision
from steelyard.decisions.model.question import EventIdWasUsed
from steelyard.decisions.service.engine import Engine, Policy, catalogue_version, id_of
from steelyard.decisions.service.log import DecisionLog, LogWriter, OwnerIsAway, TenureIsOver
from steelyard.decisions.store import log as store
from steelyard.features import CATALOGUE, KINDS, Event, Feature, StreamEngine, catalogue


class Owner:
    """Answers questions of every scene, one after the other in the order of their coming.

    Parameters
    ----------
    policies : by scene
    holder, address : who takes the shard over, and where it answers
    ticket : what it wants to be shown there
    shard : whose entities it knows

    Notes
    -----
    Making one takes the shard over and reads its log from the beginning.
    """

    def __init__(
        self,
        database: Database,
        policies: Mapping[str, Policy],
        *,
        holder: str,
        address: str = "",
        ticket: str = "",
        shard: int = 0,
    ) -> None:
        self._database = database
        self._policies = dict(policies)
        self._log = DecisionLog(
            database, shard=shard, holder=holder, address=address, ticket=ticket
        )
        self._features = features_of(self._policies)
        self._catalogue = catalogue_version(sorted(repr(f) for f in self._features.values()))
        self._rebuild()

    @property
    def epoch(self) -> int:
        """The epoch of its tenure."""
        return self._log.tenure.epoch

    @property
    def engine(self) -> Engine:
        """What it folds with; for reading."""
        return self._engine

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
        if self._is_ahead:
            raise TenureIsOver
        if self._writer.failed is not None:
            self._recover()
        asked = self._engine.read(scene, body, now_ms=now_ms)
        known = self._decided(asked) if self._engine.may_know(asked) else None
        decision = known or self._decide(asked, now_ms)
        try:
            if known is not None:
                await self._writer.written(known.id)
            else:
                await self._writer.durable(decision)
        except (sa.exc.SQLAlchemyError, OSError) as error:
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

    def _recover(self) -> None:
        """Rebuild after a batch has failed: what it folded may not be what is kept."""
        if isinstance(self._writer.failed, TenureIsOver):
            raise TenureIsOver
        self._writer.close()
        try:
            self._rebuild()
        except sa.exc.SQLAlchemyError as error:
            raise OwnerIsAway from error

    def close(self) -> None:
        """Let the writer go."""
        self._writer.close()

    def _rebuild(self) -> None:
        """Fold the shard's log from its beginning, in the order in which it was folded."""
        stream = StreamEngine(
            self._features.values(), KINDS, {s: p.reads for s, p in self._policies.items()}
        )
        engine = Engine(
            self._policies,
            stream,
            KINDS,
            catalogue=self._catalogue,
        )
        count = 0
        with self._database.reading() as connection:
            for line in store.read_lines(connection, self._log.tenure.shard):
                decision = line.decision
                asked = decision.asked
                fields = catalogue.complete(asked.scene, asked.at_ms, asked.fields)
                stream.fold(Event(asked.scene, asked.id, asked.at_ms, decision.sequence, fields))
                engine.remember(asked)
                self._log.head = line.hash
                count += 1
        get_logger("decisions").info("state_rebuilt", decisions=count, epoch=self.epoch)
        self._engine = engine
        self._is_ahead = False
        self._writer = LogWriter(self._write)

    def _write(self, batch: list[Decision]) -> None:
        self._log.write(batch, fold_seq=batch[-1].sequence)

    def _decide(self, asked: Asked, now_ms: int) -> Decision:
        """Decide; a fault after folding leaves the state ahead of the log, and ends the owner."""
        self._is_ahead = True
        decision = self._engine.decide(asked, now_ms=now_ms)
        self._is_ahead = False
        return decision

    def _decided(self, asked: Asked) -> Decision | None:
        """Return the decision that was made on a question before."""
        found = self._writer.unwritten(id_of(asked))
        if found is None:
            with self._database.reading() as connection:
                line = store.find_asked(connection, asked.scene, asked.id)
            found = None if line is None else line.decision
        if found is not None and found.asked != asked:
            raise EventIdWasUsed(id=asked.id, scene=asked.scene)
        return found


def features_of(policies: Mapping[str, Policy]) -> dict[str, Feature]:
    """Return the features that policies read, and the parts of those that are ratios."""
    wanted: dict[str, Feature] = {}
    left = [name for policy in policies.values() for name in policy.reads]
    while left:
        name = left.pop()
        if name not in wanted:
            wanted[name] = CATALOGUE[name]
            left += wanted[name].parts or ()
    return wanted
