"""The fact of captures; subject is `payment:<order>`."""

from __future__ import annotations

from uuid import UUID

from steelyard.payments.service.facts import PaymentFact


class PaymentCaptured(PaymentFact, kind="payments.PaymentCaptured", version=1, kw_only=True):
    """A part of an authorization, or all of it, was taken.

    Attributes
    ----------
    captured_minor : by this capture; total_minor : of the payment so far
    """

    capture: UUID
    captured_minor: int
    total_minor: int
    is_last: bool = False
