"""The watch: counted like by hand, silent on stationary days, loud on shifts, and honest on few."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid5

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.cases import CaseState, reading
from steelyard.decisions.model.decision import Asked, Decision, Judgement, Value, decide
from steelyard.decisions.model.drift import Drift, Finding, NumberBins, WordBins
from steelyard.decisions.model.policy import CompiledPolicy
from steelyard.decisions.model.watch import (
    LABEL_DELAY_DAYS,
    LEAST_BAD,
    RECENT_LEAST,
    REFERENCE_DAYS,
    REFERENCE_LEAST,
    WARM_UP_DAYS,
    Bins,
    Chances,
    Day,
    Labels,
    TooLittle,
    calibrations,
    hit_rates,
    lacks_for_reference,
    recalls,
    shifts,
)
from steelyard.decisions.scenes import delivered_policies
from steelyard.decisions.service import watch
from steelyard.decisions.service.log import DecisionLog
from steelyard.decisions.store import folds
from steelyard.decisions.store import watch as store
from steelyard.decisions.store.folds import HeardFold, Telling, Told
from steelyard.decisions.store.watch import Span, Which
from tests.conftest import START

POLICY = "policy.payment@2"
FIRST = date(2026, 1, 5)
WHICH = Which("payment", POLICY, watch.ZONE)
_IDS = UUID(int=7)


def noon(day: date, second: int = 0) -> int:
    """Noon in Shanghai, in milliseconds."""
    at = datetime(day.year, day.month, day.day, 4, tzinfo=UTC) + timedelta(seconds=second)
    return int(at.timestamp()) * 1_000


def decided(
    name: str,
    day: date,
    values: Mapping[str, Value],
    *,
    sequence: int,
    outcome: str = "approve",
    score: int | None = 10,
    hits: tuple[str, ...] = (),
    policy: str = POLICY,
    amount_minor: int = 5_000,
) -> Decision:
    at_ms = noon(day, sequence % 3_600)
    fields: dict[str, int | str | bool | None] = {
        "customer": f"c{sequence % 50}",
        "amount_minor": amount_minor,
        "currency": "CNY",
        "is_online": False,
    }
    trace = (["hits", list(hits)], ["failed", []], ["read", {"is_night": False}], ["details", {}])
    return decide(
        Asked(scene="payment", id=name, at_ms=at_ms, fields=fields),
        uuid5(_IDS, name),
        Judgement(outcome, score, (), None, trace),
        subject=f"customer:c{sequence % 50}",
        sequence=sequence,
        values=values,
        flags={},
        versions={"policy": policy},
        decided_at_ms=at_ms,
    )


def warm(database: Database) -> None:
    """Let the scene have been there for long enough."""
    with database.unit_of_work() as unit:
        old = Which("payment", "policy.payment@0", watch.ZONE)
        store.insert_day(unit.connection, old, Day(FIRST - timedelta(days=WARM_UP_DAYS), 1, {}))


class Town:
    """Writes seeded days of decisions; each is told what may shift."""

    def __init__(self, database: Database, seed: int = 1) -> None:
        warm(database)
        self.log = DecisionLog(database, holder="town")
        self.chance = np.random.default_rng(seed)
        self.sequence = 0

    def live(self, day: date, many: int, *, shift: float = 0.0, rate: float = 0.05) -> None:
        """Decide on many events of a day."""
        chance, made = self.chance, []
        for _ in range(many):
            self.sequence += 1
            values: dict[str, Value] = {
                "customer_payment_sum_1d": int(np.exp(chance.normal(8 + shift, 1))),
                "customer_payment_mean_30d": float(chance.normal(50, 10)),
                "customer_payment_zscore_30d": None if chance.random() < 0.3 else chance.random(),
                "customer_payment_country_last": str(chance.choice(["CN", "CN", "US"])),
                "customer_payment_count_1h": int(chance.poisson(0.4)),
            }
            hits = ("rules/P1",) if chance.random() < rate else ()
            made.append(
                decided(
                    f"e{self.sequence}",
                    day,
                    values,
                    sequence=self.sequence,
                    score=int(chance.integers(0, 1_000)),
                    hits=(*hits, "bands/B5"),
                )
            )
        self.log.write(made)


def no_policy(_: sa.Connection, cause: str) -> CompiledPolicy | None:
    return None


def catch_up(database: Database, until: date) -> list[tuple[date, str, str]]:
    return watch.catch_up(database, database.transact, no_policy, until=until)


def on(days: int) -> date:
    return FIRST + timedelta(days=days)


def alerts(database: Database) -> list[tuple[date, str, str]]:
    with database.reading() as connection:
        rows = connection.execute(
            sa.text(
                "SELECT day, drift, subject FROM decisions.watch_finding WHERE level = 'alert'"
                " ORDER BY 1, 2, 3"
            )
        )
        return [(row.day, row.drift, row.subject) for row in rows]


# --- counting ------------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.none(),
    st.sampled_from([0, 0, 1, 2, -3, 2.5, True, False]),
    st.floats(-1e6, 1e6),
    st.integers(-(2**40), 2**40),
)
WORDS = st.one_of(st.none(), st.sampled_from(["CN", "US", 'a"b', "c\\d", "{e,f}", "NULL", ""]))


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(NUMBERS, WORDS), min_size=1, max_size=25),
    st.lists(st.tuples(NUMBERS, WORDS), min_size=1, max_size=25),
    st.integers(0, 10_000),
)
def test_bins_and_counts_of_the_database_are_those_of_the_model(
    database: Database,
    before: list[tuple[Value, str | None]],
    now: list[tuple[Value, str | None]],
    run: int,
) -> None:
    policy = f"policy.payment@{run}-{uuid5(_IDS, repr((before, now)))}"
    which = Which("payment", policy, watch.ZONE)
    log = DecisionLog(database, holder="a")
    start = log.tenure.fold_seq
    made = [
        decided(
            f"{policy}/{n}", day, {"number": one, "word": word}, sequence=start + n, policy=policy
        )
        for n, (day, (one, word)) in enumerate(
            [(FIRST, pair) for pair in before] + [(on(1), pair) for pair in now], 1
        )
    ]
    log.write(made)
    with database.reading() as connection:
        bins = store.choose_bins(connection, which, Span(FIRST, FIRST))
        counts = store.count_values(connection, which, Span(FIRST, on(1)), bins)
    named = {one.subject: one for one in bins}
    columns = [
        np.array([np.nan if one is None else float(one) for one, _ in pairs], dtype=np.float64)
        for pairs in (before, now)
    ]
    expected = NumberBins.of(columns[0])
    assert named["number"].edges == expected.edges
    words = [[word for _, word in pairs] for pairs in (before, now)]
    if any(word is not None for word in words[0]):
        texts = WordBins.of(words[0])
        assert named["word"].words == texts.words
    for day, column, texts_of in zip((FIRST, on(1)), columns, words, strict=True):
        assert counts[day]["number"] == expected.count(column).tolist()
        if named["word"].words is not None:
            assert counts[day]["word"] == WordBins(named["word"].words).count(texts_of).tolist()
        assert counts[day]["outcome"][0] == len(column)


def test_a_business_day_ends_at_midnight_in_shanghai(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    made = []
    for n, at in enumerate(("2026-01-05T15:59:59", "2026-01-05T16:00:00"), 1):
        one = decided(f"e{n}", FIRST, {}, sequence=n, hits=("rules/P1",) * n)
        at_ms = int(datetime.fromisoformat(f"{at}+00:00").timestamp()) * 1_000
        made.append(
            decide(
                Asked(scene="payment", id=f"e{n}", at_ms=at_ms, fields=one.asked.fields),
                one.id,
                Judgement("approve", 1, (), None, one.trace),
                subject=one.subject,
                sequence=n,
                values={},
                flags={},
                versions=one.versions,
                decided_at_ms=at_ms,
            )
        )
    log.write(made)
    with database.reading() as connection:
        days = [store.count_hits(connection, WHICH, day) for day in (FIRST, on(1), on(2))]
        assert store.decided(connection, Span(FIRST, on(9)), watch.ZONE) == [
            (FIRST, *WHICH[:2]),
            (on(1), *WHICH[:2]),
        ]
    assert days == [
        Day(FIRST, 1, {"rules/P1": 1}),
        Day(on(1), 1, {"rules/P1": 2}),
        Day(on(2), 0, {}),
    ]
    assert watch.closed_day(datetime(2026, 1, 5, 15, 59, tzinfo=UTC)) == date(2026, 1, 4)
    assert watch.closed_day(datetime(2026, 1, 5, 16, 0, tzinfo=UTC)) == date(2026, 1, 5)


# --- days ----------------------------------------------------------------------------------------


def test_stationary_days_are_silent_and_a_shift_is_found(database: Database) -> None:
    town = Town(database)
    for n in range(24):
        town.live(on(n), 200)
    assert len(catch_up(database, on(23))) == 24
    assert alerts(database) == [], "nothing shifted"
    with database.reading() as connection:
        (found,) = watch.read_drift(connection, "payment")
        assert found.reference is not None
        assert (found.reference.first_day, found.reference.last_day) == (FIRST, on(6))
        assert found.reference.decisions == 1_400
        subjects = {row.subject for row in found.findings if row.drift == "distribution"}
        assert {"score", "outcome", "customer_payment_sum_1d"} <= subjects
    town.live(on(24), 200, shift=1.5)
    town.live(on(25), 200, shift=1.5, rate=0.25)
    town.live(on(26), 200, shift=1.5, rate=0.25)
    catch_up(database, on(26))
    loud = alerts(database)
    assert {(drift, subject) for _, drift, subject in loud} == {
        ("distribution", "customer_payment_sum_1d"),
        ("hit_rate", "rules/P1"),
    }
    assert min(day for day, drift, _ in loud if drift == "distribution") <= on(26)
    assert min(day for day, drift, _ in loud if drift == "hit_rate") == on(25)
    assert catch_up(database, on(26)) == [], "a day is watched once"


def test_an_alert_is_one_case_however_often_it_is_found(database: Database) -> None:
    town = Town(database)
    for n in range(12):
        town.live(on(n), 200, shift=0.0 if n < 7 else 2.0)
    catch_up(database, on(11))
    days = {day for day, _, subject in alerts(database) if subject == "customer_payment_sum_1d"}
    assert len(days) >= 2
    with database.reading() as connection:
        page = reading.list_cases(connection, reading.CaseFilter(kind="decisions.drift"), now=START)
        (found,) = watch.read_drift(connection)
        file = reading.read_file(connection, page.items[0].id)
    (case,) = page.items
    assert [note.text.split(": ")[0] for note in file.notes] == sorted(map(str, days))
    assert case.subject == "drift:payment/distribution"
    assert (case.state, case.signals) == (CaseState.OPEN, len(days))
    (row,) = [one for one in found.findings if one.level == "alert"]
    assert row.case == case.id
    assert "customer_payment_sum_1d" in row.en
    assert "偏移" in row.zh


def test_a_new_version_has_its_own_reference(database: Database) -> None:
    town = Town(database)
    for n in range(8):
        town.live(on(n), 200)
    made = [
        decided(f"v2-{n}", on(8), {"fresh": n}, sequence=town.sequence + n,
                policy="policy.payment@3")
        for n in range(1, 60)
    ]  # fmt: skip
    town.log.write(made)
    catch_up(database, on(8))
    with database.reading() as connection:
        (found,) = watch.read_drift(connection)
        old = store.find_reference(connection, "payment", POLICY)
    assert (found.policy, found.reference, found.decisions) == ("policy.payment@3", None, 59)
    told = found.findings[0]
    assert (told.level, told.value) == ("unknown", None)
    assert told.en == "Not enough for a reference yet: 59 of 1000 decisions, 1 of 7 days."
    assert old is not None


def test_the_reference_begins_anew_when_people_say_so(database: Database) -> None:
    town = Town(database)
    for n in range(9):
        town.live(on(n), 200)
    catch_up(database, on(8))

    with database.unit_of_work() as unit:
        store.insert_renewal(unit.connection, *WHICH[:2], on(9), cause="case:1")
    for n in range(9, 18):
        town.live(on(n), 200, shift=2.0)
    catch_up(database, on(17))
    assert alerts(database) == [], "the new normal"
    with database.reading() as connection:
        (found,) = watch.read_drift(connection)
        assert found.reference is not None
        assert (found.reference.number, found.reference.first_day) == (2, on(9))
        series = watch.read_series(connection, "payment", POLICY)
    assert series is not None
    assert [one.day for one in series.days] == [on(n) for n in range(9, 18)]
    assert all(one is not None and one < 0.25 for one in series.index["customer_payment_sum_1d"])


# --- labels --------------------------------------------------------------------------------------


def tell(
    database: Database, log: DecisionLog, told: list[tuple[str, bool, int]], after: int
) -> None:
    """Tell labels, and fold them, as consumer and owner do."""
    with database.unit_of_work() as unit:
        folds.insert(
            unit.connection,
            [
                Telling(n, "label", "payment", event, at_ms,
                        {"field": "is_fraud", "value": int(is_bad), "customer": None})
                for n, (event, is_bad, at_ms) in enumerate(told, 1)
            ],
        )  # fmt: skip
        rows = unit.execute(
            "SELECT arrival, what, kind, event_id, at_ms, content FROM decisions.told ORDER BY 1"
        )
        heard = [Told(*row) for row in rows]
    log.write([HeardFold(one, after + n) for n, one in enumerate(heard, 1)])


def test_recall_and_calibration_wait_for_labels(database: Database) -> None:
    policy = delivered_policies()["payment"]
    log = DecisionLog(database, holder="a")
    made: list[Decision] = []
    told: list[tuple[str, bool, int]] = []
    sequence = 0
    for n in range(25):
        for k in range(12):
            sequence += 1
            # Four are bad each day; of the last seven days whose labels are known few are caught.
            is_bad, caught = k < 4, k < (3 if n < 10 else 0)
            outcome = "decline" if is_bad and caught else "approve"
            made.append(
                decided(f"e{sequence}", on(n), {}, sequence=sequence, outcome=outcome,
                        amount_minor=1_000 + k)
            )  # fmt: skip
            if is_bad:
                # Told twice: what was told last counts.
                told += [(f"e{sequence}", False, 0), (f"e{sequence}", True, 0)]
            elif k == 11:
                # Told when the labels of the day had had their time, and so not counted.
                told.append((f"e{sequence}", True, noon(on(n + LABEL_DELAY_DAYS + 1))))
    log.write(made)
    tell(database, log, told, sequence)

    def found_policy(_: sa.Connection, cause: str) -> CompiledPolicy | None:
        return policy if cause == policy.cause else None

    watch.catch_up(database, database.transact, found_policy, until=on(23))
    with database.reading() as connection:
        days = read = watch.read_drift(connection)
        (found,) = read
        kept = {one.day: one.labels for one in store_days(connection)}
    assert days
    assert kept[on(23 - LABEL_DELAY_DAYS)] is not None
    assert kept[on(24 - LABEL_DELAY_DAYS)] is None, "its labels may still come in"
    first = kept[FIRST]
    assert first is not None
    assert (first.bad, first.caught) == (4, 3)
    assert (first.loss_minor, first.caught_minor) == (4_006, 3_003)
    (chances,) = first.models.values()
    assert (chances.rows, chances.bad) == (9, 1)
    recall = next(row for row in found.findings if row.drift == "recall")
    assert (recall.level, recall.value) == ("alert", 0.0)
    calibration = next(row for row in found.findings if row.drift == "calibration")
    assert calibration.level == "alert", "far more turned out bad than the model said"


def store_days(connection: sa.Connection) -> list[Day]:
    return store.read_days(connection, *WHICH[:2], until=date.max)


# --- too little ----------------------------------------------------------------------------------


def day_of(n: int, decisions: int = 100, hits: int = 5, **labels: int) -> Day:
    known = None
    if labels:
        known = Labels(
            labels["bad"],
            labels["caught"],
            0,
            0,
            {"m@1": Chances(100, labels.get("expected", 5), 4.0, labels["bad"])},
        )
    return Day(on(n), decisions, {"rules/P1": hits}, known)


def kinds(found: Iterator[object]) -> set[str]:
    return {type(one).__name__ for one in found}


def test_too_little_is_said_and_no_number_is_made_up() -> None:
    few = lacks_for_reference([day_of(0), day_of(3)], 40)
    assert few.en.endswith("200 of 1000 decisions, 4 of 7 days.")
    assert few.zh.endswith("4/7 天。")
    young = lacks_for_reference([], 12)
    assert young.en.endswith("12 of 30 days of history before it begins.")
    assert young.zh.endswith("12/30 天。")
    half = RECENT_LEAST // 2
    usual = {"a": [500, 500], "b": [900, 100]}
    (few_now,) = shifts(usual, {"a": [half, half - 1], "b": [half, half - 1]})
    assert few_now.en == "Not enough to compare: 499 of 500 decisions in 7 days."
    assert kinds(shifts(usual, {})) == {"TooLittle"}
    assert kinds(shifts({"a": [500, 500]}, {"a": [half, half]})) == {"Finding"}
    rare = [day_of(n, bad=0, caught=0, expected=0) for n in range(20)]
    assert kinds(calibrations(rare)) == {"TooLittle"}
    assert list(calibrations([day_of(n) for n in range(20)])) == [], "no label is known of any"
    assert isinstance(recalls("p@1", rare), TooLittle)
    assert isinstance(recalls("p@1", []), TooLittle)
    bad = [day_of(n, bad=LEAST_BAD, caught=1) for n in range(9)]
    assert isinstance(recalls("p@1", bad), Finding)


def test_what_grows_with_time_is_shown_and_no_alert() -> None:
    usual, now = {"age": [900, 100]}, {"age": [100, 900]}
    (loud,) = shifts(usual, now)
    (shown,) = shifts(usual, now, frozenset({"age"}))
    assert [one.level.value for one in (loud, shown) if isinstance(one, Finding)] == [
        "alert",
        "watch",
    ]
    assert "card_payment_first_seen" in watch._AGES


def test_windows_that_still_fill_are_no_reference(database: Database) -> None:
    log = DecisionLog(database, holder="a")
    many = REFERENCE_LEAST // REFERENCE_DAYS + 1
    made, sequence = [], 0
    for n in (0, *range(25, 25 + 2 * REFERENCE_DAYS)):
        for _ in range(many):
            sequence += 1
            made.append(decided(f"e{sequence}", on(n), {}, sequence=sequence))
    log.write(made)
    catch_up(database, on(29))
    with database.reading() as connection:
        (found,) = watch.read_drift(connection)
    assert found.reference is None
    assert "29 of 30 days of history" in found.findings[0].en
    catch_up(database, on(60))
    with database.reading() as connection:
        (found,) = watch.read_drift(connection)
    assert found.reference is not None
    assert found.reference.first_day == on(WARM_UP_DAYS)


def test_a_rule_that_never_hit_is_watched_too() -> None:
    silent = [Day(on(n), 1_000, {}) for n in range(REFERENCE_DAYS)]
    later = [Day(on(7), 1_000, {}), Day(on(8), 1_000, {"rules/P9": 30})]
    (found,) = hit_rates(silent, later)
    assert (found.subject, found.level.value) == ("rules/P9", "alert")
    assert found.drift is Drift.HIT_RATE


def stationary(seed: int, days: int) -> tuple[int, int]:
    """Return how many alerts stationary days of fifty features and thirty rules give."""
    chance = np.random.default_rng(seed)
    shares = chance.dirichlet(np.full(11, 5.0), size=50)
    rates = np.exp(chance.uniform(np.log(0.0005), np.log(0.2), size=30))
    n = 300

    def bins(of: int) -> dict[str, list[int]]:
        return {f"f{i}": chance.multinomial(of, share).tolist() for i, share in enumerate(shares)}

    def day(at: int) -> Day:
        hits = chance.binomial(n, rates)
        return Day(on(at), n, {f"rules/P{i}": int(hit) for i, hit in enumerate(hits)})

    before = bins(7 * n)
    reference = [day(at) for at in range(7)]
    later = [day(7 + at) for at in range(days)]
    distributions = sum(
        one.level.value == "alert"
        for _ in range(days // 7)
        for one in shifts(before, bins(7 * n))
        if isinstance(one, Finding)
    )
    rules = sum(
        one.level.value == "alert"
        for at in range(1, days + 1)
        for one in hit_rates(reference, later[:at])
    )
    return distributions, rules


def test_false_alarms_on_stationary_days_are_rare() -> None:
    found = [stationary(seed, 28) for seed in range(6)]
    assert sum(one for one, _ in found) == 0, "of 1,200 comparisons of a week"
    assert sum(one for _, one in found) == 0, "of 5,040 days of a rule"


@pytest.mark.parametrize("times", [2.0, 3.0])
def test_a_rule_that_hits_more_often_is_found_within_days(times: float) -> None:
    chance = np.random.default_rng(3)
    reference = [Day(on(n), 500, {"r": int(chance.binomial(500, 0.04))}) for n in range(7)]
    later: list[Day] = []
    for n in range(7, 17):
        later.append(Day(on(n), 500, {"r": int(chance.binomial(500, 0.04 * times))}))
        (found,) = hit_rates(reference, later)
        if found.level.value == "alert":
            break
    assert len(later) <= 4


def test_words_and_numbers_have_their_bins() -> None:
    assert store.bins_in(Bins("a", (1.0, 2.0), None)) == 4
    assert store.bins_in(Bins("b", None, ("CN",))) == 3
    assert REFERENCE_LEAST > RECENT_LEAST
