"""A small room of toys, to try the edge and the schema on."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from steelyard.base.http import Read, Write, reading, refusals, writing
from steelyard.kernel import Refusal, RefusalKind

router = APIRouter(prefix="/v1/toys", tags=["toys"])


class ToyIsBroken(Refusal):
    """The toy does not work any more."""

    kind = RefusalKind.CONFLICT
    en = "The toy {toy} is broken."
    zh = "玩具 {toy} 已损坏。"


class ToyIn(BaseModel):
    name: str = Field(max_length=20)
    amount_minor: int = Field(ge=0, le=2**62 - 1)
    share: float = Field(0.5, allow_inf_nan=False)
    rate_annual: Decimal = Decimal("0.036")


class ToyOut(BaseModel):
    name: str
    amount_minor: int


@router.get("/{name}", summary="A toy 玩具", responses=refusals(ToyIsBroken))
def show(
    name: str,
    read: Annotated[Read, reading("toys.show")],
    size: Annotated[int, Query(ge=1, le=100)] = 1,
) -> ToyOut:
    if name == "fault":
        raise RuntimeError("a spring broke, and its number is 4242")
    if name == "broken":
        raise ToyIsBroken(toy=name)
    return ToyOut(name=name, amount_minor=size)


@router.post("", summary="Make a toy 造玩具", responses=refusals(ToyIsBroken, write=True))
def make(toy: ToyIn, write: Annotated[Write, writing("toys.make")]) -> ToyOut:
    return ToyOut(name=toy.name, amount_minor=toy.amount_minor)


@router.get("/open/{number}", summary="Nobody asks who you are 无需登录")
def open_to_all(number: int) -> ToyOut:
    return ToyOut(name="open", amount_minor=number)
