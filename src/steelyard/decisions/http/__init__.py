"""The HTTP side of decisions."""

from steelyard.decisions.http.models import router as model_router
from steelyard.decisions.http.routes import router
from steelyard.decisions.http.watch import router as watch_router

__all__ = ["model_router", "router", "watch_router"]
