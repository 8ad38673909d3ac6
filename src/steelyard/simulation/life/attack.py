"""An attack on the running town, as a client of the public interface."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Protocol
from uuid import UUID, uuid4

import httpx

from steelyard.simulation.chance import found, stream
from steelyard.simulation.life.client import TownClient, TownWasRefused
from steelyard.simulation.life.errands import Messenger
from steelyard.simulation.life.judged import DecisionLog, Honesty
from steelyard.simulation.life.score import Disturbed, Score
from steelyard.simulation.life.upcoming import Upcoming
from steelyard.simulation.model import (
    CURRENCY,
    Deposit,
    DepositKind,
    Plan,
    SignUp,
    Town,
)
from steelyard.simulation.model.attacks import (
    USUAL,
    Attack,
    AttackKind,
    AttackPlan,
    Drains,
    Joins,
    Need,
    Pays,
    PaysIn,
    SignsIn,
    Step,
    draw_attack,
)
from steelyard.simulation.model.schedule import errands, live_spans
from steelyard.simulation.model.state import BOOK, wallet_code

__all__ = [
    "USUAL",
    "Attack",
    "AttackKind",
    "AttackPlan",
    "Disturbed",
    "Raid",
    "Score",
    "Watch",
    "carry_out",
    "prepare",
]

Watch = Callable[[Score], None]

_BATCH = 200
_PAGE = 200
_LOOK_BACK = 500
"""Payments of before the attack that good customers' trouble is compared with."""
_MOVES = 60
"""A standing clock is moved on by so many steps over an attack."""
_FROM_THE_FUTURE = "event_is_from_the_future"
_PAUSE_SECONDS = 0.1
_PATIENCE = 50
_REPORT_SPEED = 1_800.0
"""While cardholders wait to tell: as fast as a town can live without being too late for itself."""


class Time(Protocol):
    """The business clock as an attack lives by it."""

    def begin(self) -> None:
        """Let the clock run as fast as was asked for."""
        ...

    def now(self) -> datetime:
        """Return the business instant."""
        ...

    def reach(self, at: datetime) -> datetime:
        """Return once the clock has reached an instant, and where it stands then."""
        ...

    def hurry(self, speed: float) -> None:
        """Let the clock run at least so fast from now on."""
        ...

    def leave(self) -> None:
        """Leave the clock as it was found."""
        ...


class RunningTime:
    """The clock of a town that lives: it is waited for, and runs faster meanwhile if asked to.

    Parameters
    ----------
    speed : virtual seconds in one real second while the attack lasts; None leaves it
    """

    def __init__(self, caller: TownClient, speed: float | None) -> None:
        self._caller = caller
        clock = caller.get("/v1/simulation/town")["clock"]
        self._found = self._speed = float(clock["speed"])
        self._wanted = self._found if speed is None else speed

    def begin(self) -> None:
        """Give the clock its speed."""
        if self._wanted != self._speed:
            self._set(self._wanted)

    def now(self) -> datetime:
        """Return the business instant."""
        clock = self._caller.get("/v1/simulation/town")["clock"]
        return datetime.fromisoformat(clock["now"])

    def reach(self, at: datetime) -> datetime:
        """Wait, at most a second of ours at a time, until the clock is there."""
        while (now := self.now()) < at:
            self._caller.stop.wait(min(1.0, (at - now).total_seconds() / self._speed))
        return now

    def hurry(self, speed: float) -> None:
        """Let the clock run at least so fast."""
        if speed > self._speed:
            self._set(speed)

    def leave(self) -> None:
        """Give the clock back the speed it had."""
        if self._speed != self._found:
            self._set(self._found)

    def _set(self, speed: float) -> None:
        self._caller.post("/v1/simulation/clock", f"attack/clock/{uuid4()}", {"speed": speed})
        self._speed = speed


class StandingTime:
    """The clock of a town that nobody lives but us: it is moved on, and its people with it.

    Parameters
    ----------
    stride : how far it is moved at least
    """

    def __init__(self, caller: TownClient, town: Town, stride: timedelta) -> None:
        self._caller = caller
        self._stride = stride
        self._messenger = Messenger(caller, town)
        standing = caller.get("/v1/simulation/town")
        self._at = datetime.fromisoformat(standing["playing_through"])
        self._upcoming = Upcoming(town, datetime.fromisoformat(standing["played_through"]))

    def begin(self) -> None:
        """Leave it standing."""

    def now(self) -> datetime:
        """Return the business instant."""
        return self._at

    def reach(self, at: datetime) -> datetime:
        """Let the town live on until there."""
        if at > self._at:
            end_at = max(at, self._at + self._stride)
            for span in live_spans(self._at, end_at):
                self._note(self._at, span.end_at)
                self._messenger.carry(span, errands(self._upcoming.take(span.end_at)))
                self._at = span.end_at
            self._note(self._at, self._at)
        return self._at

    def hurry(self, speed: float) -> None:
        """Move on in longer steps."""
        self._stride = max(self._stride, timedelta(hours=6))

    def leave(self) -> None:
        """Leave it standing."""

    def _note(self, played_at: datetime, playing_at: datetime) -> None:
        self._caller.post(
            "/v1/simulation/progress",
            f"attack/progress/{playing_at:%Y%m%dT%H%M%S.%f}/{played_at:%Y%m%dT%H%M%S.%f}",
            {
                "played_through": played_at,
                "playing_through": playing_at,
                "history_done": True,
                "stand_at": playing_at,
            },
        )


@dataclass(frozen=True, slots=True)
class Raid:
    """An attack on one town, ready to begin.

    Attributes
    ----------
    caller : of the platform
    town, attack : who lives there, and what is tried
    time : the clock it lives by
    """

    caller: TownClient
    town: Town
    attack: Attack
    time: Time


def prepare(
    client: httpx.Client | TownClient, plan: AttackPlan, *, speed: float | None = None
) -> Raid:
    """Look at the town that the platform has, and draw an attack on it.

    Parameters
    ----------
    client : may live, ask for decisions, and read decisions, cases and accounts
    plan : what is drawn
    speed : of the business clock while the attack lasts; None leaves it. A clock that stands is
        moved on by the attack itself, and the town lives with it

    Refusals
    --------
    town_was_refused : there is no town
    """
    caller = client if isinstance(client, TownClient) else TownClient(client)
    standing = caller.get("/v1/simulation/town")
    town = found(
        Plan(
            standing["seed"],
            standing["customers"],
            standing["terminals"],
            date.fromisoformat(standing["opens_on"]),
        )
    )
    attack = draw_attack(plan, town, partial(stream, plan.seed))
    stands = standing["clock"]["speed"] == 0
    clock = (
        StandingTime(caller, town, plan.lasts / _MOVES) if stands else RunningTime(caller, speed)
    )
    return Raid(caller, town, attack, clock)


def carry_out(raid: Raid, watch: Watch, *, reports: bool = True) -> Score:
    """Attack, and count what comes of it.

    Parameters
    ----------
    watch : called with the score whenever something happened
    reports : wait for the cardholders to tell of the payments afterwards

    Returns
    -------
    Score
        The platform keeps what it learned of it: decisions, cases, labels.
    """
    try:
        raid.time.begin()
        attacker = _Attacker(raid)
        for _ in attacker.steps():
            watch(attacker.score)
        if reports:
            raid.time.hurry(_REPORT_SPEED)
            for _ in attacker.reports():
                watch(attacker.score)
        attacker.look_at_cases()
    finally:
        raid.time.leave()
    return attacker.score


class _Attacker:
    """One attack, from its first step to the last report."""

    def __init__(self, raid: Raid) -> None:
        self._caller = raid.caller
        self._attack = raid.attack
        self._time = raid.time
        self._log = DecisionLog(raid.caller)
        self._honesty = Honesty(raid.town)
        self._messenger = Messenger(raid.caller, raid.town)
        self._run = uuid4()
        self._passed: set[UUID] = set()
        self._inside: set[UUID] = set()
        self._asked: list[Pays] = []
        self._wallets = {
            step.customer_id: step.account_id
            for step in raid.attack.steps
            if isinstance(step, Pays | Drains)
        }
        self._parties: dict[UUID, str] = {}
        self.score = Score(raid.attack, raid.time.now())
        self._compare()

    def steps(self) -> Iterator[None]:
        """Take the steps as their instants come."""
        steps, at = self._attack.steps, 0
        while at < len(steps):
            now = self._time.reach(self._at(steps[at]))
            due = at
            while due < len(steps) and self._at(steps[due]) <= now:
                due += 1
            self._take(steps[at:due])
            at = due
            self._look(self.score.during)
            yield

    def reports(self) -> Iterator[None]:
        """Tell of the payments that were asked for, as the cardholders find them."""
        after = self._attack.reported_after
        told = sorted((self._at(step) + after[step.id], str(step.id), step) for step in self._asked)
        at = 0
        while at < len(told):
            now = self._time.reach(told[at][0])
            due = at
            while due < len(told) and due < at + _BATCH and told[due][0] <= now:
                due += 1
            said = [
                {"payment": step.id, "at": told_at, "card": step.card_id}
                for told_at, _, step in told[at:due]
            ]
            self._post("/v1/simulation/card-reports", f"reports/{at}", {"reports": said})
            self.score.reported += len(said)
            at = due
            self._look(self.score.after)
            yield

    def look_at_cases(self) -> None:
        """Count the cases that were opened since the attack began."""
        opened: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            query = f"order=newest&limit={_PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = self._caller.get(f"/v1/cases?{query}")
            new = [
                case
                for case in page["items"]
                if datetime.fromisoformat(case["opened_at"]) >= self.score.began_at
            ]
            opened.update(case["kind"] for case in new)
            cursor = page["next"]
            if cursor is None or len(new) < len(page["items"]):
                break
        self.score.cases = dict(opened.most_common())

    def _at(self, step: Step) -> datetime:
        return self.score.began_at + step.after

    def _post(self, path: str, name: str, body: Any) -> Any:
        return self._caller.post(path, f"attack/{self._run}/{name}", body)

    def _take(self, steps: Sequence[Step]) -> None:
        """Take steps in their order; neighbouring payments are sent together."""
        for kind, together in groupby(steps, type):
            some = list(together)
            if kind is Pays:
                self._pay_all([step for step in some if isinstance(step, Pays)])
                continue
            for step in some:
                match step:
                    case Joins():
                        self._join(step)
                    case PaysIn():
                        self._pay_in(step)
                    case SignsIn():
                        self._sign_in(step)
                    case Drains():
                        self._drain(step)

    def _join(self, step: Joins) -> None:
        sign_up = SignUp(
            id=step.id,
            at=self._at(step),
            customer_id=step.customer_id,
            account_id=step.account_id,
            card_id=step.card_id,
            person=step.person,
        )
        self._messenger.sign_up(f"attack/{self._run}/wallet/{step.id}", [sign_up])

    def _pay_in(self, step: PaysIn) -> None:
        deposit = Deposit(
            id=step.id,
            at=self._at(step),
            customer_id=step.account_id,
            account_id=step.account_id,
            amount_minor=step.amount_minor,
            currency=CURRENCY,
            kind=DepositKind.TOP_UP,
        )
        self._messenger.deposit(f"attack/{self._run}/deposit/{step.id}", [deposit])

    def _pay_all(self, steps: Sequence[Pays]) -> None:
        """Pay in batches; a payment that needs one of the batch waits for its answer."""
        batch: list[Pays] = []
        for step in steps:
            waits = step.need is Need.CARD_PASSED and any(
                earlier.card_id == step.card_id for earlier in batch
            )
            if waits or len(batch) == _BATCH:
                self._pay(batch)
                batch = []
            if self._can(step):
                batch.append(step)
            else:
                self.score.skipped += 1
        if batch:
            self._pay(batch)

    def _can(self, step: Pays | Drains) -> bool:
        match step.need:
            case Need.NOTHING:
                return True
            case Need.CARD_PASSED:
                return isinstance(step, Pays) and step.card_id in self._passed
            case Need.SIGNED_IN:
                return step.customer_id in self._inside

    def _pay(self, steps: Sequence[Pays]) -> None:
        answers = self._post(
            "/v1/simulation/card-payments",
            f"payments/{steps[0].id}",
            {"payments": [self._payment(step) for step in steps]},
        )
        self._asked += steps
        self.score.asked += len(steps)
        self._look(self.score.during)
        for step, answer in zip(steps, answers["items"], strict=True):
            is_through = answer["outcome"] == "accepted"
            if is_through:
                self._passed.add(step.card_id)
            decision = self._log.of_attack.pop(str(step.id), None)
            self.score.note(step, decision, step.amount_minor if is_through else 0)

    def _payment(self, step: Pays) -> dict[str, Any]:
        return {
            "id": step.id,
            "at": self._at(step),
            "customer": step.customer_id,
            "card": step.card_id,
            "account": wallet_code(step.account_id),
            "merchant": step.merchant_id,
            "terminal": step.terminal_id,
            "amount_minor": step.amount_minor,
            "currency": CURRENCY,
            "device": step.handset.device,
            "ip": step.handset.ip,
            "country": step.handset.country,
            "is_online": True,
        }

    def _sign_in(self, step: SignsIn) -> None:
        """Try a secret; a right one opens the account unless the scene of log-ins objects."""
        decision = self._ask(
            "log_in",
            step,
            {
                "customer": self._party(step.customer_id),
                "succeeded": step.succeeded,
                "method": "password",
                "country": step.handset.country,
            },
        )
        if step.succeeded and self._is_beaten(step.customer_id, decision):
            self._inside.add(step.customer_id)
        self.score.note(step, decision, 0)

    def _drain(self, step: Drains) -> None:
        if not self._can(step):
            self.score.skipped += 1
            return
        decision = self._ask(
            "withdrawal",
            step,
            {
                "customer": self._party(step.customer_id),
                "account": wallet_code(step.account_id),
                "payee": step.payee,
                "amount_minor": step.amount_minor,
                "currency": CURRENCY,
            },
        )
        passed = step.amount_minor if self._is_beaten(step.customer_id, decision) else 0
        if decision["outcome"] == "limit":
            passed = min(step.amount_minor, decision["limit_minor"])
        self.score.note(step, decision, passed)

    def _is_beaten(self, customer: UUID, decision: Any) -> bool:
        """Return whether what was decided keeps nobody out who can prove as much as asked."""
        if decision["outcome"] == "step_up":
            return customer in self._attack.beats_step_up
        return decision["outcome"] in ("approve", "limit")

    def _ask(self, scene: str, step: SignsIn | Drains, fields: dict[str, Any]) -> Any:
        at = self._at(step)
        asked = {
            "id": f"{self._run}/{step.id}",
            "at_ms": int(at.timestamp() * 1_000),
            "fields": {**fields, "device": step.handset.device, "ip": step.handset.ip},
        }
        for _ in range(_PATIENCE):
            try:
                return self._post(f"/v1/decisions/{scene}", f"{scene}/{step.id}", asked)
            except TownWasRefused as refused:
                if refused.facts["code"] != _FROM_THE_FUTURE:
                    raise
            # Whoever decides looks at the clock a few times a second, and has not seen it move.
            self._caller.stop.wait(_PAUSE_SECONDS)
        raise TownWasRefused(path=scene, code=_FROM_THE_FUTURE, title="the clock does not move")

    def _party(self, customer: UUID) -> str:
        """Return who a customer is to the platform: the owner of the wallet."""
        if customer not in self._parties:
            code = wallet_code(self._wallets[customer])
            owner = self._caller.get(f"/v1/ledger/books/{BOOK}/accounts/{code}")["owner"]
            self._parties[customer] = owner.removeprefix("party:")
        return self._parties[customer]

    def _compare(self) -> None:
        """Count how good customers fared before."""
        for decision in self._log.last(_LOOK_BACK):
            if self._honesty.of(decision):
                self.score.before.count(decision["outcome"])

    def _look(self, good: Disturbed) -> None:
        """Read what was decided since, about the attack and about everybody else."""
        ours = {str(step.id) for step in self._asked}
        for decision in self._log.new(ours):
            if self._honesty.of(decision):
                good.count(decision["outcome"])
