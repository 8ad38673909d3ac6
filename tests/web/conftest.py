"""The made-up application behind a real server, and a client that may do everything."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.web.fixture import BEARER, Town, compose, serve
from tests.web.toys import router as toys


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of the application with a room of toys; its town stands still after a minute."""
    with serve(compose(Town(now=lambda: 60.0), rooms=(toys,))) as url:
        yield url


@pytest.fixture(scope="module")
def toy_client(address: str) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=address, headers={"authorization": BEARER}, timeout=30) as client:
        yield client
