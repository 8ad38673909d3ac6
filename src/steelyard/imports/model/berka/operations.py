"""What a line of the bank's statement does: its operation, its purpose and the other side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from steelyard.imports.model.table import Row


class Operation(StrEnum):
    """What moves money on to or off a customer's account; each moves it one way only."""

    CASH_DEPOSIT = "cash_deposit"
    CASH_WITHDRAWAL = "cash_withdrawal"
    CARD_WITHDRAWAL = "card_withdrawal"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    INTEREST_CREDITED = "interest_credited"
    STATEMENT_FEE = "statement_fee"
    SANCTION_INTEREST = "sanction_interest"

    @property
    def is_credit(self) -> bool:
        """Whether the customer's balance grows."""
        return self in _CREDITS

    def label(self, language: str) -> str:
        """Return the name of the operation in Chinese for `zh*`, else in English.

        Examples
        --------
        >>> Operation.STATEMENT_FEE.label("en"), Operation.STATEMENT_FEE.label("zh-CN")
        ('Statement fee', '对账单费')
        """
        return OPERATION_LABELS[self][1 if language.lower().startswith("zh") else 0]


_CREDITS = frozenset({Operation.CASH_DEPOSIT, Operation.TRANSFER_IN, Operation.INTEREST_CREDITED})

OPERATION_LABELS: Mapping[Operation, tuple[str, str]] = MappingProxyType(
    {
        Operation.CASH_DEPOSIT: ("Cash deposit", "现金存入"),
        Operation.CASH_WITHDRAWAL: ("Cash withdrawal", "现金支取"),
        Operation.CARD_WITHDRAWAL: ("Card withdrawal", "银行卡取现"),
        Operation.TRANSFER_IN: ("Transfer from another bank", "他行转入"),
        Operation.TRANSFER_OUT: ("Transfer to another bank", "转往他行"),
        Operation.INTEREST_CREDITED: ("Interest credited", "利息入账"),
        Operation.STATEMENT_FEE: ("Statement fee", "对账单费"),
        Operation.SANCTION_INTEREST: ("Sanction interest", "透支罚息"),
    }
)
"""English and Chinese name of every operation."""


class Purpose(StrEnum):
    """What the bank says a payment is for (its k_symbol), where that is not the operation."""

    HOUSEHOLD = "household"
    INSURANCE = "insurance"
    LEASING = "leasing"
    LOAN_PAYMENT = "loan_payment"
    PENSION = "pension"


class CounterpartyKind(StrEnum):
    """Whose account is on the other side of a line."""

    CASH = "cash"
    """The tills: notes in and out."""
    CARD = "card"
    """Cash machines reached by card, settled with the card scheme."""
    OTHER_BANK = "other_bank"
    """An account at another bank, named by bank and number."""
    INTEREST_EXPENSE = "interest_expense"
    """What the bank pays its depositors."""
    FEE_INCOME = "fee_income"
    INTEREST_INCOME = "interest_income"
    """What the bank earns on balances below zero."""


@dataclass(frozen=True, slots=True)
class Counterparty:
    """The other side of a line.

    Attributes
    ----------
    kind : whose account it is
    bank : two letters of the partner's bank, None for every kind but `other_bank`, and where the
        source leaves it out (missing stays missing)
    account : the partner's number at that bank, None for every kind but `other_bank`

    Examples
    --------
    >>> Counterparty(CounterpartyKind.OTHER_BANK, "YZ", "66502475").key
    'other_bank/YZ/66502475'
    >>> Counterparty(CounterpartyKind.CASH).key
    'cash'
    """

    kind: CounterpartyKind
    bank: str | None = None
    account: str | None = None

    @property
    def key(self) -> str:
        """One stable string per counter-party, to name its account by."""
        if self.kind is not CounterpartyKind.OTHER_BANK:
            return self.kind.value
        return f"{self.kind.value}/{self.bank or '?'}/{self.account}"


COUNTERPARTY_OF: Mapping[Operation, CounterpartyKind] = MappingProxyType(
    {
        Operation.CASH_DEPOSIT: CounterpartyKind.CASH,
        Operation.CASH_WITHDRAWAL: CounterpartyKind.CASH,
        Operation.CARD_WITHDRAWAL: CounterpartyKind.CARD,
        Operation.TRANSFER_IN: CounterpartyKind.OTHER_BANK,
        Operation.TRANSFER_OUT: CounterpartyKind.OTHER_BANK,
        Operation.INTEREST_CREDITED: CounterpartyKind.INTEREST_EXPENSE,
        Operation.STATEMENT_FEE: CounterpartyKind.FEE_INCOME,
        Operation.SANCTION_INTEREST: CounterpartyKind.INTEREST_INCOME,
    }
)
"""Where each operation takes money from or brings it to."""

# The words of the translated edition and of the Czech original. Of the type only the direction is
# used: the third one, "withdrawal in cash" (VYBER), says nothing that the operation does not.
_CREDIT_BY_TYPE = {
    "credit": True,
    "prijem": True,
    "withdrawal": False,
    "vydaj": False,
    "withdrawal in cash": False,
    "vyber": False,
}
_OPERATION_WORDS = {
    "": "",
    "credit in cash": "cash in",
    "vklad": "cash in",
    "withdrawal in cash": "cash out",
    "vyber": "cash out",
    "credit card withdrawal": "card out",
    "vyber kartou": "card out",
    "collection from another bank": "bank in",
    "prevod z uctu": "bank in",
    "remittance to another bank": "bank out",
    "prevod na ucet": "bank out",
}
_K_SYMBOLS: dict[str, Purpose | str | None] = {
    "": None,
    "household": Purpose.HOUSEHOLD,
    "sipo": Purpose.HOUSEHOLD,
    "insurrance payment": Purpose.INSURANCE,
    "insurance payment": Purpose.INSURANCE,
    "pojistne": Purpose.INSURANCE,
    "leasing": Purpose.LEASING,
    "loan payment": Purpose.LOAN_PAYMENT,
    "uver": Purpose.LOAN_PAYMENT,
    "old-age pension": Purpose.PENSION,
    "duchod": Purpose.PENSION,
    "interest credited": "interest",
    "urok": "interest",
    "payment for statement": "statement",
    "sluzby": "statement",
    "sanction interest if negative balance": "sanction",
    "sankc. urok": "sanction",
}
# (customer's balance grows, operation, what the k_symbol says beyond a purpose)
_OPERATIONS = {
    (True, "cash in", None): Operation.CASH_DEPOSIT,
    (True, "bank in", None): Operation.TRANSFER_IN,
    (True, "", "interest"): Operation.INTEREST_CREDITED,
    (False, "cash out", None): Operation.CASH_WITHDRAWAL,
    (False, "card out", None): Operation.CARD_WITHDRAWAL,
    (False, "bank out", None): Operation.TRANSFER_OUT,
    (False, "cash out", "statement"): Operation.STATEMENT_FEE,
    (False, "cash out", "sanction"): Operation.SANCTION_INTEREST,
}


def read_purpose(row: Row) -> Purpose | None:
    """Return what a payment is for, None where the bank does not say.

    Refusals
    --------
    import_row_malformed : an unknown k_symbol, or one that is no purpose
    """
    purpose = row.word("k_symbol", _K_SYMBOLS)
    if purpose is not None and not isinstance(purpose, Purpose):
        row.refuse("k_symbol", "not the purpose of a payment", "不是付款用途")
    return purpose


def read_partner(row: Row, bank: str, account: str) -> Counterparty:
    """Return the account at another bank that two columns name.

    Refusals
    --------
    import_row_malformed : no account number
    """
    number = row.integer(account)
    return Counterparty(CounterpartyKind.OTHER_BANK, row.text(bank) or None, str(number))


def classify(row: Row) -> tuple[Operation, Purpose | None, Counterparty]:
    """Return what one row of trans does, for what, and whose account is on the other side.

    A fee and a sanction interest are written as withdrawals in cash with a k_symbol; an interest
    has no operation, only its k_symbol. The account "0" of a cash line stands for none.

    Refusals
    --------
    import_row_malformed : an unknown word, or known words that do not go together
    """
    is_credit = row.word("type", _CREDIT_BY_TYPE)
    word = row.word("operation", _OPERATION_WORDS)
    symbol = row.word("k_symbol", _K_SYMBOLS)
    purpose = symbol if isinstance(symbol, Purpose) else None
    operation = _OPERATIONS.get((is_credit, word, None if purpose else symbol))
    if operation is None:
        row.refuse(
            "operation",
            "not an operation that goes with the type and the k_symbol of its row",
            "与本行的类型和 k_symbol 不相符",
        )
    kind = COUNTERPARTY_OF[operation]
    if kind is CounterpartyKind.OTHER_BANK:
        return operation, purpose, read_partner(row, "bank", "account")
    return operation, purpose, Counterparty(kind)
