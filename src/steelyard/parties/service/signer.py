"""Signing requests, for programs that call the platform with an API key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator

import httpx

from steelyard.parties.model.signature import (
    KEY,
    NONCE,
    SIGNATURE,
    SKEW,
    TIMESTAMP,
    NonceWasUsed,
    SignatureIsIncomplete,
    SignatureIsWrong,
    TimestampIsOff,
    sign,
    signature_of,
)

__all__ = [
    "KEY",
    "NONCE",
    "SIGNATURE",
    "SKEW",
    "TIMESTAMP",
    "NonceWasUsed",
    "RequestSigner",
    "SignatureIsIncomplete",
    "SignatureIsWrong",
    "TimestampIsOff",
    "sign",
    "signature_of",
]


class RequestSigner(httpx.Auth):
    """Signs every request of an `httpx` client: `httpx.Client(auth=RequestSigner(id, secret))`.

    Each try is signed afresh: a request that is sent again has a nonce of its own, and keeps its
    Idempotency-Key.

    Parameters
    ----------
    key : id of the API key; secret : its secret
    now : Unix time in seconds
    """

    requires_request_body = True

    def __init__(self, key: str, secret: str, *, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._secret = secret
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the four headers on the request."""
        headers = sign(
            self._secret,
            request.method,
            request.url.raw_path.decode("ascii"),
            request.content,
            key=self._key,
            timestamp=int(self._now()),
            nonce=secrets.token_urlsafe(18),
        )
        request.headers.update(headers)
        yield request
