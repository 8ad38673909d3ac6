"""The HTTP side of the ledger."""

from fastapi import APIRouter

from steelyard.ledger.http import account, book, transfer

router = APIRouter(prefix="/v1/ledger", tags=["ledger"])
for part in (book, account, transfer):
    router.include_router(part.router)

__all__ = ["router"]
