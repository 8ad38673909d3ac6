"""API keys and signed requests: what is let through, how often, and for how long."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Environment, RefusedInProduction
from steelyard.base.http import Caller
from steelyard.kernel import Refusal
from steelyard.parties import (
    NewCustomer,
    RequestSigner,
    RequestVerifier,
    api_keys,
    approvals,
    registry,
    roles,
    signing,
)
from steelyard.parties.model.signature import check_timestamp
from steelyard.parties.store.nonce import BUCKET_SECONDS, BUCKETS, NonceBook
from tests.conftest import Store
from tests.parties.browser import Browser, application, code_of
from tests.parties.conftest import APPROVED
from tests.parties.office import Office

SECRET = "sk_c2VjcmV0IG9mIHRoZSB2ZWN0b3Jz"


def issue(office: Office, **new: Any) -> api_keys.IssuedApiKey:
    made = api_keys.NewApiKey(**{"name": "robot", "entitlements": ("ledger.read",), **new})
    return office.run(
        lambda unit: api_keys.create_api_key(unit, office.keyring, office.settings, made)
    )


def request(
    headers: dict[str, str], *, method: str = "POST", path: str = "/v1/x?a=%20b"
) -> Request:
    raw, _, query = path.partition("?")
    return Request(
        {
            "type": "http",
            "method": method,
            "path": raw,
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
            "client": ("203.0.113.7", 1),
            "scheme": "https",
            "server": ("bank.example", 443),
        }
    )


def signed(office: Office, issued: api_keys.IssuedApiKey, **changes: Any) -> tuple[Request, bytes]:
    told = {
        "secret": issued.secret,
        "method": "POST",
        "path": "/v1/x?a=%20b",
        "body": b'{"n":1}',
        "key": issued.key.id,
        "timestamp": int(office.wall.now().timestamp()),
        "nonce": "nonce-0123456789",
        **changes,
    }
    headers = signing.sign(
        told["secret"],
        told["method"],
        told["path"],
        told["body"],
        key=told["key"],
        timestamp=told["timestamp"],
        nonce=told["nonce"],
    )
    return request(headers), b'{"n":1}'


@pytest.fixture
def verifier(office: Office) -> Iterator[RequestVerifier]:
    made = office.verifier()
    yield made
    made.close()


# --- vectors -------------------------------------------------------------------------------------

# Computed with OpenSSL:
#   printf 'STEELYARD-HMAC-SHA256\n<METHOD>\n<path>\n<time>\n<nonce>\n<sha256 of the body>' |
#     openssl dgst -sha256 -hmac "$SECRET"
VECTORS = [
    (
        "GET",
        "/v1/audit",
        b"",
        0,
        "a" * 16,
        "9c46ffefcc902b5e278d2f394b18bf6c9c4a47362d72272a83f1cfbce0ca412c",
    ),
    (
        "POST",
        "/v1/ledger/transfers?dry_run=true",
        b'{"amount_minor":5}',
        1_767_225_600,
        "b" * 24,
        "4951131491e565c7a74ab21dc725b6fc2851380ec6276fa41588d5dc4fe51edc",
    ),
    (
        "PUT",
        "/v1/r/%E5%A4%9C",
        "权衡".encode(),
        4_102_444_800,
        "C-_0" * 16,
        "0ba187077789532f37c590465f7bc345c30cdd9d2616f7594a848f84eea5a3f0",
    ),
]


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures_are_those_that_others_compute(vector: Any) -> None:
    method, path, body, timestamp, nonce, signature = vector
    made = signing.signature_of(SECRET, method, path, body, timestamp=timestamp, nonce=nonce)
    assert made == signature


@given(st.integers(0, 2**40), st.floats(-400, 400))
def test_the_window_of_timestamps(timestamp: int, off: float) -> None:
    now = timestamp + off
    if abs(timestamp - now) <= 300:
        check_timestamp(timestamp, now)
    else:
        with pytest.raises(signing.TimestampIsOff):
            check_timestamp(timestamp, now)


# --- signed requests -----------------------------------------------------------------------------


def test_a_signed_request_is_let_through_once(office: Office, verifier: RequestVerifier) -> None:
    issued = issue(office, role="town", entitlements=("events.replay",))
    caller = verifier.verify(*signed(office, issued))
    assert caller.actor == f"key:{issued.key.id}"
    assert caller.may("ledger.anything")
    assert caller.may("events.replay")
    assert not caller.may("access.hire")
    with pytest.raises(signing.NonceWasUsed):
        verifier.verify(*signed(office, issued))
    verifier.verify(*signed(office, issued, nonce="nonce-0123456780"))


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "sk_other"},
        {"method": "PUT"},
        {"path": "/v1/x?a=%20c"},
        {"path": "/v1/y?a=%20b"},
        {"path": "/v1/x"},
        {"body": b'{"n":2}'},
        {"body": b""},
    ],
)
def test_whatever_is_changed_breaks_the_signature(
    office: Office, verifier: RequestVerifier, change: dict[str, Any]
) -> None:
    issued = issue(office)
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, issued, **change))
    # A wrong signature uses no nonce up.
    verifier.verify(*signed(office, issued))


@pytest.mark.parametrize("header", [signing.TIMESTAMP, signing.NONCE, signing.KEY])
def test_the_signed_headers_cannot_be_changed_either(
    office: Office, verifier: RequestVerifier, header: str
) -> None:
    issued, other = issue(office), issue(office)
    good, body = signed(office, issued)
    headers = dict(good.headers)
    headers[header.lower()] = {
        signing.TIMESTAMP: str(int(headers[signing.TIMESTAMP.lower()]) + 1),
        signing.NONCE: "nonce-9876543210",
        signing.KEY: other.key.id,
    }[header]
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(request(headers), body)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        (signing.TIMESTAMP, ""),
        (signing.TIMESTAMP, "-5"),
        (signing.TIMESTAMP, "١٢٣"),
        (signing.TIMESTAMP, "9" * 40),
        (signing.NONCE, "short"),
        (signing.NONCE, "with space 01234567"),
        (signing.NONCE, "n" * 65),
        (signing.SIGNATURE, "abc"),
        (signing.SIGNATURE, "é" * 64),
    ],
)
def test_malformed_headers_are_refused(
    office: Office, verifier: RequestVerifier, header: str, value: str
) -> None:
    good, body = signed(office, issue(office))
    headers = {**good.headers, header.lower(): value}
    expected: tuple[type[Refusal], ...] = (signing.SignatureIsIncomplete, signing.SignatureIsWrong)
    with pytest.raises(expected):
        verifier.verify(request(headers), body)


def test_clocks_may_be_five_minutes_apart(office: Office, verifier: RequestVerifier) -> None:
    issued = issue(office)
    now = int(office.wall.now().timestamp())
    for number, off in enumerate((-300, -299, 0, 300)):
        told = {"timestamp": now + off, "nonce": f"nonce-{number:010}"}
        verifier.verify(*signed(office, issued, **told))
    for off in (-301, 301, -(10**9)):
        with pytest.raises(signing.TimestampIsOff):
            verifier.verify(*signed(office, issued, timestamp=now + off))


def test_a_nonce_holds_for_the_whole_window(office: Office) -> None:
    """At every offset of the clock within the ten minutes of a bucket, and in a new process."""
    issued = issue(office)
    for start in range(0, 2 * BUCKET_SECONDS, 97):
        sent = signed(office, issued, nonce=f"nonce-{start:010}")
        ahead = signed(
            office,
            issued,
            nonce=f"ahead-{start:010}",
            timestamp=int(office.wall.now().timestamp()) + 300,
        )
        for message in (sent, ahead):
            first = office.verifier()
            first.verify(*message)
            first.close()
        for message in (sent, ahead):
            soon = office.verifier()
            with pytest.raises(signing.NonceWasUsed):
                soon.verify(*message)
            soon.close()
        office.later(seconds=300)
        again = office.verifier()
        for message in (sent, ahead):
            with pytest.raises(signing.NonceWasUsed):
                again.verify(*message)
        again.close()
        office.later(seconds=97)


def test_old_nonces_are_thrown_away(office: Office, store: Store) -> None:
    issued = issue(office)
    book = NonceBook(office.database.engine)
    for _ in range(BUCKETS + 2):
        now = office.wall.now().timestamp()
        for number in range(50):
            assert book.spend(issued.key.id, int(now), f"n{number}", now=now)
        office.later(seconds=BUCKET_SECONDS)
    with psycopg.connect(store.conninfo("postgres")) as admin:
        (count,) = admin.execute("SELECT count(*) FROM parties.nonce").fetchone() or (0,)
    assert 0 < count <= 50 * (BUCKETS - 1)


def test_a_nonce_is_spent_once_by_many_threads_and_processes(office: Office, store: Store) -> None:
    now = int(office.wall.now().timestamp())
    script = (
        "import sys, sqlalchemy as sa\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from steelyard.parties.store.nonce import NonceBook\n"
        "engine = sa.create_engine(sys.argv[1]); book = NonceBook(engine)\n"
        f"spend = lambda n: book.spend('ak', {now}, f'n{{n % 200}}', now={now})\n"
        "sys.stdin.readline()\n"
        "with ThreadPoolExecutor(8) as threads: print(sum(threads.map(spend, range(400))))\n"
        "engine.dispose()\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script, store.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    told = [process.communicate("go\n", timeout=120)[0] for process in processes]
    assert sum(int(text) for text in told) == 200


def test_a_broken_connection_is_mended_and_lets_no_nonce_through_twice(
    office: Office, store: Store
) -> None:
    now = office.wall.now().timestamp()
    book = NonceBook(office.database.engine)
    assert book.spend("ak", int(now), "one", now=now)
    with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert book.spend("ak", int(now), "two", now=now)
    assert not book.spend("ak", int(now), "one", now=now)
    book.close()


def test_every_waiting_caller_learns_that_the_database_failed(office: Office, store: Store) -> None:
    now = office.wall.now().timestamp()
    book = NonceBook(office.database.engine)

    def spend(nonce: str) -> bool:
        try:
            return book.spend("ak", int(now), nonce, now=now)
        except psycopg.errors.InsufficientPrivilege:
            return False

    with psycopg.connect(store.conninfo("postgres"), autocommit=True) as admin:
        admin.execute("REVOKE INSERT ON parties.nonce FROM steelyard_app")
        with ThreadPoolExecutor(8) as threads:
            assert not any(threads.map(spend, map(str, range(40))))
        admin.execute("GRANT INSERT ON parties.nonce TO steelyard_app")
    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(spend, map(str, range(40))))


# --- validity ------------------------------------------------------------------------------------


def test_a_revoked_key_is_refused_within_seconds(office: Office, verifier: RequestVerifier) -> None:
    issued = issue(office)
    verifier.verify(*signed(office, issued))
    office.run(lambda unit: api_keys.revoke_api_key(unit, issued.key.id))
    office.later(seconds=3)
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(*signed(office, issued, nonce="nonce-0000000001"))
    with pytest.raises(api_keys.ApiKeyIsRevoked):
        office.run(lambda u: api_keys.rotate_api_key(u, office.keyring, issued.key.id))


def test_a_rotation_overlaps_and_ends(office: Office, verifier: RequestVerifier) -> None:
    old = issue(office)
    verifier.verify(*signed(office, old))
    office.later(seconds=2)
    new = office.run(
        lambda unit: api_keys.rotate_api_key(
            unit, office.keyring, old.key.id, overlap=timedelta(hours=1)
        )
    )
    assert (new.key.id, new.key.hint) == (old.key.id, new.secret[-4:])
    for number in range(4):
        verifier.verify(*signed(office, new, nonce=f"new-nonce-{number:010}"))
        verifier.verify(*signed(office, old, nonce=f"old-nonce-{number:010}"))
        office.later(minutes=19, seconds=59)
        if number == 2:
            office.later(seconds=3)
            break
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, old, nonce="late-nonce-0000000"))
    verifier.verify(*signed(office, new, nonce="late-nonce-0000001"))


def test_two_secrets_are_valid_at_most(office: Office, verifier: RequestVerifier) -> None:
    first = issue(office)

    def rotate(hours: int) -> api_keys.IssuedApiKey:
        return office.run(
            lambda unit: api_keys.rotate_api_key(
                unit, office.keyring, first.key.id, overlap=timedelta(hours=hours)
            )
        )

    second, third = rotate(1), rotate(1)
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, first))
    verifier.verify(*signed(office, second, nonce="nonce-0000000002"))
    verifier.verify(*signed(office, third, nonce="nonce-0000000003"))
    office.later(seconds=3)
    fourth = rotate(0)
    for issued in (second, third):
        with pytest.raises(signing.SignatureIsWrong):
            verifier.verify(*signed(office, issued, nonce="nonce-0000000004"))
    verifier.verify(*signed(office, fourth, nonce="nonce-0000000005"))
    with pytest.raises(api_keys.OverlapIsTooLong):
        rotate(24 * 31)


def test_a_key_ends_at_its_end_and_with_its_party(
    office: Office, verifier: RequestVerifier
) -> None:
    party = office.run(
        lambda u: registry.register_customer(u, office.keyring, NewCustomer(), verdict=APPROVED)
    )
    ending = issue(office, expires_at=office.wall.now() + timedelta(seconds=10))
    acting = issue(office, party=party.id)
    verifier.verify(*signed(office, ending))
    assert verifier.verify(*signed(office, acting)).party == str(party.id)
    office.later(seconds=10)
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(*signed(office, ending, nonce="nonce-0000000002"))
    office.run(lambda unit: registry.close(unit, party.id, reason="left"))
    office.later(seconds=3)
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(*signed(office, acting, nonce="nonce-0000000002"))


def test_a_development_key_is_a_bearer_and_refused_in_production(
    office: Office, verifier: RequestVerifier
) -> None:
    issued = issue(office, kind=api_keys.ApiKeyKind.DEVELOPMENT, entitlements=("*",))
    assert issued.secret.startswith("sk_dev_")
    shown = request({"Authorization": f"Bearer {issued.secret}"})
    assert verifier.verify(shown, b"").may("anything.at_all")
    wrong = request({"Authorization": f"Bearer {issued.secret[:-1]}"})
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(wrong, b"")
    production = office.verifier(environment=Environment.PRODUCTION)
    with pytest.raises(RefusedInProduction):
        production.verify(shown, b"")
    with pytest.raises(RefusedInProduction):
        office.run(
            lambda unit: api_keys.create_api_key(
                unit,
                office.keyring,
                replace(office.settings, environment=Environment.PRODUCTION),
                api_keys.NewApiKey("x", api_keys.ApiKeyKind.DEVELOPMENT),
            )
        )
    # Its secret does not sign, and a signing key's is no bearer.
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(*signed(office, issued))
    other = issue(office)
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        verifier.verify(request({"Authorization": f"Bearer {other.secret}"}), b"")


def test_a_bearer_key_is_shown_in_production_too_and_does_not_sign(office: Office) -> None:
    issued = issue(office, kind=api_keys.ApiKeyKind.BEARER, entitlements=("payments.pay",))
    assert issued.secret.startswith("sk_")
    production = office.verifier(environment=Environment.PRODUCTION)
    shown = request({"Authorization": f"Bearer {issued.secret}"})
    assert production.verify(shown, b"").may("payments.pay")
    with pytest.raises(api_keys.ApiKeyIsNotValid):
        production.verify(*signed(office, issued))


def test_unknown_keys_do_not_fill_the_memory(office: Office, verifier: RequestVerifier) -> None:
    issued = issue(office)
    for number in range(40):
        with pytest.raises(api_keys.ApiKeyIsNotValid):
            verifier.verify(*signed(office, issued, key=f"ak_{number}"))
    assert len(verifier._known) == 40


def test_secrets_are_sealed_or_hashed(office: Office, store: Store) -> None:
    issued = [issue(office), issue(office, kind=api_keys.ApiKeyKind.DEVELOPMENT)]
    with psycopg.connect(store.conninfo("postgres")) as admin:
        text = str(admin.execute("SELECT s FROM parties.api_secret s").fetchall())
        text += str(admin.execute("SELECT l FROM events.log l").fetchall())
        text += str(admin.execute("SELECT a FROM base.audit a").fetchall())
    for one in issued:
        assert one.key.id in text
        assert one.secret not in text
        assert one.secret.encode().hex() not in text


# --- who may make which --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "wanted", "may"),
    [
        ({"access.*"}, ("access.read_keys",), True),
        ({"access.*"}, ("access.*",), True),
        ({"access.*"}, ("ledger.read",), False),
        ({"access.create_key"}, ("access.*",), False),
        ({"ledger.read", "ledger.post"}, ("ledger.*",), False),
        ({"ledger.*"}, ("*",), False),
        ({"*"}, ("*",), True),
    ],
)
def test_nobody_hands_on_more_than_he_holds(
    office: Office, held: set[str], wanted: tuple[str, ...], may: bool
) -> None:
    def make() -> api_keys.IssuedApiKey:
        return office.run(
            lambda unit: api_keys.create_api_key(
                unit,
                office.keyring,
                office.settings,
                api_keys.NewApiKey("x", entitlements=wanted),
                held=frozenset(held),
            )
        )

    if may:
        assert make().key.entitlements == wanted
    else:
        with pytest.raises(api_keys.EntitlementIsNotYours):
            make()


def test_roles_of_staff_are_not_for_keys(office: Office) -> None:
    with pytest.raises(roles.RoleIsForOthers):
        issue(office, role="administrator")
    with pytest.raises(roles.RoleIsUnknown):
        issue(office, role="nobody")


def test_a_maker_cannot_check_himself_through_a_key(office: Office) -> None:
    ann = office.hire("ann", "administrator")
    robot = office.run(
        lambda unit: api_keys.create_api_key(
            unit, office.keyring, office.settings, api_keys.NewApiKey("r", entitlements=("*",))
        ),
        ann.actor,
    )
    asked = office.run(
        lambda unit: approvals.request_approval(
            unit, kind="access.grant_role", subject="staff:x", shown={}, by=robot.key.actor
        ),
        robot.key.actor,
    )
    assert asked.answerable == ann.actor
    with pytest.raises(approvals.MakerIsChecker):
        office.run(
            lambda unit: approvals.approve(
                unit, asked.id, by=ann.caller("*"), shown_hash=asked.shown_hash
            ),
            ann.actor,
        )
    machine = Caller(robot.key.actor, frozenset({"*"}))
    with pytest.raises(approvals.ApprovalNeedsAPerson):
        office.run(
            lambda unit: approvals.approve(unit, asked.id, by=machine, shown_hash=asked.shown_hash),
            robot.key.actor,
        )
    second = office.run(
        lambda unit: api_keys.create_api_key(
            unit, office.keyring, office.settings, api_keys.NewApiKey("s")
        ),
        robot.key.actor,
    )
    assert second.key.created_by == ann.actor


# --- over HTTP -----------------------------------------------------------------------------------


def test_keys_over_http(office: Office) -> None:
    app = application(office)
    admin = Browser(app)
    admin.sign_in(office, office.hire("admin", "administrator"))
    told = {"name": "robot", "entitlements": ["access.read_keys"]}
    same = {"Idempotency-Key": "once"}
    made = admin.post("/v1/access/keys", told, headers=same).json()
    again = admin.post("/v1/access/keys", told, headers=same).json()
    assert made["secret"].startswith("sk_")
    assert (again["id"], again["secret"]) == (made["id"], None)
    with office.database.reading() as connection:
        stored = connection.exec_driver_sql("SELECT answer FROM base.idempotency").scalars()
        assert not any(made["secret"].encode() in bytes(a) for a in stored if a is not None)

    def now() -> float:
        return office.wall.now().timestamp()

    robot = Browser(app, auth=RequestSigner(made["id"], made["secret"], now=now))
    assert robot.get("/v1/access/me").json()["actor"] == f"key:{made['id']}"
    page = robot.get("/v1/access/keys", limit=1).json()
    assert [item["id"] for item in page["items"]] == [made["id"]]
    assert code_of(robot.post("/v1/access/keys", told)) == (403, "not_entitled")
    rotated = admin.post(f"/v1/access/keys/{made['id']}/rotate", {"overlap_s": 0}).json()
    office.later(seconds=3)
    assert code_of(robot.get("/v1/access/me")) == (401, "signature_is_wrong")
    robot = Browser(app, auth=RequestSigner(made["id"], rotated["secret"], now=now))
    assert robot.get("/v1/access/me").status_code == 200
    more = {"name": "robot", "entitlements": ["ledger.post"]}
    assert code_of(admin.post("/v1/access/keys", more)) == (403, "entitlement_is_not_yours")
    assert admin.request("DELETE", f"/v1/access/keys/{made['id']}").json()["revoked_at"]
    office.later(seconds=3)
    assert code_of(robot.get("/v1/access/me")) == (401, "api_key_is_not_valid")


class Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


def test_the_signer_signs_what_a_real_server_receives(office: Office) -> None:
    """Escapes, Chinese, empty queries and bodies, over a socket and the server's own parser."""
    app = application(office)
    seen: list[str] = []

    @app.api_route("/echo/{rest:path}", methods=["GET", "POST"])
    async def echo(request: Request) -> dict[str, str]:
        caller = await asyncio.to_thread(
            app.state.platform.verifier.verify, request, await request.body()
        )
        seen.append(caller.actor)
        return {"actor": caller.actor}

    issued = issue(office)
    server = Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert server.ready.wait(timeout=60)
        port = server.servers[0].sockets[0].getsockname()[1]
        auth = RequestSigner(
            issued.key.id, issued.secret, now=lambda: office.wall.now().timestamp()
        )
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", auth=auth, trust_env=False
        ) as client:
            for path in (
                "/echo/a",
                "/echo/夜 班/%2F",
                "/echo/a?x=1&x=夜",
                "/echo/a?",
                "/echo/a?a=%2B+",
            ):
                assert client.get(path).status_code == 200, path
                answer = client.post(path, content=json.dumps({"夜": 1}))
                assert answer.json() == {"actor": f"key:{issued.key.id}"}, path
    finally:
        server.should_exit = True
        thread.join()
    assert len(seen) == 10


def test_many_signed_requests_at_once(office: Office, verifier: RequestVerifier) -> None:
    issued = issue(office)
    messages = [signed(office, issued, nonce=f"nonce-{n % 300:010}") for n in range(600)]

    def verify(message: tuple[Request, bytes]) -> bool:
        try:
            verifier.verify(*message)
        except signing.NonceWasUsed:
            return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert sum(threads.map(verify, messages)) == 300


def test_keys_are_listed_by_page(office: Office) -> None:
    made = [issue(office).key.id for _ in range(5)]
    found: list[str] = []
    cursor = None
    while True:
        with office.database.reading() as connection:
            page = api_keys.list_api_keys(connection, cursor=cursor, limit=2)
        found += [key.id for key in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == sorted(made)
