"""Webhooks: addresses that are never called, signatures that others check, the schedule."""

from __future__ import annotations

import base64
import ipaddress
import json
import subprocess
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import standardwebhooks
import stripe
import svix
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import fact_classes, read_settings
from steelyard.kernel import Refusal
from steelyard.payments import webhooks_telling
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import (
    KINDS,
    TOLD,
    WAITS,
    Answer,
    Delivery,
    DeliveryState,
    Event,
    after_try,
    check_kinds,
    native_body,
    new_secret,
    standard_headers,
    stripe_headers,
    wait_after,
)
from steelyard.payments.model.webhooks_addresses import Reach, choose_address, is_public, read_url

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
HOME_NETS = [
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
    "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
]  # fmt: skip
HOME_NETS_6 = [
    "::/128",
    "::1/128",
    "2001::/23",
    "2001:db8::/32",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "100::/64",
]
OPEN = st.ip_addresses(v=4).filter(
    lambda ip: not any(ip in ipaddress.ip_network(net) for net in HOME_NETS) and ip.is_global
)


def within(net: str) -> st.SearchStrategy[Any]:
    return st.ip_addresses(network=net)


HOME = st.sampled_from(HOME_NETS).flatmap(within)


# --- addresses -----------------------------------------------------------------------------------


@given(HOME)
def test_case_86_no_address_of_a_network_of_ones_own_is_public(address: Any) -> None:
    assert not is_public(address)


@given(st.sampled_from(HOME_NETS_6).flatmap(within))
def test_case_86_nor_one_of_the_other_family(address: Any) -> None:
    assert not is_public(address)


def disguised(address: ipaddress.IPv4Address) -> list[ipaddress.IPv6Address]:
    """What an IPv4 address looks like inside of an IPv6 one."""
    n = int(address)
    return [
        ipaddress.IPv6Address(f"::ffff:{address}"),
        ipaddress.IPv6Address(n),
        ipaddress.IPv6Address((0x64FF9B << 96) | n),
        ipaddress.IPv6Address((0x64FF9B << 96) | (1 << 80) | n),
        ipaddress.IPv6Address((0x2002 << 112) | (n << 80)),
        ipaddress.IPv6Address((0x20010000 << 96) | (int(address) ^ 0xFFFFFFFF)),
    ]


@given(HOME)
def test_case_86_a_disguise_does_not_help(address: Any) -> None:
    assert not any(is_public(one) for one in disguised(address))


@given(OPEN)
def test_hosts_of_the_open_internet_are_public(address: Any) -> None:
    assert is_public(address)


@given(st.lists(OPEN, min_size=1, max_size=4), HOME, st.integers(0, 4))
def test_case_86_one_bad_address_among_good_ones_is_enough(
    good: list[Any], bad: Any, at: int
) -> None:
    found = [str(one) for one in good]
    assert choose_address("x", found, Reach()) == found[0]
    found.insert(at, str(bad))
    with pytest.raises(Refusal, match="webhook_address_is_forbidden"):
        choose_address("x", found, Reach())


def test_case_86_the_allowance_for_this_machine_is_for_this_machine_alone() -> None:
    own = Reach(plain=True, loopback=True)
    assert choose_address("localhost", ["127.0.0.1", "::1"], own) == "127.0.0.1"
    assert choose_address("localhost", ["::ffff:127.0.0.1"], own)
    for bad in ("169.254.169.254", "10.0.0.1", "0.0.0.0", "::", "fe80::1%eth0", "192.168.1.1"):
        with pytest.raises(Refusal, match="webhook_address_is_forbidden"):
            choose_address("x", [bad], own)
    with pytest.raises(Refusal, match="webhook_address_is_forbidden"):
        choose_address("x", [], own)


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/",
        "ftp://shop.example/",
        "https:///hooks",
        "shop.example",
        "https://user@shop.example/",
        "https://user:pw@shop.example/",
        "https://shop.example/#x",
        "https://shop.example:22/",
        "https://shop.example:99999/",
        "https://shop.example/a b",
        "https://[::1/",
        "https://shop.example/" + "a" * 500,
        "",
    ],
)
def test_addresses_of_another_form_are_refused(url: str) -> None:
    with pytest.raises(Refusal, match="webhook_endpoint_is_malformed"):
        read_url(url, Reach())


def test_an_address_is_taken_apart() -> None:
    own = Reach(plain=True)
    made = read_url("http://[2001:db8::1]:8080", own)
    assert (made.host, made.port, made.path) == ("2001:db8::1", 8080, "/")
    assert made.authority == "[2001:db8::1]:8080"
    assert read_url("https://茶.example/?a=b", own).host == "xn--cl1a.example"
    assert read_url("https://shop.example:443/", own).authority == "shop.example"


def test_production_never_calls_itself() -> None:
    told = {"STEELYARD_WEBHOOK_LOOPBACK": "yes"}
    assert read_settings(told).webhook_loopback
    assert not read_settings({}).webhook_loopback
    with pytest.raises(Refusal, match="setting_is_invalid"):
        read_settings({**told, "STEELYARD_ENV": "production"})


# --- signatures ----------------------------------------------------------------------------------

OLD, NEW = new_secret(b"o" * 32), new_secret(b"n" * 32)
EVENT = Event(
    id=uuid4(),
    merchant=UUID(int=2),
    app="app_x",
    mode=Mode.LIVE,
    kind="payment.succeeded",
    object="payment:1",
    sequence=3,
    snapshot={"subject": "茶叶", "amount_minor": 100},
    occurred_at=AT,
)
BODY = native_body(EVENT, "2026-11-01")


def test_an_event_is_written_the_same_in_every_try() -> None:
    told = json.loads(BODY)
    assert told["id"] == EVENT.name
    assert told["data"] == {"subject": "茶叶", "amount_minor": 100}
    assert (told["type"], told["sequence"], told["mode"]) == ("payment.succeeded", 3, "live")
    shuffled = replace(EVENT, snapshot=dict(reversed(EVENT.snapshot.items())))
    assert native_body(shuffled, "2026-11-01") == BODY


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_two_libraries_of_the_standard_take_our_signature(secret: str) -> None:
    headers = standard_headers((NEW, OLD), EVENT.name, BODY, int(time.time()))
    for library in (standardwebhooks.Webhook, svix.Webhook):
        library(secret).verify(BODY, headers)
        for change in (
            {"webhook-id": "evt_other"},
            {"webhook-timestamp": str(int(time.time()) - 400)},
        ):
            with pytest.raises(Exception, match=r"(?i)no matching signature|too old"):
                library(secret).verify(BODY, {**headers, **change})
        with pytest.raises(Exception, match=r"(?i)no matching signature"):
            library(secret).verify(BODY + b" ", headers)
        with pytest.raises(Exception, match=r"(?i)no matching signature"):
            library(new_secret(b"x" * 32)).verify(BODY, headers)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_the_official_client_of_stripe_takes_our_signature(secret: str) -> None:
    body = json.dumps({"id": "evt_1", "object": "event"}).encode()
    now = int(time.time())
    header = stripe_headers((NEW, OLD), body, now)["Stripe-Signature"]
    assert stripe.Webhook.construct_event(body, header, secret)["id"] == "evt_1"
    wrong = stripe.SignatureVerificationError
    with pytest.raises(wrong):
        stripe.Webhook.construct_event(body + b" ", header, secret)
    with pytest.raises(wrong):
        stripe.Webhook.construct_event(body, header, new_secret(b"x" * 32))
    old = stripe_headers((secret,), body, now - 400)["Stripe-Signature"]
    with pytest.raises(wrong):
        stripe.Webhook.construct_event(body, old, secret)


def test_openssl_computes_the_same_signatures() -> None:
    signed = EVENT.name.encode() + b".1767225600." + BODY
    key = base64.b64decode(NEW.removeprefix("whsec_")).hex()
    ours = standard_headers((NEW,), EVENT.name, BODY, 1_767_225_600)["webhook-signature"]
    assert ours == "v1," + base64.b64encode(_openssl(signed, f"hexkey:{key}")).decode()
    stripes = stripe_headers((NEW,), BODY, 1_767_225_600)["Stripe-Signature"]
    assert stripes == "t=1767225600,v1=" + _openssl(b"1767225600." + BODY, f"key:{NEW}").hex()


def _openssl(data: bytes, key: str) -> bytes:
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", key, "-binary"],
        input=data,
        capture_output=True,
        timeout=30,
        check=True,
    )
    return done.stdout


# --- what is told --------------------------------------------------------------------------------


def test_every_fact_that_is_told_of_has_the_fields_that_are_shown() -> None:
    assert webhooks_telling.DECLARED
    assert len(set(KINDS)) == len(TOLD)
    for name, told in TOLD.items():
        fields = set(fact_classes()[name, 1].__struct_fields__)
        assert {*told.fields, told.key, "merchant"} <= fields, name


def test_nothing_of_the_payer_is_shown() -> None:
    hidden = {"customer", "card", "account_no", "terminal", "device", "ip", "channel", "cause"}
    assert not any(hidden & set(told.fields) for told in TOLD.values())


def test_unknown_kinds_are_refused() -> None:
    assert check_kinds(("*", "refund.succeeded")) == ("*", "refund.succeeded")
    for kinds in ((), ("payment",), ("payment.*",)):
        with pytest.raises(Refusal, match="webhook_endpoint_is_malformed"):
            check_kinds(kinds)


# --- the schedule --------------------------------------------------------------------------------


@given(st.binary(min_size=16, max_size=16))
def test_the_schedule_is_over_a_day_long_whatever_the_jitter(seed: bytes) -> None:
    waits = [wait_after(n, seed) for n in range(1, len(WAITS) + 1)]
    for planned, wait in zip(WAITS, waits, strict=True):
        assert wait is not None
        assert planned <= wait <= planned * 1.2
    assert sum((wait for wait in waits if wait is not None), timedelta()) > timedelta(hours=24)
    assert wait_after(len(WAITS) + 1, seed) is None
    assert waits == [wait_after(n, seed) for n in range(1, len(WAITS) + 1)]


@given(st.lists(st.sampled_from([200, 204, 299, 301, 302, 400, 410, 500, None]), max_size=14))
def test_a_delivery_goes_on_until_it_arrives_or_dies(statuses: list[int | None]) -> None:
    delivery = Delivery(
        id=UUID(int=7),
        event=UUID(int=8),
        endpoint="we_x",
        merchant=UUID(int=9),
        state=DeliveryState.PENDING,
        version=1,
        tries=0,
        round_tries=0,
        made_at=AT,
    )
    now = AT
    for n, status in enumerate(statuses, 1):
        answer = Answer(status, "timeout" if status is None else None, "", 1)
        delivery = after_try(delivery, answer, now)
        assert delivery.tries == n
        if status in (200, 204, 299):
            assert delivery.state is DeliveryState.DELIVERED
            assert delivery.delivered_at == now
            break
        if n > len(WAITS):
            assert delivery.state is DeliveryState.DEAD
            assert delivery.next_try_at is None
            break
        assert delivery.state is DeliveryState.RETRYING
        assert delivery.next_try_at is not None
        now = delivery.next_try_at
    again = replace(delivery, state=DeliveryState.REPLAYED, round_tries=0)
    assert after_try(again, Answer(500, None, "", 1), now).state is DeliveryState.RETRYING
