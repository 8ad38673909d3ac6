"""What a loan's events post: templates from counters to balanced legs.

A loan stands in the lender's books as a `Position`. What moved between two positions is a `Flow`,
the difference of the counters of `cashflows`. `legs` turns both into the lines of one entry; it is
linear where nothing is written off, waived or sold, so that the day close posts sums of loans.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from steelyard.cashflows import Totals
from steelyard.credit.model.shares import Shares, apportion

IMPAIRED: Final = 3
"""The stage in which what is earned waits in suspense until it is paid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How a loan (or a sum of loans of one product and stage) stands in our books, minor units.

    Attributes
    ----------
    principal_minor : our share of what is owed
    interest_minor, penalty_minor, fee_minor : receivable, our share; under nothing where it was
        paid before it was earned
    interest_suspended_minor, penalty_suspended_minor : the youngest part of the receivable, which
        is no income yet; nothing outside of stage 3
    credit_minor : over-payments, which are the customer's
    """

    stage: int = 1
    principal_minor: int = 0
    interest_minor: int = 0
    penalty_minor: int = 0
    fee_minor: int = 0
    interest_suspended_minor: int = 0
    penalty_suspended_minor: int = 0
    provision_minor: int = 0
    credit_minor: int = 0

    @property
    def book_minor(self) -> int:
        """Return what the loan is worth in the books before provision."""
        return (
            self.principal_minor
            + self.interest_minor
            + self.penalty_minor
            + self.fee_minor
            - self.interest_suspended_minor
            - self.penalty_suspended_minor
        )


class PartFlow(NamedTuple):
    """What happened to interest, penalty or fees: our share, minor units."""

    earned_minor: int = 0
    waived_minor: int = 0
    written_off_minor: int = 0


_NOTHING: Final = PartFlow()


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """What happened between two positions, minor units.

    Attributes
    ----------
    cash_minor : money in less money out, everybody's
    partners_minor : of it for each partner of a joint loan, in the order of the shares
    principal_written_off_minor, recovered_minor : our share
    subsidy_minor : part of a payout that the merchant bears; less than nothing when he gets it back
    price_minor : for which the position was sold; None: it was not
    """

    cash_minor: int = 0
    partners_minor: tuple[int, ...] = ()
    interest: PartFlow = _NOTHING
    penalty: PartFlow = _NOTHING
    fee: PartFlow = _NOTHING
    principal_written_off_minor: int = 0
    recovered_minor: int = 0
    subsidy_minor: int = 0
    price_minor: int | None = None

    @property
    def written_off_minor(self) -> int:
        """Return everything that was written off."""
        return self.principal_written_off_minor + sum(
            part.written_off_minor for part in (self.interest, self.penalty, self.fee)
        )


class Line(NamedTuple):
    """A line of an entry: debits are over nothing, credits under."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Accounts:
    """The accounts that a loan posts to, by code.

    Attributes
    ----------
    product : whose pooled accounts these are
    cash : against which money moves: the mirror of the wallets' book, suspense, or bank
    loan : number of the loan; 0 for sums of loans, whose principal does not move
    partners : institutions of a joint loan
    """

    product: str
    currency: str
    cash: str
    loan: int = 0
    partners: tuple[str, ...] = ()

    def pooled(self, code: str) -> str:
        """Return the code of an account that all loans of the product share."""
        return f"{code}/{self.product}:{self.currency}"

    def staged(self, code: str, stage: int) -> str:
        """Return the code of an account that all loans of the product and a stage share."""
        return f"{code}/{self.product}/stage{stage}:{self.currency}"

    @property
    def principal(self) -> str:
        """Return the code of the loan's own account."""
        return loan_code(self.loan, self.currency)

    def partner(self, institution: str) -> str:
        """Return the code of the current account with a partner."""
        return partner_code(institution, self.currency)


def loan_code(nr: int, currency: str) -> str:
    """Return the code of the account of a loan's principal.

    Examples
    --------
    >>> loan_code(7, "CNY")
    'loan:7:CNY'
    """
    return f"loan:{nr}:{currency}"


def partner_code(institution: str, currency: str) -> str:
    """Return the code of the current account with an institution that funds loans with us.

    Examples
    --------
    >>> partner_code("bank_a", "CNY")
    'partner/bank_a:CNY'
    """
    return f"partner/{institution}:{currency}"


class _Settled(NamedTuple):
    """Counters of one component: what made it owed, and the three ways in which it ends."""

    owed: int
    paid: int
    waived: int
    written_off: int

    @property
    def ended(self) -> int:
        return self.paid + self.waived + self.written_off


def _components(t: Totals) -> dict[str, _Settled]:
    return {
        "principal": _Settled(
            t.disbursed_minor,
            t.down_payment_minor + t.principal_paid_minor,
            0,
            t.principal_written_off_minor,
        ),
        "interest": _Settled(
            t.interest_earned_minor,
            t.interest_paid_minor,
            t.interest_waived_minor,
            t.interest_written_off_minor,
        ),
        "penalty": _Settled(
            t.penalty_earned_minor,
            t.penalty_paid_minor,
            t.penalty_waived_minor,
            t.penalty_written_off_minor,
        ),
        "fee": _Settled(
            t.fee_earned_minor,
            t.fee_paid_minor,
            t.fee_waived_minor,
            t.fee_written_off_minor,
        ),
    }


def position(totals: Totals, shares: Shares, *, before: Position) -> Position:
    """Return how a loan stands in our books by its counters.

    Parameters
    ----------
    before : stage and provision stay as they are there; what is suspended follows from it: earned
        in stage 3 it grows, and it never is more than the receivable

    Examples
    --------
    >>> t = Totals(disbursed_minor=1_000, principal_paid_minor=400, interest_earned_minor=9)
    >>> position(t, Shares(1, (("bank_a", 1),)), before=Position()).principal_minor
    300
    """
    own = {
        name: shares.own_minor(c.owed) - shares.own_minor(c.ended)
        for name, c in _components(totals).items()
    }
    return Position(
        stage=before.stage,
        principal_minor=own["principal"],
        interest_minor=own["interest"],
        penalty_minor=own["penalty"],
        fee_minor=own["fee"],
        provision_minor=before.provision_minor,
        credit_minor=totals.credit_minor,
    )


def suspended(before_minor: int, earned_minor: int, receivable_minor: int, stage: int) -> int:
    """Return what of a receivable is no income yet.

    Parameters
    ----------
    before_minor : what was; earned_minor : since then, our share
    receivable_minor : what there is to be suspended, now

    Examples
    --------
    >>> suspended(50, 10, 500, 3), suspended(50, 10, 20, 3), suspended(50, 10, 500, 2)
    (60, 20, 0)
    """
    if stage != IMPAIRED:
        return 0
    return max(0, min(before_minor + earned_minor, receivable_minor))


def with_suspense(before: Position, after: Position, flow: Flow) -> Position:
    """Return the position after a flow with what of it is in suspense."""
    return Position(
        stage=after.stage,
        principal_minor=after.principal_minor,
        interest_minor=after.interest_minor,
        penalty_minor=after.penalty_minor,
        fee_minor=after.fee_minor,
        interest_suspended_minor=suspended(
            before.interest_suspended_minor,
            flow.interest.earned_minor,
            after.interest_minor,
            after.stage,
        ),
        penalty_suspended_minor=suspended(
            before.penalty_suspended_minor,
            flow.penalty.earned_minor,
            after.penalty_minor,
            after.stage,
        ),
        provision_minor=after.provision_minor,
        credit_minor=after.credit_minor,
    )


def moved(before: Totals, after: Totals, shares: Shares) -> Flow:
    """Return what happened between two states of a loan's counters.

    Of what ended, our part is the difference of our share of the whole; where more than one thing
    ended at once, what rounding leaves over goes with the money. Sums are exact: what is not ours
    is the partners', and together they are what was paid.
    """
    parts: dict[str, PartFlow] = {}
    partners = [0] * len(shares.partners)
    was, now = _components(before), _components(after)
    for name, b in was.items():
        a = now[name]
        own_paid, part = _ours(b, a, shares)
        parts[name] = part
        _add(partners, _theirs(b, a, shares, a.paid - b.paid - own_paid))
    _add(partners, _between(shares, before.recovered_minor, after.recovered_minor))
    _add(partners, _between(shares, after.disbursed_minor, before.disbursed_minor))
    return Flow(
        cash_minor=_cash(after) - _cash(before),
        partners_minor=tuple(partners),
        interest=parts["interest"],
        penalty=parts["penalty"],
        fee=parts["fee"],
        principal_written_off_minor=parts["principal"].written_off_minor,
        recovered_minor=shares.own_minor(after.recovered_minor)
        - shares.own_minor(before.recovered_minor),
    )


def _cash(t: Totals) -> int:
    return t.received_minor - t.refunded_minor - t.disbursed_minor


def _add(sums: list[int], amounts: Sequence[int]) -> None:
    for index, amount in enumerate(amounts):
        sums[index] += amount


def _between(shares: Shares, was: int, now: int) -> tuple[int, ...]:
    """Return what the partners' shares of a counter grew by."""
    pairs = zip(shares.split(now), shares.split(was), strict=True)
    return tuple(after - before for after, before in pairs)


def _ours(b: _Settled, a: _Settled, shares: Shares) -> tuple[int, PartFlow]:
    """Return our part of what was paid, and of what was earned, waived and written off."""
    own = shares.own_minor
    earned, ended = own(a.owed) - own(b.owed), own(a.ended) - own(b.ended)
    waived, lost = own(a.waived) - own(b.waived), own(a.written_off) - own(b.written_off)
    if a.paid == b.paid:
        if a.written_off == b.written_off:
            waived = ended
        else:
            lost = ended - waived
    return ended - waived - lost, PartFlow(earned, waived, lost)


def _theirs(b: _Settled, a: _Settled, shares: Shares, amount_minor: int) -> tuple[int, ...]:
    """Return the partners' parts of what was paid of a component."""
    if (a.waived, a.written_off) == (b.waived, b.written_off):
        return _between(shares, b.ended, a.ended)
    return apportion(amount_minor, [parts for _, parts in shares.partners])


def legs(accounts: Accounts, before: Position, after: Position, flow: Flow) -> tuple[Line, ...]:
    """Return the lines of the entry that brings the books from one position to the other.

    Returns
    -------
    tuple of Line
        Their sum is nothing; lines of nothing are left out.
    """
    sums: dict[str, int] = {}

    def put(account: str, amount_minor: int) -> None:
        sums[account] = sums.get(account, 0) + amount_minor

    put(accounts.cash, flow.cash_minor + flow.subsidy_minor + (flow.price_minor or 0))
    put(accounts.pooled("income/subsidy"), -flow.subsidy_minor)
    for institution, amount in zip(accounts.partners, flow.partners_minor, strict=True):
        put(accounts.partner(institution), -amount)
    if after.principal_minor != before.principal_minor:
        put(accounts.principal, after.principal_minor - before.principal_minor)
    put(accounts.pooled("credit_balance"), before.credit_minor - after.credit_minor)
    put(accounts.pooled("income/recovery"), -flow.recovered_minor)
    for code in ("interest", "penalty", "fee"):
        put(accounts.staged(f"{code}_receivable", before.stage), -_of(before, code))
        put(accounts.staged(f"{code}_receivable", after.stage), _of(after, code))
    put(accounts.staged("provision", before.stage), before.provision_minor)
    put(accounts.staged("provision", after.stage), -after.provision_minor)
    for code in ("interest", "penalty"):
        change = _of(after, f"{code}_suspended") - _of(before, f"{code}_suspended")
        put(accounts.pooled(f"{code}_suspense"), -change)
    for account, amount in _result(before, after, flow):
        put(accounts.pooled(account), amount)
    found = tuple(Line(account, amount) for account, amount in sums.items() if amount)
    assert sum(line.amount_minor for line in found) == 0, f"unbalanced: {found}"
    return found


def _of(position: Position, code: str) -> int:
    amount: int = getattr(position, f"{code}_minor")
    return amount


def _result(before: Position, after: Position, flow: Flow) -> list[tuple[str, int]]:
    """Return what an entry does to income and expense."""
    if flow.price_minor is not None:
        worth = before.book_minor - before.provision_minor
        return [("income/sale", worth - flow.price_minor)]
    lines = []
    gone = flow.principal_written_off_minor + flow.fee.written_off_minor
    waived = flow.fee.waived_minor
    for code, income, part in (
        ("interest", "income/interest", flow.interest),
        ("penalty", "income/penalty", flow.penalty),
    ):
        change = _of(after, f"{code}_suspended") - _of(before, f"{code}_suspended")
        # What was never income is no loss when it is given up.
        left = (part.earned_minor if after.stage == IMPAIRED else 0) - change
        unlost = max(0, min(left, part.written_off_minor))
        unwaived = max(0, min(left - unlost, part.waived_minor))
        lines.append((income, unlost + unwaived + change - part.earned_minor))
        gone += part.written_off_minor - unlost
        waived += part.waived_minor - unwaived
    lines.append(("income/fees", -flow.fee.earned_minor))
    lines.append(("expense/waiver", waived))
    used = min(before.provision_minor, gone) if gone >= 0 else gone
    lines.append(("expense/write_off", gone - used))
    lines.append(("expense/impairment", after.provision_minor - before.provision_minor + used))
    return lines
