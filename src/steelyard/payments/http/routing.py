"""Routes of routing: rules, a payment tried without making it, decisions, shares."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime

from steelyard.base import UnitOfWork
from steelyard.base.http import Read, Write, reading, refusals, writing
from steelyard.parties import approvals
from steelyard.payments import channel_life, routing
from steelyard.payments.http.channel_life import span, staff
from steelyard.payments.http.channel_life_wire import (
    AskIn,
    ChoiceOut,
    DecisionOut,
    EstimateOut,
    EvaluationOut,
    ForceIn,
    PoliciesOut,
    PolicyIn,
    PolicyOut,
    ProposedOut,
    ShareOut,
    SharesOut,
)

router = APIRouter(prefix="/v1/payments/routing", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Routes = Annotated[Write, writing("payments.route")]


@router.get("/rules", responses=refusals())
def list_rules(read: Reads) -> PoliciesOut:
    """List the versions of the rules, the newest first."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        found = routing.policies(connection)
        present = routing.policy_in_force(connection)
    return PoliciesOut(items=[PolicyOut.of(one) for one in found], in_force=present.version)


@router.post(
    "/rules", response_model=ProposedOut, responses=refusals(routing.RuleDoesNotFit, write=True)
)
def propose_rules(body: PolicyIn, write: Routes) -> Response:
    """Write a version of the rules, and ask for a second person's yes."""
    staff(write, write.verb)

    def work(unit: UnitOfWork) -> ProposedOut:
        rules = [one.rule() for one in body.rules]
        made = routing.propose(unit, rules, body.options(), reason=body.reason)
        return ProposedOut(
            policy=PolicyOut.of(made.row),
            approval=made.approval.id,
            shown_hash=made.approval.shown_hash,
        )

    return write.run(work)


@router.post(
    "/rules/{version}/force",
    response_model=PolicyOut,
    responses=refusals(
        routing.RoutingPolicyIsUnknown,
        routing.PolicyIsInForce,
        *approvals.CONSUME_REFUSALS,
        write=True,
    ),
)
def enact_rules(version: int, body: ForceIn, write: Routes) -> Response:
    """Put a version of the rules in force, as two people want it."""
    staff(write, write.verb)
    return write.run(
        lambda unit: PolicyOut.of(routing.enact(unit, version, approval=body.approval))
    )


@router.get("/ask", responses=refusals(routing.NoChannelIsOpen))
def ask(body: Annotated[AskIn, Query()], read: Reads) -> ChoiceOut:
    """Show where a payment would go, and why; nothing is written."""
    staff(read, "payments.read")
    desk: routing.RoutingDesk = read.platform.routing
    now = read.database.now()
    book = desk.book(body.mode, now)
    choice = routing.choose(book, body.request(), now, body.seed)
    return ChoiceOut.of(choice, book.policy.options)


@router.get("/decisions/{attempt}", responses=refusals(routing.RoutingDecisionIsUnknown))
def show_decision(attempt: UUID, read: Reads) -> DecisionOut:
    """Show why an attempt went to its channel, and make the choice again."""
    staff(read, "payments.read")
    with read.database.reading() as connection:
        again = routing.replay(connection, attempt)
        options = routing.options_of(connection, again.stored.choice.policy)
    stored = again.stored
    return DecisionOut(
        attempt=attempt,
        decided_at=stored.decided_at,
        request=channel_life.plain(stored.request),
        choice=ChoiceOut.of(stored.choice, options),
        agrees=again.agrees,
    )


@router.get("/shares", responses=refusals())
def show_shares(
    read: Reads,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    merchant: UUID | None = None,
) -> SharesOut:
    """Show what each channel got, in the last hour unless it is stated."""
    staff(read, "payments.read")
    start, end = span(read, since, until)
    with read.database.reading() as connection:
        found = routing.shares(connection, start, end, merchant)
    items = [
        ShareOut(**{name: getattr(one, name) for name in ShareOut.model_fields}) for one in found
    ]
    return SharesOut(since=start, until=end, items=items)


@router.get("/evaluation", responses=refusals())
def evaluate(
    *,
    read: Reads,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    weigh_cost: Annotated[bool, Query()] = False,
    temperature: Annotated[float, Query(gt=0, le=3)] = 1.0,
) -> EvaluationOut:
    """Estimate what other options would have been worth, by the payments as they were routed."""
    staff(read, "payments.read")
    start, end = span(read, since, until)
    options = routing.Options(weigh_cost=weigh_cost)
    with read.database.reading() as connection:
        found = routing.evaluate(connection, options, since=start, until=end, wider=temperature)
    if found is None:
        return EvaluationOut(was=None, other=None)
    was, other = (
        EstimateOut(value=one.value, low=one.low, high=one.high, effective=one.effective)
        for one in found
    )
    return EvaluationOut(was=was, other=other)
