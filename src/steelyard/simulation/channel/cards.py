"""The bank behind `uni`: says whether four factors belong together, and gives a card a token.

It knows no real card. A name with `不符` in it does not belong to the card; where a phone ends in
00000 it does the work and answers nobody. Of a card it keeps its token.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import msgspec

from steelyard.simulation.channel.wire import Request

PATH: Final = "/uni/v1/cards"
_MISMATCH: Final = "不符"
_LOST: Final = "00000"
_BANKS: Final = {"622202": "ICBC", "621700": "CCB", "622848": "ABC", "622588": "CMB"}


class _Body(msgspec.Struct):
    number: str
    name: str
    id_number: str
    card_number: str
    phone: str


class Cards:
    """What the bank answered, by the number of the request."""

    def __init__(self) -> None:
        self._said: dict[str, dict[str, Any]] = {}

    def answer(self, request: Request) -> tuple[dict[str, Any], bool]:
        """Return the answer to a request that is believed, and whether it gets lost."""
        if request.method == "GET":
            number = request.path.removeprefix(f"{PATH}/")
            return self._said.get(number, {"number": number, "said": "not_received"}), False
        asked = msgspec.json.decode(request.body, type=_Body)
        known = self._said.setdefault(asked.number, _judge(asked))
        return known, asked.phone.endswith(_LOST)


def _judge(asked: _Body) -> dict[str, Any]:
    bank = _BANKS.get(asked.card_number[:6], "BOC")
    if _MISMATCH in asked.name:
        return {"number": asked.number, "said": "failed", "reason": "factors_disagree"}
    digest = hashlib.blake2b(asked.card_number.encode(), key=b"bank", digest_size=16)
    token = f"ct_{digest.hexdigest()}"
    return {"number": asked.number, "said": "passed", "token": token, "bank": bank}
