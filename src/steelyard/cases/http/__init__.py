"""The HTTP side of the cases."""

from fastapi import APIRouter

from steelyard.cases.http import reading, working

router = APIRouter(tags=["cases"])
for part in (reading, working):
    router.include_router(part.router)

__all__ = ["router"]
