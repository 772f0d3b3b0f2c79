"""The door for MLflow: `mlflow.pyfunc.load_model` opens a bundle through this module, without pickle."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.model.bundle import Bundle
from mlops_ray.model.encoding import encode
from mlops_ray.model.load import load_bundle

__all__ = ["BundleModel"]


class BundleModel:
    """A bundle that takes a pandas DataFrame, as MLflow's models do."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame) -> NDArray[np.float64]:
        """Predictions (rows,) of the rows of `model_input`."""
        table = pa.Table.from_pandas(model_input, preserve_index=False)
        return self.bundle.predict(encode(self.bundle.signature, table))


def _load_pyfunc(path: str) -> BundleModel:
    """Called by MLflow with the folder of the bundle."""
    return BundleModel(load_bundle(str(Path(path).resolve())))
