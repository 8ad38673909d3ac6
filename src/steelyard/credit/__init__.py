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
        lines,
        loans,
        messages,
        origination,
        products,
        underwriting,
    )

__all__ = [
    "books",
    "bureau",
    "changes",
    "dayclose",
    "facts",
    "lines",
    "loans",
    "messages",
    "origination",
    "products",
    "underwriting",
]

_GROUPS = {
    "books": "service.books",
    "bureau": "service.bureau",
    "changes": "service.changes",
    "dayclose": "service.dayclose",
    "facts": "service.facts",
    "lines": "service.lines",
    "loans": "service.loans",
    "messages": "service.messages",
    "origination": "service.origination",
    "products": "service.products",
    "underwriting": "service.underwriting",
}

__getattr__ = door(__name__, _GROUPS)
