"""Signing in by password, roles, the first run: what is let in, and what guessing costs."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import argon2
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import steelyard
from steelyard.base import Environment, RefusedInProduction, UnitOfWork
from steelyard.base.audit import verify_audit
from steelyard.kernel import Refusal
from steelyard.parties import (
    approvals,
    first_run,
    phone_sign_in,
    roles,
    second_factors,
    sessions,
    sign_in,
    staff,
)
from steelyard.parties.model.role import BUILT_IN_ROLES, check_entitlements, covers
from steelyard.parties.model.session import Client
from steelyard.parties.model.staff import (
    ACCOUNT_LOCK,
    Attempts,
    LockPolicy,
    charge,
    check_password,
)
from tests.conftest import Store
from tests.parties.office import CLIENT, Office, Person

# --- pure ----------------------------------------------------------------------------------------


@given(st.integers(0, 80), st.integers(1, 10), st.integers(1, 60))
def test_the_wait_grows_and_stops_growing(failures: int, free: int, first: int) -> None:
    policy = LockPolicy(free, timedelta(seconds=first), timedelta(hours=1))
    waits = [policy.delay(n) for n in (failures, failures + 1)]
    assert waits[0] <= waits[1] <= timedelta(hours=1)
    assert (waits[0] == timedelta(0)) == (failures <= free)


@given(st.lists(st.integers(0, 2_000), max_size=40))
def test_a_charge_is_refused_exactly_while_locked(gaps: list[int]) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    attempts = Attempts(0, at, at)
    for gap in gaps:
        at += timedelta(seconds=gap)
        wait = (attempts.locked_until_at - at).total_seconds()
        if wait > 0:
            with pytest.raises(staff.SignInIsLocked) as told:
                charge(attempts, at, ACCOUNT_LOCK)
            assert wait < int(str(told.value.facts["seconds"])) <= wait + 1
        else:
            after = charge(attempts, at, ACCOUNT_LOCK)
            assert after.failures == attempts.failures + 1
            attempts = after


@pytest.mark.parametrize(
    "password", ["short", "aaaaaaaaaaaaaaaa", "my-name-is-alice-ok", "x" * 200]
)
def test_weak_passwords_are_refused(password: str) -> None:
    with pytest.raises(staff.PasswordIsWeak):
        check_password(password, "alice")


def test_built_in_roles_are_well_formed_and_keep_apart() -> None:
    held = {role.name: frozenset(role.entitlements) for role in BUILT_IN_ROLES}
    for role in BUILT_IN_ROLES:
        assert check_entitlements(role.entitlements) == role.entitlements
    assert len(held) == len(BUILT_IN_ROLES)
    approving = {"access.approve", "ledger.approve", "parties.approve"}
    assert not any(covers(held["maker"], verb) for verb in approving)
    assert not any(covers(held["checker"], v) for v in ("ledger.post", "parties.register"))
    assert all(verb.partition(".")[2].startswith("read") for verb in held["auditor"])
    assert not any(covers(held["customer"], role.entitlements[0]) for role in BUILT_IN_ROLES[:-1])


def test_built_in_roles_name_verbs_that_are_there() -> None:
    sources = Path(steelyard.__file__).parent.rglob("*.py")
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    known = set(re.findall(r"""(?:reading|writing)\("([a-z_]+\.[a-z_]+)"\)""", text))
    known |= {
        "live.read",
        "parties.unmask",
        "credit.approve",
        "ledger.approve",
        "parties.approve",
        "decisions.approve",
        "experiments.approve",
    }
    rooms = {verb.partition(".")[0] for verb in known}
    for role in BUILT_IN_ROLES:
        for verb in role.entitlements:
            room, _, name = verb.partition(".")
            assert verb in known or (name == "*" and room in rooms), (role.name, verb)


# --- passwords and locks -------------------------------------------------------------------------


def test_a_password_alone_opens_a_session_only_without_a_second_factor(office: Office) -> None:
    plain = office.hire("plain", "analyst", totp=False)
    guarded = office.hire("guarded", "maker")
    assert office.password(plain).opened is not None
    step = office.password(guarded)
    assert step.opened is None
    assert step.methods == ("totp", "recovery")
    opened = office.sign_in(guarded)
    assert opened.session.factors == {"password", "totp"}
    assert [kind for kind, _ in office.facts("session:%")] == ["SessionOpened"] * 2


@pytest.mark.parametrize("who", ["known", "nobody"])
def test_guessing_waits_longer_and_longer(office: Office, who: str) -> None:
    person = office.hire("known", "analyst", totp=False)
    guesser = replace(person, user_name=who)
    for _ in range(5):
        with pytest.raises(sign_in.SignInFailed):
            office.password(guesser, "wrong wrong wrong")
    waits = []
    for _ in range(4):
        with pytest.raises(sign_in.SignInIsLocked) as told:
            office.password(guesser, "wrong wrong wrong")
        seconds = int(str(told.value.facts["seconds"]))
        assert str(seconds) in told.value.sentence("zh")
        waits.append(seconds)
        office.later(seconds=seconds)
        with pytest.raises(sign_in.SignInFailed):
            office.password(guesser, "wrong wrong wrong")
    assert waits == [3, 5, 9, 17]


def test_the_right_password_is_refused_while_locked_and_then_forgets_the_failures(
    office: Office,
) -> None:
    person = office.hire("known", "analyst", totp=False)
    for _ in range(5):
        with pytest.raises(sign_in.SignInFailed):
            office.password(person, "wrong wrong wrong")
    with pytest.raises(sign_in.SignInIsLocked):
        office.password(person)
    office.later(seconds=3)
    assert office.password(person).opened is not None
    for _ in range(5):
        with pytest.raises(sign_in.SignInFailed):
            office.password(person, "wrong wrong wrong")


def test_guesses_at_once_all_count(office: Office) -> None:
    person = office.hire("known", "analyst", totp=False)

    def guess(_: int) -> type[Refusal]:
        try:
            office.password(person, "wrong wrong wrong")
        except Refusal as refusal:
            return type(refusal)
        raise AssertionError("let in")

    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(guess, range(24)))
    assert told.count(sign_in.SignInFailed) == 5
    assert told.count(sign_in.SignInIsLocked) == 19


def test_an_address_that_tries_many_accounts_is_slowed_down(office: Office) -> None:
    person = office.hire("known", "analyst", totp=False)
    told = []
    for number in range(43):
        try:
            office.password(replace(person, user_name=f"guess{number}"), "wrong wrong")
        except Refusal as refusal:
            told.append(type(refusal))
    assert told == [sign_in.SignInFailed] * 41 + [sign_in.SignInIsLocked] * 2
    elsewhere = Client("198.51.100.1")
    step = sign_in.sign_in_with_password(
        office.database,
        office.keyring,
        user_name="known",
        password=person.password,
        client=elsewhere,
    )
    assert step.opened is not None


def test_a_hash_of_older_parameters_is_renewed_at_sign_in(office: Office) -> None:
    person = office.hire("known", "analyst", totp=False)
    old = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1)
    with office.database.unit_of_work() as unit:
        unit.execute("UPDATE parties.staff SET password_hash = :h", h=old.hash(person.password))
    assert office.password(person).opened is not None
    with office.database.reading() as connection:
        stored = connection.exec_driver_sql("SELECT password_hash FROM parties.staff").scalar_one()
    assert "m=19456,t=2,p=1" in stored
    assert office.password(person).opened is not None


def test_names_and_secrets_do_not_lie_in_the_database(office: Office, store: Store) -> None:
    person = office.hire("hanmeimei", "maker")
    office.sign_in(person)
    assert person.secret is not None
    with psycopg.connect(store.conninfo("postgres")) as admin:
        tables = admin.execute(
            "SELECT table_schema || '.' || table_name FROM information_schema.tables"
            " WHERE table_schema IN ('parties', 'events', 'base') AND table_type = 'BASE TABLE'"
        ).fetchall()
        text = "\n".join(
            str(row) for (name,) in tables for row in admin.execute(f"SELECT t FROM {name} t")
        )
    assert "hanmeimei" in text
    for secret in ("李雷", "hanmeimei@example.com", person.password, person.secret):
        assert secret not in text
        assert secret.encode().hex() not in text
    for code in person.recovery:
        assert code not in text
    with office.database.unit_of_work() as unit:
        shown = staff.masked_person(unit.connection, office.keyring, person.id)
    assert shown == ("李*", "h***@example.com")


def test_changing_the_password_needs_the_old_one_and_ends_the_other_sessions(
    office: Office,
) -> None:
    person = office.hire("known", "analyst", totp=False)
    here, there = office.sign_in(person), office.sign_in(person)

    def change(old: str, new: str) -> None:
        staff.change_password(
            office.database, office.keyring, here.session, old=old, new=new, client=CLIENT
        )

    with pytest.raises(staff.SignInFailed):
        change("wrong wrong wrong", "correct horse battery")
    with pytest.raises(staff.PasswordIsWeak):
        change(person.password, "known-known-known")
    change(person.password, "correct horse battery")
    with office.database.reading() as connection:
        left = sessions.sessions_of(connection, person.id, office.wall.now())
    assert [session.id for session in left] == [here.session.id]
    assert there.session.id not in {session.id for session in left}
    with pytest.raises(sign_in.SignInFailed):
        office.password(person)
    assert office.password(person, "correct horse battery").opened is not None


# --- people and roles ----------------------------------------------------------------------------


def _ask_for_role(office: Office, maker: Person, person: Person, role: str) -> approvals.Approval:
    def work(unit: UnitOfWork) -> approvals.Approval:
        shown = roles.shown_of_grant(
            staff.read_staff(unit.connection, person.id), roles.read_role(unit.connection, role)
        )
        return approvals.request_approval(
            unit,
            kind=roles.GRANT_ROLE.name,
            subject=person.actor,
            shown=shown,
            by=maker.actor,
        )

    return office.run(work, maker.actor)


def _approve(office: Office, checker: Person, asked: approvals.Approval) -> None:
    office.run(
        lambda unit: approvals.approve(
            unit, asked.id, by=checker.caller("access.approve"), shown_hash=asked.shown_hash
        ),
        checker.actor,
    )


def test_a_role_is_given_by_two_people_as_it_was_shown(office: Office) -> None:
    ann, bob, new = (office.hire(name, totp=False) for name in ("ann", "bob", "newcomer"))
    asked = _ask_for_role(office, ann, new, "analyst")

    def grant() -> roles.RoleGrant:
        return office.run(
            lambda u: roles.grant_role(u, new.id, "analyst", approval=asked.id), ann.actor
        )

    with pytest.raises(approvals.ApprovalIsNotOpen):
        grant()
    with pytest.raises(approvals.MakerIsChecker):
        _approve(office, ann, asked)
    _approve(office, bob, asked)
    assert grant().cause == f"approval:{asked.id}@1"
    with pytest.raises(roles.RoleWasGranted):
        grant()
    granted = [p for kind, p in office.facts(new.actor) if kind == "RoleGranted"]
    assert granted == [{"staff": str(new.id), "role": "analyst", "cause": f"approval:{asked.id}@1"}]
    other = office.hire("other", totp=False)
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        office.run(lambda u: roles.grant_role(u, other.id, "analyst", approval=asked.id))


def test_a_role_that_changed_after_it_was_shown_is_not_given(office: Office) -> None:
    ann, bob, new = (office.hire(name, totp=False) for name in ("ann", "bob", "newcomer"))
    small = roles.Role("night_desk", roles.Audience.STAFF, ("ledger.read",), "Night", "夜班")
    large = replace(small, entitlements=("*",))

    def define(role: roles.Role) -> None:
        def ask(unit: UnitOfWork) -> approvals.Approval:
            return approvals.request_approval(
                unit,
                kind=roles.DEFINE_ROLE.name,
                subject=f"role:{role.name}",
                shown=roles.shown_of_definition(role),
                by=ann.actor,
            )

        asked = office.run(ask, ann.actor)
        _approve(office, bob, asked)
        office.run(lambda unit: roles.define_role(unit, role, approval=asked.id), ann.actor)

    define(small)
    asked = _ask_for_role(office, ann, new, "night_desk")
    _approve(office, bob, asked)
    define(large)
    with pytest.raises(approvals.ApprovalIsForSomethingElse):
        office.run(lambda u: roles.grant_role(u, new.id, "night_desk", approval=asked.id))


@pytest.mark.parametrize("role", ["town", "customer", "engine"])
def test_roles_of_machines_and_customers_are_not_for_staff(office: Office, role: str) -> None:
    person = office.hire("known", totp=False)
    with pytest.raises(roles.RoleIsForOthers):
        office.run(lambda unit: roles.grant_first_role(unit, person.id, role))


@pytest.mark.parametrize(
    ("role", "refusal"),
    [
        (("maker", ("ledger.read",)), roles.RoleIsBuiltIn),
        (("Bad Name", ("ledger.read",)), roles.RoleIsMalformed),
        (("fine", ("ledger",)), roles.RoleIsMalformed),
        (("fine", ("ledger.read; drop",)), roles.RoleIsMalformed),
    ],
)
def test_malformed_roles_are_refused(
    role: tuple[str, tuple[str, ...]], refusal: type[Refusal]
) -> None:
    with pytest.raises(refusal):
        roles.shown_of_definition(roles.Role(role[0], roles.Audience.STAFF, role[1], "x", "x"))


def test_two_administrators_remain_whoever_goes(office: Office) -> None:
    admins = [office.hire(f"admin{n}", "administrator") for n in range(3)]

    def leave(person: Person) -> bool:
        try:
            office.run(lambda unit: staff.suspend(unit, person.id, reason="test"))
        except staff.LastAdministrator:
            return False
        return True

    with ThreadPoolExecutor(3) as threads:
        assert sum(threads.map(leave, admins)) == 1
    with office.database.reading() as connection:
        active = [p for p in admins if staff.read_staff(connection, p.id).state == "active"]
    assert len(active) == 2
    with pytest.raises(roles.LastAdministrator):
        office.run(lambda unit: roles.revoke_role(unit, active[0].id, "administrator"))


def test_states_go_their_ways(office: Office) -> None:
    person = office.hire("known", "analyst", totp=False)
    office.sign_in(person)
    office.run(lambda unit: staff.suspend(unit, person.id, reason="away"))
    with pytest.raises(staff.StaffStateDoesNotAllow):
        office.run(lambda unit: staff.suspend(unit, person.id, reason="away"))
    with pytest.raises(sign_in.StaffIsNotActive):
        office.password(person)
    with pytest.raises(sign_in.SignInFailed):
        office.password(person, "wrong wrong wrong")
    office.run(lambda unit: staff.reinstate(unit, person.id, reason="back"))
    assert office.password(person).opened is not None
    office.run(lambda unit: staff.dismiss(unit, person.id, reason="left"))
    with pytest.raises(staff.StaffStateDoesNotAllow):
        office.run(lambda unit: staff.reinstate(unit, person.id, reason="back"))
    kinds = [kind for kind, _ in office.facts(person.actor)]
    assert kinds == ["StaffHired", "RoleGranted", "StaffSuspended", "StaffReinstated", "StaffLeft"]
    with office.database.reading() as connection:
        assert verify_audit(connection).holds


def test_the_database_keeps_a_grant_with_its_cause(office: Office, store: Store) -> None:
    person = office.hire("known", "analyst", totp=False)
    with psycopg.connect(store.conninfo(), autocommit=True) as app:
        for statement in (
            "UPDATE parties.role_grant SET role = 'administrator'",
            "DELETE FROM parties.role_grant",
            "UPDATE parties.role_grant SET cause = 'x@1'",
            "UPDATE parties.session SET staff = NULL",
            "UPDATE parties.role SET audience = 'staff'",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(statement)
        with pytest.raises(psycopg.errors.CheckViolation):
            app.execute(
                "INSERT INTO parties.role_grant (id, staff, role, cause, granted_by, granted_at)"
                " VALUES (gen_random_uuid(), %s, 'maker', 'because', 'x', now())",
                (person.id,),
            )


# --- the first run -------------------------------------------------------------------------------


def test_demo_people_can_do_what_is_printed(office: Office) -> None:
    demo = first_run.create_demo_people(office.database, office.keyring, office.settings)
    assert [p.user_name for p in demo.staff] == ["maker", "checker", "analyst"]
    for person in demo.staff:
        step = sign_in.sign_in_with_password(
            office.database,
            office.keyring,
            user_name=person.user_name,
            password=person.password,
            client=CLIENT,
        )
        assert step.pending is not None
        code = first_run.current_code(
            office.database, office.keyring, office.settings, person.user_name
        )
        sign_in.sign_in_with_code(
            office.database, office.keyring, pending=step.pending, code=code, client=CLIENT
        )
        after = first_run.current_code(
            office.database, office.keyring, office.settings, person.user_name
        )
        assert after != code
    sender = phone_sign_in.DevelopmentCodeSender(office.settings)
    request = phone_sign_in.request_phone_code(
        office.database, office.keyring, sender, phone=demo.customer.phone, client=CLIENT
    )
    code = first_run.current_code(
        office.database, office.keyring, office.settings, demo.customer.phone
    )
    opened = phone_sign_in.sign_in_with_phone(
        office.database, office.keyring, request=request, code=code, client=CLIENT
    )
    assert opened.session.owner == demo.customer.party


def test_the_first_run_is_done_once_by_whoever_comes(office: Office) -> None:
    with ThreadPoolExecutor(4) as threads:
        made = list(
            threads.map(
                lambda _: first_run.create_demo_people(
                    office.database, office.keyring, office.settings
                ),
                range(4),
            )
        )
    assert len({demo.customer.party for demo in made}) == 1
    with office.database.reading() as connection:
        people = staff.list_staff(connection)
    assert [p.user_name for p in people.items] == ["analyst", "checker", "maker"]
    last = first_run.create_demo_people(office.database, office.keyring, office.settings)
    again = first_run.create_demo_people(
        office.database, office.keyring, office.settings, known=last
    )
    assert again == last
    reset = first_run.reset_password(office.database, office.settings, "maker")
    mended = first_run.create_demo_people(
        office.database, office.keyring, office.settings, known=last
    )
    assert mended.staff[0].password not in (last.staff[0].password, reset)
    assert (mended.staff[1:], mended.town) == (last.staff[1:], last.town)


def test_production_refuses_what_is_for_demonstration(office: Office) -> None:
    production = replace(office.settings, environment=Environment.PRODUCTION)
    office.hire("known", "maker")
    for work in (
        lambda: first_run.create_demo_people(office.database, office.keyring, production),
        lambda: first_run.reset_password(office.database, production, "known"),
        lambda: first_run.current_code(office.database, office.keyring, production, "known"),
    ):
        with pytest.raises(RefusedInProduction):
            work()


def test_an_installation_begins_with_two_administrators(office: Office) -> None:
    first, second = (
        first_run.create_administrator(
            office.database,
            office.keyring,
            staff.NewStaff(name, "管理员", f"{name}@example.com"),
        )
        for name in ("root", "second")
    )
    assert first.authenticator_uri.startswith("otpauth://totp/")
    assert len(second.recovery_codes) == 10
    with pytest.raises(first_run.StaffExists):
        first_run.create_administrator(
            office.database, office.keyring, staff.NewStaff("third", "三", "third@example.com")
        )


def test_a_reset_ends_every_session_and_sign_in_under_way(office: Office) -> None:
    person = office.hire("known", "maker")
    office.sign_in(person)
    step = office.password(person)
    assert step.pending is not None
    password = first_run.reset_password(office.database, office.settings, "known")
    with office.database.reading() as connection:
        assert sessions.sessions_of(connection, person.id, office.wall.now()) == ()
    with pytest.raises(sign_in.SignInHasLapsed):
        sign_in.sign_in_with_code(
            office.database,
            office.keyring,
            pending=step.pending,
            code=office.code(person),
            client=CLIENT,
        )
    assert office.password(person, password).pending is not None


def test_a_lost_phone_is_mended_by_two_people(office: Office) -> None:
    ann, bob, person = office.hire("ann"), office.hire("bob"), office.hire("known", "maker")
    office.sign_in(person)

    def ask(unit: UnitOfWork) -> approvals.Approval:
        return approvals.request_approval(
            unit,
            kind=second_factors.RESET_SECOND_FACTOR.name,
            subject=person.actor,
            shown=second_factors.shown_of_reset(person.user_name),
            by=ann.actor,
        )

    asked = office.run(ask, ann.actor)
    _approve(office, bob, asked)
    office.run(
        lambda u: second_factors.reset_second_factor(u, person.id, approval=asked.id), ann.actor
    )
    opened = office.password(person).opened
    assert opened is not None
    assert not opened.session.has_second_factor
