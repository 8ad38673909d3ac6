"""An authenticator in software: it makes keys, attestations and signatures as hardware does."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).decode().rstrip("=")


def _raw(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Authenticator:
    """One credential for one site; the counter grows with every signature."""

    origin: str = "https://bank.example"
    counts: bool = True
    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential: bytes = field(default_factory=lambda: os.urandom(32))
    counter: int = 0

    def create(self, options: str, *, attestation: str = "packed") -> str:
        """Answer `navigator.credentials.create`, attested by the credential's own key."""
        asked = json.loads(options)
        client = self._client("webauthn.create", asked["challenge"])
        point = self.private.public_key().public_numbers()
        cose = {
            1: 2,
            3: -7,
            -1: 1,
            -2: point.x.to_bytes(32, "big"),
            -3: point.y.to_bytes(32, "big"),
        }
        attested = (
            bytes(16)
            + len(self.credential).to_bytes(2, "big")
            + self.credential
            + cbor2.dumps(cose)
        )
        data = self._data(asked["rp"]["id"], PRESENT | VERIFIED | ATTESTED) + attested
        statement: dict[str, Any] = {}
        if attestation == "packed":
            statement = {"alg": -7, "sig": self._sign(data + hashlib.sha256(client).digest())}
        shown = cbor2.dumps({"fmt": attestation, "attStmt": statement, "authData": data})
        return self._answer(attestationObject=_text(shown), clientDataJSON=_text(client))

    def get(self, options: str, *, site: str | None = None) -> str:
        """Answer `navigator.credentials.get`."""
        asked = json.loads(options)
        client = self._client("webauthn.get", asked["challenge"])
        data = self._data(site or asked["rpId"], PRESENT | VERIFIED)
        signature = self._sign(data + hashlib.sha256(client).digest())
        return self._answer(
            authenticatorData=_text(data),
            clientDataJSON=_text(client),
            signature=_text(signature),
        )

    def _client(self, kind: str, challenge: str) -> bytes:
        assert _raw(challenge)
        told = {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(told).encode()

    def _data(self, domain: str, flags: int) -> bytes:
        self.counter += 1 if self.counts else 0
        head = hashlib.sha256(domain.encode()).digest()
        return head + bytes([flags]) + self.counter.to_bytes(4, "big")

    def _sign(self, message: bytes) -> bytes:
        return self.private.sign(message, ec.ECDSA(hashes.SHA256()))

    def _answer(self, **response: str) -> str:
        name = _text(self.credential)
        return json.dumps(
            {
                "id": name,
                "rawId": name,
                "type": "public-key",
                "response": response,
                "clientExtensionResults": {},
            }
        )
