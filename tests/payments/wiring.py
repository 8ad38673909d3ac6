"""Requests to some routes of payments, as a server would answer them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base.http import Caller, language_of, problem_of
from steelyard.kernel import Refusal

STAFF = Caller("staff:00000000-0000-7000-8000-00000000000a", frozenset({"payments.*"}))


class Wire:
    """Sends requests as `platform.caller` to the routes of some routers."""

    def __init__(self, platform: Any, *routers: APIRouter) -> None:
        self.platform = platform
        self._app = FastAPI()
        for router in routers:
            self._app.include_router(router)
        self._app.state.platform = platform

        @self._app.exception_handler(Refusal)
        def refused(request: Request, refusal: Refusal) -> JSONResponse:
            problem = problem_of(refusal, language_of(request))
            return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Return the answer to a request of `/v1/payments`."""

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
                return await http.request(method, f"/v1/payments{path}", **more)

        return asyncio.run(run())

    def post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """Return the answer to a write, under a key of its own."""
        headers = {"Idempotency-Key": uuid4().hex}
        return self.request("POST", path, json=body, headers=headers)

    def get(self, path: str) -> Any:
        """Return what a read shows."""
        return self.request("GET", path).json()
