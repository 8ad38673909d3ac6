"""Strategy what-if: the loans of a history under another policy, cut-off, limit or price.

What was lent keeps its own outcome: a loan that went bad with its fifth instalment does so again,
whatever its amount and price. What was not lent has none; see `outcome`. Schedules are those of
`cashflows`, so a changed amount or price changes interest and exposure to the minor unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from steelyard.cashflows import TermsColumns, columns, terms
from steelyard.credit.model.book import Labels
from steelyard.credit.model.ecl import MONTHS_A_YEAR
from steelyard.credit.model.outcome import OutcomeModel
from steelyard.credit.model.risk_refusals import StrategyIsInvalid

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]

_BP: Final = 10_000
_PPM: Final = 1_000_000
NO_SCORE: Final = -1
WORKOUT_MONTHS: Final = 3
"""A bad loan is funded until it is in default, three months after its first missed instalment."""
_DAY: Final = date(2026, 1, 1)
"""On which every loan begins: its periods are counted, so that it changes nothing."""
_PLACES: Final = (0.1, 0.3, 0.5, 0.7, 0.9)
COVARIATES: Final = ("log_burden", "log_income", "term_years", "score_hundreds")


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What would become of every application; only who made the history up knows it."""

    bad: Flags
    bad_nr: Integers
    recovered_ppm: Integers


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """Applications and what became of them; arrays of (n,).

    Attributes
    ----------
    source : for people; notes : what has to be known to read the figures
    month : of the application
    amount_minor, months, income_minor : asked for, over how long, income of a month
    score : risk score that it had then, 0 to 1000; `NO_SCORE` where there was none
    channel : of acquisition
    outcome : what the policy of that time said; reviewed : whether a person decided
    lent, lent_minor, rate_bp : whether, how much and at which yearly rate
    walked_away : was offered a loan and did not take it, and would not take another one
    known : lent, and its outcome is known; bad : of those
    bad_nr : number of the first instalment that a bad one missed for good, from 1
    recovered_ppm : of what a bad one owed then
    truth : of a made-up history
    """

    source: str
    notes: tuple[str, ...]
    month: Integers
    amount_minor: Integers
    months: Integers
    income_minor: Integers
    score: Integers
    channel: Labels
    outcome: Labels
    reviewed: Flags
    lent: Flags
    lent_minor: Integers
    rate_bp: Integers
    walked_away: Flags
    known: Flags
    bad: Flags
    bad_nr: Integers
    recovered_ppm: Integers
    truth: Truth | None = None

    @property
    def rows(self) -> int:
        """How many applications."""
        return len(self.month)

    @property
    def covariates(self) -> Floats:
        """What the outcome model sees, float64 (n, 4): `COVARIATES`; a missing score is the middle.

        Nothing in it depends on what a strategy grants.
        """
        income = np.maximum(self.income_minor, 1)
        burden = np.maximum(self.amount_minor, 1) / np.maximum(self.months, 1) / income
        score = np.where(self.score == NO_SCORE, np.median(self.score), self.score)
        return np.column_stack(
            [np.log(burden), np.log(income), self.months / MONTHS_A_YEAR, score / 100]
        )


@dataclass(frozen=True, slots=True, eq=False)
class Granted:
    """What a strategy lends; arrays of (n,).

    Attributes
    ----------
    name : for people
    lent, amount_minor, rate_bp : whether, how much, at which yearly rate
    reviewed : whether a person looks at it
    """

    name: str
    lent: Flags
    amount_minor: Integers
    rate_bp: Integers
    reviewed: Flags


@dataclass(frozen=True, slots=True, kw_only=True)
class Economics:
    """What history does not say about money.

    Attributes
    ----------
    funding_bp : cost of funds a year
    capital_bp : capital held for what is owed
    application_minor, review_minor : cost of one
    recovered_ppm : of what a bad loan owed, where no own figure is known
    odds : bound of the selection, at least 1

    Refusals
    --------
    strategy_is_invalid
    """

    funding_bp: int = 280
    capital_bp: int = 1_200
    application_minor: int = 800
    review_minor: int = 5_000
    recovered_ppm: int = 400_000
    odds: float = 3.0

    def __post_init__(self) -> None:
        for name, holds, why in (
            ("funding_bp", 0 <= self.funding_bp <= _BP, "0..10000"),
            ("capital_bp", 0 < self.capital_bp <= _BP, "1..10000"),
            ("application_minor", self.application_minor >= 0, ">= 0"),
            ("review_minor", self.review_minor >= 0, ">= 0"),
            ("recovered_ppm", 0 <= self.recovered_ppm <= _PPM, "0..1000000"),
            ("odds", 1 <= self.odds <= 1_000, "1..1000"),
        ):
            if not holds:
                raise StrategyIsInvalid(field=name, value=getattr(self, name), why=why)


@dataclass(frozen=True, slots=True)
class Money:
    """What the loans of a strategy come to, expected where it is not known; minor units.

    Attributes
    ----------
    bad : loans
    income_minor, funding_minor, lost_minor : interest of the instalments that are paid, cost of
        funds, exposure at default that does not come back
    """

    bad: float
    income_minor: int
    funding_minor: int
    lost_minor: int

    def result_minor(self, cost_minor: int) -> int:
        """Return income less funding, loss and cost."""
        return self.income_minor - self.funding_minor - self.lost_minor - cost_minor


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy would have done.

    Attributes
    ----------
    lent, lent_minor, reviewed : loans, amount, cases of people
    kept, added, dropped : loans of both; of this one alone; of history alone
    observed : loans whose own outcome counts here
    beyond : of the added, those unlike anything that was ever accepted
    central : with the outcome model as it is
    better, worse : with the odds of the added divided, and multiplied, by the bound
    cost_minor : of applications and reviews
    balance_minor_years : what is owed, times how long
    capital_bp : held for it
    true : had the loans been made, of a made-up history; None of a real one
    """

    name: str
    applications: int
    lent: int
    lent_minor: int
    reviewed: int
    kept: int
    added: int
    dropped: int
    observed: int
    beyond: int
    dropped_bad: float | None
    added_bad: float | None
    central: Money
    better: Money
    worse: Money
    cost_minor: int
    balance_minor_years: float
    capital_bp: int
    true: Money | None

    @property
    def bad_share(self) -> float | None:
        """Expected share of bad among what is lent; None where nothing is."""
        return self.central.bad / self.lent if self.lent else None

    @property
    def result_minor(self) -> int:
        """Income less funding, loss and cost."""
        return self.central.result_minor(self.cost_minor)

    @property
    def range_minor(self) -> tuple[int, int]:
        """The result at both ends of the bound, the lower first."""
        ends = sorted(one.result_minor(self.cost_minor) for one in (self.worse, self.better))
        return ends[0], ends[1]

    @property
    def on_capital(self) -> float | None:
        """Risk-adjusted return: result of a year over the capital held; None without a balance."""
        held = self.balance_minor_years * self.capital_bp / _BP
        return self.result_minor / held if held else None


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """The schedules of what a strategy lends; float64 (loans, longest + 1) each.

    Attributes
    ----------
    months : int64 (loans,)
    interest : of the first 0, 1, ... instalments
    held : month-balances up to and with instalment 0, 1, ...
    owed : principal owed before instalment 1, 2, ..., and 0 after the last
    """

    months: Integers
    interest: Floats
    held: Floats
    owed: Floats


def paths(amount_minor: Integers, months: Integers, rate_bp: Integers) -> Paths:
    """Return the schedules of many loans, equal instalments by the month, from the columns.

    Parameters
    ----------
    amount_minor, months, rate_bp : (loans,), yearly rate in basis points
    """
    many, longest = len(amount_minor), int(months.max(initial=1))
    template = terms.Terms(principal_minor=1, start_on=_DAY, instalments=1, rate=Decimal(0))
    book = TermsColumns.of([template] * min(many, 1))
    if many:
        book = TermsColumns(
            templates=book.templates,
            template=np.zeros(many, np.int32),
            principal_minor=amount_minor,
            start_on=np.repeat(book.start_on, many),
            instalments=months.astype(np.int32),
            first_due_on=np.repeat(book.first_due_on, many),
            rate=rate_bp,
            rate_exponent=np.full(many, 4, np.int8),
        )
    made = columns.plan_columns(book)
    counts = np.diff(made.offsets)
    loan = np.repeat(np.arange(many), counts)
    nr = np.arange(len(loan)) - np.repeat(made.offsets[:-1], counts)
    interest = np.zeros((many, longest + 1))
    owed = np.zeros((many, longest + 1))
    interest[loan, nr + 1] = made.interest_minor
    owed[loan, nr] = made.balance_minor + made.principal_minor
    held = np.zeros((many, longest + 1))
    held[:, 1:] = owed[:, :-1].cumsum(axis=1)
    return Paths(months, interest.cumsum(axis=1), held, owed)


def judge(history: History, granted: Granted, model: OutcomeModel, economics: Economics) -> Outcome:
    """Return what a strategy would have done to a history.

    Parameters
    ----------
    model : fitted on the loans of the history whose outcome is known

    Returns
    -------
    Outcome
        Where the strategy lends a part of what was lent, all of its outcomes are observed, and the
        bounds are the central figure.
    """
    at = np.flatnonzero(granted.lent)
    made = paths(granted.amount_minor[at], history.months[at], granted.rate_bp[at])
    known = history.known[at]
    new = ~history.lent[at]
    seen = history.covariates[at]

    def chances(odds: float) -> Floats:
        # A loan that was made and is still young was selected like the others: no bound.
        expected = np.where(new, model.probability(seen, odds), model.probability(seen))
        found: Floats = np.where(known, history.bad[at].astype(np.float64), expected)
        return found

    shares = _places(history)
    facts = (known, history.bad_nr[at], history.recovered_ppm[at])

    def money(odds: float) -> tuple[Money, float]:
        return _money(made, chances(odds), facts, shares, economics)

    central, held = money(1.0)
    reviewed = int(np.count_nonzero(granted.reviewed))
    dropped = history.lent & ~granted.lent
    told = dropped & history.known
    true = None
    if history.truth is not None:
        truth = history.truth
        all_known = np.ones(len(at), np.bool_)
        facts_true = (all_known, truth.bad_nr[at], truth.recovered_ppm[at])
        true, _ = _money(made, truth.bad[at].astype(np.float64), facts_true, shares, economics)
    return Outcome(
        name=granted.name,
        applications=history.rows,
        lent=len(at),
        lent_minor=int(granted.amount_minor[at].sum()),
        reviewed=reviewed,
        kept=int(np.count_nonzero(~new)),
        added=int(np.count_nonzero(new)),
        dropped=int(np.count_nonzero(dropped)),
        observed=int(np.count_nonzero(known)),
        beyond=int(np.count_nonzero(new & model.is_beyond(seen))),
        dropped_bad=float(history.bad[told].mean()) if told.any() else None,
        added_bad=float(model.probability(seen[new]).mean()) if new.any() else None,
        central=central,
        better=money(1 / economics.odds)[0],
        worse=money(economics.odds)[0],
        cost_minor=history.rows * economics.application_minor + reviewed * economics.review_minor,
        balance_minor_years=held,
        capital_bp=economics.capital_bp,
        true=true,
    )


def _places(history: History) -> Floats:
    """Return where in its term a loan goes bad: five equal parts of those that did."""
    bad = history.known & history.bad
    if not bad.any():
        return np.array(_PLACES)
    share = (history.bad_nr[bad] - 0.5) / history.months[bad]
    found: Floats = np.quantile(share, _PLACES)
    return found


def _money(
    made: Paths,
    chance: Floats,
    facts: tuple[Flags, Integers, Integers],
    shares: Floats,
    economics: Economics,
) -> tuple[Money, float]:
    """Return the money of loans that go bad with a chance, and their balance-years.

    Parameters
    ----------
    facts : whether the outcome is known; then the instalment, and what came back
    shares : where in the term the others go bad
    """
    known, bad_nr, recovered_ppm = facts
    loans = np.arange(len(chance))
    good_interest = made.interest[loans, made.months]
    good_held = made.held[loans, made.months]
    bad_interest, bad_held, bad_owed = (np.zeros(len(chance)) for _ in range(3))
    for share in shares.tolist():
        guessed = np.clip(np.ceil(share * made.months).astype(np.int64), 1, made.months)
        nr = np.where(known, np.clip(bad_nr, 1, made.months), guessed)
        owed = made.owed[loans, nr - 1]
        bad_interest += made.interest[loans, nr - 1] / len(shares)
        bad_held += (made.held[loans, nr] + WORKOUT_MONTHS * owed) / len(shares)
        bad_owed += owed / len(shares)
    back = np.where(known, recovered_ppm, economics.recovered_ppm) / _PPM
    held = (1 - chance) * good_held + chance * bad_held
    years = float(held.sum()) / MONTHS_A_YEAR
    income = (1 - chance) * good_interest + chance * bad_interest
    money = Money(
        float(chance.sum()),
        round(float(income.sum())),
        round(years * economics.funding_bp / _BP),
        round(float((chance * bad_owed * (1 - back)).sum())),
    )
    return money, years


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What another strategy does differently from the policy's answers.

    Attributes
    ----------
    cut_off : lend to scores below it, to no others; None leaves it to the policy
    amount_bp : of what is asked for that is lent at most
    most_minor : and never more than this
    rate_add_bp : on the price of each loan
    lends_reviewed : what people say to cases that history's people did not see

    Refusals
    --------
    strategy_is_invalid
    """

    cut_off: int | None = None
    amount_bp: int = _BP
    most_minor: int | None = None
    rate_add_bp: int = 0
    lends_reviewed: bool = False

    def __post_init__(self) -> None:
        for name, holds, why in (
            ("cut_off", self.cut_off is None or 0 <= self.cut_off <= 1_001, "0..1001"),
            ("amount_bp", 0 < self.amount_bp <= _BP, "1..10000"),
            ("most_minor", self.most_minor is None or self.most_minor > 0, "> 0"),
            ("rate_add_bp", -_BP <= self.rate_add_bp <= _BP, "-10000..10000"),
        ):
            if not holds:
                raise StrategyIsInvalid(field=name, value=getattr(self, name), why=why)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a policy says to every application of a history; arrays of (n,).

    Attributes
    ----------
    name : its cause
    passes, reviews : lets it pass, sends it to a person
    score : 0 to 1000, `NO_SCORE`
    limit_minor : up to which it approves; 0 where it names none
    rate_bp : price of the product at this score
    """

    name: str
    passes: Flags
    reviews: Flags
    score: Integers
    limit_minor: Integers
    rate_bp: Integers


def as_it_was(history: History) -> Granted:
    """Return what history lent, as a strategy."""
    return Granted("history", history.lent, history.lent_minor, history.rate_bp, history.reviewed)


def grant(history: History, answers: Answers, change: Change) -> Granted:
    """Return what a policy lends with a change.

    A case that people saw in history is answered as they did; another one as `lends_reviewed` says.
    """
    if change.cut_off is None:
        people = np.where(history.reviewed, history.lent, change.lends_reviewed)
        lent = answers.passes | (answers.reviews & people)
        reviewed = answers.reviews
    else:
        lent = (answers.score != NO_SCORE) & (answers.score < change.cut_off)
        reviewed = np.zeros(history.rows, np.bool_)
    amount = (history.amount_minor * np.int64(change.amount_bp) + _BP // 2) // _BP
    limited = (answers.limit_minor > 0) & answers.passes
    amount = np.where(limited, np.minimum(amount, answers.limit_minor), amount)
    if change.most_minor is not None:
        amount = np.minimum(amount, change.most_minor)
    lent = lent & (amount > 0) & ~history.walked_away
    rate = np.maximum(answers.rate_bp + change.rate_add_bp, 0)
    return Granted(_named(answers.name, change), lent, amount, rate, reviewed)


def _named(name: str, change: Change) -> str:
    parts = [name]
    if change.cut_off is not None:
        parts.append(f"score < {change.cut_off}")
    if change.amount_bp != _BP:
        parts.append(f"{change.amount_bp / 100:g} % of the amount")
    if change.most_minor is not None:
        parts.append(f"at most {change.most_minor:,}")
    if change.rate_add_bp:
        parts.append(f"rate {change.rate_add_bp:+d} bp")
    return ", ".join(parts)


def sweep(
    history: History,
    answers: Answers,
    grounds: tuple[OutcomeModel, Economics, Change],
    cut_offs: Sequence[int],
) -> list[tuple[int, Outcome]]:
    """Return what each of some cut-offs would have done, all else as in the change."""
    model, economics, change = grounds
    return [
        (
            cut,
            judge(history, grant(history, answers, replace(change, cut_off=cut)), model, economics),
        )
        for cut in cut_offs
    ]
