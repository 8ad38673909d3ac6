"""Idempotency: a command sent twice is done once and answered twice with the same words.

The answer is stored in the transaction of the command, so a crash leaves either both or neither.
A refusal rolls back and is not stored: sent again, the command is judged afresh.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from steelyard.base.database import Database, UnitOfWork
from steelyard.base.telemetry.metrics import IDEMPOTENCY
from steelyard.kernel import Refusal, RefusalKind

_TAKE = sa.text(
    "SELECT is_held, body_hash, status, answer FROM base.take_key(:scope, :key, :lock, :in_session)"
)


_STORE = sa.text(
    "INSERT INTO base.idempotency (scope, key, body_hash, status, answer)"
    " VALUES (:scope, :key, :hash, :status, :answer)"
    " ON CONFLICT (scope, key) DO UPDATE SET status = :status, answer = :answer"
)


_TAKE_MANY = sa.text(
    "SELECT x.n, t.is_held, t.body_hash, t.status, t.answer"
    " FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:locks AS bigint[]))"
    " WITH ORDINALITY AS x (scope, key, lock, n),"
    " LATERAL base.take_key(x.scope, x.key, x.lock, true) AS t"
)
_FREE_MANY = sa.text("SELECT pg_advisory_unlock(x) FROM unnest(CAST(:locks AS bigint[])) AS x")
_INTEND = sa.text(
    "INSERT INTO base.idempotency (scope, key, body_hash)"
    " SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]),"
    " CAST(:hashes AS bytea[])) ON CONFLICT DO NOTHING"
)
_ANSWER_MANY = sa.text(
    "INSERT INTO base.idempotency (scope, key, body_hash, status, answer)"
    " SELECT * FROM unnest(CAST(:scopes AS text[]), CAST(:keys AS text[]),"
    " CAST(:hashes AS bytea[]), CAST(:statuses AS smallint[]), CAST(:answers AS bytea[]))"
    " ON CONFLICT (scope, key) DO UPDATE SET status = EXCLUDED.status, answer = EXCLUDED.answer"
)


class IdempotencyKeyWasUsed(Refusal):
    """The key came before with another body."""

    kind = RefusalKind.INVALID
    en = "The idempotency key {key} was used before for another request."
    zh = "幂等键 {key} 已用于另一个请求。"


class RequestIsInFlight(Refusal):
    """The same command is at work at this moment."""

    kind = RefusalKind.CONFLICT
    en = "The request with idempotency key {key} is being worked on; ask again in a moment."
    zh = "幂等键 {key} 的请求正在处理，请稍后重试。"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command was answered with: status of the edge, body bytes, whether from the store."""

    status: int
    body: bytes
    replayed: bool = False


def idempotent(
    database: Database,
    *,
    scope: str,
    key: str,
    body: bytes,
    actor: str,
    work: Callable[[UnitOfWork], Answer],
) -> Answer:
    """Run a command of one transaction at most once for a key, and return its answer.

    Parameters
    ----------
    scope : whose key it is (caller and verb); equal keys of two scopes are strangers
    body : the request, whose hash must be the same when the key comes again

    Refusals
    --------
    request_is_in_flight : another process holds the key now
    idempotency_key_was_used : with another body
    """
    call = _Call(scope, key, hashlib.sha256(body).digest())

    def run(unit: UnitOfWork) -> Answer:
        known = call.take(unit.connection)
        if known is not None:
            return known
        answer = work(unit)
        unit.connection.execute(
            _STORE, {**call.values, "status": answer.status, "answer": answer.body}
        )
        return answer

    return database.transact(run, actor=actor)


def idempotent_in_steps(
    database: Database,
    *,
    scope: str,
    key: str,
    body: bytes,
    work: Callable[[], Answer],
) -> Answer:
    """Run a command of several transactions (it calls somebody outside) once for a key.

    The intent is committed first and the key held by a session lock: when the process dies, the
    lock dies with it, and the command sent again runs `work` again, which must find its own traces.

    Refusals
    --------
    request_is_in_flight, idempotency_key_was_used
    """
    call = _Call(scope, key, hashlib.sha256(body).digest())
    with database.engine.connect() as holder:
        try:
            known = call.take(holder, in_session=True)
            if known is not None:
                return known
            holder.execute(
                sa.text(
                    "INSERT INTO base.idempotency (scope, key, body_hash)"
                    " VALUES (:scope, :key, :hash) ON CONFLICT DO NOTHING"
                ),
                call.values,
            )
            holder.commit()
            answer = work()
            holder.execute(
                sa.text(
                    "UPDATE base.idempotency SET status = :status, answer = :answer"
                    " WHERE scope = :scope AND key = :key AND answer IS NULL"
                ),
                {**call.values, "status": answer.status, "answer": answer.body},
            )
            holder.commit()
            return answer
        finally:
            holder.rollback()
            holder.execute(sa.text("SELECT pg_advisory_unlock(:lock)"), {"lock": call.lock})
            holder.commit()


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A command of several transactions with its key; see `HeldKeys`.

    Attributes
    ----------
    hash : of the body
    """

    scope: str
    key: str
    hash: bytes

    @classmethod
    def of(cls, scope: str, key: str, body: bytes) -> KeyedCall:
        """Return the call of a request."""
        return cls(scope, key, hashlib.sha256(body).digest())

    @property
    def lock(self) -> int:
        """The number of its advisory lock."""
        return _Call(self.scope, self.key, self.hash).lock


class HeldKeys:
    """Keys of many commands at once, held by the locks of one connection of this process.

    As `idempotent_in_steps`, for callers that are worked on in batches: a key is taken before the
    command begins, its intent and its answer are written in the transactions of the command, and it
    is freed after. When the process dies its connection dies, and every lock with it. Used by one
    thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held: set[int] = set()
        self._connection: sa.Connection | None = None

    def take(self, calls: Sequence[KeyedCall]) -> list[Answer | Refusal | None]:
        """Hold keys; return for each the stored answer, why it cannot be had, or None: it is held.

        Refusals
        --------
        for one call: request_is_in_flight, idempotency_key_was_used
        """
        answers: list[Answer | Refusal | None] = [None] * len(calls)
        wanted: dict[int, int] = {}
        for place, call in enumerate(calls):
            if call.lock in self._held or call.lock in wanted:
                IDEMPOTENCY.labels("in_flight").inc()
                answers[place] = RequestIsInFlight(key=call.key)
            else:
                wanted[call.lock] = place
        if not wanted:
            return answers
        places = list(wanted.values())
        rows = self._run(
            _TAKE_MANY,
            scopes=[calls[place].scope for place in places],
            keys=[calls[place].key for place in places],
            locks=list(wanted),
        )
        for row in rows:
            place = places[row.n - 1]
            answers[place] = self._taken(calls[place], row)
        return answers

    def free(self, calls: Sequence[KeyedCall]) -> None:
        """Let go of keys that are held."""
        locks = [call.lock for call in calls]
        self._held.difference_update(locks)
        self._run(_FREE_MANY, locks=locks)

    def close(self) -> None:
        """Give the connection back; its locks go with it."""
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None

    def _taken(self, call: KeyedCall, row: Any) -> Answer | Refusal | None:
        if not row.is_held:
            IDEMPOTENCY.labels("in_flight").inc()
            return RequestIsInFlight(key=call.key)
        if row.body_hash is not None and bytes(row.body_hash) != call.hash:
            IDEMPOTENCY.labels("conflict").inc()
            self.free([call])
            return IdempotencyKeyWasUsed(key=call.key)
        if row.answer is not None:
            IDEMPOTENCY.labels("replayed").inc()
            self.free([call])
            return Answer(row.status, bytes(row.answer), replayed=True)
        IDEMPOTENCY.labels("done").inc()
        self._held.add(call.lock)
        return None

    def _run(self, statement: sa.TextClause, **values: Any) -> Sequence[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.engine.connect().execution_options(
                isolation_level="AUTOCOMMIT"
            )
        try:
            return self._connection.execute(statement, values).all()
        except sa.exc.DBAPIError:
            # Its locks are gone; whoever is at work finishes, and what is sent again finds that.
            self._held.clear()
            self.close()
            raise


def intend(unit: UnitOfWork, calls: Sequence[KeyedCall]) -> None:
    """Write the intents of calls whose keys are held, in the transaction that begins them."""
    unit.connection.execute(
        _INTEND,
        {
            "scopes": [call.scope for call in calls],
            "keys": [call.key for call in calls],
            "hashes": [call.hash for call in calls],
        },
    )


def store_answers(unit: UnitOfWork, answers: Sequence[tuple[KeyedCall, Answer]]) -> None:
    """Write the answers of calls, in the transaction that ends them."""
    unit.connection.execute(
        _ANSWER_MANY,
        {
            "scopes": [call.scope for call, _ in answers],
            "keys": [call.key for call, _ in answers],
            "hashes": [call.hash for call, _ in answers],
            "statuses": [answer.status for _, answer in answers],
            "answers": [answer.body for _, answer in answers],
        },
    )


def forget_answers(unit: UnitOfWork, *, before: datetime) -> int:
    """Delete the answers stored before an instant; return how many."""
    return unit.execute(
        "DELETE FROM base.idempotency WHERE created_at < :before", before=before
    ).rowcount


@dataclass(frozen=True, slots=True)
class _Call:
    scope: str
    key: str
    hash: bytes

    @property
    def lock(self) -> int:
        name = hashlib.sha256(f"{self.scope}\0{self.key}".encode()).digest()
        return int.from_bytes(name[:8], "big", signed=True)

    @property
    def values(self) -> dict[str, Any]:
        return {"scope": self.scope, "key": self.key, "hash": self.hash}

    def take(self, connection: sa.Connection, *, in_session: bool = False) -> Answer | None:
        """Hold the key, and return the stored answer if there is one.

        It is held until the transaction ends, or `in_session` until it is unlocked.
        """
        values = {**self.values, "lock": self.lock, "in_session": in_session}
        row = connection.execute(_TAKE, values).one()
        if not row.is_held:
            IDEMPOTENCY.labels("in_flight").inc()
            raise RequestIsInFlight(key=self.key)
        if row.body_hash is None:
            IDEMPOTENCY.labels("done").inc()
            return None
        if bytes(row.body_hash) != self.hash:
            IDEMPOTENCY.labels("conflict").inc()
            raise IdempotencyKeyWasUsed(key=self.key)
        if row.answer is None:
            return None
        IDEMPOTENCY.labels("replayed").inc()
        return Answer(row.status, bytes(row.answer), replayed=True)
