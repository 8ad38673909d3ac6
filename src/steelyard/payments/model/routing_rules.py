"""Rules of routing: ordered, versioned, written by people; they stand over what is learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import Method
from steelyard.payments.model.retries import uniform


class RuleDoesNotFit(Refusal):
    """A rule cannot be meant as it is written."""

    kind = RefusalKind.INVALID
    en = "The rule {rule} does not fit: {why}."
    zh = "规则 {rule} 有误：{why}。"


class Verb(StrEnum):
    """What a rule does with the channels that are open."""

    ONLY = "only"
    """No other than these; the next rule is read."""
    EXCLUDE = "exclude"
    """None of these; the next rule is read."""
    PREFER = "prefer"
    """The first of these that is open; else the next rule is read."""
    SPLIT = "split"
    """By shares in percent among those that are open; no further rule is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingRequest:
    """A payment that looks for its channel.

    Attributes
    ----------
    network : card network, bank or issuer range, as far as known
    tried : channels that declined it, or were full
    channels : those that the merchant's contract allows; empty: all
    """

    merchant: UUID
    method: Method
    amount_minor: int
    currency: str
    network: str = ""
    scenario: str = "online"
    tried: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule; an empty condition holds for every payment.

    Attributes
    ----------
    channels : in order of preference; shares : of `split`, percent, in the same order, 100 in all
    least_minor, most_minor : amounts it holds for, both included
    """

    name: str
    verb: Verb
    channels: tuple[str, ...]
    shares: tuple[int, ...] = ()
    merchants: frozenset[UUID] = frozenset()
    methods: frozenset[Method] = frozenset()
    currencies: frozenset[str] = frozenset()
    networks: frozenset[str] = frozenset()
    scenarios: frozenset[str] = frozenset()
    least_minor: int = 0
    most_minor: int | None = None

    def holds(self, request: RoutingRequest) -> bool:
        """Whether it is about a payment."""
        return (
            (not self.merchants or request.merchant in self.merchants)
            and (not self.methods or request.method in self.methods)
            and (not self.currencies or request.currency in self.currencies)
            and (not self.networks or request.network in self.networks)
            and (not self.scenarios or request.scenario in self.scenarios)
            and request.amount_minor >= self.least_minor
            and (self.most_minor is None or request.amount_minor <= self.most_minor)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How routing learns and weighs.

    Attributes
    ----------
    half_life : seconds after which an outcome counts half, at one payment a second; at a rate r it
        is divided by the root of r (a random walk's level is tracked best so), within its bounds
    prior, parent : weight of the mean of all channels, and of the parent segment, in payments
    floor : share of payments that go to any open channel alike, so that no propensity is zero
    new_share : of payments that channels not proven yet may get, where others are
    proven : outcomes after which a channel is proven
    half_open_share : of payments that go to channels on trial again by their breaker
    overdue : seconds after which an attempt without an end counts as late
    late_fails : how likely a late one failed, before anything is known about it
    temperature : factor of the deviation that draws are made with
    weigh_cost : whether what a channel costs counts
    margin : what a payment is worth, per one of its amount, from which the cost is taken
    single_most : how much one child may weigh in its parent segment
    kept_after_outage : of what was known of a channel when its breaker closes again
    last_resort : whether a payment is tried where breakers alone leave no channel
    """

    half_life: float = 1_200.0
    half_life_least: float = 60.0
    half_life_most: float = 21_600.0
    prior: float = 10.0
    parent: float = 50.0
    floor: float = 0.004
    new_share: float = 0.1
    proven: int = 100
    half_open_share: float = 0.05
    overdue: float = 90.0
    late_fails: float = 0.8
    temperature: float = 0.7
    weigh_cost: bool = False
    margin: float = 1.0
    single_most: float = 0.25
    kept_after_outage: float = 0.2
    last_resort: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutingPolicy:
    """Rules and options of one version; version 0 is what counts before anybody wrote any."""

    version: int = 0
    rules: tuple[Rule, ...] = ()
    options: Options = field(default_factory=Options)


@dataclass(frozen=True, slots=True)
class Ruled:
    """What the rules left.

    Attributes
    ----------
    open : the channels that are left, in order
    rule : the rule that settled it, with its `propensity`; None: it is chosen by what was learnt
    """

    open: tuple[str, ...]
    excluded: Mapping[str, str]
    rule: str | None = None
    chosen: str | None = None
    propensity: float = 1.0


def apply_rules(
    rules: Sequence[Rule], request: RoutingRequest, channels: Sequence[str], seed: int
) -> Ruled:
    """Return what the rules leave of the channels that are open to a payment.

    Examples
    --------
    >>> rule = Rule(name="no_b", verb=Verb.EXCLUDE, channels=("b",))
    >>> request = RoutingRequest(merchant=UUID(int=1), method=Method.WALLET, amount_minor=1,
    ...                          currency="CNY")
    >>> apply_rules((rule,), request, ("a", "b"), 1)
    Ruled(open=('a',), excluded={'b': 'rule:no_b'}, rule=None, chosen=None, propensity=1.0)
    """
    left = tuple(channels)
    out: dict[str, str] = {}
    for rule in rules:
        if not rule.holds(request):
            continue
        named = tuple(code for code in rule.channels if code in left)
        if rule.verb is Verb.PREFER:
            if named:
                return Ruled(left, out, rule.name, named[0])
            continue
        if rule.verb is Verb.SPLIT:
            split = _split(rule, named, seed)
            if split is None:
                continue
            return Ruled(left, out, rule.name, *split)
        stays = rule.verb is Verb.ONLY
        gone = [code for code in left if (code in rule.channels) is not stays]
        out |= dict.fromkeys(gone, f"rule:{rule.name}")
        left = tuple(code for code in left if code not in gone)
    return Ruled(left, out)


def _split(rule: Rule, named: Sequence[str], seed: int) -> tuple[str, float] | None:
    """Return a channel drawn by its share of those open, and the share."""
    shares = {
        code: share
        for code, share in zip(rule.channels, rule.shares, strict=True)
        if code in named and share
    }
    whole = sum(shares.values())
    if not whole:
        return None
    at = uniform(seed, 1) * whole
    for code, share in shares.items():
        at -= share
        if at < 0:
            return code, share / whole
    return code, share / whole


def check_rules(rules: Sequence[Rule], known: frozenset[str]) -> None:
    """Refuse rules that cannot be meant as they are written.

    Refusals
    --------
    rule_does_not_fit
    """
    names = [rule.name for rule in rules]
    for rule in rules:
        why = _unfit(rule, known)
        if not why and names.count(rule.name) > 1:
            why = "the name is used twice"
        if why:
            raise RuleDoesNotFit(rule=rule.name, why=why)


def _unfit(rule: Rule, known: frozenset[str]) -> str:
    unknown = [code for code in rule.channels if code not in known]
    if not rule.channels:
        return "no channel is named"
    if unknown:
        return f"there is no channel {unknown[0]}"
    if len(set(rule.channels)) < len(rule.channels):
        return "a channel is named twice"
    if rule.verb is Verb.SPLIT:
        if len(rule.shares) != len(rule.channels) or min(rule.shares) < 0:
            return "a share is needed for each channel"
        if sum(rule.shares) != 100:
            return "shares are 100 percent in all"
    elif rule.shares:
        return "only a split has shares"
    if rule.most_minor is not None and rule.most_minor < rule.least_minor:
        return "the largest amount is below the smallest"
    return ""
