"""Boosted trees in flat form, and the scoring of one row through LightGBM's C call or without it.

The C library is opened by itself: LightGBM's Python package (a second and a half, 145 MB) is not
imported. Both ways give `booster.predict` to the bit: trees are added in the same order.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from operator import itemgetter
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from steelyard.decisions.model.inputs import (
    InputIsNotANumber,
    ModelInputs,
    ModelIsMalformed,
    ModelNeverSawItMissing,
    read_inputs,
)
from steelyard.decisions.model.logistic import sigmoid
from steelyard.decisions.model.partition import Scalar
from steelyard.decisions.model.trees import Trees, Walker, read_lightgbm

KIND = "gbm"

_NORMAL, _LEAF, _SHAP = 0, 2, 3
_FLOAT64 = 1
_ONE_THREAD = b"num_threads=1"


@dataclass(frozen=True, slots=True)
class GbmModel:
    """A binary LightGBM model with what it reads.

    Attributes
    ----------
    name, version : of the model
    inputs : what it reads; the names are the columns of the model
    text : LightGBM's own text form, from which everything else follows
    """

    name: str
    version: int
    inputs: ModelInputs
    text: str
    trees: Trees = field(init=False, repr=False, compare=False)
    slope: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        trees, names, slope = read_lightgbm(self.text)
        if names != self.inputs.names:
            raise ModelIsMalformed(what="its columns are not its inputs")
        object.__setattr__(self, "trees", trees)
        object.__setattr__(self, "slope", slope)

    def to_json(self) -> str:
        """Return the canonical JSON form."""
        form = {
            "kind": KIND,
            "name": self.name,
            "version": self.version,
            "inputs": self.inputs.as_data(),
            "text": self.text,
        }
        return json.dumps(form, sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @property
    def content_hash(self) -> str:
        """The SHA-256 of the JSON form."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> GbmModel:
        """Return the model of a decoded JSON form; see `flat.load_model`."""
        return cls(data["name"], data["version"], read_inputs(data["name"], data["inputs"]),
                   data["text"])  # fmt: skip


class RowReader:
    """Packs the values that a model reads into its row of doubles; missing becomes NaN here only.

    Attributes
    ----------
    buffer : the row of doubles; overwritten by each `read`
    """

    def __init__(self, model: GbmModel) -> None:
        names = model.inputs.names
        self._model = model.name
        self._names = names
        self._blind = {names[n] for n in model.trees.blind_to_missing()}
        # itemgetter gives a tuple for two names or more only
        self._get = itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
        self._pack = struct.Struct(f"{len(names)}d").pack_into
        self.buffer: NDArray[np.float64] = np.zeros(len(names))
        self._bytes = self.buffer.data

    def read(self, row: Mapping[str, Scalar]) -> None:
        """Fill the buffer.

        Raises
        ------
        ModelNeverSawItMissing, InputIsNotANumber
        """
        try:
            self._pack(self._bytes, 0, *self._get(row))
        except (KeyError, struct.error):
            self._pack(self._bytes, 0, *[self._number(name, row.get(name)) for name in self._names])

    def _number(self, name: str, value: Scalar) -> float:
        if value is None:
            if name in self._blind:
                raise ModelNeverSawItMissing(model=self._model, feature=name)
            return float("nan")
        if isinstance(value, str):
            raise InputIsNotANumber(feature=name, value=value)
        return float(value)


class GbmScorer(Protocol):
    """Scores with one model; not shared between threads."""

    model: GbmModel

    def probability(self, row: Mapping[str, Scalar]) -> float:
        """Return the chance of bad of one row."""

    def leaves(self, row: Mapping[str, Scalar]) -> NDArray[np.int64]:
        """Return the leaf of each tree, numbered over all; overwritten by the next call."""

    def probabilities(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the chance of bad of rows, NaN is missing; equal to `probability` of each."""


def open_scorer(model: GbmModel) -> GbmScorer:
    """Return the fastest scorer that this installation has; all give the same bits."""
    return NativeScorer(model) if native_library() is not None else PlainScorer(model)


class PlainScorer:
    """Scores without LightGBM: the flat arrays are walked in Python."""

    def __init__(self, model: GbmModel) -> None:
        self.model = model
        self._reader = RowReader(model)
        self._walker = Walker(model.trees)
        self._values: list[float] = model.trees.leaf_value.tolist()

    def probability(self, row: Mapping[str, Scalar]) -> float:
        """Return the chance of bad of one row."""
        self._reader.read(row)
        total = 0.0
        for leaf in self._walker.leaves(self._reader.buffer.tolist()):
            total += self._values[leaf]
        return sigmoid(self.model.slope * total)

    def leaves(self, row: Mapping[str, Scalar]) -> NDArray[np.int64]:
        """Return the leaf of each tree, numbered over all."""
        self._reader.read(row)
        return np.array(self._walker.leaves(self._reader.buffer.tolist()), dtype=np.int64)

    def probabilities(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the chance of bad of rows."""
        raw = self.model.slope * self.model.trees.raw_of(matrix)
        return np.fromiter(map(sigmoid, raw.tolist()), np.float64, len(raw))


class NativeScorer:
    """Scores through LightGBM's C library, with the set-up of a call made once."""

    def __init__(self, model: GbmModel) -> None:
        library = native_library()
        assert library is not None, "ask native_library() first"
        self.model = model
        self._library = library
        self._reader = RowReader(model)
        self._booster = ctypes.c_void_p()
        rounds = ctypes.c_int()
        _check(library, library.LGBM_BoosterLoadModelFromString(
            model.text.encode(), ctypes.byref(rounds), ctypes.byref(self._booster)))  # fmt: skip
        self._row = ctypes.c_void_p(self._reader.buffer.ctypes.data)
        self._length = ctypes.c_int64()
        self._length_at = ctypes.byref(self._length)
        self._one = ctypes.c_double()
        self._one_at = ctypes.byref(self._one)
        self._found = np.zeros(rounds.value)
        self._found_at = ctypes.c_void_p(self._found.ctypes.data)
        self._whole = np.zeros(rounds.value, dtype=np.int64)
        self._score = self._prepare(_NORMAL)
        self._leaf = self._prepare(_LEAF)
        self._fast = library.LGBM_BoosterPredictForMatSingleRowFast

    def _prepare(self, kind: int) -> ctypes.c_void_p:
        """Return the handle of a prepared call on one row."""
        handle = ctypes.c_void_p()
        _check(self._library, self._library.LGBM_BoosterPredictForMatSingleRowFastInit(
            self._booster, kind, 0, -1, _FLOAT64, len(self.model.inputs.names), _ONE_THREAD,
            ctypes.byref(handle)))  # fmt: skip
        return handle

    def probability(self, row: Mapping[str, Scalar]) -> float:
        """Return the chance of bad of one row."""
        self._reader.read(row)
        status = self._fast(self._score, self._row, self._length_at, self._one_at)
        assert status == 0, "LightGBM could not score"
        return self._one.value

    def leaves(self, row: Mapping[str, Scalar]) -> NDArray[np.int64]:
        """Return the leaf of each tree, numbered over all; overwritten by the next call."""
        self._reader.read(row)
        status = self._fast(self._leaf, self._row, self._length_at, self._found_at)
        assert status == 0, "LightGBM could not score"
        np.add(self._found, self.model.trees.first_leaf, out=self._whole, casting="unsafe")
        return self._whole

    def probabilities(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the chance of bad of rows."""
        return self._predict(matrix, _NORMAL, 1)[:, 0]

    def shap(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return exact TreeSHAP values of rows in ln odds, the expected value in the last column.

        Lundberg et al., Nature Machine Intelligence 2, 2020; a row sums to its raw score.
        """
        return self._predict(matrix, _SHAP, len(self.model.inputs.names) + 1)

    def shap_of(self, row: Mapping[str, Scalar]) -> NDArray[np.float64]:
        """Return exact TreeSHAP values of one row, the expected value last."""
        self._reader.read(row)
        return np.asarray(self.shap(self._reader.buffer[None, :])[0])

    def _predict(self, matrix: NDArray[np.float64], kind: int, width: int) -> NDArray[np.float64]:
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        found = np.zeros((len(rows), width))
        if len(rows):
            _check(self._library, self._library.LGBM_BoosterPredictForMat(
                self._booster, ctypes.c_void_p(rows.ctypes.data), _FLOAT64, len(rows),
                rows.shape[1], 1, kind, 0, -1, _ONE_THREAD, ctypes.byref(self._length),
                ctypes.c_void_p(found.ctypes.data)))  # fmt: skip
        return found

    def __del__(self) -> None:
        if getattr(self, "_leaf", None):
            self._library.LGBM_FastConfigFree(self._score)
            self._library.LGBM_FastConfigFree(self._leaf)
        if getattr(self, "_booster", None):
            self._library.LGBM_BoosterFree(self._booster)


@cache
def native_library() -> Any:
    """Return LightGBM's C library, or None where the package is not installed."""
    spec = find_spec("lightgbm")
    if spec is None or spec.origin is None:
        return None
    for name in ("lib_lightgbm.so", "lib_lightgbm.dylib", "lib_lightgbm.dll"):
        for folder in ("lib", "."):
            path = Path(spec.origin).parent / folder / name
            if path.exists():
                return _declare(ctypes.CDLL(str(path)))
    return None


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    """State the types of the calls, which spares ctypes the guessing at each of them."""
    pointer, whole, text = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
    library.LGBM_GetLastError.restype = text
    library.LGBM_BoosterLoadModelFromString.argtypes = [text, pointer, pointer]
    library.LGBM_BoosterPredictForMatSingleRowFastInit.argtypes = [
        pointer, whole, whole, whole, whole, ctypes.c_int32, text, pointer]  # fmt: skip
    library.LGBM_BoosterPredictForMatSingleRowFast.argtypes = [pointer] * 4
    library.LGBM_BoosterPredictForMat.argtypes = [
        pointer, pointer, whole, ctypes.c_int32, ctypes.c_int32, whole, whole, whole, whole, text,
        pointer, pointer]  # fmt: skip
    library.LGBM_FastConfigFree.argtypes = [pointer]
    library.LGBM_BoosterFree.argtypes = [pointer]
    return library


def _check(library: ctypes.CDLL, status: int) -> None:
    if status != 0:
        raise ModelIsMalformed(what=library.LGBM_GetLastError().decode())
