"""Tables of lenders and pools, and what loans should have in the books."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from steelyard.credit.model.loan_refusals import LenderIsUnknown


class Lender(NamedTuple):
    """In which book of own funds loans of a currency stand, and where wallets are."""

    currency: str
    book: str
    wallets_book: str


def insert(connection: sa.Connection, lender: Lender, opened_at: datetime) -> bool:
    """Insert a lender; False when the currency has one."""
    done = connection.execute(
        sa.text(
            "INSERT INTO credit.lender (currency, book, wallets_book, opened_at)"
            " VALUES (:currency, :book, :wallets_book, :at) ON CONFLICT DO NOTHING"
        ),
        {**lender._asdict(), "at": opened_at},
    )
    return done.rowcount == 1


def read(connection: sa.Connection, currency: str) -> Lender:
    """Return the lender of a currency.

    Refusals
    --------
    lender_is_unknown
    """
    row = connection.execute(
        sa.text(
            "SELECT currency, book, wallets_book FROM credit.lender WHERE currency = :currency"
        ),
        {"currency": currency},
    ).one_or_none()
    if row is None:
        raise LenderIsUnknown(currency=currency)
    return Lender(*row)


def read_all(connection: sa.Connection) -> list[Lender]:
    """Return every lender, by currency."""
    rows = connection.execute(
        sa.text("SELECT currency, book, wallets_book FROM credit.lender ORDER BY currency")
    )
    return [Lender(*row) for row in rows]


def find_pool(connection: sa.Connection, product: str, currency: str) -> int | None:
    """Return the number of a pool, None where there is none."""
    found = connection.execute(
        sa.text("SELECT id FROM credit.pool WHERE product = :product AND currency = :currency"),
        {"product": product, "currency": currency},
    ).scalar_one_or_none()
    return None if found is None else int(found)


def insert_pool(connection: sa.Connection, product: str, currency: str) -> int:
    """Insert a pool, and return its number; of several callers at once one inserts it."""
    # Whoever opens a pool holds the table's advisory lock, so that numbers run on.
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(hashtext('credit.pool'))"))
    connection.execute(
        sa.text(
            "INSERT INTO credit.pool (id, product, currency)"
            " SELECT COALESCE(max(id), 0) + 1, :product, :currency FROM credit.pool"
            " ON CONFLICT (product, currency) DO NOTHING"
        ),
        {"product": product, "currency": currency},
    )
    found = find_pool(connection, product, currency)
    assert found is not None, "it was inserted"
    return found


class PoolSums(NamedTuple):
    """What the loans of a pool and stage add up to, minor units.

    Attributes
    ----------
    stage : 0 for what is not kept by stage
    """

    product: str
    currency: str
    stage: int
    interest_minor: int
    penalty_minor: int
    fee_minor: int
    interest_suspended_minor: int
    penalty_suspended_minor: int
    provision_minor: int
    credit_minor: int


def pool_sums(connection: sa.Connection) -> list[PoolSums]:
    """Return the sums of all loans by product, currency and stage."""
    rows: sa.CursorResult[Any] = connection.execute(
        sa.text(
            "SELECT p.product, p.currency, g.stage, COALESCE(sum(interest_receivable_minor), 0),"
            " COALESCE(sum(penalty_receivable_minor), 0), COALESCE(sum(fee_receivable_minor), 0),"
            " COALESCE(sum(interest_suspended_minor), 0),"
            " COALESCE(sum(penalty_suspended_minor), 0), COALESCE(sum(provision_minor), 0),"
            " COALESCE(sum(credit_minor), 0)"
            " FROM credit.pool p CROSS JOIN generate_series(1, 3) AS g (stage)"
            " LEFT JOIN credit.standing s ON s.pool = p.id AND s.stage = g.stage"
            " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        )
    )
    found = [tuple(row) for row in rows]
    return [PoolSums(product, code, *map(int, sums)) for product, code, *sums in found]


def principals(
    connection: sa.Connection, currency: str, *, size: int
) -> Iterator[list[tuple[int, int]]]:
    """Yield number and own principal of every loan of a currency that was paid out, by chunks."""
    after = 0
    while True:
        rows = connection.execute(
            sa.text(
                "SELECT s.nr, s.principal_own_minor FROM credit.standing s"
                " WHERE s.pool = ANY (ARRAY(SELECT id FROM credit.pool WHERE currency = :currency))"
                " AND s.nr > :after ORDER BY s.nr LIMIT :size"
            ),
            {"currency": currency, "after": after, "size": size},
        ).all()
        if not rows:
            return
        yield [(int(row[0]), int(row[1])) for row in rows]
        after = int(rows[-1][0])
