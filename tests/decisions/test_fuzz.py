"""Bad input at the decision endpoint: refused in both languages, and nothing half-written.

Everything goes the whole way: the web application with its edge and verifier, the line to the
owner, the owner with the delivered policies, the log.
"""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from steelyard.decisions.http.owner_app import OwnerApp
from steelyard.decisions.model.roster import Roster
from steelyard.decisions.service.log import verify_log
from steelyard.decisions.service.owner import Owner, Place
from steelyard.features import KINDS
from steelyard.parties import first_run
from steelyard.web.platform import SteelyardPlatform
from tests.conftest import Store
from tests.web.fixture import serve_platform

NOW_MS = 1_772_442_000_000
SCENES = ("payment", "log_in", "loan_application", "withdrawal", "merchant_application")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
load_all_checks()


@dataclass
class House:
    """The platform with its owner, and a client that may ask."""

    client: httpx.Client
    platform: SteelyardPlatform
    owner: Owner

    def post(self, scene: str, content: bytes, language: str = "en") -> httpx.Response:
        return self.client.post(
            f"/v1/decisions/{scene}", content=content, headers={"accept-language": language}
        )

    def standing(self) -> tuple[int, int, str]:
        """How many decisions there are, how far is folded, and the digest of the state."""
        with self.platform.database.reading() as connection:
            report = verify_log(connection)
        assert report.first_bad is None
        return report.decisions, self.owner.engine.state.sequence, self.owner.engine.state.digest


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    with serve_platform(store, tmp_path) as (url, platform):
        people = first_run.create_demo_people(
            platform.database, platform.keyring, platform.settings
        )
        listening = socket.create_server(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        owner = Owner(platform.database, Roster.delivered(), Place("fuzz", address, ticket="t"))
        app = OwnerApp(owner, ticket="t", now_ms=lambda: NOW_MS, gone=lambda: None)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        bearer = f"Bearer {people.development.secret}"
        try:
            with httpx.Client(
                base_url=url, headers={"authorization": bearer}, timeout=30
            ) as client:
                yield House(client, platform, owner)
        finally:
            server.should_exit = True
            thread.join(60)
            owner.close()


def question(**changed: Any) -> bytes:
    fields = {"customer": "c1", "card": "k1", "amount_minor": 100, "currency": "CNY"}
    return json.dumps({"id": "p1", "at_ms": NOW_MS - 1, "fields": fields, **changed}).encode()


def with_field(text: str) -> bytes:
    return b'{"id": "p2", "at_ms": 1, "fields": {' + text.encode() + b"}}"


BAD: tuple[tuple[str, str, bytes, int, str], ...] = (
    ("unknown scene", "tea", question(), 404, "scene_is_unknown"),
    ("no JSON", "payment", b"hello", 422, "question_is_malformed"),
    ("nothing", "payment", b"", 422, "question_is_malformed"),
    ("cut off", "payment", question()[:-3], 422, "question_is_malformed"),
    ("two of them", "payment", question() * 2, 422, "question_is_malformed"),
    ("a list", "payment", b"[]", 422, "question_is_malformed"),
    ("no fields", "payment", b'{"id":"1","at_ms":1}', 422, "question_is_malformed"),
    ("unknown part", "payment", question(color="red"), 422, "question_is_malformed"),
    ("unknown field", "payment", with_field('"x": 1'), 422, "event_field_is_unknown"),
    ("a label", "payment", with_field('"is_fraud": true'), 422, "event_field_is_unknown"),
    ("wrong type", "payment", with_field('"card": 7'), 422, "event_field_is_invalid"),
    ("a flag for 1", "payment", with_field('"is_online": 1'), 422, "event_field_is_invalid"),
    ("NaN", "payment", with_field('"amount_minor": NaN'), 422, "question_is_malformed"),
    ("infinity", "payment", with_field('"amount_minor": Infinity'), 422,
     "question_is_malformed"),
    ("1e999", "payment", with_field('"amount_minor": 1e999'), 422, "question_is_malformed"),
    ("a float", "payment", with_field('"amount_minor": 1.5'), 422, "question_is_malformed"),
    ("2 to the 64", "payment", with_field(f'"amount_minor": {2**64}'), 422,
     "event_field_is_invalid"),
    ("2 to the 41", "payment", with_field(f'"amount_minor": {2**41}'), 422,
     "event_field_is_invalid"),
    ("a thing in a field", "payment", with_field('"card": {"a": 1}'), 422,
     "question_is_malformed"),
    ("1 MB", "payment", question(id="x" * 1_000_000), 413, "question_is_too_large"),
    ("3 MB", "payment", b" " * 3_000_000, 413, "request_is_too_large"),
    ("deep", "payment", b'{"fields":' * 5_000, 422, "question_is_malformed"),
    ("deep lists", "payment", b'{"id":' + b"[" * 60_000, 422, "question_is_malformed"),
    ("no UTF-8", "payment", b'{"id":"\xff\xfe","at_ms":1,"fields":{}}', 422,
     "question_is_malformed"),
    ("half a pair", "payment", b'{"id":"\\ud800","at_ms":1,"fields":{}}', 422,
     "question_is_malformed"),
    ("NUL in the id", "payment", question(id="a\0b"), 422, "question_is_malformed"),
    ("empty id", "payment", question(id=""), 422, "question_is_malformed"),
    ("long id", "payment", question(id="x" * 201), 422, "question_is_malformed"),
    ("an id that is a number", "payment", question(id=7), 422, "question_is_malformed"),
    ("before 1970", "payment", question(at_ms=-1), 422, "question_is_malformed"),
    ("at 2 to the 63", "payment", question(at_ms=2**63), 422, "event_is_from_the_future"),
    ("an hour ahead", "payment", question(at_ms=NOW_MS + 3_600_000), 422,
     "event_is_from_the_future"),
    ("in the year 3000", "payment", question(at_ms=32_503_680_000_000), 422,
     "event_is_from_the_future"),
    ("the id again, more money", "payment",
     question(fields={"customer": "c1", "amount_minor": 101}), 409, "event_id_was_used"),
    ("the id again, later", "payment", question(at_ms=NOW_MS), 409, "event_id_was_used"),
)  # fmt: skip


def test_bad_input_is_refused_with_its_code_and_leaves_nothing(house: House) -> None:
    first = house.post("payment", question())
    assert first.status_code == 200
    before = house.standing()
    for what, scene, content, status, code in BAD:
        told = {language: house.post(scene, content, language) for language in ("en", "zh-CN")}
        for answer in told.values():
            assert (answer.status_code, answer.json()["code"]) == (status, code), what
            assert answer.headers["content-type"] == "application/problem+json", what
        assert CHINESE.search(told["zh-CN"].json()["title"]), what
        assert not CHINESE.search(told["en"].json()["title"]), what
        assert len(told["en"].content) < 2_000, f"{what}: what was sent is not sent back"
    assert house.standing() == before
    assert house.post("payment", question()).json() == first.json()
    assert house.standing() == before


def test_of_equal_keys_the_last_counts_and_the_record_says_so(house: House) -> None:
    told = house.post("payment", with_field('"amount_minor": 1, "amount_minor": 700')).json()
    shown = house.client.get(f"/v1/decisions/{told['id']}").json()
    assert shown["event"]["fields"] == {"amount_minor": 700}


@pytest.mark.parametrize("examples", [40, pytest.param(3_000, marks=pytest.mark.long)])
def test_whatever_the_schema_lets_think_of_is_answered_as_declared(
    house: House, examples: int
) -> None:
    schema = schemathesis.openapi.from_url(f"{house.client.base_url}/openapi.json")
    operation = schema["/v1/decisions/{scene}"]["POST"]
    headers = {"authorization": house.client.headers["authorization"]}
    modes = st.sampled_from((GenerationMode.POSITIVE, GenerationMode.NEGATIVE))
    accepted: set[str] = set()

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(modes.flatmap(lambda mode: operation.as_strategy(generation_mode=mode)), st.data())
    def check(case: Any, data: st.DataObject) -> None:
        if data.draw(st.booleans()):
            case.path_parameters["scene"] = data.draw(st.sampled_from(SCENES))
        answer = case.call(headers=headers)
        case.validate_response(answer, checks=CHECKS)
        if answer.status_code == 200:
            accepted.add(answer.json()["id"])

    check()
    assert house.standing()[0] == len(accepted)


def values_of(name: str, scene: str) -> st.SearchStrategy[Any]:
    """Values of a field: right ones mostly, and wrong ones."""
    right = {
        "text": st.text(min_size=1, max_size=30) | st.sampled_from(("c1", "CNY", "198.51.100.7")),
        "integer": st.integers(-(2**41), 2**41),
        "flag": st.booleans(),
    }[KINDS[scene].fields[name].value]
    return right | st.none() | st.sampled_from(("", 0, 1.5, True, "x" * 300, [], {}))


@st.composite
def questions(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A question to a scene, right in most things."""
    scene = draw(st.sampled_from(SCENES))
    names = draw(st.lists(st.sampled_from(sorted(KINDS[scene].fields)), unique=True))
    fields = {name: draw(values_of(name, scene)) for name in names}
    at_ms = draw(st.integers(NOW_MS - 10**9, NOW_MS) | st.integers(-1, 2**64))
    event = draw(st.text(min_size=1, max_size=8) | st.sampled_from(("p1", "p2")))
    return scene, {"id": event, "at_ms": at_ms, "fields": fields}


@pytest.mark.parametrize("examples", [60, pytest.param(5_000, marks=pytest.mark.long)])
def test_a_question_is_decided_whole_or_refused_whole(house: House, examples: int) -> None:
    told: dict[str, dict[str, Any]] = {}

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(questions())
    def check(asked: tuple[str, dict[str, Any]]) -> None:
        scene, body = asked
        answer = house.post(scene, json.dumps(body).encode())
        assert answer.status_code in (200, 409, 422), answer.text
        if answer.status_code == 200:
            made = answer.json()
            assert told.setdefault(made["id"], made) == made
            assert len(made["texts"]) == len(made["reasons"])

    check()
    decisions, folded_to, digest = house.standing()
    assert decisions == len(told)
    after = Owner(house.platform.database, Roster.delivered(), Place("after"))
    assert (after.engine.state.sequence, after.engine.state.digest) == (folded_to, digest)
    after.close()
