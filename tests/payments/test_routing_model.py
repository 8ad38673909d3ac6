"""The choice of a channel: filters, rules, draws, and what is learnt of outcomes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.payments.model.breaker import BreakerState
from steelyard.payments.model.channel import Decline, Method, Stage
from steelyard.payments.model.channel_calendar import MAINTENANCE, Closed
from steelyard.payments.model.health import is_good
from steelyard.payments.model.lifecycle import Trial
from steelyard.payments.model.routing import (
    Candidate,
    NoChannelIsOpen,
    choose,
    draw,
    propensity_of,
)
from steelyard.payments.model.routing_book import (
    FORGOTTEN,
    Book,
    Lane,
    Outcome,
    observe,
    sent,
    set_lanes,
    tick,
)
from steelyard.payments.model.routing_evaluation import Logged, ips, snips
from steelyard.payments.model.routing_rules import (
    Options,
    RoutingPolicy,
    RoutingRequest,
    Rule,
    RuleDoesNotFit,
    Verb,
    check_rules,
)

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SHOP, OTHER, BAD = UUID(int=1), UUID(int=2), UUID(int=3)
ASKED = RoutingRequest(merchant=SHOP, method=Method.WALLET, amount_minor=10_000, currency="CNY")


def lane(code: str, **changes: object) -> Lane:
    made = Lane(
        code=code,
        stage=Stage.LIVE,
        methods=frozenset((Method.WALLET,)),
        currencies=frozenset(("CNY",)),
        least=1,
        most=1_000_000,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def a_book(*lanes: Lane, **options: object) -> Book:
    policy = RoutingPolicy(options=Options(**options))  # type: ignore[arg-type]
    book = Book(policy=policy)
    set_lanes(book, lanes)
    return book


def outcome(channel: str, number: int, sent_at: datetime, **changes: object) -> Outcome:
    made = Outcome(
        attempt=UUID(int=number),
        channel=channel,
        method=Method.WALLET,
        currency="CNY",
        merchant=SHOP,
        is_good=True,
        sent_at=sent_at,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def live(
    book: Book,
    rates: dict[str, float],
    *,
    payments: int,
    seed: int = 1,
    at: datetime = AT,
    asked: RoutingRequest = ASKED,
    only: str | None = None,
) -> tuple[Counter[str], datetime]:
    """Let payments be routed, one a second, and hear of each at once; return where they went."""
    chance, went = Random(seed), Counter[str]()
    for n in range(payments):
        at += timedelta(seconds=1)
        number = seed * 1_000_000 + n
        channel = only or choose(book, asked, at, number).chosen
        went[channel] += 1
        sent(book, UUID(int=number), asked, channel, at)
        tick(book, at)
        good = chance.random() < rates[channel]
        made = outcome(channel, number, at, is_good=good, merchant=asked.merchant)
        observe(book, made, at)
    return went, at


def share_of(book: Book, channel: str, at: datetime, asked: RoutingRequest = ASKED) -> float:
    """Return how likely a channel is chosen, over all seeds."""
    candidates = choose(book, asked, at, 1).candidates
    return propensity_of(candidates, channel, book.policy.options)


def mean_of(book: Book, channel: str, at: datetime) -> float:
    return next(one.mean for one in choose(book, ASKED, at, 1).candidates if one.channel == channel)


def why(book: Book, asked: RoutingRequest = ASKED, at: datetime = AT) -> dict[str, str]:
    with pytest.raises(NoChannelIsOpen) as refused:
        choose(book, asked, at, 1)
    found = refused.value.facts["channels"]
    assert isinstance(found, dict)
    return found


def test_every_hard_filter_says_why_a_channel_fell_out() -> None:
    trial = Trial(merchants=(SHOP,), most_minor=5_000, daily_most_minor=9_000, daily_payments=3)
    now = AT.timestamp()
    book = a_book(
        lane("agreed", stage=Stage.AGREED),
        lane("dear", least=10_001),
        lane("full", daily_most=20_000),
        lane("nightly", closed=(Closed(now - 1, now + 1, "outside_its_hours"),)),
        lane("old", known_until=now),
        lane("other", methods=frozenset((Method.SCAN,))),
        lane("small", most=9_999),
        lane("tried"),
        lane("trial", stage=Stage.TRIAL, trial=trial),
        lane("under", closed=(Closed(now, now + 60, MAINTENANCE, frozenset((Method.WALLET,))),)),
        lane("yen", currencies=frozenset(("JPY",))),
    )
    book.used["full", "CNY"] = (10_001, 1)
    assert why(book, replace(ASKED, tried=("tried",))) == {
        "agreed": "stage_is_not_open",
        "dear": "amount_is_outside_its_limits",
        "full": "daily_limit_is_reached",
        "nightly": "outside_its_hours",
        "old": "calendar_is_stale",
        "other": "method_is_not_offered",
        "small": "amount_is_outside_its_limits",
        "tried": "tried_already",
        "trial": "amount_is_over_the_trial_cap",
        "under": "maintenance",
        "yen": "currency_is_not_offered",
    }


def test_a_trial_takes_chosen_merchants_within_its_caps() -> None:
    trial = Trial(merchants=(SHOP,), most_minor=20_000, daily_most_minor=25_000, daily_payments=2)
    book = a_book(lane("new", stage=Stage.TRIAL, trial=trial))
    assert choose(book, ASKED, AT, 1).chosen == "new"
    assert why(book, replace(ASKED, merchant=OTHER)) == {"new": "merchant_is_not_on_trial"}
    book.used["new", "CNY"] = (16_000, 1)
    assert why(book) == {"new": "trial_cap_is_reached"}
    book.used["new", "CNY"] = (1_000, 2)
    assert why(book) == {"new": "trial_cap_is_reached"}


def test_case_20_a_limit_that_is_reached_mid_route_leads_to_the_next_channel() -> None:
    book = a_book(lane("a", daily_most=25_000), lane("b"))
    book.used["a", "CNY"] = (20_000, 2)
    choice = choose(book, ASKED, AT, 7)
    assert choice.chosen == "b"
    assert choice.excluded == {"a": "daily_limit_is_reached"}
    assert choice.propensity == 1.0


def test_case_21_all_channels_down_is_refused_with_a_reason_for_each() -> None:
    book = a_book(lane("a"), lane("b"))
    _, at = live(book, {"a": 0.9, "b": 0.9}, payments=300, seed=3)
    _, at = live(book, {"a": 0.0, "b": 0.0}, payments=12, only="a", at=at)
    _, at = live(book, {"a": 0.0, "b": 0.0}, payments=12, only="b", seed=2, at=at)
    assert why(book, at=at) == {"a": "breaker_is_open", "b": "breaker_is_open"}
    # Where the policy says so, a payment is tried nevertheless.
    book.policy = RoutingPolicy(options=Options(last_resort=True))
    assert choose(book, ASKED, at, 1).chosen in ("a", "b")


def test_case_22_maintenance_that_begins_stops_new_attempts_and_not_the_one_under_way() -> None:
    begins = AT + timedelta(minutes=1)
    shut = Closed(begins.timestamp(), begins.timestamp() + 3_600, MAINTENANCE)
    book = a_book(lane("a", closed=(shut,)), lane("b", most=1))
    assert choose(book, ASKED, AT, 1).chosen == "a"
    sent(book, UUID(int=9), ASKED, "a", AT)
    assert why(book, at=begins)["a"] == "maintenance"
    # The payer acts while the window runs: the success counts as any other.
    observe(book, outcome("a", 9, AT), begins + timedelta(minutes=5))
    assert book.matured["a", Method.WALLET] == 1
    assert UUID(int=9) not in book.pending
    assert choose(book, ASKED, begins + timedelta(hours=1), 1).chosen == "a"


def test_case_79_a_cold_start_tries_every_channel_and_settles_on_the_best() -> None:
    book = a_book(*(lane(code) for code in "abcd"))
    rates = {"a": 0.7, "b": 0.8, "c": 0.95, "d": 0.75}
    assert share_of(book, "a", AT) == pytest.approx(0.25, abs=0.1)
    went, at = live(book, rates, payments=1_500)
    assert set(went) == set(rates)
    assert went.most_common(1)[0][0] == "c"
    assert share_of(book, "c", at) > 0.8


def test_case_80_a_new_channel_gets_no_hundred_percent() -> None:
    book = a_book(lane("a"), lane("b"))
    _, at = live(book, {"a": 0.9, "b": 0.9}, payments=600)
    set_lanes(book, [lane("a"), lane("b"), lane("new")])
    # It goes through every time, and is still held to its share until it is proven.
    rates = {"a": 0.8, "b": 0.8, "new": 1.0}
    most = 0.0
    for n in range(400):
        if book.matured.get(("new", Method.WALLET), 0) >= book.policy.options.proven:
            break
        most = max(most, share_of(book, "new", at))
        _, at = live(book, rates, payments=1, seed=100 + n, at=at)
    options = book.policy.options
    assert 0.05 < most <= options.new_share + options.floor
    for n in range(6):
        _, at = live(book, rates, payments=200, seed=1_000 + n, at=at)
    assert book.matured["new", Method.WALLET] >= options.proven
    assert share_of(book, "new", at) > 0.8


def test_case_81_an_unknown_attempt_is_no_success_and_weighs_until_its_end_is_known() -> None:
    book = a_book(lane("a"), lane("b"))
    _, at = live(book, {"a": 0.9, "b": 0.9}, payments=400)
    cell = book.segments[Method.WALLET, "CNY"].cells["a"]
    before, good = mean_of(book, "a", at), cell.good
    numbers = [UUID(int=10**9 + n) for n in range(4)]
    for number in numbers:
        sent(book, number, ASKED, "a", at)
    at += timedelta(seconds=5)
    assert tick(book, at) == []
    assert mean_of(book, "a", at) == pytest.approx(before, abs=0.001)
    at += timedelta(seconds=90)
    tick(book, at)
    assert cell.late == pytest.approx(4.0)
    assert cell.good < good
    assert mean_of(book, "a", at) < before - 0.005
    for number in numbers:
        observe(book, replace(outcome("a", 0, at), attempt=number), at)
    assert cell.late == pytest.approx(0.0)
    assert mean_of(book, "a", at) > before
    assert not book.pending


def test_late_attempts_weigh_as_those_before_them_ended_and_are_forgotten_in_the_end() -> None:
    book = a_book(lane("a"))
    assert book.chance_late_fails() == pytest.approx(0.8)
    at = AT
    for n in range(100):
        sent(book, UUID(int=n), ASKED, "a", at)
        at += timedelta(seconds=100)
        tick(book, at)
        observe(book, outcome("a", n, at - timedelta(seconds=100)), at)
    assert book.chance_late_fails() < 0.2
    sent(book, UUID(int=5_000), ASKED, "a", at)
    tick(book, at + timedelta(seconds=FORGOTTEN + 1))
    assert not book.pending


def test_case_82_one_bad_merchant_does_not_poison_the_others() -> None:
    book = a_book(lane("a"), lane("b"))
    bad = replace(ASKED, merchant=BAD)
    good = [replace(ASKED, merchant=UUID(int=10 + n)) for n in range(4)]
    rates, dead, at = {"a": 0.95, "b": 0.8}, {"a": 0.02, "b": 0.02}, AT
    for n in range(150):
        for k, one in enumerate((*good, bad)):
            _, at = live(book, rates, payments=2, seed=20_000 + 5 * n + k, at=at, asked=one)
    # Its own customers' cards fail now, all on the best channel; it sends as many as all others.
    for n in range(150):
        for k, one in enumerate(good):
            _, at = live(book, dead, payments=2, seed=9_000 + 4 * n + k, at=at, asked=bad, only="a")
            _, at = live(book, rates, payments=2, seed=40_000 + 4 * n + k, at=at, asked=one)
    breaker = book.breaker("a", Method.WALLET)
    assert breaker.stands(at.timestamp()) is BreakerState.CLOSED
    assert breaker.trips == 0
    assert sum(share_of(book, "a", at, one) for one in good) / len(good) > 0.8
    # A merchant that was never seen before is not told that the channel is bad.
    newcomer = choose(book, replace(ASKED, merchant=OTHER), at, 1).candidates
    means = {one.channel: one.mean for one in newcomer}
    assert means["a"] > 0.8
    # What it would have been told if everybody counted alike.
    narrow = [
        book.segments[Method.WALLET, "CNY", "", one.merchant].cells["a"] for one in (*good, bad)
    ]
    assert sum(cell.good for cell in narrow) / sum(cell.seen for cell in narrow) < 0.65


def test_case_83_two_replicas_with_stale_scores_agree_when_both_have_heard_all() -> None:
    one, other = a_book(lane("a"), lane("b")), a_book(lane("a"), lane("b"))
    chance, at, late = Random(4), AT, []
    for n in range(800):
        at += timedelta(seconds=1)
        book = one if n % 2 else other
        channel = choose(book, ASKED, at, n).chosen
        good = chance.random() < {"a": 0.95, "b": 0.7}[channel]
        heard = (outcome(channel, n, at, is_good=good), at)
        observe(book, *heard)
        late.append((other if n % 2 else one, heard))
        # Each hears of the other's with a delay of 20 payments.
        if len(late) > 20:
            stale, (made, told_at) = late.pop(0)
            observe(stale, made, told_at)
    for stale, heard in late:
        observe(stale, *heard)
    assert share_of(one, "a", at) > 0.9
    assert share_of(one, "a", at) == pytest.approx(share_of(other, "a", at), abs=0.02)
    for channel in "ab":
        left, right = (b.segments[Method.WALLET, "CNY"].cells[channel] for b in (one, other))
        assert left.seen == pytest.approx(right.seen, rel=0.05)


def test_case_84_the_same_seed_gives_the_same_choice() -> None:
    book = a_book(*(lane(code, fee_rate=0.001 * n) for n, code in enumerate("abcd")))
    _, at = live(book, dict.fromkeys("abcd", 0.9), payments=300)
    for seed in range(200):
        first, again = choose(book, ASKED, at, seed), choose(book, ASKED, at, seed)
        assert first == again
        _, chosen, propensity = draw(first.candidates, book.policy.options, seed)
        assert (chosen, propensity) == (first.chosen, first.propensity)
    assert len({choose(book, ASKED, at, seed).chosen for seed in range(200)}) > 1


_CANDIDATE = st.builds(
    Candidate,
    channel=st.just("?"),
    mean=st.floats(0.05, 0.99),
    deviation=st.floats(0.001, 0.2),
    cost=st.floats(0.0, 0.05),
    is_new=st.booleans(),
    on_trial=st.booleans(),
    draw=st.just(0.0),
    score=st.just(0.0),
)


@given(st.lists(_CANDIDATE, min_size=1, max_size=8), st.booleans())
def test_propensities_add_up_to_one(found: list[Candidate], weigh_cost: bool) -> None:
    candidates = [one._replace(channel=f"c{n}") for n, one in enumerate(found)]
    options = Options(weigh_cost=weigh_cost)
    all_of_them = [propensity_of(candidates, one.channel, options) for one in candidates]
    assert math.fsum(all_of_them) == pytest.approx(1.0, abs=1e-9)
    assert min(all_of_them) > 0


def test_propensities_are_how_often_each_is_chosen() -> None:
    rows = ((0.9, 0.02, 0, 0), (0.88, 0.05, 0, 0), (0.9, 0.02, 1, 0), (0.5, 0.1, 0, 1))
    candidates = [
        Candidate(f"c{n}", mean, deviation, 0.0, bool(new), bool(trial), 0.0, 0.0)
        for n, (mean, deviation, new, trial) in enumerate(rows)
    ]
    options, draws = Options(), 20_000
    went = Counter(draw(candidates, options, seed)[1] for seed in range(draws))
    for one in candidates:
        expected = propensity_of(candidates, one.channel, options)
        error = math.sqrt(expected * (1 - expected) / draws)
        assert abs(went[one.channel] / draws - expected) < 4.5 * error


def test_cost_moves_payments_only_where_it_is_weighed() -> None:
    cheap, dear = lane("cheap", fee_rate=0.002), lane("dear", fee_rate=0.1)
    rates = {"cheap": 0.88, "dear": 0.9}
    plain, weighing = a_book(cheap, dear), a_book(cheap, dear, weigh_cost=True)
    _, at = live(plain, rates, payments=2_000)
    _, at = live(weighing, rates, payments=2_000)
    assert share_of(weighing, "cheap", at) > 0.9
    assert share_of(plain, "cheap", at) < share_of(weighing, "cheap", at)


@pytest.mark.parametrize(
    ("fee", "amount", "cost"),
    [
        ({"fee_rate": 0.01}, 10_000, 0.01),
        ({"fee_rate": 0.01, "fee_fixed": 10.0}, 1_000, 0.02),
        ({"fee_rate": 0.01, "fee_least": 50.0}, 1_000, 0.05),
        ({"fee_rate": 0.01, "fee_most": 20.0}, 10_000, 0.002),
    ],
)
def test_what_a_channel_costs(fee: dict[str, float], amount: int, cost: float) -> None:
    assert lane("a", **fee).cost_of(amount) == pytest.approx(cost)


def test_an_outage_sends_payments_elsewhere_and_they_come_back() -> None:
    book = a_book(lane("a"), lane("b"))
    _, at = live(book, {"a": 0.95, "b": 0.8}, payments=600)
    went, at = live(book, {"a": 0.0, "b": 0.8}, payments=600, seed=2, at=at)
    assert went["a"] < 60
    went, at = live(book, {"a": 0.95, "b": 0.8}, payments=1_500, seed=3, at=at)
    assert went["a"] > 1_000


def test_rules_stand_over_what_was_learnt() -> None:
    book = a_book(lane("a"), lane("b"), lane("c"))
    _, at = live(book, {"a": 0.99, "b": 0.5, "c": 0.5}, payments=300)
    prefer = Rule(name="big", verb=Verb.PREFER, channels=("c", "b"), least_minor=10_000)
    only = Rule(name="shop", verb=Verb.ONLY, channels=("a", "b"), merchants=frozenset((SHOP,)))
    without = Rule(name="no_a", verb=Verb.EXCLUDE, channels=("a",))
    book.policy = RoutingPolicy(version=3, rules=(only, without, prefer))
    choice = choose(book, ASKED, at, 1)
    assert (choice.chosen, choice.rule, choice.propensity) == ("b", "big", 1.0)
    assert choice.excluded == {"c": "rule:shop", "a": "rule:no_a"}
    assert choice.policy == 3
    small = choose(book, replace(ASKED, amount_minor=5, merchant=OTHER), at, 1)
    assert small.rule is None
    assert set(small.excluded) == {"a"}
    book.policy = RoutingPolicy(rules=(only, replace(only, name="none", channels=("c",))))
    assert why(book, at=at) == {"a": "rule:none", "b": "rule:none", "c": "rule:shop"}


def test_a_split_keeps_its_shares_among_those_open() -> None:
    split = Rule(name="s", verb=Verb.SPLIT, channels=("a", "b", "c"), shares=(50, 30, 20))
    book = a_book(lane("a"), lane("b"), lane("c", most=1))
    book.policy = RoutingPolicy(rules=(split,))
    choices = [choose(book, ASKED, AT, seed) for seed in range(4_000)]
    went = Counter(choice.chosen for choice in choices)
    assert went["a"] / 4_000 == pytest.approx(50 / 80, abs=0.03)
    assert {choice.propensity for choice in choices} == {50 / 80, 30 / 80}
    assert "c" not in went


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        (Rule(name="r", verb=Verb.ONLY, channels=()), "no channel is named"),
        (Rule(name="r", verb=Verb.ONLY, channels=("x",)), "there is no channel x"),
        (Rule(name="r", verb=Verb.ONLY, channels=("a", "a")), "named twice"),
        (Rule(name="r", verb=Verb.SPLIT, channels=("a", "b"), shares=(50,)), "share is needed"),
        (Rule(name="r", verb=Verb.SPLIT, channels=("a", "b"), shares=(50, 40)), "100 percent"),
        (Rule(name="r", verb=Verb.ONLY, channels=("a",), shares=(100,)), "only a split"),
        (
            Rule(name="r", verb=Verb.ONLY, channels=("a",), least_minor=5, most_minor=4),
            "below the smallest",
        ),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(rule: Rule, says: str) -> None:
    with pytest.raises(RuleDoesNotFit, match=says):
        check_rules((rule,), frozenset("ab"))
    good = Rule(name="g", verb=Verb.ONLY, channels=("a",))
    check_rules((good,), frozenset("ab"))
    with pytest.raises(RuleDoesNotFit, match="twice"):
        check_rules((good, good), frozenset("ab"))


def test_another_routing_is_valued_by_what_was_logged() -> None:
    chance, logged, truth = Random(3), [], {"a": 0.9, "b": 0.7}
    for _ in range(6_000):
        channel = "a" if chance.random() < 0.3 else "b"
        gain = float(chance.random() < truth[channel])
        wanted = 0.95 if channel == "a" else 0.05
        logged.append(Logged(0.3 if channel == "a" else 0.7, wanted, gain))
    true = 0.95 * 0.9 + 0.05 * 0.7
    for estimate in (ips(logged), snips(logged)):
        assert estimate.low < true < estimate.high
        assert estimate.high - estimate.low < 0.1
    assert snips(logged).high - snips(logged).low < ips(logged).high - ips(logged).low
    nowhere = snips([Logged(0.5, 0.0, 1.0), Logged(0.5, 0.0, 0.0)])
    assert (nowhere.low, nowhere.high, nowhere.effective) == (0.0, 1.0, 0.0)


def test_a_clock_that_goes_back_breaks_nothing() -> None:
    book = a_book(lane("a"), lane("b"))
    _, at = live(book, {"a": 0.95, "b": 0.6}, payments=300)
    earlier = at - timedelta(hours=5)
    assert choose(book, ASKED, earlier, 1).chosen in ("a", "b")
    sent(book, UUID(int=77), ASKED, "a", earlier)
    observe(book, outcome("a", 77, earlier), earlier)
    assert share_of(book, "a", at) > 0.5


def test_what_an_end_says_of_the_channel() -> None:
    from steelyard.payments.model.attempts import AttemptState as State

    assert is_good(State.SUCCEEDED, None, 1.0) is True
    assert is_good(State.LATE, None, 9_000.0) is True
    assert is_good(State.DECLINED, Decline.CHANNEL_BUSY, 1.0) is False
    assert is_good(State.DECLINED, Decline.INVALID_PIN, 1.0) is None
    assert is_good(State.DECLINED, None, 1.0) is False
    assert is_good(State.CLOSED, None, 0.1) is False
    assert is_good(State.CLOSED, None, 1_800.0) is None
    assert is_good(State.UNKNOWN, None, None) is None
