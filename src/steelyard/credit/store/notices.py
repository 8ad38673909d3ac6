"""What customers are to be told and were not told yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa

_NOT_SENT = "NOT EXISTS (SELECT FROM credit.message x WHERE x.act = n.act)"
_MATTERS = """
SELECT 'matter_received:' || m.id AS act, 'complaint_received' AS template, m.party, m.nr,
       jsonb_build_object('matter', left(m.id::text, 8), 'due_on', m.due_on::text) AS told,
       m.received_at AS at
FROM credit.matter m WHERE m.received_at > :since
UNION ALL
SELECT 'matter_answered:' || m.id, 'complaint_answered', m.party, m.nr,
       jsonb_build_object('matter', left(m.id::text, 8), 'outcome', m.state), m.answered_at
FROM credit.matter m WHERE m.answered_at > :since
"""
_PROMISES = """
SELECT 'promise_noted:' || p.id, 'promise_noted', p.party, p.nr,
       jsonb_build_object('loan', p.nr::text, 'by_on', p.by_on::text,
                          'amount_minor', p.amount_minor), NULL
FROM credit.promise p WHERE p.state = 'open' AND p.made_on > :from_on
UNION ALL
SELECT 'promise_judged:' || p.id, 'promise_broken', p.party, p.nr,
       jsonb_build_object('loan', p.nr::text, 'by_on', p.by_on::text,
                          'amount_minor', p.amount_minor, 'paid_minor', p.paid_minor), NULL
FROM credit.promise p WHERE p.state IN ('partly', 'broken') AND p.judged_on > :from_on
"""
_LOANS = """
SELECT 'plan_granted:' || h.id, 'plan_granted', h.party, h.nr,
       jsonb_build_object('loan', h.nr::text, 'due_on', s.next_due_on::text), h.settled_at
FROM credit.hardship h JOIN credit.standing s ON s.nr = h.nr
WHERE h.state = 'granted' AND h.settled_at > :since AND s.next_due_on IS NOT NULL
UNION ALL
SELECT 'due_soon:' || s.nr || '@' || s.next_due_on, 'due_soon', l.party, s.nr,
       jsonb_build_object('loan', s.nr::text, 'due_on', s.next_due_on::text,
                          'amount_minor', sum(i.principal_minor + i.interest_minor + i.fee_minor
                              - i.paid_principal_minor - i.paid_interest_minor - i.paid_fee_minor
                              - i.waived_interest_minor - i.waived_fee_minor)), NULL
FROM credit.standing s JOIN credit.loan l ON l.nr = s.nr AND l.state = 'active'
JOIN credit.instalment i ON i.nr = s.nr AND i.due_on = s.next_due_on
WHERE s.next_due_on > :on AND s.next_due_on <= :soon_on AND s.dpd = 0
GROUP BY s.nr, s.next_due_on, l.party
"""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that a customer is to be told; `amounts` are minor units, by their hole."""

    act: str
    template: str
    party: UUID
    texts: dict[str, str]
    amounts: dict[str, int]
    currency: str


def waiting(
    connection: sa.Connection,
    *,
    since: datetime,
    from_on: date,
    on: date,
    soon_on: date,
    limit: int,
) -> list[Notice]:
    """Return what happened since an instant, or falls due soon, and was not told."""
    rows = connection.execute(
        sa.text(
            f"SELECT n.act, n.template, n.party, n.told, l.currency FROM ({_MATTERS} UNION ALL"
            f" {_PROMISES} UNION ALL {_LOANS}) AS n (act, template, party, nr, told, at)"
            f" JOIN credit.loan l ON l.nr = n.nr WHERE {_NOT_SENT} ORDER BY n.act LIMIT :limit"
        ),
        {"since": since, "from_on": from_on, "on": on, "soon_on": soon_on, "limit": limit},
    )
    return [
        Notice(
            row.act,
            row.template,
            row.party,
            {k: v for k, v in row.told.items() if not k.endswith("_minor")},
            {k.removesuffix("_minor"): v for k, v in row.told.items() if k.endswith("_minor")},
            row.currency,
        )
        for row in rows
    ]
