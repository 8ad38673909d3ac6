"""Cards as clients of Stripe name them in a sandbox: test tokens, and numbers turned into tokens.

A number is looked at here and goes no further: what is kept is a token, the brand, the last four
digits, and a fingerprint that is the same for the same number.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from steelyard.payments.model.channel import Decline


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What may be known of a card.

    Attributes
    ----------
    token : what channels are told
    """

    token: str
    brand: str
    last4: str
    exp_month: int = 12
    exp_year: int = 2034
    funding: str = "credit"
    country: str = "US"


def _card(name: str, brand: str, last4: str, **more: str) -> Card:
    return Card(token=f"tok_{name}", brand=brand, last4=last4, **more)  # type: ignore[arg-type]


def _declined(name: str, last4: str, decline: str) -> Card:
    """Return a card that the simulated channels decline, by the name that they know it by."""
    card = _card(name, "visa", last4)
    return replace(card, token=f"sim_decline:{decline}")


CARDS: Final = {
    "visa": _card("visa", "visa", "4242"),
    "visa_debit": _card("visa_debit", "visa", "5556", funding="debit"),
    "mastercard": _card("mastercard", "mastercard", "4444"),
    "mastercard_debit": _card("mastercard_debit", "mastercard", "3222", funding="debit"),
    "amex": _card("amex", "amex", "8431"),
    "discover": _card("discover", "discover", "9424"),
    "diners": _card("diners", "diners", "5904"),
    "jcb": _card("jcb", "jcb", "0505"),
    "unionpay": _card("unionpay", "unionpay", "0005", country="CN"),
    "cn": _card("cn", "visa", "0002", country="CN"),
    "chargeDeclined": _declined("chargeDeclined", "0002", "do_not_honor"),
    "visa_chargeDeclined": _declined("visa_chargeDeclined", "0002", "do_not_honor"),
    "chargeDeclinedInsufficientFunds": _declined("funds", "9995", "insufficient_funds"),
    "visa_chargeDeclinedInsufficientFunds": _declined("funds", "9995", "insufficient_funds"),
    "chargeDeclinedStolenCard": _declined("stolen", "9979", "stolen_card"),
    "chargeDeclinedExpiredCard": _declined("expired", "0069", "expired_card"),
    "chargeDeclinedProcessingError": _declined("busy", "0119", "channel_busy"),
    "chargeDeclinedFraudulent": _declined("fraud", "4954", "suspected_fraud"),
}
"""Test cards by name: `tok_visa` and `pm_card_visa` are the same."""
NUMBERS: Final = {
    "4242424242424242": "visa",
    "4000056655665556": "visa_debit",
    "5555555555554444": "mastercard",
    "5200828282828210": "mastercard_debit",
    "378282246310005": "amex",
    "6011111111111117": "discover",
    "3056930009020004": "diners",
    "3566002020360505": "jcb",
    "6200000000000005": "unionpay",
    "4000000000000002": "chargeDeclined",
    "4000000000009995": "chargeDeclinedInsufficientFunds",
    "4000000000009979": "chargeDeclinedStolenCard",
    "4000000000000069": "chargeDeclinedExpiredCard",
    "4000000000000119": "chargeDeclinedProcessingError",
    "4100000000000019": "chargeDeclinedFraudulent",
}
"""Numbers that the documentation of Stripe gives for tests, and the cards that they stand for."""
_BRANDS: Final = (
    (re.compile(r"4"), "visa"),
    (re.compile(r"5[1-5]|2[2-7]"), "mastercard"),
    (re.compile(r"3[47]"), "amex"),
    (re.compile(r"62|81"), "unionpay"),
    (re.compile(r"35"), "jcb"),
    (re.compile(r"3[0689]"), "diners"),
    (re.compile(r"6"), "discover"),
)


def card_of_token(text: str) -> Card | None:
    """Return the test card of a token, None where it is none.

    Examples
    --------
    >>> card_of_token("pm_card_visa") == card_of_token("tok_visa")
    True
    >>> card_of_token("pm_0123") is None
    True
    """
    for prefix in ("pm_card_", "tok_"):
        if text.startswith(prefix):
            return CARDS.get(text.removeprefix(prefix))
    return None


def is_card_number(number: str) -> bool:
    """Whether digits are a card number, by length and check digit.

    Examples
    --------
    >>> is_card_number("4242424242424242"), is_card_number("4242424242424241")
    (True, False)
    """
    if not re.fullmatch(r"[0-9]{12,19}", number):
        return False
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def card_of_number(number: str, *, token: str, exp_month: int, exp_year: int) -> Card:
    """Return what is kept of a card number.

    Parameters
    ----------
    number : digits alone, a card number
    token : of a card that is none of the test cards
    """
    known = NUMBERS.get(number)
    if known is not None:
        return replace(CARDS[known], last4=number[-4:], exp_month=exp_month, exp_year=exp_year)
    brand = next((name for form, name in _BRANDS if form.match(number)), "unknown")
    return Card(token=token, brand=brand, last4=number[-4:], exp_month=exp_month, exp_year=exp_year)


DECLINES: Final = {
    Decline.INSUFFICIENT_FUNDS: ("card_declined", "insufficient_funds"),
    Decline.LIMIT_EXCEEDED: ("card_declined", "card_velocity_exceeded"),
    Decline.DO_NOT_HONOR: ("card_declined", "do_not_honor"),
    Decline.EXPIRED_CARD: ("expired_card", "expired_card"),
    Decline.INVALID_CARD: ("incorrect_number", "incorrect_number"),
    Decline.INVALID_PIN: ("card_declined", "incorrect_pin"),
    Decline.STOLEN_CARD: ("card_declined", "stolen_card"),
    Decline.SUSPECTED_FRAUD: ("card_declined", "fraudulent"),
    Decline.NOT_PERMITTED: ("card_declined", "transaction_not_allowed"),
    Decline.ISSUER_UNAVAILABLE: ("card_declined", "issuer_not_available"),
    Decline.CHANNEL_BUSY: ("processing_error", "processing_error"),
    Decline.CHANNEL_CLOSED: ("processing_error", "try_again_later"),
    Decline.DUPLICATE: ("card_declined", "duplicate_transaction"),
    Decline.MANDATE_INVALID: ("card_declined", "revocation_of_authorization"),
    Decline.ACCOUNT_CLOSED: ("card_declined", "invalid_account"),
    Decline.PAYER_CANCELLED: ("payment_intent_payment_attempt_failed", "generic_decline"),
    Decline.TIMED_OUT: ("payment_intent_payment_attempt_expired", "generic_decline"),
    Decline.INVALID_REQUEST: ("card_declined", "generic_decline"),
    Decline.OTHER: ("card_declined", "generic_decline"),
}
"""By our list of declines: code and decline code as clients of Stripe know them."""
