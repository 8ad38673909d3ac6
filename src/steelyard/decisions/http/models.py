"""Routes of the registry of models: entering, approving, retiring, cards."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field, JsonValue, StringConstraints

from steelyard.base import UnitOfWork
from steelyard.base.http import (
    BodyIn,
    Cursor,
    Limit,
    PageOut,
    Read,
    Write,
    page_out,
    reading,
    writing,
)
from steelyard.base.http import refusals as refused_by
from steelyard.decisions import registry
from steelyard.kernel import CursorIsInvalid
from steelyard.parties import approvals

router = APIRouter(prefix="/v1/models", tags=["models"])

Reads = Annotated[Read, reading("decisions.read")]
Registers = Annotated[Write, writing("decisions.register")]
Name = Annotated[str, Path(description="name of the model", max_length=60)]
Version = Annotated[int, Path(description="its version", ge=1, lt=2**31)]
Json = dict[str, JsonValue]
Reason = Annotated[
    str,
    StringConstraints(min_length=1, max_length=registry.MOST_REASON, pattern=r"^[^\x00]+$"),
]

_NONE = (registry.ModelIsUnknown,)


class ModelIn(BodyIn):
    """A model to enter, with the card that training made of it."""

    name: Annotated[str, StringConstraints(max_length=60)] = Field(examples=["card_fraud"])
    form: Json = Field(description="its flat form, as training keeps it")
    card: Json = Field(description="its card, about this very form")


class PolicyUseOut(BaseModel):
    """A committed policy that uses a model."""

    policy: str = Field(description="`policy.<scene>@<version>`")
    standing: str = Field(description="active, challenger, or empty")


class ModelOut(BaseModel):
    """One version of a model."""

    name: str
    version: int
    kind: registry.ModelKindName
    state: registry.ModelState
    digest: str = Field(description="SHA-256 of its flat form")
    card_digest: str = Field(description="SHA-256 of its card")
    schema_hash: str = Field(description="SHA-256 of the names of its inputs, in order")
    definitions_hash: str = Field(description="SHA-256 of what its inputs meant in training")
    inputs: list[str]
    registered_by: str
    registered_at: datetime
    cause: str | None = Field(description="the second person's approval")
    approved_at: datetime | None
    retired_by: str | None
    retired_at: datetime | None
    reason: str | None

    @classmethod
    def of(cls, model: registry.RegisteredModel) -> ModelOut:
        """Return the wire form of a version."""
        return cls(
            name=model.name,
            version=model.version,
            kind=model.kind,
            state=model.state,
            digest=model.digest,
            card_digest=model.card_digest,
            schema_hash=model.inputs.schema_hash,
            definitions_hash=model.inputs.definitions_hash,
            inputs=list(model.inputs.names),
            registered_by=model.registered_by,
            registered_at=model.registered_at,
            cause=model.cause,
            approved_at=model.approved_at,
            retired_by=model.retired_by,
            retired_at=model.retired_at,
            reason=model.reason,
        )


class ModelPage(PageOut):
    """Versions by name, the newest of each name first."""

    items: list[ModelOut]


class ModelWithUsesOut(BaseModel):
    """A version, and the policies that use it."""

    model: ModelOut
    used_by: list[PolicyUseOut]


class ModelApprovalIn(BodyIn):
    """With whose yes; without one, it is asked for."""

    approval: UUID | None = None


class ModelApprovalOut(BaseModel):
    """Requested, or done."""

    is_done: bool
    approval: UUID | None = Field(description="that a second person decides on")
    expires_at: datetime | None = Field(description="real time")
    model: ModelOut


class RetireIn(BodyIn):
    """Why a model is not to be used any more."""

    reason: Reason


@router.get("", response_model=ModelPage, responses=refused_by(CursorIsInvalid))
def list_models(
    read: Reads,
    name: Annotated[str | None, Query(max_length=60)] = None,
    state: registry.ModelState | None = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> ModelPage:
    """List the models by name, the newest version of each name first."""
    with read.database.reading() as connection:
        page = registry.list_models(connection, name=name, state=state, cursor=cursor, limit=limit)
    return page_out(ModelPage, page, ModelOut.of)


@router.post(
    "",
    status_code=201,
    response_model=ModelOut,
    responses=refused_by(
        registry.ModelNameIsInvalid,
        registry.ModelIsMalformed,
        registry.ScorecardIsMalformed,
        registry.CardIsMalformed,
        registry.CardDoesNotFit,
        registry.ModelReadsProtected,
        registry.ModelSchemaDiffers,
        registry.FeatureDefinitionDiffers,
        registry.ModelIsRegistered,
        write=True,
    ),
)
def register_a_model(body: ModelIn, write: Registers) -> Response:
    """Enter a model as the next version of its name; it is never changed afterwards."""
    form, card = json.dumps(body.form), json.dumps(body.card)
    return write.run(
        lambda unit: ModelOut.of(registry.register_model(unit, body.name, form, card)), status=201
    )


@router.get("/{name}/{version}", response_model=ModelWithUsesOut, responses=refused_by(*_NONE))
def read_a_model(name: Name, version: Version, read: Reads) -> ModelWithUsesOut:
    """Show a version of a model, and the policies that use it."""
    with read.database.reading() as connection:
        model = registry.read_registered(connection, name, version)
        uses = registry.uses_of(connection, name, version)
    return ModelWithUsesOut(
        model=ModelOut.of(model),
        used_by=[PolicyUseOut(policy=use.cause, standing=use.standing) for use in uses],
    )


@router.get("/{name}/{version}/card", response_model=Json, responses=refused_by(*_NONE))
def read_a_card(name: Name, version: Version, read: Reads) -> Any:
    """Show the card of a model: data, metrics, calibration, fairness cuts, stability."""
    with read.database.reading() as connection:
        card = registry.read_card(connection, name, version)
    return Response(card.to_json(), media_type="application/json")


@router.get(
    "/{name}/{version}/card.md",
    response_class=PlainTextResponse,
    responses=refused_by(*_NONE)
    | {200: {"content": {"text/markdown": {"example": "# Model card: card_fraud 3\n"}}}},
)
def read_a_card_as_a_page(name: Name, version: Version, read: Reads) -> Response:
    """Show the card of a model as a page in Markdown."""
    with read.database.reading() as connection:
        card = registry.read_card(connection, name, version)
    return Response(card.to_markdown(), media_type="text/markdown; charset=utf-8")


@router.get("/{name}/{version}/form", response_model=Json, responses=refused_by(*_NONE))
def read_a_form(name: Name, version: Version, read: Reads) -> Any:
    """Show the flat form of a model, of which its digest is the SHA-256."""
    with read.database.reading() as connection:
        form = registry.read_form(connection, name, version)
    return Response(form, media_type="application/json")


@router.post(
    "/{name}/{version}/approve",
    response_model=ModelApprovalOut,
    responses=refused_by(
        *_NONE, registry.ModelIsNotWaiting, *approvals.CONSUME_REFUSALS, write=True
    ),
)
def approve_a_model(
    name: Name, version: Version, body: ModelApprovalIn, write: Registers
) -> Response:
    """Request that policies may use a model; with the approval, let them."""

    def work(unit: UnitOfWork) -> ModelApprovalOut:
        if body.approval is None:
            asked = registry.request_model_approval(unit, name, version)
            model = registry.read_registered(unit.connection, name, version)
            return ModelApprovalOut(
                is_done=False,
                approval=asked.id,
                expires_at=asked.expires_at,
                model=ModelOut.of(model),
            )
        model = registry.approve_model(unit, name, version, approval=body.approval)
        return ModelApprovalOut(
            is_done=True, approval=None, expires_at=None, model=ModelOut.of(model)
        )

    return write.run(work)


@router.post(
    "/{name}/{version}/retire",
    response_model=ModelOut,
    responses=refused_by(*_NONE, registry.ModelIsRetired, registry.ModelIsInUse, write=True),
)
def retire_a_model(name: Name, version: Version, body: RetireIn, write: Registers) -> Response:
    """Let no new policy use a model any more."""
    return write.run(
        lambda unit: ModelOut.of(registry.retire_model(unit, name, version, reason=body.reason))
    )
