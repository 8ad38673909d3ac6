"""The counterfactual: what somebody could change so that the answer would have been yes.

Nothing is told that was not proved: the recorded decision is made again with the changed facts, by
the same policy, on the same history. Only what a person can change is looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from itertools import combinations, product
from types import MappingProxyType
from typing import Any, Final, Protocol

from steelyard.credit.model.assessment import Assessment, Grounds, Ruling, Said, assess
from steelyard.credit.model.product import Tenor
from steelyard.credit.model.reasons import ReasonText

ACTIONABLE: Mapping[str, ReasonText] = MappingProxyType({
    "amount_minor": ReasonText("ask for less", "减少申请金额"),
    "down_payment_minor": ReasonText("pay more of the price yourself", "提高首付"),
    "tenor": ReasonText("choose another term", "选择其他期限"),
    "debts_minor": ReasonText("owe less elsewhere", "减少其他负债的月供"),
    "income_is_shown": ReasonText("show the income by documents", "提交收入证明材料"),
    "overdue_minor": ReasonText("pay what is overdue elsewhere", "结清其他逾期款项"),
})  # fmt: skip
"""What a person can change; nothing else is ever changed. Who somebody is (age, sex, origin), whom
he knows and which device he holds are not among it."""

MOST_TRIES: Final = 1_200
"""Decisions made again, at most, before it is said that none was found."""
_LEVELS: Final = 24
_AT_ONCE: Final = 3
_WEIGHTS: Final = {
    "amount_minor": 1.0,
    "down_payment_minor": 1.0,
    "tenor": 0.3,
    "debts_minor": 0.8,
    "income_is_shown": 0.1,
    "overdue_minor": 0.5,
}


class Judged(Protocol):
    """What a policy says; see `decisions`."""

    @property
    def outcome(self) -> str: ...  # noqa: D102
    @property
    def score(self) -> int | None: ...  # noqa: D102
    @property
    def reasons(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def limit_minor(self) -> int | None: ...  # noqa: D102


Judge = Callable[[Mapping[str, Any]], Judged]


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """A recorded decision that can be made again.

    Attributes
    ----------
    grounds : what it was assessed by
    values : what the policy read: fields of the event, features, flags. What history told stays as
        it was recorded, whatever is asked for instead
    judge : the policy as it judged; None where none did
    """

    grounds: Grounds
    values: Mapping[str, Any]
    judge: Judge | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What would have been otherwise; None is as it was. Names are those of `ACTIONABLE`."""

    amount_minor: int | None = None
    down_payment_minor: int | None = None
    tenor: str | None = None
    debts_minor: int | None = None
    income_is_shown: bool | None = None
    overdue_minor: int | None = None

    @property
    def changed(self) -> dict[str, Any]:
        """Return what is otherwise, by name."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """A change under which the application would have been approved, as it was proved.

    Attributes
    ----------
    assessment : of the decision made again
    is_least : whether one step less of each amount was tried and does not suffice
    tries : decisions that were made again
    """

    change: Change
    assessment: Assessment
    is_least: bool
    tries: int


def decide_again(situation: Situation, change: Change) -> Assessment:
    """Make the decision again with changed facts; nothing is written and nobody is asked.

    Examples
    --------
    Without a change it is the decision that was made:
    ``decide_again(situation, Change()) == assess(situation.grounds, reduces=False)``.
    """
    grounds = changed_grounds(situation.grounds, change)
    if situation.judge is not None:
        facts = grounds.facts
        told = {
            "amount_minor": facts.amount_minor,
            "term_months": Tenor.of(facts.tenor).months,
        }
        judged = situation.judge({**situation.values, **told})
        said = Said(judged.outcome, judged.score, tuple(judged.reasons), judged.limit_minor)
        grounds = replace(grounds, said=said)
    return assess(grounds, reduces=False)


def changed_grounds(grounds: Grounds, change: Change) -> Grounds:
    """Return the grounds with the change made; the policy is not asked yet."""
    facts, file = grounds.facts, grounds.file
    if change.amount_minor is not None:
        assert facts.price_minor is None, "of a purchase, the down payment is changed"
        facts = replace(facts, amount_minor=change.amount_minor)
    if change.down_payment_minor is not None:
        assert facts.price_minor is not None, "only a purchase has a down payment"
        facts = replace(facts, amount_minor=facts.price_minor - change.down_payment_minor)
    if change.tenor is not None:
        facts = replace(facts, tenor=change.tenor)
    if change.income_is_shown is not None:
        facts = replace(facts, income_is_shown=change.income_is_shown)
    if change.debts_minor is not None:
        facts = replace(facts, debts_minor=min(facts.debts_minor, change.debts_minor))
        if file.report is not None:
            known = min(file.report.monthly_due_minor, change.debts_minor)
            file = replace(file, report=replace(file.report, monthly_due_minor=known))
    if change.overdue_minor is not None and file.report is not None:
        file = replace(file, report=replace(file.report, overdue_minor=change.overdue_minor))
    return replace(grounds, facts=facts, file=file)


def find_counterfactual(
    situation: Situation, *, most_tries: int = MOST_TRIES
) -> Counterfactual | None:
    """Return the smallest change found under which it would be approved as asked; None for none.

    Few changes before many, small before large; an amount is then moved back, step by step, as far
    as the answer stays yes. The search is bounded: none found is not none there is.

    Parameters
    ----------
    most_tries : decisions made again, at most
    """
    search = _Search(situation, most_tries)
    for number in range(1, _AT_ONCE + 1):
        found = search.first_of(number)
        if found is not None:
            return search.refined(found)
        if search.is_over:
            break
    return None


class _Search:
    """Tries changes in the order of their cost."""

    def __init__(self, situation: Situation, most_tries: int) -> None:
        self._situation = situation
        self._left = self._most = most_tries
        self._ladders = _ladders(situation.grounds)

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    def first_of(self, number: int) -> Change | None:
        """Return the cheapest change of so many things that would be approved."""
        candidates = [
            (sum(cost for cost, _ in one), Change(**dict(pair for _, pair in one)))
            for one in self._combined(number)
        ]
        candidates.sort(key=lambda one: one[0])
        for _, change in candidates:
            if self.is_over:
                return None
            if self._would_do(change) is not None:
                return change
        return None

    def refined(self, change: Change) -> Counterfactual:
        """Return the change with each amount moved back as far as the answer stays yes."""
        is_least = True
        for name in change.changed.keys() & {"amount_minor", "down_payment_minor", "debts_minor"}:
            change, least = self._moved_back(change, name)
            is_least = is_least and least
        self._left = max(self._left, 1)
        assessment = self._would_do(change)
        assert assessment is not None, "what is told was proved"
        return Counterfactual(
            change=change,
            assessment=assessment,
            is_least=is_least,
            tries=self._most - self._left,
        )

    def _moved_back(self, change: Change, name: str) -> tuple[Change, bool]:
        """Return the change nearest to what was, between the last that does and one that fails."""
        step = _step(self._situation.grounds, name)
        does, fails = getattr(change, name), _present(self._situation.grounds, name)
        while abs(does - fails) > step:
            if self.is_over:
                return change, False
            middle = does + (fails - does) // step // 2 * step
            if middle == does:
                break
            tried = replace(change, **{name: middle})
            if self._would_do(tried) is not None:
                does, change = middle, tried
            else:
                fails = middle
        return change, True

    def _would_do(self, change: Change) -> Assessment | None:
        self._left -= 1
        found = decide_again(self._situation, change)
        return found if found.ruling is Ruling.OFFER else None

    def _combined(self, number: int) -> Iterator[tuple[tuple[float, tuple[str, Any]], ...]]:
        for names in combinations(self._ladders, number):
            rungs = [
                [(cost, (name, value)) for cost, value in self._ladders[name]] for name in names
            ]
            yield from product(*rungs)


def _ladders(grounds: Grounds) -> dict[str, list[tuple[float, Any]]]:
    """Return, for what can be changed here, values with their cost: the part that is given up."""
    facts, sold, report = grounds.facts, grounds.product, grounds.file.report
    made: dict[str, list[tuple[float, Any]]] = {}
    if not facts.income_is_shown and facts.income_minor > 0:
        made["income_is_shown"] = [(_WEIGHTS["income_is_shown"], True)]
    here = Tenor.of(facts.tenor).months
    made["tenor"] = [
        (_WEIGHTS["tenor"] * (1 + abs(Tenor.of(one).months - here) / 24), one)
        for one in sold.tenors
        if one != facts.tenor
    ]
    name = "amount_minor" if facts.price_minor is None else "down_payment_minor"
    amounts = _rungs(facts.amount_minor, sold.least_minor, sold.step_minor)
    made[name] = [
        (
            _WEIGHTS[name] * (facts.amount_minor - amount) / facts.amount_minor,
            amount if facts.price_minor is None else facts.price_minor - amount,
        )
        for amount in amounts
    ]
    debts = max(facts.debts_minor, grounds.file.monthly_due_minor)
    if debts > 0:
        made["debts_minor"] = [
            (_WEIGHTS["debts_minor"] * (debts - one) / debts, one) for one in _rungs(debts, 0, 1)
        ]
    if report is not None and report.overdue_minor > 0:
        made["overdue_minor"] = [(_WEIGHTS["overdue_minor"], 0)]
    return {one: rungs for one, rungs in made.items() if rungs}


def _rungs(present: int, least: int, step: int) -> list[int]:
    """Return amounts from just under the present one down to the least, in whole steps."""
    span = (present - least) // step
    found = {present - max(1, span * n // _LEVELS) * step for n in range(1, _LEVELS + 1)}
    return sorted((one for one in found if least <= one < present), reverse=True)


def _present(grounds: Grounds, name: str) -> int:
    facts = grounds.facts
    if name == "amount_minor":
        return facts.amount_minor
    if name == "down_payment_minor":
        return facts.down_payment_minor
    return max(facts.debts_minor, grounds.file.monthly_due_minor)


def _step(grounds: Grounds, name: str) -> int:
    return 1 if name == "debts_minor" else grounds.product.step_minor
