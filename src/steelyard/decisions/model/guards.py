"""Guards of every rule that judges: they watch the decisions and say when a rule is to be stopped.

The numbers are those of a `budget.Guard` for each rule, exact over the same window; they are kept
for all rules of a policy together, so that a decision costs what hit in it and not what did not.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from steelyard.decisions.model.budget import WHOLE_BP, Budget
from steelyard.decisions.model.decision import Decision
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.roster import Roster, rules_of

TURNED_DOWN = frozenset({"hold", "review", "decline"})
"""The outcomes that count against a rule which hit: somebody waits, or goes away."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A rule that is to be stopped, and why.

    Attributes
    ----------
    hits, seen : decisions of the window that it had a part in turning down, and all of them
    """

    scene: str
    rule: str
    hits: int
    seen: int
    most_bp: int

    @property
    def reason(self) -> str:
        """What is written down."""
        return f"{self.hits} of the last {self.seen} turned down, budget {self.most_bp / 100:g} %"


class Guards:
    """Watches the decisions of one owner, in memory; a rule is stopped by who is told.

    Parameters
    ----------
    roster : whose policies are watched
    """

    def __init__(self, roster: Roster) -> None:
        self._watches: dict[str, _Watch] = {}
        self.renew(roster)

    def renew(self, roster: Roster) -> None:
        """Watch by another roster; a rule that is resumed begins with an empty window."""
        watches = {}
        for standing in roster.standings.values():
            for policy in standing.judging:
                if standing.budget is None:
                    continue
                known = self._watches.get(policy.cause)
                if known is None or known.budget != standing.budget:
                    known = _Watch(policy, standing.budget)
                known.leave_out(standing.stopped)
                watches[policy.cause] = known
        self._watches = watches

    def observe(self, decision: Decision) -> tuple[Stop, ...]:
        """Return the rules that are to be stopped after a decision; each is said once."""
        watch = self._watches.get(decision.cause)
        if watch is None:
            return ()
        hits = hits_of(decision.trace) if decision.outcome in TURNED_DOWN else ()
        return watch.observe(hits)

    def standing(self, cause: str) -> Mapping[str, tuple[int, int]]:
        """Return (hits, seen) of each rule of a policy that turned somebody down."""
        watch = self._watches.get(cause)
        return {} if watch is None else watch.shares()


class _Watch:
    """The windows of all rules of one policy."""

    def __init__(self, policy: CompiledPolicy, budget: Budget) -> None:
        self.budget = budget
        self._scene = policy.scene
        self._names = [name for name, is_guarded in rules_of(policy).items() if is_guarded]
        self._rules = {name: n for n, name in enumerate(self._names)}
        self._window: deque[tuple[int, ...]] = deque()
        self._seen = 0
        self._hits = [0] * len(self._names)
        self._since = [0] * len(self._names)
        self._out: set[int] = set()
        # Without a hit a share only falls, but for the decision at which it is looked at first.
        self._due: dict[int, list[int]] = {budget.fewest: list(range(len(self._names)))}

    def leave_out(self, stopped: frozenset[str]) -> None:
        """Watch all rules but those that are stopped."""
        out = {n for name, n in self._rules.items() if name in stopped}
        for n in self._out - out:
            self._since[n] = self._seen
            self._hits[n] = 0
            self._due.setdefault(self._seen + self.budget.fewest, []).append(n)
        self._out = out

    def observe(self, hits: Sequence[str]) -> tuple[Stop, ...]:
        window, budget = self._window, self.budget
        met = tuple([n for n in map(self._rules.get, hits) if n is not None]) if hits else ()
        if len(window) == budget.window:
            first = self._seen - budget.window
            for n in window.popleft():
                if first >= self._since[n]:
                    self._hits[n] -= 1
        window.append(met)
        self._seen += 1
        for n in met:
            self._hits[n] += 1
        looked = (*met, *self._due.pop(self._seen, ()))
        return tuple(filter(None, map(self._stop, looked))) if looked else ()

    def _stop(self, n: int) -> Stop | None:
        """Return that a rule is to be stopped, once, if it is over its budget."""
        hits, budget = self._hits[n], self.budget
        seen = min(self._seen - self._since[n], budget.window)
        if n in self._out or seen < budget.fewest or hits * WHOLE_BP <= budget.most_bp * seen:
            return None
        self._out.add(n)
        return Stop(self._scene, self._names[n], hits, seen, budget.most_bp)

    def shares(self) -> dict[str, tuple[int, int]]:
        return {
            name: (self._hits[n], min(self._seen - self._since[n], self.budget.window))
            for name, n in self._rules.items()
            if self._hits[n]
        }


def hits_of(trace: Sequence[Any]) -> tuple[str, ...]:
    """Return the rows that hit, `node/row`, out of the trace of a decision."""
    for name, value in trace:
        if name == "hits":
            return tuple(value)
    return ()
