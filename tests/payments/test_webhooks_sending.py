"""Webhooks on their way: sent, tried again, given up, sent anew, and never to the wrong place."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from steelyard.kernel import Refusal
from steelyard.payments import webhooks, webhooks_sending
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.webhooks import WAITS, standard_headers
from steelyard.payments.store import deliveries as delivery_table
from tests.payments.hooks import Office, Received, Shop, open_shop
from tests.payments.hooks import desk as desk
from tests.payments.hooks import other_shop as other_shop
from tests.payments.hooks import shop as shop

State = webhooks.DeliveryState
OWN = webhooks.Reach(plain=True, loopback=True)
SOON = timedelta(milliseconds=200)


def sent(sender: webhooks_sending.Sender, url: str) -> webhooks.Answer:
    return asyncio.run(sender.send(url, {"webhook-id": "evt_1"}, b"{}"))


def prepared(desk: Office, *urls: str, payments: int = 1) -> list[str]:
    """Endpoints of one app that wait for so many events each."""
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    opened = [desk.hear(merchant, url, "payment.succeeded", app=app) for url in urls]
    for _ in range(payments):
        desk.pay(merchant, app=app)
    desk.tell()
    return [one.endpoint.id for one in opened]


# --- one request ---------------------------------------------------------------------------------


def test_what_is_answered_is_written_down(shop: Shop) -> None:
    shop.answer = lambda _: 503
    answer = sent(webhooks_sending.Sender(OWN), f"{shop.url}?a=b")
    assert (answer.status, answer.error, answer.text) == (503, None, "ok")
    (got,) = shop.got
    assert got.path == "/hooks?a=b"
    assert got.headers["host"] == shop.url.split("/")[2]
    assert (got.headers["content-type"], got.headers["webhook-id"]) == ("application/json", "evt_1")


def test_a_redirect_is_an_answer_and_is_not_followed(shop: Shop, other_shop: Shop) -> None:
    shop.answer = lambda _: 307
    shop.headers = {"Location": other_shop.url}
    answer = sent(webhooks_sending.Sender(OWN), shop.url)
    assert answer.status == 307
    assert not answer.is_yes
    assert other_shop.got == []


def test_a_server_that_does_not_answer_is_left(shop: Shop) -> None:
    over = threading.Event()
    shop.answer = lambda _: 200 if over.wait(60) else 500
    answer = sent(webhooks_sending.Sender(OWN, timeout=SOON), shop.url)
    over.set()
    assert (answer.status, answer.error) == (None, "timeout")


def test_a_server_that_drips_is_left_too() -> None:
    """Each byte comes in time; all of it does not."""
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

        def drip() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while not over.wait(0.02):
                    connection.sendall(b"X: y\r\n")

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        answer = sent(webhooks_sending.Sender(OWN, timeout=SOON), f"http://127.0.0.1:{port}/")
        over.set()
        thread.join(10)
    assert answer.error == "timeout"


def test_nobody_there_is_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    answer = sent(webhooks_sending.Sender(OWN), f"http://127.0.0.1:{port}/")
    assert answer.error == "connection_failed"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000/",
        "http://2130706433:9000/",
        "http://0x7f.1:9000/",
        "http://017700000001:9000/",
        "http://localhost:9000/",
        "http://[::1]:9000/",
        "http://[::ffff:127.0.0.1]:9000/",
        "http://169.254.169.254/",
        "http://0.0.0.0:9000/",
    ],
)
def test_case_86_nothing_is_sent_to_an_address_of_ones_own_however_it_is_written(
    url: str,
) -> None:
    answer = sent(webhooks_sending.Sender(webhooks.Reach(plain=True)), url)
    assert answer.status is None
    assert answer.error in ("webhook_address_is_forbidden", "name_is_unknown")


def test_case_86_a_name_that_points_elsewhere_a_moment_later_gains_nothing(shop: Shop) -> None:
    """What was checked is what is connected to; the name is looked up once."""
    asked: list[str] = []

    async def resolve(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    port = shop.url.split(":")[2].split("/")[0]
    sender = webhooks_sending.Sender(OWN, resolve=resolve)
    answer = sent(sender, f"http://hooks.shop.example:{port}/hooks")
    assert answer.is_yes
    assert asked == ["hooks.shop.example"]
    assert shop.got[0].headers["host"] == f"hooks.shop.example:{port}"
    later = sent(sender, f"http://hooks.shop.example:{port}/hooks")
    assert later.error == "webhook_address_is_forbidden"
    assert len(shop.got) == 1


def test_an_unknown_name_is_told_as_such() -> None:
    async def resolve(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "no")

    sender = webhooks_sending.Sender(OWN, resolve=resolve)
    assert sent(sender, "http://nowhere.example/").error == "name_is_unknown"


def _certificate(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's certificate for a name, and a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    pem.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + made.public_bytes(Encoding.PEM)
    )
    serves = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serves.load_cert_chain(pem)
    trusts = ssl.create_default_context(cadata=made.public_bytes(Encoding.PEM).decode())
    return serves, trusts


def test_the_certificate_is_checked_for_the_name_though_an_address_is_connected_to(
    tmp_path: Path,
) -> None:
    serves, trusts = _certificate(tmp_path, "hooks.shop.example")
    shop, server = open_shop(serves)
    port = shop.url.split(":")[2].split("/")[0]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    try:
        knows = webhooks_sending.Sender(OWN, resolve=resolve, trusts=trusts)
        assert sent(knows, f"https://hooks.shop.example:{port}/hooks").is_yes
        assert sent(knows, f"https://other.example:{port}/hooks").error == "tls_failed"
        stranger = webhooks_sending.Sender(OWN, resolve=resolve)
        assert sent(stranger, f"https://hooks.shop.example:{port}/hooks").error == "tls_failed"
    finally:
        server.shutdown()
        server.server_close()
    assert len(shop.got) == 1


# --- deliveries ----------------------------------------------------------------------------------


def test_a_delivery_is_tried_until_it_arrives_with_one_id_and_one_body(
    desk: Office, shop: Shop
) -> None:
    (endpoint,) = prepared(desk, shop.url)
    statuses = iter([500, 302, 200])
    shop.answer = lambda _: next(statuses)
    for n, state in enumerate((State.RETRYING, State.RETRYING, State.DELIVERED)):
        assert desk.deliver() == 1
        (delivery,) = desk.deliveries(endpoint)
        assert (delivery.state, delivery.tries) == (state, n + 1)
        assert desk.deliver() == 0, "not before its time"
        if delivery.next_try_at is not None:
            desk.wall.advance(delivery.next_try_at - desk.wall.now())
    assert len({got.body for got in shop.got}) == 1
    assert len({got.headers["webhook-id"] for got in shop.got}) == 1
    assert len({got.headers["webhook-timestamp"] for got in shop.got}) == 3
    with desk.database.reading() as connection:
        tries = webhooks.tries_of(connection, delivery.id)
    assert [tried.answer.status for tried in tries] == [500, 302, 200]


def test_the_signature_is_of_each_secret_until_the_overlap_is_over(
    desk: Office, shop: Shop
) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    first = desk.hear(merchant, shop.url, "payment.succeeded", app=app)
    day = timedelta(days=1)

    def rotated() -> webhooks.IssuedEndpoint:
        made: webhooks.IssuedEndpoint = desk.run(
            lambda unit: webhooks.rotate_secret(unit, desk.keyring, first.endpoint.id, overlap=day)
        )
        return made

    def signed() -> Received:
        desk.pay(merchant, app=app)
        desk.tell()
        desk.deliver()
        return shop.got[-1]

    def expected(got: Received, *keys: str) -> str:
        made = standard_headers(
            keys, got.headers["webhook-id"], got.body, int(got.headers["webhook-timestamp"])
        )
        return made["webhook-signature"]

    second = rotated()
    got = signed()
    assert got.headers["webhook-signature"] == expected(got, second.secret, first.secret)
    third = rotated()
    assert third.endpoint.hints == (third.secret[-4:], second.secret[-4:])
    got = signed()
    assert got.headers["webhook-signature"] == expected(got, third.secret, second.secret)
    desk.wall.advance(day)
    got = signed()
    assert got.headers["webhook-signature"] == expected(got, third.secret)


def test_a_worker_that_dies_leaves_its_claims_to_others(desk: Office, shop: Shop) -> None:
    """What counts is `delivered`, not that somebody began: the event is sent again."""
    (endpoint,) = prepared(desk, shop.url)

    def claim(unit: Any) -> list[delivery_table.Claimed]:
        return delivery_table.claim(
            unit.connection,
            now=unit.wall_at,
            until=unit.wall_at + webhooks_sending.LEASE,
            limit=10,
            per_endpoint=4,
        )

    claimed = desk.run(claim)
    assert len(claimed) == 1
    assert desk.deliver() == 0, "somebody has it"
    desk.wall.advance(webhooks_sending.LEASE)
    assert desk.deliver() == 1
    late = webhooks.Answer(500, None, "", 1)
    desk.run(lambda unit: webhooks_sending.record(unit, [(claimed[0], late)]))
    (delivery,) = desk.deliveries(endpoint)
    assert (delivery.state, delivery.tries) == (State.DELIVERED, 1), "the late word counts nothing"


def test_one_slow_endpoint_does_not_hold_up_the_others(
    desk: Office, shop: Shop, other_shop: Shop
) -> None:
    """The slow one answers only after the other one has heard everything."""
    payments = 40
    heard_all = threading.Event()

    def fast(_: Received) -> int:
        if len(other_shop.got) == payments:
            heard_all.set()
        return 200

    other_shop.answer = fast
    shop.answer = lambda _: 200 if heard_all.wait(30) else 500
    slow, other = prepared(desk, shop.url, other_shop.url, payments=payments)
    sender = webhooks_sending.Sender(OWN, timeout=timedelta(seconds=60))
    assert desk.deliver(sender=sender, places=8) == 2 * payments
    for endpoint in (slow, other):
        assert {one.state for one in desk.deliveries(endpoint)} == {State.DELIVERED}
        assert {one.tries for one in desk.deliveries(endpoint)} == {1}


def test_a_dead_endpoint_is_disabled_with_a_word_and_comes_back(
    desk: Office, shop: Shop, other_shop: Shop
) -> None:
    merchant = desk.taken_on()
    app = desk.app(merchant, Mode.LIVE).id
    bad = desk.hear(merchant, shop.url, "payment.succeeded", app=app).endpoint.id
    desk.hear(merchant, other_shop.url, "webhook_endpoint.disabled", app=app)
    shop.answer = lambda _: 500
    for _ in range(10):
        desk.pay(merchant, app=app)
    desk.tell()
    for wait in (timedelta(0), *(1.2 * wait for wait in WAITS)):
        desk.wall.advance(wait)
        assert desk.deliver() == 10
    assert {one.state for one in desk.deliveries(bad)} == {State.DEAD}
    endpoint = desk.endpoint(bad)
    assert (endpoint.state, endpoint.dead_in_a_row) == (webhooks.EndpointState.DISABLED, 10)
    (case,) = desk.rows("SELECT subject FROM cases.case_file")
    assert case.subject == f"webhook_endpoint:{bad}"
    desk.pay(merchant, app=app)
    desk.tell()
    assert desk.deliver() == 1, "the other endpoint hears of it; the disabled one hears nothing"
    assert json.loads(other_shop.got[0].body)["data"] == {"endpoint": bad, "dead": 10}
    with pytest.raises(Refusal, match="webhook_endpoint_state_forbids"):
        desk.run(
            lambda unit: webhooks.resend_dead(unit, bad, since=datetime(2000, 1, 1, tzinfo=UTC))
        )
    shop.answer = lambda _: 200
    desk.run(lambda unit: webhooks.enable_endpoint(unit, bad))
    assert desk.deliver() == 1, "what waited is sent"
    count = desk.run(
        lambda unit: webhooks.resend_dead(unit, bad, since=datetime(2000, 1, 1, tzinfo=UTC))
    )
    assert count == 10
    assert {one.state for one in desk.deliveries(bad)} == {State.REPLAYED, State.DELIVERED}
    assert desk.deliver() == 10
    assert {one.state for one in desk.deliveries(bad)} == {State.DELIVERED}
    assert desk.endpoint(bad).dead_in_a_row == 0


def test_a_delivery_that_arrived_between_dead_ones_begins_the_count_anew(
    desk: Office, shop: Shop
) -> None:
    (endpoint,) = prepared(desk, shop.url, payments=9)
    shop.answer = lambda _: 500
    for wait in (timedelta(0), *(1.2 * wait for wait in WAITS)):
        desk.wall.advance(wait)
        desk.deliver()
    assert desk.endpoint(endpoint).dead_in_a_row == 9
    shop.answer = lambda _: 200
    one = desk.deliveries(endpoint)[0].id
    desk.run(lambda unit: webhooks.resend(unit, one))
    desk.deliver()
    assert desk.endpoint(endpoint).dead_in_a_row == 0


def test_a_delivery_is_resent_by_hand(desk: Office, shop: Shop) -> None:
    (endpoint,) = prepared(desk, shop.url)
    (waiting,) = desk.deliveries(endpoint)
    with pytest.raises(Refusal, match="webhook_delivery_is_under_way"):
        desk.run(lambda unit: webhooks.resend(unit, waiting.id))
    with pytest.raises(Refusal, match="webhook_delivery_is_unknown"):
        desk.run(lambda unit: webhooks.resend(unit, UUID(int=1)))
    desk.deliver()
    desk.run(lambda unit: webhooks.resend(unit, waiting.id))
    (replayed,) = desk.deliveries(endpoint)
    assert (replayed.state, replayed.delivered_at) == (State.REPLAYED, desk.wall.now())
    desk.deliver()
    (again,) = desk.deliveries(endpoint)
    assert (again.state, again.tries) == (State.DELIVERED, 2)
    assert len({got.headers["webhook-id"] for got in shop.got}) == 1


def test_deliveries_are_listed_by_page(desk: Office, shop: Shop) -> None:
    (endpoint,) = prepared(desk, shop.url, payments=5)
    found: list[UUID] = []
    cursor = None
    for _ in range(5):
        with desk.database.reading() as connection:
            page = webhooks.list_deliveries(
                connection, endpoint=endpoint, state=State.PENDING, cursor=cursor, limit=2
            )
        found += [one.id for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(one.id for one in desk.deliveries(endpoint))
    assert len(set(found)) == 5
