"""Champion and challenger: two versions judge, each its share of the subjects, until one is better.

Who is judged by which is an experiment: dealt by a stable hash, started by two people, tested at
any look. A subject counts from its first decision on for a fixed time, and its outcome is written
down when labels had their time to come: then what nobody reported was honest.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.decisions.model.decision import LETS_PASS, Decision
from steelyard.decisions.model.lifecycle import (
    ChallengeIsMalformed,
    ChallengeIsUnknown,
    ChallengeRuns,
    PolicyIsActive,
)
from steelyard.decisions.model.roster import ACTIVE, CHALLENGER
from steelyard.decisions.service.policies import (
    milliseconds,
    raise_roster,
    read_stand,
    read_version,
)
from steelyard.decisions.store import challenges as table
from steelyard.decisions.store import policies as policy_table
from steelyard.decisions.store import shadows as log_table
from steelyard.decisions.store.challenges import Challenge, Due
from steelyard.decisions.store.policies import Stand
from steelyard.experiments import (
    Arm,
    Better,
    Draft,
    Experiment,
    Metric,
    MetricKind,
    Results,
    State,
    designs,
    observations,
    refusals,
)
from steelyard.parties import approvals

FRAUD = Metric("fraud_passed", MetricKind.PROPORTION, Better.LOWER)
"""Whether anything of the subject was let pass that turned out bad; this decides."""
DISTURBED = Metric("disturbed", MetricKind.PROPORTION, Better.LOWER)
"""Whether anything of the subject was not let pass that did not turn out bad."""
LOST = Metric("lost_minor", MetricKind.MEAN, Better.LOWER)
"""The amount, in minor units of whatever currency, that was let pass and turned out bad."""
WATCHED = timedelta(days=7)
DELAY = timedelta(days=7)
START_REFUSALS = (
    ChallengeIsMalformed,
    refusals.ExperimentIsMalformed,
    refusals.ExperimentIsUnknown,
    refusals.ExperimentIsNotDraft,
    refusals.ExperimentIsOver,
    refusals.SlotsAreTaken,
)
END_REFUSALS = (refusals.ExperimentIsUnknown, refusals.ExperimentIsNotRunning)
"""What the experiment can refuse, beside the challenge itself."""
STEP = 1_000
SETTLED_AT_ONCE = 200
_MOST_UNITS = 500


@dataclass(frozen=True, slots=True)
class Terms:
    """How a challenge is run.

    Attributes
    ----------
    weight_bp : share of the subjects that the challenger judges, in basis points
    watched, delay : how long a subject counts, and how long labels are waited for after that
    planned_units : where the test is sharpest
    """

    weight_bp: int = 1_000
    watched: timedelta = WATCHED
    delay: timedelta = DELAY
    planned_units: int = 10_000


def request_challenge(
    unit: UnitOfWork, scene: str, version: int, terms: Terms
) -> approvals.Approval:
    """Draft a challenge of the active version, and ask for a second person's yes to its start.

    Refusals
    --------
    scene_is_unknown, policy_version_is_unknown, policy_is_active, challenge_runs,
    challenge_is_malformed and those of `experiments.designs.draft_experiment`
    """
    policy_table.hold_scene(unit.connection, scene)
    committed = read_version(unit.connection, scene, version)
    stand = read_stand(unit.connection, scene)
    if stand.active == version:
        raise PolicyIsActive(scene=scene, version=version)
    if stand.challenger is not None:
        raise ChallengeRuns(scene=scene, version=stand.challenger)
    if not 1 <= terms.weight_bp <= 9_999:
        raise ChallengeIsMalformed(what="the weight has to be 1 to 9,999 basis points")
    if not timedelta(0) < terms.watched <= timedelta(days=366) or not (
        timedelta(0) <= terms.delay <= timedelta(days=366)
    ):
        raise ChallengeIsMalformed(what="a subject is watched, and waited for, up to a year")
    draft = Draft(
        name=f"policy_{scene}",
        hypothesis=(
            f"{committed.cause} lets less fraud pass than policy.{scene}@{stand.active}, watched"
            f" for {terms.watched} and waited for {terms.delay}."
        ),
        unit="subject",
        arms=(Arm(ACTIVE, 10_000 - terms.weight_bp), Arm(CHALLENGER, terms.weight_bp)),
        metrics=(FRAUD, DISTURBED, LOST),
        layer=f"policy_{scene}",
        # Another challenger deals the subjects anew; the same one again does not.
        salt=f"policy_{scene}_{version}_{stand.active}",
        planned_units=terms.planned_units,
    )
    experiment = designs.draft_experiment(unit, draft)
    table.insert(
        unit.connection,
        Challenge(
            experiment.name,
            experiment.version,
            scene,
            version,
            stand.active,
            terms.watched // timedelta(milliseconds=1),
            terms.delay // timedelta(milliseconds=1),
            log_table.head(unit.connection),
        ),
    )
    return designs.request_start(unit, experiment.name, experiment.version)


def start_challenge(unit: UnitOfWork, scene: str, version: int, *, approval: UUID) -> Experiment:
    """Let a challenger judge its share, as two people want it.

    Refusals
    --------
    scene_is_unknown, challenge_runs
    challenge_is_unknown : it was not drafted against the version that is active now
    and those of `experiments.designs.start_experiment`
    """
    policy_table.hold_scene(unit.connection, scene)
    stand = read_stand(unit.connection, scene)
    if stand.challenger is not None:
        raise ChallengeRuns(scene=scene, version=stand.challenger)
    drafted = table.newest(unit.connection, scene)
    if drafted is None or (drafted.challenger, drafted.against) != (version, stand.active):
        raise ChallengeIsUnknown(scene=scene)
    experiment = designs.start_experiment(
        unit, drafted.experiment, drafted.experiment_version, approval=approval
    )
    head = log_table.head(unit.connection)
    assert table.move(unit.connection, drafted, head), "the scene is held"
    policy_table.put_stand(
        unit.connection,
        Stand(scene, stand.active, version, drafted.experiment, drafted.experiment_version),
    )
    log_table.end(unit.connection, scene, version, now=unit.now)
    raise_roster(unit)
    audit(
        unit,
        action="decisions.start_challenge",
        subject=f"policy:{scene}@{version}",
        detail={"experiment": f"{experiment.name}@{experiment.version}"},
    )
    return experiment


def request_end(unit: UnitOfWork, scene: str) -> approvals.Approval:
    """Ask for a second person's yes to ending a challenge without a promotion.

    Refusals
    --------
    scene_is_unknown, challenge_is_unknown and those of `experiments.designs.request_stop`
    """
    name, number = _running(unit.connection, scene)
    return designs.request_stop(unit, name, number)


def end_challenge(unit: UnitOfWork, scene: str, *, approval: UUID) -> Experiment:
    """Let the active version judge all again, as two people want it.

    Refusals
    --------
    scene_is_unknown, challenge_is_unknown and those of `experiments.designs.stop_experiment`
    """
    policy_table.hold_scene(unit.connection, scene)
    name, number = _running(unit.connection, scene)
    stopped = designs.stop_experiment(unit, name, number, approval=approval)
    _leave(unit, scene)
    return stopped


def _running(connection: sa.Connection, scene: str) -> tuple[str, int]:
    stand = read_stand(connection, scene)
    if stand.experiment is None or stand.experiment_version is None:
        raise ChallengeIsUnknown(scene=scene)
    return stand.experiment, stand.experiment_version


def _leave(unit: UnitOfWork, scene: str) -> None:
    stand = read_stand(unit.connection, scene)
    policy_table.put_stand(unit.connection, Stand(scene, stand.active))
    raise_roster(unit)
    subject = f"policy:{scene}@{stand.challenger}"
    audit(unit, action="decisions.end_challenge", subject=subject)


@dataclass(frozen=True, slots=True)
class ChallengeReport:
    """A challenge, and what it says so far."""

    challenge: Challenge
    state: State
    results: Results


def report_challenge(connection: sa.Connection, scene: str, *, as_of: datetime) -> ChallengeReport:
    """Return what the newest challenge of a scene says at an instant.

    Refusals
    --------
    challenge_is_unknown
    """
    found = table.newest(connection, scene)
    if found is None:
        raise ChallengeIsUnknown(scene=scene)
    name, version = found.experiment, found.experiment_version
    experiment = designs.read_experiment(connection, name, version)
    results = observations.read_results(connection, name, version, as_of=as_of)
    return ChallengeReport(found, experiment.state, results)


# -- behind the owner -----------------------------------------------------------------------------


def challenges_with_work(connection: sa.Connection) -> list[Challenge]:
    """Return the challenges that have something to be read or settled."""
    return table.with_work(connection)


def expose_judged(unit: UnitOfWork, challenge: Challenge) -> int:
    """Expose the subjects of the next decisions to their arms; return how many decisions.

    A challenge whose experiment was stopped elsewhere is left.
    """
    scene = challenge.scene
    experiment = designs.read_experiment(
        unit.connection, challenge.experiment, challenge.experiment_version
    )
    if experiment.state is not State.RUNNING:
        policy_table.hold_scene(unit.connection, scene)
        if read_stand(unit.connection, scene).experiment_version == experiment.version:
            _leave(unit, scene)
        return 0
    upto = log_table.head(unit.connection)
    read = log_table.read_behind(unit.connection, scene, challenge.cursor, upto=upto, limit=STEP)
    cursor = read[-1].number if len(read) == STEP else upto
    if cursor == challenge.cursor or not table.move(unit.connection, challenge, cursor):
        return 0
    firsts: dict[str, Due] = {}
    for number, decision in read:
        if decision.versions.get("arm") in (ACTIVE, CHALLENGER):
            due = Due(decision.subject, number, decision.asked.at_ms)
            firsts.setdefault(decision.subject, due)
    subjects = sorted(firsts)
    for start in range(0, len(subjects), _MOST_UNITS):
        part = subjects[start : start + _MOST_UNITS]
        observations.expose(unit, challenge.experiment, part)
    if subjects:
        table.enter(unit.connection, challenge, [firsts[one] for one in subjects])
    return len(read)


def settle_due(unit: UnitOfWork, challenge: Challenge) -> int:
    """Write the outcomes of subjects down whose time is over; return how many they were."""
    whole_ms = challenge.watched_ms + challenge.delay_ms
    before_ms = milliseconds(unit.now) - whole_ms
    dues = table.due(unit.connection, challenge, before_ms=before_ms, limit=SETTLED_AT_ONCE)
    if not dues:
        return 0
    decided = defaultdict(list)
    last_ms = {one.subject: one.first_at_ms + challenge.watched_ms for one in dues}
    for subject, decision in table.decisions_on(unit.connection, challenge.scene, dues):
        if decision.asked.at_ms < last_ms[subject]:
            decided[subject].append(decision)
    events = [one.asked.id for some in decided.values() for one in some]
    bad = table.labelled(
        unit.connection, challenge.scene, events, told_by_ms=milliseconds(unit.now)
    )
    outcomes: dict[str, list[tuple[str, int]]] = {FRAUD.name: [], DISTURBED.name: [], LOST.name: []}
    for due in dues:
        for name, value in outcomes_of(decided[due.subject], bad).items():
            outcomes[name].append((due.subject, value))
    for name, values in outcomes.items():
        observations.record_outcomes(
            unit, challenge.experiment, challenge.experiment_version, name, values
        )
    table.settle(unit.connection, challenge, [one.subject for one in dues])
    return len(dues)


def outcomes_of(decisions: list[Decision], bad: Mapping[str, bool]) -> dict[str, int]:
    """Return what became of a subject, by metric.

    Parameters
    ----------
    decisions : on the subject while it was watched
    bad : of events by id; one that is not there was honest
    """
    fraud = disturbed = lost = 0
    for one in decisions:
        is_bad = bad.get(one.asked.id, False)
        if one.outcome in LETS_PASS:
            if is_bad:
                amount = one.asked.fields.get("amount_minor")
                whole = amount if type(amount) is int else 0
                fraud = 1
                lost += whole if one.limit_minor is None else min(whole, one.limit_minor)
        elif not is_bad:
            disturbed = 1
    return {FRAUD.name: fraud, DISTURBED.name: disturbed, LOST.name: lost}
