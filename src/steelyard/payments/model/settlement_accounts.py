"""Where a merchant is paid to: its own named account, checked, approved and cooled off."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from stdnum import bic, iban

from steelyard.kernel.currency import CURRENCIES
from steelyard.payments.model.merchants_refusals import (
    SettlementAccountIsMalformed,
    SettlementAccountStateForbids,
)

COOLS_FOR: Final = timedelta(hours=24)
"""How long an approved change waits, so that the merchant can see what somebody did in his name."""
_NUMBER = re.compile(r"[0-9]{8,32}")
_CNAPS = re.compile(r"[0-9]{12}")
_INDIVIDUAL: Final = "92"
"""How the credit code of an individual business (个体工商户) begins (GB 32100-2015)."""


class AccountKind(StrEnum):
    """Whose the account is by its bank's books."""

    CORPORATE = "corporate"
    PERSONAL = "personal"
    """Of the owner of an individual business."""


class AccountState(StrEnum):
    """Where a settlement account stands."""

    PROPOSED = "proposed"
    VERIFIED = "verified"
    """Somebody else saw the bank's word that it is the merchant's."""
    APPROVED = "approved"
    WITHDRAWN = "withdrawn"


_VERBS: Final = {
    "verified": (AccountState.PROPOSED,),
    "approved": (AccountState.VERIFIED,),
    "withdrawn": (AccountState.PROPOSED, AccountState.VERIFIED),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSettlementAccount:
    """An account to be paid to; holder and number are never shown again.

    Attributes
    ----------
    bank : BIC, or the twelve digits of a bank in CN (联行号)
    """

    holder: str = field(repr=False)
    number: str = field(repr=False)
    bank: str
    currency: str = "CNY"
    kind: AccountKind = AccountKind.CORPORATE


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementAccount:
    """An account as others see it: masked.

    Attributes
    ----------
    hint : last four characters of the number
    fingerprint : the same for the same number, and tells nothing of it
    evidence : `noun:id` of what shows that it is the merchant's
    active_from : from when it is paid to
    """

    id: UUID
    merchant: UUID
    currency: str
    kind: AccountKind
    bank: str
    hint: str
    fingerprint: str
    state: AccountState
    version: int
    proposed_at: datetime
    proposed_by: str
    verified_at: datetime | None = None
    verified_by: str | None = None
    evidence: str | None = None
    approved_at: datetime | None = None
    active_from: datetime | None = None
    cause: str | None = None

    @property
    def subject(self) -> str:
        """What an approval of it is about."""
        return f"settlement_account:{self.id}"

    def must_allow(self, verb: str) -> SettlementAccount:
        """Return the account itself if the verb goes with its state.

        Refusals
        --------
        settlement_account_state_forbids
        """
        if self.state not in _VERBS[verb]:
            raise SettlementAccountStateForbids(account=self.id, state=self.state, verb=verb)
        return self


@dataclass(frozen=True, slots=True)
class Revealed:
    """Whom and where to pay, in the clear; for the payment order alone."""

    holder: str = field(repr=False)
    number: str = field(repr=False)
    bank: str
    currency: str
    kind: AccountKind


def check_account(new: NewSettlementAccount) -> NewSettlementAccount:
    """Return an account in its plain spelling.

    Refusals
    --------
    settlement_account_is_malformed

    Examples
    --------
    >>> given = NewSettlementAccount(holder="A", number="6222 0200 1234 5678", bank="102100099996")
    >>> check_account(given).number
    '6222020012345678'
    """
    number = "".join(new.number.split()).upper().replace("-", "")
    bank = "".join(new.bank.split()).upper()
    if not (_NUMBER.fullmatch(number) or (number[:2].isalpha() and iban.is_valid(number))):
        raise SettlementAccountIsMalformed(reason="the number is 8 to 32 digits, or an IBAN")
    if not (_CNAPS.fullmatch(bank) or bic.is_valid(bank)):
        raise SettlementAccountIsMalformed(reason="the bank is a BIC, or twelve digits")
    if new.currency not in CURRENCIES:
        raise SettlementAccountIsMalformed(reason="the currency is a code of ISO 4217")
    if not new.holder.strip():
        raise SettlementAccountIsMalformed(reason="an account has a holder")
    return NewSettlementAccount(
        holder=new.holder.strip(),
        number=number,
        bank=bank,
        currency=new.currency,
        kind=new.kind,
    )


def is_theirs(
    new: NewSettlementAccount, *, legal_name: str, number: str, owners: tuple[str, ...]
) -> bool:
    """Return whether an account is in the name that a merchant may be paid under.

    Parameters
    ----------
    legal_name : as registered; number : registration number
    owners : names of the natural persons who own the merchant; of an individual business one of
        them may hold the account

    Examples
    --------
    >>> given = NewSettlementAccount(holder="茶(上海)有限公司", number="62220200", bank="x")
    >>> is_theirs(given, legal_name="茶（上海）有限公司", number="91...", owners=())
    True
    """
    if new.kind is AccountKind.CORPORATE:
        return same_name(new.holder, legal_name)
    is_individual = number.startswith(_INDIVIDUAL)
    return is_individual and any(same_name(new.holder, owner) for owner in owners)


def same_name(one: str, other: str) -> bool:
    """Return whether two spellings are one name: width of characters, case and blanks aside."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
