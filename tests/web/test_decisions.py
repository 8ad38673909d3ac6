"""The decision endpoint at a web worker: forwarded to the owner, told in the reader's language."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from steelyard.base import Database
from steelyard.decisions.service.line import OwnerLine
from steelyard.decisions.service.log import OwnerIsAway, verify_log
from steelyard.decisions.store.log import take_over
from steelyard.parties import first_run
from steelyard.web.platform import SteelyardPlatform
from tests.conftest import Store
from tests.decisions.test_gate import serving
from tests.decisions.test_owner import body
from tests.web.fixture import serve_platform

PATH = "/v1/decisions/payment"


@dataclass
class House:
    client: httpx.Client
    platform: SteelyardPlatform

    def count(self) -> int:
        with self.platform.database.reading() as connection:
            report = verify_log(connection)
        assert report.first_bad is None
        return report.decisions


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    with serve_platform(store, tmp_path) as (url, platform):
        people = first_run.create_demo_people(
            platform.database, platform.keyring, platform.settings
        )
        bearer = f"Bearer {people.development.secret}"
        with httpx.Client(base_url=url, headers={"authorization": bearer}, timeout=30) as client:
            yield House(client, platform)


def test_an_answer_tells_its_reasons_in_the_language_of_the_reader(house: House) -> None:
    with serving(house.platform.database, "one"):
        answers = [house.client.post(PATH, content=body(n)).json() for n in range(4)]
        chinese = house.client.post(
            PATH, content=body(3), headers={"accept-language": "zh-CN"}
        ).json()
    assert [a["outcome"] for a in answers] == ["approve"] * 3 + ["decline"]
    assert answers[0]["texts"] == []
    assert answers[3]["reasons"] == ["too_many_payments"]
    assert answers[3]["texts"] == ["Many payments in a short time."]
    assert chinese == {**answers[3], "texts": ["短时间内付款次数过多。"]}
    shown = house.client.get(f"/v1/decisions/{chinese['id']}").json()
    assert {name: shown[name] for name in answers[3]} == answers[3]
    listed = house.client.get("/v1/decisions", headers={"accept-language": "zh"}).json()["items"]
    assert [one["texts"] for one in listed] == [["短时间内付款次数过多。"], [], [], []]
    live = house.client.get("/v1/live/summary").json()["decisions"]
    assert live["made"] == 4
    assert live["outcomes"] == [
        {"outcome": "approve", "times": 3},
        {"outcome": "decline", "times": 1},
    ]
    assert [one["id"] for one in live["newest"]] == [one["id"] for one in listed]
    assert live["newest"][0]["reasons"] == [
        {
            "code": "too_many_payments",
            "en": "Many payments in a short time.",
            "zh": "短时间内付款次数过多。",
        }
    ]
    assert house.count() == 4


def test_the_edge_is_the_same_as_that_of_every_route(house: House) -> None:
    with serving(house.platform.database, "one"):
        nobody = house.client.post(PATH, content=body(1), headers={"authorization": ""})
        assert (nobody.status_code, nobody.json()["code"]) == (401, "not_signed_in")
        unknown = {"authorization": "Bearer sk_dev_unknown"}
        assert house.client.post(PATH, content=body(1), headers=unknown).status_code == 401
        wrong = house.client.put(PATH, content=body(1))
        assert (wrong.status_code, wrong.json()["code"]) == (405, "method_is_not_allowed")
        large = house.client.post(PATH, content=b"x" * 1_000_000)
        assert (large.status_code, large.json()["code"]) == (413, "question_is_too_large")
        larger = house.client.post(PATH, content=b"x" * 2_100_000)
        assert (larger.status_code, larger.json()["code"]) == (413, "request_is_too_large")
        told = house.client.post(PATH, content=body(1), headers={"x-request-id": "abc7"})
    assert told.headers["x-request-id"] == "abc7"
    assert told.headers["content-type"] == "application/json"
    assert told.headers["x-content-type-options"] == "nosniff"
    assert house.count() == 1
    counted = house.client.get("/metrics").text
    assert 'method="POST",route="/v1/decisions/{scene}",status="200"' in counted.replace(" ", "")


SCENES = ("Tea", "tea", "payment%0d%0aX-Y:%20z", "%2e%2e", "a%20b", "x" * 41, "茶", "1")


def test_no_scene_gets_into_the_request_to_the_owner(house: House) -> None:
    with serving(house.platform.database, "one"):
        for scene in SCENES:
            answer = house.client.post(f"/v1/decisions/{scene}", content=body(1))
            assert (answer.status_code, answer.json()["code"]) == (404, "scene_is_unknown"), scene
            assert answer.json()["instance"].startswith("/requests/")
    assert house.count() == 0


def test_a_refusal_of_the_owner_is_told_like_one_of_ours(house: House) -> None:
    with serving(house.platform.database, "one"):
        house.client.post(PATH, content=body(1))
        told = {
            language: house.client.post(
                PATH, content=body(1, amount_minor=101), headers={"accept-language": language}
            )
            for language in ("en", "zh-CN")
        }
    for answer in told.values():
        assert answer.status_code == 409
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["code"] == "event_id_was_used"
        assert problem["facts"] == {"id": "p1", "scene": "payment"}
        assert problem["type"] == "/problems/event_id_was_used"
    assert told["en"].json()["title"].startswith("The event id p1")
    assert told["zh-CN"].json()["title"].startswith("事件编号 p1")


def test_a_worker_goes_on_with_the_owner_that_took_over(house: House) -> None:
    with serving(house.platform.database, "one"):
        first = house.client.post(PATH, content=body(1)).json()
    with ThreadPoolExecutor(8) as pool:
        waiting = [
            pool.submit(house.client.post, PATH, content=body(n)) for n in (1, 2, 3, 1, 2, 3)
        ]
        with serving(house.platform.database, "two"):
            answers = [one.result(30).json() for one in waiting]
    assert answers[0] == answers[3] == first
    assert answers[1:3] == answers[4:]
    assert house.count() == 3


def test_without_an_owner_the_endpoint_says_so(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steelyard.decisions.service.line._PAUSE_SECONDS", 0.001)
    answer = house.client.post(PATH, content=body(1), headers={"accept-language": "zh"})
    assert (answer.status_code, answer.json()["code"]) == (503, "owner_is_away")
    assert answer.json()["title"] == "决策进程暂不可用，请稍后重试。"


def test_many_at_once_are_each_answered_with_their_own(house: House) -> None:
    with serving(house.platform.database, "one"), ThreadPoolExecutor(16) as pool:
        asked = [body(n, customer=f"c{n % 7}") for n in range(200)]
        answers = list(pool.map(lambda one: house.client.post(PATH, content=one).json(), asked))
    ids = {answer["id"] for answer in answers}
    assert len(ids) == 200
    by_event = {}
    for page in _pages(house.client):
        by_event.update({one["event"]["id"]: one["id"] for one in page})
    assert [by_event[f"p{n}"] for n in range(200)] == [answer["id"] for answer in answers]


def _pages(client: httpx.Client) -> Iterator[list[dict[str, dict[str, str]]]]:
    cursor = None
    for _ in range(20):
        told = client.get("/v1/decisions", params={"limit": 100, **(cursor or {})}).json()
        yield told["items"]
        if told["next"] is None:
            return
        cursor = {"cursor": told["next"]}


# ---------------------------------------------------------------- the line alone


class Imposter:
    """Listens where an owner should, and answers each connection with the bytes it is given."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.asked: list[bytes] = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.listening.getsockname()[1]}"

    def _serve(self) -> None:
        for answer in self.answers:
            connection, _ = self.listening.accept()
            with connection:
                self.asked.append(connection.recv(65_536))
                connection.sendall(answer)
        self.listening.close()


GOOD = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{}",
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 503 Away\r\ncontent-length: 0\r\n\r\n",
    ],
    ids=["hung up", "cut off", "a stranger", "another ticket", "over"],
)
def test_what_is_no_answer_is_asked_again(database: Database, first: bytes) -> None:
    there = Imposter(first, GOOD)
    with database.engine.begin() as connection:
        take_over(connection, 0, holder="x", address=there.address, ticket="t7")

    async def ask() -> tuple[int, bytes]:
        line = OwnerLine(database)
        told = await line.ask("tea", b'{"a":1}')
        line.close()
        await asyncio.sleep(0)
        return told.status, told.body

    assert asyncio.run(ask()) == (200, b"{}")
    there.thread.join(10)
    assert len(there.asked) == 2
    for asked in there.asked:
        assert asked.startswith(b"POST /v1/decisions/tea HTTP/1.1\r\n")
        assert b"x-steelyard-ticket: t7\r\n" in asked
        assert asked.endswith(b'content-length: 7\r\n\r\n{"a":1}')


def test_the_line_gives_up_after_its_patience(database: Database) -> None:
    async def ask() -> None:
        await OwnerLine(database, patience_s=0.1).ask("tea", b"{}")

    with pytest.raises(OwnerIsAway):
        asyncio.run(ask())
    there = Imposter(b"")
    there.thread.join(0)
    with database.engine.begin() as connection:
        take_over(connection, 0, holder="x", address=there.address, ticket="t7")
    with pytest.raises(OwnerIsAway):
        asyncio.run(ask())
