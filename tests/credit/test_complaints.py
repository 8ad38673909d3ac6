"""What customers bring up, and the bureau's monthly file: deadlines, consequences, corrections."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database
from steelyard.base.http import Caller
from steelyard.base.jobs import jobs
from steelyard.cases import CaseState, closing, working
from steelyard.cases import reading as case_reading
from steelyard.credit import loans
from steelyard.credit.model.complaint import (
    DEADLINES,
    MatterKind,
    MatterOutcome,
    due_on,
    follows,
    rule_for,
)
from steelyard.credit.model.reporting import (
    Account,
    AccountState,
    Due,
    ReportFile,
    history_of,
    month_end,
    months_to,
    row_of,
    status_of,
    write_file,
)
from steelyard.credit.providers.bureau_http import HttpCreditBureau
from steelyard.credit.service import bureau_files, collections, complaints
from steelyard.decisions import lists, policies
from steelyard.kernel import Refusal
from steelyard.kernel.calendars import calendar
from steelyard.parties import approvals
from tests.conftest import Store
from tests.credit.lender import ANN, BOB, House, open_house
from tests.credit.outside import Outside
from tests.credit.outside import bureau_process as bureau_process
from tests.credit.outside import enrol as enrol
from tests.credit.outside import keyring as keyring
from tests.credit.outside import the_bureau as the_bureau

KIND, OUTCOME = MatterKind, MatterOutcome
HASH = hashlib.sha256(b"investigation").hexdigest()


@pytest.fixture
def house(store: Store) -> Iterator[House]:
    opened = open_house(store)
    yield opened
    opened.database.close()


@pytest.fixture
def database(house: House) -> Database:
    """The database of the house, for the customers that are enrolled."""
    return house.database


@dataclass(slots=True)
class Desk:
    """Where one customer brings things up about one loan."""

    house: House
    party: UUID
    loan: UUID

    def bring(self, kind: KIND = KIND.COMPLAINT, about: str = "rude_call") -> complaints.Matter:
        new = complaints.NewMatter(self.loan, kind, about)
        return self.house.do(complaints.receive, new)

    def prove(self, matter: UUID, kind: str = "investigation") -> None:
        self.house.do(
            complaints.attach, matter, kind=kind, reference="document:7", content_hash=HASH
        )

    def answer(
        self, matter: UUID, outcome: OUTCOME = OUTCOME.REFUSED, **more: Any
    ) -> complaints.Matter:
        given: dict[str, Any] = {"outcome": outcome, "reasons": ("checked",)}
        told = complaints.MatterAnswer(**given | more)
        present = self.read(matter)
        approval = None
        if complaints.needs_approval(present.kind, told):
            approval = self.house.approve(lambda unit: complaints.propose(unit, matter, told))
        return self.house.do(complaints.answer, matter, told, approval=approval)

    def read(self, matter: UUID) -> complaints.Matter:
        with self.house.database.reading() as connection:
            return complaints.read_matter(connection, matter)

    def case(self, matter: complaints.Matter) -> Any:
        with self.house.database.reading() as connection:
            return case_reading.read_case(connection, matter.case)

    def stops(self) -> set[str]:
        with self.house.database.reading() as connection:
            return {one.kind.value for one in collections.stops_of(connection, self.party)}

    @property
    def nr(self) -> int:
        return self.house.read(self.loan).nr

    def file(self, period: str) -> ReportFile:
        self.house.do(bureau_files.make_file, period)
        with self.house.database.reading() as connection:
            return bureau_files.read_file(connection, period)


@pytest.fixture
def desk(house: House, enrol: Callable[..., UUID]) -> Desk:
    party = enrol()
    return Desk(house, party, house.lend(party=party))


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        call()
    refusal.value.sentence("en").index(" ")
    return refusal.value.code


# Deadlines


def test_the_rule_of_the_day_of_receipt_sets_the_deadline() -> None:
    received = date(2026, 9, 28)
    assert due_on(rule_for(KIND.BUREAU_DISPUTE, received), received) == date(2026, 10, 18)
    complaint = rule_for(KIND.COMPLAINT, received)
    days = [(due_on(complaint, received, n) - received).days for n in range(3)]
    assert days == [15, 30, 60]
    # National Day lies between: ten working days take more than three weeks.
    repudiation = due_on(rule_for(KIND.REPUDIATION, received), received)
    assert calendar("CN").business_days_between(received, repudiation) == 10
    assert (repudiation - received).days > 14
    assert rule_for(KIND.COMPLAINT, date(2019, 1, 1)).name == "complaint@1"
    assert rule_for(KIND.COMPLAINT, date(1999, 1, 1)).name == "complaint@1"


@pytest.mark.parametrize("rule", DEADLINES, ids=lambda rule: rule.name)
def test_a_rule_names_its_source_and_every_extension_is_later(rule: Any) -> None:
    assert rule.source
    days = [due_on(rule, date(2026, 3, 2), n) for n in range(len(rule.extensions) + 1)]
    assert days == sorted(set(days))


def test_an_extension_needs_a_second_person_and_ends_somewhere(desk: Desk) -> None:
    house = desk.house
    matter = desk.bring()
    assert matter.due_on == house.today + timedelta(days=15)
    assert desk.bring() == matter
    for days in (30, 60):
        yes = house.approve(lambda unit: complaints.request_extension(unit, matter.id))
        extended = house.do(complaints.extend, matter.id, approval=yes)
        assert extended.due_on == house.today + timedelta(days=days)
        assert house.refused(complaints.extend, matter.id, approval=yes) in (
            "approval_is_for_something_else", "matter_has_no_extension",
        )  # fmt: skip
    assert house.refused(complaints.request_extension, matter.id) == "matter_has_no_extension"
    dispute = desk.bring(KIND.BUREAU_DISPUTE, "wrong_history")
    assert house.refused(complaints.request_extension, dispute.id) == "matter_has_no_extension"


# Complaints


def test_a_complaint_is_a_case_that_only_the_answer_closes(desk: Desk) -> None:
    house = desk.house
    matter = desk.bring()
    case = desk.case(matter)
    assert (case.kind, case.state, case.skill) == (
        "credit.complaint", CaseState.OPEN, "credit.answer",
    )  # fmt: skip
    worker = Caller(ANN, frozenset({"cases.*", "credit.*"}))
    house.run(lambda unit: working.claim(unit, case.id, by=worker), ANN)
    with pytest.raises(Refusal) as refusal:
        house.run(lambda unit: closing.close(unit, case.id, "refused", by=worker), ANN)
    assert refusal.value.code == "case_is_settled_elsewhere"
    answered = desk.answer(matter.id)
    assert answered.state == "refused"
    assert answered.answer is not None
    assert answered.answer["reasons"] == ["checked"]
    assert desk.case(matter).closing.outcome == "refused"
    assert _refused(lambda: desk.answer(matter.id)) == "matter_is_answered"
    assert house.refused(complaints.attach, uuid4(), kind="a", reference="b:c",
                         content_hash=HASH) == "matter_is_unknown"  # fmt: skip
    with house.database.reading() as connection:
        facts = connection.exec_driver_sql(
            "SELECT kind, payload FROM events.log WHERE subject = %s ORDER BY sequence",
            (matter.subject,),
        ).all()
    assert [row.kind for row in facts] == ["credit.MatterReceived", "credit.MatterAnswered"]
    assert facts[1].payload["is_in_time"] is True


def test_an_answer_after_its_day_is_late_for_good(desk: Desk) -> None:
    matter = desk.bring()
    desk.house.to(matter.due_on + timedelta(days=1))
    desk.answer(matter.id)
    with desk.house.database.reading() as connection:
        late = connection.exec_driver_sql(
            "SELECT payload FROM events.log WHERE kind = 'credit.MatterAnswered'"
        ).scalar_one()
        assert complaints.open_matters(connection) == ()
    assert late["is_in_time"] is False


def test_what_is_upheld_is_forgiven_in_the_same_transaction(desk: Desk) -> None:
    house = desk.house
    house.later(60)
    house.do(loans.roll, desk.loan)
    matter = desk.bring(about="wrong_penalty")
    before = house.read(desk.loan).standing
    assert before is not None
    penalty = sum(row.penalty_minor for row in before.rows)
    assert penalty > 0
    too_much = {"waived_penalty_minor": penalty + 1}
    assert _refused(lambda: desk.answer(matter.id, OUTCOME.UPHELD, **too_much)) == (
        "waiver_exceeds_due"
    )
    assert desk.read(matter.id).is_open
    desk.answer(matter.id, OUTCOME.UPHELD, waived_penalty_minor=penalty)
    after = house.read(desk.loan).standing
    assert after is not None
    assert after.totals.penalty_waived_minor == penalty
    house.agree()


def test_a_large_waiver_needs_a_second_person(desk: Desk) -> None:
    house = desk.house
    big = house.lend(terms_of(30_000_000), party=desk.party)
    house.later(40)
    house.do(loans.roll, big)
    desk.loan = big
    matter = desk.bring(about="wrong_interest")
    told = complaints.MatterAnswer(
        outcome=OUTCOME.UPHELD, reasons=("our_mistake",), waived_interest_minor=100_000
    )
    assert house.refused(complaints.answer, matter.id, told) == "approval_is_needed"
    answered = desk.answer(
        matter.id, OUTCOME.UPHELD, reasons=("our_mistake",), waived_interest_minor=100_000
    )
    assert answered.cause is not None
    assert answered.cause.startswith("approval:")
    house.agree()


def terms_of(principal_minor: int) -> Any:
    from tests.credit.lender import terms

    return terms(principal_minor)


@pytest.mark.parametrize(
    ("kind", "outcome", "more", "field"),
    [
        (KIND.COMPLAINT, OUTCOME.REFUSED, {"reasons": ()}, "reasons"),
        (KIND.COMPLAINT, OUTCOME.REFUSED, {"waived_fee_minor": 5}, "waived"),
        (KIND.COMPLAINT, OUTCOME.UPHELD, {"waived_fee_minor": -5}, "waived"),
        (KIND.COMPLAINT, OUTCOME.UPHELD, {"history": {"2026-01": "N"}}, "history"),
        (KIND.COMPLAINT, OUTCOME.UPHELD, {"devices": ("d",)}, "devices"),
        (KIND.REPUDIATION, OUTCOME.PARTLY, {}, "outcome"),
        (KIND.BUREAU_DISPUTE, OUTCOME.UPHELD, {}, "history"),
    ],
)
def test_an_answer_has_reasons_and_remedies_that_fit(
    desk: Desk, kind: KIND, outcome: OUTCOME, more: dict[str, Any], field: str
) -> None:
    matter = desk.bring(kind)
    told = complaints.MatterAnswer(**{"outcome": outcome, "reasons": ("r",)} | more)
    with pytest.raises(complaints.AnswerIsMalformed) as refusal:
        desk.house.do(complaints.answer, matter.id, told)
    assert refusal.value.facts["field"] == field


def test_every_kind_and_outcome_says_what_follows() -> None:
    assert follows(KIND.COMPLAINT, OUTCOME.REFUSED) == ()
    for kind in KIND:
        for outcome in OUTCOME:
            known = follows(kind, outcome)
            assert len(set(known)) == len(known)


# Repudiation


def test_who_never_took_the_loan_owes_nothing(desk: Desk) -> None:
    house = desk.house
    house.run(policies.install_delivered)
    house.give(30_000)
    house.pay(desk.loan, 10_000)
    paid = house.wallet()
    house.later(40)
    house.do(loans.roll, desk.loan)
    period = f"{house.today:%Y-%m}"
    house.to(month_end(period) + timedelta(days=1))
    assert [row.kind.value for row in desk.file(period).rows] == ["normal"]
    matter = desk.bring(KIND.REPUDIATION, "not_my_loan")
    assert desk.stops() == {"repudiation"}
    assert _refused(lambda: desk.answer(matter.id, OUTCOME.UPHELD)) == "evidence_is_needed"
    desk.prove(matter.id)
    told = complaints.MatterAnswer(
        outcome=OUTCOME.UPHELD, reasons=("face_differs",), devices=("device-7",)
    )
    assert house.refused(complaints.answer, matter.id, told) == "approval_is_needed"
    answered = desk.answer(
        matter.id, OUTCOME.UPHELD, reasons=("face_differs",), devices=("device-7",)
    )
    assert answered.state == "upheld"
    # What he had paid is back, the rest is our loss, nobody asks him again.
    assert house.wallet() == paid + 10_000
    gone = house.read(desk.loan)
    assert gone.state is loans.LoanState.WRITTEN_OFF
    assert gone.standing is not None
    assert gone.standing.totals.principal_written_off_minor == 120_000
    assert desk.stops() == {"repudiation"}
    house.agree()
    with house.database.reading() as connection:
        listed = lists.list_entries(
            connection, complaints.BLOCKED_DEVICES, now=house.clock.now() + timedelta(seconds=1)
        )
    assert [entry.value for entry in listed.items] == ["device-7"]
    assert desk.case(matter).closing.outcome == "upheld"
    # The bureau forgets it with the next file, and hears of it no more.
    nexts = months_after(period, 2)
    house.to(month_end(nexts[0]) + timedelta(days=1))
    (row,) = desk.file(nexts[0]).rows
    assert (row.kind.value, row.balance_minor, row.dpd) == ("delete", 0, 0)
    house.to(month_end(nexts[1]) + timedelta(days=1))
    assert desk.file(nexts[1]).rows == ()


def months_after(period: str, count: int) -> list[str]:
    year, month = int(period[:4]), int(period[5:])
    return [f"{year + (month - 1 + n) // 12:04d}-{(month - 1 + n) % 12 + 1:02d}"
            for n in range(1, count + 1)]  # fmt: skip


def test_a_loan_paid_to_the_end_is_given_back_too(desk: Desk) -> None:
    house = desk.house
    house.give(50_000)
    with house.database.reading() as connection:
        owed = loans.quote_payoff(connection, desk.loan).total_minor
    house.pay(desk.loan, owed, kind="payoff")
    assert house.read(desk.loan).state is loans.LoanState.CLOSED
    before = house.wallet()
    matter = desk.bring(KIND.REPUDIATION, "not_my_loan")
    desk.prove(matter.id)
    desk.answer(matter.id, OUTCOME.UPHELD)
    assert house.wallet() == before + owed
    assert house.read(desk.loan).state is loans.LoanState.WRITTEN_OFF
    house.agree()


@pytest.mark.parametrize("outcome", [OUTCOME.REFUSED, OUTCOME.WITHDRAWN])
def test_who_took_it_after_all_is_collected_again(desk: Desk, outcome: OUTCOME) -> None:
    matter = desk.bring(KIND.REPUDIATION, "not_my_loan")
    assert desk.stops() == {"repudiation"}
    if outcome is OUTCOME.REFUSED:
        assert _refused(lambda: desk.answer(matter.id)) == "evidence_is_needed"
        assert desk.house.refused(complaints.attach_contract, matter.id) == "evidence_is_needed"
        desk.prove(matter.id, "contract_evidence")
    desk.answer(matter.id, outcome)
    assert desk.stops() == set()
    assert desk.house.read(desk.loan).state is loans.LoanState.ACTIVE


def test_evidence_that_came_after_the_yes_asks_for_another(desk: Desk) -> None:
    house = desk.house
    matter = desk.bring(KIND.REPUDIATION, "not_my_loan")
    desk.prove(matter.id)
    told = complaints.MatterAnswer(outcome=OUTCOME.UPHELD, reasons=("face_differs",))
    yes = house.approve(lambda unit: complaints.propose(unit, matter.id, told))
    desk.prove(matter.id, "contract_evidence")
    assert house.refused(complaints.answer, matter.id, told, approval=yes) == (
        "approval_is_for_something_else"
    )
    with house.database.reading() as connection:
        assert len(complaints.evidence_of(connection, matter.id)) == 2
        assert approvals.read_approval(connection, yes).requested_by == ANN
        assert approvals.read_approval(connection, yes).decided_by == BOB


# The bureau's file


def test_a_month_is_reported_once_with_its_totals(
    desk: Desk, bureau_process: Outside, the_bureau: HttpCreditBureau
) -> None:
    house = desk.house
    assert house.refused(bureau_files.make_file, "2026-03") == "period_is_malformed"
    assert house.refused(bureau_files.make_file, "2026-13") == "period_is_malformed"
    house.to(date(2026, 4, 20))
    house.do(loans.roll, desk.loan)
    file = desk.file("2026-03")
    (row,) = file.rows
    assert (row.state.value, row.balance_minor, row.history[-2:]) == ("open", 120_000, "/*")
    assert house.refused(bureau_files.make_file, "2026-03") == "reporting_file_exists"
    assert house.refused(bureau_files.make_file, "2026-02") == "reporting_file_exists"
    with house.database.reading() as connection:
        (made,) = bureau_files.list_files(connection)
        content = bureau_files.bytes_of(connection, "2026-03")
        assert _refused(lambda: bureau_files.read_file(connection, "2026-02")) == (
            "reporting_file_is_unknown"
        )
    assert made.sha256 == hashlib.sha256(content).hexdigest()
    told = bureau_files.deliver(house.database, the_bureau, "2026-03", actor=ANN)
    assert (told.state.value, told.rows, told.sha256) == ("accepted", 1, made.sha256)
    again = bureau_files.deliver(house.database, the_bureau, "2026-03", actor=ANN)
    assert again == told
    records: Any = bureau_process.get(f"/v1/accounts/{row.account}")
    assert records[-1]["line"] == content.decode().splitlines()[2]


def test_a_file_that_was_touched_is_rejected(
    desk: Desk, bureau_process: Outside, the_bureau: HttpCreditBureau
) -> None:
    desk.house.to(date(2026, 4, 1))
    content = write_file(desk.file("2026-03"))
    touched = content.replace(b",120000,", b",110000,")
    assert touched != content
    assert the_bureau.deliver("2026-03", touched).reason == "totals_differ"
    assert the_bureau.deliver("2026-04", content).reason == "another_period"
    assert the_bureau.deliver("2026-03", b"D,\n").reason == "no_header_or_trailer"
    bureau_process.script({"verb": "deliver", "behaviour": "garble"})
    told = bureau_files.deliver(desk.house.database, the_bureau, "2026-03", actor=ANN)
    assert (told.state.value, told.reason) == ("unknown", "answer_unreadable")
    with desk.house.database.reading() as connection:
        assert bureau_files.deliveries_of(connection, "2026-03") == (told,)


def test_missed_months_are_reported_in_order_and_again_until_accepted(
    desk: Desk, bureau_process: Outside, the_bureau: HttpCreditBureau
) -> None:
    house = desk.house

    def report() -> tuple[str, ...]:
        return bureau_files.report(house.database, the_bureau, actor=ANN)

    house.to(date(2026, 4, 1))
    bureau_process.script({"verb": "deliver", "behaviour": "break"})
    assert report() == ("2026-03",)
    house.to(date(2026, 7, 2))
    assert report() == ("2026-03", "2026-04", "2026-05", "2026-06")
    assert report() == ()
    with house.database.reading() as connection:
        told = [one.state.value for one in bureau_files.deliveries_of(connection, "2026-03")]
        assert bureau_files.periods_due(connection) == ()
    assert told == ["unknown", "accepted"]
    assert "credit.report_to_bureau" in jobs()


def test_lateness_and_a_back_dated_payment_stand_in_the_next_file(desk: Desk) -> None:
    house = desk.house
    house.give(50_000)
    due = house.read(desk.loan).standing.rows[0].due_on  # type: ignore[union-attr]
    house.to(date(2026, 5, 3))
    house.do(loans.roll, desk.loan)
    (row,) = desk.file("2026-04").rows
    assert (row.state.value, row.dpd, row.history[-2:]) == (
        "overdue", (date(2026, 4, 30) - due).days, "*1",
    )  # fmt: skip
    # The money had come in on the day itself: history corrects itself.
    total = house.read(desk.loan).standing.rows[0].total_minor  # type: ignore[union-attr]
    house.pay(desk.loan, total, effective_on=due)
    house.to(date(2026, 6, 1))
    (row,) = desk.file("2026-05").rows
    assert (row.kind.value, row.history[-3:]) == ("correction", "*N1")


def test_a_dispute_is_marked_and_its_correction_stands_in_the_next_file(desk: Desk) -> None:
    house = desk.house
    house.to(date(2026, 5, 3))
    house.do(loans.roll, desk.loan)
    assert desk.file("2026-04").rows[0].history[-1] == "1"
    matter = desk.bring(KIND.BUREAU_DISPUTE, "wrong_history")
    assert (matter.due_on - matter.received_on).days == 20
    assert desk.stops() == {"dispute"}
    house.to(date(2026, 6, 3))
    (row,) = desk.file("2026-05").rows
    assert (row.is_disputed, row.kind.value, row.history[-2:]) == (True, "normal", "12")
    bad = {"history": {"2026-04": "9"}}
    assert _refused(lambda: desk.answer(matter.id, OUTCOME.UPHELD, **bad)) == (
        "correction_is_malformed"
    )
    desk.answer(matter.id, OUTCOME.UPHELD, history={"2026-04": "N"})
    assert desk.stops() == set()
    house.to(date(2026, 7, 1))
    (row,) = desk.file("2026-06").rows
    assert (row.is_disputed, row.kind.value, row.history[-3:]) == (False, "correction", "N23")
    house.to(date(2026, 8, 1))
    (row,) = desk.file("2026-07").rows
    assert (row.kind.value, row.history[-4:]) == ("normal", "N234")
    with house.database.reading() as connection:
        reported = bureau_files.reported_of(connection, desk.nr)
    assert [period for period, _ in reported] == ["2026-04", "2026-05", "2026-06", "2026-07"]


def test_a_closed_loan_is_told_of_once_more(desk: Desk) -> None:
    house = desk.house
    house.give(50_000)
    house.to(date(2026, 4, 15))
    with house.database.reading() as connection:
        owed = loans.quote_payoff(connection, desk.loan).total_minor
    house.pay(desk.loan, owed, kind="payoff")
    house.to(date(2026, 5, 1))
    (row,) = desk.file("2026-04").rows
    assert (row.state.value, row.balance_minor, row.history[-1]) == ("closed", 0, "C")
    house.to(date(2026, 6, 1))
    assert desk.file("2026-05").rows == ()


def test_a_loan_of_which_the_customer_stepped_back_is_taken_back(desk: Desk) -> None:
    house = desk.house
    house.give(50_000)
    other = house.lend(party=desk.party, cooling_off_until=date(2026, 4, 30))
    house.to(date(2026, 4, 1))
    assert len(desk.file("2026-03").rows) == 2
    house.do(loans.step_back, other)
    never = house.lend(
        terms_from(date(2026, 4, 1)), party=desk.party, cooling_off_until=date(2026, 4, 30)
    )
    house.do(loans.step_back, never)
    house.to(date(2026, 5, 1))
    rows = desk.file("2026-04").rows
    assert [row.kind.value for row in rows] == ["normal", "delete"]


def terms_from(start_on: date) -> Any:
    from tests.credit.lender import terms

    return terms(start_on=start_on)


_DUES = st.lists(
    st.tuples(st.dates(date(2024, 1, 1), date(2026, 12, 31)), st.integers(-40, 400) | st.none()),
    max_size=8,
).map(
    lambda told: tuple(
        Due(on, None if late is None else on + timedelta(days=late)) for on, late in told
    )
)


@given(_DUES, st.dates(date(2023, 6, 1), date(2026, 12, 1)))
def test_a_month_says_late_exactly_where_something_was(dues: tuple[Due, ...], opened: date) -> None:
    account = Account(
        nr=1, customer=UUID(int=1), opened_on=opened, currency="CNY", state=AccountState.OPEN,
        amount_minor=1, balance_minor=1, overdue_minor=0, dpd=0, category=0, dues=dues,
    )  # fmt: skip
    history = history_of(account, "2026-12")
    for month, mark in zip(months_to("2026-12"), history, strict=True):
        end = month_end(month)
        late = any(d.due_on < end and (d.paid_on is None or d.paid_on > end) for d in dues)
        assert mark == status_of(account, month)
        assert (mark == "/") is (end < opened)
        assert (mark in "1234567") is (late and end >= opened)
    # Next month's file repeats what this one told.
    row = row_of(account, "2026-12", ())
    assert row is not None
    following = row_of(account, "2027-01", (), row.history)
    assert following is not None
    assert following.kind.value == "normal"
