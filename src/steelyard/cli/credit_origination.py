"""`steelyard credit quote` and `apply`: what a loan would cost, and an application end to end."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from steelyard.cli.output import AsJson, Column, language, out, print_json, show
from steelyard.kernel import Money, Refusal, RefusalKind

if TYPE_CHECKING:
    from steelyard.cashflows import terms
    from steelyard.credit import origination
    from steelyard.web.platform import SteelyardPlatform

Amount = Annotated[int, typer.Option("--amount-minor", min=1, help="to be financed, minor units")]
TenorOption = Annotated[str, typer.Option("--tenor", help="12m, 14d")]
MethodOption = Annotated[
    str | None, typer.Option("--method", help="equal_instalment, ...; the product's first")
]


class WordIsUnknown(Refusal):
    """An option names something that is not there."""

    kind = RefusalKind.INVALID
    en = "{given} is no {what}; there are: {known}."
    zh = "{given} 不是有效的 {what}，可选：{known}。"


def quote(
    product: Annotated[str, typer.Argument(help="quick_cash, ...")],
    amount_minor: Amount = 1_000_000,
    tenor: TenorOption = "12m",
    tier: Annotated[str, typer.Option("--tier", help="risk tier, A to D")] = "A",
    method: MethodOption = None,
    start_on: Annotated[str | None, typer.Option("--on", help="day of the payout")] = None,
    as_json: AsJson = False,
) -> None:
    """Show terms, schedule and every cost of a delivered product; needs no database."""
    from steelyard.credit import catalogue, origination

    sold = catalogue.DELIVERED.get(product)
    if sold is None:
        raise WordIsUnknown(given=product, what="product", known=", ".join(catalogue.DELIVERED))
    order = origination.Order(
        amount_minor=amount_minor,
        tenor=tenor,
        method=_method(method) or sold.methods[0],
        start_on=_day(start_on),
    )
    rated = _one_of(catalogue.Tier, tier.upper(), "tier")
    content = origination.content_of(sold, rated, order, origination.LENDER)
    if as_json:
        print_json(content)
        return
    _show(content)


def apply(
    customer: Annotated[str, typer.Argument(help="id of the party")],
    product: Annotated[str, typer.Argument(help="quick_cash, ...")],
    income_minor: Annotated[int, typer.Option("--income-minor", min=0, help="of a month")],
    amount_minor: Amount = 1_000_000,
    tenor: TenorOption = "12m",
    method: MethodOption = None,
    purpose: Annotated[str, typer.Option(help="education, home, car, ...")] = "other",
    debts_minor: Annotated[int, typer.Option("--debts-minor", min=0)] = 0,
    consent: Annotated[
        bool, typer.Option("--consent", help="the customer has read the texts and says yes")
    ] = False,
    accept: Annotated[
        str | None, typer.Option("--accept", metavar="ACCOUNT", help="sign; pay out to this wallet")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option("--evidence", help="write the evidence of the contract here")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Apply for a customer: checked, decided by the running platform, offered, and signed."""
    from steelyard.base import read_settings
    from steelyard.credit import catalogue, origination
    from steelyard.web.platform import open_platform

    party = _party(customer)
    with open_platform(read_settings(), pool_size=4) as platform:
        database = platform.database
        with database.reading() as connection:
            sold = catalogue.read_active(connection, product)
        facts = origination.Facts(
            amount_minor=amount_minor,
            tenor=tenor,
            method=_method(method) or sold.methods[0],
            purpose=purpose,
            income_minor=income_minor,
            debts_minor=debts_minor,
        )
        new = origination.NewApplication(
            party=party, product=product, facts=facts, channel="command"
        )
        applied = _decided(platform, new, consented=consent)
        offer = None
        if applied.offer is not None:
            with database.reading() as connection:
                offer = origination.offer_of(connection, applied.id)
        if offer is not None and accept is not None:
            applied = _signed(platform, applied, offer, accept)
        otherwise = _otherwise(platform, applied)
        if evidence is not None and applied.state is origination.ApplicationState.SIGNED:
            with database.reading() as connection:
                evidence.write_bytes(origination.export_evidence(connection, applied.id))
    _tell(applied, offer, evidence, otherwise=otherwise, as_json=as_json)


_ACTOR = "system:command"


def _party(text: str) -> UUID:
    try:
        return UUID(text.removeprefix("party:"))
    except ValueError:
        raise WordIsUnknown(
            given=text, what="party id", known="019b8b06-3b00-7324-8efb-b0785655ee35"
        ) from None


def _decided(
    platform: SteelyardPlatform, new: origination.NewApplication, *, consented: bool
) -> origination.Application:
    from steelyard.credit import origination, underwriting
    from steelyard.parties import consents

    database = platform.database

    def begin(unit: Any) -> origination.Application:
        drafted = origination.draft(unit, new)
        if not consented:
            raise origination.ConsentIsNeeded(
                application=drafted.id, purposes="credit_assessment (--consent)"
            )
        texts = consents.texts_of(unit.connection, "credit_assessment")
        newest = {"credit_assessment": texts[-1].version if texts else 0}
        origination.consent(unit, drafted.id, newest, channel="command")
        return origination.submit(unit, drafted.id)

    applied = database.transact(begin, actor=_ACTOR)
    bureau = getattr(platform, "credit_bureau", None)
    underwriting.check(database, platform.keyring, bureau, applied.id, actor=_ACTOR)
    return underwriting.decide(database, platform.gate, applied.id, actor=_ACTOR)


def _otherwise(
    platform: SteelyardPlatform, applied: origination.Application
) -> list[dict[str, Any]] | None:
    """Return what the customer could change to be approved; None where nothing was refused."""
    from steelyard.credit import underwriting

    try:
        with platform.database.reading() as connection:
            found = underwriting.counterfactual_of(connection, applied.id)
    except underwriting.CounterfactualIsNotAsked:
        return None
    if found is None:
        return []
    is_chinese = language().startswith("zh")
    return [
        {
            "what": name,
            "text": getattr(underwriting.ACTIONABLE[name], "zh" if is_chinese else "en"),
            "value": value,
        }
        for name, value in found.change.changed.items()
    ]


def _signed(
    platform: SteelyardPlatform,
    applied: origination.Application,
    offer: origination.Offer,
    account: str,
) -> origination.Application:
    from steelyard.credit import origination

    acceptance = origination.Acceptance(
        offer=offer.id,
        terms_hash=offer.hash,
        text_version=int(offer.content["contract_text"]["version"]),
        wallet_account=account,
    )
    return platform.database.transact(
        lambda unit: origination.accept(unit, applied.id, acceptance), actor=_ACTOR
    )


def _tell(
    applied: origination.Application,
    offer: origination.Offer | None,
    evidence: Path | None,
    *,
    otherwise: list[dict[str, Any]] | None,
    as_json: bool,
) -> None:
    from steelyard.credit import underwriting

    reasons = [
        {"code": code, "text": underwriting.text_of(code, language())}
        for code in underwriting.adverse_reasons(applied)
    ]
    if as_json:
        print_json(
            {
                "application": applied.id,
                "state": applied.state,
                "reasons": reasons,
                "counterfactual": otherwise,
                "loan": applied.loan,
                "line": applied.line,
                "offer": None if offer is None else {"hash": offer.hash, **offer.content},
            }
        )
        return
    out.print(f"application {applied.id}: [bold]{applied.state}[/bold]", highlight=False)
    for one in reasons:
        out.print(f"  {one['code']}: {one['text']}", highlight=False)
    is_chinese = language().startswith("zh")
    if otherwise == []:
        nothing = (
            "未找到申请人可自行调整并获批的方案" if is_chinese else "no change found that would do"
        )
        out.print(f"  {nothing}", highlight=False)
    for one in otherwise or ():
        would = "如作以下调整即可获批" if is_chinese else "would be approved:"
        out.print(f"  {would} {one['text']} ({one['what']} = {one['value']})", highlight=False)
    if applied.loan is not None:
        out.print(f"loan {applied.loan}", highlight=False)
    if evidence is not None and evidence.exists():
        out.print(f"evidence written to {evidence}", highlight=False)
    if offer is not None:
        _show(offer.content)


_WORDS = (
    ("amount", "贷款本金"),
    ("interest", "利息"),
    ("fees", "费用合计"),
    ("all costs", "息费合计"),
    ("total of payments", "还款总额"),
    ("interest rate a year", "年利率"),
    ("cap", "利率上限"),
    ("cost", "成本"),
    ("nr", "期"),
    ("due", "到期日"),
    ("principal", "本金"),
    ("fee", "费用"),
    ("total", "应还"),
    ("balance", "剩余本金"),
)


def _show(content: Any) -> None:
    """Print what an offer shows."""
    is_chinese = language().startswith("zh")
    currency = content["currency"]

    def money(amount_minor: int) -> str:
        return Money(amount_minor, currency).format("zh-CN" if is_chinese else "en")

    def number(amount_minor: int) -> str:
        return Money(amount_minor, currency).format("en").removeprefix(f"{currency} ")

    costs = content["costs"]
    name = content["names"]["zh" if is_chinese else "en"]
    out.print(
        f"[bold]{name}[/bold] {content['product']}@{content['product_version']}  tier"
        f" {content['tier']}  {content['tenor']}  {content['method']}  from {content['start_on']}",
        highlight=False,
    )
    said = {en: zh if is_chinese else en for en, zh in _WORDS}
    figures = {
        said["amount"]: money(content["amount_minor"]),
        said["interest"]: money(costs["interest_minor"]),
        said["fees"]: money(costs["fee_minor"]),
        said["all costs"]: money(costs["cost_minor"]),
        said["total of payments"]: money(costs["payments_minor"]),
        said["interest rate a year"]: f"{float(content['rate_annual']) * 100:.2f}%",
        **{one["zh" if is_chinese else "en"]: one["percent"] for one in costs["rates"]},
        said["cap"]: f"{float(content['cap']['rate_annual']) * 100:.2f}%"
        f" ({content['cap']['source']})",
    }
    show(
        [{"what": what, "value": value} for what, value in figures.items()],
        [Column("what", said["cost"]), Column("value", "", right=True)],
        as_json=False,
    )
    show(
        [
            {
                "nr": one["nr"],
                "due_on": one["due_on"],
                "principal": number(one["principal_minor"]),
                "interest": number(one["interest_minor"]),
                "fee": number(one["fee_minor"]),
                "total": number(one["total_minor"]),
                "balance": number(one["balance_minor"]),
            }
            for one in costs["periods"]
        ],
        [
            Column("nr", said["nr"], right=True),
            Column("due_on", said["due"]),
            *(
                Column(key, said[key], right=True)
                for key in ("principal", "interest", "fee", "total", "balance")
            ),
        ],
        as_json=False,
    )


def _method(word: str | None) -> terms.Method | None:
    from steelyard.cashflows import terms

    return None if word is None else _one_of(terms.Method, word, "method")


def _one_of(kind: Any, word: str, what: str) -> Any:
    try:
        return kind(word)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise WordIsUnknown(given=word, what=what, known=known) from None


def _day(text: str | None) -> date:
    if text is None:
        from steelyard.base import RealClock

        return RealClock().now().date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise WordIsUnknown(given=text, what="day", known="2026-03-02") from None
