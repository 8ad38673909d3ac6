"""What every room's HTTP side shares: who calls, commands with their key, refusals as problems."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from steelyard.base.crypto import Keyring
from steelyard.base.database import Database, UnitOfWork
from steelyard.base.gate import Gate
from steelyard.base.idempotency import (
    Answer,
    IdempotencyKeyWasUsed,
    RequestIsInFlight,
    idempotent,
    idempotent_in_steps,
)
from steelyard.base.settings import Settings
from steelyard.kernel import Page, Refusal, RefusalKind

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")

PROBLEM = "application/problem+json"
STATUS: Mapping[RefusalKind, int] = {
    RefusalKind.INVALID: 422,
    RefusalKind.UNAUTHENTICATED: 401,
    RefusalKind.FORBIDDEN: 403,
    RefusalKind.NOT_FOUND: 404,
    RefusalKind.CONFLICT: 409,
    RefusalKind.TOO_MANY: 429,
    RefusalKind.TOO_LARGE: 413,
    RefusalKind.UNAVAILABLE: 503,
}
MAX_PAGE = 200


class NotSignedIn(Refusal):
    """The request shows nobody."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "Sign in, or sign the request with an API key."
    zh = "请先登录，或使用 API 密钥对请求签名。"


class NotEntitled(Refusal):
    """The caller may not use the verb."""

    kind = RefusalKind.FORBIDDEN
    en = "{actor} is not entitled to {verb}."
    zh = "{actor} 没有 {verb} 的权限。"


class IdempotencyKeyIsMissing(Refusal):
    """A write came without its key."""

    kind = RefusalKind.INVALID
    en = "Send an Idempotency-Key header (1 to 200 characters) with every write."
    zh = "每个写请求都必须带 Idempotency-Key 头（1 到 200 个字符）。"


class RequestIsMalformed(Refusal):
    """The request does not have the form that the verb declares."""

    kind = RefusalKind.INVALID
    en = "The request is malformed at {where}: {what}."
    zh = "请求格式有误（{where}）：{what}。"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as the request verifier found out.

    Attributes
    ----------
    actor : `staff:<uuid>`, `key:<id>`, `party:<uuid>` ...; written into facts and the audit trail
    entitlements : verbs allowed, `room.verb`; `*` allows all, `room.*` all of a room
    party : the party that the caller is or acts for, None for staff
    """

    actor: str
    entitlements: frozenset[str]
    party: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)

    def may(self, verb: str) -> bool:
        """Whether the verb is among the entitlements."""
        room = verb.split(".", 1)[0]
        return bool({verb, f"{room}.*", "*"} & self.entitlements)

    def require(self, verb: str) -> None:
        """Refuse unless the caller may.

        Refusals
        --------
        not_entitled
        """
        if not self.may(verb):
            raise NotEntitled(actor=self.actor, verb=verb)


class Verifier(Protocol):
    """Finds out who sends a request: by session, by signature, or not at all."""

    def verify(self, request: Request, body: bytes) -> Caller:
        """Return the caller, or refuse with `not_signed_in` or something more exact."""
        ...


class Platform(Protocol):
    """What the composition root hands to the routes, under `app.state.platform`."""

    @property
    def settings(self) -> Settings: ...  # noqa: D102
    @property
    def database(self) -> Database: ...  # noqa: D102
    @property
    def keyring(self) -> Keyring: ...  # noqa: D102
    @property
    def gate(self) -> Gate: ...  # noqa: D102
    @property
    def verifier(self) -> Verifier: ...  # noqa: D102


def platform_of(request: Request) -> Any:
    """Return the platform that the application was composed with."""
    return request.app.state.platform


async def body_of(request: Request) -> bytes:
    """Return the raw body, which idempotency and signatures are about."""
    return await request.body()


@dataclass(frozen=True, slots=True)
class Read:
    """A question by somebody entitled to ask it."""

    platform: Any
    caller: Caller
    language: str

    @property
    def database(self) -> Database:
        """The database."""
        database: Database = self.platform.database
        return database


@dataclass(frozen=True, slots=True)
class Write:
    """A command by somebody entitled to give it, with its idempotency key."""

    platform: Any
    caller: Caller
    language: str
    verb: str
    path: str
    key: str
    body: bytes

    @property
    def database(self) -> Database:
        """The database."""
        database: Database = self.platform.database
        return database

    @property
    def scope(self) -> str:
        """Whose key it is: equal keys of two callers, verbs or paths are strangers."""
        return f"{self.caller.actor} {self.verb} {self.path}"

    def run(self, work: Callable[[UnitOfWork], BaseModel], *, status: int = 200) -> Response:
        """Do the command in one transaction, once for its key, and answer with the model."""
        answer = idempotent(
            self.database,
            scope=self.scope,
            key=self.key,
            body=self.body,
            actor=self.caller.actor,
            work=lambda unit: Answer(status, _encode(work(unit))),
        )
        return _respond(answer)

    def run_in_steps(self, work: Callable[[], BaseModel], *, status: int = 200) -> Response:
        """Do a command of several transactions, once for its key (see `idempotent_in_steps`)."""
        answer = idempotent_in_steps(
            self.database,
            scope=self.scope,
            key=self.key,
            body=self.body,
            work=lambda: Answer(status, _encode(work())),
        )
        return _respond(answer)


def _encode(model: BaseModel) -> bytes:
    return model.model_dump_json().encode()


def _respond(answer: Answer) -> Response:
    headers = {"Idempotency-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, "application/json")


ONCE = "shown once: null when the same request is repeated"


def run_with_secrets(
    write: Write,
    work: Callable[[UnitOfWork], tuple[BaseModel, dict[str, Any]]],
    *,
    status: int = 200,
) -> Response:
    """Run a command whose answer holds secrets: what is stored for a repeat is without them."""
    shown: dict[str, Any] = {}

    def without(unit: UnitOfWork) -> BaseModel:
        model, secrets = work(unit)
        shown.clear()
        shown.update(secrets)
        return model

    answer = write.run(without, status=status)
    if not shown:
        return answer
    body = json.loads(bytes(answer.body)) | shown
    return Response(
        json.dumps(body, ensure_ascii=False).encode(),
        status,
        {"Cache-Control": "no-store"},
        "application/json",
    )


def language_of(request: Request) -> str:
    """Return `zh-CN` or `en`, whichever the Accept-Language header likes better."""
    best, best_weight = "en", 0.0
    for part in request.headers.get("accept-language", "").split(","):
        tag, _, weight = part.strip().partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        language = {"zh": "zh-CN", "en": "en"}.get(tag.lower()[:2])
        if language and quality > best_weight:
            best, best_weight = language, quality
    return best


def reading(verb: str) -> Any:
    """Return the dependency of a route that only reads: `Annotated[Read, reading("room.verb")]`."""

    def dependency(request: Request, body: Annotated[bytes, Depends(body_of)]) -> Read:
        platform = platform_of(request)
        caller = platform.verifier.verify(request, body)
        caller.require(verb)
        return Read(platform, caller, language_of(request))

    return Depends(dependency)


def writing(verb: str) -> Any:
    """Return the dependency of a route that writes: `Annotated[Write, writing("room.verb")]`.

    Refusals
    --------
    not_signed_in, not_entitled, idempotency_key_is_missing
    """

    def dependency(
        request: Request,
        body: Annotated[bytes, Depends(body_of)],
        key: Annotated[str | None, Header(alias="Idempotency-Key")] = None,
    ) -> Write:
        platform = platform_of(request)
        caller = platform.verifier.verify(request, body)
        caller.require(verb)
        if not key or len(key) > 200:
            raise IdempotencyKeyIsMissing
        return Write(platform, caller, language_of(request), verb, request.url.path, key, body)

    return Depends(dependency)


Cursor = Annotated[str | None, Query(description="cursor of the next page")]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="items on a page")]


class BodyIn(BaseModel):
    """The body of a request: a field that it does not have is refused, not ignored."""

    model_config = ConfigDict(extra="forbid")


class PageOut(BaseModel):
    """One page: subclass with `items: list[Item]`."""

    next: str | None = Field(None, description="cursor of the next page, null on the last")


def page_out(kind: type[M], page: Page[T], turn: Callable[[T], BaseModel]) -> M:
    """Return the wire form of a page."""
    return kind(items=[turn(item) for item in page.items], next=page.next)


def problem_of(refusal: Refusal, language: str) -> dict[str, object]:
    """Return a refusal as a problem document (RFC 9457), in the reader's language."""
    return {
        "type": f"/problems/{refusal.code}",
        "title": refusal.sentence(language),
        "status": STATUS[refusal.kind],
        "code": refusal.code,
        "facts": {k: _plain(v) for k, v in refusal.facts.items()},
    }


def _plain(value: object) -> object:
    return value if isinstance(value, (int, float, bool, list, dict, type(None))) else str(value)


_ALWAYS: tuple[type[Refusal], ...] = (NotSignedIn, NotEntitled, RequestIsMalformed)
_ON_WRITES = (IdempotencyKeyIsMissing, IdempotencyKeyWasUsed, RequestIsInFlight)


def refusals(*kinds: type[Refusal], write: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return the `responses=` of a route: its refusals, typed, with both sentences.

    Parameters
    ----------
    kinds : refusal classes that the verb can raise; those of every route are added
    write : whether the route takes an idempotency key
    """
    by_status: dict[int, list[type[Refusal]]] = {}
    for kind in (*_ALWAYS, *(_ON_WRITES if write else ()), *kinds):
        by_status.setdefault(STATUS[kind.kind], []).append(kind)
    return {
        status: {
            "description": "; ".join(f"`{k.code}`: {k.en} {k.zh}" for k in classes),
            "content": {PROBLEM: {"schema": _schema(status, tuple(k.code for k in classes))}},
        }
        for status, classes in sorted(by_status.items())
    }


def _schema(status: int, codes: tuple[str, ...]) -> dict[str, Any]:
    """Return the JSON schema of a problem whose code is one of a few: clients get a union."""
    return {
        "title": f"Problem{status}",
        "type": "object",
        "required": ["type", "title", "status", "code", "facts"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference"},
            "title": {"type": "string", "description": "the sentence, in the reader's language"},
            "status": {"const": status},
            "code": {"enum": list(codes)},
            "facts": {"type": "object", "additionalProperties": True},
        },
    }
