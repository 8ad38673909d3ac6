"""Cash flows: day counts, schedules, accrual, allocation and annualised rates; pure mathematics.

`plan` and `run` are the only makers of schedules: preview, booking, day close and replay all call
them. What terms and events are made of stands in `terms` and `events`, rates in `apr` (United
States), `eu_apr`, `irr` and `disclosure`, the same for many contracts at once in `columns`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from steelyard.kernel import door

if TYPE_CHECKING:
    from steelyard.cashflows.model import (
        allocation,
        apr,
        columns,
        dates,
        daycount,
        disclosure,
        eu_apr,
        events,
        form,
        irr,
        refusals,
        spreadsheet,
        terms,
    )
    from steelyard.cashflows.model.columns_book import TermsColumns
    from steelyard.cashflows.model.plan import Plan, plan
    from steelyard.cashflows.model.run import PayoffQuote, quote_payoff, run
    from steelyard.cashflows.model.standing import Accrual, Row, Standing, Totals
    from steelyard.cashflows.model.terms import Terms

__all__ = [
    "Accrual",
    "PayoffQuote",
    "Plan",
    "Row",
    "Standing",
    "Terms",
    "TermsColumns",
    "Totals",
    "allocation",
    "apr",
    "columns",
    "dates",
    "daycount",
    "disclosure",
    "eu_apr",
    "events",
    "form",
    "irr",
    "plan",
    "quote_payoff",
    "refusals",
    "run",
    "spreadsheet",
    "terms",
]

_GROUPS = {
    "allocation": "model.allocation",
    "apr": "model.apr",
    "columns": "model.columns",
    "dates": "model.dates",
    "daycount": "model.daycount",
    "disclosure": "model.disclosure",
    "eu_apr": "model.eu_apr",
    "events": "model.events",
    "form": "model.form",
    "irr": "model.irr",
    "refusals": "model.refusals",
    "spreadsheet": "model.spreadsheet",
    "terms": "model.terms",
}
_VALUES = {
    "Accrual": "model.standing",
    "PayoffQuote": "model.run",
    "Plan": "model.plan",
    "Row": "model.standing",
    "Standing": "model.standing",
    "Terms": "model.terms",
    "TermsColumns": "model.columns_book",
    "Totals": "model.standing",
    "plan": "model.plan",
    "quote_payoff": "model.run",
    "run": "model.run",
}

__getattr__ = door(__name__, _GROUPS, _VALUES)
