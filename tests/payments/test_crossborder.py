"""Cross-border payments: choice of providers, screening, conversion, delivery, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from steelyard.base import Database, Gate, NoPolicyGate, Outcome, UnitOfWork, Verdict
from steelyard.kernel import SteppingClock
from steelyard.ledger import Funds, open_book
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import (
    Cross,
    CrossState,
    Delivery,
    LegState,
    LossOwner,
    NewCross,
    ReturnRate,
    Word,
)
from steelyard.payments.model.crossborder_routes import (
    Choice,
    Corridor,
    RouteAsk,
    choose,
    times_of,
)
from steelyard.payments.model.fx import Lock, RateSource
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.tieout import Holdings, TieOut
from steelyard.payments.service import crossborder, fx, institution, quotes
from steelyard.payments.service.crossborder_sending import CrossBorder, PayoutsAreStopped
from steelyard.payments.store import tieout as tie_outs
from tests.payments.exchange import (
    ACCEPTED,
    OWN_MINOR,
    UNKNOWN,
    ScriptedFeed,
    ScriptedRemitter,
    a_quote,
    earned,
    open_exchange,
    tick,
)
from tests.payments.till import OTHER_SHOP, OWN, SHOP, balance, sum_of_postings

CNY, USD = accounts.available(SHOP, "CNY"), accounts.available(SHOP, "USD")
ASIDE_CNY, ASIDE_USD = accounts.cross_border("CNY"), accounts.cross_border("USD")
FEE = 500
CREDITED = Delivery(word=Word.CREDITED, reference="BANK-1")
APPROVED = Verdict(Outcome.APPROVE, "policy@1")
MONDAY = datetime(2026, 3, 2, 9, tzinfo=UTC)


def corridor(provider: str, **changes: object) -> Corridor:
    values: dict[str, object] = {
        "provider": provider,
        "sell": "CNY",
        "buy": "USD",
        "spread_ppm": 1_000,
        "fixed_minor": FEE,
        "most_minor": 5_000_000,
        "timezone": "America/New_York",
        "cut_off": time(16),
        "arrives_minutes": 240,
    }
    return Corridor(**{**values, **changes})  # type: ignore[arg-type]


@dataclass
class SayingGate:
    """A gate that says what a test wants."""

    says: Verdict = APPROVED
    asked: list[object] = field(default_factory=list)

    def ask(self, scene: str, facts: object, now: datetime) -> Verdict:
        self.asked.append(facts)
        return self.says

    def ask_all(self, scene: str, questions: object) -> tuple[Verdict, ...]:
        raise AssertionError("one at a time")


@dataclass
class Names:
    """A list with one name on it."""

    listed: str

    def hits(self, name: str, country: str) -> tuple[str, ...]:
        return ("list-1",) if name == self.listed else ()


@dataclass
class Desk:
    """The desk of cross-border payments, with its providers."""

    database: Database
    alpha: ScriptedRemitter
    beta: ScriptedRemitter
    sends: CrossBorder

    def make(self, **changes: object) -> Cross:
        quote = changes.pop("quote", None) or a_quote(self.database, lock=Lock.MIN_30).id
        id = uuid4()
        values: dict[str, object] = {
            "id": id,
            "mode": Mode.LIVE,
            "merchant": SHOP,
            "payment_no": f"X-{id.hex[:10]}",
            "quote": quote,
            "beneficiary": {"name": "Ada Bell", "account": "GB-1", "bank": "BANKUS33"},
            "country": "US",
            "purpose": "goods",
        }
        new = NewCross(**{**values, **changes})  # type: ignore[arg-type]
        return self.database.transact(lambda unit: crossborder.create(unit, new))

    def funded(self, **changes: object) -> Cross:
        made = self.make(**changes)
        self.database.transact(lambda unit: crossborder.accept(unit, made.id))
        self.sends.screen(made.id)
        return self.database.transact(lambda unit: crossborder.fund(unit, made.id))

    def sent(self, **changes: object) -> Cross:
        made = self.funded(**changes)
        self.sends.convert(made.id)
        return self.sends.send(made.id)

    def read(self, payment: UUID) -> Cross:
        with self.database.reading() as connection:
            return crossborder.read(connection, payment)


def open_desk(
    database: Database, *corridors: Corridor, gate: Gate | None = None, listed: str = ""
) -> Desk:
    open_exchange(database)
    wanted = corridors or (corridor("alpha"), corridor("beta", fixed_minor=2 * FEE))
    database.transact(lambda unit: [crossborder.set_corridor(unit, one) for one in wanted])
    alpha, beta = ScriptedRemitter("alpha"), ScriptedRemitter("beta")
    sends = CrossBorder(
        database, gate or NoPolicyGate(), {"alpha": alpha, "beta": beta}, Names(listed)
    )
    return Desk(database, alpha, beta, sends)


def test_a_payment_arrives_and_its_times_are_kept(database: Database, clock: SteppingClock) -> None:
    desk = open_desk(database)
    made = desk.sent()
    assert (made.state, made.charge_minor) == (CrossState.SENT, FEE)
    transit = accounts.in_transit("xb_alpha", "USD")
    assert balance(database, CNY) == 1_000_000 - made.sell_minor - FEE
    assert balance(database, accounts.fees_due("CNY")) == FEE
    assert (balance(database, ASIDE_CNY), balance(database, ASIDE_USD)) == (0, made.buy_minor)
    assert balance(database, transit) == -made.buy_minor
    clock.advance(timedelta(hours=5))
    desk.alpha.later = CREDITED
    assert desk.sends.poll() == 1
    found = desk.read(made.id)
    assert found.state is CrossState.CREDITED
    (leg,) = found.legs
    assert (leg.state, leg.reference) == (LegState.CREDITED, "BANK-1")
    assert leg.promised_at == found.promised_at
    assert leg.promised_at < found.ended_at  # type: ignore[operator]
    assert (balance(database, ASIDE_USD), balance(database, transit)) == (0, 0)
    with database.reading() as connection:
        (kept,) = crossborder.arrivals(connection, Mode.LIVE)
        what = [event.what for event in crossborder.history(connection, made.id)]
    assert (kept.provider, kept.credited, kept.on_time) == ("alpha", 1, 0)
    assert 3_000 < kept.late_seconds < 4_500
    assert what[0] == "quoted"
    assert what[-2:] == ["provider_said", "credited"]
    assert desk.sends.poll() == 0
    assert sum_of_postings(database) == 0


@pytest.mark.parametrize("owner", LossOwner)
def test_case_73_a_return_at_a_worse_rate_is_borne_by_who_the_contract_names(
    database: Database, owner: LossOwner
) -> None:
    desk = open_desk(database)
    made = desk.sent(loss_owner=owner)
    before = balance(database, CNY)
    net = made.buy_minor - 2_500
    database.transact(
        lambda u: fx.set_source(u, RateSource(source="desk", calendar="WEEKENDS", cap_seconds=900))
    )
    with database.reading() as connection:
        mid = fx.rates_at(connection, database.now(), ["USD"]).book.of("USD").mid
    # A dollar buys 4 % less by then.
    dearer = str(round(Decimal(mid.numerator) / Decimal(mid.denominator) * Decimal("1.04"), 6))
    fx.pull(database, ScriptedFeed(ticks=[tick("USD", dearer, database.now())]))
    back = Delivery(word=Word.RETURNED, net_minor=net)
    found = desk.sends.report(made.id, 1, back, source="notice")
    (leg,) = found.legs
    assert (found.state, leg.returned_minor) == (CrossState.RETURNED, net)
    assert leg.loss_minor is not None
    assert 15_000 < leg.loss_minor < 25_000
    got = balance(database, CNY) - before
    lost = balance(database, "expense/fx_returns:CNY", OWN)
    claim = balance(database, "claims/alpha:CNY", OWN)
    expected = {
        LossOwner.PAYER: (made.sell_minor - leg.loss_minor, 0, 0),
        LossOwner.US: (made.sell_minor, -leg.loss_minor, 0),
        LossOwner.PROVIDER: (made.sell_minor, 0, -leg.loss_minor),
    }
    assert (got, lost, claim) == expected[owner]
    assert got == leg.back_minor
    for code in (ASIDE_CNY, ASIDE_USD, accounts.in_transit("xb_alpha", "USD")):
        assert balance(database, code) == 0
    assert sum_of_postings(database) == 0
    # Said again it changes nothing, and that it was credited after all is for people.
    again = desk.sends.report(made.id, 1, back, source="notice")
    assert again.version == found.version
    desk.sends.report(made.id, 1, CREDITED, source="notice")
    assert balance(database, CNY) - before == got
    assert open_cases(database) == 1


def test_a_return_at_the_original_rate_leaves_the_payer_the_fees_alone(database: Database) -> None:
    desk = open_desk(database)
    made = desk.sent(return_rate=ReturnRate.ORIGINAL)
    back = Delivery(word=Word.RETURNED, net_minor=made.buy_minor)
    found = desk.sends.report(made.id, 1, back, source="notice")
    assert found.legs[0].loss_minor == 0
    assert balance(database, CNY) == 1_000_000 - FEE
    assert balance(database, "position:CNY", OWN) == 0


def test_a_return_waits_for_a_rate(database: Database, clock: SteppingClock) -> None:
    desk = open_desk(database)
    made = desk.sent()
    clock.advance(timedelta(days=3))
    desk.alpha.later = Delivery(word=Word.RETURNED, net_minor=made.buy_minor)
    desk.sends.poll()
    waiting = desk.read(made.id)
    assert (waiting.state, waiting.legs[0].state) == (CrossState.SENT, LegState.SENT)
    assert open_cases(database) == 1
    fx.pull(database, fx.EcbFeed())
    clock.advance(timedelta(minutes=6))
    desk.sends.poll()
    assert desk.read(made.id).state is CrossState.RETURNED


def test_case_76_a_sanctions_hold_outlasts_the_lock(
    database: Database, clock: SteppingClock
) -> None:
    desk = open_desk(database, listed="Ada Bell")
    made = desk.make()
    database.transact(lambda unit: crossborder.accept(unit, made.id))
    held = desk.sends.screen(made.id)
    assert (held.state, held.hold) == (CrossState.LOCKED, "listed_name")
    assert open_cases(database) == 1
    with pytest.raises(crossborder.CrossBorderIsHeld):
        desk.sends.screen(made.id)
    with pytest.raises(crossborder.CrossBorderIsHeld):
        database.transact(lambda unit: crossborder.fund(unit, made.id))
    clock.advance(timedelta(hours=1))
    free = database.transact(lambda unit: crossborder.release(unit, made.id, reason="namesake"))
    assert free.state is CrossState.SCREENED
    # Nothing is taken at a rate that is over; the payer is quoted anew, and not screened again.
    with pytest.raises(quotes.QuoteHasExpired):
        database.transact(lambda unit: crossborder.fund(unit, made.id))
    assert balance(database, CNY) == 1_000_000
    fresh = a_quote(database)
    database.transact(lambda unit: crossborder.requote(unit, made.id, fresh.id))
    locked = database.transact(lambda unit: crossborder.accept(unit, made.id))
    assert (locked.state, locked.quote) == (CrossState.SCREENED, fresh.id)
    funded = database.transact(lambda unit: crossborder.fund(unit, made.id))
    assert funded.state is CrossState.FUNDED
    assert desk.sends.convert(made.id).state is CrossState.CONVERTED


def test_what_the_gate_says_counts(database: Database) -> None:
    gate = SayingGate()
    desk = open_desk(database, gate=gate)

    def screened(verdict: Verdict) -> Cross:
        made = desk.make()
        database.transact(lambda unit: crossborder.accept(unit, made.id))
        gate.says = verdict
        return desk.sends.screen(made.id)

    assert screened(Verdict(Outcome.APPROVE, "p@1")).state is CrossState.SCREENED
    assert screened(Verdict(Outcome.DECLINE, "p@1", ("r",))).state is CrossState.REJECTED
    for outcome in (Outcome.HOLD, Outcome.REVIEW, Outcome.STEP_UP):
        held = screened(Verdict(outcome, "p@1", ("sanctions",)))
        assert (held.state, held.hold) == (CrossState.LOCKED, "sanctions")
    over = screened(Verdict(Outcome.LIMIT, "p@1", limit_minor=99_999))
    assert over.hold == "above_the_limit"
    assert screened(Verdict(Outcome.LIMIT, "p@1", limit_minor=100_000)).hold == ""
    told = gate.asked[0]
    assert isinstance(told, dict)
    assert (told["scenario"], told["country"], told["amount_minor"]) == (
        "cross_border",
        "US",
        100_000,
    )


def test_case_72_a_provider_that_slips_is_left_for_another(database: Database) -> None:
    desk = open_desk(database)
    desk.alpha.dealt = lambda deal: deal.quoted * Decimal("0.99")
    made = desk.funded()
    assert [leg.provider for leg in made.legs] == ["alpha"]
    found = desk.sends.convert(made.id)
    assert found.state is CrossState.CONVERTED
    assert [(leg.no, leg.provider) for leg in found.legs] == [(2, "beta")]
    # The payer gets and pays what it was told.
    assert (found.buy_minor, found.charge_minor) == (made.buy_minor, made.charge_minor)


def test_case_72_where_all_slip_people_look_and_the_payer_has_his_money_back(
    database: Database,
) -> None:
    desk = open_desk(database)
    desk.alpha.dealt = lambda deal: deal.quoted * Decimal("0.99")
    desk.beta.dealt = lambda deal: None
    made = desk.funded()
    found = desk.sends.convert(made.id)
    assert (found.state, found.hold) == (CrossState.FUNDED, "rate_slipped")
    assert open_cases(database) == 1
    with pytest.raises(crossborder.CrossBorderIsHeld):
        desk.sends.convert(made.id)
    ended = database.transact(lambda unit: crossborder.reject(unit, made.id, reason="no rate"))
    assert ended.state is CrossState.REJECTED
    assert (balance(database, CNY), balance(database, ASIDE_CNY)) == (1_000_000, 0)
    assert balance(database, f"mirror:{OWN}:USD") == OWN_MINOR


def test_a_provider_that_times_out_is_asked_and_never_sent_to_twice(
    database: Database, clock: SteppingClock
) -> None:
    desk = open_desk(database)
    desk.alpha.said = UNKNOWN
    made = desk.sent()
    assert (made.state, made.legs[0].state) == (CrossState.CONVERTED, LegState.SENDING)
    assert desk.sends.poll() == 0
    clock.advance(timedelta(minutes=6))
    assert desk.sends.poll() == 1
    assert desk.alpha.verbs() == ["execute", "send", "query"]
    # It says that nothing left: the same number is sent again.
    desk.alpha.later, desk.alpha.said = Delivery(word=Word.NOT_SENT), ACCEPTED
    clock.advance(timedelta(minutes=6))
    desk.sends.poll()
    assert desk.alpha.verbs()[-2:] == ["query", "send"]
    assert len(desk.alpha.sent) == 1
    assert desk.read(made.id).state is CrossState.SENT


def test_only_the_providers_word_recalls(database: Database) -> None:
    desk = open_desk(database)
    made = desk.sent()
    assert desk.sends.recall(made.id).state is CrossState.SENT
    desk.alpha.recalled = Delivery(word=Word.RECALLED, net_minor=made.buy_minor)
    ended = desk.sends.recall(made.id)
    assert ended.state is CrossState.RECALLED
    with pytest.raises(crossborder.CrossBorderStateForbids):
        desk.sends.recall(made.id)


def test_what_was_credited_may_still_come_back(database: Database) -> None:
    desk = open_desk(database)
    desk.alpha.said = CREDITED
    made = desk.sent()
    assert made.state is CrossState.CREDITED
    back = Delivery(word=Word.RETURNED, net_minor=made.buy_minor)
    assert desk.sends.report(made.id, 1, back, source="notice").state is CrossState.RETURNED
    assert (balance(database, ASIDE_USD), balance(database, USD)) == (0, 0)
    assert sum_of_postings(database) == 0


def test_case_70_a_quote_kept_for_a_payment_converts_nothing_else(database: Database) -> None:
    desk = open_desk(database)
    made = desk.make()
    database.transact(lambda unit: crossborder.accept(unit, made.id))
    with pytest.raises(quotes.QuoteIsNotActive):
        database.transact(lambda u: quotes.convert(u, quotes.Book(id=uuid4(), quote=made.quote)))
    with pytest.raises(quotes.QuoteIsNotActive):
        desk.make(quote=made.quote)


def test_case_78_a_limit_is_split_over_two_providers(database: Database) -> None:
    desk = open_desk(
        database,
        corridor("alpha", most_minor=10_000, daily_most_minor=15_000),
        corridor("beta", fixed_minor=2 * FEE, least_minor=3_000, most_minor=100_000_000,
                 daily_most_minor=10_000),
    )  # fmt: skip
    database.transact(lambda unit: earned(unit, SHOP, "CNY", 1_000_000))
    made = desk.make(quote=a_quote(database, buy_minor=12_000).id)
    assert [(leg.provider, leg.buy_minor) for leg in made.legs] == [
        ("alpha", 9_000),
        ("beta", 3_000),
    ]
    assert sum(leg.sell_minor for leg in made.legs) == made.sell_minor
    assert made.charge_minor == 3 * FEE
    assert made.choice["why"] == "split_over_limits"
    # What is planned counts against a provider's day: less is left for the next.
    later = desk.make(quote=a_quote(database, buy_minor=12_000).id)
    assert [(leg.provider, leg.buy_minor) for leg in later.legs] == [
        ("alpha", 6_000),
        ("beta", 6_000),
    ]
    with pytest.raises(crossborder.NoProviderFits) as refused:
        desk.make(quote=a_quote(database, buy_minor=12_000).id)
    assert refused.value.facts["why"] == "above_its_limit"
    database.transact(lambda unit: crossborder.accept(unit, made.id))
    desk.sends.screen(made.id)
    database.transact(lambda unit: crossborder.fund(unit, made.id))
    desk.sends.convert(made.id)
    desk.beta.said = UNKNOWN
    assert desk.sends.send(made.id).state is CrossState.CONVERTED
    half = desk.sends.report(made.id, 1, CREDITED, source="notice")
    assert half.state is CrossState.CONVERTED
    back = Delivery(word=Word.RETURNED, net_minor=3_000)
    ended = desk.sends.report(made.id, 2, back, source="notice")
    assert ended.state is CrossState.RETURNED
    assert [leg.state for leg in ended.legs] == [LegState.CREDITED, LegState.RETURNED]
    assert sum_of_postings(database) == 0


def test_case_52_nothing_leaves_while_the_reserve_is_off(database: Database) -> None:
    desk = open_desk(database)
    made = desk.funded()
    desk.sends.convert(made.id)

    def stop(unit: UnitOfWork) -> None:
        tie = TieOut(
            id=unit.new_id(),
            mode=Mode.LIVE,
            currency="USD",
            on=unit.now.date(),
            run=1,
            statement=None,
            custody_minor=1,
            holdings=Holdings(owed={}, in_transit={}),
            items=(),
            difference_minor=-1,
            why="reserve_is_off",
            made_at=unit.now,
        )
        tie_outs.insert(unit.connection, tie)
        tie_outs.insert_stop(unit.connection, unit.new_id(), tie)

    database.transact(stop)
    with pytest.raises(PayoutsAreStopped):
        desk.sends.send(made.id)
    assert desk.alpha.verbs() == ["execute"]


def test_the_sandbox_reaches_no_provider(database: Database) -> None:
    desk = open_desk(database)
    for book, funds in (("s_clients", Funds.CLIENT), ("s_own", Funds.OWN)):
        database.transact(
            lambda u, b=book, f=funds: open_book(  # type: ignore[misc]
                u, b, name=b, funds=f, business_on=u.now.date(), timezone="Asia/Shanghai"
            )
        )

    def work(unit: UnitOfWork) -> None:
        institution.open_books(
            unit, Mode.SANDBOX, client_book="s_clients", own_book="s_own", currencies=("CNY", "USD")
        )
        fx.top_up(unit, Mode.SANDBOX, "USD", 10_000_000)
        fx.top_up(unit, Mode.SANDBOX, "CNY", 10_000_000)
        earned(unit, SHOP, "CNY", 1_000_000, book="s_clients")

    database.transact(work)

    def made(account: str) -> Cross:
        quote = a_quote(database, mode=Mode.SANDBOX, lock=Lock.MIN_30)
        to = {"name": "Ada Bell", "account": account, "bank": "BANKUS33"}
        new = desk.make(quote=quote.id, mode=Mode.SANDBOX, beneficiary=to)
        return desk.sends.advance(new.id)

    assert made("1").state is CrossState.CREDITED
    assert made("1-RETURN").state is CrossState.RETURNED
    assert made("1-PENDING").state is CrossState.SENT
    assert made("1-DOWN").legs[0].state is LegState.SENDING
    assert desk.alpha.asked == []
    assert balance(database, CNY) == 1_000_000
    assert sum_of_postings(database) == 0


def route(now: datetime, *corridors: Corridor, **changes: object) -> Choice:
    ask = RouteAsk(
        sell="CNY",
        buy="USD",
        country="US",
        sell_minor=1_000_000,
        buy_minor=140_000,
        lifting_rate=Decimal("7.1"),
    )
    return choose(replace(ask, **changes), corridors, sent_today={}, now=now)  # type: ignore[arg-type]


def test_case_77_the_cheapest_is_past_its_cut_off() -> None:
    cheap = corridor("cheap", spread_ppm=100, timezone="Asia/Tokyo", cut_off=time(15))
    dear = corridor("dear", spread_ppm=3_000)
    # 08:00 in New York is 22:00 in Tokyo.
    now = datetime(2026, 3, 2, 13, tzinfo=UTC)
    tonight = now + timedelta(hours=5)
    found = route(now, cheap, dear, arrive_by=tonight)
    assert [part.provider for part in found.parts] == ["dear"]
    by_name = {one.provider: one for one in found.candidates}
    assert by_name["cheap"].why_not == "past_cut_off"
    assert by_name["cheap"].cost_minor < by_name["dear"].cost_minor
    assert by_name["cheap"].leaves_at == datetime(2026, 3, 2, 15, tzinfo=UTC)
    # Without a wish the day's delay costs less than the spread; before the cut-off all is well.
    assert route(now, cheap, dear).parts[0].provider == "cheap"
    early = datetime(2026, 3, 2, 5, tzinfo=UTC)
    assert route(early, cheap, dear, arrive_by=tonight).parts[0].provider == "cheap"


def test_a_choice_weighs_all_that_a_provider_costs() -> None:
    safe = corridor("safe", spread_ppm=1_500, success_ppm=999_000)
    risky = corridor("risky", spread_ppm=1_400, success_ppm=900_000)
    lifting = corridor("lifting", spread_ppm=1_000, lifting_minor=2_500)
    slow = corridor("slow", spread_ppm=1_200, arrives_minutes=5 * 1_440)
    shut = corridor("shut", spread_ppm=0, is_open=False)
    small = corridor("small", spread_ppm=0, most_minor=100)
    found = route(MONDAY, safe, risky, lifting, slow, shut, small)
    assert [part.provider for part in found.parts] == ["safe"]
    names = [one.provider for one in found.candidates]
    assert names[0] == "safe"
    assert set(names) == {"safe", "risky", "lifting", "slow", "shut", "small"}
    why = {one.provider: one.why_not for one in found.candidates}
    assert (why["shut"], why["small"], why["safe"]) == ("is_closed", "above_its_limit", "")
    one = found.candidates[0]
    assert one.cost_minor == one.spread_minor + one.fixed_minor + one.lifting_minor
    assert route(MONDAY, shut).why == "is_closed"
    assert route(MONDAY).why == "no_provider_has_the_corridor"


def test_a_provider_counts_days_on_its_own_clock() -> None:
    tokyo = corridor("t", timezone="Asia/Tokyo", cut_off=time(15), arrives_minutes=1_440)
    friday = datetime(2026, 3, 6, 5, tzinfo=UTC)
    leaves, arrives, past = times_of(tokyo, friday)
    assert (leaves, past) == (friday, False)
    assert arrives == datetime(2026, 3, 9, 5, tzinfo=UTC)
    leaves, _, past = times_of(tokyo, friday + timedelta(hours=2))
    assert (leaves, past) == (datetime(2026, 3, 8, 15, tzinfo=UTC), True)


def test_case_88_a_payment_of_somebody_else_is_not_there(database: Database) -> None:
    desk = open_desk(database)
    made = desk.make()
    steps: list[Callable[[], object]] = [
        lambda: database.transact(lambda u: crossborder.accept(u, made.id, merchant=OTHER_SHOP)),
        lambda: database.transact(lambda u: crossborder.fund(u, made.id, merchant=OTHER_SHOP)),
        lambda: database.transact(
            lambda u: crossborder.reject(u, made.id, reason="x", merchant=OTHER_SHOP)
        ),
        lambda: desk.make(merchant=OTHER_SHOP, quote=made.quote, payment_no="Y"),
    ]
    for step in steps[:-1]:
        with pytest.raises(crossborder.CrossBorderIsUnknown):
            step()
    with pytest.raises(quotes.QuoteIsUnknown):
        steps[-1]()
    with pytest.raises(crossborder.CrossBorderNoWasUsed):
        desk.make(payment_no=made.payment_no)


def open_cases(database: Database) -> int:
    with database.reading() as connection:
        found = connection.execute(
            sa.text("SELECT count(*) FROM cases.case_file WHERE kind = :kind"),
            {"kind": crossborder.LOOK.name},
        )
        return int(found.scalar_one())
