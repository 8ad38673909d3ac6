"""Bureau inquiries against a real process that fails, delays, repeats and lies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Database, PlainBusinessClock
from steelyard.base.audit import read_audit
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import jobs
from steelyard.credit.model.bureau import (
    BureauEvidence,
    CreditBureau,
    Found,
    InquiryState,
    Report,
    Source,
    settle,
)
from steelyard.credit.providers.bureau_http import HttpCreditBureau
from steelyard.credit.service import bureau
from steelyard.events import PostgresFactLog
from steelyard.kernel import Refusal, SteppingClock
from steelyard.parties import consents
from tests.conftest import START, Store
from tests.credit.outside import Outside, id_number, process
from tests.credit.outside import bureau_process as bureau_process
from tests.credit.outside import enrol as enrol
from tests.credit.outside import keyring as keyring
from tests.credit.outside import the_bureau as the_bureau

STATE = InquiryState


class Desk:
    """A customer, and the bureau that is asked about him."""

    def __init__(self, database: Database, keyring: Keyring, party: UUID, at: CreditBureau) -> None:
        self.database, self.keyring, self.party, self.at = database, keyring, party, at

    def ask(self, inquiry: UUID | None = None) -> bureau.Inquiry:
        ask = bureau.Ask(self.party, bureau.Why.APPLICATION, inquiry or uuid4())
        return bureau.inquire(self.database, self.keyring, self.at, ask, actor="system:test")

    def poll(self, inquiry: UUID, at: CreditBureau | None = None) -> bureau.Inquiry:
        return bureau.poll(self.database, self.keyring, at or self.at, inquiry, actor="system:test")

    def evidence(self, inquiry: UUID) -> list[tuple[str, str, str]]:
        with self.database.reading() as connection:
            found = bureau.evidence_of(connection, inquiry)
        return [(e.source.value, e.found.value, e.reason) for e in found]

    def known(self, inquiry: UUID) -> bureau.Known | None:
        with self.database.reading() as connection:
            return bureau.known_of(connection, inquiry)

    def newest(self, **more: int) -> bureau.Known | None:
        now = self.database.now()
        with self.database.reading() as connection:
            return bureau.newest(connection, self.party, now=now, **more)


@pytest.fixture
def desk(
    database: Database,
    keyring: Keyring,
    enrol: Callable[..., UUID],
    the_bureau: HttpCreditBureau,
) -> Desk:
    return Desk(database, keyring, enrol(), the_bureau)


@pytest.fixture
def hasty(bureau_process: Outside) -> Iterator[HttpCreditBureau]:
    opened = HttpCreditBureau(bureau_process.url, timeout_seconds=0.2)
    yield opened
    opened.close()


def _refused(call: Callable[[], object]) -> str:
    with pytest.raises(Refusal) as refusal:
        call()
    return refusal.value.code


def test_a_hit_is_kept_with_the_consent_it_rests_on(desk: Desk, bureau_process: Outside) -> None:
    bureau_process.script({"verb": "inquire", "force": "hit"})
    inquiry = desk.ask()
    assert inquiry.state is STATE.ANSWERED
    assert (inquiry.consent_version, inquiry.consent_at) == (1, START)
    with desk.database.reading() as connection:
        (standing,) = consents.consents_of(connection, desk.party)
        assert inquiry.consent_hash == standing.acts[-1].text_hash
        trail = read_audit(connection, subject=f"party:{desk.party}").items
        log = connection.exec_driver_sql("SELECT payload::text FROM events.log").scalars().all()
        rows = connection.exec_driver_sql("SELECT report::text FROM credit.bureau_evidence")
        kept = [*log, *rows.scalars()]
    known = desk.known(inquiry.id)
    assert known is not None
    assert known.report is not None
    assert known.report.score is not None
    assert known.report.accounts >= known.report.open_accounts >= 1
    assert "credit.ask_bureau" in [line.action for line in trail]
    # Whom the answer names is compared and not kept.
    assert all("张" not in text and id_number(1) not in text for text in kept)


@pytest.mark.parametrize("found", ["thin_file", "no_file"])
def test_a_thin_file_has_no_score_and_nobody_has_no_file(
    desk: Desk, bureau_process: Outside, found: str
) -> None:
    bureau_process.script({"verb": "inquire", "force": found})
    known = desk.known(desk.ask().id)
    assert known is not None
    assert known.found.value == found
    if found == "thin_file":
        assert known.report is not None
        assert known.report.score is None
    else:
        assert known.report is None


def test_nobody_is_asked_about_without_consent(
    desk: Desk, enrol: Callable[..., UUID], bureau_process: Outside
) -> None:
    number = id_number(7)
    desk.party = enrol(consented=False, id_number=number)
    assert _refused(desk.ask) == "consent_is_missing"
    with desk.database.unit_of_work() as unit:
        consents.grant(unit, desk.party, "credit_assessment", text_version=1, channel="app")
    desk.ask()
    assert bureau_process.get(f"/v1/persons/{number}/inquiries") == {"inquiries": 1}
    with desk.database.unit_of_work() as unit:
        consents.withdraw(unit, desk.party, "credit_assessment", channel="app")
    assert _refused(desk.ask) == "consent_is_missing"
    assert bureau_process.get(f"/v1/persons/{number}/inquiries") == {"inquiries": 1}


def test_who_left_no_number_is_not_asked_about(desk: Desk, enrol: Callable[..., UUID]) -> None:
    desk.party = enrol(id_number=None)
    assert _refused(desk.ask) == "personal_field_is_missing"


def test_a_time_out_is_unknown_until_a_poll_finds_out(
    desk: Desk, the_bureau: HttpCreditBureau, hasty: HttpCreditBureau, bureau_process: Outside
) -> None:
    desk.at = hasty
    bureau_process.script({"verb": "inquire", "behaviour": "hang", "force": "hit"})
    inquiry = desk.ask()
    assert inquiry.state is STATE.UNKNOWN
    assert desk.known(inquiry.id) is None
    assert desk.newest() is None
    assert _refused(desk.ask) == "inquiry_is_under_way"
    assert desk.poll(inquiry.id, the_bureau).state is STATE.ANSWERED
    assert desk.evidence(inquiry.id) == [
        ("answer", "unknown", "timed_out"),
        ("poll", "hit", "scripted"),
    ]


def test_what_the_bureau_never_had_is_void_and_asked_anew(
    desk: Desk, the_bureau: HttpCreditBureau, hasty: HttpCreditBureau, bureau_process: Outside
) -> None:
    desk.at = hasty
    bureau_process.script({"verb": "inquire", "behaviour": "lose"})
    lost = desk.ask()
    assert lost.state is STATE.UNKNOWN
    assert desk.poll(lost.id, the_bureau).state is STATE.VOID
    desk.at = the_bureau
    assert desk.ask().state is STATE.ANSWERED


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [("reject", "status_503"), ("break", "status_500"), ("garble", "answer_unreadable")],
)
def test_an_outage_is_not_an_answer(
    desk: Desk, bureau_process: Outside, behaviour: str, reason: str
) -> None:
    bureau_process.script({"verb": "inquire", "behaviour": behaviour})
    inquiry = desk.ask()
    assert inquiry.state is STATE.UNKNOWN
    assert desk.evidence(inquiry.id) == [("answer", "unknown", reason)]


def test_a_bureau_that_is_gone_was_never_asked(desk: Desk) -> None:
    desk.at = HttpCreditBureau("http://127.0.0.1:1")
    inquiry = desk.ask()
    assert inquiry.state is STATE.VOID
    assert desk.evidence(inquiry.id) == [("answer", "not_received", "not_sent")]
    desk.at.close()


def test_an_answer_about_somebody_else_is_evidence_of_nothing(
    desk: Desk, bureau_process: Outside
) -> None:
    bureau_process.script(
        {"verb": "inquire", "behaviour": "lie", "force": "hit"},
        {"verb": "query", "behaviour": "confuse"},
        {"verb": "query", "behaviour": "lie"},
    )
    inquiry = desk.ask()
    assert inquiry.state is STATE.UNKNOWN
    assert desk.known(inquiry.id) is None
    assert desk.poll(inquiry.id).state is STATE.UNKNOWN
    assert desk.poll(inquiry.id).state is STATE.UNKNOWN
    assert desk.poll(inquiry.id).state is STATE.ANSWERED
    assert [reason for _, _, reason in desk.evidence(inquiry.id)] == [
        "names_another_person",
        "answer_to_another_request",
        "scripted",
    ]


def test_a_repeated_answer_and_a_repeated_command_change_nothing(
    desk: Desk, enrol: Callable[..., UUID], bureau_process: Outside
) -> None:
    number = id_number(9)
    desk.party = enrol(id_number=number)
    inquiry = desk.ask()
    again = desk.ask(inquiry.id)
    assert again == inquiry
    assert desk.poll(inquiry.id) == inquiry
    assert len(desk.evidence(inquiry.id)) == 1
    assert bureau_process.get(f"/v1/persons/{number}/inquiries") == {"inquiries": 1}


def test_two_answers_that_differ_are_built_on_by_nobody(
    desk: Desk, bureau_process: Outside, database: Database, keyring: Keyring
) -> None:
    bureau_process.script({"verb": "inquire", "force": "hit"})
    inquiry = desk.ask()
    other = bureau.BureauAnswer(
        str(inquiry.id), Found.NO_FILE, "searched", "B9", "张三丰", id_number(1)
    )
    with database.unit_of_work() as unit:
        settled = bureau.record(unit, keyring, inquiry.id, other, source=Source.POLL)
    assert settled.state is STATE.DISPUTED
    assert desk.known(inquiry.id) is None


def test_a_report_grows_old(desk: Desk, clock: SteppingClock) -> None:
    inquiry = desk.ask()
    clock.advance(timedelta(days=30) - timedelta(seconds=1))
    newest = desk.newest()
    assert newest is not None
    assert newest.inquiry == inquiry.id
    assert desk.newest(days=10) is None
    clock.advance(timedelta(seconds=1))
    assert desk.newest() is None
    with desk.database.reading() as connection, pytest.raises(bureau.ReportHasExpired):
        bureau.report_for(connection, desk.party, now=clock.now())


def test_the_job_asks_again_about_what_is_unsettled(
    store: Store, keyring: Keyring, enrol: Callable[..., UUID], bureau_process: Outside,
    the_bureau: HttpCreditBureau,
) -> None:  # fmt: skip
    wall = SteppingClock(START)
    database = Database(
        store.url, facts=PostgresFactLog(), clock=PlainBusinessClock(SteppingClock(START)),
        wall=wall,
    )  # fmt: skip
    desk = Desk(database, keyring, enrol(), the_bureau)
    bureau_process.script({"verb": "inquire", "behaviour": "break"})
    inquiry = desk.ask()
    assert bureau.poll_unsettled(database, keyring, the_bureau) == 0
    assert desk.evidence(inquiry.id)[-1][0] == "answer"
    wall.advance(timedelta(minutes=1))
    assert bureau.poll_unsettled(database, keyring, the_bureau) == 1
    assert desk.poll(inquiry.id).state is STATE.ANSWERED
    assert "credit.poll_bureau" in jobs()
    database.close()


def test_another_bureaus_inquiry_is_not_polled_here(desk: Desk, bureau_process: Outside) -> None:
    inquiry = desk.ask()
    other = HttpCreditBureau(bureau_process.url, name="other")
    assert _refused(lambda: desk.poll(inquiry.id, other)) == "bureau_is_not_at_hand"
    assert _refused(lambda: desk.poll(uuid4())) == "inquiry_is_unknown"
    other.close()


_REPORT = Report(made_on=date(2026, 1, 1))
_EVIDENCE = st.lists(
    st.sampled_from(
        [(Found.HIT, _REPORT), (Found.NO_FILE, None), (Found.UNKNOWN, None),
         (Found.NOT_RECEIVED, None)]
    ),
    max_size=6,
)  # fmt: skip


@given(_EVIDENCE, st.randoms())
def test_neither_order_nor_repetition_of_evidence_matters(
    told: list[tuple[Found, Report | None]], chance: object
) -> None:
    def settled(findings: list[tuple[Found, Report | None]]) -> InquiryState:
        at = datetime(2026, 1, 1, tzinfo=UTC)
        return settle(
            BureauEvidence(
                inquiry=UUID(int=1), sequence=n, source=Source.POLL, found=found, reason="",
                reference="", report=report, recorded_at=at,
            )
            for n, (found, report) in enumerate(findings, 1)
        )  # fmt: skip

    shuffled = [*told, *told]
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert settled(told) is settled(shuffled)
    if any(found is Found.HIT for found, _ in told):
        wanted = {STATE.ANSWERED, STATE.DISPUTED}
        assert settled(told) in wanted


def test_the_simulated_bureau_answers_only_what_it_is_asked(bureau_url: str) -> None:
    answer = httpx.post(f"{bureau_url}/v1/inquiries", json={"request": "1"}, trust_env=False)
    assert answer.status_code == 422


def test_an_inquiry_whose_asker_died_is_polled_and_not_repeated(
    desk: Desk, enrol: Callable[..., UUID], bureau_process: Outside
) -> None:
    number = id_number(11)
    desk.party = enrol(id_number=number)
    ask = bureau.Ask(desk.party, bureau.Why.MONITORING, uuid4())
    with desk.database.unit_of_work() as unit:
        bureau.begin(unit, desk.keyring, ask, bureau=desk.at.name)
    again = bureau.inquire(desk.database, desk.keyring, desk.at, ask, actor="system:test")
    assert again.state is STATE.VOID
    assert bureau_process.get(f"/v1/persons/{number}/inquiries") == {"inquiries": 0}
    assert desk.ask().state is STATE.ANSWERED
    assert bureau_process.get(f"/v1/persons/{number}/inquiries") == {"inquiries": 1}


def test_a_bureau_that_starts_again_knows_what_it_was_asked(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID], tmp_path: Path
) -> None:
    number = id_number(12)
    party = enrol(id_number=number)
    store = ("--store", str(tmp_path / "bureau.sqlite"))
    ask = bureau.Ask(party, bureau.Why.LIMIT, uuid4())
    with process("simulated_bureau", *store) as url:
        opened = HttpCreditBureau(url)
        asked = bureau.inquire(database, keyring, opened, ask, actor="system:test")
        opened.close()
    with process("simulated_bureau", *store) as url:
        opened = HttpCreditBureau(url)
        polled = bureau.poll(database, keyring, opened, ask.id, actor="system:test")
        opened.close()
        assert Outside(url).get(f"/v1/persons/{number}/inquiries") == {"inquiries": 1}
    assert (asked.state, polled) == (STATE.ANSWERED, asked)
