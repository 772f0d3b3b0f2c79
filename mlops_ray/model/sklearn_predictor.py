"""Scikit-learn estimators; loading one unpickles it, so that its file must be one that somebody vouches for."""

import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.errors import ModelError, PredictionError
from mlops_ray.model.frame import to_frame
from mlops_ray.model.signature import Signature
from mlops_ray.model.trained import ESTIMATOR_FILE

__all__ = ["SklearnPredictor"]


class SklearnPredictor:
    """An estimator, asked for the probability of class 1, of each class or, in a regression, for the value.

    One that was fitted on a DataFrame gets `to_frame` of the rows, any other the matrix itself.
    """

    def __init__(self, estimator: Any, signature: Signature, *, threads: int = 1) -> None:
        self._estimator = estimator
        self._signature = signature
        self._wanted = _wanted_columns(estimator, signature)
        self._names = _fitted_names(estimator, signature)
        # a trainer's n_jobs=-1 would start as many threads for every request
        jobs = [name for name in estimator.get_params() if name.split("__")[-1] == "n_jobs"]
        estimator.set_params(**dict.fromkeys(jobs, threads))

    @classmethod
    def load(cls, folder: Path, signature: Signature, *, threads: int = 1) -> "SklearnPredictor":
        """The estimator pickled in `folder`.

        Raises:
            ModelError: it cannot be unpickled here, or is not for the inputs and the task of the signature.
        """
        try:
            estimator = pickle.loads((folder / ESTIMATOR_FILE).read_bytes())
        except Exception as error:  # unpickling runs the code of other packages, which may raise anything
            raise ModelError(f"{ESTIMATOR_FILE}: cannot be loaded ({type(error).__name__}: {error})") from error
        if not callable(getattr(estimator, "predict", None)) or not hasattr(estimator, "get_params"):
            raise ModelError(f"{ESTIMATOR_FILE}: expected a scikit-learn estimator, found {type(estimator).__name__}")
        return cls(estimator, signature, threads=threads)

    @property
    def estimator(self) -> Any:
        """The model itself."""
        return self._estimator

    def predict(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions of the rows.

        Raises:
            PredictionError: the matrix has not as many columns as the model has inputs.
        """
        inputs = len(self._signature.inputs)
        if matrix.ndim != 2 or matrix.shape[1] != inputs:
            raise PredictionError(f"expected a matrix (rows, {inputs}), found shape {matrix.shape}")
        rows = matrix if self._names is None else to_frame(self._signature, matrix)[self._names]
        if self._wanted is not None:
            return np.asarray(self._estimator.predict_proba(rows)[:, self._wanted], dtype=np.float64)
        answer = np.asarray(self._estimator.predict(rows), dtype=np.float64)
        return answer[:, 0] if answer.ndim == 2 and answer.shape[1] == 1 else answer


def _wanted_columns(estimator: Any, signature: Signature) -> int | slice | None:
    """Which probabilities are the answer; None where `predict` is asked."""
    if signature.task == "regression":
        return None
    if not hasattr(estimator, "predict_proba"):
        raise ModelError(
            f"{type(estimator).__name__} has no predict_proba, which a {signature.task} task needs; "
            "wrap it in sklearn.calibration.CalibratedClassifierCV"
        )
    classes = [float(label) for label in estimator.classes_]
    expected = list(range(len(signature.classes) or 2))
    if classes != expected:
        raise ModelError(
            f"{type(estimator).__name__}: expected the classes {_listed(expected)}, found {_listed(classes)}"
        )
    return slice(None) if signature.classes else 1


def _fitted_names(estimator: Any, signature: Signature) -> list[str] | None:
    """Names in the order the estimator was fitted with; None when it was fitted on a matrix."""
    count = getattr(estimator, "n_features_in_", len(signature.inputs))
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        if count != len(signature.inputs):
            raise ModelError(f"{ESTIMATOR_FILE}: was fitted on {count} columns; expected {len(signature.inputs)}")
        return None
    unknown = sorted(set(names) - set(signature.names))
    if unknown:
        raise ModelError(
            f"{ESTIMATOR_FILE}: was fitted on column {unknown[0]!r}; the inputs are {_listed(signature.names)}"
        )
    return list(names)


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(str(value) for value in values)
