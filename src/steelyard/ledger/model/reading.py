"""What readers get: statements, trial balances, movements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from steelyard.ledger.model.accounts import AccountKind
from steelyard.ledger.model.metadata import shape_fault
from steelyard.ledger.model.transfers import Kind, cause_is_well_formed


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One posted movement on an account.

    Attributes
    ----------
    at : recording instant, microseconds since 1970; the key of the line in its book
    counter : number and code of the other account
    change_minor : by how much it changed the balance, on the account's natural side
    balance_minor : the balance after it, on the natural side; each is the one before it plus the
        change
    """

    at: int
    recorded_at: datetime
    id: UUID
    kind: Kind
    effective_on: date
    counter: tuple[int, str]
    change_minor: int
    balance_minor: int
    cause: str
    entry: UUID | None


@dataclass(frozen=True, slots=True)
class TrialLine:
    """The balance of an account in the column where it stands; the other column is 0."""

    account: int
    code: str
    kind: AccountKind
    currency: str
    debit_minor: int
    credit_minor: int


@dataclass(frozen=True, slots=True)
class TrialTotal:
    """The columns of a trial balance, summed for one currency.

    Attributes
    ----------
    accounts : how many have a balance
    difference_minor : debits less credits: 0, or the books are broken
    """

    currency: str
    accounts: int
    debit_minor: int
    credit_minor: int

    @property
    def difference_minor(self) -> int:
        """Debits less credits."""
        return self.debit_minor - self.credit_minor


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """The balances of a book at one point of both times.

    Attributes
    ----------
    lines : accounts whose balance is not 0, by code
    totals : by currency
    """

    book: str
    lines: tuple[TrialLine, ...]
    totals: tuple[TrialTotal, ...]

    @property
    def is_balanced(self) -> bool:
        """Whether debits are credits in every currency."""
        return all(total.difference_minor == 0 for total in self.totals)


def total_lines(lines: tuple[TrialLine, ...]) -> tuple[TrialTotal, ...]:
    """Return the totals of trial lines by currency."""
    sums: dict[str, tuple[int, int, int]] = {}
    for line in lines:
        n, debit, credit = sums.get(line.currency, (0, 0, 0))
        sums[line.currency] = (n + 1, debit + line.debit_minor, credit + line.credit_minor)
    return tuple(TrialTotal(currency, *sums[currency]) for currency in sorted(sums))


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """A recorded transfer for people to read, with the codes of its accounts.

    Attributes
    ----------
    amount_minor : moved, set aside or released, as `kind` says
    metadata : canonical JSON text, or None
    """

    book: str
    at: int
    recorded_at: datetime
    id: UUID
    kind: Kind
    debit: int
    debit_code: str
    credit: int
    credit_code: str
    amount_minor: int
    currency: str
    effective_on: date
    cause: str
    refers_to: UUID | None
    entry: UUID | None
    decision_id: UUID | None
    metadata: str | None
    hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What movements to find; conditions that are not None hold all together.

    Attributes
    ----------
    account : on either side, by number
    metadata : keys and values that the movement's metadata contain
    effective_from, effective_to : value dates, both included
    """

    account: int | None = None
    entry: UUID | None = None
    cause: str | None = None
    decision_id: UUID | None = None
    metadata: dict[str, str | int | bool] | None = None
    effective_from: date | None = None
    effective_to: date | None = None

    @property
    def can_find(self) -> bool:
        """Whether anything could ever have been recorded that fits."""
        return (
            (self.account is None or 0 < self.account < 2**63)
            and (self.cause is None or cause_is_well_formed(self.cause))
            and (self.metadata is None or shape_fault(self.metadata) is None)
        )
