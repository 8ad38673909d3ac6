"""Upkeep of identity attempts, as a job: what is unknown is asked about until it is known."""

from __future__ import annotations

from steelyard.base.jobs import Every, JobContext, job
from steelyard.parties.model.identity import IdentityProvider
from steelyard.parties.service.identity import POLL_AFTER, poll_unsettled

__all__ = ["poll_identity"]


@job("parties.poll_identity", schedule=Every(POLL_AFTER))
def poll_identity(context: JobContext) -> None:
    """Poll the unsettled attempts; without a provider at hand there is nobody to ask."""
    provider: IdentityProvider | None = getattr(context.platform, "identity_provider", None)
    if provider is not None:
        poll_unsettled(context.database, provider)
