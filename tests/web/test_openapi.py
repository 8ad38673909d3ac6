from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import httpx
import pytest
from fastapi import APIRouter

from steelyard.web.app import create_app
from steelyard.web.openapi import SECURITY, TAGS, example_of, operations
from steelyard.web.problems import every_refusal, status_of
from tests.web.fixture import compose, settings_of
from tests.web.toys import router as toys

Json = dict[str, Any]
CHINESE = re.compile(r"[\u4e00-\u9fff]")
READS_WITH_A_BODY = (
    "POST /v1/parties/search",
    "POST /v1/experiments/{name}/assign",
    "POST /v1/policies/{scene}/check",
    "POST /v1/decisions/{scene}",  # a write whose key is the id of the event
)
TOLD_BY_CHANNELS = "POST /v1/payments/channels/{code}/notices"
"""Believed by the channel's signature alone, and the same however often it comes."""
OPEN_TO_PAYERS = ("/v1/payments/cashier/", "/v1/payments/codes/{token}/scan")
"""Whoever was given the address may pay there; nobody signs in."""
WRITES = ("post", "put", "patch", "delete")


@pytest.fixture(scope="module")
def schema() -> Json:
    """The schema of the whole application, as a client reads it."""
    return json.loads(json.dumps(create_app(settings_of()).openapi()))


def operations_of(schema: Json) -> Iterator[tuple[str, str, str, Json]]:
    for path, method, operation in operations(schema):
        yield f"{method.upper()} {path}", method, path, operation


def problems_of(schema: Json, operation: Json) -> Iterator[tuple[str, Json]]:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = schema["components"]["responses"][response["$ref"].rsplit("/", 1)[1]]
        for media, content in response.get("content", {}).items():
            if media == "application/problem+json":
                yield status, content


def test_it_is_openapi_31_of_this_release(schema: Json) -> None:
    assert schema["openapi"].startswith("3.1")
    assert schema["info"]["version"] == version("steelyard")
    assert schema["info"]["license"]["identifier"] == "Apache-2.0"


def test_every_operation_says_what_it_does_and_has_a_name_of_its_own(schema: Json) -> None:
    names = []
    for where, _, _, operation in operations_of(schema):
        assert operation.get("summary"), where
        assert operation.get("description"), where
        assert len(operation["tags"]) == 1, where
        names.append(operation["operationId"])
    assert len(names) == len(set(names))


def test_every_tag_is_described_in_both_languages(schema: Json) -> None:
    used = {operation["tags"][0] for _, _, _, operation in operations_of(schema)}
    described = {tag["name"]: tag["description"] for tag in schema["tags"]}
    assert used == set(described)
    for name, text in described.items():
        assert CHINESE.search(text), name
        assert re.search(r"[a-z]{3}", text), name
    assert [tag["name"] for tag in schema["tags"]] == [n for n, _, _ in TAGS if n in used]


def test_the_default_of_the_framework_is_gone(schema: Json) -> None:
    assert "HTTPValidationError" not in json.dumps(schema)
    for where, _, _, operation in operations_of(schema):
        takes = operation.get("parameters") or operation.get("requestBody")
        takes = takes and operation["tags"] != ["stripe"]
        if takes and not where.endswith("/problems/{code}"):
            codes = [
                content["schema"]["properties"]["code"]["enum"]
                for status, content in problems_of(schema, operation)
                if status == "422"
            ]
            assert "request_is_malformed" in codes[0], where


def test_every_refusal_that_is_declared_exists_and_has_its_status(schema: Json) -> None:
    known = every_refusal()
    for where, _, _, operation in operations_of(schema):
        declared = {status for status, _ in problems_of(schema, operation)}
        assert {"429"} <= declared, where
        for status, content in problems_of(schema, operation):
            for code in content["schema"]["properties"]["code"]["enum"]:
                assert str(status_of(known[code])) == status, (where, code)
            assert content["example"]["code"] in content["schema"]["properties"]["code"]["enum"]


def test_every_write_takes_a_key_and_says_when_the_body_is_too_large(schema: Json) -> None:
    for where, method, _, operation in operations_of(schema):
        if method not in WRITES or where in (*READS_WITH_A_BODY, TOLD_BY_CHANNELS):
            continue
        headers = {
            p["name"].lower() for p in operation.get("parameters", ()) if p["in"] == "header"
        }
        assert "idempotency-key" in headers, where
        if method != "delete":
            assert "413" in operation["responses"], where


def test_security_is_declared_where_a_caller_is_asked_for(schema: Json) -> None:
    assert set(schema["components"]["securitySchemes"]) == {"bearer", "session", "signed_key"}
    for where, _, path, operation in operations_of(schema):
        asked = {next(iter(one)) for one in operation["security"]}
        if operation["tags"] == ["stripe"]:
            # Its clients know bearers, and its errors are no problem documents.
            assert (asked, "401" in operation["responses"]) == ({"bearer"}, True), where
            continue
        codes = [
            code
            for status, content in problems_of(schema, operation)
            if status == "401"
            for code in content["schema"]["properties"]["code"]["enum"]
        ]
        if asked:
            assert asked == set(SECURITY), where
            assert "not_signed_in" in codes, where
        is_open = not path.startswith("/v1/") or path.startswith("/v1/access/sign-in/")
        is_open = is_open or where == TOLD_BY_CHANNELS or path.startswith(OPEN_TO_PAYERS)
        assert bool(asked) != is_open, where


def test_every_body_parameter_and_answer_has_an_example(schema: Json) -> None:
    for where, _, _, operation in operations_of(schema):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            assert "example" in content or "examples" in content, where
        for parameter in operation.get("parameters", ()):
            if parameter.get("required"):
                assert "example" in parameter or "examples" in parameter, (where, parameter["name"])
        good = [r for s, r in operation["responses"].items() if s.startswith("2")]
        assert good, where
        for content in (c for response in good for c in response.get("content", {}).values()):
            assert "example" in content or "examples" in content, where


def test_examples_fit_their_own_schemas(schema: Json) -> None:
    for where, _, _, operation in operations_of(schema):
        for content in operation.get("requestBody", {}).get("content", {}).values():
            if "example" in content:
                fits(schema, content["schema"], content["example"], where)
        for status, response in operation["responses"].items():
            content = response.get("content", {}).get("application/json")
            if status.startswith("2") and content:
                fits(schema, content["schema"], content["example"], where)


def fits(schema: Json, part: Json, value: Any, where: str) -> None:
    """A little of JSON Schema: types, required fields, choices, numbers and lengths."""
    if "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    options = part.get("anyOf") or part.get("oneOf")
    if options:
        errors = []
        for option in options:
            try:
                return fits(schema, option, value, where)
            except AssertionError as error:
                errors.append(error)
        raise errors[0]
    if "enum" in part:
        assert value in part["enum"], (where, value)
    if "const" in part:
        assert value == part["const"], where
    kinds = {
        "object": dict,
        "array": list,
        "string": str,
        "integer": int,
        "number": (int, float),
        "boolean": bool,
        "null": type(None),
    }
    if "type" in part:
        assert isinstance(value, kinds[part["type"]]), (where, part.get("title"), value)
    if isinstance(value, dict):
        assert set(part.get("required", ())) <= set(value), (where, part.get("title"))
        for key, inner in part.get("properties", {}).items():
            if key in value:
                fits(schema, inner, value[key], f"{where} {key}")
    if isinstance(value, list) and "items" in part:
        for item in value:
            fits(schema, part["items"], item, where)
        assert len(value) >= part.get("minItems", 0), where
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        assert value >= part.get("minimum", value), where
        assert value <= part.get("maximum", value), where
    if isinstance(value, str):
        assert len(value) <= part.get("maxLength", len(value)), (where, value)
        assert len(value) >= part.get("minLength", 0), (where, value)
        if "pattern" in part:
            assert re.search(part["pattern"], value), (where, part["pattern"], value)


def test_a_room_needs_to_give_no_examples() -> None:
    schema = json.loads(json.dumps(compose(rooms=(toys,)).openapi()))
    make = schema["paths"]["/v1/toys"]["post"]
    assert make["requestBody"]["content"]["application/json"]["example"]["amount_minor"] == 12800
    assert make["security"] == [{name: []} for name in SECURITY]
    opened = schema["paths"]["/v1/toys/open/{number}"]["get"]
    assert opened["security"] == []
    assert "request_is_malformed" in json.dumps(opened["responses"]["422"])


def test_an_example_that_a_room_gives_stays() -> None:
    router = APIRouter(prefix="/v1/own", tags=["toys"])

    @router.get("", responses={200: {"content": {"application/json": {"example": {"a": 7}}}}})
    def own() -> dict[str, int]:
        return {}

    schema = compose(rooms=(router,)).openapi()
    answer = schema["paths"]["/v1/own"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["example"] == {"a": 7}


def test_a_schema_that_holds_itself_gets_an_example_that_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"under": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}},
    }
    example = example_of({"components": {"schemas": {"Tree": tree}}}, tree, "tree")
    assert len(json.dumps(example)) < 500


def test_the_schema_is_served(toy_client: httpx.Client) -> None:
    served = toy_client.get("/openapi.json")
    assert served.status_code == 200
    assert served.json()["openapi"].startswith("3.1")
