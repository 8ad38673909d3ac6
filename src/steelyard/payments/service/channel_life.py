"""A channel's life: agreements, sheets, test payments, and the steps from survey to retirement."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from steelyard.base import Database, UnitOfWork
from steelyard.base.audit import audit
from steelyard.parties import approvals
from steelyard.payments.model.agreements import (
    Agreement,
    AgreementExists,
    AgreementIsUnknown,
    AgreementsOverlap,
    SupplementIsOutside,
    TermDoesNotFit,
    capability_on,
    check_new,
    in_force,
)
from steelyard.payments.model.channel import (
    Capability,
    Channel,
    Finding,
    PayRequest,
    Query,
    RefundRequest,
    Said,
    Stage,
)
from steelyard.payments.model.lifecycle import (
    NEXT,
    ChannelHasChanged,
    ChannelIsUnknown,
    ChannelRecord,
    ProbeSetting,
    StageForbids,
    StageNeedsMore,
    Standing,
    TestKind,
    TestLine,
    Trial,
    missing_for,
)
from steelyard.payments.service.channel_desk import ChannelDesk
from steelyard.payments.service.channel_facts import ChannelStageChanged
from steelyard.payments.store import channel_desk as table
from steelyard.payments.store import channel_life as life_table

__all__ = [
    "GO_LIVE",
    "Agreement",
    "AgreementExists",
    "AgreementIsUnknown",
    "AgreementsOverlap",
    "ChannelHasChanged",
    "ChannelIsUnknown",
    "NewAgreement",
    "ProbeSetting",
    "Stage",
    "StageForbids",
    "StageNeedsMore",
    "Standing",
    "SupplementIsOutside",
    "TermDoesNotFit",
    "TestKind",
    "TestLine",
    "Trial",
    "add_agreement",
    "advance",
    "agreements_of",
    "capability_at",
    "change_sheet",
    "configure",
    "lacks",
    "plain",
    "protocol_of",
    "read",
    "read_all",
    "request_live",
    "run_tests",
    "sheet_of",
    "sheets_of",
    "stages_of",
    "standing_of",
]

GO_LIVE: Final = approvals.approval_kind(
    "payments.channel_live", verb="payments.approve", en="Take a channel live", zh="渠道上线"
)
TEST_MINOR: Final = 100
"""What a test payment is about, in minor units."""
DECLINED_INSTRUMENT: Final = "test_declined"
"""The instrument that a channel's test environment declines, unless its settings name another."""

plain = table.plain
read = table.read
read_all = table.read_all
sheets_of = table.sheets_of
stages_of = life_table.stages_of
protocol_of = life_table.protocol_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAgreement:
    """An agreement, or a supplement, to add.

    Attributes
    ----------
    terms : field of the sheet -> value, as JSON has it
    """

    number: str
    signed_on: date
    effective_from: date
    effective_to: date | None = None
    supplement_of: UUID | None = None
    terms: Mapping[str, Any]


def add_agreement(unit: UnitOfWork, channel: str, new: NewAgreement) -> Agreement:
    """Add a dated agreement, or a supplement that changes fields of the sheet from its day on.

    Refusals
    --------
    channel_is_unknown, term_does_not_fit, agreement_exists, agreement_is_unknown,
    supplement_is_outside, agreements_overlap
    """
    record = table.lock(unit.connection, channel)
    agreement = Agreement(
        id=unit.new_id(),
        channel=channel,
        number=new.number,
        signed_on=new.signed_on,
        effective_from=new.effective_from,
        effective_to=new.effective_to,
        supplement_of=new.supplement_of,
        terms=table.terms_of(new.terms),
        actor=unit.actor,
        at=unit.now,
    )
    check_new(agreement, agreements_of(unit.connection, channel))
    table.insert_agreement(unit.connection, agreement)
    table.touch(unit.connection, channel, unit.now)
    audit(
        unit,
        action="payments.add_agreement",
        subject=record.subject,
        detail={"number": new.number, "terms": sorted(agreement.terms)},
    )
    return agreement


def sheet_of(raw: Mapping[str, Any]) -> Capability:
    """Return a sheet from its fields as JSON has them; those left out are as usual.

    Refusals
    --------
    term_does_not_fit
    """
    typed = table.terms_of(raw)
    if not typed.get("methods"):
        raise TermDoesNotFit(term="methods")
    return Capability(**typed)


def agreements_of(connection: sa.Connection, channel: str) -> list[Agreement]:
    """Return the agreements of a channel with their supplements, by the day they count from."""
    return table.agreements_of(connection, [channel])[channel]


def capability_at(connection: sa.Connection, channel: str, on: date) -> Capability:
    """Return what a channel can do on a day, by its sheet, its agreement and the supplements.

    Refusals
    --------
    channel_is_unknown
    """
    record = table.read(connection, channel)
    return capability_on(record.capability, agreements_of(connection, channel), on)


def change_sheet(
    unit: UnitOfWork, channel: str, changes: Mapping[str, Any], *, reason: str
) -> ChannelRecord:
    """Write a new version of a channel's sheet; agreements in force still stand over it.

    Refusals
    --------
    channel_is_unknown, term_does_not_fit
    """
    before = table.lock(unit.connection, channel)
    capability = replace(before.capability, **table.terms_of(changes))
    changed = replace(before, capability=capability, sheet=before.sheet + 1)
    after = table.change(unit.connection, before, changed, unit.now)
    table.insert_sheet(unit.connection, after, reason=reason, actor=unit.actor)
    audit(
        unit,
        action="payments.change_sheet",
        subject=before.subject,
        detail={"sheet": after.sheet, "fields": sorted(changes), "reason": reason},
    )
    return after


def configure(unit: UnitOfWork, channel: str, **changes: Any) -> ChannelRecord:
    """Change what a channel is operated by: `name`, `trial`, `probe`, `owner`, `runbook`, settings.

    Refusals
    --------
    channel_is_unknown
    """
    before = table.lock(unit.connection, channel)
    after = table.change(unit.connection, before, replace(before, **changes), unit.now)
    audit(
        unit,
        action="payments.configure_channel",
        subject=before.subject,
        detail={"fields": sorted(changes)},
    )
    return after


def standing_of(connection: sa.Connection, record: ChannelRecord, now: datetime) -> Standing:
    """Return what is known of a channel when its next step is judged."""
    on = now.astimezone(ZoneInfo(record.capability.timezone)).date()
    return Standing(
        in_force=in_force(agreements_of(connection, record.code), on) is not None,
        tests=life_table.newest_tests(connection, record.code),
        unfinished=life_table.unfinished(connection, record.code),
        trial_payments=life_table.succeeded_on_trial(connection, record.code),
    )


def lacks(connection: sa.Connection, channel: str, now: datetime) -> dict[str, list[str]]:
    """Return what a channel lacks for each stage that may follow.

    Refusals
    --------
    channel_is_unknown
    """
    record = table.read(connection, channel)
    standing = standing_of(connection, record, now)
    return {to.value: list(missing_for(record, to, standing)) for to in NEXT[record.stage]}


def request_live(unit: UnitOfWork, channel: str) -> approvals.Approval:
    """Ask for a second person's yes to take a channel live, after looking whether it may.

    Refusals
    --------
    channel_is_unknown, stage_forbids, stage_needs_more
    """
    record = table.lock(unit.connection, channel)
    _check(unit, record, Stage.LIVE)
    return approvals.request_approval(
        unit, kind=GO_LIVE.name, subject=record.subject, shown=_shown(unit, record), by=unit.actor
    )


def advance(
    unit: UnitOfWork, channel: str, to: Stage, *, reason: str, approval: UUID | None = None
) -> ChannelRecord:
    """Take a channel to the next stage of its life.

    Parameters
    ----------
    approval : a second person's yes, for `live`

    Refusals
    --------
    channel_is_unknown, stage_forbids, stage_needs_more
    approval_is_needed, and those of `consume_approval`
    """
    before = table.lock(unit.connection, channel)
    _check(unit, before, to)
    cause = "payments.advance_channel@1"
    if to is Stage.LIVE:
        if approval is None:
            raise approvals.ApprovalIsNeeded(name=GO_LIVE.name)
        cause = approvals.consume_approval(
            unit,
            approval,
            kind=GO_LIVE.name,
            subject=before.subject,
            shown=_shown(unit, before),
        )
    after = table.change(unit.connection, before, replace(before, stage=to), unit.now)
    life_table.insert_stage(
        unit.connection,
        after,
        before=before.stage,
        cause=cause,
        detail={"reason": reason},
        actor=unit.actor,
    )
    unit.record(
        ChannelStageChanged(
            channel=channel, before=before.stage.value, after=to.value, cause=cause
        ),
        subject=before.subject,
    )
    audit(
        unit,
        action="payments.advance_channel",
        subject=before.subject,
        detail={"from": before.stage.value, "to": to.value, "cause": cause, "reason": reason},
    )
    return after


def _check(unit: UnitOfWork, record: ChannelRecord, to: Stage) -> None:
    missing = missing_for(record, to, standing_of(unit.connection, record, unit.now))
    if missing:
        raise StageNeedsMore(channel=record.code, wanted=to, missing=", ".join(missing))


def _shown(unit: UnitOfWork, record: ChannelRecord) -> dict[str, object]:
    """Return what a second person says yes to; a change of the channel makes another of it."""
    on = unit.now.astimezone(ZoneInfo(record.capability.timezone)).date()
    agreement = in_force(agreements_of(unit.connection, record.code), on)
    return {
        "channel": record.code,
        "version": record.version,
        "sheet": record.sheet,
        "agreement": agreement.number if agreement else "",
        "to": Stage.LIVE.value,
    }


def run_tests(
    database: Database,
    desk: ChannelDesk,
    channel: str,
    *,
    actor: str,
    timer: Callable[[], float] = time.monotonic,
) -> list[TestLine]:
    """Make the test payments of a channel's protocol, one after another, and keep the answers.

    Paid, asked about, refunded; one that is declined; one that is closed. Nobody's order is behind
    them: they are known by numbers of their own, and the channel's statement shows them as such.

    Refusals
    --------
    channel_is_unknown, channel_kind_is_unknown
    """
    listed = desk.listed(channel)
    adaptor, record = desk.get(channel), listed.record
    setting = record.probe or ProbeSetting(method=listed.capability.methods[0])
    declined = record.settings.get("declined_instrument", DECLINED_INSTRUMENT)
    lines: list[TestLine] = []

    def keep(kind: TestKind, number: str, call: Callable[[], Finding], *, wanted: Said) -> Finding:
        began = timer()
        finding = call()
        took = round(1000 * (timer() - began))
        lines.append(
            database.transact(
                lambda unit: _keep(unit, channel, (kind, number, finding, took), wanted=wanted),
                actor=actor,
            )
        )
        return finding

    at = database.now()
    numbers = [_number(database) for _ in range(4)]
    paid = _request(setting, numbers[0], at, setting.instrument)
    first = keep(TestKind.PAY, numbers[0], lambda: adaptor.pay(paid), wanted=Said.SUCCEEDED)
    asked = Query(number=numbers[0], reference=first.reference, sent_at=at)
    keep(TestKind.QUERY, numbers[0], lambda: adaptor.query(asked), wanted=Said.SUCCEEDED)
    refused = _request(setting, numbers[1], at, declined)
    keep(TestKind.DECLINE, numbers[1], lambda: adaptor.pay(refused), wanted=Said.DECLINED)
    if listed.capability.refund_days:
        back = _refund(paid, first, numbers[2])
        keep(TestKind.REFUND, numbers[2], lambda: adaptor.refund(back), wanted=Said.SUCCEEDED)
    if listed.capability.cancel_same_day:
        _cancel(adaptor, setting, numbers[3], at, keep)
    return lines


Keep = Callable[..., Finding]


def _cancel(adaptor: Channel, setting: ProbeSetting, number: str, at: datetime, keep: Keep) -> None:
    made = adaptor.pay(_request(setting, number, at, setting.instrument))
    asked = Query(number=number, reference=made.reference, sent_at=at)
    keep(TestKind.CANCEL, number, lambda: adaptor.cancel(asked), wanted=Said.CLOSED)


def _number(database: Database) -> str:
    return database.transact(lambda unit: unit.new_id()).hex


def _request(
    setting: ProbeSetting, number: str, at: datetime, instrument: str | None
) -> PayRequest:
    return PayRequest(
        number=number,
        amount_minor=setting.amount_minor or TEST_MINOR,
        currency=setting.currency,
        method=setting.method,
        subject="test payment 测试交易",
        merchant=setting.merchant,
        sent_at=at,
        instrument=instrument,
    )


def _refund(paid: PayRequest, answer: Finding, number: str) -> RefundRequest:
    return RefundRequest(
        number=number,
        payment_number=paid.number,
        payment_reference=answer.reference,
        amount_minor=paid.amount_minor,
        total_minor=paid.amount_minor,
        currency=paid.currency,
        sent_at=paid.sent_at,
        reason="test",
    )


def _keep(
    unit: UnitOfWork, channel: str, asked: tuple[TestKind, str, Finding, int], *, wanted: Said
) -> TestLine:
    kind, number, finding, took = asked
    line = TestLine(
        id=unit.new_id(),
        channel=channel,
        kind=kind,
        number=number,
        said=finding.said.value,
        code=finding.code,
        amount_minor=finding.amount_minor,
        is_passed=finding.said is wanted,
        latency_ms=took,
        actor=unit.actor,
        at=unit.now,
    )
    life_table.insert_test(unit.connection, line)
    return line
