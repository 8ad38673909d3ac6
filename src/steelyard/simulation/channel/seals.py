"""Keys and signatures of the channel's side, made here and kept in its own store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import (
    RSAPrivateKey,
    RSAPublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from steelyard.simulation.channel.store import Store


def make_key() -> RSAPrivateKey:
    """Return a fresh RSA key of 2,048 bits."""
    return generate_private_key(public_exponent=65_537, key_size=2_048)


def to_pem(key: RSAPrivateKey, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    """Return a private key as text."""
    return key.private_bytes(Encoding.PEM, form, NoEncryption()).decode()


def public_pem(key: RSAPublicKey) -> str:
    """Return a public key as text."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def read_key(pem: str) -> RSAPrivateKey:
    """Return the private key that a text holds."""
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key


def certificate_of(key: RSAPrivateKey) -> x509.Certificate:
    """Return a certificate that the key signed for itself, valid from yesterday for five years."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Simulated platform")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1_826))
        .sign(key, SHA256())
    )


def rsa_sign(key: RSAPrivateKey, text: str) -> str:
    """Return the RSA-SHA256 signature of a text, in base64."""
    return base64.b64encode(key.sign(text.encode(), PKCS1v15(), SHA256())).decode()


def rsa_fits(key: RSAPublicKey, text: str, signature: str) -> bool:
    """Whether an RSA-SHA256 signature in base64 belongs to a text."""
    try:
        key.verify(base64.b64decode(signature), text.encode(), PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def hmac_of(secret: str, *parts: str) -> str:
    """Return the HMAC-SHA256 of lines, in hex."""
    return hmac.new(secret.encode(), "\n".join(parts).encode(), hashlib.sha256).hexdigest()


def sha256(content: bytes) -> str:
    """Return the SHA-256 of bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def seal(apiv3_key: str, text: str, about: str) -> dict[str, str]:
    """Return a text under AES-256-GCM, as WeChat writes it."""
    nonce = secrets.token_hex(6)
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), text.encode(), about.encode())
    return {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": about,
        "ciphertext": base64.b64encode(sealed).decode(),
    }


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key that the channel signs with, and its certificate."""

    serial: str
    key: RSAPrivateKey
    certificate: str


class Seals:
    """The keys of the channel and of its one merchant; of those to sign with, the last is used."""

    def __init__(self, store: Store) -> None:
        self._store = store
        kept = store.kept("seals")
        self._kept: dict[str, Any] = self._make() if kept is None else json.loads(kept)
        self._read()

    def _make(self) -> dict[str, Any]:
        made = {
            "uni": [{"id": "uni-1", "secret": secrets.token_hex(32)}],
            "wechat_merchant": to_pem(make_key()),
            "wechat": [self._platform()],
            "apiv3_key": secrets.token_hex(16),
            "merchant_serial": secrets.token_hex(20).upper(),
            "alipay_app": to_pem(make_key(), PrivateFormat.TraditionalOpenSSL),
            "alipay": [to_pem(make_key())],
        }
        self._store.keep("seals", json.dumps(made))
        return made

    @staticmethod
    def _platform() -> dict[str, str]:
        key = make_key()
        certificate = certificate_of(key)
        return {
            "serial": f"{certificate.serial_number:040X}",
            "key": to_pem(key),
            "certificate": certificate.public_bytes(Encoding.PEM).decode(),
        }

    def _read(self) -> None:
        kept = self._kept
        self.uni: dict[str, str] = {one["id"]: one["secret"] for one in kept["uni"]}
        self.uni_key: str = kept["uni"][-1]["id"]
        self.apiv3_key: str = kept["apiv3_key"]
        self.merchant_serial: str = kept["merchant_serial"]
        self.wechat_merchant = read_key(kept["wechat_merchant"]).public_key()
        self.wechat = [
            PlatformKey(one["serial"], read_key(one["key"]), one["certificate"])
            for one in kept["wechat"]
        ]
        self.alipay_app = read_key(kept["alipay_app"]).public_key()
        self.alipay = [read_key(one) for one in kept["alipay"]]

    def rotate(self, dialect: str) -> None:
        """Sign with a new key from now on; the old ones stay known."""
        if dialect == "uni":
            nr = len(self._kept["uni"]) + 1
            self._kept["uni"].append({"id": f"uni-{nr}", "secret": secrets.token_hex(32)})
        elif dialect == "wechat":
            self._kept["wechat"].append(self._platform())
        else:
            self._kept["alipay"].append(to_pem(make_key()))
        self._store.keep("seals", json.dumps(self._kept))
        self._read()

    def credentials(self, url: str) -> dict[str, dict[str, str]]:
        """Return what the merchant was given, by dialect, in the form of its settings."""
        return {
            "uni": {
                "url": url,
                "merchant": MERCHANT,
                "keys": " ".join(f"{name}:{secret}" for name, secret in self.uni.items()),
            },
            "wechat": {
                "url": url,
                "mchid": MCHID,
                "appid": WECHAT_APPID,
                "merchant_serial": self.merchant_serial,
                "merchant_private_key": self._kept["wechat_merchant"],
                "apiv3_key": self.apiv3_key,
                "platform_certificates": "\n".join(one.certificate for one in self.wechat),
            },
            "alipay": {
                "url": url,
                "app_id": ALIPAY_APP_ID,
                "app_private_key": self._kept["alipay_app"],
                "alipay_public_keys": "\n".join(public_pem(k.public_key()) for k in self.alipay),
            },
        }


MERCHANT = "M0000001"
MCHID = "1900000001"
WECHAT_APPID = "wxd000000000000000"
ALIPAY_APP_ID = "2021000000000001"
