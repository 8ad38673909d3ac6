"""What a resolution posts: in the client book, and where the loss or gain is ours in both books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid5

from steelyard.base import UnitOfWork
from steelyard.ledger import (
    AccountKind,
    Heading,
    Leg,
    NewAccount,
    Transfer,
    accepted,
    between_books,
    entry,
    open_accounts,
    post,
)
from steelyard.payments.model import accounts
from steelyard.payments.model.recon import Action, Item
from steelyard.payments.service import institution
from steelyard.payments.service.institution import Institution

POSTED: Final = "posted"
"""Why an item is closed that was resolved in the books."""
LATE_CAUSE: Final = "rule.recon_late_arrival@1"
LOSSES: Final = "expense/losses"
GAINS: Final = "income/differences"


def suspended_minor(action: Action, item: Item) -> int:
    """Return what of an item lies in suspense after an action."""
    return item.difference_minor if action is Action.SUSPENSE else 0


def release(unit: UnitOfWork, item: Item) -> list[Transfer]:
    """Return the transfers that take an item out of suspense: it was explained."""
    house = institution.read(unit.connection, item.mode)
    legs = _suspense(item, -item.suspense_minor)
    return _entry(unit, house, _heading(house, item, f"release/{item.version}", LATE_CAUSE), legs)


def resolve(
    unit: UnitOfWork, item: Item, action: Action, merchant: UUID | None, cause: str
) -> list[Transfer]:
    """Return what an action posts; nothing where it moves no money.

    What lies in suspense for the item is taken out of there, all else comes out of what is in
    transit from the channel.

    Parameters
    ----------
    merchant : whose account follows; for the actions that need one
    """
    difference = item.difference_minor
    house = institution.read(unit.connection, item.mode)
    name = f"{action.value}/{item.version}"
    if action is Action.MATCH:
        return release(unit, item) if item.suspense_minor else []
    if not difference:
        return []
    if action is Action.SUSPENSE:
        return _entry(unit, house, _heading(house, item, name, cause), _suspense(item, difference))
    if action is Action.WRITE_OFF:
        return _own(unit, house, item, name, cause)
    if action is Action.REFUND:
        # It comes and goes: the channel gives it back out of what it holds for us.
        legs = [] if item.suspense_minor else _suspense(item, difference)
        posted = _entry(unit, house, _heading(house, item, name, cause), legs) if legs else []
        back = _entry(
            unit, house, _heading(house, item, f"{name}/back", cause), _suspense(item, -difference)
        )
        return posted + back
    assert merchant is not None, "the verb asked for it"
    account = accounts.available(merchant, item.currency)
    return _entry(
        unit, house, _heading(house, item, name, cause), _legs(_from(item), account, difference)
    )


def write(unit: UnitOfWork, transfers: Sequence[Transfer]) -> None:
    """Post transfers, as the last thing of the unit."""
    if transfers:
        accepted(post(unit, transfers))


def _from(item: Item) -> str:
    """Return the account on which the difference stands now."""
    if item.suspense_minor > 0:
        return accounts.unclaimed(item.currency)
    if item.suspense_minor < 0:
        return accounts.shortage(item.currency)
    return accounts.in_transit(item.channel, item.currency)


def _legs(debit: str, credit: str, amount_minor: int) -> list[Leg]:
    """Return a movement; below zero it goes the other way."""
    if amount_minor < 0:
        debit, credit, amount_minor = credit, debit, -amount_minor
    return [Leg(debit, debit_minor=amount_minor), Leg(credit, credit_minor=amount_minor)]


def _suspense(item: Item, amount_minor: int) -> list[Leg]:
    """Return what puts money into unclaimed or claims it as missing; below zero the way back."""
    base = accounts.in_transit(item.channel, item.currency)
    is_money = item.suspense_minor > 0 or (item.suspense_minor == 0 and item.difference_minor > 0)
    account = accounts.unclaimed if is_money else accounts.shortage
    return _legs(base, account(item.currency), amount_minor)


def _heading(house: Institution, item: Item, name: str, cause: str) -> Heading:
    return Heading(
        entry=uuid5(item.id, name), book=house.client_book, currency=item.currency, cause=cause
    )


def _entry(
    unit: UnitOfWork, house: Institution, heading: Heading, legs: Sequence[Leg]
) -> list[Transfer]:
    codes = [(str(leg.account), heading.currency) for leg in legs]
    institution.have_accounts(unit, house.client_book, codes)
    return list(entry(heading, legs))


def _own(unit: UnitOfWork, house: Institution, item: Item, name: str, cause: str) -> list[Transfer]:
    """Return the movement by which our own book bears a loss, or keeps what nobody claims."""
    currency = item.currency
    line, kind = (
        (GAINS, AccountKind.INCOME) if item.difference_minor > 0 else (LOSSES, AccountKind.EXPENSE)
    )
    ours = f"{line}:{currency}"
    opened = [
        NewAccount(code=ours, currency=currency, kind=kind),
        NewAccount.mirror(house.client_book, currency=currency, kind=AccountKind.ASSET),
    ]
    open_accounts(unit, house.own_book, opened, cause=institution.CAUSE)
    theirs = NewAccount.mirror(house.own_book, currency=currency, kind=AccountKind.LIABILITY)
    open_accounts(unit, house.client_book, [theirs], cause=institution.CAUSE)
    base = _from(item)
    institution.have_accounts(unit, house.client_book, [(base, currency)])
    heading = _heading(house, item, name, cause)
    amount = abs(item.difference_minor)
    if item.difference_minor > 0:
        return list(
            between_books(heading, house.own_book, debit=base, credit=ours, amount_minor=amount)
        )
    own = replace(heading, book=house.own_book)
    return list(between_books(own, house.client_book, debit=ours, credit=base, amount_minor=amount))
