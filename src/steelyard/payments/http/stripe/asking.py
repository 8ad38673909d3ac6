"""A request of a client of Stripe: who sends it, what it says, and how it is answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from fastapi import Depends, Header, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.routing import Match
from starlette.types import Scope

from steelyard.base.http import Caller, body_of, language_of, platform_of
from steelyard.base.idempotency import Answer
from steelyard.kernel import Refusal
from steelyard.payments import (
    apps,
    orders,
    paying,
    stripe_customers,
    stripe_events,
    stripe_forms,
    stripe_ids,
    stripe_objects,
    stripe_reading,
    stripe_refusals,
)
from steelyard.payments.http.stripe.errors import Json, error_of
from steelyard.payments.http.wire import merchant_of

T = TypeVar("T")
MOST_ON_A_PAGE = 100
_DEEPEST = 4
_SHOWN = "stripe-version"


class StripeRoute(APIRoute):
    """A route whose answers, refusals too, have the form that clients of Stripe read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of the route with its refusals turned into errors."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            request_id = str(request.scope.get("request_id", ""))
            try:
                response = await handle(request)
            except Refusal as refusal:
                status, error = error_of(refusal, language_of(request), request_id)
                response = _respond(status, json.dumps(error, ensure_ascii=False).encode())
            except RequestValidationError:
                wrong = stripe_refusals.FacadeParameterIsWrong(param="path", what="malformed")
                status, error = error_of(wrong, language_of(request), request_id)
                response = _respond(status, json.dumps(error).encode())
            response.headers["Request-Id"] = f"req_{request_id}"
            version = request.headers.get(_SHOWN, stripe_events.VERSION)
            response.headers["Stripe-Version"] = version[:60]
            return response

        return answer


class SharedRoute(StripeRoute):
    """A route at an address that another room has too: clients of Stripe state their version."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the request is for this route."""
        if scope["type"] == "http" and not any(
            name == _SHOWN.encode() for name, _ in scope["headers"]
        ):
            return Match.NONE, {}
        return super().matches(scope)


def _respond(status: int, body: bytes, *, is_replayed: bool = False) -> Response:
    headers = {"Idempotent-Replayed": "true"} if is_replayed else None
    return Response(body, status, headers, "application/json")


@dataclass(slots=True)
class Ask:
    """A request by somebody entitled to it.

    Attributes
    ----------
    app : of the key; `default` where it is of none
    key : of idempotency; None: the client sent none
    expand : paths of ids that the answer has in full
    """

    platform: Any
    caller: Caller
    owner: stripe_reading.Owner
    app: str
    params: stripe_forms.Params
    language: str
    request_id: str
    path: str
    form: str
    ip: str | None
    key: str | None
    expand: tuple[str, ...]
    _chance: str = field(default_factory=lambda: uuid4().hex)

    @property
    def scope(self) -> str:
        """Whose idempotency key it is."""
        return f"stripe {self.caller.actor} {self.owner.merchant}"

    def id(self, *names: str) -> UUID:
        """Return the id of what the request makes: sent again with its key, it is the same."""
        return uuid5(NAMESPACE_URL, "\0".join((self.scope, self.key or self._chance, *names)))

    def read(self, work: Callable[[stripe_reading.Reader], Json]) -> Response:
        """Answer a question."""
        self.params.done()
        return _respond(200, self._encoded(work))

    def reader(self, connection: Any) -> stripe_reading.Reader:
        """Return what reads the owner's objects."""
        return stripe_reading.Reader(connection, self.platform.keyring, self.owner)

    def transact(self, work: Callable[[stripe_customers.Desk], T]) -> T:
        """Do something in one transaction."""
        return self.platform.database.transact(  # type: ignore[no-any-return]
            lambda unit: work(
                stripe_customers.Desk(
                    unit, self.platform.keyring, self.platform.settings, self.owner
                )
            ),
            actor=self.caller.actor,
        )

    def write(
        self,
        work: Callable[[], object],
        show: Callable[[stripe_reading.Reader], Json],
        *,
        fails: Callable[[Json], Json | None] = lambda _: None,
    ) -> Response:
        """Do a command once for its key, and answer with what `show` returns afterwards.

        Parameters
        ----------
        work : of as many transactions as it takes; done again it must find its own traces
        fails : returns the error that what is shown stands for, if it does
        """
        self.params.done()

        def answered() -> Answer:
            work()
            body = self._encoded(show)
            error = fails(json.loads(body))
            if error is None:
                return Answer(200, body)
            return Answer(402, json.dumps(error, ensure_ascii=False).encode())

        if self.key is None:
            answer = answered()
        else:
            said = f"{self.path}\n{self.form}".encode()
            call = paying.KeyedCall.of(self.scope, self.key, said)
            answer = self.platform.paying.once(call, answered, actor=self.caller.actor)
        return _respond(answer.status, answer.body, is_replayed=answer.replayed)

    def _encoded(self, show: Callable[[stripe_reading.Reader], Json]) -> bytes:
        with self.platform.database.reading() as connection:
            reader = self.reader(connection)
            shown = show(reader)
            for path in self.expand:
                _expand(reader, shown, path.split("."), path)
        return json.dumps(shown, ensure_ascii=False).encode()

    def wanted(self, noun: str, /, **equal: object) -> stripe_reading.Wanted:
        """Return which page the request asks for.

        Refusals
        --------
        facade_parameter_is_wrong, facade_object_is_unknown
        """
        params = self.params
        limit = params.number("limit", least=1, most=MOST_ON_A_PAGE) or 10
        after, before = self._place("starting_after", noun), self._place("ending_before", noun)
        if after is not None and before is not None:
            raise params.wrong("ending_before", "it cannot stand beside starting_after")
        since, until = self._created()
        return stripe_reading.Wanted(
            merchant=self.owner.merchant,
            mode=self.owner.mode,
            limit=limit,
            equal={name: value for name, value in equal.items() if value is not None},
            since=since,
            until=until,
            after=after,
            before=before,
        )

    def _place(self, key: str, noun: str) -> UUID | None:
        text = self.params.text(key)
        if not text:
            return None
        if noun == "balance_transaction":
            behind = stripe_objects.balance_of(text)
            hex = "" if behind is None else behind[1]
            return stripe_ids.from_id("charge", f"ch_{hex}", param=key)
        return stripe_ids.from_id(noun, text, param=key)

    def _created(self) -> tuple[datetime | None, datetime | None]:
        most = 2**40
        if not isinstance(self.params.tree.get("created"), dict):
            at = self.params.number("created", least=0, most=most)
            return _instant(at), None if at is None else _instant(at + 1, -1)
        inner = self.params.inner("created")
        assert inner is not None, "it is a mapping"
        gte, lte, gt, lt = (
            inner.number(name, least=0, most=most) for name in ("gte", "lte", "gt", "lt")
        )
        inner.done()
        since = _instant(gte) if gt is None else _instant(gt + 1)
        until = _instant(None if lt is None else lt, -1)
        return since, until if lte is None else _instant(lte + 1, -1)


def _instant(at: int | None, micros: int = 0) -> datetime | None:
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at + micros / 1_000_000, UTC)
    except (OverflowError, ValueError, OSError):
        raise stripe_refusals.FacadeParameterIsWrong(
            param="created", what="it is no instant"
        ) from None


def _expand(reader: stripe_reading.Reader, node: Any, path: list[str], whole: str) -> None:
    """Put objects where their ids stand."""
    step, rest = path[0], path[1:]
    below = node.get(step, 0) if isinstance(node, dict) else 0
    if isinstance(below, (int, float)):
        raise stripe_refusals.FacadeParameterIsWrong(
            param="expand", what=f"this property cannot be expanded: {whole[:80]}"
        )
    if isinstance(below, list):
        for item in below:
            if rest:
                _expand(reader, item, rest, whole)
        return
    if isinstance(below, str):
        found = reader.lookup(below)
        if found is None:
            raise stripe_refusals.FacadeParameterIsWrong(
                param="expand", what=f"this property cannot be expanded: {whole[:80]}"
            )
        node[step] = below = found
    if rest and below is not None:
        _expand(reader, below, rest, whole)


def asking(verb: str) -> Any:
    """Return the dependency of a route: `Annotated[Ask, asking("payments.read")]`.

    Refusals
    --------
    not_signed_in, not_entitled, facade_account_is_missing, facade_parameter_is_wrong
    """

    def dependency(
        request: Request,
        body: Annotated[bytes, Depends(body_of)],
        key: Annotated[str | None, Header(alias="Idempotency-Key", max_length=200)] = None,
        account: Annotated[
            str | None,
            Header(alias="Stripe-Account", description="for which merchant staff acts"),
        ] = None,
    ) -> Ask:
        platform = platform_of(request)
        caller = platform.verifier.verify(_with_bearer(request), body)
        caller.require(verb)
        form = _text_of(body)
        tree = stripe_forms.read_form("&".join(filter(None, (request.url.query, form))))
        params = stripe_forms.Params(tree)
        expand = params.texts("expand") or ()
        if any(path.count(".") >= _DEEPEST for path in expand):
            raise params.wrong("expand", f"it goes deeper than {_DEEPEST} levels")
        owner, app = _whose(platform, caller, account)
        return Ask(
            platform=platform,
            caller=caller,
            owner=owner,
            app=app,
            params=params,
            language=language_of(request),
            request_id=str(request.scope.get("request_id", "")),
            path=f"{request.method} {request.url.path}",
            form=_without_numbers(platform, form, tree),
            ip=request.client.host if request.client else None,
            key=key or None,
            expand=expand,
        )

    return Depends(dependency)


def _text_of(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise stripe_refusals.FacadeParameterIsWrong(
            param="body", what="it is not of UTF-8"
        ) from None


def _with_bearer(request: Request) -> Request:
    """Return the request as if a key sent as a user name had been sent as a bearer."""
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return request
    try:
        token = base64.b64decode(shown, validate=True).partition(b":")[0]
    except ValueError:
        return request
    headers = [pair for pair in request.scope["headers"] if pair[0] != b"authorization"]
    headers.append((b"authorization", b"Bearer " + token))
    return Request({**request.scope, "headers": headers})


def _whose(platform: Any, caller: Caller, account: str | None) -> tuple[stripe_reading.Owner, str]:
    """Return whose objects a request sees: of the key's app, or of the merchant staff names."""
    own = merchant_of(caller)
    named = None
    if account is not None:
        named = stripe_ids.from_id("account", account, param="Stripe-Account")
    if own is not None and named not in (None, own):
        assert account is not None, "it names a merchant"
        raise stripe_refusals.FacadeObjectIsUnknown(
            noun="account", id=account[:60], param="Stripe-Account"
        )
    merchant = own or named
    if merchant is None:
        raise stripe_refusals.FacadeAccountIsMissing
    with platform.database.reading() as connection:
        app = apps.app_of(connection, caller.actor)
    if app is None:
        return stripe_reading.Owner(merchant, orders.Mode.LIVE), "default"
    return stripe_reading.Owner(merchant, app.mode), app.id


def _without_numbers(platform: Any, form: str, tree: dict[str, Any]) -> str:
    """Return a body as its hash is made of: a card's number is replaced by its fingerprint."""
    data = tree.get("payment_method_data")
    inner = data if isinstance(data, dict) else None
    card = (inner or tree).get("card")
    if not isinstance(card, dict) or not isinstance(card.get("number"), str):
        return form
    number = card["number"]
    mark = platform.database.transact(
        lambda unit: stripe_customers.fingerprint(unit.connection, platform.keyring, number)
    )
    shown = {**card, "number": mark, "cvc": ""}
    told = {**tree, "card": shown}
    if inner is not None:
        told = {**tree, "payment_method_data": {**inner, "card": shown}}
    return json.dumps(told, sort_keys=True)
