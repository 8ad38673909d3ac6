"""The application: what is asked for, and the states it goes through until it is a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from steelyard.cashflows import terms
from steelyard.credit.model.product import (
    WHOLE_BP,
    Order,
    Product,
    ProductKind,
    Tenor,
    check_order,
)
from steelyard.kernel import Refusal, RefusalKind

PURPOSES = ("education", "home", "car", "goods", "business", "other")
"""What a loan may be for, as the policies of applications know it."""


class ApplicationIsUnknown(Refusal):
    """No application has the id."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no application {application}."
    zh = "申请 {application} 不存在。"


class ApplicationStateForbids(Refusal):
    """The verb belongs to another state."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} is {state}; {verb} is for: {wanted}."
    zh = "申请 {application} 的状态为 {state}，{verb} 仅适用于：{wanted}。"


class ApplicationHasChanged(Refusal):
    """Somebody else moved it since it was read."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} has changed; read it again."
    zh = "申请 {application} 已被更改，请重新读取。"


class ApplicationHasExpired(Refusal):
    """It was left alone for too long."""

    kind = RefusalKind.CONFLICT
    en = "Application {application} expired at {expired_at}; make a new one."
    zh = "申请 {application} 已于 {expired_at} 过期，请重新申请。"


class ApplicationIdIsTaken(Refusal):
    """Something else was asked for under the id, by this customer or by another."""

    kind = RefusalKind.CONFLICT
    en = "The id {application} belongs to another application."
    zh = "编号 {application} 已被另一笔申请使用。"


class ApplicationIsMalformed(Refusal):
    """What is asked for or stated cannot be."""

    kind = RefusalKind.INVALID
    en = "The application is malformed at {field}: {why}."
    zh = "申请的 {field} 有误：{why}。"


class ConsentIsNeeded(Refusal):
    """The application cannot be looked at without the customer's consent."""

    kind = RefusalKind.FORBIDDEN
    en = "Application {application} needs the customer's consent to: {purposes}."
    zh = "申请 {application} 须先取得客户对以下事项的同意：{purposes}。"


class IdentityIsNotProved(Refusal):
    """The product wants more to be proved about who applies."""

    kind = RefusalKind.FORBIDDEN
    en = "{product} needs identity level {needed}; party {party} has {present}."
    zh = "产品 {product} 要求身份认证等级 {needed}，主体 {party} 目前为 {present}。"


class CustomerMayNotBorrow(Refusal):
    """The party is no customer in good standing."""

    kind = RefusalKind.FORBIDDEN
    en = "Party {party} is {state}; only an active customer borrows."
    zh = "主体 {party} 状态为 {state}，仅正常客户可申请贷款。"


class ApplicationState(StrEnum):
    """Where an application stands."""

    DRAFTED = "drafted"
    CONSENTED = "consented"
    """The customer has read what is collected and why, and said yes."""
    SUBMITTED = "submitted"
    """What is stated stays from now on."""
    CHECKED = "checked"
    """Identity and credit file were looked at."""
    DECIDED = "decided"
    IN_REVIEW = "in_review"
    """A person looks at it."""
    OFFERED = "offered"
    ACCEPTED = "accepted"
    SIGNED = "signed"
    """The contract stands: a loan, or a limit."""
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


S = ApplicationState
MOVES: Mapping[ApplicationState, frozenset[ApplicationState]] = {
    S.DRAFTED: frozenset({S.CONSENTED, S.WITHDRAWN, S.EXPIRED}),
    S.CONSENTED: frozenset({S.SUBMITTED, S.WITHDRAWN, S.EXPIRED}),
    S.SUBMITTED: frozenset({S.CHECKED, S.WITHDRAWN, S.EXPIRED}),
    S.CHECKED: frozenset({S.DECIDED, S.WITHDRAWN, S.EXPIRED}),
    S.DECIDED: frozenset({S.OFFERED, S.IN_REVIEW, S.DECLINED, S.WITHDRAWN, S.EXPIRED}),
    S.IN_REVIEW: frozenset({S.OFFERED, S.DECLINED, S.WITHDRAWN, S.EXPIRED}),
    S.OFFERED: frozenset({S.ACCEPTED, S.WITHDRAWN, S.EXPIRED}),
    S.ACCEPTED: frozenset({S.SIGNED}),
    S.SIGNED: frozenset({S.WITHDRAWN}),
    S.DECLINED: frozenset(),
    S.WITHDRAWN: frozenset(),
    S.EXPIRED: frozenset(),
}
"""From each state, where it goes."""
ENDS: frozenset[ApplicationState] = frozenset(one for one, after in MOVES.items() if not after)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is asked for, and what the customer states; minor units.

    Attributes
    ----------
    amount_minor : to be financed; of a purchase, its price without the down payment
    income_minor : of a month, before tax; income_is_shown : whether documents show it
    debts_minor : instalments of a month elsewhere
    employer, address : tokens of who employs and where somebody lives, never the words themselves
    price_minor, merchant : of a purchase
    """

    amount_minor: int
    tenor: str
    method: terms.Method
    purpose: str
    income_minor: int
    income_is_shown: bool = False
    debts_minor: int = 0
    employer: str | None = None
    address: str | None = None
    phone: str | None = None
    price_minor: int | None = None
    merchant: UUID | None = None

    @property
    def down_payment_minor(self) -> int:
        """Return what the customer pays the merchant himself."""
        return 0 if self.price_minor is None else self.price_minor - self.amount_minor

    def order(self, start_on: date) -> Order:
        """Return what is to be lent from a day on."""
        return Order(
            amount_minor=self.amount_minor,
            tenor=self.tenor,
            method=self.method,
            start_on=start_on,
        )


def check_facts(product: Product, facts: Facts) -> None:
    """Check that what is asked for is sold, and what is stated can be.

    Refusals
    --------
    tenor_is_not_offered, method_is_not_offered, amount_is_not_offered, application_is_malformed
    """
    check_order(product, facts.amount_minor, facts.tenor, facts.method)
    is_purchase = product.kind is ProductKind.MERCHANT
    price = facts.price_minor
    rules = (
        ("purpose", facts.purpose in PURPOSES, ", ".join(PURPOSES)),
        ("income_minor", 0 <= facts.income_minor <= 10**12, "0..10^12"),
        ("debts_minor", 0 <= facts.debts_minor <= 10**12, "0..10^12"),
        ("price_minor", (price is not None) is is_purchase, "of a purchase, and only there"),
        ("merchant", (facts.merchant is not None) is is_purchase, "of a purchase, and only there"),
        ("down_payment", price is None or facts.amount_minor <= price, "financed <= price"),
        (
            "down_payment",
            price is None
            or facts.down_payment_minor * WHOLE_BP >= price * product.least_down_payment_bp,
            f">= {product.least_down_payment_bp} bp of the price",
        ),
    )
    for name, holds, why in rules:
        if not holds:
            raise ApplicationIsMalformed(field=name, why=why)


def event_fields(
    party: UUID, product: Product, facts: Facts, origin: Origin
) -> dict[str, str | int | None]:
    """Return what the policy of loan applications is asked about; no personal data is in it."""
    return {
        "customer": str(party),
        "device": origin.device,
        "ip": origin.ip,
        "phone": facts.phone,
        "address": facts.address,
        "employer": facts.employer,
        "product": product.code,
        "currency": product.currency,
        "purpose": facts.purpose,
        "amount_minor": facts.amount_minor,
        "income_minor": facts.income_minor,
        "term_months": Tenor.of(facts.tenor).months,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an application came from: a device's id, and an address in the net."""

    device: str | None = None
    ip: str | None = None


NOWHERE = Origin()
"""Of an application that came through no device: at a desk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Consented:
    """One consent that an application rests on: the very text and when it was said yes to."""

    purpose: str
    text_version: int
    text_hash: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One application.

    Attributes
    ----------
    consents : recorded with the consent, none before
    checks, assessment : plain values, as `model.assessment` makes and reads them
    decision : of the policy, None before and where no policy decided
    loan, line : what it became
    expires_at : business instant, of what it waits for now
    version : grows by one with every step
    """

    id: UUID
    party: UUID
    product: str
    product_version: int
    channel: str
    state: ApplicationState
    version: int
    facts: Facts
    origin: Origin
    consents: tuple[Consented, ...]
    checks: Mapping[str, Any] | None
    decision: UUID | None
    assessment: Mapping[str, Any] | None
    offer: UUID | None
    loan: UUID | None
    line: UUID | None
    drafted_at: datetime
    changed_at: datetime
    expires_at: datetime

    @property
    def subject(self) -> str:
        """Return `application:<id>`."""
        return f"application:{self.id}"

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.state in ENDS

    def must_be(self, verb: str, *states: ApplicationState, now: datetime) -> None:
        """Check the state for a verb.

        Refusals
        --------
        application_state_forbids, application_has_expired
        """
        if self.state not in states:
            wanted = ", ".join(states)
            raise ApplicationStateForbids(
                application=self.id, state=self.state, verb=verb, wanted=wanted
            )
        if S.EXPIRED in MOVES[self.state] and now >= self.expires_at:
            raise ApplicationHasExpired(
                application=self.id, expired_at=self.expires_at.isoformat(timespec="seconds")
            )


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an application, as it is kept."""

    application: UUID
    version: int
    at: datetime
    actor: str
    before: ApplicationState | None
    after: ApplicationState
    detail: Mapping[str, Any]
