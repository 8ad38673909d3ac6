"""RSA-SHA256 (PKCS #1 v1.5) over texts, as WeChat Pay v3 and Alipay RSA2 both have it."""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_pem_x509_certificate

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)


@lru_cache(maxsize=64)
def private_key(pem: str) -> RSAPrivateKey:
    """Return the private key that a PEM text holds; checking it takes 50 ms, so it is kept."""
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey), "an RSA key"
    return key


def blocks(pem: str) -> list[str]:
    """Return the PEM blocks of a text, one after the other.

    Examples
    --------
    >>> block = "-----BEGIN PUBLIC KEY----- MIIB -----END PUBLIC KEY-----"
    >>> len(blocks(block + block))
    2
    """
    return [found[0] for found in _BLOCK.finditer(pem)]


def public_key(pem: str) -> RSAPublicKey:
    """Return the public key that a PEM block holds."""
    key = load_pem_public_key(pem.encode())
    assert isinstance(key, RSAPublicKey), "an RSA key"
    return key


def certified_key(pem: str) -> tuple[str, RSAPublicKey]:
    """Return serial number (hex, capitals) and public key of a certificate."""
    certificate = load_pem_x509_certificate(pem.encode())
    key = certificate.public_key()
    assert isinstance(key, RSAPublicKey), "an RSA key"
    return f"{certificate.serial_number:X}", key


def sign(key: RSAPrivateKey, text: str) -> str:
    """Return the signature of a text, in base64."""
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()


def fits(key: RSAPublicKey, text: bytes, signature: str) -> bool:
    """Whether a signature in base64 belongs to a text."""
    try:
        key.verify(base64.b64decode(signature), text, PKCS1v15(), SHA256())
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
