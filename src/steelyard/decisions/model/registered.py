"""Registered models: what one is, what it may not read, and how its life goes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from steelyard.decisions.model.card import ModelCard
from steelyard.decisions.model.flat import load_model
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.inputs import FIELD, ModelInputs, ModelIsMalformed
from steelyard.decisions.model.logistic import LogisticModel
from steelyard.decisions.model.scorecard import Scorecard
from steelyard.kernel import Refusal, RefusalKind

Model = GbmModel | LogisticModel | Scorecard

_NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
_REFERENCE = re.compile(r"([a-z][a-z0-9_]{0,59})@([1-9][0-9]{0,8})")
PERSONAL = frozenset(
    {
        "age",
        "birth_date",
        "disability",
        "ethnicity",
        "foreign",
        "gender",
        "marital_status",
        "marriage",
        "nationality",
        "personal_status_and_sex",
        "race",
        "religion",
        "sex",
    }
)
"""Inputs by which nobody is judged, whatever the card calls protected (15 U.S.C. 1691)."""
MOST_REASON = 500


class ModelNameIsInvalid(Refusal):
    """A model has a plain name."""

    kind = RefusalKind.INVALID
    en = "{name} is no name of a model: a small letter, then small letters, digits, underscores."
    zh = "{name} 不能作为模型名：须以小写字母开头，仅含小写字母、数字和下划线。"


class ModelIsUnknown(Refusal):
    """Nothing was registered under the name, or not in the version."""

    kind = RefusalKind.NOT_FOUND
    en = "There is no model {model} in the registry."
    zh = "模型登记册中没有模型 {model}。"


class ModelIsRegistered(Refusal):
    """The same was registered before."""

    kind = RefusalKind.CONFLICT
    en = "This model is {model} to the letter."
    zh = "该模型与 {model} 完全相同。"


class ModelReadsProtected(Refusal):
    """Somebody would be judged by what nobody may be judged by."""

    kind = RefusalKind.INVALID
    en = "The model reads {inputs}, by which nobody may be judged; train it without."
    zh = "该模型使用了受保护属性 {inputs}，不得据此评判个人，请去除后重新训练。"


class CardDoesNotFit(Refusal):
    """The card is of another model, or leaves out what a card has to say."""

    kind = RefusalKind.INVALID
    en = "The card does not fit the model: {why}."
    zh = "模型卡与模型不符：{why}。"


class ModelIsNotWaiting(Refusal):
    """Only what is registered and nothing more can be approved."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} is {state} and cannot be approved."
    zh = "模型 {model} 处于 {state} 状态，无法批准。"


class ModelIsNotApproved(Refusal):
    """A new policy names approved models only."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} is {state}: a new policy names approved models only."
    zh = "模型 {model} 处于 {state} 状态：新策略只能引用已批准的模型。"


class ModelIsRetired(Refusal):
    """It was retired before."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} is retired already."
    zh = "模型 {model} 已停用。"


class ModelIsInUse(Refusal):
    """A policy that judges now names it."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} is used by {policies}; promote another version first."
    zh = "模型 {model} 正被 {policies} 使用，请先切换到其他版本。"


class ModelIsAltered(Refusal):
    """What stands in the registry is not what was registered."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} no longer has the digest {digest} with which it was registered."
    zh = "模型 {model} 的内容与登记时的摘要 {digest} 不符。"


class ModelState(StrEnum):
    """Where a version stands; it goes down this list only."""

    REGISTERED = "registered"
    APPROVED = "approved"
    RETIRED = "retired"


class ModelKindName(StrEnum):
    """What sort of model it is."""

    GBM = "gbm"
    LOGISTIC = "logistic"
    SCORECARD = "scorecard"


@dataclass(frozen=True, slots=True)
class PolicyUse:
    """A version of a policy that names a model; `standing` is `active`, `challenger` or empty."""

    scene: str
    version: int
    standing: str = ""

    @property
    def cause(self) -> str:
        """The policy by its name."""
        return f"policy.{self.scene}@{self.version}"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version in the registry; what it consists of never changes, its state may.

    Attributes
    ----------
    name, version : together they name it for ever
    kind : what sort of model
    digest, card_digest : SHA-256 of its flat form, and of its card
    inputs : what it reads, in what definitions
    state : see `ModelState`
    registered_by, registered_at : who entered it, and when
    cause, approved_at : the second person's yes
    retired_by, retired_at, reason : of the end
    """

    name: str
    version: int
    kind: ModelKindName
    digest: str
    card_digest: str
    inputs: ModelInputs
    state: ModelState
    registered_by: str
    registered_at: datetime
    cause: str | None = None
    approved_at: datetime | None = None
    retired_by: str | None = None
    retired_at: datetime | None = None
    reason: str | None = None

    @property
    def reference(self) -> str:
        """How a policy names it: `name@version`."""
        return f"{self.name}@{self.version}"

    @property
    def subject(self) -> str:
        """The subject of its facts."""
        return f"model:{self.reference}"


@dataclass(frozen=True, slots=True)
class Entry:
    """What is entered: a model under its own name and version, with its card."""

    model: Model
    inputs: ModelInputs
    card: ModelCard
    substance: str

    @property
    def kind(self) -> ModelKindName:
        """What sort of model."""
        return kind_of(self.model)


def read_reference(reference: str) -> tuple[str, int]:
    """Return name and version of `name@version`.

    Refusals
    --------
    model_is_unknown : it is no reference
    """
    found = _REFERENCE.fullmatch(reference)
    if found is None:
        raise ModelIsUnknown(model=reference)
    return found[1], int(found[2])


def check_name(name: str) -> str:
    """Return a name as given.

    Refusals
    --------
    model_name_is_invalid
    """
    if not _NAME.fullmatch(name):
        raise ModelNameIsInvalid(name=name)
    return name


def read_model(text: str, definitions: Mapping[str, str]) -> Model:
    """Return the model of a flat form, whatever its kind.

    Parameters
    ----------
    text : what `to_json` of a model or a scorecard gave
    definitions : `definition_hash` of every feature now known, by name

    Refusals
    --------
    model_is_malformed, scorecard_is_malformed, model_schema_differs, feature_definition_differs
    """
    try:
        is_card = "characteristics" in json.loads(text)
    except (TypeError, ValueError) as error:
        raise ModelIsMalformed(what=str(error)) from None
    return Scorecard.from_json(text) if is_card else load_model(text, definitions)


def kind_of(model: Model) -> ModelKindName:
    """Return what sort of model it is."""
    if isinstance(model, Scorecard):
        return ModelKindName.SCORECARD
    return ModelKindName.GBM if isinstance(model, GbmModel) else ModelKindName.LOGISTIC


def inputs_of(model: Model, definitions: Mapping[str, str]) -> ModelInputs:
    """Return what a model reads; a scorecard has the definitions of the day it is registered."""
    if isinstance(model, Scorecard):
        return ModelInputs(model.names, tuple(definitions.get(one, FIELD) for one in model.names))
    return model.inputs


def make_entry(
    model: Model, card: ModelCard, *, named: tuple[str, int], definitions: Mapping[str, str]
) -> Entry:
    """Return a model as it is registered under a name and version, its card with it.

    Parameters
    ----------
    model, card : as training left them; the card is about this very model
    named : name and version in the registry
    definitions : `definition_hash` of every feature now known, by name

    Refusals
    --------
    model_name_is_invalid, model_reads_protected
    card_does_not_fit
        It has another content hash, other inputs, no metrics, or protected attributes without
        fairness cuts.
    """
    name, version = named
    check_name(name)
    inputs = inputs_of(model, definitions)
    _check_card(model, inputs, card)
    bare = {one: one.partition("=")[0] for one in inputs.names}
    held = {one.lower() for one in card.data.protected} | PERSONAL
    wrong = [one for one, base in bare.items() if base.lower() in held]
    if wrong:
        raise ModelReadsProtected(inputs=", ".join(wrong))
    renamed = replace(model, name=name, version=version)
    written = replace(card, model=name, version=version, content_hash=renamed.content_hash)
    return Entry(renamed, inputs, written, substance_of(model))


def substance_of(model: Model) -> str:
    """Return the SHA-256 of a model's form without name and version."""
    plain = {**json.loads(model.to_json()), "name": "", "version": 0}
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _check_card(model: Model, inputs: ModelInputs, card: ModelCard) -> None:
    if card.content_hash != model.content_hash:
        raise CardDoesNotFit(why="it has the content hash of another one")
    if card.data.inputs != inputs.names:
        raise CardDoesNotFit(why="it names other inputs")
    if not card.metrics:
        raise CardDoesNotFit(why="it has no metrics")
    if card.data.protected and not card.fairness:
        raise CardDoesNotFit(why="there are protected attributes and no fairness cuts")
