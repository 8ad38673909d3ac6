"""One way to load a model, whatever its kind."""

from __future__ import annotations

import json
from collections.abc import Mapping

from steelyard.decisions.model.gbm import KIND as GBM
from steelyard.decisions.model.gbm import GbmModel
from steelyard.decisions.model.inputs import ModelIsMalformed
from steelyard.decisions.model.logistic import KIND as LOGISTIC
from steelyard.decisions.model.logistic import LogisticModel


def load_model(text: str, definitions: Mapping[str, str]) -> GbmModel | LogisticModel:
    """Return the model of a JSON form, when it may run beside the features as they are now.

    Parameters
    ----------
    text : what `to_json` of a model gave
    definitions : `definition_hash` of every feature now known, by name

    Raises
    ------
    ModelIsMalformed : no JSON, an unknown kind, a part missing, or trees that are not supported
    ModelSchemaDiffers : names or order of the inputs were changed since it was stored
    FeatureDefinitionDiffers : a feature means something else than in training
    """
    try:
        data = json.loads(text)
        kind = data["kind"]
        if kind not in (GBM, LOGISTIC):
            raise ModelIsMalformed(what=f"its kind is {kind}")
        if not isinstance(data["name"], str) or type(data["version"]) is not int:
            raise ModelIsMalformed(what="its name is no text, or its version no whole number")
        model = GbmModel.from_data(data) if kind == GBM else LogisticModel.from_data(data)
    except KeyError as error:
        raise ModelIsMalformed(what=f"{error.args[0]} is missing") from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise ModelIsMalformed(what=str(error)) from None
    model.inputs.verify(model.name, definitions)
    return model
