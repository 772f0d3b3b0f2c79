"""How outcomes are distributed, and whether they are distributed as in the training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from mlops_ray.spec import LabelDrift, Task

__all__ = ["LabelComparison", "LabelCounts", "compare_labels", "count_labels"]

Floats = NDArray[np.float64]
_DECILES = np.linspace(0, 1, 11)[1:-1]
_BLOCKS = 10
_MIN_BLOCK_ROWS = 50
_EXPECTED = 5.0  # rows a bin needs for the chi-square distribution to hold


@dataclass(frozen=True)
class LabelCounts:
    """Outcomes of the training in bins: classes, or a number's deciles."""

    edges: tuple[float, ...]
    """Inner borders of the bins, ascending; a value on a border lies below it."""
    counts: tuple[int, ...]
    block_distance: float
    """Largest total variation distance of one of the training's own time blocks to the rest, beyond chance."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "edges": list(self.edges), "counts": list(self.counts)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(content["edges"]), tuple(content["counts"]), content["block_distance"])


@dataclass(frozen=True)
class LabelComparison:
    """Outcomes of a window against the training's."""

    labels: int
    distance: float
    """Total variation; of two classes the difference of the rate."""
    low: float
    """Lower 95 % limit of the distance, by the normal approximation over the bins that are fuller than they were."""
    p_value: float
    floor: float
    """The distance that counts: the largest of the spec's and that of the training's own time blocks."""
    drifted: bool
    shares: tuple[float, ...]
    training_shares: tuple[float, ...]


def count_labels(task: Task, labels: Floats, *, classes: int = 2) -> LabelCounts:
    """Count the outcomes (n,) of the training, oldest first as far as that is known."""
    if task == "regression":
        edges = tuple(np.unique(np.quantile(labels, _DECILES)).tolist())
    else:
        edges = tuple(place + 0.5 for place in range((2 if task == "binary" else classes) - 1))
    parts = np.array_split(labels, max(1, min(_BLOCKS, len(labels) // _MIN_BLOCK_ROWS)))
    counted = np.array([_counts(part, edges) for part in parts])
    total = counted.sum(axis=0)
    own = [_block_distance(block, total - block) for block in counted] if len(parts) > 1 else [0.0]
    return LabelCounts(edges, tuple(total.tolist()), max(own))


def compare_labels(known: LabelCounts, labels: Floats, settings: LabelDrift) -> LabelComparison | None:
    """Hold the outcomes of a window (n,) against the training's; None with too few of them.

    >>> known = count_labels("binary", np.tile([0.0, 0.0, 0.0, 1.0], 250))
    >>> found = compare_labels(known, np.tile([0.0, 1.0], 200), LabelDrift())
    >>> found.distance, found.drifted
    (0.25, True)
    """
    if len(labels) < settings.min_labels:
        return None
    now, before = _counts(labels, known.edges), np.array(known.counts)
    distance, p_value = _distance(now, before), _p_value(now, before)
    floor = max(settings.min_distance, known.block_distance)
    return LabelComparison(
        labels=len(labels),
        distance=distance,
        low=_low(now, before),
        p_value=p_value,
        floor=floor,
        drifted=p_value < settings.level and distance >= floor,
        shares=tuple((now / now.sum()).tolist()),
        training_shares=tuple((before / before.sum()).tolist()),
    )


def _counts(labels: Floats, edges: tuple[float, ...]) -> NDArray[np.int64]:
    return np.bincount(np.searchsorted(edges, labels, side="left"), minlength=len(edges) + 1)


def _distance(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    return float(np.abs(one / one.sum() - other / other.sum()).sum() / 2)


def _block_distance(block: NDArray[np.int64], rest: NDArray[np.int64]) -> float:
    return _distance(block, rest) if _p_value(block, rest) < 0.001 else 0.0


def _p_value(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    """Of the chi-square test of homogeneity; bins with few rows are put together."""
    table = np.stack([one, other]).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    rare = (expected < _EXPECTED).any(axis=0)
    if rare.any():
        table = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    return float(stats.chi2_contingency(table, correction=False).pvalue)


def _low(one: NDArray[np.int64], other: NDArray[np.int64]) -> float:
    p, q = one / one.sum(), other / other.sum()
    more = p > q
    a, b = float(p[more].sum()), float(q[more].sum())
    error = np.sqrt(a * (1 - a) / one.sum() + b * (1 - b) / other.sum())
    return max(0.0, float(a - b - 1.959964 * error))
