"""The registry of models: entered once with a card, approved by a second person, retired."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from uuid import UUID

import sqlalchemy as sa

from steelyard.base import UnitOfWork
from steelyard.base.audit import audit
from steelyard.decisions.model.card import CardIsMalformed, ModelCard
from steelyard.decisions.model.inputs import (
    FeatureDefinitionDiffers,
    ModelIsMalformed,
    ModelSchemaDiffers,
    known_definitions,
)
from steelyard.decisions.model.registered import (
    MOST_REASON,
    CardDoesNotFit,
    Model,
    ModelIsAltered,
    ModelIsInUse,
    ModelIsNotApproved,
    ModelIsNotWaiting,
    ModelIsRegistered,
    ModelIsRetired,
    ModelIsUnknown,
    ModelKindName,
    ModelNameIsInvalid,
    ModelReadsProtected,
    ModelState,
    PolicyUse,
    RegisteredModel,
    check_name,
    make_entry,
    read_model,
    read_reference,
    substance_of,
)
from steelyard.decisions.model.scorecard import ScorecardIsMalformed
from steelyard.decisions.service.model_facts import ModelApproved, ModelRegistered, ModelRetired
from steelyard.decisions.store import registry as table
from steelyard.features import CATALOGUE
from steelyard.kernel import Page, decode_cursor, encode_cursor
from steelyard.parties import approvals

__all__ = [
    "APPROVE",
    "MOST_REASON",
    "CardDoesNotFit",
    "CardIsMalformed",
    "FeatureDefinitionDiffers",
    "ModelCard",
    "ModelIsAltered",
    "ModelIsInUse",
    "ModelIsMalformed",
    "ModelIsNotApproved",
    "ModelIsNotWaiting",
    "ModelIsRegistered",
    "ModelIsRetired",
    "ModelIsUnknown",
    "ModelKindName",
    "ModelNameIsInvalid",
    "ModelReadsProtected",
    "ModelSchemaDiffers",
    "ModelState",
    "PolicyUse",
    "RegisteredModel",
    "ScorecardIsMalformed",
    "approve_model",
    "champion_of",
    "check_name",
    "list_models",
    "load_registered",
    "model_source",
    "read_card",
    "read_form",
    "read_reference",
    "read_registered",
    "register_model",
    "request_model_approval",
    "retire_model",
    "uses_of",
]

APPROVE = approvals.approval_kind(
    "decisions.model",
    verb="decisions.approve",
    en="Let policies use a model",
    zh="批准模型供策略使用",
)


def register_model(unit: UnitOfWork, name: str, form: str, card: str) -> RegisteredModel:
    """Enter a model as the next version of a name; it is never changed afterwards.

    Parameters
    ----------
    form : its flat form in JSON, as training keeps it
    card : its card in JSON, about this very form

    Returns
    -------
    RegisteredModel
        Under its new name and version, which form and card now say too.

    Refusals
    --------
    model_name_is_invalid, model_is_malformed, scorecard_is_malformed, card_is_malformed,
    model_schema_differs, feature_definition_differs, card_does_not_fit, model_reads_protected,
    model_is_registered
    """
    check_name(name)
    definitions = _definitions()
    model = read_model(form, definitions)
    table.hold_name(unit.connection, name)
    known = table.same(unit.connection, name, substance_of(model))
    if known is not None:
        raise ModelIsRegistered(model=f"{name}@{known}")
    version = table.last_version(unit.connection, name) + 1
    entry = make_entry(
        model, ModelCard.from_json(card), named=(name, version), definitions=definitions
    )
    made = table.insert(unit.connection, entry, by=unit.actor, at=unit.now)
    fact = ModelRegistered(name=name, model_version=version, model_kind=made.kind,
                           digest=made.digest)  # fmt: skip
    unit.record(fact, subject=made.subject)
    _audit(unit, made, "register_model")
    return made


def request_model_approval(unit: UnitOfWork, name: str, version: int) -> approvals.Approval:
    """Ask for a second person's yes to the use of a model by policies.

    Refusals
    --------
    model_is_unknown, model_is_not_waiting
    """
    found = _waiting(table.read(unit.connection, name, version))
    return approvals.request_approval(
        unit, kind=APPROVE.name, subject=found.subject, shown=_shown(unit, found), by=unit.actor
    )


def approve_model(unit: UnitOfWork, name: str, version: int, *, approval: UUID) -> RegisteredModel:
    """Let policies use a model, as two people want it.

    Refusals
    --------
    model_is_unknown, model_is_not_waiting and those of `consume_approval`
    """
    found = _waiting(table.lock(unit.connection, name, version))
    cause = approvals.consume_approval(
        unit, approval, kind=APPROVE.name, subject=found.subject, shown=_shown(unit, found)
    )
    after = replace(found, state=ModelState.APPROVED, cause=cause, approved_at=unit.now)
    table.change(unit.connection, found, after)
    fact = ModelApproved(name=name, model_version=version, cause=cause)
    unit.record(fact, subject=found.subject)
    _audit(unit, after, "approve_model")
    return after


def retire_model(unit: UnitOfWork, name: str, version: int, *, reason: str) -> RegisteredModel:
    """Let no new policy use a model any more; those that were committed are still computed again.

    Refusals
    --------
    model_is_unknown, model_is_retired, model_is_in_use
    """
    assert 0 < len(reason) <= MOST_REASON
    found = table.lock(unit.connection, name, version)
    if found.state is ModelState.RETIRED:
        raise ModelIsRetired(model=found.reference)
    judging = [use.cause for use in uses_of(unit.connection, name, version) if use.standing]
    if judging:
        raise ModelIsInUse(model=found.reference, policies=", ".join(judging))
    after = replace(
        found,
        state=ModelState.RETIRED,
        retired_by=unit.actor,
        retired_at=unit.now,
        reason=reason,
    )
    table.change(unit.connection, found, after)
    fact = ModelRetired(name=name, model_version=version, reason=reason)
    unit.record(fact, subject=found.subject)
    _audit(unit, after, "retire_model")
    return after


def read_registered(
    connection: sa.Connection, name: str, version: int | None = None
) -> RegisteredModel:
    """Return a version of a model, the newest one if none is named.

    Refusals
    --------
    model_is_unknown
    """
    return table.read(connection, name, version)


def champion_of(connection: sa.Connection, name: str) -> RegisteredModel | None:
    """Return the newest approved version of a name, None if there is none."""
    return table.newest(connection, name, ModelState.APPROVED)


def list_models(
    connection: sa.Connection,
    *,
    name: str | None = None,
    state: ModelState | None = None,
    cursor: str | None = None,
    limit: int = 50,
) -> Page[RegisteredModel]:
    """Return a page of versions by name, the newest of each name first.

    Refusals
    --------
    cursor_is_invalid
    """
    after = ("", 0)
    if cursor:
        at_name, at_version = decode_cursor(cursor, str, int)
        after = (str(at_name), int(at_version))
    found = table.listed(connection, name=name, state=state, after=after, limit=limit + 1)
    items = tuple(found[:limit])
    has_more = len(found) > limit
    return Page(items, encode_cursor(items[-1].name, items[-1].version) if has_more else None)


def read_card(connection: sa.Connection, name: str, version: int) -> ModelCard:
    """Return the card of a model.

    Refusals
    --------
    model_is_unknown
    """
    return ModelCard.from_json(table.texts(connection, name, version).card)


def read_form(connection: sa.Connection, name: str, version: int) -> str:
    """Return the flat form of a model in JSON, of which its digest is the SHA-256.

    Refusals
    --------
    model_is_unknown
    """
    return table.texts(connection, name, version).form


def load_registered(connection: sa.Connection, reference: str) -> Model:
    """Return a registered model, ready to run beside the features as they are now.

    Parameters
    ----------
    reference : `name@version`

    Refusals
    --------
    model_is_unknown, model_is_altered
    feature_definition_differs : a feature it reads means something else than when it was registered
    """
    found = table.read(connection, *read_reference(reference))
    definitions = _definitions()
    found.inputs.verify(reference, definitions)
    model = read_model(read_form(connection, found.name, found.version), definitions)
    if model.content_hash != found.digest:
        raise ModelIsAltered(model=reference, digest=found.digest)
    return model


def model_source(connection: sa.Connection, *, for_new: bool) -> Callable[[str], str]:
    """Return what gives nodes the flat form of a model by `name@version`.

    Parameters
    ----------
    for_new : policies that are drafted now name approved models only; those committed before are
        compiled with whatever they named

    Refusals
    --------
    those of `load_registered`, model_is_not_approved
    """

    def form(reference: str) -> str:
        found = table.read(connection, *read_reference(reference))
        if for_new and found.state is not ModelState.APPROVED:
            raise ModelIsNotApproved(model=reference, state=found.state)
        return load_registered(connection, reference).to_json()

    return form


def uses_of(connection: sa.Connection, name: str, version: int) -> tuple[PolicyUse, ...]:
    """Return the committed policies that name or hold a version of a model."""
    return table.uses(connection, name, version)


def _waiting(found: RegisteredModel) -> RegisteredModel:
    if found.state is not ModelState.REGISTERED:
        raise ModelIsNotWaiting(model=found.reference, state=found.state)
    return found


def _shown(unit: UnitOfWork, found: RegisteredModel) -> dict[str, object]:
    """Return what a checker is shown of a model; figures are texts."""
    card = read_card(unit.connection, found.name, found.version)
    shown: dict[str, object] = {
        "kind": found.kind.value,
        "digest": found.digest,
        "card_digest": found.card_digest,
        "inputs": len(found.inputs.names),
        "data": f"{card.data.name}, {card.data.rows} rows, {card.data.bad} bad",
        "metrics": {name: f"{value:.4f}" for name, value in card.metrics.items()},
        "registered_by": found.registered_by,
    }
    if card.contest is not None:
        shown["champion"] = card.contest.champion
        shown["auc_against_champion"] = f"{card.contest.low:+.4f} to {card.contest.high:+.4f}"
    return shown


def _audit(unit: UnitOfWork, model: RegisteredModel, action: str) -> None:
    audit(
        unit,
        action=f"decisions.{action}",
        subject=model.subject,
        detail={"digest": model.digest, "state": model.state.value},
    )


@cache
def _definitions() -> dict[str, str]:
    """Return what the features mean now."""
    return known_definitions(CATALOGUE)
