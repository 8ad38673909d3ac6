"""Cards confirmed by the bank behind a channel that speaks `uni`: signed both ways, as payments."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from steelyard.payments.channels.uni import UniChannel
from steelyard.payments.model.bindings import CardAnswer, CardSaid, FourFactors


class _Wire(msgspec.Struct, frozen=True):
    """What an answer must look like to be read."""

    number: str
    said: CardSaid
    reason: str = ""
    token: str = ""
    bank: str = ""


class _Line(UniChannel):
    """The same line to the same bank, with another noun."""

    def ask_card(self, method: str, path: str, number: str, body: bytes = b"") -> CardAnswer:
        """Ask, and return what is known afterwards."""
        nonce, answered = self._send(method, path, body)
        if answered.was_never_sent and method == "POST":
            return CardAnswer(number, CardSaid.NOT_RECEIVED, "not_sent")
        if answered.missing:
            return CardAnswer(number, CardSaid.UNKNOWN, answered.missing)
        if not self._is_signed(answered, nonce):
            return CardAnswer(number, CardSaid.UNKNOWN, "bad_signature")
        try:
            read = msgspec.json.decode(answered.body, type=_Wire)
        except msgspec.MsgspecError:
            return CardAnswer(number, CardSaid.UNKNOWN, "answer_unreadable")
        return CardAnswer(read.number, read.said, read.reason, read.token, read.bank)


class UniCardVerifier:
    """Asks the bank behind a `uni` channel whether four factors belong together.

    Parameters
    ----------
    settings, timeout : as of `UniChannel`
    """

    def __init__(self, code: str, settings: Mapping[str, str], timeout: float) -> None:
        self._line = _Line(code, settings, timeout)

    def close(self) -> None:
        """Close the connections."""
        self._line.close()

    def verify(self, request: str, factors: FourFactors) -> CardAnswer:
        """Ask whether name, identity number, card and phone are one person's."""
        told = {
            "number": request,
            "name": factors.name,
            "id_number": factors.id_number,
            "card_number": factors.card_number,
            "phone": factors.phone,
        }
        return self._line.ask_card("POST", "cards", request, msgspec.json.encode(told))

    def query(self, request: str) -> CardAnswer:
        """Ask what became of a request."""
        return self._line.ask_card("GET", f"cards/{request}", request)
