"""The schema of the HTTP API (OpenAPI 3.1): what FastAPI says, completed."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from steelyard.base import RefusedInProduction
from steelyard.base.http import PROBLEM, STATUS, RequestIsMalformed, refusals
from steelyard.kernel import Refusal
from steelyard.parties import api_keys, sessions, signing
from steelyard.web.edge import RequestIsTooLarge, TooManyRequests

Json = dict[str, Any]

TAGS: Final = (
    ("access", "Sign-in, sessions, API keys, roles.", "登录、会话、API 密钥与角色。"),
    (
        "parties",
        "Customers, merchants, institutions and staff: identity, consent, devices, contacts.",
        "客户、商户、机构与员工：身份、授权同意、设备与联系方式。",
    ),
    (
        "approvals",
        "A second person decides: who made it may not check it.",
        "双人复核：经办人不得复核自己的申请。",
    ),
    ("audit", "The hash-chained trail of who did what.", "审计：谁在何时做了什么，哈希相连。"),
    (
        "ledger",
        "Books, accounts and transfers: the only place where balances change.",
        "账簿、账户与转账：余额只在这里变动。",
    ),
    ("events", "The log of facts, its readers and their lag.", "事实日志、读取方及其滞后。"),
    (
        "decisions",
        "What may happen, why, and by which version; durable before it is used.",
        "风险决策：可否放行、原因与版本，先落库后使用。",
    ),
    (
        "features",
        "Numbers about customers, cards, devices and places, and how fresh they are.",
        "特征：客户、卡、设备与地点的指标及其时效。",
    ),
    (
        "policies",
        "Policies: drafted, checked, tried in the shadow, put in force by two people; stopped.",
        "策略：起草、检查、影子运行、双人生效与停用。",
    ),
    (
        "lists",
        "Lists that policies ask: who is blocked, allowed or watched, and until when.",
        "名单：供策略查询的黑、白与关注名单及其期限。",
    ),
    (
        "models",
        "Trained models and scorecards with their cards; a second person lets policies use them.",
        "模型：训练完成的模型与评分卡及其模型卡，经第二人批准后供策略使用。",
    ),
    (
        "payments",
        "Payments: merchants, cashier, channels, refunds, clearing, reconciliation, debits, FX.",
        "支付：商户、收银台、渠道、退款、清分、对账、代扣与外汇。",
    ),
    (
        "stripe",
        "Payments as clients of Stripe ask for them: forms in, Stripe's objects and errors out (no"
        " problem documents). Also `GET /v1/events` and `/v1/events/{id}` with `Stripe-Version`.",
        "Stripe 兼容接口：表单请求，返回 Stripe 格式的对象与错误（非问题文档）；带 `Stripe-Version`"
        " 头的 `GET /v1/events` 亦属此类。",
    ),
    (
        "credit",
        "Consumer credit: products, applications, loans, their books and what follows.",
        "消费信贷：产品、申请、贷款、账务与贷后。",
    ),
    ("cases", "One work queue for people, with its history.", "案件：人工处理的统一队列与历史。"),
    (
        "experiments",
        "Assignment of customers to arms, and tests that may be looked at any time.",
        "实验：分组与可随时查看的序贯检验。",
    ),
    (
        "simulation",
        "The town that lives through the doors, and its clock. Refused in production.",
        "通过公开接口生活的模拟小镇及其时钟，生产环境不可用。",
    ),
    (
        "live",
        "What happens now. Open in development; in production the entitlement `live.read`.",
        "实时概况。开发环境开放；生产环境需要 `live.read` 权限。",
    ),
    (
        "system",
        "Health, readiness, metrics and the list of refusals.",
        "健康、就绪、指标与拒绝代码表。",
    ),
)

_ABOUT: Final = """\
Money is an integer of minor units beside an ISO 4217 currency; instants are UTC and end in `_at`,
business dates end in `_on`. Every write takes an `Idempotency-Key`: sent again, it is answered from
the store and nothing is done twice. Lists come in pages; `next` is the cursor of the page after.
A refusal is a problem document (RFC 9457) with a stable `code`, in the language that
`Accept-Language` asks for; all of them are listed at [/problems](/problems).

金额为最小货币单位的整数，并附 ISO 4217 币种；`_at` 为 UTC 时刻，`_on` 为业务日期。
每个写请求都带 `Idempotency-Key`：重复发送只返回已存的应答，不会重复执行。
列表分页返回，`next` 为下一页游标。拒绝以问题文档（RFC 9457）返回，含稳定的 `code`，
语言随 `Accept-Language`；全部代码见 [/problems](/problems)。
"""

SECURITY: Final[Json] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session token or, in development, the key that `make up` prints."
        " 会话令牌；开发环境可用 `make up` 打印的密钥。",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "steelyard_session",
        "description": "Set by signing in at `/sign-in`. 在 `/sign-in` 登录后写入。",
    },
    "signed_key": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Steelyard-Key",
        "description": "Machines: the id of an API key. The request is signed with its secret"
        " (HMAC-SHA256), in X-Steelyard-Timestamp, -Nonce and -Signature."
        " 机器调用：API 密钥编号，请求以其密文签名（HMAC-SHA256）。",
    },
}

_SAMPLES: Final = {"text/event-stream": "id: 17\nevent: fact\ndata: {}\n\n"}
_ASKING: Final = frozenset(
    {"reading.<locals>.dependency", "writing.<locals>.dependency", "may_watch"}
)
_METHODS = frozenset({"get", "put", "post", "delete", "patch", "head"})
_MAX_DEPTH = 8
_EDGE: Final = {413: "RequestIsTooLarge", 429: "TooManyRequests"}
_BY_THE_VERIFIER: Final[tuple[type[Refusal], ...]] = (
    signing.SignatureIsIncomplete,
    signing.TimestampIsOff,
    signing.SignatureIsWrong,
    signing.NonceWasUsed,
    api_keys.ApiKeyIsNotValid,
    sessions.SessionHasEnded,
    sessions.RequestIsFromElsewhere,
    RefusedInProduction,
)
"""What any operation may say that finds out who calls, besides that nobody does."""

# Words of the wire, as a reader of finance expects to find them.
_WORDS: Final[tuple[tuple[str, Any], ...]] = (
    (r".*_minor", 128_00),
    (r".*_at", "2026-03-02T09:00:00Z"),
    (r".*_on", "2026-03-02"),
    (r".*_bp", 25),
    (r"currency", "CNY"),
    (r"exponent", 2),
    (r"cause", "no_policy@0"),
    (r"book", "client"),
    (r"country", "CN"),
    (r"language", "zh-CN"),
    (r"next|cursor", "WzE3XQ"),
    (r"(.*_)?hash", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"),
    (r"subject", "account:client/7"),
    (r"code", "492039"),
    (r"from_time", "22:00"),
    (r"until_time", "07:00"),
    (r"phone|value", "+8615400001234"),
    (r"reason|because", "asked for by the customer"),
    (r"password|old", "correct horse battery staple"),
    (r"new", "a longer horse battery staple"),
)


def describe(app: FastAPI) -> None:
    """Let the application answer `/openapi.json` with the completed schema, made once."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            schema = get_openapi(
                title=app.title,
                version=app.version,
                summary=app.summary,
                description=_ABOUT,
                routes=app.routes,
                license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
            )
            app.openapi_schema = complete(schema, set(_asking(app)))
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _asking(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Return path and method of the routes that find out who calls."""
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and _asks(route.dependant):
            for method in route.methods or ():
                yield str(route.path_format), method.lower()


def _asks(dependant: Dependant) -> bool:
    name = getattr(dependant.call, "__qualname__", "")
    return name in _ASKING or any(_asks(inner) for inner in dependant.dependencies)


def operations(schema: Json) -> Iterator[tuple[str, str, Json]]:
    """Return path, method and operation of everything the schema declares."""
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            if method in _METHODS:
                yield path, method, operation


def complete(schema: Json, asking: Collection[tuple[str, str]]) -> Json:
    """Return the schema with tags in both languages, security, the edge's refusals and examples.

    Parameters
    ----------
    asking : path and method of the operations that need a caller
    """
    used = {tag for _, _, operation in operations(schema) for tag in operation.get("tags", ())}
    schema["tags"] = [
        {"name": name, "description": f"{en} {zh}"} for name, en, zh in TAGS if name in used
    ]
    parts = schema.setdefault("components", {})
    parts["securitySchemes"] = SECURITY
    at_the_edge = refusals(RequestIsTooLarge, TooManyRequests)
    parts["responses"] = {name: at_the_edge[status] for status, name in _EDGE.items()}
    for response in parts["responses"].values():
        for content in response["content"].values():
            content["example"] = _problem(content["schema"])
    for path, method, operation in operations(schema):
        needed: list[dict[str, list[str]]] = (
            [{name: []} for name in SECURITY] if (path, method) in asking else []
        )
        operation.setdefault("security", needed)
        if needed:
            _declare(operation["responses"], _BY_THE_VERIFIER)
        # The framework's own summary is the name of the function in capitals.
        if operation["summary"].istitle():
            operation["summary"] = operation["summary"].capitalize()
        _complete(schema, method, operation)
    for name in ("HTTPValidationError", "ValidationError"):
        parts.get("schemas", {}).pop(name, None)
    return schema


def _declare(responses: Json, kinds: Collection[type[Refusal]]) -> None:
    """Add refusals to the responses of an operation, which has some of their statuses already."""
    for kind in kinds:
        response = responses[str(STATUS[kind.kind])]
        content = response["content"][PROBLEM]
        code = content["schema"]["properties"]["code"]
        if kind.code in code["enum"]:
            continue
        properties = {
            **content["schema"]["properties"],
            "code": {**code, "enum": [*code["enum"], kind.code]},
        }
        told = {**content, "schema": {**content["schema"], "properties": properties}}
        responses[str(STATUS[kind.kind])] = {
            **response,
            "description": f"{response['description']}; `{kind.code}`: {kind.en} {kind.zh}",
            "content": {**response["content"], PROBLEM: told},
        }


def _complete(schema: Json, method: str, operation: Json) -> None:
    responses = operation["responses"]
    if operation.get("tags") == ["stripe"]:
        # What is malformed there is told in another form, as 400.
        responses.pop("422", None)
    if "HTTPValidationError" in str(responses.get("422")):
        responses["422"] = refusals()[STATUS[RequestIsMalformed.kind]]
    for status, name in _EDGE.items():
        if status == 429 or method not in ("get", "head", "delete"):
            responses.setdefault(str(status), {"$ref": f"#/components/responses/{name}"})
    for parameter in operation.get("parameters", ()):
        _give_example(schema, parameter, parameter["name"])
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if "example" not in content and "examples" not in content:
            content["example"] = _least(schema, content.get("schema", {}))
    for status, response in responses.items():
        for media, content in response.get("content", {}).items():
            if media == PROBLEM:
                content.setdefault("example", _problem(content["schema"]))
            elif status.startswith("2") and media == "application/json":
                _give_example(schema, content, "")
            elif status.startswith("2"):
                content.setdefault("example", _SAMPLES.get(media, "text"))


def _give_example(schema: Json, place: Json, name: str) -> None:
    """Add an example where the room gave none; an optional parameter is left out by default."""
    if "example" in place or "examples" in place:
        return
    if place.get("in") and not place.get("required"):
        return
    place["example"] = example_of(schema, place.get("schema", {}), name)


def _least(schema: Json, part: Json) -> Any:
    """Return an example of a body without what may be left out, so that it can be sent as it is."""
    if "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    example = example_of(schema, part, "")
    if not isinstance(example, dict) or part.get("examples"):
        return example
    fields = part.get("properties", {})
    return {
        name: value
        for name, value in example.items()
        if name in part.get("required", ())
        or fields[name].get("examples")
        or not _is_null(fields[name])
    }


def _is_null(field: Json) -> bool:
    """Whether a field is null unless something is said."""
    return field.get("default") is None and {"type": "null"} in field.get("anyOf", ())


def _problem(shape: Json) -> Json:
    properties = shape["properties"]
    code = properties["code"]["enum"][0]
    return {
        "type": f"/problems/{code}",
        "title": code.replace("_", " ").capitalize() + ".",
        "status": properties["status"]["const"],
        "code": code,
        "facts": {},
    }


def example_of(schema: Json, part: Json, name: str, depth: int = 0) -> Any:
    """Return a value of the part's form, made of the examples, defaults and names that it states.

    Parameters
    ----------
    schema : the whole, in which references are looked up
    name : of the field or parameter; the naming rules of the house say what it holds
    """
    if "$ref" in part:
        part = schema["components"]["schemas"][part["$ref"].rsplit("/", 1)[1]]
    if part.get("examples"):
        return part["examples"][0]
    for key in ("example", "const"):
        if key in part:
            return part[key]
    if "enum" in part:
        return part["enum"][0]
    if part.get("default") is not None:
        return part["default"]
    for word, value in _WORDS:
        if re.fullmatch(word, name) and _may_be(part, value):
            return value
    for key in ("anyOf", "oneOf", "allOf"):
        if key in part:
            return example_of(schema, part[key][0], name, depth + 1)
    return _of_type(schema, part, name, depth)


def _may_be(part: Json, value: object) -> bool:
    """Whether a word's value is of the part's type, or of one of its types."""
    kinds = {one.get("type") for one in part.get("anyOf", (part,))}
    return ("integer" if isinstance(value, int) else "string") in kinds


def _of_type(schema: Json, part: Json, name: str, depth: int) -> Any:
    kind = part.get("type")
    if kind == "object" and depth < _MAX_DEPTH:
        fields = dict(part.get("properties", {}))
        if not fields and part.get("minProperties"):
            key = example_of(schema, part.get("propertyNames", {"type": "string"}), "key", depth)
            fields = {key: part["additionalProperties"]}
        return {key: example_of(schema, inner, key, depth + 1) for key, inner in fields.items()}
    if kind == "array":
        inner = part.get("items", {})
        return [example_of(schema, inner, name, depth + 1)] if depth < _MAX_DEPTH else []
    if kind == "string":
        return _TEXTS.get(part.get("format", ""), name or "text")
    if kind in ("integer", "number"):
        return int(max(part.get("minimum", 1), part.get("exclusiveMinimum", 0) + 1))
    return {"boolean": True, "object": {}}.get(str(kind))


_TEXTS: Final = {
    "uuid": "0195556e-7a00-7cc3-98c4-dc0c0c07398f",
    "date": "2026-03-02",
    "date-time": "2026-03-02T09:00:00Z",
    "email": "wang@example.org",
    "uri": "https://example.org",
}
