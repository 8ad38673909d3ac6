"""Health, readiness, metrics, and the list of refusals."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, Field

from steelyard.base.health import readiness
from steelyard.base.http import language_of, platform_of, refusals
from steelyard.base.telemetry.metrics import expose
from steelyard.kernel import Refusal, RefusalKind
from steelyard.web.pages import page, page_language
from steelyard.web.problems import every_refusal, room_of, status_of

router = APIRouter(tags=["system"])


class NoSuchProblem(Refusal):
    """No refusal has the code."""

    kind = RefusalKind.NOT_FOUND
    en = "No refusal has the code {code}."
    zh = "没有代码为 {code} 的拒绝。"


class Health(BaseModel):
    """The process answers."""

    status: str = Field(examples=["alive"])


class CheckOut(BaseModel):
    """One thing that was looked at, and how to mend it where it is not well."""

    name: str = Field(examples=["database"])
    ok: bool = Field(examples=[True])
    vital: bool = Field(examples=[True])
    detail: str = Field(examples=["PostgreSQL 18"])
    mend: str = Field(examples=[""])


class ReadinessOut(BaseModel):
    """Whether this process can do its work, and what that was judged by."""

    ok: bool = Field(examples=[True])
    checks: list[CheckOut]


class ProblemOut(BaseModel):
    """A refusal as part of the contract; its sentences have places for facts."""

    code: str = Field(examples=["not_entitled"])
    type: str = Field(examples=["/problems/not_entitled"])
    kind: str = Field(examples=["forbidden"])
    status: int = Field(examples=[403])
    room: str = Field(examples=["base"])
    en: str = Field(examples=["{actor} is not entitled to {verb}."])
    zh: str = Field(examples=["{actor} 没有 {verb} 的权限。"])


class ProblemsOut(BaseModel):
    """Every refusal, in the order of the codes."""

    items: list[ProblemOut]


@router.get("/healthz", summary="Whether the process lives 进程是否存活")
async def healthz() -> Health:
    """Answer as long as the process runs, whatever it depends on."""
    return Health(status="alive")


@router.get(
    "/readyz",
    response_model=ReadinessOut,
    summary="Whether the process can do its work 是否就绪",
    responses={503: {"model": ReadinessOut, "description": "A check failed. 有检查未通过。"}},
)
def readyz(request: Request) -> Any:
    """Check the database and what else the process cannot work without."""
    platform = platform_of(request)
    home = platform.settings.home
    found = readiness(platform.database, home=home if home.is_dir() else None)
    is_chinese = language_of(request) == "zh-CN"
    checks = [
        CheckOut(
            name=check.name,
            ok=check.ok,
            vital=check.vital,
            detail=check.detail,
            mend="" if check.ok else check.mend_zh if is_chinese else check.mend_en,
        )
        for check in found.checks
    ]
    answer = ReadinessOut(ok=found.ok, checks=checks)
    return answer if found.ok else JSONResponse(answer.model_dump(), 503)


@router.get(
    "/metrics",
    summary="Counts and times for Prometheus 指标",
    response_class=PlainTextResponse,
    responses={
        200: {"content": {"text/plain": {"example": "steelyard_http_requests_total{...} 42.0\n"}}}
    },
)
def metrics() -> Response:
    """Return the metrics of all processes in the text format of Prometheus."""
    body, media_type = expose()
    return Response(body, media_type=media_type)


@router.get(
    "/problems",
    response_model=ProblemsOut,
    summary="Every refusal with its sentences 全部拒绝代码",
)
def problems(request: Request) -> Any:
    """List the refusals: as a page for people, as JSON for programs."""
    listed = [_problem(kind) for kind in every_refusal().values()]
    if _wants_page(request):
        language = page_language(request)
        rows = "".join(_row(described, language) for described in listed)
        return page(request, "problems.html", rows=rows, count=str(len(listed)))
    return ProblemsOut(items=listed)


@router.get(
    "/problems/{code}",
    response_model=ProblemOut,
    summary="One refusal 单个拒绝代码",
    responses={404: refusals(NoSuchProblem)[404]},
)
def problem(request: Request, code: str) -> Any:
    """Describe one refusal: this is where the `type` of a problem document leads."""
    kind = every_refusal().get(code)
    if kind is None:
        raise NoSuchProblem(code=code)
    described = _problem(kind)
    if _wants_page(request):
        facts = {name: escape(str(value)) for name, value in described.model_dump().items()}
        facts["about"] = escape((kind.__doc__ or "").strip().split("\n", 1)[0])
        return page(request, "problem.html", **facts)
    return described


def _problem(kind: type[Refusal]) -> ProblemOut:
    return ProblemOut(
        code=kind.code,
        type=f"/problems/{kind.code}",
        kind=kind.kind.value,
        status=status_of(kind),
        room=room_of(kind),
        en=kind.en,
        zh=kind.zh,
    )


def _wants_page(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _row(described: ProblemOut, language: str) -> str:
    sentence = described.zh if language == "zh-CN" else described.en
    code = escape(described.code)
    return (
        f'<tr><td><a href="/problems/{code}"><code>{code}</code></a></td>'
        f'<td class="number">{described.status}</td><td>{escape(described.room)}</td>'
        f"<td>{escape(sentence)}</td></tr>"
    )
