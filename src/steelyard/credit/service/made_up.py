"""A made-up history of lending: applications, a policy of the time, loans and their months.

It shows that the machinery works, not what to expect. Whoever made it up knows what would have
become of the loans that were not made: the one place where the bound of a what-if can be checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from steelyard.credit.model.book import (
    ACTIVE,
    CLOSED,
    WRITTEN_OFF,
    Applications,
    Book,
    Flags,
    Integers,
    Labels,
    month_of,
)
from steelyard.credit.model.ecl_columns import Curves, Graded, OpenRows, allowances
from steelyard.credit.model.estimation import delivered_parameters
from steelyard.credit.model.parameters import DEFAULT_BUCKET, place
from steelyard.credit.model.product import Product
from steelyard.credit.model.whatif import (
    Answers,
    History,
    Paths,
    Truth,
    paths,
)
from steelyard.credit.products import DELIVERED
from steelyard.credit.service.answers import answers_to_past
from steelyard.decisions import backtest

SCENE: Final = "loan_application"
PRICE_ADD_BP: Final = 600
"""What the made-up lender asks above the delivered prices, which would not pay for its losses."""
NOTE: Final = "The history is made up: it shows that the machinery works, not what to expect."
_PRICES: Final = f"Prices are those of quick_cash and {PRICE_ADD_BP / 100:g} points."
MONTHS_SEEN: Final = 9
"""Months from the last application to the day on which the history is looked at."""
KNOWN_AFTER: Final = 12
"""Months on book after which the outcome of a loan counts as known."""
_WRITE_OFF_AFTER: Final = 7
_CHANNELS: Final = ("app", "branch", "partner", "referral")
_CHANNEL_OF_GOOD: Final = (0.40, 0.20, 0.25, 0.15)
_CHANNEL_OF_BAD: Final = (0.30, 0.10, 0.45, 0.15)
_REGIONS: Final = ("east", "north", "south", "west", "centre")
_REGION_SHARES: Final = (0.38, 0.17, 0.22, 0.13, 0.10)
_WALKS_AWAY: Final = 0.12
_YES_TO_GOOD, _YES_TO_BAD = 0.55, 0.30
_MONTH_DAYS: Final = 30

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class MadeUp:
    """A history, the book of its loans, and what the policy of the time answered."""

    history: History
    book: Book
    past: backtest.Past
    answers: Answers


def make_up(progress: Progress, *, seed: int = 1) -> MadeUp:
    """Return a made-up history of about 5,000 applications, the same for the same seed."""
    policy = backtest.find_policy(SCENE)
    past = backtest.make_sample(SCENE, policy.reads, progress, seed=seed)
    product = DELIVERED["quick_cash"]
    answers = answers_to_past(policy, past, (product, PRICE_ADD_BP), progress)
    chance = np.random.default_rng(seed)
    history = _history(past, answers, chance)
    made = paths(
        history.lent_minor[history.lent],
        history.months[history.lent],
        history.rate_bp[history.lent],
    )
    return MadeUp(history, _book(history, past, product, made, chance), past, answers)


def _history(past: backtest.Past, answers: Answers, chance: np.random.Generator) -> History:
    many = past.rows
    months = _numbers(past, "term_months")
    is_bad = past.is_bad
    says_yes = chance.random(many) < np.where(is_bad, _YES_TO_BAD, _YES_TO_GOOD)
    walks = chance.random(many) < _WALKS_AWAY
    offered = answers.passes | (answers.reviews & says_yes)
    lent = offered & ~walks
    month = _month(past.at_ms)
    as_of = int(month.max()) + MONTHS_SEEN
    # Most who do not pay stop early; a tenth never pays at all.
    late = chance.exponential(0.25, many) * months
    nr = np.where(chance.random(many) < 0.10, 1, 1 + np.floor(late).astype(np.int64))
    bad_nr = np.where(is_bad, np.clip(nr, 1, np.minimum(months, KNOWN_AFTER - 3)), 0)
    recovered = np.where(is_bad, (chance.beta(1.2, 2.2, many) * 1_000_000).astype(np.int64), 0)
    channel = np.where(
        is_bad,
        chance.choice(len(_CHANNELS), many, p=_CHANNEL_OF_BAD),
        chance.choice(len(_CHANNELS), many, p=_CHANNEL_OF_GOOD),
    )
    known = lent & (as_of - month >= KNOWN_AFTER)
    amount = past.amount_minor
    limited = np.where(answers.limit_minor > 0, np.minimum(amount, answers.limit_minor), amount)
    return History(
        source=f"made-up applications, seen {MONTHS_SEEN} months after the last one",
        notes=(NOTE, _PRICES),
        month=month,
        amount_minor=amount,
        months=months,
        income_minor=_numbers(past, "income_minor"),
        score=answers.score,
        channel=Labels(_CHANNELS, channel.astype(np.int64)),
        outcome=Labels.of(
            np.where(answers.passes, "approve", np.where(answers.reviews, "review", "decline"))
            .tolist()
        ),
        reviewed=answers.reviews,
        lent=lent,
        lent_minor=np.where(lent, limited, 0),
        rate_bp=answers.rate_bp,
        walked_away=offered & walks,
        known=known,
        bad=known & is_bad,
        bad_nr=np.where(known, bad_nr, 0),
        recovered_ppm=np.where(known, recovered, 0),
        truth=Truth(is_bad, bad_nr, recovered),
    )  # fmt: skip


def _numbers(past: backtest.Past, name: str) -> Integers:
    return np.array([int(one or 0) for one in past.columns[name].to_list()], np.int64)


def _month(at_ms: Integers) -> Integers:
    months = (at_ms.astype("datetime64[ms]")).astype("datetime64[M]").astype(np.int64)
    found: Integers = months + month_of(1970, 1)
    return found


# -- the months of the loans ----------------------------------------------------------------------


def _book(
    history: History,
    past: backtest.Past,
    product: Product,
    made: Paths,
    chance: np.random.Generator,
) -> Book:
    assert history.truth is not None, "it is made up"
    at = np.flatnonzero(history.lent)
    loans = np.arange(len(at))
    truth, months = history.truth, made.months
    as_of = int(history.month.max()) + MONTHS_SEEN
    cohort = history.month[at]
    fails_at = np.where(truth.bad[at], truth.bad_nr[at], np.iinfo(np.int64).max)
    rows: list[Integers] = []
    stumbles = np.zeros(len(at), np.int64)
    paid = np.zeros(len(at), np.int64)
    lost = np.zeros(len(at), np.bool_)
    for month in range(int(cohort.min()), as_of + 1):
        age = month - cohort
        alive = (age >= 0) & ~lost & (paid < months)
        missed = np.maximum(age - fails_at + 1, 0)
        # Who pays in the end is sometimes a month or two behind.
        falls = chance.random(len(at)) < np.where(stumbles == 1, 0.22, 0.03)
        stumbles = np.where(alive & (missed == 0) & falls & (age > 0), stumbles + 1, 0)
        stumbles = np.where(stumbles > 2, 0, stumbles)
        behind = np.where(missed > 0, missed, stumbles)
        paid = np.where(alive, np.clip(age - behind, 0, months), paid)
        gone = alive & (missed >= _WRITE_OFF_AFTER)
        done = alive & (paid >= months)
        lost |= gone
        bucket = np.where(alive, np.minimum(behind, 7), 0)
        state = np.where(gone, WRITTEN_OFF, np.where(done, CLOSED, ACTIVE))
        balance = made.owed[loans, np.minimum(paid, months)]
        keep = np.flatnonzero(alive)
        columns = (keep, np.full(len(keep), month), bucket[keep], state[keep], balance[keep])
        rows.append(np.stack([np.asarray(one, np.int64) for one in columns]))
    loan, when, buckets, states, balances = np.concatenate(rows, axis=1)
    left = made.owed[loans, paid].astype(np.int64)
    owed: Integers = np.where(lost, 0, left)
    written: Integers = np.where(lost, left, 0)
    back = written * truth.recovered_ppm[at] // 1_000_000
    behind_now = np.where(lost, 0, np.maximum(as_of - cohort - paid, 0))
    first_age = np.where(as_of > cohort, (as_of - cohort - 1) * _MONTH_DAYS + 15, -1)
    never = truth.bad[at] & (truth.bad_nr[at] == 1)
    first_late = np.where(never, first_age, chance.integers(0, 12, len(at)))
    return Book(
        source=history.source,
        notes=(NOTE,),
        as_of_month=as_of,
        cohort=cohort,
        party=past.subject[at],
        product=Labels((product.code,), np.zeros(len(at), np.int64)),
        channel=Labels(history.channel.names, history.channel.codes[at]),
        region=Labels(_REGIONS, chance.choice(len(_REGIONS), len(at), p=_REGION_SHARES)),
        tier=_tiers(product, history.score[at]),
        principal_minor=history.lent_minor[at],
        owed_minor=owed,
        provision_minor=_provisions(made, paid, behind_now, owed > 0),
        income_minor=made.interest[loans, paid].astype(np.int64),
        written_off_minor=written,
        recovered_minor=back,
        first_age=first_age,
        first_late=np.where(first_age < 0, -1, first_late),
        loan=loan,
        month=when,
        bucket=buckets,
        state=states,
        balance_minor=balances,
        applications=_asked(history),
    )


def _asked(history: History) -> Applications:
    offered = history.lent | history.walked_away
    return Applications(
        history.month, history.channel, offered, offered, history.lent, history.amount_minor
    )


def _tiers(product: Product, score: Integers) -> Labels:
    def tier_of(one: int) -> str:
        found = product.tier_of(one)
        return "beyond" if found is None else found.value

    return Labels.of([tier_of(one) for one in score.tolist()])


def _provisions(made: Paths, paid: Integers, behind: Integers, owes: Flags) -> Integers:
    """Return the provision of each loan from its own remaining instalments."""
    parameters = delivered_parameters()
    many, width = made.owed.shape
    loan, nr = np.nonzero(
        (np.arange(width)[None, :] >= paid[:, None])
        & (np.arange(width)[None, :] < made.months[:, None])
        & owes[:, None]
    )
    first = np.concatenate(([0], np.cumsum(np.bincount(loan, minlength=many))))
    principal = made.owed[loan, nr] - made.owed[loan, nr + 1]
    interest = made.interest[loan, nr + 1] - made.interest[loan, nr]
    days = (nr + 1 - paid[loan] - behind[loan]) * _MONTH_DAYS
    rows = OpenRows(
        first.astype(np.int64),
        days.astype(np.int64),
        principal.astype(np.int64),
        interest.astype(np.int64),
        np.zeros(len(loan), np.int64),
    )
    bucket = np.minimum(behind, DEFAULT_BUCKET)
    stage = np.where(behind >= DEFAULT_BUCKET, 3, np.where(behind > 1, 2, 1))
    segment = np.array([place(0, one) for one in bucket.tolist()], np.int64)
    graded = Graded(segment, np.full(many, 1_100, np.int64), stage.astype(np.int64))
    return allowances(rows, graded, Curves.made(parameters.curves(["quick_cash"])))
