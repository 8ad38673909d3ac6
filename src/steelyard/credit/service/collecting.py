"""The run of collections: spells begin and end, contacts are planned and sent, cases opened.

A contact is planned in one transaction and its message sent after it, while its hour lasts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from uuid import UUID

from steelyard.base import Database, UnitOfWork
from steelyard.base.crypto import Keyring
from steelyard.base.jobs import Every, JobContext, job
from steelyard.cases import CaseKind, closing, open_case
from steelyard.cases import registry as case_registry
from steelyard.credit.model.collection import (
    OUTCOME_DAYS,
    Contact,
    ContactResult,
    Episode,
    EpisodeState,
)
from steelyard.credit.model.loan import LoanState
from steelyard.credit.model.message import AddressIsMissing, MessageGateway
from steelyard.credit.model.strategy import (
    STEADY,
    STRATEGIES,
    Made,
    Planned,
    Situation,
    Strategy,
    forbidden,
    next_acts,
    wants_case,
)
from steelyard.credit.service import books, messages
from steelyard.credit.service.collections import (
    contacted,
    in_force,
    note,
    sending_of,
    situations,
)
from steelyard.credit.service.outside_facts import CollectionEnded, CollectionStarted
from steelyard.credit.service.promises import judge_promises
from steelyard.credit.store import collections as table
from steelyard.credit.store import loans as loan_table
from steelyard.experiments import Arm, Better, Draft, Metric, MetricKind, observations
from steelyard.experiments import refusals as experiment_refusals

__all__ = [
    "COLLECTION",
    "STRATEGY_TEST",
    "Collected",
    "collect",
    "collect_late_loans",
    "draft_strategy_test",
    "send_planned",
]

STRATEGY_TEST = "collection_strategy"
"""Name of the experiment that chooses a strategy; without one that runs, everybody has `STEADY`."""
CURED = "cured_30d"
COLLECTION = case_registry.register_kind(
    CaseKind(
        "credit.collection",
        "Collection of a late loan",
        "逾期贷款催收",
        case_registry.Sla(timedelta(hours=45), case_registry.WorkingHours("CN", "Asia/Shanghai")),
        (
            case_registry.CaseOutcome("cured", "Nothing is late any more", "已结清逾期"),
            case_registry.CaseOutcome("ended", "Left the books otherwise", "以其他方式结束"),
            case_registry.CaseOutcome("plan", "A plan was agreed", "已达成还款方案"),
            case_registry.CaseOutcome("unreachable", "Nobody can be reached", "无法联系"),
            case_registry.CaseOutcome("legal", "Handed to the courts", "移交诉讼"),
        ),
        skill="credit.collect",
        rises_at=(3,),
    )
)
_CHUNK = 100
_ACTOR = "system:collections"


@dataclass(frozen=True, slots=True)
class Collected:
    """What a run did.

    Attributes
    ----------
    started, ended : spells; planned, sent : contacts and their messages; cases : opened
    judged : promises; told : outcomes that the experiment was told
    """

    started: int = 0
    ended: int = 0
    planned: int = 0
    sent: int = 0
    cases: int = 0
    judged: int = 0
    told: int = 0


def collect(
    database: Database, keyring: Keyring, gateway: MessageGateway | None, *, actor: str = _ACTOR
) -> Collected:
    """Run collections once: spells begin and end, contacts are planned and sent, cases opened.

    Run again it does what is left to do and nothing twice. In chunks, each its own transaction.

    Parameters
    ----------
    gateway : None: contacts are planned, and sent by a later run within the hours

    Refusals
    --------
    lender_is_unknown
    """
    ended = _drain(_end_some, database, actor)
    started = _drain(_start_some, database, actor)
    database.transact(lambda unit: table.note_worst(unit.connection), actor=actor)
    told = _drain(_tell_some, database, actor)
    judged = _judge(database, actor)
    planned = cases = after = 0
    while True:
        plan = partial(_plan_some, after=after)
        found = database.transact(plan, actor=actor)
        if found is None:
            break
        after, planned, cases = found[0], planned + found[1], cases + found[2]
    sent = 0 if gateway is None else send_planned(database, keyring, gateway, actor=actor)
    return Collected(started, ended, planned, sent, cases, judged, told)


@job("credit.collect", schedule=Every(timedelta(minutes=10)))
def collect_late_loans(context: JobContext) -> None:
    """Collect; by the real clock, because allowed hours come at other instants in other zones."""
    with context.database.reading() as connection:
        if not books.lenders(connection):
            return
    collect(
        context.database,
        context.platform.keyring,
        getattr(context.platform, "message_gateway", None),
    )


def _judge(database: Database, actor: str) -> int:
    """Judge every open promise by what was paid, and return how many were settled."""
    judged = after = 0
    while True:
        work = partial(judge_promises, after=after)
        settled, after = database.transact(work, actor=actor)
        judged += settled
        if after == 0:
            return judged


def _drain(work: Callable[[UnitOfWork], int], database: Database, actor: str) -> int:
    done = 0
    while True:
        some = database.transact(work, actor=actor)
        done += some
        if some < _CHUNK:
            return done


def _start_some(unit: UnitOfWork) -> int:
    late = table.late_without_episode(unit.connection, limit=_CHUNK)
    on = books.business_on(unit.connection) if late else date.min
    for one in late:
        strategy, version = _strategy_for(unit, one.party)
        episode = Episode(
            id=unit.new_id(),
            nr=one.nr,
            loan=one.loan,
            party=one.party,
            opened_on=on,
            strategy=strategy.name,
            experiment=None if version is None else STRATEGY_TEST,
            experiment_version=version,
            worst_dpd=one.dpd,
            state=EpisodeState.OPEN,
            ended_on=None,
            outcome_on=None,
            case_id=None,
            version=1,
        )
        if table.insert_episode(unit.connection, episode):
            fact = CollectionStarted(
                episode=episode.id,
                loan=one.loan,
                party=one.party,
                strategy=strategy.name,
                dpd=one.dpd,
            )
            unit.record(fact, subject=_episode_subject(episode.id))
    return len(late)


def _strategy_for(unit: UnitOfWork, party: UUID) -> tuple[Strategy, int | None]:
    """Return the strategy of a customer, and the version of the experiment it is an arm of."""
    try:
        (found,) = observations.expose(unit, STRATEGY_TEST, [str(party)])
    except experiment_refusals.ExperimentIsUnknown:
        return STEADY, None
    if found.arm is None or found.arm not in STRATEGIES:
        return STEADY, None
    return STRATEGIES[found.arm], found.version


def _end_some(unit: UnitOfWork) -> int:
    over = table.over(unit.connection, limit=_CHUNK)
    on = books.business_on(unit.connection) if over else date.min
    for one in over:
        state = EpisodeState.CURED if one.dpd == 0 and one.is_active else EpisodeState.ENDED
        if loan_table.read(unit.connection, one.episode.loan).state is LoanState.CLOSED:
            state = EpisodeState.CURED
        table.end_episode(unit.connection, one.episode, state, on)
        closing.conclude(unit, COLLECTION.name, f"loan:{one.episode.loan}", state.value)
        fact = CollectionEnded(
            episode=one.episode.id,
            loan=one.episode.loan,
            party=one.episode.party,
            ended_as=state.value,
            worst_dpd=one.episode.worst_dpd,
        )
        unit.record(fact, subject=_episode_subject(one.episode.id))
    return len(over)


def _tell_some(unit: UnitOfWork) -> int:
    """Tell the experiment how spells went whose outcome is known by now."""
    on = books.business_on(unit.connection)
    known = table.to_tell(unit.connection, on, limit=_CHUNK)
    for episode in known:
        outcome = episode.outcome(on)
        assert outcome is not None, "chosen because it is known"
        assert episode.experiment is not None, "chosen because it has one"
        assert episode.experiment_version is not None, "an experiment has a version"
        # A version with other metrics, or a customer's second spell: the first outcome stays.
        with contextlib.suppress(experiment_refusals.MetricIsUnknown):
            observations.record_outcomes(
                unit,
                episode.experiment,
                episode.experiment_version,
                CURED,
                [(str(episode.party), outcome)],
            )
        table.note_outcome(unit.connection, episode, on)
    return len(known)


def _plan_some(unit: UnitOfWork, *, after: int) -> tuple[int, int, int] | None:
    """Plan the contacts of some loans; return the last number, how many, and cases opened."""
    loans = table.open_episodes(unit.connection, after=after, limit=_CHUNK)
    if not loans:
        return None
    parties = [one.episode.party for one in loans]
    table.hold_parties(unit.connection, parties)
    standing = situations(unit, loans)
    made: dict[UUID, tuple[Made, ...]] = {}
    planned = cases = 0
    for one in loans:
        episode = one.episode
        strategy = STRATEGIES.get(episode.strategy, STEADY)
        situation = standing[episode.nr]
        # Another loan of the customer, planned a moment ago, has used up some of the caps.
        situation = replace(situation, made=(*situation.made, *made.get(episode.party, ())))
        for act in next_acts(situation, strategy, unit.now):
            if _insert_planned(unit, episode, act, situation.zone):
                planned += 1
                spent = Made(unit.now, act.channel)
                made[episode.party] = (*made.get(episode.party, ()), spent)
        if episode.case_id is None and wants_case(situation, strategy):
            cases += _open_case(unit, episode)
    return loans[-1].episode.nr, planned, cases


def _insert_planned(unit: UnitOfWork, episode: Episode, act: Planned, zone: str) -> bool:
    made = Contact(
        id=unit.new_id(),
        nr=episode.nr,
        party=episode.party,
        episode=episode.id,
        step=act.key,
        channel=act.channel,
        is_ours=True,
        template=act.template,
        refused=None,
        at=unit.now,
        zone=zone,
        actor=unit.actor,
    )
    if not table.insert_contact(unit.connection, made):
        return False
    contacted(unit, made, episode.loan)
    return True


def _open_case(unit: UnitOfWork, episode: Episode) -> int:
    subject = f"loan:{episode.loan}"
    opened = open_case(
        unit,
        COLLECTION.name,
        subject,
        source=_episode_subject(episode.id),
        links=(f"party:{episode.party}",),
    )
    table.note_case(unit.connection, episode, opened.case.id)
    return 1


def send_planned(
    database: Database, keyring: Keyring, gateway: MessageGateway, *, actor: str = _ACTOR
) -> int:
    """Send the messages of contacts that were planned, and return how many went out.

    A contact whose hour has passed meanwhile is not made up for: it is void.
    """
    with database.reading() as connection:
        waiting = table.unsent(connection, limit=10_000)
    sent = 0
    for one in waiting:
        contact = one.contact
        if not _may_go_out(database, contact):
            note(database, contact.id, ContactResult.VOID, actor)
            continue
        try:
            messages.send(database, keyring, gateway, sending_of(one), actor=actor)
            sent += 1
        except AddressIsMissing:
            note(database, contact.id, ContactResult.FAILED, actor)
    return sent


def _may_go_out(database: Database, contact: Contact) -> bool:
    """Return whether a planned contact is still allowed: the hour and the stops, not the caps."""
    now = database.now()
    if now - contact.at > timedelta(hours=12):
        return False
    with database.reading() as connection:
        stops = table.stops_of(connection, [contact.party]).get(contact.party, ())
    situation = Situation(
        loan=contact.nr,
        dpd=1,
        overdue_minor=1,
        zone=contact.zone,
        stops=in_force(stops, contact.nr),
    )
    return forbidden(situation, contact.channel, now) is None


def draft_strategy_test(*, planned_units: int = 4_000) -> Draft:
    """Return the draft of the experiment of all strategies, the steady one as its control."""
    names = list(STRATEGIES)
    share = 10_000 // len(names)
    rest = 10_000 - share * (len(names) - 1)
    return Draft(
        name=STRATEGY_TEST,
        hypothesis=f"A call in the first week cures more spells within {OUTCOME_DAYS} days",
        unit="customer",
        arms=tuple(Arm(name, rest if nr == 0 else share) for nr, name in enumerate(names)),
        metrics=(Metric(CURED, MetricKind.PROPORTION, Better.HIGHER),),
        layer="collections",
        planned_units=planned_units,
    )


def _episode_subject(episode: UUID) -> str:
    return f"collection_episode:{episode}"
