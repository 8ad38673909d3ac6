"""The town: customers, merchants and terminals, all of them out of one seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind, uuid7
from steelyard.simulation.model.actions import DepositKind
from steelyard.simulation.model.draws import Chance, Streams, below, entropy, pick, uniform
from steelyard.simulation.model.handbook import (
    PUBLISHED,
    Handbook,
    Profile,
    profile,
    within_reach,
)
from steelyard.simulation.model.names import FLOWERS, PLACES, TRADES
from steelyard.simulation.model.people import Person, person

BEIJING = timezone(timedelta(hours=8), "Beijing")
"""The zone whose midnights part the town's days; it has known no summer time since 1991."""

CURRENCY = "CNY"

OPENS_ON = date(2026, 1, 5)
"""The first day of a town for which none is named: a fixed one, so that a seed is enough."""

_DAYS_A_MONTH = 365.25 / 12
_SALARIED_SHARE = 0.7
_SALARY_DAYS = (8, 9, 10, 10, 10, 10, 11, 12)
_SPENDTHRIFT_SHARE = 0.15
_SPENDTHRIFT_COVER = (0.75, 1.0)
_USUAL_COVER = (1.05, 1.6)
_LEAST_OPENING_MINOR = 5_000
_LEAST_INCOME_MINOR = 1_000
_COUNTERS_OPEN_MS = 8 * 3_600_000
_COUNTERS_CLOSE_MS = 20 * 3_600_000


class TownIsTooSmall(Refusal):
    """A town needs someone to buy and somewhere to buy at."""

    kind = RefusalKind.INVALID
    en = "A town needs at least one customer and one terminal, not {customers} and {terminals}."
    zh = "小镇至少需要一位客户和一台终端，而不是 {customers} 位客户和 {terminals} 台终端。"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a town is made from; two towns of one plan are the same town.

    Attributes
    ----------
    seed : of all chance in the town
    customers, terminals : how many, at least one of each
    opens_on : the first day, in Beijing
    arrival_days : the customers sign up within so many days from the first
    handbook : how they buy and are defrauded
    """

    seed: int
    customers: int
    terminals: int
    opens_on: date
    arrival_days: int = 7
    handbook: Handbook = PUBLISHED


@dataclass(frozen=True, slots=True)
class Income:
    """A customer's regular deposit.

    Attributes
    ----------
    kind : salary (monthly) or top-up (weekly)
    amount_minor : about so much each time
    pay_day : day of the month for a salary, day of the week (Monday is 0) for a top-up
    """

    kind: DepositKind
    amount_minor: int
    pay_day: int

    def pays_on(self, on: date) -> bool:
        """Return whether it comes on a day: a salary due at a weekend comes on the Friday before.

        Examples
        --------
        >>> salary = Income(DepositKind.SALARY, 800_000, 10)
        >>> salary.pays_on(date(2026, 1, 10)), salary.pays_on(date(2026, 1, 9))
        (False, True)
        """
        if self.kind is DepositKind.TOP_UP:
            return on.weekday() == self.pay_day
        due_on = on.replace(day=self.pay_day)
        return on == due_on - timedelta(days=max(0, due_on.weekday() - 4))


@dataclass(frozen=True, slots=True)
class Customer:
    """Someone who lives in the town and buys there.

    Attributes
    ----------
    number : from 0
    id, account_id, card_id : the customer, the one wallet account and the one card
    person : the personal data
    profile : how the customer buys; known to the town alone
    terminals : numbers of the terminals within reach
    signs_up_at : instant, UTC
    opening_minor : what the customer brings along
    income : what comes regularly
    """

    number: int
    id: UUID
    account_id: UUID
    card_id: UUID
    person: Person
    profile: Profile = field(repr=False)
    terminals: tuple[int, ...] = field(repr=False)
    signs_up_at: datetime
    opening_minor: int
    income: Income


@dataclass(frozen=True, slots=True)
class Terminal:
    """A place to pay at.

    Attributes
    ----------
    number : from 0
    id : of the terminal
    merchant : number of the merchant that owns it
    x, y : where it stands in the square
    """

    number: int
    id: UUID
    merchant: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Merchant:
    """A business that owns terminals; there from the first day on.

    Attributes
    ----------
    number : from 0
    id, account_id : the merchant, and the account it is paid to
    name, name_zh : made up, unlike any other's of the town
    category_code : ISO 18245
    terminals : numbers of its terminals, at least one
    """

    number: int
    id: UUID
    account_id: UUID
    name: str
    name_zh: str
    category_code: str
    terminals: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Town:
    """Everyone and everything of a plan; customers, merchants and terminals stand by number.

    Attributes
    ----------
    plan : what it was made from
    customers, merchants, terminals : by number
    streams : the generators of the plan's seed
    """

    plan: Plan
    customers: tuple[Customer, ...] = field(repr=False)
    merchants: tuple[Merchant, ...] = field(repr=False)
    terminals: tuple[Terminal, ...] = field(repr=False)
    streams: Streams = field(repr=False)


def build(plan: Plan, streams: Streams) -> Town:
    """Return the town of a plan.

    Parameters
    ----------
    plan : the plan
    streams : the generators of its seed

    Returns
    -------
    Town
        Everything in it depends on plan and streams alone; 5,000 customers and 10,000 terminals
        take about a second.

    Refusals
    --------
    town_is_too_small : no customer or no terminal
    """
    if plan.customers < 1 or plan.terminals < 1:
        raise TownIsTooSmall(customers=plan.customers, terminals=plan.terminals)
    assert plan.arrival_days >= 1, "customers need a day to sign up on"
    opens_at = midnight(plan.opens_on)
    merchants, terminals = _businesses(plan, streams, opens_at)
    profiles = [
        profile(streams("profile", number), plan.handbook) for number in range(plan.customers)
    ]
    near = within_reach(
        profiles, [(each.x, each.y) for each in terminals], plan.handbook.reach(plan.terminals)
    )
    customers = tuple(
        _customer(plan, streams("customer", number), number, (profiles[number], near[number]))
        for number in range(plan.customers)
    )
    return Town(plan, customers, merchants, terminals, streams)


def midnight(on: date) -> datetime:
    """Return the instant, in UTC, that a day of the town begins at.

    Examples
    --------
    >>> midnight(date(2026, 1, 5)).isoformat()
    '2026-01-04T16:00:00+00:00'
    """
    return datetime.combine(on, time(), BEIJING).astimezone(UTC)


def daytime(chance: Chance, on: date) -> datetime:
    """Return an instant of a day while counters are open, 08:00 to 20:00 in Beijing, in UTC."""
    time_ms = int(uniform(chance, _COUNTERS_OPEN_MS, _COUNTERS_CLOSE_MS))
    return midnight(on) + timedelta(milliseconds=time_ms)


def _customer(
    plan: Plan, chance: Chance, number: int, buys: tuple[Profile, tuple[int, ...]]
) -> Customer:
    who, terminals = buys
    arrives_on = plan.opens_on + timedelta(days=below(chance, plan.arrival_days))
    signs_up_at = daytime(chance, arrives_on)
    daily_minor = (
        100 * who.mean_amount * who.purchases_a_day * plan.handbook.kept_share()
        if terminals
        else 0.0
    )
    spendthrift = chance.random() < _SPENDTHRIFT_SHARE
    cover = uniform(chance, *(_SPENDTHRIFT_COVER if spendthrift else _USUAL_COVER))
    income = _income(chance, daily_minor * cover)
    return Customer(
        number=number,
        id=uuid7(signs_up_at, entropy(chance)),
        account_id=uuid7(signs_up_at, entropy(chance)),
        card_id=uuid7(signs_up_at, entropy(chance)),
        person=person(chance, number, plan.opens_on),
        profile=who,
        terminals=terminals,
        signs_up_at=signs_up_at,
        opening_minor=max(
            _LEAST_OPENING_MINOR,
            _whole(daily_minor * cover * _days_to_pay(income, arrives_on)),
        ),
        income=income,
    )


def _income(chance: Chance, daily_minor: float) -> Income:
    """Draw how a customer is paid so that it makes up for so much a day."""
    if chance.random() < _SALARIED_SHARE:
        amount = max(_LEAST_INCOME_MINOR, _whole(daily_minor * _DAYS_A_MONTH))
        return Income(DepositKind.SALARY, amount, pick(chance, _SALARY_DAYS))
    amount = max(_LEAST_INCOME_MINOR, _whole(daily_minor * 7))
    return Income(DepositKind.TOP_UP, amount, below(chance, 7))


def _days_to_pay(income: Income, on: date) -> int:
    """Count the days until the next regular deposit."""
    days = 1
    while not income.pays_on(on + timedelta(days=days)):
        days += 1
    return days


def _whole(amount_minor: float) -> int:
    """Round to whole yuan, as employers and customers do."""
    return 100 * round(amount_minor / 100)


def _businesses(
    plan: Plan, streams: Streams, opens_at: datetime
) -> tuple[tuple[Merchant, ...], tuple[Terminal, ...]]:
    """Place the terminals, and give each run of them to one merchant."""
    merchants: list[Merchant] = []
    terminals: list[Terminal] = []
    names: dict[str, int] = {}
    while len(terminals) < plan.terminals:
        number = len(merchants)
        chance = streams("merchant", number)
        first = len(terminals)
        last = min(plan.terminals, first + _chain(chance))
        merchants.append(_merchant(chance, names, number, opens_at, tuple(range(first, last))))
        for place in range(first, last):
            at = streams("terminal", place)
            side = plan.handbook.side
            x, y = uniform(at, 0.0, side), uniform(at, 0.0, side)
            terminals.append(Terminal(place, uuid7(opens_at, entropy(at)), number, x, y))
    return tuple(merchants), tuple(terminals)


def _chain(chance: Chance) -> int:
    """Draw how many terminals a merchant has: most have one, a few have dozens."""
    size = chance.random()
    if size < 0.70:
        return 1
    return 2 + below(chance, 4) if size < 0.95 else 6 + below(chance, 25)


def _merchant(
    chance: Chance,
    names: dict[str, int],
    number: int,
    opens_at: datetime,
    terminals: tuple[int, ...],
) -> Merchant:
    """Draw a merchant; the second of a name is told from the first by a number."""
    place_zh, place = pick(chance, PLACES)
    flower_zh, flower = pick(chance, FLOWERS)
    trade_zh, trade, category_code = pick(chance, TRADES)
    name, name_zh = f"{place} {flower} {trade}", f"{place_zh}{flower_zh}{trade_zh}"
    names[name] = namesakes = names.get(name, 0) + 1
    if namesakes > 1:
        name, name_zh = f"{name} No. {namesakes}", f"{name_zh}{namesakes}店"
    return Merchant(
        number=number,
        id=uuid7(opens_at, entropy(chance)),
        account_id=uuid7(opens_at, entropy(chance)),
        name=name,
        name_zh=name_zh,
        category_code=category_code,
        terminals=terminals,
    )
