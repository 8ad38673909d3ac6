"""A customer who lets a shop take money from him: mandates and debits as their tests begin with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any
from uuid import UUID, uuid4

from steelyard.base import Database, UnitOfWork
from steelyard.ledger import AccountKind, NewAccount, open_accounts
from steelyard.payments.model.channel import Decline, Finding, PayRequest, Said
from steelyard.payments.model.debits import Debit, NewDebit
from steelyard.payments.model.mandates import Mandate, NewMandate
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import debits, mandates
from tests.payments.till import CLIENTS, SHOP, ScriptedDesk, paying, top_up

ANN = UUID("00000000-0000-7000-8000-00000000a221")
BOB = UUID("00000000-0000-7000-8000-00000000b0b0")
ANNS = "wallet:ann-own"
TODAY = date(2026, 3, 2)
"""Where the clock of the tests begins, a Monday."""


def a_new_mandate(**changes: Any) -> NewMandate:
    """Return a mandate of 500.00 CNY a debit and 1,000.00 a month, over any channel."""
    id = uuid4()
    given: dict[str, Any] = {
        "id": id,
        "merchant": SHOP,
        "customer": ANN,
        "mode": Mode.LIVE,
        "mandate_no": f"M-{id.hex[:10]}",
        "currency": "CNY",
        "single_most_minor": 50_000,
        "period_most_minor": 100_000,
        "subject": "Rent 房租",
    }
    return NewMandate(**{**given, **changes})


def give_account(database: Database, minor: int = 1_000_000, customer: UUID = ANN) -> None:
    """Open an account of a customer in our client book."""

    def work(unit: UnitOfWork) -> None:
        account = NewAccount(
            code=ANNS,
            currency="CNY",
            kind=AccountKind.LIABILITY,
            owner=f"party:{customer}",
            debit_limit=0,
        )
        open_accounts(unit, CLIENTS, [account], cause="rule.test@1")
        if minor:
            top_up(unit, ANNS, minor)

    database.transact(work)


def proposed(database: Database, **changes: Any) -> Mandate:
    """Propose a mandate."""
    new = a_new_mandate(**changes)
    return database.transact(lambda unit: mandates.propose(unit, new))


def signed(database: Database, **changes: Any) -> Mandate:
    """Have a mandate that the customer signed."""
    made = proposed(database, **changes)
    return database.transact(
        lambda unit: mandates.sign(unit, made.id, customer=made.customer),
        actor=f"party:{made.customer}",
    )


def a_new_debit(mandate: Mandate, **changes: Any) -> NewDebit:
    """Return a debit of 100.00 CNY that is due today."""
    id = uuid4()
    given: dict[str, Any] = {
        "id": id,
        "mandate": mandate.id,
        "debit_no": f"D-{id.hex[:10]}",
        "amount_minor": 10_000,
        "currency": "CNY",
        "due_on": TODAY,
    }
    return NewDebit(**{**given, **changes})


def scheduled(database: Database, mandate: Mandate, **changes: Any) -> Debit:
    """Schedule a debit that is allowed."""
    new = a_new_debit(mandate, **changes)
    (made,) = database.transact(lambda unit: debits.schedule(unit, [new]))
    if not isinstance(made, Debit):
        raise made
    return made


def sent(database: Database, debit: Debit, desk: ScriptedDesk | None = None) -> Debit:
    """Send a debit, and return it as it stands then."""
    with paying(database, desk or ScriptedDesk()) as opened:
        debits.send(database, opened, [debit.id])
    return now(database, debit)


def now(database: Database, debit: Debit) -> Debit:
    """Return a debit as it stands."""
    with database.reading() as connection:
        return debits.read(connection, debit.id)


def mandate_now(database: Database, mandate: Mandate) -> Mandate:
    """Return a mandate as it stands."""
    with database.reading() as connection:
        return mandates.read(connection, mandate.id)


def declines(code: str, decline: Decline = Decline.OTHER) -> Callable[[PayRequest], Finding]:
    """Return a channel's answer that is no."""
    return lambda _: Finding(said=Said.DECLINED, code=code, decline=decline)
