"""A real browser on the machine, and pages that must not complain."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.web.fixture import Town, compose, serve
from tests.web.toys import router as toys

_NAMES = (
    "chromium",
    "chromium-browser",
    "google-chrome-stable",
    "google-chrome",
    "microsoft-edge",
)
NO_BROWSER = (
    "no browser on this machine: the page tests are skipped"
    " (scripts/browser installs one; STEELYARD_BROWSER names one)"
)


def find_browser() -> str | None:
    """The program named by STEELYARD_BROWSER, else the first browser that is installed."""
    named = os.environ.get("STEELYARD_BROWSER")
    names = (named,) if named else _NAMES
    return next((path for name in names if (path := shutil.which(name))), None)


# Of a module and not of the session: while Playwright is started an event loop runs in this thread,
# and the tests of other modules that run after would find it.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    if program is None:
        pytest.skip(NO_BROWSER)
    with sync_playwright() as playwright:
        # Chromium's own sandbox refuses to run as root; the pages are ours.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@dataclass
class Watched:
    """Pages that were opened, and what went wrong on them."""

    complaints: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    expected: tuple[str, ...] = ()

    def watch(self, page: Page, address: str) -> None:
        host = urlsplit(address).netloc

        def heard(message: Any) -> None:
            text = message.text
            if message.type in ("error", "warning") and not any(e in text for e in self.expected):
                self.complaints.append(text)

        page.on("console", heard)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if urlsplit(request.url).netloc == host or request.url.startswith("data:")
                else self.strangers.append(request.url)
            ),
        )


class Clock:
    def __init__(self) -> None:
        self.now = 600.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def town(clock: Clock) -> Town:
    return Town(now=clock)


@pytest.fixture
def address(town: Town) -> Iterator[str]:
    with serve(compose(town, rooms=(toys,))) as url:
        yield url


Opener = Callable[..., Page]


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def open_page(browser: Browser, watched: Watched, address: str) -> Iterator[Opener]:
    """Open a page; at the end nothing may have failed on it, nor been asked of a stranger.

    The server of `address` is there for longer than the pages.
    """
    with ExitStack() as stack:

        def open_it(address: str, path: str = "/", **context: Any) -> Page:
            made = browser.new_context(
                **{"locale": "en-US", "timezone_id": "Asia/Shanghai", **context}
            )
            stack.callback(made.close)
            page = made.new_page()
            page.set_default_timeout(15_000)
            watched.watch(page, address)
            page.goto(address + path)
            return page

        yield open_it
    assert watched.strangers == []
    assert watched.complaints == []
