"""Contributions to a torch model's answer: integrated gradients (Sundararajan, Taly, Yan, ICML 2017), for tables.

The answer is followed from a typical row to the explained one, and each number gets its part of the way. Categories
have no way between two values, and neither has a missing value: they are switched one after the other, at both ends of
the numbers' way, in an order and in its reverse, and each gets the mean of what its switches change. So every way adds
up, and so does their mean.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mlops_ray.model.explanation import Explanation, Method, Places, Scale, places_of
from mlops_ray.model.signature import Signature

__all__ = ["Differentiable", "GradientExplainer", "typical_row"]

Matrix = NDArray[np.float64]

_POINTS = (16, 64, 256)
_TOLERANCE = 1e-4  # of what there is to explain


class Differentiable(Protocol):
    """A model with gradients."""

    def predict(self, matrix: Matrix) -> Matrix:
        """As `Predictor.predict`."""
        ...

    def gradients(self, matrix: Matrix, place: int | None) -> Matrix:
        """(rows, inputs): the derivative of each row's answer, or of that of the class, by its own inputs."""
        ...


class GradientExplainer:
    """`start` (inputs,) is the typical row."""

    method: Method = "integrated_gradients"
    exact = False

    def __init__(self, model: Differentiable, signature: Signature, start: Matrix) -> None:
        self._model = model
        self._signature = signature
        self._start = start
        self._categorical = np.zeros(len(start), dtype=bool)
        self._categorical[list(signature.categorical)] = True

    @property
    def scale(self) -> Scale:
        """The answers' own."""
        return "value" if self._signature.task == "regression" else "probability"

    def explain(self, matrix: Matrix, places: Places | None = None) -> Explanation:
        """See `Explainer.explain`; `residual` is what the numeric integration misses."""
        answers = self._model.predict(matrix)
        wanted = places_of(self._signature, answers, places)
        rows = np.arange(len(matrix))
        origin = np.atleast_2d(self._start)
        start = self._model.predict(origin)[0]
        chosen = [None if wanted is None else int(wanted[i]) for i in rows]
        contributions = np.array([self._row(row, place) for row, place in zip(matrix, chosen, strict=True)])
        return Explanation(
            self.method,
            self.scale,
            False,
            np.full(len(matrix), start) if wanted is None else start[wanted],
            answers if wanted is None else answers[rows, wanted],
            contributions.reshape(matrix.shape),
            wanted,
        )

    def _row(self, row: Matrix, place: int | None) -> Matrix:
        start = self._start
        differs = ~((row == start) | (np.isnan(row) & np.isnan(start)))
        switched = differs & (self._categorical | np.isnan(row) | np.isnan(start))
        numeric = differs & ~switched
        found = np.zeros(len(row))
        order = np.flatnonzero(switched).tolist()
        ends = [np.where(numeric, row, start), start]
        for fixed in ends:
            for way in (order, order[::-1]):
                found[way] += self._switches(fixed, row, way, place) / (2 * len(ends))
        if numeric.any():
            for fixed in (start, np.where(switched, row, start)):
                found += self._integral(fixed, row, numeric, place) / 2
        return found

    def _switches(self, begin: Matrix, row: Matrix, order: Sequence[int], place: int | None) -> Matrix:
        """What each switch of `order` changes, one after the other, from `begin`."""
        states = np.tile(begin, (len(order) + 1, 1))
        for step, feature in enumerate(order):
            states[step + 1 :, feature] = row[feature]
        changes: Matrix = np.diff(self._answers(states, place))
        return changes

    def _integral(self, begin: Matrix, row: Matrix, numeric: NDArray[np.bool_], place: int | None) -> Matrix:
        """The numbers' parts of the way from `begin` to the row's numbers."""
        way = np.where(numeric, row - begin, 0.0)
        ends = np.stack([begin, np.where(numeric, row, begin)])
        first, last = self._answers(ends, place)
        parts = np.zeros(len(row))
        for points in _POINTS:
            nodes, weights = np.polynomial.legendre.leggauss(points)
            states = begin + np.outer((nodes + 1) / 2, way)
            slopes = np.nan_to_num(self._model.gradients(states, place))
            parts = np.where(numeric, weights @ slopes / 2 * way, 0.0)
            if abs(parts.sum() - (last - first)) <= _TOLERANCE * max(1e-3, abs(last - first)):
                break
        return parts

    def _answers(self, states: Matrix, place: int | None) -> Matrix:
        answers = self._model.predict(states)
        return answers if place is None else answers[:, place]


def typical_row(signature: Signature, background: Matrix) -> Matrix:
    """The mean of each number and the most frequent category; missing where most rows have no value."""
    row = np.full(background.shape[1], np.nan)
    for i in range(background.shape[1]):
        known = background[np.isfinite(background[:, i]), i]
        if 2 * len(known) < len(background) or not len(known):
            continue
        values, counts = np.unique(known, return_counts=True)
        row[i] = values[counts.argmax()] if i in signature.categorical else known.mean()
    return row
