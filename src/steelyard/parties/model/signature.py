"""Signed requests: what is signed, and how.

Two schemes share the four headers: HMAC-SHA256 (RFC 2104) with a secret that both sides have, and
Ed25519 (RFC 8032) with a pair of keys of which we are given the public half only.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from steelyard.kernel import Refusal, RefusalKind

KEY = "X-Steelyard-Key"
TIMESTAMP = "X-Steelyard-Timestamp"
NONCE = "X-Steelyard-Nonce"
SIGNATURE = "X-Steelyard-Signature"
SKEW = timedelta(seconds=300)
_SCHEME = "STEELYARD-HMAC-SHA256"
_ED25519_SCHEME = "STEELYARD-ED25519"
ED25519 = "ed25519="
"""What a signature of the second scheme begins with; 128 hex digits follow."""
_WRITTEN_SIGNATURE = re.compile(rf".{{64}}|{ED25519}[0-9a-f]{{128}}")
_RAW_PUBLIC = re.compile(r"[0-9a-fA-F]{64}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class SignatureIsIncomplete(Refusal):
    """A signed request has four headers."""

    kind = RefusalKind.UNAUTHENTICATED
    en = (
        "A signed request has X-Steelyard-Key, -Timestamp (Unix seconds),"
        " -Nonce (16 to 64 letters, digits, _ or -) and -Signature (64 hex digits, or ed25519="
        " and 128)."
    )
    zh = (
        "签名请求须带 X-Steelyard-Key、-Timestamp（Unix 秒）、"
        "-Nonce（16 到 64 个字符）和 -Signature（64 位十六进制，或 ed25519= 加 128 位）。"
    )


class SignatureIsWrong(Refusal):
    """The signature is not that of the request with the key's secret."""

    kind = RefusalKind.UNAUTHENTICATED
    en = "The signature does not fit the request and the key."
    zh = "签名与请求或密钥不符。"


class PublicKeyIsInvalid(Refusal):
    """The text is not the public half of an Ed25519 pair."""

    kind = RefusalKind.INVALID
    en = (
        "Give the public key of an Ed25519 pair, as PEM or as 64 hex digits; never the private one."
    )
    zh = "请提供 Ed25519 公钥（PEM 或 64 位十六进制），切勿提供私钥。"


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
    if not is_formed or not _WRITTEN_SIGNATURE.fullmatch(signature):
        raise SignatureIsIncomplete
    return SignedHeaders(key, int(timestamp), nonce, signature)


def signature_of(
    secret: str, method: str, path: str, body: bytes, *, timestamp: int, nonce: str
) -> str:
    """Return the signature of a request, 64 hex digits.

    Signed are five lines after the name of the scheme, `STEELYARD-HMAC-SHA256`: the method in
    capitals, path and query exactly as sent (a question mark with nothing behind it is left out),
    the Unix time in seconds, the nonce, and SHA-256 of the body in hex; joined by line feeds,
    without one at the end. The key of the HMAC is the secret's text in UTF-8.

    Examples
    --------
    >>> signature_of("sk_x", "get", "/v1/audit?limit=2", b"", timestamp=0, nonce="n" * 16)[:16]
    'add74123f0d49c65'
    """
    text = _signed_text(_SCHEME, method, path, body, moment=f"{timestamp}\n{nonce}")
    return hmac.digest(secret.encode(), text, "sha256").hex()


def ed25519_signature_of(
    private_key: Ed25519PrivateKey,
    method: str,
    path: str,
    body: bytes,
    *,
    timestamp: int,
    nonce: str,
) -> str:
    """Return the signature of a request as its header has it: `ed25519=` and 128 hex digits.

    Signed is what `signature_of` signs, with the name of this scheme, `STEELYARD-ED25519`.
    """
    text = _signed_text(_ED25519_SCHEME, method, path, body, moment=f"{timestamp}\n{nonce}")
    return ED25519 + private_key.sign(text).hex()


def is_ed25519_signature(
    public_key: bytes,
    signature: str,
    method: str,
    path: str,
    body: bytes,
    *,
    timestamp: int,
    nonce: str,
) -> bool:
    """Return whether the private half of a public key (32 bytes) made a request's signature."""
    if not signature.startswith(ED25519):
        return False
    text = _signed_text(_ED25519_SCHEME, method, path, body, moment=f"{timestamp}\n{nonce}")
    try:
        key = Ed25519PublicKey.from_public_bytes(public_key)
        key.verify(bytes.fromhex(signature.removeprefix(ED25519)), text)
    except InvalidSignature:
        return False
    return True


def read_public_key(text: str) -> bytes:
    """Return the 32 bytes of a public key written as PEM or as 64 hex digits.

    Refusals
    --------
    public_key_is_invalid : anything else, a private key above all
    """
    text = text.strip()
    if _RAW_PUBLIC.fullmatch(text):
        return bytes.fromhex(text)
    try:
        key = load_pem_public_key(text.encode())
    except ValueError:
        raise PublicKeyIsInvalid from None
    if not isinstance(key, Ed25519PublicKey):
        raise PublicKeyIsInvalid
    return key.public_bytes_raw()


def _signed_text(scheme: str, method: str, path: str, body: bytes, *, moment: str) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    bare, _, query = path.partition("?")
    path = path if query else bare
    return f"{scheme}\n{method.upper()}\n{path}\n{moment}\n{digest}".encode()


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


def sign_ed25519(
    private_key: Ed25519PrivateKey,
    method: str,
    path: str,
    body: bytes = b"",
    *,
    key: str,
    timestamp: int,
    nonce: str,
) -> dict[str, str]:
    """Return the four headers of a request signed with a private key; see `sign`."""
    signature = ed25519_signature_of(
        private_key, method, path, body, timestamp=timestamp, nonce=nonce
    )
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
