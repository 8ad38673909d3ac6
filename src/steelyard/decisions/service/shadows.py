"""Shadow runs: a version is asked what it would have said, behind the owner, and nobody heeds it.

It reads the log behind a cursor and judges what each decision recorded, so that what it says is a
function of the record. While it runs, what it reads is recorded with every decision; over the
past, it is said how often a value was not there because nobody had asked for it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.decisions.model.decision import LETS_PASS, Decision, Judgement
from steelyard.decisions.model.guards import TURNED_DOWN, hits_of
from steelyard.decisions.model.lifecycle import PolicyIsActive, ShadowIsUnknown, ShadowRuns
from steelyard.decisions.model.policy import LISTED, CompiledPolicy
from steelyard.decisions.service.engine import inputs_of
from steelyard.decisions.service.policies import (
    compiled_policy,
    policy_of,
    raise_roster,
    read_stand,
    read_version,
)
from steelyard.decisions.store import guards as guard_table
from steelyard.decisions.store import policies as policy_table
from steelyard.decisions.store import shadows as table
from steelyard.decisions.store.guards import StoppedRule
from steelyard.decisions.store.shadows import Difference, Shadow, Swap, Tally
from steelyard.features import catalogue

STEP = 1_000
"""How many decisions a shadow is asked about in one transaction."""
MOST_DIFFERENCES = 10_000
"""How many differences of a run are kept one by one; the tallies go on."""


def start_shadow(
    unit: UnitOfWork, scene: str, version: int, *, since: datetime | None = None
) -> Shadow:
    """Run a version in the shadow; what an earlier run of it found is thrown away.

    Parameters
    ----------
    since : it is asked about the decisions on events from then on, too; None: those to come

    Refusals
    --------
    scene_is_unknown, policy_version_is_unknown, policy_is_active, shadow_runs
    """
    policy_table.hold_scene(unit.connection, scene)
    read_version(unit.connection, scene, version)
    if read_stand(unit.connection, scene).active == version:
        raise PolicyIsActive(scene=scene, version=version)
    known = table.find(unit.connection, scene, version)
    if known is not None and known.ended_at is None:
        raise ShadowRuns(scene=scene, version=version)
    head = table.head(unit.connection)
    cursor = head if since is None else table.number_at(unit.connection, since)
    shadow = Shadow(scene, version, cursor + 1, cursor, head + 1, unit.actor, unit.now)
    table.start(unit.connection, shadow)
    raise_roster(unit)
    detail = {"first_number": shadow.first_number}
    audit(unit, action="decisions.start_shadow", subject=f"policy:{scene}@{version}", detail=detail)
    return shadow


def stop_shadow(unit: UnitOfWork, scene: str, version: int) -> None:
    """End a shadow run; what it found stays to be read.

    Refusals
    --------
    shadow_is_unknown
    """
    policy_table.hold_scene(unit.connection, scene)
    if not table.end(unit.connection, scene, version, now=unit.now):
        raise ShadowIsUnknown(scene=scene, version=version)
    raise_roster(unit)
    audit(unit, action="decisions.stop_shadow", subject=f"policy:{scene}@{version}")


def running_shadows(connection: sa.Connection) -> list[Shadow]:
    """Return the shadows that run."""
    return table.running(connection)


def judge_as_it_was(policy: CompiledPolicy, decision: Decision) -> Judgement:
    """Return what a policy says to what a decision recorded."""
    asked = decision.asked
    fields = catalogue.complete(asked.scene, asked.at_ms, asked.fields)
    return policy.judge(inputs_of(fields, decision.values, decision.flags))


def ask_shadow(unit: UnitOfWork, scene: str, version: int) -> int:
    """Ask a shadow about the next decisions behind its cursor; return how many there were."""
    shadow = table.find(unit.connection, scene, version)
    if shadow is None or shadow.ended_at is not None:
        return 0
    upto = table.head(unit.connection)
    read = table.read_behind(unit.connection, scene, shadow.cursor, upto=upto, limit=STEP)
    cursor = read[-1].number if len(read) == STEP else upto
    if cursor == shadow.cursor or not table.move(unit.connection, shadow, cursor):
        return 0
    policy = compiled_policy(unit.connection, read_version(unit.connection, scene, version))
    cells: Counter[tuple[str, str]] = Counter()
    unrecorded: Counter[tuple[str, str]] = Counter()
    lacks: Counter[str] = Counter()
    differences = []
    for number, decision in read:
        judged = judge_as_it_was(policy, decision)
        cell = decision.outcome, judged.outcome
        cells[cell] += 1
        lacking = _lacking(unit.connection, policy, decision)
        if number >= shadow.live_from:
            lacking = {one for one in lacking if not one.startswith(LISTED)}
        unrecorded[cell] += bool(lacking)
        lacks.update(lacking)
        if judged.outcome != decision.outcome:
            differences.append(Difference(decision.id, *cell, judged.score, judged.reasons, number))
    room = max(0, MOST_DIFFERENCES - table.count_differences(unit.connection, shadow))
    tallies = [Tally(*cell, count, unrecorded[cell]) for cell, count in sorted(cells.items())]
    table.add(unit.connection, shadow, tallies, lacks, differences[:room])
    return len(read)


def _lacking(connection: sa.Connection, policy: CompiledPolicy, decision: Decision) -> set[str]:
    """Return the features and lists that a policy reads and that nobody had asked for."""
    lacking = {name for name in policy.reads if name not in decision.values}
    if policy.lists:
        asked = policy_of(connection, decision.cause).lists
        lacking |= {LISTED + name for name in policy.lists if name not in asked}
    return lacking


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """What a shadow run found.

    Attributes
    ----------
    decisions : asked about; agreeing : with the same outcome
    unrecorded : of them lacked a value that the shadow reads
    tallies : by what was said and what would have been
    lacks : in how many decisions each value was not recorded
    swaps : the cells in which they differ, as far as labels are known
    """

    shadow: Shadow
    decisions: int
    agreeing: int
    unrecorded: int
    tallies: tuple[Tally, ...]
    lacks: dict[str, int]
    swaps: tuple[Swap, ...]

    @property
    def said(self) -> dict[str, int]:
        """Decisions by the outcome that was said."""
        return self._shares(0)

    @property
    def would_say(self) -> dict[str, int]:
        """Decisions by the outcome that the shadow would have said."""
        return self._shares(1)

    @property
    def swapped_in(self) -> int:
        """Decisions that the shadow would have let pass, and that were not."""
        return sum(
            one.decisions
            for one in self.tallies
            if one.would_say in LETS_PASS and one.said not in LETS_PASS
        )

    @property
    def swapped_out(self) -> int:
        """Decisions that were let pass, and that the shadow would not have."""
        return sum(
            one.decisions
            for one in self.tallies
            if one.said in LETS_PASS and one.would_say not in LETS_PASS
        )

    def _shares(self, side: int) -> dict[str, int]:
        found: Counter[str] = Counter()
        for one in self.tallies:
            found[(one.said, one.would_say)[side]] += one.decisions
        return dict(found)


def report_shadow(connection: sa.Connection, scene: str, version: int) -> ShadowReport:
    """Return what a shadow has found so far, or found until it ended.

    Refusals
    --------
    shadow_is_unknown : it never ran
    """
    shadow = table.find(connection, scene, version)
    if shadow is None:
        raise ShadowIsUnknown(scene=scene, version=version)
    tallies = table.tallies(connection, scene, version)
    return ShadowReport(
        shadow,
        decisions=sum(one.decisions for one in tallies),
        agreeing=sum(one.decisions for one in tallies if one.said == one.would_say),
        unrecorded=sum(one.unrecorded for one in tallies),
        tallies=tuple(tallies),
        lacks=table.lacks(connection, scene, version),
        swaps=tuple(table.swaps(connection, scene, version)),
    )


def list_differences(
    connection: sa.Connection, scene: str, version: int, *, before: int = 2**62, limit: int = 50
) -> list[Difference]:
    """Return the newest decisions to which a shadow would have said something else."""
    return table.differences(connection, scene, version, before=before, limit=limit)


def observe_stopped(unit: UnitOfWork, stopped: StoppedRule) -> int:
    """Note what a stopped rule would have done in the next decisions; return how many there were.

    The policy that judged is asked with all its rules.
    """
    scene, rule = stopped.scene, stopped.rule
    upto = table.head(unit.connection)
    read = table.read_behind(unit.connection, scene, stopped.cursor, upto=upto, limit=STEP)
    cursor = read[-1].number if len(read) == STEP else upto
    if cursor == stopped.cursor:
        return 0
    seen = hits = 0
    for _, decision in read:
        if rule in decision.versions.get("without", "").split(","):
            seen += 1
            whole = judge_as_it_was(policy_of(unit.connection, decision.cause), decision)
            hits += whole.outcome in TURNED_DOWN and rule in hits_of(whole.trace)
    guard_table.observe_stopped(unit.connection, stopped, cursor=cursor, seen=seen, hits=hits)
    return len(read)
