"""Identity steps against a real provider process that fails, delays, lies and disappears."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from uuid import UUID

import pytest

from steelyard.base import Database, PlainBusinessClock
from steelyard.base.audit import read_audit
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import jobs
from steelyard.events import PostgresFactLog
from steelyard.kernel import SteppingClock
from steelyard.parties import (
    HttpIdentityProvider,
    IdentityProvider,
    PersonalField,
    consents,
    contacts,
    identity,
    personal,
    registry,
)
from tests.conftest import START, Store
from tests.parties.conftest import Simulated, facts_of, id_number, new_id

STEP, STATE, FINDING = identity.Step, identity.AttemptState, identity.Finding
PHONE = "+8615400001234"


class Desk:
    """A customer at the desk of one provider."""

    def __init__(
        self, database: Database, keyring: Keyring, party: UUID, provider: IdentityProvider
    ) -> None:
        self.database, self.keyring, self.party, self.provider = database, keyring, party, provider

    def take(self, step: identity.Step, **more: object) -> identity.Attempt:
        ask = identity.Ask(self.party, step, more.pop("id", None) or new_id(), **more)  # type: ignore[arg-type]
        return identity.take_step(
            self.database, self.keyring, self.provider, ask, actor=f"party:{self.party}"
        )

    def poll(self, attempt: identity.Attempt, provider: IdentityProvider) -> identity.Attempt:
        return identity.poll(self.database, provider, attempt.id, actor="system:identity")

    def level(self) -> int:
        with self.database.reading() as connection:
            return int(registry.read_party(connection, self.party).level)

    def evidence(self, attempt: identity.Attempt) -> list[tuple[str, str, str]]:
        with self.database.reading() as connection:
            found = identity.evidence_of(connection, attempt.id)
        return [(e.source.value, e.finding.value, e.reason) for e in found]

    def climb(self, simulated: Simulated, *, to: int = 1) -> None:
        """Take the steps up to a level, all of them passing."""
        assert self.take(STEP.NUMBER).state is STATE.PASSED
        sent = self.take(STEP.PHONE_CODE)
        with self.database.unit_of_work() as unit:
            (phone,) = personal.disclose(
                unit,
                self.keyring,
                personal.Reading(self.party, (PersonalField.PHONE,), "identity_check"),
            ).values()
        code = simulated.codes(phone)[-1]
        assert self.take(STEP.PHONE, sent=sent.id, code=code).state is STATE.PASSED
        if to > 1:
            assert self.take(STEP.NAME).state is STATE.PASSED
        assert self.level() == to


@pytest.fixture
def desk(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID], simulated: Simulated
) -> Desk:
    return Desk(database, keyring, enrol(), simulated.provider)


def test_from_nobody_to_a_known_face(desk: Desk, database: Database, simulated: Simulated) -> None:
    with pytest.raises(identity.LevelIsTooLow):
        desk.take(STEP.NAME)
    desk.climb(simulated, to=2)
    with pytest.raises(identity.ConsentIsMissing):
        desk.take(STEP.FACE, portrait=b"portrait")
    with database.unit_of_work() as unit:
        consents.publish_text(
            unit, "face_comparison", zh="人脸", en="face", changes_substance=False
        )
        consents.grant(unit, desk.party, "face_comparison", text_version=1, channel="app")
    assert desk.take(STEP.FACE, portrait=b"stranger at the door").state is STATE.FAILED
    assert desk.level() == 2
    assert desk.take(STEP.FACE, portrait=b"portrait").state is STATE.PASSED
    assert desk.level() == 3
    told = facts_of(database, desk.party)
    changes = [(p["before"], p["after"]) for kind, p in told if kind == "IdentityLevelChanged"]
    assert changes == [(0, 1), (1, 2), (2, 3)]
    assert [p["step"] for kind, p in told if kind == "IdentityEvidenceRecorded"] == [
        "number",
        "phone_code",
        "phone",
        "name",
        "face",
        "face",
    ]
    assert "1540000" not in str(told)
    assert "张" not in str(told)
    with database.unit_of_work() as unit:
        (phone, *_) = contacts.contacts_of(unit.connection, desk.keyring, desk.party)
        trail = read_audit(unit.connection, subject=f"party:{desk.party}").items
    assert phone.verified_at is not None
    assert len([e for e in trail if '"purpose":"identity_check"' in e.detail]) == 5


def test_a_time_out_is_unknown_until_a_poll_finds_out(
    desk: Desk, simulated: Simulated, hasty: HttpIdentityProvider
) -> None:
    desk.climb(simulated)
    desk.provider = hasty
    simulated.script({"step": "name", "behaviour": "hang"})
    attempt = desk.take(STEP.NAME)
    assert attempt.state is STATE.UNKNOWN
    assert desk.level() == 1
    with pytest.raises(identity.StepIsUnderWay):
        desk.take(STEP.NAME)
    assert desk.poll(attempt, simulated.provider).state is STATE.PASSED
    assert desk.level() == 2
    assert desk.evidence(attempt) == [
        ("answer", "unknown", "timed_out"),
        ("poll", "passed", "matched"),
    ]


def test_a_lost_request_is_void_and_may_be_made_again(
    desk: Desk, simulated: Simulated, hasty: HttpIdentityProvider
) -> None:
    simulated.script({"step": "number", "behaviour": "lose"})
    desk.provider = hasty
    attempt = desk.take(STEP.NUMBER)
    assert attempt.state is STATE.UNKNOWN
    assert desk.poll(attempt, simulated.provider).state is STATE.VOID
    desk.provider = simulated.provider
    assert desk.take(STEP.NUMBER).state is STATE.PASSED


UNREADABLE = [
    ("reject", "status_503", "void"),
    ("break", "status_500", "passed"),
    ("garble", "answer_unreadable", "passed"),
    ("confuse", "answer_to_another_request", "passed"),
]


def test_what_cannot_be_read_is_unknown(desk: Desk, simulated: Simulated) -> None:
    for behaviour, reason, found in UNREADABLE:
        simulated.script({"step": "number", "behaviour": behaviour})
        attempt = desk.take(STEP.NUMBER)
        assert attempt.state is STATE.UNKNOWN
        assert desk.evidence(attempt) == [("answer", "unknown", reason)]
        assert desk.poll(attempt, simulated.provider).state == found


def test_a_provider_that_is_not_there_was_never_asked(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID]
) -> None:
    nowhere = HttpIdentityProvider("http://127.0.0.1:1", timeout_seconds=2.0)
    desk = Desk(database, keyring, enrol(), nowhere)
    attempt = desk.take(STEP.NUMBER)
    assert attempt.state is STATE.VOID
    assert desk.evidence(attempt) == [("answer", "not_received", "not_sent")]
    nowhere.close()


def test_a_poll_that_reaches_nobody_says_nothing(
    desk: Desk, simulated: Simulated, hasty: HttpIdentityProvider
) -> None:
    simulated.script({"step": "number", "behaviour": "hang"})
    desk.provider = hasty
    attempt = desk.take(STEP.NUMBER)
    nowhere = HttpIdentityProvider("http://127.0.0.1:1", timeout_seconds=2.0)
    assert desk.poll(attempt, nowhere).state is STATE.UNKNOWN
    nowhere.close()
    assert desk.poll(attempt, simulated.provider).state is STATE.PASSED


def test_a_late_answer_counts(desk: Desk, simulated: Simulated) -> None:
    simulated.script({"step": "number", "delay_ms": 300})
    assert desk.take(STEP.NUMBER).state is STATE.PASSED


def test_a_lie_is_a_dispute_that_a_person_rules_on(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    desk.climb(simulated)
    with database.unit_of_work() as unit:
        personal.correct(unit, desk.keyring, desk.party, {PersonalField.NAME: "张不符"})
    simulated.script({"step": "name", "behaviour": "lie"})
    attempt = desk.take(STEP.NAME)
    assert (attempt.state, desk.level()) == (STATE.PASSED, 2)
    assert desk.poll(attempt, simulated.provider).state is STATE.DISPUTED
    assert desk.level() == 1
    with database.reading() as connection:
        assert [a.id for a in identity.disputed_attempts(connection)] == [attempt.id]
    with pytest.raises(identity.RulingIsNotMeaningful), database.unit_of_work() as unit:
        identity.rule(unit, attempt.id, FINDING.UNKNOWN, reason="document_seen")
    for finding, level in ((FINDING.PASSED, 2), (FINDING.FAILED, 1)):
        with database.unit_of_work(actor="staff:7") as unit:
            identity.rule(unit, attempt.id, finding, reason="document_seen")
        assert desk.level() == level
        assert desk.poll(attempt, simulated.provider).state == finding.value


def test_repeated_evidence_changes_nothing(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    desk.climb(simulated)
    with database.reading() as connection:
        first = identity.attempts_of(connection, desk.party)[0]
    once = desk.poll(first, simulated.provider)
    told = facts_of(database, desk.party)
    for _ in range(3):
        assert desk.poll(first, simulated.provider) == once
    assert facts_of(database, desk.party) == told
    assert desk.level() == 1


def test_the_same_attempt_again_is_not_asked_again(
    desk: Desk, simulated: Simulated, hasty: HttpIdentityProvider
) -> None:
    attempt = desk.take(STEP.NUMBER)
    assert desk.take(STEP.NUMBER, id=attempt.id) == attempt
    assert desk.evidence(attempt) == [("answer", "passed", "matched")]
    simulated.script({"step": "number", "behaviour": "hang"})
    desk.provider = hasty
    hung = desk.take(STEP.NUMBER)
    desk.provider = simulated.provider
    assert desk.take(STEP.NUMBER, id=hung.id).state is STATE.PASSED  # by asking what became of it


def test_a_process_that_died_after_its_intent_is_made_good(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    ask = identity.Ask(desk.party, STEP.NUMBER, new_id())
    database.transact(
        lambda unit: identity.begin(unit, desk.keyring, ask, provider=simulated.provider.name)
    )
    young = identity.poll_unsettled(database, simulated.provider)
    assert young == 0
    settled = identity.poll_unsettled(database, simulated.provider, older_than=timedelta(0))
    assert settled == 1
    again = identity.poll_unsettled(database, simulated.provider, older_than=timedelta(0))
    assert again == 0
    with database.reading() as connection:
        assert identity.read_attempt(connection, ask.id).state is STATE.VOID
    other = HttpIdentityProvider(simulated.url, name="another")
    with pytest.raises(identity.ProviderIsNotAtHand):
        identity.poll(database, other, ask.id, actor="system:identity")
    other.close()


def test_no_transaction_is_open_while_the_provider_is_asked(desk: Desk, database: Database) -> None:
    class Watching:
        name = "watching"
        open_transactions: int | None = None

        def check_number(self, request: str, *, id_number: str) -> identity.ProviderAnswer:
            with database.engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
                Watching.open_transactions = connection.exec_driver_sql(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND left(state, 19) = 'idle in transaction' AND pid <> pg_backend_pid()"
                ).scalar_one()
            return identity.ProviderAnswer(request, FINDING.PASSED)

    desk.provider = Watching()  # type: ignore[assignment]
    assert desk.take(STEP.NUMBER).state is STATE.PASSED
    assert Watching.open_transactions == 0


def test_a_changed_value_is_no_longer_proved(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    desk.climb(simulated, to=2)
    with database.unit_of_work() as unit:
        changed = personal.correct(
            unit, desk.keyring, desk.party, {PersonalField.PHONE: "15400005555"}
        )
    assert changed.level == 0
    with database.unit_of_work() as unit:
        back = personal.correct(unit, desk.keyring, desk.party, {PersonalField.PHONE: PHONE})
    assert back.level == 2  # what was proved about the old number still holds for it


def test_late_evidence_about_an_old_value_proves_nothing_new(
    desk: Desk, database: Database, simulated: Simulated, hasty: HttpIdentityProvider
) -> None:
    desk.climb(simulated)
    simulated.script({"step": "name", "behaviour": "hang"})
    desk.provider = hasty
    attempt = desk.take(STEP.NAME)
    with database.unit_of_work() as unit:
        personal.correct(unit, desk.keyring, desk.party, {PersonalField.NAME: "李四"})
    assert desk.poll(attempt, simulated.provider).state is STATE.PASSED
    assert desk.level() == 1


def test_one_number_is_one_customer(
    desk: Desk,
    database: Database,
    keyring: Keyring,
    enrol: Callable[..., UUID],
    simulated: Simulated,
) -> None:
    second = Desk(database, keyring, enrol(phone="+8615400008888"), simulated.provider)
    second.climb(simulated)
    simulated.script({"step": "name", "behaviour": "break"})
    attempt = second.take(STEP.NAME)
    desk.climb(simulated, to=2)
    assert second.poll(attempt, simulated.provider).state is STATE.PASSED
    assert second.level() == 1  # the first one holds the number
    with pytest.raises(identity.IdentityBelongsToAnother):
        second.take(STEP.NAME)
    with database.unit_of_work() as unit:
        registry.close(unit, desk.party, reason="own_wish")
    assert second.take(STEP.NAME).state is STATE.PASSED
    assert second.level() == 2


def test_a_number_that_is_proved_again_is_held_again(
    desk: Desk,
    database: Database,
    keyring: Keyring,
    enrol: Callable[..., UUID],
    simulated: Simulated,
) -> None:
    first, other = id_number(), id_number("99000119900228003")
    desk.climb(simulated, to=2)

    def change(number: str) -> int:
        with database.unit_of_work() as unit:
            told = {PersonalField.ID_NUMBER: number}
            return int(personal.correct(unit, keyring, desk.party, told).level)

    assert change(other) == 0
    desk.take(STEP.NUMBER)
    desk.take(STEP.NAME)
    assert desk.level() == 2
    assert change(first) == 2
    second = Desk(
        database, keyring, enrol(phone="+8615400008888", id_number=other), simulated.provider
    )
    second.climb(simulated, to=2)  # the number given up is free
    assert change(other) == 1


def test_a_malformed_number_and_a_missing_field_ask_nobody(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID], simulated: Simulated
) -> None:
    wrong = id_number()[:-1] + "0"
    for changes, refusal in (
        ({"id_number": wrong}, identity.IdNumberIsMalformed),
        ({"id_number": None}, identity.PersonalFieldIsMissing),
    ):
        desk = Desk(database, keyring, enrol(**changes), simulated.provider)
        with pytest.raises(refusal):
            desk.take(STEP.NUMBER)
        with database.reading() as connection:
            assert identity.attempts_of(connection, desk.party) == ()


def test_codes_expire_and_run_out(
    store: Store, keyring: Keyring, enrol: Callable[..., UUID], simulated: Simulated
) -> None:
    wall = SteppingClock(START)
    database = Database(
        store.url,
        facts=PostgresFactLog(),
        clock=PlainBusinessClock(SteppingClock(START)),
        wall=wall,
    )
    desk = Desk(database, keyring, enrol(), simulated.provider)
    sent = desk.take(STEP.PHONE_CODE)
    code = simulated.codes(PHONE)[-1]
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    with pytest.raises(identity.CodeWasNotSent):
        desk.take(STEP.PHONE, sent=new_id(), code=code)
    for _ in range(5):
        assert desk.take(STEP.PHONE, sent=sent.id, code=wrong).state is STATE.FAILED
    with pytest.raises(identity.TooManyTries):
        desk.take(STEP.PHONE, sent=sent.id, code=code)
    sent = desk.take(STEP.PHONE_CODE)
    wall.advance(timedelta(minutes=5))
    with pytest.raises(identity.CodeHasExpired):
        desk.take(STEP.PHONE, sent=sent.id, code=simulated.codes(PHONE)[-1])
    for _ in range(3):
        desk.take(STEP.PHONE_CODE)
    with pytest.raises(identity.TooManyTries):
        desk.take(STEP.PHONE_CODE)
    wall.advance(timedelta(hours=1))
    assert desk.take(STEP.PHONE_CODE).state is STATE.PASSED
    database.close()


def test_magic_values_misbehave_by_themselves(
    database: Database, keyring: Keyring, enrol: Callable[..., UUID], simulated: Simulated
) -> None:
    for last, state in (("1", "failed"), ("4", "unknown"), ("6", "unknown"), ("7", "failed")):
        desk = Desk(database, keyring, enrol(phone=f"+861540000000{last}"), simulated.provider)
        assert desk.take(STEP.PHONE_CODE).state == state
    number = id_number("99000119000101001")
    born = {"id_number": number, "birth_on": "1900-01-01", "sex": "male"}
    desk = Desk(database, keyring, enrol(**born), simulated.provider)
    assert desk.take(STEP.NUMBER).state is STATE.FAILED


def test_two_tries_at_once_make_one_call(desk: Desk, simulated: Simulated) -> None:
    simulated.script({"step": "number", "delay_ms": 200, "times": None})
    start = threading.Barrier(4)
    made: list[identity.Attempt] = []

    def run() -> None:
        start.wait()
        with suppress(identity.StepIsUnderWay):
            made.append(desk.take(STEP.NUMBER))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [attempt.state for attempt in made] == [STATE.PASSED]


def test_evidence_for_a_closed_party_is_kept_and_changes_no_level(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    simulated.script({"step": "number", "behaviour": "break"})
    attempt = desk.take(STEP.NUMBER)
    with database.unit_of_work() as unit:
        registry.close(unit, desk.party, reason="own_wish")
    assert desk.poll(attempt, simulated.provider).state is STATE.PASSED
    with pytest.raises(registry.PartyIsClosed):
        desk.take(STEP.NUMBER)
    assert desk.level() == 0


def test_the_job_polls_what_is_unknown(
    desk: Desk, database: Database, simulated: Simulated
) -> None:
    simulated.script({"step": "number", "behaviour": "break"})
    attempt = desk.take(STEP.NUMBER)
    with database.unit_of_work() as unit:  # as if it was asked about long ago
        unit.execute("UPDATE parties.identity_attempt SET asked_wall_at = '2020-01-01Z'")
    work = jobs()["parties.poll_identity"].work
    for provider, state in ((None, "unknown"), (simulated.provider, "passed")):
        context = SimpleNamespace(
            database=database, platform=SimpleNamespace(identity_provider=provider)
        )
        work(context)
        with database.reading() as connection:
            assert identity.read_attempt(connection, attempt.id).state == state
