"""The HTTP application: every room's routes behind one edge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from steelyard.base import Settings, read_settings
from steelyard.base.http import (
    PROBLEM,
    STATUS,
    Platform,
    RequestIsMalformed,
    language_of,
    problem_of,
)
from steelyard.decisions import deciding
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web import live
from steelyard.web.edge import (
    Draining,
    RateLimit,
    SecurityHeaders,
    SizeLimit,
    Telemetry,
    heeding_signals,
)
from steelyard.web.malformed import complaint
from steelyard.web.openapi import describe
from steelyard.web.platform import open_platform

MAX_BODY_BYTES = 2_000_000
REQUESTS_PER_SECOND = 500.0
BURST = 2_000

Opener = Callable[[Settings], AbstractContextManager[Platform]]
Watching = Callable[[Platform], live.LiveSource]


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


def create_app(
    settings: Settings | None = None,
    *,
    opener: Opener = open_platform,
    rooms: Sequence[APIRouter] | None = None,
    watching: Watching = live.DoorSource,
) -> FastAPI:
    """Return the application; the platform is composed when it starts and taken apart at its end.

    Parameters
    ----------
    settings : those of the environment by default
    opener : composes the platform (tests hand in their own)
    rooms : routers of the rooms; all of them by default
    watching : makes what the live page looks at
    """
    chosen = settings or read_settings()
    stop = asyncio.Event()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opener(chosen) as platform, heeding_signals(stop):
            app.state.platform = platform
            app.state.stop = stop
            app.state.features_history = deciding.EntityHistory(platform.database)
            async with live.Feed(watching(platform)) as feed:
                app.state.live = feed
                yield

    app = FastAPI(
        title="Steelyard 权衡",
        version=version("steelyard"),
        summary="Internet-finance products on one ledger: risk weighed against value",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        generate_unique_id_function=_operation_id,
    )
    _answer_refusals(app)
    _mount(app, _every_room() if rooms is None else rooms)
    describe(app)
    app.add_middleware(Draining, stop=stop)
    app.add_middleware(SizeLimit, limit=MAX_BODY_BYTES)
    app.add_middleware(RateLimit, rate=REQUESTS_PER_SECOND, burst=BURST)
    app.add_middleware(Telemetry)
    app.add_middleware(SecurityHeaders, https=chosen.in_production)
    return app


def _every_room() -> Sequence[APIRouter]:
    # Loaded when the application is made: the commands that only read a book do without.
    from steelyard.web.rooms import routers

    return routers()


def _mount(app: FastAPI, rooms: Sequence[APIRouter]) -> None:
    from steelyard.web.pages import mount_pages
    from steelyard.web.system import router as system

    for router in (*rooms, live.router, system):
        app.include_router(router)
    mount_pages(app)


def _operation_id(route: APIRoute) -> str:
    tag = route.tags[0] if route.tags else "system"
    return f"{tag}_{route.name}"


def _answer_refusals(app: FastAPI) -> None:
    def problem(
        request: Request, refusal: Refusal, status: int | None = None, **more: Any
    ) -> JSONResponse:
        body = problem_of(refusal, language_of(request))
        body["instance"] = f"/requests/{request.scope.get('request_id', '')}"
        code = status or STATUS[refusal.kind]
        body["status"] = code
        return JSONResponse(body, code, media_type=PROBLEM, **more)

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return problem(request, refusal)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> JSONResponse:
        where, what = complaint(error.errors()[0], language_of(request))
        return problem(request, RequestIsMalformed(where=where, what=what))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: HTTPException) -> JSONResponse:
        path = request.url.path
        if error.status_code == 405:
            refusal: Refusal = MethodIsNotAllowed(path=path, method=request.method)
            return problem(request, refusal, 405, headers=error.headers)
        if error.status_code == 404:
            return problem(request, NoSuchPage(path=path))
        where, what = complaint({"type": "unreadable", "loc": ("body",)}, language_of(request))
        return problem(request, RequestIsMalformed(where=where, what=what))
