"""Sending webhooks: a few at a time, none held up by a slow one, each try written down.

A worker claims what is due for a while, sends it outside of any transaction, and writes down what
came of it. A worker that dies in between leaves its claims to run out; they are sent again, with
the same id, so an endpoint may hear a thing twice and never not at all.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import httpx

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import Every, JobContext, job
from steelyard.cases import CaseKind, open_case, registry
from steelyard.kernel import Refusal
from steelyard.payments.model.webhooks import (
    DISABLED_AFTER,
    TIMEOUT,
    Answer,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    after_try,
)
from steelyard.payments.model.webhooks_addresses import Reach, choose_address, read_url
from steelyard.payments.service.merchants_facts import (
    WebhookDeliveryDied,
    WebhookEndpointDisabled,
)
from steelyard.payments.service.webhooks import reach_of, secret_context, written
from steelyard.payments.store import deliveries as table
from steelyard.payments.store import endpoints as endpoint_table
from steelyard.payments.store.deliveries import Claimed, Tried

__all__ = ["DISABLED", "Courier", "Sender", "deliver_webhooks"]

PLACES: Final = 32
"""So many are sent at once by a worker."""
PER_ENDPOINT: Final = 4
"""So many of them to one endpoint, by all workers together."""
LEASE: Final = timedelta(seconds=60)
MOST: Final = 10_000
"""After so many a run of the job ends; the next one goes on."""
_ANSWER_BYTES: Final = 500
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")
_AGENT: Final = "Steelyard-Webhooks/1"

DISABLED: Final = registry.register_kind(
    CaseKind(
        "payments.webhook_endpoint",
        "Webhook endpoint disabled",
        "Webhook 端点停用",
        registry.Sla(timedelta(days=3)),
        (
            registry.CaseOutcome("merchant_told", "Merchant told", "已通知商户"),
            registry.CaseOutcome("mended", "Mended", "已恢复"),
        ),
        priority=registry.Priority.LOW,
    )
)

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


async def resolve_name(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the machine knows them."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Sender:
    """Sends one request to a server of the open internet, and says in a word what came of it.

    The name is looked up once, every address that it has is checked, and the connection is made to
    the one that was checked: a name that points elsewhere a moment later gains nothing. Redirects
    are not followed, proxies of the environment not used, connections not kept.

    Parameters
    ----------
    resolve : looks names up
    trusts : whose certificates are taken; by default those of the machine
    timeout : for all of it: name, connection, request and answer
    """

    def __init__(
        self,
        reach: Reach,
        *,
        resolve: Resolve = resolve_name,
        trusts: ssl.SSLContext | None = None,
        timeout: timedelta = TIMEOUT,
    ) -> None:
        self._reach = reach
        self._resolve = resolve
        self._trusts = trusts or ssl.create_default_context()
        self._timeout = timeout.total_seconds()

    async def send(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send a body, and return what came of it; nothing is raised."""
        begun = time.monotonic()
        status, error, text = None, None, ""
        try:
            async with asyncio.timeout(self._timeout):
                status, text = await self._post(url, headers, body)
        except TimeoutError:
            error = "timeout"
        except Refusal as refused:
            error = refused.code
        except socket.gaierror:
            error = "name_is_unknown"
        except ssl.SSLError:
            error = "tls_failed"
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as failed:
            is_tls = isinstance(failed.__cause__ or failed.__context__, ssl.SSLError)
            is_tls = is_tls or "CERTIFICATE" in str(failed) or "SSL" in str(failed)
            error = "tls_failed" if is_tls else "connection_failed"
        return Answer(status, error, text, int((time.monotonic() - begun) * 1_000))

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        target = read_url(url, self._reach)
        found = await self._resolve(target.host, target.port)
        address = choose_address(target.host, found, self._reach)
        host = f"[{address}]" if ":" in address else address
        async with httpx.AsyncClient(
            verify=self._trusts,
            trust_env=False,
            follow_redirects=False,
            timeout=None,
            limits=httpx.Limits(max_keepalive_connections=0),
        ) as client:
            request = client.build_request(
                "POST",
                f"{target.scheme}://{host}:{target.port}{target.path}",
                content=body,
                headers={
                    "Host": target.authority,
                    "Content-Type": "application/json",
                    "User-Agent": _AGENT,
                    "Accept-Encoding": "identity",
                    **headers,
                },
                extensions={"sni_hostname": target.host},
            )
            answer = await client.send(request, stream=True)
            try:
                text = await _first_bytes(answer)
            finally:
                await answer.aclose()
        return answer.status_code, text


async def _first_bytes(answer: httpx.Response) -> str:
    got = b""
    async for part in answer.aiter_raw(_ANSWER_BYTES):
        got += part
        if len(got) >= _ANSWER_BYTES:
            break
    return _UNPRINTABLE.sub(".", got[:_ANSWER_BYTES].decode("latin-1"))


@dataclass(frozen=True, slots=True)
class _Parcel:
    """A claimed delivery with the secrets that sign it."""

    claimed: Claimed
    keys: tuple[str, ...]


class Courier:
    """Delivers what is due, with so many places at once; a slow endpoint takes up a few of them."""

    def __init__(
        self,
        database: Database,
        keyring: Keyring,
        sender: Sender,
        *,
        actor: str,
        places: int = PLACES,
        per_endpoint: int = PER_ENDPOINT,
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._sender = sender
        self._actor = actor
        self._places = places
        self._per_endpoint = per_endpoint

    def deliver_due(
        self, *, most: int = MOST, should_stop: Callable[[], bool] = lambda: False
    ) -> int:
        """Send until nothing is due any more; return how many tries were made."""
        # The database has a thread of its own: names that nobody answers for take up the others.
        with ThreadPoolExecutor(1) as books:
            return asyncio.run(self._deliver(most, should_stop, books))

    async def _deliver(
        self, most: int, should_stop: Callable[[], bool], books: ThreadPoolExecutor
    ) -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2 * self._places))
        under_way: set[asyncio.Task[tuple[Claimed, Answer]]] = set()
        sent = 0
        while True:
            free = min(self._places - len(under_way), most - sent)
            parcels: list[_Parcel] = []
            if free > 0 and not should_stop():
                parcels = await loop.run_in_executor(books, self._claim, free)
            sent += len(parcels)
            under_way |= {asyncio.create_task(self._send(parcel)) for parcel in parcels}
            if not under_way:
                return sent
            done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            await loop.run_in_executor(books, self._record, [task.result() for task in done])

    async def _send(self, parcel: _Parcel) -> tuple[Claimed, Answer]:
        claimed = parcel.claimed
        timestamp = int(self._database.wall.now().timestamp())
        body, headers = written(
            claimed.form, claimed.event, claimed.api_version, parcel.keys, timestamp
        )
        return claimed, await self._sender.send(claimed.url, headers, body)

    def _claim(self, limit: int) -> list[_Parcel]:
        def work(unit: UnitOfWork) -> list[_Parcel]:
            claimed = table.claim(
                unit.connection,
                now=unit.wall_at,
                until=unit.wall_at + LEASE,
                limit=limit,
                per_endpoint=self._per_endpoint,
            )
            names = sorted({one.delivery.endpoint for one in claimed})
            sealed = endpoint_table.secrets_of(unit.connection, names, unit.wall_at)
            keys = {
                name: tuple(
                    self._keyring.unseal_many(
                        unit.connection, [(one, secret_context(name)) for one in secrets]
                    )
                )
                for name, secrets in sealed.items()
            }
            return [_Parcel(one, keys[one.delivery.endpoint]) for one in claimed]

        return self._database.transact(work, actor=self._actor)

    def _record(self, results: list[tuple[Claimed, Answer]]) -> None:
        self._database.transact(lambda unit: record(unit, results), actor=self._actor)


def record(unit: UnitOfWork, results: Sequence[tuple[Claimed, Answer]]) -> None:
    """Write down what came of tries; endpoints that let too many die are disabled."""
    names = sorted({claimed.delivery.endpoint for claimed, _ in results})
    held = endpoint_table.lock_many(unit.connection, names)
    settled: list[Delivery] = []
    for claimed, answer in sorted(results, key=lambda one: one[0].delivery.id):
        before = claimed.delivery
        after = after_try(before, answer, unit.wall_at)
        if not table.settle(unit.connection, before, after):
            # Its claim ran out or the endpoint was closed: somebody else's word counts.
            continue
        tried = Tried(after.tries, unit.wall_at, answer)
        table.insert_try(unit.connection, before.id, tried)
        settled.append(after)
    for name, endpoint in held.items():
        _count(unit, endpoint, [one for one in settled if one.endpoint == name])


def _count(unit: UnitOfWork, endpoint: Endpoint, settled: list[Delivery]) -> None:
    """Count the dead of an endpoint whose row is held; a delivery that arrived begins anew."""
    dead = [one for one in settled if one.state is DeliveryState.DEAD]
    has_arrived = any(one.state is DeliveryState.DELIVERED for one in settled)
    count = len(dead) + (0 if has_arrived else endpoint.dead_in_a_row)
    for one in dead:
        fact = WebhookDeliveryDied(
            merchant=one.merchant, endpoint=endpoint.id, delivery=one.id, tries=one.tries
        )
        unit.record(fact, subject=f"webhook_endpoint:{endpoint.id}")
    if count == endpoint.dead_in_a_row:
        return
    after = replace(endpoint, dead_in_a_row=count)
    if count >= DISABLED_AFTER and endpoint.state is EndpointState.ENABLED:
        after = replace(after, state=EndpointState.DISABLED, disabled_for="deliveries_died")
        disabled = WebhookEndpointDisabled(
            merchant=endpoint.merchant,
            app=endpoint.app,
            mode=endpoint.mode,
            endpoint=endpoint.id,
            dead=count,
        )
        unit.record(disabled, subject=f"webhook_endpoint:{endpoint.id}")
        open_case(unit, DISABLED.name, f"webhook_endpoint:{endpoint.id}")
    endpoint_table.change(unit.connection, endpoint, after)


@job("payments.deliver_webhooks", schedule=Every(timedelta(seconds=2)))
def deliver_webhooks(context: JobContext) -> None:
    """Send merchants what happened, and what they did not take before."""
    sender = Sender(reach_of(context.platform.settings))
    courier = Courier(context.database, context.platform.keyring, sender, actor=context.actor)
    courier.deliver_due(should_stop=lambda: context.should_stop)
