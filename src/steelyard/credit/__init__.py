"""Consumer credit: products, applications, loans and what becomes of them.

The verbs stand in groups by noun: `loans.repay(...)`, `origination.submit(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.credit.service import (
        books,
        bureau,
        changes,
        dayclose,
        facts,
        loans,
        messages,
        products,
    )

__all__ = [
    "books",
    "bureau",
    "changes",
    "dayclose",
    "facts",
    "loans",
    "messages",
    "products",
]

_GROUPS = {
    "books": "service.books",
    "bureau": "service.bureau",
    "changes": "service.changes",
    "dayclose": "service.dayclose",
    "facts": "service.facts",
    "loans": "service.loans",
    "messages": "service.messages",
    "products": "service.products",
}

__getattr__ = door(__name__, _GROUPS)
