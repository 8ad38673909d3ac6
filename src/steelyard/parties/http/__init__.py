"""The HTTP side of the parties."""

from fastapi import APIRouter

from steelyard.parties.http import identity, party, person

router = APIRouter()
for part in (person, identity, party):
    router.include_router(part.router)

__all__ = ["router"]
