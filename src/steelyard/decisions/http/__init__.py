"""The HTTP side of decisions."""

from steelyard.decisions.http.models import router as model_router
from steelyard.decisions.http.routes import router

__all__ = ["model_router", "router"]
