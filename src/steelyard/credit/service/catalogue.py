"""Products: drafted as versions, put in force by two people; what was signed keeps its terms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.credit.model.offer import subsidy_minor
from steelyard.credit.model.product import (
    AmountIsNotOffered,
    MethodIsNotOffered,
    Order,
    Price,
    Product,
    ProductIsMalformed,
    ProductIsUnknown,
    ProductKind,
    ProductVersionIsActive,
    ProductVersionIsUnknown,
    Tenor,
    TenorIsNotOffered,
    Tier,
    TierIsNotServed,
    price_of,
    product_as_data,
    read_product,
    terms_of,
)
from steelyard.credit.products import DELIVERED
from steelyard.credit.service.origination_facts import ProductActivated, ProductDrafted
from steelyard.credit.store import products as table
from steelyard.credit.store.products import Activation, ProductVersion
from steelyard.parties import approvals

__all__ = [
    "ACTIVATE",
    "DELIVERED",
    "Activation",
    "AmountIsNotOffered",
    "MethodIsNotOffered",
    "Order",
    "Price",
    "Product",
    "ProductIsMalformed",
    "ProductIsUnknown",
    "ProductKind",
    "ProductVersion",
    "ProductVersionIsActive",
    "ProductVersionIsUnknown",
    "Tenor",
    "TenorIsNotOffered",
    "Tier",
    "TierIsNotServed",
    "activate",
    "activations_of",
    "as_data",
    "draft_version",
    "install_delivered",
    "list_active",
    "price_of",
    "read_active",
    "read_version",
    "request_activation",
    "shown_of_activation",
    "subsidy_minor",
    "terms_of",
    "versions_of",
]

ACTIVATE = approvals.approval_kind(
    "credit.activate_product",
    verb="credit.approve",
    en="Put terms of a product in force",
    zh="产品条款生效",
)
MOST_NOTE = 500
as_data = product_as_data


def install_delivered(unit: UnitOfWork) -> tuple[str, ...]:
    """Enter the delivered version of each product that has none, and put it in force.

    A product that has versions is left as it is: what a release delivers anew is drafted by people.

    Returns
    -------
    tuple
        The products it was done for; none the second time.
    """
    done = []
    for code, product in DELIVERED.items():
        table.hold(unit.connection, code)
        if table.newest_version(unit.connection, code):
            continue
        _enter(unit, product, "Delivered.")
        _put_in_force(unit, product, before=None, cause=f"delivered:{code}@{product.version}")
        done.append(code)
    return tuple(done)


def draft_version(unit: UnitOfWork, content: Mapping[str, Any], *, note: str) -> ProductVersion:
    """Write terms down as the next version of their product; nothing is sold by them yet.

    Parameters
    ----------
    content : the terms as `as_data` gives them; what stands as its version is not looked at

    Refusals
    --------
    product_is_malformed
    """
    code = str(content.get("code", ""))[:40]
    read_product({**content, "version": 1})
    if not note.strip() or len(note) > MOST_NOTE:
        raise ProductIsMalformed(product=code, field="note", why=f"1..{MOST_NOTE}")
    table.hold(unit.connection, code)
    version = table.newest_version(unit.connection, code) + 1
    product = read_product({**content, "version": version})
    drafted = _enter(unit, product, note)
    fact = ProductDrafted(code=code, product_version=version, hash=product.hash.hex())
    unit.record(fact, subject=f"product:{code}")
    return drafted


def read_version(connection: sa.Connection, code: str, version: int) -> ProductVersion:
    """Return a version.

    Refusals
    --------
    product_version_is_unknown
    """
    found = table.find_version(connection, code, version)
    if found is None:
        raise ProductVersionIsUnknown(product=code, version=version)
    return found


def read_active(connection: sa.Connection, code: str) -> Product:
    """Return a product as it is sold.

    Refusals
    --------
    product_is_unknown
    """
    version = table.find_active(connection, code)
    if version is None:
        raise ProductIsUnknown(product=code)
    return product_of(connection, code, version)


def product_of(connection: sa.Connection, code: str, version: int) -> Product:
    """Return a version's terms; read once in a process and database, because it never changes.

    Refusals
    --------
    product_version_is_unknown
    """
    kept = connection.info.setdefault("steelyard.products", {})
    found: Product | None = kept.get((code, version))
    if found is None:
        found = kept[code, version] = read_version(connection, code, version).product
    return found


def list_active(connection: sa.Connection) -> tuple[Product, ...]:
    """Return the products that are sold, by code."""
    return tuple(
        product_of(connection, code, version)
        for code, version in table.active_versions(connection).items()
    )


def versions_of(connection: sa.Connection, code: str) -> tuple[ProductVersion, ...]:
    """Return the versions of a product, the newest first.

    Refusals
    --------
    product_is_unknown
    """
    found = tuple(table.versions(connection, code))
    if not found:
        raise ProductIsUnknown(product=code)
    return found


def activations_of(connection: sa.Connection, code: str) -> tuple[Activation, ...]:
    """Return what was put in force, the latest first."""
    return tuple(table.activations(connection, code))


def shown_of_activation(connection: sa.Connection, code: str, version: int) -> dict[str, object]:
    """Return what a checker is shown: the version, whom it replaces, and what differs."""
    wanted = read_version(connection, code, version)
    active = table.find_active(connection, code)
    before = {} if active is None else product_as_data(product_of(connection, code, active))
    after = product_as_data(wanted.product)
    differing = sorted(
        name
        for name in after.keys() | before.keys()
        if name != "version" and after.get(name) != before.get(name)
    )
    return {
        "product": code,
        "version": version,
        "in_place_of": active,
        "hash": wanted.product.hash.hex(),
        "note": wanted.note,
        "drafted_by": wanted.drafted_by,
        "differing": differing,
    }


def request_activation(unit: UnitOfWork, code: str, version: int) -> approvals.Approval:
    """Ask for a second person's yes to a version that is to be sold, an earlier one too.

    Refusals
    --------
    product_version_is_unknown, product_version_is_active
    """
    wanted = read_version(unit.connection, code, version)
    _must_not_be_active(unit.connection, code, version)
    return approvals.request_approval(
        unit,
        kind=ACTIVATE.name,
        subject=wanted.subject,
        shown=shown_of_activation(unit.connection, code, version),
        by=unit.actor,
    )


def activate(unit: UnitOfWork, code: str, version: int, *, approval: UUID) -> Product:
    """Sell a version from now on, as two people want it; what was signed keeps its terms.

    Refusals
    --------
    product_version_is_unknown, product_version_is_active, and those of `consume_approval`
    """
    table.hold(unit.connection, code)
    wanted = read_version(unit.connection, code, version)
    _must_not_be_active(unit.connection, code, version)
    before = table.find_active(unit.connection, code)
    cause = approvals.consume_approval(
        unit,
        approval,
        kind=ACTIVATE.name,
        subject=wanted.subject,
        shown=shown_of_activation(unit.connection, code, version),
    )
    _put_in_force(unit, wanted.product, before=before, cause=cause)
    return wanted.product


def _must_not_be_active(connection: sa.Connection, code: str, version: int) -> None:
    if table.find_active(connection, code) == version:
        raise ProductVersionIsActive(product=code, version=version)


def _enter(unit: UnitOfWork, product: Product, note: str) -> ProductVersion:
    entered = ProductVersion(product, note, unit.actor, unit.now)
    table.insert_version(unit.connection, entered)
    audit(
        unit,
        action="credit.draft_product",
        subject=entered.subject,
        detail={"hash": product.hash.hex(), "note": note},
    )
    return entered


def _put_in_force(unit: UnitOfWork, product: Product, *, before: int | None, cause: str) -> None:
    code, version = product.code, product.version
    activation = Activation(code, version, before, cause, unit.actor, unit.now)
    table.activate(unit.connection, activation)
    fact = ProductActivated(code=code, product_version=version, before=before, cause=cause)
    unit.record(fact, subject=f"product:{code}")
    audit(
        unit,
        action="credit.activate_product",
        subject=f"product:{code}@{version}",
        detail={"before": before, "cause": cause},
    )
