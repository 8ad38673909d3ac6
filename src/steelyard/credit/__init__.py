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
        close_facts,
        dayclose,
        facts,
        lines,
        loans,
        messages,
        origination,
        portfolio,
        provisioning,
        underwriting,
        upkeep,
        whatif,
    )

__all__ = [
    "books",
    "bureau",
    "catalogue",
    "changes",
    "close_facts",
    "dayclose",
    "facts",
    "lines",
    "loans",
    "messages",
    "origination",
    "portfolio",
    "provisioning",
    "underwriting",
    "upkeep",
    "whatif",
]

_GROUPS = {
    "books": "service.books",
    "bureau": "service.bureau",
    "catalogue": "service.catalogue",
    "changes": "service.changes",
    "close_facts": "service.close_facts",
    "dayclose": "service.dayclose",
    "facts": "service.facts",
    "lines": "service.lines",
    "loans": "service.loans",
    "messages": "service.messages",
    "origination": "service.origination",
    "portfolio": "service.portfolio",
    "provisioning": "service.provisioning",
    "underwriting": "service.underwriting",
    "upkeep": "service.upkeep",
    "whatif": "service.whatif",
}

__getattr__ = door(__name__, _GROUPS)
