"""Contributions to any model's answer, estimated: Shapley values by sampled orders of the features."""

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.explanation import Explanation, Method, Places, Predict, Scale, places_of
from mlops_ray.model.signature import Signature

__all__ = ["SamplingExplainer"]

Matrix = NDArray[np.float64]

_MIN_PAIRS = 2  # or nothing can be said about the error


class SamplingExplainer:
    """Walks from rows of the training to the explained row, a feature at a time, in an order and in its reverse.

    A feature's contribution is the mean of what its step changes (Strumbelj, Kononenko 2014; pairs of opposite orders:
    Mitchell et al., JMLR 2022). Each walk adds up, so their mean does. The same rows get the same answer: the orders
    come from `seed`. A row takes at most `max_predictions` predictions, or two pairs of walks where that is more.
    """

    method: Method = "permutation_sampling"
    exact = False

    def __init__(
        self, predict: Predict, signature: Signature, background: Matrix, *, max_predictions: int, seed: int = 0
    ) -> None:
        self._predict = predict
        self._signature = signature
        features = len(signature.inputs)
        wanted = max(_MIN_PAIRS, max_predictions // (2 * (features + 1)))
        generator = np.random.default_rng(seed)
        pairs = min(wanted, max(_MIN_PAIRS, len(background)))
        self._starts = background[generator.permutation(len(background))[np.arange(pairs) % len(background)]]
        self._orders = np.array([generator.permutation(features) for _ in range(pairs)])
        self._base = predict(self._starts)

    @property
    def scale(self) -> Scale:
        """The answers' own."""
        return "value" if self._signature.task == "regression" else "probability"

    def explain(self, matrix: Matrix, places: Places | None = None) -> Explanation:
        """See `Explainer.explain`."""
        answers = self._predict(matrix)
        wanted = places_of(self._signature, answers, places)
        scores = answers if wanted is None else answers[np.arange(len(matrix)), wanted]
        base, contributions, errors = np.empty(len(matrix)), np.empty_like(matrix), np.empty_like(matrix)
        for i, row in enumerate(matrix):
            place = None if wanted is None else int(wanted[i])
            steps = (self._steps(row, self._orders, place) + self._steps(row, self._orders[:, ::-1], place)) / 2
            base[i] = self._of(self._base, place).mean()
            contributions[i] = steps.mean(axis=0)
            errors[i] = steps.std(axis=0, ddof=1) / np.sqrt(len(steps))
        return Explanation(self.method, self.scale, False, base, scores, contributions, wanted, errors)

    def _steps(self, row: Matrix, orders: NDArray[np.int64], place: int | None) -> Matrix:
        """What each feature (pairs, features) changes on the walk of its order."""
        pairs, features = orders.shape
        # a walk has a state before each step, and the row itself at the end
        taken = np.zeros((pairs, features + 1, features), dtype=bool)
        ranks = np.argsort(orders, axis=1)
        taken[:] = ranks[:, None, :] < np.arange(features + 1)[None, :, None]
        states = np.where(taken, row, self._starts[:, None, :])
        values = self._of(self._predict(states.reshape(-1, features)), place).reshape(pairs, features + 1)
        steps: Matrix = np.take_along_axis(np.diff(values, axis=1), ranks, axis=1)
        return steps

    def _of(self, answers: Matrix, place: int | None) -> Matrix:
        return answers if place is None else answers[:, place]
