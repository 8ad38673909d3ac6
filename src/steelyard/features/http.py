"""Routes: the catalogue, and the profile of an entity now or at a past instant."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from steelyard.base.http import Read, reading
from steelyard.base.http import refusals as refused_by
from steelyard.features import CATALOGUE, profiles, refusals
from steelyard.features.catalogue import Feature

router = APIRouter(prefix="/v1/features", tags=["features"])

Reads = Annotated[Read, reading("features.read")]
Name = Annotated[str, Path(max_length=50, pattern=r"^[a-z][a-z0-9_]*$")]
Key = Annotated[str, Path(max_length=401, pattern=r"^[^\x00]+$")]


class FeatureOut(BaseModel):
    """One feature: what it says and how it is made."""

    name: str
    entity: str
    kinds: list[str]
    aggregate: str
    field: str | None
    window_ms: int | None = Field(description="length of the window; null is all that ever was")
    delay_ms: int
    before: bool = Field(description="whether the event asked at is left out")
    parts: list[str] | None
    version: int
    sentence: str

    @classmethod
    def of(cls, feature: Feature, language: str) -> FeatureOut:
        """Return the wire form of a feature, in a language."""
        return cls(
            name=feature.name,
            entity=feature.entity,
            kinds=list(feature.kinds),
            aggregate=feature.aggregate.value,
            field=feature.field,
            window_ms=feature.window_ms,
            delay_ms=feature.delay_ms,
            before=feature.before,
            parts=None if feature.parts is None else list(feature.parts),
            version=feature.version,
            sentence=feature.zh if language.lower().startswith("zh") else feature.en,
        )


class Catalogue(BaseModel):
    """Every feature that there is."""

    items: list[FeatureOut]


class ValueOut(BaseModel):
    """A feature of one entity."""

    name: str
    sentence: str
    value: bool | int | float | str | None = Field(description="null is missing, never zero")
    fresh_at: datetime | None = Field(description="instant of the latest event it looks at")


class ProfileOut(BaseModel):
    """What is known about an entity as of an instant."""

    entity: str
    value: str
    at: datetime
    features: list[ValueOut]


@router.get("/catalogue", responses=refused_by())
def list_features(
    read: Reads, entity: Annotated[str | None, Query(max_length=50)] = None
) -> Catalogue:
    """List the features, of one entity or of all."""
    found = [each for each in CATALOGUE.values() if entity in (None, each.entity)]
    return Catalogue(items=[FeatureOut.of(each, read.language) for each in found])


@router.get(
    "/profiles/{entity}/{value}",
    responses=refused_by(refusals.EntityIsUnknown, refusals.HistoryIsNotConnected),
)
def read_profile(
    request: Request,
    read: Reads,
    entity: Name,
    value: Key,
    at: Annotated[AwareDatetime | None, Query(description="now, if not given")] = None,
) -> ProfileOut:
    """Return every feature of an entity with its freshness, now or at a past instant."""
    history: profiles.History | None = getattr(request.app.state, "features_history", None)
    if history is None:
        raise refusals.HistoryIsNotConnected
    found = profiles.profile(history, entity, value, at or read.database.now())
    zh = read.language.lower().startswith("zh")
    return ProfileOut(
        entity=entity,
        value=value,
        at=found.at,
        features=[
            ValueOut(
                name=each.feature.name,
                sentence=each.feature.zh if zh else each.feature.en,
                value=each.value,
                fresh_at=each.fresh_at,
            )
            for each in found.features
        ],
    )
