"""Our running balances against the bank's own, cumulative and row to row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from steelyard.imports.model.berka.balances import ROUNDING_MINOR, BalanceColumn


class Way(StrEnum):
    """The two ways to hold two columns of balances against each other."""

    CUMULATIVE = "cumulative"
    """Our balance, summed up from zero, against the bank's."""
    ROW_TO_ROW = "row_to_row"
    """The bank's balance before plus our change against the bank's balance after."""


class Agreement(StrEnum):
    """How an account agrees, by its worst row."""

    EXACT = "exact"
    WITHIN_ROUNDING = "within_rounding"
    """No row is off by more than 0.10."""
    DIFFERS = "differs"
    INCOMPLETE = "incomplete"
    """One side has rows that the other has not: the balances say nothing yet."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far ours is from the bank's over the rows of an account, one way.

    Attributes
    ----------
    rows_exact, rows_within, rows_beyond : rows that are equal, off by up to the rounding, off more
    largest_minor : ours minus the bank's in the row that is off most (the first such)
    """

    rows_exact: int
    rows_within: int
    rows_beyond: int
    largest_minor: int

    @property
    def agreement(self) -> Agreement:
        """The verdict over the rows both sides have."""
        if self.rows_beyond:
            return Agreement.DIFFERS
        return Agreement.WITHIN_ROUNDING if self.rows_within else Agreement.EXACT


@dataclass(frozen=True, slots=True)
class AccountComparison:
    """One account's balances against the bank's.

    Attributes
    ----------
    rows : rows that both sides have
    rows_missing : rows of the bank that ours lacks
    rows_surplus : rows of ours that the bank lacks, repeated ones included
    cumulative, row_to_row : how far they are apart, each way
    """

    account_id: int
    rows: int
    rows_missing: int
    rows_surplus: int
    cumulative: Deviation
    row_to_row: Deviation

    def deviation(self, way: Way) -> Deviation:
        """Return how far they are apart one way."""
        return self.cumulative if way is Way.CUMULATIVE else self.row_to_row

    def agreement(self, way: Way) -> Agreement:
        """Return the verdict one way."""
        if self.rows_missing or self.rows_surplus:
            return Agreement.INCOMPLETE
        return self.deviation(way).agreement


@dataclass(frozen=True, slots=True)
class Comparison:
    """All accounts with rows on either side, by account id."""

    accounts: tuple[AccountComparison, ...]

    @property
    def rows(self) -> int:
        """Rows that both sides have."""
        return sum(account.rows for account in self.accounts)

    def count(self, way: Way, agreement: Agreement) -> int:
        """Return how many accounts agree so."""
        return sum(account.agreement(way) is agreement for account in self.accounts)

    def differing(self, way: Way) -> tuple[AccountComparison, ...]:
        """Return the accounts off by more than the rounding, the furthest first."""
        found = [a for a in self.accounts if a.agreement(way) is Agreement.DIFFERS]
        found.sort(key=lambda a: (-abs(a.deviation(way).largest_minor), a.account_id))
        return tuple(found)

    def largest_differences(self, way: Way) -> dict[int, int]:
        """Return how many accounts are off at most by each distance in haléř, distance ascending.

        Accounts that are incomplete are left out.
        """
        counts: dict[int, int] = {}
        for account in self.accounts:
            if account.agreement(way) is not Agreement.INCOMPLETE:
                distance_minor = abs(account.deviation(way).largest_minor)
                counts[distance_minor] = counts.get(distance_minor, 0) + 1
        return dict(sorted(counts.items()))

    @property
    def accumulated_rounding(self) -> int:
        """Accounts that differ in the running balance though no single row does."""
        return sum(
            a.agreement(Way.CUMULATIVE) is Agreement.DIFFERS
            and a.agreement(Way.ROW_TO_ROW) is not Agreement.DIFFERS
            for a in self.accounts
        )


def compare_balances(
    ours: Mapping[int, Sequence[tuple[int, int]]], column: BalanceColumn
) -> Comparison:
    """Hold our balances against the bank's, both ways.

    Parameters
    ----------
    ours : by account id, in the order of posting, (trans id, balance after it in haléř), as read
        back from the ledger's statements; every account starts from zero

    Returns
    -------
    Comparison
        Every account with rows on either side. A change of ours is the difference of two of our
        balances, so that what is compared is what the ledger did, not what it was asked to do.
    """
    account_ids = sorted(set(ours) | set(column.by_account))
    compared = (
        _compare(account_id, ours.get(account_id, ()), column.by_account.get(account_id, {}))
        for account_id in account_ids
    )
    return Comparison(tuple(a for a in compared if a.rows or a.rows_missing or a.rows_surplus))


def _compare(
    account_id: int, ours: Sequence[tuple[int, int]], bank: Mapping[int, int]
) -> AccountComparison:
    drifts: list[int] = []
    steps: list[int] = []
    met: set[int] = set()
    drift_before_minor = 0
    for trans_id, our_minor in ours:
        if trans_id in met or trans_id not in bank:
            continue
        met.add(trans_id)
        drift_minor = our_minor - bank[trans_id]
        drifts.append(drift_minor)
        # (bank before + our change) - bank after, which is by how much the drift has changed
        steps.append(drift_minor - drift_before_minor)
        drift_before_minor = drift_minor
    return AccountComparison(
        account_id=account_id,
        rows=len(met),
        rows_missing=len(bank) - len(met),
        rows_surplus=len(ours) - len(met),
        cumulative=_deviation(drifts),
        row_to_row=_deviation(steps),
    )


def _deviation(differences_minor: Iterable[int]) -> Deviation:
    exact = within = beyond = largest_minor = 0
    for difference_minor in differences_minor:
        if difference_minor == 0:
            exact += 1
        elif abs(difference_minor) <= ROUNDING_MINOR:
            within += 1
        else:
            beyond += 1
        if abs(difference_minor) > abs(largest_minor):
            largest_minor = difference_minor
    return Deviation(exact, within, beyond, largest_minor)
