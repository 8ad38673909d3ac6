"""Routes: signing in and out, and what is one's own."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    Caller,
    NotSignedIn,
    Read,
    Write,
    platform_of,
    reading,
    refusals,
    run_with_secrets,
    writing,
)
from steelyard.parties import (
    passkeys,
    phone_sign_in,
    roles,
    second_factors,
    sessions,
    sign_in,
    staff,
)
from steelyard.parties.http.access_wire import (
    AuthenticatorOut,
    CodeIn,
    CodeSignInIn,
    Done,
    MeOut,
    OptionsOut,
    PasskeyIn,
    PasskeyOut,
    Passkeys,
    PasskeySignInIn,
    PasswordChangeIn,
    PasswordSignInIn,
    PendingIn,
    PhoneIn,
    PhoneRequestOut,
    PhoneSignInIn,
    RecoveryCodesOut,
    RoleInForce,
    SessionOut,
    Sessions,
    SignInOut,
)

router = APIRouter(prefix="/v1/access", tags=["access"])

OwnRead = Annotated[Read, reading("access.self")]
OwnWrite = Annotated[Write, writing("access.self")]


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is not known yet, at the door of the site."""

    platform: Any
    client: sessions.Client
    site: passkeys.Site


def visiting(
    request: Request,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="may be sent, and is not used: a sign-in sent twice opens two sessions,"
            " because its answer is a secret that is not stored",
        ),
    ] = None,
) -> Visitor:
    """Return who wants to sign in; a page of another site does not sign anybody in.

    Refusals
    --------
    request_is_from_elsewhere
    """
    origin = request.headers.get("origin")
    host = request.headers.get("host", "")
    sessions.check_origin(request.method, host, origin, "1")
    return Visitor(platform_of(request), _client(request), _site(request))


Visits = Annotated[Visitor, Depends(visiting)]


def _client(request: Request) -> sessions.Client:
    address = request.client.host if request.client else "local"
    return sessions.Client(address, request.headers.get("user-agent", ""))


def _site(request: Request) -> passkeys.Site:
    public = platform_of(request).settings.public_url
    if public is not None:
        return passkeys.Site(urlsplit(public).hostname or "", public)
    host = request.headers.get("host", "")
    origin = request.headers.get("origin") or f"{request.url.scheme}://{host}"
    return passkeys.Site(urlsplit(f"//{host}").hostname or "", origin)


Client = Annotated[sessions.Client, Depends(_client)]
Site = Annotated[passkeys.Site, Depends(_site)]

_WAITS = (sign_in.SignInIsLocked, sign_in.SignInFailed, sessions.RequestIsFromElsewhere)
_SECOND = (*_WAITS, sign_in.SignInHasLapsed)


def _let_in(
    visitor: Visitor, opened: sessions.OpenedSession, response: Response, deliver: str
) -> SignInOut:
    """Hand the token out as it was asked for: in a cookie that scripts cannot read, or in clear."""
    response.headers["Cache-Control"] = "no-store"
    out = SignInOut(session=SessionOut.of(opened.session, this=str(opened.session.id)))
    if deliver == sessions.Delivery.TOKEN:
        out.token = opened.token
        return out
    life = opened.session.expires_at - opened.session.opened_at
    response.set_cookie(
        sessions.COOKIE,
        opened.token,
        max_age=int(life.total_seconds()),
        httponly=True,
        samesite="strict",
        secure=visitor.platform.settings.in_production,
    )
    return out


@router.post("/sign-in/password", responses=refusals(*_WAITS, sign_in.StaffIsNotActive))
def sign_in_with_password(body: PasswordSignInIn, visitor: Visits, response: Response) -> SignInOut:
    """Take the first step of a member of staff; `pending` names the second."""
    step = sign_in.sign_in_with_password(
        visitor.platform.database,
        visitor.platform.keyring,
        user_name=body.user_name,
        password=body.password,
        client=visitor.client,
    )
    if step.opened is not None:
        return _let_in(visitor, step.opened, response, body.deliver)
    response.headers["Cache-Control"] = "no-store"
    return SignInOut(session=None, pending=step.pending, methods=list(step.methods))


@router.post("/sign-in/code", responses=refusals(*_SECOND))
def sign_in_with_code(body: CodeSignInIn, visitor: Visits, response: Response) -> SignInOut:
    """Take the second step by a code of the authenticator app."""
    opened = sign_in.sign_in_with_code(
        visitor.platform.database,
        visitor.platform.keyring,
        pending=body.pending,
        code=body.code,
        client=visitor.client,
    )
    return _let_in(visitor, opened, response, body.deliver)


@router.post("/sign-in/recovery-code", responses=refusals(*_SECOND))
def sign_in_with_recovery_code(
    body: CodeSignInIn, visitor: Visits, response: Response
) -> SignInOut:
    """Take the second step by a recovery code, which is used up."""
    opened = sign_in.sign_in_with_recovery_code(
        visitor.platform.database,
        visitor.platform.keyring,
        pending=body.pending,
        code=body.code,
        client=visitor.client,
    )
    return _let_in(visitor, opened, response, body.deliver)


@router.post(
    "/sign-in/passkey/begin",
    responses=refusals(sign_in.SignInHasLapsed, sessions.RequestIsFromElsewhere),
)
def begin_passkey_sign_in(body: PendingIn, visitor: Visits) -> OptionsOut:
    """Return the options for `navigator.credentials.get`."""
    options = sign_in.begin_passkey(
        visitor.platform.database, pending=body.pending, site=visitor.site
    )
    return OptionsOut(options=json.loads(options))


@router.post("/sign-in/passkey/finish", responses=refusals(*_SECOND))
def finish_passkey_sign_in(body: PasskeySignInIn, visitor: Visits, response: Response) -> SignInOut:
    """Take the second step by a passkey."""
    opened = sign_in.sign_in_with_passkey(
        visitor.platform.database,
        visitor.platform.keyring,
        pending=body.pending,
        credential=json.dumps(body.credential),
        site=visitor.site,
        client=visitor.client,
    )
    return _let_in(visitor, opened, response, body.deliver)


@router.post(
    "/sign-in/phone/begin",
    responses=refusals(
        sign_in.SignInIsLocked,
        sessions.RequestIsFromElsewhere,
        phone_sign_in.PersonalFieldIsInvalid,
        phone_sign_in.CodeWasNotSentNow,
    ),
)
def begin_phone_sign_in(body: PhoneIn, visitor: Visits) -> PhoneRequestOut:
    """Send a customer a one-time code; the answer is the same for a phone that nobody has."""
    platform = visitor.platform
    sender = getattr(platform, "code_sender", None)
    request = phone_sign_in.request_phone_code(
        platform.database,
        platform.keyring,
        sender or phone_sign_in.DevelopmentCodeSender(platform.settings),
        phone=body.phone,
        client=visitor.client,
    )
    return PhoneRequestOut(request=request)


@router.post("/sign-in/phone/finish", responses=refusals(*_WAITS))
def finish_phone_sign_in(body: PhoneSignInIn, visitor: Visits, response: Response) -> SignInOut:
    """Sign a customer in by the code that was sent."""
    opened = phone_sign_in.sign_in_with_phone(
        visitor.platform.database,
        visitor.platform.keyring,
        request=body.request,
        code=body.code,
        client=visitor.client,
    )
    return _let_in(visitor, opened, response, body.deliver)


def _session_of(caller: Caller) -> UUID:
    """Return the session of the request; a key has none."""
    session = caller.facts.get("session")
    if session is None:
        raise NotSignedIn
    return UUID(session)


def _owner_of(caller: Caller) -> UUID:
    return UUID(caller.actor.partition(":")[2])


def _own_session(unit: UnitOfWork, write: Write) -> sessions.Session:
    session = _session_of(write.caller)
    return sessions.read_session(unit.connection, _owner_of(write.caller), session)


def _staff_session(unit: UnitOfWork, write: Write) -> sessions.Session:
    """Return the session of a member of staff; customers have no second factors."""
    session = _own_session(unit, write)
    if session.whose is not sessions.Whose.STAFF:
        raise NotSignedIn
    return session


@router.post("/sign-out", response_model=Done, responses=refusals(write=True))
def sign_out(write: OwnWrite) -> Response:
    """End this session."""
    session, owner = _session_of(write.caller), _owner_of(write.caller)

    def work(unit: UnitOfWork) -> Done:
        sessions.end_session(unit, owner, session)
        return Done()

    answer = write.run(work)
    answer.delete_cookie(sessions.COOKIE, httponly=True, samesite="strict")
    return answer


@router.get("/me", responses=refusals())
def who_am_i(read: OwnRead) -> MeOut:
    """Say who the caller is and what he may do."""
    caller = read.caller
    out = MeOut(
        actor=caller.actor,
        user_name=caller.facts.get("user_name"),
        party=caller.party,
        entitlements=sorted(caller.entitlements),
        session=caller.facts.get("session"),
        has_second_factor=caller.facts.get("second_factor") == "yes",
    )
    if caller.actor.startswith("staff:"):
        with read.database.reading() as connection:
            person = staff.read_staff(connection, _owner_of(caller))
            known = {role.name: role for role in roles.list_roles(connection)}
        out.roles = [
            RoleInForce(
                role=name,
                is_in_force=out.has_second_factor or not known[name].needs_second_factor,
            )
            for name in person.roles
        ]
    return out


@router.get("/sessions", responses=refusals())
def list_sessions(read: OwnRead) -> Sessions:
    """List one's own sessions, newest first."""
    this = str(_session_of(read.caller))
    with read.database.reading() as connection:
        found = sessions.sessions_of(connection, _owner_of(read.caller), read.database.wall.now())
    return Sessions(items=[SessionOut.of(session, this=this) for session in found])


@router.delete(
    "/sessions/{session}",
    response_model=Done,
    responses=refusals(sessions.SessionIsUnknown, write=True),
)
def end_session(session: UUID, write: OwnWrite) -> Response:
    """End one of one's own sessions."""
    _session_of(write.caller)

    def work(unit: UnitOfWork) -> Done:
        sessions.end_session(unit, _owner_of(write.caller), session, why="revoked")
        return Done()

    return write.run(work)


@router.post(
    "/me/password",
    response_model=Done,
    responses=refusals(staff.SignInFailed, staff.SignInIsLocked, staff.PasswordIsWeak, write=True),
)
def change_password(body: PasswordChangeIn, write: OwnWrite, client: Client) -> Response:
    """Change one's own password; all other sessions end."""

    def work() -> Done:
        with write.database.unit_of_work(actor=write.caller.actor) as unit:
            session = _staff_session(unit, write)
        staff.change_password(
            write.database,
            write.platform.keyring,
            session,
            old=body.old,
            new=body.new,
            client=client,
        )
        return Done()

    # The body is not hashed into the store of idempotency: a hash of passwords could be guessed at.
    return replace(write, body=b"").run_in_steps(work)


@router.post(
    "/me/authenticator",
    response_model=AuthenticatorOut,
    responses=refusals(second_factors.SecondFactorIsMissing, write=True),
)
def begin_authenticator(write: OwnWrite) -> Response:
    """Make a secret for an authenticator app; it counts once it is confirmed."""

    def work(unit: UnitOfWork) -> tuple[AuthenticatorOut, dict[str, Any]]:
        session = _staff_session(unit, write)
        made = second_factors.begin_totp(
            unit, write.platform.keyring, session.owner, session=session
        )
        return AuthenticatorOut(), {"secret": made.secret, "uri": made.uri}

    return run_with_secrets(write, work, status=201)


@router.post(
    "/me/authenticator/confirm",
    response_model=RecoveryCodesOut,
    responses=refusals(
        second_factors.SecondFactorIsMissing,
        second_factors.NothingToConfirm,
        second_factors.CodeIsWrong,
        write=True,
    ),
)
def confirm_authenticator(body: CodeIn, write: OwnWrite) -> Response:
    """Take the app into use by a code of it; the answer is a set of recovery codes."""

    def work(unit: UnitOfWork) -> tuple[RecoveryCodesOut, dict[str, Any]]:
        session = _staff_session(unit, write)
        codes = second_factors.confirm_totp(
            unit, write.platform.keyring, session.owner, body.code, session=session
        )
        return RecoveryCodesOut(), {"codes": list(codes)}

    return run_with_secrets(write, work)


@router.post(
    "/me/recovery-codes",
    response_model=RecoveryCodesOut,
    responses=refusals(second_factors.SecondFactorIsMissing, write=True),
)
def make_recovery_codes(write: OwnWrite) -> Response:
    """Replace one's recovery codes."""

    def work(unit: UnitOfWork) -> tuple[RecoveryCodesOut, dict[str, Any]]:
        session = _staff_session(unit, write)
        codes = second_factors.new_recovery_codes(
            unit, write.platform.keyring, session.owner, session=session
        )
        return RecoveryCodesOut(), {"codes": list(codes)}

    return run_with_secrets(write, work, status=201)


@router.get("/me/passkeys", responses=refusals())
def list_passkeys(read: OwnRead) -> Passkeys:
    """List one's own passkeys, oldest first."""
    _session_of(read.caller)
    with read.database.reading() as connection:
        found = passkeys.passkeys_of(connection, _owner_of(read.caller))
    return Passkeys(items=[PasskeyOut.of(key) for key in found])


@router.post(
    "/me/passkeys/begin",
    response_model=OptionsOut,
    status_code=201,
    responses=refusals(second_factors.SecondFactorIsMissing, passkeys.TooManyPasskeys, write=True),
)
def begin_passkey(write: OwnWrite, site: Site) -> Response:
    """Return the options for `navigator.credentials.create`."""

    def work(unit: UnitOfWork) -> OptionsOut:
        begun = passkeys.begin_registration(unit, _staff_session(unit, write), site)
        return OptionsOut(token=begun.token, options=json.loads(begun.options))

    return write.run(work, status=201)


@router.post(
    "/me/passkeys/finish",
    response_model=PasskeyOut,
    status_code=201,
    responses=refusals(
        second_factors.SecondFactorIsMissing,
        passkeys.ChallengeHasLapsed,
        passkeys.PasskeyIsRefused,
        write=True,
    ),
)
def finish_passkey(body: PasskeyIn, write: OwnWrite, site: Site) -> Response:
    """Register the passkey that the browser made."""

    def work(unit: UnitOfWork) -> PasskeyOut:
        key = passkeys.finish_registration(
            unit,
            _staff_session(unit, write),
            token=body.token,
            credential=json.dumps(body.credential),
            name=body.name,
            site=site,
        )
        return PasskeyOut.of(key)

    return write.run(work, status=201)


@router.delete(
    "/me/passkeys/{credential}",
    response_model=Done,
    responses=refusals(second_factors.SecondFactorIsMissing, passkeys.PasskeyIsUnknown, write=True),
)
def remove_passkey(credential: str, write: OwnWrite) -> Response:
    """Forget one of one's own passkeys."""

    def work(unit: UnitOfWork) -> Done:
        name = passkeys.read_credential_id(credential)
        passkeys.remove_passkey(unit, _staff_session(unit, write), name)
        return Done()

    return write.run(work)
