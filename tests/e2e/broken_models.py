"""Predictors that pass every check before traffic and fail on real rows, each in its way."""

import json
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model import TrainedModel
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor

__all__ = ["AnswersNaN", "EatsMemory", "Hangs", "NeverReady", "Raises", "Unloadable", "broken"]

Matrix = NDArray[np.float64]


class _FineOnZeros:
    """Right on rows of zeros, which is what a replica warms a model up with; `fail` answers all others."""

    def __init__(self, folder: Path) -> None:
        self._model = LightGBMPredictor.load(folder)

    def predict(self, matrix: Matrix) -> Matrix:
        """Predictions, or what `fail` makes of it."""
        return self.fail(len(matrix)) if matrix.any() else self._model.predict(matrix)

    def fail(self, rows: int) -> Matrix:
        """What so many real rows meet."""
        raise NotImplementedError


class Raises(_FineOnZeros):
    """Raises on every row."""

    def fail(self, rows: int) -> Matrix:
        """See the class."""
        raise RuntimeError(f"no lookup table for {rows} rows")


class Hangs(_FineOnZeros):
    """Never answers."""

    def fail(self, rows: int) -> Matrix:
        """See the class."""
        threading.Event().wait()
        return np.zeros(rows)


class AnswersNaN(_FineOnZeros):
    """Answers something that is no prediction."""

    def fail(self, rows: int) -> Matrix:
        """See the class."""
        return np.full(rows, np.nan)


class EatsMemory(_FineOnZeros):
    """Keeps 64 MB of every call, and answers right until something ends it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._kept: list[Matrix] = []

    def predict(self, matrix: Matrix) -> Matrix:
        """See the class."""
        if matrix.any():
            self._kept.append(np.ones(8 * 2**20))
        return self._model.predict(matrix)


class NeverReady:
    """Its loading does not end, like a container that waits for a volume that never comes."""

    def __init__(self, folder: Path) -> None:
        del folder
        threading.Event().wait()


class Unloadable:
    """Cannot even be made."""

    def __init__(self, folder: Path) -> None:
        raise OSError(f"{folder}: weights are not where they should be")


def broken(kind: type, sound: TrainedModel) -> TrainedModel:
    """The sound LightGBM model, run by a predictor of this kind."""
    described = json.dumps({"class": f"{kind.__module__}:{kind.__name__}"})
    return TrainedModel("python", {**sound.files, "predictor.json": described.encode()})
