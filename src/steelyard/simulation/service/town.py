"""The town itself: founding it, its clock, how far it has lived."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from steelyard.base import Database, Gate, StoredBusinessClock, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.ledger import (
    Funds,
    books,
    open_book,
)
from steelyard.parties import NewLegalPerson, PartyKind, registry
from steelyard.payments import institution
from steelyard.simulation import store
from steelyard.simulation.chance import found
from steelyard.simulation.model import Merchant, Plan, TownIsTooSmall, midnight
from steelyard.simulation.model.people import credit_code
from steelyard.simulation.model.state import (
    BOOK,
    HOUSE,
    TownDoesNotGoBack,
    TownIsFoundedOtherwise,
    TownIsNotFounded,
    TownState,
    merchant_origin,
)
from steelyard.simulation.service import contracts
from steelyard.simulation.service.facts import TownFounded
from steelyard.simulation.service.ids import seed_ids

__all__ = [
    "ClockReading",
    "TownDoesNotGoBack",
    "TownIsFoundedOtherwise",
    "TownIsNotFounded",
    "TownIsTooSmall",
    "TownState",
    "TownView",
    "found_town",
    "note_progress",
    "read_clock",
    "read_town",
    "resume_clock",
    "set_clock",
]

_MERCHANTS_A_STEP = 50


@dataclass(frozen=True, slots=True)
class ClockReading:
    """What the business clock says, and how fast it goes.

    Attributes
    ----------
    speed : virtual seconds for one real second; 1 where the real clock is the business clock
    """

    now: datetime
    speed: float


@dataclass(frozen=True, slots=True)
class TownView:
    """The town as it stands, the clock, and the size of the database."""

    state: TownState
    clock: ClockReading
    database_bytes: int


def found_town(
    database: Database,
    keyring: Keyring,
    gate: Gate,
    plan: Plan,
    *,
    history_days: int,
    actor: str = "system:steelyard",
) -> TownState:
    """Found the town: set its clock, open its books, settle its merchants.

    Several short transactions, each of which finds what those before it left: founded again, by
    the same plan, nothing doubles, and what a crash interrupted is completed.

    Parameters
    ----------
    plan : what the town is made from
    history_days : how many days of history will be played

    Refusals
    --------
    town_is_founded_otherwise
    clock_goes_backwards : the business clock is past the day on which the town opens
    town_is_too_small
    """
    with database.reading() as connection:
        state = store.read(connection)
    if state is not None and state.must_be_of(plan).is_settled:
        return state
    shops = found(plan).merchants
    opens_at = midnight(plan.opens_on)

    def begin(unit: UnitOfWork) -> None:
        if store.read(unit.connection) is None:
            set_clock(database, unit, opens_at, 0)

    def write(unit: UnitOfWork) -> None:
        _write_plan(unit, plan, history_days, opens_at)
        _open_books(unit, plan)

    database.transact(begin, actor=actor)
    database.transact(write, actor=actor)
    for first in range(0, len(shops), _MERCHANTS_A_STEP):
        some = shops[first : first + _MERCHANTS_A_STEP]
        _settle_merchants(database, keyring, gate, some, actor=actor)

    def finish(unit: UnitOfWork) -> TownState:
        store.note_settled(unit)
        return _must_be_founded(unit.connection)

    return database.transact(finish, actor=actor)


def _write_plan(unit: UnitOfWork, plan: Plan, history_days: int, opens_at: datetime) -> None:
    is_new = store.read(unit.connection) is None
    wanted = TownState(
        plan=plan,
        history_days=history_days,
        book=BOOK,
        house=HOUSE,
        founded_at=unit.now,
        is_settled=False,
        played_through=opens_at,
        playing_through=opens_at,
        history_done=False,
        resting=None,
    )
    store.insert(unit, wanted)
    _must_be_founded(unit.connection).must_be_of(plan)
    if is_new:
        fact = TownFounded(
            seed=plan.seed,
            customers=plan.customers,
            terminals=plan.terminals,
            book=BOOK,
            house=HOUSE,
        )
        unit.record(fact, subject="town:town")


def _open_books(unit: UnitOfWork, plan: Plan) -> None:
    """Open client funds and own funds side by side, and let payments stand in them."""
    known = {book.id: book for book in books(unit.connection)}
    for book, name, funds in (
        (BOOK, "Town, client funds 小镇备付金", Funds.CLIENT),
        (HOUSE, "House, own funds 自有资金", Funds.OWN),
    ):
        if book == BOOK or book not in known:
            open_book(
                unit,
                book,
                name=name,
                funds=funds,
                business_on=plan.opens_on,
                timezone=contracts.TIMEZONE,
            )
    institution.open_books(unit, institution.Mode.LIVE, client_book=BOOK, own_book=HOUSE)


def _settle_merchants(
    database: Database, keyring: Keyring, gate: Gate, some: Sequence[Merchant], *, actor: str
) -> None:
    """Register some merchants as parties, and take each on with a contract."""
    now = database.now()
    new = [
        NewLegalPerson(
            legal_name=merchant.name_zh,
            number=credit_code(merchant.number),
            industry=merchant.category_code,
            origin=merchant_origin(merchant.id),
            channel="town",
        )
        for merchant in some
    ]
    verdicts = [registry.ask_to_register(gate, PartyKind.MERCHANT, each, now=now) for each in new]

    def settle(unit: UnitOfWork) -> list[contracts.Shop]:
        # Accounts of merchants are named by their parties: the same plan gives the same books.
        seed_ids(unit, "merchants", str(some[0].id))
        parties = [
            registry.register_merchant(unit, keyring, each, verdict=verdict).id
            for each, verdict in zip(new, verdicts, strict=True)
        ]
        shops = [contracts.Shop(*pair) for pair in zip(some, parties, strict=True)]
        contracts.take_on(unit, keyring, shops)
        return shops

    contracts.open_accounts(database, database.transact(settle, actor=actor))


def _must_be_founded(connection: sa.Connection, *, lock: bool = False) -> TownState:
    state = store.read(connection, lock=lock)
    if state is None:
        raise TownIsNotFounded
    return state


def read_town(database: Database) -> TownView:
    """Return the town as it stands.

    Refusals
    --------
    town_is_not_founded
    """
    with database.reading() as connection:
        return TownView(
            _must_be_founded(connection),
            _read_clock(database, connection),
            store.database_bytes(connection),
        )


def read_clock(database: Database) -> ClockReading:
    """Return what the business clock says."""
    with database.reading() as connection:
        return _read_clock(database, connection)


def _read_clock(database: Database, connection: sa.Connection) -> ClockReading:
    speed = store.read_speed(connection)
    return ClockReading(database.clock.read(connection), 1.0 if speed is None else speed)


def set_clock(
    database: Database, unit: UnitOfWork, at: datetime | None, speed: float
) -> ClockReading:
    """Let the business clock stand at an instant and go on from it.

    Parameters
    ----------
    at : aware instant; None: where it stands, only the speed changes
    speed : virtual seconds for one real second; 0 stands still

    Refusals
    --------
    clock_goes_backwards
    """
    clock = StoredBusinessClock(database.wall)
    if at is not None:
        clock.set(unit.connection, at, speed=speed)
    else:
        clock.beat(unit.connection)
        if clock.resume(unit.connection, speed=speed) is None:
            clock.set(unit.connection, clock.read(unit.connection), speed=speed)
    return _read_clock(database, unit.connection)


def resume_clock(database: Database, *, speed: float) -> ClockReading | None:
    """Let the clock go on from where it was seen last, as if the platform had never been down.

    Called before the first request is served after a pause; while the history is being played the
    clock stands still.

    Returns
    -------
    ClockReading or None
        None where there is no town, and the clock was not touched.
    """

    def resume(unit: UnitOfWork) -> ClockReading | None:
        state = store.read(unit.connection)
        if state is None:
            return None
        clock = StoredBusinessClock(database.wall)
        clock.resume(unit.connection, speed=speed if state.history_done else 0)
        return _read_clock(database, unit.connection)

    return database.transact(resume)


def note_progress(
    database: Database,
    unit: UnitOfWork,
    *,
    played_through: datetime,
    playing_through: datetime,
    history_done: bool = False,
    resting: str | None = None,
    stand_at: datetime | None = None,
) -> ClockReading:
    """Note how far the town has lived and how far the next span reaches; a beat of its clock.

    Parameters
    ----------
    played_through : everything before it was sent and answered
    playing_through : the end of what is sent next; after a crash that span is sent again as it was
    stand_at : let the business clock stand at this instant; None: it goes on as it does

    Refusals
    --------
    town_is_not_founded
    town_does_not_go_back
    clock_goes_backwards
    """
    state = _must_be_founded(unit.connection, lock=True)
    if played_through < state.played_through or playing_through < played_through:
        raise TownDoesNotGoBack(
            played_through=state.played_through.isoformat(),
            asked=min(played_through, playing_through).isoformat(),
        )
    store.note_progress(
        unit,
        played_through=played_through,
        playing_through=playing_through,
        history_done=history_done,
        resting=resting,
    )
    if stand_at is not None:
        return set_clock(database, unit, stand_at, 0)
    StoredBusinessClock(database.wall).beat(unit.connection)
    return _read_clock(database, unit.connection)
