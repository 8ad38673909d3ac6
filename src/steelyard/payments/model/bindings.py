"""Quick pay (快捷支付): a card bound once by four factors and a code, then paid by token.

The card number passes through and is kept nowhere: what stays is a token, the first six and the
last four digits, and the bank.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol
from uuid import UUID

from steelyard.payments.model.bindings_refusals import (
    CardFactorIsMalformed,
    CardNumberIsMalformed,
)

TOKEN_BEGINS: Final = "qp_"
REFERENCE_BEGINS: Final = "card:"
"""What orders, facts and merchants see of a card: it names it, and nothing is paid by it."""
MOST_A_DAY: Final = 10
"""Cards that one customer may try within a day: nobody tests stolen ones here."""
CODE_FREE_MINOR: Final = {"CNY": 100_000}
"""免密: up to so much a payment needs no code; of other currencies each does."""
DAY: Final = timedelta(days=1)
_PHONE: Final = re.compile(r"\+?[0-9]{6,15}")
_ID: Final = re.compile(r"[0-9A-Z]{6,20}")


class BindingState(StrEnum):
    """Where a binding stands."""

    VERIFYING = "verifying"
    """The bank was asked, or is about to be, whether the factors belong together."""
    CODE_NEEDED = "code_needed"
    ACTIVE = "active"
    REFUSED = "refused"
    UNBOUND = "unbound"


class CardSaid(StrEnum):
    """What a verifier says."""

    PASSED = "passed"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """No answer, or none that can be read."""
    NOT_RECEIVED = "not_received"
    """It has no such request, or the request verifiably never left us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FourFactors:
    """What a card is bound by; shown nowhere, not even in a traceback."""

    name: str = field(repr=False)
    id_number: str = field(repr=False)
    card_number: str = field(repr=False)
    phone: str = field(repr=False)

    def checked(self) -> FourFactors:
        """Return them without blanks, and refuse what cannot be meant.

        Refusals
        --------
        card_number_is_malformed, card_factor_is_malformed
        """
        card = re.sub(r"[ -]", "", self.card_number)
        if not is_card_number(card):
            raise CardNumberIsMalformed
        clean = replace(
            self,
            name=self.name.strip(),
            id_number=self.id_number.strip().upper(),
            card_number=card,
            phone=re.sub(r"[ -]", "", self.phone),
        )
        for name, is_good in (
            ("name", 0 < len(clean.name) <= 100),
            ("id_number", _ID.fullmatch(clean.id_number) is not None),
            ("phone", _PHONE.fullmatch(clean.phone) is not None),
        ):
            if not is_good:
                raise CardFactorIsMalformed(field=name)
        return clean


@dataclass(frozen=True, slots=True)
class CardAnswer:
    """What a verifier says about one request.

    Attributes
    ----------
    request : that it is about; an answer about another one says nothing
    reason : a short code, never personal data
    token : its word for the card, by which a channel is asked for money; not the number
    """

    request: str
    said: CardSaid
    reason: str = ""
    token: str = ""
    bank: str = ""


class CardVerifier(Protocol):
    """Asks the bank whether four factors belong together; called outside of any transaction.

    Its verbs answer and do not raise; the same request again is the same question.
    """

    def verify(self, request: str, factors: FourFactors) -> CardAnswer:
        """Ask whether name, identity number, card and phone are one person's."""
        ...

    def query(self, request: str) -> CardAnswer:
        """Ask what became of a request."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """A bound card.

    Attributes
    ----------
    token : what a payment names; whoever has it and is not the customer finds nothing
    phone : sealed
    card_token : the verifier's word for the card
    """

    id: UUID
    customer: UUID
    token: str
    state: BindingState
    version: int
    bank: str
    bin: str
    last4: str
    created_at: datetime
    phone: bytes = field(repr=False)
    card_token: str | None = field(default=None, repr=False)
    reason: str | None = None
    bound_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def reference(self) -> str:
        """What is written down of the card with a payment; the token is not."""
        return f"{REFERENCE_BEGINS}{self.id.hex}"


def is_card_number(text: str) -> bool:
    """Whether a text has the form of a card number: 12 to 19 digits and their check digit.

    Source: ISO/IEC 7812-1, annex B (Luhn).

    Examples
    --------
    >>> is_card_number("6222020000000000000"), is_card_number("6222020000000000001")
    (True, False)
    """
    if not (text.isascii() and text.isdecimal() and 12 <= len(text) <= 19):
        return False
    total = 0
    for place, digit in enumerate(reversed(text)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def is_ours(instrument: str | None) -> bool:
    """Whether what is paid with is said to be a card that is bound here."""
    return instrument is not None and instrument.startswith((TOKEN_BEGINS, REFERENCE_BEGINS))


def binding_of(reference: str | None) -> UUID | None:
    """Return the id of the bound card that a payment was written down with.

    Examples
    --------
    >>> binding_of("card:" + "0" * 31 + "7"), binding_of("card:x"), binding_of(None)
    (UUID('00000000-0000-0000-0000-000000000007'), None, None)
    """
    begins, _, text = (reference or "").partition(":")
    if f"{begins}:" != REFERENCE_BEGINS or re.fullmatch(r"[0-9a-f]{32}", text) is None:
        return None
    return UUID(text)


def needs_code(amount_minor: int, currency: str) -> bool:
    """Whether a payment by token needs a code of its own.

    Examples
    --------
    >>> needs_code(100_000, "CNY"), needs_code(100_001, "CNY"), needs_code(1, "JPY")
    (False, True, True)
    """
    return amount_minor > CODE_FREE_MINOR.get(currency, 0)


def learn(one: Binding, answer: CardAnswer, at: datetime) -> Binding:
    """Return a binding with what a verifier said; equal where that was nothing."""
    if one.state is not BindingState.VERIFYING or answer.request != one.id.hex:
        return one
    if answer.said is CardSaid.PASSED and answer.token:
        return replace(
            one,
            state=BindingState.CODE_NEEDED,
            card_token=answer.token,
            bank=answer.bank or one.bank,
        )
    if answer.said is CardSaid.FAILED:
        reason = answer.reason or "factors_disagree"
        return replace(one, state=BindingState.REFUSED, reason=reason, ended_at=at)
    if answer.said is CardSaid.NOT_RECEIVED:
        # The number is not kept, so it cannot be asked again: the customer begins anew.
        return replace(one, state=BindingState.REFUSED, reason="not_received", ended_at=at)
    return one
