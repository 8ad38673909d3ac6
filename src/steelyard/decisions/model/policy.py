"""A policy: a compiled document with its name, its version, and what it does when it fails.

A document gives `outcome`, `score`, `reasons` and, where the outcome is `limit`, `limit_minor`;
with the `reasons` those of its lists, limits, scorecard and model (`REASON_NAMES`) are merged.
What it reads are fields of the event, features of the catalogue, and flags; whatever else it names
is refused when it is made. It is immutable: another document is another version.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

from steelyard.decisions.model.compile import Compiled, Kinds, ToldEvaluation, compile_document
from steelyard.decisions.model.decision import OUTCOMES, Judgement, Value
from steelyard.decisions.model.document import (
    CustomNode,
    Document,
    ExpressionNode,
    TableNode,
    parse_document,
)
from steelyard.decisions.model.expression import parse
from steelyard.decisions.model.expression.tree import (
    Array,
    Binary,
    Call,
    Conditional,
    Literal,
    Node,
    bare,
    children,
)
from steelyard.decisions.model.reasons import REASONS
from steelyard.features import CATALOGUE, KINDS
from steelyard.features.catalogue import kind_now
from steelyard.kernel import Refusal, RefusalKind

FLAGS = frozenset({"event_is_late", "event_is_too_late"})
"""What the engine says of an event beside its fields."""
LISTED = "list_"
"""Begins the name of a flag that says that a field of the event stands on a kept list."""
LARGEST_SCORE = 1000
FAILED = "policy_failed"
"""The reason of a decision that is not the policy's own, because the policy could not say any."""
REASON_NAMES = ("list_reasons", "reasons", "limit_reasons", "card_reasons", "model_reasons")
"""Under these names a document gives reason codes; in this order they are merged."""
_OUTCOMES = frozenset(OUTCOMES)
_TEXTS = frozenset({str})


class PolicyReadsAnUnknownField(Refusal):
    """The document reads what no event of its scene has."""

    kind = RefusalKind.INVALID
    en = "Policy {policy} reads {fields}, which no event of {scene} and no feature has."
    zh = "策略 {policy} 读取了 {fields}，但场景 {scene} 的事件和特征中均没有。"


class Fails(StrEnum):
    """What is said when the policy cannot say anything."""

    OPEN = "open"
    """Approve: disturbing the good costs more."""
    CLOSED = "closed"
    """Decline: letting the bad pass costs more."""


@runtime_checkable
class Told(Protocol):
    """A prepared node that tells which versions and reasons are in it."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of what it holds, by name."""
        ...

    @property
    def codes(self) -> tuple[str, ...]:
        """The reason codes it can give."""
        ...

    @property
    def asks(self) -> Mapping[str, str]:
        """The kept lists it asks, and the field that is looked for on each."""
        ...


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy as it judges; made by `make_policy`.

    Attributes
    ----------
    name, version : together they name it for ever
    scene : whose questions it judges; also the kind of their event
    document, compiled : what it was made of
    fails : what it says when its document cannot be run or gives no answer
    cause : `policy.<name>@<version>`
    versions : the hash of the document, and of what its nodes hold
    reads : the features that it reads, in alphabetical order
    lists : the kept lists that it asks, each with the field that is looked for on it
    """

    name: str
    version: int
    scene: str
    document: Document = field(repr=False)
    compiled: Compiled = field(repr=False)
    fails: Fails
    cause: str
    versions: Mapping[str, str]
    reads: tuple[str, ...] = field(repr=False)
    lists: Mapping[str, str]
    _tell: Callable[[dict[str, Any]], ToldEvaluation] = field(repr=False)

    def judge(self, values: Mapping[str, Value]) -> Judgement:
        """Return what the policy says to the fields, features and flags of an event.

        Parameters
        ----------
        values : by name; what is not there is missing, as None is

        Returns
        -------
        Judgement
            The same for the same values. Its trace is made of pairs: `hits` as `node/row`, `failed`
            as `node/row/column` for the first condition of a row that did not hold, `read` with
            the values that nodes looked at beside the features (those stand in the decision),
            `missing` names, `notes` [node, entry, why], `details` of nodes of our own. A judgement
            of the fault mode has the reason `policy_failed` and `degraded` with the cause.
        """
        try:
            told = self._tell(values if type(values) is dict else dict(values))
        except Exception as error:  # whatever it is, somebody waits for an answer
            return self._failed(f"{type(error).__name__}: {error}", ())
        return self._judged(told)

    def _judged(self, told: ToldEvaluation) -> Judgement:
        made, hits, failures, read, missing, notes, details = told
        trace = (
            ["hits", hits],
            ["failed", failures],
            ["read", read],
            ["missing", missing],
            ["notes", [*map(list, notes)]],
            ["details", details],
        )
        if type(made) is not dict:
            return self._failed("no answer", trace)
        outcome, score = made.get("outcome"), made.get("score")
        limit_minor = made.get("limit_minor")
        if type(outcome) is not str or outcome not in _OUTCOMES:
            return self._failed(f"outcome {outcome!r}", trace)
        if type(score) is float and 0 <= score <= LARGEST_SCORE:
            score = round(score)
        if score is not None and (type(score) is not int or not 0 <= score <= LARGEST_SCORE):
            return self._failed(f"score {score!r}", trace)
        reasons: list[str] = []
        for name in REASON_NAMES:
            given = made.get(name)
            if given:
                if type(given) is not list or not _TEXTS.issuperset(map(type, given)):
                    return self._failed(f"{name} {given!r}", trace)
                reasons += given
        if outcome != "limit":
            limit_minor = None
        elif type(limit_minor) is not int or limit_minor < 0:
            return self._failed(f"limit_minor {limit_minor!r}", trace)
        return Judgement(outcome, score, tuple(dict.fromkeys(reasons)), limit_minor, trace)

    def _failed(self, why: str, trace: tuple[Any, ...]) -> Judgement:
        outcome = "approve" if self.fails is Fails.OPEN else "decline"
        return Judgement(outcome, None, (FAILED,), None, (["degraded", why], *trace), why)


def make_policy(
    name: str,
    version: int,
    source: str | bytes | Mapping[str, Any],
    *,
    scene: str,
    fails: Fails,
    kinds: Kinds | None = None,
) -> CompiledPolicy:
    """Return a policy, compiled and checked.

    Parameters
    ----------
    source : the JDM document
    scene : the kind of event it judges
    kinds : registered kinds of nodes, by name

    Refusals
    --------
    document_is_malformed, function_node_is_refused, node_kind_is_unknown
    policy_reads_an_unknown_field
        A name is no field or flag of the scene's event, no feature of an entity it names, and is
        given by no node; labels are not there to be read.
    """
    document = parse_document(source)
    compiled = compile_document(document, kinds)
    cause = f"policy.{name}@{version}"
    kind = KINDS[kind_now(scene)]
    fields = {one for one in kind.fields if one not in kind.labels}
    features = {one for one, feature in CATALOGUE.items() if feature.entity in kind.entities}
    versions = {"document": document.hash}
    lists: dict[str, str] = {}
    for node in compiled.nodes.values():
        if isinstance(node, Told):
            versions |= node.versions
            lists |= node.asks
    known = fields | features | FLAGS | {LISTED + one for one in lists} | given_by(compiled)
    unknown = {*compiled.reads, *lists.values()} - known
    if unknown:
        raise PolicyReadsAnUnknownField(
            policy=cause, fields=", ".join(sorted(unknown)), scene=scene
        )
    reads = tuple(sorted(compiled.reads & features))
    return CompiledPolicy(
        name=name,
        version=version,
        scene=scene,
        document=document,
        compiled=compiled,
        fails=fails,
        cause=cause,
        versions=MappingProxyType(versions),
        reads=reads,
        lists=MappingProxyType(lists),
        _tell=compiled.telling(frozenset(reads)),
    )


def given_by(compiled: Compiled) -> frozenset[str]:
    """Return the names that nodes of a document give to those behind them."""
    found: set[str] = set()
    for node in compiled.document.nodes:
        if not isinstance(node, TableNode | ExpressionNode | CustomNode):
            continue
        if node.shaping.output_path is not None:
            found.add(node.shaping.output_path.split(".")[0])
        elif isinstance(node, TableNode):
            found |= {output.path[0] for output in node.outputs}
        elif isinstance(node, ExpressionNode):
            found |= {entry.path[0] for entry in node.entries}
        else:
            found |= set(compiled.nodes[node.id].writes)
    return frozenset(found)


@dataclass(frozen=True, slots=True)
class Example:
    """A test case beside a policy.

    Attributes
    ----------
    name : what it shows
    values : fields, features and flags that are there; the others are missing
    outcome, reasons, limit_minor : what has to be said to them; reasons in their order
    """

    name: str
    values: Mapping[str, Value]
    outcome: str
    reasons: tuple[str, ...]
    limit_minor: int | None = None


def read_examples(source: str | bytes) -> tuple[Example, ...]:
    """Return the test cases of a JSON list.

    Examples
    --------
    >>> read_examples('[{"name": "a", "values": {"x": 1}, "outcome": "approve", "reasons": []}]')
    (Example(name='a', values={'x': 1}, outcome='approve', reasons=(), limit_minor=None),)
    """
    return tuple(
        Example(
            one["name"],
            one["values"],
            one["outcome"],
            tuple(one["reasons"]),
            one.get("limit_minor"),
        )
        for one in json.loads(source)
    )


def check_policy(policy: CompiledPolicy, examples: Sequence[Example]) -> tuple[str, ...]:
    """Return what is wrong with a policy, in words; nothing when it may be committed.

    Every example is judged as it says, twice the same, without a fault; an event of which all is
    missing gets an answer; every outcome is one of `OUTCOMES`, every reason has both texts.
    """
    wrong = [*_wrongly_said(policy)]
    known = {
        *KINDS[kind_now(policy.scene)].fields,
        *policy.reads,
        *FLAGS,
        *(LISTED + x for x in policy.lists),
    }
    if not examples:
        wrong.append("there is no example")
    for one in examples:
        judged = policy.judge(one.values)
        found = (judged.outcome, judged.reasons, judged.limit_minor)
        expected = (one.outcome, one.reasons, one.limit_minor)
        if found != expected:
            wrong.append(f"{one.name}: {_said(*found)} is said, not {_said(*expected)}")
        unknown = sorted(set(one.values) - known)
        if unknown:
            wrong.append(f"{one.name}: nothing reads {', '.join(unknown)}")
        if policy.judge(dict(reversed([*one.values.items()]))) != judged:
            wrong.append(f"{one.name}: asked again, it says something else")
    for judged in (policy.judge({}), *(policy.judge(one.values) for one in examples)):
        wrong += [f"there is no text for {code}" for code in judged.reasons if code not in REASONS]
        if FAILED in judged.reasons:
            wrong.append(f"it fails: {judged.trace[0][1]}")
    return tuple(dict.fromkeys(wrong))


def _said(outcome: str, reasons: Sequence[str], limit_minor: int | None) -> str:
    limit = "" if limit_minor is None else f" up to {limit_minor}"
    return f"{outcome}{limit} ({', '.join(reasons) or 'no reason'})"


def outcomes_of(policy: CompiledPolicy) -> frozenset[str]:
    """Return the outcomes that its tables and expressions name."""
    return _named(policy.document, ("outcome",))


def codes_of(policy: CompiledPolicy) -> frozenset[str]:
    """Return the reason codes that its tables, expressions and nodes name."""
    codes = {code for one in policy.compiled.nodes.values() if isinstance(one, Told)
             for code in one.codes}  # fmt: skip
    return _named(policy.document, ("reason", *REASON_NAMES)) | codes


def _wrongly_said(policy: CompiledPolicy) -> Iterator[str]:
    outcomes = outcomes_of(policy)
    if not outcomes:
        yield "it gives no outcome"
    for outcome in sorted(outcomes - _OUTCOMES):
        yield f"there is no outcome {outcome}"
    for code in sorted(codes_of(policy) - REASONS.keys()):
        yield f"there is no text for {code}"


def _named(document: Document, names: tuple[str, ...]) -> frozenset[str]:
    """Return the texts that a table or an expression can put under one of some names."""
    sources = []
    for node in document.nodes:
        if isinstance(node, TableNode):
            columns = [n for n, one in enumerate(node.outputs) if one.path[-1] in names]
            sources += [row.results[n] for row in node.rows for n in columns if row.results[n]]
        elif isinstance(node, ExpressionNode):
            sources += [entry.source for entry in node.entries if entry.path[-1] in names]
    return frozenset(text for source in sources for text in _given(parse(source)))


def _given(tree: Node) -> Iterator[str]:
    """Return the texts that a tree can come to; a condition's own are not among them."""
    tree = bare(tree)
    if isinstance(tree, Literal):
        if isinstance(tree.value, str):
            yield tree.value
    elif isinstance(tree, Conditional):
        yield from _given(tree.then)
        yield from _given(tree.otherwise)
    elif isinstance(tree, Array | Call) or (isinstance(tree, Binary) and tree.operator == "??"):
        for one in children(tree):
            yield from _given(one)
