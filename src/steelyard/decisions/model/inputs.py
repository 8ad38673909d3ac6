"""What a model reads, in order, and the proof that it is still what it was trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from math import isfinite
from typing import Any

from steelyard.features.catalogue import kind_first
from steelyard.kernel import Refusal, RefusalKind

FIELD = "field"
"""Stands for the definition of an input that is a field of the event and no feature."""

_TEXTS = {"en", "zh"}


class ModelIsMalformed(Refusal):
    """What was to be loaded is not a model that can be run."""

    kind = RefusalKind.INVALID
    en = "This model cannot be run: {what}."
    zh = "该模型无法运行：{what}。"


class ModelSchemaDiffers(Refusal):
    """The names of the inputs, or their order, are not those the model was stored with."""

    kind = RefusalKind.CONFLICT
    en = "The inputs of model {model} do not fit its schema hash {expected}; they give {found}."
    zh = "模型 {model} 的输入与其结构哈希 {expected} 不符，实际为 {found}。"


class FeatureDefinitionDiffers(Refusal):
    """A feature means something else than when the model was trained."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} was trained on another definition of {features}; train it again."
    zh = "模型 {model} 训练时 {features} 的定义与现行定义不同，请重新训练。"


class ModelNeverSawItMissing(Refusal):
    """The model would read a missing value as zero."""

    kind = RefusalKind.CONFLICT
    en = "Model {model} was trained with {feature} always present and cannot do without it."
    zh = "模型 {model} 训练时 {feature} 从不缺失，缺失时无法评分。"


class InputIsNotANumber(Refusal):
    """A model reads numbers only."""

    kind = RefusalKind.INVALID
    en = "The value {value!r} of {feature} is not a number."
    zh = "{feature} 的取值 {value!r} 不是数字。"


def is_number(value: object) -> bool:
    """Return whether a value of a stored model is a finite number that a float can hold."""
    if type(value) is int:
        return abs(value) < 2**1000
    return type(value) is float and isfinite(value)


def definition_hash(definition: object) -> str:
    """Return the SHA-256 of what a definition says, its texts for people left out.

    Parameters
    ----------
    definition : a dataclass of plain values, tuples and dataclasses, as `features.Feature`
    """
    text = json.dumps(_plain(definition), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def known_definitions(features: Mapping[str, object]) -> dict[str, str]:
    """Return the `definition_hash` of every feature of a catalogue, by name."""
    return {name: definition_hash(one) for name, one in features.items()}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {
            one.name: _plain(_named(one.name, getattr(value, one.name)))
            for one in fields(value)
            if one.name not in _TEXTS
        }
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def _named(field: str, value: Any) -> Any:
    """Return kinds by their first words: another word for a kind is no other definition."""
    return tuple(map(kind_first, value)) if field == "kinds" else value


@dataclass(frozen=True, slots=True)
class ModelInputs:
    """The inputs of a model.

    Attributes
    ----------
    names : in the order of the model's columns
    definitions : of each, its `definition_hash`; `FIELD` where it is no feature

    Examples
    --------
    >>> inputs = ModelInputs(("amount", "hour"), (FIELD, FIELD))
    >>> inputs.schema_hash == ModelInputs(("hour", "amount"), (FIELD, FIELD)).schema_hash
    False
    """

    names: tuple[str, ...]
    definitions: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.definitions) or len(set(self.names)) != len(self.names):
            raise ModelIsMalformed(what="each input has one name and one definition")
        if not all(isinstance(one, str) for one in (*self.names, *self.definitions)):
            raise ModelIsMalformed(what="names and definitions of inputs are texts")

    @property
    def schema_hash(self) -> str:
        """The SHA-256 of the names in their order."""
        return hashlib.sha256(json.dumps(self.names).encode()).hexdigest()

    @property
    def definitions_hash(self) -> str:
        """The SHA-256 of names and definitions."""
        pairs = list(zip(self.names, self.definitions, strict=True))
        return hashlib.sha256(json.dumps(pairs).encode()).hexdigest()

    def verify(self, model: str, definitions: Mapping[str, str]) -> None:
        """Refuse when a feature is not defined as it was in training.

        Parameters
        ----------
        model : its name, for the refusal
        definitions : `definition_hash` of every feature now known, by name

        Raises
        ------
        FeatureDefinitionDiffers : naming those that differ or are gone
        """
        differing = [
            name
            for name, trained in zip(self.names, self.definitions, strict=True)
            if trained != FIELD and definitions.get(name) != trained
        ]
        if differing:
            raise FeatureDefinitionDiffers(model=model, features=", ".join(differing))

    def as_data(self) -> dict[str, object]:
        """Return the part of a model's JSON form that says what it reads."""
        return {
            "names": list(self.names),
            "definitions": list(self.definitions),
            "schema_hash": self.schema_hash,
            "definitions_hash": self.definitions_hash,
        }


def read_inputs(model: str, data: Mapping[str, Any]) -> ModelInputs:
    """Return the inputs of a model's JSON form, its hashes checked.

    Raises
    ------
    ModelSchemaDiffers : names or order were changed since the model was stored
    FeatureDefinitionDiffers : the definitions were
    """
    inputs = ModelInputs(tuple(data["names"]), tuple(data["definitions"]))
    if inputs.schema_hash != data["schema_hash"]:
        raise ModelSchemaDiffers(
            model=model, expected=data["schema_hash"], found=inputs.schema_hash
        )
    if inputs.definitions_hash != data["definitions_hash"]:
        raise FeatureDefinitionDiffers(model=model, features=", ".join(inputs.names))
    return inputs
