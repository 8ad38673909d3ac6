"""Second factors: authenticator apps, recovery codes, passkeys."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest

from steelyard.kernel import Refusal
from steelyard.parties import (
    passkeys,
    second_factors,
    sessions,
    sign_in,
)
from steelyard.parties.model.second_factor import Factor, Site, match_totp, totp_code, totp_step
from steelyard.parties.model.session import Whose
from steelyard.parties.service.passkey import check_assertion, check_attestation
from tests.parties.authenticator import Authenticator
from tests.parties.office import CLIENT, Office, Person

OTHER = Authenticator()
SITE = Site("bank.example", "https://bank.example")


def test_a_code_matches_once_and_only_near_its_time() -> None:
    secret, at = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", datetime(2026, 1, 1, tzinfo=UTC)
    present = totp_step(at)
    taken = [o for o in range(-4, 5) if match_totp(secret, totp_code(secret, present + o), at, 0)]
    assert taken == [-1, 0, 1]
    assert match_totp(secret, totp_code(secret, present), at, present) is None
    assert match_totp(secret, "全角数字", at, 0) is None


def test_codes_are_those_of_the_standard() -> None:
    # RFC 6238, appendix B, the last six of its eight digits (SHA-1).
    secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
    known = {59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"}
    assert {at: totp_code(secret, at // 30) for at in known} == known


# --- second factors ------------------------------------------------------------------------------


def _finish(office: Office, person: Person, code: str) -> sign_in.SignInStep:
    step = office.password(person)
    assert step.pending is not None
    sign_in.sign_in_with_code(
        office.database, office.keyring, pending=step.pending, code=code, client=CLIENT
    )
    return step


def test_a_code_is_good_once_even_for_two_at_once(office: Office) -> None:
    person = office.hire("known", "maker")
    code = office.code(person)
    pending = [office.password(person).pending for _ in range(4)]

    def finish(token: str | None) -> bool:
        assert token is not None
        try:
            sign_in.sign_in_with_code(
                office.database, office.keyring, pending=token, code=code, client=CLIENT
            )
        except (sign_in.SignInFailed, sign_in.SignInIsLocked):
            return False
        return True

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(finish, pending)) == 1
    office.later(hours=1)
    _finish(office, person, office.code(person))


def test_codes_are_guessed_no_faster_than_passwords(office: Office) -> None:
    person = office.hire("known", "maker")
    told = []
    for _ in range(12):
        try:
            _finish(office, person, "000000")
        except Refusal as refusal:
            told.append(type(refusal))
    assert told.count(sign_in.SignInFailed) <= 5
    assert told[-1] is sign_in.SignInIsLocked


def test_a_sign_in_under_way_lapses_and_is_finished_once(office: Office) -> None:
    person = office.hire("known", "maker")
    step = _finish(office, person, office.code(person))
    office.later(seconds=60)
    assert step.pending is not None
    for pending in (step.pending, "made up"):
        with pytest.raises(sign_in.SignInHasLapsed):
            sign_in.sign_in_with_code(
                office.database,
                office.keyring,
                pending=pending,
                code=office.code(person),
                client=CLIENT,
            )
    late = office.password(person)
    office.later(minutes=6)
    assert late.pending is not None
    with pytest.raises(sign_in.SignInHasLapsed):
        sign_in.sign_in_with_code(
            office.database,
            office.keyring,
            pending=late.pending,
            code=office.code(person),
            client=CLIENT,
        )


def test_a_recovery_code_is_good_once(office: Office) -> None:
    person = office.hire("known", "maker")
    assert len(person.recovery) == len(set(person.recovery)) == 10

    def recover(code: str) -> None:
        step = office.password(person)
        assert step.pending is not None
        opened = sign_in.sign_in_with_recovery_code(
            office.database, office.keyring, pending=step.pending, code=code, client=CLIENT
        )
        assert opened.session.has_second_factor

    recover(person.recovery[0].upper().replace("-", " "))
    with pytest.raises(sign_in.SignInFailed):
        recover(person.recovery[0])
    recover(person.recovery[1])
    fresh = office.run(
        lambda unit: second_factors.new_recovery_codes(unit, office.keyring, person.id)
    )
    with pytest.raises(sign_in.SignInFailed):
        recover(person.recovery[2])
    recover(fresh[0])


def test_an_authenticator_counts_once_a_code_of_it_was_confirmed(office: Office) -> None:
    person = office.hire("known", "maker", totp=False)
    opened = office.sign_in(person)
    with pytest.raises(second_factors.NothingToConfirm):
        office.run(lambda u: second_factors.confirm_totp(u, office.keyring, person.id, "000000"))
    secret = office.run(lambda u: second_factors.begin_totp(u, office.keyring, person.id))
    assert secret.uri.startswith("otpauth://totp/Steelyard:known?secret=")
    with pytest.raises(second_factors.CodeIsWrong):
        office.run(lambda u: second_factors.confirm_totp(u, office.keyring, person.id, "12345"))
    assert office.password(person).opened is not None
    code = totp_code(secret.secret, totp_step(office.wall.now()))
    office.run(
        lambda u: second_factors.confirm_totp(
            u, office.keyring, person.id, code, session=opened.session
        )
    )
    assert office.password(person).opened is None
    with office.database.reading() as connection:
        found = sessions.sessions_of(connection, person.id, office.wall.now())
    assert {s.id for s in found if s.has_second_factor} == {opened.session.id}


# --- passkeys ------------------------------------------------------------------------------------


def _register(
    office: Office,
    person: Person,
    device: Authenticator,
    *,
    attestation: str = "packed",
    site: Site = SITE,
) -> passkeys.Passkey:
    opened = office.run(
        lambda unit: sessions.open_session(
            unit, Whose.STAFF, person.id, factors=frozenset({Factor.PASSWORD}), client=CLIENT
        )
    )
    begun = office.run(lambda unit: passkeys.begin_registration(unit, opened.session, site))
    made = device.create(begun.options, attestation=attestation)
    return office.run(
        lambda unit: passkeys.finish_registration(
            unit, opened.session, token=begun.token, credential=made, name="key", site=site
        )
    )


def _use(office: Office, person: Person, device: Authenticator, *, site: Site = SITE) -> str:
    step = office.password(person)
    assert step.pending is not None
    options = sign_in.begin_passkey(office.database, pending=step.pending, site=site)
    shown = device.get(options)
    sign_in.sign_in_with_passkey(
        office.database,
        office.keyring,
        pending=step.pending,
        credential=shown,
        site=site,
        client=CLIENT,
    )
    return shown


@pytest.mark.parametrize("attestation", ["packed", "none"])
def test_a_passkey_is_registered_and_signs_in(office: Office, attestation: str) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    made = _register(office, person, device, attestation=attestation)
    assert made.credential == device.credential
    for _ in range(2):
        _use(office, person, device)
    with office.database.reading() as connection:
        kept = passkeys.passkeys_of(connection, person.id)
    assert [key.sign_count for key in kept] == [device.counter]
    last = office.facts("session:%")[-1][1]
    assert last["factors"] == ["passkey", "password"]


def test_a_copied_authenticator_is_found_by_its_counter(office: Office) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    _register(office, person, device)
    copy = replace(device)
    _use(office, person, device)
    with pytest.raises(sign_in.SignInFailed):
        _use(office, person, copy)
    _use(office, person, device)


def test_an_authenticator_without_a_counter_is_fine(office: Office) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator(counts=False)
    _register(office, person, device)
    _use(office, person, device)
    _use(office, person, device)


def test_a_signature_is_good_for_its_challenge_only(office: Office) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator(counts=False)
    _register(office, person, device)
    shown = _use(office, person, device)
    step = office.password(person)
    assert step.pending is not None
    for attempt in range(2):
        if attempt:
            sign_in.begin_passkey(office.database, pending=step.pending, site=SITE)
        with pytest.raises(sign_in.SignInFailed):
            sign_in.sign_in_with_passkey(
                office.database,
                office.keyring,
                pending=step.pending,
                credential=shown,
                site=SITE,
                client=CLIENT,
            )


def test_a_challenge_takes_one_answer_even_a_wrong_one(office: Office) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    _register(office, person, device)
    step = office.password(person)
    assert step.pending is not None
    options = sign_in.begin_passkey(office.database, pending=step.pending, site=SITE)
    for credential in (Authenticator().get(options), device.get(options)):
        with pytest.raises(sign_in.SignInFailed):
            sign_in.sign_in_with_passkey(
                office.database,
                office.keyring,
                pending=step.pending,
                credential=credential,
                site=SITE,
                client=CLIENT,
            )


@pytest.mark.parametrize(
    "device",
    [
        Authenticator(origin="https://bank.example.evil.test"),
        OTHER,
        Authenticator(),
    ],
    ids=["other origin", "other credential", "other key"],
)
def test_other_authenticators_are_refused(office: Office, device: Authenticator) -> None:
    person, real = office.hire("known", "maker", totp=False), Authenticator()
    _register(office, person, real)
    if device.private is not OTHER.private:
        device.credential = real.credential
    device.counter = 50
    with pytest.raises(sign_in.SignInFailed):
        _use(office, person, device)


def test_registration_refuses_a_wrong_site_a_used_challenge_and_a_known_credential(
    office: Office,
) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    opened = office.sign_in(person)
    begun = office.run(lambda unit: passkeys.begin_registration(unit, opened.session, SITE))

    def finish(token: str, credential: str) -> None:
        office.run(
            lambda unit: passkeys.finish_registration(
                unit, opened.session, token=token, credential=credential, name="key", site=SITE
            )
        )

    away = Authenticator(origin="https://evil.test")
    with pytest.raises(passkeys.PasskeyIsRefused):
        finish(begun.token, away.create(begun.options))
    finish(begun.token, device.create(begun.options))
    opened = office.renewed(opened)
    with pytest.raises(passkeys.ChallengeHasLapsed):
        finish(begun.token, device.create(begun.options))
    again = office.run(lambda unit: passkeys.begin_registration(unit, opened.session, SITE))
    excluded = json.loads(again.options)["excludeCredentials"]
    assert len(excluded) == 1
    with pytest.raises(passkeys.PasskeyIsRefused):
        finish(again.token, device.create(again.options))


@pytest.mark.parametrize(
    "garbage",
    ["", "null", "[]", "{}", '{"id":"x","rawId":"x","type":"public-key","response":{}}', "\x00"],
)
def test_garbage_from_a_browser_is_a_refusal(office: Office, garbage: str) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    opened = office.sign_in(person)
    begun = office.run(lambda unit: passkeys.begin_registration(unit, opened.session, SITE))
    with pytest.raises(passkeys.PasskeyIsRefused):
        office.run(
            lambda unit: passkeys.finish_registration(
                unit,
                opened.session,
                token=begun.token,
                credential=garbage,
                name="key",
                site=SITE,
            )
        )
    _register(office, person, device)
    step = office.password(person)
    assert step.pending is not None
    sign_in.begin_passkey(office.database, pending=step.pending, site=SITE)
    with pytest.raises(sign_in.SignInFailed):
        sign_in.sign_in_with_passkey(
            office.database,
            office.keyring,
            pending=step.pending,
            credential=garbage,
            site=SITE,
            client=CLIENT,
        )


def test_damaged_answers_are_refusals_and_never_faults() -> None:
    """Cut and flip what a real authenticator signed, at every level of its nesting."""
    device = Authenticator()
    options = json.dumps(
        {"challenge": "AAAA", "rp": {"id": "bank.example"}, "rpId": "bank.example"}
    )
    made, got = json.loads(device.create(options)), json.loads(device.get(options))
    good = check_attestation(json.dumps(made), bytes(3), SITE)
    at = datetime(2026, 1, 1, tzinfo=UTC)
    known = passkeys.Passkey(good.credential, UUID(int=1), "k", good.public_key, 0, SITE.domain, at)
    assert check_assertion([known], json.dumps(got), bytes(3), SITE) is not None
    for answer in (made, got):
        for part in answer["response"]:
            text = answer["response"][part]
            for damage in (text[:-5], text[5:], text[: len(text) // 2], "AAAA", "", 5, None):
                broken = {**answer, "response": {**answer["response"], part: damage}}
                assert check_assertion([known], json.dumps(broken), bytes(3), SITE) is None
                with pytest.raises(passkeys.PasskeyIsRefused):
                    check_attestation(json.dumps(broken), bytes(3), SITE)


def test_second_factors_are_changed_only_by_who_shows_one(office: Office) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    stale, opened = office.sign_in(person), office.sign_in(person)
    begun = office.run(lambda unit: passkeys.begin_registration(unit, opened.session, SITE))
    made = device.create(begun.options)
    office.run(
        lambda unit: passkeys.finish_registration(
            unit, opened.session, token=begun.token, credential=made, name="key", site=SITE
        )
    )
    stale, opened = office.renewed(stale), office.renewed(opened)
    keyring, key = office.keyring, device.credential
    for change in (
        lambda unit: passkeys.begin_registration(unit, stale.session, SITE),
        lambda unit: passkeys.remove_passkey(unit, stale.session, key),
        lambda unit: second_factors.begin_totp(unit, keyring, person.id, session=stale.session),
        lambda unit: second_factors.new_recovery_codes(
            unit, keyring, person.id, session=stale.session
        ),
    ):
        with pytest.raises(second_factors.SecondFactorIsMissing):
            office.run(change)
    office.run(lambda unit: passkeys.remove_passkey(unit, opened.session, key))
    with pytest.raises(passkeys.PasskeyIsUnknown):
        office.run(lambda unit: passkeys.remove_passkey(unit, opened.session, key))
    assert office.password(person).opened is not None
