"""How the simulator misbehaves: rules given beforehand, and what some payers' tokens stand for."""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Final

import msgspec


class Behaviour(StrEnum):
    """How one request, or one notice, is treated."""

    ANSWER = "answer"
    LOSE = "lose"
    """Takes no notice of it and never answers."""
    HANG = "hang"
    """Does the work and never answers."""
    REJECT = "reject"
    """503 before the work."""
    BREAK = "break"
    """500 after the work."""
    GARBLE = "garble"
    """Does the work and answers 200 with a page of HTML."""
    LIE = "lie"
    """Says the opposite of what it did; asked later, it tells the truth."""
    OTHER_AMOUNT = "other_amount"
    """Says an amount that is one minor unit higher than the true one."""
    CONFUSE = "confuse"
    """Answers about another number."""
    FORGE = "forge"
    """Answers, or tells, with a signature that does not fit."""
    DECLINE = "decline"
    """`argument`: the code of a decline."""
    ACTION = "action"
    """The payer has to act (`argument`: qr, redirect, code, wait) and does after `seconds`."""
    LATE = "late"
    """It is under way, and succeeds after `seconds`."""
    NOT_FOUND = "not_found"
    """Does the work, and for `seconds` knows nothing of it when asked (a replica lags)."""
    REFUSE = "refuse"
    """Of a close: it cannot be closed now."""
    SLOW = "slow"
    """Of a refund: under way for `seconds`."""
    ABNORMAL = "abnormal"
    """Of a refund: the account is closed, people have to find another."""
    RETURNED = "returned"
    """Of a refund: it succeeds, and the bank sends it back after `seconds`."""
    TELL_FIRST = "tell_first"
    """Sends the notice, and answers when that was taken."""
    DUPLICATE = "duplicate"
    """Of a notice: it is sent `argument` times at once."""


class Rule(msgspec.Struct, kw_only=True):
    """One line of a script: the first one that fits is used.

    Attributes
    ----------
    verb : pay, query, close, refund, refund_query, statement, notice; null fits all but notices
    times : null: until it is cleared
    share : with which probability it takes hold of what fits it
    """

    verb: str | None = None
    dialect: str | None = None
    number: str | None = None
    instrument: str | None = None
    behaviour: Behaviour = Behaviour.ANSWER
    argument: str = ""
    seconds: float = 0.0
    delay_ms: int = 0
    times: int | None = 1
    share: float = 1.0


PLAIN: Final = Rule(times=None)
MAGIC_FROM_MINOR: Final = 4_040_000
"""40,400.01 to 40,400.99 of a currency with cents: the last two digits say what happens."""
_DECLINES: Final = {
    5: "do_not_honor",
    14: "invalid_card",
    43: "stolen_card",
    51: "insufficient_funds",
    54: "expired_card",
    55: "invalid_pin",
    57: "not_permitted",
    59: "suspected_fraud",
    61: "limit_exceeded",
    91: "issuer_unavailable",
    96: "channel_busy",
}
_MAGIC: Final = {
    71: Rule(behaviour=Behaviour.ACTION, argument="qr", seconds=3.0),
    72: Rule(behaviour=Behaviour.ACTION, argument="redirect", seconds=3.0),
    73: Rule(behaviour=Behaviour.ACTION, argument="code", seconds=-1.0),
    80: Rule(behaviour=Behaviour.HANG),
    81: Rule(behaviour=Behaviour.LOSE),
    82: Rule(behaviour=Behaviour.REJECT),
    83: Rule(behaviour=Behaviour.BREAK),
    84: Rule(behaviour=Behaviour.GARBLE),
    85: Rule(behaviour=Behaviour.LIE),
    86: Rule(behaviour=Behaviour.LATE, seconds=30.0),
    87: Rule(behaviour=Behaviour.OTHER_AMOUNT),
    88: Rule(behaviour=Behaviour.NOT_FOUND, seconds=30.0),
    89: Rule(behaviour=Behaviour.FORGE),
    **{n: Rule(behaviour=Behaviour.DECLINE, argument=code) for n, code in _DECLINES.items()},
}
_TOKEN: Final = "sim_"


def of_instrument(token: str | None) -> Rule | None:
    """Return what a payer's token stands for: `sim_<behaviour>[:<argument>[:<seconds>]]`.

    Examples
    --------
    >>> rule = of_instrument("sim_action:qr:5")
    >>> rule.behaviour.value, rule.argument, rule.seconds
    ('action', 'qr', 5.0)
    >>> of_instrument("tok_1") is None
    True
    """
    if token is None or not token.startswith(_TOKEN):
        return None
    name, *rest = token[len(_TOKEN) :].split(":")
    if name not in Behaviour.__members__.values():
        return None
    behaviour = Behaviour(name)
    if len(rest) == 1 and behaviour not in (Behaviour.DECLINE, Behaviour.ACTION):
        rest = ["", rest[0]]
    argument = rest[0] if rest else "do_not_honor" if behaviour is Behaviour.DECLINE else ""
    try:
        seconds = float(rest[1]) if len(rest) > 1 else 5.0
    except ValueError:
        return None
    return Rule(behaviour=behaviour, argument=argument, seconds=seconds)


class Script:
    """The rules that are left."""

    def __init__(self, seed: int = 1) -> None:
        self.rules: list[Rule] = []
        self._chance = random.Random(seed)

    def take(
        self,
        verb: str,
        dialect: str,
        number: str,
        *,
        instrument: str | None = None,
        amount: int = 0,
    ) -> Rule:
        """Return the rule that something falls under, and use it up."""
        for rule in self.rules:
            if rule.verb != verb and (rule.verb is not None or verb == "notice"):
                continue
            asked = (
                (rule.dialect, dialect),
                (rule.number, number),
                (rule.instrument, instrument),
            )
            if any(wanted not in (None, found) for wanted, found in asked):
                continue
            if rule.share < 1.0 and self._chance.random() >= rule.share:
                continue
            if rule.times is not None:
                rule.times -= 1
                if rule.times <= 0:
                    self.rules.remove(rule)
            return rule
        if verb != "pay":
            return PLAIN
        magic = _MAGIC.get(amount - MAGIC_FROM_MINOR)
        return of_instrument(instrument) or magic or PLAIN
