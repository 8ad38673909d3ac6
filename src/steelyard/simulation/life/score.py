"""What came of an attack: counted as it happens, out of answers and of the log of decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from steelyard.simulation.model.attacks import Attack, Drains, Pays, SignsIn

OUTCOMES = ("approve", "limit", "step_up", "hold", "review", "decline")
"""What a decision can say, in the order of severity."""
BUCKETS = 12
"""Into how many stretches of time an attack is cut for its table."""

_NOT_ASKED = "not_asked"


@dataclass(slots=True)
class Stretch:
    """A stretch of an attack.

    Attributes
    ----------
    after : where it begins, from the beginning of the attack
    outcomes : decisions by what they said
    passed_minor, stopped_minor : money that the decisions let through, and that they did not
    unfunded : approved payments that the books refused
    """

    after: timedelta
    outcomes: Counter[str] = field(default_factory=Counter)
    passed_minor: int = 0
    stopped_minor: int = 0
    unfunded: int = 0

    @property
    def attempts(self) -> int:
        """How often something was tried."""
        return self.outcomes.total()


@dataclass(slots=True)
class Disturbed:
    """How many good payments were asked about, and how many of them were not simply approved."""

    payments: int = 0
    disturbed: int = 0

    def count(self, outcome: str) -> None:
        """Count one decision about a good payment."""
        self.payments += 1
        self.disturbed += outcome not in ("approve", "limit")

    @property
    def share(self) -> float | None:
        """The insult rate; None where nobody paid."""
        return self.disturbed / self.payments if self.payments else None


@dataclass(slots=True)
class Score:
    """What came of an attack so far.

    Attributes
    ----------
    attack : what is tried
    began_at : business instant, UTC
    stretches : by time
    reasons : how often each reason was given to the attackers; `texts` says it to a customer
    skipped : steps not taken because what they needed had not worked
    first_stop : when the first attempt was not let through, and how many had been before it
    before, during, after : good payments before the attack, in it, and while it was reported
    cases : opened since the beginning, by kind
    asked, reported : card payments that were tried, and that their cardholders told of
    """

    attack: Attack
    began_at: datetime
    stretches: list[Stretch] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    texts: dict[str, str] = field(default_factory=dict)
    skipped: int = 0
    first_stop: tuple[timedelta, int] | None = None
    before: Disturbed = field(default_factory=Disturbed)
    during: Disturbed = field(default_factory=Disturbed)
    after: Disturbed = field(default_factory=Disturbed)
    cases: Mapping[str, int] = field(default_factory=dict)
    asked: int = 0
    reported: int = 0

    def __post_init__(self) -> None:
        """Cut the attack into stretches."""
        long = self.attack.lasts / BUCKETS
        self.stretches = [Stretch(long * n) for n in range(BUCKETS)]

    @property
    def attempts(self) -> int:
        """How often something was tried."""
        return sum(stretch.attempts for stretch in self.stretches)

    @property
    def outcomes(self) -> Counter[str]:
        """Decisions by what they said."""
        return sum((stretch.outcomes for stretch in self.stretches), Counter())

    @property
    def passed_minor(self) -> int:
        """The loss: money let through."""
        return sum(stretch.passed_minor for stretch in self.stretches)

    @property
    def stopped_minor(self) -> int:
        """The loss that did not come about, of what was tried."""
        return sum(stretch.stopped_minor for stretch in self.stretches)

    def note(
        self, step: Pays | Drains | SignsIn, decision: Mapping[str, Any] | None, passed_minor: int
    ) -> None:
        """Count one attempt.

        Parameters
        ----------
        decision : as the platform tells it; None where no policy was asked
        passed_minor : what of the amount went through
        """
        place = min(BUCKETS - 1, int(BUCKETS * (step.after / self.attack.lasts)))
        stretch = self.stretches[place]
        outcome = _NOT_ASKED if decision is None else str(decision["outcome"])
        is_stopped = outcome not in ("approve", "limit", _NOT_ASKED)
        if is_stopped and self.first_stop is None:
            self.first_stop = (step.after, self.attempts)
        stretch.outcomes[outcome] += 1
        if not isinstance(step, SignsIn):
            stretch.passed_minor += passed_minor
            if is_stopped or outcome == "limit":
                stretch.stopped_minor += step.amount_minor - passed_minor
            elif passed_minor == 0:
                stretch.unfunded += 1
        if decision is not None and is_stopped:
            self.reasons.update(decision["reasons"])
            self.texts.update(zip(decision["reasons"], decision["texts"], strict=True))
