"""Signing requests, for programs that call the platform with an API key."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Generator

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from steelyard.parties.model.signature import (
    ED25519,
    KEY,
    NONCE,
    SIGNATURE,
    SKEW,
    TIMESTAMP,
    NonceWasUsed,
    SignatureIsIncomplete,
    SignatureIsWrong,
    TimestampIsOff,
    ed25519_signature_of,
    sign,
    sign_ed25519,
    signature_of,
)

__all__ = [
    "ED25519",
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
    "ed25519_signature_of",
    "sign",
    "sign_ed25519",
    "signature_of",
]


class RequestSigner(httpx.Auth):
    """Signs every request of an `httpx` client: `httpx.Client(auth=RequestSigner(id, secret))`.

    Each try is signed afresh: a request that is sent again has a nonce of its own, and keeps its
    Idempotency-Key.

    Parameters
    ----------
    key : id of the API key; secret : its secret, or the private key of an Ed25519 pair
    now : Unix time in seconds
    """

    requires_request_body = True

    def __init__(
        self,
        key: str,
        secret: str | Ed25519PrivateKey,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._secret = secret
        self._now = now

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the four headers on the request."""
        method, path = request.method, request.url.raw_path.decode("ascii")
        now, nonce = int(self._now()), secrets.token_urlsafe(18)
        if isinstance(self._secret, str):
            headers = sign(
                self._secret,
                method,
                path,
                request.content,
                key=self._key,
                timestamp=now,
                nonce=nonce,
            )
        else:
            headers = sign_ed25519(
                self._secret,
                method,
                path,
                request.content,
                key=self._key,
                timestamp=now,
                nonce=nonce,
            )
        request.headers.update(headers)
        yield request
