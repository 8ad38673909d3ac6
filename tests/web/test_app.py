from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from steelyard.base import Database
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web.app import create_app
from steelyard.web.malformed import complaint
from steelyard.web.problems import every_refusal, room_of, status_of
from tests.web.fixture import FakePlatform, Town, serve, settings_of


def test_the_whole_application_is_composed_of_its_rooms() -> None:
    paths = set(create_app(settings_of()).openapi()["paths"])
    for room in ("parties", "access", "ledger", "events", "live"):
        assert any(path.startswith(f"/v1/{room}") for path in paths), room
    assert {"/healthz", "/readyz", "/metrics", "/problems", "/problems/{code}"} <= paths


def test_the_platform_is_opened_at_the_start_and_closed_at_the_end() -> None:
    lived: list[str] = []

    class Opener:
        def __call__(self, settings: Any) -> Opener:
            self.settings = settings
            return self

        def __enter__(self) -> FakePlatform:
            lived.append("opened")
            return FakePlatform(self.settings)

        def __exit__(self, *_: object) -> None:
            lived.append("closed")

    app = create_app(settings_of(), opener=Opener(), rooms=(), watching=lambda _: Town())
    assert lived == []
    with serve(app) as url:
        assert httpx.get(f"{url}/healthz").json() == {"status": "alive"}
        assert lived == ["opened"]
    assert lived == ["opened", "closed"]


def test_readiness_looks_at_the_database_and_says_how_to_mend_it(database: Database) -> None:
    class Opener:
        def __init__(self, database: Any) -> None:
            self.database = database

        def __call__(self, settings: Any) -> Opener:
            return self

        def __enter__(self) -> FakePlatform:
            return FakePlatform(settings_of(), database=self.database)

        def __exit__(self, *_: object) -> None: ...

    def ask(database: Any) -> httpx.Response:
        app = create_app(
            settings_of(), opener=Opener(database), rooms=(), watching=lambda _: Town()
        )
        with serve(app) as url:
            return httpx.get(f"{url}/readyz", headers={"accept-language": "zh"}, timeout=30)

    ready = ask(database)
    assert (ready.status_code, ready.json()["ok"]) == (200, True)
    checks = {check["name"]: check for check in ready.json()["checks"]}
    assert checks["database"]["ok"]
    assert checks["schema"]["mend"] == ""

    class Away:
        url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"

    down = ask(Away())
    assert (down.status_code, down.json()["ok"]) == (503, False)
    assert "数据库" in down.json()["checks"][0]["mend"]


# ---------------------------------------------------------------- refusals


def test_every_refusal_is_listed_with_both_sentences(toy_client: httpx.Client) -> None:
    listed = toy_client.get("/problems", headers={"accept": "application/json"}).json()["items"]
    codes = [problem["code"] for problem in listed]
    assert codes == sorted(set(codes))
    assert {"not_entitled", "too_many_requests", "no_such_page", "account_closed"} <= set(codes)
    for problem in listed:
        assert problem["en"], problem["code"]
        assert problem["zh"], problem["code"]
        assert 400 <= problem["status"] < 600, problem["code"]
        assert problem["type"] == f"/problems/{problem['code']}"


def test_the_type_of_a_problem_leads_to_its_description(toy_client: httpx.Client) -> None:
    refused = toy_client.get("/v1/nowhere").json()
    told = toy_client.get(refused["type"], headers={"accept": "application/json"}).json()
    assert told["code"] == refused["code"] == "no_such_page"
    assert told["zh"] == "{path} 不存在。"
    assert toy_client.get("/problems/fancy").json()["code"] == "no_such_problem"


def test_refusals_of_tests_are_not_the_platforms() -> None:
    class LampIsOut(Refusal):
        kind = RefusalKind.CONFLICT
        en, zh = "The lamp is out.", "灯灭了。"

    every_refusal.cache_clear()
    assert LampIsOut.code not in every_refusal()


def test_each_refusal_has_a_room_and_a_status_by_its_kind() -> None:
    known = every_refusal()
    assert room_of(known["account_closed"]) == "ledger"
    assert status_of(known["account_closed"]) == 409
    root = Path("src/steelyard")
    for kind in known.values():
        assert (root / room_of(kind)).is_dir(), kind


# ---------------------------------------------------------------- malformed requests


@pytest.mark.parametrize(
    ("error", "language", "told"),
    [
        ({"type": "missing", "loc": ("body", "a"), "msg": "Field required"}, "zh", "缺少此字段"),
        (
            {"type": "missing", "loc": ("body", "a"), "msg": "Field required"},
            "en",
            "Field required",
        ),
        ({"type": "new_in_2030", "loc": ("body",), "msg": "Odd"}, "zh-CN", "Odd"),
        ({"type": "less_than_equal", "loc": (), "ctx": {"le": 3}, "msg": ""}, "zh", "应不大于 3"),
        ({"type": "unreadable", "loc": ("body",)}, "en", "it cannot be read"),
    ],
)
def test_what_is_wrong_is_told_in_the_readers_language(
    error: dict[str, Any], language: str, told: str
) -> None:
    assert complaint(error, language)[1] == told
