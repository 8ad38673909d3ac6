"""Sessions over HTTP: how they are shown, how long they live, what they let through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steelyard.base import Environment
from steelyard.parties import NewCustomer, PersonalField, registry, sessions
from steelyard.parties.model.session import check_origin
from tests.conftest import Store
from tests.parties.authenticator import Authenticator
from tests.parties.browser import Browser, application, code_of
from tests.parties.conftest import APPROVED
from tests.parties.office import Office

ME = "/v1/access/me"


@pytest.fixture
def browser(office: Office) -> Browser:
    return Browser(application(office))


# --- signing in over HTTP ------------------------------------------------------------------------


def test_a_browser_signs_in_by_cookie_and_out(office: Office, browser: Browser) -> None:
    person = office.hire("known", "maker")
    assert code_of(browser.get(ME)) == (401, "not_signed_in")
    answer = browser.sign_in(office, person)
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Secure" not in cookie
    assert answer.json()["token"] is None
    assert answer.headers["cache-control"] == "no-store"
    me = browser.get(ME).json()
    assert (me["actor"], me["user_name"]) == (person.actor, "known")
    assert "parties.register" in me["entitlements"]
    assert me["roles"] == [{"role": "maker", "is_in_force": True}]
    assert browser.post("/v1/access/sign-out").status_code == 200
    assert "steelyard_session" not in browser.cookies
    browser.cookies.set("steelyard_session", cookie.split("=")[1].split(";")[0])
    assert code_of(browser.get(ME)) == (401, "session_has_ended")


def test_in_production_the_cookie_is_secure(office: Office) -> None:
    office.settings = office.verifier(environment=Environment.PRODUCTION)._settings
    browser = Browser(application(office))
    answer = browser.sign_in(office, office.hire("known", "analyst", totp=False))
    assert "Secure" in answer.headers["set-cookie"]


def test_a_program_signs_in_by_token(office: Office, browser: Browser) -> None:
    person = office.hire("known", "maker")
    answer = browser.sign_in(office, person, deliver="token")
    assert "set-cookie" not in answer.headers
    token = answer.json()["token"]
    program = Browser(browser.app)
    headers = {"Authorization": f"Bearer {token}", "X-Steelyard-CSRF": ""}
    assert program.request("GET", ME, headers=headers).json()["actor"] == person.actor
    assert program.post("/v1/access/sign-out", headers=headers).status_code == 200
    assert code_of(program.request("GET", ME, headers=headers)) == (401, "session_has_ended")
    for wrong in ("ss_made_up", "something", "sk_dev_made_up"):
        answer = program.request("GET", ME, headers={"Authorization": f"Bearer {wrong}"})
        assert answer.status_code == 401


def test_wrong_passwords_are_problems_that_say_how_long(office: Office, browser: Browser) -> None:
    person = office.hire("known", "analyst", totp=False)
    person.password = "wrong wrong wrong"
    for _ in range(5):
        assert code_of(browser.sign_in(office, person)) == (401, "sign_in_failed")
    answer = browser.sign_in(office, person)
    assert code_of(answer) == (429, "sign_in_is_locked")
    assert answer.json()["facts"] == {"seconds": 3}


def test_a_passkey_signs_in_over_http(office: Office, browser: Browser) -> None:
    person, device = office.hire("known", "maker", totp=False), Authenticator()
    browser.sign_in(office, person)
    assert "parties.register" not in browser.get(ME).json()["entitlements"]
    begun = browser.post("/v1/access/me/passkeys/begin").json()
    credential = json.loads(device.create(json.dumps(begun["options"])))
    told = {"token": begun["token"], "name": "blue", "credential": credential}
    made = browser.post("/v1/access/me/passkeys/finish", told)
    assert made.status_code == 201, made.text
    assert "parties.register" in browser.get(ME).json()["entitlements"]
    other = Browser(browser.app)
    told = {"user_name": person.user_name, "password": person.password}
    step = other.post("/v1/access/sign-in/password", told)
    pending = step.json()["pending"]
    assert step.json()["methods"] == ["passkey"]
    options = other.post("/v1/access/sign-in/passkey/begin", {"pending": pending}).json()
    shown = json.loads(device.get(json.dumps(options["options"])))
    told = {"pending": pending, "credential": shown}
    assert other.post("/v1/access/sign-in/passkey/finish", told).status_code == 200
    assert other.get(ME).json()["has_second_factor"]
    name = other.get("/v1/access/me/passkeys").json()["items"][0]["credential"]
    assert other.request("DELETE", f"/v1/access/me/passkeys/{name}").status_code == 200


def test_an_authenticator_is_set_up_over_http_and_its_secrets_are_not_repeated(
    office: Office, browser: Browser
) -> None:
    person = office.hire("known", "maker", totp=False)
    browser.sign_in(office, person)
    same = {"Idempotency-Key": "same"}
    first = browser.post("/v1/access/me/authenticator", headers=same).json()
    again = browser.post("/v1/access/me/authenticator", headers=same).json()
    assert first["uri"].startswith("otpauth://")
    assert again == {"secret": None, "uri": None}
    person.secret = first["secret"]
    told = {"code": office.code(person)}
    codes = browser.post("/v1/access/me/authenticator/confirm", told).json()["codes"]
    assert len(codes) == 10
    office.later(seconds=30)
    assert browser.sign_in(office, person).json()["session"]["factors"] == ["password", "totp"]
    with office.database.reading() as connection:
        stored = connection.exec_driver_sql("SELECT answer FROM base.idempotency").scalars()
        text = b"".join(bytes(a) for a in stored if a is not None)
    assert not any(code.encode() in text for code in [*codes, person.secret])


def test_a_customer_signs_in_and_sees_only_himself(office: Office, browser: Browser) -> None:
    def register(phone: str) -> str:
        new = NewCustomer({PersonalField.PHONE: phone})
        return str(
            office.run(
                lambda u: registry.register_customer(u, office.keyring, new, verdict=APPROVED)
            ).id
        )

    mine, other = register("15400001234"), register("15400005678")
    sent: list[str] = []

    class Sender:
        def send(self, request: str, *, phone: str, code: str) -> bool:
            sent.append(code)
            return True

    browser.app.state.platform.code_sender = Sender()
    begun = browser.post("/v1/access/sign-in/phone/begin", {"phone": "15400001234"}).json()
    told = {"request": begun["request"], "code": sent[0]}
    assert browser.post("/v1/access/sign-in/phone/finish", told).status_code == 200
    me = browser.get(ME).json()
    assert (me["actor"], me["party"]) == (f"party:{mine}", mine)
    assert browser.get(f"/v1/parties/{mine}").status_code == 200
    assert code_of(browser.get(f"/v1/parties/{other}")) == (403, "not_entitled")
    assert code_of(browser.get("/v1/access/staff")) == (403, "not_entitled")
    assert code_of(browser.post("/v1/access/me/authenticator")) == (401, "not_signed_in")
    office.run(lambda unit: registry.close(unit, UUID(mine), reason="left"))
    assert code_of(browser.get(ME)) == (401, "session_has_ended")


# --- life ----------------------------------------------------------------------------------------


def test_a_session_ends_when_idle_and_is_kept_by_use(office: Office, browser: Browser) -> None:
    browser.sign_in(office, office.hire("known", "analyst", totp=False))
    for _ in range(4):
        office.later(minutes=29)
        assert browser.get(ME).status_code == 200
    office.later(minutes=30, seconds=1)
    assert code_of(browser.get(ME)) == (401, "session_has_ended")


def test_a_session_ends_at_its_absolute_end_however_used(office: Office, browser: Browser) -> None:
    browser.sign_in(office, office.hire("known", "analyst", totp=False))
    for _ in range(12 * 3 - 1):
        office.later(minutes=20)
        assert browser.get(ME).status_code == 200
    office.later(minutes=20)
    assert code_of(browser.get(ME)) == (401, "session_has_ended")


def test_use_is_written_once_a_minute_only(office: Office, browser: Browser) -> None:
    browser.sign_in(office, office.hire("known", "analyst", totp=False))

    def seen() -> Any:
        with office.database.reading() as connection:
            return connection.exec_driver_sql(
                "SELECT xmin, seen_wall_at FROM parties.session"
            ).one()

    before = seen()
    office.later(seconds=59)
    browser.get(ME)
    assert seen() == before
    office.later(seconds=2)
    browser.get(ME)
    assert seen() != before


def test_sessions_are_listed_and_ended_by_their_owner(office: Office, browser: Browser) -> None:
    person = office.hire("known", "analyst", totp=False)
    browser.sign_in(office, person)
    other = Browser(browser.app)
    other.sign_in(office, person)
    items = browser.get("/v1/access/sessions").json()["items"]
    assert [item["is_this"] for item in items].count(True) == 1
    stranger = Browser(browser.app)
    stranger.sign_in(office, office.hire("stranger", "analyst", totp=False))
    theirs = next(item["id"] for item in items if not item["is_this"])
    refused = stranger.request("DELETE", f"/v1/access/sessions/{theirs}")
    assert code_of(refused) == (404, "session_is_unknown")
    assert browser.request("DELETE", f"/v1/access/sessions/{theirs}").status_code == 200
    assert code_of(other.get(ME)) == (401, "session_has_ended")
    assert browser.get(ME).status_code == 200


def test_an_administrator_ends_the_sessions_of_somebody(office: Office, browser: Browser) -> None:
    person = office.hire("known", "analyst", totp=False)
    browser.sign_in(office, person)
    admin = Browser(browser.app)
    admin.sign_in(office, office.hire("admin", "administrator"))
    assert admin.post(f"/v1/access/staff/{person.id}/sign-out").status_code == 200
    assert code_of(browser.get(ME)) == (401, "session_has_ended")
    whys = [p["why"] for kind, p in office.facts("session:%") if kind == "SessionEnded"]
    assert whys == ["revoked"]


def test_only_the_hash_of_a_token_is_stored(office: Office, browser: Browser, store: Store) -> None:
    answer = browser.sign_in(office, office.hire("known", "analyst", totp=False), deliver="token")
    token = answer.json()["token"]
    with psycopg.connect(store.conninfo("postgres")) as admin:
        rows = admin.execute("SELECT s FROM parties.session s").fetchall()
    assert len(rows) == 1
    assert token not in str(rows)
    assert token.encode().hex() not in str(rows)


def test_a_suspended_person_is_out_with_the_next_request(office: Office, browser: Browser) -> None:
    person = office.hire("known", "analyst", totp=False)
    browser.sign_in(office, person)
    with office.database.unit_of_work() as unit:
        unit.execute("UPDATE parties.staff SET state = 'suspended'")
    assert code_of(browser.get(ME)) == (401, "session_has_ended")


# --- requests from elsewhere ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X-Steelyard-CSRF": ""}, 403),
        ({"X-Steelyard-CSRF": "1"}, 200),
        ({"X-Steelyard-CSRF": "", "Origin": "https://bank.example"}, 200),
        ({"X-Steelyard-CSRF": "1", "Origin": "https://evil.test"}, 403),
        ({"X-Steelyard-CSRF": "1", "Origin": "https://bank.example.evil.test"}, 403),
        ({"X-Steelyard-CSRF": "1", "Origin": "null"}, 403),
    ],
)
def test_writes_by_cookie_come_from_our_pages(
    office: Office, browser: Browser, headers: dict[str, str], status: int
) -> None:
    browser.sign_in(office, office.hire("known", "analyst", totp=False))
    answer = browser.post("/v1/access/sign-out", headers=headers)
    assert answer.status_code == status
    if status == 403:
        assert answer.json()["code"] == "request_is_from_elsewhere"


def test_another_site_signs_nobody_in(office: Office, browser: Browser) -> None:
    office.hire("known", "analyst", totp=False)
    told = {"user_name": "known", "password": office.people["known"].password}
    answer = browser.post(
        "/v1/access/sign-in/password", told, headers={"Origin": "https://evil.test"}
    )
    assert code_of(answer) == (403, "request_is_from_elsewhere")


@given(
    st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]),
    st.sampled_from([None, "https://a.example", "https://b.example", "null", ""]),
    st.sampled_from([None, "", "1"]),
)
def test_the_rule_of_origins(method: str, origin: str | None, mark: str | None) -> None:
    is_ours = origin == "https://a.example"
    may = is_ours or (origin is None and (method in ("GET", "HEAD") or bool(mark)))
    if may:
        check_origin(method, "A.example", origin, mark)
    else:
        with pytest.raises(sessions.RequestIsFromElsewhere):
            check_origin(method, "A.example", origin, mark)


# --- roles in force ------------------------------------------------------------------------------


def test_a_role_is_taken_with_the_next_request(office: Office, browser: Browser) -> None:
    person = office.hire("known", "maker", "analyst")
    browser.sign_in(office, person)
    admin = Browser(browser.app)
    admin.sign_in(office, office.hire("admin", "administrator"))
    answer = admin.request("DELETE", f"/v1/access/staff/{person.id}/roles/maker")
    assert answer.json()["roles"] == ["analyst"]
    assert "parties.register" not in browser.get(ME).json()["entitlements"]
    again = admin.request("DELETE", f"/v1/access/staff/{person.id}/roles/maker")
    assert code_of(again) == (409, "role_was_not_granted")


def test_people_and_roles_over_http_by_two_administrators(office: Office, browser: Browser) -> None:
    ann, bob = Browser(browser.app), Browser(browser.app)
    ann.sign_in(office, office.hire("ann", "administrator"))
    bob.sign_in(office, office.hire("bob", "administrator"))
    new = {"user_name": "newcomer", "name": "韩梅梅", "email": "hmm@example.com"}
    hired = ann.post("/v1/access/staff", new, headers={"Idempotency-Key": "hire"}).json()
    again = ann.post("/v1/access/staff", new, headers={"Idempotency-Key": "hire"}).json()
    assert (len(hired["password"]), again["password"]) == (16, None)
    assert again["id"] == hired["id"]
    path = f"/v1/access/staff/{hired['id']}"
    assert ann.get(path).json()["name"] == "韩**"

    asked = ann.post(f"{path}/roles", {"role": "analyst"}).json()["approval"]
    assert asked["shown"]["user_name"] == "newcomer"
    decision = {"shown_hash": asked["shown_hash"]}
    mine = ann.post(f"/v1/access/approvals/{asked['id']}/approve", decision)
    assert code_of(mine) == (403, "maker_is_checker")
    seen = bob.get("/v1/access/approvals", state="requested").json()["items"]
    assert [(item["id"], item["is_yours_to_decide"]) for item in seen] == [(asked["id"], True)]
    other = bob.post(f"/v1/access/approvals/{asked['id']}/approve", {"shown_hash": "0" * 64})
    assert code_of(other) == (409, "shown_differs")
    assert bob.post(f"/v1/access/approvals/{asked['id']}/approve", decision).status_code == 200
    told = {"role": "analyst", "approval": asked["id"]}
    done = ann.post(f"{path}/roles", told).json()
    assert done["cause"] == f"approval:{asked['id']}@1"

    reset = ann.post(f"{path}/password-reset").json()["approval"]
    bob.post(f"/v1/access/approvals/{reset['id']}/approve", {"shown_hash": reset["shown_hash"]})
    password = ann.post(f"{path}/password-reset", {"approval": reset["id"]}).json()["password"]
    entered = Browser(browser.app).post(
        "/v1/access/sign-in/password", {"user_name": "newcomer", "password": password}
    )
    assert entered.json()["session"]["factors"] == ["password"]

    role = {"entitlements": ["ledger.read"], "en": "Night desk", "zh": "夜班"}
    asked = bob.request("PUT", "/v1/access/roles/night_desk", role).json()["approval"]
    ann.post(f"/v1/access/approvals/{asked['id']}/approve", {"shown_hash": asked["shown_hash"]})
    made = bob.request("PUT", "/v1/access/roles/night_desk", {**role, "approval": asked["id"]})
    assert made.json()["is_done"]
    assert "night_desk" in [r["name"] for r in ann.get("/v1/access/roles").json()["items"]]
    history = ann.get(f"{path}/roles").json()["items"]
    assert [(item["role"], item["cause"]) for item in history] == [("analyst", done["cause"])]
    lines = ann.get("/v1/audit", subject=f"staff:{hired['id']}").json()["items"]
    assert [line["action"] for line in lines][-1] == "access.hire"


def test_approvals_are_rejected_and_withdrawn_over_http(office: Office, browser: Browser) -> None:
    ann, bob = Browser(browser.app), Browser(browser.app)
    ann.sign_in(office, office.hire("ann", "administrator"))
    bob.sign_in(office, office.hire("bob", "administrator"))
    asked = {"kind": "access.grant_role", "subject": "staff:x", "shown": {"role": "maker"}}
    first = ann.post("/v1/access/approvals", asked).json()
    second = ann.post("/v1/access/approvals", {**asked, "expires_in_s": 60}).json()
    told = {"shown_hash": first["shown_hash"], "reason": "who is x?"}
    rejected = bob.post(f"/v1/access/approvals/{first['id']}/reject", told).json()
    assert (rejected["state"], rejected["reason"]) == ("rejected", "who is x?")
    stranger = bob.post(f"/v1/access/approvals/{second['id']}/withdraw")
    assert code_of(stranger) == (403, "approval_is_not_yours")
    office.later(seconds=60)
    late = ann.post(f"/v1/access/approvals/{second['id']}/withdraw")
    assert code_of(late) == (409, "approval_has_expired")
    listed = bob.get("/v1/access/approvals", state="expired").json()["items"]
    assert [item["id"] for item in listed] == [second["id"]]
    floats = {**asked, "shown": {"rate": 0.1}}
    assert code_of(ann.post("/v1/access/approvals", floats)) == (422, "shown_is_malformed")
    unknown = {**asked, "kind": "nobody.knows"}
    assert code_of(ann.post("/v1/access/approvals", unknown)) == (422, "approval_kind_is_unknown")
    kinds = [kind["name"] for kind in ann.get("/v1/access/approval-kinds").json()["items"]]
    assert "access.define_role" in kinds


@pytest.mark.parametrize("role", ["maker", "checker", "analyst", "customer_service", "auditor"])
def test_only_administrators_change_access(office: Office, browser: Browser, role: str) -> None:
    browser.sign_in(office, office.hire("known", role))
    tries: list[Callable[[], Any]] = [
        lambda: browser.post(
            "/v1/access/staff", {"user_name": "xx", "name": "x", "email": "x@example.com"}
        ),
        lambda: browser.post(f"/v1/access/staff/{office.people['known'].id}/roles", {"role": "x"}),
        lambda: browser.post("/v1/access/keys", {"name": "x"}),
        lambda: browser.request("DELETE", "/v1/access/keys/ak_x"),
    ]
    for attempt in tries:
        assert code_of(attempt()) == (403, "not_entitled")


def test_every_refusal_of_a_route_is_declared(browser: Browser) -> None:
    schema = browser.app.openapi()
    paths = {
        p: ops for p, ops in schema["paths"].items() if p.startswith(("/v1/access", "/v1/audit"))
    }
    assert len(paths) > 30
    names = [op["operationId"] for ops in paths.values() for op in ops.values()]
    assert len(names) == len(set(names))
    for path, operations in paths.items():
        for method, operation in operations.items():
            if "/sign-in/" not in path:
                assert "401" in operation["responses"], (method, path)
