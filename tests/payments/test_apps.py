"""Apps of merchants and their keys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from steelyard.kernel import Refusal
from steelyard.parties import api_keys
from steelyard.payments import apps, merchants
from steelyard.payments.model.orders import Mode
from tests.payments.agency import Agency
from tests.payments.agency import agency as agency

DAY = timedelta(days=1)


def issue(agency: Agency, app: str, **new: Any) -> api_keys.IssuedApiKey:
    held = new.pop("held", frozenset({"*"}))
    issued: api_keys.IssuedApiKey = agency.run(
        lambda unit: apps.issue_key(
            unit,
            agency.keyring,
            agency.settings,
            app,
            apps.NewKey(name="till", **new),
            held=held,
        )
    )
    return issued


def app_of(agency: Agency, key: str) -> apps.App | None:
    with agency.database.reading() as connection:
        return apps.app_of(connection, f"key:{key}")


def test_a_key_acts_for_its_app_and_merchant(agency: Agency) -> None:
    merchant = agency.taken_on()
    app = agency.app(merchant)
    issued = issue(agency, app.id)
    assert issued.key.party == merchant
    assert issued.key.entitlements == ("payments.pay", "payments.read", "payments.refund")
    found = app_of(agency, issued.key.id)
    assert found == app
    assert found.mode is Mode.SANDBOX
    assert app_of(agency, "ak_unknown") is None
    with agency.database.reading() as connection:
        assert apps.app_of(connection, "staff:1") is None


def test_a_live_app_needs_a_contract_in_force(agency: Agency) -> None:
    merchant = agency.taken_on()
    agency.run(lambda unit: merchants.suspend(unit, merchant, reason="x"))
    with pytest.raises(Refusal, match="merchant_state_forbids"):
        agency.app(merchant, Mode.LIVE)
    agency.app(merchant, Mode.SANDBOX)
    agency.run(lambda unit: merchants.close(unit, merchant, reason="x"))
    with pytest.raises(Refusal, match="merchant_state_forbids"):
        agency.app(merchant, Mode.SANDBOX)
    with pytest.raises(Refusal, match="payment_merchant_is_unknown"):
        agency.app(UUID(int=1))


def test_an_app_is_given_a_merchants_business_and_no_more(agency: Agency) -> None:
    app = agency.app(agency.taken_on()).id
    for entitlement in ("payments.onboard", "payments.approve", "ledger.post", "*", "payments.*"):
        with pytest.raises(Refusal, match="entitlement_is_not_for_apps"):
            issue(agency, app, entitlements=(entitlement,))
    with pytest.raises(Refusal, match="entitlement_is_not_yours"):
        issue(agency, app, held=frozenset({"payments.read"}))


def test_keys_are_rotated_replaced_and_revoked_through_their_own_app_only(
    agency: Agency,
) -> None:
    merchant = agency.taken_on()
    app, other = agency.app(merchant).id, agency.app(merchant).id
    key = issue(agency, app).key.id
    pair = Ed25519PrivateKey.from_private_bytes(b"p" * 32).public_key().public_bytes_raw().hex()
    with pytest.raises(Refusal, match="app_key_is_unknown"):
        agency.run(lambda unit: apps.rotate_key(unit, agency.keyring, other, key, overlap=DAY))
    rotated = agency.run(lambda unit: apps.rotate_key(unit, agency.keyring, app, key, overlap=DAY))
    assert rotated.key.id == key
    with pytest.raises(Refusal, match="key_is_of_another_kind"):
        agency.run(
            lambda unit: apps.replace_public_key(unit, agency.keyring, app, key, pair, overlap=DAY)
        )
    paired = issue(agency, app, kind=api_keys.ApiKeyKind.ED25519, public_key=pair)
    assert paired.secret == ""
    with agency.database.reading() as connection:
        assert {k.id for k in apps.keys_of(connection, app)} == {key, paired.key.id}
    agency.run(lambda unit: apps.revoke_key(unit, app, key))
    with pytest.raises(Refusal, match="api_key_is_revoked"):
        agency.run(lambda unit: apps.rotate_key(unit, agency.keyring, app, key, overlap=DAY))


def test_a_closed_app_has_no_valid_keys(agency: Agency) -> None:
    merchant = agency.taken_on()
    app = agency.app(merchant).id
    keys = [issue(agency, app).key.id for _ in range(2)]
    agency.run(lambda unit: apps.revoke_key(unit, app, keys[0]))
    agency.run(lambda unit: apps.rename(unit, app, "Old till"))
    agency.run(lambda unit: apps.close(unit, app))
    with agency.database.reading() as connection:
        assert all(api_keys.read_api_key(connection, key).revoked_at for key in keys)
        (listed,) = apps.of_merchant(connection, merchant)
    assert (listed.state, listed.name) == (apps.AppState.CLOSED, "Old till")
    for verb in (lambda unit: apps.close(unit, app), lambda unit: apps.rename(unit, app, "x")):
        with pytest.raises(Refusal, match="app_is_closed"):
            agency.run(verb)
    with pytest.raises(Refusal, match="app_is_closed"):
        issue(agency, app)
