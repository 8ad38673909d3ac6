"""Merchants: taken on, put before people, watched, suspended, changed and closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Outcome
from steelyard.kernel import Refusal, SteppingClock
from steelyard.payments import applications, merchants, settlement_accounts
from steelyard.payments.model.merchants import (
    FATAL,
    RiskGrade,
    check_application,
    check_contract,
    default_contract,
    findings_of,
    grade_of,
)
from steelyard.payments.model.orders import OrderState
from tests.payments.agency import CHECKER, MAKER, Agency, a_merchant, an_account, credit_code
from tests.payments.agency import agency as agency

TODAY = date(2026, 3, 2)
Owner = applications.Owner


# --- what is told --------------------------------------------------------------------------------


def test_an_application_with_nothing_wanting_has_no_findings() -> None:
    assert findings_of(a_merchant(), TODAY) == ()


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ({"industry": "7995"}, "industry_is_forbidden"),
        ({"licence_until_on": TODAY - timedelta(days=1)}, "licence_has_expired"),
        ({"licence_until_on": TODAY}, "licence_ends_soon"),
        ({"owners": (Owner(name="A", number="1", share_bp=7_500),)}, "owners_may_be_missing"),
        (
            {"owners": tuple(Owner(name="A", number=str(n), share_bp=2_000) for n in range(5))},
            "nobody_controls",
        ),
        (
            {
                "owners": (
                    Owner(
                        name="A", number="1", share_bp=10_000, kind=applications.OwnerKind.COMPANY
                    ),
                )
            },
            "no_person_behind_it",
        ),
    ],
)
def test_what_is_wanting_is_found(change: dict[str, Any], finding: str) -> None:
    assert findings_of(a_merchant(**change), TODAY) == (finding,)


@pytest.mark.parametrize(
    "change",
    [
        {"industry": "599"},
        {"industry": "abcd"},
        {"monthly_minor": 0},
        {"licence_no": " "},
        {"owners": ()},
        {"owners": (Owner(name="A", number="1", share_bp=10_001),)},
        {"owners": (Owner(name=" ", number="1", share_bp=1),)},
        {"owners": (Owner(name="A", number="1", share_bp=1),) * 2},
        {
            "owners": (
                Owner(name="A", number="1", share_bp=6_000),
                Owner(name="B", number="2", share_bp=4_001),
            )
        },
        {"currencies": ()},
        {"currencies": ("XXX",)},
    ],
)
def test_what_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Refusal, match="merchant_application_is_malformed"):
        check_application(a_merchant(**change))


@given(st.integers(1, 10**14))
def test_a_worse_grade_never_has_more_room(monthly: int) -> None:
    contracts = [default_contract(grade, monthly) for grade in RiskGrade]
    for contract in contracts:
        check_contract(contract)
    for better, worse in pairwise(contracts):
        for name in ("single_most_minor", "daily_most_minor", "monthly_most_minor"):
            assert better[name] >= worse[name]  # type: ignore[operator]
        assert float(str(better["reserve_rate"])) <= float(str(worse["reserve_rate"]))


def test_more_that_speaks_against_it_never_betters_the_grade() -> None:
    grades = [grade_of(a_merchant(), ("f",) * n, ("r",) * m) for n in range(4) for m in range(2)]
    assert grades[0] is RiskGrade.A
    assert grade_of(a_merchant(industry="6051"), (), ()) is RiskGrade.C
    assert grades == sorted(grades)


@pytest.mark.parametrize(
    "contract",
    [
        {"colour": 1},
        {"daily_most_minor": -1},
        {"daily_most_minor": True},
        {"single_most_minor": 5, "daily_most_minor": 4},
        {"timezone": "Mars/Olympus"},
        {"platform": "no id"},
        {"returns_dispute_fee": "yes"},
    ],
)
def test_contracts_that_cannot_be_are_refused(contract: dict[str, object]) -> None:
    with pytest.raises(Refusal, match="contract_is_malformed"):
        check_contract(contract)


# --- taken on ------------------------------------------------------------------------------------


def test_a_clean_application_is_approved_at_once(agency: Agency) -> None:
    made = agency.apply()
    assert made.state is applications.ApplicationState.APPROVED
    merchant = agency.merchant(made.merchant)
    assert (merchant.state, merchant.risk_grade) == (merchants.MerchantState.ACTIVE, RiskGrade.A)
    assert merchant.contract == default_contract(RiskGrade.A, 30_000_000)
    told = dict(agency.gate.asked)["merchant_application"]
    assert told["merchant"] == made.merchant
    assert not any("13800000000" in str(v) or "E00000000" in str(v) for v in told.values()), (
        "blind indexes only"
    )
    assert agency.facts(made.merchant) == [
        "MerchantApplied",
        "MerchantActivated",
        "SettlementAccountProposed",
    ]


def test_a_wrong_credit_code_is_refused(agency: Agency) -> None:
    good = credit_code(1)
    wrong = good[:-1] + ("0" if good[-1] != "0" else "1")
    with pytest.raises(Refusal, match="registration_number_is_invalid"):
        agency.apply(a_merchant(number=wrong))
    assert agency.rows("SELECT 1 FROM payments.merchant") == []


@pytest.mark.parametrize("outcome", [Outcome.REVIEW, Outcome.STEP_UP, Outcome.HOLD])
def test_what_the_gate_does_not_approve_a_person_rules_on(agency: Agency, outcome: Outcome) -> None:
    agency.gate.tell(outcome, "account_pays_many")
    made = agency.apply()
    assert made.state is applications.ApplicationState.REVIEW
    assert agency.merchant(made.merchant).state is merchants.MerchantState.REVIEW
    with pytest.raises(Refusal, match="application_is_under_review"):
        agency.apply()
    for actor, code in ((MAKER, "ruler_applied"), ("key:ak_1", "ruling_needs_a_person")):
        with pytest.raises(Refusal, match=code):
            _rule(agency, made, actor=actor)
    ruled = _rule(agency, made, grade=RiskGrade.D)
    assert ruled.state is applications.ApplicationState.APPROVED
    merchant = agency.merchant(made.merchant)
    assert (merchant.state, merchant.risk_grade) == (merchants.MerchantState.ACTIVE, RiskGrade.D)
    assert merchant.contract["reserve_rate"] == "0.10"
    (case,) = agency.rows("SELECT state, outcome FROM cases.case_file")
    assert (case.state, case.outcome) == ("closed", "approved")
    with pytest.raises(Refusal, match="application_is_ruled"):
        _rule(agency, made)


def test_findings_put_a_good_application_before_people_too(agency: Agency) -> None:
    owner = Owner(name="A", number="1", share_bp=6_000, controls=True)
    made = agency.apply(a_merchant(owners=(owner,)))
    assert (made.state, made.findings) == (
        applications.ApplicationState.REVIEW,
        ("owners_may_be_missing",),
    )
    _rule(agency, made, is_approved=False, is_fraud=True)
    (case,) = agency.rows("SELECT outcome FROM cases.case_file")
    assert case.outcome == "fraud"
    assert agency.merchant(made.merchant).state is merchants.MerchantState.REJECTED


@pytest.mark.parametrize("change", [{"industry": "7995"}, {"licence_until_on": date(2026, 3, 1)}])
def test_nobody_waives_a_fatal_finding(agency: Agency, change: dict[str, Any]) -> None:
    made = agency.apply(a_merchant(**change))
    assert FATAL & set(made.findings)
    assert made.state is applications.ApplicationState.DECLINED
    with pytest.raises(Refusal, match="application_is_ruled"):
        _rule(agency, made)


def test_who_was_rejected_may_apply_again(agency: Agency) -> None:
    agency.gate.tell(Outcome.DECLINE, "shared_with_others")
    first = agency.apply()
    assert agency.merchant(first.merchant).state is merchants.MerchantState.REJECTED
    agency.gate.tell(Outcome.APPROVE)
    second = agency.apply()
    assert second.merchant == first.merchant
    assert agency.merchant(first.merchant).state is merchants.MerchantState.ACTIVE
    with pytest.raises(Refusal, match="merchant_has_a_contract"):
        agency.apply()


def test_the_number_of_another_name_is_not_taken_over(agency: Agency) -> None:
    agency.apply()
    with pytest.raises(Refusal, match="registration_number_is_taken"):
        agency.apply(a_merchant(legal_name="别家公司"), an_account(holder="别家公司"))


def test_an_account_in_another_name_takes_the_application_back(agency: Agency) -> None:
    with pytest.raises(Refusal, match="settlement_account_is_not_theirs"):
        agency.apply(a_merchant(), an_account(holder="陆羽"))
    assert agency.rows("SELECT 1 FROM payments.merchant") == []
    kind = {"kind": settlement_accounts.AccountKind.PERSONAL}
    with pytest.raises(Refusal, match="settlement_account_is_not_theirs"):
        agency.apply(a_merchant(), an_account(holder="陆羽", **kind))
    individual = a_merchant(2, number=credit_code(2, kind="92"))
    made = agency.apply(individual, an_account(2, holder="陆羽", **kind))
    assert made.state is applications.ApplicationState.APPROVED


def test_owners_are_sealed(agency: Agency) -> None:
    made = agency.apply()
    (owner,) = agency.rows("SELECT * FROM payments.merchant_owner")
    assert "陆羽".encode() not in bytes(owner.name)
    assert b"E00000000" not in bytes(owner.number)
    with agency.database.reading() as connection:
        opened = agency.keyring.unseal(
            connection, bytes(owner.name), context="payments.merchant_owner.name"
        )
    assert opened == "陆羽"
    assert "陆羽" not in repr(a_merchant())
    assert "E0000" not in repr(a_merchant())
    assert made.applied_by == MAKER


def _rule(
    agency: Agency, made: applications.Application, *, actor: str = CHECKER, **changes: Any
) -> applications.Application:
    told: dict[str, Any] = {"is_approved": True, "ruling": "seen", **changes}
    ruled: applications.Application = agency.run(
        lambda unit: applications.rule(unit, made.id, **told), actor
    )
    return ruled


# --- watched -------------------------------------------------------------------------------------


def test_notes_add_up_to_a_case_and_then_to_a_suspension(
    agency: Agency, clock: SteppingClock
) -> None:
    merchant = agency.taken_on()

    def note(code: str, weight: int, source: str) -> merchants.Watch:
        told = merchants.RiskNote(code, source, weight)
        watch: merchants.Watch = agency.run(
            lambda unit: merchants.note_risk(unit, merchant, told), "system:watch"
        )
        return watch

    assert not note("disputes", 50, "rule:1").wants_review
    assert note("disputes", 50, "rule:1").weight == 50, "told again it is one note"
    assert agency.rows("SELECT 1 FROM cases.case_file") == []
    assert note("velocity", 20, "rule:2").wants_review
    assert (
        len(agency.rows("SELECT 1 FROM cases.case_file WHERE kind = 'payments.merchant_watch'"))
        == 1
    )
    assert agency.merchant(merchant).state is merchants.MerchantState.ACTIVE
    clock.advance(timedelta(days=29))
    assert note("velocity", 30, "rule:3").wants_suspension
    assert agency.merchant(merchant).state is merchants.MerchantState.SUSPENDED
    assert agency.facts(merchant)[-2:] == ["MerchantRiskNoted", "MerchantSuspended"]
    clock.advance(timedelta(days=40))
    assert note("velocity", 10, "rule:4").weight == 10, "what is old does not count"
    for bad in (("A", "rule:1", 1), ("a", "rule", 1), ("a", "rule:1", 101)):
        with pytest.raises(Refusal, match="risk_note_is_malformed"):
            note(bad[0], bad[2], bad[1])


def test_a_suspended_merchant_is_resumed_by_two(agency: Agency) -> None:
    merchant = agency.taken_on()
    agency.run(lambda unit: merchants.suspend(unit, merchant, reason="looked at"))
    for verb in (
        lambda unit: merchants.suspend(unit, merchant, reason="again"),
        lambda unit: merchants.resume(unit, merchant, reason="fine", approval=uuid4()),
    ):
        with pytest.raises(Refusal, match=r"merchant_state_forbids|approval_is_unknown"):
            agency.run(verb)
    yes = agency.approved(lambda unit: merchants.request_resume(unit, merchant, reason="fine"))
    with pytest.raises(Refusal, match="approval_is_for_something_else"):
        agency.run(lambda unit: merchants.resume(unit, merchant, reason="other", approval=yes))
    agency.run(lambda unit: merchants.resume(unit, merchant, reason="fine", approval=yes))
    assert agency.merchant(merchant).state is merchants.MerchantState.ACTIVE
    with agency.database.reading() as connection:
        versions = merchants.history(connection, merchant)
    assert [v.state.value for v in versions] == ["active", "suspended", "active"]
    assert versions[-1].cause == f"approval:{yes}@1"


def test_a_contract_is_changed_by_two(agency: Agency) -> None:
    merchant = agency.taken_on()
    before = agency.merchant(merchant)
    wanted = {**before.contract, "reserve_rate": "0.20"}

    def change(**given: Any) -> merchants.Merchant:
        changed: merchants.Merchant = agency.run(
            lambda unit: merchants.change_contract(unit, merchant, **given)
        )
        return changed

    yes = agency.approved(
        lambda unit: merchants.request_change(unit, merchant, contract=wanted, grade=RiskGrade.D)
    )
    with pytest.raises(Refusal, match="approval_is_for_something_else"):
        change(contract={**wanted, "reserve_rate": "0"}, grade=RiskGrade.D, approval=yes)
    after = change(contract=wanted, grade=RiskGrade.D, approval=yes)
    assert (after.contract["reserve_rate"], after.risk_grade) == ("0.20", RiskGrade.D)
    assert agency.merchant(merchant) == after
    assert after == replace(
        before,
        version=2,
        contract=wanted,
        risk_grade=RiskGrade.D,
        updated_at=after.updated_at,
    )


def test_a_merchant_with_open_payments_is_not_closed(agency: Agency) -> None:
    merchant = agency.taken_on()

    def order(state: OrderState) -> None:
        agency.run(
            lambda unit: unit.execute(
                "INSERT INTO payments.order (id, merchant, app, mode, order_no, amount_minor,"
                " currency, subject, scenario, capture, methods, payer, state, created_at,"
                " expires_at, late_success, most_attempts) VALUES (:id, :merchant, 'app_x',"
                " 'live', :id, 1, 'CNY', 's', 'online', 'automatic', '{}', '{}', :state, now(),"
                " now(), 'refund', 1)",
                id=uuid4(),
                merchant=merchant,
                state=state,
            )
        )

    for state in OrderState:
        if state.is_over or state.is_paid:
            order(state)
    order(OrderState.PROCESSING)
    with pytest.raises(Refusal, match="merchant_has_open_payments"):
        agency.run(lambda unit: merchants.close(unit, merchant, reason="gone"))
    agency.run(lambda unit: unit.execute("UPDATE payments.order SET state = 'failed'"))
    closed = agency.run(lambda unit: merchants.close(unit, merchant, reason="gone"))
    assert closed.state is merchants.MerchantState.CLOSED


def test_merchants_are_listed_by_page(agency: Agency) -> None:
    made = sorted(agency.taken_on(n) for n in range(3))
    found: list[Any] = []
    cursor = None
    for _ in range(3):
        with agency.database.reading() as connection:
            page = merchants.list_merchants(connection, cursor=cursor, limit=2)
        found += [one.id for one in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == made
