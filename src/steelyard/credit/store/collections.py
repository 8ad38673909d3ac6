"""Tables of episodes, contacts, stops, promises and hardship plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.credit.model.collection import (
    OUTCOME_DAYS,
    CollectionContactIsUnknown,
    Contact,
    ContactResult,
    Episode,
    EpisodeState,
    OnBoard,
    Plan,
    PlanIsUnknown,
    PlanState,
    ProposedPlan,
    StopMark,
)
from steelyard.credit.model.message import Channel
from steelyard.credit.model.promise import Promise, PromiseIsUnknown, PromiseState
from steelyard.credit.model.strategy import WEEK, Made, Stop

_EPISODE = (
    "e.id, e.nr, l.id AS loan, e.party, e.opened_on, e.strategy, e.experiment,"
    " e.experiment_version, e.worst_dpd, e.state, e.ended_on, e.outcome_on, e.case_id, e.version"
)
_EPISODES = (
    f"SELECT {_EPISODE}, s.dpd, s.bucket, s.overdue_minor, s.principal_minor, l.state AS of_loan,"
    " l.currency FROM credit.collection_episode e JOIN credit.loan l ON l.nr = e.nr"
    " JOIN credit.standing s ON s.nr = e.nr"
)
_CONTACT = (
    "SELECT c.*, coalesce(r.result, CASE m.state WHEN 'delivered' THEN 'delivered'"
    " WHEN 'failed' THEN 'failed' WHEN 'void' THEN 'void' END) AS result FROM credit.contact c"
    " LEFT JOIN credit.contact_result r ON r.contact = c.id"
    " LEFT JOIN credit.message m ON m.act = 'contact:' || c.id"
)
_PLAN = "SELECT h.*, l.id AS loan FROM credit.hardship h JOIN credit.loan l ON l.nr = h.nr"


@dataclass(frozen=True, slots=True)
class Late:
    """A loan that is late and not collected yet."""

    nr: int
    loan: UUID
    party: UUID
    dpd: int


@dataclass(frozen=True, slots=True)
class Collected:
    """An episode with how its loan stands."""

    episode: Episode
    dpd: int
    bucket: int
    overdue_minor: int
    principal_minor: int
    is_active: bool
    currency: str


@dataclass(frozen=True, slots=True)
class Unsent:
    """A contact that waits for its message, with what is late."""

    contact: Contact
    overdue_minor: int
    dpd: int
    currency: str


def hold_parties(connection: sa.Connection, parties: Sequence[UUID]) -> None:
    """Let one at a time decide about contacts of a customer.

    In one order, so that none waits for another in a circle.
    """
    for party in sorted(set(parties)):
        connection.execute(
            sa.text(
                "SELECT pg_advisory_xact_lock(hashtextextended('credit.contact:' || :party, 0))"
            ),
            {"party": str(party)},
        )


# Episodes


def late_without_episode(connection: sa.Connection, *, limit: int) -> list[Late]:
    """Return active loans that are late and not collected, their rows held."""
    rows = connection.execute(
        sa.text(
            "SELECT l.nr, l.id, l.party, s.dpd FROM credit.standing s"
            " JOIN credit.loan l ON l.nr = s.nr WHERE s.dpd > 0 AND l.state = 'active'"
            " AND NOT EXISTS (SELECT FROM credit.collection_episode e WHERE e.nr = s.nr"
            "  AND e.state = 'open') ORDER BY l.nr LIMIT :limit FOR UPDATE OF l SKIP LOCKED"
        ),
        {"limit": limit},
    )
    return [Late(row.nr, row.id, row.party, row.dpd) for row in rows]


def insert_episode(connection: sa.Connection, episode: Episode) -> bool:
    """Insert an episode unless the loan has an open one; return whether it was inserted."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.collection_episode (id, nr, party, opened_on, strategy,"
            " experiment, experiment_version, worst_dpd, state) VALUES (:id, :nr, :party,"
            " :opened_on, :strategy, :experiment, :experiment_version, :worst_dpd, :state)"
            " ON CONFLICT (nr) WHERE state = 'open' DO NOTHING"
        ),
        {
            name: getattr(episode, name)
            for name in (
                *("id", "nr", "party", "opened_on", "strategy", "experiment"),
                *("experiment_version", "worst_dpd", "state"),
            )
        },
    )
    return done.rowcount == 1


def open_episodes(
    connection: sa.Connection, *, after: int, limit: int, held: str = ""
) -> list[Collected]:
    """Return open episodes by number of their loan."""
    rows = connection.execute(
        sa.text(
            f"{_EPISODES} WHERE e.state = 'open' AND e.nr > :after"
            f" ORDER BY e.nr LIMIT :limit {held}"
        ),
        {"after": after, "limit": limit},
    )
    return [_collected(row) for row in rows]


def open_episode(connection: sa.Connection, nr: int) -> Collected | None:
    """Return the open episode of a loan, None where there is none."""
    row = connection.execute(
        sa.text(f"{_EPISODES} WHERE e.state = 'open' AND e.nr = :nr"), {"nr": nr}
    ).one_or_none()
    return None if row is None else _collected(row)


def over(connection: sa.Connection, *, limit: int) -> list[Collected]:
    """Return open episodes whose loan is not late or not active any more, their rows held."""
    rows = connection.execute(
        sa.text(
            f"{_EPISODES} WHERE e.state = 'open' AND (s.dpd = 0 OR l.state <> 'active')"
            " ORDER BY e.nr LIMIT :limit FOR UPDATE OF e SKIP LOCKED"
        ),
        {"limit": limit},
    )
    return [_collected(row) for row in rows]


def end_episode(connection: sa.Connection, episode: Episode, state: EpisodeState, on: date) -> None:
    """End an episode whose row is held."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.collection_episode SET state = :state, ended_on = :on,"
            " version = version + 1 WHERE id = :id AND version = :version AND state = 'open'"
        ),
        {"state": state, "on": on, "id": episode.id, "version": episode.version},
    )
    assert done.rowcount == 1, "the row is held"


def note_worst(connection: sa.Connection) -> None:
    """Let open episodes remember how late their loans were at worst."""
    connection.execute(
        sa.text(
            "UPDATE credit.collection_episode e SET worst_dpd = s.dpd, version = version + 1"
            " FROM credit.standing s WHERE s.nr = e.nr AND e.state = 'open'"
            " AND s.dpd > e.worst_dpd"
        )
    )


def to_tell(connection: sa.Connection, on: date, *, limit: int) -> list[Episode]:
    """Return episodes of an experiment that may have an outcome to tell, their rows held."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_EPISODE} FROM credit.collection_episode e"
            " JOIN credit.loan l ON l.nr = e.nr WHERE e.experiment IS NOT NULL"
            " AND e.outcome_on IS NULL AND (e.state <> 'open' OR e.opened_on < :before)"
            " ORDER BY e.opened_on, e.id LIMIT :limit FOR UPDATE OF e SKIP LOCKED"
        ),
        {"before": on - timedelta(days=OUTCOME_DAYS), "limit": limit},
    )
    return [_episode(row) for row in rows]


def note_case(connection: sa.Connection, episode: Episode, case: UUID) -> None:
    """Note the case in which people work an episode."""
    connection.execute(
        sa.text(
            "UPDATE credit.collection_episode SET case_id = :case, version = version + 1"
            " WHERE id = :id"
        ),
        {"case": case, "id": episode.id},
    )


def note_outcome(connection: sa.Connection, episode: Episode, on: date) -> None:
    """Note that the experiment was told."""
    connection.execute(
        sa.text(
            "UPDATE credit.collection_episode SET outcome_on = :on, version = version + 1"
            " WHERE id = :id"
        ),
        {"on": on, "id": episode.id},
    )


def board(connection: sa.Connection, *, least_dpd: int, after: int, limit: int) -> list[OnBoard]:
    """Return the loans that are collected, by their numbers."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_EPISODE}, s.dpd, s.bucket, s.overdue_minor, s.principal_minor,"
            " p.amount_minor AS promised_minor, p.by_on AS promised_until, c.contacts, c.last_at,"
            " ARRAY (SELECT DISTINCT kind FROM credit.collection_stop x WHERE x.party = e.party"
            "  AND x.lifted_at IS NULL AND (x.nr IS NULL OR x.nr = e.nr) ORDER BY 1) AS stops"
            " FROM credit.collection_episode e JOIN credit.loan l ON l.nr = e.nr"
            " JOIN credit.standing s ON s.nr = e.nr"
            " LEFT JOIN credit.promise p ON p.nr = e.nr AND p.state = 'open'"
            " CROSS JOIN LATERAL (SELECT count(*) AS contacts, max(at) AS last_at"
            "  FROM credit.contact c WHERE c.episode = e.id AND c.refused IS NULL) c"
            " WHERE e.state = 'open' AND s.dpd >= :least_dpd AND e.nr > :after"
            " ORDER BY e.nr LIMIT :limit"
        ),
        {"least_dpd": least_dpd, "after": after, "limit": limit},
    )
    return [
        OnBoard(
            episode=_episode(row),
            dpd=row.dpd,
            bucket=row.bucket,
            overdue_minor=row.overdue_minor,
            principal_minor=row.principal_minor,
            stops=tuple(Stop(one) for one in row.stops),
            promised_minor=row.promised_minor,
            promised_until=row.promised_until,
            contacts=row.contacts,
            last_contact_at=None if row.last_at is None else row.last_at.astimezone(UTC),
        )
        for row in rows
    ]


# Contacts


def insert_contact(connection: sa.Connection, contact: Contact) -> bool:
    """Insert a contact unless its turn was taken; return whether it was inserted."""
    names = [n for n in Contact.__slots__ if n != "result"]
    done = connection.execute(
        sa.text(
            f"INSERT INTO credit.contact ({', '.join(names)}) VALUES"
            f" ({', '.join(':' + name for name in names)})"
            " ON CONFLICT (episode, step) DO NOTHING"
        ),
        {name: getattr(contact, name) for name in names},
    )
    return done.rowcount == 1


def find_contact(connection: sa.Connection, contact: UUID) -> Contact | None:
    """Return a contact with its result, None where there is none."""
    row = connection.execute(sa.text(f"{_CONTACT} WHERE c.id = :id"), {"id": contact}).one_or_none()
    return None if row is None else _contact(row)


def read_contact(connection: sa.Connection, contact: UUID) -> Contact:
    """Return a contact with its result.

    Refusals
    --------
    contact_is_unknown
    """
    found = find_contact(connection, contact)
    if found is None:
        raise CollectionContactIsUnknown(contact=contact)
    return found


def contacts_of(connection: sa.Connection, nr: int, *, limit: int) -> list[Contact]:
    """Return the contacts about a loan with their results, newest first."""
    rows = connection.execute(
        sa.text(f"{_CONTACT} WHERE c.nr = :nr ORDER BY c.at DESC, c.id DESC LIMIT :limit"),
        {"nr": nr, "limit": limit},
    )
    return [_contact(row) for row in rows]


def made_with(
    connection: sa.Connection, parties: Sequence[UUID], now: datetime
) -> dict[UUID, tuple[Made, ...]]:
    """Return our contacts with some customers of the last seven days, refused ones left out."""
    rows = connection.execute(
        sa.text(
            "SELECT party, at, channel FROM credit.contact WHERE party = ANY (:parties)"
            " AND at > :since AND at <= :now AND is_ours AND refused IS NULL ORDER BY at"
        ),
        {"parties": list(parties), "since": now - WEEK, "now": now},
    )
    found: dict[UUID, list[Made]] = {}
    for row in rows:
        found.setdefault(row.party, []).append(Made(row.at.astimezone(UTC), Channel(row.channel)))
    return {party: tuple(made) for party, made in found.items()}


def steps_done(connection: sa.Connection, episodes: Sequence[UUID]) -> dict[UUID, frozenset[str]]:
    """Return the turns that episodes have taken."""
    rows = connection.execute(
        sa.text(
            "SELECT episode, array_agg(step) AS steps FROM credit.contact"
            " WHERE episode = ANY (:ids) AND step IS NOT NULL GROUP BY episode"
        ),
        {"ids": list(episodes)},
    )
    return {row.episode: frozenset(row.steps) for row in rows}


def unsent(connection: sa.Connection, *, contact: UUID | None = None, limit: int) -> list[Unsent]:
    """Return planned contacts (or one of them) that have neither a message nor a result."""
    rows = connection.execute(
        sa.text(
            "SELECT c.*, NULL AS result, s.overdue_minor, s.dpd, l.currency FROM credit.contact c"
            " JOIN credit.standing s ON s.nr = c.nr JOIN credit.loan l ON l.nr = c.nr"
            " WHERE c.template IS NOT NULL AND c.refused IS NULL AND c.is_ours"
            " AND (CAST(:contact AS uuid) IS NULL OR c.id = :contact)"
            " AND NOT EXISTS (SELECT FROM credit.message m WHERE m.act = 'contact:' || c.id)"
            " AND NOT EXISTS (SELECT FROM credit.contact_result r WHERE r.contact = c.id)"
            " ORDER BY c.at, c.id LIMIT :limit"
        ),
        {"contact": contact, "limit": limit},
    )
    return [Unsent(_contact(row), row.overdue_minor, row.dpd, row.currency) for row in rows]


def insert_result(
    connection: sa.Connection, contact: UUID, result: ContactResult, at: datetime, by: str
) -> bool:
    """Insert what came of a contact unless it is known; return whether it was inserted."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.contact_result (contact, result, at, by)"
            " VALUES (:contact, :result, :at, :by) ON CONFLICT DO NOTHING"
        ),
        {"contact": contact, "result": result, "at": at, "by": by},
    )
    return done.rowcount == 1


# Stops


def insert_stop(connection: sa.Connection, stop: StopMark) -> bool:
    """Insert a stop unless its source set it before; return whether it was inserted."""
    names = StopMark.__slots__
    done = connection.execute(
        sa.text(
            f"INSERT INTO credit.collection_stop ({', '.join(names)}) VALUES"
            f" ({', '.join(':' + name for name in names)})"
            " ON CONFLICT (kind, source) WHERE lifted_at IS NULL DO NOTHING"
        ),
        {name: getattr(stop, name) for name in names},
    )
    return done.rowcount == 1


def stops_of(
    connection: sa.Connection, parties: Sequence[UUID]
) -> dict[UUID, tuple[StopMark, ...]]:
    """Return the stops in force for some customers."""
    rows = connection.execute(
        sa.text(
            "SELECT * FROM credit.collection_stop WHERE party = ANY (:parties)"
            " AND lifted_at IS NULL ORDER BY since_at, id"
        ),
        {"parties": list(parties)},
    )
    found: dict[UUID, list[StopMark]] = {}
    for row in rows:
        found.setdefault(row.party, []).append(_stop(row))
    return {party: tuple(marks) for party, marks in found.items()}


def lift_stops(
    connection: sa.Connection,
    *,
    stop: UUID | None = None,
    source: str | None = None,
    at: datetime,
    by: str,
    reason: str,
) -> list[StopMark]:
    """Lift the stop of an id, or those of a source; return what was lifted."""
    rows = connection.execute(
        sa.text(
            "UPDATE credit.collection_stop SET lifted_at = :at, lifted_by = :by,"
            " lifted_for = :reason WHERE lifted_at IS NULL"
            " AND (id = :stop OR source = :source) RETURNING *"
        ),
        {"stop": stop, "source": source, "at": at, "by": by, "reason": reason},
    )
    return [_stop(row) for row in rows]


# Promises


def insert_promise(connection: sa.Connection, promise: Promise) -> None:
    """Insert a promise."""
    names = Promise.__slots__
    connection.execute(
        sa.text(
            f"INSERT INTO credit.promise ({', '.join(names)}) VALUES"
            f" ({', '.join(':' + name for name in names)})"
        ),
        {name: getattr(promise, name) for name in names},
    )


def open_promises(
    connection: sa.Connection, *, nr: int | None = None, after: int = 0, limit: int = 500
) -> list[tuple[Promise, UUID]]:
    """Return open promises with the ids of their loans, by number, their rows held."""
    rows = connection.execute(
        sa.text(
            "SELECT p.*, l.id AS loan FROM credit.promise p JOIN credit.loan l ON l.nr = p.nr"
            " WHERE p.state = 'open' AND p.nr > :after"
            " AND (CAST(:nr AS bigint) IS NULL OR p.nr = :nr)"
            " ORDER BY p.nr LIMIT :limit FOR UPDATE OF p"
        ),
        {"nr": nr, "after": after, "limit": limit},
    )
    return [(_promise(row), row.loan) for row in rows]


def read_promise(connection: sa.Connection, promise: UUID, *, held: str = "") -> Promise:
    """Return a promise.

    Refusals
    --------
    promise_is_unknown
    """
    row = connection.execute(
        sa.text(f"SELECT * FROM credit.promise WHERE id = :id {held}"), {"id": promise}
    ).one_or_none()
    if row is None:
        raise PromiseIsUnknown(promise=promise)
    return _promise(row)


def promises_of(connection: sa.Connection, nr: int) -> list[Promise]:
    """Return the promises about a loan, newest first."""
    rows = connection.execute(
        sa.text("SELECT * FROM credit.promise WHERE nr = :nr ORDER BY made_on DESC, id DESC"),
        {"nr": nr},
    )
    return [_promise(row) for row in rows]


def open_promise_days(connection: sa.Connection, numbers: Sequence[int]) -> dict[int, date]:
    """Return until when loans have an open promise."""
    rows = connection.execute(
        sa.text("SELECT nr, by_on FROM credit.promise WHERE nr = ANY (:nr) AND state = 'open'"),
        {"nr": list(numbers)},
    )
    return {row.nr: row.by_on for row in rows}


def settle_promise(
    connection: sa.Connection, promise: Promise, state: PromiseState, *, paid_minor: int, on: date
) -> None:
    """Bring a promise whose row is held to its end."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.promise SET state = :state, paid_minor = :paid, judged_on = :on,"
            " version = version + 1 WHERE id = :id AND version = :version AND state = 'open'"
        ),
        {
            "state": state,
            "paid": paid_minor,
            "on": on,
            "id": promise.id,
            "version": promise.version,
        },
    )
    assert done.rowcount == 1, "the row is held"


# Hardship plans


def insert_plan(connection: sa.Connection, plan: ProposedPlan) -> None:
    """Insert a plan that is proposed."""
    connection.execute(
        sa.text(
            "INSERT INTO credit.hardship (id, nr, party, plan, reason, approval, state,"
            " proposed_at, proposed_by) VALUES (:id, :nr, :party, :plan, :reason, :approval,"
            " :state, :proposed_at, :proposed_by)"
        ).bindparams(sa.bindparam("plan", type_=sa.JSON)),
        {
            "id": plan.id,
            "nr": plan.nr,
            "party": plan.party,
            "plan": plan.plan.to_json(),
            "reason": plan.reason,
            "approval": plan.approval,
            "state": plan.state,
            "proposed_at": plan.proposed_at,
            "proposed_by": plan.proposed_by,
        },
    )


def read_plan(connection: sa.Connection, plan: UUID, *, held: str = "") -> ProposedPlan:
    """Return a plan.

    Refusals
    --------
    plan_is_unknown
    """
    row = connection.execute(
        sa.text(f"{_PLAN} WHERE h.id = :id {held}"), {"id": plan}
    ).one_or_none()
    if row is None:
        raise PlanIsUnknown(plan=plan)
    return _plan(row)


def plans_of(connection: sa.Connection, nr: int) -> list[ProposedPlan]:
    """Return the plans for a loan, newest first."""
    rows = connection.execute(
        sa.text(f"{_PLAN} WHERE h.nr = :nr ORDER BY h.proposed_at DESC, h.id DESC"), {"nr": nr}
    )
    return [_plan(row) for row in rows]


def settle_plan(
    connection: sa.Connection, plan: ProposedPlan, state: PlanState, at: datetime
) -> None:
    """Bring a plan whose row is held to its end."""
    done = connection.execute(
        sa.text(
            "UPDATE credit.hardship SET state = :state, settled_at = :at, version = version + 1"
            " WHERE id = :id AND version = :version AND state = 'proposed'"
        ),
        {"state": state, "at": at, "id": plan.id, "version": plan.version},
    )
    assert done.rowcount == 1, "the row is held"


def _collected(row: sa.Row[Any]) -> Collected:
    return Collected(
        _episode(row),
        row.dpd,
        row.bucket,
        row.overdue_minor,
        row.principal_minor,
        row.of_loan == "active",
        row.currency,
    )


def _episode(row: sa.Row[Any]) -> Episode:
    values = {name: getattr(row, name) for name in Episode.__slots__}
    return Episode(**{**values, "state": EpisodeState(row.state)})


def _contact(row: sa.Row[Any]) -> Contact:
    values = {name: getattr(row, name) for name in Contact.__slots__}
    return Contact(
        **{
            **values,
            "channel": Channel(row.channel),
            "at": row.at.astimezone(UTC),
            "result": None if row.result is None else ContactResult(row.result),
        }
    )


def _stop(row: sa.Row[Any]) -> StopMark:
    values = {name: getattr(row, name) for name in StopMark.__slots__}
    return StopMark(**{**values, "kind": Stop(row.kind), "since_at": row.since_at.astimezone(UTC)})


def _promise(row: sa.Row[Any]) -> Promise:
    values = {name: getattr(row, name) for name in Promise.__slots__}
    return Promise(**{**values, "state": PromiseState(row.state)})


def _plan(row: sa.Row[Any]) -> ProposedPlan:
    values = {name: getattr(row, name) for name in ProposedPlan.__slots__}
    return ProposedPlan(
        **{
            **values,
            "plan": Plan.from_json(row.plan),
            "state": PlanState(row.state),
            "proposed_at": row.proposed_at.astimezone(UTC),
        }
    )
