from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.web.app import MAX_BODY_BYTES
from steelyard.web.edge import RateLimit
from tests.web.fixture import BEARER, compose, serve

TOY = {"name": "top", "amount_minor": 5}
WRITE = {"authorization": BEARER, "idempotency-key": "k1", "content-type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def limit(clock: Clock, *, rate: float = 2, burst: int = 4, callers: int = 100) -> RateLimit:
    async def nothing(*_: object) -> None: ...

    return RateLimit(nothing, rate=rate, burst=burst, callers=callers, now=clock)


# ---------------------------------------------------------------- sizes


def test_a_body_that_announces_too_much_is_refused_unread(address: str) -> None:
    where = urlsplit(address)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=10) as peer:
        peer.sendall(
            b"POST /v1/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n{" % (MAX_BODY_BYTES + 1)
        )
        answer = peer.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"request_is_too_large" in answer


def chunks(size: int) -> Iterator[bytes]:
    yield b'{"name": "top", "amount_minor": 5, "pad": "'
    for _ in range(size // 1000):
        yield b"x" * 1000
    yield b'"}'


@pytest.mark.parametrize(
    ("size", "status"), [(MAX_BODY_BYTES + 1000, 413), (MAX_BODY_BYTES - 1000, 200)]
)
def test_a_body_in_chunks_is_counted(address: str, size: int, status: int) -> None:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    try:
        connection.request("POST", "/v1/toys", chunks(size), WRITE, encode_chunked=True)
        answer = connection.getresponse()
        body = json.loads(answer.read())
    except BrokenPipeError:
        # The server may hang up while the rest is still being sent.
        assert status == 413
        return
    finally:
        connection.close()
    assert answer.status == status
    assert body.get("code") == ("request_is_too_large" if status == 413 else None)


def test_a_request_without_a_body_passes(toy_client: httpx.Client) -> None:
    assert toy_client.get("/v1/toys/top").json() == {"name": "top", "amount_minor": 1}


# ---------------------------------------------------------------- rate


def test_a_burst_passes_and_the_next_waits_for_its_token() -> None:
    clock = Clock()
    bucket = limit(clock)
    assert [bucket.take(b"a") for _ in range(4)] == [0, 0, 0, 0]
    assert bucket.take(b"a") == pytest.approx(0.5)
    clock.now = 0.5
    assert bucket.take(b"a") == 0
    assert bucket.take(b"a") == pytest.approx(0.5)


def test_callers_do_not_take_each_others_tokens() -> None:
    bucket = limit(Clock(), burst=1)
    assert bucket.take(b"a") == 0
    assert bucket.take(b"a") > 0
    assert bucket.take(b"b") == 0
    assert bucket.take(b"b", b"key") > 0, "the first of a key is paid by its address"


def test_a_key_has_a_bucket_of_its_own_behind_one_address() -> None:
    clock = Clock()
    bucket = limit(clock, burst=3)
    for key in (b"k1", b"k2"):
        assert [bucket.take(b"a", key) for _ in range(3)] == [0, 0, 0]
        assert bucket.take(b"a", key) > 0
    assert bucket.take(b"a") == 0, "the third token of the address"


def test_a_new_credential_with_each_request_does_not_help() -> None:
    bucket = limit(Clock(), burst=5)
    answers = [bucket.take(b"a", b"key %d" % n) for n in range(20)]
    assert answers[:5] == [0] * 5
    assert all(wait > 0 for wait in answers[5:])


def test_buckets_are_bounded_and_forgotten_when_they_are_full() -> None:
    clock = Clock()
    bucket = limit(clock, rate=1000, burst=1000, callers=10)
    for n in range(50):
        bucket.take(b"a", b"key %d" % n)
    assert len(bucket.buckets) <= 10
    clock.now = 60.0
    assert bucket.take(b"a", b"fresh") == 0
    assert set(bucket.buckets) == {b"a", b"fresh"}


@given(st.lists(st.floats(0, 3, allow_nan=False), max_size=60))
def test_never_more_than_burst_and_rate_allow(pauses: list[float]) -> None:
    clock = Clock()
    bucket = limit(clock)
    passed = 0
    for pause in pauses:
        clock.now += pause
        passed += bucket.take(b"a") == 0
    assert passed <= 4 + clock.now * 2 + 1e-6


def test_the_refusal_says_when_to_come_again() -> None:
    app = compose()
    with serve(app) as url, httpx.Client(base_url=url) as client:
        client.get("/healthz")
        layer = app.middleware_stack
        while not isinstance(layer, RateLimit):
            layer = layer.app  # type: ignore[union-attr]
        layer.rate, layer.burst = 0.25, 1
        layer.buckets.clear()
        assert client.get("/healthz").status_code == 200
        refused = client.get("/healthz", headers={"accept-language": "zh"})
    assert refused.status_code == 429
    assert refused.headers["retry-after"] == "4"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "too_many_requests"
    assert refused.json()["title"] == "请求过于频繁，请在 4 秒后重试。"
    assert refused.json()["facts"] == {"seconds": 4}
    assert refused.headers["x-content-type-options"] == "nosniff"


# ---------------------------------------------------------------- headers


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", "/v1/toys/broken", "/"])
def test_every_answer_has_the_security_headers(toy_client: httpx.Client, path: str) -> None:
    headers = toy_client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "strict-transport-security" not in headers, "development has no https"


def test_answers_are_not_stored_and_are_told_apart_by_an_id(toy_client: httpx.Client) -> None:
    first, second = (toy_client.get("/v1/toys/top").headers for _ in range(2))
    assert first["cache-control"] == "no-store"
    assert first["x-request-id"] != second["x-request-id"]
    given_id = toy_client.get("/v1/toys/broken", headers={"x-request-id": "abc123"})
    assert given_id.headers["x-request-id"] == "abc123"
    assert given_id.json()["instance"] == "/requests/abc123"
    forged = toy_client.get("/healthz", headers={"x-request-id": "a b<script>"})
    assert forged.headers["x-request-id"].isalnum()


# ---------------------------------------------------------------- refusals and malformed requests


@pytest.mark.parametrize(
    ("languages", "title"),
    [
        ("en", "The toy broken is broken."),
        ("", "The toy broken is broken."),
        ("zh-CN,zh;q=0.9,en;q=0.8", "玩具 broken 已损坏。"),
        ("en;q=0.3, zh;q=0.7", "玩具 broken 已损坏。"),
        ("fr, de;q=0.5", "The toy broken is broken."),
        (";;;q=x,,zh;q=nan", "The toy broken is broken."),
    ],
)
def test_a_refusal_speaks_the_readers_language(
    toy_client: httpx.Client, languages: str, title: str
) -> None:
    answer = toy_client.get("/v1/toys/broken", headers={"accept-language": languages})
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["title"] == title
    assert problem["type"] == "/problems/toy_is_broken"
    assert problem["facts"] == {"toy": "broken"}
    assert problem["status"] == 409


def test_an_unknown_path_and_a_wrong_method_are_problems_too(toy_client: httpx.Client) -> None:
    nowhere = toy_client.get("/v1/nowhere", headers={"accept-language": "zh"})
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "no_such_page")
    assert nowhere.json()["title"] == "/v1/nowhere 不存在。"
    method = toy_client.delete("/healthz")
    assert (method.status_code, method.json()["code"]) == (405, "method_is_not_allowed")
    assert method.headers["allow"] == "GET"


def test_who_shows_nothing_or_may_nothing_is_refused(toy_client: httpx.Client) -> None:
    nobody = toy_client.get("/v1/toys/top", headers={"authorization": ""})
    assert (nobody.status_code, nobody.json()["code"]) == (401, "not_signed_in")
    powerless = toy_client.get("/v1/toys/top", headers={"authorization": "Bearer nobody"})
    assert (powerless.status_code, powerless.json()["code"]) == (403, "not_entitled")


@pytest.mark.parametrize(
    ("body", "where", "zh"),
    [
        (b'{"name": "top", "amount_minor": 5', "body", "不是有效的 JSON"),
        (b"", "body", "缺少此字段"),
        (b"[]", "body", "应为对象"),
        (b"\xff\xfe", "body", "不是有效的 JSON"),
        (b'{"amount_minor": 5}', "body.name", "缺少此字段"),
        (b'{"name": "top", "amount_minor": NaN}', "body.amount_minor", "应为有限的数"),
        (b'{"name": "top", "amount_minor": 5, "share": NaN}', "body.share", "应为有限的数"),
        (b'{"name": "top", "amount_minor": 5, "share": 1e999}', "body.share", "应为有限的数"),
        (b'{"name": "top", "amount_minor": 1.5}', "body.amount_minor", "应为整数，不能带小数"),
        (b'{"name": "top", "amount_minor": "x"}', "body.amount_minor", "应为整数"),
        (b'{"name": "top", "amount_minor": -1}', "body.amount_minor", "应不小于 0"),
        (
            b'{"name": "top", "amount_minor": 1%s}' % (b"0" * 40),
            "body.amount_minor",
            "应不大于 4611686018427387903",
        ),
        (b'{"name": "top", "amount_minor": 1%s}' % (b"0" * 9000), "body", "请求体无法读取"),
        (b'{"name": "%s", "amount_minor": 1}' % (b"x" * 21), "body.name", "过长（最多 20 个字符）"),
        (b"[" * 100_000, "body", "请求体无法读取"),
    ],
)
def test_a_malformed_body_is_told_by_place(
    toy_client: httpx.Client, body: bytes, where: str, zh: str
) -> None:
    answer = toy_client.post("/v1/toys", content=body, headers={**WRITE, "accept-language": "zh"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "request_is_malformed")
    assert problem["facts"]["where"].startswith(where)
    assert problem["facts"]["what"] == zh
    english = toy_client.post("/v1/toys", content=body, headers=WRITE).json()
    assert english["title"].startswith(f"The request is malformed at {where}")


@pytest.mark.parametrize("number", ["9" * 30, "9" * 5000, "1.5", "nan", "x"])
def test_a_number_in_the_path_is_read_or_refused(toy_client: httpx.Client, number: str) -> None:
    answer = toy_client.get(f"/v1/toys/open/{number}")
    assert answer.status_code in (200, 422)
    if answer.status_code == 422:
        assert answer.json()["code"] == "request_is_malformed"


def test_a_fault_is_logged_and_tells_nothing_but_where_to_look(
    toy_client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = toy_client.get("/v1/toys/fault", headers={"x-request-id": "look4me"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "/problems/fault",
        "title": "A fault of the platform; it was noted.",
        "status": 500,
        "code": "fault",
        "facts": {},
        "instance": "/requests/look4me",
    }
    logged = capsys.readouterr().err
    assert "a spring broke" in logged
    assert "look4me" in logged
    assert answer.headers["x-frame-options"] == "DENY"


def test_requests_are_counted_by_route_and_not_by_path(toy_client: httpx.Client) -> None:
    toy_client.get("/v1/toys/one")
    toy_client.get("/v1/toys/two")
    toy_client.request("BREW", "/v1/toys/two")
    text = toy_client.get("/metrics").text
    assert 'route="/v1/toys/{name}",status="200"' in text
    assert "/v1/toys/two" not in text
    assert "BREW" not in text


def test_a_real_server_answers_head_and_get_alike(address: str) -> None:
    shown, head = httpx.get(f"{address}/"), httpx.head(f"{address}/")
    assert shown.status_code == head.status_code == 200
    assert head.content == b""
    assert head.headers["content-length"] == shown.headers["content-length"]
