"""Contributions to a linear model's score, exact: how far a value is from its mean, times its weight."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.explanation import Explanation, Method, Places, Predict, Scale, places_of
from mlops_ray.model.signature import Signature

__all__ = ["LinearExplainer"]

Matrix = NDArray[np.float64]


class LinearExplainer:
    """Weights (classes or 1, features) and intercepts of a model `link(x @ weights + intercept)`."""

    method: Method = "linear"
    exact = True

    def __init__(self, weights: Matrix, intercepts: Matrix, means: Matrix, signature: Signature) -> None:
        self._weights = weights
        self._intercepts = intercepts
        self._means = means
        self._signature = signature

    @classmethod
    def of(cls, estimator: Any, signature: Signature, background: Matrix, predict: Predict) -> "LinearExplainer | None":
        """For a scikit-learn estimator that predicts rows of `background` as its weights say; None for any other."""
        weights = np.atleast_2d(np.asarray(getattr(estimator, "coef_", np.empty(0)), dtype=np.float64))
        known = ~np.isnan(background).any(axis=1)
        rows = background[known]
        if weights.shape != (max(1, len(signature.classes)), len(signature.inputs)) or not len(rows):
            return None
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None:
            order = [list(names).index(name) for name in signature.names if name in names]
            if len(order) != len(signature.inputs):
                return None
            weights = weights[:, order]
        intercepts = np.broadcast_to(np.asarray(getattr(estimator, "intercept_", 0.0), dtype=np.float64), len(weights))
        explainer = cls(weights, intercepts, rows.mean(axis=0), signature)
        return explainer if np.allclose(explainer._linked(rows), predict(rows), atol=1e-6) else None

    def explain(self, matrix: Matrix, places: Places | None = None) -> Explanation:
        """See `Explainer.explain`."""
        scores = matrix @ self._weights.T + self._intercepts
        wanted = places_of(self._signature, scores, places)
        chosen = np.zeros(len(matrix), dtype=np.int64) if wanted is None else wanted
        weights = self._weights[chosen]
        return Explanation(
            self.method,
            self._scale,
            True,
            self._intercepts[chosen] + weights @ self._means,
            scores[np.arange(len(matrix)), chosen],
            weights * (matrix - self._means),
            wanted,
        )

    @property
    def _scale(self) -> Scale:
        scales: dict[str, Scale] = {"binary": "log_odds", "multiclass": "raw_score", "regression": "value"}
        return scales[self._signature.task]

    def _linked(self, rows: Matrix) -> Matrix:
        """The predictions that the weights make."""
        scores = rows @ self._weights.T + self._intercepts
        if self._signature.classes:
            powers = np.exp(scores - scores.max(axis=1, keepdims=True))
            answers: Matrix = powers / powers.sum(axis=1, keepdims=True)
            return answers
        return 1 / (1 + np.exp(-scores[:, 0])) if self._signature.task == "binary" else scores[:, 0]
