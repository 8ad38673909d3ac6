"""Consumer credit: products, applications, loans and what becomes of them.

The verbs stand in groups by noun: `loans.repay(...)`, `origination.submit(...)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.credit.providers.bureau_http import HttpCreditBureau
    from steelyard.credit.providers.gateway_http import HttpMessageGateway
    from steelyard.credit.service import (
        books,
        bureau,
        bureau_files,
        catalogue,
        changes,
        close_facts,
        collecting,
        collections,
        complaints,
        dayclose,
        facts,
        funding,
        glance,
        hardship,
        lines,
        loans,
        messages,
        monitoring,
        notices,
        origination,
        origination_upkeep,
        outside_facts,
        portfolio,
        preapproval,
        promises,
        provisioning,
        risk_facts,
        underwriting,
        upkeep,
        whatif,
    )

__all__ = [
    "HttpCreditBureau",
    "HttpMessageGateway",
    "books",
    "bureau",
    "bureau_files",
    "catalogue",
    "changes",
    "close_facts",
    "collecting",
    "collections",
    "complaints",
    "dayclose",
    "facts",
    "funding",
    "glance",
    "hardship",
    "lines",
    "loans",
    "messages",
    "monitoring",
    "notices",
    "origination",
    "origination_upkeep",
    "outside_facts",
    "portfolio",
    "preapproval",
    "promises",
    "provisioning",
    "risk_facts",
    "underwriting",
    "upkeep",
    "whatif",
]

_GROUPS = {
    "books": "service.books",
    "bureau": "service.bureau",
    "bureau_files": "service.bureau_files",
    "catalogue": "service.catalogue",
    "changes": "service.changes",
    "close_facts": "service.close_facts",
    "collecting": "service.collecting",
    "collections": "service.collections",
    "complaints": "service.complaints",
    "dayclose": "service.dayclose",
    "facts": "service.facts",
    "funding": "service.funding",
    "glance": "service.glance",
    "hardship": "service.hardship",
    "lines": "service.lines",
    "loans": "service.loans",
    "messages": "service.messages",
    "notices": "service.notices",
    "monitoring": "service.monitoring",
    "origination": "service.origination",
    "origination_upkeep": "service.origination_upkeep",
    "outside_facts": "service.outside_facts",
    "portfolio": "service.portfolio",
    "preapproval": "service.preapproval",
    "promises": "service.promises",
    "provisioning": "service.provisioning",
    "risk_facts": "service.risk_facts",
    "underwriting": "service.underwriting",
    "upkeep": "service.upkeep",
    "whatif": "service.whatif",
}

_VALUES = {
    "HttpCreditBureau": "providers.bureau_http",
    "HttpMessageGateway": "providers.gateway_http",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
