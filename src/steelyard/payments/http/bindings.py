"""Routes of bound cards: a customer's own, by four factors and a code."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field, SecretStr

from steelyard.base.http import BodyIn, Read, Write, reading, refusals, writing
from steelyard.payments import bindings
from steelyard.payments.http.cashier import codes_of
from steelyard.payments.http.wire import id_of, merchant_for

router = APIRouter(prefix="/v1/payments/bindings", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]
BindingId = Annotated[UUID, Path(description="id of the bound card")]
Whose = Annotated[UUID | None, Query(description="for staff; a customer has his own")]


class BindIn(BodyIn):
    """The four factors; they are checked with the bank and not kept."""

    customer: UUID | None = Field(
        None,
        description="for staff; a customer has his own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    name: SecretStr
    id_number: SecretStr
    card_number: SecretStr
    phone: SecretStr

    def factors(self) -> bindings.FourFactors:
        """Return the value."""
        names = ("name", "id_number", "card_number", "phone")
        return bindings.FourFactors(
            **{name: getattr(self, name).get_secret_value()[:100] for name in names}
        )


class ConfirmIn(BodyIn):
    """The code that was sent."""

    customer: UUID | None = Field(
        None,
        description="for staff; a customer has his own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    code: Annotated[str, Field(pattern=r"^[0-9]{6}$", examples=["492039"])]


class WhoseIn(BodyIn):
    """Whose card it is."""

    customer: UUID | None = Field(
        None,
        description="for staff; a customer has his own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )


class BindingOut(BaseModel):
    """A bound card, as far as it is known here."""

    id: UUID
    state: bindings.BindingState
    token: str | None = Field(description="what a payment names; null until it is bound")
    bank: str
    last4: str
    reason: str | None
    created_at: datetime
    bound_at: datetime | None

    @classmethod
    def of(cls, one: bindings.Binding) -> BindingOut:
        """Return the wire form."""
        is_active = one.state is bindings.BindingState.ACTIVE
        same = {name: getattr(one, name) for name in cls.model_fields if name != "token"}
        return cls(**same, token=one.token if is_active else None)


class CodeSentOut(BaseModel):
    """A code that is on its way."""

    sent_to: str
    again_at: datetime
    expires_at: datetime


@router.post(
    "",
    response_model=BindingOut,
    status_code=201,
    responses=refusals(*bindings.ON_BIND, write=True),
)
def bind_card(body: BindIn, write: Pays) -> Response:
    """Begin to bind a card: its bank is asked whether the four factors belong together."""
    customer = merchant_for(write, body.customer)
    verifier = getattr(write.platform, "card_verifier", None)
    if verifier is None:
        raise bindings.CardVerifierIsAway
    return write.run_in_steps(
        lambda: BindingOut.of(
            bindings.bind(
                codes_of(write.platform),
                verifier,
                customer,
                body.factors(),
                id=id_of(write, "binding"),
                actor=write.caller.actor,
            )
        ),
        status=201,
    )


@router.post(
    "/{id}/code", response_model=CodeSentOut, responses=refusals(*bindings.ON_CODE, write=True)
)
def send_binding_code(id: BindingId, body: WhoseIn, write: Pays) -> Response:
    """Send a code to the phone that the bank confirmed."""
    customer = merchant_for(write, body.customer)

    def work() -> CodeSentOut:
        actor = write.caller.actor
        sent = bindings.send_bind_code(codes_of(write.platform), id, customer, actor=actor)
        return CodeSentOut(sent_to=sent.to, again_at=sent.again_at, expires_at=sent.expires_at)

    return write.run_in_steps(work)


@router.post(
    "/{id}/confirm",
    response_model=BindingOut,
    responses=refusals(*bindings.ON_CONFIRM, write=True),
)
def confirm_binding(id: BindingId, body: ConfirmIn, write: Pays) -> Response:
    """Bind the card for good, by the code."""
    customer = merchant_for(write, body.customer)
    return write.run_in_steps(
        lambda: BindingOut.of(
            bindings.confirm(
                codes_of(write.platform), id, customer, body.code, actor=write.caller.actor
            )
        )
    )


@router.post(
    "/{id}/unbind",
    response_model=BindingOut,
    responses=refusals(bindings.BindingIsUnknown, write=True),
)
def unbind_card(id: BindingId, body: WhoseIn, write: Pays) -> Response:
    """Let a card be paid with no more."""
    customer = merchant_for(write, body.customer)
    return write.run(lambda unit: BindingOut.of(bindings.unbind(unit, id, customer)))


@router.get("", response_model=list[BindingOut], responses=refusals())
def list_bindings(read: Reads, customer: Whose = None) -> list[BindingOut]:
    """List the cards of a customer that are bound, or on their way."""
    whose = merchant_for(read, customer)
    with read.database.reading() as connection:
        return [BindingOut.of(one) for one in bindings.list_bindings(connection, whose)]
