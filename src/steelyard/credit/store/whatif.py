"""The applications of the platform as a history: what was decided, lent, and became of it."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def read_decided(
    connection: sa.Connection, *, known_after: int, default_bucket: int
) -> list[dict[str, Any]]:
    """Return every application that was decided, with what became of its loan.

    Parameters
    ----------
    known_after : months on book after which an outcome is known
    default_bucket : from this bucket on a loan is bad
    """
    rows = connection.execute(
        sa.text(
            "SELECT a.decision, a.product, a.channel, a.drafted_at,"
            " (a.facts->>'amount_minor')::bigint AS amount_minor, a.facts->>'tenor' AS tenor,"
            " (a.facts->>'income_minor')::bigint AS income_minor,"
            " EXISTS (SELECT 1 FROM credit.application_step p WHERE p.application = a.id"
            "   AND p.after = 'in_review') AS reviewed,"
            " s.nr IS NOT NULL AS lent,"
            " (s.totals->>'disbursed_minor')::bigint AS lent_minor,"
            " round((l.terms->>'rate')::numeric * 10000)::bigint AS rate_bp,"
            " s.nr IS NULL AND a.offer IS NOT NULL AS walked_away,"
            " COALESCE(s.as_of >= to_date(l.terms->>'start_on', 'YYYY-MM-DD')"
            "   + make_interval(months => :known_after), false) AS known,"
            " COALESCE(s.as_of >= to_date(l.terms->>'start_on', 'YYYY-MM-DD')"
            "   + make_interval(months => :known_after)"
            "   AND (s.state IN (2, 4) OR m.worst >= :default_bucket), false) AS bad,"
            " COALESCE(f.no, 1) AS bad_nr,"
            " CASE WHEN w.lost > 0 THEN LEAST(1000000,"
            "   (s.totals->>'recovered_minor')::bigint * 1000000 / w.lost) ELSE 0 END"
            "   AS recovered_ppm"
            " FROM credit.application a"
            " LEFT JOIN credit.loan l ON l.id = a.loan"
            " LEFT JOIN credit.standing s ON s.nr = l.nr AND s.state <> 5"
            " LEFT JOIN LATERAL (SELECT GREATEST(max(bucket), s.bucket) AS worst"
            "   FROM credit.snapshot x WHERE x.nr = s.nr) m ON true"
            " LEFT JOIN LATERAL (SELECT min(no) AS no FROM credit.instalment i"
            "   WHERE i.nr = s.nr AND i.paid_on IS NULL) f ON true"
            " LEFT JOIN LATERAL (SELECT (s.totals->>'principal_written_off_minor')::bigint AS lost)"
            "   w ON true"
            " WHERE a.decision IS NOT NULL ORDER BY a.drafted_at, a.id"
        ),
        {"known_after": known_after, "default_bucket": default_bucket},
    )
    return [dict(row._mapping) for row in rows]
