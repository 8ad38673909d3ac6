"""Tables of products: their versions, and which is sold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import sqlalchemy as sa

from steelyard.credit.model.product import Product, product_to_json, read_product


@dataclass(frozen=True, slots=True)
class ProductVersion:
    """One version as it was drafted; it never changes."""

    product: Product
    note: str
    drafted_by: str
    drafted_at: datetime

    @property
    def subject(self) -> str:
        """Return `product:<code>@<version>`."""
        return f"product:{self.product.code}@{self.product.version}"


@dataclass(frozen=True, slots=True)
class Activation:
    """That a version was put in force."""

    code: str
    version: int
    before: int | None
    cause: str
    actor: str
    at: datetime


_VERSION = "code, version, content, note, drafted_by, drafted_at"


def hold(connection: sa.Connection, code: str) -> None:
    """Lock a product for the transaction, entering it if it is new."""
    connection.execute(
        sa.text("INSERT INTO credit.product (code) VALUES (:code) ON CONFLICT DO NOTHING"),
        {"code": code},
    )
    connection.execute(
        sa.text("SELECT code FROM credit.product WHERE code = :code FOR UPDATE"), {"code": code}
    )


def insert_version(connection: sa.Connection, version: ProductVersion) -> None:
    """Insert a version."""
    product = version.product
    connection.execute(
        sa.text(
            "INSERT INTO credit.product_version (code, version, content, content_hash, note,"
            " drafted_by, drafted_at) VALUES (:code, :version, CAST(:content AS jsonb), :hash,"
            " :note, :by, :at)"
        ),
        {
            "code": product.code,
            "version": product.version,
            "content": product_to_json(product).decode(),
            "hash": product.hash,
            "note": version.note,
            "by": version.drafted_by,
            "at": version.drafted_at,
        },
    )


def find_version(connection: sa.Connection, code: str, version: int) -> ProductVersion | None:
    """Return a version, None if there is none."""
    row = connection.execute(
        sa.text(
            f"SELECT {_VERSION} FROM credit.product_version"
            " WHERE code = :code AND version = :version"
        ),
        {"code": code, "version": version},
    ).one_or_none()
    return None if row is None else _version(row)


def versions(connection: sa.Connection, code: str) -> list[ProductVersion]:
    """Return the versions of a product, the newest first."""
    rows = connection.execute(
        sa.text(
            f"SELECT {_VERSION} FROM credit.product_version WHERE code = :code"
            " ORDER BY version DESC"
        ),
        {"code": code},
    )
    return [_version(row) for row in rows]


def newest_version(connection: sa.Connection, code: str) -> int:
    """Return the number of the newest version, 0 without any."""
    found: int = connection.execute(
        sa.text("SELECT coalesce(max(version), 0) FROM credit.product_version WHERE code = :code"),
        {"code": code},
    ).scalar_one()
    return found


def active_versions(connection: sa.Connection) -> dict[str, int]:
    """Return which version of each product is sold."""
    rows = connection.execute(
        sa.text("SELECT code, active FROM credit.product WHERE active IS NOT NULL ORDER BY code")
    )
    return {row.code: row.active for row in rows}


def find_active(connection: sa.Connection, code: str) -> int | None:
    """Return the version of a product that is sold, None for none."""
    found: int | None = connection.execute(
        sa.text("SELECT active FROM credit.product WHERE code = :code"), {"code": code}
    ).scalar_one_or_none()
    return found


def activate(connection: sa.Connection, activation: Activation) -> None:
    """Put a version in force; the product is held."""
    values = {
        "code": activation.code,
        "version": activation.version,
        "before": activation.before,
        "cause": activation.cause,
        "actor": activation.actor,
        "at": activation.at,
    }
    connection.execute(
        sa.text("UPDATE credit.product SET active = :version WHERE code = :code"), values
    )
    connection.execute(
        sa.text(
            "INSERT INTO credit.product_activation (code, version, before, cause, actor, at)"
            " VALUES (:code, :version, :before, :cause, :actor, :at)"
        ),
        values,
    )


def activations(connection: sa.Connection, code: str) -> Sequence[Activation]:
    """Return what was put in force, the latest first."""
    rows = connection.execute(
        sa.text(
            "SELECT code, version, before, cause, actor, at FROM credit.product_activation"
            " WHERE code = :code ORDER BY sequence DESC"
        ),
        {"code": code},
    )
    return [
        Activation(row.code, row.version, row.before, row.cause, row.actor, row.at.astimezone(UTC))
        for row in rows
    ]


def _version(row: sa.Row[tuple[object, ...]]) -> ProductVersion:
    return ProductVersion(
        read_product(row.content), row.note, row.drafted_by, row.drafted_at.astimezone(UTC)
    )
