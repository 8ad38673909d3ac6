"""Routes of credit."""

from steelyard.credit.http.bureau import router as bureau_router
from steelyard.credit.http.close import router as close_router
from steelyard.credit.http.collections import router as collection_router
from steelyard.credit.http.loans import router as loan_router
from steelyard.credit.http.origination import router as origination_router
from steelyard.credit.http.portfolio import router as portfolio_router
from steelyard.credit.http.products import router as product_router

__all__ = [
    "bureau_router",
    "close_router",
    "collection_router",
    "loan_router",
    "origination_router",
    "portfolio_router",
    "product_router",
]
