"""Direct debit by files: pain.008 out once, camt.053 back, a return found weeks later."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from steelyard.base import Database, NoPolicyGate
from steelyard.kernel import SteppingClock
from steelyard.payments import statements
from steelyard.payments.channels import KINDS
from steelyard.payments.channels.bank_file import BankFileChannel
from steelyard.payments.model import accounts
from steelyard.payments.model.channel import Capability, Method
from steelyard.payments.model.debits import Debit, DebitState
from steelyard.payments.model.statements import LineKind, Statement, StatementLine
from steelyard.payments.service import debits, orders
from steelyard.payments.service.paying import Paying
from tests.payments.debiting import now, scheduled, signed
from tests.payments.till import SHOP, ScriptedRouting, balance, open_shop

IBAN = "DE89370400440532013000"
CAN = Capability(
    methods=(Method.DIRECT_DEBIT,),
    currencies=("EUR",),
    calendar="TARGET2",
    timezone="Europe/Berlin",
    batch=True,
)


@dataclass(frozen=True, slots=True)
class BankDesk:
    """Has a bank that takes files."""

    bank: BankFileChannel
    can: Capability = field(default=CAN)

    def get(self, code: str) -> BankFileChannel:
        return self.bank

    def capability(self, code: str) -> Capability:
        return self.can


def a_bank(folder: Path) -> BankFileChannel:
    settings = {
        "folder": str(folder),
        "name": "Steelyard Pay",
        "iban": IBAN,
        "bic": "COBADEFFXXX",
        "creditor": "DE98ZZZ09999999999",
    }
    made = KINDS["bank_file"]("bank", settings, 1.0)
    assert isinstance(made, BankFileChannel)
    return made


def a_statement(number: str, amount: int, on: date) -> bytes:
    line = StatementLine(
        number=1,
        kind=LineKind.PAYMENT if amount > 0 else LineKind.RETURN,
        amount_minor=amount,
        currency="EUR",
        booked_on=on,
        reference=f"B{on:%d}",
        our_number=number.upper(),
    )
    return statements.write_camt053(
        Statement(
            form="camt.053",
            account=IBAN,
            currency="EUR",
            from_on=on,
            to_on=on,
            lines=(line,),
            opening_minor=0,
            closing_minor=amount,
        ),
        at=datetime(on.year, on.month, on.day, 20, tzinfo=UTC),
    )


def number_of(database: Database, debit: Debit) -> str:
    with database.reading() as connection:
        return orders.read(connection, debit.order or debit.id).attempts[-1].number


def test_a_debit_by_files_and_its_return(
    database: Database, clock: SteppingClock, tmp_path: Path
) -> None:
    open_shop(database, currencies=("CNY", "EUR"))
    bank = a_bank(tmp_path)
    made = signed(
        database,
        currency="EUR",
        channel="bank",
        kind="bank_file",
        calendar="TARGET2",
        details={"name": "Ann Miller", "iban": "NL91ABNA0417164300"},
    )
    debit = scheduled(database, made, currency="EUR")
    desk = BankDesk(bank)
    opened = Paying(database, NoPolicyGate(), desk, ScriptedRouting("bank"))
    try:
        debits.send_due(database, opened)
        assert now(database, debit).state is DebitState.ACCEPTED
        number = number_of(database, now(database, debit))
        (file,) = bank.make_files(database.now())
        content = file.read_text()
        assert made.number in content
        assert number in content
        assert "2026-03-02</DtOfSgntr>" in content
        assert bank.make_files(database.now()) == ()
        clock.advance(timedelta(days=2))
        booked = a_statement(number, 10_000, date(2026, 3, 4))
        (tmp_path / "inbox" / "day.xml").write_bytes(booked)
        opened.poll()
        database.transact(debits.follow_due)
        assert now(database, debit).state is DebitState.SUCCEEDED
        assert balance(database, accounts.pending(SHOP, "EUR")) == 10_000
        assert debits.look_for_returns(database, desk) == 0
        clock.advance(timedelta(days=30))
        back = a_statement(number, -10_000, date(2026, 4, 3))
        (tmp_path / "inbox" / "later.xml").write_bytes(back)
        assert debits.look_for_returns(database, desk) == 1
    finally:
        opened.close()
    after = now(database, debit)
    assert (after.state, after.code) == (DebitState.RETURNED, "MS03")
    assert balance(database, accounts.pending(SHOP, "EUR")) == 0
