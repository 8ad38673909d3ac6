"""The composition root: the one place where rooms are introduced to each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from steelyard.base import Database, Gate, RealClock, Settings, StoredBusinessClock
from steelyard.base.crypto import Keyring
from steelyard.base.http import Verifier
from steelyard.base.jobs.store import watch_jobs
from steelyard.base.postgres import EmbeddedPostgres, bootstrap
from steelyard.base.schema import SchemaIsBehind, migrate, revisions
from steelyard.base.telemetry.metrics import watch_gauge
from steelyard.credit import HttpCreditBureau, HttpMessageGateway
from steelyard.credit import funding as lending
from steelyard.decisions import asking
from steelyard.events import PostgresFactLog, operation
from steelyard.features import KINDS
from steelyard.ledger import GroupCommit
from steelyard.parties import HttpIdentityProvider, IdentityProvider, RequestVerifier
from steelyard.payments import channel_desk, custody_http, degraded, funding, paying, routing

if TYPE_CHECKING:
    from steelyard.credit import bureau, messages


@dataclass(frozen=True, slots=True)
class Urls:
    """The database as seen by the application role and by the owner role."""

    application: str
    owner: str


@contextmanager
def open_database_server(settings: Settings) -> Iterator[Urls]:
    """Have a database server for a while: the operator's, or the embedded one of the home.

    The embedded server is started by its first user and stopped by its last.
    """
    if settings.database_url is not None:
        yield Urls(settings.database_url, settings.owner_url or settings.database_url)
        return
    embedded = EmbeddedPostgres(settings.home)
    address = embedded.acquire()
    try:
        bootstrap(address)
        yield Urls(
            address.url(role="steelyard_app", database="steelyard"),
            address.url(role="steelyard_owner", database="steelyard"),
        )
    finally:
        embedded.release()


@contextmanager
def open_database(
    settings: Settings, *, migrated: bool = True, pool_size: int = 10
) -> Iterator[Database]:
    """Have the migrated database for a while.

    Parameters
    ----------
    migrated : bring an embedded database to this release first; one of the operator's is never
        migrated unasked

    Refusals
    --------
    schema_is_behind : the operator's database wants `steelyard db migrate`
    """
    with open_database_server(settings) as urls:
        if not revisions(urls.application).is_current:
            if settings.database_url is not None or not migrated:
                raise SchemaIsBehind
            migrate(urls.owner)
        wall = RealClock()
        database = Database(
            urls.application,
            facts=PostgresFactLog(),
            clock=None if settings.in_production else StoredBusinessClock(wall),
            wall=wall,
            pool_size=pool_size,
        )
        try:
            yield database
        finally:
            database.close()


@dataclass(slots=True)
class SteelyardPlatform:
    """Everything that routes, jobs and commands work with; one per process.

    Attributes
    ----------
    identity_provider : asked who somebody is; None where `STEELYARD_IDENTITY_PROVIDER` names none
    credit_bureau : knows what people owe; None where `STEELYARD_CREDIT_BUREAU` names none
    message_gateway : sends messages; None where `STEELYARD_MESSAGE_GATEWAY` names none
    custodian : keeps our clients' funds; None where `STEELYARD_CUSTODIAN` names none
    ledger_queue : the hot path into the books, by group commit
    decision_owner : asks the process that decides
    channels : channels by their codes
    routing : chooses among them
    paying : pays orders through them
    """

    settings: Settings
    database: Database
    keyring: Keyring
    gate: Gate
    verifier: Verifier
    identity_provider: IdentityProvider | None
    credit_bureau: bureau.CreditBureau | None
    message_gateway: messages.MessageGateway | None
    custodian: custody_http.HttpCustodian | None
    ledger_queue: GroupCommit
    decision_owner: asking.OwnerClient
    channels: channel_desk.ChannelDesk
    routing: routing.RoutingDesk
    paying: paying.Paying


@contextmanager
def open_platform(settings: Settings, *, pool_size: int = 10) -> Iterator[SteelyardPlatform]:
    """Compose the platform of one process and take it apart again."""
    import steelyard.web.rooms  # noqa: F401  (enters the facts and jobs of every room)

    with ExitStack() as stack:
        database = stack.enter_context(open_database(settings, pool_size=pool_size))
        watch_jobs(database)
        watch_gauge(
            "steelyard_consumer_lag_seconds",
            "Real age of the oldest fact that a consumer lacks",
            label="consumer",
            read=partial(operation.lag_seconds, database),
        )
        keyring = Keyring.open(settings)
        provider = None
        if settings.identity_provider is not None:
            provider = HttpIdentityProvider(settings.identity_provider)
            stack.callback(provider.close)
        credit_bureau = message_gateway = None
        if settings.credit_bureau is not None:
            credit_bureau = HttpCreditBureau(settings.credit_bureau)
            stack.callback(credit_bureau.close)
        if settings.message_gateway is not None:
            message_gateway = HttpMessageGateway(settings.message_gateway)
            stack.callback(message_gateway.close)
        custodian = None
        if settings.custodian is not None:
            secret = settings.custodian_secret or ""
            custodian = custody_http.HttpCustodian(settings.custodian, secret=secret)
            stack.callback(custodian.close)
        decision_owner = asking.OwnerClient(database)
        stack.callback(decision_owner.close)
        gate = _gate(decision_owner, database)
        channels = channel_desk.ChannelDesk(database, keyring)
        source = funding.FundingChannel(database, lending.CreditLines())
        channels.add(source, funding.capability_of())
        routes = routing.RoutingDesk(database, channels)
        payer = paying.Paying(
            database,
            degraded.DegradedGate(database, gate),
            channels,
            routes,
            notify_url=partial(_notices, settings),
        )
        stack.callback(payer.close)
        yield SteelyardPlatform(
            settings=settings,
            database=database,
            keyring=keyring,
            gate=gate,
            verifier=RequestVerifier(database, keyring, settings),
            identity_provider=provider,
            credit_bureau=credit_bureau,
            message_gateway=message_gateway,
            custodian=custodian,
            ledger_queue=stack.enter_context(GroupCommit(database)),
            decision_owner=decision_owner,
            channels=channels,
            routing=routes,
            paying=payer,
        )


def _notices(settings: Settings, channel: str) -> str | None:
    """Return where a channel sends its notices; None where nobody outside reaches us."""
    if settings.public_url is None:
        return None
    return f"{settings.public_url}/v1/payments/channels/{channel}/notices"


def _gate(owner: asking.OwnerClient, database: Database) -> Gate:
    """Return the gate that asks the owner, and knows of each scene what its event has."""
    scenes = {name: frozenset(kind.fields).difference(kind.labels) for name, kind in KINDS.items()}
    return asking.OwnerGate(owner, database, scenes)
