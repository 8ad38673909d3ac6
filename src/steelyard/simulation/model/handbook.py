"""The transaction simulator of the Fraud Detection Handbook, from its published parameters.

Source: Le Borgne, Siblini, Lebichot, Bontempi, "Reproducible Machine Learning for Credit Card Fraud
Detection", chapter 3, "Transaction data simulator". Written anew from the text; two things differ
so that a day can be drawn alone: of a compromised customer's purchases *each* is altered with the
probability one third (there: exactly a third of those of the whole window), and an amount is at
least one minor unit (there: it may round to zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import erf, sqrt

from steelyard.simulation.model.draws import (
    Chance,
    Streams,
    about,
    below,
    distinct,
    entropy,
    normal,
    poisson,
    uniform,
)

_DAY_S = 86_400


class Scenario(IntEnum):
    """Why a purchase is fraud; numbered as the Handbook does."""

    LARGE_AMOUNT = 1
    """The amount is over the limit."""
    TERMINAL_COMPROMISED = 2
    """Every purchase at the terminal is fraud for some weeks."""
    CUSTOMER_COMPROMISED = 3
    """The card is copied: a third of the purchases are someone else's, five times as large."""


@dataclass(frozen=True, slots=True)
class Handbook:
    """The parameters of the simulator; the defaults are the published ones.

    Attributes
    ----------
    side : of the square that customers and terminals lie in
    radius : how far a customer goes, where there are `published_terminals`
    mean_amount : range of a customer's mean amount, in major units
    std_share : a customer's standard deviation of the amount, as a share of the mean
    purchases_a_day : greatest mean number of purchases a customer makes in a day
    noon_s, spread_s : mean and standard deviation of the time of day, in seconds
    large_amount_minor : an amount over it is fraud (scenario 1)
    terminals_a_day, terminal_days : terminals compromised each day, and for how many days
        (scenario 2)
    customers_a_day, customer_days : customers compromised each day, and for how many days
        (scenario 3)
    stolen_share, stolen_factor : which share of a compromised customer's purchases is altered, and
        what their amount is multiplied by
    published_customers, published_terminals : the size for which `radius`, `terminals_a_day` and
        `customers_a_day` were published; a town of another size keeps the number of terminals
        within reach and the share of fraud
    """

    side: float = 100.0
    radius: float = 5.0
    mean_amount: tuple[float, float] = (5.0, 100.0)
    std_share: float = 0.5
    purchases_a_day: float = 4.0
    noon_s: float = 43_200.0
    spread_s: float = 20_000.0
    large_amount_minor: int = 22_000
    terminals_a_day: float = 2.0
    terminal_days: int = 28
    customers_a_day: float = 3.0
    customer_days: int = 14
    stolen_share: float = 1 / 3
    stolen_factor: int = 5
    published_customers: int = 5_000
    published_terminals: int = 10_000

    def reach(self, terminals: int) -> float:
        """Return how far a customer goes in a town of so many terminals.

        Examples
        --------
        >>> PUBLISHED.reach(10_000), PUBLISHED.reach(400)
        (5.0, 25.0)
        """
        return self.radius * sqrt(self.published_terminals / terminals)

    def kept_share(self) -> float:
        """Return the share of purchases whose time falls inside the day.

        Examples
        --------
        >>> round(PUBLISHED.kept_share(), 4)
        0.9692
        """
        before = self.noon_s / (self.spread_s * sqrt(2))
        after = (_DAY_S - self.noon_s) / (self.spread_s * sqrt(2))
        return (erf(before) + erf(after)) / 2


PUBLISHED = Handbook()


@dataclass(frozen=True, slots=True)
class Profile:
    """How a customer buys.

    Attributes
    ----------
    x, y : where the customer lives in the square
    mean_amount, std_amount : of a purchase, in major units
    purchases_a_day : mean number
    """

    x: float
    y: float
    mean_amount: float
    std_amount: float
    purchases_a_day: float


@dataclass(frozen=True, slots=True)
class Purchase:
    """One genuine purchase, before any fraudster has touched it.

    Attributes
    ----------
    time_ms : milliseconds since the midnight the day began with
    amount_minor : at least 1
    terminal : number of the terminal
    entropy : ten bytes for its id
    """

    time_ms: int
    amount_minor: int
    terminal: int
    entropy: bytes


@dataclass(frozen=True, slots=True)
class Compromised:
    """Who is in a fraudster's hands on one day.

    Attributes
    ----------
    terminals : numbers of the terminals
    customers : for each customer the days (ordinals) on which the card was copied; more than one
        when it was copied again before the first fortnight was over
    """

    terminals: frozenset[int]
    customers: dict[int, tuple[int, ...]]


def profile(chance: Chance, handbook: Handbook = PUBLISHED) -> Profile:
    """Return a drawn customer profile."""
    x = uniform(chance, 0.0, handbook.side)
    y = uniform(chance, 0.0, handbook.side)
    mean_amount = uniform(chance, *handbook.mean_amount)
    return Profile(
        x=x,
        y=y,
        mean_amount=mean_amount,
        std_amount=mean_amount * handbook.std_share,
        purchases_a_day=uniform(chance, 0.0, handbook.purchases_a_day),
    )


def within_reach(
    profiles: Sequence[Profile], places: Sequence[tuple[float, float]], reach: float
) -> tuple[tuple[int, ...], ...]:
    """Return for each profile the numbers of the places nearer than `reach`, ascending.

    Parameters
    ----------
    profiles : of the customers
    places : of the terminals, by number
    reach : of every customer; a place at exactly this distance is out of it

    Returns
    -------
    tuple
        One tuple for each profile, empty for a customer with nothing near.
    """
    squares: dict[tuple[int, int], list[int]] = {}
    for number, (x, y) in enumerate(places):
        squares.setdefault((int(x // reach), int(y // reach)), []).append(number)
    return tuple(_near(each, places, squares, reach) for each in profiles)


def _near(
    who: Profile,
    places: Sequence[tuple[float, float]],
    squares: dict[tuple[int, int], list[int]],
    reach: float,
) -> tuple[int, ...]:
    """Look through the square the customer lives in and the eight around it."""
    column, row = int(who.x // reach), int(who.y // reach)
    found: list[int] = []
    for across in (column - 1, column, column + 1):
        for down in (row - 1, row, row + 1):
            for number in squares.get((across, down), ()):
                x, y = places[number]
                if (x - who.x) ** 2 + (y - who.y) ** 2 < reach * reach:
                    found.append(number)
    return tuple(sorted(found))


def purchases(
    chance: Chance, who: Profile, terminals: Sequence[int], handbook: Handbook = PUBLISHED
) -> list[Purchase]:
    """Return a customer's genuine purchases of one day, in the order drawn (not of time).

    Parameters
    ----------
    chance : the generator of this customer and day
    who : the customer's profile
    terminals : within the customer's reach; without any there is no purchase
    handbook : the parameters
    """
    if not terminals:
        return []
    made: list[Purchase] = []
    for _ in range(poisson(chance, who.purchases_a_day)):
        time_s = normal(chance, handbook.noon_s, handbook.spread_s)
        if not 0 < time_s < _DAY_S:
            continue
        amount = normal(chance, who.mean_amount, who.std_amount)
        if amount < 0:
            amount = uniform(chance, 0.0, 2 * who.mean_amount)
        made.append(
            Purchase(
                time_ms=int(time_s * 1000),
                amount_minor=max(1, round(amount * 100)),
                terminal=terminals[below(chance, len(terminals))],
                entropy=entropy(chance),
            )
        )
    return made


def compromised(
    streams: Streams,
    size: tuple[int, int],
    days: tuple[int, int],
    handbook: Handbook = PUBLISHED,
) -> Compromised:
    """Return who is in a fraudster's hands on a day, from the draws of the days before it.

    Parameters
    ----------
    streams : the generators of the town
    size : number of customers and of terminals
    days : ordinal of the first day of fraud, and of the day asked for
    handbook : the parameters
    """
    customers, terminals = size
    first, asked = days
    terminals_a_day = handbook.terminals_a_day * terminals / handbook.published_terminals
    taken: set[int] = set()
    for since in range(max(first, asked - handbook.terminal_days + 1), asked + 1):
        chance = streams("compromised terminals", since)
        taken.update(distinct(chance, terminals, about(chance, terminals_a_day)))
    customers_a_day = handbook.customers_a_day * customers / handbook.published_customers
    copied: dict[int, tuple[int, ...]] = {}
    for since in range(max(first, asked - handbook.customer_days + 1), asked + 1):
        chance = streams("compromised customers", since)
        for customer in distinct(chance, customers, about(chance, customers_a_day)):
            copied[customer] = (*copied.get(customer, ()), since)
    return Compromised(frozenset(taken), copied)


def defraud(
    genuine: Purchase,
    thefts: Sequence[Chance],
    stolen_terminals: frozenset[int],
    handbook: Handbook = PUBLISHED,
) -> tuple[int, Scenario | None]:
    """Return the amount of a purchase once the fraudsters are done, and why it is fraud, if it is.

    Parameters
    ----------
    genuine : the purchase as the customer would have made it
    thefts : one generator for each time the customer's card was copied; one number is drawn of each
    stolen_terminals : compromised on the day of the purchase
    handbook : the parameters

    Returns
    -------
    tuple
        The amount in minor units, and the scenario: the last that applies, in their order.
    """
    amount_minor = genuine.amount_minor
    scenario = Scenario.LARGE_AMOUNT if amount_minor > handbook.large_amount_minor else None
    if genuine.terminal in stolen_terminals:
        scenario = Scenario.TERMINAL_COMPROMISED
    for theft in thefts:
        if theft.random() < handbook.stolen_share:
            amount_minor *= handbook.stolen_factor
            scenario = Scenario.CUSTOMER_COMPROMISED
    return amount_minor, scenario
