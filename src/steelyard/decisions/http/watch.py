"""Routes: what the watch over drift found, and what explains a decision that is before people."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from steelyard.base.http import Read, reading
from steelyard.base.http import refusals as refused_by
from steelyard.decisions import reviews, watch

router = APIRouter(prefix="/v1", tags=["decisions"])

Reads = Annotated[Read, reading("decisions.read")]
Scene = Annotated[str | None, Query(max_length=40, description="only of this scene")]


class FindingOut(BaseModel):
    """What was found about one feature, score, rule or model."""

    drift: Literal["distribution", "calibration", "hit_rate", "recall"]
    subject: str
    level: Literal["unknown", "steady", "watch", "alert"] = Field(
        description="unknown: there is too little to say"
    )
    value: float | None = Field(
        description="stability index, observed over expected, share of hits, or recall"
    )
    sentence: str = Field(description="in the reader's language")
    case: UUID | None = Field(description="of an alert")


class ReferenceOut(BaseModel):
    """The days that later ones are compared with."""

    number: int
    first_on: date
    last_on: date
    decisions: int


class DriftOut(BaseModel):
    """What was found about a policy at the end of its last business day."""

    scene: str
    policy: str = Field(description="`policy.<name>@<version>`")
    on: date
    decisions: int
    reference: ReferenceOut | None = Field(description="missing while there is not enough for one")
    findings: list[FindingOut] = Field(description="the most pressing first")

    @classmethod
    def of(cls, one: watch.Drifting, language: str) -> DriftOut:
        """Return the wire form."""
        is_zh = language.startswith("zh")
        reference = one.reference
        return cls(
            scene=one.scene,
            policy=one.policy,
            on=one.day,
            decisions=one.decisions,
            reference=None
            if reference is None
            else ReferenceOut(
                number=reference.number,
                first_on=reference.first_day,
                last_on=reference.last_day,
                decisions=reference.decisions,
            ),
            findings=[
                FindingOut.model_validate(
                    {
                        "drift": row.drift,
                        "subject": row.subject,
                        "level": row.level,
                        "value": row.value,
                        "sentence": row.zh if is_zh else row.en,
                        "case": row.case,
                    }
                )
                for row in one.findings
            ],
        )


class DriftsOut(BaseModel):
    """What was found about each policy that decided on its scene's last business day."""

    items: list[DriftOut]


class PartOut(BaseModel):
    """What one input adds."""

    input: str
    value: Any = Field(description="as it was read; null is missing")
    add: float = Field(description="to the ln odds of bad, or points of a scorecard")


class AttributionOut(BaseModel):
    """How a model's answer comes from its inputs."""

    node: str
    model: str
    method: Literal["tree_shap", "tree_paths", "linear", "points"]
    base: float
    parts: list[PartOut] = Field(description="the largest first")


class ReasonOut(BaseModel):
    """A reason in the reader's language."""

    code: str
    sentence: str


class ExplanationOut(BaseModel):
    """What is put before the person who reviews a decision."""

    decision: UUID
    case: UUID
    scene: str
    event: str
    subject: str
    policy: str
    outcome: str
    score: int | None
    amount: str
    reasons: list[ReasonOut]
    hits: list[str] = Field(description="rows of rules that hit, `node/row`")
    values: dict[str, Any] = Field(description="features by name; null is missing")
    models: list[AttributionOut]
    text: str = Field(description="all of it in some lines, in the reader's language")


@router.get("/drift", responses=refused_by())
def read_drift(read: Reads, scene: Scene = None) -> DriftsOut:
    """Show what the watch found last, for each scene and version of a policy."""
    with read.database.reading() as connection:
        found = watch.read_drift(connection, scene)
    return DriftsOut(items=[DriftOut.of(one, read.language) for one in found])


@router.get("/decisions/{id}/explanation", responses=refused_by(reviews.DecisionIsNotReviewed))
def read_explanation(id: UUID, read: Reads) -> ExplanationOut:
    """Show what explains a decision that is before people, with the attributions of its models."""
    with read.database.reading() as connection:
        kept, it = reviews.read_explanation(connection, id)
    is_zh = read.language.startswith("zh")
    return ExplanationOut(
        decision=kept.decision,
        case=kept.case,
        scene=it.scene,
        event=it.event,
        subject=it.subject,
        policy=it.policy,
        outcome=it.outcome,
        score=it.score,
        amount=it.amount,
        reasons=[ReasonOut(code=r.code, sentence=r.zh if is_zh else r.en) for r in it.reasons],
        hits=list(it.hits),
        values=dict(it.values),
        models=[
            AttributionOut.model_validate(
                {
                    "node": one.node,
                    "model": one.model,
                    "method": one.method,
                    "base": one.base,
                    "parts": [
                        {"input": part.input, "value": part.value, "add": part.add}
                        for part in one.parts
                    ],
                }
            )
            for one in it.models
        ],
        text=reviews.sentence_of(it, read.language),
    )
