"""A channel's life: surveyed, agreed, tested, trial, live, handed over, retired.

Each step has what it needs; a step back or over others is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from steelyard.kernel import Refusal, RefusalKind
from steelyard.payments.model.channel import Capability, Method, Stage
from steelyard.payments.model.orders import Mode


class ChannelIsUnknown(Refusal):
    """There is no channel of that code."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no channel {channel}."
    zh = "没有渠道 {channel}。"


class ChannelExists(Refusal):
    """The code is taken."""

    kind = RefusalKind.CONFLICT
    en = "There is a channel {channel} already."
    zh = "渠道 {channel} 已存在。"


class ChannelKindIsUnknown(Refusal):
    """No adaptor is known for the kind."""

    kind = RefusalKind.INVALID
    en = "No adaptor is known for channels of the kind {name}."
    zh = "没有 {name} 类渠道的适配器。"


class ChannelHasChanged(Refusal):
    """Somebody changed the channel meanwhile."""

    kind = RefusalKind.CONFLICT
    en = "The channel {channel} was changed meanwhile; read it again."
    zh = "渠道 {channel} 已被修改，请重新读取。"


class StageForbids(Refusal):
    """The channel's stage does not lead where it is wanted."""

    kind = RefusalKind.CONFLICT
    en = "The channel {channel} is {stage}: {wanted} does not follow."
    zh = "渠道 {channel} 处于 {stage} 阶段，不能进入 {wanted}。"


class StageNeedsMore(Refusal):
    """Something that the step needs is missing."""

    kind = RefusalKind.CONFLICT
    en = "For {wanted} the channel {channel} lacks: {missing}."
    zh = "渠道 {channel} 进入 {wanted} 尚缺：{missing}。"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Whom a channel on trial (试商用) serves, and how much.

    Attributes
    ----------
    most_minor : of one payment; daily_most_minor, daily_payments : of a day, all merchants
    until_on : the first day on which it takes nothing any more; None: open
    """

    merchants: tuple[UUID, ...]
    most_minor: int
    daily_most_minor: int
    daily_payments: int
    until_on: date | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeSetting:
    """How a channel's availability is probed.

    Attributes
    ----------
    method, instrument : of the test payment by the channel's own probe merchant
    amount_minor : of the test payment, which is refunded; 0: a known number is asked about
    number : the known number
    """

    method: Method = Method.WALLET
    amount_minor: int = 0
    currency: str = "CNY"
    merchant: str = "probe"
    instrument: str | None = None
    number: str = "0" * 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelRecord:
    """A channel as it is registered.

    Attributes
    ----------
    kind : of its adaptor; sheet : version of its capability sheet
    version : grows with every change of it, its agreements and its windows
    owner, runbook : who operates it, and by which page
    """

    code: str
    mode: Mode
    kind: str
    name: str
    stage: Stage
    version: int
    sheet: int
    capability: Capability
    settings: Mapping[str, str]
    created_at: datetime
    updated_at: datetime
    trial: Trial | None = None
    probe: ProbeSetting | None = None
    owner: str | None = None
    runbook: str | None = None

    @property
    def subject(self) -> str:
        """Its name in facts and in the audit trail."""
        return f"channel:{self.code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChannel:
    """A channel to register.

    Attributes
    ----------
    secrets : what the adaptor needs and nobody reads; sealed
    stage : over `surveyed` only where a house is founded with channels that live already
    """

    code: str
    mode: Mode
    kind: str
    name: str
    capability: Capability
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    stage: Stage = Stage.SURVEYED
    trial: Trial | None = None
    probe: ProbeSetting | None = None
    owner: str | None = None
    runbook: str | None = None


NEXT: Final[Mapping[Stage, tuple[Stage, ...]]] = MappingProxyType(
    {
        Stage.SURVEYED: (Stage.AGREED, Stage.RETIRED),
        Stage.AGREED: (Stage.TESTED, Stage.RETIRED),
        Stage.TESTED: (Stage.TRIAL, Stage.RETIRED),
        Stage.TRIAL: (Stage.LIVE, Stage.TESTED, Stage.RETIRED),
        Stage.LIVE: (Stage.HANDED_OVER, Stage.TRIAL, Stage.RETIRED),
        Stage.HANDED_OVER: (Stage.TRIAL, Stage.RETIRED),
        Stage.RETIRED: (),
    }
)
"""Where each stage may lead; back to trial is how a channel is taken back under caps."""


class TestKind(StrEnum):
    """What the protocol before a trial consists of."""

    __test__ = False

    PAY = "pay"
    QUERY = "query"
    REFUND = "refund"
    DECLINE = "decline"
    CANCEL = "cancel"
    PROBE = "probe"


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLine:
    """One test payment, or probe, and what was answered.

    Attributes
    ----------
    number : as the channel knows it; latency_ms : of the call
    """

    __test__ = False

    id: UUID
    channel: str
    kind: TestKind
    number: str
    said: str
    code: str | None
    amount_minor: int | None
    is_passed: bool
    latency_ms: int
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is known when a step is judged.

    Attributes
    ----------
    in_force : whether an agreement is in force today
    tests : the newest line of each kind
    unfinished : attempts and refunds that the channel has not answered finally
    trial_payments : attempts through it since its trial began
    """

    in_force: bool
    tests: Sequence[TestLine] = ()
    unfinished: int = 0
    trial_payments: int = 0


def needed_tests(capability: Capability) -> tuple[TestKind, ...]:
    """Return which test payments have to pass before a trial.

    Examples
    --------
    >>> [kind.value for kind in needed_tests(Capability(methods=(Method.WALLET,), refund_days=0))]
    ['pay', 'query', 'decline', 'cancel']
    """
    refund = (TestKind.REFUND,) if capability.refund_days else ()
    cancel = (TestKind.CANCEL,) if capability.cancel_same_day else ()
    return (TestKind.PAY, TestKind.QUERY, TestKind.DECLINE, *refund, *cancel)


def missing_for(channel: ChannelRecord, wanted: Stage, standing: Standing) -> tuple[str, ...]:
    """Return what a channel lacks for its next stage, as short words; empty: nothing.

    Refusals
    --------
    stage_forbids : the stage does not follow from the present one
    """
    if wanted not in NEXT[channel.stage]:
        raise StageForbids(channel=channel.code, stage=channel.stage, wanted=wanted)
    missing: list[str] = []
    if wanted is Stage.RETIRED:
        return (f"end_of_{standing.unfinished}_payments",) if standing.unfinished else ()
    if not standing.in_force:
        missing.append("agreement_in_force")
    if wanted in (Stage.TESTED, Stage.TRIAL, Stage.LIVE):
        passed = {line.kind for line in standing.tests if line.is_passed}
        needed = needed_tests(channel.capability)
        missing += [f"passed_test_{kind}" for kind in needed if kind not in passed]
    if wanted is Stage.TRIAL:
        missing += _missing_of_trial(channel.trial)
    if wanted is Stage.LIVE and not standing.trial_payments:
        missing.append("payments_on_trial")
    if wanted is Stage.HANDED_OVER:
        missing += [name for name in ("owner", "runbook") if not getattr(channel, name)]
    return tuple(missing)


def _missing_of_trial(trial: Trial | None) -> list[str]:
    if trial is None:
        return ["trial_caps", "trial_merchants"]
    caps = min(trial.most_minor, trial.daily_most_minor, trial.daily_payments)
    return [
        *([] if caps > 0 else ["trial_caps"]),
        *([] if trial.merchants else ["trial_merchants"]),
    ]
