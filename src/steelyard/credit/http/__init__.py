"""Routes of credit."""

from steelyard.credit.http.close import router as close_router

__all__ = ["close_router"]
