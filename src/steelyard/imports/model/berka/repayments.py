"""Repayments of the bank's loans out of a seed: a simulation, for the source holds none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256

from steelyard.cashflows import plan
from steelyard.imports.model.berka.loans import terms_of
from steelyard.imports.model.berka.records import Loan

_PER_MILLE = 1_000
_MISSED, _LATE = 20, 80
_LONGEST_DELAY_DAYS = 20


@dataclass(frozen=True, slots=True)
class SimulatedRepayment:
    """A repayment that nobody made: `nr` of the instalment, the day, and the amount."""

    loan_id: int
    nr: int
    on: date
    amount_minor: int


def simulated_repayments(loan: Loan, *, first: int, seed: int) -> Iterator[SimulatedRepayment]:
    """Yield repayments of the first instalments of a loan.

    Of a thousand instalments 900 are paid on their day, 80 one to twenty days late, 20 not at all.
    The loan's outcome has no say: what comes of this tells nothing about the bank.

    Parameters
    ----------
    first : how many instalments
    seed : the same seed, the same repayments
    """
    for row in plan(terms_of(loan)).rows[:first]:
        drawn = sha256(f"{seed}/{loan.loan_id}/{row.nr}".encode()).digest()
        lot = int.from_bytes(drawn[:8], "big") % _PER_MILLE
        if lot < _MISSED:
            continue
        delay = 1 + drawn[8] % _LONGEST_DELAY_DAYS if lot < _MISSED + _LATE else 0
        on = row.due_on + timedelta(days=delay)
        yield SimulatedRepayment(loan.loan_id, row.nr, on, row.total_minor)
