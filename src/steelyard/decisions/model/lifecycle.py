"""The life of a policy: drafted, checked, committed, tried in the shadow, challenging, active."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from steelyard.decisions.model.budget import Budget, BudgetIsMalformed
from steelyard.decisions.model.check import check_document
from steelyard.decisions.model.compile import Kinds, NodeKindIsUnknown, compile_document
from steelyard.decisions.model.document import (
    CustomNode,
    DocumentIsMalformed,
    FunctionNodeIsRefused,
    parse_document,
)
from steelyard.decisions.model.findings import Finding, Severity
from steelyard.decisions.model.policy import (
    FLAGS,
    LISTED,
    CompiledPolicy,
    Example,
    Fails,
    PolicyReadsAnUnknownField,
    Told,
    check_policy,
    make_policy,
    read_examples,
)
from steelyard.features import CATALOGUE, KINDS
from steelyard.features.catalogue import Aggregate
from steelyard.kernel import Refusal, RefusalKind

__all__ = [
    "CONTENT_REFUSALS",
    "MOST_NOTE",
    "ChallengeIsMalformed",
    "ChallengeIsUnknown",
    "ChallengeRuns",
    "Checked",
    "Committed",
    "Content",
    "Draft",
    "DraftIsUnknown",
    "DraftIsUnsound",
    "EntryIsMalformed",
    "EntryIsUnknown",
    "ExamplesAreMalformed",
    "Fails",
    "Finding",
    "How",
    "KeptList",
    "ListIsUnknown",
    "NothingToRollBackTo",
    "PolicyIsActive",
    "PolicyIsCommitted",
    "PolicyVersionIsUnknown",
    "RuleIsNotStopped",
    "RuleIsSnoozed",
    "RuleIsStopped",
    "RuleIsUnknown",
    "ShadowIsUnknown",
    "ShadowRuns",
    "SnoozeIsMalformed",
    "SnoozeIsUnknown",
    "StopperResumes",
    "SwitchIsUnknown",
    "as_data",
    "budget_as_data",
    "check_content",
    "compiled",
    "lists_of",
    "parse_examples",
    "read_budget",
    "read_findings",
    "schema_of",
]

MOST_NOTE = 2_000
_NUMBERS = frozenset({Aggregate.MEAN, Aggregate.STD, Aggregate.RATIO, Aggregate.ZSCORE})


class DraftIsUnknown(Refusal):
    """Nobody drafts a policy of the scene."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no draft for {scene}."
    zh = "场景 {scene} 没有策略草稿。"


class ExamplesAreMalformed(Refusal):
    """The test cases are no list of name, values, outcome and reasons."""

    kind = RefusalKind.INVALID
    en = "The test cases cannot be read: {why}."
    zh = "无法读取测试用例：{why}。"


class DraftIsUnsound(Refusal):
    """The static check or a test case found an error: it is not committed."""

    kind = RefusalKind.INVALID
    en = "The draft for {scene} has {errors} errors, first of all: {first!r}."
    zh = "场景 {scene} 的草稿有 {errors} 处错误，第一处：“{first}”。"


class PolicyIsCommitted(Refusal):
    """The same was committed before."""

    kind = RefusalKind.CONFLICT
    en = "The draft for {scene} is version {version} to the letter."
    zh = "场景 {scene} 的草稿与版本 {version} 完全相同。"


class PolicyVersionIsUnknown(Refusal):
    """Nothing was committed under this number."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no version {version} of the policy of {scene}."
    zh = "场景 {scene} 的策略没有版本 {version}。"


class PolicyIsActive(Refusal):
    """It judges already."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of {scene} is active."
    zh = "场景 {scene} 的版本 {version} 已在生效。"


class NothingToRollBackTo(Refusal):
    """No other version was active before."""

    kind = RefusalKind.CONFLICT
    en = "No version of {scene} was active before the present one."
    zh = "场景 {scene} 在当前版本之前没有生效过的版本。"


class ShadowRuns(Refusal):
    """It is tried in the shadow already."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} of {scene} is in the shadow already."
    zh = "场景 {scene} 的版本 {version} 已在影子运行。"


class ShadowIsUnknown(Refusal):
    """It was never tried in the shadow, or is not now."""

    kind = RefusalKind.NOT_FOUND
    en = "Version {version} of {scene} does not run in the shadow."
    zh = "场景 {scene} 的版本 {version} 未在影子运行。"


class ChallengeRuns(Refusal):
    """One challenger at a time."""

    kind = RefusalKind.CONFLICT
    en = "Version {version} challenges the policy of {scene} now; end that first."
    zh = "版本 {version} 正在挑战场景 {scene} 的策略，请先结束。"


class ChallengeIsUnknown(Refusal):
    """Nothing challenges the policy of the scene."""

    kind = RefusalKind.NOT_FOUND
    en = "Nothing challenges the policy of {scene}."
    zh = "场景 {scene} 没有正在进行的挑战。"


class ChallengeIsMalformed(Refusal):
    """Its weight or its times make no sense."""

    kind = RefusalKind.INVALID
    en = "The challenge is malformed: {what}."
    zh = "挑战设置有误：{what}。"


class RuleIsUnknown(Refusal):
    """The policy has no such rule, or it is the default of its table."""

    kind = RefusalKind.NOT_FOUND
    en = "{rule} is no rule of {policy} that can be left out."
    zh = "{rule} 不是策略 {policy} 中可停用的规则。"


class RuleIsStopped(Refusal):
    """It takes no effect already."""

    kind = RefusalKind.CONFLICT
    en = "The rule {rule} of {scene} is stopped already."
    zh = "场景 {scene} 的规则 {rule} 已停用。"


class RuleIsNotStopped(Refusal):
    """There is nothing to resume."""

    kind = RefusalKind.CONFLICT
    en = "The rule {rule} of {scene} is not stopped."
    zh = "场景 {scene} 的规则 {rule} 未停用。"


class StopperResumes(Refusal):
    """Whoever stopped a rule does not let it go on."""

    kind = RefusalKind.FORBIDDEN
    en = "Whoever stopped {rule} cannot let it go on; somebody else can."
    zh = "停用规则 {rule} 的人不得自行恢复，须由他人恢复。"


class SnoozeIsMalformed(Refusal):
    """It ends in the past, or too late, or its subject is nobody."""

    kind = RefusalKind.INVALID
    en = "The snooze is malformed: {what}."
    zh = "暂停设置有误：{what}。"


class RuleIsSnoozed(Refusal):
    """It is snoozed for the subject already."""

    kind = RefusalKind.CONFLICT
    en = "The rule {rule} is snoozed for {subject} already."
    zh = "规则 {rule} 已对 {subject} 暂停。"


class SnoozeIsUnknown(Refusal):
    """No snooze has the id, or it has ended."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no running snooze {id}."
    zh = "没有生效中的暂停 {id}。"


class SwitchIsUnknown(Refusal):
    """There is nothing of the name that could be switched off."""

    kind = RefusalKind.NOT_FOUND
    en = "{subject} is neither a scene nor a committed policy."
    zh = "{subject} 既不是场景也不是已提交的策略。"


class ListIsUnknown(Refusal):
    """No committed policy asks a list of the name."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no list {name}; a list comes with the policy that asks it."
    zh = "没有名单 {name}；名单随引用它的策略一同建立。"


class EntryIsMalformed(Refusal):
    """A value, a reason or an end makes no sense; nothing is entered."""

    kind = RefusalKind.INVALID
    en = "Entry {nth} of the list is malformed: {what}."
    zh = "名单第 {nth} 条有误：{what}。"


class EntryIsUnknown(Refusal):
    """The value does not stand on the list."""

    kind = RefusalKind.NOT_FOUND
    en = "{value} does not stand on the list {name}."
    zh = "{value} 不在名单 {name} 上。"


CONTENT_REFUSALS = (
    DocumentIsMalformed,
    FunctionNodeIsRefused,
    NodeKindIsUnknown,
    ExamplesAreMalformed,
    BudgetIsMalformed,
)
"""What a content can be refused for before anything is said of its soundness."""


class How(StrEnum):
    """How a version became active."""

    INSTALL = "install"
    """It was delivered."""
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


@dataclass(frozen=True, slots=True)
class Content:
    """What somebody writes: the policy of a scene, and what belongs to it.

    Attributes
    ----------
    source : the JDM document, as JSON text
    fails : what is said when it cannot be judged
    examples : the test cases, as JSON text; see `read_examples`
    budget : of each of its rules; None: no rule is stopped by itself
    note : what is new, for whoever approves it
    """

    source: str
    fails: Fails
    examples: str
    budget: Budget | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """The open draft of a scene; the next one takes its place."""

    scene: str
    content: Content
    drafted_by: str
    drafted_at: datetime


@dataclass(frozen=True, slots=True)
class Committed:
    """A version; it is never changed.

    Attributes
    ----------
    hash : SHA-256 of what its document says
    findings : warnings and notes of the check, for whoever approves it
    """

    scene: str
    version: int
    content: Content
    hash: str
    findings: tuple[Finding, ...]
    committed_by: str
    committed_at: datetime

    @property
    def cause(self) -> str:
        """`policy.<scene>@<version>`."""
        return f"policy.{self.scene}@{self.version}"

    @property
    def subject(self) -> str:
        """Whose history its facts belong to."""
        return f"policy:{self.scene}@{self.version}"


@dataclass(frozen=True, slots=True)
class Checked:
    """What the check found; `policy` is there when nothing is an error."""

    findings: tuple[Finding, ...]
    policy: CompiledPolicy | None

    @property
    def errors(self) -> tuple[Finding, ...]:
        """What keeps it from being committed."""
        return tuple(one for one in self.findings if one.severity is Severity.ERROR)


@dataclass(frozen=True, slots=True)
class KeptList:
    """A kept list as a policy asks it."""

    name: str
    means: str
    field: str


def check_content(scene: str, content: Content, *, version: int, kinds: Kinds) -> Checked:
    """Return every finding on a draft: static checks, then its test cases.

    Parameters
    ----------
    version : the number it would be committed under
    kinds : registered kinds of nodes

    Refusals
    --------
    document_is_malformed, function_node_is_refused, node_kind_is_unknown
    examples_are_malformed
    """
    examples = parse_examples(content.examples)
    document = parse_document(content.source)
    compiled = compile_document(document, kinds)
    asks = {name for one in compiled.nodes.values() if isinstance(one, Told) for name in one.asks}
    schema = schema_of(scene) | {LISTED + name: "flag" for name in asks}
    findings = check_document(document, schema, compiled.nodes)
    if any(one.severity is Severity.ERROR for one in findings):
        return Checked(findings, None)
    try:
        policy = make_policy(
            scene, version, content.source, scene=scene, fails=content.fails, kinds=kinds
        )
    except PolicyReadsAnUnknownField as refused:
        texts = refused.sentence("en"), refused.sentence("zh")
        return Checked((Finding("unknown_field", Severity.ERROR, "-", "", *texts), *findings), None)
    wrong = check_policy(policy, examples)
    found = tuple(
        Finding("test_case", Severity.ERROR, "-", "", why, f"测试用例：{why}") for why in wrong
    )
    return Checked((*found, *findings), None if found else policy)


def parse_examples(text: str) -> tuple[Example, ...]:
    """Return the test cases of a text.

    Refusals
    --------
    examples_are_malformed
    """
    try:
        return read_examples(text)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ExamplesAreMalformed(why=f"{type(error).__name__}: {error}") from None


def schema_of(scene: str) -> dict[str, str]:
    """Return what a policy of a scene may read, by name: `number`, `integer`, `text`, `flag`."""
    kind = KINDS[scene]
    schema = {name: str(type) for name, type in kind.fields.items() if name not in kind.labels}
    for name, feature in CATALOGUE.items():
        if feature.entity in kind.entities:
            if feature.aggregate in _NUMBERS:
                schema[name] = "number"
            elif feature.aggregate is Aggregate.LAST and feature.field is not None:
                schema[name] = str(KINDS[feature.kinds[0]].fields[feature.field])
            else:
                schema[name] = "integer"
    return schema | dict.fromkeys(FLAGS, "flag")


def lists_of(policy: CompiledPolicy) -> tuple[KeptList, ...]:
    """Return the kept lists that a policy asks, with what standing on each means."""
    found = {}
    for node in policy.document.nodes:
        if isinstance(node, CustomNode) and node.kind == "list":
            for one in node.settings["lists"]:
                if one["name"] in policy.lists:
                    found[one["name"]] = KeptList(one["name"], one["means"], one["field"])
    return tuple(found.values())


def budget_as_data(budget: Budget | None) -> dict[str, int | bool] | None:
    """Return a budget as JSON has it."""
    if budget is None:
        return None
    return {
        "window": budget.window,
        "most_bp": budget.most_bp,
        "resume_bp": budget.resume_bp,
        "fewest": budget.fewest,
    }


def read_budget(data: Mapping[str, Any] | None) -> Budget | None:
    """Return a budget from JSON.

    Refusals
    --------
    budget_is_malformed
    """
    if data is None:
        return None
    names = ("window", "most_bp", "resume_bp", "fewest")
    if set(data) - set(names) or any(type(one) is not int for one in data.values()):
        raise BudgetIsMalformed(rule="*", what=f"whole numbers {', '.join(names)}")
    return Budget("*", **data)


def as_data(findings: tuple[Finding, ...]) -> list[dict[str, Any]]:
    """Return findings as JSON has them."""
    return [
        {
            "code": one.code,
            "severity": str(one.severity),
            "node": one.node,
            "at": one.at,
            "en": one.en,
            "zh": one.zh,
            "rows": list(one.rows),
        }
        for one in findings
    ]


def read_findings(data: list[dict[str, Any]]) -> tuple[Finding, ...]:
    """Return findings from JSON."""
    return tuple(
        Finding(
            one["code"],
            Severity(one["severity"]),
            one["node"],
            one["at"],
            one["en"],
            one["zh"],
            tuple(one["rows"]),
        )
        for one in data
    )


def compiled(committed: Committed, kinds: Kinds) -> CompiledPolicy:
    """Return the policy of a version."""
    content = committed.content
    policy = make_policy(
        committed.scene,
        committed.version,
        content.source,
        scene=committed.scene,
        fails=content.fails,
        kinds=kinds,
    )
    assert policy.document.hash == committed.hash, f"{committed.cause} is not what was committed"
    return policy
