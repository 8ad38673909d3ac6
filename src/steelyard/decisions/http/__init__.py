"""The HTTP side of decisions."""

from steelyard.decisions.http.routes import router

__all__ = ["router"]
