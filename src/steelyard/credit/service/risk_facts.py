"""Facts about the book as a whole (`risk_parameters:<version>`), and proposals about limits."""

from __future__ import annotations

from datetime import date
from uuid import UUID

from steelyard.base import Fact

__all__ = ["LimitReviewProposed", "RiskParametersAdopted", "RiskParametersEstimated"]


class RiskParametersEstimated(Fact, kind="credit.RiskParametersEstimated", version=1):
    """Probabilities of default and loss shares were estimated from the book."""

    parameters: int
    months: int
    content_hash: str


class RiskParametersAdopted(Fact, kind="credit.RiskParametersAdopted", version=1):
    """Provisions are made with a version of the parameters from a business date on."""

    parameters: int
    from_on: date
    cause: str


class LimitReviewProposed(Fact, kind="credit.LimitReviewProposed", version=1):
    """Early warning proposes something about a limit; the subject is `line:<id>`.

    Attributes
    ----------
    act : raise, lower or freeze
    triggers : rules that fired
    proposed_minor : the limit then; 0 for a freeze
    """

    line: UUID
    party: UUID
    act: str
    triggers: tuple[str, ...]
    limit_minor: int
    proposed_minor: int
    case: UUID
