"""From the first word of a customer to the contract and its evidence, over PostgreSQL."""

from __future__ import annotations

import io
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest

from steelyard.cashflows import plan, terms
from steelyard.credit import loans, origination, underwriting
from steelyard.credit.model.bureau import Found, Report
from steelyard.ledger import open_accounts
from steelyard.parties import consents
from tests.credit.applicants import CLEAN, Counter, wallet_of
from tests.credit.applicants import counter as counter
from tests.credit.lender import ANN, BOB, SHOP, TOWN, WALLET

S = origination.ApplicationState


def test_a_good_applicant_gets_the_money(counter: Counter) -> None:
    applied = counter.decided()
    assert applied.state is S.OFFERED
    offer = counter.offer(applied.id)
    assert offer.decision == applied.decision
    assert offer.cause.startswith("policy.loan_application@")
    signed = counter.accept(applied.id)
    assert signed.state is S.SIGNED
    assert signed.loan is not None
    loan = counter.house.read(signed.loan)
    assert loan.state is loans.LoanState.ACTIVE
    assert loan.terms == offer.terms
    assert loan.application == applied.id
    assert counter.wallet(applied.party) == 1_000_000
    counter.house.made.append(signed.loan)
    counter.house.agree()
    assert counter.steps(applied.id) == [
        "drafted", "consented", "submitted", "checked", "decided", "offered", "accepted", "signed",
    ]  # fmt: skip
    assert counter.recorded(f"application:{applied.id}") == [
        "ApplicationSubmitted", "OfferMade", "ContractSigned",
    ]  # fmt: skip


def test_each_step_said_again_changes_nothing(counter: Counter) -> None:
    drafted = counter.draft()
    again = origination.NewApplication(
        party=drafted.party, product="quick_cash", facts=drafted.facts, id=drafted.id
    )
    assert counter.run(lambda unit: origination.draft(unit, again)) == drafted
    yes = {"credit_assessment": 1}
    for _ in range(2):
        counter.run(lambda unit: origination.consent(unit, drafted.id, yes, channel="app"))
    for _ in range(2):
        counter.run(lambda unit: origination.submit(unit, drafted.id))
    counter.check(drafted.id)
    decided = counter.decide(drafted.id)
    assert counter.decide(drafted.id) == decided
    assert counter.gate.asked == 1
    signed = counter.accept(drafted.id)
    assert counter.accept(drafted.id) == signed
    assert counter.wallet(drafted.party) == 1_000_000
    assert len(counter.steps(drafted.id)) == 8


def test_an_id_shows_nobody_what_another_asked_for(counter: Counter) -> None:
    drafted = counter.draft()
    same = origination.NewApplication(
        party=drafted.party, product="quick_cash", facts=drafted.facts, id=drafted.id
    )
    for other in (
        replace(same, party=counter.customer()),
        replace(same, facts=counter.facts(income_minor=9_000_000)),
    ):
        assert counter.refused(origination.draft, other) == "application_id_is_taken"
    assert counter.read(drafted.id) == drafted


def test_nothing_is_looked_at_without_consent(counter: Counter) -> None:
    party = counter.customer(consented=False)
    drafted = counter.draft(party)
    assert counter.refused(origination.submit, drafted.id) == "application_state_forbids"
    assert (
        counter.refused(origination.consent, drafted.id, {}, channel="app") == "consent_is_needed"
    )
    counter.run(
        lambda unit: origination.consent(unit, drafted.id, {"credit_assessment": 1}, channel="app")
    )
    counter.run(lambda unit: consents.withdraw(unit, party, "credit_assessment", channel="app"))
    assert counter.refused(origination.submit, drafted.id) == "consent_is_needed"
    assert counter.bureau.inquiries == 0


def test_a_consent_taken_back_stops_the_contract(counter: Counter) -> None:
    applied = counter.decided()
    counter.run(
        lambda unit: consents.withdraw(unit, applied.party, "credit_assessment", channel="app")
    )
    acceptance = counter.acceptance(applied.id)
    assert counter.refused(origination.accept, applied.id, acceptance) == "consent_is_needed"
    assert counter.wallet(applied.party) == 0


def test_a_consent_taken_back_keeps_the_policy_from_looking(counter: Counter) -> None:
    checked = counter.checked()
    counter.run(
        lambda unit: consents.withdraw(unit, checked.party, "credit_assessment", channel="app")
    )
    with pytest.raises(origination.ConsentIsNeeded):
        counter.decide(checked.id)
    assert counter.gate.asked == 0


def test_identity_comes_first(counter: Counter) -> None:
    drafted = counter.draft(counter.customer(level=1))
    counter.run(
        lambda unit: origination.consent(unit, drafted.id, {"credit_assessment": 1}, channel="app")
    )
    assert counter.refused(origination.submit, drafted.id) == "identity_is_not_proved"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"amount_minor": 99_999}, "amount_is_not_offered"),
        ({"amount_minor": 1_005_000}, "amount_is_not_offered"),
        ({"tenor": "9m"}, "tenor_is_not_offered"),
        ({"method": terms.Method.BULLET}, "method_is_not_offered"),
        ({"purpose": "speculation"}, "application_is_malformed"),
        ({"income_minor": -1}, "application_is_malformed"),
        ({"price_minor": 2_000_000}, "application_is_malformed"),
    ],
)
def test_what_is_not_sold_is_refused(counter: Counter, more: dict[str, object], code: str) -> None:
    new = origination.NewApplication(
        party=counter.customer(), product="quick_cash", facts=counter.facts(**more)
    )
    assert counter.refused(origination.draft, new) == code
    assert counter.refused(origination.draft, replace(new, product="gold")) == "product_is_unknown"
    assert counter.refused(origination.draft, replace(new, party=UUID(int=5))) == "party_is_unknown"


def test_what_somebody_cannot_carry_is_offered_smaller(counter: Counter) -> None:
    applied = counter.decided(amount_minor=5_000_000, income_minor=600_000)
    assert applied.state is S.OFFERED
    offer = counter.offer(applied.id)
    assert offer.amount_minor < 5_000_000
    assert underwriting.adverse_reasons(applied) == ("income_does_not_carry_it",)
    found = underwriting.assessment_of(applied)
    assert found is not None
    assert found.monthly_minor <= found.room_minor
    assert max(one["total_minor"] for one in offer.content["costs"]["periods"]) <= found.room_minor


def test_arrears_elsewhere_are_declined_with_a_reason_in_both_languages(counter: Counter) -> None:
    counter.bureau.report = replace(CLEAN, overdue_minor=5_000)
    applied = counter.decided()
    assert applied.state is S.DECLINED
    assert underwriting.adverse_reasons(applied) == ("credit_file_shows_arrears",)
    assert underwriting.text_of("credit_file_shows_arrears", "zh-CN") == "征信记录存在逾期。"
    assert underwriting.text_of("facts_are_missing", "en") == "Facts that we need are missing."
    assert counter.recorded(f"application:{applied.id}")[-1] == "ApplicationDeclined"
    assert counter.refused(origination.withdraw, applied.id) == "application_state_forbids"


def test_who_is_late_with_us_is_not_lent_more(counter: Counter) -> None:
    party = counter.customer()
    counter.accept(counter.decided(party, amount_minor=100_000).id)
    counter.house.close(40)
    applied = counter.decided(party, amount_minor=100_000)
    assert applied.state is S.DECLINED
    assert underwriting.adverse_reasons(applied) == ("late_with_us",)
    with counter.database.reading() as connection:
        assert underwriting.counterfactual_of(connection, applied.id) is None
    other = counter.decided(amount_minor=100_000)
    assert other.state is S.OFFERED


def test_a_file_that_nobody_could_read_goes_to_a_person(counter: Counter) -> None:
    counter.bureau.found, counter.bureau.report = Found.UNKNOWN, None
    applied = counter.decided()
    assert applied.state is S.IN_REVIEW
    found = underwriting.assessment_of(applied)
    assert found is not None
    assert "credit_file_is_unknown" in found.reasons
    offered = counter.run(
        lambda unit: underwriting.rule(
            unit,
            applied.id,
            underwriting.PersonsRuling(
                kind=underwriting.RulingKind.APPROVE, reasons=("judged_by_a_person",)
            ),
        ),
        ANN,
    )
    assert offered.state is S.OFFERED
    assert counter.offer(applied.id).cause == f"ruling:{applied.id}@{applied.version}"
    assert counter.accept(applied.id).state is S.SIGNED


def test_a_thin_file_costs_the_better_tiers(counter: Counter) -> None:
    counter.bureau.found = Found.THIN_FILE
    counter.bureau.report = Report(made_on=CLEAN.made_on, accounts=1)
    applied = counter.decided()
    assert counter.offer(applied.id).tier == "C"


def test_no_machine_rules_and_a_person_gives_reasons(counter: Counter) -> None:
    counter.bureau.found, counter.bureau.report = Found.UNKNOWN, None
    applied = counter.decided()
    yes = underwriting.PersonsRuling(
        kind=underwriting.RulingKind.APPROVE, reasons=("judged_by_a_person",)
    )
    assert counter.refused(underwriting.rule, applied.id, yes, by="system:x") == "person_is_needed"
    for reasons in ((), ("because",)):
        ruling = replace(yes, reasons=reasons)
        assert counter.refused(underwriting.rule, applied.id, ruling) == "reason_is_not_given"
    less = replace(yes, kind=underwriting.RulingKind.REDUCE, amount_minor=1_000_000)
    assert counter.refused(underwriting.rule, applied.id, less) == "application_is_malformed"
    no = replace(yes, kind=underwriting.RulingKind.DECLINE, reasons=("facts_do_not_hold",))
    declined = counter.run(lambda unit: underwriting.rule(unit, applied.id, no), ANN)
    assert declined.state is S.DECLINED
    assert underwriting.adverse_reasons(declined) == ("facts_do_not_hold",)
    assert counter.refused(underwriting.rule, applied.id, no) == "application_state_forbids"


def test_above_the_amount_of_one_person_two_rule(counter: Counter) -> None:
    counter.bureau.found, counter.bureau.report = Found.UNKNOWN, None
    applied = counter.decided(amount_minor=3_000_000, income_minor=300_000)
    assert applied.state is S.IN_REVIEW
    yes = underwriting.PersonsRuling(
        kind=underwriting.RulingKind.APPROVE, reasons=("judged_by_a_person",)
    )
    assert counter.refused(underwriting.rule, applied.id, yes) == "approval_is_needed"
    approval = counter.approve(lambda unit: underwriting.request_ruling(unit, applied.id, yes))
    other = replace(yes, kind=underwriting.RulingKind.REDUCE, amount_minor=2_900_000)
    assert (
        counter.refused(underwriting.rule, applied.id, other, approval=approval)
        == "approval_is_for_something_else"
    )
    offered = counter.run(
        lambda unit: underwriting.rule(unit, applied.id, yes, approval=approval), ANN
    )
    assert offered.state is S.OFFERED
    assert counter.offer(applied.id).cause.startswith("approval:")
    with counter.database.reading() as connection:
        outcome = connection.exec_driver_sql("SELECT outcome FROM cases.case_file").scalar_one()
    assert outcome == "approve"


def test_an_offer_is_accepted_as_it_is_shown_or_not_at_all(counter: Counter) -> None:
    applied = counter.decided()
    right = counter.acceptance(applied.id)
    wrong = {
        "offer_is_unknown": replace(right, offer=UUID(int=3)),
        "terms_differ": replace(right, terms_hash="00" * 32),
        "contract_text_differs": replace(right, text_version=7),
    }
    for code, acceptance in wrong.items():
        assert counter.refused(origination.accept, applied.id, acceptance) == code
    stolen = replace(right, wallet_account=WALLET)
    assert counter.refused(origination.accept, applied.id, stolen) == "account_is_not_theirs"
    missing = replace(right, wallet_account="wallet:nobody")
    assert counter.refused(origination.accept, applied.id, missing) == "account_not_found"
    assert counter.read(applied.id).state is S.OFFERED
    assert counter.wallet(applied.party) == 0


def test_two_offers_are_not_two_limits(counter: Counter) -> None:
    party = counter.customer()
    asked = {"amount_minor": 5_000_000, "income_minor": 2_000_000}
    first, second = (counter.decided(party, **asked).id for _ in range(2))
    told = [counter.acceptance(one) for one in (first, second)]
    found = counter.read(first).assessment
    assert found is not None
    assert found["monthly_minor"] < found["room_minor"] < 2 * found["monthly_minor"]
    ready = threading.Barrier(2)

    def accept(n: int) -> str:
        ready.wait(30)
        work = partial(origination.accept, application=(first, second)[n], acceptance=told[n])
        try:
            return counter.run(work).state
        except origination.OfferNoLongerFits:
            return "no"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(accept, range(2))) == ["no", "signed"]
    assert counter.wallet(party) == 5_000_000


def test_small_offers_fit_beside_each_other(counter: Counter) -> None:
    party = counter.customer()
    for one in [counter.decided(party, amount_minor=100_000).id for _ in range(2)]:
        assert counter.accept(one).state is S.SIGNED
    assert counter.wallet(party) == 200_000


def test_an_offer_of_yesterday_is_made_anew_and_one_of_last_week_is_over(counter: Counter) -> None:
    applied = counter.decided()
    stale = counter.acceptance(applied.id)
    counter.clock_days(1)
    assert counter.refused(origination.accept, applied.id, stale) == "offer_is_of_another_day"
    fresh = counter.run(lambda unit: origination.refresh(unit, applied.id))
    assert fresh.expires_at == counter.read(applied.id).expires_at
    assert counter.refused(origination.accept, applied.id, stale) == "offer_is_unknown"
    counter.clock_days(8)
    late = counter.acceptance(applied.id)
    assert counter.refused(origination.accept, applied.id, late) == "offer_has_expired"
    assert counter.run(origination.expire) == 1
    assert counter.run(origination.expire) == 0
    assert counter.read(applied.id).state is S.EXPIRED


def test_who_is_paid_later_owes_no_interest_until_then(counter: Counter) -> None:
    applied = counter.decided()
    told = counter.acceptance(applied.id)
    signed = counter.run(
        lambda unit: origination.accept(unit, applied.id, told, pay_out=False),
        f"party:{applied.party}",
    )
    assert signed.loan is not None
    counter.house.made.append(signed.loan)
    counter.house.later(5)
    paid = counter.house.do(loans.disburse, signed.loan)
    (first, *_), (shown, *_) = paid.after.rows, plan(counter.offer(applied.id).terms).rows
    assert first.due_on == shown.due_on
    assert first.interest_minor == pytest.approx(shown.interest_minor * 26 / 31, abs=1)
    assert counter.wallet(applied.party) == 1_000_000
    with counter.database.reading() as connection:
        owed = loans.quote_payoff(connection, signed.loan)
    assert owed.total_minor == 1_000_000
    counter.house.agree()
    counter.house.close(3)
    counter.house.agree()


def test_who_thinks_better_of_it_owes_no_interest(counter: Counter) -> None:
    applied = counter.decided()
    signed = counter.accept(applied.id)
    assert signed.loan is not None
    counter.clock_days(2)
    taken = counter.run(lambda unit: origination.take_back(unit, applied.id))
    assert taken.state is S.WITHDRAWN
    assert counter.wallet(applied.party) == 0
    assert counter.house.read(signed.loan).state is loans.LoanState.CANCELLED
    counter.house.made.append(signed.loan)
    counter.house.agree()
    assert counter.run(lambda unit: origination.take_back(unit, applied.id)) == taken


def test_after_the_days_of_reflection_the_contract_stands(counter: Counter) -> None:
    applied = counter.decided()
    counter.accept(applied.id)
    counter.clock_days(4)
    assert counter.refused(origination.take_back, applied.id) == "cooling_off_is_over"


def test_what_waits_for_a_person_can_be_withdrawn_and_leaves_the_queue(counter: Counter) -> None:
    counter.bureau.found, counter.bureau.report = Found.UNKNOWN, None
    applied = counter.decided()
    withdrawn = counter.run(lambda unit: origination.withdraw(unit, applied.id))
    assert withdrawn.state is S.WITHDRAWN
    with counter.database.reading() as connection:
        state, outcome = connection.exec_driver_sql(
            "SELECT state, outcome FROM cases.case_file"
        ).one()
    assert (state, outcome) == ("closed", "withdrawn")


def test_a_purchase_pays_the_merchant_less_the_interest_that_he_bears(counter: Counter) -> None:
    applied = counter.decided(
        product="merchant_instalments",
        tenor="6m",
        price_minor=500_000,
        amount_minor=400_000,
        merchant=UUID(int=9),
    )
    assert applied.state is S.OFFERED
    content = counter.offer(applied.id).content
    assert content["down_payment_minor"] == 100_000
    assert content["subsidy_minor"] > 0
    assert content["rate_annual"] < content["price"]["rate_annual"]
    counter.run(
        lambda unit: open_accounts(
            unit, TOWN, [wallet_of(UUID(int=9), "shop:nine")], cause="rule.town@1"
        )
    )
    for payee in (SHOP, f"wallet:{applied.party}"):
        elsewhere = counter.acceptance(applied.id, payee=payee)
        assert counter.refused(origination.accept, applied.id, elsewhere) == (
            "account_is_not_theirs"
        )
    signed = counter.accept(applied.id, payee="shop:nine")
    assert counter.wallet(applied.party) == 0
    assert counter.house.wallet("shop:nine") == 400_000 - content["subsidy_minor"]
    assert signed.loan is not None
    counter.house.made.append(signed.loan)
    counter.house.agree()


def test_a_salary_advance_shows_its_fee_as_a_yearly_rate(counter: Counter) -> None:
    applied = counter.decided(
        product="salary_advance",
        tenor="30d",
        amount_minor=200_000,
        method=terms.Method.BULLET,
        income_is_shown=True,
    )
    costs = counter.offer(applied.id).content["costs"]
    assert costs["interest_minor"] == 0
    assert costs["fee_minor"] > 0
    shown = {one["method"]: one["per_one"] for one in costs["rates"]}
    assert float(shown["simple"]) == pytest.approx(
        costs["fee_minor"] / 200_000 * 365 / 30, abs=1e-6
    )


def test_the_evidence_is_one_package_that_proves_itself(counter: Counter) -> None:
    applied = counter.decided()
    with (
        counter.database.reading() as connection,
        pytest.raises(origination.ContractEvidenceIsMissing),
    ):
        origination.export_evidence(connection, applied.id)
    counter.accept(applied.id)
    with counter.database.reading() as connection:
        package = origination.export_evidence(connection, applied.id)
        assert origination.export_evidence(connection, applied.id) == package
    report = origination.verify_evidence(package)
    assert report.holds
    assert report.application == str(applied.id)
    assert set(report.pieces) == {
        "acceptance", "application", "assessment", "consents", "contract_text", "credit_file",
        "decision", "identity", "offer", "product",
    }  # fmt: skip
    assert not origination.verify_evidence(_tampered(package, "offer.json")).holds
    with pytest.raises(origination.PackageIsUnreadable):
        origination.verify_evidence(b"not a zip")


def _tampered(package: bytes, name: str) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as source, zipfile.ZipFile(made, "w") as target:
        for entry in source.namelist():
            content = source.read(entry)
            target.writestr(entry, content + b" " if entry == name else content)
    return made.getvalue()


def test_the_database_itself_keeps_the_machine(counter: Counter) -> None:
    applied = counter.draft()
    for sql in (
        "UPDATE credit.application SET state = 'signed', version = version + 1",
        "UPDATE credit.application SET version = version + 2",
        "DELETE FROM credit.application",
        "UPDATE credit.application_step SET detail = '{}'",
        "UPDATE credit.product_version SET note = 'x'",
    ):
        with pytest.raises(Exception, match=r"credit|append|does not follow|denied|only"):
            counter.run(lambda unit, sql=sql: unit.execute(sql))  # type: ignore[misc]
    assert counter.read(applied.id).state is S.DRAFTED


def test_a_decision_that_waited_too_long_is_asked_anew(counter: Counter) -> None:
    checked = counter.checked()
    counter.house.clock.advance(timedelta(hours=3))
    decided = counter.decide(checked.id)
    assert decided.state is S.OFFERED
    assert decided.version == checked.version + 3


def test_staff_who_entered_it_do_not_rule_on_it(counter: Counter) -> None:
    counter.bureau.found, counter.bureau.report = Found.UNKNOWN, None
    checked = counter.checked()
    underwriting.decide(counter.database, counter.gate, checked.id, actor=BOB)
    with counter.database.reading() as connection:
        kept = connection.exec_driver_sql("SELECT kept_from FROM cases.case_file").scalar_one()
    assert kept == [BOB]
