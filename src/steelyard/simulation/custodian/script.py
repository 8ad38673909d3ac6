"""How the custodian misbehaves: rules given beforehand, each used up as it is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Behaviour(StrEnum):
    """How one request is treated."""

    ANSWER = "answer"
    LOSE = "lose"
    """Takes no notice of it, and answers 504."""
    REJECT = "reject"
    """503 before the work."""
    BREAK = "break"
    """500 after the work."""
    GARBLE = "garble"
    """Does the work and answers 200 with nonsense."""
    FORGE = "forge"
    """Does the work and answers with a signature that does not fit."""
    LIE = "lie"
    """Does not pay and says that it did; its statement tells the truth."""
    OTHER_AMOUNT = "other_amount"
    """Says an amount that is one minor unit higher than the true one."""
    PENDING = "pending"
    """Of a payout: under way for `seconds`."""
    FAIL = "fail"
    """Of a payout: a final no."""
    RETURN = "return"
    """Of a payout: it is paid, and the payee's bank sends it back after `seconds`."""
    MISSTATE = "misstate"
    """Of a statement: the closing balance is `cents` higher than the lines add up to."""


@dataclass(slots=True)
class Rule:
    """One line of a script: the first one that fits is used.

    Attributes
    ----------
    verb : pay, query, statement; None fits all
    times : None: until it is cleared
    """

    verb: str | None = None
    behaviour: Behaviour = Behaviour.ANSWER
    seconds: float = 0.0
    cents: int = 0
    times: int | None = 1

    @classmethod
    def of(cls, told: dict[str, Any]) -> Rule:
        """Return the rule in a JSON object."""
        return cls(**{**told, "behaviour": Behaviour(told.get("behaviour", "answer"))})


@dataclass(slots=True)
class Script:
    """The rules that are left."""

    rules: list[Rule] = field(default_factory=list)

    def take(self, verb: str) -> Rule:
        """Return the rule that a request falls under, and use it up."""
        for rule in self.rules:
            if rule.verb in (None, verb):
                if rule.times is not None:
                    rule.times -= 1
                    if rule.times <= 0:
                        self.rules.remove(rule)
                return rule
        return Rule(times=None)
