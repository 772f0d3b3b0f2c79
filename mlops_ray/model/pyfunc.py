"""The door for MLflow: `mlflow.pyfunc.load_model` opens a bundle through this module, without pickle."""

import base64
import binascii
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from mlops_ray.errors import SchemaError
from mlops_ray.model.bundle import Bundle
from mlops_ray.model.encoding import encode
from mlops_ray.model.load import load_bundle

__all__ = ["BundleModel"]


class BundleModel:
    """A bundle that takes a pandas DataFrame, as MLflow's models do."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle

    def predict(self, model_input: pd.DataFrame) -> NDArray[np.float64] | pd.DataFrame:
        """Predictions (rows,) of the rows of `model_input`; of a multiclass model a column for each class.

        A picture is the bytes of its file, or these as base64 text.
        """
        signature = self.bundle.signature
        if signature.image is not None:
            name = signature.image.name
            model_input = model_input.assign(**{name: [_content(value) for value in model_input[name]]})
        table = pa.Table.from_pandas(model_input, preserve_index=False)
        answer = self.bundle.predict(encode(signature, table))
        return pd.DataFrame(answer, columns=list(signature.classes)) if signature.classes else answer


def _content(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except (binascii.Error, ValueError):
        raise SchemaError("expected a picture as bytes or base64 text, found another text") from None


def _load_pyfunc(path: str) -> BundleModel:
    """Called by MLflow with the folder of the bundle."""
    return BundleModel(load_bundle(str(Path(path).resolve())))
