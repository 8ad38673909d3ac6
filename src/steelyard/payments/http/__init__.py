"""Routes of payments."""

from steelyard.payments.http.orders import router as order_router

__all__ = ["order_router"]
