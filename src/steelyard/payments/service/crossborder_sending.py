"""What is asked of others about a cross-border payment, and the one place where answers count.

Nobody is asked inside of a transaction: what is wanted is written, the question asked, and the
answer recorded in a second one. `unknown` changes nothing but the time of the next question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from typing import Final
from uuid import UUID, uuid5

from steelyard.base import Database, Gate, UnitOfWork
from steelyard.cases import open_case
from steelyard.kernel import Refusal
from steelyard.ledger import AccountKind, Heading, NewAccount, Transfer, open_accounts
from steelyard.payments.model import accounts
from steelyard.payments.model.crossborder import (
    Cross,
    CrossState,
    Deal,
    Delivery,
    Leg,
    LegState,
    LossOwner,
    Remittance,
    Remitter,
    Word,
    end_of,
)
from steelyard.payments.model.crossborder_refusals import (
    CrossBorderIsHeld,
    CrossBorderStateForbids,
    ProviderIsUnknown,
)
from steelyard.payments.model.crossborder_routes import MOST_LEGS
from steelyard.payments.model.fx import slip_ppm
from steelyard.payments.model.fx_refusals import (
    OwnCurrencyIsShort,
    RateIsHeld,
    RateIsStale,
    RateIsUnknown,
)
from steelyard.payments.model.orders import Mode
from steelyard.payments.service import crossborder, fx_facts, institution, quotes
from steelyard.payments.service.clearing_books import own_code
from steelyard.payments.service.crossborder import NameScreen, hold, locked, note, record
from steelyard.payments.service.fx_books import (
    GAIN,
    RETURN_LOSS,
    chained,
    claims,
    give_from_own,
    have_client,
    open_currency,
    post_covered,
    take_to_own,
)
from steelyard.payments.service.institution import CAUSE, Institution
from steelyard.payments.service.payouts import PayoutsAreStopped, must_not_be_stopped
from steelyard.payments.store import crossborder as table
from steelyard.payments.store import quotes as quote_table

__all__ = ["CrossBorder", "NoNames", "PayoutsAreStopped", "SandboxRemitter"]

_SENT: Final = "rule.cross_border_sent@1"
_ENDED: Final = "rule.cross_border_ended@1"
_ASK_AGAIN: Final = timedelta(minutes=5)
_WAITS: Final = (RateIsStale, RateIsHeld, RateIsUnknown, OwnCurrencyIsShort)
"""What is against converting a return now, and not later."""


class NoNames:
    """The screen of a house without lists of names: the gate alone decides."""

    def hits(self, name: str, country: str) -> tuple[str, ...]:
        """Return nothing."""
        return ()


@dataclass(frozen=True, slots=True)
class SandboxRemitter:
    """Stands for every provider in the sandbox, where no money is real; it asks nobody.

    It deals at the quoted rate and credits at once, unless the beneficiary's account ends with
    `-RETURN` (comes back less a hundredth), `-PENDING` (taken, and never heard of) or `-DOWN`.
    """

    code: str

    def execute(self, deal: Deal) -> Decimal:
        """Return the quoted rate."""
        return deal.quoted

    def send(self, remittance: Remittance) -> Delivery:
        """Answer by the ending of the account."""
        account = remittance.beneficiary.get("account", "")
        if account.endswith("-RETURN"):
            net = remittance.amount_minor * 99 // 100
            return Delivery(word=Word.RETURNED, net_minor=net, reference="SANDBOX")
        if account.endswith("-DOWN"):
            return Delivery(word=Word.NOT_SENT)
        is_taken = account.endswith("-PENDING")
        word = Word.ACCEPTED if is_taken else Word.CREDITED
        return Delivery(word=word, reference="SANDBOX")

    def query(self, number: str) -> Delivery:
        """Know nothing: it keeps nothing."""
        return Delivery(word=Word.UNKNOWN)

    def recall(self, number: str) -> Delivery:
        """Know nothing: it keeps nothing."""
        return Delivery(word=Word.UNKNOWN)


@dataclass(frozen=True, slots=True)
class CrossBorder:
    """What asks the gate and the providers of cross-border payments.

    Attributes
    ----------
    remitters : providers of live payments by code; the sandbox never reaches them
    """

    database: Database
    gate: Gate
    remitters: Mapping[str, Remitter]
    names: NameScreen = field(default_factory=NoNames)

    def advance(
        self, payment: UUID, *, merchant: UUID | None = None, actor: str = "system:cross_border"
    ) -> Cross:
        """Take a payment as far as it goes, after its payer confirmed; said again it goes on.

        Returns
        -------
        Cross
            Sent or ended; or held, or with a provider that did not answer yet.

        Refusals
        --------
        cross_border_is_unknown, quote_has_expired, quote_is_not_active, balance_does_not_cover,
        own_currency_is_short, provider_is_unknown, cross_border_state_forbids
        """
        with self.database.reading() as connection:
            found = crossborder.read(connection, payment, merchant=merchant)
        steps: dict[CrossState, Callable[[], Cross]] = {
            CrossState.QUOTED: lambda: self.database.transact(
                lambda unit: crossborder.accept(unit, payment), actor=actor
            ),
            CrossState.LOCKED: lambda: self.screen(payment, actor=actor),
            CrossState.SCREENED: lambda: self.database.transact(
                lambda unit: crossborder.fund(unit, payment), actor=actor
            ),
            CrossState.FUNDED: lambda: self.convert(payment, actor=actor),
            CrossState.CONVERTED: lambda: self.send(payment, actor=actor),
        }
        for _ in range(len(steps)):
            step = steps.get(found.state)
            if step is None or found.hold:
                break
            found = step()
        return found

    def screen(self, payment: UUID, *, actor: str = "system:cross_border") -> Cross:
        """Ask the gate and the lists of names about a locked payment.

        Refusals
        --------
        cross_border_is_unknown, cross_border_state_forbids, cross_border_is_held; those of the gate
        """
        with self.database.reading() as connection:
            found = table.read(connection, payment)
        if found.state is not CrossState.LOCKED:
            raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="screened")
        if found.hold:
            raise CrossBorderIsHeld(payment=payment, why=found.hold)
        facts: dict[str, object] = {
            "merchant": found.merchant,
            "amount_minor": found.sell_minor,
            "currency": found.sell,
            "country": found.country,
            "method": "transfer",
            "scenario": "cross_border",
            "is_online": True,
        }
        verdict = self.gate.ask(crossborder.SCENE, facts, self.database.now())
        hits = self.names.hits(found.beneficiary.get("name", ""), found.country)
        return self.database.transact(
            lambda unit: crossborder.apply_verdict(unit, payment, verdict, hits), actor=actor
        )

    def convert(self, payment: UUID, *, actor: str = "system:cross_border") -> Cross:
        """Have the providers deal, each within the slip cap, and convert the payer's money.

        A provider that deals at a worse rate, or not at all, is left out, and its part is brought
        by others; where nobody is left, the payment stays funded and people look at it.

        Refusals
        --------
        cross_border_is_unknown, cross_border_state_forbids, cross_border_is_held,
        own_currency_is_short
        """
        tried: frozenset[str] = frozenset()
        for _ in range(MOST_LEGS + 1):
            with self.database.reading() as connection:
                found = table.read(connection, payment)
                quote = quote_table.read(connection, found.quote)
            if found.state is CrossState.CONVERTED:
                return found
            if found.state is not CrossState.FUNDED:
                raise CrossBorderStateForbids(
                    payment=payment, state=found.state.value, verb="converted"
                )
            if found.hold:
                raise CrossBorderIsHeld(payment=payment, why=found.hold)
            dealt = {leg.no: self._deal(found, leg, quote.market) for leg in found.legs}
            bad = frozenset(
                leg.provider
                for leg in found.legs
                if not _is_within(dealt[leg.no], quote.market, found.slip_cap_ppm)
            )
            if not bad:
                return self.database.transact(
                    lambda u, d=dealt: _convert(u, payment, d),  # type: ignore[misc]
                    actor=actor,
                )
            tried |= bad
            after = self.database.transact(
                lambda u, t=tried, d=dealt: _replan(u, payment, t, d),  # type: ignore[misc]
                actor=actor,
            )
            if after.hold:
                return after
        raise AssertionError("more providers were tried than a payment has")

    def send(self, payment: UUID, *, actor: str = "system:cross_border") -> Cross:
        """Send the legs of a converted payment that were not sent.

        Refusals
        --------
        cross_border_is_unknown, cross_border_state_forbids, provider_is_unknown,
        payouts_are_stopped : the reserve does not tie out
        """
        with self.database.reading() as connection:
            found = table.read(connection, payment)
        for leg in found.legs:
            self._of(found, leg)
        found, wanted = self.database.transact(lambda unit: _intend(unit, payment), actor=actor)
        for leg in found.legs:
            # One that is under way from before is asked about, and not sent again.
            if leg.no in wanted:
                said = self._of(found, leg).send(_request(found, leg))
                found = self.report(payment, leg.no, said, source="answer", actor=actor)
        return found

    def poll(self, *, limit: int = 100, actor: str = "system:cross_border") -> int:
        """Ask about the legs whose turn it is; return how many."""
        now = self.database.now()
        with self.database.reading() as connection:
            due = table.due(connection, now, limit)
        for payment, no in due:
            with self.database.reading() as connection:
                found = table.read(connection, payment)
            leg = next(one for one in found.legs if one.no == no)
            said = self._of(found, leg).query(leg.number)
            if said.word is Word.NOT_SENT and leg.state is LegState.SENDING:
                said = self._of(found, leg).send(_request(found, leg))
            self.report(payment, no, said, source="query", actor=actor)
        return len(due)

    def recall(self, payment: UUID, *, actor: str = "system:cross_border") -> Cross:
        """Ask the providers to get back what did not arrive yet; only their word ends it.

        Refusals
        --------
        cross_border_is_unknown, cross_border_state_forbids, provider_is_unknown
        """
        with self.database.reading() as connection:
            found = table.read(connection, payment)
        if found.state is not CrossState.SENT:
            raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="recalled")
        for leg in found.legs:
            if leg.state is LegState.SENT:
                said = self._of(found, leg).recall(leg.number)
                found = self.report(payment, leg.no, said, source="recall", actor=actor)
        return found

    def report(
        self,
        payment: UUID,
        no: int,
        said: Delivery,
        *,
        source: str,
        actor: str = "system:cross_border",
    ) -> Cross:
        """Let a provider's word about a leg count: recorded, ruled on, and posted.

        A return that cannot be converted now is kept, and taken up when it is asked for again.
        """
        try:
            return self.database.transact(
                lambda unit: _rule(unit, payment, no, said, source), actor=actor
            )
        except _WAITS as refusal:
            why: Refusal = refusal
            return self.database.transact(
                lambda unit: _wait(unit, payment, no, said, why), actor=actor
            )

    def _deal(self, cross: Cross, leg: Leg, quoted: Decimal) -> Decimal | None:
        if leg.executed is not None:
            return leg.executed
        deal = Deal(
            number=leg.number,
            sell=cross.sell,
            buy=cross.buy,
            buy_minor=leg.buy_minor,
            quoted=quoted,
        )
        return self._of(cross, leg).execute(deal)

    def _of(self, cross: Cross, leg: Leg) -> Remitter:
        if cross.mode is Mode.SANDBOX:
            return SandboxRemitter(leg.provider)
        found = self.remitters.get(leg.provider)
        if found is None:
            raise ProviderIsUnknown(provider=leg.provider)
        return found


def _is_within(executed: Decimal | None, quoted: Decimal, cap_ppm: int) -> bool:
    return executed is not None and executed > 0 and slip_ppm(quoted, executed) <= cap_ppm


def _request(cross: Cross, leg: Leg) -> Remittance:
    return Remittance(
        number=leg.number,
        currency=cross.buy,
        amount_minor=leg.buy_minor,
        beneficiary=cross.beneficiary,
        purpose=cross.purpose,
    )


def _convert(unit: UnitOfWork, payment: UUID, dealt: Mapping[int, Decimal | None]) -> Cross:
    found = locked(unit, payment, None)
    if found.state is not CrossState.FUNDED or {leg.no for leg in found.legs} != set(dealt):
        raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="converted")
    quote = quote_table.read(unit.connection, found.quote)
    for leg in found.legs:
        executed = dealt[leg.no]
        assert executed is not None, "all have dealt"
        table.update_leg(
            unit.connection,
            leg,
            replace(
                leg,
                state=LegState.CONVERTED,
                executed=executed,
                slip_ppm=slip_ppm(quote.market, executed),
            ),
        )
    table.update(unit.connection, found, replace(found, state=CrossState.CONVERTED))
    record(unit, fx_facts.CrossBorderConverted, found)
    note(unit, found, "converted", rates={str(no): str(rate) for no, rate in dealt.items()})
    book = quotes.Book(
        id=crossborder.conversion_id(payment),
        quote=quote.id,
        payment=payment,
        debit=accounts.cross_border(found.sell),
        credit=accounts.cross_border(found.buy),
    )
    quotes.book_consumed(unit, quote, book, None)
    return table.read(unit.connection, payment)


def _replan(
    unit: UnitOfWork,
    payment: UUID,
    tried: frozenset[str],
    dealt: Mapping[int, Decimal | None],
) -> Cross:
    """Have others bring what some providers do not deal for; hold the payment where nobody does."""
    found = locked(unit, payment, None)
    if found.state is not CrossState.FUNDED or {leg.no for leg in found.legs} != set(dealt):
        raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="converted")
    quote = quote_table.read(unit.connection, found.quote)
    slipped = {leg.provider: str(dealt[leg.no]) for leg in found.legs if leg.provider in tried}
    note(unit, found, "rate_slipped", quoted=str(quote.market), dealt=slipped)
    choice, known = crossborder.routes(
        unit, quote, crossborder.new_of(found, quote.id), without=tried
    )
    if not choice.parts:
        hold(unit, found, "rate_slipped", why_not=choice.why)
        return table.read(unit.connection, payment)
    legs = crossborder.legs_of(
        unit,
        payment,
        choice,
        known,
        sell_minor=found.sell_minor,
        first=1 + max(leg.no for leg in found.legs),
    )
    table.drop_planned(unit.connection, payment)
    table.insert_legs(unit.connection, legs)
    promised = choice.arrives_at
    assert promised is not None, "a part has a provider"
    # What the payer was told to pay stays: that another provider is dearer is our cost.
    after = replace(found, choice=crossborder.shown_choice(choice), promised_at=promised)
    table.update(unit.connection, found, after)
    return table.read(unit.connection, payment)


def _intend(unit: UnitOfWork, payment: UUID) -> tuple[Cross, frozenset[int]]:
    """Write which legs are to be sent, and return their numbers."""
    found = locked(unit, payment, None)
    if found.state is not CrossState.CONVERTED:
        raise CrossBorderStateForbids(payment=payment, state=found.state.value, verb="sent")
    # Client money leaves by this: not while the reserve is off.
    must_not_be_stopped(unit.connection, found.mode, found.buy)
    wanted = [leg for leg in found.legs if leg.state is LegState.CONVERTED]
    for leg in wanted:
        after = replace(leg, state=LegState.SENDING, next_query_at=unit.now + _ASK_AGAIN)
        table.update_leg(unit.connection, leg, after)
        note(unit, found, "sending", leg=leg.no, provider=leg.provider)
    return table.read(unit.connection, payment), frozenset(leg.no for leg in wanted)


def _wait(unit: UnitOfWork, payment: UUID, no: int, said: Delivery, why: Refusal) -> Cross:
    found = locked(unit, payment, None)
    leg = next(one for one in found.legs if one.no == no)
    note(unit, found, "return_waits", leg=no, why=why.code, net_minor=said.net_minor)
    table.update_leg(unit.connection, leg, replace(leg, next_query_at=unit.now + _ASK_AGAIN))
    open_case(unit, crossborder.LOOK.name, found.subject)
    return table.read(unit.connection, payment)


def _rule(unit: UnitOfWork, payment: UUID, no: int, said: Delivery, source: str) -> Cross:
    """Record what was said of a leg, and decide what it changes; the postings come last."""
    found = locked(unit, payment, None)
    leg = next(one for one in found.legs if one.no == no)
    note(
        unit,
        found,
        "provider_said",
        leg=no,
        word=said.word.value,
        source=source,
        net_minor=said.net_minor,
        why=said.why,
    )
    word = said.word
    is_back = word in (Word.RETURNED, Word.RECALLED)
    if is_back and not 0 <= (said.net_minor if said.net_minor is not None else -1) <= leg.buy_minor:
        word, is_back = Word.UNKNOWN, False
    was_out = leg.state in (LegState.SENDING, LegState.SENT)
    if leg.state in (LegState.RETURNED, LegState.RECALLED):
        # Its money is with the payer again: another word about it is for people.
        if word is Word.CREDITED:
            open_case(unit, crossborder.LOOK.name, found.subject)
        return found
    if not was_out and not (leg.state is LegState.CREDITED and is_back):
        return found
    if word is Word.ACCEPTED and leg.state is LegState.SENDING:
        return _sent(unit, found, leg, said)
    if word is Word.CREDITED and was_out:
        return _credited(unit, found, leg, said)
    if is_back:
        return _came_back(unit, found, leg, said)
    wanted = replace(leg, next_query_at=unit.now + _ASK_AGAIN)
    table.update_leg(unit.connection, leg, wanted)
    return table.read(unit.connection, payment)


def _sent(unit: UnitOfWork, found: Cross, leg: Leg, said: Delivery) -> Cross:
    after = replace(
        leg,
        state=LegState.SENT,
        sent_at=unit.now,
        reference=said.reference or leg.reference,
        next_query_at=unit.now + _ASK_AGAIN,
    )
    house = _open(unit, found, leg)
    postings = _leaving(house, found, leg)
    return _write(unit, found, leg, after, postings)


def _credited(unit: UnitOfWork, found: Cross, leg: Leg, said: Delivery) -> Cross:
    house = _open(unit, found, leg)
    postings = () if leg.state is LegState.SENT else _leaving(house, found, leg)
    heading = _heading(house, found, leg, "credited", found.buy)
    owed, transit = accounts.cross_border(found.buy), _transit(leg.provider, found.buy)
    postings = (*postings, heading.transfer(0, owed, transit, leg.buy_minor))
    after = replace(
        leg,
        state=LegState.CREDITED,
        sent_at=leg.sent_at or unit.now,
        ended_at=min(said.at or unit.now, unit.now),
        reference=said.reference or leg.reference,
        next_query_at=None,
    )
    return _write(unit, found, leg, after, postings)


def _came_back(unit: UnitOfWork, found: Cross, leg: Leg, said: Delivery) -> Cross:
    """Take a leg back: net of fees, into the currency it was paid in, and a loss to its owner."""
    assert said.net_minor is not None, "it was ruled on"
    net, house = said.net_minor, _open(unit, found, leg)
    owed, transit = accounts.cross_border(found.buy), _transit(leg.provider, found.buy)
    heading = _heading(house, found, leg, f"returned/{leg.version}", found.buy)
    postings: list[Transfer] = []
    if leg.state is LegState.SENDING:
        postings += _leaving(house, found, leg)
    if leg.state is LegState.CREDITED:
        # It was credited and sent back afterwards: it is under way once more.
        postings.append(heading.transfer(0, transit, owed, leg.buy_minor))
    if net:
        postings.append(heading.transfer(1, accounts.settlement(found.buy), transit, net))
    if net < leg.buy_minor:
        postings.append(heading.transfer(2, owed, transit, leg.buy_minor - net))
    payer = accounts.available(found.merchant, found.sell)
    back = quotes.Back(0, house.client_book, ())
    if net:
        back = quotes.convert_back(
            unit,
            uuid5(found.id, f"back/{leg.no}/{leg.version}"),
            crossborder.conversion_id(found.id),
            buy_minor=net,
            at_rate=found.return_rate,
            debit=owed,
            credit=payer,
        )
    loss = leg.sell_minor - back.sell_minor
    evened = _evened(unit, house, found, leg, loss)
    is_payers = found.loss_owner is LossOwner.PAYER
    after = replace(
        leg,
        state=LegState.RECALLED if said.word is Word.RECALLED else LegState.RETURNED,
        sent_at=leg.sent_at or unit.now,
        ended_at=unit.now,
        returned_minor=net,
        back_minor=back.sell_minor if is_payers else leg.sell_minor,
        loss_minor=loss,
        reference=said.reference or leg.reference,
        next_query_at=None,
    )
    return _write(unit, found, leg, after, (*postings, *back.transfers, *evened))


def _evened(
    unit: UnitOfWork, house: Institution, found: Cross, leg: Leg, loss: int
) -> tuple[Transfer, ...]:
    """Return what makes the payer whole where the contract names another owner of the loss."""
    if found.loss_owner is LossOwner.PAYER or not loss:
        return ()
    entry = uuid5(found.id, f"loss/{leg.no}/{leg.version}")
    payer = accounts.available(found.merchant, found.sell)
    if loss < 0:
        return take_to_own(
            house,
            entry,
            client_debit=payer,
            own_credit=own_code(GAIN, found.sell),
            currency=found.sell,
            amount_minor=-loss,
            cause=_ENDED,
        )
    borne = own_code(RETURN_LOSS, found.sell)
    if found.loss_owner is LossOwner.PROVIDER:
        borne = claims(leg.provider, found.sell)
        wanted = NewAccount(code=borne, currency=found.sell, kind=AccountKind.ASSET)
        open_accounts(unit, house.own_book, [wanted], cause=CAUSE)
    return give_from_own(
        house,
        entry,
        own_debit=borne,
        client_credit=payer,
        currency=found.sell,
        amount_minor=loss,
        cause=_ENDED,
    )


def _write(
    unit: UnitOfWork, found: Cross, leg: Leg, after: Leg, postings: tuple[Transfer, ...]
) -> Cross:
    """Write a leg and what it makes of its payment, tell it, and post."""
    table.update_leg(unit.connection, leg, after)
    legs = tuple(after if one.no == leg.no else one for one in found.legs)
    cross = replace(found, legs=legs)
    out = (LegState.SENT, LegState.CREDITED, LegState.RETURNED, LegState.RECALLED)
    if found.state is CrossState.CONVERTED and all(one.state in out for one in legs):
        cross = replace(cross, state=CrossState.SENT)
        record(unit, fx_facts.CrossBorderSent, found, promised_at=found.promised_at)
        house = institution.read_known(unit.connection, found.mode)
        heading = _heading(house, found, leg, "fees", found.sell)
        if found.charge_minor:
            debit, credit = accounts.cross_border(found.sell), accounts.fees_due(found.sell)
            have_client(unit, house, (credit, found.sell))
            fee = heading.transfer(9, debit, credit, found.charge_minor)
            postings = (*postings, fee)
    end = end_of(legs)
    if end is not None and end is not cross.state:
        ended = max(one.ended_at for one in legs if one.ended_at is not None)
        cross = replace(cross, state=end, ended_at=ended)
        _tell_end(unit, cross)
    table.update(unit.connection, found, cross)
    note(unit, found, after.state.value, leg=leg.no, loss_minor=after.loss_minor)
    if postings:
        house = institution.read_known(unit.connection, found.mode)
        debits = tuple(str(one.debit) for one in postings)
        covered = tuple(code for code in debits if code.startswith(("mirror:", "cross_border:")))
        post_covered(unit, chained(postings), book=house.client_book, never_negative=covered)
    return table.read(unit.connection, found.id)


def _tell_end(unit: UnitOfWork, cross: Cross) -> None:
    if cross.state is CrossState.CREDITED:
        record(
            unit,
            fx_facts.CrossBorderCredited,
            cross,
            promised_at=cross.promised_at,
            credited_at=cross.ended_at,
        )
        return
    is_recalled = cross.state is CrossState.RECALLED
    fact = fx_facts.CrossBorderRecalled if is_recalled else fx_facts.CrossBorderReturned
    record(
        unit,
        fact,
        cross,
        back_minor=sum(one.back_minor or 0 for one in cross.legs),
        loss_minor=sum(one.loss_minor or 0 for one in cross.legs),
        loss_owner=cross.loss_owner.value,
    )


def _leaving(house: Institution, found: Cross, leg: Leg) -> tuple[Transfer, ...]:
    heading = _heading(house, found, leg, "sent", found.buy, cause=_SENT)
    transit, reserve = _transit(leg.provider, found.buy), accounts.settlement(found.buy)
    return (heading.transfer(0, transit, reserve, leg.buy_minor),)


def _open(unit: UnitOfWork, found: Cross, leg: Leg) -> Institution:
    house = institution.read_known(unit.connection, found.mode)
    for currency in (found.sell, found.buy):
        open_currency(unit, house, currency)
    have_client(
        unit,
        house,
        (_transit(leg.provider, found.buy), found.buy),
        (accounts.settlement(found.buy), found.buy),
        (accounts.available(found.merchant, found.sell), found.sell),
    )
    return house


def _transit(provider: str, currency: str) -> str:
    return accounts.in_transit(f"xb_{provider}", currency)


def _heading(
    house: Institution, found: Cross, leg: Leg, what: str, currency: str, *, cause: str = _ENDED
) -> Heading:
    return Heading(
        entry=uuid5(found.id, f"{what}/{leg.no}"),
        book=house.client_book,
        currency=currency,
        cause=cause,
        metadata={"cross_border": str(found.id), "leg": leg.no},
    )
