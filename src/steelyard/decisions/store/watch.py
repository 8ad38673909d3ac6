"""The watch in the database: days counted out of the log, references, bins, findings.

Records are opened by PostgreSQL and counted there, a day at a time: only counts leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from steelyard.decisions.model.watch import (
    LABEL_DELAY_DAYS,
    OUTCOME,
    SCORE,
    Bins,
    Counts,
    Day,
    Labels,
    Reference,
)

SAMPLE = 20_000
"""Decisions that edges are taken from and calibration is computed over, picked by their ids, which
are hashes of the questions."""
_BINS = 10
_WORDS = 50
_CAUGHT = "('hold', 'review', 'decline')"
_PASSED = "('approve', 'limit')"


class Which(NamedTuple):
    """A version of a policy in a scene, and the zone of its business days."""

    scene: str
    policy: str
    zone: str


@dataclass(frozen=True, slots=True)
class Span:
    """Days, the first and the last one among them."""

    first: date
    last: date


# A day begins at midnight of the zone: the index over instants is used.
_DAYS = (
    "at >= CAST(:first AS timestamp) AT TIME ZONE :zone"
    " AND at < (CAST(:last AS timestamp) + interval '1 day') AT TIME ZONE :zone"
)
_OF = f"scene = :scene AND cause = :policy AND {_DAYS}"
_DAY = "(at AT TIME ZONE :zone)::date"
_SUBJECTS = (
    f"(r -> 'values') || jsonb_build_object('{SCORE}', r -> 'score', '{OUTCOME}', r -> 'outcome')"
)
_RECORDS = (
    f"SELECT {_DAY} AS day, CAST(convert_from(record, 'UTF8') AS jsonb) AS r"
    f" FROM decisions.log WHERE {_OF} OFFSET 0"
)
_NUMBER = (
    "CASE jsonb_typeof(value) WHEN 'number' THEN CAST(value AS float8)"
    " WHEN 'boolean' THEN CAST(CAST(value AS boolean) AS int) END"
)


def _given(which: Which, span: Span) -> dict[str, Any]:
    return {**which._asdict(), "first": span.first, "last": span.last}


def _given_labels(which: Which, day: date) -> dict[str, Any]:
    return {**_given(which, Span(day, day)), "delay": LABEL_DELAY_DAYS + 1}


# --- reading the log -----------------------------------------------------------------------------


def first_day(connection: sa.Connection, zone: str) -> date | None:
    """Return the first day with a decision, None without any."""
    found: date | None = connection.execute(
        sa.text("SELECT (min(at) AT TIME ZONE :zone)::date FROM decisions.log"), {"zone": zone}
    ).scalar_one()
    return found


def last_watched(connection: sa.Connection) -> date | None:
    """Return the last day that was watched, None before the first."""
    found: date | None = connection.execute(
        sa.text("SELECT max(day) FROM decisions.watch_day")
    ).scalar_one()
    return found


def first_watched(connection: sa.Connection, scene: str) -> date | None:
    """Return the first day of a scene that was watched, None before it."""
    found: date | None = connection.execute(
        sa.text("SELECT min(day) FROM decisions.watch_day WHERE scene = :scene"), {"scene": scene}
    ).scalar_one()
    return found


def decided(connection: sa.Connection, span: Span, zone: str) -> list[tuple[date, str, str]]:
    """Return the days, scenes and policies that decided, in order."""
    rows = connection.execute(
        sa.text(
            f"SELECT DISTINCT {_DAY} AS day, scene, cause FROM decisions.log WHERE {_DAYS}"
            " ORDER BY 1, 2, 3"
        ),
        {"first": span.first, "last": span.last, "zone": zone},
    )
    return [(row.day, row.scene, row.cause) for row in rows]


def count_hits(connection: sa.Connection, which: Which, day: date) -> Day:
    """Return a day of a policy with how often each rule hit."""
    given = _given(which, Span(day, day))
    decisions = connection.execute(
        sa.text(f"SELECT count(*) FROM decisions.log WHERE {_OF}"), given
    ).scalar_one()
    rows = connection.execute(
        sa.text(
            f"SELECT hit, count(*) AS hits FROM ({_RECORDS}) x CROSS JOIN LATERAL"
            " jsonb_array_elements(r -> 'trace') AS part (it) CROSS JOIN LATERAL"
            " jsonb_array_elements_text(it -> 1) AS hits (hit) WHERE it ->> 0 = 'hits' GROUP BY hit"
        ),
        given,
    )
    return Day(day, decisions, {row.hit: row.hits for row in rows})


def choose_bins(connection: sa.Connection, which: Which, span: Span) -> list[Bins]:
    """Return bins of about equal counts for each number, and the words of each text."""
    given = _given(which, span)
    picked = (
        f"SELECT r.key AS subject, r.value FROM (SELECT {_SUBJECTS} AS v FROM"
        " (SELECT CAST(convert_from(record, 'UTF8') AS jsonb) AS r FROM decisions.log"
        f" WHERE {_OF} ORDER BY id LIMIT {SAMPLE}) p) s CROSS JOIN LATERAL jsonb_each(v) AS r"
    )
    numbers = connection.execute(
        sa.text(
            f"SELECT subject, percentile_disc(CAST(:shares AS float8[])) WITHIN GROUP"
            f" (ORDER BY {_NUMBER}) AS edges FROM ({picked}) x GROUP BY subject"
        ),
        {**given, "shares": [n / _BINS for n in range(1, _BINS + 1)]},
    )
    edges = {row.subject: row.edges for row in numbers}
    words = connection.execute(
        sa.text(
            'SELECT subject, array_agg(word ORDER BY word COLLATE "C") AS words FROM'
            " (SELECT subject, word, row_number() OVER (PARTITION BY subject"
            ' ORDER BY count(*) DESC, word COLLATE "C") AS rank FROM'
            f" (SELECT subject, value #>> '{{}}' AS word FROM ({picked}) x"
            " WHERE jsonb_typeof(value) = 'string') t GROUP BY subject, word) ranked"
            f" WHERE rank <= {_WORDS} GROUP BY subject"
        ),
        given,
    )
    texts = {row.subject: tuple(row.words) for row in words}
    return [
        Bins(subject, None, texts[subject])
        if subject in texts
        else Bins(subject, _joined(found), None)
        for subject, found in sorted(edges.items())
    ]


def _joined(ranked: Sequence[float | None] | None) -> tuple[float, ...]:
    """Return ranked values as edges, as `NumberBins.of` does: equal ones are one, the last none."""
    known = [one for one in ranked or () if one is not None]
    return tuple(sorted({one for one in known if one < known[-1]}))


def count_values(
    connection: sa.Connection, which: Which, span: Span, bins: Sequence[Bins]
) -> dict[date, dict[str, list[int]]]:
    """Return how many values of each day fell into each bin; the missing have the last one."""
    rows = connection.execute(
        sa.text(
            "WITH bins AS MATERIALIZED (SELECT subject, CAST(edges AS float8[]) AS edges,"
            " CAST(minus AS float8[]) AS minus, CAST(words AS text[]) AS words FROM"
            " unnest(CAST(:subjects AS text[]), CAST(:edges AS text[]), CAST(:minus AS text[]),"
            " CAST(:words AS text[])) AS b (subject, edges, minus, words)),"
            f" decided AS MATERIALIZED (SELECT day, {_SUBJECTS} AS v FROM ({_RECORDS}) x),"
            " read AS (SELECT d.day, b.*, d.v -> b.subject AS value FROM decided d"
            " CROSS JOIN bins b)"
            # An edge belongs to the bin under it: as many places from above as edges are not less.
            " SELECT day, subject, CASE WHEN words IS NOT NULL THEN"
            " CASE WHEN jsonb_typeof(value) = 'string' THEN coalesce("
            "array_position(words, value #>> '{}') - 1, cardinality(words)) END"
            f" ELSE cardinality(edges) - width_bucket(-({_NUMBER}), minus) END AS bin,"
            " count(*) AS n FROM read GROUP BY 1, 2, 3"
        ),
        {
            **_given(which, span),
            "subjects": [one.subject for one in bins],
            "edges": [_array(one.edges) for one in bins],
            "minus": [
                None if one.edges is None else _array([-edge for edge in reversed(one.edges)])
                for one in bins
            ],
            "words": [_array(one.words) for one in bins],
        },
    )
    sizes = {one.subject: bins_in(one) for one in bins}
    found: dict[date, dict[str, list[int]]] = {}
    for row in rows:
        day = found.setdefault(row.day, {name: [0] * size for name, size in sizes.items()})
        day[row.subject][-1 if row.bin is None else row.bin] += row.n
    return found


def bins_in(bins: Bins) -> int:
    """Return how many bins there are: the outermost and the missing among them."""
    inner = bins.words if bins.edges is None else bins.edges
    assert inner is not None, "numbers or words"
    return len(inner) + 2


def _array(values: Iterable[object] | None) -> str | None:
    if values is None:
        return None
    quoted = [
        '"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"'
        if isinstance(one, str)
        else repr(one)
        for one in values
    ]
    return "{" + ",".join(quoted) + "}"


# --- labels --------------------------------------------------------------------------------------

_LABELLED = (
    "SELECT event_id, bool_or(is_bad) AS is_bad FROM (SELECT DISTINCT ON"
    " (event_id, content ->> 'field') event_id, content ->> 'value' IN ('true', '1') AS is_bad"
    " FROM decisions.heard WHERE what = 'label' AND kind = :scene AND at_ms < 1000 * extract(epoch"
    " FROM (CAST(:first AS timestamp) + make_interval(days => :delay)) AT TIME ZONE :zone)"
    " ORDER BY event_id, content ->> 'field', fold_seq DESC) l GROUP BY event_id"
)
"""What was known of each event once labels had their time; bad is what any of its labels calls so.
What is told later is not counted, whenever this is computed."""


def count_caught(connection: sa.Connection, which: Which, day: date) -> tuple[int, int, int, int]:
    """Return the bad and the caught events of a day, and their amounts."""
    row = connection.execute(
        sa.text(
            "SELECT count(*) AS bad, count(*) FILTER (WHERE is_caught) AS caught,"
            " coalesce(sum(amount), 0) AS loss,"
            " coalesce(sum(amount) FILTER (WHERE is_caught), 0) AS stopped FROM"
            f" (SELECT outcome IN {_CAUGHT} AS is_caught, CAST(CAST(convert_from(record, 'UTF8')"
            " AS jsonb) #>> '{asked,fields,amount_minor}' AS numeric) AS amount"
            f" FROM decisions.log JOIN ({_LABELLED}) k ON k.event_id = asked AND k.is_bad"
            f" WHERE {_OF}) x"
        ),
        _given_labels(which, day),
    ).one()
    return row.bad, row.caught, int(row.loss), int(row.stopped)


def passed_inputs(
    connection: sa.Connection, which: Which, day: date, names: Sequence[str]
) -> list[tuple[list[float | None], bool]]:
    """Return what a model read of the events of a day that were let pass, and whether bad.

    Of at most `SAMPLE` of them, picked by their ids.
    """
    value = "coalesce(r -> 'values' -> name, read -> name, r #> ARRAY['asked', 'fields', name])"
    rows = connection.execute(
        sa.text(
            f"SELECT ARRAY(SELECT {_NUMBER} FROM (SELECT nth, {value} AS value FROM"
            " unnest(CAST(:names AS text[])) WITH ORDINALITY AS n (name, nth)) v ORDER BY nth)"
            " AS inputs, is_bad FROM (SELECT r, is_bad, (SELECT it -> 1 FROM"
            " jsonb_array_elements(r -> 'trace') AS part (it) WHERE it ->> 0 = 'read') AS read"
            " FROM (SELECT CAST(convert_from(record, 'UTF8') AS jsonb) AS r,"
            f" coalesce(k.is_bad, false) AS is_bad FROM decisions.log LEFT JOIN ({_LABELLED}) k"
            f" ON k.event_id = asked WHERE {_OF} AND outcome IN {_PASSED}"
            f" ORDER BY id LIMIT {SAMPLE}) p OFFSET 0) x"
        ),
        {**_given_labels(which, day), "names": list(names)},
    )
    return [(row.inputs, row.is_bad) for row in rows]


# --- what is kept --------------------------------------------------------------------------------


def insert_day(connection: sa.Connection, which: Which, day: Day) -> bool:
    """Insert a day of a policy; return whether it was new."""
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.watch_day (scene, policy, day, decisions, hits)"
            " VALUES (:scene, :policy, :day, :decisions, CAST(:hits AS jsonb))"
            " ON CONFLICT DO NOTHING"
        ),
        {
            "scene": which.scene,
            "policy": which.policy,
            "day": day.day,
            "decisions": day.decisions,
            "hits": msgspec.json.encode(day.hits).decode(),
        },
    )
    return done.rowcount == 1


def set_labels(connection: sa.Connection, which: Which, day: date, labels: Labels) -> None:
    """Note what became known of a day, once."""
    connection.execute(
        sa.text(
            "UPDATE decisions.watch_day SET labels = CAST(:labels AS jsonb)"
            " WHERE scene = :scene AND policy = :policy AND day = :day AND labels IS NULL"
        ),
        {
            "scene": which.scene,
            "policy": which.policy,
            "day": day,
            "labels": msgspec.json.encode(labels).decode(),
        },
    )


def read_days(
    connection: sa.Connection, scene: str, policy: str, *, until: date, least: date = date.min
) -> list[Day]:
    """Return the days of a policy, in order, the last one among them."""
    rows = connection.execute(
        sa.text(
            "SELECT day, decisions, hits, labels FROM decisions.watch_day WHERE scene = :scene"
            " AND policy = :policy AND day BETWEEN :least AND :until ORDER BY day"
        ),
        {"scene": scene, "policy": policy, "until": until, "least": least},
    )
    return [
        Day(row.day, row.decisions, row.hits,
            None if row.labels is None else msgspec.convert(row.labels, Labels))
        for row in rows
    ]  # fmt: skip


def unlabelled_days(connection: sa.Connection, until: date) -> list[tuple[str, str, date]]:
    """Return scenes, policies and days, up to one, whose labels were not counted yet."""
    rows = connection.execute(
        sa.text(
            "SELECT scene, policy, day FROM decisions.watch_day"
            " WHERE labels IS NULL AND day <= :until ORDER BY day, scene, policy"
        ),
        {"until": until},
    )
    return [(row.scene, row.policy, row.day) for row in rows]


def find_reference(connection: sa.Connection, scene: str, policy: str) -> Reference | None:
    """Return the newest reference of a policy."""
    row = connection.execute(
        sa.text(
            "SELECT number, first_day, last_day, decisions FROM decisions.watch_reference"
            " WHERE scene = :scene AND policy = :policy ORDER BY number DESC LIMIT 1"
        ),
        {"scene": scene, "policy": policy},
    ).one_or_none()
    if row is None:
        return None
    return Reference(row.number, row.first_day, row.last_day, row.decisions)


def renewed_from(connection: sa.Connection, scene: str, policy: str) -> date | None:
    """Return from which day on people want the reference to be, None where nobody asked."""
    found: date | None = connection.execute(
        sa.text(
            "SELECT max(first_day) FROM decisions.watch_renewal"
            " WHERE scene = :scene AND policy = :policy"
        ),
        {"scene": scene, "policy": policy},
    ).scalar_one()
    return found


def insert_renewal(
    connection: sa.Connection, scene: str, policy: str, day: date, *, cause: str
) -> None:
    """Note that the reference begins anew; noted again it changes nothing."""
    connection.execute(
        sa.text(
            "INSERT INTO decisions.watch_renewal (scene, policy, first_day, cause)"
            " VALUES (:scene, :policy, :day, :cause) ON CONFLICT DO NOTHING"
        ),
        {"scene": scene, "policy": policy, "day": day, "cause": cause},
    )


def insert_reference(
    connection: sa.Connection,
    which: Which,
    reference: Reference,
    bins: Sequence[Bins],
    *,
    at: datetime,
) -> bool:
    """Insert a reference with its bins; return whether its number was free."""
    given = {"scene": which.scene, "policy": which.policy, "number": reference.number}
    done = connection.execute(
        sa.text(
            "INSERT INTO decisions.watch_reference (scene, policy, number, first_day, last_day,"
            " decisions, taken_at) VALUES (:scene, :policy, :number, :first, :last, :decisions,"
            " :at) ON CONFLICT DO NOTHING"
        ),
        {
            **given,
            "first": reference.first_day,
            "last": reference.last_day,
            "decisions": reference.decisions,
            "at": at,
        },
    )
    if done.rowcount == 1:
        connection.execute(
            sa.text(
                "INSERT INTO decisions.watch_bins (scene, policy, number, subject, edges, words)"
                " SELECT :scene, :policy, :number, subject, CAST(edges AS float8[]),"
                " CAST(words AS text[]) FROM unnest(CAST(:subjects AS text[]),"
                " CAST(:edges AS text[]), CAST(:words AS text[])) AS b (subject, edges, words)"
            ),
            {
                **given,
                "subjects": [one.subject for one in bins],
                "edges": [_array(one.edges) for one in bins],
                "words": [_array(one.words) for one in bins],
            },
        )
    return done.rowcount == 1


def read_bins(connection: sa.Connection, scene: str, policy: str, number: int) -> list[Bins]:
    """Return the bins of a reference, by subject."""
    rows = connection.execute(
        sa.text(
            "SELECT subject, edges, words FROM decisions.watch_bins WHERE scene = :scene"
            " AND policy = :policy AND number = :number ORDER BY subject"
        ),
        {"scene": scene, "policy": policy, "number": number},
    )
    return [
        Bins(row.subject, None if row.edges is None else tuple(row.edges),
             None if row.words is None else tuple(row.words))
        for row in rows
    ]  # fmt: skip


def insert_counts(
    connection: sa.Connection,
    which: Which,
    number: int,
    counted: Mapping[date, Mapping[str, Sequence[int]]],
) -> None:
    """Insert what was counted of days, by subject."""
    flat = [(day, name, _array(counts)) for day, of in counted.items()
            for name, counts in of.items()]  # fmt: skip
    connection.execute(
        sa.text(
            "INSERT INTO decisions.watch_count (scene, policy, number, day, subject, counts)"
            " SELECT :scene, :policy, :number, day, subject, CAST(counts AS bigint[]) FROM"
            " unnest(CAST(:days AS date[]), CAST(:subjects AS text[]), CAST(:counts AS text[]))"
            " AS c (day, subject, counts) ON CONFLICT DO NOTHING"
        ),
        {
            "scene": which.scene,
            "policy": which.policy,
            "number": number,
            "days": [day for day, _, _ in flat],
            "subjects": [name for _, name, _ in flat],
            "counts": [counts for _, _, counts in flat],
        },
    )


def sum_counts(
    connection: sa.Connection, scene: str, policy: str, number: int, span: Span
) -> dict[str, list[int]]:
    """Return the counts of days together, by subject."""
    rows = connection.execute(
        sa.text(
            "SELECT subject, array_agg(n ORDER BY bin) AS counts FROM (SELECT subject, bin,"
            " CAST(sum(one) AS bigint) AS n FROM decisions.watch_count CROSS JOIN LATERAL"
            " unnest(counts) WITH ORDINALITY AS c (one, bin) WHERE scene = :scene"
            " AND policy = :policy AND number = :number AND day BETWEEN :first AND :last"
            " GROUP BY subject, bin) s GROUP BY subject"
        ),
        {
            "scene": scene,
            "policy": policy,
            "number": number,
            "first": span.first,
            "last": span.last,
        },
    )
    return {row.subject: row.counts for row in rows}


def read_counts(
    connection: sa.Connection, scene: str, policy: str, number: int
) -> dict[date, Counts]:
    """Return the counts of every day of a reference and after it, by day and subject."""
    rows = connection.execute(
        sa.text(
            "SELECT day, subject, counts FROM decisions.watch_count WHERE scene = :scene"
            " AND policy = :policy AND number = :number ORDER BY day, subject"
        ),
        {"scene": scene, "policy": policy, "number": number},
    )
    found: dict[date, dict[str, Sequence[int]]] = {}
    for row in rows:
        found.setdefault(row.day, {})[row.subject] = row.counts
    return dict(found)


# --- findings ------------------------------------------------------------------------------------


class FindingRow(NamedTuple):
    """A finding as it is kept; `level` is `unknown` and `value` None where there was too little."""

    drift: str
    subject: str
    level: str
    value: float | None
    en: str
    zh: str
    case: UUID | None


def insert_findings(
    connection: sa.Connection, which: Which, day: date, findings: Sequence[FindingRow]
) -> None:
    """Insert what was found at the end of a day."""
    columns = zip(*findings, strict=True) if findings else [()] * 7
    names = ("drifts", "subjects", "levels", "values", "en", "zh", "cases")
    connection.execute(
        sa.text(
            "INSERT INTO decisions.watch_finding (scene, policy, day, drift, subject, level,"
            " value, en, zh, case_id) SELECT :scene, :policy, :day, f.* FROM"
            " unnest(CAST(:drifts AS text[]), CAST(:subjects AS text[]), CAST(:levels AS text[]),"
            " CAST(:values AS float8[]), CAST(:en AS text[]), CAST(:zh AS text[]),"
            " CAST(:cases AS uuid[])) AS f"
        ),
        {
            "scene": which.scene,
            "policy": which.policy,
            "day": day,
            **{name: list(column) for name, column in zip(names, columns, strict=True)},
        },
    )


def read_findings(
    connection: sa.Connection, scene: str, policy: str, day: date
) -> list[FindingRow]:
    """Return what was found at the end of a day, the most pressing first."""
    rows = connection.execute(
        sa.text(
            "SELECT drift, subject, level, value, en, zh, case_id FROM decisions.watch_finding"
            " WHERE scene = :scene AND policy = :policy AND day = :day ORDER BY"
            " array_position(ARRAY['alert', 'watch', 'unknown', 'steady'], level), drift,"
            " value DESC NULLS LAST, subject"
        ),
        {"scene": scene, "policy": policy, "day": day},
    )
    return [FindingRow(*row) for row in rows]


def policies_of_case(connection: sa.Connection, case: UUID) -> list[tuple[str, str]]:
    """Return the scenes and policies whose findings a case is about."""
    rows = connection.execute(
        sa.text(
            "SELECT DISTINCT scene, policy FROM decisions.watch_finding WHERE case_id = :case"
            " ORDER BY scene, policy"
        ),
        {"case": case},
    )
    return [(row.scene, row.policy) for row in rows]


def last_days(connection: sa.Connection, scene: str | None = None) -> list[tuple[str, str, date]]:
    """Return each scene and policy that was watched, with its last day; the newest first."""
    rows = connection.execute(
        sa.text(
            "SELECT scene, policy, max(day) AS day FROM decisions.watch_day"
            " WHERE CAST(:scene AS text) IS NULL OR scene = :scene"
            " GROUP BY scene, policy ORDER BY scene, day DESC, policy DESC"
        ),
        {"scene": scene},
    )
    return [(row.scene, row.policy, row.day) for row in rows]
