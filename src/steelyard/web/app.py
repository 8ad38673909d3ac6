"""The HTTP application: every room's routes behind one edge."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from steelyard.base import Settings, read_settings
from steelyard.base.http import (
    PROBLEM,
    STATUS,
    RequestIsMalformed,
    language_of,
    problem_of,
)
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web.edge import RateLimit, SecurityHeaders, SizeLimit
from steelyard.web.platform import SteelyardPlatform, open_platform

MAX_BODY_BYTES = 2_000_000
REQUESTS_PER_SECOND = 500.0
BURST = 2_000

Opener = Callable[[Settings], AbstractContextManager[SteelyardPlatform]]


class NoSuchPage(Refusal):
    """No route answers at the path."""

    kind = RefusalKind.NOT_FOUND
    en = "Nothing is found at {path}."
    zh = "{path} 不存在。"


class MethodIsNotAllowed(Refusal):
    """The path is there, the method is not."""

    kind = RefusalKind.INVALID
    en = "{path} does not take {method}."
    zh = "{path} 不支持 {method} 方法。"


def create_app(settings: Settings | None = None, *, opener: Opener = open_platform) -> FastAPI:
    """Return the application; the platform is composed when it starts and taken apart at its end.

    Parameters
    ----------
    settings : those of the environment by default
    opener : composes the platform (tests hand in their own)
    """
    chosen = settings or read_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opener(chosen) as platform:
            app.state.platform = platform
            yield

    app = FastAPI(
        title="Steelyard 权衡",
        version="0.1.0",
        summary="Internet-finance products on one ledger: risk weighed against value",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=_operation_id,
        responses={},
    )
    _answer_refusals(app)
    _mount(app)
    app.add_middleware(SizeLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(RateLimit, rate=REQUESTS_PER_SECOND, burst=BURST)
    app.add_middleware(SecurityHeaders, https=chosen.in_production)
    return app


def _mount(app: FastAPI) -> None:
    """Mount every room's routes."""
    from steelyard.events.http import router as events
    from steelyard.ledger.http import router as ledger
    from steelyard.web.live import router as live
    from steelyard.web.pages import mount_pages
    from steelyard.web.system import router as system

    for router in (system, live, ledger, events):
        app.include_router(router)
    mount_pages(app)


def _operation_id(route: APIRoute) -> str:
    tag = route.tags[0] if route.tags else "system"
    return f"{tag}_{route.name}"


def _answer_refusals(app: FastAPI) -> None:
    def problem(request: Request, refusal: Refusal, status: int | None = None) -> JSONResponse:
        body = problem_of(refusal, language_of(request))
        body["instance"] = f"/requests/{request.scope.get('request_id', '')}"
        code = status or STATUS[refusal.kind]
        body["status"] = code
        return JSONResponse(body, code, media_type=PROBLEM)

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return problem(request, refusal)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        first: dict[str, Any] = dict(error.errors()[0])
        where = ".".join(str(part) for part in first["loc"])
        return problem(request, RequestIsMalformed(where=where, what=first["msg"]))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        if error.status_code == 405:
            return problem(request, MethodIsNotAllowed(path=path, method=request.method), 405)
        return problem(request, NoSuchPage(path=path), error.status_code)
