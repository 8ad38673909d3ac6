"""Routes of the town."""

from fastapi import APIRouter

from steelyard.simulation.http.cards import router as cards
from steelyard.simulation.http.lending import router as lending
from steelyard.simulation.http.town import router as town

__all__ = ["router"]

router = APIRouter(prefix="/v1/simulation", tags=["simulation"])
for _part in (town, cards, lending):
    router.include_router(_part)
