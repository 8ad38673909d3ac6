"""Customers, what they pay with, and set-ups of the Stripe-compatible API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from steelyard.base import Settings, UnitOfWork
from steelyard.base.audit import audit
from steelyard.base.crypto import Keyring
from steelyard.payments.model.orders import Mode
from steelyard.payments.model.stripe_cards import (
    Card,
    card_of_number,
    card_of_token,
    is_card_number,
)
from steelyard.payments.model.stripe_forms import merged
from steelyard.payments.model.stripe_ids import from_id
from steelyard.payments.model.stripe_records import FacadeCustomer, FacadeMethod, FacadeSetup
from steelyard.payments.model.stripe_refusals import (
    CardNumbersAreNotTaken,
    FacadeObjectIsUnknown,
    FacadeParameterIsWrong,
    FacadeStateForbids,
)
from steelyard.payments.service.stripe_reading import Owner, Reader, personal_context
from steelyard.payments.store import stripe_records as table

__all__ = [
    "WALLETS",
    "Desk",
    "email_index",
    "fingerprint",
]

WALLETS = ("alipay", "wechat_pay")
_EMAIL = "payments.facade_customer.email"
_CARD = "payments.facade_method.card"


def email_index(unit_or_reader: Any, keyring: Keyring, email: str) -> bytes:
    """Return what customers with an address are found by."""
    return keyring.blind_index(unit_or_reader, email.strip().lower(), field=_EMAIL)


def fingerprint(connection: Any, keyring: Keyring, number: str) -> str:
    """Return what is the same for the same card number, and tells nothing of it."""
    return keyring.blind_index(connection, number, field=_CARD).hex()[:16]


class Desk:
    """Writes customers, methods and set-ups of an owner within a transaction."""

    def __init__(
        self, unit: UnitOfWork, keyring: Keyring, settings: Settings, owner: Owner
    ) -> None:
        self.unit = unit
        self.owner = owner
        self.reader = Reader(unit.connection, keyring, owner)
        self._keyring = keyring
        self._settings = settings

    def make_customer(
        self, id: UUID, personal: Mapping[str, object], metadata: Mapping[str, str]
    ) -> FacadeCustomer:
        """Make a customer; made before under the same id, he is returned as he stands."""
        if table.find_customers(self.unit.connection, [id]):
            return self.reader.customer(id)
        made = FacadeCustomer(
            id=id,
            merchant=self.owner.merchant,
            mode=self.owner.mode,
            created_at=self.unit.now,
            personal=personal,
            metadata=metadata,
        )
        self._write(made)
        return made

    def change_customer(
        self,
        id: UUID,
        personal: Mapping[str, object],
        metadata: Mapping[str, str] | None,
        default_method: UUID | None,
    ) -> FacadeCustomer:
        """Change a customer; what is not told stays.

        Refusals
        --------
        facade_object_is_unknown
        """
        before = self._standing(id)
        if default_method is not None:
            method = self.reader.method(default_method, param="default_payment_method")
            if method.customer != id:
                raise FacadeParameterIsWrong(
                    param="invoice_settings[default_payment_method]",
                    what="the payment method is not attached to the customer",
                )
        after = replace(
            before,
            personal={**before.personal, **personal},
            metadata=merged(before.metadata, metadata),
            default_method=default_method or before.default_method,
        )
        self._write(after)
        return after

    def delete_customer(self, id: UUID) -> None:
        """Delete a customer: his data can never be read again.

        Refusals
        --------
        facade_object_is_unknown
        """
        before = self._standing(id)
        self._keyring.destroy(self.unit.connection, _subject(id))
        self._write(replace(before, personal={}, is_deleted=True, default_method=None))
        audit(self.unit, action="payments.delete_facade_customer", subject=_subject(id))

    def _standing(self, id: UUID) -> FacadeCustomer:
        table.find_customers(self.unit.connection, [id], is_held=True)
        found = self.reader.customer(id)
        if found.is_deleted:
            raise FacadeObjectIsUnknown(noun="customer", id=f"cus_{id.hex}", param="id")
        return found

    def _write(self, customer: FacadeCustomer) -> None:
        sealed = index = None
        connection = self.unit.connection
        if not customer.is_deleted:
            text = json.dumps(dict(customer.personal), ensure_ascii=False)
            sealed = self._keyring.seal(
                connection,
                text,
                owner=_subject(customer.id),
                context=personal_context(customer.id),
            )
            email = customer.personal.get("email")
            if email:
                index = email_index(connection, self._keyring, str(email))
        table.write_customer(connection, customer, sealed=sealed, email_index=index)

    def customer(self, text: str, *, param: str = "customer") -> UUID:
        """Return the id of a customer who stands.

        Refusals
        --------
        facade_object_is_unknown
        """
        id = from_id("customer", text, param=param)
        found = self.reader.customer(id, param=param)
        if found.is_deleted:
            raise FacadeObjectIsUnknown(noun="customer", id=text[:60], param=param)
        return id

    def card(self, text: str, *, param: str) -> Card | None:
        """Return the test card that a token stands for, None where it is none.

        Refusals
        --------
        card_numbers_are_not_taken
        """
        found = card_of_token(text)
        if found is not None:
            self._must_be_play(param)
        return found

    def card_of(self, number: str, exp_month: int, exp_year: int) -> tuple[Card, str]:
        """Return what is kept of a card number, and its fingerprint; the number goes no further.

        Refusals
        --------
        card_numbers_are_not_taken, facade_parameter_is_wrong
        """
        self._must_be_play("card[number]")
        digits = number.replace(" ", "").replace("-", "")
        if not is_card_number(digits):
            raise FacadeParameterIsWrong(param="card[number]", what="it is no card number")
        print_of_it = fingerprint(self.unit.connection, self._keyring, digits)
        token = f"tok_{print_of_it}"
        card = card_of_number(digits, token=token, exp_month=exp_month, exp_year=exp_year)
        return card, print_of_it

    def _must_be_play(self, param: str) -> None:
        """Refuse where money is real."""
        if self._settings.in_production and self.owner.mode is not Mode.SANDBOX:
            raise CardNumbersAreNotTaken(param=param)

    def make_method(
        self,
        id: UUID,
        type: str,
        *,
        card: Card | None = None,
        fingerprint: str | None = None,
        customer: UUID | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> FacadeMethod:
        """Make what a payer pays with; made before under the same id, it is returned."""
        known = table.find_methods(self.unit.connection, [id]).get(id)
        if known is not None:
            return known
        shown: dict[str, Any] = {}
        if card is not None:
            names = ("token", "brand", "last4", "exp_month", "exp_year", "funding", "country")
            shown = {name: getattr(card, name) for name in names}
        made = FacadeMethod(
            id=id,
            merchant=self.owner.merchant,
            mode=self.owner.mode,
            type=type,
            created_at=self.unit.now,
            customer=customer,
            fingerprint=fingerprint,
            metadata=metadata or {},
            **shown,
        )
        table.write_method(self.unit.connection, made)
        return made

    def named_method(self, text: str, id: UUID, *, param: str = "payment_method") -> FacadeMethod:
        """Return the method of an id, or a new one of a test token.

        Parameters
        ----------
        id : of the new one

        Refusals
        --------
        facade_object_is_unknown, card_numbers_are_not_taken
        """
        card = self.card(text, param=param)
        if card is not None:
            return self.make_method(id, "card", card=card)
        return self.reader.method(from_id("payment_method", text, param=param), param=param)

    def attach(self, id: UUID, customer: UUID) -> FacadeMethod:
        """Let a customer have a method.

        Refusals
        --------
        facade_object_is_unknown, facade_state_forbids
        """
        method = self._held_method(id)
        if method.customer not in (None, customer):
            raise FacadeStateForbids(noun="payment_method", status="attached", verb="attach")
        return self._change(replace(method, customer=customer))

    def detach(self, id: UUID) -> FacadeMethod:
        """Take a method from its customer; it is never used again.

        Refusals
        --------
        facade_object_is_unknown, facade_state_forbids
        """
        method = self._held_method(id)
        if method.customer is None:
            raise FacadeStateForbids(noun="payment_method", status="not attached", verb="detach")
        return self._change(replace(method, is_detached=True))

    def change_method(self, id: UUID, metadata: Mapping[str, str] | None) -> FacadeMethod:
        """Change what is kept with a method.

        Refusals
        --------
        facade_object_is_unknown
        """
        method = self._held_method(id)
        return self._change(replace(method, metadata=merged(method.metadata, metadata)))

    def _held_method(self, id: UUID) -> FacadeMethod:
        table.find_methods(self.unit.connection, [id], is_held=True)
        return self.reader.method(id, param="id")

    def _change(self, method: FacadeMethod) -> FacadeMethod:
        table.write_method(self.unit.connection, method)
        return replace(method, version=method.version + 1)

    def make_setup(self, new: FacadeSetup) -> FacadeSetup:
        """Make a set-up; made before under the same id, it is returned as it stands."""
        known = table.find_setups(self.unit.connection, [new.id]).get(new.id)
        if known is not None:
            return known
        table.write_setup(self.unit.connection, new)
        return new

    def setup(self, id: UUID, verb: str) -> FacadeSetup:
        """Return a set-up that is not over, its row held.

        Refusals
        --------
        facade_object_is_unknown, facade_state_forbids
        """
        found = table.find_setups(self.unit.connection, [id], is_held=True).get(id)
        mine = (self.owner.merchant, self.owner.mode)
        if found is None or (found.merchant, found.mode) != mine:
            raise FacadeObjectIsUnknown(noun="setup_intent", id=f"seti_{id.hex}", param="intent")
        if found.state in ("succeeded", "canceled") and verb != "update":
            raise FacadeStateForbids(noun="setup_intent", status=found.state, verb=verb)
        return found

    def confirm_setup(self, found: FacadeSetup) -> FacadeSetup:
        """Let the customer have the method of a set-up.

        Refusals
        --------
        facade_parameter_is_wrong : there is no method
        """
        if found.method is None:
            raise FacadeParameterIsWrong(param="payment_method", what="it is missing")
        if found.customer is not None:
            self.attach(found.method, found.customer)
        return self.write_setup(replace(found, state="succeeded"))

    def write_setup(self, setup: FacadeSetup) -> FacadeSetup:
        """Change a set-up whose row is held."""
        table.write_setup(self.unit.connection, setup)
        return replace(setup, version=setup.version + 1)


def _subject(customer: UUID) -> str:
    return f"facade_customer:{customer}"
