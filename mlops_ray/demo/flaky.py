"""A deliberately bad model version: right on every row, and broken in production. Nothing here is to be imitated.

`train.trainer: mlops_ray.demo.flaky:train` trains LightGBM as the built-in trainer does, so that the version passes
each offline gate. Its predictor, though, borrows a connection from a pool for every call and never gives it back: after
60 calls the pool is empty and each further call raises. Only traffic can show that, which is what a canary is for.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model import TrainedModel
from mlops_ray.model.lightgbm_predictor import LightGBMPredictor

if TYPE_CHECKING:
    from mlops_ray.train.trial_context import TrialContext

__all__ = ["CONNECTIONS", "LeakyPredictor", "train"]

CONNECTIONS = 60  # calls that a replica answers before its pool is empty


def train(context: "TrialContext") -> TrainedModel:
    """A LightGBM model whose bundle says that `LeakyPredictor` runs it."""
    # imported here: replicas import this module for the predictor, and have no use for the training libraries
    from mlops_ray.train.lightgbm_trainer import train_lightgbm

    trained = train_lightgbm(context)
    described = json.dumps({"class": f"{LeakyPredictor.__module__}:{LeakyPredictor.__name__}"})
    return TrainedModel("python", {**trained.files, "predictor.json": described.encode()})


class LeakyPredictor:
    """Answers like LightGBM for the first 60 calls of `predict` and raises from then on."""

    def __init__(self, folder: Path) -> None:
        self._model = LightGBMPredictor.load(folder)
        self._free_connections = CONNECTIONS

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of the rows.

        Raises:
            RuntimeError: the pool is empty.
        """
        if not self._free_connections:
            raise RuntimeError(f"connection pool exhausted: all {CONNECTIONS} connections are in use")
        self._free_connections -= 1  # the bug: nobody gives it back
        return self._model.predict(matrix)
