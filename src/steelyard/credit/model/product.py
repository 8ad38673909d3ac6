"""Products: frozen, versioned terms of what is lent, and their table of prices."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

import msgspec

from steelyard.cashflows import Terms, daycount, refusals, terms
from steelyard.cashflows import allocation as allocating
from steelyard.credit.model.shares import OWN, Shares
from steelyard.kernel import Currency, Refusal, RefusalKind, UnknownCurrency

WHOLE_BP: Final = 10_000
_CODE = re.compile(r"[a-z][a-z0-9_]{1,39}")
_TENOR = re.compile(r"([1-9][0-9]{0,2})([dm])")
_ENCODER = msgspec.json.Encoder(order="sorted")


class ProductIsUnknown(Refusal):
    """No product has the code, or none of it is in force."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no product {product} in force."
    zh = "没有在售产品 {product}。"


class ProductVersionIsUnknown(Refusal):
    """Nothing was drafted under this number."""

    kind = RefusalKind.NOT_FOUND
    en = "Product {product} has no version {version}."
    zh = "产品 {product} 没有版本 {version}。"


class ProductVersionIsActive(Refusal):
    """The version is sold already."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of {product} is in force."
    zh = "产品 {product} 的版本 {version} 已在售。"


class ProductIsMalformed(Refusal):
    """The terms of a product do not fit together."""

    kind = RefusalKind.INVALID
    en = "Product {product} is malformed at {field}: {why}."
    zh = "产品 {product} 的 {field} 有误：{why}。"


class TenorIsNotOffered(Refusal):
    """The product is not lent for this long."""

    kind = RefusalKind.INVALID
    en = "{product} is not lent for {tenor}; it is for {offered}."
    zh = "产品 {product} 不提供期限 {tenor}，可选：{offered}。"


class MethodIsNotOffered(Refusal):
    """The product is not repaid in this way."""

    kind = RefusalKind.INVALID
    en = "{product} is not repaid by {method}; it is by {offered}."
    zh = "产品 {product} 不支持还款方式 {method}，可选：{offered}。"


class AmountIsNotOffered(Refusal):
    """The amount is too small, too large, or between two steps."""

    kind = RefusalKind.INVALID
    en = "{product} is lent from {least_minor} to {most_minor} in steps of {step_minor}."
    zh = (
        "产品 {product} 的金额范围为 {least_minor} 至 {most_minor}，步长 {step_minor}（最小单位）。"
    )


class TierIsNotServed(Refusal):
    """The product has no price for a risk so high."""

    kind = RefusalKind.INVALID
    en = "{product} has no price for tier {tier} and {tenor}."
    zh = "产品 {product} 对风险等级 {tier}、期限 {tenor} 没有定价。"


class ProductKind(StrEnum):
    """What sort of credit it is."""

    CASH = "cash"
    """Paid out to the wallet once."""
    LINE = "line"
    """A limit under which several draw-downs stand."""
    MERCHANT = "merchant"
    """Pays a purchase: the merchant is paid, the customer pays a part himself."""
    SALARY = "salary"
    """A part of the next salary, for a flat fee."""


class Tier(StrEnum):
    """Risk tier; A is the least risk."""

    A = "A"
    B = "B"
    C = "C"
    D = "D"


@dataclass(frozen=True, slots=True)
class Tenor:
    """How long is lent: months in monthly instalments, or days in one.

    Examples
    --------
    >>> Tenor.of("12m").instalments, Tenor.of("14d").every
    (12, 14)
    """

    code: str
    instalments: int
    every: int
    unit: terms.Unit

    @classmethod
    def of(cls, code: str) -> Tenor:
        """Return the tenor of a code, `12m` or `14d`.

        Refusals
        --------
        tenor_is_not_offered
        """
        found = _TENOR.fullmatch(code)
        if found is None:
            raise TenorIsNotOffered(product="", tenor=code, offered="12m, 14d")
        number, letter = int(found[1]), found[2]
        if letter == "m":
            return cls(code, number, 1, terms.Unit.MONTH)
        return cls(code, 1, number, terms.Unit.DAY)

    @property
    def months(self) -> int:
        """Return its length in whole months, a part of one counting as one."""
        return self.instalments if self.unit is terms.Unit.MONTH else -(-self.every // 30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """One cell of the table of prices.

    Attributes
    ----------
    rate : interest per one and year
    fee : once, per one of the amount
    """

    tier: Tier
    tenor: str
    rate: Decimal
    fee: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """How far a tier reaches, and the most that is lent in it.

    Attributes
    ----------
    score_to : risk scores up to this are in the tier; 0 is harmless, 1000 the worst
    limit_minor : minor units
    """

    tier: Tier
    score_to: int
    limit_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Subsidy:
    """What a merchant bears of the interest.

    Attributes
    ----------
    tenor : for which it is borne
    share_bp : of the interest, basis points; 10,000 makes it free of interest to the customer
    """

    tenor: str
    share_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Funder:
    """An institution that funds a fixed part of each loan (联合贷).

    Attributes
    ----------
    institution : code; the lender of the books is `own`
    share_bp : basis points; all funders together are 10,000
    """

    institution: str
    share_bp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Frozen terms of a product, of one version.

    Attributes
    ----------
    methods : the first is taken where none is asked for
    tenors : codes, in rising length
    tiers : from the least risk
    thin_file_tier : nobody without a credit file is put into a better tier
    max_burden_bp : instalments and other debts, of the income that counts
    unshown_income_bp : part of a stated income that counts while it is not shown by documents
    most_overdue_minor, worst_dpd : in the credit file, over all lenders; beyond it, declined
    most_inquiries : of other lenders in six months; beyond it, a person looks at it
    fee_when, fee_code : of the price's fee
    least_down_payment_bp : of a purchase, paid by the customer to the merchant
    identity_level : that the customer has to have reached, 0 to 3
    offer_days, cooling_off_days : an offer holds so long; a contract may be taken back so long
    draft_days : an application that is left alone expires
    second_person_above_minor : a person who approves more than this needs a second one
    funders : fixed parts; nobody named, the lender alone
    line_days : of a line, how long a limit is granted for

    Refusals
    --------
    product_is_malformed
    """

    code: str
    version: int
    kind: ProductKind
    en: str
    zh: str
    currency: str = "CNY"
    least_minor: int
    most_minor: int
    step_minor: int
    tenors: tuple[str, ...]
    methods: tuple[terms.Method, ...]
    tiers: tuple[TierRule, ...]
    prices: tuple[Price, ...]
    thin_file_tier: Tier = Tier.C
    max_burden_bp: int = 5_000
    unshown_income_bp: int = 7_000
    most_overdue_minor: int = 0
    worst_dpd: int = 60
    most_inquiries: int = 10
    day_count: daycount.DayCount = daycount.DayCount.PERIODS
    fee_when: terms.FeeWhen = terms.FeeWhen.LAST
    fee_code: str = "service"
    penalty: terms.Penalty | None = None
    allocation: allocating.Allocation | None = None
    prepay: terms.Prepay = terms.Prepay.REDUCE_INSTALMENT
    least_down_payment_bp: int = 0
    subsidies: tuple[Subsidy, ...] = ()
    identity_level: int = 2
    offer_days: int = 7
    draft_days: int = 30
    cooling_off_days: int = 0
    second_person_above_minor: int = 5_000_000
    funders: tuple[Funder, ...] = ()
    line_days: int = 365

    def __post_init__(self) -> None:
        for name, holds, why in _rules(self):
            if not holds:
                raise ProductIsMalformed(product=self.code, field=name, why=why)

    @property
    def cause(self) -> str:
        """Return what a posting names as its cause, `loan.<code>@<version>`."""
        return f"loan.{self.code}@{self.version}"

    @property
    def hash(self) -> bytes:
        """Return the 32 bytes by which the terms are known: SHA-256 of their JSON."""
        return hashlib.sha256(product_to_json(self)).digest()

    @property
    def shares(self) -> Shares:
        """Return who funds a loan of it, as the books of loans split it."""
        own = next((one.share_bp for one in self.funders if one.institution == OWN), 1)
        others = [one for one in self.funders if one.institution != OWN]
        return Shares(own, tuple((one.institution, one.share_bp) for one in others))

    def tier_rule(self, tier: Tier) -> TierRule | None:
        """Return the rule of a tier, None where the product does not serve it."""
        return next((one for one in self.tiers if one.tier is tier), None)

    def tier_of(self, score: int) -> Tier | None:
        """Return the tier of a risk score, 0 to 1000; None where it is served in no tier."""
        return next((one.tier for one in self.tiers if score <= one.score_to), None)

    def subsidy_bp(self, tenor: str) -> int:
        """Return the part of the interest that the merchant bears, basis points."""
        return next((one.share_bp for one in self.subsidies if one.tenor == tenor), 0)


def _rules(product: Product) -> tuple[tuple[str, bool, str], ...]:
    """Return what must hold of a product: field, whether it does, what it wants."""
    cells = [(one.tier, one.tenor) for one in product.prices]
    served = [one.tier for one in product.tiers]
    ranks = [list(Tier).index(one) for one in served]
    scores = [one.score_to for one in product.tiers]
    limits = [one.limit_minor for one in product.tiers]
    known = set(product.tenors)
    return (
        ("code", bool(_CODE.fullmatch(product.code)), "a-z, 0-9, _"),
        ("version", product.version >= 1, ">= 1"),
        ("en", bool(product.en), "not empty"),
        ("zh", bool(product.zh), "not empty"),
        ("currency", _is_currency(product.currency), "ISO 4217"),
        ("step_minor", product.step_minor >= 1, ">= 1"),
        ("least_minor", 0 < product.least_minor <= product.most_minor, "0 < least <= most"),
        ("least_minor", product.least_minor % product.step_minor == 0, "whole steps"),
        ("most_minor", product.most_minor % product.step_minor == 0, "whole steps"),
        ("tenors", len(known) == len(product.tenors) >= 1, "each once"),
        ("tenors", all(_TENOR.fullmatch(one) for one in known), "12m, 14d"),
        ("methods", len({*product.methods}) == len(product.methods) >= 1, "each once"),
        ("tiers", bool(served) and sorted({*ranks}) == ranks, "each once, A first"),
        ("tiers", sorted(scores) == scores, "rising scores"),
        ("tiers", all(0 <= one <= 1_000 for one in scores), "scores 0..1000"),
        ("tiers", sorted(limits, reverse=True) == limits and all(n >= 0 for n in limits),
         "no tier is lent more than a better one"),
        ("prices", len({*cells}) == len(cells), "one price for tier and tenor"),
        ("prices", {*cells} == {(t, m) for t in served for m in known}, "one for each cell"),
        ("prices", all(0 <= p.rate <= 1 and 0 <= p.fee <= 1 for p in product.prices), "0..1"),
        ("thin_file_tier", product.thin_file_tier in served, "a tier that is served"),
        *((name, 0 < getattr(product, name) <= WHOLE_BP, "1..10000")
          for name in ("max_burden_bp", "unshown_income_bp")),
        ("least_down_payment_bp", 0 <= product.least_down_payment_bp < WHOLE_BP, "0..9999"),
        ("subsidies", all(s.tenor in known and 0 < s.share_bp <= WHOLE_BP
                          for s in product.subsidies), "tenor, 1..10000"),
        ("subsidies", not product.subsidies or product.kind is ProductKind.MERCHANT, "merchant"),
        ("identity_level", 0 <= product.identity_level <= 3, "0..3"),
        *((name, getattr(product, name) >= 0, ">= 0")
          for name in ("most_overdue_minor", "worst_dpd", "most_inquiries")),
        *((name, 1 <= getattr(product, name) <= 3_660, "1..3660")
          for name in ("offer_days", "draft_days", "line_days")),
        ("cooling_off_days", 0 <= product.cooling_off_days <= 30, "0..30"),
        ("second_person_above_minor", product.second_person_above_minor >= 0, ">= 0"),
        ("funders", not product.funders
         or sum(one.share_bp for one in product.funders) == WHOLE_BP, "10000 together"),
        ("funders", all(one.share_bp > 0 for one in product.funders)
         and len({one.institution for one in product.funders}) == len(product.funders),
         "each once, above 0"),
        ("funders", not product.funders
         or any(one.institution == OWN for one in product.funders), f"{OWN} among them"),
    )  # fmt: skip


def _is_currency(code: str) -> bool:
    try:
        Currency.of(code)
    except UnknownCurrency:
        return False
    return True


def price_of(product: Product, tier: Tier, tenor: str) -> Price:
    """Return the price: it depends on the product, the risk and the term, and on nothing else.

    What a customer would be willing to pay is no argument, and cannot become one here.

    Refusals
    --------
    tenor_is_not_offered, tier_is_not_served
    """
    check_tenor(product, tenor)
    for one in product.prices:
        if one.tier is tier and one.tenor == tenor:
            return one
    raise TierIsNotServed(product=product.code, tier=tier, tenor=tenor)


def check_tenor(product: Product, tenor: str) -> Tenor:
    """Return the tenor of a code that the product offers.

    Refusals
    --------
    tenor_is_not_offered
    """
    if tenor not in product.tenors:
        offered = ", ".join(product.tenors)
        raise TenorIsNotOffered(product=product.code, tenor=tenor, offered=offered)
    return Tenor.of(tenor)


def check_order(product: Product, amount_minor: int, tenor: str, method: terms.Method) -> None:
    """Check that a product is lent as asked.

    Refusals
    --------
    tenor_is_not_offered, method_is_not_offered, amount_is_not_offered : in this order
    """
    check_tenor(product, tenor)
    if method not in product.methods:
        offered = ", ".join(product.methods)
        raise MethodIsNotOffered(product=product.code, method=method, offered=offered)
    is_within = product.least_minor <= amount_minor <= product.most_minor
    if not is_within or amount_minor % product.step_minor != 0:
        raise AmountIsNotOffered(
            product=product.code,
            least_minor=product.least_minor,
            most_minor=product.most_minor,
            step_minor=product.step_minor,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is lent: an amount, for how long, repaid how, from when.

    Attributes
    ----------
    amount_minor : financed, minor units; a down payment is not part of it
    tenor : code of the product
    start_on : day of the payment out
    """

    amount_minor: int
    tenor: str
    method: terms.Method
    start_on: date


def terms_of(product: Product, tier: Tier, order: Order) -> Terms:
    """Return the terms of the contract: what the customer owes, after a merchant's subsidy.

    Refusals
    --------
    tenor_is_not_offered, method_is_not_offered, amount_is_not_offered, tier_is_not_served

    Examples
    --------
    >>> from steelyard.credit.products import DELIVERED
    >>> order = Order(amount_minor=1_000_000, tenor="12m", method=terms.Method.EQUAL_INSTALMENT,
    ...               start_on=date(2026, 1, 5))
    >>> terms_of(DELIVERED["quick_cash"], Tier.A, order).instalments
    12
    """
    check_order(product, order.amount_minor, order.tenor, order.method)
    price = price_of(product, tier, order.tenor)
    borne_bp = product.subsidy_bp(order.tenor)
    rate = price.rate * (WHOLE_BP - borne_bp) / WHOLE_BP
    return _terms(product, order, price, rate)


def terms_without_subsidy(product: Product, tier: Tier, order: Order) -> Terms:
    """Return the terms as if no merchant bore a part: the difference in interest is the subsidy."""
    price = price_of(product, tier, order.tenor)
    return _terms(product, order, price, price.rate)


def _terms(product: Product, order: Order, price: Price, rate: Decimal) -> Terms:
    tenor = Tenor.of(order.tenor)
    fees: tuple[terms.Fee, ...] = ()
    if price.fee:
        fees = (
            terms.Fee(
                code=product.fee_code,
                when=product.fee_when,
                rate=price.fee,
                of=terms.FeeOf.ORIGINAL,
            ),
        )
    made = Terms(
        currency=product.currency,
        principal_minor=order.amount_minor,
        start_on=order.start_on,
        instalments=tenor.instalments,
        every=tenor.every,
        unit=tenor.unit,
        rate=rate,
        method=order.method,
        day_count=product.day_count,
        fees=fees,
        penalty=product.penalty,
        prepay=product.prepay,
    )
    return made if product.allocation is None else replace(made, allocation=product.allocation)


def product_to_json(product: Product) -> bytes:
    """Return the terms as JSON; equal terms give equal bytes."""
    return _ENCODER.encode(product_as_data(product))


def product_as_data(product: Product) -> dict[str, Any]:
    """Return the terms as plain values."""
    data: dict[str, Any] = msgspec.to_builtins(product)
    return data


def read_product(source: bytes | str | Mapping[str, Any]) -> Product:
    """Return the product of its JSON, or of its plain values.

    Refusals
    --------
    product_is_malformed
    """
    code = ""
    try:
        raw = msgspec.json.decode(source) if isinstance(source, bytes | str) else dict(source)
        code = str(raw.get("code", ""))[:40] if isinstance(raw, dict) else ""
        unknown = sorted(set(raw) - set(Product.__dataclass_fields__))
        if unknown:
            raise ProductIsMalformed(product=code, field=unknown[0], why="no such field")
        return msgspec.convert(raw, Product)
    except (msgspec.MsgspecError, refusals.AllocationIsInvalid) as error:
        raise ProductIsMalformed(product=code, field="$", why=str(error)[:200]) from None
