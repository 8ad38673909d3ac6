"""Consumer credit: products, applications, loans and what becomes of them.

The verbs stand in groups by noun: `loans.repay(...)`, `origination.submit(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.credit.service import (
        bureau,
        messages,
        products,
    )

__all__ = [
    "bureau",
    "messages",
    "products",
]

_GROUPS = {
    "bureau": "service.bureau",
    "messages": "service.messages",
    "products": "service.products",
}

__getattr__ = door(__name__, _GROUPS)
