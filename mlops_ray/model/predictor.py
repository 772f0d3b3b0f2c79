"""What every loaded model can do, whatever it is made of."""

import json
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ModelError
from mlops_ray.model.signature import Signature

__all__ = ["Predictor", "load_predictor"]


class Predictor(Protocol):
    """A model in memory; one thread at a time."""

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """(rows, width) to (rows,): the probability of the positive class, or the value; of a multiclass task the
        probabilities (rows, classes).
        """
        ...


def load_predictor(
    flavor: str, folder: Path, *, signature: Signature | None = None, device: str = "cpu", threads: int = 1
) -> Predictor:
    """The predictor of the model files in `folder`.

    `device` is a torch device; `threads` bounds what one call may use. A `python` model gets the folder and nothing
    else; `sklearn` and `pyfunc` need the signature. Those three run code of the model's own.

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
    if flavor in ("sklearn", "pyfunc"):
        return _with_signature(flavor, folder, signature, threads=threads)
    raise ModelError(f"model flavor: expected lightgbm, torch, sklearn, pyfunc or python, found {json.dumps(flavor)}")


def _with_signature(flavor: str, folder: Path, signature: Signature | None, *, threads: int) -> Predictor:
    if signature is None:
        raise ModelError(f"a model of flavor {flavor} cannot be loaded without its signature")
    # imported here for the same reason
    if flavor == "sklearn":
        from mlops_ray.model.sklearn_predictor import SklearnPredictor

        return SklearnPredictor.load(folder, signature, threads=threads)
    from mlops_ray.model.pyfunc_predictor import PyfuncPredictor

    return PyfuncPredictor.load(folder, signature)
