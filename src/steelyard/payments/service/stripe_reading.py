"""Reading for the Stripe-compatible API: objects by id and in pages, each merchant its own.

Nothing is kept twice: an object is written anew from the core whenever it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from steelyard.base.crypto import Keyring
from steelyard.ledger import BookReader
from steelyard.payments.model import accounts, stripe_objects
from steelyard.payments.model.attempts import Attempt
from steelyard.payments.model.disputes import Money
from steelyard.payments.model.orders import Mode, Order
from steelyard.payments.model.stripe_ids import from_id, noun_of, to_id
from steelyard.payments.model.stripe_objects import PAYOUTS, Json, balance_id, balance_of, seconds
from steelyard.payments.model.stripe_records import FacadeCustomer, FacadeMethod, FacadeNote
from steelyard.payments.model.stripe_refusals import FacadeObjectIsUnknown
from steelyard.payments.service import fees, institution, settlement
from steelyard.payments.store import attempts as attempts_table
from steelyard.payments.store import clearing as clearing_table
from steelyard.payments.store import disputes as dispute_table
from steelyard.payments.store import orders as order_table
from steelyard.payments.store import refunds as refund_table
from steelyard.payments.store import stripe_lists, stripe_records
from steelyard.payments.store.stripe_lists import Wanted

__all__ = ["Owner", "Reader", "Wanted", "personal_context"]


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose objects a request sees: of a merchant, in one mode."""

    merchant: UUID
    mode: Mode


def personal_context(customer: UUID) -> str:
    """Return the place of a customer's data, which its seal is bound to."""
    return f"payments.facade_customer.{customer}"


class Reader:
    """Reads the objects of an owner within a transaction."""

    def __init__(self, connection: sa.Connection, keyring: Keyring, owner: Owner) -> None:
        self._connection = connection
        self._keyring = keyring
        self._owner = owner
        self._ways: dict[str, Callable[[Sequence[UUID]], dict[UUID, Json]]] = {
            "payment_intent": self._intents,
            "charge": self._charges,
            "refund": self._refunds,
            "customer": self._customers,
            "payment_method": self._methods,
            "setup_intent": self._setups,
            "dispute": self._disputes,
            "payout": self._payouts,
        }

    def one(self, noun: str, id: UUID, *, param: str = "id") -> Json:
        """Return an object.

        Refusals
        --------
        facade_object_is_unknown
        """
        found = self._ways[noun]([id]).get(id)
        if found is None:
            raise FacadeObjectIsUnknown(noun=noun, id=to_id(noun, id), param=param)
        return found

    def lookup(self, text: str) -> Json | None:
        """Return what an id outside names; None where it names nothing that can be looked up."""
        behind = balance_of(text)
        if behind is not None:
            return self.balance_transaction(text)
        noun = noun_of(text)
        if noun not in self._ways:
            return None
        return self.one(noun, from_id(noun, text))

    def page(self, noun: str, wanted: Wanted, url: str) -> Json:
        """Return a page of objects.

        Refusals
        --------
        facade_object_is_unknown : the page is to be behind or before nothing
        """
        for param, id in (("starting_after", wanted.after), ("ending_before", wanted.before)):
            if id is None:
                continue
            if not self._has(noun, id):
                raise FacadeObjectIsUnknown(noun=noun, id=id.hex, param=param)
        rows, has_more = stripe_lists.page(self._connection, noun, wanted)
        if noun == "balance_transaction":
            ids = [balance_id(row.noun, row.id.hex) for row in rows]
            items = [self.balance_transaction(id) for id in ids]
        else:
            found = self._ways[noun]([row.id for row in rows])
            items = [found[row.id] for row in rows]
        return stripe_objects.listed(url, items, has_more=has_more)

    def order(self, id: UUID, *, param: str = "intent") -> Order:
        """Return an order of the owner.

        Refusals
        --------
        facade_object_is_unknown
        """
        found = order_table.find(self._connection, [id]).get(id)
        if found is None or not self._owns(found.merchant, found.mode):
            outside = to_id("payment_intent", id)
            raise FacadeObjectIsUnknown(noun="payment_intent", id=outside, param=param)
        return found

    def order_of_charge(self, charge: UUID, *, param: str = "charge") -> UUID:
        """Return the order that a charge tried to pay.

        Refusals
        --------
        facade_object_is_unknown
        """
        of = stripe_lists.orders_of_attempts(self._connection, [charge]).get(charge)
        if of is None or self._orders([of]).get(of) is None:
            raise FacadeObjectIsUnknown(noun="charge", id=to_id("charge", charge), param=param)
        return of

    def note(self, about: str) -> FacadeNote:
        """Return what is kept with an object; an empty note where there is none."""
        return self._notes([about])[about]

    def method(self, id: UUID, *, param: str = "payment_method") -> FacadeMethod:
        """Return what a payer of the owner pays with.

        Refusals
        --------
        facade_object_is_unknown
        """
        found = stripe_records.find_methods(self._connection, [id]).get(id)
        if found is None or not self._owns(found.merchant, found.mode) or found.is_detached:
            outside = to_id("payment_method", id)
            raise FacadeObjectIsUnknown(noun="payment_method", id=outside, param=param)
        return found

    def customer(self, id: UUID, *, param: str = "customer") -> FacadeCustomer:
        """Return a customer of the owner with his data; one who was deleted too.

        Refusals
        --------
        facade_object_is_unknown
        """
        found = self._known_customers([id]).get(id)
        if found is None:
            outside = to_id("customer", id)
            raise FacadeObjectIsUnknown(noun="customer", id=outside, param=param)
        return found

    def balance(self) -> Json:
        """Return what a merchant is owed, after clearing and before it."""
        house = institution.find(self._connection, self._owner.mode)
        parts: dict[str, list[Json]] = {"available": [], "pending": []}
        if house is not None:
            book = BookReader(self._connection, house.client_book)
            merchant = self._owner.merchant
            for currency in self._currencies():
                codes = {
                    "available": accounts.available(merchant, currency),
                    "pending": accounts.pending(merchant, currency),
                }
                held = book.balances(list(codes.values()))
                for name, code in codes.items():
                    amount = -held.get(code, 0)
                    parts[name].append({"amount": amount, "currency": currency.lower()})
        return {"object": "balance", "livemode": self._owner.mode is Mode.LIVE, **parts}

    def balance_transaction(self, text: str) -> Json:
        """Return what an object did to the merchant's balance.

        Refusals
        --------
        facade_object_is_unknown
        """
        unknown = FacadeObjectIsUnknown(noun="balance_transaction", id=text[:60], param="id")
        behind = balance_of(text)
        if behind is None:
            raise unknown
        noun, hex = behind
        try:
            id = UUID(hex)
        except ValueError:
            raise unknown from None
        moved = {
            "charge": self._of_charge,
            "refund": self._of_refund,
            "dispute": self._of_dispute,
            "payout": self._of_payout,
        }[noun](id)
        if moved is None:
            raise unknown
        return {
            "id": text,
            "object": "balance_transaction",
            "description": None,
            "exchange_rate": None,
            "reporting_category": moved["type"],
            "source": to_id(noun, id),
            **moved,
        }

    def _has(self, noun: str, id: UUID) -> bool:
        whose = stripe_lists.owner_of(self._connection, noun, id)
        return whose == (self._owner.merchant, self._owner.mode)

    def _owns(self, merchant: UUID, mode: Mode) -> bool:
        return (merchant, mode) == (self._owner.merchant, self._owner.mode)

    def _currencies(self) -> Sequence[str]:
        terms = self._connection.execute(
            sa.text("SELECT currencies FROM payments.merchant WHERE id = :id"),
            {"id": self._owner.merchant},
        ).scalar()
        return terms or ()

    def _orders(self, ids: Sequence[UUID]) -> dict[UUID, Order]:
        found = order_table.find(self._connection, ids)
        return {id: one for id, one in found.items() if self._owns(one.merchant, one.mode)}

    def _notes(self, abouts: Sequence[str]) -> dict[str, FacadeNote]:
        found = stripe_records.find_notes(self._connection, abouts)
        return {
            about: found.get(about) or FacadeNote(about=about, merchant=self._owner.merchant)
            for about in abouts
        }

    def _tried(self, orders: Sequence[UUID]) -> dict[UUID, list[Attempt]]:
        ids = stripe_lists.attempts_of(self._connection, orders)
        held = attempts_table.find(self._connection, [one for many in ids.values() for one in many])
        return {order: [held[id] for id in many] for order, many in ids.items()}

    def _intents(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        orders = self._orders(ids)
        tried = self._tried(list(orders))
        notes = self._notes([to_id("payment_intent", id) for id in orders])
        methods = self._methods_of(notes.values())
        found = {}
        for id, order in orders.items():
            note = notes[to_id("payment_intent", id)]
            method = methods.get(note.details.get("payment_method", ""))
            found[id] = stripe_objects.payment_intent(order, tried.get(id, []), note, method)
        return found

    def _methods_of(self, notes: Any) -> dict[str, FacadeMethod]:
        """Return what payments are paid with, by hex digits of the id."""
        named = {
            value
            for note in notes
            for key, value in note.details.items()
            if key == "payment_method" or key.startswith("method_")
        }
        wanted = [UUID(hex) for hex in named if hex]
        methods = stripe_records.find_methods(self._connection, wanted)
        return {id.hex: method for id, method in methods.items()}

    def _charges(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        of = stripe_lists.orders_of_attempts(self._connection, ids)
        orders = self._orders(list(of.values()))
        held = attempts_table.find(self._connection, [id for id in of if of[id] in orders])
        notes = self._notes([to_id("payment_intent", id) for id in orders])
        methods = self._methods_of(notes.values())
        found = {}
        for id, attempt in held.items():
            note = notes[to_id("payment_intent", attempt.order)]
            method = methods.get(note.details.get(f"method_{id.hex}", ""))
            found[id] = stripe_objects.charge(orders[attempt.order], attempt, note, method)
        return found

    def _refunds(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        held = refund_table.find(self._connection, ids)
        notes = self._notes([to_id("refund", id) for id in held])
        return {
            id: stripe_objects.refund(one, notes[to_id("refund", id)])
            for id, one in held.items()
            if self._owns(one.merchant, one.mode)
        }

    def _known_customers(self, ids: Sequence[UUID]) -> dict[UUID, FacadeCustomer]:
        held = {
            id: pair
            for id, pair in stripe_records.find_customers(self._connection, ids).items()
            if self._owns(pair[0].merchant, pair[0].mode)
        }
        sealed = [(id, text) for id, (_, text) in held.items() if text is not None]
        texts = self._keyring.unseal_many(
            self._connection, [(text, personal_context(id)) for id, text in sealed]
        )
        told = {id: json.loads(text) for (id, _), text in zip(sealed, texts, strict=True)}
        return {
            id: replace(customer, personal=told.get(id, {})) for id, (customer, _) in held.items()
        }

    def _customers(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        known = self._known_customers(ids)
        return {id: stripe_objects.customer(one) for id, one in known.items()}

    def _methods(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        return {
            id: stripe_objects.payment_method(one)
            for id, one in stripe_records.find_methods(self._connection, ids).items()
            if self._owns(one.merchant, one.mode)
        }

    def _setups(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        return {
            id: stripe_objects.setup_intent(one)
            for id, one in stripe_records.find_setups(self._connection, ids).items()
            if self._owns(one.merchant, one.mode)
        }

    def _disputes(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        found = {}
        for id in ids:
            if not self._has("dispute", id):
                continue
            one = dispute_table.read(self._connection, id)
            evidence = {
                kept.evidence.kind: kept.evidence.text or kept.evidence.reference
                for kept in dispute_table.evidence_of(self._connection, id)
            }
            note = self.note(to_id("dispute", id))
            found[id] = stripe_objects.dispute(one, note, evidence)
        return found

    def _payouts(self, ids: Sequence[UUID]) -> dict[UUID, Json]:
        found = {}
        for id in ids:
            if not self._has("payout", id):
                continue
            one = settlement.read(self._connection, id)
            found[id] = stripe_objects.payout(one, self.note(to_id("payout", id)))
        return found

    def _of_charge(self, id: UUID) -> Json | None:
        of = stripe_lists.orders_of_attempts(self._connection, [id]).get(id)
        order = None if of is None else self._orders([of]).get(of)
        if order is None or order.paid_by != id or order.captured_minor == 0:
            return None
        attempt = attempts_table.find(self._connection, [id])[id]
        cleared = clearing_table.lines_about(self._connection, [id]).get(id)
        if cleared is not None:
            fee = cleared[1]
        else:
            sale = fees.Sale(
                merchant=order.merchant,
                at=order.paid_at or attempt.sent_at,
                method=attempt.method,
                amount_minor=order.captured_minor,
                currency=order.currency,
                scenario=order.scenario,
            )
            fee = fees.charges(self._connection, [sale])[0].fee_minor
        created = seconds(attempt.final_at or attempt.sent_at)
        status = "pending" if cleared is None else "available"
        return _moved(
            "charge", order.captured_minor, fee, order.currency, created=created, status=status
        )

    def _of_refund(self, id: UUID) -> Json | None:
        one = refund_table.find(self._connection, [id]).get(id)
        if one is None or not self._owns(one.merchant, one.mode):
            return None
        created = seconds(one.asked_at)
        back = -one.fee_returned_minor
        return _moved("refund", -one.amount_minor, back, one.currency, created=created)

    def _of_dispute(self, id: UUID) -> Json | None:
        if not self._has("dispute", id):
            return None
        one = dispute_table.read(self._connection, id)
        if one.money is Money.NONE:
            return None
        created = seconds(one.opened_at)
        held = -one.held_minor
        return _moved("adjustment", held, one.fee_minor, one.currency, created=created)

    def _of_payout(self, id: UUID) -> Json | None:
        if not self._has("payout", id):
            return None
        one = settlement.read(self._connection, id)
        assert one.state in PAYOUTS, "the list has no others"
        amount = -one.payable.amount_minor
        created = seconds(one.calculated_at)
        return _moved("payout", amount, 0, one.currency, created=created)


def _moved(type: str, amount: int, fee: int, currency: str, **more: Any) -> Json:
    """Return the money of a balance transaction."""
    told = {"amount": fee, "currency": currency.lower(), "type": "stripe_fee", "application": None}
    return {
        "type": type,
        "amount": amount,
        "fee": fee,
        "fee_details": [{**told, "description": "Fee of the plan"}] if fee else [],
        "net": amount - fee,
        "currency": currency.lower(),
        "available_on": more["created"],
        "status": "available",
        **more,
    }
