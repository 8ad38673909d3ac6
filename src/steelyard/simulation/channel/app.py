"""The simulator as a bare ASGI application: three dialects, and a desk for who plays with it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import replace
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import msgspec

from steelyard.base.lifeline import stop_with_parent
from steelyard.simulation.channel.alipay import Alipay
from steelyard.simulation.channel.cards import PATH as CARDS
from steelyard.simulation.channel.cards import Cards
from steelyard.simulation.channel.clock import Clock, instant
from steelyard.simulation.channel.desk import PLANTS, Asked, Desk, Told
from steelyard.simulation.channel.notices import Notices
from steelyard.simulation.channel.script import Behaviour, Rule, Script
from steelyard.simulation.channel.seals import Seals
from steelyard.simulation.channel.store import Payment, Refund, Store
from steelyard.simulation.channel.uni import Uni
from steelyard.simulation.channel.wechat import WeChat
from steelyard.simulation.channel.wire import Dialect, Malformed, Reply, Request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PAGE: Final = Reply(200, b"<html><body>Please come back later.</body></html>", (), "text/html")
_SILENT: Final = Reply(0, b"")
_OPPOSITE: Final = {
    "paid": "declined",
    "declined": "paid",
    "waiting": "paid",
    "processing": "declined",
    "closed": "paid",
    "reversed": "paid",
    "succeeded": "failed",
    "failed": "succeeded",
}
_SOMEBODY: Final = "0" * 32
_MOST_BYTES: Final = 1_000_000


class _Out(msgspec.Struct):
    """`POST /outage`: a dialect answers nobody (`silent`) or 503."""

    dialect: str
    on: bool = True
    silent: bool = False


class _Window(msgspec.Struct):
    """`POST /maintenance`: no payment is taken in between, on the simulator's clock."""

    dialect: str
    begins_at: datetime | None = None
    ends_at: datetime | None = None


class _Time(msgspec.Struct):
    """`POST /clock`."""

    now: datetime
    speed: float = 0.0


class _Act(msgspec.Struct):
    """`POST /payers`: the payer of a waiting payment acts; or how long payers take from now on."""

    dialect: str = ""
    number: str = ""
    pays: bool = True
    seconds: float | None = None


class _Planted(msgspec.Struct):
    """`POST /plant`: a break in the statement of a day."""

    dialect: str
    on: date
    kind: str
    number: str = ""
    by: int = 0
    count: int = 1


class _Push(msgspec.Struct):
    """`POST /notices`: a signed notice that says whatever it is told to."""

    dialect: str
    number: str
    state: str
    url: str = ""
    amount: int | None = None
    currency: str | None = None
    of_refund: bool = False
    times: int = 1
    forged: bool = False


class _Rotate(msgspec.Struct):
    """`POST /keys`: sign with a new key from now on."""

    dialect: str


class Simulator:
    """The channels outside.

    Parameters
    ----------
    path : file of its store, or `:memory:`
    scale : of the schedule of notices
    cut_off_seconds : when a clearing day ends, after midnight in Beijing; 0: at midnight
    """

    def __init__(
        self,
        path: str = ":memory:",
        *,
        scale: float = 1.0,
        seed: int = 1,
        cut_off_seconds: float = 0.0,
    ) -> None:
        self.store = Store(path)
        self.clock = Clock()
        self.script = Script(seed)
        self.seals = Seals(self.store)
        self.desk = Desk(self.store, self.clock, cut_off_seconds=cut_off_seconds)
        self._uni, self._wechat = Uni(self.seals), WeChat(self.seals)
        self._alipay = Alipay(self.seals)
        self._cards = Cards()
        self.dialects: dict[str, Dialect] = {
            one.name: one for one in (self._uni, self._wechat, self._alipay)
        }
        self.notices = Notices(self.dialects, self.script, scale=scale)
        self.desk.tell = self.notices.tell
        self._out: dict[str, bool] = {}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection's request, or the life of the process."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        assert scope["type"] == "http"
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            if len(body) > _MOST_BYTES:
                await _write(send, Reply(413, b""))
                return
            if not message.get("more_body"):
                break
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(
            scope["method"], scope["path"], scope["query_string"].decode(), headers, bytes(body)
        )
        reply = await self._serve(request)
        if reply.status == 0:
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        await _write(send, reply)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        stop_with_parent()
        pushing = asyncio.create_task(self.notices.run(self.desk.pass_time))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        pushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await pushing
        self.store.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, request: Request) -> Reply:
        path = request.path
        if path.startswith(CARDS):
            return self._confirm_card(request)
        if path.startswith("/uni/"):
            return await self._exchange(self._uni, request)
        if path == "/gateway.do":
            return await self._exchange(self._alipay, request)
        if path.startswith("/v3/"):
            if path == "/v3/certificates":
                is_believed = self._wechat.is_believed(request)
                refused = self._wechat.refuse(request, "not_signed")
                return self._wechat.certificates() if is_believed else refused
            if path == "/v3/billdownload/file":
                if not self._wechat.is_believed(request):
                    return self._wechat.refuse(request, "not_signed")
                return _file(self._wechat.download(_token(request)))
            return await self._exchange(self._wechat, request)
        if path == "/alipay/bill/download":
            return _file(self._alipay.download(_token(request)))
        try:
            return self._play(request)
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            return _json({"wrong": str(error)}, 400)

    def _confirm_card(self, request: Request) -> Reply:
        """Answer for the bank behind `uni`, which is out of order when the channel is."""
        if "uni" in self._out:
            return _SILENT if self._out["uni"] else Reply(503, b"out of order")
        if not self._uni.is_believed(request):
            return self._uni.refuse(request, "not_signed")
        try:
            told, is_lost = self._cards.answer(request)
        except msgspec.MsgspecError:
            return self._uni.refuse(request, "malformed")
        return _SILENT if is_lost else self._uni.signed(request, msgspec.json.encode(told))

    async def _exchange(self, dialect: Dialect, request: Request) -> Reply:
        """Answer a request in a dialect, as its rule wants it."""
        if dialect.name in self._out:
            return _SILENT if self._out[dialect.name] else Reply(503, b"out of order")
        if not dialect.is_believed(request):
            return dialect.refuse(request, "not_signed")
        try:
            asked = dialect.read(request)
        except Malformed:
            return dialect.refuse(request, "malformed")
        rule = self.script.take(
            "close" if asked.verb == "reverse" else asked.verb,
            dialect.name,
            asked.number,
            instrument=asked.instrument,
            amount=asked.amount,
        )
        how = rule.behaviour
        if how is Behaviour.LOSE:
            return _SILENT
        if how is Behaviour.REJECT:
            return Reply(503, b"busy")
        if asked.verb == "statement":
            reply = self._statement(dialect, request, asked)
        else:
            told = self.desk.do(dialect.name, asked, rule)
            about = told.refund or told.payment
            if how is Behaviour.TELL_FIRST and about is not None:
                await self.notices.now(about)
            reply = dialect.answer(request, asked, _bend(told, how))
        if rule.delay_ms:
            await asyncio.sleep(rule.delay_ms / 1000)
        if how is Behaviour.HANG:
            return _SILENT
        if how is Behaviour.BREAK:
            return Reply(500, b"out of order")
        if how is Behaviour.GARBLE:
            return _PAGE
        return _forge(reply) if how is Behaviour.FORGE else reply

    def _statement(self, dialect: Dialect, request: Request, asked: Asked) -> Reply:
        assert asked.on is not None
        if not self.desk.is_over(asked.on):
            return dialect.answer(request, asked, Told(wrong="no_file"))
        self.desk.pass_time()
        content = dialect.statement(asked.on, self.desk.statement_rows(dialect.name, asked.on))
        base = f"http://{request.headers.get('host', '')}"
        if dialect is self._uni:
            return self._uni.file(request, content)
        if dialect is self._wechat:
            return self._wechat.file(request, content, asked.details["tar"], base)
        return self._alipay.file(request, content, base)

    def _play(self, request: Request) -> Reply:
        """Do what whoever plays with the simulator wants; nobody else is to reach it."""
        body, verb = request.body, (request.method, request.path)
        playing: dict[tuple[str, str], Callable[[], Any]] = {
            ("GET", "/health"): lambda: {"healthy": True},
            ("GET", "/stats"): self._stats,
            ("GET", "/payments"): lambda: self._shown(request, is_refund=False),
            ("GET", "/refunds"): lambda: self._shown(request, is_refund=True),
            ("GET", "/plants"): lambda: self._plants(request),
            ("GET", "/clock"): self._clock,
            ("GET", "/sums"): lambda: self._sums(request),
            ("POST", "/script"): lambda: self._script_in(body),
            ("DELETE", "/script"): self._forget,
            ("POST", "/clock"): lambda: self._set_clock(msgspec.json.decode(body, type=_Time)),
            ("POST", "/outage"): lambda: self._set_out(msgspec.json.decode(body, type=_Out)),
            ("POST", "/maintenance"): lambda: self._set_window(
                msgspec.json.decode(body, type=_Window)
            ),
            ("POST", "/payers"): lambda: self._act(msgspec.json.decode(body, type=_Act)),
            ("POST", "/plant"): lambda: self._plant(msgspec.json.decode(body, type=_Planted)),
            ("POST", "/notices"): lambda: self._push(msgspec.json.decode(body, type=_Push)),
            ("DELETE", "/notices"): lambda: {"forgotten": self.notices.clear()},
            ("POST", "/keys"): lambda: self._rotate(msgspec.json.decode(body, type=_Rotate)),
        }
        if verb not in playing:
            return _json({"wrong": "not_found"}, 404)
        return _json(playing[verb]())

    def _stats(self) -> dict[str, Any]:
        told = {"sent": self.notices.sent, "taken": self.notices.taken}
        told["given_up"] = self.notices.given_up
        return {"payments": self.store.counts(), "notices": told, "out": sorted(self._out)}

    def _shown(self, request: Request, *, is_refund: bool) -> Any:
        asked = parse_qs(request.query)
        dialect, number = asked["dialect"][0], asked["number"][0]
        if is_refund:
            return self.desk.refund(dialect, number)
        return self.desk.payment(dialect, number)

    def _plants(self, request: Request) -> Any:
        asked = parse_qs(request.query)
        return self.store.plants(asked["dialect"][0], asked["on"][0])

    def _sums(self, request: Request) -> dict[str, int]:
        """Return what the statement of a day comes to, by dialect: what is paid in for it."""
        on = date.fromisoformat(parse_qs(request.query)["on"][0])
        if not self.desk.is_over(on):
            raise ValueError("the day is not over")
        self.desk.pass_time()
        return {
            name: sum(
                (row.amount if row.kind != "refund" else -row.amount) - row.fee
                for row in self.desk.statement_rows(name, on)
            )
            for name in self.dialects
        }

    def _clock(self) -> dict[str, str]:
        return {"now": instant(self.clock.now()).isoformat()}

    def _script_in(self, body: bytes) -> dict[str, int]:
        self.script.rules += msgspec.json.decode(body, type=list[Rule])
        return {"rules": len(self.script.rules)}

    def _forget(self) -> dict[str, int]:
        self.script.rules.clear()
        return {"rules": 0}

    def _set_clock(self, asked: _Time) -> dict[str, str]:
        self.clock.set(asked.now.timestamp(), asked.speed)
        self.desk.pass_time()
        return self._clock()

    def _set_out(self, asked: _Out) -> dict[str, list[str]]:
        self._known(asked.dialect)
        if asked.on:
            self._out[asked.dialect] = asked.silent
        else:
            self._out.pop(asked.dialect, None)
        return {"out": sorted(self._out)}

    def _set_window(self, asked: _Window) -> dict[str, bool]:
        self._known(asked.dialect)
        if asked.begins_at is None or asked.ends_at is None:
            self.desk.closed_between.pop(asked.dialect, None)
            return {"planned": False}
        window = (asked.begins_at.timestamp(), asked.ends_at.timestamp())
        self.desk.closed_between[asked.dialect] = window
        return {"planned": True}

    def _act(self, asked: _Act) -> Any:
        if asked.seconds is not None:
            self.desk.payer_seconds = asked.seconds
            return {"seconds": asked.seconds}
        self._known(asked.dialect)
        return self.desk.act(asked.dialect, asked.number, pays=asked.pays)

    def _plant(self, asked: _Planted) -> Any:
        self._known(asked.dialect)
        if asked.kind not in PLANTS:
            raise ValueError(f"kind is one of {', '.join(PLANTS)}")
        made = [
            self.desk.plant(
                asked.dialect, asked.on, kind=asked.kind, number=asked.number, by=asked.by
            )
            for _ in range(asked.count)
        ]
        return [one for one in made if one is not None]

    def _push(self, asked: _Push) -> dict[str, str]:
        self._known(asked.dialect)
        about: Payment | Refund | None
        if asked.of_refund:
            about = self.desk.refund(asked.dialect, asked.number)
        else:
            about = self.desk.payment(asked.dialect, asked.number)
        if about is None:
            raise ValueError("there is no such number")
        said = replace(
            about,
            state=asked.state,
            notify_url=asked.url or about.notify_url,
            amount=about.amount if asked.amount is None else asked.amount,
            currency=asked.currency or about.currency,
        )
        notice_id = str(uuid4())
        for _ in range(asked.times):
            self.notices.push(said, notice_id, forged=asked.forged)
        return {"id": notice_id}

    def _rotate(self, asked: _Rotate) -> dict[str, bool]:
        self._known(asked.dialect)
        self.seals.rotate(asked.dialect)
        return {"rotated": True}

    def _known(self, dialect: str) -> None:
        if dialect not in self.dialects:
            raise ValueError(f"dialect is one of {', '.join(self.dialects)}")


def _bend(told: Told, how: Behaviour) -> Told:
    """Return what is said instead of the truth."""
    payment, refund = told.payment, told.refund
    if how is Behaviour.LIE:
        if refund is not None:
            return replace(
                told, refund=replace(refund, state=_OPPOSITE.get(refund.state, "failed"))
            )
        if payment is not None:
            state = _OPPOSITE[payment.state]
            code = "do_not_honor" if state == "declined" else ""
            return Told(payment=replace(payment, state=state, code=code))
    if how is Behaviour.OTHER_AMOUNT:
        if refund is not None:
            return replace(told, refund=replace(refund, amount=refund.amount + 1))
        if payment is not None:
            return replace(told, payment=replace(payment, amount=payment.amount + 1))
    if how is Behaviour.CONFUSE:
        if refund is not None:
            return replace(told, refund=replace(refund, number=_SOMEBODY))
        if payment is not None:
            return replace(told, payment=replace(payment, number=_SOMEBODY))
    return told


def _forge(reply: Reply) -> Reply:
    """Return an answer with one byte of its content changed, so that no signature fits."""
    body = reply.body.replace(b"{", b"{ ", 1) if reply.body else b" "
    if b'_response":' in reply.body:
        body = reply.body.replace(b'_response":{', b'_response":{ ', 1)
    return replace(reply, body=body)


def _token(request: Request) -> str:
    return parse_qs(request.query).get("token", [""])[0]


def _file(content: bytes | None) -> Reply:
    if content is None:
        return Reply(404, b"")
    return Reply(200, content, (), "application/octet-stream")


def _json(value: Any, status: int = 200) -> Reply:
    return Reply(status, msgspec.json.encode(value))


async def _write(send: Send, reply: Reply) -> None:
    headers = [
        (b"content-type", reply.media.encode()),
        (b"content-length", str(len(reply.body)).encode()),
    ]
    headers += [(name.lower().encode(), value.encode()) for name, value in reply.headers]
    if reply.status == 204:
        headers = headers[2:]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})
