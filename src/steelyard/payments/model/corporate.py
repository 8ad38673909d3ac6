"""Corporate e-banking (企业网银): a company's own maker and checker, before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind

WAITS: Final = "corporate"
"""Kind of the action that an order waits for."""


class StepState(StrEnum):
    """Where a company's payment stands in the company."""

    SUBMITTED = "submitted"
    APPROVED = "approved"
    REJECTED = "rejected"


class Role(StrEnum):
    """What a person of a company does."""

    MAKER = "maker"
    CHECKER = "checker"


class CorporatePaymentIsUnknown(Refusal):
    """The company has no such payment."""

    kind = RefusalKind.NOT_FOUND
    en = "The company has no payment {attempt} to decide on."
    zh = "企业没有待处理的支付 {attempt}。"


class PersonMayNot(Refusal):
    """The company did not give the person that part."""

    kind = RefusalKind.FORBIDDEN
    en = "{person} is no {role} for {currency} payments of the company."
    zh = "{person} 不是企业 {currency} 支付的 {role}。"


class PersonLimitIsReached(Refusal):
    """The payment is over what the company lets the person make or check."""

    kind = RefusalKind.CONFLICT
    en = "{person} ({role}, {span}) has {left_minor} of {most_minor} left, not {amount_minor}."
    zh = "{person}（{role}）{span} 限额 {most_minor}，剩余 {left_minor}，本笔 {amount_minor}。"


class CheckerIsMaker(Refusal):
    """Whoever made a payment does not check it."""

    kind = RefusalKind.FORBIDDEN
    en = "{person} made the payment; another person of the company checks it."
    zh = "{person} 是制单人，须由企业另一人复核。"


class PersonSetsHimself(Refusal):
    """Nobody gives himself a part or a limit."""

    kind = RefusalKind.FORBIDDEN
    en = "{person} does not set the limits of {person}."
    zh = "{person} 不能设置自己的权限与限额。"


class CorporatePaymentIsDecided(Refusal):
    """It was approved or rejected before, or its order is over."""

    kind = RefusalKind.CONFLICT
    en = "The payment {attempt} is {state}."
    zh = "支付 {attempt} 的状态为 {state}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """What a company lets a person do, in one currency.

    Attributes
    ----------
    person : actor, as he signs his requests
    single_minor, day_minor : of one payment, and of all that he made, or checked, in a day
    """

    company: UUID
    person: str
    may_make: bool
    may_check: bool
    currency: str
    single_minor: int
    day_minor: int
    version: int = 1

    def may(self, role: Role) -> bool:
        """Whether he has a part."""
        return self.may_make if role is Role.MAKER else self.may_check


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A payment as the company's maker and checker see it.

    Attributes
    ----------
    waits : whether its attempt still waits; not so when the order is over
    """

    attempt: UUID
    order: UUID
    company: UUID
    amount_minor: int
    currency: str
    state: StepState
    version: int
    maker: str
    made_at: datetime
    checker: str | None = None
    checked_at: datetime | None = None
    reason: str | None = None
    waits: bool = True


def check_person(
    found: Person | None, role: Role, *, who: str, amount_minor: int, currency: str, used: int
) -> Refusal | None:
    """Return why a person may not make or check a payment, None where he may.

    Parameters
    ----------
    used : minor units that he made, or checked, today

    Refusals
    --------
    person_may_not, person_limit_is_reached

    Examples
    --------
    >>> ann = Person(company=UUID(int=1), person="party:a", may_make=True, may_check=False,
    ...              currency="CNY", single_minor=100, day_minor=150)
    >>> def check(amount, used, role=Role.MAKER):
    ...     said = check_person(ann, role, who="party:a", amount_minor=amount, currency="CNY",
    ...                         used=used)
    ...     return said and said.code
    >>> check(100, 50), check(101, 0), check(100, 51), check(1, 0, Role.CHECKER)
    (None, 'person_limit_is_reached', 'person_limit_is_reached', 'person_may_not')
    """
    if found is None or not found.may(role):
        return PersonMayNot(person=who, role=role.value, currency=currency)
    for span, most, taken in (
        ("single", found.single_minor, 0),
        ("day", found.day_minor, used),
    ):
        if taken + amount_minor > most:
            return PersonLimitIsReached(
                person=who,
                role=role.value,
                span=span,
                most_minor=most,
                left_minor=max(most - taken, 0),
                amount_minor=amount_minor,
            )
    return None
