"""Routes of transfers between merchants, and of splits."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field

from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    refusals,
    writing,
)
from steelyard.kernel import CursorIsInvalid
from steelyard.payments import institution, orders, refunds, splits, transfers
from steelyard.payments.http.wire import (
    Amount,
    Currency,
    PaymentId,
    Word,
    id_of,
    merchant_for,
    merchant_of,
)

router = APIRouter(prefix="/v1/payments", tags=["payments"])

Reads = Annotated[Read, reading("payments.read")]
Pays = Annotated[Write, writing("payments.pay")]
TransferId = Annotated[UUID, Path(description="id of the transfer")]


class TransferIn(BodyIn):
    """Money from one merchant of a platform to another."""

    platform: UUID | None = Field(
        None,
        description="for staff; a platform's key has its own",
        examples=["01920000-0000-7000-8000-000000000001"],
    )
    mode: orders.Mode = orders.Mode.LIVE
    transfer_no: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.:/-]{1,64}$", examples=["T-1"])]
    from_merchant: UUID
    to_merchant: UUID
    amount_minor: Amount
    currency: Currency = "CNY"
    reason: Annotated[str, Field(max_length=200)] = ""


class TransferReturnIn(BodyIn):
    """How much comes back."""

    amount_minor: Amount


class TransferOut(BaseModel):
    """A transfer as it stands."""

    id: UUID
    mode: orders.Mode
    platform: UUID
    transfer_no: str
    from_merchant: UUID
    to_merchant: UUID
    amount_minor: int
    returned_minor: int
    currency: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, transfer: transfers.MerchantTransfer) -> TransferOut:
        """Return the wire form."""
        return cls(**{name: getattr(transfer, name) for name in cls.model_fields})


class TransferPage(PageOut):
    """Transfers, the newest first."""

    items: list[TransferOut]


class SharesIn(BodyIn):
    """What of a payment goes to others."""

    share_no: Word
    shares: Annotated[
        dict[Annotated[str, Field(max_length=120)], Amount],
        Field(min_length=1, max_length=50, description="merchant (hex id) or account -> amount"),
    ]


class SplitOut(BaseModel):
    """What one receiver gets of a payment."""

    id: UUID
    receiver: str
    amount_minor: int
    returned_minor: int = Field(description="borne of refunds since")
    currency: str
    state: splits.SplitState
    share_no: str
    planned_at: datetime
    posted_at: datetime | None

    @classmethod
    def of(cls, split: splits.Split) -> SplitOut:
        """Return the wire form."""
        return cls(**{name: getattr(split, name) for name in cls.model_fields})


class SplitsOut(BaseModel):
    """The splits of a payment, the oldest first."""

    items: list[SplitOut]


@router.post(
    "/transfers",
    response_model=TransferOut,
    status_code=201,
    responses=refusals(
        transfers.TransferIsMalformed,
        transfers.MerchantIsOutOfPlatform,
        transfers.TransferNoWasUsed,
        transfers.MerchantBalanceIsShort,
        institution.InstitutionIsNotOpen,
        write=True,
    ),
)
def make_transfer(body: TransferIn, write: Pays) -> Response:
    """Move money from one merchant of a platform to another."""
    new = transfers.NewTransfer(
        id=id_of(write, "transfer"),
        mode=body.mode,
        platform=merchant_for(write, body.platform),
        transfer_no=body.transfer_no,
        from_merchant=body.from_merchant,
        to_merchant=body.to_merchant,
        amount_minor=body.amount_minor,
        currency=body.currency,
        reason=body.reason,
    )
    return write.run(lambda unit: TransferOut.of(transfers.make(unit, new)), status=201)


@router.get("/transfers", response_model=TransferPage, responses=refusals(CursorIsInvalid))
def list_transfers(read: Reads, cursor: Cursor = None, limit: Limit = 50) -> TransferPage:
    """List transfers, the newest first: those that a merchant has a part in, or all for staff."""
    with read.database.reading() as connection:
        page = transfers.list_transfers(
            connection, merchant=merchant_of(read.caller), cursor=cursor, limit=limit
        )
    return page_out(TransferPage, page, TransferOut.of)


@router.get(
    "/transfers/{id}",
    response_model=TransferOut,
    responses=refusals(transfers.MerchantTransferIsUnknown),
)
def read_transfer(id: TransferId, read: Reads) -> TransferOut:
    """Show a transfer."""
    with read.database.reading() as connection:
        return TransferOut.of(transfers.read(connection, id, merchant=merchant_of(read.caller)))


@router.post(
    "/transfers/{id}/return",
    response_model=TransferOut,
    responses=refusals(
        transfers.MerchantTransferIsUnknown,
        transfers.TransferReturnExceeds,
        transfers.MerchantBalanceIsShort,
        write=True,
    ),
)
def return_transfer(id: TransferId, body: TransferReturnIn, write: Pays) -> Response:
    """Move some of a transfer back; its platform says so."""
    platform = merchant_of(write.caller)
    return write.run(
        lambda unit: TransferOut.of(
            transfers.give_back(unit, id, body.amount_minor, platform=platform)
        )
    )


@router.post(
    "/orders/{id}/splits",
    response_model=SplitsOut,
    status_code=201,
    responses=refusals(
        orders.PaymentIsUnknown,
        splits.ShareNoWasUsed,
        refunds.PaymentIsNotRefundable,
        refunds.ReversalIsUnderWay,
        splits.SplitIsMalformed,
        splits.SplitExceedsPayment,
        write=True,
    ),
)
def share_payment(id: PaymentId, body: SharesIn, write: Pays) -> Response:
    """Give parts of a payment to others; they are paid when it is cleared."""
    merchant = merchant_of(write.caller)
    return write.run(
        lambda unit: SplitsOut(
            items=[
                SplitOut.of(one)
                for one in splits.share(
                    unit, id, body.shares, share_no=body.share_no, merchant=merchant
                )
            ]
        ),
        status=201,
    )


@router.get(
    "/orders/{id}/splits",
    response_model=SplitsOut,
    responses=refusals(orders.PaymentIsUnknown),
)
def list_splits(id: PaymentId, read: Reads) -> SplitsOut:
    """List what of a payment goes to others: all for its merchant, one's own for a receiver."""
    with read.database.reading() as connection:
        found = splits.visible(connection, id, merchant=merchant_of(read.caller))
    return SplitsOut(items=[SplitOut.of(one) for one in found])
