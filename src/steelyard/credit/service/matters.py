"""What of originations is put before people; entered when the room is imported."""

from __future__ import annotations

from datetime import timedelta

from steelyard.cases import CaseKind, registry

REVIEW = registry.register_kind(
    CaseKind(
        "credit.loan_underwriting",
        "Underwriting of a loan application",
        "贷款人工审批",
        registry.Sla(
            timedelta(hours=8), registry.WorkingHours(calendar="CN", zone="Asia/Shanghai")
        ),
        (
            registry.CaseOutcome("approve", "Approved as asked for", "同意"),
            registry.CaseOutcome("reduce", "Approved for less", "降额同意"),
            registry.CaseOutcome("decline", "Declined", "拒绝"),
            registry.CaseOutcome("withdrawn", "Withdrawn by the customer", "客户撤回"),
        ),
        skill="credit.underwrite",
        is_settled_elsewhere=True,
    )
)
"""People look at it on the queue, and rule on the application in this room."""
