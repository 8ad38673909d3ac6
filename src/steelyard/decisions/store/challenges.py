"""Tables of challenges: what was compared with what, and what became of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import sqlalchemy as sa

from steelyard.decisions.model.decision import Decision, read_record

SHARD = 0


@dataclass(frozen=True, slots=True)
class Challenge:
    """A version beside the active one, each for its share of the subjects.

    Attributes
    ----------
    experiment, experiment_version : that deals the subjects and tests
    challenger, against : versions of the policy of the scene
    watched_ms : for how long what becomes of a subject counts, from its first decision on
    delay_ms : how long after that is waited for labels
    cursor : number of the last decision that was looked at
    """

    experiment: str
    experiment_version: int
    scene: str
    challenger: int
    against: int
    watched_ms: int
    delay_ms: int
    cursor: int


class Due(NamedTuple):
    """A subject whose time is over."""

    subject: str
    first_number: int
    first_at_ms: int


_COLUMNS = (
    "experiment, experiment_version, scene, challenger, against, watched_ms, delay_ms, cursor"
)


def insert(connection: sa.Connection, challenge: Challenge) -> None:
    """Note what an experiment compares."""
    connection.execute(
        sa.text(
            f"INSERT INTO decisions.challenge ({_COLUMNS}) VALUES (:name, :version, :scene,"
            " :challenger, :against, :watched, :delay, :cursor)"
        ),
        {
            "name": challenge.experiment,
            "version": challenge.experiment_version,
            "scene": challenge.scene,
            "challenger": challenge.challenger,
            "against": challenge.against,
            "watched": challenge.watched_ms,
            "delay": challenge.delay_ms,
            "cursor": challenge.cursor,
        },
    )


def newest(connection: sa.Connection, scene: str) -> Challenge | None:
    """Return the newest challenge of a scene, running or not."""
    row = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM decisions.challenge WHERE scene = :scene"
            " ORDER BY experiment_version DESC LIMIT 1"
        ),
        {"scene": scene},
    ).one_or_none()
    return None if row is None else Challenge(*row)


def with_work(connection: sa.Connection) -> list[Challenge]:
    """Return the challenges that run, and those of which somebody's outcome is not known yet."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_COLUMNS} FROM decisions.challenge c WHERE EXISTS (SELECT FROM"
            " decisions.standing s WHERE s.scene = c.scene AND s.experiment = c.experiment"
            " AND s.experiment_version = c.experiment_version) OR EXISTS (SELECT FROM"
            " decisions.challenged d WHERE d.experiment = c.experiment"
            " AND d.experiment_version = c.experiment_version AND NOT d.is_settled)"
            " ORDER BY experiment, experiment_version"
        )
    )
    return [Challenge(*row) for row in rows]


def move(connection: sa.Connection, before: Challenge, cursor: int) -> bool:
    """Move the cursor of a challenge; False if another was here first."""
    done = connection.execute(
        sa.text(
            "UPDATE decisions.challenge SET cursor = :cursor WHERE experiment = :name"
            " AND experiment_version = :version AND cursor = :before"
        ),
        {
            "name": before.experiment,
            "version": before.experiment_version,
            "before": before.cursor,
            "cursor": cursor,
        },
    )
    return done.rowcount == 1


def enter(connection: sa.Connection, challenge: Challenge, firsts: Sequence[Due]) -> None:
    """Enter the subjects that met their arm for the first time."""
    connection.execute(
        sa.text(
            "INSERT INTO decisions.challenged (experiment, experiment_version, subject,"
            " first_number, first_at_ms) SELECT :name, :version, u.subject, u.number, u.at_ms"
            " FROM unnest(CAST(:subjects AS text[]), CAST(:numbers AS bigint[]),"
            " CAST(:ats AS bigint[])) AS u (subject, number, at_ms) ORDER BY u.subject"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "name": challenge.experiment,
            "version": challenge.experiment_version,
            "subjects": [one.subject for one in firsts],
            "numbers": [one.first_number for one in firsts],
            "ats": [one.first_at_ms for one in firsts],
        },
    )


def due(
    connection: sa.Connection, challenge: Challenge, *, before_ms: int, limit: int
) -> list[Due]:
    """Return subjects that met their arm before an instant and are not settled, held."""
    rows = connection.execute(
        sa.text(
            "SELECT subject, first_number, first_at_ms FROM decisions.challenged"
            " WHERE experiment = :name AND experiment_version = :version AND NOT is_settled"
            " AND first_at_ms <= :before ORDER BY first_at_ms, subject LIMIT :n"
            " FOR UPDATE SKIP LOCKED"
        ),
        {
            "name": challenge.experiment,
            "version": challenge.experiment_version,
            "before": before_ms,
            "n": limit,
        },
    )
    return [Due(*row) for row in rows]


def settle(connection: sa.Connection, challenge: Challenge, subjects: Sequence[str]) -> None:
    """Note that the outcome of subjects was written down."""
    connection.execute(
        sa.text(
            "UPDATE decisions.challenged SET is_settled = true WHERE experiment = :name"
            " AND experiment_version = :version AND subject = ANY(CAST(:subjects AS text[]))"
        ),
        {
            "name": challenge.experiment,
            "version": challenge.experiment_version,
            "subjects": list(subjects),
        },
    )


def decisions_on(
    connection: sa.Connection, scene: str, dues: Sequence[Due]
) -> list[tuple[str, Decision]]:
    """Return every decision of a scene on subjects, from the first of each on."""
    rows = connection.execute(
        sa.text(
            "SELECT l.subject, l.record FROM unnest(CAST(:subjects AS text[]),"
            " CAST(:numbers AS bigint[])) AS u (subject, number) JOIN decisions.log l"
            " ON l.subject = u.subject AND l.number >= u.number AND l.shard = :shard"
            " AND l.scene = :scene ORDER BY l.number"
        ),
        {
            "subjects": [one.subject for one in dues],
            "numbers": [one.first_number for one in dues],
            "scene": scene,
            "shard": SHARD,
        },
    )
    return [(row.subject, read_record(bytes(row.record))) for row in rows]


def labelled(
    connection: sa.Connection, scene: str, events: Sequence[str], *, told_by_ms: int
) -> Mapping[str, bool]:
    """Return of events of a scene whether they turned out bad, as far as was told by an instant.

    An event is bad where the latest value of any of its labels says so.
    """
    rows = connection.execute(
        sa.text(
            "SELECT event_id, bool_or(is_bad) AS is_bad FROM ("
            " SELECT DISTINCT ON (event_id, content ->> 'field') event_id,"
            "  content ->> 'value' IN ('1', 'true') AS is_bad FROM decisions.heard"
            "  WHERE what = 'label' AND kind = :scene AND event_id = ANY(CAST(:events AS text[]))"
            "  AND at_ms <= :by ORDER BY event_id, content ->> 'field', fold_seq DESC) v"
            " GROUP BY event_id"
        ),
        {"scene": scene, "events": list(events), "by": told_by_ms},
    )
    return {row.event_id: row.is_bad for row in rows}
