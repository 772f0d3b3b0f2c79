"""LightGBM boosters, with a path for single rows that skips what LightGBM does anew in every call.

`Booster.predict` sets up a predictor each time; `LGBM_BoosterPredictForMatSingleRowFast` sets it up once, which makes a
row of 30 features through 100 trees 4 us instead of 15. LightGBM has it in its C interface only, so it is called
through ctypes.
"""

import ctypes
import weakref
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.trained import LIGHTGBM_FILE as MODEL_FILE

__all__ = ["MODEL_FILE", "LightGBMPredictor"]

_FLOAT64 = 1  # C_API_DTYPE_FLOAT64
_NORMAL = 0  # C_API_PREDICT_NORMAL
# up to so many rows one by one are faster than one call of Booster.predict
_ROW_BY_ROW = 8


class LightGBMPredictor:
    """A booster; not for several threads at once, because single rows share one output buffer."""

    def __init__(self, booster: lightgbm.Booster, *, threads: int = 1) -> None:
        self._booster = booster
        self._threads = threads
        self._inputs = booster.num_feature()
        self._single = _single_row(booster)

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1) -> "LightGBMPredictor":
        """The booster saved in `folder`; ModelError when it is none."""
        try:
            text = (folder / MODEL_FILE).read_text(encoding="utf-8")
            return cls(lightgbm.Booster(model_str=text), threads=threads)
        except (OSError, UnicodeDecodeError, lightgbm.basic.LightGBMError) as error:
            raise ModelError(f"{MODEL_FILE}: not a LightGBM model ({error})") from error

    @property
    def booster(self) -> lightgbm.Booster:
        """The model itself."""
        return self._booster

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of the rows; equal to `Booster.predict`.

        Raises:
            PredictionError: the matrix has not as many columns as the model has inputs.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self._inputs:
            raise PredictionError(f"expected a matrix (rows, {self._inputs}), found shape {matrix.shape}")
        if self._single is not None and len(matrix) <= _ROW_BY_ROW:
            return self._single.predict(matrix)
        if not len(matrix):
            classes = self._booster.num_model_per_iteration()
            return np.empty(0 if classes == 1 else (0, classes))
        return np.asarray(self._booster.predict(matrix, num_threads=self._threads), dtype=np.float64)


class _SingleRow:
    """LightGBM's predictor for one row, set up once."""

    def __init__(self, library: Any, handle: Any, inputs: int) -> None:
        self._call = library.LGBM_BoosterPredictForMatSingleRowFast
        self._config = ctypes.c_void_p()
        failed = library.LGBM_BoosterPredictForMatSingleRowFastInit(
            handle, _NORMAL, 0, -1, _FLOAT64, ctypes.c_int32(inputs), b"num_threads=1", ctypes.byref(self._config)
        )
        if failed:
            raise ModelError("LightGBM refused to set up its predictor for single rows")
        weakref.finalize(self, library.LGBM_FastConfigFree, self._config)
        self._answer = ctypes.c_double()
        self._length = ctypes.c_int64()
        self._references = (ctypes.byref(self._length), ctypes.byref(self._answer))
        self._bytes_per_row = inputs * 8

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rows of `matrix`, one after the other."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        answers = np.empty(len(rows))
        # an address and a step instead of a view per row: a view costs as much as the prediction of a small model
        address = rows.ctypes.data
        for i in range(len(rows)):
            if self._call(self._config, ctypes.c_void_p(address + i * self._bytes_per_row), *self._references):
                raise PredictionError("LightGBM failed to predict a single row")
            answers[i] = self._answer.value
        return answers


def _single_row(booster: lightgbm.Booster) -> _SingleRow | None:
    """None where this LightGBM keeps its library or handle elsewhere, or a row has several answers."""
    library = getattr(lightgbm.basic, "_LIB", None)
    handle = getattr(booster, "_handle", None)
    if handle is None or not hasattr(library, "LGBM_BoosterPredictForMatSingleRowFastInit"):
        return None
    return _SingleRow(library, handle, booster.num_feature()) if booster.num_model_per_iteration() == 1 else None
