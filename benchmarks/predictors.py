"""Predictors that a delivery has to survive; replicas import them from this repository."""

import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.lightgbm_predictor import LightGBMPredictor

__all__ = ["Computes", "Raises", "Waits"]

Matrix = NDArray[np.float64]
_SLOW_S = 0.05


class _Sound:
    """The LightGBM model of its folder."""

    def __init__(self, folder: Path) -> None:
        self._model = LightGBMPredictor.load(folder)

    def predict(self, matrix: Matrix) -> Matrix:
        """Predictions (n,) of rows (n, d)."""
        return self._model.predict(matrix)


class Waits(_Sound):
    """Right, but 50 ms late: 20 calls a second are all it can do, and it needs no CPU time for them."""

    def predict(self, matrix: Matrix) -> Matrix:
        """See the class."""
        time.sleep(_SLOW_S)
        return super().predict(matrix)


class Computes(_Sound):
    """As `Waits`, but it computes all the while: a core is gone."""

    def predict(self, matrix: Matrix) -> Matrix:
        """See the class."""
        until_s = time.perf_counter() + _SLOW_S
        while time.perf_counter() < until_s:
            pass
        return super().predict(matrix)


class Raises(_Sound):
    """Raises on every row but those of zeros, which is what a replica is warmed up with."""

    def predict(self, matrix: Matrix) -> Matrix:
        """See the class."""
        if matrix.any():
            raise RuntimeError(f"no lookup table for {len(matrix)} rows")
        return super().predict(matrix)
