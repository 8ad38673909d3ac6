"""The HTTP side of decisions."""

from steelyard.decisions.http.lists import router as list_router
from steelyard.decisions.http.models import router as model_router
from steelyard.decisions.http.policies import router as policy_router
from steelyard.decisions.http.routes import ask_router, router
from steelyard.decisions.http.watch import router as watch_router

__all__ = [
    "ask_router",
    "list_router",
    "model_router",
    "policy_router",
    "router",
    "watch_router",
]
