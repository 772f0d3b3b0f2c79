"""Any model that MLflow saved with its flavor python_function; loading one runs code, as unpickling does."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.frame import to_frame
from mlops_ray.model.signature import Signature
from mlops_ray.model.trained import MLFLOW_FOLDER

__all__ = ["PyfuncPredictor"]


class PyfuncPredictor:
    """An MLflow model that is asked with a DataFrame of the signature's names and types, see `to_frame`.

    Taken as an answer: one number a row as DataFrame, Series, array or list; of a binary task also the two
    probabilities of the classes 0 and 1, or several columns of which one is named `probability`; of a multiclass task a
    column for each class. Refused: text,
    dictionaries, sparse matrices, other numbers of columns.
    """

    def __init__(self, model: Any, signature: Signature) -> None:
        self._model = model
        self._signature = signature
        _check_inputs(model, signature)

    @classmethod
    def load(cls, folder: Path, signature: Signature) -> "PyfuncPredictor":
        """The model in `folder`/mlflow_model.

        Raises:
            ModelError: MLflow cannot load it here, or it wants inputs that the signature does not have.
        """
        # 1 to 6 s, for models of this flavor only
        import mlflow.pyfunc

        try:
            model = mlflow.pyfunc.load_model(str(folder / MLFLOW_FOLDER), suppress_warnings=True)
        except Exception as error:  # the model's own code runs here, which may raise anything
            raise ModelError(f"{MLFLOW_FOLDER}: cannot be loaded ({type(error).__name__}: {error})") from error
        return cls(model, signature)

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of the rows.

        Raises:
            PredictionError: the matrix has not as many columns as the model has inputs, or the answer is of a kind
                that is refused.
        """
        inputs = len(self._signature.inputs)
        if matrix.ndim != 2 or matrix.shape[1] != inputs:
            raise PredictionError(f"expected a matrix (rows, {inputs}), found shape {matrix.shape}")
        answer = self._model.predict(to_frame(self._signature, matrix))
        numbers = _numbers(answer)
        if numbers.ndim == 2 and numbers.shape[1] == 1:
            return numbers[:, 0]
        if numbers.ndim == 2 and numbers.shape[1] == 2 and self._signature.task == "binary":
            return numbers[:, 1]
        return numbers  # whoever asked checks its shape


def _numbers(answer: Any) -> NDArray[np.float64]:
    if isinstance(answer, pd.DataFrame) and answer.shape[1] > 1 and "probability" in answer.columns:
        answer = answer["probability"]
    if not isinstance(answer, pd.DataFrame | pd.Series | np.ndarray | list):
        raise PredictionError(f"an MLflow model has to answer a DataFrame, Series or array, found {_kind(answer)}")
    try:
        return np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PredictionError(f"an MLflow model has to answer numbers ({error})") from error


def _kind(answer: Any) -> str:
    return f"{type(answer).__module__}.{type(answer).__qualname__}"


def _check_inputs(model: Any, signature: Signature) -> None:
    known = model.metadata.get_input_schema()
    if known is None or not known.has_input_names():
        return
    missing = [name for name in known.required_input_names() if name not in signature.names]
    if missing:
        raise ModelError(
            f"{MLFLOW_FOLDER}: wants the input {missing[0]!r}; the inputs are {', '.join(signature.names)}"
        )
