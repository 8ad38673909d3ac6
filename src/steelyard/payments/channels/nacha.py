"""ACH payment files as NACHA lays them out: lines of 94 columns, in blocks of ten lines.

Source: NACHA Operating Rules, appendix three (ACH record format specifications).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.statement_text import latin

_WIDTH: Final = 94
_BLOCK: Final = 10
_HASH: Final = 10**10
_WEIGHTS: Final = (3, 7, 1, 3, 7, 1, 3, 7)
_MOST_CENTS: Final = 10**10
_MOST_ENTRIES: Final = 10**6
_CREDITS, _DEBITS, _MIXED = "220", "225", "200"
_ACCOUNT: Final = re.compile(r"[0-9A-Za-z-]{1,17}")


class AchOrderIsMalformed(Refusal):
    """A field does not fit what the format has for it.

    Facts: `row` (from 1; 0 is the file's own), `field`, `found`.
    """

    kind = RefusalKind.INVALID
    en = "Row {row}: {found!r} cannot stand as {field} in an ACH file."
    zh = "第 {row} 行：{found!r} 不能作为 ACH 文件的 {field}。"


class AchCode(StrEnum):
    """What is done to which sort of account."""

    CREDIT_CHECKING = "22"
    DEBIT_CHECKING = "27"
    CREDIT_SAVINGS = "32"
    DEBIT_SAVINGS = "37"

    @property
    def is_debit(self) -> bool:
        """Whether money is collected."""
        return self in (AchCode.DEBIT_CHECKING, AchCode.DEBIT_SAVINGS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AchOrder:
    """One credit or debit.

    Attributes
    ----------
    routing : number of the bank, nine digits
    number : ours; its last 15 characters stand in the entry, all of it in the addendum
    text : at most 80 characters with the number before it; empty and a number of at most 15: no
        addendum
    """

    code: AchCode
    routing: str
    account: str
    amount_minor: int
    name: str
    number: str
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AchOrigin:
    """Who sends the file, and to which bank.

    Attributes
    ----------
    routing : of the bank that sends it into the network
    company : identification, ten characters
    entry_class : PPD (people), CCD (companies) ...
    """

    routing: str
    bank: str
    company: str
    name: str
    entry_class: str = "PPD"
    purpose: str = "PAYMENT"


def write_nacha(
    orders: Sequence[AchOrder], origin: AchOrigin, *, on: date, at: datetime, modifier: str = "A"
) -> bytes:
    """Return a file of one batch.

    Parameters
    ----------
    on : when the entries are to take effect
    at : when the file is made, on the sender's clock
    modifier : a letter or digit that tells files of one day apart

    Returns
    -------
    bytes
        Lines of 94 characters, ten to a block, the last block filled with nines; amounts in cents.
        The hash is the sum of the banks' eight digits, its last ten.

    Refusals
    --------
    ach_order_is_malformed
    """
    _check(orders, origin, modifier)
    debits = sum(o.amount_minor for o in orders if o.code.is_debit)
    credits_ = sum(o.amount_minor for o in orders if not o.code.is_debit)
    sides = {order.code.is_debit for order in orders}
    service = _MIXED if len(sides) > 1 else _DEBITS if True in sides else _CREDITS
    sender = origin.routing[:8]
    entries: list[str] = []
    for sequence, order in enumerate(orders, start=1):
        entries += _entry(order, f"{sender}{sequence:07d}", sequence)
    hashed = sum(int(order.routing[:8]) for order in orders) % _HASH
    totals = f"{hashed:010d}{debits:012d}{credits_:012d}"
    company = f"{origin.company:<10.10}"
    head = (
        f"101 {origin.routing:>9} {origin.routing:>9}{at:%y%m%d%H%M}{modifier}094101"
        f"{_plain(origin.bank):<23.23}{_plain(origin.name):<23.23}{'':8}"
    )
    batch = (
        f"5{service}{_plain(origin.name):<16.16}{'':20}{company}{origin.entry_class:<3.3}"
        f"{_plain(origin.purpose):<10.10}{'':6}{on:%y%m%d}{'':3}1{sender}0000001"
    )
    batch_end = f"8{service}{len(entries):06d}{totals}{company}{'':19}{'':6}{sender}0000001"
    blocks = -(-(len(entries) + 4) // _BLOCK)
    end = f"9000001{blocks:06d}{len(entries):08d}{totals}{'':39}"
    lines = [head, batch, *entries, batch_end, end]
    lines += ["9" * _WIDTH] * (blocks * _BLOCK - len(lines))
    assert all(len(line) == _WIDTH for line in lines)
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def check_digit(routing: str) -> int:
    """Return the ninth digit of a bank's number.

    Examples
    --------
    >>> check_digit("12345678")
    0
    """
    total = sum(int(digit) * weight for digit, weight in zip(routing, _WEIGHTS, strict=False))
    return -total % 10


def _entry(order: AchOrder, trace: str, sequence: int) -> list[str]:
    note = " ".join(filter(None, (order.number if len(order.number) > 15 else "", order.text)))
    entry = (
        f"6{order.code}{order.routing}{order.account:<17}{order.amount_minor:010d}"
        f"{order.number[-15:]:<15}{_plain(latin(order.name)):<22.22}{'':2}{int(bool(note))}{trace}"
    )
    return [entry, f"705{_plain(note):<80}0001{sequence:07d}"] if note else [entry]


def _plain(text: str) -> str:
    return "".join(mark if " " <= mark <= "~" else "?" for mark in text)


def _check(orders: Sequence[AchOrder], origin: AchOrigin, modifier: str) -> None:
    _check_routing(0, origin.routing)
    if not re.fullmatch(r"[A-Z0-9]", modifier):
        raise AchOrderIsMalformed(row=0, field="file id modifier", found=modifier[:40])
    if not 0 < len(orders) < _MOST_ENTRIES // 2:
        raise AchOrderIsMalformed(row=0, field="entries", found=str(len(orders)))
    if sum(order.amount_minor for order in orders) >= 10**12:
        raise AchOrderIsMalformed(row=0, field="total", found="10^12")
    for row, order in enumerate(orders, start=1):
        _check_routing(row, order.routing)
        if not _ACCOUNT.fullmatch(order.account):
            raise AchOrderIsMalformed(row=row, field="account", found=order.account[:40])
        if not 0 < order.amount_minor < _MOST_CENTS:
            raise AchOrderIsMalformed(row=row, field="amount", found=str(order.amount_minor))
        if not (order.number.isascii() and order.number.isalnum()):
            raise AchOrderIsMalformed(row=row, field="number", found=order.number[:40])
        if len(order.number) + len(order.text) + 1 > 80:
            raise AchOrderIsMalformed(row=row, field="addendum", found=order.text[:40])


def _check_routing(row: int, routing: str) -> None:
    is_number = routing.isascii() and routing.isdigit() and len(routing) == 9
    if not is_number or check_digit(routing[:8]) != int(routing[8]):
        raise AchOrderIsMalformed(row=row, field="routing number", found=routing[:40])
