"""Facts about the book as a whole; the subject is `risk_parameters:<version>`."""

from __future__ import annotations

from datetime import date

from steelyard.base import Fact

__all__ = ["RiskParametersAdopted", "RiskParametersEstimated"]


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
