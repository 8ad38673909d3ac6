"""The Stripe-compatible API: another way in to the same payments, for clients that are there.

The routes understand what official clients send and answer in their words; the money moves through
the core alone. Where an address belongs to another room too (`/v1/events`), a request that states
`Stripe-Version` is meant for these routes.
"""

from fastapi import APIRouter

from steelyard.payments.http.stripe.customers import router as customers
from steelyard.payments.http.stripe.events import router as endpoints
from steelyard.payments.http.stripe.events import shared_router
from steelyard.payments.http.stripe.money import router as money
from steelyard.payments.http.stripe.payments import router as payments

router = APIRouter()
for _part in (shared_router, payments, customers, money, endpoints):
    router.include_router(_part)

__all__ = ["router"]
