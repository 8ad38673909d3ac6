"""Routes of payments."""

from steelyard.payments.http.notices import router as notice_router
from steelyard.payments.http.orders import router as order_router

__all__ = ["notice_router", "order_router"]
