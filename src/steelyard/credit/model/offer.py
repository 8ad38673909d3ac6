"""The offer: terms and price with every cost, as they are shown, and known by one hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec

from steelyard.cashflows import Terms, disclosure, form, plan
from steelyard.credit.model import consent_texts
from steelyard.credit.model.caps import Cap, CapTable, LenderKind, cap_on, hold_to_cap
from steelyard.credit.model.product import (
    Order,
    Product,
    ProductKind,
    Tier,
    price_of,
    terms_of,
    terms_without_subsidy,
)
from steelyard.kernel import Refusal, RefusalKind

_ENCODER = msgspec.json.Encoder(order="sorted")


class OfferIsUnknown(Refusal):
    """There is no such offer, or another one has taken its place."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no offer {offer} of application {application}."
    zh = "申请 {application} 没有要约 {offer}。"


class OfferHasExpired(Refusal):
    """It was open for some days, and they are over."""

    kind = RefusalKind.CONFLICT
    en = "Offer {offer} was open until {expired_at}."
    zh = "要约 {offer} 已于 {expired_at} 失效。"


class OfferNoLongerFits(Refusal):
    """The customer owes more than when it was made, and both together are beyond his limit."""

    kind = RefusalKind.CONFLICT
    en = "More is owed now than when offer {offer} was made, and it no longer fits; apply again."
    zh = "要约 {offer} 作出后您的欠款已增加，该要约不再适用，请重新申请。"


class OfferIsOfAnotherDay(Refusal):
    """Its schedule begins on another day than the contract would; it is refreshed first."""

    kind = RefusalKind.CONFLICT
    en = "Offer {offer} begins on {start_on}, and today is {on}; ask for it anew."
    zh = "要约 {offer} 的起息日为 {start_on}，今日为 {on}，请刷新要约。"


class TermsDiffer(Refusal):
    """What is accepted is not what was offered."""

    kind = RefusalKind.CONFLICT
    en = "What you accept is not what offer {offer} shows; read it again."
    zh = "您接受的条款与要约 {offer} 所示不一致，请重新查看。"


class ContractTextDiffers(Refusal):
    """Another version of the contract's text was shown."""

    kind = RefusalKind.CONFLICT
    en = "Offer {offer} goes with contract text {wanted}, not {given}."
    zh = "要约 {offer} 对应的合同文本版本为 {wanted}，而非 {given}。"


class AccountIsNotTheirs(Refusal):
    """Money of a loan goes to, and comes from, accounts of those whom it concerns."""

    kind = RefusalKind.FORBIDDEN
    en = "Account {account} does not belong to party {party}."
    zh = "账户 {account} 不属于主体 {party}。"


@dataclass(frozen=True, slots=True)
class Offer:
    """One offer as it was made; it never changes.

    Attributes
    ----------
    content : what is shown, plain values; see `content_of`
    cause : `policy.<name>@<version>`, or the ruling or approval behind it
    decision : consumed by it, None where a person ruled
    """

    id: UUID
    application: UUID
    content: Mapping[str, Any]
    cause: str
    decision: UUID | None
    made_by: str
    made_at: datetime
    expires_at: datetime

    @property
    def hash(self) -> str:
        """Return the hash of what is shown, hex; who accepts names it."""
        return content_hash(self.content)

    @property
    def terms(self) -> Terms:
        """Return the terms of the contract."""
        return form.terms_from_json(self.content["terms"])

    @property
    def tier(self) -> Tier:
        """Return the risk tier of the price."""
        return Tier(self.content["tier"])

    @property
    def amount_minor(self) -> int:
        """Return the amount, or the limit of a line; minor units."""
        return int(self.content["amount_minor"])

    @property
    def start_on(self) -> date:
        """Return the day from which would be lent."""
        return date.fromisoformat(self.content["start_on"])

    def must_be_open(self, now: datetime) -> None:
        """Check that it can still be accepted.

        Refusals
        --------
        offer_has_expired
        """
        if now >= self.expires_at:
            expired_at = self.expires_at.isoformat(timespec="seconds")
            raise OfferHasExpired(offer=self.id, expired_at=expired_at)


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what is shown, hex; equal content gives equal hashes."""
    return hashlib.sha256(content_bytes(content)).hexdigest()


def content_bytes(content: Mapping[str, Any]) -> bytes:
    """Return what is shown as JSON with its names in order."""
    return _ENCODER.encode(content)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lender:
    """By which rules is lent.

    Attributes
    ----------
    kind : which caps hold; caps : the dated table of them
    """

    kind: LenderKind
    caps: CapTable


def content_of(
    product: Product, tier: Tier, order: Order, lender: Lender, *, price_minor: int | None = None
) -> dict[str, Any]:
    """Return everything that an offer shows: terms, price, schedule, all costs, the cap.

    Parameters
    ----------
    price_minor : of a purchase; what is not financed is the down payment

    Returns
    -------
    dict
        Plain values. The costs are those of the customer; a merchant's subsidy is named apart.

    Refusals
    --------
    annual_rate_is_over_cap, rate_cap_is_unknown, tier_is_not_served, tenor_is_not_offered,
    method_is_not_offered, amount_is_not_offered
    """
    made = terms_of(product, tier, order)
    price = price_of(product, tier, order.tenor)
    rows = plan(made).rows
    costs = disclosure.disclose(made, rows)
    cap = cap_on(lender.caps, lender.kind, order.start_on)
    hold_to_cap(cap, compound=costs.compound, simple=costs.simple)
    shown: dict[str, Any] = {
        "form": 1,
        "product": product.code,
        "product_version": product.version,
        "product_hash": product.hash.hex(),
        "names": {"en": product.en, "zh": product.zh},
        "kind": product.kind.value,
        "tier": tier.value,
        "currency": product.currency,
        "amount_minor": order.amount_minor,
        "tenor": order.tenor,
        "method": order.method.value,
        "start_on": order.start_on.isoformat(),
        "price": {"rate_annual": f"{price.rate:f}", "fee": f"{price.fee:f}"},
        "rate_annual": f"{made.rate:f}",
        "penalty_rate_annual": None if made.penalty is None else f"{made.penalty.rate:f}",
        "terms": form.terms_to_json(made),
        "costs": costs_as_data(costs),
        "cap": _cap_as_data(cap),
        "cooling_off_days": product.cooling_off_days,
        "contract_text": {
            "version": consent_texts.CONTRACT_VERSION,
            "hash": consent_texts.text_hash(consent_texts.CONTRACT),
        },
        "funders": [[one.institution, one.share_bp] for one in product.funders],
    }
    if price_minor is not None:
        shown["price_minor"] = price_minor
        shown["down_payment_minor"] = price_minor - order.amount_minor
        shown["subsidy_minor"] = subsidy_minor(product, tier, order)
    if product.kind is ProductKind.LINE:
        shown["line_days"] = product.line_days
        shown["prices"] = [
            {"tenor": one.tenor, "rate_annual": f"{one.rate:f}", "fee": f"{one.fee:f}"}
            for one in product.prices
            if one.tier is tier
        ]
    return shown


def subsidy_minor(product: Product, tier: Tier, order: Order) -> int:
    """Return the interest that the merchant bears: taken off what it is paid, minor units."""
    if not product.subsidy_bp(order.tenor):
        return 0
    whole = sum(
        row.interest_minor for row in plan(terms_without_subsidy(product, tier, order)).rows
    )
    borne = sum(row.interest_minor for row in plan(terms_of(product, tier, order)).rows)
    return whole - borne


def costs_as_data(costs: disclosure.CostDisclosure) -> dict[str, Any]:
    """Return a disclosure as plain values, with the words of both languages."""
    return {
        "received_minor": costs.received_minor,
        "payments_minor": costs.payments_minor,
        "interest_minor": costs.interest_minor,
        "fee_minor": costs.fee_minor,
        "cost_minor": costs.cost_minor,
        "compound": f"{costs.compound:f}",
        "simple": f"{costs.simple:f}",
        "rates": [
            {
                "method": one.method.value,
                "per_one": f"{one.per_one:f}",
                "percent": one.percent,
                "en": one.en,
                "zh": one.zh,
            }
            for one in costs.rates
        ],
        "periods": [
            {
                "nr": one.nr,
                "due_on": one.due_on.isoformat(),
                "principal_minor": one.principal_minor,
                "interest_minor": one.interest_minor,
                "fee_minor": one.fee_minor,
                "total_minor": one.total_minor,
                "balance_minor": one.balance_minor,
            }
            for one in costs.periods
        ],
    }


def _cap_as_data(cap: Cap) -> dict[str, Any]:
    return {
        "rate_annual": f"{cap.rate:f}",
        "measure": cap.rule.measure.value,
        "source": cap.rule.source,
        "source_zh": cap.rule.source_zh,
    }
