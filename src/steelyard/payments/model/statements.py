"""Statements in one form, whatever they were written in: what a channel or bank says happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum


class LineKind(StrEnum):
    """What a line of a statement is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    FEE = "fee"
    PAYOUT = "payout"
    """Money that the channel passes on to the bank, or we to a merchant."""
    RETURN = "return"
    """Something that was sent came back."""
    DISPUTE = "dispute"
    ADJUSTMENT = "adjustment"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementLine:
    """One line, in our sense: what comes in is over zero.

    Attributes
    ----------
    number : of the line in its file, from 1: where a person finds it
    reference : the other side's own number of it; empty where it gives none
    our_number : ours, as they give it back (order, attempt, refund, EndToEndId); empty: none
    amount_minor : over zero for what comes in, below for what goes out; before fees
    fee_minor : what they keep of it, over zero; below zero for a fee given back; None: not said
    is_reversal : whether it takes an earlier line back
    batch : of lines that belong to one booking (camt `Btch`, a bulk deposit); empty: none
    status : as they put it
    """

    number: int
    kind: LineKind
    amount_minor: int
    currency: str
    booked_on: date
    reference: str = ""
    our_number: str = ""
    fee_minor: int | None = None
    booked_at: datetime | None = None
    value_on: date | None = None
    is_reversal: bool = False
    batch: str = ""
    status: str = ""
    counterparty: str = ""
    text: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One account's statement for some days.

    Attributes
    ----------
    form : of the file: `camt.053`, `mt940`, `wechat_bill`, `alipay_bill` ...
    account : as the file names it
    opening_minor, closing_minor : None where the form has no balances
    Invariant: with both balances, opening + sum of the lines' amounts (and fees where the form
    books them apart) = closing; a reader refuses a file where that does not hold
    """

    form: str
    account: str
    currency: str
    from_on: date
    to_on: date
    lines: tuple[StatementLine, ...]
    opening_minor: int | None = None
    closing_minor: int | None = None
    id: str = ""
    page: int = 1
    is_last_page: bool = True
