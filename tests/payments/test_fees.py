"""Fee plans: drafted, approved by another person, in force from a midnight on."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from steelyard.kernel import Refusal, Rounding, SteppingClock
from steelyard.payments import fees
from steelyard.payments.model.channel import Method
from steelyard.payments.model.orders import Scenario
from tests.payments.agency import Agency
from tests.payments.agency import agency as agency

TOMORROW = date(2026, 3, 3)


def term(rate: str, **more: Any) -> fees.FeeTerm:
    return fees.FeeTerm(rate=Decimal(rate), **more)


def draft(
    agency: Agency, merchant: UUID, *terms: fees.FeeTerm, on: date = TOMORROW, **more: Any
) -> fees.FeePlan:
    new = fees.NewFeePlan(effective_on=on, terms=terms, **more)
    made: fees.FeePlan = agency.run(lambda unit: fees.draft(unit, merchant, new))
    return made


def agree(agency: Agency, merchant: UUID, *terms: fees.FeeTerm, **more: Any) -> fees.FeePlan:
    plan = draft(agency, merchant, *terms, **more)
    yes = agency.approved(lambda unit: fees.request_approval(unit, plan.id))
    agreed: fees.FeePlan = agency.run(lambda unit: fees.approve(unit, plan.id, yes))
    return agreed


def plan_on(agency: Agency, merchant: UUID, on: date) -> fees.FeePlan:
    with agency.database.reading() as connection:
        return fees.plan_on(connection, merchant, on)


def test_a_plan_holds_from_its_day_until_the_next(agency: Agency) -> None:
    merchant = agency.taken_on()
    first = agree(agency, merchant, term("0.005"))
    second = agree(agency, merchant, term("0.004"), on=TOMORROW + timedelta(days=7))
    draft(agency, merchant, term("0.001"))
    held = [plan_on(agency, merchant, TOMORROW + timedelta(days=n)) for n in (-1, 0, 6, 7, 400)]
    assert held == [fees.STANDARD_PLAN, first, first, second, second]
    assert [plan.version for plan in held[1:3]] == [1, 1]


def test_of_two_plans_for_a_day_the_later_one_holds(agency: Agency) -> None:
    merchant = agency.taken_on()
    agree(agency, merchant, term("0.005"))
    mended = agree(agency, merchant, term("0.0045"))
    assert plan_on(agency, merchant, TOMORROW) == mended


def test_what_is_stored_is_what_was_agreed(agency: Agency) -> None:
    merchant = agency.taken_on()
    tiers = (fees.FeeTier(from_minor=10, rate=Decimal("0.0010"), fixed_minor=3),)
    terms = (
        term("0.0060", method=Method.CARD, scenario=Scenario.IN_STORE),
        term("0.0050", currency="CNY", least_minor=1, most_minor=900, tiers=tiers),
    )
    agreed = agree(
        agency, merchant, *terms, returns=fees.FeeReturn.FULL, rounding=Rounding.HALF_EVEN
    )
    assert plan_on(agency, merchant, TOMORROW) == agreed
    with agency.database.reading() as connection:
        assert fees.read(connection, agreed.id).terms == terms
        assert [p.id for p in fees.of_merchant(connection, merchant)] == [agreed.id]


def test_the_past_and_today_stay_as_they_were_charged(agency: Agency, clock: SteppingClock) -> None:
    merchant = agency.taken_on()
    with pytest.raises(Refusal, match="fee_plan_is_too_late"):
        draft(agency, merchant, term("0.001"), on=date(2026, 3, 2))
    plan = draft(agency, merchant, term("0.001"))
    yes = agency.approved(lambda unit: fees.request_approval(unit, plan.id))
    # 2026-03-02 09:00 UTC is 17:00 in Shanghai; seven hours later its day is over.
    clock.advance(timedelta(hours=7))
    with pytest.raises(Refusal, match="fee_plan_is_too_late"):
        agency.run(lambda unit: fees.approve(unit, plan.id, yes))
    assert plan_on(agency, merchant, TOMORROW) == fees.STANDARD_PLAN


def test_a_plan_needs_a_second_person(agency: Agency) -> None:
    merchant = agency.taken_on()
    plan = draft(agency, merchant, term("0.005"))
    with pytest.raises(Refusal, match="approval_is_unknown"):
        agency.run(lambda unit: fees.approve(unit, plan.id, uuid4()))
    agency.run(lambda unit: fees.withdraw(unit, plan.id))
    for verb in (fees.withdraw, fees.request_approval):
        with pytest.raises(Refusal, match="fee_plan_state_forbids"):
            agency.run(lambda unit, verb=verb: verb(unit, plan.id))


def test_case_49_a_tier_changes_at_midnight_of_the_merchants_clock(
    agency: Agency,
) -> None:
    in_shanghai = agency.taken_on()
    in_york = agency.taken_on(
        1, contract={"timezone": "America/New_York", "settlement_cycle": "T1"}
    )
    for merchant in (in_shanghai, in_york):
        agree(agency, merchant, term("0.010"))
    midnight = {
        in_shanghai: datetime(2026, 3, 2, 16, tzinfo=UTC),
        in_york: datetime(2026, 3, 3, 5, tzinfo=UTC),
    }
    sales = [
        fees.Sale(merchant=merchant, at=at + by, method=Method.SCAN, amount_minor=10_000)
        for merchant, at in midnight.items()
        for by in (timedelta(microseconds=-1), timedelta(0))
    ]
    with agency.database.reading() as connection:
        charged = fees.charges(connection, sales)
    assert [charge.fee_minor for charge in charged] == [60, 100, 60, 100]
    assert {c.cause.split(":")[0] for c in charged} == {"fee_plan"}


def test_the_volume_of_the_month_before_the_day_chooses_the_tier(agency: Agency) -> None:
    merchant = agency.taken_on()
    tiers = (fees.FeeTier(from_minor=30_000, rate=Decimal("0.004")),)
    agree(agency, merchant, term("0.006", currency="CNY", tiers=tiers))

    def sold(at: datetime, amount: int) -> None:
        agency.run(
            lambda unit: unit.execute(
                "INSERT INTO payments.order (id, merchant, app, mode, order_no, amount_minor,"
                " currency, subject, scenario, capture, methods, payer, state, created_at,"
                " expires_at, late_success, most_attempts, paid_by, paid_at, captured_minor)"
                " VALUES (:id, :merchant, 'app_x', 'live', :id, :amount, 'CNY', 's', 'online',"
                " 'automatic', '{}', '{}', 'succeeded', :at, :at, 'refund', 1, :id, :at, :amount)",
                id=uuid4(),
                merchant=merchant,
                at=at,
                amount=amount,
            )
        )

    sold(datetime(2026, 2, 28, 15, 59, tzinfo=UTC), 1_000_000)  # still February in Shanghai
    sold(datetime(2026, 2, 28, 16, 0, tzinfo=UTC), 10_000)
    sold(datetime(2026, 3, 4, 15, 59, tzinfo=UTC), 20_000)
    sold(datetime(2026, 3, 4, 16, 0, tzinfo=UTC), 99_000)  # on the 5th itself

    def fee(at: datetime) -> int:
        sale = fees.Sale(merchant=merchant, at=at, method=Method.CARD, amount_minor=10_000)
        with agency.database.reading() as connection:
            return fees.charges(connection, [sale])[0].fee_minor

    assert fee(datetime(2026, 3, 4, 15, tzinfo=UTC)) == 60
    assert fee(datetime(2026, 3, 5, 1, tzinfo=UTC)) == 40
    assert fee(datetime(2026, 3, 31, 16, tzinfo=UTC)) == 60, "a new month begins"


def test_a_merchant_without_a_contract_is_charged_the_houses_plan(agency: Agency) -> None:
    sale = fees.Sale(
        merchant=uuid4(),
        at=datetime(2026, 3, 2, tzinfo=UTC),
        method=Method.CARD,
        amount_minor=10_000,
    )
    with agency.database.reading() as connection:
        (charge,) = fees.charges(connection, [sale])
        assert fees.charges(connection, []) == []
    assert charge == fees.Charge(60, fees.STANDARD_PLAN.cause, fees.FeeReturn.PROPORTIONAL)
