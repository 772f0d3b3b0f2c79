"""What answers of a version under delivery are measured by: the spec's objectives and the champion's reference."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_ray.drift import FeatureReference, ReferenceProfile
from mlops_ray.monitor.time_sketch import TimeSketch
from mlops_ray.spec import Latency, ModelSpec, Task

__all__ = ["PREDICTION", "Threshold", "Yardstick"]

PREDICTION = "prediction"
"""The column of scores in a reference profile."""

_MIN_TIMES = 200
_LABEL_AT = 0.5
_SD_SHARE = 0.1
_CLASSES = 50  # bins, at most


@dataclass(frozen=True)
class Threshold:
    """Times in the model above which an answer counts, in milliseconds."""

    name: str
    champion_ms: float
    canary_ms: float
    """Later by what the spec calls no harm."""


@dataclass(frozen=True)
class Yardstick:
    """Constant as long as the spec and the champion are."""

    slow_ms: float
    latency: Latency
    task: Task
    edges: tuple[float, ...] = ()
    """Inner edges of the score bins, ascending; none: scores are not compared."""
    tolerance: float | None = None
    """Scores further apart disagree; None: another label or class, or nothing is known to hold them against."""

    @classmethod
    def of(cls, spec: ModelSpec, reference: ReferenceProfile | None) -> "Yardstick":
        """By the spec, and the champion's reference as far as it is known."""
        analysis = spec.rollout.analysis
        known = [f for f in reference.features if f.name == PREDICTION] if reference is not None else []
        prediction = known[0] if known else None
        tolerance = analysis.paired.tolerance
        if spec.train.task == "multiclass":
            tolerance = None  # classes are not near each other
        elif tolerance is None and spec.train.task != "binary" and prediction is not None:
            tolerance = _SD_SHARE * prediction.std
        return cls(
            slow_ms=spec.serve.latency_objective_ms,
            latency=analysis.latency,
            task=spec.train.task,
            edges=_edges(prediction, analysis.predictions.bins) if prediction is not None else (),
            tolerance=tolerance,
        )

    def thresholds(self, times: TimeSketch) -> tuple[Threshold, ...]:
        """The champion's quantiles of `times`, by name; none as long as there are too few."""
        if len(times) < _MIN_TIMES:
            return ()
        return tuple(self._threshold(quantile, times) for quantile in self.latency.quantiles)

    def _threshold(self, quantile: float, times: TimeSketch) -> Threshold:
        champion_ms = times.quantile(quantile)
        latency = self.latency
        canary_ms = max(champion_ms * (1 + latency.floor_ratio), champion_ms + latency.floor_ms)
        return Threshold(f"p{100 * quantile:g}", champion_ms, canary_ms)

    def bins(self, scores: NDArray[np.float64]) -> tuple[int, ...]:
        """How many of the scores (n,) lie in each bin; () where scores are not compared.

        >>> Yardstick(200.0, Latency(), "binary", edges=(0.1, 0.5)).bins(np.array([0.1, 0.2, 0.9, 0.8]))
        (1, 1, 2)
        """
        if not self.edges:
            return ()
        # as in a reference profile: a value on an edge lies below it
        places = np.searchsorted(self.edges, scores, side="left")
        return tuple(np.bincount(places, minlength=len(self.edges) + 1).tolist())

    def disagree(self, scores: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Which rows (n,) two versions say something else of; None when there is nothing to tell it by."""
        if self.tolerance is not None:
            return np.abs(scores - others) > self.tolerance
        if self.task == "binary":
            return (scores >= _LABEL_AT) != (others >= _LABEL_AT)
        return scores != others if self.task == "multiclass" else None


def _edges(prediction: FeatureReference, bins: int) -> tuple[float, ...]:
    """Of the reference's edges those nearest to equal shares; edges that meet are one, and no outer bin is empty.

    Each class of a multiclass model is a bin of its own, and where they are many, neighbours go together.
    """
    known, counts = prediction.edges, prediction.counts[:-1]
    if prediction.kind == "categorical":
        classes = len(prediction.categories)
        known, counts = tuple(place + 0.5 for place in range(classes - 1)), prediction.counts[:classes]
        if bins >= 2 and classes <= max(bins, _CLASSES):
            return known
    shares = np.cumsum(counts)[:-1] / max(1, sum(counts))
    inside = np.flatnonzero((shares > 0) & (shares < 1))
    if not len(inside) or bins < 2:
        return ()
    wanted = np.arange(1, bins) / bins
    nearest = np.abs(shares[inside][None, :] - wanted[:, None]).argmin(axis=1)
    return tuple(known[place] for place in sorted(set(inside[nearest].tolist())))
