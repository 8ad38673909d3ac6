"""What an act does, or would do, to a loan: shown before it is done, and told after."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from steelyard.cashflows import Standing
from steelyard.credit.model.loan import Loan, LoanState
from steelyard.credit.model.postings import Flow, Line, Position


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A loan before and after an act, and the entry between.

    Attributes
    ----------
    loan : as it stands after the act
    is_done : whether it was written; otherwise this is what it would do
    before, after : its standing on the business date without the act, and with it
    cause : who says so
    lines : of the lender's book; debits are over nothing
    entry : id of the ledger entry; None where no money and no claim moved
    amount_minor : what came in, less than nothing where it went out
    """

    loan: Loan
    is_done: bool
    state_before: LoanState
    before: Standing | None
    after: Standing
    position_before: Position
    position_after: Position
    flow: Flow
    lines: tuple[Line, ...]
    entry: UUID | None
    events: tuple[int, ...]
    cause: str

    @property
    def amount_minor(self) -> int:
        """Return what came in, less than nothing where it went out."""
        return self.flow.cash_minor + (self.flow.price_minor or 0)
