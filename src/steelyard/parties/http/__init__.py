"""The HTTP side of the parties."""

from fastapi import APIRouter

from steelyard.parties.http import access, identity, party, person, sign_in

router = APIRouter()
for part in (person, identity, party):
    router.include_router(part.router)
for own in (sign_in.router, access.router, access.trail):
    router.include_router(own)

__all__ = ["router"]
