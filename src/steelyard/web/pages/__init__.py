"""The pages that the platform shows to people: files of the package, without a build step.

The files of `assets` are served under a folder named by the hash of all of them, so that a browser
may keep them for ever. The pages themselves are filled in on the server with the texts of the
reader's language; the reader's choice is kept in a cookie.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from steelyard.base.http import language_of

LANGUAGE_COOKIE: Final = "steelyard_language"
_LANGUAGES: Final = ("en", "zh-CN")
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_SLOT = re.compile(r"\{\{(\w+)\}\}")
_SHOWN: Final = ["GET", "HEAD"]
_FOR_EVER = "public, max-age=31536000, immutable"
_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; font-src 'self' data:;"
    " frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent: its media type, its bytes, and the same compressed."""

    media_type: str
    plain: bytes
    compressed: bytes


@dataclass(frozen=True, slots=True)
class Pages:
    """The templates, texts and assets of the package.

    Attributes
    ----------
    digest : names the version of the assets
    texts : language to name to text
    """

    digest: str
    templates: dict[str, str]
    assets: dict[str, Asset]
    texts: dict[str, dict[str, str]]

    def render(self, name: str, language: str, **slots: str) -> str:
        """Return a page with its slots `{{name}}` filled from the slots given, then the texts.

        The slots given are HTML already; texts are escaped here.
        """
        known = {
            **{key: escape(text) for key, text in self.texts[language].items()},
            "assets": f"/assets/{self.digest}",
            "language": language,
            **slots,
        }
        frame = _SLOT.sub(lambda slot: known[slot[1]], self.templates[name])
        if name == "frame.html":
            return frame
        head, _, body = frame.partition("<!-- body -->")
        return self.render("frame.html", language, head=head, body=body, page=name[:-5])


@cache
def pages() -> Pages:
    """Return the pages of the package, read once."""
    root = resources.files(__name__)
    own = {file.name: file for file in root.joinpath("assets").iterdir() if file.is_file()}
    swagger = resources.files("fastapi_swagger.resources")
    for name in ("swagger-ui-bundle.js", "swagger-ui.css"):
        own[name] = swagger.joinpath(name)
    assets = {name: _asset(name, file) for name, file in sorted(own.items())}
    digest = hashlib.sha256()
    for name, asset in assets.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(asset.plain).digest())
    written: dict[str, dict[str, str]] = json.loads(assets["texts.json"].plain)
    return Pages(
        digest=digest.hexdigest()[:16],
        templates={
            file.name: file.read_text("utf-8")
            for file in root.iterdir()
            if file.name.endswith(".html")
        },
        assets=assets,
        texts={
            language: {key: both[language] for key, both in written.items()}
            for language in _LANGUAGES
        },
    )


def _asset(name: str, file: Traversable) -> Asset:
    plain = file.read_bytes()
    return Asset(_TYPES["." + name.rsplit(".", 1)[1]], plain, gzip.compress(plain, 6, mtime=0))


def page_language(request: Request) -> str:
    """Return the language that the reader chose on a page, else what the browser asks for."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return chosen if chosen in _LANGUAGES else language_of(request)


def page(request: Request, name: str, **slots: str) -> HTMLResponse:
    """Return a page in the reader's language."""
    language = page_language(request)
    headers = {
        "content-language": language,
        "vary": "Accept-Language, Cookie, Accept",
        "cache-control": "no-cache",
    }
    return HTMLResponse(pages().render(name, language, **slots), headers=headers)


def mount_pages(app: FastAPI) -> None:
    """Mount the pages and their files; they are no part of the API's schema."""

    def show(path: str, name: str, policy: str | None = None) -> None:
        def answer(request: Request) -> Response:
            shown = page(request, name)
            if policy is not None:
                shown.headers["content-security-policy"] = policy
            return shown

        app.api_route(path, methods=_SHOWN, include_in_schema=False, name=name)(answer)

    show("/", "live.html")
    show("/sign-in", "sign-in.html")
    show("/docs", "docs.html", _DOCS_POLICY)

    @app.api_route("/assets/{digest}/{name}", methods=_SHOWN, include_in_schema=False)
    async def asset(digest: str, name: str, request: Request) -> Response:
        return _send(request, name, is_kept=digest == pages().digest)

    @app.api_route("/favicon.ico", methods=_SHOWN, include_in_schema=False)
    async def favicon(request: Request) -> Response:
        return _send(request, "mark.svg", is_kept=False)


def _send(request: Request, name: str, *, is_kept: bool) -> Response:
    found = pages().assets.get(name)
    if found is None:
        raise HTTPException(404)
    headers = {
        "cache-control": _FOR_EVER if is_kept else "no-cache",
        "vary": "Accept-Encoding",
    }
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(found.compressed, headers=headers, media_type=found.media_type)
    return Response(found.plain, headers=headers, media_type=found.media_type)
