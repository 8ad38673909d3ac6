"""Routes of limits."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from steelyard.base import UnitOfWork
from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.parties import approvals
from steelyard.payments import institution, limits, orders
from steelyard.payments.http.merchants_wire import ApprovalAskedOut, ApprovedIn
from steelyard.payments.http.wire import Code, Currency, merchant_for, merchant_of

router = APIRouter(prefix="/v1/payments/limits", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Rules = Annotated[Write, writing("payments.channel")]
LimitId = Annotated[UUID, Path(description="id of the limit")]
Most = Annotated[int, Field(ge=0, lt=2**53, description="minor units")]
Whose = Annotated[str, Field(pattern=r"^(\*|[A-Za-z0-9_-]{1,60})$", examples=["*"])]

_RULE = (limits.LimitIsUnknown,)
_MOVES = (*_RULE, limits.LimitStateForbids)


class LimitIn(BodyIn):
    """A limit to draft; without both numbers the line is limited no more."""

    scope: limits.LimitScope
    period: limits.LimitPeriod
    currency: Currency
    from_on: date = Field(description="first day, by the clock of the institution")
    whose: Whose = Field(default="*", description="code or id; *: each without a line of its own")
    scenario: orders.Scenario | None = None
    method: orders.Method | None = None
    mode: orders.Mode = orders.Mode.LIVE
    most_minor: Most | None = None
    most_payments: Annotated[int, Field(ge=0, lt=2**31)] | None = None


class LimitOut(LimitIn):
    """A limit as it stands."""

    id: UUID
    version: int
    state: limits.LimitState

    @classmethod
    def of(cls, rule: limits.LimitRule) -> LimitOut:
        """Return the wire form."""
        return cls(**{name: getattr(rule, name) for name in cls.model_fields})


class Limits(BaseModel):
    """Limits, the newest first."""

    items: list[LimitOut]


class LeftIn(BodyIn):
    """A payment that somebody thinks of."""

    channel: Code
    method: orders.Method
    merchant: UUID | None = None
    customer: UUID | None = None
    scenario: orders.Scenario = orders.Scenario.ONLINE
    currency: Currency = "CNY"
    mode: orders.Mode = orders.Mode.LIVE


class LineOut(BaseModel):
    """What may still be paid under a limit; null: any."""

    limit: UUID
    scope: limits.LimitScope
    whose: str
    period: limits.LimitPeriod
    used_minor: int
    used_payments: int
    left_minor: int | None
    left_payments: int | None
    free_at: datetime | None

    @classmethod
    def of(cls, line: limits.Line) -> LineOut:
        """Return the wire form."""
        rule, used = line.rule, line.used
        most, many = rule.most_minor, rule.most_payments
        return cls(
            limit=rule.id,
            scope=rule.scope,
            whose=line.whose,
            period=rule.period,
            used_minor=used.amount_minor,
            used_payments=used.payments,
            left_minor=None if most is None else max(most - used.amount_minor, 0),
            left_payments=None if many is None else max(many - used.payments, 0),
            free_at=line.free_at,
        )


class Lines(BaseModel):
    """The limits that hold for a payment."""

    items: list[LineOut]


@router.post(
    "",
    response_model=LimitOut,
    status_code=201,
    responses=refusals(limits.LimitIsMalformed, institution.InstitutionIsNotOpen, write=True),
)
def draft_limit(body: LimitIn, write: Rules) -> Response:
    """Draft a limit; it holds once a second person approved it, and from its day on."""
    new = limits.NewLimit(**body.model_dump())
    return write.run(lambda unit: LimitOut.of(limits.draft(unit, new)), status=201)


@router.get("", response_model=Limits, responses=refusals())
def list_limits(read: Reads, whose: Annotated[Whose | None, Query()] = None) -> Limits:
    """List limits, the newest first; a merchant sees its own."""
    own = merchant_of(read.caller)
    with read.database.reading() as connection:
        found = limits.list_rules(connection, whose=whose if own is None else str(own))
    return Limits(items=[LimitOut.of(rule) for rule in found])


@router.get("/left", response_model=Lines, responses=refusals(institution.InstitutionIsNotOpen))
def read_left(read: Reads, asked: Annotated[LeftIn, Query()]) -> Lines:
    """Show what of each limit that holds for a payment is used and left today."""
    told = asked.model_dump(exclude={"merchant"})
    spending = limits.Spending(
        attempt=UUID(int=0),
        merchant=merchant_for(read, asked.merchant),
        amount_minor=0,
        **told,
    )
    mode = asked.mode
    with read.database.reading() as connection:
        zone = ZoneInfo(institution.read(connection, mode).timezone)
        found = limits.left(connection, spending, read.database.now().astimezone(zone).date())
    return Lines(items=[LineOut.of(line) for line in found])


@router.post(
    "/{limit}/approve/request",
    response_model=ApprovalAskedOut,
    responses=refusals(*_MOVES, write=True),
)
def request_limit_approval(limit: LimitId, write: Rules) -> Response:
    """Ask for a second person's yes to a limit."""

    def work(unit: UnitOfWork) -> ApprovalAskedOut:
        asked = limits.request_approval(unit, limit)
        return ApprovalAskedOut(
            approval=asked.id, shown_hash=asked.shown_hash, expires_at=asked.expires_at
        )

    return write.run(work)


@router.post(
    "/{limit}/approve",
    response_model=LimitOut,
    responses=refusals(*_MOVES, limits.LimitIsMalformed, *approvals.CONSUME_REFUSALS, write=True),
)
def approve_limit(limit: LimitId, body: ApprovedIn, write: Rules) -> Response:
    """Let a limit hold from its day on."""
    return write.run(lambda unit: LimitOut.of(limits.approve(unit, limit, body.approval)))


@router.post("/{limit}/withdraw", response_model=LimitOut, responses=refusals(*_MOVES, write=True))
def withdraw_limit(limit: LimitId, write: Rules) -> Response:
    """Give a drafted limit up."""
    return write.run(lambda unit: LimitOut.of(limits.withdraw(unit, limit)))
