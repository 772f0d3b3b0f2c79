"""What every loaded model can do, whatever it is made of."""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ModelError

__all__ = ["Predictor", "load_predictor"]


class Predictor(Protocol):
    """A model in memory; one thread at a time."""

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, inputs) to (rows,): the probability of the positive class, or the value."""
        ...


def load_predictor(flavor: str, folder: Path, *, device: str = "cpu", threads: int = 1) -> Predictor:
    """The predictor of the model files in `folder`.

    `device` is a torch device; `threads` bounds what one call may use. A `python` model gets the folder and nothing
    else.

    Raises:
        ModelError: the flavor is unknown, or the files do not make a model.
    """
    # each flavor's library is imported only where a model of that flavor is loaded: lightgbm costs about 1 s, torch 2 s
    if flavor == "lightgbm":
        from mlops_ray.model.lightgbm_predictor import LightGBMPredictor

        return LightGBMPredictor.load(folder, threads=threads)
    if flavor == "torch":
        from mlops_ray.model.torch_predictor import TorchPredictor

        return TorchPredictor.load(folder, device=device, threads=threads)
    if flavor == "python":
        from mlops_ray.model.python_predictor import load_python_predictor

        return load_python_predictor(folder)
    raise ModelError(f"model flavor: expected lightgbm, torch or python, found {json.dumps(flavor)}")
