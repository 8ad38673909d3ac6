"""The whole application over a real database: its rooms, and the live page that shows them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import pytest

from steelyard import ledger
from steelyard.ledger import AccountKind, Funds, Item, NewAccount, Transfer
from steelyard.parties import first_run
from steelyard.web.platform import SteelyardPlatform
from tests.conftest import START, Store
from tests.web.fixture import serve_platform


@dataclass
class House:
    client: httpx.Client
    platform: SteelyardPlatform

    def write(self, path: str, body: object, **headers: str) -> httpx.Response:
        return self.client.post(
            path, json=body, headers={"idempotency-key": str(uuid4()), **headers}
        )


@pytest.fixture
def house(store: Store, tmp_path: Path) -> Iterator[House]:
    with serve_platform(store, tmp_path) as (url, platform):
        people = first_run.create_demo_people(
            platform.database, platform.keyring, platform.settings
        )
        bearer = f"Bearer {people.development.secret}"
        with httpx.Client(base_url=url, headers={"authorization": bearer}, timeout=30) as client:
            yield House(client, platform)


def test_a_transfer_by_http_is_seen_on_the_live_page(house: House) -> None:
    with house.platform.database.unit_of_work() as unit:
        ledger.open_book(
            unit, "client", name="Clients", funds=Funds.CLIENT, business_on=START.date()
        )
        accounts = [
            NewAccount(code="bank:main", currency="CNY", kind=AccountKind.ASSET),
            NewAccount(code="wallet:a", currency="CNY", kind=AccountKind.LIABILITY),
        ]
        ledger.open_accounts(unit, "client", accounts, cause="test@1")
    id = uuid4()
    transfer = Transfer(
        id=id,
        book="client",
        cause="test@1",
        debit="bank:main",
        credit="wallet:a",
        amount_minor=12_345,
        currency="CNY",
    )
    (answer,) = house.platform.ledger_queue.submit(Item((transfer,))).result(30)
    assert answer.outcome.is_accepted
    (newest,) = house.client.get("/v1/live/movements").json()["items"]
    assert (newest["id"], newest["amount"]) == (str(id), "123.45")
    detail = house.client.get(f"/v1/live/movements/client/{id}").json()
    assert [entry["balance"] for entry in detail["entries"]] == ["123.45", "123.45"]
    assert detail["events"][0]["payload"]["id"] == str(id)
    summary = house.client.get("/v1/live/summary").json()
    assert summary["counts"]["transfers"] == 1
    assert summary["counts"]["parties"] == 1, "the customer of the demonstration"
    assert summary["trial_balance"]["is_balanced"]


def test_the_house_is_ready_and_its_metrics_are_read(house: House) -> None:
    assert house.client.get("/readyz").status_code == 200
    text = house.client.get("/metrics").text
    assert "steelyard_http_requests_total" in text
    assert "steelyard_units_of_work_total" in text


def test_every_reading_operation_answers_its_example_or_refuses_in_order(house: House) -> None:
    """No example of a reading operation meets a fault: each is answered, or refused as declared."""
    schema = house.client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        operation = methods.get("get")
        if operation is None or path.endswith("/stream"):
            continue
        told = path
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                told = told.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        answer = house.client.get(told)
        assert answer.status_code != 500, (told, answer.text)
        if answer.status_code >= 400 and not is_stripes(operation, answer):
            code = answer.json()["code"]
            declared = str(operation["responses"].get(str(answer.status_code)))
            assert code in declared, (told, code)


def is_stripes(operation: dict[str, Any], answer: httpx.Response) -> bool:
    """Whether a refusal has the form of Stripe's errors, as its operation declares."""
    if operation["tags"] != ["stripe"]:
        return False
    declared = operation["responses"][str(answer.status_code)]["content"]["application/json"]
    types = declared["schema"]["properties"]["error"]["properties"]["type"]["enum"]
    assert answer.json()["error"]["type"] in types, answer.text
    return True


def test_every_example_of_a_write_can_be_sent_and_is_answered_in_order(house: House) -> None:
    """Whatever an example meets, it is an answer that the schema declares and never a fault."""
    schema = house.client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        operation = methods.get("post")
        if operation is None:
            continue
        told = path
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "path":
                told = told.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        query = {
            parameter["name"]: parameter["example"]
            for parameter in operation.get("parameters", ())
            if parameter["in"] == "query" and parameter.get("required")
        }
        told += f"?{urlencode(query)}" if query else ""
        content = operation.get("requestBody", {}).get("content", {})
        if "application/octet-stream" in content:
            headers = {"Idempotency-Key": uuid4().hex}
            answer = house.client.post(told, content=b"a file", headers=headers)
        else:
            answer = house.write(told, content.get("application/json", {}).get("example"))
        assert answer.status_code != 500, (told, answer.text)
        if answer.status_code >= 400 and not is_stripes(operation, answer):
            code = answer.json()["code"]
            declared = str(operation["responses"].get(str(answer.status_code)))
            assert code in declared, (told, code)
            assert code != "request_is_malformed", (told, answer.json())


_PROGRAM = """
import sys, uvicorn
from tests.web.fixture import Town, compose
uvicorn.run(compose(Town(now=lambda: 60.0)), fd=int(sys.argv[1]), log_level="warning")
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_that_is_told_to_stop_ends_its_streams_in_order(number: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        os.set_inheritable(listening.fileno(), True)
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(listening.fileno())],
            pass_fds=(listening.fileno(),),
            stderr=subprocess.PIPE,
        )
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1/live/stream"
        with httpx.stream("GET", url, timeout=30) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 2000"
            process.send_signal(number)
            told = [line for line in lines if line.startswith("event: ")]
    _, errors = process.communicate(timeout=20)
    assert told[:1] == ["event: snapshot"] or told == []
    assert b"Traceback" not in errors
    assert b"ERROR" not in errors, errors.decode()
