"""Contributions to a LightGBM model's score, exact: TreeSHAP (Lundberg et al., Nature Machine Intelligence 2020)."""

import lightgbm
import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.explanation import Explanation, Method, Places, Scale, places_of
from mlops_ray.model.signature import Signature

__all__ = ["TreeExplainer"]

Matrix = NDArray[np.float64]


class TreeExplainer:
    """LightGBM's own TreeSHAP, path-dependent: the base is the mean score over the rows of the training."""

    method: Method = "tree_shap"
    exact = True

    def __init__(self, booster: lightgbm.Booster, signature: Signature) -> None:
        self._booster = booster
        self._signature = signature

    def explain(self, matrix: Matrix, places: Places | None = None) -> Explanation:
        """See `Explainer.explain`; some 0.7 ms for a row of 100 trees."""
        scores = self._predict(matrix, raw_score=True)
        found = self._predict(matrix, pred_contrib=True)
        wanted = places_of(self._signature, scores, places)
        if wanted is not None:
            rows = np.arange(len(matrix))
            found = found.reshape(len(matrix), scores.shape[1], -1)[rows, wanted]
            scores = scores[rows, wanted]
        return Explanation(
            self.method, self._scale(matrix, scores), True, found[:, -1].copy(), scores, found[:, :-1].copy(), wanted
        )

    def adds_up(self, rows: Matrix) -> bool:
        """Whether this LightGBM explains this kind of model: of some (trees with linear leaves) it does not."""
        try:
            explanation = self.explain(rows)
        except lightgbm.basic.LightGBMError:
            return False
        return bool(np.allclose(explanation.residual, 0, atol=1e-6 * (1 + np.abs(explanation.scores).max(initial=0.0))))

    def _scale(self, matrix: Matrix, scores: Matrix) -> Scale:
        if self._signature.classes:
            return "raw_score"
        answers = self._predict(matrix)
        if self._signature.task == "binary":
            return "log_odds" if np.allclose(answers, 1 / (1 + np.exp(-scores)), atol=1e-9) else "raw_score"
        return "value" if np.allclose(answers, scores) else "raw_score"

    def _predict(self, matrix: Matrix, **how: bool) -> Matrix:
        return np.asarray(self._booster.predict(matrix, num_threads=1, **how), dtype=np.float64)
