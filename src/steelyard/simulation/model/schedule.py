"""How the town's days are cut into spans, and a span into what is sent together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from steelyard.simulation.model.actions import (
    Action,
    CardPayment,
    Deposit,
    FraudReport,
    LoanComplaint,
    LoanPayment,
    LoanRequest,
    Refund,
    SignUp,
)
from steelyard.simulation.model.town import BEIJING, midnight

SPAN = timedelta(hours=6)
"""Of history: the business clock stands at the end of each span while it is sent."""

QUIET_BEYOND = timedelta(days=1)
"""A span longer than this is lived quietly: nobody shops, see `Span.is_quiet`."""


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the town's life that is sent together, within one day in Beijing.

    Attributes
    ----------
    start_at, end_at : UTC instants; the first is included, the last is not
    is_quiet : only sign-ups and deposits happen; so a long pause is caught up with at once
    """

    start_at: datetime
    end_at: datetime
    is_quiet: bool = False

    @property
    def on(self) -> date:
        """The day in Beijing."""
        return self.start_at.astimezone(BEIJING).date()

    @property
    def ends_the_day(self) -> bool:
        """Whether it reaches midnight in Beijing: the business day is closed after it."""
        return self.end_at == midnight(self.on + timedelta(days=1))

    @property
    def name(self) -> str:
        """What the idempotency keys of its requests begin with."""
        return f"{self.start_at:%Y%m%dT%H%M%S.%f}-{self.end_at:%Y%m%dT%H%M%S.%f}"


def history_spans(start_at: datetime, end_at: datetime) -> Iterator[Span]:
    """Yield the spans of a history from one instant to another, six hours each.

    A history that begins within a span begins with what is left of it.

    Examples
    --------
    >>> opens_at = midnight(date(2026, 1, 5))
    >>> len(list(history_spans(opens_at, opens_at + timedelta(days=1))))
    4
    """
    at = start_at
    while at < end_at:
        begins_at = midnight(at.astimezone(BEIJING).date())
        next_at = begins_at + SPAN * ((at - begins_at) // SPAN + 1)
        yield Span(at, min(next_at, end_at))
        at = next_at


def live_spans(start_at: datetime, end_at: datetime) -> Iterator[Span]:
    """Yield a stretch of the running life of the town, cut at the midnights only.

    Cut again, by another process, the same stretch gives the same spans.
    """
    is_quiet = end_at - start_at > QUIET_BEYOND
    at = start_at
    while at < end_at:
        next_at = min(end_at, midnight(at.astimezone(BEIJING).date() + timedelta(days=1)))
        yield Span(at, next_at, is_quiet)
        at = next_at


@dataclass(frozen=True, slots=True)
class Errands:
    """The actions of a span by kind, in the order in which the kinds are sent.

    A wallet is there before money comes to it, and money before it is spent: within a span,
    deposits come before payments, and refunds and reports (of payments of earlier days) last. Money
    that is lent is there before it is spent, and instalments are paid before anything is bought.
    """

    sign_ups: tuple[SignUp, ...]
    deposits: tuple[Deposit, ...]
    payments: tuple[CardPayment, ...]
    refunds: tuple[Refund, ...]
    reports: tuple[FraudReport, ...]
    loan_requests: tuple[LoanRequest, ...]
    loan_payments: tuple[LoanPayment, ...]
    loan_complaints: tuple[LoanComplaint, ...]


def errands(actions: Iterable[Action], *, is_quiet: bool = False) -> Errands:
    """Sort the actions of a span by kind; in a quiet one nobody shops, borrows or reports.

    What was borrowed is repaid in a quiet span too.
    """
    sign_ups: list[SignUp] = []
    deposits: list[Deposit] = []
    payments: list[CardPayment] = []
    refunds: list[Refund] = []
    reports: list[FraudReport] = []
    loan_requests: list[LoanRequest] = []
    loan_payments: list[LoanPayment] = []
    loan_complaints: list[LoanComplaint] = []
    for action in actions:
        match action:
            case SignUp():
                sign_ups.append(action)
            case Deposit():
                deposits.append(action)
            case CardPayment() if not is_quiet:
                payments.append(action)
            case Refund() if not is_quiet:
                refunds.append(action)
            case FraudReport() if not is_quiet:
                reports.append(action)
            case LoanRequest() if not is_quiet:
                loan_requests.append(action)
            case LoanPayment():
                loan_payments.append(action)
            case LoanComplaint() if not is_quiet:
                loan_complaints.append(action)
            case _:
                pass
    return Errands(
        tuple(sign_ups),
        tuple(deposits),
        tuple(payments),
        tuple(refunds),
        tuple(reports),
        tuple(loan_requests),
        tuple(loan_payments),
        tuple(loan_complaints),
    )
