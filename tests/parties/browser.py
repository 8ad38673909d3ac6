"""The access side as a browser or a program sees it: cookies, headers, problems."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from steelyard.base import NoPolicyGate
from steelyard.base.http import language_of, problem_of
from steelyard.kernel import Refusal
from steelyard.parties.http import router
from tests.parties.office import Office, Person


def application(office: Office, **changes: Any) -> FastAPI:
    """The routes of the parties over an office; `changes` are settings."""
    app = FastAPI()
    app.include_router(router)
    app.state.platform = SimpleNamespace(
        settings=office.settings,
        database=office.database,
        keyring=office.keyring,
        gate=NoPolicyGate(),
        verifier=office.verifier(**changes),
        identity_provider=None,
    )

    @app.exception_handler(Refusal)
    def refused(request: Request, refusal: Refusal) -> JSONResponse:
        problem = problem_of(refusal, language_of(request))
        return JSONResponse(problem, problem["status"])  # type: ignore[arg-type]

    return app


class Browser:
    """Keeps cookies, and marks its writes as a page of ours does."""

    def __init__(self, app: FastAPI, *, auth: httpx.Auth | None = None) -> None:
        self.app = app
        self.auth = auth
        self.cookies = httpx.Cookies()
        self.headers = {"X-Steelyard-CSRF": "1"}

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, client=("203.0.113.9", 5))
            async with httpx.AsyncClient(
                transport=transport,
                base_url="https://bank.example",
                cookies=self.cookies,
                auth=self.auth,
            ) as http:
                headers = {**self.headers, "Idempotency-Key": uuid4().hex}
                headers |= more.pop("headers", {})
                answer = await http.request(method, path, json=body, headers=headers, **more)
                self.cookies = http.cookies
                return answer

        return asyncio.run(run())

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.request("GET", path, params=query)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request("POST", path, body or {}, **more)

    def sign_in(self, office: Office, person: Person, **more: Any) -> httpx.Response:
        told = {"user_name": person.user_name, "password": person.password, **more}
        answer = self.post("/v1/access/sign-in/password", told)
        if answer.status_code != 200 or answer.json()["session"] is not None:
            return answer
        told = {"pending": answer.json()["pending"], "code": office.code(person), **more}
        answer = self.post("/v1/access/sign-in/code", told)
        office.later(seconds=30)
        return answer


def code_of(answer: httpx.Response) -> tuple[int, str]:
    """The status and the code of a problem."""
    return answer.status_code, answer.json().get("code", "")
