"""The facts of everything before the loan; ids, codes and amounts, no personal data."""

from __future__ import annotations

from uuid import UUID

from steelyard.base import Fact


class ProductDrafted(Fact, kind="credit.ProductDrafted", version=1):
    """Terms were written down as a version; subject is the product."""

    code: str
    product_version: int
    hash: str


class ProductActivated(Fact, kind="credit.ProductActivated", version=1):
    """A version is sold from now on, as two people wanted it; subject is the product."""

    code: str
    product_version: int
    before: int | None
    cause: str


class ApplicationSubmitted(Fact, kind="credit.ApplicationSubmitted", version=1):
    """A customer asked for credit; subject is the application."""

    application: UUID
    party: UUID
    product: str
    product_version: int
    channel: str
    currency: str
    amount_minor: int
    tenor: str


class ApplicationDeclined(Fact, kind="credit.ApplicationDeclined", version=1):
    """Nothing is lent; subject is the application.

    Attributes
    ----------
    decision : of the policy, None where a person ruled or no policy decided
    """

    application: UUID
    party: UUID
    product: str
    channel: str
    reasons: tuple[str, ...]
    decision: UUID | None


class ApplicationReferred(Fact, kind="credit.ApplicationReferred", version=1):
    """A person looks at it; subject is the application."""

    application: UUID
    party: UUID
    product: str
    reasons: tuple[str, ...]
    case: UUID


class OfferMade(Fact, kind="credit.OfferMade", version=1):
    """Terms were offered with all their costs; subject is the application.

    Attributes
    ----------
    cause : decision of the policy, or the ruling of a person
    """

    application: UUID
    offer: UUID
    party: UUID
    product: str
    channel: str
    tier: str
    currency: str
    amount_minor: int
    tenor: str
    cause: str


class ApplicationEnded(Fact, kind="credit.ApplicationEnded", version=1):
    """It was withdrawn or has expired; subject is the application."""

    application: UUID
    party: UUID
    product: str
    how: str


class ContractSigned(Fact, kind="credit.ContractSigned", version=1):
    """The customer accepted an offer; subject is the application."""

    application: UUID
    offer: UUID
    party: UUID
    product: str
    loan: UUID | None
    line: UUID | None
    terms_hash: str


class ContractTakenBack(Fact, kind="credit.ContractTakenBack", version=1):
    """The customer took a contract back within its cooling-off; subject is the application."""

    application: UUID
    party: UUID
    product: str
    loan: UUID


class LineChanged(Fact, kind="credit.LineChanged", version=1):
    """A limit was granted, taken up, raised, lowered, frozen, freed or closed; subject is it."""

    line: UUID
    party: UUID
    product: str
    currency: str
    change: str
    before_minor: int
    after_minor: int
    reason: str
    cause: str
