"""Routes of products and limits."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Path, Query, Response

from steelyard.base import UnitOfWork
from steelyard.base.http import NotEntitled, Read, Write, reading, writing
from steelyard.base.http import refusals as refused_by
from steelyard.cashflows import terms
from steelyard.credit import catalogue, lines, loans, origination, preapproval
from steelyard.credit.http.origination import requested
from steelyard.credit.http.origination_wire import (
    ActivationOut,
    ApprovedIn,
    DraftProductIn,
    DrawnOut,
    LimitIn,
    LimitOut,
    LineDrawIn,
    LineList,
    LineOut,
    LineStepOut,
    LineSteps,
    PreapprovalOut,
    PreapproveIn,
    ProductList,
    ProductOut,
    QuoteOut,
    RuleIn,
    RuleList,
    RuleOut,
    WhyIn,
)
from steelyard.credit.http.wire import own
from steelyard.ledger import refusals as ledger_refusals
from steelyard.parties import approvals, registry

router = APIRouter(prefix="/v1/credit", tags=["credit"])

Reads = Annotated[Read, reading("credit.read")]
Drafts = Annotated[Write, writing("credit.draft_product")]
Limits = Annotated[Write, writing("credit.set_limit")]
Applies = Annotated[Write, writing("credit.apply")]
Code = Annotated[str, Path(description="code of the product", max_length=40)]
Version = Annotated[int, Path(description="its version", ge=1, lt=2**31)]
LineId = Annotated[UUID, Path(description="id of the limit")]
RuleName = Annotated[str, Path(description="name of the rule", max_length=40)]

_ASKED = (
    catalogue.TenorIsNotOffered,
    catalogue.MethodIsNotOffered,
    catalogue.AmountIsNotOffered,
    catalogue.TierIsNotServed,
    origination.AnnualRateIsOverCap,
    origination.RateCapIsUnknown,
)
_LINE = (lines.LineIsUnknown, lines.LineStateForbids)
_DRAW = (
    *_LINE,
    lines.LineHasExpired,
    lines.LimitDoesNotSuffice,
    lines.DrawIsBarred,
    loans.refusals.LenderIsUnknown,
    *_ASKED,
)


def _staff_only(given: Read | Write, verb: str) -> None:
    if given.caller.party is not None:
        raise NotEntitled(actor=given.caller.actor, verb=verb)


@router.get("/products", response_model=ProductList, responses=refused_by())
def list_products(read: Reads) -> ProductList:
    """List the products as they are sold."""
    with read.database.reading() as connection:
        found = catalogue.list_active(connection)
    return ProductList(items=[ProductOut.of(one, is_active=True) for one in found])


@router.get(
    "/products/{code}",
    response_model=ProductList,
    responses=refused_by(catalogue.ProductIsUnknown),
)
def read_product(code: Code, read: Reads) -> ProductList:
    """List the versions of a product, the newest first."""
    with read.database.reading() as connection:
        versions = catalogue.versions_of(connection, code)
        active = catalogue.read_active(connection, code).version
    return ProductList(
        items=[
            ProductOut.of(one.product, is_active=one.product.version == active) for one in versions
        ]
    )


@router.get(
    "/products/{code}/quote",
    response_model=QuoteOut,
    responses=refused_by(catalogue.ProductIsUnknown, *_ASKED),
)
def quote(
    code: Code,
    read: Reads,
    *,
    amount_minor: Annotated[int, Query(ge=1, le=10**12)],
    tenor: Annotated[str, Query(max_length=4)],
    tier: catalogue.Tier = catalogue.Tier.A,
    method: terms.Method | None = None,
    start_on: date | None = None,
) -> QuoteOut:
    """Show what an offer of a tier would show; nothing is promised, and nobody is looked at."""
    with read.database.reading() as connection:
        product = catalogue.read_active(connection, code)
        today = read.database.clock.read(connection).date()
    order = origination.Order(
        amount_minor=amount_minor,
        tenor=tenor,
        method=method or product.methods[0],
        start_on=start_on or today,
    )
    return QuoteOut(content=origination.content_of(product, tier, order, origination.LENDER))


@router.post(
    "/products",
    status_code=201,
    response_model=ProductOut,
    responses=refused_by(catalogue.ProductIsMalformed, write=True),
)
def draft_version(body: DraftProductIn, write: Drafts) -> Response:
    """Write terms down as the next version of their product; nothing is sold by them yet."""

    def work(unit: UnitOfWork) -> ProductOut:
        drafted = catalogue.draft_version(unit, body.content, note=body.note)
        return ProductOut.of(drafted.product, is_active=False)

    return write.run(work, status=201)


@router.post(
    "/products/{code}/versions/{version}/activate",
    response_model=ActivationOut,
    responses=refused_by(
        catalogue.ProductVersionIsUnknown,
        catalogue.ProductVersionIsActive,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def activate(code: Code, version: Version, body: ApprovedIn, write: Drafts) -> Response:
    """Request that a version is sold; with the approval of a second person, sell it."""

    def work(unit: UnitOfWork) -> ActivationOut:
        if body.approval is None:
            asked = catalogue.request_activation(unit, code, version)
            found = catalogue.read_version(unit.connection, code, version).product
            shown = ProductOut.of(found, is_active=False)
            return ActivationOut(is_done=False, request=requested(asked), product=shown)
        sold = catalogue.activate(unit, code, version, approval=body.approval)
        return ActivationOut(is_done=True, product=ProductOut.of(sold, is_active=True))

    return write.run(work)


@router.get("/lines", response_model=LineList, responses=refused_by())
def list_lines(party: UUID, read: Reads) -> LineList:
    """List the limits of a customer; he is shown a proposal only where its rule lets him be."""
    own(read.caller, party, "credit.read")
    with read.database.reading() as connection:
        found = (
            lines.lines_of(connection, party)
            if read.caller.party is None
            else lines.visible_to_customer(connection, party)
        )
        texts = {
            one.id: preapproval.read_rule(connection, one.rule, one.rule_version).rule
            for one in found
            if one.rule is not None
        }
    is_chinese = read.language.startswith("zh")
    return LineList(
        items=[LineOut.of(one, _text(texts.get(one.id), is_chinese=is_chinese)) for one in found]
    )


def _text(rule: preapproval.PreapprovalRule | None, *, is_chinese: bool) -> str | None:
    if rule is None:
        return None
    return rule.text_zh if is_chinese else rule.text_en


@router.get(
    "/lines/{line}/changes", response_model=LineSteps, responses=refused_by(lines.LineIsUnknown)
)
def list_changes(line: LineId, read: Reads) -> LineSteps:
    """List every change of a limit with its reason, oldest first."""
    with read.database.reading() as connection:
        own(read.caller, lines.read(connection, line).party, "credit.read")
        found = lines.changes_of(connection, line)
    return LineSteps(
        items=[
            LineStepOut(
                version=one.version,
                at=one.at,
                actor=one.actor,
                change=one.change,
                before_minor=one.before_minor,
                after_minor=one.after_minor,
                reason=one.reason,
                cause=one.cause,
            )
            for one in found
        ]
    )


@router.get("/lines/{line}/quote", response_model=QuoteOut, responses=refused_by(*_DRAW))
def quote_draw(
    line: LineId,
    read: Reads,
    *,
    amount_minor: Annotated[int, Query(ge=1, le=10**12)],
    tenor: Annotated[str, Query(max_length=4)],
    method: terms.Method = terms.Method.EQUAL_INSTALMENT,
) -> QuoteOut:
    """Show what a draw-down would cost, as an offer shows it."""
    wanted = lines.Draw(amount_minor=amount_minor, tenor=tenor, method=method, wallet_account="")
    with read.database.reading() as connection:
        own(read.caller, lines.read(connection, line).party, "credit.read")
        return QuoteOut(content=dict(lines.quote_draw(connection, line, wanted)))


@router.post(
    "/lines/{line}/draw",
    status_code=201,
    response_model=DrawnOut,
    responses=refused_by(
        *_DRAW,
        origination.AccountIsNotTheirs,
        loans.refusals.WalletIsOutOfReach,
        ledger_refusals.AccountNotFound,
        ledger_refusals.ExceedsDebitLimit,
        write=True,
    ),
)
def draw(line: LineId, body: LineDrawIn, write: Applies) -> Response:
    """Draw under a limit: a loan by its prices, signed and paid out."""

    def work(unit: UnitOfWork) -> DrawnOut:
        own(write.caller, lines.read(unit.connection, line).party, write.verb)
        loan = lines.draw(unit, line, body.draw())
        return DrawnOut(loan=loan.id, line=LineOut.of(lines.read(unit.connection, line)))

    return write.run(work, status=201)


@router.post(
    "/lines/{line}/limit",
    response_model=LimitOut,
    responses=refused_by(
        *_LINE,
        lines.LimitIsWrong,
        registry.ReasonIsInvalid,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def change_limit(line: LineId, body: LimitIn, write: Limits) -> Response:
    """Raise or lower a limit with a reason; raised by much, a second person says yes."""
    _staff_only(write, write.verb)

    def work(unit: UnitOfWork) -> LimitOut:
        wanted, reason = body.limit_minor, body.reason
        if body.approval is None:
            asked = lines.request_change(unit, line, wanted, reason=reason)
            if asked is not None:
                present = lines.read(unit.connection, line)
                return LimitOut(is_done=False, request=requested(asked), line=LineOut.of(present))
        changed = lines.change_limit(unit, line, wanted, reason=reason, approval=body.approval)
        return LimitOut(is_done=True, line=LineOut.of(changed))

    return write.run(work)


@router.post(
    "/lines/{line}/freeze",
    response_model=LineOut,
    responses=refused_by(*_LINE, registry.ReasonIsInvalid, write=True),
)
def freeze(line: LineId, body: WhyIn, write: Limits) -> Response:
    """Let nothing more be drawn under a limit."""
    _staff_only(write, write.verb)
    return write.run(lambda unit: LineOut.of(lines.freeze(unit, line, reason=body.reason)))


@router.post(
    "/lines/{line}/free",
    response_model=LineOut,
    responses=refused_by(*_LINE, registry.ReasonIsInvalid, write=True),
)
def free(line: LineId, body: WhyIn, write: Limits) -> Response:
    """Let a frozen limit be drawn on again."""
    _staff_only(write, write.verb)
    return write.run(lambda unit: LineOut.of(lines.free(unit, line, reason=body.reason)))


@router.post(
    "/lines/{line}/close",
    response_model=LineOut,
    responses=refused_by(*_LINE, registry.ReasonIsInvalid, write=True),
)
def close(line: LineId, body: WhyIn, write: Applies) -> Response:
    """End a limit for good; a customer may end his own."""

    def work(unit: UnitOfWork) -> LineOut:
        own(write.caller, lines.read(unit.connection, line).party, write.verb)
        return LineOut.of(lines.close(unit, line, reason=body.reason))

    return write.run(work)


@router.get("/preapproval", response_model=RuleList, responses=refused_by())
def list_rules(read: Reads) -> RuleList:
    """List the rules by which limits are granted unasked."""
    with read.database.reading() as connection:
        found = preapproval.rules(connection)
    return RuleList(items=[_rule_out(one) for one in found])


def _rule_out(kept: preapproval.KeptRule) -> RuleOut:
    content = msgspec.to_builtins(kept.rule)
    return RuleOut(is_done=True, name=kept.rule.name, version=kept.version, content=content)


@router.post(
    "/preapproval",
    response_model=RuleOut,
    responses=refused_by(
        preapproval.PreapprovalRuleIsMalformed,
        catalogue.ProductIsUnknown,
        catalogue.TierIsNotServed,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def set_rule(body: RuleIn, write: Limits) -> Response:
    """Request a rule of pre-approval; with the approval of a second person, let it choose."""
    _staff_only(write, write.verb)
    rule = body.rule()

    def work(unit: UnitOfWork) -> RuleOut:
        if body.approval is None:
            asked = requested(preapproval.request_rule(unit, rule))
            content = msgspec.to_builtins(rule)
            return RuleOut(
                is_done=False, request=asked, name=rule.name, version=None, content=content
            )
        return _rule_out(preapproval.set_rule(unit, rule, approval=body.approval))

    return write.run(work)


@router.post(
    "/preapproval/{name}/run",
    response_model=PreapprovalOut,
    responses=refused_by(
        preapproval.PreapprovalRuleIsUnknown, loans.refusals.LenderIsUnknown, write=True
    ),
)
def preapprove(name: RuleName, body: PreapproveIn, write: Limits) -> Response:
    """Propose limits to everybody whom a rule chooses; unless told otherwise, only count them."""
    _staff_only(write, write.verb)

    def work() -> PreapprovalOut:
        found = preapproval.preapprove(
            write.database, name, dry_run=body.dry_run, actor=write.caller.actor
        )
        return PreapprovalOut(**asdict(found))

    return write.run_in_steps(work)
