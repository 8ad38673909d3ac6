"""Stopping a rule that suddenly declines too many, and the switch that stops a thing at once.

Both are frozen values that are moved on, so that a guard can be kept in memory, written down with
the decision that moved it, and replayed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from steelyard.kernel import Refusal, RefusalKind

WHOLE_BP = 10_000


class BudgetIsMalformed(Refusal):
    """A window, a share or their order makes no sense."""

    kind = RefusalKind.INVALID
    en = "The budget of {rule} is malformed: {what}."
    zh = "规则 {rule} 的预算定义有误：{what}。"


class KillSwitchIsThrown(Refusal):
    """It is thrown already."""

    kind = RefusalKind.CONFLICT
    en = "The kill switch of {subject} was thrown by {by}."
    zh = "{subject} 的紧急开关已由 {by} 触发。"


class KillSwitchIsNotThrown(Refusal):
    """There is nothing to lift."""

    kind = RefusalKind.CONFLICT
    en = "The kill switch of {subject} is not thrown."
    zh = "{subject} 的紧急开关未触发。"


class LifterThrewTheSwitch(Refusal):
    """One person stops a thing at once; another one lets it go on."""

    kind = RefusalKind.FORBIDDEN
    en = "Whoever threw the kill switch of {subject} cannot lift it."
    zh = "触发 {subject} 紧急开关的人不得自行解除。"


@dataclass(frozen=True, slots=True)
class Budget:
    """How many of its decisions a rule may turn down.

    Attributes
    ----------
    rule : by name
    window : the last so many decisions that the rule was asked in
    most_bp : it is stopped when more than this share of the window was turned down
    resume_bp : it goes on when at most this share would have been, lower than `most_bp`
    fewest : decisions before it is judged, at most the window
    goes_on_itself : False: only a person lets it go on (`resumed`)
    """

    rule: str
    window: int = 1_000
    most_bp: int = 500
    resume_bp: int = 200
    fewest: int = 200
    goes_on_itself: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.fewest <= self.window <= 100_000:
            raise BudgetIsMalformed(rule=self.rule, what="1 <= fewest <= window <= 100,000")
        if not 0 <= self.resume_bp < self.most_bp < WHOLE_BP:
            raise BudgetIsMalformed(rule=self.rule, what="0 <= resume_bp < most_bp < 10,000")


class Change(StrEnum):
    """What an observation changed."""

    NONE = "none"
    STOPPED = "stopped"
    RESUMED = "resumed"


@dataclass(frozen=True, slots=True)
class Guard:
    """A budget and how far it is used, exact over the window.

    While a rule is stopped it is still evaluated, and what it would have done is observed, or
    nobody could know when it is sound again.

    Attributes
    ----------
    is_stopped : the rule takes no effect
    seen : decisions in the window; hits : those of them turned down
    since_change : decisions since it was stopped or resumed, or since the beginning
    bits : the window, one bit for each decision, the latest one lowest

    Examples
    --------
    >>> guard = Guard.of(Budget("velocity", window=4, most_bp=5_000, resume_bp=2_500, fewest=2))
    >>> for hit in (False, True, True, True):
    ...     guard, change = guard.observe(hit=hit)
    >>> (guard.hits, guard.seen, guard.is_stopped), change.value
    ((3, 4, True), 'none')
    """

    budget: Budget
    is_stopped: bool
    seen: int
    hits: int
    since_change: int
    bits: int

    @classmethod
    def of(cls, budget: Budget) -> Guard:
        """Return a guard that has seen nothing."""
        return cls(budget, is_stopped=False, seen=0, hits=0, since_change=0, bits=0)

    @property
    def share_bp(self) -> int:
        """Share of the window turned down, rounded down; 0 while nothing was seen."""
        return self.hits * WHOLE_BP // self.seen if self.seen else 0

    def observe(self, *, hit: bool) -> tuple[Guard, Change]:
        """Return the guard after one more decision, and whether the rule stops or goes on.

        Parameters
        ----------
        hit : the rule turned it down, or would have if it were not stopped

        Returns
        -------
        tuple
            It stops at the first decision at which more than `most_bp` of at least `fewest` were
            turned down. It goes on, if it may by itself, once a whole window after the stop has at
            most `resume_bp`.
        """
        budget = self.budget
        is_full = self.seen == budget.window
        leaving = (self.bits >> (budget.window - 1)) & 1 if is_full else 0
        bits = ((self.bits << 1) | hit) & ((1 << budget.window) - 1)
        hits = self.hits + hit - leaving
        seen = self.seen if is_full else self.seen + 1
        after = replace(self, bits=bits, hits=hits, seen=seen, since_change=self.since_change + 1)
        if not self.is_stopped:
            too_many = hits * WHOLE_BP > budget.most_bp * seen
            if too_many and after.since_change >= budget.fewest:
                return replace(after, is_stopped=True, since_change=0), Change.STOPPED
            return after, Change.NONE
        is_sound = hits * WHOLE_BP <= budget.resume_bp * seen
        if budget.goes_on_itself and is_sound and after.since_change >= budget.window:
            return after.resumed(), Change.RESUMED
        return after, Change.NONE

    def resumed(self) -> Guard:
        """Return the guard of a rule that a person lets go on: its window begins anew."""
        return Guard.of(self.budget)

    def sentence(self, language: str) -> str:
        """Return how it stands, in Chinese for `zh*`, else in English."""
        rule, seen, hits = self.budget.rule, self.seen, self.hits
        most = f"{self.budget.most_bp / 100:g} %"
        if language.lower().startswith("zh"):
            how = "已停用" if self.is_stopped else "正常"
            return f"规则 {rule} {how}：最近 {seen} 笔中拒绝 {hits} 笔，预算 {most}。"
        how = "is stopped" if self.is_stopped else "is within its budget"
        return f"Rule {rule} {how}: {hits} of the last {seen} turned down, budget {most}."


@dataclass(frozen=True, slots=True)
class KillSwitch:
    """Whether a rule, policy, model or scene is switched off, by whom and why.

    Attributes
    ----------
    subject : `noun:id` of what it switches off
    thrown_by, thrown_at, reason : None and empty while it is not thrown
    until_at : it lifts itself then; None: only a person lifts it
    version : grows by one with every change
    """

    subject: str
    thrown_by: str | None = None
    thrown_at: datetime | None = None
    until_at: datetime | None = None
    reason: str = ""
    version: int = 1

    def is_thrown_at(self, now: datetime) -> bool:
        """Whether the subject is off at an instant."""
        return self.thrown_by is not None and (self.until_at is None or now < self.until_at)

    def throw(
        self, by: str, reason: str, *, now: datetime, until_at: datetime | None = None
    ) -> KillSwitch:
        """Return the switch, thrown; one person alone may.

        Refusals
        --------
        kill_switch_is_thrown
        """
        assert reason, "the edge asks for a reason"
        if self.is_thrown_at(now):
            raise KillSwitchIsThrown(subject=self.subject, by=self.thrown_by)
        return KillSwitch(self.subject, by, now, until_at, reason, self.version + 1)

    def lift(self, by: str, *, now: datetime) -> KillSwitch:
        """Return the switch, lifted by somebody else than who threw it.

        Refusals
        --------
        kill_switch_is_not_thrown, lifter_threw_the_switch
        """
        if not self.is_thrown_at(now):
            raise KillSwitchIsNotThrown(subject=self.subject)
        if by == self.thrown_by:
            raise LifterThrewTheSwitch(subject=self.subject)
        return KillSwitch(self.subject, version=self.version + 1)
