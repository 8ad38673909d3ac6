"""Codes: one that hangs in a shop and makes an order, one that a payer shows and pays one.

A payer's code (付款码) stands for a card of his for one minute and one payment. It is kept as a
keyed hash; it is used up in a transaction of its own before anything is begun, for one attempt.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.kernel import Refusal
from steelyard.payments.model.bindings import BindingState
from steelyard.payments.model.bindings_refusals import BindingIsUnknown
from steelyard.payments.model.channel import Method
from steelyard.payments.model.checks import whose
from steelyard.payments.model.codes import (
    MOST_CODES_A_MINUTE,
    PAY_CODE_DIGITS,
    PAY_CODE_LIVES,
    PayCode,
    PayCodeIsUnknown,
    ScanCode,
    ScanCodeIsUnknown,
    ScanCodeTakesLess,
    ShownCode,
    TooManyPayCodes,
    is_pay_code,
    pay_code_of,
)
from steelyard.payments.model.orders import Mode, NewOrder, Order, Payer, Scenario
from steelyard.payments.model.refusals import PaymentIsUnknown
from steelyard.payments.service import bindings, cashier, orders
from steelyard.payments.service.paying import Pay, Result
from steelyard.payments.service.proofs import Till
from steelyard.payments.store import bindings as bindings_table
from steelyard.payments.store import codes as table
from steelyard.payments.store import orders as orders_table

__all__ = [
    "PAY_CODE_DIGITS",
    "PAY_CODE_LIVES",
    "NewScanCode",
    "PayCodeIsUnknown",
    "ScanCode",
    "ScanCodeIsUnknown",
    "ScanCodeTakesLess",
    "Scanned",
    "ShownCode",
    "TooManyPayCodes",
    "hang",
    "list_scan_codes",
    "pay_by_code",
    "read_scan_code",
    "scan",
    "show",
    "take_down",
]

_FIELD: Final = "payments.pay_code"
_MINUTE: Final = timedelta(minutes=1)
_TRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NewScanCode:
    """A code to hang.

    Attributes
    ----------
    id : the token is made of it, so that the same asked for again is the same
    """

    id: UUID
    merchant: UUID
    app: str
    subject: str
    mode: Mode = Mode.LIVE
    terminal: str | None = None
    currency: str = "CNY"
    most_minor: int = 500_000


@dataclass(frozen=True, slots=True)
class Scanned:
    """An order that a payer made by scanning, and the address of its page."""

    order: Order
    token: str


def hang(unit: UnitOfWork, keyring: Keyring, new: NewScanCode) -> ScanCode:
    """Make a code that hangs in a shop: whoever scans it types the amount."""
    made = keyring.blind_index(unit.connection, str(new.id), field="payments.scan_code")
    code = ScanCode(
        token=base64.urlsafe_b64encode(made[:16]).rstrip(b"=").decode(),
        merchant=new.merchant,
        app=new.app,
        mode=new.mode,
        terminal=new.terminal,
        currency=new.currency,
        subject=new.subject,
        most_minor=new.most_minor,
        created_at=unit.now,
    )
    table.insert_scan(unit.connection, code)
    audit(unit, action="payments.hang_code", subject=f"merchant:{new.merchant}")
    return code


def take_down(unit: UnitOfWork, token: str, merchant: UUID) -> ScanCode:
    """Let a code be paid on no more; orders that were made by it go on.

    Refusals
    --------
    scan_code_is_unknown
    """
    gone = table.take_down(unit.connection, token, merchant)
    if gone is None:
        raise ScanCodeIsUnknown
    audit(unit, action="payments.take_code_down", subject=f"merchant:{merchant}")
    return gone


def list_scan_codes(connection: sa.Connection, merchant: UUID) -> list[ScanCode]:
    """Return the codes of a merchant, the newest first."""
    return table.scans_of(connection, merchant)


def read_scan_code(connection: sa.Connection, token: str) -> ScanCode:
    """Return a code that hangs somewhere, for whoever scanned it.

    Refusals
    --------
    scan_code_is_unknown
    """
    found = table.find_scan(connection, token)
    if found is None or not found.is_active:
        raise ScanCodeIsUnknown
    return found


def scan(
    unit: UnitOfWork, keyring: Keyring, token: str, *, order: UUID, amount_minor: int
) -> Scanned:
    """Make an order of the amount that a payer typed, and open its page.

    Parameters
    ----------
    order : its id; the same again is the same order

    Refusals
    --------
    scan_code_is_unknown, scan_code_takes_less, those of `orders.create`
    """
    code = read_scan_code(unit.connection, token)
    if amount_minor > code.most_minor:
        raise ScanCodeTakesLess(most_minor=code.most_minor, amount_minor=amount_minor)
    new = NewOrder(
        id=order,
        merchant=code.merchant,
        app=code.app,
        mode=code.mode,
        order_no=f"scan-{order.hex}",
        amount_minor=amount_minor,
        currency=code.currency,
        subject=code.subject,
        scenario=Scenario.IN_STORE,
        payer=Payer(terminal=code.terminal, is_online=False),
    )
    (made,) = orders.create(unit, [new])
    if isinstance(made, Refusal):
        raise made
    return Scanned(made, cashier.open_page(unit, keyring, made.id))


def show(unit: UnitOfWork, keyring: Keyring, customer: UUID, binding: UUID) -> ShownCode:
    """Make a code that a customer shows to be paid with a card of his; the one before is void.

    Refusals
    --------
    binding_is_unknown, too_many_pay_codes
    """
    found = bindings_table.lock(unit.connection, binding)
    mine = found is not None and found.customer == customer
    if found is None or not mine or found.state is not BindingState.ACTIVE:
        raise BindingIsUnknown(binding=binding)
    made = table.count_since(unit.connection, customer, unit.wall_at - _MINUTE)
    if made >= MOST_CODES_A_MINUTE:
        raise TooManyPayCodes(most=MOST_CODES_A_MINUTE)
    table.void_unused(unit.connection, customer, unit.wall_at)
    kept = PayCode(customer=customer, binding=binding, expires_at=unit.wall_at + PAY_CODE_LIVES)
    for _ in range(_TRIES):
        code = pay_code_of(secrets.randbelow(10**PAY_CODE_DIGITS))
        hashed = keyring.blind_index(unit.connection, code, field=_FIELD)
        if table.insert_pay_code(unit.connection, hashed, kept, unit.wall_at):
            return ShownCode(code, kept.expires_at)
    raise AssertionError("chance gave three codes that were there before")


def pay_by_code(
    till: Till,
    order_id: UUID,
    code: str,
    *,
    attempt: UUID,
    merchant: UUID | None = None,
    actor: str,
) -> Result:
    """Pay an order with the code that its payer shows.

    The code is used up whatever becomes of the payment; the same attempt asked for again finds
    what became of it. Above the amount that goes without, the payer is sent a one-time code.

    Refusals
    --------
    payment_is_unknown, pay_code_is_unknown, binding_is_unknown, and those of `Paying.pay`
    """
    database = till.codes.database
    with database.reading() as connection:
        order = orders_table.find(connection, [order_id]).get(order_id)
    if order is None or not whose(order, merchant):
        raise PaymentIsUnknown(payment=order_id)
    text = "".join(code.split())
    if not is_pay_code(text):
        raise PayCodeIsUnknown
    used = database.transact(lambda unit: _use(unit, till, text, attempt), actor=actor)
    if used is None:
        raise PayCodeIsUnknown
    with database.reading() as connection:
        bound = bindings.read(connection, used.binding, used.customer)
        payer = replace(
            order.payer, customer=used.customer, instrument=bound.token, is_online=False
        )
        how = bindings.pay_by_token(
            connection,
            Pay(attempt=attempt, method=Method.QUICK_PAY),
            payer,
            amount_minor=order.amount_minor,
            currency=order.currency,
        )
    return till.paying.pay(order_id, how, merchant=merchant, actor=actor)


def _use(unit: UnitOfWork, till: Till, code: str, attempt: UUID) -> PayCode | None:
    hashed = till.codes.keyring.blind_index(unit.connection, code, field=_FIELD)
    return table.use(unit.connection, hashed, attempt, unit.wall_at)
