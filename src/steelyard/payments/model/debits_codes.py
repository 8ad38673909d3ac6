"""Codes by which banks refuse or return a debit, in one table: what each means, what follows.

Sources: SEPA Core Direct Debit rulebook (reasons of R-transactions, ISO 20022 external codes);
Nacha Operating Rules, Appendix Four (return entries).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from steelyard.payments.model.channel import Decline


class After(StrEnum):
    """What follows a debit that failed."""

    RETRY = "retry"
    """Want of money, or a passing fault: it is tried again on a pay-day."""
    STOP = "stop"
    SUSPEND = "suspend"
    """The mandate or the account is no good: nothing is taken by it until somebody has looked."""


@dataclass(frozen=True, slots=True)
class CodeRule:
    """What a code means.

    Attributes
    ----------
    claims : whether by it the payer claims the money back, not his bank
    """

    decline: Decline
    after: After
    claims: bool = False


_D = Decline
_RETRY, _STOP, _SUSPEND = After.RETRY, After.STOP, After.SUSPEND
CODES: Final[Mapping[str, CodeRule]] = MappingProxyType(
    {
        "AC01": CodeRule(_D.INVALID_CARD, _SUSPEND),
        "AC04": CodeRule(_D.ACCOUNT_CLOSED, _SUSPEND),
        "AC06": CodeRule(_D.NOT_PERMITTED, _SUSPEND),
        "AC13": CodeRule(_D.NOT_PERMITTED, _STOP),
        "AG01": CodeRule(_D.NOT_PERMITTED, _SUSPEND),
        "AG02": CodeRule(_D.INVALID_REQUEST, _STOP),
        "AM04": CodeRule(_D.INSUFFICIENT_FUNDS, _RETRY),
        "AM05": CodeRule(_D.DUPLICATE, _STOP),
        "BE05": CodeRule(_D.INVALID_REQUEST, _STOP),
        "FF01": CodeRule(_D.INVALID_REQUEST, _STOP),
        "MD01": CodeRule(_D.MANDATE_INVALID, _SUSPEND, claims=True),
        "MD06": CodeRule(_D.PAYER_CANCELLED, _STOP, claims=True),
        "MD07": CodeRule(_D.ACCOUNT_CLOSED, _SUSPEND),
        "MS02": CodeRule(_D.DO_NOT_HONOR, _STOP, claims=True),
        "MS03": CodeRule(_D.DO_NOT_HONOR, _STOP),
        "RC01": CodeRule(_D.INVALID_REQUEST, _STOP),
        "RR01": CodeRule(_D.INVALID_REQUEST, _STOP),
        "SL01": CodeRule(_D.NOT_PERMITTED, _SUSPEND),
        "R01": CodeRule(_D.INSUFFICIENT_FUNDS, _RETRY),
        "R02": CodeRule(_D.ACCOUNT_CLOSED, _SUSPEND),
        "R03": CodeRule(_D.INVALID_CARD, _SUSPEND),
        "R04": CodeRule(_D.INVALID_CARD, _SUSPEND),
        "R05": CodeRule(_D.MANDATE_INVALID, _SUSPEND, claims=True),
        "R06": CodeRule(_D.OTHER, _STOP),
        "R07": CodeRule(_D.MANDATE_INVALID, _SUSPEND, claims=True),
        "R08": CodeRule(_D.PAYER_CANCELLED, _STOP, claims=True),
        "R09": CodeRule(_D.INSUFFICIENT_FUNDS, _RETRY),
        "R10": CodeRule(_D.MANDATE_INVALID, _SUSPEND, claims=True),
        "R11": CodeRule(_D.INVALID_REQUEST, _STOP, claims=True),
        "R14": CodeRule(_D.ACCOUNT_CLOSED, _SUSPEND),
        "R15": CodeRule(_D.ACCOUNT_CLOSED, _SUSPEND),
        "R16": CodeRule(_D.NOT_PERMITTED, _SUSPEND),
        "R20": CodeRule(_D.NOT_PERMITTED, _SUSPEND),
        "R29": CodeRule(_D.MANDATE_INVALID, _SUSPEND, claims=True),
    }
)
"""Every code that is known; what another one leads to follows from its reason."""

_BY_DECLINE: Final[Mapping[Decline, After]] = MappingProxyType(
    {
        _D.INSUFFICIENT_FUNDS: _RETRY,
        _D.LIMIT_EXCEEDED: _RETRY,
        _D.ISSUER_UNAVAILABLE: _RETRY,
        _D.CHANNEL_BUSY: _RETRY,
        _D.CHANNEL_CLOSED: _RETRY,
        _D.TIMED_OUT: _RETRY,
        _D.MANDATE_INVALID: _SUSPEND,
        _D.ACCOUNT_CLOSED: _SUSPEND,
        _D.INVALID_CARD: _SUSPEND,
        _D.EXPIRED_CARD: _SUSPEND,
        _D.STOLEN_CARD: _SUSPEND,
    }
)


def rule_of(code: str | None, decline: Decline | None) -> CodeRule:
    """Return what a code of a bank, or the reason of a channel, leads to.

    The code is more exact where it is known; where neither is, the debit ends.

    Examples
    --------
    >>> rule_of("AM04", None).after.value, rule_of("51", Decline.ACCOUNT_CLOSED).after.value
    ('retry', 'suspend')
    """
    known = CODES.get(code or "")
    if known is not None:
        return known
    reason = decline or Decline.OTHER
    return CodeRule(reason, _BY_DECLINE.get(reason, _STOP))
