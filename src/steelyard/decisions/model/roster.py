"""The roster: which policy judges whom now, without which rules, and what stands on the lists.

It is a frozen picture of what people have decided about policies. The owner asks it for every
question and takes a newer one when its version is behind; what it said is recorded with the
decision, so that a replay needs no roster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple, Never

from steelyard.decisions.model.budget import Budget
from steelyard.decisions.model.compile import Kinds, Prepared, compile_document
from steelyard.decisions.model.decision import Value, instant
from steelyard.decisions.model.document import CustomNode, Document, TableNode
from steelyard.decisions.model.policy import LISTED, CompiledPolicy
from steelyard.experiments import Experiment
from steelyard.kernel import Refusal

ACTIVE = "active"
CHALLENGER = "challenger"
"""The arms of a challenge, and what a decision's versions have under `arm`."""
DEFAULT_BUDGET = Budget("*", window=1_000, most_bp=2_500, resume_bp=1_000, fewest=200)
"""Of every rule of a delivered policy: a quarter of a thousand decisions turned down is sudden."""
NOBODY = "nobody:unknown"
"""The subject of a question that names none; no experiment deals it."""
_MOST_VARIANTS = 256


class Chosen(NamedTuple):
    """What judges a question.

    Attributes
    ----------
    policy : leaves out already what is switched off
    versions : what the decision records beside the policy's own: `arm`, `without`, `killed`
    """

    policy: CompiledPolicy
    versions: Mapping[str, str]


class Switch(NamedTuple):
    """A thrown kill switch: what it switches off (`scene:<name>`, `policy:<name>@<version>`)."""

    subject: str
    until_ms: int | None


class Snooze(NamedTuple):
    """A rule (`node/row`) that is left out for a subject, before an instant."""

    rule: str
    until_ms: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How a scene stands.

    Attributes
    ----------
    active : judges whoever no challenger judges
    challenger, experiment : judges the subjects of its arm; both or neither
    shadows : are judged behind the owner; what they read is recorded
    stopped : rules `node/row` that take no effect for anybody
    snoozes : by subject
    switches : those that are thrown
    budget : of every rule of the scene; None where no rule is stopped by itself
    """

    active: CompiledPolicy
    challenger: CompiledPolicy | None = None
    experiment: Experiment | None = None
    shadows: tuple[CompiledPolicy, ...] = ()
    stopped: frozenset[str] = frozenset()
    snoozes: Mapping[str, tuple[Snooze, ...]] = field(default_factory=dict)
    switches: tuple[Switch, ...] = ()
    budget: Budget | None = DEFAULT_BUDGET

    def __post_init__(self) -> None:
        assert (self.challenger is None) == (self.experiment is None)

    @property
    def judging(self) -> tuple[CompiledPolicy, ...]:
        """The policies whose word counts, the active one first."""
        return (self.active,) if self.challenger is None else (self.active, self.challenger)

    @property
    def policies(self) -> tuple[CompiledPolicy, ...]:
        """Every policy that has a part, the active one first."""
        return (*self.judging, *self.shadows)


@dataclass(frozen=True, slots=True, eq=False)
class Roster:
    """Who judges whom; see the head of the module.

    Attributes
    ----------
    version : grows with every change
    standings : by scene
    lists : of each kept list, until when each value stands on it, in milliseconds; None: for good
    """

    version: int
    standings: Mapping[str, Standing]
    lists: Mapping[str, Mapping[str, int | None]]
    _same: dict[str, Chosen] = field(init=False, repr=False)
    _reads: dict[str, tuple[str, ...]] = field(init=False, repr=False)
    _asks: dict[str, dict[str, str]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        same, reads = {}, {}
        asks: dict[str, dict[str, str]] = {}
        for scene, standing in self.standings.items():
            reads[scene] = tuple(sorted({x for one in standing.policies for x in one.reads}))
            asks[scene] = {}
            for one in reversed(standing.policies):
                asks[scene] |= one.lists
            # Variants are compiled here, so that no question waits for one.
            for policy in standing.judging:
                for snoozes in standing.snoozes.values():
                    _chosen(policy, {}, standing.stopped | {one.rule for one in snoozes})
                plain = _chosen(policy, {}, standing.stopped)
            if standing.challenger is None and not standing.snoozes and not standing.switches:
                same[scene] = plain
        object.__setattr__(self, "_same", same)
        object.__setattr__(self, "_reads", reads)
        object.__setattr__(self, "_asks", asks)

    @classmethod
    def of(cls, policies: Mapping[str, CompiledPolicy]) -> Roster:
        """Return the roster of version 0: each policy judges its scene, and the lists are empty."""
        return cls(0, {scene: Standing(policy) for scene, policy in policies.items()}, {})

    @classmethod
    def delivered(cls) -> Roster:
        """Return the roster of the delivered policies, for where none are installed."""
        from steelyard.decisions.scenes import delivered_policies

        return cls.of(delivered_policies())

    @property
    def scenes(self) -> Collection[str]:
        """The scenes that have a standing."""
        return self.standings.keys()

    def choose(self, scene: str, subject: str, now_ms: int) -> Chosen:
        """Return what judges a question of a subject at a business instant, the same each time.

        Parameters
        ----------
        scene : that has a standing
        subject : whom the question is about, `noun:id`
        """
        same = self._same.get(scene)
        return self._weighed(scene, subject, now_ms) if same is None else same

    def flags(
        self, policy: CompiledPolicy, fields: Mapping[str, Value], now_ms: int
    ) -> dict[str, bool]:
        """Return `list_<name>` true for each kept list that a field of the event stands on.

        Asked are the lists of every policy of the scene: what a shadow reads is recorded, too.
        """
        found = {}
        for name, looked in self._asks[policy.scene].items():
            entries = self.lists.get(name)
            if entries:
                value = fields.get(looked)
                if type(value) is str and value in entries:
                    until_ms = entries[value]
                    if until_ms is None or now_ms < until_ms:
                        found[LISTED + name] = True
        return found

    def reads(self, scene: str) -> tuple[str, ...]:
        """Return the features that any policy of a scene reads, in alphabetical order."""
        return self._reads[scene]

    def _weighed(self, scene: str, subject: str, now_ms: int) -> Chosen:
        standing = self.standings[scene]
        policy, versions = standing.active, dict[str, str]()
        off = {s.subject for s in standing.switches if s.until_ms is None or now_ms < s.until_ms}
        arm = _arm(standing, subject, now_ms)
        if arm is not None:
            versions["arm"] = arm
            if arm == CHALLENGER and standing.challenger is not None:
                if _switch_of(standing.challenger) in off:
                    versions["arm"] = f"{ACTIVE}, for {CHALLENGER}"
                else:
                    policy = standing.challenger
        for switch in (f"scene:{scene}", _switch_of(policy)):
            if switch in off:
                return Chosen(switched_off(policy, switch), {**versions, "killed": switch})
        snoozed = {one.rule for one in standing.snoozes.get(subject, ()) if now_ms < one.until_ms}
        return _chosen(policy, versions, standing.stopped | snoozed)


def _arm(standing: Standing, subject: str, now_ms: int) -> str | None:
    """Return the arm of a subject while a challenge runs; who is no unit has none."""
    experiment = standing.experiment
    if experiment is None or subject == NOBODY or not experiment.assigns_at(instant(now_ms)):
        return None
    try:
        return experiment.arm_of(subject)
    except Refusal:
        return None


def _switch_of(policy: CompiledPolicy) -> str:
    return f"policy:{policy.name}@{policy.version}"


def _chosen(policy: CompiledPolicy, versions: Mapping[str, str], rules: Iterable[str]) -> Chosen:
    without = ",".join(sorted(set(rules) & rules_of(policy).keys()))
    if not without:
        return Chosen(policy, MappingProxyType(dict(versions)))
    return Chosen(variant(policy, without), {**versions, "without": without})


# -- policies with something left out ----------------------------------------------------------


def rules_of(policy: CompiledPolicy) -> Mapping[str, bool]:
    """Return the rules of a policy, `node/row`, and whether each names a reason.

    A rule is a row of a table that has a condition. A row without one, or the last one where the
    first hit counts, is the default of its table and cannot be left out. Rules that name a reason
    are what a budget guards.
    """
    key = _key(policy, "rules")
    found = _RULES.get(key)
    if found is None:
        found = _RULES[key] = MappingProxyType(
            {
                f"{node.id}/{row.id}": any(
                    cell and output.path[-1] in ("reason", "reasons")
                    for output, cell in zip(node.outputs, row.results, strict=True)
                )
                for node in policy.document.nodes
                if isinstance(node, TableNode)
                for row in node.rows
                if any(row.conditions) and (node.collect or row is not node.rows[-1])
            }
        )
        _trim(_RULES)
    return found


def variant(policy: CompiledPolicy, without: str) -> CompiledPolicy:
    """Return a policy compiled without some of its rules; the same name, version and hash.

    Parameters
    ----------
    without : rules `node/row` with commas between, as `versions` of a decision have them; what is
        no rule of the policy is left alone
    """
    if not without:
        return policy
    key = _key(policy, without)
    found = _VARIANTS.get(key)
    if found is None:
        found = _VARIANTS[key] = _without(policy, frozenset(without.split(",")))
        _trim(_VARIANTS)
    return found


def switched_off(policy: CompiledPolicy, switch: str) -> CompiledPolicy:
    """Return a policy that says its fault mode to everything, because a switch was thrown.

    Returns
    -------
    CompiledPolicy
        Its decisions are degraded by `SwitchedOff: <switch>`.
    """

    def refuse(values: object) -> Never:
        raise SwitchedOff(switch)

    return replace(policy, _tell=refuse)


class SwitchedOff(Exception):
    """A kill switch was thrown: what it switches off is not asked."""


def _without(policy: CompiledPolicy, rules: frozenset[str]) -> CompiledPolicy:
    document = policy.document
    nodes = tuple(
        replace(node, rows=tuple(row for row in node.rows if f"{node.id}/{row.id}" not in rules))
        if isinstance(node, TableNode)
        else node
        for node in document.nodes
    )
    # Hash and content stay those of what was committed: `without` says the rest.
    left = Document(nodes, document.edges, document.content, document.hash)
    compiled = compile_document(left, _Known.kinds(policy))
    tell = compiled.telling(frozenset(policy.reads))
    return replace(policy, compiled=compiled, _tell=tell)


@dataclass(frozen=True, slots=True)
class _Known:
    """Gives the nodes that were prepared when the policy was made: they are left as they are."""

    nodes: Mapping[str, Prepared]

    def prepare(self, node: CustomNode) -> Prepared:
        return self.nodes[node.id]

    @classmethod
    def kinds(cls, policy: CompiledPolicy) -> Kinds:
        known = cls(policy.compiled.nodes)
        return {n.kind: known for n in policy.document.nodes if isinstance(n, CustomNode)}


_Key = tuple[str, frozenset[tuple[str, str]], str]
_RULES: dict[_Key, Mapping[str, bool]] = {}
_VARIANTS: dict[_Key, CompiledPolicy] = {}


def _key(policy: CompiledPolicy, what: str) -> _Key:
    return policy.cause, frozenset(policy.versions.items()), what


def _trim(kept: dict[_Key, Mapping[str, bool]] | dict[_Key, CompiledPolicy]) -> None:
    while len(kept) > _MOST_VARIANTS:
        del kept[next(iter(kept))]
