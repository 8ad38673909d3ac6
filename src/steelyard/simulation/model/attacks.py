"""Attacks on the town: what fraudsters try, step by step; what comes of it is not for them to say.

An attack is drawn whole from its own seed before it begins. Some steps need an earlier one to have
worked: a card is emptied only if it passed its test, an account only by whoever got into it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from steelyard.kernel import uuid7
from steelyard.simulation.model.draws import (
    Chance,
    Streams,
    below,
    distinct,
    entropy,
    pick,
    uniform,
)
from steelyard.simulation.model.people import Person, person
from steelyard.simulation.model.town import Customer, Town, midnight

HOME_COUNTRY = "CN"
_ABROAD = ("TH", "PH", "KH", "RO")
_STRANGERS = 1_000_000
"""Numbers of made-up people start here, so that nobody of the ring is somebody of the town."""
_STRANGE_NUMBERS = 3_000_000


class AttackKind(StrEnum):
    """What the fraudsters are after."""

    CARD_TESTING = "card-testing"
    """Stolen cards are tried out with small payments at one terminal; those that pass are used."""
    RING = "ring"
    """New customers who share devices and payees live quietly, then spend stolen money at once."""
    TAKEOVER = "takeover"
    """Secrets of customers are guessed from new devices, and their accounts drained."""


class Need(StrEnum):
    """What must have worked before a step is taken."""

    NOTHING = "nothing"
    CARD_PASSED = "card_passed"
    """An earlier payment of the attack with the same card went through."""
    SIGNED_IN = "signed_in"
    """The attacker got into the customer's account."""


@dataclass(frozen=True, slots=True)
class Handset:
    """From where somebody acts: a device, an address of the net, a country (ISO 3166)."""

    device: str
    ip: str
    country: str = HOME_COUNTRY


@dataclass(frozen=True, slots=True, kw_only=True)
class Joins:
    """A member of a ring signs up, with a wallet and a card."""

    after: timedelta
    id: UUID
    customer_id: UUID
    account_id: UUID
    card_id: UUID
    person: Person


@dataclass(frozen=True, slots=True, kw_only=True)
class PaysIn:
    """Money comes into a wallet of the ring; `id` is that of the transfer."""

    after: timedelta
    id: UUID
    account_id: UUID
    amount_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignsIn:
    """Somebody tries to sign in as a customer.

    Attributes
    ----------
    succeeded : whether the secret was right
    """

    after: timedelta
    id: UUID
    customer_id: UUID
    handset: Handset
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pays:
    """A card payment is tried, online."""

    after: timedelta
    id: UUID
    customer_id: UUID
    account_id: UUID
    card_id: UUID
    merchant_id: UUID
    merchant_account_id: UUID
    terminal_id: UUID
    amount_minor: int
    handset: Handset
    need: Need = Need.NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class Drains:
    """A withdrawal is tried."""

    after: timedelta
    id: UUID
    customer_id: UUID
    account_id: UUID
    payee: str
    amount_minor: int
    handset: Handset
    need: Need = Need.NOTHING


Step = Joins | PaysIn | SignsIn | Pays | Drains


@dataclass(frozen=True, slots=True)
class Attack:
    """What is going to be tried.

    Attributes
    ----------
    kind : which attack
    lasts : virtual time from the first step to the end
    steps : in order of time
    beats_step_up : customers at whom the attacker can prove what a second proof asks for
    reported_after : how long after a payment its cardholder tells of it, by the payment
    """

    kind: AttackKind
    lasts: timedelta
    steps: tuple[Step, ...] = field(repr=False)
    beats_step_up: frozenset[UUID] = field(repr=False)
    reported_after: Mapping[UUID, timedelta] = field(repr=False)

    @property
    def tries(self) -> int:
        """How many of the steps somebody decides about."""
        return sum(isinstance(step, SignsIn | Pays | Drains) for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackPlan:
    """What an attack is drawn from; two of one plan on one town are the same attack.

    Attributes
    ----------
    kind : which attack
    seed : of all chance in it
    size : stolen cards, members of the ring, or customers attacked; at least 1
    lasts : virtual time
    reports_within : cardholders tell after one day to so many days
    """

    kind: AttackKind
    seed: int
    size: int
    lasts: timedelta
    reports_within: timedelta = timedelta(days=2)


USUAL: Mapping[AttackKind, tuple[int, timedelta]] = MappingProxyType(
    {
        AttackKind.CARD_TESTING: (40, timedelta(minutes=40)),
        AttackKind.RING: (12, timedelta(days=1)),
        AttackKind.TAKEOVER: (20, timedelta(minutes=60)),
    }
)
"""Size and length of an attack for which none is named."""


def draw_attack(plan: AttackPlan, town: Town, streams: Streams) -> Attack:
    """Return the attack of a plan on a town.

    Parameters
    ----------
    plan : what is drawn
    town : whose customers and merchants are used; of a small one, as many as there are
    streams : the generators of the plan's seed

    Returns
    -------
    Attack
        Its steps are sorted by time; ids differ from those of every other seed.
    """
    assert plan.size >= 1, "somebody is attacked"
    chance = streams("attack", plan.kind.value, plan.size)
    steps, beaten = _DRAWN[plan.kind](plan, town, chance)
    steps.sort(key=lambda step: step.after)
    day = timedelta(days=1)
    spread = max(timedelta(), plan.reports_within - day)
    reported = {step.id: day + spread * chance.random() for step in steps if isinstance(step, Pays)}
    return Attack(plan.kind, plan.lasts, tuple(steps), beaten, MappingProxyType(reported))


def _card_testing(
    plan: AttackPlan, town: Town, chance: Chance
) -> tuple[list[Step], frozenset[UUID]]:
    """Try every card at one terminal in the first half, use those that passed in the second."""
    victims = _victims(plan, town, chance)
    testers = [_handset(chance) for _ in range(2)]
    spender = _handset(chance)
    till = below(chance, len(town.terminals))
    fences = distinct(chance, len(town.terminals), 3)
    steps: list[Step] = []
    for victim in victims:
        card = _Card(town, victim)
        for _ in range(1 + below(chance, 2)):
            after = plan.lasts * (0.5 * chance.random())
            amount = 100 + below(chance, 400)
            steps.append(card.pays(chance, (after, till, amount), pick(chance, testers)))
        for _ in range(2):
            after = plan.lasts * uniform(chance, 0.55, 1.0)
            what = (after, pick(chance, fences), 20_000 + 100 * below(chance, 600))
            steps.append(card.pays(chance, what, spender, Need.CARD_PASSED))
    return steps, frozenset()


def _ring(plan: AttackPlan, town: Town, chance: Chance) -> tuple[list[Step], frozenset[UUID]]:
    """Sign up in the first tenth, buy a little until nine tenths, then spend all at one place."""
    handsets = [_handset(chance) for _ in range(max(1, plan.size // 4))]
    payee = f"payee-{_token(chance)}"
    fence = below(chance, len(town.terminals))
    first_number = _STRANGERS + below(chance, _STRANGE_NUMBERS)
    steps: list[Step] = []
    for number in range(plan.size):
        at = handsets[number % len(handsets)]
        joins = _joins(plan, town, chance, first_number + number)
        card = _Card(town, joins)
        steps += [joins, _pays_in(chance, card, (joins.after, 8_000 + 100 * below(chance, 60)))]
        for _ in range(2 + below(chance, 3)):
            after = plan.lasts * uniform(chance, 0.12, 0.9)
            place = below(chance, len(town.terminals))
            steps.append(card.pays(chance, (after, place, 300 + below(chance, 1_500)), at))
        stolen = 300_000 + 100 * below(chance, 5_000)
        steps.append(_pays_in(chance, card, (plan.lasts * 0.91, stolen)))
        for _ in range(3):
            after = plan.lasts * uniform(chance, 0.92, 0.99)
            steps.append(card.pays(chance, (after, fence, stolen // 5), at))
        steps.append(card.drains(chance, (plan.lasts, stolen // 3), (payee, at)))
    return steps, frozenset()


def _takeover(plan: AttackPlan, town: Town, chance: Chance) -> tuple[list[Step], frozenset[UUID]]:
    """Guess a secret a few times, and once in, send money to a new payee and shop."""
    ips = [_address(chance) for _ in range(3)]
    payees = [f"payee-{_token(chance)}" for _ in range(2)]
    fences = distinct(chance, len(town.terminals), 4)
    steps: list[Step] = []
    beaten: set[UUID] = set()
    for victim in _victims(plan, town, chance):
        country = pick(chance, _ABROAD) if chance.random() < 0.5 else HOME_COUNTRY
        at = Handset(f"device-{_token(chance)}", pick(chance, ips), country)
        card = _Card(town, victim)
        if chance.random() < 0.2:
            beaten.add(victim.id)
        after = plan.lasts * (0.5 * chance.random())
        for _ in range(2 + below(chance, 5)):
            steps.append(_signs_in(chance, victim, (after, at), succeeded=False))
            after += timedelta(seconds=uniform(chance, 5, 60))
        steps.append(_signs_in(chance, victim, (after, at), succeeded=True))
        for _ in range(1 + below(chance, 2)):
            after += timedelta(seconds=uniform(chance, 30, 300))
            what = (after, 50_000 + 100 * below(chance, 2_000))
            steps.append(card.drains(chance, what, (pick(chance, payees), at), Need.SIGNED_IN))
        for _ in range(2):
            after += timedelta(seconds=uniform(chance, 30, 300))
            pays = (after, pick(chance, fences), 15_000 + 100 * below(chance, 400))
            steps.append(card.pays(chance, pays, at, Need.SIGNED_IN))
    return steps, frozenset(beaten)


_Draw = Callable[[AttackPlan, Town, Chance], tuple[list[Step], frozenset[UUID]]]
_DRAWN: Mapping[AttackKind, _Draw] = {
    AttackKind.CARD_TESTING: _card_testing,
    AttackKind.RING: _ring,
    AttackKind.TAKEOVER: _takeover,
}


@dataclass(frozen=True, slots=True)
class _Card:
    """A card in the fraudsters' hands, of a customer of the town or of a member of the ring."""

    town: Town
    holder: Customer | Joins

    def pays(
        self,
        chance: Chance,
        what: tuple[timedelta, int, int],
        at: Handset,
        need: Need = Need.NOTHING,
    ) -> Pays:
        """Return a payment: when, at which terminal, how much."""
        after, place, amount_minor = what
        terminal = self.town.terminals[place]
        merchant = self.town.merchants[terminal.merchant]
        return Pays(
            after=after,
            id=_id(self.town, chance),
            customer_id=self._customer_id,
            account_id=self.holder.account_id,
            card_id=self.holder.card_id,
            merchant_id=merchant.id,
            merchant_account_id=merchant.account_id,
            terminal_id=terminal.id,
            amount_minor=amount_minor,
            handset=at,
            need=need,
        )

    def drains(
        self,
        chance: Chance,
        what: tuple[timedelta, int],
        to: tuple[str, Handset],
        need: Need = Need.NOTHING,
    ) -> Drains:
        """Return a withdrawal: when, how much, to whom, from where."""
        after, amount_minor = what
        payee, at = to
        return Drains(
            after=after,
            id=_id(self.town, chance),
            customer_id=self._customer_id,
            account_id=self.holder.account_id,
            payee=payee,
            amount_minor=amount_minor,
            handset=at,
            need=need,
        )

    @property
    def _customer_id(self) -> UUID:
        holder = self.holder
        return holder.customer_id if isinstance(holder, Joins) else holder.id


def _joins(plan: AttackPlan, town: Town, chance: Chance, number: int) -> Joins:
    return Joins(
        after=plan.lasts * (0.1 * chance.random()),
        id=_id(town, chance),
        customer_id=_id(town, chance),
        account_id=_id(town, chance),
        card_id=_id(town, chance),
        person=person(chance, number, town.plan.opens_on),
    )


def _pays_in(chance: Chance, card: _Card, what: tuple[timedelta, int]) -> PaysIn:
    after, amount_minor = what
    return PaysIn(
        after=after + timedelta(seconds=uniform(chance, 1, 60)),
        id=_id(card.town, chance),
        account_id=card.holder.account_id,
        amount_minor=amount_minor,
    )


def _signs_in(
    chance: Chance, victim: Customer, where: tuple[timedelta, Handset], *, succeeded: bool
) -> SignsIn:
    after, at = where
    return SignsIn(
        after=after,
        id=uuid7(victim.signs_up_at, entropy(chance)),
        customer_id=victim.id,
        handset=at,
        succeeded=succeeded,
    )


def _victims(plan: AttackPlan, town: Town, chance: Chance) -> Sequence[Customer]:
    return [town.customers[n] for n in distinct(chance, len(town.customers), plan.size)]


def _id(town: Town, chance: Chance) -> UUID:
    """Return an id out of the attack's own chance: ids of things, not their times."""
    return uuid7(midnight(town.plan.opens_on), entropy(chance))


def _handset(chance: Chance) -> Handset:
    return Handset(f"device-{_token(chance)}", _address(chance))


def _token(chance: Chance) -> str:
    return f"{chance.getrandbits(48):012x}"


def _address(chance: Chance) -> str:
    """Return an address of a block that RFC 5737 keeps for examples."""
    block = pick(chance, ("192.0.2", "198.51.100", "203.0.113"))
    return f"{block}.{1 + below(chance, 254)}"
