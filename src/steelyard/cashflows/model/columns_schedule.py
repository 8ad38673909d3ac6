"""Schedules in columns: the rows of many contracts, one after another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows.model.columns_dates import Days, date_of
from steelyard.cashflows.model.columns_exact import Minor
from steelyard.cashflows.model.plan import Plan
from steelyard.cashflows.model.standing import Row, RowKind


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduleColumns:
    """Schedules of many contracts, their rows one after another.

    Attributes
    ----------
    offsets : of shape (contracts + 1,): rows of contract i stand from ``offsets[i]`` up to, and
        without, ``offsets[i + 1]``
    opens : whether a contract's first row is that of its first day (down payment, fees)
    from_on, to_on, due_on : days since 1970; of each row
    principal_minor, interest_minor, fee_minor, accrues_minor, balance_minor : of each row
    instalment_minor : the equal instalment of each contract; 0 where the method has none
    by_scalar : contracts that the scalar engine planned, all reasons together
    near_ties : of them, those whose equal instalment lay too near to where rounding turns
    """

    offsets: NDArray[np.int64]
    opens: NDArray[np.bool_]
    from_on: Days
    to_on: Days
    due_on: Days
    principal_minor: Minor
    interest_minor: Minor
    fee_minor: Minor
    accrues_minor: Minor
    balance_minor: Minor
    instalment_minor: Minor
    by_scalar: int
    near_ties: int

    def __len__(self) -> int:
        return len(self.opens)

    def plan_at(self, place: int) -> Plan:
        """Return the schedule of one contract as `plan` does."""
        begin, end = int(self.offsets[place]), int(self.offsets[place + 1])
        opens = bool(self.opens[place])
        rows = tuple(
            Row(
                nr=at - begin + 1,
                kind=RowKind.DOWN_PAYMENT if opens and at == begin else RowKind.INSTALMENT,
                from_on=date_of(self.from_on[at]),
                to_on=date_of(self.to_on[at]),
                due_on=date_of(self.due_on[at]),
                principal_minor=int(self.principal_minor[at]),
                interest_minor=int(self.interest_minor[at]),
                fee_minor=int(self.fee_minor[at]),
                penalty_minor=0,
                balance_minor=int(self.balance_minor[at]),
                accrues_minor=int(self.accrues_minor[at]),
            )
            for at in range(begin, end)
        )
        return Plan(rows, int(self.instalment_minor[place]))
