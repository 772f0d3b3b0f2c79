"""What moved an answer: a contribution for each feature, which together with a base make the score."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.signature import Signature

__all__ = ["Explainer", "Explanation", "Method", "Scale", "places_of"]

Matrix = NDArray[np.float64]
Places = NDArray[np.int64]
Predict = Callable[[Matrix], Matrix]

Method = Literal["tree_shap", "linear", "integrated_gradients", "permutation_sampling"]
Scale = Literal["log_odds", "raw_score", "probability", "value"]
"""What contributions are counted in: log odds of class 1; the model's score before its link; a probability; the
answer's own unit."""


@dataclass(frozen=True)
class Explanation:
    """Of n rows: `base[i] + contributions[i].sum() == scores[i]`, but for `residual`."""

    method: Method
    scale: Scale
    exact: bool
    """Whether the contributions are what the method defines, and no estimate of it."""
    base: Matrix
    """(n,): the score of no row in particular."""
    scores: Matrix
    """(n,): of the explained class, in `scale`."""
    contributions: Matrix
    """(n, features)"""
    places: Places | None = None
    """(n,): of a multiclass model, the explained class of each row."""
    standard_errors: Matrix | None = None
    """(n, features): of an estimate, how far it may be off by chance."""

    @property
    def residual(self) -> Matrix:
        """(n,): what the contributions leave unexplained; of an exact method rounding only."""
        residual: Matrix = self.scores - self.base - self.contributions.sum(axis=1)
        return residual

    def how(self) -> dict[str, Any]:
        """How it was made, as JSON values."""
        return {"method": self.method, "exact": self.exact, "scale": self.scale}

    def of_row(self, signature: Signature, row: int) -> dict[str, Any]:
        """One row of it, as JSON values by the names of the features."""
        names = signature.names
        content: dict[str, Any] = {
            "base": float(self.base[row]),
            "contributions": dict(zip(names, self.contributions[row].tolist(), strict=True)),
            "score": float(self.scores[row]),
            "residual": float(self.residual[row]),
        }
        if self.places is not None:
            content["class"] = signature.classes[self.places[row]]
        if self.standard_errors is not None:
            content["standard_errors"] = dict(zip(names, self.standard_errors[row].tolist(), strict=True))
        return content


class Explainer(Protocol):
    """Explains a model that it holds; one thread at a time."""

    method: Method
    exact: bool

    def explain(self, matrix: Matrix, places: Places | None = None) -> Explanation:
        """Explain encoded rows (n, features); of a multiclass model the classes `places`, or the likeliest ones.

        Raises:
            PredictionError: the model cannot predict these rows.
        """
        ...


def places_of(signature: Signature, predictions: Matrix, places: Places | None) -> Places | None:
    """The class to explain of each row: the one asked for, else the likeliest; None where there are no classes."""
    if not signature.classes:
        return None
    return predictions.argmax(axis=1).astype(np.int64) if places is None else places
