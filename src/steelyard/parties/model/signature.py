"""Signed requests: what is signed, and how (HMAC-SHA256, RFC 2104)."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from steelyard.kernel import Refusal, RefusalKind

KEY = "X-Steelyard-Key"
TIMESTAMP = "X-Steelyard-Timestamp"
NONCE = "X-Steelyard-Nonce"
SIGNATURE = "X-Steelyard-Signature"
SKEW = timedelta(seconds=300)
_SCHEME = "STEELYARD-HMAC-SHA256"
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignatureIsIncomplete(Refusal):
    """A signed request has four headers."""

    kind = RefusalKind.UNAUTHENTICATED
    en = (
        "A signed request has X-Steelyard-Key, -Timestamp (Unix seconds),"
        " -Nonce (16 to 64 letters, digits, _ or -) and -Signature (64 hex digits)."
    )
    zh = (
        "签名请求须带 X-Steelyard-Key、-Timestamp（Unix 秒）、"
        "-Nonce（16 到 64 个字符）和 -Signature（64 位十六进制）。"
    )


class SignatureIsWrong(Refusal):
    """The signature is not that of the request with the key's secret."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The signature does not fit the request and the key."
    zh = "签名与请求或密钥不符。"


class TimestampIsOff(Refusal):
    """The clock of the caller and ours are too far apart, or the request is old."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The timestamp is {seconds} s off; at most {most} s are allowed."
    zh = "时间戳相差 {seconds} 秒，最多允许 {most} 秒。"


class NonceWasUsed(Refusal):
    """The very request came before."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The nonce was used before; sign each request with a fresh one."
    zh = "随机数已被使用，请为每个请求使用新的随机数。"


@dataclass(frozen=True, slots=True)
class SignedHeaders:
    """The four headers of a signed request, checked for their form."""

    key: str
    timestamp: int
    nonce: str
    signature: str


def read_signed_headers(headers: Mapping[str, str]) -> SignedHeaders:
    """Return the four headers.

    Parameters
    ----------
    headers : a mapping that does not look at letter case, or has the exact names

    Refusals
    --------
    signature_is_incomplete
    """
    key, timestamp = headers.get(KEY, ""), headers.get(TIMESTAMP, "")
    nonce, signature = headers.get(NONCE, ""), headers.get(SIGNATURE, "")
    is_formed = key and _TIMESTAMP.fullmatch(timestamp) and _NONCE.fullmatch(nonce)
    if not is_formed or len(signature) != 64:
        raise SignatureIsIncomplete
    return SignedHeaders(key, int(timestamp), nonce, signature)


def signature_of(
    secret: str, method: str, path: str, body: bytes, *, timestamp: int, nonce: str
) -> str:
    """Return the signature of a request, 64 hex digits.

    Signed are five lines after the name of the scheme: the method in capitals, path and query
    exactly as sent (a question mark with nothing behind it is left out), the Unix time in seconds,
    the nonce, and SHA-256 of the body in hex; joined by line feeds, without one at the end. The
    key of the HMAC is the secret's text in UTF-8.

    Examples
    --------
    >>> signature_of("sk_x", "get", "/v1/audit?limit=2", b"", timestamp=0, nonce="n" * 16)[:16]
    'add74123f0d49c65'
    """
    digest = hashlib.sha256(body).hexdigest()
    bare, _, query = path.partition("?")
    path = path if query else bare
    text = f"{_SCHEME}\n{method.upper()}\n{path}\n{timestamp}\n{nonce}\n{digest}"
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def sign(
    secret: str,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: str,
    timestamp: int,
    nonce: str,
) -> dict[str, str]:
    """Return the four headers of a signed request.

    Parameters
    ----------
    path : with the query, exactly as it will be sent
    key : id of the API key; timestamp : Unix seconds; nonce : never used before with this key
    """
    signature = signature_of(secret, method, path, body, timestamp=timestamp, nonce=nonce)
    return {KEY: key, TIMESTAMP: str(timestamp), NONCE: nonce, SIGNATURE: signature}


def check_timestamp(timestamp: int, now: float) -> None:
    """Check that a request is of our present, by the real clock.

    Refusals
    --------
    timestamp_is_off
    """
    off = abs(timestamp - now)
    if off > SKEW.total_seconds():
        raise TimestampIsOff(seconds=round(off), most=round(SKEW.total_seconds()))
