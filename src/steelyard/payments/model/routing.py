"""The choice of a channel: hard filters, then rules, then Thompson sampling with cost.

The posterior of a channel is taken as normal, and a draw is one of `LEVELS` equally likely
quantiles of it. So the probability of what is chosen, which off-policy evaluation needs, is a
finite sum and exact: no Monte Carlo. Everything is a function of the book, the request, the instant
and the seed; what is stored of a choice is enough to make it again.

Sources: Thompson 1933; Chapelle, Li 2011; Horvitz, Thompson 1952 (propensities); notes on expected
value with cost as routing engines in the market weigh it: success times (margin less cost).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import sqrt
from statistics import NormalDist
from typing import Final, NamedTuple

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.breaker import BreakerState
from steelyard.payments.model.channel import Method, Stage
from steelyard.payments.model.retries import uniform, word
from steelyard.payments.model.routing_book import Book, Lane, Segment
from steelyard.payments.model.routing_rules import Options, RoutingRequest, apply_rules

LEVELS: Final = 16
"""Of four bits."""
_Z: Final = tuple(NormalDist().inv_cdf((k + 0.5) / LEVELS) for k in range(LEVELS))
_LOW, _HIGH = _Z[0], _Z[-1]
_TIE: Final = 1e-9
"""Equal scores are equal, whatever rounding says of their difference."""


class NoChannelIsOpen(Refusal):
    """No channel can take the payment now; the facts say why each cannot."""

    kind = RefusalKind.UNAVAILABLE
    en = "No channel is open to this payment: {why}."
    zh = "当前没有可用渠道：{why}。"


class Candidate(NamedTuple):
    """A channel that was open, with what it was weighed by; a tuple, since this is the hot path.

    Attributes
    ----------
    mean, deviation : of its success rate; cost : per one of the amount
    is_new : not proven yet; on_trial : its breaker is half open
    draw : of the success rate; score : what it was compared by
    """

    channel: str
    mean: float
    deviation: float
    cost: float
    is_new: bool
    on_trial: bool
    draw: float
    score: float


@dataclass(frozen=True, slots=True)
class Choice:
    """A channel, and why.

    Attributes
    ----------
    propensity : with which probability it was chosen, over all seeds
    candidates : those that were open, the cheapest first; excluded : channel -> why it was not
    rule : the rule that settled it, None where what was learnt did
    policy, book_version : versions of what it was chosen by
    """

    chosen: str
    propensity: float
    candidates: tuple[Candidate, ...]
    excluded: dict[str, str]
    rule: str | None
    seed: int
    policy: int
    book_version: int


def choose(book: Book, request: RoutingRequest, now: datetime, seed: int) -> Choice:
    """Return the channel of a payment.

    Parameters
    ----------
    seed : whole number; the same gives the same, also on another machine

    Returns
    -------
    Choice
        Of a channel that every hard filter and every rule leaves open.

    Refusals
    --------
    no_channel_is_open
    """
    seconds = now.timestamp()
    excluded: dict[str, str] = {}
    left: list[str] = []
    trials: set[str] = set()
    for code, lane in book.lanes.items():
        why = _why_not(book, lane, request, seconds)
        if not why:
            breaker = book.breakers.get((code, request.method))
            if breaker is not None and breaker.state is not BreakerState.CLOSED:
                if breaker.stands(seconds) is BreakerState.OPEN:
                    why = "breaker_is_open"
                else:
                    trials.add(code)
        if why:
            excluded[code] = why
        else:
            left.append(code)
    policy = book.policy
    if not left and policy.options.last_resort:
        left = [code for code, why in excluded.items() if why == "breaker_is_open"]
        excluded = {code: why for code, why in excluded.items() if code not in left}
    rule, picked, propensity = None, None, 1.0
    if policy.rules and left:
        ruled = apply_rules(policy.rules, request, left, seed)
        left, excluded = list(ruled.open), {**excluded, **ruled.excluded}
        rule, picked, propensity = ruled.rule, ruled.chosen, ruled.propensity
    if not left:
        why = ", ".join(f"{code} {reason}" for code, reason in excluded.items())
        raise NoChannelIsOpen(why=why or "there is none", channels=excluded)
    weighed = _weigh(book, request, seconds, left, trials)
    candidates, chosen, learnt = draw(weighed, policy.options, seed)
    return Choice(
        chosen=picked or chosen,
        propensity=propensity if picked else learnt,
        candidates=candidates,
        excluded=excluded,
        rule=rule,
        seed=seed,
        policy=policy.version,
        book_version=book.version,
    )


def _why_not(book: Book, lane: Lane, request: RoutingRequest, now: float) -> str:
    """Return why a channel cannot take a payment; empty: it can, as far as its breaker lets it."""
    amount = request.amount_minor
    if request.method not in lane.methods:
        return "method_is_not_offered"
    if not lane.stage.takes_payments:
        return "stage_is_not_open"
    if lane.code in request.tried:
        return "tried_already"
    if request.channels and lane.code not in request.channels:
        return "not_in_the_contract"
    if request.currency not in lane.currencies:
        return "currency_is_not_offered"
    if not lane.least <= amount <= lane.most:
        return "amount_is_outside_its_limits"
    for closed in lane.closed:
        if closed.start <= now < closed.end and (
            not closed.methods or request.method in closed.methods
        ):
            return closed.why
    if now >= lane.known_until:
        return "calendar_is_stale"
    if lane.daily_most is None and lane.stage is not Stage.TRIAL:
        return ""
    used, payments = book.used.get((lane.code, request.currency), (0, 0))
    if lane.daily_most is not None and used + amount > lane.daily_most:
        return "daily_limit_is_reached"
    return _trial_forbids(lane, request, used, payments) if lane.stage is Stage.TRIAL else ""


def _trial_forbids(lane: Lane, request: RoutingRequest, used: int, payments: int) -> str:
    trial = lane.trial
    if trial is None or request.merchant not in trial.merchants:
        return "merchant_is_not_on_trial"
    if request.amount_minor > trial.most_minor:
        return "amount_is_over_the_trial_cap"
    if used + request.amount_minor > trial.daily_most_minor or payments >= trial.daily_payments:
        return "trial_cap_is_reached"
    return ""


def _weigh(
    book: Book, request: RoutingRequest, now: float, channels: Sequence[str], trials: set[str]
) -> list[Candidate]:
    """Return the channels with their posteriors, the cheapest first."""
    options = book.policy.options
    chain = book.known(request)
    usual = chain[0].usual() if chain else 0.85
    fails = book.chance_late_fails()
    weighed = []
    for code in channels:
        mean, strength = _posterior(chain, code, now, options, (usual, fails))
        deviation = options.temperature * sqrt(mean * (1.0 - mean) / (strength + 1.0))
        is_new = book.matured.get((code, request.method), 0) < options.proven
        cost = book.lanes[code].cost_of(request.amount_minor)
        weighed.append(Candidate(code, mean, deviation, cost, is_new, code in trials, 0.0, 0.0))
    if len(weighed) > 1:
        weighed.sort(key=_by_cost)
    return weighed


def _by_cost(one: Candidate) -> tuple[float, str]:
    return one.cost, one.channel


def _posterior(
    chain: tuple[Segment, ...],
    channel: str,
    now: float,
    options: Options,
    guess: tuple[float, float],
) -> tuple[float, float]:
    """Return mean and weight of a channel's success rate in the narrowest segment.

    Parameters
    ----------
    guess : mean of all channels; how likely a late attempt failed
    """
    mean, fails = guess
    strength = prior = options.prior
    most = options.parent
    for segment in chain:
        cell = segment.cells.get(channel)
        if cell is None:
            continue
        kept = 2.0 ** ((cell.at - now) / segment.half_life) if now > cell.at else 1.0
        late = cell.late * kept
        seen = cell.seen * kept + late
        good = cell.good * kept + late * (1.0 - fails)
        # What the parent knows beyond what it has from here.
        above = strength - seen
        weight = prior if above < prior else most if above > most else above
        mean = (good + weight * mean) / (seen + weight)
        strength = seen + weight
    return 0.005 if mean < 0.005 else 0.995 if mean > 0.995 else mean, strength


def draw(
    weighed: Sequence[Candidate], options: Options, seed: int
) -> tuple[tuple[Candidate, ...], str, float]:
    """Return the candidates with their draws, the one that is chosen, and its propensity.

    A part `floor` of the payments goes to any of them alike; a part `half_open_share` to those on
    trial again; a part `new_share` of the rest lets new ones compete with those proven.

    Examples
    --------
    >>> two = [Candidate("a", 0.9, 0.01, 0.0, False, False, 0.0, 0.0),
    ...        Candidate("b", 0.5, 0.01, 0.0, False, False, 0.0, 0.0)]
    >>> _, chosen, propensity = draw(two, Options(floor=0.01), seed=5)
    >>> chosen, round(propensity, 3)
    ('a', 0.995)
    """
    candidates = _drawn(weighed, options, seed)
    count = len(candidates)
    if count == 1:
        return candidates, candidates[0].channel, 1.0
    groups = _groups(candidates, options)
    at = uniform(seed, 0)
    if at < options.floor:
        index = int(at / options.floor * count)
    elif at < options.floor + groups.half:
        index = groups.trials[int((at - options.floor) / groups.half * len(groups.trials))]
    else:
        begins = options.floor + groups.half
        is_all = at < begins + (1.0 - begins) * groups.new
        group = groups.open if is_all else groups.proven
        index = max(group, key=lambda i: (candidates[i].score, -i))
    propensity = _propensity(candidates, index, groups, options)
    return candidates, candidates[index].channel, propensity


def propensity_of(candidates: Sequence[Candidate], channel: str, options: Options) -> float:
    """Return with which probability a channel is chosen of candidates, over all seeds.

    Examples
    --------
    >>> same = [Candidate(code, 0.9, 0.01, 0.0, False, False, 0.0, 0.0) for code in "abc"]
    >>> round(sum(propensity_of(same, code, Options()) for code in "abc"), 9)
    1.0
    """
    if len(candidates) == 1:
        return 1.0
    index = next(i for i, one in enumerate(candidates) if one.channel == channel)
    return _propensity(candidates, index, _groups(candidates, options), options)


class _Groups(NamedTuple):
    """Who competes with whom: those on trial again, those open, those of them that are proven."""

    trials: list[int]
    open: list[int]
    proven: list[int]
    half: float
    new: float


def _groups(candidates: Sequence[Candidate], options: Options) -> _Groups:
    count = len(candidates)
    trials = [i for i in range(count) if candidates[i].on_trial]
    open_ = [i for i in range(count) if not candidates[i].on_trial] or trials
    proven = [i for i in open_ if not candidates[i].is_new] or open_
    half = options.half_open_share if trials and len(trials) < count else 0.0
    new = options.new_share if len(proven) < len(open_) else 1.0
    return _Groups(trials, open_, proven, half, new)


def _propensity(
    candidates: Sequence[Candidate], index: int, groups: _Groups, options: Options
) -> float:
    propensity = options.floor / len(candidates)
    if groups.half and candidates[index].on_trial:
        return propensity + groups.half / len(groups.trials)
    wins = groups.new * _chance(candidates, groups.open, index, options)
    if groups.new < 1.0 and index in groups.proven:
        wins += (1.0 - groups.new) * _chance(candidates, groups.proven, index, options)
    return min(propensity + (1.0 - options.floor - groups.half) * wins, 1.0)


def _worth(one: Candidate, options: Options) -> float:
    return options.margin - one.cost if options.weigh_cost else 1.0


def _drawn(weighed: Sequence[Candidate], options: Options, seed: int) -> tuple[Candidate, ...]:
    """Return candidates with a draw each: four bits of a word pick its quantile."""
    drawn, bits = [], 0
    for place, (channel, mean, deviation, cost, is_new, on_trial, _, _) in enumerate(weighed):
        if place % 16 == 0:
            bits = word(seed, 2 + place // 16)
        rate = mean + deviation * _Z[bits & 15]
        bits >>= 4
        score = rate * (options.margin - cost) if options.weigh_cost else rate
        drawn.append(Candidate(channel, mean, deviation, cost, is_new, on_trial, rate, score))
    return tuple(drawn)


def _chance(
    candidates: Sequence[Candidate], group: Sequence[int], index: int, options: Options
) -> float:
    """Return how likely one of a group has the highest score, over all draws."""
    one = candidates[index]
    worth = _worth(one, options)
    mean, deviation = one.mean * worth, one.deviation * worth
    least = mean + deviation * _LOW
    rivals = []
    for j in group:
        if j == index:
            continue
        other = candidates[j]
        worth = _worth(other, options)
        centre, spread = other.mean * worth, other.deviation * worth
        if centre + spread * _HIGH < least:
            continue
        # Of equal scores the first wins.
        before = j < index
        place, nudge = (bisect_left, -_TIE) if before else (bisect_right, _TIE)
        rivals.append((centre, 1.0 / spread, place, nudge))
    if not rivals:
        return 1.0
    whole = 0
    for z in _Z:
        score = mean + deviation * z
        ways = 1
        for centre, scale, place, nudge in rivals:
            ways *= place(_Z, (score - centre) * scale + nudge)
            if not ways:
                break
        whole += ways
    return float(whole / LEVELS ** (len(rivals) + 1))


def explain(book: Book, request: RoutingRequest, now: datetime) -> dict[str, str]:
    """Return of every channel `open`, or why it is not."""
    seconds = now.timestamp()
    found = {}
    for code, lane in book.lanes.items():
        breaker = book.breakers.get((code, request.method))
        is_open = breaker is not None and breaker.stands(seconds) is BreakerState.OPEN
        why = _why_not(book, lane, request, seconds) or ("breaker_is_open" if is_open else "open")
        found[code] = why
    return found


def methods_open(book: Book, request: RoutingRequest, now: datetime) -> dict[Method, float]:
    """Return the methods that a payer could pay with now, with the best chance of success of each.

    Parameters
    ----------
    request : its method does not count
    """
    best: dict[Method, float] = {}
    for method in {method for lane in book.lanes.values() for method in lane.methods}:
        asked = replace(request, method=method)
        codes = [code for code, why in explain(book, asked, now).items() if why == "open"]
        if codes:
            weighed = _weigh(book, asked, now.timestamp(), codes, set())
            best[method] = max(one.mean for one in weighed)
    return best
