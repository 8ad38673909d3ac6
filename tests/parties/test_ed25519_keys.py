"""Requests signed with a private key that we never see."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from starlette.requests import Request

from steelyard.kernel import Refusal
from steelyard.parties import RequestSigner, RequestVerifier, api_keys, signing
from steelyard.parties.model.signature import is_ed25519_signature, read_public_key
from tests.parties.browser import Browser, application, code_of
from tests.parties.office import Office
from tests.parties.office import office as office
from tests.parties.test_api_keys import issue, request

ROOT = Path(__file__).parents[2]
PAIR = Ed25519PrivateKey.from_private_bytes(b"p" * 32)
NEXT = Ed25519PrivateKey.from_private_bytes(b"n" * 32)
NONCE = "nonce-0123456789"


def hex_of(pair: Ed25519PrivateKey) -> str:
    return pair.public_key().public_bytes_raw().hex()


def pem_of(pair: Any) -> str:
    pem: bytes = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def issued_for(office: Office, pair: Ed25519PrivateKey = PAIR) -> str:
    made = issue(office, kind=api_keys.ApiKeyKind.ED25519, public_key=pem_of(pair))
    assert made.secret == "", "there is nothing to hand out"
    return made.key.id


def signed(office: Office, key: str, **changes: Any) -> tuple[Request, bytes]:
    """A request; what is in `changes` is signed, and not what is sent."""
    told = {
        "pair": PAIR,
        "method": "POST",
        "path": "/v1/x?a=%20b",
        "body": b'{"n":1}',
        "timestamp": int(office.wall.now().timestamp()),
        "nonce": NONCE,
        **changes,
    }
    headers = signing.sign_ed25519(
        told["pair"],
        told["method"],
        told["path"],
        told["body"],
        key=key,
        timestamp=told["timestamp"],
        nonce=told["nonce"],
    )
    return request(headers), b'{"n":1}'


@pytest.fixture
def verifier(office: Office) -> Iterator[RequestVerifier]:
    made = office.verifier()
    yield made
    made.close()


def test_a_request_is_let_through_once(office: Office, verifier: RequestVerifier) -> None:
    key = issued_for(office)
    assert verifier.verify(*signed(office, key)).actor == f"key:{key}"
    with pytest.raises(signing.NonceWasUsed):
        verifier.verify(*signed(office, key))


@pytest.mark.parametrize(
    "change",
    [
        {"pair": NEXT},
        {"method": "PUT"},
        {"path": "/v1/x?a=%20c"},
        {"path": "/v1/x"},
        {"body": b'{"n":2}'},
    ],
)
def test_case_08_a_forged_or_altered_request_is_refused(
    office: Office, verifier: RequestVerifier, change: dict[str, Any]
) -> None:
    key = issued_for(office)
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, key, **change))
    verifier.verify(*signed(office, key))


@pytest.mark.parametrize(
    ("off", "is_let"), [(-301, False), (-300, True), (300, True), (301, False)]
)
def test_case_08_clocks_may_be_five_minutes_apart(
    office: Office, verifier: RequestVerifier, off: int, is_let: bool
) -> None:
    key = issued_for(office)
    message = signed(office, key, timestamp=int(office.wall.now().timestamp()) + off)
    if is_let:
        verifier.verify(*message)
    else:
        with pytest.raises(signing.TimestampIsOff):
            verifier.verify(*message)


def test_case_08_a_pair_is_changed_while_requests_are_on_their_way(
    office: Office, verifier: RequestVerifier
) -> None:
    key = issued_for(office)
    on_its_way = signed(office, key)
    office.run(lambda unit: api_keys.replace_public_key(unit, office.keyring, key, hex_of(NEXT)))
    verifier.verify(*on_its_way)
    verifier.verify(*signed(office, key, pair=NEXT, nonce="nonce-of-the-next-0"))
    office.later(hours=24, seconds=1)
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, key, nonce="nonce-after-overlap"))
    verifier.verify(*signed(office, key, pair=NEXT, nonce="nonce-after-overlap"))


def test_a_signature_of_the_other_scheme_is_wrong(
    office: Office, verifier: RequestVerifier
) -> None:
    """Nobody who knows the public key (everybody) can sign with it as if it were a secret."""
    key, other = issued_for(office), issue(office).key.id
    now = int(office.wall.now().timestamp())
    headers = signing.sign(
        hex_of(PAIR), "POST", "/v1/x?a=%20b", b'{"n":1}', key=key, timestamp=now, nonce=NONCE
    )
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(request(headers), b'{"n":1}')
    with pytest.raises(signing.SignatureIsWrong):
        verifier.verify(*signed(office, other))


@pytest.mark.parametrize("given", ["ed25519=", "ed25519=" + "g" * 128, "ed25519=" + "0" * 127])
def test_a_malformed_signature_is_incomplete(
    office: Office, verifier: RequestVerifier, given: str
) -> None:
    message, body = signed(office, issued_for(office))
    headers = {**message.headers, signing.SIGNATURE.lower(): given}
    with pytest.raises(signing.SignatureIsIncomplete):
        verifier.verify(request(headers), body)


def test_only_a_public_key_of_the_kind_is_taken(office: Office) -> None:
    private = PAIR.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    of_rsa = pem_of(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    ed25519 = api_keys.ApiKeyKind.ED25519
    for given in (private, of_rsa, "00", "", hex_of(PAIR) + "00", None):
        with pytest.raises(Refusal, match="public_key_is_invalid"):
            issue(office, kind=ed25519, public_key=given)
    with pytest.raises(Refusal, match="public_key_is_invalid"):
        issue(office, public_key=hex_of(PAIR))
    key = issued_for(office)
    with pytest.raises(Refusal, match="key_is_of_another_kind"):
        office.run(lambda unit: api_keys.rotate_api_key(unit, office.keyring, key))
    other = issue(office).key.id
    with pytest.raises(Refusal, match="key_is_of_another_kind"):
        office.run(
            lambda unit: api_keys.replace_public_key(unit, office.keyring, other, hex_of(PAIR))
        )


def test_keys_over_http(office: Office) -> None:
    app = application(office)
    admin = Browser(app)
    admin.sign_in(office, office.hire("admin", "administrator"))
    told = {
        "name": "shop",
        "kind": "ed25519",
        "entitlements": ["access.read_keys"],
        "public_key": pem_of(PAIR),
    }
    answer = admin.post("/v1/access/keys", told)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["secret"] is None
    assert made["hint"] == hex_of(PAIR)[-4:]

    def now() -> float:
        return office.wall.now().timestamp()

    shop = Browser(app, auth=RequestSigner(made["id"], PAIR, now=now))
    assert shop.get("/v1/access/me").json()["actor"] == f"key:{made['id']}"
    path = f"/v1/access/keys/{made['id']}/rotate"
    assert code_of(admin.post(path, {})) == (409, "key_is_of_another_kind")
    admin.post(path, {"overlap_s": 0, "public_key": hex_of(NEXT)})
    office.later(seconds=3)
    assert code_of(shop.get("/v1/access/me")) == (401, "signature_is_wrong")


def _block(name: str) -> str:
    text = (ROOT / "docs" / "howto" / "sign-requests.md").read_text(encoding="utf-8")
    found = re.search(rf"<!-- example: {name} -->\n```\w+\n(.*?)\n```", text, re.DOTALL)
    assert found is not None, name
    return found[1]


def test_the_shell_of_the_documentation_signs_what_is_verified(tmp_path: Path) -> None:
    """OpenSSL makes the pair and the signature, as a merchant without Python would."""
    # The tests' own words: what was signed, as the shell had it.
    tell = 'echo "timestamp=$timestamp"; echo "nonce=$nonce"; echo "signature=$signature"'
    made = subprocess.run(
        ["bash", "-euc", f"{_block('ed25519-pair')}\n{_block('ed25519-sign')}\n{tell}"],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "address": "http://127.0.0.1:8000", "key": "ak_example"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    values = dict(line.split("=", 1) for line in made.stdout.splitlines() if "=" in line)
    shown = f"ed25519={values['signature']}"
    assert shown in made.stdout, "the header that is sent has it"
    assert is_ed25519_signature(
        read_public_key((tmp_path / "public.pem").read_text()),
        shown,
        "GET",
        "/v1/payments/orders",
        b"",
        timestamp=int(values["timestamp"]),
        nonce=values["nonce"],
    )
