"""The town's model: replayable, ordered, closed in money, blind to fraud, true to its source."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import fields, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import fmean, pvariance

import pytest
import stdnum.cn.ric
from hypothesis import given, settings
from hypothesis import strategies as st
from stdnum.exceptions import InvalidComponent

from steelyard.simulation import (
    Plan,
    Town,
    actions_between,
    day,
    digest,
    found,
    stream,
    truth,
)
from steelyard.simulation.model import (
    BEIJING,
    PUBLISHED,
    CardPayment,
    Deposit,
    DepositKind,
    FraudReport,
    Handbook,
    Income,
    LoanComplaint,
    LoanPayment,
    LoanRequest,
    Profile,
    Refund,
    Scenario,
    Sex,
    SignUp,
    TownIsTooSmall,
    draws,
    handbook,
    people,
)

OPENS_ON = date(2026, 1, 5)
WITHOUT_FRAUD = replace(
    PUBLISHED, terminals_a_day=0.0, customers_a_day=0.0, large_amount_minor=10**9
)
# So many frauds that a short run has all three scenarios, and cards copied twice.
FULL_OF_FRAUD = replace(
    PUBLISHED, terminals_a_day=200.0, customers_a_day=300.0, large_amount_minor=15_000
)

plans = st.builds(
    Plan,
    seed=st.integers(),
    customers=st.integers(1, 30),
    terminals=st.integers(1, 60),
    opens_on=st.dates(date(2018, 4, 1), date(2040, 12, 31)),
    arrival_days=st.integers(1, 5),
    handbook=st.sampled_from([PUBLISHED, FULL_OF_FRAUD]),
)


@cache
def small_town(handbook: Handbook = FULL_OF_FRAUD) -> Town:
    return found(Plan(11, 120, 240, OPENS_ON, arrival_days=3, handbook=handbook))


def days_of(town: Town, count: int) -> list[date]:
    return [town.plan.opens_on + timedelta(days=n) for n in range(count)]


# --- replay


@settings(max_examples=40, deadline=None)
@given(plan=plans, order=st.permutations(range(12)))
def test_a_day_is_the_same_in_any_order_and_in_any_process(plan: Plan, order: list[int]) -> None:
    first, second = found(plan), found(plan)
    every = days_of(first, 12)
    in_order = [digest(day(first, on)) for on in every]
    shuffled = {n: digest(day(second, every[n])) for n in order}
    assert in_order == [shuffled[n] for n in range(12)]
    assert [truth(first, on) for on in every] == [truth(found(plan), on) for on in every]


def test_the_same_seed_gives_the_same_bytes_for_ever() -> None:
    """A changed digest is a changed town: histories played before could not be continued."""
    town = found(Plan(20260105, 50, 100, OPENS_ON))
    every = [action for on in days_of(town, 30) for action in day(town, on)]
    unlent = [a for a in every if not isinstance(a, LoanRequest | LoanPayment | LoanComplaint)]
    quiet = [action for action in unlent if not isinstance(action, FraudReport)]
    # neither reports nor loans changed anything that was drawn before there were any
    assert digest(quiet) == "ce109253bd84b9dc1e5a5479add12ca65fad83bd78147419b7e1ba0969240406"
    assert digest(unlent) == "7e5f0216b1d93b003ae4888f18c50b888117f081e9f91730153972c04a408adc"
    assert digest(every) == "a62fdac8fc63e63248d9ac33fd9dd1581af2efd511c78caf740a7c1f43b320d7"


@settings(max_examples=20, deadline=None)
@given(plan=plans)
def test_another_seed_is_another_town(plan: Plan) -> None:
    other = replace(plan, seed=plan.seed + 1)
    assert digest(sign_ups(found(plan))) != digest(sign_ups(found(other)))


def sign_ups(town: Town) -> list[SignUp]:
    every = days_of(town, town.plan.arrival_days)
    return [act for on in every for act in day(town, on) if isinstance(act, SignUp)]


def test_the_digest_reads_every_field() -> None:
    acts = day(small_town(), OPENS_ON + timedelta(days=1))
    payment = next(act for act in acts if isinstance(act, CardPayment))
    for changed in (
        replace(payment, amount_minor=payment.amount_minor + 1),
        replace(payment, at=payment.at + timedelta(milliseconds=1)),
        replace(payment, terminal_id=payment.merchant_id),
    ):
        assert digest([payment]) != digest([changed])
    assert digest(acts) != digest(acts[1:])
    assert digest(acts) != digest(acts[::-1])


def test_streams_are_independent_of_each_other() -> None:
    one = stream(5, "a", 1)
    undisturbed = [stream(5, "a", 1).random()]
    stream(5, "a", 2).random()
    assert [one.random()] == undisturbed
    starts = {stream(seed, "a", n).random() for seed in range(20) for n in range(20)}
    assert len(starts) == 400
    assert stream(1, "2", 3).random() != stream(12, 3).random()


# --- order and spans


@settings(max_examples=40, deadline=None)
@given(plan=plans, ahead=st.integers(-2, 20))
def test_a_day_is_in_order_and_inside_itself(plan: Plan, ahead: int) -> None:
    town = found(plan)
    on = plan.opens_on + timedelta(days=ahead)
    acts = day(town, on)
    assert all(act.at.astimezone(BEIJING).date() == on for act in acts)
    assert all(act.at.tzinfo is UTC for act in acts)
    assert all((a.at, a.id) < (b.at, b.id) for a, b in pairwise(acts))
    assert ahead >= 0 or not acts


@settings(max_examples=30, deadline=None)
@given(plan=plans, cuts=st.lists(st.integers(0, 6 * 86_400), max_size=5))
def test_neighbouring_spans_join(plan: Plan, cuts: list[int]) -> None:
    town = found(plan)
    start_at = datetime.combine(plan.opens_on, datetime.min.time(), UTC) - timedelta(days=1)
    edges = [start_at + timedelta(seconds=s) for s in sorted([0, *cuts, 6 * 86_400])]
    joined = [act for a, b in pairwise(edges) for act in actions_between(town, a, b)]
    assert joined == list(actions_between(town, edges[0], edges[-1]))
    by_day = [act for on in days_of(town, 7) for act in day(town, on)]
    assert joined == [act for act in by_day if act.at < edges[-1]]


def test_a_span_takes_its_start_and_leaves_its_end() -> None:
    town = small_town()
    acts = day(town, OPENS_ON + timedelta(days=1))
    third, fifth = acts[2].at, acts[4].at
    assert list(actions_between(town, third, fifth)) == list(acts[2:4])
    assert list(actions_between(town, third, third)) == []


def test_a_customer_signs_up_once_then_has_money_then_pays() -> None:
    town = small_town()
    began: dict[object, str] = {}
    for on in days_of(town, 6):
        for act in day(town, on):
            stage = began.get(act.customer_id)
            if isinstance(act, SignUp):
                assert stage is None
                began[act.customer_id] = "signed up"
            elif isinstance(act, Deposit) and act.kind is DepositKind.OPENING:
                assert stage == "signed up"
                began[act.customer_id] = "open"
            else:
                assert stage == "open"
    assert len(began) == len(town.customers)
    assert set(began.values()) == {"open"}


# --- money


def play(town: Town, count: int) -> tuple[Counter[object], Counter[str]]:
    """Keep the books of the town in a dictionary that refuses to go below zero."""
    balances: Counter[object] = Counter()
    seen: Counter[str] = Counter()
    paid: dict[object, CardPayment] = {}
    merchants = {each.id: each.account_id for each in town.merchants}
    for act in (act for on in days_of(town, count) for act in day(town, on)):
        match act:
            case Deposit():
                balances["outside"] -= act.amount_minor
                balances[act.account_id] += act.amount_minor
            case CardPayment():
                enough = balances[act.account_id] >= act.amount_minor
                seen["paid" if enough else "refused"] += 1
                if enough:
                    paid[act.id] = act
                    balances[act.account_id] -= act.amount_minor
                    balances[merchants[act.merchant_id]] += act.amount_minor
            case Refund() if act.payment_id in paid:
                seen["refunded"] += 1
                del paid[act.payment_id]
                balances[act.account_id] += act.amount_minor
                balances[merchants[act.merchant_id]] -= act.amount_minor
    return balances, seen


def test_the_books_of_sixty_days_close_and_some_payments_are_refused() -> None:
    town = found(Plan(3, 200, 400, OPENS_ON))
    balances, seen = play(town, 60)
    assert balances.total() == 0
    assert all(amount >= 0 for account, amount in balances.items() if account != "outside")
    asked = seen["paid"] + seen["refused"]
    assert 0.01 < seen["refused"] / asked < 0.06
    assert 0.003 < seen["refunded"] / asked < 0.012


@pytest.mark.parametrize("parameters", [PUBLISHED, FULL_OF_FRAUD])
def test_a_refund_mirrors_one_payment_whole_and_once(parameters: Handbook) -> None:
    town = small_town(parameters)
    payments: dict[object, CardPayment] = {}
    returned: set[object] = set()
    for act in (act for on in days_of(town, 40) for act in day(town, on)):
        if isinstance(act, CardPayment):
            payments[act.id] = act
        if isinstance(act, Refund):
            payment = payments[act.payment_id]  # a refund without a payment before it is a KeyError
            assert act.payment_id not in returned
            returned.add(act.payment_id)
            for name in ("customer_id", "account_id", "merchant_id", "amount_minor", "currency"):
                assert getattr(act, name) == getattr(payment, name)
            lag = act.at.astimezone(BEIJING).date() - payment.at.astimezone(BEIJING).date()
            assert timedelta(days=1) <= lag <= timedelta(days=7)
    assert len(returned) > 20


@settings(max_examples=30, deadline=None)
@given(plan=plans, ahead=st.integers(0, 20))
def test_ids_are_unlike_each_other_and_amounts_positive(plan: Plan, ahead: int) -> None:
    town = found(plan)
    acts = [act for on in days_of(town, 3) for act in day(town, on)]
    acts += day(town, plan.opens_on + timedelta(days=3 + ahead))
    things = [act.id for act in acts]
    things += [i for each in town.customers for i in (each.id, each.account_id, each.card_id)]
    things += [i for each in town.merchants for i in (each.id, each.account_id)]
    things += [each.id for each in town.terminals]
    assert len(things) == len(set(things))
    moved = [act for act in acts if not isinstance(act, SignUp | FraudReport)]
    assert all(act.amount_minor > 0 for act in moved)
    assert all(act.currency == "CNY" for act in moved)


@given(on=st.dates(date(2000, 1, 1), date(2100, 12, 1)), pay_day=st.integers(8, 12))
def test_a_salary_comes_once_a_month_on_a_weekday(on: date, pay_day: int) -> None:
    salary = Income(DepositKind.SALARY, 500_000, pay_day)
    month = [on.replace(day=1) + timedelta(days=n) for n in range(28)]
    paid = [each for each in month if salary.pays_on(each)]
    assert len(paid) == 1
    assert paid[0].weekday() < 5
    assert 6 <= paid[0].day <= 12
    top_up = Income(DepositKind.TOP_UP, 500_000, pay_day % 7)
    assert [top_up.pays_on(each) for each in month].count(True) == 4


# --- fraud and its truth


def test_fraud_is_reported_within_a_fortnight_or_never() -> None:
    town = small_town(FULL_OF_FRAUD)
    days = days_of(town, 40)
    paid = {act.id: act for on in days for act in day(town, on) if isinstance(act, CardPayment)}
    frauds = {payment for on in days[:26] for payment in truth(town, on).scenarios}
    told = [act for on in days for act in day(town, on) if isinstance(act, FraudReport)]
    waited: Counter[int] = Counter()
    for report in told:
        payment = paid[report.payment_id]
        assert (report.card_id, report.customer_id) == (payment.card_id, payment.customer_id)
        days_later = report.at.astimezone(BEIJING).date() - payment.at.astimezone(BEIJING).date()
        waited[days_later.days] += 1
    assert set(waited) == set(range(1, 15))
    assert len({report.payment_id for report in told}) == len(told)
    assert {report.payment_id for report in told} <= {
        payment for on in days for payment in truth(town, on).scenarios
    }
    known = frauds & {report.payment_id for report in told}
    assert 0.85 < len(known) / len(frauds) < 0.95
    assert not any(
        isinstance(act, FraudReport) for on in days for act in day(small_town(WITHOUT_FRAUD), on)
    )


def test_no_action_of_the_day_says_what_is_fraud() -> None:
    """Fraud changes the amount of a payment, and nothing else until it is reported."""
    with_fraud, without = small_town(FULL_OF_FRAUD), small_town(WITHOUT_FRAUD)
    seen: Counter[Scenario | None] = Counter()
    for on in days_of(with_fraud, 12):
        labels = truth(with_fraud, on)
        assert truth(without, on).scenarios == {}
        acts = [act for act in day(with_fraud, on) if not isinstance(act, FraudReport)]
        pairs = list(zip(acts, day(without, on), strict=True))
        for act, genuine in pairs:
            if not isinstance(act, CardPayment):
                assert isinstance(act, Refund) or act == genuine
                continue
            assert isinstance(genuine, CardPayment)
            assert replace(act, amount_minor=genuine.amount_minor) == genuine
            factor, rest = divmod(act.amount_minor, genuine.amount_minor)
            scenario = labels.of(act.id)
            seen[scenario] += 1
            assert rest == 0
            assert (factor > 1) == (scenario is Scenario.CUSTOMER_COMPROMISED)
            assert factor in {5**n for n in range(12)}
            if scenario is None:
                assert act.amount_minor <= FULL_OF_FRAUD.large_amount_minor
        payments = {act.id for act, _ in pairs if isinstance(act, CardPayment)}
        assert set(labels.scenarios) <= payments
    assert min(seen[each] for each in (None, *Scenario)) > 10


def test_a_payment_has_only_the_fields_of_a_payment() -> None:
    assert [each.name for each in fields(CardPayment)] == [
        "id",
        "at",
        "customer_id",
        "account_id",
        "card_id",
        "merchant_id",
        "terminal_id",
        "amount_minor",
        "currency",
    ]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(), asked=st.integers(0, 80))
def test_a_compromise_lasts_its_days_and_no_longer(seed: int, asked: int) -> None:
    def streams(*names: str | int) -> draws.Chance:
        return stream(seed, *names)

    def drawn_on(kind: str, since: int, n: int, k: int) -> set[int]:
        generator = streams(kind, since)
        return set(draws.distinct(generator, n, draws.about(generator, k)))

    now = handbook.compromised(streams, (5_000, 10_000), (0, asked))
    terminals = [
        drawn_on("compromised terminals", since, 10_000, 2)
        for since in range(max(0, asked - 27), asked + 1)
    ]
    assert now.terminals == set().union(*terminals)
    assert all(len(each) == 2 for each in terminals)
    copied: dict[int, list[int]] = {}
    for since in range(max(0, asked - 13), asked + 1):
        for customer in drawn_on("compromised customers", since, 5_000, 3):
            copied.setdefault(customer, []).append(since)
    assert now.customers == {who: tuple(when) for who, when in copied.items()}


@pytest.mark.parametrize(
    ("amount_minor", "terminal", "draws_of_thieves", "expected"),
    [
        (22_000, 1, (), (22_000, None)),
        (22_001, 1, (), (22_001, Scenario.LARGE_AMOUNT)),
        (100, 9, (), (100, Scenario.TERMINAL_COMPROMISED)),
        (22_001, 9, (), (22_001, Scenario.TERMINAL_COMPROMISED)),
        (100, 9, (0.3,), (500, Scenario.CUSTOMER_COMPROMISED)),
        (100, 1, (0.34,), (100, None)),
        (100, 1, (0.1, 0.1), (2_500, Scenario.CUSTOMER_COMPROMISED)),
        (5_000, 1, (0.1, 0.9), (25_000, Scenario.CUSTOMER_COMPROMISED)),
    ],
)
def test_the_last_scenario_that_applies_is_the_label(
    amount_minor: int,
    terminal: int,
    draws_of_thieves: tuple[float, ...],
    expected: tuple[int, Scenario | None],
) -> None:
    class Fixed:
        def __init__(self, number: float) -> None:
            self.number = number

        def random(self) -> float:
            return self.number

        def getrandbits(self, k: int, /) -> int:
            raise AssertionError(k)

    genuine = handbook.Purchase(0, amount_minor, terminal, bytes(10))
    thefts = [Fixed(number) for number in draws_of_thieves]
    assert handbook.defraud(genuine, thefts, frozenset({9})) == expected


# --- people and places


@given(
    seed=st.integers(),
    number=st.integers(0, 4_000_000),
    today_on=st.dates(date(1990, 1, 1), date(2100, 1, 1)),
)
def test_a_person_is_valid_in_form_and_nobodys(seed: int, number: int, today_on: date) -> None:
    who = people.person(stream(seed), number, today_on)
    assert check_character(who.resident_id[:17]) == who.resident_id[17]
    assert stdnum.cn.ric.get_birth_date(who.resident_id) == who.born_on
    assert (int(who.resident_id[16]) % 2 == 1) == (who.sex is Sex.MALE)
    with pytest.raises(InvalidComponent):  # the area does not exist: so nobody has this number
        stdnum.cn.ric.get_birth_place(who.resident_id)
    had_birthday = (today_on.month, today_on.day) >= (who.born_on.month, who.born_on.day)
    assert 18 <= today_on.year - who.born_on.year - (not had_birthday) <= 80
    assert len(who.phone) == 14
    assert who.phone.startswith("+86154")
    assert who.email.isascii()
    assert who.email.split("@")[1] in {"example.com", "example.net", "example.org"}
    assert who.name_latin.isascii()


def check_character(seventeen: str) -> str:
    """Work out the check character by the weights in the text of GB 11643-1999."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[sum(int(d) * w for d, w in zip(seventeen, weights, strict=True)) % 11]


def test_no_two_people_share_a_number_an_address_or_a_name_over_the_door() -> None:
    town = found(Plan(4, 3_000, 6_000, OPENS_ON))
    persons = [each.person for each in town.customers]
    for unlike in ("resident_id", "phone", "email"):
        assert len({getattr(each, unlike) for each in persons}) == len(persons)
    assert len({each.name for each in town.merchants}) == len(town.merchants)
    assert len({each.name_zh for each in town.merchants}) == len(town.merchants)
    chinese = sum(not each.name.isascii() for each in persons) / len(persons)
    assert 0.85 < chinese < 0.95


@settings(max_examples=40, deadline=None)
@given(plan=plans)
def test_everything_stands_by_its_number_and_every_terminal_has_its_merchant(plan: Plan) -> None:
    town = found(plan)
    assert (len(town.customers), len(town.terminals)) == (plan.customers, plan.terminals)
    for row in (town.customers, town.merchants, town.terminals):
        assert [each.number for each in row] == list(range(len(row)))
    owned = [terminal for each in town.merchants for terminal in each.terminals]
    assert owned == list(range(plan.terminals))
    assert all(t.number in town.merchants[t.merchant].terminals for t in town.terminals)


def test_a_town_without_customers_or_terminals_is_refused() -> None:
    for customers, terminals in ((0, 5), (5, 0), (-1, 1)):
        with pytest.raises(TownIsTooSmall) as refused:
            found(Plan(1, customers, terminals, OPENS_ON))
        assert refused.value.code == "town_is_too_small"


@pytest.mark.parametrize("reach", [0.7, 5.0, 33.0, 50.0, 99.0, 250.0])
def test_within_reach_finds_what_a_look_at_every_place_finds(reach: float) -> None:
    places = [(stream(1, n).random() * 100, stream(2, n).random() * 100) for n in range(600)]
    profiles = [handbook.profile(stream(3, n)) for n in range(60)]
    near = tuple(
        tuple(
            number
            for number, (x, y) in enumerate(places)
            if (x - who.x) ** 2 + (y - who.y) ** 2 < reach * reach
        )
        for who in profiles
    )
    assert any(near)
    assert handbook.within_reach(profiles, places, reach) == near


# --- distributions


def test_poisson_and_normal_have_their_moments() -> None:
    for mean in (0.0, 0.4, 2.0, 4.0):
        drawn = [draws.poisson(stream(1, n), mean) for n in range(6_000)]
        assert fmean(drawn) == pytest.approx(mean, abs=0.1)
        assert pvariance(drawn) == pytest.approx(mean, abs=0.3)
    generator = stream(2)
    normals = [draws.normal(generator, 10.0, 3.0) for _ in range(20_000)]
    assert fmean(normals) == pytest.approx(10.0, abs=0.1)
    assert pvariance(normals) == pytest.approx(9.0, abs=0.3)
    below = sum(each < 10.0 - 3.0 * 1.2816 for each in normals) / len(normals)
    assert below == pytest.approx(0.1, abs=0.01)
    assert set(draws.distinct(stream(3), 5, 9)) == set(range(5))


def test_a_customer_with_nowhere_to_go_buys_nothing() -> None:
    who = Profile(0.0, 0.0, 50.0, 25.0, 4.0)
    assert handbook.purchases(stream(1), who, ()) == []
    assert any(handbook.purchases(stream(1, n), who, (3,)) for n in range(5))


def test_nobody_pays_nothing() -> None:
    who = Profile(0.0, 0.0, 0.002, 0.001, 4.0)
    amounts = {each.amount_minor for each in handbook.purchases(stream(1), who, (3,))}
    assert amounts == {1}


def published_data() -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("STEELYARD_DATA", root.parent / "shared" / "data"))
    return folder / "handbook" / "handbook_2018-04_2018-08.parquet"


def test_the_town_is_distributed_as_the_published_simulation() -> None:
    """Ten days, a fortnight apart, of a town of the published size, against May to August."""
    polars = pytest.importorskip("polars", reason="needs polars to read the published data")
    path = published_data()
    if not path.exists():
        pytest.skip("the Handbook's published data is not here (STEELYARD_DATA)")
    theirs = polars.read_parquet(path).filter(polars.col("TX_DATETIME") >= datetime(2018, 5, 1))
    days_there = theirs["TX_DATETIME"].dt.date().n_unique()
    town = found(Plan(1, 5_000, 10_000, OPENS_ON))
    on_days = [OPENS_ON + timedelta(days=30 + 14 * n) for n in range(10)]
    acts = [act for on in on_days for act in day(town, on) if isinstance(act, CardPayment)]
    amounts = polars.Series([act.amount_minor for act in acts])
    labels = Counter(each for on in on_days for each in truth(town, on).scenarios.values())

    assert len(acts) / 10 == pytest.approx(theirs.height / days_there, rel=0.03)
    published = theirs["TX_AMOUNT_CENTS"]
    assert amounts.mean() == pytest.approx(published.mean(), rel=0.04)
    for q in (0.05, 0.25, 0.5, 0.75, 0.95, 0.99):
        assert amounts.quantile(q) == pytest.approx(published.quantile(q), rel=0.06), q
    times_s = polars.Series([seconds_of_day(act.at) for act in acts])
    clock = theirs["TX_DATETIME"].dt
    published_s = clock.hour().cast(int) * 3600 + clock.minute().cast(int) * 60 + clock.second()
    for q in (0.05, 0.25, 0.5, 0.75, 0.95):
        assert times_s.quantile(q) == pytest.approx(published_s.quantile(q), abs=600), q
    for scenario, tolerance in zip(Scenario, (0.0002, 0.0010, 0.0008), strict=True):
        share = (theirs["TX_FRAUD_SCENARIO"] == int(scenario)).mean()
        assert labels[scenario] / len(acts) == pytest.approx(share, abs=tolerance), scenario


def seconds_of_day(at: datetime) -> float:
    local = at.astimezone(BEIJING)
    return (local - local.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()
