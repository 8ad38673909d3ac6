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
        catalogue,
        changes,
        dayclose,
        facts,
        lines,
        loans,
        messages,
        origination,
        portfolio,
        provisioning,
        underwriting,
        whatif,
    )

__all__ = [
    "books",
    "bureau",
    "catalogue",
    "changes",
    "dayclose",
    "facts",
    "lines",
    "loans",
    "messages",
    "origination",
    "portfolio",
    "provisioning",
    "underwriting",
    "whatif",
]

_GROUPS = {
    "books": "service.books",
    "bureau": "service.bureau",
    "catalogue": "service.catalogue",
    "changes": "service.changes",
    "dayclose": "service.dayclose",
    "facts": "service.facts",
    "lines": "service.lines",
    "loans": "service.loans",
    "messages": "service.messages",
    "origination": "service.origination",
    "portfolio": "service.portfolio",
    "provisioning": "service.provisioning",
    "underwriting": "service.underwriting",
    "whatif": "service.whatif",
}

__getattr__ = door(__name__, _GROUPS)
