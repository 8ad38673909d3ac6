from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.cases import reading
from steelyard.cases.model.reading import CaseFilter
from steelyard.credit import lines, monitoring
from steelyard.credit.model.warning import TRIGGERS, Act, proposed_limit, read_by, warn
from steelyard.features import CATALOGUE, Event, facts
from steelyard.features.catalogue import Label
from steelyard.parties import consents
from tests.credit.applicants import Counter
from tests.credit.applicants import counter as counter
from tests.credit.test_lines import granted, read

LATE = "customer_late_repayment_count_90d"
PAID = "customer_repayment_count_90d"


def test_every_rule_reads_a_feature_of_the_catalogue() -> None:
    assert read_by() <= set(CATALOGUE)
    assert all(CATALOGUE[name].entity == "customer" for name in read_by())
    assert len({one.name for one in TRIGGERS}) == len(TRIGGERS)


@pytest.mark.parametrize(
    ("values", "act", "fired"),
    [
        ({}, Act.NONE, []),
        ({PAID: 2, LATE: 0}, Act.NONE, []),
        ({PAID: 3, LATE: 0}, Act.RAISE, []),
        ({PAID: 9, LATE: 1}, Act.WATCH, ["late_once"]),
        ({PAID: 9, LATE: 2}, Act.LOWER, ["late_again", "late_once"]),
        ({PAID: 9, "customer_lateness_max_30d": 2}, Act.FREEZE, ["rolled_twice"]),
        ({PAID: 9, "customer_lateness_max_30d": 1}, Act.RAISE, []),
        ({PAID: 3, LATE: None, "customer_stage_last": None}, Act.RAISE, []),
    ],
)
def test_the_strictest_act_is_proposed(
    values: dict[str, int | None], act: Act, fired: list[str]
) -> None:
    found = warn(values)
    assert (found.act, [one.name for one in found.fired]) == (act, fired)


@given(
    st.integers(0, 10**9), st.integers(0, 10**9), st.sampled_from(list(Act)),
    st.sampled_from([1, 100, 10_000]),
)  # fmt: skip
def test_a_proposal_is_in_whole_steps_and_never_under_what_is_used(
    limit: int, used: int, act: Act, step: int
) -> None:
    found = proposed_limit(limit, used, act, step_minor=step)
    if act is Act.FREEZE:
        assert found == 0
    elif act is Act.LOWER:
        assert found <= limit
        assert found >= min(limit, used)
    elif act is Act.RAISE:
        assert found % step == 0
        assert found <= limit * 1.2
    else:
        assert found == limit


# -- facts become events, events become proposals --------------------------------------------------


class Folded:
    """Events of facts, as the owner of the features would keep them."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def heard(self, counter: Counter, name: str, payload: dict[str, object]) -> None:
        at = counter.database.now()
        for draft in facts.drafts(name, at, json.dumps(payload)):
            assert isinstance(draft, facts.Draft)
            self.events.append(draft.event(len(self.events) + 1))

    def of(self, entity: str, value: str) -> Iterable[Event | Label]:
        return [one for one in self.events if one.fields.get(entity) == value]


def repaid(party: UUID, seq: int, days_late: int) -> dict[str, object]:
    return {
        "loan": "l1", "nr": 1, "party": str(party), "product": "credit_line", "currency": "CNY",
        "seq": seq, "repayment_kind": "repayment", "amount_minor": 50_000, "on": "2026-03-02",
        "days_late": days_late, "left_minor": 100_000,
    }  # fmt: skip


def worse(party: UUID, bucket: int, day: int) -> dict[str, object]:
    return {
        "loan": "l1", "nr": 1, "party": str(party), "product": "credit_line",
        "on": f"2026-03-{day:02d}", "dpd": 31, "overdue_minor": 50_000, "bucket_before": bucket - 1,
        "bucket": bucket, "category_before": 0, "category": 1, "stage_before": 1, "stage": 2,
    }  # fmt: skip


def open_reviews(counter: Counter) -> list[str]:
    with counter.database.reading() as connection:
        page = reading.list_cases(
            connection, CaseFilter(kind="credit.limit_review"), now=counter.database.now()
        )
    return [case.subject for case in page.items]


def proposals(counter: Counter) -> list[dict[str, object]]:
    with counter.database.reading() as connection:
        rows = connection.exec_driver_sql(
            "SELECT payload FROM events.log WHERE kind = 'credit.LimitReviewProposed'"
            " ORDER BY sequence"
        )
        return [row.payload for row in rows]


def test_two_late_repayments_put_a_lower_limit_before_people(counter: Counter) -> None:
    line = granted(counter)
    history = Folded()
    history.heard(counter, "credit.LoanRepaid@1", repaid(line.party, 3, 0))
    assert monitoring.watch_lines(counter.database, history).proposed == 0
    for seq in (4, 5):
        history.heard(counter, "credit.LoanRepaid@1", repaid(line.party, seq, 9))
    found = monitoring.watch_lines(counter.database, history)
    assert (found.lines, found.proposed, found.last) == (1, 1, None)
    assert open_reviews(counter) == [line.subject]
    (told,) = proposals(counter)
    assert (told["act"], told["proposed_minor"]) == ("lower", line.limit_minor // 2)
    assert told["triggers"] == ["late_again", "late_once"]
    # The same day it says nothing new; nothing about the limit has changed.
    assert monitoring.watch_lines(counter.database, history).proposed == 0
    assert read(counter, line.id).limit_minor == line.limit_minor


def test_a_loan_that_rolls_on_proposes_a_freeze_and_a_frozen_limit_is_left_alone(
    counter: Counter,
) -> None:
    line = granted(counter)
    history = Folded()
    history.heard(counter, "credit.LoanBucketChanged@1", worse(line.party, 1, 3))
    history.heard(counter, "credit.LoanBucketChanged@1", worse(line.party, 2, 4))
    assert monitoring.watch_lines(counter.database, history).proposed == 1
    assert proposals(counter)[0]["act"] == "freeze"
    counter.run(lambda unit: lines.freeze(unit, line.id, reason="early_warning"))
    counter.house.clock.advance(timedelta(days=1))
    assert monitoring.watch_lines(counter.database, history).lines == 0


def test_a_higher_limit_is_proposed_only_to_who_lets_us_offer(counter: Counter) -> None:
    line = granted(counter)
    history = Folded()
    for seq in (3, 4, 5):
        history.heard(counter, "credit.LoanRepaid@1", repaid(line.party, seq, 0))
    assert monitoring.watch_lines(counter.database, history).proposed == 0
    counter.run(
        lambda unit: consents.publish_text(
            unit, "marketing", zh="同意", en="yes", changes_substance=False
        )
    )
    counter.run(
        lambda unit: consents.grant(unit, line.party, "marketing", text_version=1, channel="app")
    )
    assert monitoring.watch_lines(counter.database, history).proposed == 1
    assert proposals(counter)[0]["act"] == "raise"


def test_limits_are_looked_at_in_pieces(counter: Counter) -> None:
    ids = sorted(granted(counter).id for _ in range(3))
    first = monitoring.watch_lines(counter.database, Folded(), limit=2)
    assert (first.lines, first.last) == (2, ids[1])
    rest = monitoring.watch_lines(counter.database, Folded(), after=first.last, limit=2)
    assert (rest.lines, rest.last) == (1, None)
